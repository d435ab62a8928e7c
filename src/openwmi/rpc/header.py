"""What PDUs are made of: the common header, the codes in them, and the window through which a body is read.

Everything here is C706 12.6.3 with the additions of MS-RPCE 2.2.2; the PDUs themselves are in `pdu.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple
from uuid import UUID

from openwmi.errors import DecodeError, ProtocolError

__all__ = [
    "FORBIDDEN_FAULTS",
    "HEADER_SIZE",
    "LITTLE_ENDIAN",
    "NDR20",
    "NDR64",
    "RPC_VERSION",
    "TRAILER_SIZE",
    "WHOLE",
    "Header",
    "NakReason",
    "NegotiationResult",
    "PacketFlag",
    "PduType",
    "RejectReason",
    "SecurityTrailer",
    "SyntaxId",
    "Window",
    "fragment_length",
    "put_syntax",
]

HEADER_SIZE: Final = 16
TRAILER_SIZE: Final = 8
LITTLE_ENDIAN: Final = b"\x10\x00\x00\x00"
RPC_VERSION: Final = (5, 0)


class PduType(IntEnum):
    """PTYPE (C706 12.6.3.1; rpc_auth_3: MS-RPCE 2.2.2.10)."""

    REQUEST = 0
    RESPONSE = 2
    FAULT = 3
    BIND = 11
    BIND_ACK = 12
    BIND_NAK = 13
    ALTER_CONTEXT = 14
    ALTER_CONTEXT_RESP = 15
    AUTH3 = 16
    SHUTDOWN = 17
    CO_CANCEL = 18
    ORPHANED = 19


class PacketFlag(IntFlag):
    """pfc_flags. The bit 4 has two names: which one depends on the PDU (MS-RPCE 2.2.2.3)."""

    FIRST_FRAG = 0x01
    LAST_FRAG = 0x02
    PENDING_CANCEL = 0x04
    SUPPORT_HEADER_SIGN = 0x04
    CONC_MPX = 0x10
    DID_NOT_EXECUTE = 0x20
    MAYBE = 0x40
    OBJECT_UUID = 0x80


WHOLE: Final = PacketFlag.FIRST_FRAG | PacketFlag.LAST_FRAG


class NegotiationResult(IntEnum):
    """p_cont_def_result_t (MS-RPCE 2.2.2.4)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    PROVIDER_REJECTION = 2
    NEGOTIATE_ACK = 3


class RejectReason(IntEnum):
    """p_provider_reason_t: why a presentation context was rejected."""

    NOT_SPECIFIED = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 1
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 2
    LOCAL_LIMIT_EXCEEDED = 3


class NakReason(IntEnum):
    """p_reject_reason_t: why a bind was refused (MS-RPCE 2.2.2.5)."""

    NOT_SPECIFIED = 0
    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2
    PROTOCOL_VERSION_NOT_SUPPORTED = 4
    AUTHENTICATION_TYPE_NOT_RECOGNIZED = 8
    INVALID_CHECKSUM = 9


# What a fault must not say (MS-RPCE 3.3.3.5.1): success, and what a Windows client would take for its own crash.
FORBIDDEN_FAULTS: Final = frozenset(
    (
        0x00000000,
        0x80000001,
        0x80000002,
        0x80000003,
        0xC0000005,
        0xC0000006,
        0xC000001D,
        0xC0000096,
        0xC00000AA,
        0xC00000FD,
        0xC0000194,
        0xC0000235,
        0xC0000409,
        0xC0000420,
    )
)


@dataclass(frozen=True, slots=True)
class SyntaxId:
    """p_syntax_id_t: an interface or a transfer syntax, and its version as (major, minor)."""

    uuid: UUID
    version: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{self.uuid} v{self.version[0]}.{self.version[1]}"


NDR20: Final = SyntaxId(UUID("8a885d04-1ceb-11c9-9fe8-08002b104860"), (2, 0))
NDR64: Final = SyntaxId(UUID("71710533-beba-4937-8319-b5dbef9ccc36"), (1, 0))


@dataclass(frozen=True, slots=True)
class SecurityTrailer:
    """sec_trailer and the authentication token after it (MS-RPCE 2.2.2.11)."""

    auth_type: int
    level: int
    context_id: int
    token: bytes
    pad_length: int = 0

    def encode(self) -> bytes:
        """The eight octets of sec_trailer, without the token."""
        return struct.pack("<BBBBI", self.auth_type, self.level, self.pad_length, 0, self.context_id)


class Header(NamedTuple):
    """The fields common to all PDUs (C706 12.6.3.1)."""

    type: int
    flags: int
    representation: bytes
    fragment_length: int
    auth_length: int
    call_id: int

    @property
    def little_endian(self) -> bool:
        """The integer format of the data representation (C706 14.1)."""
        return self.representation[0] & 0xF0 == 0x10

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Header:
        """The header at the start of `data`, of which at least 16 octets are there."""
        major, minor, kind, flags = data[0], data[1], data[2], data[3]
        representation = bytes(data[4:8])
        order = "<" if representation[0] & 0xF0 == 0x10 else ">"
        fragment, auth, call_id = struct.unpack_from(order + "HHI", data, 8)
        if (major, minor) != RPC_VERSION:
            text = bytes(data[:HEADER_SIZE]).decode("ascii", "backslashreplace")
            raise ProtocolError(f"RPC version {major}.{minor} is not 5.0: the PDU begins with {text!r}")
        if representation[0] & 0xF0 not in (0x00, 0x10):
            raise DecodeError("packed_drep", 4, f"integer format {representation[0] >> 4} is unknown")
        if fragment < HEADER_SIZE:
            raise DecodeError("frag_length", 8, f"is {fragment}, less than the header")
        if auth and fragment < HEADER_SIZE + TRAILER_SIZE + auth:
            raise DecodeError("auth_length", 10, f"is {auth}, too long for a PDU of {fragment} bytes")
        return cls(kind, flags, representation, fragment, auth, call_id)


def fragment_length(data: bytes | bytearray | memoryview) -> int | None:
    """How many octets the PDU at the start of `data` takes; None if that cannot be said yet."""
    return None if len(data) < HEADER_SIZE else Header.decode(data).fragment_length


class Window:
    """Reads fields out of the body of one PDU; every read names its field."""

    __slots__ = ("data", "end", "kind", "offset", "order")

    def __init__(self, kind: str, data: bytes, end: int, order: str) -> None:
        self.kind = kind
        self.data = data
        self.offset = HEADER_SIZE
        self.end = end
        self.order = order

    def need(self, size: int, field: str) -> int:
        """Claim `size` octets; gives their offset."""
        start = self.offset
        if self.end - start < size:
            raise DecodeError(f"{self.kind}.{field}", start, f"need {size} bytes, have {max(self.end - start, 0)}")
        self.offset = start + size
        return start

    def numbers(self, codes: str, field: str) -> tuple[int, ...]:
        """Numbers without gaps between them, as `struct` codes."""
        layout = self.order + codes
        return struct.unpack_from(layout, self.data, self.need(struct.calcsize(layout), field))

    def octets(self, size: int, field: str) -> bytes:
        """Octets as they are."""
        start = self.need(size, field)
        return self.data[start : start + size]

    def uuid(self, field: str) -> UUID:
        """A UUID in the data representation's byte order."""
        octets = self.octets(16, field)
        return UUID(bytes_le=octets) if self.order == "<" else UUID(bytes=octets)

    def syntax(self, field: str) -> SyntaxId:
        """p_syntax_id_t; the minor version is the upper half of if_version."""
        uuid = self.uuid(field)
        (version,) = self.numbers("I", field)
        return SyntaxId(uuid, (version & 0xFFFF, version >> 16))

    def align(self, alignment: int) -> None:
        """Skip padding, counted from the start of the PDU."""
        self.offset = min(-(-self.offset // alignment) * alignment, max(self.end, self.offset))

    def rest(self) -> bytes:
        """All that is left."""
        start, self.offset = self.offset, self.end
        return self.data[start : self.end]

    def finish(self, padding: int) -> None:
        """Refuse leftovers other than the padding in front of sec_trailer."""
        left = self.end - self.offset
        if left > padding:
            raise DecodeError(self.kind, self.offset, f"{left - padding} bytes are left over")


def put_syntax(syntax: SyntaxId) -> bytes:
    """p_syntax_id_t, little-endian."""
    return syntax.uuid.bytes_le + struct.pack("<HH", *syntax.version)
