"""Writing MS-WMIO: a heap that grows, and values that go into it.

Raises `WbemError` for what the format cannot carry: a string with a NUL character in it (strings end at it), a value
that is not of its declared type, a number that is NULL where no NdTable says so, objects nested deeper than a reader
would follow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from openwmi.cim import CimObject, CimType, DateTime, Qualifier, Qualifiers, type_name
from openwmi.errors import WbemError
from openwmi.status import WbemStatus
from openwmi.wmio.layout import (
    ARRAY,
    CODES,
    DICTIONARY_REFERENCES,
    DICTIONARY_SPELLINGS,
    HEAP_FLAG,
    KNOWN_FLAVORS,
    MAX_DEPTH,
    NO_REFERENCE,
    PROPAGATED,
    QUALIFIER,
    REFERENCED,
    SINGLE,
    TEXTS,
    U32,
)

__all__ = ["HeapWriter", "Nesting", "Octets", "encode_class_name", "encode_string"]

Octets: TypeAlias = bytes | bytearray


class Nesting:
    """How objects within an object are written, and how deep we are."""

    __slots__ = ("_block", "depth")

    def __init__(self, block: Callable[[CimObject, Nesting], bytes], depth: int = 0) -> None:
        self._block = block
        self.depth = depth

    def embedded(self, obj: CimObject) -> bytes:
        """ObjectEncodingLength and ObjectBlock of an embedded object."""
        if self.depth >= MAX_DEPTH:
            raise unfit(f"more than {MAX_DEPTH} objects within each other")
        block = self._block(obj, Nesting(self._block, self.depth + 1))
        return U32.pack(len(block)) + block


def unfit(detail: str) -> WbemError:
    """The error for what cannot be encoded."""
    return WbemError.of(WbemStatus.WBEM_E_INVALID_PARAMETER, detail)


def mismatch(what: str, value: Any, type_: CimType, is_array: bool) -> WbemError:
    """The error for a value that is not of its type."""
    shown = type(value).__name__
    return WbemError.of(WbemStatus.WBEM_E_TYPE_MISMATCH, f"{what}: no {type_name(type_, is_array)}, but {shown}")


def encode_class_name(name: str) -> bytes:
    """What stands in a heap for a class's name; nothing, if it has none or the dictionary has it."""
    return b"" if not name or name in DICTIONARY_REFERENCES else encode_string(name)


def encode_string(text: str) -> bytes:
    """`text` as an Encoded-String (2.2.78): one byte a character if that is possible, else two."""
    if "\0" in text:
        raise unfit(f"{text[:40]!r}: a string cannot carry a NUL character")
    try:
        return b"\0" + text.encode("latin-1") + b"\0"
    except UnicodeEncodeError:
        return b"\1" + text.encode("utf-16-le", "surrogatepass") + b"\0\0"


class HeapWriter:
    """A heap under construction. Methods that put something into it give the HeapRef to it."""

    __slots__ = ("data", "nesting")

    def __init__(self, nesting: Nesting) -> None:
        self.data = bytearray()
        self.nesting = nesting

    def parts(self) -> tuple[bytes, bytearray]:
        """HeapLength and the items."""
        return U32.pack(HEAP_FLAG | len(self.data)), self.data

    def put(self, item: bytes) -> int:
        """Adds an item."""
        at = len(self.data)
        self.data += item
        return at

    def name(self, text: str) -> int:
        """Adds a name, unless the dictionary has it (2.2.80)."""
        known = DICTIONARY_REFERENCES.get(text)
        return self.put(encode_string(text)) if known is None else known

    def class_name(self, text: str) -> int:
        """Adds the name of a class, which may have none (2.2.11)."""
        return self.name(text) if text else NO_REFERENCE

    def text(self, text: str | None) -> int:
        """Adds a string that is a value.

        It is written out even if the dictionary has it. Every reader takes that, and those of clients in wide use
        look for the dictionary only where a name is due: an empty string as a dictionary reference breaks them.
        """
        return NO_REFERENCE if text is None else self.put(encode_string(text))

    def object(self, obj: CimObject | None) -> int:
        """Adds an embedded object."""
        return NO_REFERENCE if obj is None else self.put(self.nesting.embedded(obj))

    def array(self, items: Any, type_: CimType) -> int:
        """Adds an array; what its elements refer to follows it, in order."""
        count = len(items)
        if type_ is CimType.UINT8:
            return self.put(U32.pack(count) + bytes(items))
        at = self.put(U32.pack(count) + bytes(SINGLE[type_].size * count))
        raw = [self.slot(item, type_) for item in items]
        struct.pack_into(f"<{count}{CODES[type_]}", self.data, at + 4, *raw)
        return at

    def slot(self, value: Any, type_: CimType) -> Any:
        """What stands in the slot of a scalar: a number, or the reference to what is added."""
        if type_ in TEXTS:
            return self.text(_text_of(value, type_))
        if type_ is CimType.OBJECT:
            return self.object(value)
        if type_ is CimType.BOOLEAN:
            return 0xFFFF if value else 0
        return ord(value) if type_ is CimType.CHAR16 else value

    def value(self, value: Any, type_: CimType, is_array: bool, what: str) -> Any:
        """What stands in the slot of a value, packed to bytes by the caller; `what` names it in errors."""
        try:
            if not is_array:
                return self.slot(value, type_)
            return NO_REFERENCE if value is None else self.array(value, type_)
        except (TypeError, ValueError, AttributeError, struct.error) as problem:
            raise mismatch(what, value, type_, is_array) from problem

    def inline(self, value: Any, type_: CimType, is_array: bool, what: str) -> bytes:
        """The bytes of an EncodedValue (2.2.71)."""
        structure = U32 if is_array else SINGLE[type_]
        raw = self.value(value, type_, is_array, what)
        try:
            return structure.pack(raw)
        except (struct.error, OverflowError) as problem:
            raise mismatch(what, value, type_, is_array) from problem

    def qualifier_set(self, qualifiers: Qualifiers) -> bytes:
        """A QualifierSet whose strings and arrays are added here (2.2.59)."""
        parts = [self._qualifier(qualifier) for qualifier in qualifiers.each()]
        return U32.pack(4 + sum(map(len, parts))) + b"".join(parts)

    def _qualifier(self, qualifier: Qualifier) -> bytes:
        name = self.name(DICTIONARY_SPELLINGS.get(qualifier.name.lower(), qualifier.name))
        flavor = qualifier.flavor & KNOWN_FLAVORS | (PROPAGATED if qualifier.propagated else 0)
        type_ = qualifier.type | (ARRAY if qualifier.is_array else 0)
        if qualifier.value is None and not qualifier.is_array and qualifier.type not in REFERENCED:
            # The text's NoValue (2.2.74) is for a property's slot: a reader would take it for -1, or for TRUE.
            raise unfit(f"qualifier {qualifier.name}: MS-WMIO has no NULL of {qualifier.type.text}; leave it out")
        value = self.inline(qualifier.value, qualifier.type, qualifier.is_array, f"qualifier {qualifier.name}")
        return QUALIFIER.pack(name, flavor, type_) + value


def _text_of(value: Any, type_: CimType) -> str | None:
    """The text that stands for a string, a reference or a datetime."""
    if value is None or (isinstance(value, str) and type_ is not CimType.DATETIME):
        return value
    if isinstance(value, DateTime) and type_ is CimType.DATETIME:
        return value.text
    raise TypeError(type(value).__name__)


def qualifier_set_size(qualifiers: Qualifiers) -> int:
    """How many bytes `qualifier_set` will give."""
    return 4 + sum(QUALIFIER.size + (4 if q.is_array else SINGLE[q.type].size) for q in qualifiers.each())
