"""Where an exporter or a resolver can be reached, and how to authenticate there: DUALSTRINGARRAY (MS-DCOM 2.2.19)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from openwmi.dcom.types import TOWER_TCP, DualStringArrayData
from openwmi.errors import DecodeError

__all__ = ["DualStringArray", "Endpoint", "SecurityBinding", "StringBinding"]

_ADDRESS: Final = re.compile(r"(?P<host>[^\[\]]*)(?:\[(?P<port>\d{1,5})\])?\Z")
_RESERVED: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (name or address literal) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}[{self.port}]"


@dataclass(frozen=True, slots=True)
class StringBinding:
    """STRINGBINDING (2.2.19.3): a protocol and an address, ``10.0.0.1[5000]`` or without the port."""

    address: str
    tower: int = TOWER_TCP

    @property
    def endpoint(self) -> tuple[str, int | None] | None:
        """Host and port of a TCP binding (the port None where it is left out); None for any other."""
        match = _ADDRESS.match(self.address) if self.tower == TOWER_TCP else None
        if match is None:
            return None
        port = int(match["port"]) if match["port"] else None
        return (match["host"], port) if port is None or port <= 0xFFFF else None


@dataclass(frozen=True, slots=True)
class SecurityBinding:
    """SECURITYBINDING (2.2.19.4): a security provider (MS-RPCE 2.2.1.1.7) and a service principal."""

    auth_type: int
    principal: str = ""


@dataclass(frozen=True, slots=True)
class DualStringArray:
    """String bindings in order of preference, and security bindings."""

    strings: tuple[StringBinding, ...] = ()
    security: tuple[SecurityBinding, ...] = ()

    @classmethod
    def tcp(cls, endpoints: Iterable[Endpoint | str], auth_types: Iterable[int]) -> DualStringArray:
        """Bindings for TCP: endpoints with their ports, or plain hosts where the port is well known."""
        return cls(tuple(StringBinding(str(e)) for e in endpoints), tuple(SecurityBinding(a) for a in auth_types))

    def to_data(self) -> DualStringArrayData:
        """As a parameter of a call."""
        strings = b"".join(struct.pack("<H", s.tower) + s.address.encode("utf-16-le") + b"\0\0" for s in self.strings)
        security = b"".join(
            struct.pack("<HH", s.auth_type, _RESERVED) + s.principal.encode("utf-16-le") + b"\0\0"
            for s in self.security
        )
        # The smallest array has two zeros in each part, not one (2.2.19.1).
        strings += b"\0\0" if strings else b"\0\0\0\0"
        security += b"\0\0" if security else b"\0\0\0\0"
        octets = strings + security
        return DualStringArrayData(
            security_offset=len(strings) // 2, strings=struct.unpack(f"<{len(octets) // 2}H", octets)
        )

    @classmethod
    def of_data(cls, data: DualStringArrayData, name: str = "DUALSTRINGARRAY") -> DualStringArray:
        """From a parameter of a call."""
        units = data.strings
        split = data.security_offset
        if split > len(units):
            raise DecodeError(f"{name}.wSecurityOffset", 2, f"is {split}, but there are {len(units)} entries")
        return cls(tuple(_strings(units[:split], name)), tuple(_security(units[split:], name)))

    def to_bytes(self) -> bytes:
        """As it stands in an OBJREF (2.2.19.1)."""
        data = self.to_data()
        return struct.pack(f"<HH{len(data.strings)}H", len(data.strings), data.security_offset, *data.strings)

    @classmethod
    def of_bytes(cls, octets: bytes, offset: int = 0, name: str = "DUALSTRINGARRAY") -> tuple[DualStringArray, int]:
        """From an OBJREF, with the offset behind it."""
        if len(octets) - offset < 4:
            raise DecodeError(name, offset, f"need 4 bytes, have {len(octets) - offset}")
        count, split = struct.unpack_from("<HH", octets, offset)
        offset += 4
        if len(octets) - offset < 2 * count:
            raise DecodeError(f"{name}.aStringArray", offset, f"need {2 * count} bytes, have {len(octets) - offset}")
        units = struct.unpack_from(f"<{count}H", octets, offset)
        data = DualStringArrayData(entries=count, security_offset=split, strings=units)
        return cls.of_data(data, name), offset + 2 * count


def _text(units: tuple[int, ...], at: int, name: str) -> tuple[str, int]:
    """The zero-terminated string at `at`, and the index behind it."""
    try:
        end = units.index(0, at)
    except ValueError:
        raise DecodeError(name, 4 + 2 * at, "a string has no end") from None
    octets = struct.pack(f"<{end - at}H", *units[at:end])
    return octets.decode("utf-16-le", "replace"), end + 1


def _strings(units: tuple[int, ...], name: str) -> Iterable[StringBinding]:
    at = 0
    while at < len(units) and units[at]:
        tower = units[at]
        address, at = _text(units, at + 1, f"{name}.StringBinding")
        yield StringBinding(address, tower)


def _security(units: tuple[int, ...], name: str) -> Iterable[SecurityBinding]:
    at = 0
    while at < len(units) and units[at]:
        auth_type = units[at]
        principal, at = _text(units, at + 2, f"{name}.SecBinding")
        yield SecurityBinding(auth_type, principal)
