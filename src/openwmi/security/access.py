"""Who may do what in a namespace (MS-WMI 5.2), decided from its security descriptor (MS-DTYP 2.5.3.2).

Pure functions of a descriptor and a principal. They raise nothing.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final

from openwmi.security.descriptor import Ace, AceFlag, AceType, Acl, SecurityDescriptor
from openwmi.security.principals import (
    ADMINISTRATORS,
    AUTHENTICATED_USERS,
    LOCAL_SERVICE,
    NETWORK_SERVICE,
    Principal,
    Sid,
)

__all__ = ["ALL_RIGHTS", "NAMESPACE_RIGHTS", "AccessRight", "audited", "default_descriptor", "granted_access"]


class AccessRight(IntFlag):
    """Rights to a namespace, and to the events in it (MS-WMI 5.2)."""

    ENABLE = 0x1
    METHOD_EXECUTE = 0x2
    FULL_WRITE = 0x4
    PARTIAL_WRITE_REP = 0x8
    WRITE_PROVIDER = 0x10
    REMOTE_ENABLE = 0x20
    RIGHT_SUBSCRIBE = 0x40
    RIGHTS_PUBLISH = 0x80
    READ_CONTROL = 0x20000
    WRITE_DAC = 0x40000


NAMESPACE_RIGHTS: Final = AccessRight(0x6003F)
"""Every right to a namespace: what GetCallerAccessRights reports of an administrator."""

ALL_RIGHTS: Final = NAMESPACE_RIGHTS | AccessRight.RIGHT_SUBSCRIBE | AccessRight.RIGHTS_PUBLISH

# Which rights the generic ones stand for is each resource manager's own (MS-DTYP 2.4.3); MS-WMI is silent.
_GENERIC: Final = {
    0x80000000: AccessRight.ENABLE | AccessRight.READ_CONTROL,
    0x40000000: AccessRight.FULL_WRITE | AccessRight.PARTIAL_WRITE_REP | AccessRight.WRITE_PROVIDER,
    0x20000000: AccessRight.METHOD_EXECUTE,
    0x10000000: ALL_RIGHTS,
}
_OWNER_RIGHTS: Final = Sid(3, (4,))
_OWNER_IMPLICITLY: Final = AccessRight.READ_CONTROL | AccessRight.WRITE_DAC

_ALLOW: Final = frozenset({AceType.ACCESS_ALLOWED})
# A condition is not evaluated here. One that allows does not, one that denies does.
_DENY: Final = frozenset({AceType.ACCESS_DENIED, AceType.ACCESS_DENIED_CALLBACK})
_AUDIT: Final = frozenset({AceType.SYSTEM_AUDIT, AceType.SYSTEM_AUDIT_CALLBACK})


def granted_access(descriptor: SecurityDescriptor | None, principal: Principal) -> AccessRight:
    """Every right that `principal` has under `descriptor`.

    Administrators have all of them, whatever it says (MS-WMI note 88). No descriptor grants nothing; a descriptor
    without a DACL grants everything. Otherwise the first entry that names a right and matches the principal decides
    about that right: what a request for the right alone would find. (MAXIMUM_ALLOWED of MS-DTYP 2.5.3.2 lets a denial
    win from behind; the two differ only for lists that are not in canonical order.)
    """
    if principal.is_administrator:
        return ALL_RIGHTS
    if descriptor is None:
        return AccessRight(0)
    if descriptor.dacl is None:
        return ALL_RIGHTS
    effective = [ace for ace in descriptor.dacl.aces if not ace.flags & AceFlag.INHERIT_ONLY]
    sids = principal.sids
    granted = denied = AccessRight(0)
    if descriptor.owner in sids:
        if not any(ace.sid == _OWNER_RIGHTS for ace in effective):
            granted = _OWNER_IMPLICITLY
        sids |= {_OWNER_RIGHTS}
    for ace in effective:
        if ace.sid not in sids:
            continue
        if ace.type in _ALLOW:
            granted |= _specific(ace.mask) & ~denied
        elif ace.type in _DENY:
            denied |= _specific(ace.mask)
    return granted


def audited(sacl: Acl | None, principal: Principal, wanted: AccessRight, *, granted: bool) -> bool:
    """Whether the SACL wants a record of `principal`'s attempt to use the rights `wanted` (MS-DTYP 2.4.4.10).

    `granted` says whether the attempt succeeded. An entry with a condition counts as one without: a record too many
    does less harm than one too few.
    """
    if sacl is None:
        return False
    outcome = AceFlag.SUCCESSFUL_ACCESS if granted else AceFlag.FAILED_ACCESS
    return any(
        ace.type in _AUDIT
        and ace.flags & outcome
        and not ace.flags & AceFlag.INHERIT_ONLY
        and ace.sid in principal.sids
        and _specific(ace.mask) & wanted
        for ace in sacl.aces
    )


def default_descriptor() -> SecurityDescriptor:
    """What guards a namespace that has no descriptor of its own: Windows' documented default.

    Administrators have every right. Authenticated users and the two service accounts may read, execute methods and
    write through providers, but not from another computer: REMOTE_ENABLE is the administrators' alone (the
    constants' public documentation says so of each right; another page that grants users Full Write contradicts it).
    """
    everything = Ace.allow(ADMINISTRATORS, NAMESPACE_RIGHTS, AceFlag.CONTAINER_INHERIT)
    rights = AccessRight.ENABLE | AccessRight.METHOD_EXECUTE | AccessRight.WRITE_PROVIDER
    others = (
        Ace.allow(sid, rights, AceFlag.CONTAINER_INHERIT)
        for sid in (NETWORK_SERVICE, LOCAL_SERVICE, AUTHENTICATED_USERS)
    )
    return SecurityDescriptor(ADMINISTRATORS, ADMINISTRATORS, Acl((everything, *others)))


def _specific(mask: int) -> AccessRight:
    """The rights of this room's table that a mask names, generic ones mapped, foreign bits dropped."""
    for bit, rights in _GENERIC.items():
        if mask & bit:
            mask |= rights
    return AccessRight(mask & ALL_RIGHTS)
