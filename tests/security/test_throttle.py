from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.security.throttle import Throttle

HERE, THERE = "192.0.2.1", "192.0.2.2"


def test_delays_double_up_to_the_cap() -> None:
    throttle = Throttle(first=1, cap=10, free=100)
    now, seen = 0.0, []
    for _ in range(6):
        now += throttle.failed("HOST\\ada", HERE, now)
        seen.append(now)
    assert seen == [1, 3, 7, 15, 25, 35]


def test_a_delay_passes() -> None:
    throttle = Throttle(first=4, cap=10)
    assert throttle.failed("ada", HERE, 100) == 4
    assert throttle.delay("ada", HERE, 101.5) == 2.5
    assert throttle.delay("ada", HERE, 104) == 0
    assert throttle.delay("ada", HERE, 99999) == 0


# name, address -> whether the failure of "ada" from HERE slows it down
@pytest.mark.parametrize(
    ("name", "address", "slowed"),
    [("ada", HERE, True), ("ADA", HERE, True), ("bob", HERE, False), ("ada", THERE, False), (None, HERE, False)],
)
def test_who_is_slowed_down(name: str | None, address: str, slowed: bool) -> None:
    throttle = Throttle()
    throttle.failed("ada", HERE, 0)
    assert (throttle.delay(name, address, 0) > 0) is slowed


def test_many_names_from_one_address_slow_the_address() -> None:
    throttle = Throttle(first=1, cap=10, free=3)
    for index in range(3):
        throttle.failed(f"user{index}", HERE, 0)
    assert throttle.delay(None, HERE, 0) == 0
    throttle.failed("user3", HERE, 0)
    assert throttle.delay(None, HERE, 0) == throttle.delay("somebody", HERE, 0) == 1
    assert throttle.delay("somebody", THERE, 0) == 0


def test_parallel_failures_add_up() -> None:
    throttle = Throttle(first=1, cap=100, free=100)
    for _ in range(4):
        throttle.failed("ada", HERE, 0)
    assert throttle.delay("ada", HERE, 0) == 1 + 2 + 4 + 8


def test_a_success_clears_the_account_but_not_the_address() -> None:
    throttle = Throttle(first=1, cap=10, free=0)
    throttle.failed("ada", HERE, 0)
    throttle.failed("ada", HERE, 0)
    throttle.succeeded("ADA", HERE)
    assert throttle.delay("ada", HERE, 0) == 3
    assert throttle.failed("ada", HERE, 1000) == 1


def test_failures_are_forgotten() -> None:
    throttle = Throttle(first=1, cap=100, free=100, forget=60)
    throttle.failed("ada", HERE, 0)
    assert throttle.failed("ada", HERE, 60) == 2
    assert throttle.failed("ada", HERE, 121) == 1


def test_the_tables_are_bounded_and_names_do_not_push_addresses_out() -> None:
    throttle = Throttle(first=1, cap=10, free=0, size=8)
    for index in range(100):
        throttle.failed(f"user{index}", HERE, 0)
    assert throttle.delay("user0", HERE, 0) == 10
    for index in range(100):
        throttle.failed(None, f"192.0.2.{index + 10}", 0)
    assert throttle.delay(None, HERE, 0) == 0


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([HERE, THERE]), st.floats(0, 1e4))))
def test_a_delay_is_never_negative_nor_above_the_cap(events: list[tuple[str | None, str, float]]) -> None:
    throttle = Throttle(first=0.5, cap=7, free=1, forget=100, size=2)
    now = 0.0
    for name, address, step in events:
        now += step
        assert 0 <= throttle.failed(name, address, now) <= 7
        assert 0 <= throttle.delay(name, address, now) <= 7


@pytest.mark.parametrize("wrong", [{"first": 0}, {"cap": 0.1}, {"free": -1}, {"forget": 0}, {"size": 0}])
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Throttle(**wrong)  # type: ignore[arg-type]
