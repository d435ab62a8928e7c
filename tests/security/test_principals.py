from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.errors import DecodeError, SyntaxProblem
from openwmi.security import principals
from openwmi.security.principals import Principal, Sid
from tests.security.strategies import sids

# text, packet form
SIDS = [
    ("S-1-1-0", "01 01 000000000001 00000000"),
    ("S-1-5-18", "01 01 000000000005 12000000"),
    ("S-1-5-32-544", "01 02 000000000005 20000000 20020000"),
    ("S-1-5-21-1-2-3-1000", "01 05 000000000005 15000000 01000000 02000000 03000000 e8030000"),
    ("S-1-4294967295-1", "01 01 0000ffffffff 01000000"),
    ("S-1-0x000100000000-4294967295", "01 01 000100000000 ffffffff"),
    ("S-1-5", "01 00 000000000005"),
]

WELL_KNOWN = {
    "EVERYONE": "S-1-1-0",
    "CREATOR_OWNER": "S-1-3-0",
    "NETWORK": "S-1-5-2",
    "ANONYMOUS": "S-1-5-7",
    "AUTHENTICATED_USERS": "S-1-5-11",
    "LOCAL_SYSTEM": "S-1-5-18",
    "LOCAL_SERVICE": "S-1-5-19",
    "NETWORK_SERVICE": "S-1-5-20",
    "ADMINISTRATORS": "S-1-5-32-544",
    "USERS": "S-1-5-32-545",
}


@pytest.mark.parametrize(("text", "packed"), SIDS)
def test_a_sid_has_three_forms(text: str, packed: str) -> None:
    sid = Sid.parse(text)
    assert str(sid) == text
    assert bytes(sid) == bytes.fromhex(packed)
    assert Sid.from_bytes(bytes.fromhex(packed)) == sid
    assert sid.size == len(bytes(sid))


@pytest.mark.parametrize(("name", "text"), WELL_KNOWN.items())
def test_well_known_sids(name: str, text: str) -> None:
    assert str(getattr(principals, name)) == text


def test_a_small_letter_and_a_long_number_are_read_alike() -> None:
    assert Sid.parse("s-1-0X000000000005-18") == principals.LOCAL_SYSTEM


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S",
        "S-1",
        "S-2-5-18",
        "S-1-5-",
        "S-1-5-018",
        "S-1-05-18",
        "S-1-5-4294967296",
        "S-1-5--1",
        "S-1-5-18 ",
        " S-1-5-18",
        "S-1-5-١",
        "S-1-0x5-18",
        "S-1-5" + "-1" * 16,
        "S-1-5-" + "1" * 100_000,
    ],
)
def test_text_that_is_no_sid(text: str) -> None:
    with pytest.raises(SyntaxProblem):
        Sid.parse(text)


@pytest.mark.parametrize(
    ("packed", "field"),
    [
        ("", "SID"),
        ("0101000000000005", "SID.SubAuthority"),
        ("0201000000000005 00000000", "SID.Revision"),
        ("0110000000000005" + "00" * 64, "SID.SubAuthorityCount"),
        ("0101000000000005 00000000 00", "SID"),
    ],
)
def test_bytes_that_are_no_sid(packed: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Sid.from_bytes(bytes.fromhex(packed))
    assert caught.value.field == field


@pytest.mark.parametrize("arguments", [(-1, ()), (1 << 48, ()), (5, (-1,)), (5, (1 << 32,)), (5, (1,) * 16)], ids=str)
def test_an_impossible_sid_cannot_be_made(arguments: tuple[int, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError):
        Sid(*arguments)


@given(sids)
def test_sids_round_trip(sid: Sid) -> None:
    assert Sid.from_bytes(bytes(sid)) == sid
    assert Sid.parse(str(sid)) == sid


@given(st.binary(max_size=80))
def test_any_bytes_are_a_sid_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert bytes(Sid.from_bytes(data)) == data


def test_a_principal_has_a_name_and_sids() -> None:
    someone = Principal("HOST", "ada", Sid.parse("S-1-5-21-1-2-3-1000"), frozenset({principals.USERS}))
    assert (someone.name, str(someone), someone.is_administrator) == ("HOST\\ada", "HOST\\ada", False)
    assert someone.sids == {principals.USERS, Sid.parse("S-1-5-21-1-2-3-1000")}
    assert Principal("", "ada", principals.USERS).name == "ada"


def test_the_system_is_an_administrator() -> None:
    system = Principal.local_system()
    assert system.name == "NT AUTHORITY\\SYSTEM"
    assert system.is_administrator
    assert principals.LOCAL_SYSTEM in system.sids
    assert principals.NETWORK not in system.sids
