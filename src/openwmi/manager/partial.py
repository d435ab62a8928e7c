"""Partial instances: what a call's context says about the properties that it is about (MS-WMI 3.1.4.3.12; the SDK).

``__PUT_EXTENSIONS`` with ``__PUT_EXT_PROPERTIES`` makes a put one of those properties only, ``__GET_EXTENSIONS`` with
``__GET_EXT_PROPERTIES`` or ``__GET_EXT_KEYS_ONLY`` a get one of part of the object. Where MS-WMI is silent:

- A partial put updates, so it needs WBEM_FLAG_UPDATE_ONLY (the SDK says so: WBEM_E_INVALID_CONTEXT without it).
- Without ``__PUT_EXT_STRICT_NULLS`` a listed property that is NULL stays as it is; with it, it becomes NULL.
- ``__PUT_EXT_ATOMIC`` is what the repository always does; providers are handed it with the rest of the context, but for
  ``__PUT_EXT_CLIENT_REQUEST`` and ``__GET_EXT_CLIENT_REQUEST``, which WMI takes out so that nested calls are none.
- A get's names that the class has not got are ignored; a put's are WBEM_E_INVALID_PROPERTY: a change would be lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from openwmi.cim import ABSENT, CimType, Class, Instance, TypedValue, fold, is_system_name
from openwmi.cim.operations import Flags, Request
from openwmi.errors import WbemError
from openwmi.manager.job import Job
from openwmi.status import WbemStatus

__all__ = ["PartialGet", "PartialPut", "forwarded"]

_CLIENT_REQUESTS: Final = frozenset({"__put_ext_client_request", "__get_ext_client_request"})

R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class PartialPut:
    """Which properties (folded names) a put is about."""

    properties: frozenset[str]
    strict_nulls: bool

    @classmethod
    def of(cls, job: Job[Any], target: Class) -> PartialPut | None:
        """What the context says; None for a put of the whole instance. Raises WBEM_E_INVALID_CONTEXT."""
        values = _values(job)
        names = _names(values, "__PUT_EXT_PROPERTIES")
        if not _is_on(values, "__PUT_EXTENSIONS"):
            if names is not None:
                raise _invalid("__PUT_EXT_PROPERTIES needs __PUT_EXTENSIONS, which is not TRUE")
            return None
        if names is None:
            raise _invalid("__PUT_EXTENSIONS needs __PUT_EXT_PROPERTIES, the properties to update")
        if not job.has(Flags.UPDATE_ONLY):
            raise _invalid("a partial update needs WBEM_FLAG_UPDATE_ONLY")
        for name in names:
            if name not in target.properties and not is_system_name(name):
                raise WbemError.of(WbemStatus.WBEM_E_INVALID_PROPERTY, f"{target.name} has no property {name[:200]}")
        _is_on(values, "__PUT_EXT_ATOMIC")
        return cls(frozenset(map(fold, names)), _is_on(values, "__PUT_EXT_STRICT_NULLS"))

    def narrowed(self, given: Instance) -> Instance:
        """`given` with its keys and the properties that it is about; the others are absent."""
        made = given.copy()
        for index, declared in enumerate(made.shape.properties):
            if declared.is_key:
                continue
            listed = fold(declared.name) in self.properties
            if not listed or (made.get(declared.name) is None and not self.strict_nulls):
                made.values[index] = ABSENT
        return made


@dataclass(frozen=True, slots=True)
class PartialGet:
    """Which properties (folded names) a get is about, beside the keys."""

    properties: frozenset[str]

    @classmethod
    def of(cls, job: Job[Any]) -> PartialGet | None:
        """What the context says; None for whole instances. Raises WBEM_E_INVALID_CONTEXT."""
        values = _values(job)
        names, keys_only = _names(values, "__GET_EXT_PROPERTIES"), _is_on(values, "__GET_EXT_KEYS_ONLY")
        if not _is_on(values, "__GET_EXTENSIONS"):
            return None
        if names is not None and keys_only:
            raise _invalid("__GET_EXT_PROPERTIES and __GET_EXT_KEYS_ONLY exclude each other")
        if names is None and not keys_only:
            return None
        return cls(frozenset(map(fold, names or ())))

    def wanted(self, cls: Class) -> frozenset[str]:
        """The names of the properties that a provider of `cls` is asked for."""
        return self.properties | {fold(key.name) for key in cls.keys}

    def narrowed(self, found: Instance) -> Instance:
        """`found` with these properties and its keys only."""
        names = self.wanted(found.cls)
        return found.copy(found.shape.project(p.name for p in found.shape.properties if fold(p.name) in names))


def forwarded(job: Job[R]) -> Job[R]:
    """The job as a provider sees it: its context without what says that this is the client's own request."""
    values = {name: value for name, value in job.context.values.items() if fold(name) not in _CLIENT_REQUESTS}
    if len(values) == len(job.context.values):
        return job
    return replace(job, context=replace(job.context, values=values))


def _values(job: Job[Any]) -> dict[str, TypedValue]:
    return {fold(name): value for name, value in job.context.values.items()}


def _is_on(values: dict[str, TypedValue], name: str) -> bool:
    found = values.get(fold(name))
    if found is None:
        return False
    if not isinstance(found.value, bool):
        raise _invalid(f"{name} is a boolean")
    return found.value


def _names(values: dict[str, TypedValue], name: str) -> tuple[str, ...] | None:
    found = values.get(fold(name))
    if found is None:
        return None
    if found.type is not CimType.STRING or not isinstance(found.value, tuple):
        raise _invalid(f"{name} is an array of strings")
    return tuple(str(item) for item in found.value)


def _invalid(text: str) -> WbemError:
    return WbemError.of(WbemStatus.WBEM_E_INVALID_CONTEXT, text)
