"""What every NDR type is, and the primitive ones (C706 14.2).

A type is an object that is declared once and interpreted in both directions; it holds no state. Values are
plain Python values. A wrong value handed to the encoder is a `CallerError`, wrong bytes are `DecodeError`.
"""

# ruff: noqa: D102  (the base class says what the overridden methods do)
from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

from openwmi.errors import CallerError
from openwmi.rpc.ndr.stream import Count, Malformed, Reader, Scope, Writer, named

__all__ = [
    "Boolean",
    "Double",
    "Enum16",
    "Enum32",
    "Float",
    "Guid",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "NdrType",
    "Primitive",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "type_of",
]

T = TypeVar("T")


class NdrType(Generic[T]):
    """A type of the IDL. `T` is the type of its Python values.

    Writers of types implement `put` and `get`; a type that carries a maximum count in front of the outermost
    structure also `put_conformance` and `get_conformance`; one that holds pointers inside also `settle`, which
    makes the final value once the pointees have been read.
    """

    alignment: int = 1
    minimum_size: int = 1  # bytes that a value takes at least; hostile counts are measured by it
    conformant: bool = False
    embeds_pointers: bool = False

    def put(self, writer: Writer, value: T, scope: Scope) -> None:
        """Write the value's body; what its pointers point to goes to `writer.pending`."""
        raise NotImplementedError

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        """Read the body. `count` is the maximum count that `get_conformance` returned, else 0."""
        raise NotImplementedError

    def put_conformance(self, writer: Writer, value: T, scope: Scope) -> None:
        """Write the maximum count of a conformant type."""
        raise NotImplementedError

    def get_conformance(self, reader: Reader) -> int:
        """Read the maximum count of a conformant type."""
        raise NotImplementedError

    def settle(self, raw: Any) -> T:
        """The value of what `get` returned, now that all pointees are known."""
        return cast("T", raw)

    def relations(self, value: T) -> Iterator[tuple[str | Count, int]]:
        """What `value` dictates about its siblings: pairs of a relation and the count."""
        return iter(())

    def dictates(self) -> frozenset[str]:
        """The names of the siblings that `relations` may speak of."""
        return frozenset()

    def null(self, given: Any, scope: Scope) -> Any:
        """What an [out] parameter of this type holds when the call failed: NULL, 0, or an array of those.

        `given` is what the request said where the parameter is [in, out]; `scope` has the [in] values, which may
        dictate how long an array is.
        """
        return None

    def absent(self, scope: Scope, offset: int) -> None:
        """Called in place of `get` when a pointer to this type is NULL."""

    def encode(self, value: T) -> bytes:
        """`value` alone, as an NDR stream."""
        writer = Writer()
        writer.complete(self, value, Scope())
        return bytes(writer.buffer)

    def decode(self, data: bytes, *, name: str = "", little_endian: bool = True) -> T:
        """The value in `data`, which must hold nothing else. Raises `DecodeError`."""
        reader = Reader(data, little_endian=little_endian)
        with named(name or repr(self)):
            value = reader.complete(self, Scope())
            if reader.remaining:
                raise Malformed(reader.offset, f"{reader.remaining} bytes are left over")
        return cast("T", value)

    def __repr__(self) -> str:
        return type(self).__name__


def type_of(declared: Any) -> NdrType[Any]:
    """The NDR type that `declared` stands for: itself, or the structure that a class was declared as."""
    if isinstance(declared, NdrType):
        return declared
    made = getattr(declared, "__ndr__", None)
    if isinstance(made, NdrType):
        return made
    raise TypeError(f"{declared!r} is no NDR type")


class Primitive(NdrType[T]):
    """A number: aligned to its own size (C706 14.2.2)."""

    def __init__(self, name: str, code: str, size: int) -> None:
        self.name = name
        self.code = code
        self.alignment = self.minimum_size = size

    def put(self, writer: Writer, value: T, scope: Scope) -> None:
        writer.number(self.code, self.alignment, value)

    def get(self, reader: Reader, scope: Scope, count: int) -> Any:
        return reader.number(self.code, self.alignment)

    def null(self, given: Any, scope: Scope) -> int:
        return 0

    def __repr__(self) -> str:
        return self.name


UInt8: Final = Primitive[int]("UInt8", "B", 1)
UInt16: Final = Primitive[int]("UInt16", "H", 2)
UInt32: Final = Primitive[int]("UInt32", "I", 4)
UInt64: Final = Primitive[int]("UInt64", "Q", 8)
Int8: Final = Primitive[int]("Int8", "b", 1)
Int16: Final = Primitive[int]("Int16", "h", 2)
Int32: Final = Primitive[int]("Int32", "i", 4)
Int64: Final = Primitive[int]("Int64", "q", 8)
Float: Final = Primitive[float]("Float", "f", 4)
Double: Final = Primitive[float]("Double", "d", 8)


class _Boolean(NdrType[bool]):
    """The IDL's boolean, one octet (C706 14.2.4). Windows' BOOL is an Int32."""

    def put(self, writer: Writer, value: bool, scope: Scope) -> None:
        writer.octets(b"\x01" if value else b"\x00")

    def get(self, reader: Reader, scope: Scope, count: int) -> bool:
        return reader.octets(1) != b"\x00"

    def null(self, given: Any, scope: Scope) -> bool:
        return False

    def __repr__(self) -> str:
        return "Boolean"


Boolean: Final = _Boolean()


class _Enumeration(NdrType[int]):
    """An enumeration; a number that its class does not know stays a plain int and round-trips."""

    code: str

    def __init__(self, members: type[IntEnum] | None = None) -> None:
        self.members = members

    def put(self, writer: Writer, value: int, scope: Scope) -> None:
        writer.number(self.code, self.alignment, int(value))

    def null(self, given: Any, scope: Scope) -> int:
        return 0

    def get(self, reader: Reader, scope: Scope, count: int) -> int:
        value: int = reader.number(self.code, self.alignment)
        if self.members is None:
            return value
        try:
            return self.members(value)
        except ValueError:
            return value


class Enum16(_Enumeration):
    """The IDL's enum: two octets (C706 14.2.5)."""

    code = "H"
    alignment = minimum_size = 2


class Enum32(_Enumeration):
    """An enum with [v1_enum]: four octets (MS-RPCE 2.2.4.6)."""

    code = "I"
    alignment = minimum_size = 4


class _Guid(NdrType[UUID]):
    """GUID: the structure of a long, two shorts and eight octets (MS-RPCE 2.2.1.1.3), as `uuid.UUID`."""

    alignment = 4
    minimum_size = 16

    def put(self, writer: Writer, value: UUID, scope: Scope) -> None:
        if not isinstance(value, UUID):
            raise CallerError(f"{value!r} is no UUID")
        writer.align(4)
        writer.octets(value.bytes_le)

    def null(self, given: Any, scope: Scope) -> UUID:
        return UUID(int=0)

    def get(self, reader: Reader, scope: Scope, count: int) -> UUID:
        reader.align(4)
        octets = reader.octets(16)
        return UUID(bytes_le=octets) if reader.byte_order == "<" else UUID(bytes=octets)

    def __repr__(self) -> str:
        return "Guid"


Guid: Final = _Guid()
