"""Any octets are an ObjectArray or a DecodeError, which leaves the reader able to go on; what is read goes back."""

from __future__ import annotations

from collections.abc import Iterable

from tests.wmio.test_hostile import rich

from openwmi.errors import DecodeError
from openwmi.wmi.object_array import ObjectArrayReader, ObjectArrayWriter, PacketType

_FIRST = ObjectArrayWriter(PacketType.NEXT).encode([rich()])


def seeds() -> Iterable[bytes]:
    """Packets with each kind of object."""
    one = rich()
    yield _FIRST
    yield ObjectArrayWriter(PacketType.NEXT).encode([one, one, one.cls, one])
    yield ObjectArrayWriter(PacketType.NEXT).encode([])


def check(data: bytes) -> None:
    """Reads a packet after a good one."""
    reader = ObjectArrayReader(PacketType.NEXT)
    reader.decode(_FIRST)
    try:
        found = reader.decode(data)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data), error
        assert reader.decode(_FIRST)
        return
    written = ObjectArrayWriter(PacketType.NEXT).encode(found)
    assert len(ObjectArrayReader(PacketType.NEXT).decode(written)) == len(found)
