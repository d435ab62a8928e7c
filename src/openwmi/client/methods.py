"""Calling methods: arguments as the class declares them, out-parameters by name, a ReturnValue that may be checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openwmi.cim import Class, Instance, fold
from openwmi.errors import MethodFailed, WbemError
from openwmi.status import WbemStatus

__all__ = ["MethodResult", "prepared"]


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
