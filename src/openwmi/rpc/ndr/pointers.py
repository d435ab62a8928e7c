"""Pointers (C706 14.3.10-14.3.12, MS-RPCE 2.2.4.10): what they point to follows the outermost construct.

At top level, as a parameter, a reference pointer has no representation (`interface.py` sees to that); inside
anything else every pointer is four octets.
"""

# ruff: noqa: D102  (the base class says what the overridden methods do)
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from openwmi.errors import CallerError
from openwmi.rpc.ndr.stream import Cell, Count, Malformed, Reader, Scope, Writer
from openwmi.rpc.ndr.types import NdrType, type_of

__all__ = ["Full", "Lazy", "Pointer", "Ref", "ResultPointer", "Slot", "Unique"]


class Lazy(NdrType[Any]):
    """A type that is named before it is declared, for structures that point to themselves.

    Only good as the target of a pointer, since its alignment is unknown at declaration.
    """

    def __init__(self, declared: Callable[[], Any]) -> None:
        self._declared = declared

    @property
    def target(self) -> NdrType[Any]:
        """The type itself."""
        return type_of(self._declared())

    def __repr__(self) -> str:
        return f"Lazy({self.target!r})"


class Pointer(NdrType[Any]):
    """What the pointer kinds share. `target` is the type pointed to."""

    alignment = minimum_size = 4
    embeds_pointers = True

    def __init__(self, target: Any) -> None:
        self._target = target if isinstance(target, Lazy) else type_of(target)
        if isinstance(target, Unique | Full) and not isinstance(target, _SlotContent):
            # None could be either pointer's NULL.
            raise TypeError("a pointer to a pointer is a ResultPointer")

    @property
    def target(self) -> NdrType[Any]:
        """The type pointed to."""
        return self._target.target if isinstance(self._target, Lazy) else self._target

    def put(self, writer: Writer, value: Any, scope: Scope) -> None:
        if value is None:
            writer.number("I", 4, 0)
        else:
            writer.number("I", 4, writer.referent())
            writer.pending.append((self.target, value, scope))

    def get(self, reader: Reader, scope: Scope, count: int) -> Cell | None:
        referent = reader.number("I", 4)
        if not referent:
            self.target.absent(scope, reader.offset - 4)
            return None
        cell = Cell(self.target, scope, referent)
        reader.pending.append(cell)
        return cell

    def settle(self, raw: Any) -> Any:
        return None if raw is None else raw.value

    def relations(self, value: Any) -> Iterator[tuple[str | Count, int]]:
        if value is not None:
            yield from self.target.relations(value)

    def dictates(self) -> frozenset[str]:
        return self.target.dictates()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target!r})"


class Ref(Pointer):
    """``[ref] T *``: never NULL. Inside a structure it has a representation, whose value is ignored."""

    def put(self, writer: Writer, value: Any, scope: Scope) -> None:
        if value is None:
            raise CallerError("a reference pointer cannot be NULL")
        super().put(writer, value, scope)

    def get(self, reader: Reader, scope: Scope, count: int) -> Cell:
        cell = Cell(self.target, scope, reader.number("I", 4))
        reader.pending.append(cell)
        return cell


class Unique(Pointer):
    """``[unique] T *``: None is NULL."""


class Full(Pointer):
    """``[ptr] T *``: None is NULL, and a referent may be pointed to more than once.

    Writing never makes an alias; reading gives the same value for each.
    """

    def get(self, reader: Reader, scope: Scope, count: int) -> Cell | None:
        offset = reader.offset
        referent = reader.number("I", 4)
        if not referent:
            self.target.absent(scope, offset)
            return None
        known = reader.known.get(referent)
        if known is not None:
            if known.target is not self.target:
                raise Malformed(offset, f"referent {referent:#x} has another type")
            return known
        cell = reader.known[referent] = Cell(self.target, scope, referent)
        reader.pending.append(cell)
        return cell

    def settle(self, raw: Any) -> Any:
        if raw is not None and not raw.settled:
            # Values are immutable trees: a structure that contains itself cannot be one.
            raise Malformed(0, f"referent {raw.referent:#x} is part of itself")
        return super().settle(raw)


@dataclass(frozen=True, slots=True)
class Slot:
    """The place for a result that an ``[in, out, unique] T **`` parameter offers; `content` None is empty."""

    content: Any = None


class _SlotContent(Unique):
    """The inner pointer of a `ResultPointer`, its value wrapped so that it is never None."""

    def put(self, writer: Writer, value: Slot, scope: Scope) -> None:
        super().put(writer, value.content, scope)

    def settle(self, raw: Any) -> Slot:
        return Slot(super().settle(raw))

    def relations(self, value: Slot) -> Iterator[tuple[str | Count, int]]:
        yield from super().relations(value.content)


class ResultPointer(Unique):
    """``[in, out, unique] T **``: the caller says by a pointer or NULL whether it wants the result.

    None: not wanted. `Slot()`: wanted, and nothing there (so it goes out with a request). `Slot(x)`: x.
    """

    def __init__(self, content: Any) -> None:
        self.content = type_of(content)
        super().__init__(_SlotContent(self.content))

    def put(self, writer: Writer, value: Slot | None, scope: Scope) -> None:
        if value is not None and not isinstance(value, Slot):
            raise CallerError(f"{value!r} is neither None nor a Slot")
        super().put(writer, value, scope)

    def null(self, given: Slot | None, scope: Scope) -> Slot | None:
        return None if given is None else Slot()

    def __repr__(self) -> str:
        return f"ResultPointer({self.content!r})"
