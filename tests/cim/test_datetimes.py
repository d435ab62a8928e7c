from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.cim import DateTime
from openwmi.errors import SyntaxProblem
from tests import strategies


def zone(minutes: int) -> timezone:
    return timezone(timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260131120000.000000+060", datetime(2026, 1, 31, 12, tzinfo=zone(60))),
        ("20260131120000.123456-480", datetime(2026, 1, 31, 12, 0, 0, 123456, zone(-480))),
        ("20260131120000.000001+000", datetime(2026, 1, 31, 12, 0, 0, 1, UTC)),
        ("00010101000000.000000+000", datetime(1, 1, 1, tzinfo=UTC)),
        ("99991231235959.999999+999", datetime(9999, 12, 31, 23, 59, 59, 999999, zone(999))),
        ("20161231235960.000000+000", datetime(2017, 1, 1, tzinfo=UTC)),
        ("20240229000000.000000-000", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_points_in_time(text: str, moment: datetime) -> None:
    found = DateTime(text)
    assert found.to_datetime() == moment
    assert found.to_datetime().utcoffset() == moment.utcoffset()
    assert str(found) == found.text == text
    assert not found.is_interval
    assert not found.has_wildcards
    with pytest.raises(ValueError, match="to_datetime"):
        found.to_timedelta()


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("00000000000000.000000:000", timedelta()),
        ("00000001132312.000125:000", timedelta(1, 48192, 125)),
        ("99999999235959.999999:000", timedelta(99_999_999, 86399, 999999)),
    ],
)
def test_intervals(text: str, length: timedelta) -> None:
    found = DateTime(text)
    assert found.to_timedelta() == length
    assert found.is_interval
    assert DateTime.of(length) == found
    with pytest.raises(ValueError, match="to_timedelta"):
        found.to_datetime()


@pytest.mark.parametrize(
    "text",
    [
        "20260131******.******+060",
        "2026**********.******+060",
        "20260131120000.******+***",
        "20260131120000.123***+000",
        "**************.******+***",
        "**************.******:000",
        "00000005******.******:000",
        "20260131120000.000000+***",
    ],
)
def test_wildcards(text: str) -> None:
    found = DateTime(text)
    assert found.has_wildcards
    with pytest.raises(ValueError, match="not known"):
        (found.to_timedelta if found.is_interval else found.to_datetime)()
    assert found == DateTime(text)
    assert found != DateTime("20260131120000.000000+000")
    assert hash(found) == hash(DateTime(text))


@pytest.mark.parametrize(
    "text",
    [
        "00000000000000.000000+000",
        "20260001000000.000000+000",
        "20260100000000.000000+000",
        "20260230000000.000000+000",
    ],
)
def test_days_that_never_were_are_kept(text: str) -> None:
    never = DateTime(text)
    assert not never.has_wildcards
    with pytest.raises(ValueError):
        never.to_datetime()
    assert never == DateTime(text)
    with pytest.raises(TypeError, match="no order"):
        never < DateTime("20260131120000.000000+000")  # noqa: B015


def test_a_leap_second_after_the_last_year() -> None:
    last = DateTime("99991231235960.000000+000")
    with pytest.raises(ValueError, match="after the last year"):
        last.to_datetime()
    assert last == DateTime(last.text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20260131120000",
        "20260131120000.000000+60",
        "20260131120000.000000 060",
        "20260131120000.000000+0600",
        "20260131120000.000000+060\n",
        " 20260131120000.000000+060",
        "20261331120000.000000+060",
        "20260132120000.000000+060",
        "20260131240000.000000+060",
        "20260131126000.000000+060",
        "20260131120061.000000+060",
        "2026**31120000.000000+060",
        "202601311200**.000000+060",
        "20260131120000.***000+060",
        "20260131120000.0*0000+060",
        "2026013*120000.000000+060",
        "00000001240000.000000:000",
        "00000001006000.000000:000",
        "00000001000060.000000:000",
        "00000001000000.000000:060",
        "0000000*000000.000000:000",
        "٢٠260131120000.000000+060",
        "x" * 10_000,
    ],
)
def test_what_is_no_datetime(text: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        DateTime(text)
    assert caught.value.text == text
    assert len(str(caught.value)) < 200


def test_equal_is_the_same_instant() -> None:
    one, two = DateTime("20260131120000.000000+060"), DateTime("20260131110000.000000+000")
    assert one == two
    assert hash(one) == hash(two)
    assert one != DateTime("20260131110000.000001+000")
    assert DateTime("00000000000000.000000:000") != DateTime("19700101000000.000000+000")
    assert one != one.text


def test_order() -> None:
    points = [
        DateTime(t) for t in ("20260131120000.000000+120", "20260131110000.000000+000", "20260131120000.000000+000")
    ]
    assert sorted([points[2], points[0], points[1]]) == points
    assert points[0] <= points[0]
    assert points[2] > points[1] >= points[0]
    lengths = [DateTime.of(timedelta(days)) for days in (1, 2, 30)]
    assert sorted([lengths[2], lengths[0], lengths[1]]) == lengths


@pytest.mark.parametrize(
    "other", [DateTime("00000001000000.000000:000"), DateTime("2026**********.******+000"), "text"]
)
def test_what_has_no_order(other: object) -> None:
    with pytest.raises(TypeError):
        DateTime("20260131110000.000000+000") < other  # noqa: B015


def test_it_does_not_change() -> None:
    moment = DateTime("20260131110000.000000+000")
    with pytest.raises(AttributeError):
        moment.text = "x"
    assert pickle.loads(pickle.dumps(moment)) == copy.deepcopy(moment) == moment
    assert eval(repr(moment), {"DateTime": DateTime}) == moment


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 31, 12), "20260131120000.000000+000"),
        (datetime(2026, 1, 31, 12, tzinfo=zone(-90)), "20260131120000.000000-090"),
        (datetime(987, 1, 2, 3, 4, 5, 6, UTC), "09870102030405.000006+000"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(seconds=61))), "20260131115959.000000+001"),
        (datetime(2026, 1, 31, 12, tzinfo=zone(1200)), "20260130160000.000000+000"),
        (timedelta(1, 3661, 7), "00000001010101.000007:000"),
        ("20260131120000.000000+060", "20260131120000.000000+060"),
        (DateTime("20260131120000.000000+060"), "20260131120000.000000+060"),
    ],
)
def test_of(value: object, text: str) -> None:
    assert DateTime.of(value).text == text


@pytest.mark.parametrize(
    "value",
    [
        "today",
        timedelta(seconds=-1),
        timedelta.max,
        datetime(1, 1, 1, tzinfo=zone(1439)),
        datetime(9999, 12, 31, 23, tzinfo=zone(-1439)),
    ],
)
def test_of_what_cannot_be_said(value: object) -> None:
    with pytest.raises(SyntaxProblem):
        DateTime.of(value)


@pytest.mark.parametrize("value", [None, 5, b"20260131120000.000000+060"])
def test_of_what_is_no_time(value: object) -> None:
    with pytest.raises(TypeError):
        DateTime.of(value)


@given(st.datetimes(timezones=st.integers(-840, 840).map(zone)))
def test_datetimes_go_through(moment: datetime) -> None:
    found = DateTime.of(moment)
    assert found.to_datetime() == moment
    assert DateTime(found.text) == found


@given(st.timedeltas(timedelta(), timedelta(99_999_999)))
def test_timedeltas_go_through(length: timedelta) -> None:
    assert DateTime.of(length).to_timedelta() == length


@given(strategies.datetimes(), strategies.datetimes())
def test_equal_ones_hash_alike(one: DateTime, two: DateTime) -> None:
    assert (one == two) == (two == one)
    assert one != two or hash(one) == hash(two)
