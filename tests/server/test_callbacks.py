"""How the server calls sinks: at which levels, as whom, and what makes it try another way."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from openwmi.client.credentials import Credentials
from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.importer import Reach
from openwmi.dcom.peer import Caller
from openwmi.errors import AuthenticationError, ConnectError, DeadlineExceeded, Error, RpcFault, Stage
from openwmi.rpc.interface import Interface
from openwmi.security.accounts import Accounts
from openwmi.security.context import AuthenticationLevel as Level
from openwmi.security.context import ImpersonationLevel, SecurityContext
from openwmi.server.callbacks import Callbacks, CallbackSecurity, SteppingTransport
from openwmi.status import HResult
from openwmi.wmi.interfaces import IWbemObjectSink
from tests.wire import HOST, PASSWORD, SinkHost, WireSink, serving, within

HERE = (Endpoint(HOST, 5000),)
ALL = (Level.PRIVACY, Level.INTEGRITY, Level.PACKET, Level.CONNECT, Level.NONE)


@pytest.mark.requirement("WMI-3.1.1.1.3-09", "WMI-3.1.1.1.3-10", "WMI-3.1.3-06")
@pytest.mark.parametrize(
    ("security", "came_with", "levels"),
    [
        (CallbackSecurity(), Level.PRIVACY, ALL[:1]),
        (CallbackSecurity(), Level.INTEGRITY, ALL[:2]),
        (CallbackSecurity(access_control=True), Level.INTEGRITY, ALL[:1]),
        (CallbackSecurity(allow_anonymous=True), Level.PRIVACY, ALL),
        (CallbackSecurity(allow_anonymous=True, access_control=True), Level.PRIVACY, ALL[:1]),
    ],
)
def test_levels(security: CallbackSecurity, came_with: Level, levels: tuple[Level, ...]) -> None:
    assert security.levels(came_with) == levels


class Way:
    """A transport that fails with an error, or answers with its name."""

    def __init__(self, name: bytes, error: Error | None = None, *, takes: float = 0.0) -> None:
        self.name = name
        self.error = error
        self.takes = takes
        self.timeouts: list[float | None] = []

    async def invoke(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None,
        timeout: float | None,
    ) -> tuple[bytes, bool]:
        self.timeouts.append(timeout)
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        return self.name, True


async def ask(transport: SteppingTransport, timeout: float | None = None) -> bytes:
    answer, _ = await transport.invoke(HERE, IWbemObjectSink, 3, b"", object_uuid=None, timeout=timeout)
    return answer


NOT_BELIEVED = [AuthenticationError("no"), RpcFault(HResult.ERROR_ACCESS_DENIED), RpcFault(HResult.E_ACCESSDENIED)]


@pytest.mark.requirement("WMI-3.1.1.1.3-10")
@pytest.mark.parametrize("error", NOT_BELIEVED, ids=repr)
async def test_the_next_way_for_a_peer_that_does_not_believe_the_first(error: Error) -> None:
    ways = Way(b"1", error), Way(b"2"), Way(b"3")
    transport = SteppingTransport(ways)
    assert await ask(transport) == b"2"
    assert await ask(transport) == b"2"
    assert [len(way.timeouts) for way in ways] == [1, 2, 0]  # it is remembered what the host takes


@pytest.mark.parametrize(
    "error", [ConnectError("no", stage=Stage.CONNECT), DeadlineExceeded("late"), RpcFault(HResult.RPC_E_DISCONNECTED)]
)
async def test_no_other_way_for_another_failure(error: Error) -> None:
    """Such a call may have been carried out, or would fail in every way."""
    ways = Way(b"1", error), Way(b"2")
    with pytest.raises(type(error)):
        await ask(SteppingTransport(ways))
    assert ways[1].timeouts == []


@pytest.mark.parametrize("error", NOT_BELIEVED, ids=repr)
async def test_the_last_ways_failure_is_the_failure(error: Error) -> None:
    with pytest.raises(type(error)):
        await ask(SteppingTransport([Way(b"1", AuthenticationError("first")), Way(b"2", error)]))


async def test_the_time_is_for_all_attempts() -> None:
    ways = Way(b"1", AuthenticationError("no"), takes=0.01), Way(b"2")
    await ask(SteppingTransport(ways), 30.0)
    assert ways[0].timeouts[0] is not None
    assert ways[1].timeouts[0] is not None
    assert ways[1].timeouts[0] < ways[0].timeouts[0] <= 30.0


# -- over TCP


async def told(security: CallbackSecurity, knows: Credentials) -> tuple[int, WireSink]:
    """The end of a delete, told to a sink whose machine knows that account only."""
    async with serving(callbacks=security) as machine:
        client = await machine.client()
        sinks = SinkHost(knows)
        await sinks.start()
        machine.clients.push_async_callback(sinks.close)
        sink = WireSink()
        await client.call("DeleteInstanceAsync", path='Acme_Static="x"', flags=0, context=None, sink=sinks.export(sink))
        await machine.quiet()
        return len(sink.calls), sink


@pytest.mark.parametrize(
    ("configured", "known", "expected"),
    [
        ("", "admin", "admin"),
        ("openwmi", "openwmi", "openwmi"),
        ("openwmi", "admin", "admin"),
        ("openwmi", "somebody", None),
    ],
    ids=["the caller's hash", "the account for callbacks", "the caller's where that is not known", "nobody"],
)
async def test_who_the_server_is(configured: str, known: str, expected: str | None) -> None:
    security = CallbackSecurity(user=configured, password=PASSWORD if configured else "")
    calls, sink = await told(security, Credentials(known, PASSWORD))
    if expected is None:
        assert calls == 0
        return
    assert [call[:3] for call in sink.calls] == [("set_status", 0, 0)]
    (caller,) = sink.callers
    assert caller.principal is not None
    assert caller.principal.account == expected
    assert caller.level is Level.PRIVACY


@pytest.mark.requirement("WMI-3.1.1.1.3-11")
async def test_the_machines_principal_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[dict[str, Any]] = []

    def no_ticket(**wanted: Any) -> SecurityContext:
        tried.append(wanted)
        raise AuthenticationError("the KDC gives no ticket for this host")

    monkeypatch.setattr("openwmi.security.kerberos.KerberosInitiator", no_ticket)
    accounts = Accounts()
    admin = accounts.add("admin", PASSWORD)
    sinks = SinkHost(Credentials("admin", PASSWORD))
    await sinks.start()
    callbacks = Callbacks(accounts, keytab="host.keytab")
    sink = WireSink()
    caller = Caller(admin.principal("HERE"), Level.PRIVACY, ImpersonationLevel.IMPERSONATE, address=HOST)
    importer = callbacks.importer(caller)
    assert callbacks.importer(caller) is importer
    reach = Reach(HOST)
    reference = importer.unmarshal(sinks.export(sink), reach)
    values = {"flags": 0, "status": 0, "text": None, "error": None}
    response = await within(importer.call(reference, IWbemObjectSink, "SetStatus", values, reach=reach, timeout=20.0))
    assert response.status == 0
    assert tried == [{"keytab": "host.keytab", "target": HOST, "level": Level.PRIVACY}]
    assert len(sink.calls) == 1
    await callbacks.close()
    await sinks.close()
