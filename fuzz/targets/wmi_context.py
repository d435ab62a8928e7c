"""Any octets are a context or a DecodeError; what was read is written, and that is read as the same again."""

from __future__ import annotations

from collections.abc import Iterable

from tests.wmi.loopback import thing
from tests.wmi.test_context import VECTORS

from openwmi.cim import CimType, TypedValue
from openwmi.dcom.objref import CustomObjRef
from openwmi.errors import DecodeError
from openwmi.wmi.context import CLSID_WBEM_CONTEXT, IID_IWBEM_CONTEXT, decode_context, encode_context
from openwmi.wmi.objects import ObjectMarshaller

_HEAD = len(CustomObjRef(IID_IWBEM_CONTEXT, CLSID_WBEM_CONTEXT, b"").encode())


def seeds() -> Iterable[bytes]:
    """A value of each type; the reference around the buffer is left out."""
    objects = ObjectMarshaller()
    values = {f"v{i}": value for i, (_, value) in enumerate(VECTORS)}
    values["object"] = TypedValue(CimType.OBJECT, thing("a"))
    for name, value in values.items():
        yield (encode_context({name: value}, objects) or b"")[_HEAD:]
    yield (encode_context(values, objects) or b"")[_HEAD:]


def check(data: bytes) -> None:
    """Reads the buffer inside its reference."""
    whole = CustomObjRef(IID_IWBEM_CONTEXT, CLSID_WBEM_CONTEXT, data).encode()
    objects = ObjectMarshaller()
    try:
        found = decode_context(whole, objects)
    except DecodeError as error:
        assert 0 <= error.offset <= len(whole), error
        return
    written = encode_context(found, objects)
    assert encode_context(decode_context(written, objects), objects) == written
