"""Values as the wmi module's scripts have them: those of COM's automation, and not Python's own.

| CIM                      | here                                                               |
| ------------------------ | ------------------------------------------------------------------ |
| sint64, uint64           | text, as automation has no such numbers: scripts convert it        |
| other integers           | `int`, and a uint32 is never negative                              |
| datetime                 | text, as CIM writes it (`to_time`, `from_time`)                    |
| arrays, also of uint8    | a tuple; from a method, a list                                     |
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from openwmi.cim import INTEGER_RANGES, CimType, DateTime
from openwmi.client.objects import CimInt

__all__ = ["automation_value", "cim_value", "from_1601", "from_time", "to_time"]

_WIDE: Final = (CimType.SINT64, CimType.UINT64)
_FIELDS: Final = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14), (15, 21))  # of yyyymmddHHMMSS.mmmmmm
_1601: Final = datetime(1601, 1, 1)  # noqa: DTZ001  # as scripts have it: they compare it with such


def automation_value(value: Any) -> Any:
    """A value of an `openwmi.Instance` as a script has it; embedded objects stay what they are."""
    if isinstance(value, CimInt):
        return str(int(value)) if value.cim_type in _WIDE else int(value)
    if isinstance(value, bytes | tuple):
        return tuple(automation_value(item) for item in value)
    if isinstance(value, datetime | timedelta | DateTime):
        return str(DateTime.of(value))
    return value


def cim_value(value: Any, type_: CimType, is_array: bool = False) -> Any:
    """A script's value as one of that type, where automation would turn it into one; else the value itself."""
    if value is None:
        return None
    if is_array and isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [cim_value(item, type_) for item in value]
    if type_ in INTEGER_RANGES and isinstance(value, str | bool):
        return _integer(value)
    if type_ is CimType.BOOLEAN and isinstance(value, str | int):
        return {"true": True, "false": False}.get(str(value).lower(), value not in (0, "0"))
    if type_ is CimType.STRING and isinstance(value, int | float):
        return str(value)
    return value


def _integer(value: str | bool) -> Any:
    try:
        return int(value)
    except ValueError:
        return value


def from_time(
    year: Any = None,
    month: Any = None,
    day: Any = None,
    hours: Any = None,
    minutes: Any = None,
    seconds: Any = None,
    microseconds: Any = None,
    timezone: Any = None,
) -> str:
    """A CIM datetime of its parts, numbers or text; asterisks for those left out. `timezone` is minutes from UTC.

    A `datetime` alone does as well.
    """
    if isinstance(year, datetime):
        return str(DateTime.of(year))
    widths = (4, 2, 2, 2, 2, 2)
    parts = zip((year, month, day, hours, minutes, seconds), widths, strict=True)
    offset = "+***" if timezone is None else f"{int(timezone):+04d}"
    return "".join(_digits(part, width) for part, width in parts) + f".{_digits(microseconds, 6)}{offset}"


def _digits(part: Any, width: int) -> str:
    return "*" * width if part is None else str(part).rjust(width, "0")


def to_time(wmi_time: str) -> tuple[int | str | None, ...]:
    """The parts of a CIM datetime, None for asterisks: year to microseconds, and the timezone's digits as text.

    The timezone comes without its sign, as scripts know it.
    """
    parts = (wmi_time[start:end] for start, end in _FIELDS)
    timezone = wmi_time[22:]
    return *(int(part) if part.isdigit() else None for part in parts), None if timezone == "***" else timezone


def from_1601(ns100: int | str) -> datetime:
    """The time, in UTC and without saying so, that is so many times 100 nanoseconds after 1601."""
    return _1601 + timedelta(microseconds=int(ns100) // 10)
