from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.errors import CallerError, SyntaxProblem
from openwmi.security.descriptor import Ace, Acl, Control, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, EVERYONE, Sid
from openwmi.security.sddl import format_sddl, parse_sddl
from tests.security.strategies import textual_descriptors

DATA = Path(__file__).parents[1] / "data" / "security"
EXAMPLE = "O:BAG:BAD:P(A;CIOI;GRGX;;;BU)(A;CIOI;GA;;;BA)(A;CIOI;GA;;;SY)(A;CIOI;GA;;;CO)S:P(AU;FA;GR;;;WD)"


def test_the_printed_example() -> None:
    descriptor = SecurityDescriptor.from_bytes((DATA / "sd_example.bin").read_bytes())
    assert parse_sddl(EXAMPLE) == descriptor
    assert format_sddl(descriptor) == EXAMPLE


# Texts that are written as they are read.
@pytest.mark.parametrize(
    "text",
    [
        "",
        "O:BA",
        "G:S-1-5-21-1-2-3-1000",
        "O:S-1-5-21-1-2-3-1000G:SYD:",
        "D:NO_ACCESS_CONTROL",
        "D:PARAI(A;;;;;WD)",
        "D:(D;ID;CCDC;;;AN)(A;CI;CCDCLCSWRPWPRCWD;;;BA)",
        "D:(A;;0x200001;;;WD)",
        "D:PNO_ACCESS_CONTROLS:AR",
        "S:(AU;SAFA;WO;;;WD)",
        "O:S-1-0x000100000000-1D:",
    ],
)
def test_identity(text: str) -> None:
    assert format_sddl(parse_sddl(text)) == text


# The masks of MS-WMI 5.2 in the forms that documentation and tools use.
@pytest.mark.parametrize(
    ("rights", "mask"),
    [
        ("0x6003F", 0x6003F),
        ("0x00060033", 0x60033),
        ("CCDCLCSWRPWPRCWD", 0x6003F),
        ("ccdcrp", 0x13),
        ("393279", 0x6003F),
        ("017", 0o17),
        ("0", 0),
        ("GA", 0x10000000),
        ("FA", 0x1F01FF),
        ("KRKW", 0x2001F),
        ("", 0),
    ],
)
def test_rights(rights: str, mask: int) -> None:
    assert parse_sddl(f"D:(A;;{rights};;;WD)").dacl == Acl((Ace.allow(EVERYONE, mask),))


def test_case_and_spaces_do_not_matter() -> None:
    text = " o:bag:ba d:p (a; ci ;0x60003;;; wd ) s:no_access_control "
    assert parse_sddl(text) == SecurityDescriptor(
        ADMINISTRATORS,
        ADMINISTRATORS,
        Acl((Ace.allow(EVERYONE, 0x60003, 2),)),
        control=Control.DACL_PROTECTED | Control.SACL_PRESENT,
    )


def test_relative_aliases_need_a_domain() -> None:
    domain = Sid.parse("S-1-5-21-1-2-3")
    assert parse_sddl("O:LAG:DU", domain=domain).owner == domain.child(500)
    with pytest.raises(SyntaxProblem, match="needs a domain"):
        parse_sddl("O:LA")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("X:BA", 0),
        ("O:", 2),
        ("O:QQ", 2),
        ("O:S-1-5-99999999999", 2),
        ("O:BAO:BA", 4),
        ("D:(A;;GA;;;BA", 2),
        ("D:(A;;GA;;BA)", 2),
        ("D:(XA;;GA;;;BA)", 3),
        ("D:(A;QQ;GA;;;BA)", 5),
        ("D:(A;;GAX;;;BA)", 6),
        ("D:(A;;0x1FFFFFFFF;;;BA)", 6),
        ("D:(A;;08;;;BA)", 6),
        ("D:(A;;99999999999;;;BA)", 6),
        ("D:(A;;GA;00000000-0000-0000-0000-000000000000;;BA)", 9),
        ("D:(A;;GA;;;)", 11),
        ("D:(A;;GA;;;BA)rubbish", 14),
        ('D:(XA;;FX;;;S-1-1-0;(@User.Title=="PM"))', 2),
    ],
)
def test_texts_that_are_refused(text: str, position: int) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse_sddl(text)
    assert caught.value.position == position


def test_a_list_that_is_too_long_is_refused() -> None:
    with pytest.raises(SyntaxProblem, match="64 KiB"):
        parse_sddl("D:" + "(A;;GA;;;WD)" * 4000)
    with pytest.raises(SyntaxProblem, match="at most"):
        parse_sddl("D:" + "(A;;GA;;;WD)" * 100_000)


@given(textual_descriptors())
def test_descriptors_round_trip(descriptor: SecurityDescriptor) -> None:
    assert parse_sddl(format_sddl(descriptor)) == descriptor


@given(st.text(alphabet="OGDSPARI:();0x1-BWCE ", max_size=60))
def test_any_text_parses_or_is_a_syntax_problem(text: str) -> None:
    try:
        descriptor = parse_sddl(text)
    except SyntaxProblem:
        return
    assert parse_sddl(format_sddl(descriptor)) == descriptor


@pytest.mark.parametrize("ace", [Ace(0x05, 0), Ace(0x09, 0, 1, EVERYONE), Ace(0, 0x20, 1, EVERYONE)])
def test_entries_without_a_text(ace: Ace) -> None:
    with pytest.raises(CallerError):
        format_sddl(SecurityDescriptor(dacl=Acl((ace,))))
