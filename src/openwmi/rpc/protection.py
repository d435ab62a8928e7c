"""Signing and sealing of single fragments with a `SecurityContext`, and the verification trailer.

A fragment has a header, a body (stub and padding) and sec_trailer (MS-RPCE 2.2.2.1). At the privacy level the
body is sealed, from the packet level up all is signed; a level below protects nothing on the wire. What does
not verify raises `AuthenticationError`, and the connection is over: the mechanisms number their messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from uuid import UUID

from openwmi.errors import AuthenticationError, DecodeError, RpcFault
from openwmi.rpc.header import TRAILER_SIZE
from openwmi.rpc.pdu import NDR20, Pdu, Request, SecurityTrailer, SyntaxId
from openwmi.security.context import NTLM, AuthenticationLevel, SecurityContext
from openwmi.status import HResult

__all__ = [
    "HandleState",
    "SecurityHandle",
    "open_body",
    "protect",
    "strip_verification_trailer",
    "verification_trailer",
]


class HandleState(Enum):
    """How far a security context on a connection has come."""

    STEPPING = auto()  # the adapter was asked for the next token
    AWAITING = auto()  # the peer is to send the next token
    COMPLETE = auto()
    FAILED = auto()


@dataclass(slots=True)
class SecurityHandle:
    """A security context under its number on one connection (MS-RPCE 3.3.1.1.2)."""

    context_id: int
    auth_type: int
    level: AuthenticationLevel
    context: SecurityContext | None = None
    state: HandleState = HandleState.STEPPING

    @property
    def ready(self) -> SecurityContext | None:
        """The context, once it can protect messages."""
        return self.context if self.state is HandleState.COMPLETE else None

    @property
    def protects(self) -> bool:
        """Whether each fragment carries a token. CALL means PACKET; PACKET is signed like INTEGRITY,
        the next level that every mechanism has (MS-RPCE 2.2.1.1.8)."""
        return self.level >= AuthenticationLevel.CALL

    def overhead(self) -> int:
        """Octets that sec_trailer and token add to each fragment."""
        context = self.ready
        return TRAILER_SIZE + context.signature_size if self.protects and context is not None else 0

    def close(self) -> None:
        """Forget the keys."""
        self.state = HandleState.FAILED
        if self.context is not None:
            self.context.close()


def _covers(handle: SecurityHandle, header_signing: bool) -> bool:
    """Whether header and trailer are signed too: if both ends said so, and by NTLM in any case.

    NTLM's checksum has covered the whole PDU since before the flag existed, and Windows and every other
    implementation still computes it so for peers that do not set PFC_SUPPORT_HEADER_SIGN.
    """
    return header_signing or handle.auth_type == NTLM


def protect(pdu: Pdu, handle: SecurityHandle | None, *, header_signing: bool) -> bytes:
    """The octets of a request or response fragment, with padding, sec_trailer and token as the level asks.

    The security context must be complete.
    """
    if handle is None or not handle.protects:
        return pdu.encode()
    context = handle.ready
    if context is None:
        raise AuthenticationError("the security context is not established")
    body = pdu.body()
    pad = -len(body) % (pdu.stub_alignment or 4)
    if pad:
        body += bytes(pad)
    header = pdu.header(len(body), context.signature_size)
    tail = SecurityTrailer(handle.auth_type, handle.level, handle.context_id, b"", pad).encode()
    signed = (header, body, tail) if _covers(handle, header_signing) else (b"", body, b"")
    if handle.level is AuthenticationLevel.PRIVACY:
        sealed, token = context.seal(*signed)
    else:
        sealed, token = body, context.sign(*signed)
    return b"".join((header, sealed, tail, token))


def open_body(pdu: Pdu, raw: bytes, handle: SecurityHandle | None, *, header_signing: bool) -> bytes:
    """The clear body of a received PDU, verified and without padding; `raw` is the PDU as it came.

    Raises `AuthenticationError` if a token is missing, unexpected or wrong.
    """
    trailer = pdu.auth
    if handle is None:
        if trailer is not None:
            raise AuthenticationError(f"security context {trailer.context_id} does not exist")
        return raw[pdu.body_offset :]
    if trailer is None:
        if handle.protects:
            raise AuthenticationError(f"a PDU at level {handle.level.name} carries no token")
        return raw[pdu.body_offset :]
    if (trailer.auth_type, trailer.level) != (handle.auth_type, handle.level):
        raise AuthenticationError(f"a PDU has another type or level than its context {handle.context_id}")
    end = len(raw) - len(trailer.token) - TRAILER_SIZE
    # The stub is a copy already.
    body: bytes = getattr(pdu, "stub", b"") if pdu.stub_alignment else raw[pdu.body_offset : end]
    if handle.protects:
        context = handle.ready
        if context is None:
            raise AuthenticationError(f"security context {handle.context_id} is not established")
        tail = raw[end : end + TRAILER_SIZE]
        covers = _covers(handle, header_signing)
        signed = (raw[: pdu.body_offset], body, tail) if covers else (b"", body, b"")
        if handle.level is AuthenticationLevel.PRIVACY:
            body = context.unseal(*signed, trailer.token)
        else:
            context.verify(*signed, trailer.token)
    return body[: len(body) - trailer.pad_length]


# --- The verification trailer, MS-RPCE 2.2.2.13 ---------------------------------------------------------------

_SIGNATURE: Final = bytes((0x8A, 0xE3, 0x13, 0x71, 0x02, 0xF4, 0x36, 0x71))
_BITMASK_1, _PCONTEXT, _HEADER2 = 1, 2, 3
_COMMAND: Final = 0x3FFF
_END: Final = 0x4000
_MUST_PROCESS: Final = 0x8000
_CLIENT_SUPPORT_HEADER_SIGNING: Final = 1

_TRAILER_ALIGNMENT: Final = 4

# The three known commands, and room for what a later client may add: the trailer is searched from here on.
_SEARCHED: Final = 1024


def verification_trailer(
    request: Request, interface: SyntaxId, handle: SecurityHandle | None, *, header_signing: bool
) -> bytes:
    """What a client adds to a request whose header its security provider does not sign; empty if it does.

    It says, inside what is signed, which presentation context and which header the client means.
    """
    if handle is None or not handle.protects or _covers(handle, header_signing):
        return b""
    syntaxes = b"".join(s.uuid.bytes_le + struct.pack("<HH", *s.version) for s in (interface, NDR20))
    header = struct.pack(
        "<BBH4sIHH",
        request.ptype,
        0,
        0,
        request.representation,
        request.call_id,
        request.context_id,
        request.opnum,
    )
    commands = struct.pack("<HH", _PCONTEXT, len(syntaxes)) + syntaxes
    return _SIGNATURE + commands + struct.pack("<HH", _HEADER2 | _END, len(header)) + header


def strip_verification_trailer(stub: bytes, request: Request, interface: SyntaxId, *, header_signing: bool) -> bytes:
    """A request's stub without the verification trailer, whose statements are checked against the PDU.

    `request` is the call's last fragment, since the trailer is in that one. The stub's own end is known only to
    who can decode it, so the trailer is looked for from the end. Raises `RpcFault` with the status to answer.
    """
    at = stub.rfind(_SIGNATURE, max(0, len(stub) - _SEARCHED))
    if at < 0 or at % _TRAILER_ALIGNMENT:
        return stub
    for command, content in _commands(stub, at + len(_SIGNATURE)):
        kind = command & _COMMAND
        if kind == _BITMASK_1:
            (bits,) = struct.unpack("<I", _fixed(content, 4))
            if bits & _CLIENT_SUPPORT_HEADER_SIGNING and not header_signing:
                raise RpcFault(HResult.ERROR_ACCESS_DENIED, "the bind's header signing flag was removed")
        elif kind == _PCONTEXT:
            _check_syntaxes(_fixed(content, 40), interface)
        elif kind == _HEADER2:
            _check_header(_fixed(content, 16), request)
        elif command & _MUST_PROCESS:
            raise RpcFault(HResult.ERROR_ACCESS_DENIED, f"verification command {kind} is unknown and must be processed")
    return stub[:at]


def _commands(stub: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The commands of the trailer's body, up to the one with the end flag."""
    while True:
        if len(stub) - offset < 4:
            raise RpcFault(HResult.RPC_X_BAD_STUB_DATA, "the verification trailer has no end")
        command, length = struct.unpack_from("<HH", stub, offset)
        offset += 4
        if length % 4 or len(stub) - offset < length:
            raise RpcFault(HResult.RPC_X_BAD_STUB_DATA, f"verification command of {length} bytes")
        yield command, stub[offset : offset + length]
        offset += length
        if command & _END:
            return


def _fixed(content: bytes, size: int) -> bytes:
    """A command of fixed size."""
    if len(content) != size:
        raise RpcFault(HResult.RPC_X_BAD_STUB_DATA, f"verification command has {len(content)} bytes, not {size}")
    return content


def _syntax(octets: bytes) -> SyntaxId:
    """An RPC_SYNTAX_IDENTIFIER, little-endian as the whole trailer is."""
    major, minor = struct.unpack_from("<HH", octets, 16)
    return SyntaxId(UUID(bytes_le=octets[:16]), (major, minor))


def _check_syntaxes(content: bytes, interface: SyntaxId) -> None:
    """rpc_sec_vt_pcontext (2.2.2.13.4): what the client believes its presentation context to be."""
    if (_syntax(content[:20]), _syntax(content[20:])) != (interface, NDR20):
        raise RpcFault(HResult.ERROR_ACCESS_DENIED, "the presentation context is not the one that the client bound")


def _check_header(content: bytes, request: Request) -> None:
    """rpc_sec_vt_header2 (2.2.2.13.3): the fields of the header that the client sent."""
    kind, _, _, drep, call_id, context_id, opnum = struct.unpack("<BBH4sIHH", content)
    said = (kind, drep, call_id, context_id, opnum)
    found = (request.ptype, request.representation, request.call_id, request.context_id, request.opnum)
    if said != found:
        raise RpcFault(HResult.ERROR_ACCESS_DENIED, "the request's header is not the one that the client sent")


def level_of(value: int) -> AuthenticationLevel:
    """The level that a sec_trailer asks for. CALL means PACKET, and 0 is the default, CONNECT."""
    try:
        return AuthenticationLevel(value or AuthenticationLevel.CONNECT)
    except ValueError:
        raise DecodeError("sec_trailer.auth_level", 1, f"is {value}") from None
