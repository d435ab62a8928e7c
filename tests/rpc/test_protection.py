"""Fragments and their tokens, and the verification trailer."""

from __future__ import annotations

import dataclasses
import struct
from uuid import UUID

import pytest

from openwmi.errors import AuthenticationError, DecodeError, RpcFault
from openwmi.rpc.pdu import NDR20, NDR64, CoCancel, Pdu, Request, Response, SyntaxId, decode
from openwmi.rpc.protection import (
    HandleState,
    SecurityHandle,
    level_of,
    open_body,
    protect,
    strip_verification_trailer,
)
from openwmi.security.context import KERBEROS, NTLM, AuthenticationLevel
from openwmi.status import HResult
from tests.rpc.support import LEGS, FakeContext

LEGS.setdefault(KERBEROS, LEGS[NTLM])


def pair(level: AuthenticationLevel, auth_type: int = NTLM) -> tuple[SecurityHandle, SecurityHandle]:
    """Both ends of a security context that is complete."""
    ours = FakeContext(initiator=True, auth_type=auth_type)
    theirs = FakeContext(initiator=False, auth_type=auth_type)
    token = b""
    while not (ours.complete and theirs.complete):
        token = theirs.step(ours.step(token))
    handles = [SecurityHandle(3, auth_type, level, context, HandleState.COMPLETE) for context in (ours, theirs)]
    return handles[0], handles[1]


@pytest.mark.parametrize("level", list(AuthenticationLevel)[1:])
@pytest.mark.parametrize("auth_type", [NTLM, KERBEROS])
@pytest.mark.parametrize("header_signing", [True, False])
@pytest.mark.parametrize(
    "pdu",
    [
        Request(call_id=1, stub=b"abc"),
        Request(call_id=1, stub=b"0123456789abcdef", object_uuid=UUID(int=5)),
        Response(call_id=1, stub=b""),
        CoCancel(call_id=1),
    ],
)
def test_there_and_back(level: AuthenticationLevel, auth_type: int, header_signing: bool, pdu: Pdu) -> None:
    ours, theirs = pair(level, auth_type)
    for _ in range(2):
        raw = protect(pdu, ours, header_signing=header_signing)
        found = decode(raw)
        assert (found.auth is not None) == (level >= AuthenticationLevel.CALL)
        if found.auth is not None and found.stub_alignment:
            # sec_trailer is aligned to 16 octets from the start of the body (MS-RPCE 2.2.2.11).
            assert (len(raw) - len(found.auth.token) - 8 - found.body_offset) % 16 == 0
        assert open_body(found, raw, theirs, header_signing=header_signing) == getattr(pdu, "stub", b"")


def test_the_header_is_signed_where_that_was_agreed_and_always_by_ntlm() -> None:
    for auth_type, header_signing, signed in ((NTLM, False, True), (KERBEROS, True, True), (KERBEROS, False, False)):
        ours, theirs = pair(AuthenticationLevel.INTEGRITY, auth_type)
        raw = bytearray(protect(Request(call_id=1, opnum=3, stub=b"abc"), ours, header_signing=header_signing))
        raw[22] ^= 1
        found = decode(bytes(raw))
        if signed:
            with pytest.raises(AuthenticationError):
                open_body(found, bytes(raw), theirs, header_signing=header_signing)
        else:
            assert open_body(found, bytes(raw), theirs, header_signing=header_signing) == b"abc"


def test_tokens_that_do_not_fit() -> None:
    ours, theirs = pair(AuthenticationLevel.INTEGRITY)
    raw = protect(Request(call_id=1, stub=b"abc"), ours, header_signing=True)
    with pytest.raises(AuthenticationError, match="does not exist"):
        open_body(decode(raw), raw, None, header_signing=True)
    other = dataclasses.replace(theirs, level=AuthenticationLevel.PRIVACY)
    with pytest.raises(AuthenticationError, match="another type or level"):
        open_body(decode(raw), raw, other, header_signing=True)
    young = dataclasses.replace(theirs, state=HandleState.AWAITING)
    with pytest.raises(AuthenticationError, match="not established"):
        open_body(decode(raw), raw, young, header_signing=True)
    with pytest.raises(AuthenticationError, match="not established"):
        protect(Request(call_id=1), young, header_signing=True)
    plain = Request(call_id=1, stub=b"abc").encode()
    with pytest.raises(AuthenticationError, match="no token"):
        open_body(decode(plain), plain, theirs, header_signing=True)


def test_levels() -> None:
    assert level_of(0) is AuthenticationLevel.CONNECT
    assert level_of(6) is AuthenticationLevel.PRIVACY
    with pytest.raises(DecodeError):
        level_of(7)


# --- The verification trailer ---

IF = SyntaxId(UUID("01020304-0506-0708-090a-0b0c0d0e0f10"), (2, 1))
REQUEST = Request(call_id=9, context_id=1, opnum=4)
MAGIC = bytes.fromhex("8ae3137102f43671")


def command(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def syntax(value: SyntaxId) -> bytes:
    return value.uuid.bytes_le + struct.pack("<HH", *value.version)


def header(opnum: int = 4) -> bytes:
    return struct.pack("<BBH4sIHH", 0, 0, 0, b"\x10\0\0\0", 9, 1, opnum)


BITS = struct.pack("<I", 1)

GOOD = [
    command(0x4001, BITS),
    command(0x0001, BITS) + command(0x4002, syntax(IF) + syntax(NDR20)),
    command(0x4003, header()),
    command(0x0055, b"abcd") + command(0x4003, header()),
    command(0x8003, header()) + command(0x4002, syntax(IF) + syntax(NDR20)),
]
DENIED, BAD = HResult.ERROR_ACCESS_DENIED, HResult.RPC_X_BAD_STUB_DATA
WRONG = [
    (command(0x4003, header(5)), DENIED),
    (command(0x4002, syntax(IF) + syntax(NDR64)), DENIED),
    (command(0x4002, syntax(NDR20) + syntax(NDR20)), DENIED),
    (command(0xC055, b""), DENIED),
    (command(0x0001, BITS), BAD),
    (command(0x4001, BITS * 2), BAD),
    (command(0x4002, b""), BAD),
    (command(0x4055, b"abc"), BAD),
    (b"", BAD),
    (struct.pack("<HH", 0x4003, 16) + b"short", BAD),
]


@pytest.mark.parametrize("trailer", GOOD)
@pytest.mark.parametrize("stub", [b"", b"some stub of"])
def test_a_trailer_that_is_true_is_stripped(stub: bytes, trailer: bytes) -> None:
    assert strip_verification_trailer(stub + MAGIC + trailer, REQUEST, IF, header_signing=True) == stub


@pytest.mark.parametrize(("trailer", "status"), WRONG)
def test_a_trailer_that_is_not_is_a_fault(trailer: bytes, status: int) -> None:
    with pytest.raises(RpcFault) as caught:
        strip_verification_trailer(b"stub" + MAGIC + trailer, REQUEST, IF, header_signing=True)
    assert caught.value.status == status


def test_a_bind_whose_flag_was_removed_is_noticed() -> None:
    with pytest.raises(RpcFault):
        strip_verification_trailer(MAGIC + GOOD[0], REQUEST, IF, header_signing=False)


@pytest.mark.parametrize("stub", [b"", b"no trailer", b"x" + MAGIC + GOOD[0], MAGIC + bytes(1100)])
def test_what_is_no_trailer_stays(stub: bytes) -> None:
    assert strip_verification_trailer(stub, REQUEST, IF, header_signing=True) == stub
