"""What a refresh brings: the values of instances whose class the client has got before (MS-WMI 2.2.15-2.2.19).

    WBEM_INSTANCE_BLOB  Version numObjects *RefreshedInstances
    RefreshedInstances  blobSize RefreshedSingleInstance

A RefreshedSingleInstance tells neither its class nor where it comes from: that is known from the template that came
when the object or the enumeration was added to the refresher.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Final

from openwmi.cim import Instance, Shape
from openwmi.errors import DecodeError
from openwmi.rpc.ndr import ConformantBytes, Count, Enum32, Int32, Unique, structure
from openwmi.wmio import ClassPartCache, decode_refreshed, encode_refreshed

__all__ = ["BlobType", "RefreshedObject", "decode_blob", "encode_blob"]

VERSION: Final = 1
_HEADER: Final = struct.Struct("<II")  # Version numObjects
_SIZE: Final = struct.Struct("<I")  # blobSize


class BlobType(IntEnum):
    """WBEM_INSTANCE_BLOB_TYPE (2.2.17): one instance, none because of an error, or those of an enumeration."""

    ALL = 2
    ERROR = 3
    ENUM = 4


@structure
class RefreshedObject:
    """WBEM_REFRESHED_OBJECT (2.2.15): what one request, added to a refresher before, has come to."""

    # long m_lRequestId;
    request_id: Annotated[int, Int32]
    # WBEM_INSTANCE_BLOB_TYPE m_lBlobType;
    kind: Annotated[int, Enum32(BlobType)]
    # long m_lBlobLength;
    length: Annotated[int, Int32]
    # [size_is(m_lBlobLength)] byte* m_pbBlob;
    blob: Annotated[bytes | None, Unique(ConformantBytes(size_is=Count("length", lambda n: n)))]

    @classmethod
    def of(cls, request_id: int, found: Instance | Sequence[Instance] | None) -> RefreshedObject:
        """What a request for an instance or for an enumeration has brought; None for an error."""
        if found is None:
            return cls(request_id=request_id, kind=BlobType.ERROR, length=0, blob=None)
        if isinstance(found, Instance):
            kind, blob = BlobType.ALL, encode_refreshed(found)
        else:
            kind, blob = BlobType.ENUM, encode_blob(found)
        return cls(request_id=request_id, kind=kind, length=len(blob), blob=blob)

    def instances(self, shape: Shape, cache: ClassPartCache | None = None) -> list[Instance] | None:
        """The instances, whose template has that shape; None for an error. Raises `DecodeError`."""
        if self.kind == BlobType.ERROR:
            if self.blob:
                raise DecodeError("WBEM_REFRESHED_OBJECT.m_pbBlob", 0, "is there, though the type says error")
            return None
        if self.blob is None:
            raise DecodeError("WBEM_REFRESHED_OBJECT.m_pbBlob", 0, "is NULL")
        if self.kind == BlobType.ALL:
            return [decode_refreshed(self.blob, shape, cache=cache)]
        if self.kind == BlobType.ENUM:
            return decode_blob(self.blob, shape, cache=cache)
        raise DecodeError("WBEM_REFRESHED_OBJECT.m_lBlobType", 4, f"is {self.kind}")


def encode_blob(instances: Sequence[Instance]) -> bytes:
    """`instances` as a WBEM_INSTANCE_BLOB (2.2.16), in order."""
    parts = [_HEADER.pack(VERSION, len(instances))]
    for instance in instances:
        single = encode_refreshed(instance)
        parts += (_SIZE.pack(len(single)), single)
    return b"".join(parts)


def decode_blob(data: bytes, shape: Shape, *, cache: ClassPartCache | None = None) -> list[Instance]:
    """The instances in a WBEM_INSTANCE_BLOB, in order. Raises `DecodeError`."""
    if len(data) < _HEADER.size:
        raise DecodeError("WBEM_INSTANCE_BLOB", 0, f"needs {_HEADER.size} bytes, has {len(data)}")
    version, count = _HEADER.unpack_from(data)
    if version != VERSION:
        raise DecodeError("WBEM_INSTANCE_BLOB.Version", 0, f"is {version}, not {VERSION}")
    at = _HEADER.size
    found = []
    for i in range(count):
        field = f"WBEM_INSTANCE_BLOB.Objects[{i}]"
        if _SIZE.size > len(data) - at:
            raise DecodeError(field, at, f"needs {_SIZE.size} bytes, {len(data) - at} are left")
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size
        if size > len(data) - at:
            raise DecodeError(f"{field}.blobSize", at - 4, f"{size}, but {len(data) - at} bytes follow")
        found.append(decode_refreshed(data[at : at + size], shape, cache=cache))
        at += size
    if at != len(data):
        raise DecodeError("WBEM_INSTANCE_BLOB", at, f"{len(data) - at} bytes are left over")
    return found
