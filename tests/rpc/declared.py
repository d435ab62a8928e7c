"""Structures for the NDR tests, at module level as `structure` wants them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from openwmi.rpc.ndr import (
    COUNTED,
    Array,
    ConformantArray,
    ConformantBytes,
    ConformantVaryingArray,
    Count,
    FixedBytes,
    Full,
    Guid,
    Int8,
    Lazy,
    Ref,
    Tagged,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Union,
    Unique,
    WideString,
    structure,
)


@structure
class Gaps:
    """struct { byte a; hyper b; short c; };"""

    a: Annotated[int, UInt8]
    b: Annotated[int, UInt64]
    c: Annotated[int, UInt16]


@structure
class Tail:
    """struct { hyper id; [size_is(..)] byte data[]; };"""

    id: Annotated[int, UInt64]
    data: Annotated[bytes, ConformantBytes()]


@structure
class Outer:
    """A structure whose last field is a conformant structure: the count moves to the very front."""

    before: Annotated[int, UInt8]
    tail: Tail


@structure
class Counts:
    """size_is and length_is that name siblings before and after."""

    size: Annotated[int, UInt32] = COUNTED
    length: Annotated[int, UInt32] = COUNTED
    items: Annotated[tuple[int, ...] | None, Unique(ConformantVaryingArray(UInt16, size_is="size", length_is="length"))]
    ids: Annotated[tuple[UUID, ...] | None, Unique(ConformantArray(Guid, size_is="count"))]
    count: Annotated[int, UInt32] = COUNTED


@structure
class Extent:
    """ORPC_EXTENT (MS-DCOM 2.2.21.2): a count that is rounded up."""

    id: Annotated[UUID, Guid]
    size: Annotated[int, UInt32]
    data: Annotated[bytes, ConformantBytes(size_is=Count("size", lambda size: (size + 7) & ~7))]


@structure
class Node:
    """A list, and a tree."""

    value: Annotated[int, Int8]
    left: Annotated[Node | None, Unique(Lazy(lambda: Node))]
    right: Annotated[Node | None, Unique(Lazy(lambda: Node))]


@structure
class Named:
    """A structure with a string."""

    name: Annotated[str | None, Unique(WideString())]
    raw: Annotated[bytes, FixedBytes(3)]


@structure
class Pair:
    """Pointers whose pointees follow in order, each with its own pointees behind it."""

    first: Annotated[Named, Ref(Named)]
    names: Annotated[tuple[str | None, ...], Array(Unique(WideString()), 2)]
    last: Annotated[int | None, Unique(UInt32)]


@structure
class Aliases:
    """Two full pointers that may be one."""

    one: Annotated[int | None, Full(UInt32)]
    two: Annotated[int | None, Full(UInt32)]


@structure
class Loop:
    """A full pointer that could point back."""

    next: Annotated[Loop | None, Full(Lazy(lambda: Loop))]


@structure
class Choice:
    """A union with its tag in a sibling."""

    kind: Annotated[int, UInt16] = COUNTED
    choice: Annotated[Tagged, Union(UInt16, {1: UInt8, 2: Unique(WideString()), 3: None, 4: UInt64}, switch_is="kind")]
