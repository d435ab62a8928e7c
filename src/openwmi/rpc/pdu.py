"""The PDUs of connection-oriented RPC (C706 12.6, MS-RPCE 2.2.2), each one frozen dataclass.

`fragment_length` says how many octets a PDU takes, once its first 16 are there; `decode` takes exactly that
many and `encode` gives them. Writing is little-endian; reading takes both data representations. Malformed octets
raise `DecodeError`, an unknown type of PDU or version of the protocol `ProtocolError`.

`Request.stub` and `Response.stub` are the body as it stands in the PDU: still sealed, and with the padding that
`auth.pad_length` counts. `protection.py` opens it.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import UUID

from openwmi.errors import CallerError, DecodeError, ProtocolError
from openwmi.rpc.header import (
    HEADER_SIZE,
    LITTLE_ENDIAN,
    NDR20,
    NDR64,
    RPC_VERSION,
    TRAILER_SIZE,
    WHOLE,
    Header,
    NakReason,
    NegotiationResult,
    PacketFlag,
    PduType,
    RejectReason,
    SecurityTrailer,
    SyntaxId,
    Window,
    fragment_length,
    put_syntax,
)

__all__ = [
    "HEADER_SIZE",
    "NDR20",
    "NDR64",
    "AlterContext",
    "AlterContextResponse",
    "Auth3",
    "Bind",
    "BindAck",
    "BindNak",
    "CoCancel",
    "ContextElement",
    "ContextResult",
    "Fault",
    "Header",
    "NakReason",
    "NegotiationResult",
    "Orphaned",
    "PacketFlag",
    "Pdu",
    "PduType",
    "RejectReason",
    "Request",
    "Response",
    "SecurityTrailer",
    "Shutdown",
    "SyntaxId",
    "decode",
    "fragment_length",
]


_COMMON: Final = struct.Struct("<BBBB4sHHI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdu:
    """What all PDUs have. Subclasses say their type and their body."""

    ptype: ClassVar[PduType]
    # Whether the octets in front of sec_trailer are the stub, padding included, and its padding's alignment.
    stub_alignment: ClassVar[int] = 0

    call_id: int
    flags: PacketFlag = WHOLE
    representation: bytes = LITTLE_ENDIAN
    auth: SecurityTrailer | None = None

    @property
    def little_endian(self) -> bool:
        """Whether the PDU's numbers are little-endian."""
        return self.representation[0] & 0xF0 == 0x10

    @property
    def is_first(self) -> bool:
        """PFC_FIRST_FRAG."""
        return bool(self.flags & PacketFlag.FIRST_FRAG)

    @property
    def is_last(self) -> bool:
        """PFC_LAST_FRAG."""
        return bool(self.flags & PacketFlag.LAST_FRAG)

    def fields(self) -> bytes:
        """The octets between the common header and `body_offset`."""
        return b""

    def body(self) -> bytes:
        """The octets from `body_offset` to the padding: the stub, or all of a PDU that has none."""
        raise NotImplementedError

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """The PDU whose body is in `window`; `common` are the values of the common fields."""
        raise NotImplementedError

    @property
    def body_offset(self) -> int:
        """Where the PDU's header ends and what can be sealed begins (MS-RPCE 2.2.2.1)."""
        return HEADER_SIZE

    def header(self, body_length: int, token_length: int | None) -> bytes:
        """All in front of the body, little-endian. `body_length` counts padding; no token, no sec_trailer."""
        fields = self.fields()
        length = HEADER_SIZE + len(fields) + body_length
        if token_length is not None:
            length += TRAILER_SIZE + token_length
        if length > 0xFFFF:
            raise CallerError(f"a PDU of {length} bytes does not fit a fragment")
        common = _COMMON.pack(
            *RPC_VERSION, self.ptype, int(self.flags), LITTLE_ENDIAN, length, token_length or 0, self.call_id
        )
        return common + fields

    def encode(self) -> bytes:
        """The whole PDU, little-endian. Padding in front of sec_trailer is added where the body has none."""
        body, auth = self.body(), self.auth
        if auth is None:
            return self.header(len(body), None) + body
        if not self.stub_alignment:
            auth = dataclasses.replace(auth, pad_length=-len(body) % 4)
            body += bytes(auth.pad_length)
        return b"".join((self.header(len(body), len(auth.token)), body, auth.encode(), auth.token))


@dataclass(frozen=True, slots=True)
class ContextElement:
    """p_cont_elem_t: an interface that the client wants to use under a number, and transfer syntaxes for it."""

    context_id: int
    abstract_syntax: SyntaxId
    transfer_syntaxes: tuple[SyntaxId, ...] = (NDR20,)


# What a result says where there is no transfer syntax.
_NO_SYNTAX: Final = SyntaxId(UUID(int=0), (0, 0))


@dataclass(frozen=True, slots=True)
class ContextResult:
    """p_result_t: what became of the element at the same position."""

    result: int
    reason: int = 0
    transfer_syntax: SyntaxId = _NO_SYNTAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind(Pdu):
    """bind (C706 12.6.4.3)."""

    ptype: ClassVar[PduType] = PduType.BIND

    max_xmit_frag: int
    max_recv_frag: int
    assoc_group_id: int = 0
    contexts: tuple[ContextElement, ...] = ()

    def body(self) -> bytes:
        """See `Pdu.body`."""
        parts = [
            struct.pack("<HHI", self.max_xmit_frag, self.max_recv_frag, self.assoc_group_id),
            struct.pack("<BBH", len(self.contexts), 0, 0),
        ]
        for element in self.contexts:
            parts.append(struct.pack("<HBB", element.context_id, len(element.transfer_syntaxes), 0))
            parts.append(put_syntax(element.abstract_syntax))
            parts.extend(map(put_syntax, element.transfer_syntaxes))
        return b"".join(parts)

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`."""
        xmit, recv, group = window.numbers("HHI", "max_xmit_frag")
        count, _, _ = window.numbers("BBH", "n_context_elem")
        contexts = []
        for index in range(count):
            number, syntaxes, _ = window.numbers("HBB", f"p_cont_elem[{index}]")
            abstract = window.syntax(f"p_cont_elem[{index}].abstract_syntax")
            transfer = tuple(window.syntax(f"p_cont_elem[{index}].transfer_syntaxes") for _ in range(syntaxes))
            contexts.append(ContextElement(number, abstract, transfer))
        return cls(
            **common,
            max_xmit_frag=xmit,
            max_recv_frag=recv,
            assoc_group_id=group,
            contexts=tuple(contexts),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterContext(Bind):
    """alter_context (C706 12.6.4.1): a bind's fields, on a connection that is bound."""

    ptype: ClassVar[PduType] = PduType.ALTER_CONTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class BindAck(Pdu):
    """bind_ack (C706 12.6.4.4). `secondary_address` is a port's number as text, without its NUL."""

    ptype: ClassVar[PduType] = PduType.BIND_ACK

    max_xmit_frag: int
    max_recv_frag: int
    assoc_group_id: int
    secondary_address: str = ""
    results: tuple[ContextResult, ...] = ()

    def body(self) -> bytes:
        """See `Pdu.body`."""
        address = self.secondary_address.encode("ascii", "surrogateescape") + b"\0" if self.secondary_address else b""
        head = struct.pack("<HHIH", self.max_xmit_frag, self.max_recv_frag, self.assoc_group_id, len(address)) + address
        parts = [head, bytes(-len(head) % 4), struct.pack("<BBH", len(self.results), 0, 0)]
        parts += [struct.pack("<HH", r.result, r.reason) + put_syntax(r.transfer_syntax) for r in self.results]
        return b"".join(parts)

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`."""
        xmit, recv, group, size = window.numbers("HHIH", "max_xmit_frag")
        address = window.octets(size, "sec_addr").rstrip(b"\0").decode("ascii", "surrogateescape")
        window.align(4)
        count, _, _ = window.numbers("BBH", "n_results")
        results = []
        for index in range(count):
            result, reason = window.numbers("HH", f"p_results[{index}]")
            results.append(ContextResult(result, reason, window.syntax(f"p_results[{index}].transfer_syntax")))
        return cls(
            **common,
            max_xmit_frag=xmit,
            max_recv_frag=recv,
            assoc_group_id=group,
            secondary_address=address,
            results=tuple(results),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterContextResponse(BindAck):
    """alter_context_resp (C706 12.6.4.2)."""

    ptype: ClassVar[PduType] = PduType.ALTER_CONTEXT_RESP


@dataclass(frozen=True, slots=True, kw_only=True)
class BindNak(Pdu):
    """bind_nak (MS-RPCE 2.2.2.9). `extended` is what follows the versions: a signature and error information."""

    ptype: ClassVar[PduType] = PduType.BIND_NAK

    reason: int
    versions: tuple[tuple[int, int], ...] = (RPC_VERSION,)
    extended: bytes = b""

    def body(self) -> bytes:
        """See `Pdu.body`."""
        versions = b"".join(bytes(version) for version in self.versions)
        return struct.pack("<HB", self.reason, len(self.versions)) + versions + self.extended

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`. A reason alone is enough: not every server lists its versions."""
        (reason,) = window.numbers("H", "provider_reject_reason")
        versions: list[tuple[int, int]] = []
        if window.offset < window.end:
            (count,) = window.numbers("B", "versions")
            for _ in range(count):
                major, minor = window.numbers("BB", "versions")
                versions.append((major, minor))
        return cls(**common, reason=reason, versions=tuple(versions), extended=window.rest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth3(Pdu):
    """rpc_auth_3 (MS-RPCE 2.2.2.10): the last of an odd number of legs; four octets of nothing, and the token."""

    ptype: ClassVar[PduType] = PduType.AUTH3

    def body(self) -> bytes:
        """See `Pdu.body`."""
        return bytes(4)

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`."""
        if common["auth"] is None:
            raise DecodeError("auth3.auth_length", 10, "is 0")
        window.rest()
        return cls(**common)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Pdu):
    """request (C706 12.6.4.9)."""

    ptype: ClassVar[PduType] = PduType.REQUEST
    stub_alignment: ClassVar[int] = 16

    alloc_hint: int = 0
    context_id: int = 0
    opnum: int = 0
    object_uuid: UUID | None = None
    stub: bytes = b""

    def __post_init__(self) -> None:
        if self.object_uuid is not None:
            object.__setattr__(self, "flags", self.flags | PacketFlag.OBJECT_UUID)

    @property
    def body_offset(self) -> int:
        """See `Pdu.body_offset`."""
        return 24 if self.object_uuid is None else 40

    def body(self) -> bytes:
        """See `Pdu.body`."""
        return self.stub

    def fields(self) -> bytes:
        """See `Pdu.fields`."""
        head = struct.pack("<IHH", self.alloc_hint, self.context_id, self.opnum)
        return head if self.object_uuid is None else head + self.object_uuid.bytes_le

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`."""
        hint, context_id, opnum = window.numbers("IHH", "alloc_hint")
        return cls(
            **common,
            alloc_hint=hint,
            context_id=context_id,
            opnum=opnum,
            object_uuid=window.uuid("object") if common["flags"] & PacketFlag.OBJECT_UUID else None,
            stub=window.rest(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Pdu):
    """response (C706 12.6.4.10)."""

    ptype: ClassVar[PduType] = PduType.RESPONSE
    stub_alignment: ClassVar[int] = 16

    alloc_hint: int = 0
    context_id: int = 0
    cancel_count: int = 0
    stub: bytes = b""

    @property
    def body_offset(self) -> int:
        """See `Pdu.body_offset`."""
        return 24

    def body(self) -> bytes:
        """See `Pdu.body`."""
        return self.stub

    def fields(self) -> bytes:
        """See `Pdu.fields`."""
        return struct.pack("<IHBB", self.alloc_hint, self.context_id, self.cancel_count, 0)

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`."""
        hint, context_id, cancels, _ = window.numbers("IHBB", "alloc_hint")
        return cls(**common, alloc_hint=hint, context_id=context_id, cancel_count=cancels, stub=window.rest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Pdu):
    """fault (C706 12.6.4.7, MS-RPCE 2.2.2.8). `reserved` bit 0 announces extended error information in `stub`."""

    ptype: ClassVar[PduType] = PduType.FAULT
    stub_alignment: ClassVar[int] = 16

    alloc_hint: int = 0
    context_id: int = 0
    cancel_count: int = 0
    reserved: int = 0
    status: int
    stub: bytes = b""

    @property
    def body_offset(self) -> int:
        """See `Pdu.body_offset`."""
        return 32

    def body(self) -> bytes:
        """See `Pdu.body`."""
        return self.stub

    def fields(self) -> bytes:
        """See `Pdu.fields`."""
        head = struct.pack("<IHBB", self.alloc_hint, self.context_id, self.cancel_count, self.reserved)
        return head + struct.pack("<II", self.status, 0)

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`. A fault may end after its status: not every server sends the four octets behind it."""
        hint, context_id, cancels, reserved = window.numbers("IHBB", "alloc_hint")
        (status,) = window.numbers("I", "status")
        window.octets(min(4, window.end - window.offset), "reserved2")
        return cls(
            **common,
            alloc_hint=hint,
            context_id=context_id,
            cancel_count=cancels,
            reserved=reserved,
            status=status,
            stub=window.rest(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bare(Pdu):
    """A PDU without a body."""

    def body(self) -> bytes:
        """See `Pdu.body`."""
        return b""

    @classmethod
    def read(cls, window: Window, common: dict[str, Any]) -> Pdu:
        """See `Pdu.read`."""
        return cls(**common)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown(_Bare):
    """shutdown (C706 12.6.4.11): the server asks the client to end the connection."""

    ptype: ClassVar[PduType] = PduType.SHUTDOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class CoCancel(_Bare):
    """co_cancel (C706 12.6.4.6): the client would like the call to end early."""

    ptype: ClassVar[PduType] = PduType.CO_CANCEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphaned(_Bare):
    """orphaned (C706 12.6.4.8): the client wants no answer any more."""

    ptype: ClassVar[PduType] = PduType.ORPHANED


_KINDS: Final[dict[int, type[Pdu]]] = {
    kind.ptype: kind
    for kind in (
        Request,
        Response,
        Fault,
        Bind,
        BindAck,
        BindNak,
        AlterContext,
        AlterContextResponse,
        Auth3,
        Shutdown,
        CoCancel,
        Orphaned,
    )
}


def decode(data: bytes) -> Pdu:
    """The PDU that `data` is; `data` must be all of it and nothing else."""
    if len(data) < HEADER_SIZE:
        raise DecodeError("header", 0, f"need {HEADER_SIZE} bytes, have {len(data)}")
    header = Header.decode(data)
    kind = _KINDS.get(header.type)
    if kind is None:
        raise ProtocolError(f"unknown PDU type {header.type}")
    if len(data) != header.fragment_length:
        raise DecodeError("frag_length", 8, f"is {header.fragment_length}, have {len(data)}")
    name = kind.ptype.name.lower()
    order = "<" if header.little_endian else ">"
    auth = None
    end = header.fragment_length
    if header.auth_length:
        end -= header.auth_length + TRAILER_SIZE
        auth_type, level, pad, _, context_id = struct.unpack_from(order + "BBBBI", data, end)
        auth = SecurityTrailer(auth_type, level, context_id, data[end + TRAILER_SIZE :], pad)
    window = Window(name, data, end, order)
    common: dict[str, Any] = {
        "call_id": header.call_id,
        "flags": PacketFlag(header.flags),
        "representation": header.representation,
        "auth": auth,
    }
    pdu = kind.read(window, common)
    if auth is not None and auth.pad_length > end - pdu.body_offset:
        raise DecodeError(f"{name}.auth_pad_length", end + 2, f"is {auth.pad_length}, more than the body")
    window.finish(0 if auth is None else auth.pad_length)
    return pdu
