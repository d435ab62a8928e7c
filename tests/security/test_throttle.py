from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.security.throttle import Throttle

HERE, THERE = "192.0.2.1", "192.0.2.2"


def test_an_account_is_blocked_for_twice_as_long_each_time() -> None:
    throttle = Throttle(first=1, cap=10)
    seen = []
    for now in range(0, 500, 100):
        throttle.failed("HOST\\ada", HERE, now)
        seen.append(throttle.blocked("ada", HERE, now))
    assert seen == [1, 2, 4, 8, 10]


def test_a_block_passes() -> None:
    throttle = Throttle(first=4, cap=10)
    throttle.failed("ada", HERE, 100)
    assert throttle.blocked("ada", HERE, 101.5) == 2.5
    assert throttle.blocked("ada", HERE, 104) == 0
    assert throttle.blocked("ada", HERE, 99999) == 0


# name, address -> whether the failure of "HOST\ada" from HERE blocks it
@pytest.mark.parametrize(
    ("name", "address", "blocked"),
    [
        ("ada", HERE, True),
        ("ADA", HERE, True),
        (".\\ada", HERE, True),
        ("ada@elsewhere", HERE, True),
        ("bob", HERE, False),
        ("ada", THERE, False),
    ],
)
def test_who_is_blocked(name: str, address: str, blocked: bool) -> None:
    throttle = Throttle()
    throttle.failed("HOST\\ada", HERE, 0)
    assert (throttle.blocked(name, address, 0) > 0) is blocked


def test_the_attempts_of_an_address_that_guesses_get_slots() -> None:
    throttle = Throttle(free=3, spacing=1, queue=2)
    for index in range(3):
        throttle.failed(f"user{index}", HERE, 0)
    assert not throttle.suspects(HERE, 0)
    assert [throttle.slot(HERE, 0) for _ in range(3)] == [0, 0, 0]
    throttle.failed("user3", HERE, 0)
    assert throttle.suspects(HERE, 0)
    # One after the other, however many ask at the same moment; then the queue is full.
    assert [throttle.slot(HERE, 0) for _ in range(5)] == [0, 1, 2, None, None]
    assert throttle.slot(HERE, 1.5) == 1.5
    assert throttle.slot(THERE, 0) == 0


def test_a_failure_without_a_name_counts_for_the_address_only() -> None:
    throttle = Throttle(free=0)
    assert throttle.failed("", HERE, 0) > 0
    assert throttle.suspects(HERE, 0)
    assert throttle.blocked("", HERE, 0) == 0


def test_a_success_clears_the_account_but_not_the_address() -> None:
    throttle = Throttle(free=0)
    throttle.failed("ada", HERE, 0)
    throttle.succeeded("HOST\\ADA", HERE)
    assert throttle.blocked("ada", HERE, 0) == 0
    assert throttle.suspects(HERE, 0)


def test_failures_are_forgotten() -> None:
    throttle = Throttle(first=1, cap=100, free=0, forget=50)
    for now in (0, 10, 20):
        throttle.failed("ada", HERE, now)
    throttle.failed("ada", HERE, 80)
    assert throttle.blocked("ada", HERE, 80) == 1
    assert not throttle.suspects(HERE, 200)


def test_the_answer_to_a_failure_is_late_but_not_for_long() -> None:
    throttle = Throttle(first=0.5, cap=30)
    waits = [throttle.failed("ada", HERE, now) for now in range(0, 600, 100)]
    assert waits == [0.5, 1, 1, 1, 1, 1]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(0, 1000)), max_size=50))
def test_delays_are_bounded(attempts: list[tuple[str, float]]) -> None:
    throttle = Throttle(first=1, cap=8, free=2, queue=5, spacing=1)
    now = 0.0
    for account, later in attempts:
        now += later
        assert 0 <= throttle.failed(account, HERE, now) <= 2
        assert 0 <= throttle.blocked(account, HERE, now) <= 8 + 1e-6
        slot = throttle.slot(HERE, now)
        assert slot is None or 0 <= slot <= 5 + 1e-6


def test_the_tables_are_bounded() -> None:
    throttle = Throttle(size=10)
    for index in range(1000):
        throttle.failed(f"user{index}", f"10.0.{index // 256}.{index % 256}", index)
    assert len(throttle._accounts) == len(throttle._addresses) == 10
    assert throttle.blocked("user999", "10.0.3.231", 999) > 0


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 5, "cap": 1}, {"free": -1}, {"spacing": 20}, {"size": 0}])
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a throttle needs"):
        Throttle(**wrong)  # type: ignore[arg-type]
