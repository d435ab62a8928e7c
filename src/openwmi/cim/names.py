"""Names, as CIM compares them: without regard to case.

`fold` is the one rule; `NameMap` is the one mapping that follows it. Everything that has a name (classes,
properties, methods, qualifiers, namespaces, keys of a path, context values) goes through these two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar, overload

__all__ = ["IDENTIFIER", "NameMap", "Named", "fold", "is_identifier", "is_system_name"]

# DSP0004 A.1: a letter or underscore, then letters, digits, underscores; U+0080 to U+FFEF count as letters (but not
# the surrogates among them, which are no characters).
IDENTIFIER: Final = r"[A-Za-z_\u0080-\ud7ff\ue000-\uffef][0-9A-Za-z_\u0080-\ud7ff\ue000-\uffef]*"
_IDENTIFIER: Final = re.compile(IDENTIFIER)


def fold(name: str) -> str:
    """The form of `name` under which two names are the same."""
    lowered = name.lower()
    # Python writes a sigma at a word's end another way; a rule for comparing must not look at neighbours.
    return lowered if lowered.isascii() else lowered.replace("ς", "σ")


def is_identifier(text: str) -> bool:
    """Whether `text` can name a class, a property, a method or a qualifier (DSP0004 A.1)."""
    return _IDENTIFIER.fullmatch(text) is not None


def is_system_name(name: str) -> bool:
    """Whether `name` is one of those that WMI keeps for itself: it begins with two underscores."""
    return name.startswith("__")


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name, as it was spelled."""
        ...


N = TypeVar("N", bound=Named)
D = TypeVar("D")


class NameMap(Mapping[str, N]):
    """An immutable, ordered mapping of named things, looked up without regard to case.

    Built from the things themselves; two things of one name are a `ValueError`. Iteration gives the names as
    they were spelled, in order.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[N] = ()) -> None:
        found: dict[str, N] = {}
        for item in items:
            if found.setdefault(fold(item.name), item) is not item:
                raise ValueError(f"{item.name} is there twice")
        self._items = found

    @classmethod
    def of_folded(cls, items: dict[str, N]) -> NameMap[N]:
        """The map of `items`, which are under their folded names already. It is the map's from now on."""
        made: NameMap[N] = cls.__new__(cls)
        made._items = items
        return made

    def __getitem__(self, name: str) -> N:
        try:
            return self._items[name]  # most callers already have the folded form
        except KeyError:
            return self._items[fold(name)]

    @overload
    def get(self, name: str, default: None = None, /) -> N | None: ...
    @overload
    def get(self, name: str, default: N | D, /) -> N | D: ...
    def get(self, name: str, default: Any = None, /) -> Any:
        """The thing of that name, or `default`."""
        return self._items.get(fold(name), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and fold(name) in self._items

    def __iter__(self) -> Iterator[str]:
        return (item.name for item in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def each(self) -> Iterable[N]:
        """The things, in order."""
        return self._items.values()

    def with_items(self, items: Iterable[N]) -> NameMap[N]:
        """A map in which `items` are added, or stand in the place of those of the same name."""
        merged = dict(self._items)
        for item in items:
            merged[fold(item.name)] = item
        return NameMap.of_folded(merged)

    def without(self, *names: str) -> NameMap[N]:
        """A map that lacks `names`; a name that is not there is no error."""
        gone = {fold(name) for name in names}
        return NameMap(item for key, item in self._items.items() if key not in gone)

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, NameMap) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._items))

    def __repr__(self) -> str:
        return f"NameMap({list(self._items.values())!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return NameMap, (tuple(self._items.values()),)
