"""IWbemClassObject: classes and instances as parameters, marshalled by value (MS-WMI 2.2.4)."""

from __future__ import annotations

import struct
from typing import Final
from uuid import UUID

from openwmi.cim import CimObject, Class, Instance
from openwmi.dcom.objref import CustomObjRef, decode_objref
from openwmi.dcom.types import CLSID_ERROR_EXTENSION, OrpcThat
from openwmi.errors import DecodeError
from openwmi.wmio import ClassPartCache, decode_object, encode_object

__all__ = ["ObjectMarshaller"]

IID_IWBEM_CLASS_OBJECT: Final = UUID("dc12a681-737f-11cf-884d-00aa004b2e24")
CLSID_WBEM_CLASS_OBJECT: Final = UUID("4590f812-1d3a-11d0-891f-00aa004b2e24")
IID_IERROR_INFO: Final = UUID("1cf2b120-547d-101b-8e65-08002b2bd119")

UNIT_HEADER: Final = struct.Struct("<II")  # Signature ObjectEncodingLength (MS-WMIO 2.2.1)
_UNIT_AT: Final = 48  # where the EncodingUnit begins in an OBJREF_CUSTOM (MS-DCOM 2.2.18.6)


class ObjectMarshaller:
    """Marshals and unmarshals objects for one session; class parts that repeat are parsed once, and stay in `cache`."""

    def __init__(self) -> None:
        self.cache = ClassPartCache()

    def marshal(self, obj: CimObject, iid: UUID = IID_IWBEM_CLASS_OBJECT) -> bytes:
        """The object as an OBJREF."""
        return CustomObjRef(iid, CLSID_WBEM_CLASS_OBJECT, encode_object(obj)).encode()

    def unmarshal(self, octets: bytes, name: str = "IWbemClassObject") -> Class | Instance:
        """The object in an OBJREF. Raises `DecodeError`."""
        reference = decode_objref(octets, name)
        if not isinstance(reference, CustomObjRef) or reference.clsid != CLSID_WBEM_CLASS_OBJECT:
            raise DecodeError(f"{name}.clsid", 24, "is not marshalled as a class object is")
        return decode_object(reference.data, cache=self.cache)

    def unmarshal_from(self, octets: bytes, at: int, name: str = "IWbemClassObject") -> tuple[Class | Instance, int]:
        """The object in the OBJREF that begins at `at`, and where that ends. Raises `DecodeError`.

        For places where OBJREFs stand in a row, and only the EncodingUnit in each says where it ends.
        """
        if len(octets) - at < _UNIT_AT + UNIT_HEADER.size:
            raise DecodeError(name, at, f"needs {_UNIT_AT + UNIT_HEADER.size} bytes, {len(octets) - at} are left")
        _, length = UNIT_HEADER.unpack_from(octets, at + _UNIT_AT)
        end = at + _UNIT_AT + UNIT_HEADER.size + length
        if end > len(octets):
            raise DecodeError(f"{name}.ObjectEncodingLength", at + _UNIT_AT + 4, f"{length} is beyond the end")
        return self.unmarshal(octets[at:end], name), end

    def marshal_error(self, error: Instance) -> bytes:
        """An error object as it travels in ORPCTHAT: what `GetErrorInfo` gives a COM caller (MS-DCOM 2.2.21.1)."""
        return self.marshal(error, IID_IERROR_INFO)

    def error_of(self, that: OrpcThat) -> Instance | None:
        """The error object that came with a response; None if there is none, or one that is not WMI's."""
        octets = that.extent(CLSID_ERROR_EXTENSION)
        if octets is None:
            return None
        try:
            found = self.unmarshal(octets, "ORPCTHAT error information")
        except DecodeError:
            # DCOM's own format (2.2.21.2) says less than the HRESULT beside it.
            return None
        return found if isinstance(found, Instance) else None
