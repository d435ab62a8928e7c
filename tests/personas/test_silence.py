"""A server that falls silent, or is cut off, after any PDU of a session: a typed error, in time, and nothing left."""

from __future__ import annotations

import pytest

from openwmi.errors import ConnectError, ConnectionLost
from tests.wire import Machine

from .proxy import HangUp, Persona, Send
from .sessions import CLOSING, GIVEN_BACK, PDUS, TIMED_OUT, TIMEOUT, a_session, error_of
from .traces import misbehaving


class Silent(Persona):
    """Says nothing any more after so many PDUs, and keeps the connection."""

    swallows = True

    def __init__(self, after: int) -> None:
        self.after = after

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        if number < self.after:
            await send(pdu)
        elif number == self.after:
            self.clock.leap()


class Cut(Persona):
    """Cuts everything off after so many PDUs, and some octets of the next."""

    swallows = True

    def __init__(self, after: int, octets: int) -> None:
        self.after = after
        self.octets = octets

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        if number < self.after:
            await send(pdu)
        else:
            await send(pdu[: self.octets])
            raise HangUp


async def test_an_honest_session(machine: Machine) -> None:
    async with misbehaving(machine, Persona()) as proxy:
        assert await a_session(proxy) == 3
    assert proxy.pdus == PDUS


@pytest.mark.parametrize("after", range(PDUS))
async def test_silent(machine: Machine, after: int) -> None:
    persona = Silent(after)
    async with misbehaving(machine, persona) as proxy:
        started = persona.clock.time()
        error = await error_of(proxy)
        assert persona.clock.time() - started < TIMEOUT + CLOSING
    if error is None:
        assert after >= GIVEN_BACK
    else:
        assert (type(error), getattr(error, "status", None)) in TIMED_OUT


@pytest.mark.parametrize("octets", [0, 20])
@pytest.mark.parametrize("after", range(PDUS))
async def test_cut_off(machine: Machine, after: int, octets: int) -> None:
    async with misbehaving(machine, Cut(after, octets)) as proxy:
        error = await error_of(proxy)
    if error is None:
        assert after >= GIVEN_BACK
    else:
        assert isinstance(error, ConnectionLost | ConnectError)
        assert error.stage is not None
