"""Instances as users have them: attributes and items, Python's own values, and the methods of their class.

    for process in session.query("SELECT * FROM Win32_Process"):
        print(process.Name, process["ProcessId"], process.CreationDate.astimezone())
        process.Terminate(Reason=0)

Names are looked up without regard to case. Numbers are `int`s that know their CIM type (`Uint32`, ...), datetimes are
`datetime` and `timedelta` (a `DateTime` where asterisks stand for unknown digits, and for a day that never was), arrays
are tuples, those of uint8 `bytes`, and embedded objects are instances like these. What an instance says of itself has
a lower-case name of its own (`path`, `cls`): a property of the same spelling is reached as an item.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TypeVar

from openwmi.cim import ABSENT, DEFAULT, INTEGER_RANGES, SYSTEM_PROPERTIES, CimObject, CimType, DateTime, Shape
from openwmi.cim import Instance as CimInstance
from openwmi.cim.json import instance_to_json, to_jsonable

__all__ = ["BoundMethod", "CimInt", "Instance", "Invoker", "python_value"]

V = TypeVar("V")


class Invoker(Protocol):
    """A session, as far as an instance needs one. `invoke` may be a coroutine function, or not."""

    @property
    def invoke(self) -> Callable[..., Any]:
        """Calls a method of an instance."""
        ...


class CimInt(int):
    """An integer that knows its CIM type."""

    cim_type: CimType

    def __reduce__(self) -> tuple[Any, ...]:
        return _integer, (self.cim_type, int(self))


_INTEGERS: Final[dict[CimType, type[CimInt]]] = {
    type_: type(type_.name.capitalize(), (CimInt,), {"cim_type": type_, "__slots__": ()})
    for type_ in INTEGER_RANGES
    if type_ is not CimType.CHAR16
}


_PLAN: Final = "python"  # the key in Shape.plans


def _integer(type_: CimType, value: int) -> CimInt:
    made: CimInt = _INTEGERS[type_](value)
    return made


def python_value(value: Any, type_: CimType, origin: Invoker | None = None) -> Any:
    """A value of the model as Python has it; see the module."""
    if value is None or type(value) is str:  # most are
        return value
    if isinstance(value, tuple):
        return tuple(python_value(item, type_, origin) for item in value)
    if type_ in _INTEGERS and isinstance(value, int):
        return _INTEGERS[type_](value)
    if isinstance(value, DateTime):
        try:
            return value.to_timedelta() if value.is_interval else value.to_datetime()
        except ValueError:
            return value
    if isinstance(value, CimInstance):
        return Instance.bound(value, origin)
    return value


def _integers(shape: Shape) -> tuple[type[CimInt] | None, ...]:
    """What the integers among the shape's properties are to Python; None for a property of another type."""
    found: tuple[type[CimInt] | None, ...] | None = shape.plans.get(_PLAN)
    if found is None:
        found = shape.plans[_PLAN] = tuple(None if p.is_array else _INTEGERS.get(p.type) for p in shape.properties)
    return found


class BoundMethod:
    """A method of an instance, ready to be called: its arguments by name, its out-parameters as the result."""

    __slots__ = ("__name__", "_instance")

    def __init__(self, instance: Instance, name: str) -> None:
        self._instance = instance
        self.__name__ = name

    def __call__(self, arguments: dict[str, Any] | None = None, /, **named: Any) -> Any:
        """What the session's `invoke` gives."""
        return self._instance.invoke(self.__name__, arguments, **named)

    def __repr__(self) -> str:
        known = self.__name__ in self._instance.cls.methods
        doubt = "" if known else f", if {self._instance.class_name} has one; it has no such property"
        return f"<the method {self.__name__} of {self._instance!r}{doubt}>"


class Instance(CimInstance):
    """An instance that a session gave; see the module. `origin` is the session, for its methods."""

    __slots__ = ("origin",)
    origin: Invoker | None

    @classmethod
    def bound(cls, found: CimInstance, origin: Invoker | None) -> Instance:
        """`found` as users have it; it shares everything with the original."""
        made = cls.__new__(cls)
        for name in CimInstance.__slots__:
            object.__setattr__(made, name, getattr(found, name))
        object.__setattr__(made, "origin", origin)
        return made

    def __getitem__(self, name: str) -> Any:
        value = self._read(name)
        index = self.shape.find(name)
        if index is None:
            return value
        return python_value(value, self.shape.properties[index].type, self._origin)

    @property
    def _origin(self) -> Invoker | None:
        return getattr(self, "origin", None)

    def __getattr__(self, name: str) -> Any:
        """A property's value, or one of the class's methods, ready to be called."""
        if name == "origin" or (name.startswith("_") and name.upper() not in SYSTEM_PROPERTIES):
            raise AttributeError(name)
        if name in self or name.startswith("_"):
            return self[name]
        if name in self.cls.methods:
            return self.method(name)
        if name in self.cls.properties:
            raise AttributeError(f"{name} is not part of this object: only some properties of {self.class_name} are")
        if self._origin is not None and not self.cls.methods and name[:1].isupper():
            # An instance comes over the wire without its class's methods (MS-WMIO 2.2.53): the call finds out.
            # Only for names as CIM writes them, so that who looks for Python's own kind of attribute finds none.
            return self.method(name)
        raise AttributeError(f"{self.class_name} has neither a property nor a method {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SLOTS:
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self, *self.cls.methods})

    def method(self, name: str) -> BoundMethod:
        """A method of the class as a function: its arguments by name, its out-parameters as the result."""
        if self._origin is None:
            raise AttributeError(f"{self!r} belongs to no session that could call {name}")
        return BoundMethod(self, name)

    def invoke(self, name: str, arguments: dict[str, Any] | None = None, /, **named: Any) -> Any:
        """Calls a method; what the session's `invoke` gives (to be awaited if the session is an asyncio one)."""
        if self._origin is None:
            raise AttributeError(f"{self!r} belongs to no session that could call {name}")
        return self._origin.invoke(self, name, arguments, **named)

    def to_dict(self) -> dict[str, Any]:
        """The properties as a dictionary of Python values, in order."""
        origin = self._origin
        found: dict[str, Any] = {}
        for declared, integer, value in zip(self.shape.properties, _integers(self.shape), self.values, strict=True):
            if value is ABSENT:
                continue
            if value is DEFAULT:
                value = declared.default
            if integer is not None and type(value) is int:
                found[declared.name] = integer(value)
            else:
                found[declared.name] = python_value(value, declared.type, origin)
        return found

    def to_json(self, *, indent: int | None = None) -> str:
        """The instance as JSON text, its class's name under ``__CLASS``."""
        return json.dumps(to_jsonable(instance_to_json(self)), indent=indent, ensure_ascii=False)

    def to_mof(self) -> str:
        """The instance as MOF, which compiles to the same instance."""
        from openwmi.mof.writer import write_mof

        return write_mof(self)

    def copy(self, shape: Any = None) -> Instance:
        """A copy that belongs to the same session."""
        return Instance.bound(CimInstance.copy(self, shape), self._origin)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without its session, which belongs to this process."""
        return Instance.bound, (CimInstance.copy(self), None)

    def __rich_repr__(self) -> Iterator[tuple[str, Any]]:
        for name in self:
            yield name, self[name]

    def _repr_html_(self) -> str:
        """Jupyter's representation: a table of the properties."""
        from html import escape

        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(_shown(self[name]))}</td></tr>"
            for name in self
        )
        return f"<table><caption>{escape(str(self.path or self.class_name))}</caption>{rows}</table>"


_SLOTS: Final = frozenset((*CimInstance.__slots__, *Instance.__slots__))


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def bound(found: CimObject, origin: Invoker | None) -> CimObject:
    """What a server gave as users have it."""
    return Instance.bound(found, origin) if isinstance(found, CimInstance) else found
