"""A stub of any method decodes or is a `DecodeError`; what it says is written, and that is read as the same again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from openwmi.dcom import interfaces as dcom
from openwmi.errors import DecodeError
from openwmi.rpc.endpoints import IEndpointMapper
from openwmi.rpc.interface import Interface
from openwmi.rpc.management import IManagement
from openwmi.wmi import interfaces as wmi


def _interfaces() -> list[Interface]:
    """Every table there is."""
    found = [value for module in (dcom, wmi) for value in vars(module).values() if isinstance(value, Interface)]
    return sorted([*found, IEndpointMapper, IManagement], key=lambda interface: interface.name)


INTERFACES = _interfaces()


def check(data: bytes) -> None:
    """See the first line. The first three octets choose interface, method, direction and byte order."""
    if len(data) < 3:
        return
    interface = INTERFACES[data[0] % len(INTERFACES)]
    if not interface.methods:
        return
    method = interface.methods[data[1] % len(interface.methods)]
    little_endian, is_request = not data[2] & 2, not data[2] & 1
    decode, encode = (
        (method.decode_request, method.encode_request)
        if is_request
        else (method.decode_response, method.encode_response)
    )
    try:
        values: dict[str, Any] = decode(data[3:], little_endian=little_endian)
    except DecodeError as error:
        str(error)
        return
    if not any(isinstance(value, float) and math.isnan(value) for value in values.values()):
        again = decode(encode(values))
        assert again == values, (method.qualified_name, values, again)


def seeds() -> Iterable[bytes]:
    """Zeros for each method both ways: many of them decode."""
    for first, interface in enumerate(INTERFACES):
        for second, _ in enumerate(interface.methods):
            for direction in range(2):
                yield bytes([first, second, direction]) + bytes(64)
