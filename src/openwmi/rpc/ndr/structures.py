"""Structures and unions (C706 14.3.7-14.3.8), declared as typed Python classes.

    @structure
    class MInterfacePair:
        \"\"\"An example.\"\"\"

        # unsigned long cIDs;
        count: Annotated[int, UInt32] = COUNTED
        # [size_is(cIDs)] IID *pIIDs;
        iids: Annotated[tuple[UUID, ...], Unique(ConformantArray(Guid, size_is="count"))]
        # STDOBJREF std;
        std: StdObjRef

makes a frozen dataclass with slots and keyword arguments, and the NDR type for it, which is `Struct(class)` or,
wherever a type is asked for, the class itself. A field whose default is `COUNTED` takes its value from the
fields that name it in size_is, length_is or switch_is.
"""

# ruff: noqa: D102  (the base class says what the overridden methods do)
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar, cast, dataclass_transform, get_origin, get_type_hints

from openwmi.errors import CallerError
from openwmi.rpc.ndr.stream import Count, Malformed, Reader, Scope, Writer
from openwmi.rpc.ndr.types import NdrType, Primitive, type_of

__all__ = ["COUNTED", "Struct", "Tagged", "Union", "fill_counts", "structure"]

S = TypeVar("S")

# The default of a field that is filled in from the fields that refer to it. It is None, said to be an int
# because the finished value always is one.
COUNTED: Final[int] = cast("int", None)


def fill_counts(kinds: Mapping[str, NdrType[Any]], values: Mapping[str, Any]) -> dict[str, int]:
    """The counts that `values` dictate about siblings which are absent or None."""
    counts: dict[str, int] = {}
    for name, kind in kinds.items():
        if name not in values:
            continue
        for relation, count in kind.relations(values[name]):
            if isinstance(relation, str) and values.get(relation) is None:
                counts[relation] = max(count, counts.get(relation, 0))
    return counts


class _StructType(NdrType[S], Generic[S]):
    """The NDR type of a class that `structure` declared."""

    def __init__(self, made: type[S], fields: Mapping[str, NdrType[Any]]) -> None:
        kinds = list(fields.values())
        if any(kind.conformant for kind in kinds[:-1]):
            raise TypeError(f"{made.__name__}: only the last field can be conformant")
        self.made = made
        self.fields = fields
        self.alignment = max((kind.alignment for kind in kinds), default=1)
        self.minimum_size = sum(kind.minimum_size for kind in kinds)
        self.conformant = bool(kinds) and kinds[-1].conformant
        self.embeds_pointers = any(kind.embeds_pointers for kind in kinds)
        self._last = list(fields)[-1] if fields else ""

    def _scope(self, value: S) -> Scope:
        return Scope({name: _plain(getattr(value, name)) for name in self.fields})

    def put_conformance(self, writer: Writer, value: S, scope: Scope) -> None:
        self._check(value)
        self.fields[self._last].put_conformance(writer, getattr(value, self._last), self._scope(value))

    def get_conformance(self, reader: Reader) -> int:
        return self.fields[self._last].get_conformance(reader)

    def put(self, writer: Writer, value: S, scope: Scope) -> None:
        self._check(value)
        writer.align(self.alignment)
        inner = self._scope(value)
        name = ""
        try:
            for name, kind in self.fields.items():
                kind.put(writer, getattr(value, name), inner)
        except CallerError as problem:
            raise CallerError(f"{self.made.__name__}.{name}: {problem}") from None

    def _check(self, value: S) -> None:
        if not isinstance(value, self.made):
            raise CallerError(f"{value!r} is no {self.made.__name__}")

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        reader.align(self.alignment)
        inner = Scope()
        raw: list[Any] = []
        name = ""
        try:
            for name, kind in self.fields.items():
                before = len(reader.pending)
                item = kind.get(reader, inner, count if kind.conformant else 0)
                if kind.embeds_pointers:
                    for cell in reader.pending[before:]:
                        cell.path.append(name)
                elif isinstance(item, int):
                    inner.learn(name, item)
                raw.append(item)
            inner.close()
        except Malformed as problem:
            problem.within(name)
            raise
        return raw if self.embeds_pointers else self._make(raw)

    def settle(self, raw: Any) -> S:
        if not self.embeds_pointers:
            return cast("S", raw)
        return self._make([kind.settle(item) for kind, item in zip(self.fields.values(), raw, strict=True)])

    def null(self, given: Any, scope: Scope) -> S:
        return self._make([kind.null(None, scope) for kind in self.fields.values()])

    def _make(self, items: list[Any]) -> S:
        return self.made(**dict(zip(self.fields, items, strict=True)))

    def __repr__(self) -> str:
        return self.made.__name__


def _plain(value: Any) -> Any:
    """What a relation can refer to: numbers only."""
    return value if isinstance(value, int) else None


def Struct(declared: type[S]) -> NdrType[S]:  # noqa: N802  (reads as the type that it is)
    """The NDR type of a class that was declared with `structure`."""
    return type_of(declared)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def structure(declared: type[S]) -> type[S]:
    """Class decorator: see the module's docstring.

    Each annotation is ``Annotated[python type, NDR type]``, or a class that is itself a structure. The types
    must be resolvable where the class is declared, so only pointers to it (`Lazy`) can refer to itself.
    """
    fields: dict[str, NdrType[Any]] = {}
    hints = get_type_hints(declared, localns={declared.__name__: declared}, include_extras=True)
    for name, hint in hints.items():
        if get_origin(hint) is Annotated:
            fields[name] = type_of(hint.__metadata__[0])
        elif getattr(hint, "__ndr__", None) is not None:
            fields[name] = type_of(hint)
        elif name in declared.__annotations__ and "ClassVar" not in str(declared.__annotations__[name]):
            raise TypeError(f"{declared.__name__}.{name}: no NDR type in {hint!r}")
    # None is a pointer's NULL as well; only a number can be a count.
    counted = [
        name for name, kind in fields.items() if isinstance(kind, Primitive) and getattr(declared, name, ...) is None
    ]
    if counted:
        _fill_after_init(declared, fields, counted)
    made = dataclass(frozen=True, slots=True, kw_only=True)(declared)
    made.__ndr__ = _StructType(made, fields)  # type: ignore[attr-defined]
    return made


def _fill_after_init(declared: type[Any], fields: Mapping[str, NdrType[Any]], counted: list[str]) -> None:
    """Give the class a `__post_init__` that computes its `COUNTED` fields."""

    def __post_init__(self: Any) -> None:  # noqa: N807
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        counts = fill_counts(fields, values)
        for name in counted:
            if values[name] is None:
                object.__setattr__(self, name, counts.get(name, 0))

    declared.__post_init__ = __post_init__


@dataclass(frozen=True, slots=True)
class Tagged:
    """A union's value: which arm, and what is in it (None for an arm without content)."""

    tag: int
    value: Any = None


class Union(NdrType[Tagged]):
    """``[switch_type(tag), switch_is(sibling)] union``: the tag, then the arm (C706 14.3.8).

    NDR aligns the tag and the arm each by itself, not the union; inside a structure or an array the largest
    alignment of them all counts. `arms` maps tags to types, None for an arm without content. `default` takes the
    tags that are not listed; without it they are errors. An encapsulated union has the same octets and no
    `switch_is`.
    """

    _REFUSE: Final = object()

    def __init__(
        self,
        tag: NdrType[int],
        arms: Mapping[int, Any],
        *,
        default: Any = _REFUSE,
        switch_is: str | None = None,
    ) -> None:
        self.tag = tag
        self.arms = {number: None if arm is None else type_of(arm) for number, arm in arms.items()}
        self.open = default is not Union._REFUSE
        self.default = type_of(default) if self.open and default is not None else None
        self.switch_is = switch_is
        kinds = [kind for kind in (*self.arms.values(), self.default) if kind is not None]
        if any(kind.conformant for kind in kinds):
            raise TypeError("an arm of a union cannot be conformant")
        self.alignment = max([tag.alignment, *(kind.alignment for kind in kinds)])
        self.minimum_size = tag.minimum_size
        self.embeds_pointers = any(kind.embeds_pointers for kind in kinds)

    def _arm(self, tag: int) -> NdrType[Any] | None:
        if tag in self.arms:
            return self.arms[tag]
        if self.open:
            return self.default
        raise KeyError(tag)

    def put(self, writer: Writer, value: Tagged, scope: Scope) -> None:
        if not isinstance(value, Tagged):
            raise CallerError(f"{value!r} is no Tagged")
        dictated = scope.dictated(self.switch_is)
        if dictated is not None and dictated != value.tag:
            raise CallerError(f"tag is {value.tag}, but {self.switch_is} says {dictated}")
        try:
            arm = self._arm(value.tag)
        except KeyError:
            raise CallerError(f"no arm {value.tag}") from None
        self.tag.put(writer, value.tag, scope)
        if arm is not None:
            arm.put(writer, value.value, scope)

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        tag = self.tag.get(reader, scope, 0)
        scope.expect(self.switch_is, tag, reader.offset - self.tag.minimum_size)
        try:
            arm = self._arm(tag)
        except KeyError:
            raise Malformed(reader.offset - self.tag.minimum_size, f"no arm {tag}") from None
        return Tagged(tag, None if arm is None else arm.get(reader, scope, 0))

    def settle(self, raw: Any) -> Tagged:
        arm = self._arm(raw.tag)
        return Tagged(raw.tag, arm.settle(raw.value)) if arm is not None and arm.embeds_pointers else raw

    def null(self, given: Any, scope: Scope) -> Tagged:
        tag = self.tag.null(None, scope)
        arm = self._arm(tag)
        return Tagged(tag, None if arm is None else arm.null(None, scope))

    def relations(self, value: Tagged) -> Iterator[tuple[str | Count, int]]:
        if self.switch_is is not None:
            yield self.switch_is, value.tag

    def dictates(self) -> frozenset[str]:
        return frozenset(() if self.switch_is is None else (self.switch_is,))
