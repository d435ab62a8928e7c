"""Any octets are a reference or a `DecodeError`; what was read is written, and that is read as the same again."""

from __future__ import annotations

from collections.abc import Iterable

from tests.dcom.test_references import REFERENCES

from openwmi.dcom.objref import decode_objref
from openwmi.errors import DecodeError


def check(data: bytes) -> None:
    """See the first line."""
    try:
        found = decode_objref(data)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data), error
        return
    assert decode_objref(found.encode()) == found


def seeds() -> Iterable[bytes]:
    """A reference of each kind."""
    for _, octets, _ in REFERENCES:
        yield bytes.fromhex(octets)
