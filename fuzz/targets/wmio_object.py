"""Any octets are an EncodingUnit or a DecodeError; what was read is written, and that is read as the same again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from openwmi.cim import Instance
from openwmi.errors import DecodeError
from openwmi.wmio import ClassPartCache, decode_object, encode_object

_DATA = Path(__file__).parent.parent.parent / "tests" / "data" / "wmio"


def seeds() -> Iterable[bytes]:
    """Real objects, and one with something of everything."""
    from tests.wmio.test_hostile import rich

    yield from (path.read_bytes() for path in sorted(_DATA.glob("*.bin")))
    yield encode_object(rich())
    yield encode_object(rich().cls)


def check(data: bytes) -> None:
    """Reads all at once, on demand, and once more with the class part known."""
    cache = ClassPartCache(entries=2)
    try:
        read = decode_object(data, cache=cache)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data), error
        _read_on_demand(data)
        return
    written = encode_object(read)
    assert encode_object(decode_object(written)) == written
    assert encode_object(decode_object(data, cache=cache)) == written
    assert encode_object(decode_object(data, on_demand=True)) == written


def _read_on_demand(data: bytes) -> None:
    """What fails all at once may be read in part, but not whole."""
    try:
        read = decode_object(data, on_demand=True)
    except DecodeError:
        return
    assert isinstance(read, Instance)
    for name in read.shape.index:
        try:
            read[name]
        except DecodeError:
            continue
    try:
        read.to_dict()
    except DecodeError:
        return
    raise AssertionError("read whole on demand, but not at once")
