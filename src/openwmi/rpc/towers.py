"""Protocol towers: how the endpoint mapper writes an address (C706 appendices I and L).

A tower is a list of floors, each a protocol identifier with its data on the left and an address on the right. The
first two are the interface and the transfer syntax; what follows is the way there. Unknown protocols round-trip.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Final
from uuid import UUID

from openwmi.errors import DecodeError
from openwmi.rpc.header import NDR20, SyntaxId

__all__ = ["MAX_TOWER", "Floor", "Tower"]

# MS-RPCE 2.2.1.2.2: the range of tower_length.
MAX_TOWER: Final = 2000

_UUID_FLOOR, _CONNECTION_ORIENTED, _TCP, _IP = 0x0D, 0x0B, 0x07, 0x09


@dataclass(frozen=True, slots=True)
class Floor:
    """One floor: the protocol's identifier, what else is on the left, and the right."""

    protocol: int
    left: bytes = b""
    right: bytes = b""

    @classmethod
    def of_syntax(cls, syntax: SyntaxId) -> Floor:
        """The floor of an interface or a transfer syntax: the major version is on the left, the minor on the right."""
        major, minor = syntax.version
        return cls(_UUID_FLOOR, syntax.uuid.bytes_le + struct.pack("<H", major), struct.pack("<H", minor))

    @property
    def syntax(self) -> SyntaxId | None:
        """What `of_syntax` made, else None."""
        if (self.protocol, len(self.left), len(self.right)) != (_UUID_FLOOR, 18, 2):
            return None
        major, minor = struct.unpack("<HH", self.left[16:] + self.right)
        return SyntaxId(UUID(bytes_le=self.left[:16]), (major, minor))


@dataclass(frozen=True, slots=True)
class Tower:
    """A tower, from the interface down to the network address."""

    floors: tuple[Floor, ...]

    @classmethod
    def tcp(cls, interface: SyntaxId, port: int, address: str = "", transfer: SyntaxId = NDR20) -> Tower:
        """An interface on a TCP port. An address other than IPv4 has no floor, and stands as 0.0.0.0."""
        try:
            host = IPv4Address(address).packed
        except AddressValueError:
            host = bytes(4)
        return cls(
            (
                Floor.of_syntax(interface),
                Floor.of_syntax(transfer),
                Floor(_CONNECTION_ORIENTED, right=bytes(2)),
                Floor(_TCP, right=struct.pack(">H", port)),
                Floor(_IP, right=host),
            )
        )

    @property
    def interface(self) -> SyntaxId | None:
        """The interface, if the first floor is one."""
        return self.floors[0].syntax if self.floors else None

    @property
    def transfer(self) -> SyntaxId | None:
        """The transfer syntax, if the second floor is one."""
        return self.floors[1].syntax if len(self.floors) > 1 else None

    @property
    def protocols(self) -> tuple[int, ...]:
        """The identifiers of the way there, such as (11, 7, 9) for connection-oriented RPC over TCP over IP."""
        return tuple(floor.protocol for floor in self.floors[2:])

    @property
    def port(self) -> int | None:
        """The TCP port; None for another way."""
        if self.protocols[:2] != (_CONNECTION_ORIENTED, _TCP) or len(self.floors[3].right) != 2:
            return None
        return int.from_bytes(self.floors[3].right, "big")

    def encode(self) -> bytes:
        """The octets of twr_t's tower_octet_string."""
        parts = [struct.pack("<H", len(self.floors))]
        for floor in self.floors:
            parts.append(struct.pack("<HB", len(floor.left) + 1, floor.protocol) + floor.left)
            parts.append(struct.pack("<H", len(floor.right)) + floor.right)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Tower:
        """The tower that `data` is; nothing may be left over. Raises `DecodeError`."""
        reader = _Octets(data)
        floors = []
        for _ in range(reader.number("floor_count")):
            left = reader.counted("lhs")
            if not left:
                raise DecodeError("tower.lhs", reader.offset, "has no protocol identifier")
            floors.append(Floor(left[0], left[1:], reader.counted("rhs")))
        if reader.offset != len(data):
            raise DecodeError("tower", reader.offset, f"{len(data) - reader.offset} bytes are left over")
        return cls(tuple(floors))


class _Octets:
    """Reads counted octets, one after the other; a tower is little-endian and has no alignment."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, size: int, field: str) -> bytes:
        if len(self.data) - self.offset < size:
            raise DecodeError(f"tower.{field}", self.offset, f"need {size} bytes, have {len(self.data) - self.offset}")
        start = self.offset
        self.offset += size
        return self.data[start : self.offset]

    def number(self, field: str) -> int:
        return int.from_bytes(self.take(2, field), "little")

    def counted(self, field: str) -> bytes:
        return self.take(self.number(field), field)
