"""Security descriptors, their lists and entries (MS-DTYP 2.4.4 to 2.4.6): objects, and self-relative bytes both ways.

Bytes that are no descriptor raise `DecodeError`; an object that cannot be encoded cannot be made (`ValueError`).
Decoding takes time and memory in proportion to the input. Entries of kinds that are not known here survive with
their bytes. The textual form is in `sddl`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import Final

from openwmi.errors import DecodeError
from openwmi.security.principals import Sid

__all__ = ["Ace", "AceFlag", "AceType", "Acl", "Control", "SecurityDescriptor", "inherit"]

_ACE_HEADER: Final = struct.Struct("<BBH")
_ACL_HEADER: Final = struct.Struct("<BBHHH")
_SD_HEADER: Final = struct.Struct("<BBHIIII")
_MAX_SIZE: Final = 0xFFFF  # AclSize and AceSize have 16 bits


class AceType(IntEnum):
    """Kinds of entry (MS-DTYP 2.4.4.1). Those that consist of a mask, a SID and perhaps more data."""

    ACCESS_ALLOWED = 0x00
    ACCESS_DENIED = 0x01
    SYSTEM_AUDIT = 0x02
    SYSTEM_ALARM = 0x03
    ACCESS_ALLOWED_CALLBACK = 0x09
    ACCESS_DENIED_CALLBACK = 0x0A
    SYSTEM_AUDIT_CALLBACK = 0x0D
    SYSTEM_MANDATORY_LABEL = 0x11
    SYSTEM_RESOURCE_ATTRIBUTE = 0x12
    SYSTEM_SCOPED_POLICY_ID = 0x13


_WITH_SID: Final = frozenset(AceType)


class AceFlag(IntFlag):
    """Inheritance and audit of an entry (MS-DTYP 2.4.4.1)."""

    OBJECT_INHERIT = 0x01
    CONTAINER_INHERIT = 0x02
    NO_PROPAGATE_INHERIT = 0x04
    INHERIT_ONLY = 0x08
    INHERITED = 0x10
    SUCCESSFUL_ACCESS = 0x40
    FAILED_ACCESS = 0x80


class Control(IntFlag):
    """The control bits of a descriptor (MS-DTYP 2.4.6)."""

    OWNER_DEFAULTED = 0x0001
    GROUP_DEFAULTED = 0x0002
    DACL_PRESENT = 0x0004
    DACL_DEFAULTED = 0x0008
    SACL_PRESENT = 0x0010
    SACL_DEFAULTED = 0x0020
    DACL_TRUSTED = 0x0040
    SERVER_SECURITY = 0x0080
    DACL_INHERIT_REQUIRED = 0x0100
    SACL_INHERIT_REQUIRED = 0x0200
    DACL_AUTO_INHERITED = 0x0400
    SACL_AUTO_INHERITED = 0x0800
    DACL_PROTECTED = 0x1000
    SACL_PROTECTED = 0x2000
    RM_CONTROL_VALID = 0x4000
    SELF_RELATIVE = 0x8000


@dataclass(frozen=True, slots=True)
class Ace:
    """One access control entry.

    For a kind in `AceType`, `mask` and `sid` say what is allowed (denied, audited) to whom, and `data` is what follows
    the SID, such as a condition. For any other kind `mask` is 0, `sid` is None and `data` is all of the entry's body.
    """

    type: int
    flags: int
    mask: int = 0
    sid: Sid | None = None
    data: bytes = b""

    def __post_init__(self) -> None:
        if not (0 <= self.type <= 0xFF and 0 <= self.flags <= 0xFF and 0 <= self.mask <= 0xFFFFFFFF):
            raise ValueError("an entry's type and flags have 8 bits, its mask has 32")
        if (self.sid is not None) != (self.type in _WITH_SID):
            raise ValueError(f"an entry of type {self.type:#04x} has {'a' if self.sid is None else 'no'} SID")
        if self.sid is None and self.mask:
            raise ValueError(f"the mask of an entry of type {self.type:#04x} is part of its data")
        if len(self.data) % 4 or self.size > _MAX_SIZE:
            raise ValueError("an entry's data come in units of 4 octets, and it has less than 64 KiB")

    @classmethod
    def allow(cls, sid: Sid, mask: int, flags: int = 0) -> Ace:
        """An entry that allows `mask` to `sid`."""
        return cls(AceType.ACCESS_ALLOWED, flags, mask, sid)

    @classmethod
    def deny(cls, sid: Sid, mask: int, flags: int = 0) -> Ace:
        """An entry that denies `mask` to `sid`."""
        return cls(AceType.ACCESS_DENIED, flags, mask, sid)

    @property
    def size(self) -> int:
        """Octets of the encoded entry."""
        return 4 + len(self.data) + (4 + self.sid.size if self.sid is not None else 0)

    def __bytes__(self) -> bytes:
        head = _ACE_HEADER.pack(self.type, self.flags, self.size)
        if self.sid is None:
            return head + self.data
        return b"".join((head, struct.pack("<I", self.mask), bytes(self.sid), self.data))

    @classmethod
    def read(cls, data: bytes | memoryview, offset: int, limit: int, field: str) -> Ace:
        """The entry at `offset`, which must end at or before `limit`."""
        _need(field, offset, 4, limit)
        kind, flags, size = _ACE_HEADER.unpack_from(data, offset)
        if size < 4 or size % 4 or offset + size > limit:
            raise DecodeError(f"{field}.AceSize", offset + 2, f"is {size}, with {limit - offset} bytes left")
        end = offset + size
        if kind not in _WITH_SID:
            return cls(kind, flags, data=bytes(data[offset + 4 : end]))
        _need(f"{field}.Mask", offset + 4, 4, end)
        (mask,) = struct.unpack_from("<I", data, offset + 4)
        sid = _read_sid(data, offset + 8, end, f"{field}.Sid")
        return cls(kind, flags, mask, sid, bytes(data[offset + 8 + sid.size : end]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Ace:
        """The entry that is all of `data`."""
        ace = cls.read(data, 0, len(data), "ACE")
        if ace.size != len(data):
            raise DecodeError("ACE", ace.size, f"{len(data) - ace.size} bytes left over")
        return ace


@dataclass(frozen=True, slots=True)
class Acl:
    """An access control list: entries in their order, which matters. Revision 4 allows entries about object types."""

    aces: tuple[Ace, ...] = ()
    revision: int = 2

    def __post_init__(self) -> None:
        if self.revision not in (2, 4):
            raise ValueError(f"a list's revision is 2 or 4, not {self.revision}")
        if self.size > _MAX_SIZE:
            raise ValueError("a list has less than 64 KiB")

    @property
    def size(self) -> int:
        """Octets of the encoded list."""
        return 8 + sum(ace.size for ace in self.aces)

    def __bytes__(self) -> bytes:
        head = _ACL_HEADER.pack(self.revision, 0, self.size, len(self.aces), 0)
        return head + b"".join(map(bytes, self.aces))

    @classmethod
    def read(cls, data: bytes | memoryview, offset: int, field: str = "ACL") -> Acl:
        """The list at `offset`. Room after its last entry, within AclSize, is allowed and ignored."""
        _need(field, offset, 8, len(data))
        revision, _, size, count, _ = _ACL_HEADER.unpack_from(data, offset)
        if revision not in (2, 4):
            raise DecodeError(f"{field}.AclRevision", offset, f"is {revision}, must be 2 or 4")
        if size < 8 + 4 * count or offset + size > len(data):
            problem = f"is {size} for {count} entries, with {len(data) - offset} bytes left"
            raise DecodeError(f"{field}.AclSize", offset + 2, problem)
        limit, position = offset + size, offset + 8
        aces = []
        for index in range(count):
            ace = Ace.read(data, position, limit, f"{field}.Ace[{index}]")
            aces.append(ace)
            position += ace.size
        return cls(tuple(aces), revision)


@dataclass(frozen=True, slots=True)
class SecurityDescriptor:
    """Who owns an object, who may do what with it, and what is to be audited.

    `dacl` None means that there is no restriction (a NULL or absent list), an empty `Acl` that nobody may do
    anything. `control` always has SELF_RELATIVE and the PRESENT bits of the lists that are there; a PRESENT bit without
    a list stands for a NULL list.
    """

    owner: Sid | None = None
    group: Sid | None = None
    dacl: Acl | None = None
    sacl: Acl | None = None
    control: Control = Control.SELF_RELATIVE
    resource_manager: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.control <= 0xFFFF and 0 <= self.resource_manager <= 0xFF):
            raise ValueError("a descriptor's control has 16 bits, its resource manager's byte 8")
        control = Control(self.control) | Control.SELF_RELATIVE
        if self.dacl is not None:
            control |= Control.DACL_PRESENT
        if self.sacl is not None:
            control |= Control.SACL_PRESENT
        object.__setattr__(self, "control", control)

    def __bytes__(self) -> bytes:
        """The self-relative form, its parts in Windows' order: SACL, DACL, owner, group."""
        body = bytearray()
        offsets = []
        for part in (self.sacl, self.dacl, self.owner, self.group):
            offsets.append(_SD_HEADER.size + len(body) if part is not None else 0)
            if part is not None:
                body += bytes(part)
        sacl, dacl, owner, group = offsets
        return _SD_HEADER.pack(1, self.resource_manager, self.control, owner, group, sacl, dacl) + bytes(body)

    @classmethod
    def from_bytes(cls, data: bytes) -> SecurityDescriptor:
        """The descriptor whose self-relative form `data` is. Its parts may lie anywhere behind the header."""
        _need("SECURITY_DESCRIPTOR", 0, _SD_HEADER.size, len(data))
        revision, manager, control, owner, group, sacl, dacl = _SD_HEADER.unpack_from(data)
        if revision != 1:
            raise DecodeError("SECURITY_DESCRIPTOR.Revision", 0, f"is {revision}, must be 1")
        if not control & Control.SELF_RELATIVE:
            raise DecodeError("SECURITY_DESCRIPTOR.Control", 2, "is not self-relative")
        # A list that is there but not present would be no restriction to one reader and one to another.
        for name, at, offset, bit in (
            ("OffsetSacl", 12, sacl, Control.SACL_PRESENT),
            ("OffsetDacl", 16, dacl, Control.DACL_PRESENT),
        ):
            if offset and not control & bit:
                raise DecodeError(f"SECURITY_DESCRIPTOR.{name}", at, f"is {offset}, but there is no list")
        view = memoryview(data)
        for name, at, offset in (("Owner", 4, owner), ("Group", 8, group), ("Sacl", 12, sacl), ("Dacl", 16, dacl)):
            if offset and not _SD_HEADER.size <= offset < len(data):
                raise DecodeError(f"SECURITY_DESCRIPTOR.Offset{name}", at, f"{offset} lies outside")
        return cls(
            _read_sid(view, owner, len(data), "OwnerSid") if owner else None,
            _read_sid(view, group, len(data), "GroupSid") if group else None,
            Acl.read(view, dacl, "Dacl") if dacl else None,
            Acl.read(view, sacl, "Sacl") if sacl else None,
            Control(control),
            manager,
        )


def inherit(parent: SecurityDescriptor, child: SecurityDescriptor) -> SecurityDescriptor:
    """`child` with what it inherits from `parent` behind its own entries (MS-WMI 2.2.30.2).

    The section's words are followed, and four things that it leaves open are done as Windows does them or as access
    checks demand: inherited entries bear INHERITED; entries that bear it already, from an inheritance before, go; one
    that the child has anyway is not added again; and a child without a DACL, which restricts nobody, stays like that.

    Raises `ValueError` for lists that would become longer than 64 KiB.
    """
    dacl, sacl = child.dacl, child.sacl
    if dacl is not None:
        dacl = _inherited_list(None if parent.control & Control.DACL_PROTECTED else parent.dacl, dacl)
    from_parent = None if parent.control & Control.SACL_PROTECTED else parent.sacl
    if sacl is not None or from_parent is not None:
        sacl = _inherited_list(from_parent, sacl or Acl())
        if not sacl.aces and child.sacl is None:
            sacl = None
    return replace(child, dacl=dacl, sacl=sacl)


def _inherited_list(parent: Acl | None, child: Acl) -> Acl:
    aces = [ace for ace in child.aces if not ace.flags & AceFlag.INHERITED]
    revision = child.revision
    for ace in () if parent is None else parent.aces:
        if not ace.flags & AceFlag.CONTAINER_INHERIT:
            continue
        flags = ace.flags & ~(AceFlag.INHERIT_ONLY | AceFlag.INHERITED)
        if flags & AceFlag.NO_PROPAGATE_INHERIT:
            flags &= ~AceFlag.CONTAINER_INHERIT
        if replace(ace, flags=flags) not in aces:
            aces.append(replace(ace, flags=flags | AceFlag.INHERITED))
            revision = max(revision, 2 if parent is None else parent.revision)
    return Acl(tuple(aces), revision)


def _need(field: str, offset: int, size: int, limit: int) -> None:
    if offset + size > limit:
        raise DecodeError(field, offset, f"need {size} bytes, have {max(limit - offset, 0)}")


def _read_sid(data: bytes | memoryview, offset: int, limit: int, field: str) -> Sid:
    """The SID at `offset`, within `limit`."""
    sid = Sid.read(data, offset, field=field)
    _need(field, offset, sid.size, limit)
    return sid
