"""Security descriptors as text: the Security Descriptor Definition Language (MS-DTYP 2.5.1).

Understood are owner, group, both lists with their flags, and entries of the kinds A, D and AU, which is what the
NamespaceSecuritySDDL qualifier and the tools for namespaces use. Conditional, object and label entries are
refused: `SyntaxProblem` for a text, with its position; `CallerError` for a descriptor that has no such text.
"""

from __future__ import annotations

import re
from typing import Final

from openwmi.errors import CallerError, SyntaxProblem
from openwmi.security.descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from openwmi.security.principals import Sid

__all__ = ["format_sddl", "parse_sddl"]

_MAX_TEXT: Final = 1 << 20

# Aliases of well-known SIDs: MS-DTYP 2.5.1.1 by way of 2.4.2.4.
_ALIASES: Final = {
    "AA": "S-1-5-32-579",
    "AC": "S-1-15-2-1",
    "AN": "S-1-5-7",
    "AO": "S-1-5-32-548",
    "AU": "S-1-5-11",
    "BA": "S-1-5-32-544",
    "BG": "S-1-5-32-546",
    "BO": "S-1-5-32-551",
    "BU": "S-1-5-32-545",
    "CD": "S-1-5-32-574",
    "CG": "S-1-3-1",
    "CO": "S-1-3-0",
    "CY": "S-1-5-32-569",
    "ED": "S-1-5-9",
    "ER": "S-1-5-32-573",
    "ES": "S-1-5-32-576",
    "HA": "S-1-5-32-578",
    "HI": "S-1-16-12288",
    "IS": "S-1-5-32-568",
    "IU": "S-1-5-4",
    "LS": "S-1-5-19",
    "LU": "S-1-5-32-559",
    "LW": "S-1-16-4096",
    "ME": "S-1-16-8192",
    "MP": "S-1-16-8448",
    "MS": "S-1-5-32-577",
    "MU": "S-1-5-32-558",
    "NO": "S-1-5-32-556",
    "NS": "S-1-5-20",
    "NU": "S-1-5-2",
    "OW": "S-1-3-4",
    "PO": "S-1-5-32-550",
    "PS": "S-1-5-10",
    "PU": "S-1-5-32-547",
    "RA": "S-1-5-32-575",
    "RC": "S-1-5-12",
    "RD": "S-1-5-32-555",
    "RE": "S-1-5-32-552",
    "RM": "S-1-5-32-580",
    "RU": "S-1-5-32-554",
    "SI": "S-1-16-16384",
    "SO": "S-1-5-32-549",
    "SU": "S-1-5-6",
    "SY": "S-1-5-18",
    "UD": "S-1-5-84-0-0-0-0-0",
    "WD": "S-1-1-0",
    "WR": "S-1-5-33",
}
_SIDS: Final = {alias: Sid.parse(text) for alias, text in _ALIASES.items()}
_NAMES: Final = {sid: alias for alias, sid in _SIDS.items()}

# Aliases that need a domain's, or the machine's, SID before them.
_RELATIVE: Final = {
    "CA": 517,
    "CN": 522,
    "DA": 512,
    "DC": 515,
    "DD": 516,
    "DG": 514,
    "DU": 513,
    "EA": 519,
    "LA": 500,
    "LG": 501,
    "PA": 520,
    "RO": 498,
    "RS": 553,
    "SA": 518,
}

# Rights, in the order in which they are written; those of one bit suffice to write any mask that has letters.
_RIGHTS: Final = {
    "GA": 0x10000000,
    "GR": 0x80000000,
    "GW": 0x40000000,
    "GX": 0x20000000,
    "CC": 0x0001,
    "DC": 0x0002,
    "LC": 0x0004,
    "SW": 0x0008,
    "RP": 0x0010,
    "WP": 0x0020,
    "DT": 0x0040,
    "LO": 0x0080,
    "CR": 0x0100,
    "SD": 0x00010000,
    "RC": 0x00020000,
    "WD": 0x00040000,
    "WO": 0x00080000,
}
_COMPOUND_RIGHTS: Final = {
    "FA": 0x001F01FF,
    "FX": 0x001200A0,
    "FW": 0x00120116,
    "FR": 0x00120089,
    "KA": 0x000F003F,
    "KR": 0x00020019,
    "KX": 0x00020019,
    "KW": 0x00020006,
}
_ALL_RIGHTS: Final = _RIGHTS | _COMPOUND_RIGHTS

_ACE_TYPES: Final = {
    "A": int(AceType.ACCESS_ALLOWED),
    "D": int(AceType.ACCESS_DENIED),
    "AU": int(AceType.SYSTEM_AUDIT),
}
_ACE_TYPE_NAMES: Final = {kind: name for name, kind in _ACE_TYPES.items()}
_ACE_FLAGS: Final = {"CI": 0x02, "OI": 0x01, "NP": 0x04, "IO": 0x08, "ID": 0x10, "SA": 0x40, "FA": 0x80}

_NULL_LIST: Final = "NO_ACCESS_CONTROL"
_LIST_FLAGS: Final = {
    "D": {
        "P": Control.DACL_PROTECTED,
        "AR": Control.DACL_INHERIT_REQUIRED,
        "AI": Control.DACL_AUTO_INHERITED,
    },
    "S": {
        "P": Control.SACL_PROTECTED,
        "AR": Control.SACL_INHERIT_REQUIRED,
        "AI": Control.SACL_AUTO_INHERITED,
    },
}
_PRESENT: Final = {"D": Control.DACL_PRESENT, "S": Control.SACL_PRESENT}

_PART: Final = re.compile(r"\s*([OGDS]):", re.IGNORECASE)
_SID: Final = re.compile(r"S-1-(?:0x[0-9A-F]{12}|[0-9]+)(?:-[0-9]+)*|[A-Z]{2}", re.IGNORECASE | re.ASCII)
_LIST_FLAG: Final = re.compile(r"P|AR|AI", re.IGNORECASE)
_ACE: Final = re.compile(r"\s*\(([^;()]*);([^;()]*);([^;()]*);([^;()]*);([^;()]*);([^;()]*)\)")
_NUMBER: Final = re.compile(r"0x[0-9A-F]{1,8}|[0-9]{1,11}", re.IGNORECASE | re.ASCII)


def parse_sddl(text: str, *, domain: Sid | None = None) -> SecurityDescriptor:
    """The descriptor that `text` spells.

    domain: the domain's or machine's SID (S-1-5-21-x-y-z), for aliases such as DA that are relative to it.
    """
    if len(text) > _MAX_TEXT:
        raise SyntaxProblem(f"SDDL of {len(text)} characters, at most {_MAX_TEXT}", text[:100])
    return _Parser(text, domain).parse()


class _Parser:
    """One pass over the text, from part to part."""

    def __init__(self, text: str, domain: Sid | None) -> None:
        self._text = text.rstrip()
        self._domain = domain
        self._position = 0
        self._control = Control(0)
        self._seen: set[str] = set()

    def parse(self) -> SecurityDescriptor:
        sids: dict[str, Sid] = {}
        lists: dict[str, Acl | None] = {}
        while self._position < len(self._text):
            found = _PART.match(self._text, self._position)
            if found is None:
                raise self._problem("expected O:, G:, D: or S:")
            part = found[1].upper()
            if part in self._seen:
                raise self._problem(f"{part}: is there twice")
            self._seen.add(part)
            self._position = found.end()
            if part in "OG":
                sids[part] = self._sid()
            else:
                lists[part] = self._list(part)
        return SecurityDescriptor(sids.get("O"), sids.get("G"), lists.get("D"), lists.get("S"), self._control)

    def _sid(self) -> Sid:
        found = _SID.match(self._text, self._position)
        if found is None:
            raise self._problem("expected a SID")
        sid = self._resolve(found[0], self._position)
        self._position = found.end()
        return sid

    def _resolve(self, word: str, position: int) -> Sid:
        """The SID of an alias or of a SID's text."""
        alias = word.upper()
        if alias in _SIDS:
            return _SIDS[alias]
        if alias in _RELATIVE:
            if self._domain is None:
                raise self._problem(f"the alias {alias} needs a domain, and there is none", position)
            return self._domain.child(_RELATIVE[alias])
        try:
            return Sid.parse(word)
        except SyntaxProblem as error:
            raise self._problem(error.message, position) from None

    def _list(self, part: str) -> Acl | None:
        self._control |= _PRESENT[part]
        while (flag := _LIST_FLAG.match(self._text, self._position)) is not None:
            self._control |= _LIST_FLAGS[part][flag[0].upper()]
            self._position = flag.end()
        end = self._position + len(_NULL_LIST)
        if self._text[self._position : end].upper() == _NULL_LIST:
            self._position = end
            return None
        aces = []
        while (found := _ACE.match(self._text, self._position)) is not None:
            aces.append(self._ace(found))
            self._position = found.end()
        try:
            return Acl(tuple(aces))
        except ValueError as error:
            raise self._problem(str(error)) from None

    def _ace(self, found: re.Match[str]) -> Ace:
        kind, flags, rights, object_type, inherited_type, who = (field.strip().upper() for field in found.groups())
        if kind not in _ACE_TYPES:
            raise self._problem(f"an entry of the kind {kind!r} is not supported", found.start(1))
        if object_type or inherited_type:
            raise self._problem("an entry about an object type is not supported", found.start(4))
        mask = self._mask(rights, found.start(3))
        return Ace(
            _ACE_TYPES[kind],
            self._pairs(flags, _ACE_FLAGS, "flag", found.start(2)),
            mask,
            self._resolve(who, found.start(6)),
        )

    def _mask(self, rights: str, position: int) -> int:
        if _NUMBER.fullmatch(rights) is None:
            return self._pairs(rights, _ALL_RIGHTS, "right", position)
        octal = rights[0] == "0" and rights[1:2] not in {"", "X"}
        try:
            mask = int(rights, 8) if octal else int(rights, 0)
        except ValueError:
            raise self._problem(f"{rights!r} is not a number", position) from None
        if mask > 0xFFFFFFFF:
            raise self._problem(f"the mask {rights} does not fit in 32 bits", position)
        return mask

    def _pairs(self, text: str, table: dict[str, int], what: str, position: int) -> int:
        """The union of what the text's pairs of letters mean."""
        value = 0
        for index in range(0, len(text), 2):
            pair = text[index : index + 2]
            if pair not in table:
                raise self._problem(f"there is no {what} {pair!r}", position)
            value |= table[pair]
        return value

    def _problem(self, message: str, position: int | None = None) -> SyntaxProblem:
        where = self._position if position is None else position
        return SyntaxProblem(f"SDDL, at character {where + 1}: {message}", self._text, where)


def format_sddl(descriptor: SecurityDescriptor) -> str:
    """The text of a descriptor; `parse_sddl` makes the same one of it."""
    parts = []
    if descriptor.owner is not None:
        parts.append(f"O:{_format_sid(descriptor.owner)}")
    if descriptor.group is not None:
        parts.append(f"G:{_format_sid(descriptor.group)}")
    for part, acl in (("D", descriptor.dacl), ("S", descriptor.sacl)):
        if not descriptor.control & _PRESENT[part]:
            continue
        flags = "".join(name for name, bit in _LIST_FLAGS[part].items() if descriptor.control & bit)
        entries = _NULL_LIST if acl is None else "".join(map(_format_ace, acl.aces))
        parts.append(f"{part}:{flags}{entries}")
    return "".join(parts)


def _format_sid(sid: Sid) -> str:
    return _NAMES.get(sid) or str(sid)


def _format_ace(ace: Ace) -> str:
    known_flags = sum(_ACE_FLAGS.values())
    if ace.type not in _ACE_TYPE_NAMES or ace.sid is None or ace.flags & ~known_flags:
        raise CallerError(f"an entry of type {ace.type:#04x} with flags {ace.flags:#04x} has no SDDL here")
    flags = "".join(name for name, bit in _ACE_FLAGS.items() if ace.flags & bit)
    return f"({_ACE_TYPE_NAMES[ace.type]};{flags};{_format_mask(ace.mask)};;;{_format_sid(ace.sid)})"


def _format_mask(mask: int) -> str:
    """In letters if there are letters for every bit, else in hexadecimal."""
    if mask & ~sum(_RIGHTS.values()):
        return f"{mask:#x}"
    return "".join(name for name, bit in _RIGHTS.items() if mask & bit)
