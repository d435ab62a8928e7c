"""Protocol towers as octets."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.errors import DecodeError
from openwmi.rpc import NDR20, SyntaxId
from openwmi.rpc.towers import Floor, Tower

WANTED = SyntaxId(UUID("99fcfec4-5260-101b-bbcb-00aa0021347a"), (0, 7))
# Written after C706 appendix L: five floors.
OCTETS = bytes.fromhex(
    "0500"
    "1300 0d c4fefc9960521b10bbcb00aa0021347a 0000 0200 0700"
    "1300 0d 045d888aeb1cc9119fe808002b104860 0200 0200 0000"
    "0100 0b 0200 0000"
    "0100 07 0200 0087"
    "0100 09 0400 0a000001"
)


def test_a_tower_for_tcp() -> None:
    tower = Tower.tcp(WANTED, 135, "10.0.0.1")
    assert tower.encode() == OCTETS
    assert Tower.decode(OCTETS) == tower
    assert (tower.interface, tower.transfer, tower.protocols, tower.port) == (WANTED, NDR20, (0x0B, 7, 9), 135)


def test_an_address_that_is_not_ipv4_has_no_floor() -> None:
    assert Tower.tcp(WANTED, 135, "::1").encode() == OCTETS[:-4] + bytes(4)


def test_other_ways_have_no_port() -> None:
    pipe = Tower((*Tower.tcp(WANTED, 1).floors[:3], Floor(0x0F, right=b"\\pipe\\x\0")))
    assert Tower.decode(pipe.encode()) == pipe
    assert pipe.port is None
    assert Tower(()).interface is None
    assert Tower((Floor(0x0D, b"short"),)).interface is None


@pytest.mark.parametrize("end", range(len(OCTETS)))
def test_a_tower_that_was_cut(end: int) -> None:
    with pytest.raises(DecodeError, match="tower"):
        Tower.decode(OCTETS[:end])


def test_leftovers_and_floors_without_a_protocol() -> None:
    with pytest.raises(DecodeError, match="1 bytes are left over"):
        Tower.decode(OCTETS + b"\0")
    with pytest.raises(DecodeError, match="identifier"):
        Tower.decode(bytes.fromhex("010000000000"))


FLOORS = st.builds(Floor, st.integers(0, 255), st.binary(max_size=40), st.binary(max_size=40))


@given(st.lists(FLOORS, max_size=8))
def test_any_tower_round_trips(floors: list[Floor]) -> None:
    tower = Tower(tuple(floors))
    assert Tower.decode(tower.encode()) == tower


@given(st.binary(max_size=200))
def test_any_octets_decode_or_are_decode_errors(data: bytes) -> None:
    try:
        tower = Tower.decode(data)
    except DecodeError:
        return
    assert tower.encode() == data
