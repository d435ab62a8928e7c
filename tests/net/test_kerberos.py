"""Kerberos and SPNEGO over TCP, and several security contexts on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from openwmi.cim.operations import CallContext, GetObject
from openwmi.dcom.importer import Importer
from openwmi.errors import AuthenticationError, RpcFault
from openwmi.net.rpc import RpcTransport
from openwmi.repository import MemoryStore
from openwmi.rpc import AuthenticationNeeded, Bound, ClientConnection, Event, ResponseReceived, SyntaxId
from openwmi.security.accounts import Accounts
from openwmi.security.context import KERBEROS, NTLM, SPNEGO, AuthenticationLevel, SecurityContext
from openwmi.security.kerberos import KerberosInitiator, ServiceKeys
from openwmi.security.ntlm import NtlmInitiator
from openwmi.security.principals import Principal
from openwmi.security.spnego import SpnegoInitiator
from openwmi.server import Server
from openwmi.status import HResult
from openwmi.wmi.client import RemoteNamespaces
from tests.dcom.support import HEADER
from tests.security import kdc

from .support import HOST, PASSWORD, IEcho, Network, network

LEVEL = AuthenticationLevel


def kerberos(level: AuthenticationLevel, password: str = kdc.PASSWORD, user: str = kdc.USER) -> KerberosInitiator:
    return KerberosInitiator(f"{user}@{kdc.REALM}", password, target=kdc.SERVICE_HOST, level=level)


def initiator(auth_type: int, level: AuthenticationLevel) -> SecurityContext:
    ntlm = NtlmInitiator("ada", PASSWORD, target="test-host", level=level)
    made: dict[int, Callable[[], SecurityContext]] = {
        NTLM: lambda: ntlm,
        KERBEROS: lambda: kerberos(level),
        SPNEGO: lambda: SpnegoInitiator(kerberos(level), ntlm),
    }
    return made[auth_type]()


def transport(it: Network, made: Callable[[], SecurityContext], level: AuthenticationLevel) -> RpcTransport:
    found = RpcTransport(lambda host: made(), level=level)
    it.clients.push_async_callback(found.close)
    return found


@pytest.mark.parametrize("auth_type", [KERBEROS, SPNEGO], ids=["Kerberos", "SPNEGO"])
@pytest.mark.parametrize("level", [LEVEL.INTEGRITY, LEVEL.PRIVACY], ids=lambda level: level.name)
async def test_calls(realm: kdc.Realm, auth_type: int, level: AuthenticationLevel) -> None:
    async with network(keys=ServiceKeys(realm.keytab)) as it:
        client = transport(it, lambda: initiator(auth_type, level), level)
        assert await it.repeats(client, 150_000)
        assert await it.alive(client)  # another interface on the same connection
        (caller,) = it.echo.callers
        assert caller.principal is not None
        assert (caller.principal.account, caller.level) == ("ada", level)
        assert [row[0] for row in it.throttle.told] == ["succeeded"]


async def test_who_has_no_account_is_refused(realm: kdc.Realm, caplog: pytest.LogCaptureFixture) -> None:
    async with network(keys=ServiceKeys(realm.keytab)) as it:
        client = transport(it, lambda: kerberos(LEVEL.PRIVACY, user=kdc.STRANGER), LEVEL.PRIVACY)
        with pytest.raises(RpcFault) as caught:
            await it.repeats(client)
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert f"{kdc.STRANGER}@{kdc.REALM}" in caplog.text
        assert "has no account here" in caplog.text


async def test_what_the_kdc_refuses_names_the_host(realm: kdc.Realm) -> None:
    async with network(keys=ServiceKeys(realm.keytab)) as it:
        client = transport(it, lambda: kerberos(LEVEL.PRIVACY, "wrong"), LEVEL.PRIVACY)
        with pytest.raises(AuthenticationError, match=rf"{HOST}\[\d+\]: Kerberos: "):
            await it.repeats(client)


async def test_a_server_without_keys_has_no_kerberos(realm: kdc.Realm) -> None:
    async with network() as it:
        with pytest.raises(AuthenticationError, match=HOST):
            await it.repeats(transport(it, lambda: kerberos(LEVEL.PRIVACY), LEVEL.PRIVACY))


@pytest.mark.requirement("RPCE-2.2.2.11-13", "RPCE-3.3.1.5.2.1-03", "RPCE-3.3.1.5.2.1-10")
async def test_several_security_contexts_on_one_connection(realm: kdc.Realm) -> None:
    """Each call is made, and answered, in the context that it names, at that context's level."""
    wanted = [
        (NTLM, LEVEL.PRIVACY),
        (KERBEROS, LEVEL.INTEGRITY),
        (SPNEGO, LEVEL.PRIVACY),
        (NTLM, LEVEL.INTEGRITY),
        (KERBEROS, LEVEL.PRIVACY),
    ]
    async with network(keys=ServiceKeys(realm.keytab)) as it:
        reader, writer = await asyncio.open_connection(HOST, it.listener.port)
        machine = ClientConnection(now=0.0)
        answers: list[ResponseReceived] = []
        bound: list[Bound] = []

        def handle(events: list[Event]) -> None:
            for event in events:
                if isinstance(event, AuthenticationNeeded):
                    assert event.context is not None
                    token = event.context.step(event.token)
                    handle(machine.authenticated(event.auth_context_id, event.context, token))
                elif isinstance(event, ResponseReceived):
                    answers.append(event)
                elif isinstance(event, Bound):
                    bound.append(event)

        async def until(number: int, found: list[ResponseReceived] | list[Bound]) -> None:
            async with asyncio.timeout(10):
                while len(found) < number:
                    writer.write(machine.data_to_send())
                    if machine.paused or len(found) >= number:
                        continue
                    handle(machine.receive(await reader.read(65536), 0.0))
                writer.write(machine.data_to_send())

        syntax = SyntaxId(IEcho.uuid, (0, 0))
        for number, (auth_type, level) in enumerate(wanted):
            security = initiator(auth_type, level)
            if number == 0:
                handle(machine.bind([syntax], security=security, level=level))
            else:
                handle(machine.alter_context([], security=security, level=level))
            await until(number + 1, bound)
        stub = IEcho["Repeat"].encode_request(orpc_this=HEADER, count=3000)
        for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
            for number in order:
                machine.request(0, 3, stub, object_uuid=it.ipid, auth_context_id=number)
        await until(10, answers)
        assert [caller.level for caller in it.echo.callers[:5]] == [level for _, level in wanted]
        assert {caller.principal.account for caller in it.echo.callers if caller.principal} == {"ada"}
        assert len({caller.connection for caller in it.echo.callers}) == 1
        writer.close()


async def test_a_whole_server_with_a_keytab(realm: kdc.Realm) -> None:
    accounts = Accounts()
    accounts.add("ada", PASSWORD, administrator=True)
    server = Server(MemoryStore(), accounts, providers=(), rpc_port=0, exporter_port=0, keytab=realm.keytab)
    async with server:
        for auth_type in (KERBEROS, SPNEGO):
            client = RpcTransport(lambda host, auth_type=auth_type: initiator(auth_type, LEVEL.PRIVACY))  # type: ignore[misc]
            host, port = server.addresses.address, server.addresses.rpc_port
            namespaces = RemoteNamespaces(Importer(client), host, port)
            context = CallContext(principal=Principal.local_system(), remote=True)
            remote = await namespaces.connect("root\\default", context)
            found = await (await remote.start(GetObject("__NAMESPACE"), context)).result()
            assert found is not None
            await namespaces.close()
            await client.close()
