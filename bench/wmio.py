"""How fast MS-WMIO instances are read and written: 45 properties of the kinds Win32_Process has, one class part.

    python bench/wmio.py

Prints microseconds per instance. aiowmi is measured on the same bytes, where it can read them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from openwmi.cim import CimType, Class, DateTime, Instance, NameMap, Property, Qualifier
from openwmi.wmio import (
    ClassPartCache,
    decode_instance_no_class,
    decode_object,
    encode_instance_no_class,
    encode_object,
)

TEXTS, NUMBERS, LARGE, NULLS = 17, 14, 10, 3


def process_like() -> Instance:
    """An instance with strings, numbers, NULLs and a datetime."""
    mapping = NameMap([Qualifier.of("MappingStrings", ["Win32API|Process and Thread Functions"]), Qualifier.of("read")])
    kinds = [CimType.STRING] * (TEXTS + NULLS) + [CimType.UINT32] * NUMBERS + [CimType.UINT64] * LARGE
    properties = [Property(f"Property{i:02}", kind, qualifiers=mapping) for i, kind in enumerate(kinds)]
    properties.append(Property("CreationDate", CimType.DATETIME, qualifiers=mapping))
    cls = Class("Win32_Like", properties=NameMap(properties)).rooted()
    values: list[Any] = [f"a value of some length {i}" for i in range(TEXTS)] + [None] * NULLS
    values += [1000 + i for i in range(NUMBERS)] + [2**40 + i for i in range(LARGE)]
    return Instance.of_values(cls.shape, [*values, DateTime("20260131120000.000000+060")])


def measure(name: str, run: Callable[[], object], count: int = 5000) -> float:
    """Prints and returns the microseconds that `run` takes, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            run()
        best = min(best, (time.perf_counter() - began) / count * 1e6)
    print(f"{name:<44} {best:8.1f} us")
    return best


def main() -> None:
    """Measures both directions, with the class part in every object and without."""
    instance = process_like()
    whole, bare = encode_object(instance), encode_instance_no_class(instance)
    cache = ClassPartCache()
    shape = decode_object(whole, cache=cache).shape
    print(f"{len(instance.values)} properties, {len(whole)} bytes, {len(bare)} without the class part")
    measure("decode, new class part", lambda: decode_object(whole), 100)
    ours = measure("decode, class part known", lambda: decode_object(whole, cache=cache))
    measure("decode, without class part", lambda: decode_instance_no_class(bare, shape, cache=cache))
    measure("encode", lambda: encode_object(instance))
    measure("encode, without class part", lambda: encode_instance_no_class(instance))
    try:
        from aiowmi.ndr.encoding_unit import EncodingUnit
        from aiowmi.ndr.next_response import NextResponse
    except ImportError:
        return

    class Response(NextResponse):  # type: ignore[misc]
        def __init__(self) -> None:
            self._obj_block = EncodingUnit(whole).object_block

        def _get_object_block(self) -> Any:
            return self._obj_block

    theirs = measure("aiowmi, EncodingUnit and get_properties", lambda: Response().get_properties(), 500)
    print(f"{theirs / ours:.1f} times as fast")


if __name__ == "__main__":
    main()
