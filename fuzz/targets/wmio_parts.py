"""Any octets after a class part are an instance without its class, or a DecodeError; likewise those of a class part."""

from __future__ import annotations

from collections.abc import Iterable

from openwmi.cim import Class, Shape
from openwmi.errors import DecodeError
from openwmi.wmio import (
    decode_class_part,
    decode_instance_no_class,
    decode_refreshed,
    encode_class_part,
    encode_instance_no_class,
    encode_refreshed,
)


def seeds() -> Iterable[bytes]:
    """A class part, an instance and a refreshed instance, the octet before them saying which."""
    from tests.wmio.test_hostile import rich

    yield b"\0" + encode_class_part(rich())
    yield b"\1" + encode_instance_no_class(rich())
    yield b"\2" + encode_refreshed(rich())


def _known() -> Shape:
    from tests.wmio.test_hostile import rich

    cls = rich().cls
    return Class(cls.name, cls.superclass, cls.derivation, cls.qualifiers, cls.properties).shape


_SHAPE = _known()


def check(data: bytes) -> None:
    """The first octet says which form the others are read as."""
    kind, rest = data[:1], data[1:]
    try:
        if kind == b"\0":
            decode_class_part(rest)
        elif kind == b"\1":
            one = decode_instance_no_class(rest, _SHAPE)
            written = encode_instance_no_class(one)
            assert encode_instance_no_class(decode_instance_no_class(written, _SHAPE)) == written
        else:
            single = encode_refreshed(decode_refreshed(rest, _SHAPE))
            assert encode_refreshed(decode_refreshed(single, _SHAPE)) == single
    except DecodeError as error:
        assert 0 <= error.offset <= len(rest), error
