"""CIM's datetime: a point in time or an interval, each with wildcards (DSP0004 5.2.4; MS-WMI 2.2.2).

    yyyymmddHHMMSS.mmmmmmsUUU     a point in time; UUU is the offset from UTC in *minutes*, s its sign
    ddddddddHHMMSS.mmmmmm:000     an interval

Fields that are not known are asterisks, whole fields from the right; microseconds may be partly known. Windows
also writes a month and a day of 00 for "never", so these are kept, and only `to_datetime` refuses them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import total_ordering
from typing import Any, Final

from openwmi.errors import SyntaxProblem

__all__ = ["DateTime"]

_POINT: Final = re.compile(
    r"(\d{4}|\*{4})(\d\d|\*\*)(\d\d|\*\*)(\d\d|\*\*)(\d\d|\*\*)(\d\d|\*\*)\.([\d*]{6})([+-])(\d{3}|\*{3})\Z",
    re.ASCII,
)
_INTERVAL: Final = re.compile(r"(\d{8}|\*{8})(\d\d|\*\*)(\d\d|\*\*)(\d\d|\*\*)\.([\d*]{6}):000\Z", re.ASCII)
_MICROSECONDS: Final = re.compile(r"\d*\**\Z", re.ASCII)

# The usual point in time, known in full and within the limits below, needs no closer look.
_USUAL: Final = re.compile(
    r"\d{4}(?:0\d|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d\.\d{6}[+-]\d{3}\Z", re.ASCII
)

_POINT_LIMITS: Final = (9999, 12, 31, 23, 59, 60)
_INTERVAL_LIMITS: Final = (99999999, 23, 59, 59)


@total_ordering
class DateTime:
    """One CIM datetime. Immutable; equal when it means the same instant, or the same length of time.

    `DateTime("20260131120000.000000+060")` takes CIM's own form; `DateTime.of` takes Python's.
    """

    __slots__ = ("text",)
    text: str

    def __init__(self, text: str) -> None:
        if not _USUAL.match(text):
            _validate(text)
        object.__setattr__(self, "text", text)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a DateTime does not change")

    @classmethod
    def of(cls, value: Any) -> DateTime:
        """From CIM's text, a `datetime` (a naive one is taken as UTC) or a `timedelta`.

        Raises `SyntaxProblem` for text that is no datetime and for a negative interval, `TypeError` for anything else.
        """
        if isinstance(value, DateTime):
            return value
        if isinstance(value, str):
            return cls(value)
        if isinstance(value, datetime):
            aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            offset = aware.utcoffset() or timedelta()
            minutes = round(offset.total_seconds() / 60)
            if abs(minutes) > 999:
                minutes = 0  # three digits cannot say it; the instant stays the same
            try:
                aware = aware.astimezone(timezone(timedelta(minutes=minutes)))
            except OverflowError:
                raise SyntaxProblem("a CIM datetime lies in the years 1 to 9999", str(value)) from None
            sign = "-" if minutes < 0 else "+"
            return cls(f"{aware.year:04d}{aware:%m%d%H%M%S}.{aware.microsecond:06d}{sign}{abs(minutes):03d}")
        if isinstance(value, timedelta):
            if value < timedelta():
                raise SyntaxProblem("a CIM interval is not negative", str(value))
            minutes, seconds = divmod(value.seconds, 60)
            hours, minutes = divmod(minutes, 60)
            return cls(f"{value.days:08d}{hours:02d}{minutes:02d}{seconds:02d}.{value.microseconds:06d}:000")
        raise TypeError(f"no datetime is made of a {type(value).__name__}")

    @property
    def is_interval(self) -> bool:
        """Whether this is a length of time rather than a point in it."""
        return self.text[21] == ":"

    @property
    def has_wildcards(self) -> bool:
        """Whether some field is not known."""
        return "*" in self.text

    def to_datetime(self) -> datetime:
        """The point in time, with its offset. `ValueError` for an interval, wildcards, or a day that never was."""
        if self.is_interval:
            raise ValueError(f"{self.text} is an interval: use to_timedelta()")
        if self.has_wildcards:
            raise ValueError(f"{self.text} has fields that are not known")
        text = self.text
        zone = timezone(timedelta(minutes=int(text[21:25])))
        second = int(text[12:14])
        moment = datetime(
            int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), min(second, 59),
            int(text[15:21]), tzinfo=zone,
        )  # fmt: skip
        try:
            return moment + timedelta(seconds=1) if second == 60 else moment
        except OverflowError:
            raise ValueError(f"{text} lies after the last year there is") from None

    def to_timedelta(self) -> timedelta:
        """The length of time. `ValueError` for a point in time or wildcards."""
        if not self.is_interval:
            raise ValueError(f"{self.text} is a point in time: use to_datetime()")
        if self.has_wildcards:
            raise ValueError(f"{self.text} has fields that are not known")
        text = self.text
        return timedelta(
            days=int(text[:8]),
            hours=int(text[8:10]),
            minutes=int(text[10:12]),
            seconds=int(text[12:14]),
            microseconds=int(text[15:21]),
        )

    def _measure(self) -> datetime | timedelta | None:
        """What comparison goes by, or None where there is nothing to compare."""
        try:
            return self.to_timedelta() if self.is_interval else self.to_datetime()
        except ValueError:
            return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DateTime):
            return NotImplemented
        if self.text == other.text:
            return True
        mine = self._measure()
        return mine is not None and mine == other._measure()

    def __hash__(self) -> int:
        measure = self._measure()
        return hash(self.text if measure is None else measure)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, DateTime):
            return NotImplemented
        mine, theirs = self._measure(), other._measure()
        if isinstance(mine, datetime) and isinstance(theirs, datetime):
            return mine < theirs
        if isinstance(mine, timedelta) and isinstance(theirs, timedelta):
            return mine < theirs
        raise TypeError(f"{self.text} and {other.text} have no order")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"DateTime({self.text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return DateTime, (self.text,)


def _validate(text: str) -> None:
    point = _POINT.match(text)
    match = point or _INTERVAL.match(text)
    if match is None:
        raise SyntaxProblem(
            f"{text[:40]!r} is not a CIM datetime (yyyymmddHHMMSS.mmmmmm+UUU or ddddddddHHMMSS.mmmmmm:000)",
            text,
        )
    if point:
        *fields, micro, _sign, _offset = match.groups()
    else:
        *fields, micro = match.groups()
    _check(text, fields, micro, _POINT_LIMITS if point else _INTERVAL_LIMITS)


def _check(text: str, fields: list[str], micro: str, limits: tuple[int, ...]) -> None:
    """Ranges, and that wildcards run from one field to the right end (DSP0004 5.2.4)."""
    unknown = False
    for field, limit in zip(fields, limits, strict=True):
        if field[0] == "*":
            unknown = True
        elif unknown:
            raise SyntaxProblem(f"{text!r}: a field that is known stands right of one that is not", text)
        elif int(field) > limit:
            raise SyntaxProblem(f"{text!r}: {field} is more than {limit}", text)
    if not _MICROSECONDS.match(micro) or (unknown and micro[0] != "*"):
        raise SyntaxProblem(f"{text!r}: wildcards must reach the right end of the microseconds", text)
