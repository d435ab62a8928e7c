"""Security descriptors as objects, both ways: `__SecurityDescriptor` with `__ACE` and `__Trustee` in it.

The classes are the SDK's. What they cannot hold is refused, never left out: entries of other kinds than a mask and a
SID, and entries with a condition. Trustees are SIDs here: their names are for the client to look up, and
a trustee of whom only the name is given is a mistake of the caller's (WBEM_E_INVALID_PARAMETER).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from openwmi.cim import Class, Instance
from openwmi.errors import DecodeError, InvalidParameter, SyntaxProblem, WbemError
from openwmi.security.descriptor import Ace, Acl, Control, SecurityDescriptor
from openwmi.security.principals import Sid
from openwmi.status import WbemStatus

__all__ = ["DescriptorObjects"]

# The bits of ControlFlags that go with each list.
_OF_DACL: Final = (
    Control.DACL_PRESENT | Control.DACL_DEFAULTED | Control.DACL_TRUSTED | Control.DACL_INHERIT_REQUIRED
    | Control.DACL_AUTO_INHERITED | Control.DACL_PROTECTED
)  # fmt: skip
_OF_SACL: Final = (
    Control.SACL_PRESENT | Control.SACL_DEFAULTED | Control.SACL_INHERIT_REQUIRED | Control.SACL_AUTO_INHERITED
    | Control.SACL_PROTECTED
)  # fmt: skip


class DescriptorObjects:
    """The conversions, with the classes of one namespace, which `get_class` finds."""

    def __init__(self, get_class: Callable[[str], Class]) -> None:
        self._descriptor = get_class("__SecurityDescriptor")
        self._ace = get_class("__ACE")
        self._trustee = get_class("__Trustee")

    def instance(self, descriptor: SecurityDescriptor) -> Instance:
        """The descriptor as a `__SecurityDescriptor`; WBEM_E_NOT_SUPPORTED if it has entries that no `__ACE` can be."""
        return self._descriptor.new(
            ControlFlags=int(descriptor.control),
            Owner=self._trustee_of(descriptor.owner),
            Group=self._trustee_of(descriptor.group),
            DACL=self._entries_of(descriptor.dacl),
            SACL=self._entries_of(descriptor.sacl),
        )

    def _entries_of(self, acl: Acl | None) -> list[Instance] | None:
        return None if acl is None else [self._entry_of(ace) for ace in acl.aces]

    def _entry_of(self, ace: Ace) -> Instance:
        if ace.sid is None or ace.data:
            raise WbemError.of(
                WbemStatus.WBEM_E_NOT_SUPPORTED,
                f"an entry of type {ace.type:#04x} has more than __ACE can hold: GetSD has its bytes",
            )
        return self._ace.new(
            AccessMask=ace.mask, AceFlags=ace.flags, AceType=ace.type, Trustee=self._trustee_of(ace.sid)
        )

    def _trustee_of(self, sid: Sid | None) -> Instance | None:
        return None if sid is None else self._trustee.new(SID=bytes(sid), SidLength=sid.size, SIDString=str(sid))

    def changed(self, current: SecurityDescriptor, given: Any) -> SecurityDescriptor:
        """`current` as `given`, a `__SecurityDescriptor`, changes it.

        A list is replaced if ControlFlags says that it is present (and no SACL by NULL), the owner and the group if
        they are not NULL; what is not replaced stays. Raises WBEM_E_INVALID_PARAMETER or WBEM_E_TYPE_MISMATCH.
        """
        values = _values(given, self._descriptor, "Descriptor")
        flags = values["ControlFlags"] or 0
        control, dacl, sacl = current.control, current.dacl, current.sacl
        if flags & Control.DACL_PRESENT:
            dacl = None if values["DACL"] is None else self._acl(values["DACL"], "DACL")
            control = control & ~_OF_DACL | flags & _OF_DACL
        if flags & Control.SACL_PRESENT and values["SACL"] is not None:
            sacl = self._acl(values["SACL"], "SACL")
            control = control & ~_OF_SACL | flags & _OF_SACL
        owner, group = (
            kept if values[name] is None else self._sid(values[name], name)
            for name, kept in (("Owner", current.owner), ("Group", current.group))
        )
        return replace(current, owner=owner, group=group, dacl=dacl, sacl=sacl, control=control)

    def _acl(self, entries: tuple[Any, ...], what: str) -> Acl:
        try:
            return Acl(tuple(self._entry(entry, f"{what}[{i}]") for i, entry in enumerate(entries)))
        except ValueError as error:
            raise InvalidParameter(f"{what}: {error}") from None

    def _entry(self, given: Any, what: str) -> Ace:
        values = _values(given, self._ace, what)
        missing = [name for name in ("AceType", "AccessMask", "Trustee") if values[name] is None]
        if missing:
            raise InvalidParameter(f"{what}: {missing[0]} is NULL")
        sid = self._sid(values["Trustee"], f"{what}.Trustee")
        return Ace(values["AceType"], values["AceFlags"] or 0, values["AccessMask"], sid)

    def _sid(self, given: Any, what: str) -> Sid:
        values = _values(given, self._trustee, what)
        try:
            if values["SID"] is not None:
                return Sid.from_bytes(values["SID"])
            if values["SIDString"] is not None:
                return Sid.parse(values["SIDString"])
        except (DecodeError, SyntaxProblem) as error:
            raise InvalidParameter(f"{what}: {error}") from None
        raise InvalidParameter(f"{what}: neither SID nor SIDString is given, and names are not looked up here")


def _values(given: Any, cls: Class, what: str) -> dict[str, Any]:
    """The values of an instance of `cls`, which are of its types: a class that came from a peer may have others."""
    if not (isinstance(given, Instance) and given.cls.is_a(cls.name)):
        raise InvalidParameter(f"{what} is no {cls.name}")
    return {declared.name: declared.conform(given.get(declared.name)) for declared in cls.properties.each()}
