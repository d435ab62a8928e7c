"""Who somebody is: security identifiers and authenticated principals.

`Sid` is the security identifier of MS-DTYP 2.4.2 in its three forms: object, text (`S-1-5-32-544`) and bytes.
Text that is no SID raises `SyntaxProblem`, bytes that are none raise `DecodeError`.
`Principal` is an account after authentication: the names it goes by and the SIDs that access checks compare.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import ClassVar, Final

from openwmi.errors import DecodeError, SyntaxProblem

__all__ = [
    "ADMINISTRATORS",
    "ANONYMOUS",
    "AUTHENTICATED_USERS",
    "CREATOR_OWNER",
    "EVERYONE",
    "LOCAL_SERVICE",
    "LOCAL_SYSTEM",
    "NETWORK",
    "NETWORK_SERVICE",
    "USERS",
    "WELL_KNOWN_NAMES",
    "Principal",
    "Sid",
]

_NUMBER: Final = "(?:0|[1-9][0-9]{0,9})"  # no leading zeros
_TEXT: Final = re.compile(rf"S-1-(0x[0-9A-F]{{12}}|{_NUMBER})((?:-{_NUMBER}){{0,15}})", re.IGNORECASE | re.ASCII)
_MAX_SUB_AUTHORITIES: Final = 15


@dataclass(frozen=True, slots=True, order=True)
class Sid:
    """A security identifier (MS-DTYP 2.4.2): an identifier authority (48 bits) and up to 15 sub-authorities.

    An impossible one cannot be made: `ValueError` for numbers out of range.
    """

    authority: int
    sub_authorities: tuple[int, ...] = ()

    REVISION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.authority < 1 << 48:
            raise ValueError(f"identifier authority {self.authority} does not fit in 48 bits")
        if len(self.sub_authorities) > _MAX_SUB_AUTHORITIES:
            raise ValueError(f"{len(self.sub_authorities)} sub-authorities, at most {_MAX_SUB_AUTHORITIES}")
        if not all(0 <= value < 1 << 32 for value in self.sub_authorities):
            raise ValueError("a sub-authority does not fit in 32 bits")

    @classmethod
    def parse(cls, text: str) -> Sid:
        """The SID that `text` spells (MS-DTYP 2.4.2.1). `SyntaxProblem` if it spells none."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise SyntaxProblem(f"{text[:200]!r} is not a security identifier", text)
        number, rest = found.groups()
        try:
            return cls(int(number, 0), tuple(int(part) for part in rest.split("-")[1:]))
        except ValueError as error:
            raise SyntaxProblem(f"{text!r} is not a security identifier: {error}", text) from None

    def __str__(self) -> str:
        # Decimal below 2**32, twelve hexadecimal digits from there on.
        authority = str(self.authority) if self.authority < 1 << 32 else f"0x{self.authority:012X}"
        return "-".join(("S-1", authority, *map(str, self.sub_authorities)))

    def __bytes__(self) -> bytes:
        """The packet form (MS-DTYP 2.4.2.2): big-endian authority, little-endian sub-authorities."""
        count = len(self.sub_authorities)
        head = struct.pack(">BB6s", self.REVISION, count, self.authority.to_bytes(6, "big"))
        return head + struct.pack(f"<{count}I", *self.sub_authorities)

    @property
    def size(self) -> int:
        """Octets of the packet form."""
        return 8 + 4 * len(self.sub_authorities)

    @classmethod
    def read(cls, data: bytes | memoryview, offset: int = 0, *, field: str = "SID") -> Sid:
        """The SID whose packet form begins at `offset`; what follows it (from `size` on) is not looked at."""
        have = len(data) - offset
        if offset < 0 or have < 8:
            raise DecodeError(field, offset, f"need 8 bytes, have {max(have, 0)}")
        revision, count = data[offset], data[offset + 1]
        if revision != cls.REVISION:
            raise DecodeError(f"{field}.Revision", offset, f"is {revision}, must be 1")
        if count > _MAX_SUB_AUTHORITIES:
            raise DecodeError(f"{field}.SubAuthorityCount", offset + 1, f"is {count}, at most 15")
        if have < 8 + 4 * count:
            raise DecodeError(f"{field}.SubAuthority", offset + 8, f"need {4 * count} bytes, have {have - 8}")
        authority = int.from_bytes(data[offset + 2 : offset + 8], "big")
        return cls(authority, struct.unpack_from(f"<{count}I", data, offset + 8))

    @classmethod
    def from_bytes(cls, data: bytes) -> Sid:
        """The SID that is all of `data`."""
        sid = cls.read(data)
        if sid.size != len(data):
            raise DecodeError("SID", sid.size, f"{len(data) - sid.size} bytes left over")
        return sid

    def child(self, relative: int) -> Sid:
        """This SID with one more sub-authority, such as an account's RID under its machine."""
        return Sid(self.authority, (*self.sub_authorities, relative))


# Well-known SIDs (MS-DTYP 2.4.2.4).
EVERYONE: Final = Sid(1, (0,))
CREATOR_OWNER: Final = Sid(3, (0,))
NETWORK: Final = Sid(5, (2,))
ANONYMOUS: Final = Sid(5, (7,))
AUTHENTICATED_USERS: Final = Sid(5, (11,))
LOCAL_SYSTEM: Final = Sid(5, (18,))
LOCAL_SERVICE: Final = Sid(5, (19,))
NETWORK_SERVICE: Final = Sid(5, (20,))
ADMINISTRATORS: Final = Sid(5, (32, 544))
USERS: Final = Sid(5, (32, 545))

# What Windows calls them in English, and others that are met in the lists of rights of a namespace.
WELL_KNOWN_NAMES: Final = {
    EVERYONE: "Everyone",
    CREATOR_OWNER: "CREATOR OWNER",
    NETWORK: r"NT AUTHORITY\NETWORK",
    Sid(5, (4,)): r"NT AUTHORITY\INTERACTIVE",
    Sid(5, (6,)): r"NT AUTHORITY\SERVICE",
    ANONYMOUS: r"NT AUTHORITY\ANONYMOUS LOGON",
    AUTHENTICATED_USERS: r"NT AUTHORITY\Authenticated Users",
    LOCAL_SYSTEM: r"NT AUTHORITY\SYSTEM",
    LOCAL_SERVICE: r"NT AUTHORITY\LOCAL SERVICE",
    NETWORK_SERVICE: r"NT AUTHORITY\NETWORK SERVICE",
    ADMINISTRATORS: r"BUILTIN\Administrators",
    USERS: r"BUILTIN\Users",
    Sid(5, (32, 546)): r"BUILTIN\Guests",
    Sid(5, (32, 551)): r"BUILTIN\Backup Operators",
    Sid(5, (32, 558)): r"BUILTIN\Performance Monitor Users",
    Sid(5, (32, 562)): r"BUILTIN\Distributed COM Users",
    Sid(5, (32, 580)): r"BUILTIN\Remote Management Users",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has authenticated, or the system itself.

    `groups` are the SIDs that the account holds beside its own; `domain` and `account` are as the accounts
    file spells them, whatever the peer typed.
    """

    domain: str
    account: str
    sid: Sid
    groups: frozenset[Sid] = frozenset()

    @classmethod
    def local_system(cls) -> Principal:
        """The caller inside this process: LocalSystem, an administrator, never from the network."""
        groups = frozenset({EVERYONE, AUTHENTICATED_USERS, ADMINISTRATORS})
        return cls("NT AUTHORITY", "SYSTEM", LOCAL_SYSTEM, groups)

    @property
    def name(self) -> str:
        """`DOMAIN\\account`, or the bare account where there is no domain."""
        return f"{self.domain}\\{self.account}" if self.domain else self.account

    @property
    def sids(self) -> frozenset[Sid]:
        """Every SID that an access check may match: the account's and its groups'."""
        return self.groups | {self.sid}

    @property
    def is_administrator(self) -> bool:
        """Whether the account belongs to the local Administrators, or is the system."""
        return ADMINISTRATORS in self.groups or self.sid in (ADMINISTRATORS, LOCAL_SYSTEM)

    def __str__(self) -> str:
        return self.name
