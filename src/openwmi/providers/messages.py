"""What a server and a provider's own process say to each other: frames of a JSON header and byte strings.

    frame  = length of the header and length of all blobs (uint32, big-endian, each), header, blobs
    header = {"sizes": [length of each blob], ...}

The server hands over Python objects (pickled: it is the one who started the process, and trusts itself). What comes
back is data only, JSON and MS-WMIO, so that whatever has become of the process, nothing of it runs in the server.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from openwmi.cim import Class, Instance, NameMap, Property
from openwmi.cim.notices import Channel, Message, Prompt, Question
from openwmi.cim.operation import Progress, Report
from openwmi.errors import DecodeError, ProtocolError, WbemError
from openwmi.wmio import ClassPartCache, decode_object, encode_object

__all__ = [
    "LENGTHS",
    "frame",
    "lengths",
    "object_from",
    "object_to",
    "parse_frame",
    "report_from",
    "report_to",
    "value_from",
    "value_to",
]

LENGTHS: Final = struct.Struct("!II")


def frame(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """A frame. `header` is JSON's types with names of its own."""
    text = json.dumps({**header, "sizes": [len(blob) for blob in blobs]}).encode()
    return b"".join((LENGTHS.pack(len(text), sum(map(len, blobs))), text, *blobs))


def lengths(data: bytes, limit: int) -> int:
    """How many bytes follow the lengths in `data`; `ProtocolError` for more than `limit`."""
    header, blobs = LENGTHS.unpack(data)
    total = int(header) + int(blobs)
    if total > limit:
        raise ProtocolError(f"a message of {total:,} bytes; the limit is {limit:,}")
    return total


def parse_frame(start: bytes, data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the blobs of a frame whose lengths were `start`. Raises `ProtocolError`."""
    size, _ = LENGTHS.unpack(start)
    try:
        header = json.loads(data[:size])
    except (ValueError, RecursionError):
        raise ProtocolError("a message whose header is not JSON") from None
    sizes = header.pop("sizes", None) if isinstance(header, dict) else None
    if not isinstance(sizes, list) or not all(isinstance(n, int) and n >= 0 for n in sizes):
        raise ProtocolError("a message whose header does not say what follows")
    if sum(sizes) != len(data) - size:
        raise ProtocolError("a message of another length than its header says")
    blobs = []
    for length in sizes:
        blobs.append(data[size : size + length])
        size += length
    return header, blobs


def object_to(found: Class | Instance) -> bytes:
    """A class (not resolved) or an instance as MS-WMIO."""
    if isinstance(found, Class) and found.superclass is not None and not found.derivation:
        found = replace(found, derivation=(found.superclass,))  # the format's superclass is the derivation's first
    return encode_object(found)


def object_from(data: bytes, cache: ClassPartCache) -> Class | Instance:
    """What `object_to` made; a class has its own elements only. Raises `ProtocolError`."""
    try:
        found = decode_object(data, cache=cache)
    except (DecodeError, WbemError) as error:
        raise ProtocolError(f"an object that is none: {error}") from None
    return found.local if isinstance(found, Class) else found


def report_to(said: Report) -> dict[str, Any]:
    """What a provider says beside its results, as a header."""
    match said:
        case Progress(current, total, text):
            return {"kind": "progress", "current": current, "total": total, "text": text}
        case Message(text, channel):
            return {"kind": "message", "text": text, "channel": int(channel)}
    about = said.about
    if isinstance(about, Prompt):
        return {"kind": "prompt", "text": about.text, "critical": about.critical}
    return {"kind": "error", "status": about.status, "detail": about.detail}


def report_from(header: dict[str, Any]) -> Report | None:
    """What `report_to` made; None for a header that is none of its. Raises `ProtocolError`."""
    match header:
        case {"kind": "progress", "current": int(current), "total": int(total), "text": str() | None as text}:
            return Progress(current, total, text)
        case {"kind": "message", "text": str(text), "channel": 0 | 1 | 2 as channel}:
            return Message(text, Channel(channel))
        case {"kind": "prompt", "text": str(text), "critical": bool(critical)}:
            return Question(Prompt(text, critical))
        case {"kind": "error", "status": int(status), "detail": str(detail)}:
            return Question(WbemError.of(status, detail))
        case {"kind": "progress" | "message" | "prompt" | "error" as kind}:
            raise ProtocolError(f"a report of {kind} that is none")
    return None


def value_to(value: Any, declared: Property) -> bytes:
    """One value of the type that is declared."""
    return encode_object(_holder(declared).new({declared.name: value}))


def value_from(data: bytes, declared: Property, cache: ClassPartCache) -> Any:
    """What `value_to` made. Raises `ProtocolError`."""
    found = object_from(data, cache)
    try:
        return declared.conform(found[declared.name]) if isinstance(found, Instance) else None
    except (KeyError, WbemError) as error:
        raise ProtocolError(f"a value that is none: {error}") from None


def _holder(declared: Property) -> Class:
    plain = replace(declared, qualifiers=NameMap(), default=None, origin="", propagated=False)
    return Class("__PARAMETERS", properties=NameMap((plain,)))
