from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.cim import NameMap, fold, is_identifier, is_system_name


@dataclass(frozen=True)
class Thing:
    name: str
    value: int = 0


@pytest.mark.parametrize(
    ("one", "two"), [("Name", "nAME"), ("ÄRGER", "ärger"), ("ΟΔΟΣ", "οδος"), ("οδοσ", "οδος"), ("", "")]
)
def test_names_that_are_the_same(one: str, two: str) -> None:
    assert fold(one) == fold(two)


@given(st.text())
def test_fold_twice_is_fold(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.text())
def test_fold_does_not_look_at_neighbours(one: str, two: str) -> None:
    assert fold(one + two) == fold(one) + fold(two)


@pytest.mark.parametrize("text", ["a", "_", "__CLASS", "A1", "é", "中文", "Win32_Process", "\uffef"])
def test_identifiers(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize(
    "text", ["", "1a", "a-b", "a b", "a\n", "a.b", " a", "\ud800", "a\udfff", "\uffff", "\x7f", "😀"]
)
def test_what_is_no_identifier(text: str) -> None:
    assert not is_identifier(text)


def test_system_names() -> None:
    assert is_system_name("__CLASS")
    assert not is_system_name("_CLASS")


def test_a_map_finds_without_regard_to_case_and_keeps_order_and_spelling() -> None:
    things = NameMap([Thing("Beta"), Thing("alpha")])
    assert list(things) == ["Beta", "alpha"]
    assert things["BETA"] is things["beta"] is things["Beta"]
    assert "ALPHA" in things
    assert "gamma" not in things
    assert not things.__contains__(5)
    assert len(things) == 2
    assert things.get("Gamma") is None
    with pytest.raises(KeyError):
        things["gamma"]
    assert "Beta" in repr(things)


def test_a_name_is_there_once() -> None:
    with pytest.raises(ValueError, match="B is there twice"):
        NameMap([Thing("b"), Thing("B")])


def test_maps_do_not_change_but_make_others() -> None:
    things = NameMap([Thing("A"), Thing("B")])
    assert list(things.with_items([Thing("b", 1), Thing("C")]).each()) == [Thing("A"), Thing("b", 1), Thing("C")]
    assert list(things.without("a", "none").each()) == [Thing("B")]
    assert list(things.each()) == [Thing("A"), Thing("B")]


def test_maps_compare_hash_and_pickle() -> None:
    one, two = NameMap([Thing("A"), Thing("B")]), NameMap([Thing("B"), Thing("A")])
    assert one == two
    assert hash(one) == hash(two)
    assert one != NameMap([Thing("A", 1), Thing("B")])
    assert one != {"A": Thing("A")}
    assert pickle.loads(pickle.dumps(one)) == one


def test_lookups_that_find_nothing_are_no_error() -> None:
    one = Thing("Name")
    found = NameMap([one])
    assert found.get("NAME") is one
    assert found.get("other") is None
    assert found.get("other", one) is one
    assert NameMap.of_folded({"name": one}) == found
