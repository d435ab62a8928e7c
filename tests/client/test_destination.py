"""Destinations: what options mean, what does not go together, and what the server sees of them."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from openwmi import aio
from openwmi.cim.operations import CallingMode
from openwmi.client.credentials import Credentials, Mechanism
from openwmi.client.destination import Destination, ServicePrincipal
from openwmi.client.urls import parse_url
from openwmi.dcom.peer import Caller
from openwmi.errors import AuthenticationError, ConfigurationError, DeadlineExceeded, Stage
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel, ImpersonationLevel
from tests.security import kdc
from tests.wire import HOST, PASSWORD, Machine, connection_of, serving, within

NT_HASH = bytes(range(16))


def destination(url: str = "dcom://ada@server.example", **options: Any) -> Destination:
    return Destination.of(parse_url(url), **options)


def test_what_is_left_out() -> None:
    made = destination(password=PASSWORD)
    assert made == Destination(
        host="server.example",
        port=135,
        credentials=Credentials("ada", PASSWORD),
        service_principal=ServicePrincipal("host", "server.example"),
        level=AuthenticationLevel.PRIVACY,
        impersonation=ImpersonationLevel.IMPERSONATE,
    )
    assert made.initiator().auth_type == NTLM


@pytest.mark.parametrize(
    ("options", "mechanism"),
    [
        ({"password": PASSWORD}, Mechanism.NTLM),
        ({"nt_hash": NT_HASH}, Mechanism.NTLM),
        ({"ticket_cache": "tickets"}, Mechanism.KERBEROS),
        ({"authentication": "kerberos"}, Mechanism.KERBEROS),
        ({"authentication": "kerberos", "password": PASSWORD}, Mechanism.KERBEROS),
        ({"authentication": "negotiate", "ticket_cache": "tickets"}, Mechanism.NEGOTIATE),
        ({"authentication": "negotiate", "nt_hash": NT_HASH}, Mechanism.NEGOTIATE),
    ],
)
def test_mechanisms(options: dict[str, Any], mechanism: Mechanism) -> None:
    assert destination(**options).credentials.mechanism is mechanism


def test_the_current_user_needs_no_name() -> None:
    made = destination("dcom://server.example", authentication="kerberos")
    assert (made.credentials.user, made.credentials.name) == ("", "the current user")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("server", ServicePrincipal("host", "server")),
        ("RPCSS/server.example", ServicePrincipal("RPCSS", "server.example")),
    ],
)
def test_service_principals(text: str, parsed: ServicePrincipal) -> None:
    assert destination(password=PASSWORD, service_principal=text).service_principal == parsed
    assert ServicePrincipal.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "no password for ada"),
        ({"password": PASSWORD, "nt_hash": NT_HASH}, "one of"),
        ({"password": PASSWORD, "ticket_cache": "tickets"}, "one of"),
        ({"ticket_cache": "tickets", "authentication": "ntlm"}, "NTLM has no tickets"),
        ({"nt_hash": NT_HASH, "authentication": "kerberos"}, "no NT hash"),
        ({"password": PASSWORD, "authentication": "basic"}, "ntlm, kerberos, negotiate"),
        ({"password": PASSWORD, "authentication_level": "none"}, "connect, call, packet, integrity, privacy"),
        ({"password": PASSWORD, "impersonation": "anonymous"}, "identify, impersonate, delegate"),
        ({"password": PASSWORD, "impersonation": "delegate"}, "NTLM cannot delegate"),
        ({"password": PASSWORD, "source_address": "here.example"}, "an address of this machine"),
        ({"password": PASSWORD, "callback_port": 65536}, "a port"),
        ({"password": PASSWORD, "service_principal": "host/server@REALM"}, "krb5.conf"),
        ({"password": PASSWORD, "service_principal": "host/"}, "host/server.example"),
        ({"password": PASSWORD, "proxy": "http://proxy:3128"}, "WS-Management, which will follow"),
        ({"password": PASSWORD, "certificate": "client.pem"}, "WS-Management, which will follow"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        destination(**options)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("options", [{"password": PASSWORD}, {"authentication": "negotiate", "password": PASSWORD}])
def test_a_user_is_needed(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="no user"):
        destination("dcom://server.example", **options)


def test_kerberos_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="is an address"):
        destination("dcom://ada@10.0.0.5", authentication="kerberos", password=PASSWORD)
    assert destination("dcom://10.0.0.5", authentication="kerberos", service_principal="host/db").host == "10.0.0.5"


def test_negotiating_with_an_address_is_ntlm() -> None:
    made = destination("dcom://ada@10.0.0.5", authentication="negotiate", password=PASSWORD)
    assert [mechanism.auth_type for mechanism in made._mechanisms()] == [NTLM]
    assert made.initiator().auth_type == SPNEGO


@pytest.mark.parametrize("secret", [{"password": PASSWORD}, {"nt_hash": b"0123456789abcdef"}])
def test_secrets_are_not_shown(secret: dict[str, Any]) -> None:
    shown = repr(destination(**secret))
    assert "server.example" in shown
    assert PASSWORD not in shown
    assert "0123456789" not in shown


def test_tickets_take_no_calls_back() -> None:
    with pytest.raises(ConfigurationError, match="with tickets alone"):
        Credentials(ticket_cache="tickets", mechanism=Mechanism.KERBEROS).acceptors()


# -- what the server sees


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> list[Caller]:
    """Everybody who logs on to any server."""
    from openwmi.wmi.server.login import LoginStub

    seen: list[Caller] = []
    original = LoginStub.ntlm_login

    async def watched(self: LoginStub, call: Any, **values: Any) -> Any:
        seen.append(call.caller)
        return await original(self, call, **values)

    monkeypatch.setattr(LoginStub, "ntlm_login", watched)
    return seen


@pytest.mark.parametrize("level", ["integrity", "privacy"])
async def test_levels(machine: Machine, callers: list[Caller], level: Any) -> None:
    await machine.session(authentication_level=level)
    assert [caller.level for caller in callers] == [AuthenticationLevel[level.upper()]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"authentication_level": "connect"}, "connect and impersonate are too little"),
        ({"impersonation": "identify"}, "privacy and identify are too little"),
    ],
)
async def test_what_is_too_little_for_the_server(machine: Machine, options: dict[str, Any], says: str) -> None:
    with pytest.raises(AuthenticationError, match=says):
        await machine.session(**options)


@pytest.mark.skipif(not hasattr(socket, "AF_PACKET"), reason="all of 127.0.0.0/8 is this machine on Linux alone")
async def test_the_source_address(machine: Machine, callers: list[Caller]) -> None:
    await machine.session(source_address="127.0.0.2")
    assert [caller.address for caller in callers] == ["127.0.0.2"]


async def test_a_source_address_of_another_machine(machine: Machine) -> None:
    with pytest.raises(ConfigurationError, match=r"no address 192\.0\.2\.1"):
        await machine.session(source_address="192.0.2.1")


async def test_the_callback_port(machine: Machine) -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
    session = await machine.session(callback_port=port)
    operation = await session.enumerate_instances("Acme_Static", mode=CallingMode.ASYNCHRONOUS)
    assert len(await within(operation.results())) == 3
    sinks = connection_of(session)._sinks
    assert sinks is not None
    assert sinks.exporter_port == port


async def test_spnego_with_ntlm(machine: Machine) -> None:
    session = await machine.session(authentication="negotiate")
    assert [one["Name"] async for one in await session.enumerate_instances("Acme_Static")] == ["x", "y", "z"]


# -- the deadline


async def test_one_deadline_over_everything() -> None:
    """A server that takes connections and falls silent: the time is up, and so is the giving back."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeadlineExceeded) as caught:
            await aio.connect(f"dcom://ada@{HOST}:{port}", password=PASSWORD, timeout=0.3)
        assert caught.value.stage is Stage.BIND


# -- Kerberos


@pytest.mark.parametrize("authentication", ["kerberos", "negotiate"])
@pytest.mark.parametrize("level", ["integrity", "privacy"])
async def test_kerberos(realm: kdc.Realm, callers: list[Caller], authentication: Any, level: Any) -> None:
    async with serving(keytab=realm.keytab) as machine:
        machine.accounts.add(kdc.USER, "Another-Horse-7", administrator=True)  # NTLM would not let her in
        session = await machine.clients.enter_async_context(
            await aio.connect(
                machine.url,
                user=f"{kdc.USER}@{kdc.REALM}",
                password=kdc.PASSWORD,
                authentication=authentication,
                authentication_level=level,
                service_principal=f"host/{kdc.SERVICE_HOST}",
            )
        )
        assert [one["Name"] async for one in await session.enumerate_instances("Acme_Static")] == ["x", "y", "z"]
        (caller,) = callers
        assert caller.principal is not None
        assert (caller.principal.account, caller.level) == (kdc.USER, AuthenticationLevel[level.upper()])


async def test_a_ticket_cache_for_each_session(realm: kdc.Realm, tmp_path: Path, callers: list[Caller]) -> None:
    caches = {user: realm.tickets(user, tmp_path / user) for user in (kdc.USER, kdc.STRANGER)}
    async with serving(keytab=realm.keytab) as machine:
        for user, cache in caches.items():
            machine.accounts.add(user, "Another-Horse-7", administrator=True)
            await machine.clients.enter_async_context(
                await aio.connect(machine.url, ticket_cache=cache, service_principal=kdc.SERVICE_HOST)
            )
        assert [caller.principal and caller.principal.account for caller in callers] == list(caches)


async def test_the_current_users_tickets(
    realm: kdc.Realm, tmp_path: Path, callers: list[Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{realm.tickets(kdc.USER, tmp_path / 'own')}")
    async with serving(keytab=realm.keytab) as machine:
        machine.accounts.add(kdc.USER, "Another-Horse-7", administrator=True)
        settings: Any = {"authentication": "kerberos", "service_principal": kdc.SERVICE_HOST}
        session = await machine.clients.enter_async_context(await aio.connect(machine.url, **settings))
        assert session.principal.name == "the current user"
        assert [caller.principal and caller.principal.account for caller in callers] == [kdc.USER]


async def test_no_tickets(realm: kdc.Realm, tmp_path: Path) -> None:
    async with serving(keytab=realm.keytab) as machine:
        with pytest.raises(AuthenticationError, match="Kerberos"):
            await aio.connect(machine.url, ticket_cache=tmp_path / "nothing", service_principal=kdc.SERVICE_HOST)
