"""Arrays and strings (C706 14.3.3-14.3.6). Sequences come back as tuples, octets as `bytes`.

`size_is` and `length_is` name the sibling field or parameter that holds the count (or a `Count`, a function of
one). The encoder checks it, and structures and methods fill it in where the caller left it out; the decoder
checks that both agree. Counts are compared with what is left of the stream before anything is allocated.
"""

# ruff: noqa: D102  (the base class says what the overridden methods do)
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from openwmi.errors import CallerError, DecodeError
from openwmi.rpc.ndr.stream import MAX_COUNT, Count, Malformed, Reader, Scope, Writer
from openwmi.rpc.ndr.types import NdrType, Primitive, type_of

__all__ = [
    "Array",
    "CharString",
    "ConformantArray",
    "ConformantBytes",
    "ConformantVaryingArray",
    "ConformantVaryingBytes",
    "FixedBytes",
    "VaryingArray",
    "VaryingString",
    "WideString",
]

V = TypeVar("V")

Relation = str | Count | None

# A failed call's [out] array is as long as its request said: nobody gets more memory for a number than this.
_MAX_NULLS: Final = 0xFFFF


def _names(relation: Relation) -> frozenset[str]:
    """The sibling that a relation speaks of, if it can be filled in."""
    return frozenset((relation,)) if isinstance(relation, str) else frozenset()


class _Counted(NdrType[V], Generic[V]):
    """Something with elements: knows how to count a value, to write and to read so many of them."""

    element_size: int = 1

    @abstractmethod
    def length(self, value: V) -> int:
        """How many elements `value` has."""

    @abstractmethod
    def put_elements(self, writer: Writer, value: V) -> None:
        """Write them."""

    @abstractmethod
    def get_elements(self, reader: Reader, count: int) -> Any:
        """Read `count` of them, which are known to fit."""


class _Sequence(_Counted[tuple[Any, ...]]):
    """The element half of an array of any type that is not itself conformant."""

    def __init__(self, element: Any) -> None:
        self.element = type_of(element)
        if self.element.conformant:
            raise TypeError(f"an array's element cannot be conformant: {self.element!r}")
        self.alignment = self.element.alignment
        self.embeds_pointers = self.element.embeds_pointers
        self.element_size = max(self.element.minimum_size, 1)

    def length(self, value: tuple[Any, ...]) -> int:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise CallerError(f"{value!r} is no sequence")
        return len(value)

    def put_elements(self, writer: Writer, value: tuple[Any, ...]) -> None:
        put, scope = self.element.put, Scope()
        for item in value:
            put(writer, item, scope)

    def get_elements(self, reader: Reader, count: int) -> Any:
        element = self.element
        if isinstance(element, Primitive):
            return reader.numbers(element.code, element.alignment, count)
        scope = Scope()
        items: list[Any] = []
        try:
            for _ in range(count):
                before = len(reader.pending)
                items.append(element.get(reader, scope, 0))
                if element.embeds_pointers:
                    for cell in reader.pending[before:]:
                        cell.path.append(f"[{len(items) - 1}]")
        except Malformed as problem:
            problem.within(f"[{len(items)}]")
            raise
        return items if self.embeds_pointers else tuple(items)

    def settle(self, raw: Any) -> tuple[Any, ...]:
        return tuple(map(self.element.settle, raw)) if self.embeds_pointers else raw

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.element!r})"


class _Octets(_Counted[bytes]):
    """The element half of an array of octets, as `bytes`."""

    def length(self, value: bytes) -> int:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise CallerError(f"{value!r} is not bytes")
        return len(value)

    def put_elements(self, writer: Writer, value: bytes) -> None:
        writer.octets(value)

    def get_elements(self, reader: Reader, count: int) -> bytes:
        return reader.octets(count)


class _Wide(_Counted[str]):
    """The element half of a NUL-terminated string of UTF-16 code units; lone surrogates survive."""

    alignment = element_size = 2
    _codec: Final = {"<": "utf-16-le", ">": "utf-16-be"}

    def length(self, value: str) -> int:
        if not isinstance(value, str):
            raise CallerError(f"{value!r} is no string")
        return len(value.encode("utf-16-le", "surrogatepass")) // 2 + 1

    def put_elements(self, writer: Writer, value: str) -> None:
        writer.align(2)
        writer.octets(value.encode("utf-16-le", "surrogatepass") + b"\0\0")

    def get_elements(self, reader: Reader, count: int) -> str:
        reader.align(2)
        octets = reader.octets(2 * count)
        if octets[-2:] != b"\0\0":
            raise Malformed(reader.offset - 2, "string is not terminated")
        return octets[:-2].decode(self._codec[reader.byte_order], "surrogatepass")


class _Narrow(_Counted[str]):
    """The element half of a NUL-terminated string of octets; other than ASCII is kept as surrogate escapes."""

    def length(self, value: str) -> int:
        return len(value) + 1

    def put_elements(self, writer: Writer, value: str) -> None:
        try:
            writer.octets(value.encode("ascii", "surrogateescape") + b"\0")
        except UnicodeEncodeError:
            raise CallerError(f"{value!r} does not fit an octet string") from None

    def get_elements(self, reader: Reader, count: int) -> str:
        octets = reader.octets(count)
        if octets[-1:] != b"\0":
            raise Malformed(reader.offset - 1, "string is not terminated")
        return octets[:-1].decode("ascii", "surrogateescape")


class _Fixed(_Counted[V]):
    """Exactly `size` elements, without a count."""

    size: int

    def put(self, writer: Writer, value: V, scope: Scope) -> None:
        if self.length(value) != self.size:
            raise CallerError(f"need exactly {self.size} elements, have {self.length(value)}")
        self.put_elements(writer, value)

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        reader.check_count(self.size, self.element_size, reader.offset)
        return self.get_elements(reader, self.size)


class _Conformant(_Counted[V]):
    """A maximum count, which is hoisted in front of the outermost structure, then so many elements."""

    conformant = True
    minimum_size = 4
    size_is: Relation = None

    def put_conformance(self, writer: Writer, value: V, scope: Scope) -> None:
        count = self.length(value)
        dictated = scope.dictated(self.size_is)
        if dictated is not None and dictated != count:
            raise CallerError(f"has {count} elements, but its count says {dictated}")
        writer.number("I", 4, count)

    def get_conformance(self, reader: Reader) -> int:
        return reader.count(self.element_size)

    def put(self, writer: Writer, value: V, scope: Scope) -> None:
        self.put_elements(writer, value)

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        scope.expect(self.size_is, count, reader.offset)
        return self.get_elements(reader, count)

    def relations(self, value: V) -> Iterator[tuple[str | Count, int]]:
        if self.size_is is not None:
            yield self.size_is, self.length(value)

    def dictates(self) -> frozenset[str]:
        return _names(self.size_is)

    def absent(self, scope: Scope, offset: int) -> None:
        # MS-RPCE 3.1.1.5.3.3.1.2: a NULL pointer has no elements.
        scope.expect(self.size_is, 0, offset)


class _Varying(_Counted[V]):
    """Offset and actual count, then so many elements. Only the offset 0 exists here: no first_is."""

    length_is: Relation = None
    alignment = 4
    minimum_size = 8
    may_be_empty = True

    def put_range(self, writer: Writer, value: V, scope: Scope, maximum: int) -> None:
        """The offset, the actual count and the elements."""
        count = self.length(value)
        dictated = scope.dictated(self.length_is)
        if dictated is not None and dictated != count:
            raise CallerError(f"has {count} elements, but its length says {dictated}")
        if count > maximum:
            raise CallerError(f"has {count} elements, there is room for {maximum}")
        writer.number("I", 4, 0)
        writer.number("I", 4, count)
        self.put_elements(writer, value)

    def get_range(self, reader: Reader, scope: Scope, maximum: int) -> Any:
        """The elements, their number checked against `maximum`, the relation and the stream."""
        if (first := reader.number("I", 4)) != 0:
            raise Malformed(reader.offset - 4, f"offset is {first}, not 0")
        count = reader.count(self.element_size)
        if count > maximum:
            raise Malformed(reader.offset - 4, f"actual count {count} exceeds the maximum count {maximum}")
        if not count and not self.may_be_empty:
            raise Malformed(reader.offset - 4, "string is not terminated")
        scope.expect(self.length_is, count, reader.offset - 4)
        return self.get_elements(reader, count)

    def relations(self, value: V) -> Iterator[tuple[str | Count, int]]:
        if self.length_is is not None:
            yield self.length_is, self.length(value)

    def dictates(self) -> frozenset[str]:
        return _names(self.length_is)


class _ConformantVarying(_Varying[V]):
    """Maximum count, hoisted; then offset, actual count and elements."""

    conformant = True
    minimum_size = 12
    size_is: Relation = None

    def put_conformance(self, writer: Writer, value: V, scope: Scope) -> None:
        writer.number("I", 4, self._maximum(value, scope))

    def _maximum(self, value: V, scope: Scope) -> int:
        dictated = scope.dictated(self.size_is)
        return self.length(value) if dictated is None else dictated

    def get_conformance(self, reader: Reader) -> int:
        maximum: int = reader.number("I", 4)
        if maximum > MAX_COUNT:
            raise Malformed(reader.offset - 4, f"maximum count {maximum} exceeds {MAX_COUNT}")
        return maximum

    def put(self, writer: Writer, value: V, scope: Scope) -> None:
        self.put_range(writer, value, scope, self._maximum(value, scope))

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        scope.expect(self.size_is, count, reader.offset)
        return self.get_range(reader, scope, count)

    def relations(self, value: V) -> Iterator[tuple[str | Count, int]]:
        yield from super().relations(value)
        if self.size_is is not None:
            yield self.size_is, self.length(value)

    def dictates(self) -> frozenset[str]:
        return _names(self.length_is) | _names(self.size_is)

    def absent(self, scope: Scope, offset: int) -> None:
        scope.expect(self.size_is, 0, offset)


class Array(_Fixed[tuple[Any, ...]], _Sequence):
    """``T name[size]``."""

    def __init__(self, element: Any, size: int) -> None:
        _Sequence.__init__(self, element)
        self.size = size
        self.minimum_size = size * self.element.minimum_size


class FixedBytes(_Fixed[bytes], _Octets):
    """``byte name[size]``, as `bytes`."""

    def __init__(self, size: int) -> None:
        self.size = self.minimum_size = size


class ConformantArray(_Conformant[tuple[Any, ...]], _Sequence):
    """``[size_is(n)] T name[]``."""

    def __init__(self, element: Any, *, size_is: Relation = None) -> None:
        _Sequence.__init__(self, element)
        self.size_is = size_is

    def null(self, given: Any, scope: Scope) -> tuple[Any, ...]:
        count = scope.dictated(self.size_is) or 0
        if count > _MAX_NULLS:
            raise DecodeError(next(iter(self.dictates()), repr(self)), 0, f"asks for {count} elements of nothing")
        return (self.element.null(None, scope),) * count


class ConformantBytes(_Conformant[bytes], _Octets):
    """``[size_is(n)] byte name[]``, as `bytes`."""

    def __init__(self, *, size_is: Relation = None) -> None:
        self.size_is = size_is


class VaryingArray(_Varying[tuple[Any, ...]], _Sequence):
    """``[length_is(n)] T name[size]``."""

    def __init__(self, element: Any, size: int, *, length_is: Relation = None) -> None:
        _Sequence.__init__(self, element)
        self.alignment = max(4, self.element.alignment)
        self.size = size
        self.length_is = length_is

    def put(self, writer: Writer, value: tuple[Any, ...], scope: Scope) -> None:
        self.put_range(writer, value, scope, self.size)

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        return self.get_range(reader, scope, self.size)


class ConformantVaryingArray(_ConformantVarying[tuple[Any, ...]], _Sequence):
    """``[size_is(m), length_is(n)] T name[]``. Where no sibling says more, both counts are the value's length."""

    def __init__(self, element: Any, *, size_is: Relation = None, length_is: Relation = None) -> None:
        _Sequence.__init__(self, element)
        self.alignment = max(4, self.element.alignment)
        self.size_is = size_is
        self.length_is = length_is

    def null(self, given: Any, scope: Scope) -> tuple[Any, ...]:
        return ()


class ConformantVaryingBytes(_ConformantVarying[bytes], _Octets):
    """``[size_is(m), length_is(n)] byte name[]``, as `bytes`."""

    def __init__(self, *, size_is: Relation = None, length_is: Relation = None) -> None:
        self.size_is = size_is
        self.length_is = length_is


class WideString(_ConformantVarying[str], _Wide):
    """``[string] wchar_t name[]``: conformant, varying, NUL-terminated; the value is without the NUL."""

    may_be_empty = False
    alignment = 4

    def __init__(self, *, size_is: Relation = None) -> None:
        self.size_is = size_is

    def __repr__(self) -> str:
        return "WideString"


class CharString(_ConformantVarying[str], _Narrow):
    """``[string] char name[]``."""

    may_be_empty = False

    def __init__(self, *, size_is: Relation = None) -> None:
        self.size_is = size_is

    def __repr__(self) -> str:
        return "CharString"


class VaryingString(_Varying[str], _Narrow):
    """``[string] char name[size]``: NUL-terminated, in a place of fixed size; the value is without the NUL."""

    may_be_empty = False

    def __init__(self, size: int) -> None:
        self.size = size

    def put(self, writer: Writer, value: str, scope: Scope) -> None:
        self.put_range(writer, value, scope, self.size)

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        return self.get_range(reader, scope, self.size)

    def __repr__(self) -> str:
        return f"VaryingString({self.size})"
