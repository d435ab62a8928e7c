"""Any octets are a tower or a `DecodeError`, and a tower is written as the octets that it was read from."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from openwmi.errors import DecodeError
from openwmi.rpc import SyntaxId
from openwmi.rpc.towers import Tower


def check(data: bytes) -> None:
    """See the first line."""
    try:
        tower = Tower.decode(data)
    except DecodeError as error:
        str(error)
        return
    assert tower.encode() == data
    assert tower.port is None or 0 <= tower.port <= 0xFFFF
    assert len(tower.protocols) == max(len(tower.floors) - 2, 0)


def seeds() -> Iterable[bytes]:
    """A tower for TCP."""
    yield Tower.tcp(SyntaxId(UUID("99fcfec4-5260-101b-bbcb-00aa0021347a"), (0, 0)), 135, "10.0.0.1").encode()
