"""The two ends of an NDR octet stream (C706 14.2): `Writer` and `Reader`, and the `Scope` of related values.

A `Reader` consumes one whole stub (or one serialized type) that is in memory; it never waits for more. What it
finds wrong it raises as `Malformed`, without a field name: the types that call it add their names on the way
out, and `named` turns the result into `DecodeError`. Offsets and alignment count from the start of the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openwmi.errors import CallerError, DecodeError

if TYPE_CHECKING:
    from openwmi.rpc.ndr.types import NdrType

__all__ = ["MAX_DEPTH", "Cell", "Count", "Malformed", "Reader", "Scope", "Writer", "named"]

# How many pointers may be followed, one inside the other. Interfaces nest a handful; a linked list that a peer
# sends must not exhaust the stack.
MAX_DEPTH: Final = 64

# MS-RPCE 3.1.1.5.3.2.2.1: no dimension has more elements than this.
MAX_COUNT: Final = 0x7FFFFFFF


class Malformed(Exception):
    """A problem at an offset, on its way to the caller who knows the field's name."""

    def __init__(self, offset: int, problem: str) -> None:
        super().__init__(problem)
        self.offset = offset
        self.problem = problem
        self.path: list[str] = []

    def within(self, name: str) -> Malformed:
        """The same problem, seen from one level further out."""
        if name:
            self.path.append(name)
        return self

    def error(self) -> DecodeError:
        """The public form."""
        return DecodeError(".".join(reversed(self.path)).replace(".[", "["), self.offset, self.problem)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Turn every `Malformed` of the block into a `DecodeError` whose field begins with `name`."""
    try:
        yield
    except Malformed as problem:
        raise problem.within(name).error() from None


@dataclass(frozen=True, slots=True)
class Count:
    """The argument of size_is or length_is where it is more than a name: `function` of the sibling `name`.

    The encoder cannot invert a function, so such a sibling is never filled in, only checked.
    """

    name: str
    function: Callable[[int], int]


class Scope:
    """The sibling values that size_is, length_is and switch_is refer to (MS-RPCE 3.1.1.5.3.1).

    Filled as a structure's fields or a call's parameters are read. A count that is met before the sibling that
    dictates it waits for it; `close` checks what is left. A sibling that never comes (an [in] parameter of a
    response) dictates nothing.
    """

    __slots__ = ("_values", "_waiting")

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = dict(values) if values else {}
        self._waiting: list[tuple[str | Count, int, int]] = []

    def learn(self, name: str, value: Any) -> None:
        """Remember a sibling's value."""
        self._values[name] = value

    def dictated(self, relation: str | Count | None) -> int | None:
        """What `relation` evaluates to, or None while its sibling is unknown."""
        if relation is None:
            return None
        if isinstance(relation, str):
            value = self._values.get(relation)
            return None if value is None else int(value)
        value = self._values.get(relation.name)
        return None if value is None else relation.function(int(value))

    def expect(self, relation: str | Count | None, found: int, offset: int) -> None:
        """Check a count that was read at `offset`, now or as soon as its sibling is known."""
        if relation is None:
            return
        dictated = self.dictated(relation)
        if dictated is None:
            self._waiting.append((relation, found, offset))
        elif dictated != found:
            raise Malformed(offset, f"count is {found}, but {_name(relation)} says {dictated}")

    def close(self) -> None:
        """Check every count that still waits."""
        waiting, self._waiting = self._waiting, []
        for relation, found, offset in waiting:
            if self.dictated(relation) is not None:
                self.expect(relation, found, offset)


def _name(relation: str | Count) -> str:
    """How messages call a relation."""
    return relation if isinstance(relation, str) else f"a function of {relation.name}"


class Cell:
    """A pointer that was met, and the place for what it points to, which comes later in the stream."""

    __slots__ = ("path", "referent", "scope", "settled", "target", "value")

    def __init__(self, target: NdrType[Any], scope: Scope, referent: int = 0) -> None:
        self.target = target
        self.scope = scope
        self.referent = referent
        self.path: list[str] = []
        self.value: Any = None
        self.settled = False


_FORMATS: Final = {
    "<": {code: struct.Struct("<" + code) for code in "bBhHiIqQfd"},
    ">": {code: struct.Struct(">" + code) for code in "bBhHiIqQfd"},
}


class Reader:
    """Reads values out of one octet stream; `byte_order` is that of the PDU's data representation."""

    __slots__ = ("_formats", "_order", "data", "depth", "known", "offset", "pending")

    def __init__(self, data: bytes, *, little_endian: bool = True) -> None:
        self.data = data
        self.offset = 0
        self.depth = 0
        self.pending: list[Cell] = []
        self.known: dict[int, Cell] = {}
        self._order = "<" if little_endian else ">"
        self._formats = _FORMATS[self._order]

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.offset

    def align(self, alignment: int) -> None:
        """Skip the gap before a value. Its content is ignored (MS-RPCE 3.1.1.5.3.2.2.6)."""
        self.offset = -(-self.offset // alignment) * alignment

    def need(self, size: int) -> None:
        """Refuse to go on unless `size` bytes are left."""
        if self.remaining < size:
            raise Malformed(self.offset, f"need {size} bytes, have {max(self.remaining, 0)}")

    def number(self, code: str, size: int) -> Any:
        """An aligned primitive; `code` is its letter in `struct`, `size` its length and alignment."""
        offset = -(-self.offset // size) * size
        try:
            (value,) = self._formats[code].unpack_from(self.data, offset)
        except struct.error:
            self.offset = offset
            self.need(size)
            raise
        self.offset = offset + size
        return value

    def numbers(self, code: str, size: int, count: int) -> tuple[Any, ...]:
        """`count` aligned primitives at once; the caller has checked `count` against what remains."""
        if not count:
            return ()
        self.align(size)
        self.need(size * count)
        values = struct.unpack_from(f"{self._order}{count}{code}", self.data, self.offset)
        self.offset += size * count
        return values

    def octets(self, size: int) -> bytes:
        """`size` bytes as they are."""
        self.need(size)
        start = self.offset
        self.offset = start + size
        return self.data[start : self.offset]

    def count(self, minimum_size: int, *, what: str = "elements") -> int:
        """A count of things that each take at least `minimum_size` bytes of what follows."""
        count = self.number("I", 4)
        self.check_count(count, minimum_size, self.offset - 4, what=what)
        return int(count)

    def check_count(self, count: int, minimum_size: int, offset: int, *, what: str = "elements") -> None:
        """Refuse a count that the rest of the stream cannot hold, before anything is allocated for it."""
        if count * minimum_size > max(self.remaining, 0):
            raise Malformed(offset, f"{count} {what} do not fit in the remaining {max(self.remaining, 0)} bytes")

    @contextmanager
    def little_endian(self) -> Iterator[None]:
        """Read what is little-endian whatever the data representation says (MS-OAUT's user-marshalled types)."""
        order, formats = self._order, self._formats
        self._order, self._formats = "<", _FORMATS["<"]
        try:
            yield
        finally:
            self._order, self._formats = order, formats

    @property
    def byte_order(self) -> str:
        """'<' or '>'."""
        return self._order

    def complete(self, kind: NdrType[Any], scope: Scope) -> Any:
        """A whole construct: hoisted counts, body, then what its pointers point to, depth first (C706 14.3.12.3)."""
        if self.depth >= MAX_DEPTH:
            raise Malformed(self.offset, f"pointers are nested more than {MAX_DEPTH} deep")
        self.depth += 1
        outer, self.pending = self.pending, []
        count = kind.get_conformance(self) if kind.conformant else 0
        raw = kind.get(self, scope, count)
        pending, self.pending = self.pending, outer
        for cell in pending:
            try:
                cell.value = self.complete(cell.target, cell.scope)
            except Malformed as problem:
                for name in cell.path:
                    problem.within(name)
                raise
            cell.settled = True
        self.depth -= 1
        return kind.settle(raw) if kind.embeds_pointers else raw


class Writer:
    """Writes values as a little-endian octet stream. `referents` numbers the pointers as Windows does."""

    __slots__ = ("_depth", "_referent", "buffer", "pending")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.pending: list[tuple[NdrType[Any], Any, Scope]] = []
        self._referent = 0x00020000
        self._depth = 0

    def align(self, alignment: int) -> None:
        """Fill the gap before a value with zeros."""
        gap = -len(self.buffer) % alignment
        if gap:
            self.buffer += bytes(gap)

    def number(self, code: str, size: int, value: Any) -> None:
        """An aligned primitive."""
        self.align(size)
        try:
            self.buffer += _FORMATS["<"][code].pack(value)
        except (struct.error, OverflowError, TypeError) as problem:
            raise CallerError(f"{value!r} is not a value of this NDR type: {problem}") from None

    def octets(self, data: bytes) -> None:
        """Bytes as they are."""
        self.buffer += data

    def referent(self) -> int:
        """A fresh referent identifier."""
        made = self._referent
        self._referent += 4
        return made

    def complete(self, kind: NdrType[Any], value: Any, scope: Scope) -> None:
        """A whole construct; see `Reader.complete`."""
        if self._depth >= MAX_DEPTH:
            raise CallerError(f"pointers are nested more than {MAX_DEPTH} deep")
        self._depth += 1
        outer, self.pending = self.pending, []
        if kind.conformant:
            kind.put_conformance(self, value, scope)
        kind.put(self, value, scope)
        pending, self.pending = self.pending, outer
        for target, pointee, where in pending:
            self.complete(target, pointee, where)
        self._depth -= 1
