"""Calling methods: arguments as the class declares them, out-parameters by name, a ReturnValue that may be checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from openwmi.cim import CimType, Class, Instance, fold
from openwmi.errors import MethodFailed, WbemError
from openwmi.status import WbemStatus

__all__ = ["MethodResult", "prepared", "with_objects"]


class MethodResult(dict[str, Any]):
    """The out-parameters of a method by name, ReturnValue among them; also as attributes, without regard to case."""

    def __init__(self, values: Mapping[str, Any], method: str) -> None:
        super().__init__(values)
        self._method = method

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        for known, value in self.items():
            if fold(known) == fold(name):
                return value
        raise AttributeError(f"{self._method} gave no {name}: it gave {', '.join(self) or 'nothing'}")

    def check(self) -> MethodResult:
        """The result itself. Raises `MethodFailed` if its ReturnValue is neither 0 nor missing."""
        returned = self.get("ReturnValue")
        if returned:
            raise MethodFailed(self._method, returned)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return MethodResult, (dict(self), self._method)


async def with_objects(
    cls: Class, method: str, given: Mapping[str, Any], find: Callable[[str], Awaitable[Class]]
) -> dict[str, Any]:
    """The arguments, each mapping among them as an object of the class that its parameter is declared with.

    `find` gives a class by its name. What does not fit stays as it is, for `prepared` to refuse.
    """
    declared = cls.methods[method].in_class if method in cls.methods else None
    return dict(given) if declared is None else await _embedded(declared, given, find)


async def _embedded(cls: Class, given: Mapping[str, Any], find: Callable[[str], Awaitable[Class]]) -> dict[str, Any]:
    made = dict(given)
    for name, value in given.items():
        declared = cls.properties.get(name)
        items = value if isinstance(value, list | tuple) else [value]
        if declared is None or declared.type is not CimType.OBJECT or declared.class_name is None:
            continue
        if not any(isinstance(item, Mapping) for item in items):
            continue
        embedded = await find(declared.class_name)
        objects = [
            embedded.new(await _embedded(embedded, item, find)) if isinstance(item, Mapping) else item for item in items
        ]
        made[name] = objects[0] if items is not value else objects
    return made


def prepared(cls: Class, method: str, given: Mapping[str, Any]) -> tuple[str, Instance | None]:
    """The method by its own name, and its in-parameters, given the types that the class declares.

    Raises WBEM_E_INVALID_METHOD if there is no such method, WBEM_E_INVALID_METHOD_PARAMETERS for an argument that it
    does not have, WBEM_E_TYPE_MISMATCH for a value of another type.
    """
    if method not in cls.methods:
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_METHOD, f"{cls.name} has no method {method}")
    declared = cls.methods[method]
    known = {} if declared.in_class is None else declared.in_class.properties
    unknown = [name for name in given if name not in known]
    if unknown:
        raise WbemError.of(
            WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS, f"{cls.name}.{declared.name} takes no {', '.join(unknown)}"
        )
    return declared.name, None if declared.in_class is None else Instance(declared.in_class, given)
