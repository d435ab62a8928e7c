"""What a namespace's security descriptor inherits (MS-WMI 2.2.30.2), and which accesses are recorded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from openwmi.security.access import AccessRight, audited
from openwmi.security.descriptor import Ace, AceFlag, Acl, Control, SecurityDescriptor, inherit
from openwmi.security.principals import AUTHENTICATED_USERS, EVERYONE, Principal, Sid
from openwmi.security.sddl import format_sddl, parse_sddl
from tests.security.strategies import descriptors

USER = Principal("HOST", "ada", Sid(5, (21, 1, 2, 3, 1000)), frozenset({EVERYONE, AUTHENTICATED_USERS}))


# parent, child, the child's descriptor afterwards
@pytest.mark.requirement("WMI-2.2.30.2-01", "WMI-2.2.30.2-02", "WMI-2.2.30.2-03")
@pytest.mark.parametrize(
    ("parent", "child", "effective"),
    [
        ("D:(A;;CC;;;WD)", "D:(A;;DC;;;BA)", "D:(A;;DC;;;BA)"),
        ("D:(A;OI;CC;;;WD)", "D:(A;;DC;;;BA)", "D:(A;;DC;;;BA)"),
        ("D:(A;CI;CC;;;WD)", "D:(A;;DC;;;BA)", "D:(A;;DC;;;BA)(A;CIID;CC;;;WD)"),
        ("D:(A;CI;CC;;;WD)(D;CI;DC;;;BU)", "D:", "D:(A;CIID;CC;;;WD)(D;CIID;DC;;;BU)"),
        ("D:(A;CINP;CC;;;WD)", "D:", "D:(A;NPID;CC;;;WD)"),
        ("D:(A;CIIO;CC;;;WD)", "D:", "D:(A;CIID;CC;;;WD)"),
        ("D:(A;CINPIO;CC;;;WD)", "D:", "D:(A;NPID;CC;;;WD)"),
        ("D:(A;CIID;CC;;;WD)", "D:", "D:(A;CIID;CC;;;WD)"),
        ("D:P(A;CI;CC;;;WD)", "D:(A;;DC;;;BA)", "D:(A;;DC;;;BA)"),
        ("D:(A;CI;CC;;;WD)", "D:P(A;;DC;;;BA)", "D:P(A;;DC;;;BA)(A;CIID;CC;;;WD)"),
        ("D:NO_ACCESS_CONTROL", "D:(A;;DC;;;BA)", "D:(A;;DC;;;BA)"),
        ("D:(A;CI;CC;;;WD)", "D:NO_ACCESS_CONTROL", "D:NO_ACCESS_CONTROL"),
        ("D:(A;CI;CC;;;WD)", "O:BAG:BAD:", "O:BAG:BAD:(A;CIID;CC;;;WD)"),
        ("O:WDG:WDD:", "O:BAG:BAD:", "O:BAG:BAD:"),
        # What was inherited before is replaced, and nothing is there twice.
        ("D:(A;CI;CC;;;WD)", "D:(A;CIID;DC;;;WD)(A;CIID;CC;;;WD)", "D:(A;CIID;CC;;;WD)"),
        ("D:", "D:(A;CIID;CC;;;WD)", "D:"),
        ("D:(A;CI;CC;;;WD)", "D:(A;CI;CC;;;WD)", "D:(A;CI;CC;;;WD)"),
        # The audit list by itself.
        ("D:P(A;CI;CC;;;WD)S:(AU;CISA;CC;;;WD)", "D:", "D:S:(AU;CIIDSA;CC;;;WD)"),
        ("D:(A;CI;CC;;;WD)S:P(AU;CISA;CC;;;WD)", "D:", "D:(A;CIID;CC;;;WD)"),
        ("D:S:(AU;SA;CC;;;WD)", "D:", "D:"),
        ("D:S:(AU;CINPFA;CC;;;WD)", "D:S:(AU;SA;DC;;;BA)", "D:S:(AU;SA;DC;;;BA)(AU;NPIDFA;CC;;;WD)"),
    ],
)
def test_inheritance(parent: str, child: str, effective: str) -> None:
    assert format_sddl(inherit(parse_sddl(parent), parse_sddl(child))) == effective


@settings(max_examples=100)
@given(descriptors, descriptors)
def test_inheriting_twice_changes_nothing_more(parent: SecurityDescriptor, child: SecurityDescriptor) -> None:
    once = inherit(parent, child)
    assert inherit(parent, once) == once
    assert (once.owner, once.group) == (child.owner, child.group)


def test_a_list_of_the_newer_revision_stays_one() -> None:
    newer = Ace(0x05, AceFlag.CONTAINER_INHERIT, data=bytes(8))
    parent = SecurityDescriptor(dacl=Acl((newer,), revision=4))
    made = inherit(parent, SecurityDescriptor(dacl=Acl()))
    assert made.dacl == Acl((Ace(0x05, AceFlag.CONTAINER_INHERIT | AceFlag.INHERITED, data=bytes(8)),), revision=4)


def test_lists_that_grow_too_long() -> None:
    many = Acl(tuple(Ace.allow(Sid(5, (21, n)), 1, AceFlag.CONTAINER_INHERIT) for n in range(2000)))
    more = Acl(tuple(Ace.allow(Sid(5, (22, n)), 1) for n in range(2000)))
    with pytest.raises(ValueError, match="64 KiB"):
        inherit(SecurityDescriptor(dacl=many), SecurityDescriptor(dacl=more))


READ = AccessRight.ENABLE


@pytest.mark.parametrize(
    ("sddl", "wanted", "granted", "recorded"),
    [
        ("D:", READ, True, False),
        ("D:S:", READ, True, False),
        ("D:S:(AU;SA;CC;;;WD)", READ, True, True),
        ("D:S:(AU;SA;CC;;;WD)", READ, False, False),
        ("D:S:(AU;FA;CC;;;WD)", READ, False, True),
        ("D:S:(AU;FA;CC;;;WD)", READ, True, False),
        ("D:S:(AU;SAFA;CC;;;WD)", READ, False, True),
        ("D:S:(AU;;CC;;;WD)", READ, True, False),
        ("D:S:(AU;SA;DC;;;WD)", READ, True, False),
        ("D:S:(AU;SA;DC;;;WD)", READ | AccessRight.METHOD_EXECUTE, True, True),
        ("D:S:(AU;SA;GR;;;WD)", READ, True, True),
        ("D:S:(AU;SA;CC;;;BA)", READ, True, False),
        ("D:S:(AU;SA;CC;;;S-1-5-21-1-2-3-1000)", READ, True, True),
        ("D:S:(AU;CIIOSA;CC;;;WD)", READ, True, False),
    ],
)
def test_what_is_audited(sddl: str, wanted: AccessRight, granted: bool, recorded: bool) -> None:
    assert audited(parse_sddl(sddl).sacl, USER, wanted, granted=granted) is recorded


def test_an_entry_of_another_kind_in_an_audit_list_audits_nothing() -> None:
    sacl = Acl((Ace(0x00, AceFlag.SUCCESSFUL_ACCESS, READ, EVERYONE),))
    assert not audited(sacl, USER, READ, granted=True)
    conditional = Acl((Ace(0x0D, AceFlag.SUCCESSFUL_ACCESS, READ, EVERYONE, b"artx"),))
    assert audited(conditional, USER, READ, granted=True)


def test_the_other_control_bits_stay() -> None:
    child = SecurityDescriptor(dacl=Acl(), control=Control.DACL_AUTO_INHERITED)
    assert inherit(SecurityDescriptor(), child).control & Control.DACL_AUTO_INHERITED
