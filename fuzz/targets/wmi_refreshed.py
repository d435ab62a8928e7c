"""Any octets are a WBEM_INSTANCE_BLOB or a DecodeError; what was read is written, and reads the same again."""

from __future__ import annotations

from collections.abc import Iterable

from tests.wmio.test_hostile import rich

from openwmi.errors import DecodeError
from openwmi.wmi.refreshed import decode_blob, encode_blob

_SHAPE = rich().shape


def seeds() -> Iterable[bytes]:
    """No instance, one, and two."""
    return (encode_blob([rich()] * count) for count in range(3))


def check(data: bytes) -> None:
    """Reads a blob of a class with properties of many types."""
    try:
        found = decode_blob(data, _SHAPE)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data), error
        return
    written = encode_blob(found)
    assert encode_blob(decode_blob(written, _SHAPE)) == written
