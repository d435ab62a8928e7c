"""Quotas of connections and of log lines."""

from __future__ import annotations

import logging

import pytest

from openwmi.net.guard import Guests, RefusalLog, connection_budget


class House:
    def __init__(self, total: int, strangers: int) -> None:
        self.guests = Guests(total, strangers)
        self.gone: list[str] = []

    def admit(self, name: str, address: str = "a", *, suspect: bool = False) -> bool:
        return self.guests.admit(name, address, lambda: self.gone.append(name), suspect=suspect)


def test_the_oldest_stranger_makes_room_for_a_new_guest() -> None:
    house = House(total=2, strangers=9)
    assert house.admit("1", "a")
    assert house.admit("2", "b")
    house.guests.known("1", "ada")
    assert house.admit("3", "c")
    assert house.gone == ["2"]


def test_nobody_has_to_go_for_a_stranger_once_all_are_known() -> None:
    house = House(total=1, strangers=9)
    assert house.admit("1")
    house.guests.known("1", "ada")
    assert not house.admit("2")
    house.guests.left("1")
    assert house.admit("3")
    assert house.gone == []


def test_one_address_cannot_have_all_the_strangers() -> None:
    house = House(total=99, strangers=2)
    assert all(house.admit(name) for name in "123")
    assert house.gone == ["1"]
    assert house.admit("4", "b")
    assert house.gone == ["1"]


def test_an_address_that_guesses_does_not_shorten_its_waits_by_hanging_up() -> None:
    house = House(total=99, strangers=1)
    assert house.admit("1")
    assert not house.admit("2", suspect=True)
    assert house.gone == []


def test_who_leaves_makes_room() -> None:
    house = House(total=1, strangers=1)
    for name in "123":
        assert house.admit(name)
        house.guests.left(name)
    assert house.gone == []
    assert len(house.guests) == 0


def test_the_budget_is_positive() -> None:
    assert 16 <= connection_budget() <= 2500


def test_three_listeners_leave_files_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    assert 3 * connection_budget() <= 1024 - 400


def test_refusals_are_counted_instead_of_shown(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog(logging.getLogger("openwmi.test"), lines=2, window=10)
    with caplog.at_level(logging.WARNING, "openwmi.test"):
        for number in range(50):
            log.warning("a", 5.0, "refused %d", number)
        log.warning("b", 5.0, "refused b")
        log.warning("a", 15.0, "refused later")
    assert [r.getMessage() for r in caplog.records] == [
        "refused 0",
        "refused 1",
        "refused b",
        "48 more refusals of a are not shown",
        "refused later",
    ]


def test_the_addresses_that_are_remembered_are_bounded() -> None:
    log = RefusalLog(logging.getLogger("openwmi.test"), addresses=3)
    for number in range(20):
        log.warning(str(number), 0.0, "refused")
    assert len(log._seen) == 3


def test_an_account_has_a_quarter_of_the_places() -> None:
    house = House(total=100, strangers=100)
    for number in range(26):
        assert house.admit(f"ada {number}", "a")
        assert house.guests.known(f"ada {number}", "ada") is (number < 25)
    assert house.admit("bob", "a")
    assert house.guests.known("bob", "bob")
    assert house.guests.known("ada 0", "ada"), "a second log-on over the same connection takes no place"
    house.guests.left("ada 0")
    assert house.guests.known("ada 25", "ada")
