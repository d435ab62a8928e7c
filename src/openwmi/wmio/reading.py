"""Reading MS-WMIO: a cursor over a bounded stretch of bytes, and the heap that references point into.

Nothing here copies the input: every reader works on the whole `bytes` and absolute offsets, so an error names the
place in what the peer sent. All raise `DecodeError`.

Heap items must not be shared (2.2.66), so whoever reads one claims its bytes. `Heap` counts them, which bounds what a
hostile heap with many references to one large item can make of few bytes, and when all is read it compares the claims,
which finds any overlap. Objects within objects are bounded in depth.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from openwmi.cim import CimObject, CimType, CimValue, DateTime, type_name
from openwmi.errors import DecodeError, SyntaxProblem
from openwmi.wmio.layout import (
    CODES,
    DICTIONARY,
    DICTIONARY_FLAG,
    FINISHED,
    HEAP_FLAG,
    HEAP_LENGTH_MASK,
    MAX_DEPTH,
    NO_REFERENCE,
    REFERENCED,
    SINGLE,
    TEXTS,
    U32,
)

if TYPE_CHECKING:
    from openwmi.wmio.plans import ClassPartCache

__all__ = ["Cursor", "Heap", "Scope", "open_heap", "read_string"]


class _BlockReader(Protocol):
    def __call__(self, cursor: Cursor, scope: Scope) -> CimObject: ...


class Scope:
    """What reading an object needs beside its bytes: the cache, how objects within it are read, how deep we are."""

    __slots__ = ("_block", "cache", "depth")

    def __init__(self, cache: ClassPartCache, block: _BlockReader, depth: int = 0) -> None:
        self.cache = cache
        self._block = block
        self.depth = depth

    def embedded(self, cursor: Cursor) -> CimObject:
        """The object whose ObjectBlock `cursor` spans."""
        if self.depth >= MAX_DEPTH:
            raise DecodeError(cursor.field, cursor.at, f"more than {MAX_DEPTH} objects within each other")
        return self._block(cursor, Scope(self.cache, self._block, self.depth + 1))


class Cursor:
    """Reads forward through `data[at:end]`. `field` names the structure that it stands in."""

    __slots__ = ("at", "data", "end", "field")

    def __init__(self, data: bytes, at: int, end: int, field: str) -> None:
        self.data = data
        self.at = at
        self.end = end
        self.field = field

    def unpack(self, structure: struct.Struct, field: str) -> tuple[Any, ...]:
        """The next fixed structure."""
        at = self.skip(structure.size, field)
        return structure.unpack_from(self.data, at)

    def u32(self, field: str) -> int:
        """The next 32-bit number."""
        number: int = U32.unpack_from(self.data, self.skip(4, field))[0]
        return number

    def skip(self, size: int, field: str) -> int:
        """Passes over `size` bytes, and says where they began."""
        at = self.at
        if size > self.end - at:
            raise DecodeError(f"{self.field}.{field}", at, f"needs {size} bytes, {self.end - at} are left")
        self.at = at + size
        return at

    def string(self, field: str) -> str:
        """The next Encoded-String."""
        text, self.at = read_string(self.data, self.at, self.end, f"{self.field}.{field}")
        return text

    def window(self, field: str) -> Cursor:
        """A cursor over what follows an EncodingLength, which counts itself; this one moves behind it."""
        at = self.at
        length = self.u32(field)
        if length < 4 or length > self.end - at:
            raise DecodeError(f"{self.field}.{field}", at, f"EncodingLength {length} in {self.end - at} bytes")
        self.at = at + length
        return Cursor(self.data, at + 4, self.at, field)

    def block(self, field: str) -> Cursor:
        """A cursor over what follows an ObjectEncodingLength, which does not count itself."""
        length = self.u32(field)
        at = self.skip(length, field)
        return Cursor(self.data, at, at + length, field)


def read_string(data: bytes, at: int, end: int, field: str) -> tuple[str, int]:
    """The Encoded-String at `at` (2.2.78), and where it ends."""
    if at >= end:
        raise DecodeError(field, at, "an Encoded-String was expected, the bytes end")
    flag = data[at]
    start = at + 1
    if flag == 0:
        stop = data.find(0, start, end)
        if stop >= 0:
            return data[start:stop].decode("latin-1"), stop + 1
    elif flag == 1:
        stop = data.find(b"\0\0", start, end)
        while stop >= 0 and (stop - start) & 1:
            stop = data.find(b"\0\0", stop + 1, end)
        if stop >= 0:
            return data[start:stop].decode("utf-16-le", "surrogatepass"), stop + 2
    else:
        raise DecodeError(field, at, f"Encoded-String-Flag {flag} is neither 0 nor 1")
    raise DecodeError(field, at, "the Encoded-String does not end")


def open_heap(cursor: Cursor, scope: Scope) -> Heap:
    """The heap that begins where `cursor` stands (2.2.66); the cursor moves behind it."""
    at = cursor.at
    length = cursor.u32("HeapLength")
    if not length & HEAP_FLAG:
        raise DecodeError(f"{cursor.field}.HeapLength", at, f"0x{length:08X} has not the most significant bit set")
    length &= HEAP_LENGTH_MASK
    start = cursor.skip(length, "Heap")
    return Heap(cursor.data, start, start + length, scope)


class Heap:
    """One heap: what references lead to. `close` it when all that belongs to it is read.

    Items that are claimed in the order in which they stand cannot overlap, so only those that come `late`, before the
    `edge` that the others have reached, are counted, and make `close` compare all claims.
    """

    __slots__ = ("_spare", "claims", "data", "edge", "end", "late", "scope", "start")

    def __init__(self, data: bytes, start: int, end: int, scope: Scope) -> None:
        self.data = data
        self.start = start
        self.end = end
        self.scope = scope
        self.claims: list[tuple[int, int, str]] = []
        self.edge = start
        self.late = False
        self._spare = end - start

    def again(self) -> Heap:
        """The same heap, as far as it is read: what is claimed of the one is not claimed of the other."""
        made = Heap(self.data, self.start, self.end, self.scope)
        made.claims = self.claims.copy()
        made.edge = self.edge
        made.late = self.late
        made._spare = self._spare
        return made

    def item(self, reference: int, field: str) -> int:
        """Where the item that `reference` points to stands in the data."""
        if reference >= self.end - self.start:
            raise DecodeError(
                field, self.start, f"HeapRef 0x{reference:X} is outside the heap of {self.end - self.start} bytes"
            )
        return self.start + reference

    def claim(self, at: int, stop: int, field: str) -> None:
        """Says that the bytes from `at` to `stop` are the item of `field`, and of nothing else."""
        self.claims.append((at, stop, field))
        if at >= self.edge:
            self.edge = stop
        else:
            self.claim_late(at, stop, field)

    def claim_late(self, at: int, stop: int, field: str) -> None:
        """Counts an item that stands before the edge, without keeping the claim."""
        self.late = True
        self._spare -= stop - at
        if self._spare < 0:
            raise DecodeError(field, at, "heap items overlap")

    def close(self) -> None:
        """Raises `DecodeError` if two items share bytes."""
        if not self.late:
            return
        self.claims.sort()
        edge = 0
        for at, stop, field in self.claims:
            if at < edge:
                raise DecodeError(field, at, "heap items overlap")
            edge = stop

    def cursor(self, reference: int, field: str) -> Cursor:
        """A cursor from the item on. What is read through it is to be claimed."""
        return Cursor(self.data, self.item(reference, field), self.end, field)

    def string(self, reference: int, field: str) -> str | None:
        """The string that a HeapStringRef points to: in the heap, in the dictionary, or nowhere (None)."""
        if reference & DICTIONARY_FLAG:
            if reference == NO_REFERENCE:
                return None
            ordinal = reference & ~DICTIONARY_FLAG
            if ordinal >= len(DICTIONARY):
                raise DecodeError(field, self.start, f"the dictionary has no string {ordinal}")
            return DICTIONARY[ordinal]
        at = self.item(reference, field)
        text, stop = read_string(self.data, at, self.end, field)
        self.claim(at, stop, field)
        return text

    def name(self, reference: int, field: str) -> str:
        """As `string`, of something that must have a name."""
        text = self.string(reference, field)
        if not text:
            raise DecodeError(field, self.start, "a name must not be NULL or empty")
        return text

    def datetime(self, reference: int, field: str) -> DateTime | None:
        """The datetime whose text a reference points to."""
        text = self.string(reference, field)
        return None if text is None else self.as_datetime(text, field)

    def as_datetime(self, text: str, field: str) -> DateTime:
        """The datetime that `text` out of this heap spells."""
        try:
            return DateTime(text)
        except SyntaxProblem as problem:
            raise DecodeError(field, self.start, problem.message) from None

    def object(self, reference: int, field: str) -> CimObject | None:
        """The embedded object that a reference points to (2.2.71)."""
        if reference == NO_REFERENCE:
            return None
        cursor = self.cursor(reference, field)
        at = cursor.at
        block = cursor.block(field)
        self.claim(at, cursor.at, field)
        return self.scope.embedded(block)

    def array(self, reference: int, type_: CimType, field: str) -> CimValue:
        """The array that a reference points to (2.2.79): bytes for uint8, else a tuple."""
        if reference == NO_REFERENCE:
            return None
        cursor = self.cursor(reference, field)
        at = cursor.at
        count = cursor.u32("ArrayCount")
        size = count * SINGLE[type_].size
        start = cursor.skip(size, f"ArrayCount of {count} {type_name(type_)}")
        self.claim(at, cursor.at, field)
        if type_ is CimType.UINT8:
            return self.data[start : start + size]
        raw = struct.unpack_from(f"<{count}{CODES[type_]}", self.data, start)
        if type_ in REFERENCED:
            read = self.reader(type_)
            return tuple(read(reference, field) for reference in raw)
        return tuple(finished(number, type_) for number in raw) if type_ in FINISHED else raw

    def reader(self, type_: CimType) -> Callable[[int, str], CimValue]:
        """The method that reads what a reference to a `type_` points to."""
        if type_ is CimType.DATETIME:
            return self.datetime
        return self.string if type_ in TEXTS else self.object

    def value(self, raw: Any, type_: CimType, is_array: bool, field: str) -> CimValue:
        """The value of which a slot holds `raw`."""
        if is_array:
            return self.array(raw, type_, field)
        if type_ in REFERENCED:
            return self.reader(type_)(raw, field)
        made: CimValue = finished(raw, type_)
        return made


def finished(raw: Any, type_: CimType) -> Any:
    """A number from a slot as the model has it: any BOOL but 0 is TRUE, a char16 is a character."""
    if type_ is CimType.BOOLEAN:
        return raw != 0
    return chr(raw) if type_ is CimType.CHAR16 else raw
