from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.errors import DecodeError
from openwmi.security.descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, EVERYONE, USERS
from tests.security.strategies import aces, acls, descriptors

DATA = Path(__file__).parents[1] / "data" / "security"
EXAMPLE = (DATA / "sd_example.bin").read_bytes()


def test_the_printed_entry() -> None:
    data = (DATA / "ace_example.bin").read_bytes()
    ace = Ace.from_bytes(data)
    assert ace == Ace.allow(USERS, 0xA0000000, flags=0x03)
    assert bytes(ace) == data


def test_the_printed_descriptor() -> None:
    descriptor = SecurityDescriptor.from_bytes(EXAMPLE)
    assert descriptor.owner == descriptor.group == ADMINISTRATORS
    assert descriptor.control == Control(0xB014)
    assert descriptor.sacl == Acl((Ace(AceType.SYSTEM_AUDIT, 0x80, 0x80000000, EVERYONE),))
    assert descriptor.dacl is not None
    assert len(descriptor.dacl.aces) == 4
    assert bytes(descriptor) == EXAMPLE


@given(aces)
def test_entries_round_trip(ace: Ace) -> None:
    assert Ace.from_bytes(bytes(ace)) == ace


@given(acls)
def test_lists_round_trip(acl: Acl) -> None:
    assert Acl.read(bytes(acl), 0) == acl
    assert acl.size == len(bytes(acl))


@given(descriptors)
def test_descriptors_round_trip(descriptor: SecurityDescriptor) -> None:
    assert SecurityDescriptor.from_bytes(bytes(descriptor)) == descriptor


@given(descriptors, st.data())
def test_a_truncated_descriptor_is_a_decode_error(descriptor: SecurityDescriptor, data: st.DataObject) -> None:
    whole = bytes(descriptor)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DecodeError):
        SecurityDescriptor.from_bytes(whole[:cut])


@settings(max_examples=200)
@given(descriptors | st.just(SecurityDescriptor.from_bytes(EXAMPLE)), st.data())
def test_mutated_bytes_are_a_descriptor_or_a_decode_error(descriptor: SecurityDescriptor, data: st.DataObject) -> None:
    mutated = bytearray(bytes(descriptor))
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = SecurityDescriptor.from_bytes(bytes(mutated))
    except DecodeError:
        return
    assert SecurityDescriptor.from_bytes(bytes(decoded)) == decoded


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        Acl.read(data, 0)


def test_parts_may_lie_anywhere_and_coincide() -> None:
    sid = bytes(ADMINISTRATORS)
    data = struct.pack("<BBHIIII", 1, 0, 0x8000, 24, 24, 0, 0) + b"\xaa" * 4 + sid + b"\xbb" * 4
    assert SecurityDescriptor.from_bytes(data) == SecurityDescriptor(ADMINISTRATORS, ADMINISTRATORS)


def test_room_behind_the_last_entry_is_ignored() -> None:
    ace = bytes(Ace.allow(EVERYONE, 1))
    data = struct.pack("<BBHHH", 2, 0, 8 + len(ace) + 8, 1, 0) + ace + b"\xff" * 8
    assert Acl.read(data, 0) == Acl((Ace.allow(EVERYONE, 1),))


def test_a_null_list_is_not_an_empty_list() -> None:
    null = SecurityDescriptor(control=Control.DACL_PRESENT)
    empty = SecurityDescriptor(dacl=Acl())
    assert bytes(null) != bytes(empty)
    assert SecurityDescriptor.from_bytes(bytes(null)).dacl is None
    assert SecurityDescriptor.from_bytes(bytes(empty)).dacl == Acl()


def _header(
    revision: int = 1, control: int = 0x8000, owner: int = 0, group: int = 0, sacl: int = 0, dacl: int = 0
) -> bytes:
    return struct.pack("<BBHIIII", revision, 0, control, owner, group, sacl, dacl)


_EMPTY_ACL = bytes(Acl())


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "SECURITY_DESCRIPTOR"),
        (_header(revision=2), "SECURITY_DESCRIPTOR.Revision"),
        (_header(control=0), "SECURITY_DESCRIPTOR.Control"),
        (_header(dacl=20) + _EMPTY_ACL, "SECURITY_DESCRIPTOR.OffsetDacl"),
        (_header(sacl=20) + _EMPTY_ACL, "SECURITY_DESCRIPTOR.OffsetSacl"),
        (_header(owner=19) + bytes(EVERYONE), "SECURITY_DESCRIPTOR.OffsetOwner"),
        (_header(group=0xFFFFFFFF), "SECURITY_DESCRIPTOR.OffsetGroup"),
        (_header(owner=20) + bytes(EVERYONE)[:-1], "OwnerSid.SubAuthority"),
        (_header(control=0x8004, dacl=20) + struct.pack("<BBHHH", 3, 0, 8, 0, 0), "Dacl.AclRevision"),
        (_header(control=0x8004, dacl=20) + struct.pack("<BBHHH", 2, 0, 8, 0xFFFF, 0), "Dacl.AclSize"),
        (_header(control=0x8004, dacl=20) + struct.pack("<BBHHH", 2, 0, 9, 0, 0), "Dacl.AclSize"),
        (
            _header(control=0x8004, dacl=20) + struct.pack("<BBHHHBBH", 2, 0, 12, 1, 0, 0x30, 0, 0),
            "Dacl.Ace[0].AceSize",
        ),
        (
            _header(control=0x8004, dacl=20) + struct.pack("<BBHHHBBH", 2, 0, 12, 1, 0, 0x30, 0, 8),
            "Dacl.Ace[0].AceSize",
        ),
        (
            _header(control=0x8004, dacl=20) + struct.pack("<BBHHHBBH", 2, 0, 12, 1, 0, 0x00, 0, 4),
            "Dacl.Ace[0].Mask",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bytes_that_are_no_descriptor(data: bytes, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        SecurityDescriptor.from_bytes(data)
    assert caught.value.field == field


def test_a_sid_may_not_reach_beyond_its_entry() -> None:
    sid = bytes(ADMINISTRATORS)
    entry = struct.pack("<BBHI", 0, 0, 8 + len(sid) - 4, 1) + sid
    data = struct.pack("<BBHHH", 2, 0, 8 + len(entry), 1, 0) + entry
    with pytest.raises(DecodeError, match="Sid"):
        Acl.read(data, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ace(0, 0),
        lambda: Ace(0x30, 0, 0, EVERYONE),
        lambda: Ace(0x30, 0, 1),
        lambda: Ace(256, 0),
        lambda: Ace(0, 0, 1 << 32, EVERYONE),
        lambda: Ace(0, 0, 1, EVERYONE, b"abc"),
        lambda: Ace(0x30, 0, data=bytes(0x10000)),
        lambda: Acl((), 3),
        lambda: Acl((Ace(0x30, 0, data=bytes(0x8000)),) * 2),
        lambda: SecurityDescriptor(resource_manager=256),
    ],
)
def test_what_cannot_be_encoded_cannot_be_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError):
        make()
