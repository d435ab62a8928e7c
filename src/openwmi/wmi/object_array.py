"""ObjectArray: many objects in one packet, each class sent once (MS-WMI 2.2.14).

    ObjectArray           header (26), header (8), header (12), *WBEM_DATAPACKET_OBJECT
    WBEM_DATAPACKET_OBJECT header (9) with the kind, then one of
      WBEMOBJECT_CLASS            header (8), EncodingUnitObjectBlock
      WBEMOBJECT_INSTANCE         header (8), the class's id, EncodingUnitObjectBlock
      WBEMOBJECT_INSTANCE_NOCLASS header (8), the class's id, EncodingUnitInstanceNoClass

Which classes the other side has got is the state of one delivery: whoever answers an enumerator's Next, or calls a
sink's Indicate, has one `ObjectArrayWriter` for it, and the other side one `ObjectArrayReader`. What counts as one
class is one ClassPart, octet by octet, so a projection has an id of its own. Both forget the classes not used for
longest: the writer much sooner, since it can send a class again, while a reader that has forgotten one cannot go on.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, Final
from uuid import UUID, uuid4

from openwmi.cim import CimObject, Class, Instance, Shape
from openwmi.errors import DecodeError
from openwmi.wmio import (
    ClassPartCache,
    decode_block,
    decode_instance_no_class,
    encode_block,
    encode_class_part,
    encode_instance_no_class,
)

__all__ = ["ObjectArrayReader", "ObjectArrayWriter", "PacketType"]

SIGNATURE: Final = b"WBEMDATA"
VERSION: Final = 1

# dwByteOrdering abSignature dwSizeOfHeader1 dwDataSize1 dwFlags bVersion bPacketType
_HEADER: Final = struct.Struct("<I8sIIIBB")
_HEADER2: Final = struct.Struct("<II")  # dwSizeOfHeader2 dwDataSize2
_HEADER3: Final = struct.Struct("<III")  # dwSizeOfHeader3 dwDataSize3 dwNumObjects
_OBJECT: Final = struct.Struct("<IIB")  # dwSizeOfHeader dwSizeOfData bObjectType
_CLASS: Final = struct.Struct("<II")  # dwSizeOfHeader dwSizeOfData
_INSTANCE: Final = struct.Struct("<II16s")  # dwSizeOfHeader dwSizeOfData classID
_KIND_CLASS, _KIND_INSTANCE, _KIND_NO_CLASS = 1, 2, 3


class PacketType(IntEnum):
    """bPacketType: the call that the packet belongs to."""

    INDICATE = 0
    NEXT = 1


class ObjectArrayWriter:
    """Writes the packets of one delivery. `entries` bounds how many classes it remembers to have sent.

    Every packet must reach the reader, and in order: each builds on the classes in those before it.
    """

    def __init__(self, packet_type: PacketType, *, entries: int = 256, new_id: Callable[[], UUID] = uuid4) -> None:
        self._type = packet_type
        self._entries = entries
        self._new_id = new_id
        self._sent: OrderedDict[bytes, bytes] = OrderedDict()  # the id of each class part

    def encode(self, objects: Iterable[CimObject]) -> bytes:
        """The packet with `objects`, in order. Raises `WbemError` for what MS-WMIO cannot carry."""
        fresh: dict[bytes, bytes] = {}
        packed = [self._object(each, fresh) for each in objects]
        self._sent.update(fresh)  # not before: what could not be encoded is not sent either
        while len(self._sent) > self._entries:
            self._sent.popitem(last=False)
        body = b"".join(packed)
        size = len(body)
        return b"".join(
            (
                _HEADER.pack(0, SIGNATURE, _HEADER.size, _HEADER2.size + _HEADER3.size + size, 0, VERSION, self._type),
                _HEADER2.pack(_HEADER2.size, _HEADER3.size + size),
                _HEADER3.pack(_HEADER3.size, size, len(packed)),
                body,
            )
        )

    def _object(self, obj: CimObject, fresh: dict[bytes, bytes]) -> bytes:
        if isinstance(obj, Class):
            data = encode_block(obj)
            return _OBJECT.pack(_OBJECT.size, _CLASS.size + len(data), _KIND_CLASS) + _CLASS.pack(8, len(data)) + data
        part = encode_class_part(obj)
        class_id = self._sent.get(part) or fresh.get(part)
        if class_id is None:
            class_id = fresh[part] = self._new_id().bytes_le
            kind, data = _KIND_INSTANCE, encode_block(obj)
        else:
            if part in self._sent:
                self._sent.move_to_end(part)
            kind, data = _KIND_NO_CLASS, encode_instance_no_class(obj)
        head = _OBJECT.pack(_OBJECT.size, _INSTANCE.size + len(data), kind)
        return b"".join((head, _INSTANCE.pack(_INSTANCE.size, len(data), class_id), data))


class ObjectArrayReader:
    """Reads the packets of one delivery.

    `entries` and `size` (octets of class parts) bound the classes it remembers. `on_demand` as for
    `openwmi.wmio.decode_object`.
    """

    def __init__(
        self,
        packet_type: PacketType,
        cache: ClassPartCache | None = None,
        *,
        entries: int = 4096,
        size: int = 32 << 20,
        on_demand: bool = False,
    ) -> None:
        self._type = packet_type
        self._cache = ClassPartCache() if cache is None else cache
        self._entries = entries
        self._size = size
        self._on_demand = on_demand
        self._used = 0
        self._known: OrderedDict[bytes, Shape] = OrderedDict()

    def decode(self, data: bytes) -> list[CimObject]:
        """The objects in a packet, in order. Raises `DecodeError`."""
        at, count = self._headers(data)
        found = []
        for i in range(count):
            obj, at = self._object(data, at, f"wbemObjects[{i}]")
            found.append(obj)
        if at != len(data):
            raise DecodeError("ObjectArray.wbemObjects", at, f"{len(data) - at} bytes are left over")
        return found

    def _headers(self, data: bytes) -> tuple[int, int]:
        """Where the objects begin, and how many they are. Each size must fit what is really there."""
        body = _HEADER.size + _HEADER2.size + _HEADER3.size
        if len(data) < body:
            raise DecodeError("ObjectArray", 0, f"needs {body} bytes, has {len(data)}")
        ordering, signature, size1, data1, flags, version, kind = _HEADER.unpack_from(data)
        size2, data2 = _HEADER2.unpack_from(data, _HEADER.size)
        size3, data3, count = _HEADER3.unpack_from(data, _HEADER.size + _HEADER2.size)
        left = len(data) - body
        rules = (
            ("dwByteOrdering", 0, ordering, 0),
            ("abSignature", 4, signature, SIGNATURE),
            ("dwSizeOfHeader1", 12, size1, _HEADER.size),
            ("dwDataSize1", 16, data1, _HEADER2.size + _HEADER3.size + left),
            ("dwFlags", 20, flags, 0),
            ("bVersion", 24, version, VERSION),
            ("bPacketType", 25, kind, self._type),
            ("dwSizeOfHeader2", 26, size2, _HEADER2.size),
            ("dwDataSize2", 30, data2, _HEADER3.size + left),
            ("dwSizeOfHeader3", 34, size3, _HEADER3.size),
            ("dwDataSize3", 38, data3, left),
        )
        for name, at, value, due in rules:
            if value != due:
                raise DecodeError(f"ObjectArray.{name}", at, f"is {value!r}, not {due!r}")
        return body, count

    def _object(self, data: bytes, at: int, field: str) -> tuple[CimObject, int]:
        """The object whose packet begins at `at`, and where that ends."""
        size, length, kind = _unpack(_OBJECT, data, at, len(data), field)
        at += _OBJECT.size
        if size != _OBJECT.size:
            raise DecodeError(f"{field}.dwSizeOfHeader", at - 9, f"is {size}, not {_OBJECT.size}")
        if length > len(data) - at:
            raise DecodeError(f"{field}.dwSizeOfData", at - 5, f"{length}, but {len(data) - at} bytes follow")
        end = at + length
        if kind == _KIND_CLASS:
            size, length = _unpack(_CLASS, data, at, end, field)
            start = _framed(size, length, _CLASS.size, at, end, field)
            found = decode_block(data, start, end, cache=self._cache)
            if not isinstance(found, Class):
                raise DecodeError(f"{field}.bObjectType", at - 1, "says class of an instance")
            return found, end
        if kind not in (_KIND_INSTANCE, _KIND_NO_CLASS):
            raise DecodeError(f"{field}.bObjectType", at - 1, f"is {kind}")
        size, length, class_id = _unpack(_INSTANCE, data, at, end, field)
        start = _framed(size, length, _INSTANCE.size, at, end, field)
        if kind == _KIND_INSTANCE:
            return self._instance(data, start, end, class_id, field), end
        return self._instance_no_class(data, start, end, class_id, field), end

    def _instance(self, data: bytes, start: int, end: int, class_id: bytes, field: str) -> Instance:
        found = decode_block(data, start, end, cache=self._cache, on_demand=self._on_demand)
        if not isinstance(found, Instance):
            raise DecodeError(f"{field}.bObjectType", start, "says instance of a class")
        self._remember(class_id, found.shape)
        return found

    def _instance_no_class(self, data: bytes, start: int, end: int, class_id: bytes, field: str) -> Instance:
        shape = self._known.get(class_id)
        if shape is None:
            raise DecodeError(
                f"{field}.classID", start - 16, f"no instance has come with the class {UUID(bytes_le=class_id)}"
            )
        self._known.move_to_end(class_id)
        return decode_instance_no_class(data, shape, start, end, cache=self._cache, on_demand=self._on_demand)

    def _remember(self, class_id: bytes, shape: Shape) -> None:
        before = self._known.pop(class_id, None)
        if before is not None:
            self._used -= len(encode_class_part(before))
        self._known[class_id] = shape
        self._used += len(encode_class_part(shape))
        while len(self._known) > max(1, self._entries) or (self._used > self._size and len(self._known) > 1):
            _, oldest = self._known.popitem(last=False)
            self._used -= len(encode_class_part(oldest))


def _unpack(structure: struct.Struct, data: bytes, at: int, end: int, field: str) -> tuple[Any, ...]:
    if structure.size > end - at:
        raise DecodeError(field, at, f"needs {structure.size} bytes, {end - at} are left")
    return structure.unpack_from(data, at)


def _framed(size: int, length: int, due: int, at: int, end: int, field: str) -> int:
    """Where the object's own octets begin, behind a header of `due` octets that must say their length."""
    if size != due:
        raise DecodeError(f"{field}.Object.dwSizeOfHeader", at, f"is {size}, not {due}")
    if length != end - at - due:
        raise DecodeError(f"{field}.Object.dwSizeOfData", at + 4, f"{length}, but {end - at - due} bytes follow")
    return at + due
