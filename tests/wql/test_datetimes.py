"""The forms of dates and times that WQL's documentation lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import CimType, DateTime
from openwmi.wql.datetimes import Daytime, parse_moment
from openwmi.wql.evaluate import comparison
from openwmi.wql.tree import Operator


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("January 21, 1932", "19320121"), ("January 21, 32", "19320121"), ("Jan 21 1932", "19320121"),
        ("Jan 21 32", "19320121"), ("January 1932", "19320101"), ("Jan, 1932", "19320101"),
        ("January 1932 21", "19320121"), ("Jan 32 21", "19320121"), ("21 January, 1932", "19320121"),
        ("21 Jan32", "19320121"), ("21 1932 January", "19320121"), ("1932 January 21", "19320121"),
        ("1932 Jan", "19320101"), ("1932 21 January", "19320121"), ("1/21/1932", "19320121"),
        ("01-21-32", "19320121"), ("21.1.1932", "19320121"), ("1/1932/21", "19320121"), ("21-1932-1", "19320121"),
        ("1932.21.1", "19320121"), ("1932-01-21", "19320121"), ("2026-02-03", "20260203"), ("02/03/2026", "20260203"),
        ("19320121", "19320121"), ("320121", "19320121"), ("193201", "19320101"), ("1932", "19320101"),
        ("may 5, 2004", "20040505"), ("  MAY   5,  2004 ", "20040505"), ("Jan 1 29", "20290101"),
    ],
)  # fmt: skip
def test_dates(text: str, day: str) -> None:
    assert parse_moment(text) == DateTime(f"{day}000000.000000+000")


@pytest.mark.parametrize(
    ("text", "clock", "zone"),
    [
        ("4 PM", "16:00:00", 0), ("4am", "04:00:00", 0), ("12 AM", "00:00:00", 0), ("12:30 PM", "12:30:00", 0),
        ("3:23", "03:23:00", 0), ("3:23 AM", "03:23:00", 0), ("3:23:00", "03:23:00", 0), ("3:23:05PM", "15:23:05", 0),
        ("15:23:00:060", "15:23:00", 60), ("3:23:00:5", "03:23:00", 5), ("3:23:00:060 PM", "15:23:00", 60),
    ],
)  # fmt: skip
def test_times(text: str, clock: str, zone: int) -> None:
    found = parse_moment(text)
    assert isinstance(found, Daytime)
    assert found.clock.isoformat() == clock
    offset = found.zone.utcoffset(None)
    assert offset.total_seconds() == zone * 60


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("Jan 21 1932 4 PM", "19320121160000.000000+000"),
        ("2026-01-31 12:00", "20260131120000.000000+000"),
        ("1/31/2026 3:23:00:060 pm", "20260131152300.000000+060"),
    ],
)
def test_a_date_with_its_time(text: str, full: str) -> None:
    assert parse_moment(text) == DateTime(full)


@pytest.mark.parametrize(
    "text",
    ["", "x", "4", "25:00", "13 PM", "0 AM", "3:60", "Jan 1", "Jan 32 99", "2026-13-40", "1/2-2026", "30 Feb 2026",
     "3:23:00:1440", "Januar 1 2026", "1" * 100, "4 PM Jan 21 1932"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert parse_moment(text) is None


@pytest.mark.parametrize(
    ("operator", "constant", "expected"),
    [
        (Operator.EQUAL, "2026-01-31 11:00", True),
        (Operator.GREATER, "Jan 31, 2026", True),
        (Operator.LESS, "February 2026", True),
        (Operator.EQUAL, "11 AM", True),
        (Operator.EQUAL, "12:00:00:060", True),
        (Operator.LESS, "10:59", False),
        (Operator.NOT_EQUAL, "11:00", False),
    ],
)
def test_comparisons(operator: Operator, constant: str, expected: bool) -> None:
    test = comparison(CimType.DATETIME, False, operator, constant)
    assert test(DateTime("20260131120000.000000+060")) is expected


def test_an_interval_is_no_time_of_day() -> None:
    assert (
        comparison(CimType.DATETIME, False, Operator.NOT_EQUAL, "4 PM")(DateTime("00000001160000.000000:000")) is False
    )


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789:-/., JanuryFebPM", max_size=80))
def test_any_text_is_something_or_nothing(text: str) -> None:
    assert parse_moment(text) is None or isinstance(parse_moment(text), DateTime | Daytime)
