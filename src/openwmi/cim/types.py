"""CIM's types, and what a Python value of each looks like.

| CIM type              | Python value                                                       |
| --------------------- | ------------------------------------------------------------------ |
| sint8 ... uint64      | `int`, in the type's range                                         |
| real32, real64        | `float` (a real32 is rounded to single precision)                  |
| boolean               | `bool`                                                             |
| char16                | `str` of one UTF-16 code unit                                      |
| string                | `str` (lone surrogates are kept: MS-WMI 3.1.4 counts 16-bit units) |
| datetime              | `DateTime`, a point in time or an interval                         |
| reference             | `str`, the object path as it was written                           |
| object                | `Instance` or `Class`                                              |
| an array of uint8     | `bytes`                                                            |
| an array of any other | `tuple`                                                            |

NULL is `None` everywhere. Values are immutable (but embedded objects), so they may be shared freely.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Union

from openwmi.cim.datetimes import DateTime
from openwmi.errors import SyntaxProblem, WbemError
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.cim.classes import Class
    from openwmi.cim.instances import Instance

__all__ = ["INTEGER_RANGES", "CimType", "CimValue", "TypedValue", "conform", "type_name"]


class CimType(IntEnum):
    """The base types; the numbers are CIMTYPE's (MS-WMIO 2.2.82), which an array type combines with 0x2000."""

    SINT16 = 2
    SINT32 = 3
    REAL32 = 4
    REAL64 = 5
    STRING = 8
    BOOLEAN = 11
    OBJECT = 13
    SINT8 = 16
    UINT8 = 17
    UINT16 = 18
    UINT32 = 19
    SINT64 = 20
    UINT64 = 21
    DATETIME = 101
    REFERENCE = 102
    CHAR16 = 103

    @classmethod
    def named(cls, name: str) -> CimType:
        """The type that MOF calls `name` (``uint32``, ``string``; ``ref`` and ``object`` too)."""
        try:
            return _BY_NAME[name.lower()]
        except KeyError:
            raise SyntaxProblem(f"{name} is not a CIM type", name) from None

    @property
    def text(self) -> str:
        """The name of the type in MOF."""
        return "ref" if self is CimType.REFERENCE else self.name.lower()


_BY_NAME: Final = {t.text: t for t in CimType} | {"reference": CimType.REFERENCE}

INTEGER_RANGES: Final[dict[CimType, tuple[int, int]]] = {
    t: (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for t, bits, unsigned in (
        (CimType.SINT8, 8, False),
        (CimType.UINT8, 8, True),
        (CimType.SINT16, 16, False),
        (CimType.UINT16, 16, True),
        (CimType.SINT32, 32, False),
        (CimType.UINT32, 32, True),
        (CimType.SINT64, 64, False),
        (CimType.UINT64, 64, True),
    )
}

CimScalar: TypeAlias = Union[int, float, bool, str, DateTime, "Instance", "Class"]
CimValue: TypeAlias = CimScalar | bytes | tuple[Any, ...] | None


def type_name(type_: CimType, is_array: bool = False) -> str:
    """How messages speak of a type: ``uint32``, ``string[]``."""
    return type_.text + ("[]" if is_array else "")


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A value that carries its own type, where no declaration gives it one: a context value, for instance.

    `type` is None for a NULL without a type (VT_NULL).
    """

    type: CimType | None
    value: CimValue
    is_array: bool = False

    @classmethod
    def of(cls, value: Any) -> TypedValue:
        """The value with the type that fits it best: sint32 before the wider integers, real64 for floats."""
        if value is None:
            return cls(None, None)
        if isinstance(value, bytes):
            return cls(CimType.UINT8, value, True)
        is_array = isinstance(value, list | tuple)
        type_ = _inferred(*value) if is_array else _inferred(value)
        return cls(type_, conform(value, type_, is_array), is_array)


def _inferred(*values: Any) -> CimType:
    """The one type that holds all of them."""
    if values and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        for candidate in (CimType.SINT32, CimType.UINT32, CimType.SINT64, CimType.UINT64):
            low, high = INTEGER_RANGES[candidate]
            if low <= min(values) and max(values) <= high:
                return candidate
        raise ValueError(f"no 64 bits hold {max(values, key=abs)} and what stands beside it")
    types = {_kind(value) for value in values} or {CimType.STRING}
    if len(types) != 1:
        raise TypeError("the elements of an array must be of one type")
    return types.pop()


def _kind(value: Any) -> CimType:
    if isinstance(value, bool):
        return CimType.BOOLEAN
    if isinstance(value, int):
        return CimType.SINT32
    if isinstance(value, float):
        return CimType.REAL64
    if isinstance(value, str):
        return CimType.STRING
    if isinstance(value, DateTime | datetime | timedelta):
        return CimType.DATETIME
    if hasattr(value, "shape"):
        return CimType.OBJECT  # a Class or an Instance, which this module cannot import
    if hasattr(value, "class_name"):
        return CimType.REFERENCE  # an ObjectPath
    raise TypeError(f"no CIM type holds a {type(value).__name__}")


def conform(value: Any, type_: CimType, is_array: bool = False, *, what: str = "value") -> CimValue:
    """`value` as a value of that type, or `WbemError` with WBEM_E_TYPE_MISMATCH that names `what`.

    Takes what a person would write: any sequence for an array, `datetime` and `timedelta` for a datetime, a path or
    the object itself for a reference; text for a number is refused. NULL (None) conforms to every type; an element
    of an array must not be NULL, except of an array of strings, datetimes, references or objects.
    """
    if value is None:
        return None
    if not is_array:
        if type(value) is int and type_ in INTEGER_RANGES:  # first what most values are, since every value passes here
            low, high = INTEGER_RANGES[type_]
            if low <= value <= high:
                return value
        elif type(value) is str and type_ is CimType.STRING:
            return value
        return _scalar(value, type_, what)
    if type_ is CimType.UINT8:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        items = _elements(value, type_, what)
        return bytes([_integer(item, type_, f"{what}[{i}]") for i, item in enumerate(items)])
    nullable = type_ in _NULLABLE_ELEMENTS
    return tuple(
        None if item is None and nullable else _scalar(item, type_, f"{what}[{i}]")
        for i, item in enumerate(_elements(value, type_, what))
    )


_NULLABLE_ELEMENTS: Final = {CimType.STRING, CimType.DATETIME, CimType.REFERENCE, CimType.OBJECT}


def _elements(value: Any, type_: CimType, what: str) -> Iterable[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _mismatch(value, type_, what, is_array=True)
    return value


def _scalar(value: Any, type_: CimType, what: str) -> CimScalar:
    if type_ in INTEGER_RANGES:
        return _integer(value, type_, what)
    if type_ is CimType.BOOLEAN:
        if isinstance(value, bool):
            return value
    elif type_ in (CimType.STRING, CimType.REFERENCE):
        if isinstance(value, str):
            return str(value)
        if type_ is CimType.REFERENCE and (path := _path_of(value)) is not None:
            return str(path)
    elif type_ in (CimType.REAL32, CimType.REAL64):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _real(value, type_, what)
    elif type_ is CimType.DATETIME:
        return _datetime(value, what)
    elif type_ is CimType.CHAR16:
        if isinstance(value, str) and len(value.encode("utf-16-le", "surrogatepass")) == 2:
            return value
    elif hasattr(value, "shape"):
        from openwmi.cim.classes import Class
        from openwmi.cim.instances import Instance

        if isinstance(value, Instance | Class):
            return value
    raise _mismatch(value, type_, what)


def _path_of(value: Any) -> Any:
    """An `ObjectPath`, or the one of a Class or an Instance (which this module cannot import); None without keys."""
    if hasattr(value, "shape"):
        return getattr(value, "path", None)
    return value if hasattr(value, "class_name") else None


def _integer(value: Any, type_: CimType, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _mismatch(value, type_, what)
    low, high = INTEGER_RANGES[type_]
    if not low <= value <= high:
        raise WbemError.of(
            WbemStatus.WBEM_E_TYPE_MISMATCH, f"{what}: {value} is outside {type_.text} ({low} to {high})"
        )
    return int(value)


def _real(value: float, type_: CimType, what: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, f"{what}: the number is outside {type_.text}") from None
    if type_ is CimType.REAL64 or not math.isfinite(number):
        return number
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        raise WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, f"{what}: {value} is outside real32") from None


def _datetime(value: Any, what: str) -> DateTime:
    if isinstance(value, DateTime):
        return value
    try:
        return DateTime.of(value)
    except SyntaxProblem as error:
        raise WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, f"{what}: {error}") from None
    except TypeError:
        raise _mismatch(value, CimType.DATETIME, what) from None


def _mismatch(value: Any, type_: CimType, what: str, *, is_array: bool = False) -> WbemError:
    shown = repr(value) if isinstance(value, int | float | str) else type(value).__name__
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return WbemError.of(
        WbemStatus.WBEM_E_TYPE_MISMATCH, f"{what}: {shown} is not a value of {type_name(type_, is_array)}"
    )
