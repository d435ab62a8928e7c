from __future__ import annotations

import pytest

from openwmi.security.access import (
    ALL_RIGHTS,
    NAMESPACE_RIGHTS,
    AccessRight,
    default_descriptor,
    granted_access,
)
from openwmi.security.descriptor import Ace, Acl, SecurityDescriptor
from openwmi.security.principals import (
    ADMINISTRATORS,
    ANONYMOUS,
    AUTHENTICATED_USERS,
    EVERYONE,
    NETWORK,
    USERS,
    Principal,
    Sid,
)
from openwmi.security.sddl import format_sddl, parse_sddl

MACHINE = Sid.parse("S-1-5-21-1-2-3")
USER = Principal("HOST", "ada", MACHINE.child(1000), frozenset({EVERYONE, AUTHENTICATED_USERS, USERS, NETWORK}))
ADMINISTRATOR = Principal("HOST", "bob", MACHINE.child(1001), USER.groups | {ADMINISTRATORS})
STRANGER = Principal("", "ANONYMOUS LOGON", ANONYMOUS)

READ = AccessRight.ENABLE
CALL = AccessRight.METHOD_EXECUTE


# list, the rights of USER (S-1-5-21-1-2-3-1000)
@pytest.mark.requirement("WMI-5.2-01", "WMI-5.2-02")
@pytest.mark.parametrize(
    ("sddl", "rights"),
    [
        ("D:", 0),
        ("D:NO_ACCESS_CONTROL", ALL_RIGHTS),
        ("O:SY", ALL_RIGHTS),
        ("D:(A;;CC;;;WD)", READ),
        ("D:(A;;CC;;;S-1-5-21-1-2-3-1000)", READ),
        ("D:(A;;CC;;;S-1-5-21-1-2-3-1001)", 0),
        ("D:(A;;CC;;;BA)", 0),
        ("D:(A;;CC;;;NU)(A;;DC;;;AU)", READ | CALL),
        ("D:(D;;CC;;;WD)(A;;CCDC;;;WD)", CALL),
        ("D:(A;;CCDC;;;WD)(D;;CC;;;WD)", READ | CALL),
        ("D:(D;;CC;;;BA)(A;;CC;;;WD)", READ),
        ("D:(D;IO;CC;;;WD)(A;;CC;;;WD)", READ),
        ("D:(A;CIIO;CC;;;WD)", 0),
        ("D:(AU;SAFA;CC;;;WD)", 0),
        ("D:(A;;0x6003F;;;WD)", NAMESPACE_RIGHTS),
        ("D:(A;;0x1F0000;;;WD)", AccessRight.READ_CONTROL | AccessRight.WRITE_DAC),
        ("D:(A;;GR;;;WD)", READ | AccessRight.READ_CONTROL),
        (
            "D:(A;;GW;;;WD)",
            AccessRight.FULL_WRITE | AccessRight.PARTIAL_WRITE_REP | AccessRight.WRITE_PROVIDER,
        ),
        ("D:(A;;GX;;;WD)", CALL),
        ("D:(A;;GA;;;WD)", ALL_RIGHTS),
        ("D:(D;;GX;;;WD)(A;;GA;;;WD)", ALL_RIGHTS & ~CALL),
        ("O:S-1-5-21-1-2-3-1000D:", AccessRight.READ_CONTROL | AccessRight.WRITE_DAC),
        ("O:S-1-5-21-1-2-3-1000D:(A;;CC;;;OW)", READ),
        ("O:S-1-5-21-1-2-3-1001D:(A;;CC;;;OW)", 0),
    ],
)
def test_granted_access(sddl: str, rights: int) -> None:
    assert granted_access(parse_sddl(sddl), USER) == rights


def test_a_condition_never_allows_and_always_denies() -> None:
    allowed = Ace(0x09, 0, 1, EVERYONE, b"artx")
    denied = Ace(0x0A, 0, 1, EVERYONE, b"artx")
    assert granted_access(SecurityDescriptor(dacl=Acl((allowed,))), USER) == 0
    assert granted_access(SecurityDescriptor(dacl=Acl((denied, Ace.allow(EVERYONE, 3)))), USER) == CALL


def test_an_unknown_entry_does_nothing() -> None:
    acl = Acl((Ace(0x06, 0, data=bytes(8)), Ace.allow(EVERYONE, 1)), revision=4)
    assert granted_access(SecurityDescriptor(dacl=acl), USER) == READ


def test_no_descriptor_grants_nothing() -> None:
    assert granted_access(None, USER) == 0


@pytest.mark.parametrize("descriptor", [None, SecurityDescriptor(dacl=Acl()), parse_sddl("D:(D;;GA;;;BA)")])
def test_administrators_have_every_right(descriptor: SecurityDescriptor | None) -> None:
    assert granted_access(descriptor, ADMINISTRATOR) == ALL_RIGHTS
    assert granted_access(descriptor, Principal.local_system()) == ALL_RIGHTS


def test_the_default_descriptor() -> None:
    assert format_sddl(default_descriptor()) == (
        "O:BAG:BAD:(A;CI;CCDCLCSWRPWPRCWD;;;BA)(A;CI;CCDCRP;;;NS)(A;CI;CCDCRP;;;LS)(A;CI;CCDCRP;;;AU)"
    )
    assert granted_access(default_descriptor(), USER) == READ | CALL | AccessRight.WRITE_PROVIDER
    assert granted_access(default_descriptor(), STRANGER) == 0
