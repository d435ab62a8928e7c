"""The dates and times that WQL takes beside CIM's own datetimes, as its documentation lists them.

    January 21, 1932    21 Jan32    1932 January 21    Jan 1932    1/21/1932    1932-01-21    19320121    1932
    4 PM    15:23    3:23:00 PM    3:23:00:060 (the minutes by which the clock is ahead of UTC)
    a date, a space and a time

Where the documentation is silent: a clock whose place is not said is UTC's; a date without a time is its midnight; a
time without a date is any day's. Of several readings the first that is a date counts, months before days as Americans
write them, but ISO's order where the year stands first. Two digits are the years 1930 to 2029.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Final

from openwmi.cim import DateTime

__all__ = ["Daytime", "parse_moment"]

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_NAME: Final = "(?P<name>" + "|".join(f"{month}|{month[:3]}" for month in _MONTHS) + ")"
_YEAR: Final = r"(?P<year>[0-9]{4}|[0-9]{2})"
_FULL_YEAR: Final = r"(?P<year>[0-9]{4})"
_MONTH: Final = "(?P<month>[0-9]{1,2})"
_DAY: Final = "(?P<day>[0-9]{1,2})"
_MARK: Final = "(?P<mark>[-/.])"

_DATES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NAME} {_DAY}(?:, ?| ){_YEAR}",
        rf"{_NAME}(?:, ?| ){_FULL_YEAR}",
        rf"{_NAME} {_YEAR} {_DAY}",
        rf"{_DAY} {_NAME},? ?{_YEAR}",
        rf"{_DAY} {_YEAR} {_NAME}",
        rf"{_YEAR} {_NAME} {_DAY}",
        rf"{_FULL_YEAR} {_NAME}",
        rf"{_FULL_YEAR} {_DAY} {_NAME}",
        rf"{_FULL_YEAR}{_MARK}{_MONTH}(?P=mark){_DAY}",
        rf"{_FULL_YEAR}{_MARK}{_DAY}(?P=mark){_MONTH}",
        rf"{_MONTH}{_MARK}{_DAY}(?P=mark){_YEAR}",
        rf"{_DAY}{_MARK}{_MONTH}(?P=mark){_YEAR}",
        rf"{_MONTH}{_MARK}{_YEAR}(?P=mark){_DAY}",
        rf"{_DAY}{_MARK}{_YEAR}(?P=mark){_MONTH}",
        rf"{_YEAR}{_MARK}{_MONTH}(?P=mark){_DAY}",
        rf"{_YEAR}{_MARK}{_DAY}(?P=mark){_MONTH}",
        rf"{_YEAR}(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}})",
        rf"{_FULL_YEAR}(?P<month>[0-9]{{2}})?",
    )
)
_TIME: Final = re.compile(
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?::(?P<zone>[0-9]{1,3}))?)?)?"
    r" ?(?P<half>am|pm)?"
)
_LONGEST: Final = 64  # characters; what is longer is no date in any form


@dataclass(frozen=True, slots=True)
class Daytime:
    """A time of any day."""

    clock: time
    zone: timezone

    def of_day(self, value: DateTime) -> time | None:
        """The time of day that `value` is, by the same clock; None for what is no point in time."""
        try:
            return value.to_datetime().astimezone(self.zone).time()
        except (ValueError, OverflowError):
            return None


def parse_moment(text: str) -> DateTime | Daytime | None:
    """What `text` says in one of these forms, or None."""
    if len(text) > _LONGEST:
        return None
    words = " ".join(text.lower().split())
    day = _date(words)
    if day is not None:
        return DateTime.of(day)
    found = _daytime(words)
    if found is not None:
        return found
    # The time has one blank at most, so the date ends at the last blank or the one before.
    parts = words.split(" ")
    for end in (len(parts) - 1, len(parts) - 2):
        if end > 0:
            day, found = _date(" ".join(parts[:end])), _daytime(" ".join(parts[end:]))
            if day is not None and found is not None:
                return DateTime.of(datetime.combine(day, found.clock, found.zone))
    return None


def _date(text: str) -> datetime | None:
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        found = match.groupdict()
        name = found.get("name")
        month = _month(name) if name else int(found.get("month") or 1)
        try:
            return datetime(_year(found["year"]), month, int(found.get("day") or 1), tzinfo=UTC)
        except ValueError:
            continue  # not with this order of day and month
    return None


def _month(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name))


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if year < 30 else 1900)


def _daytime(text: str) -> Daytime | None:
    match = _TIME.fullmatch(text)
    if match is None or (match["minute"] is None and match["half"] is None):
        return None
    hour = int(match["hour"])
    if match["half"] is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"] == "pm" else 0)
    ahead = int(match["zone"] or 0)
    if ahead >= 24 * 60:
        return None
    try:
        return Daytime(
            time(hour, int(match["minute"] or 0), int(match["second"] or 0)), timezone(timedelta(minutes=ahead))
        )
    except ValueError:
        return None
