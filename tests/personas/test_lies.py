"""A server that lies: lengths in the header of a PDU, counts in a stub, references, and addresses in bindings."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import pytest

from openwmi.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineExceeded,
    DecodeError,
    PeerError,
    ProtocolError,
    Stage,
)
from tests.wire import Machine

from .proxy import Persona, Response, Send
from .sessions import a_session
from .traces import misbehaving

# PDUs of the server's: the answers to the bind and to the activation, and to the bind at the exporter's port.
BIND_ACK, RESPONSE, SECOND_BIND_ACK = 0, 1, 2
FRAG_LENGTH, AUTH_LENGTH, CALL_ID = 8, 10, 12
MANY: Final = 0xFFFFFFFF


class Misprint(Persona):
    """Writes another 16-bit number over a field in the header of one PDU: `value`, or so much more than the truth."""

    swallows = True

    def __init__(self, number: int, field: int, value: int, *, more: bool = False) -> None:
        self.number, self.field, self.value, self.more = number, field, value, more

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        if number == self.number:
            lying = bytearray(pdu)
            truth = struct.unpack_from("<H", pdu, self.field)[0] if self.more else 0
            struct.pack_into("<H", lying, self.field, truth + self.value)
            pdu = bytes(lying)
            self.clock.leap()  # who believes it waits for octets that never come
        await send(pdu)


HEADERS: Final = [
    *((FRAG_LENGTH, value, False) for value in (0, 15, 16, 24, 0xFFFF)),
    *((FRAG_LENGTH, value, True) for value in (-8, -1, 1, 8)),
    *((AUTH_LENGTH, value, False) for value in (0, 1, 0xFFFF)),
    *((AUTH_LENGTH, value, True) for value in (-1, 1, 8)),
    (CALL_ID, 0x7777, False),
]


@pytest.mark.parametrize("number", [BIND_ACK, RESPONSE, SECOND_BIND_ACK])
@pytest.mark.parametrize(("field", "value", "more"), HEADERS)
async def test_headers(machine: Machine, number: int, field: int, value: int, more: bool) -> None:
    async with misbehaving(machine, Misprint(number, field, value, more=more)) as proxy:
        with pytest.raises(PeerError) as raised:
            await a_session(proxy)
    assert raised.value.stage is not None
    if field == FRAG_LENGTH and more and value > 0:
        assert isinstance(raised.value, DeadlineExceeded)
    elif number != RESPONSE:
        assert isinstance(raised.value, ConnectError)
    else:  # a signature covers the lengths too
        assert isinstance(raised.value, ProtocolError | AuthenticationError)


Lie = Callable[[bytes], bytes]


class Liar(Persona):
    """The response of one method is what `lie` makes of it."""

    swallows = True

    def __init__(self, method: str, lie: Lie) -> None:
        self.method, self.lie = method, lie

    def respond(self, response: Response) -> bytes:
        return self.lie(response.stub) if response.method == self.method else response.stub


def word(offset: int, value: int) -> Lie:
    """Another 32-bit number at an offset of the stub."""
    return lambda stub: stub[:offset] + struct.pack("<I", value) + stub[offset + 4 :]


def objref(offset: int, octets: bytes) -> Lie:
    """Other octets at an offset of the first OBJREF in the stub."""

    def lie(stub: bytes) -> bytes:
        at = stub.index(b"MEOW") + offset
        return stub[:at] + octets + stub[at + len(octets) :]

    return lie


METHODS: Final = (
    "IRemoteSCMActivator.RemoteCreateInstance",
    "IRemUnknown.RemQueryInterface",
    "IWbemLoginClientID.SetClientInfo",
    "IWbemLevel1Login.NTLMLogin",
    "IWbemServices.ExecQuery",
    "IWbemFetchSmartEnum.GetSmartEnum",
    "IWbemWCOSmartEnum.Next",
    "IWbemServices.GetObject",
    "IWbemCallResult.GetResultObject",
    "IWbemServices.DeleteInstance",
    "IWbemCallResult.GetCallStatus",
)
SIZES: Final[dict[str, Lie]] = {
    "nothing": lambda stub: b"",
    "half": lambda stub: stub[: len(stub) // 2],
    "too much": lambda stub: stub + bytes(4000),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", METHODS)
async def test_sizes_of_stubs(machine: Machine, method: str, size: str) -> None:
    async with misbehaving(machine, Liar(method, SIZES[size])) as proxy:
        with pytest.raises(DecodeError, match=f"^{method}"):
            await a_session(proxy)


LOGIN, ACTIVATION, QUERY = "IWbemLevel1Login.NTLMLogin", METHODS[0], "IWbemServices.ExecQuery"
NEXT, GOT = "IWbemWCOSmartEnum.Next", "IWbemCallResult.GetResultObject"
# Behind ORPCTHAT's eight octets: a pointer's identity, the conformance, ulCntData, and the OBJREF; for Next puReturned
# and puSize come before all that.
CONTENTS: Final[list[tuple[str, Lie, type[PeerError], str]]] = [
    *((method, word(12, MANY), DecodeError, "4294967295 elements") for method in (ACTIVATION, LOGIN, QUERY, GOT)),
    *((method, word(16, MANY), DecodeError, "ulCntData") for method in (ACTIVATION, LOGIN, QUERY, GOT)),
    *((method, objref(0, b"BARK"), DecodeError, "signature") for method in (ACTIVATION, LOGIN, QUERY, GOT)),
    *((method, objref(4, b"\xff"), DecodeError, "flags") for method in (ACTIVATION, LOGIN, QUERY, GOT)),
    *((method, objref(64, b"\xff\xff"), DecodeError, "aStringArray") for method in (LOGIN, QUERY)),
    *((method, objref(66, b"\xff\xff"), DecodeError, "wSecurityOffset") for method in (LOGIN, QUERY)),
    *((method, objref(32, b"\1" * 8), ProtocolError, "does not know the exporter") for method in (LOGIN, QUERY)),
    (NEXT, word(4, MANY), DecodeError, "extents"),
    (NEXT, word(8, 0), ProtocolError, "puReturned is 0"),
    (NEXT, word(8, MANY), ProtocolError, "puReturned is 4294967295"),
    (NEXT, word(12, MANY), DecodeError, "size says 4294967295"),
    (NEXT, word(20, MANY), DecodeError, "4294967295 elements"),
    (NEXT, word(24, MANY), DecodeError, "dwByteOrdering"),
]


@pytest.mark.parametrize(("method", "lie", "error", "said"), CONTENTS)
async def test_contents_of_stubs(machine: Machine, method: str, lie: Lie, error: type[PeerError], said: str) -> None:
    async with misbehaving(machine, Liar(method, lie)) as proxy:
        with pytest.raises(error, match=said):
            await a_session(proxy)


class Misdirecting(Persona):
    """An honest one whose bindings the test spoils, so that the client may not find the way back."""

    swallows = True


@pytest.mark.parametrize(
    ("host", "count"), [("203.0.113.9", 1), ("host.invalid", 500), ("", 1), ("x" * 5000, 1), ("a b\n", 1)]
)
async def test_addresses_that_are_not_the_servers(machine: Machine, host: str, count: int) -> None:
    """Whatever the bindings name, the address that has answered is tried first."""
    async with misbehaving(machine, Persona()) as proxy:
        machine.server._host._hosts = lambda caller: (host,) * count  # type: ignore[method-assign]
        assert await a_session(proxy) == 3


@pytest.mark.parametrize("hosts", [(), ("[]",), ("[x]",)])
async def test_no_address_at_all(machine: Machine, hosts: tuple[str, ...]) -> None:
    async with misbehaving(machine, Misdirecting()) as proxy:
        machine.server._host._hosts = lambda caller: hosts  # type: ignore[method-assign]
        with pytest.raises(ConnectError, match="there is no endpoint to connect to"):
            await a_session(proxy)


@pytest.mark.parametrize(("port", "said"), [(0, "no endpoint"), (1, "refused"), (70_000, "no endpoint")])
async def test_a_port_that_is_not_the_servers(machine: Machine, port: int, said: str) -> None:
    async with misbehaving(machine, Misdirecting()) as proxy:
        machine.server._host.exporter_port = port
        with pytest.raises(ConnectError, match=said) as raised:
            await a_session(proxy)
    assert raised.value.stage is Stage.CONNECT
