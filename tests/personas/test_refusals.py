"""A server that refuses at some stage of the way, or is slow: the error says which stage, and why."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import pytest

from openwmi import aio
from openwmi.dcom.peer import Refused
from openwmi.errors import (
    AccessDenied,
    AuthenticationError,
    ConnectError,
    Error,
    InvalidClass,
    InvalidNamespace,
    RpcFault,
    Stage,
    WbemError,
)
from openwmi.rpc.header import NakReason
from openwmi.rpc.pdu import BindNak, decode
from openwmi.status import HResult, WbemStatus
from tests.wire import PASSWORD, Machine

from .proxy import Persona, Response, Send
from .sessions import CLOSING, PDUS, TIMED_OUT, TIMEOUT, a_session
from .traces import misbehaving


class Refusing(Persona):
    """Refuses the calls of one method: with an HRESULT, or with a fault."""

    swallows = True  # an activation that is refused has made its object all the same

    def __init__(self, method: str, status: int, *, fault: bool = False) -> None:
        self.method, self.status, self.fault = method, status, fault

    def respond(self, response: Response) -> bytes:
        if response.method != self.method:
            return response.stub
        if self.fault:
            raise Refused(self.status, "this persona refuses")
        raise WbemError.of(self.status)


ACTIVATION, LOGIN, QUERY = (
    "IRemoteSCMActivator.RemoteCreateInstance",
    "IWbemLevel1Login.NTLMLogin",
    "IWbemServices.ExecQuery",
)
E: Final = WbemStatus
REFUSALS: Final[list[tuple[str, int, bool, type[Error], Stage | None]]] = [
    (ACTIVATION, HResult.E_ACCESSDENIED, False, WbemError, Stage.ACTIVATION),
    (ACTIVATION, HResult.REGDB_E_CLASSNOTREG, False, WbemError, Stage.ACTIVATION),
    (ACTIVATION, HResult.ERROR_ACCESS_DENIED, True, AuthenticationError, Stage.AUTHENTICATION),
    (ACTIVATION, HResult.RPC_E_SERVERFAULT, True, RpcFault, Stage.ACTIVATION),
    (LOGIN, E.WBEM_E_ACCESS_DENIED, False, AccessDenied, Stage.LOGIN),
    (LOGIN, HResult.RPC_E_SERVERFAULT, True, RpcFault, Stage.LOGIN),
    (LOGIN, E.WBEM_E_INVALID_NAMESPACE, False, InvalidNamespace, Stage.NAMESPACE),
    (QUERY, E.WBEM_E_INVALID_CLASS, False, InvalidClass, Stage.CLASS),
    (QUERY, E.WBEM_E_PROVIDER_LOAD_FAILURE, False, WbemError, Stage.PROVIDER),
    (QUERY, HResult.RPC_E_SERVERFAULT, True, RpcFault, None),
]


@pytest.mark.parametrize(("method", "status", "fault", "error", "stage"), REFUSALS)
async def test_a_call_is_refused(
    machine: Machine, method: str, status: int, fault: bool, error: type[Error], stage: Stage | None
) -> None:
    async with misbehaving(machine, Refusing(method, status, fault=fault)) as proxy:
        with pytest.raises(error) as raised:
            await a_session(proxy)
    assert raised.value.stage is stage
    assert getattr(raised.value, "status", status) == status


class Unbinding(Persona):
    """Answers the first bind with bind_nak."""

    def __init__(self, reason: int) -> None:
        self.reason = reason

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        if number == 0:
            pdu = BindNak(call_id=decode(pdu).call_id, reason=self.reason).encode()
        await send(pdu)


@pytest.mark.parametrize("reason", [*NakReason, 77])
async def test_the_bind_is_refused(machine: Machine, reason: int) -> None:
    async with misbehaving(machine, Unbinding(reason)) as proxy:
        with pytest.raises((AuthenticationError, ConnectError), match="refused the bind") as raised:
            await a_session(proxy)
    not_believed = reason in (NakReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED, NakReason.INVALID_CHECKSUM)
    assert raised.value.stage is (Stage.AUTHENTICATION if not_believed else Stage.BIND)


async def test_nobody_listens(machine: Machine) -> None:
    async with misbehaving(machine, Persona()) as proxy:
        url = proxy.url
        await proxy.close()
        with pytest.raises(ConnectError) as raised:
            await aio.connect(url, user="admin", password=PASSWORD)
    assert (raised.value.stage, raised.value.status) == (Stage.CONNECT, HResult.WSAECONNREFUSED)


async def test_nobody_knows_the_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with misbehaving(machine, Persona()):
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(ConnectError) as raised:
            await aio.connect("dcom://host.invalid", user="admin", password=PASSWORD)
    assert (raised.value.stage, raised.value.status) == (Stage.RESOLVE, HResult.WSAHOST_NOT_FOUND)


async def test_the_password_is_wrong(machine: Machine) -> None:
    async with misbehaving(machine, Persona()) as proxy:
        with pytest.raises(AuthenticationError, match="the user or the password is wrong") as raised:
            await aio.connect(proxy.url, user="admin", password="Wrong-Horse-7")
    assert raised.value.stage is Stage.AUTHENTICATION


class Slow(Persona):
    """Takes so many seconds for every PDU."""

    swallows = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        with self.clock.leaping():
            await asyncio.sleep(self.seconds)
        await send(pdu)


async def test_slow_within_the_deadline(machine: Machine) -> None:
    async with misbehaving(machine, Slow(0.5)) as proxy:
        assert await a_session(proxy) == 3


@pytest.mark.parametrize("seconds", [1.5, TIMEOUT / 2, 2 * TIMEOUT])
async def test_each_answer_in_time_and_all_of_them_too_late(machine: Machine, seconds: float) -> None:
    """The deadline is for all of it: a server is not saved by answering each call just in time."""
    persona = Slow(seconds)
    async with misbehaving(machine, persona) as proxy:
        started = persona.clock.time()
        with pytest.raises(Error) as raised:
            await a_session(proxy)
        assert persona.clock.time() - started < TIMEOUT + CLOSING
    assert (type(raised.value), getattr(raised.value, "status", None)) in TIMED_OUT
    assert raised.value.stage is not None
    assert proxy.pdus < PDUS


class Crumbs(Persona):
    """Sends one octet at a time."""

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        for at in range(len(pdu)):
            await send(pdu[at : at + 1])
            await asyncio.sleep(0)


async def test_one_octet_at_a_time(machine: Machine) -> None:
    async with misbehaving(machine, Crumbs()) as proxy:
        assert await a_session(proxy) == 3
