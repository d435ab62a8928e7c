"""How the caller sees instances: with which of their properties, and in which language.

What a SELECT lists or the context asks for decides about the properties (`Names`), WBEM_FLAG_USE_AMENDED_QUALIFIERS
about the language (MS-WMI 3.1.1.2). It is worked out once for each class and not for each instance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

from openwmi.cim import Class, Instance, Shape, fold
from openwmi.cim.operations import Flags
from openwmi.manager.job import Job
from openwmi.manager.localization import for_caller
from openwmi.manager.partial import PartialGet

__all__ = ["Names", "Views", "all_names", "partial_names"]

Names: TypeAlias = Callable[[Class], Collection[str] | None]
"""The properties of a class that are shown; None for all."""


def all_names(cls: Class) -> None:
    """Whole instances."""


def partial_names(partial: PartialGet | None) -> Names:
    """What a partial get is about."""
    if partial is None:
        return all_names
    return lambda cls: [p.name for p in cls.properties.each() if fold(p.name) in partial.wanted(cls)]


class Views:
    """The shapes in which one operation shows instances."""

    def __init__(self, job: Job[Any], names: Names = all_names) -> None:
        self._job = job
        self._names = names
        self._localizes = job.has(Flags.USE_AMENDED_QUALIFIERS)
        self._shapes: dict[str, Shape | None] = {}

    async def show(self, instances: Sequence[Instance]) -> list[Instance]:
        """The instances as the caller sees them."""
        if self._names is all_names and not self._localizes:
            return list(instances)
        shown = []
        for instance in instances:
            name = fold(instance.class_name)
            if name not in self._shapes:
                self._shapes[name] = await self._shape(instance.cls)
            shape = self._shapes[name]
            shown.append(instance if shape is None else instance.copy(shape))
        return shown

    async def _shape(self, cls: Class) -> Shape | None:
        names = self._names(cls)
        shown: Class = await self._job.in_store(for_caller, self._job, cls) if self._localizes else cls
        if names is not None:
            return shown.shape.project(names)
        return None if shown is cls else shown.shape
