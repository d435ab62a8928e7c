"""Classes and instances as parameters."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import Class, Instance
from openwmi.dcom.objref import CustomObjRef, decode_objref
from openwmi.dcom.types import CLSID_ERROR_EXTENSION, OrpcExtent, OrpcExtentArray, OrpcThat, com_guid
from openwmi.errors import DecodeError
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmio import encode_object

from .loopback import EXTENDED, THING, thing

OBJECTS = ObjectMarshaller()
ERROR = EXTENDED.new(Description="it is gone", StatusCode=0x80041002, Operation="GetObject")


@pytest.mark.requirement("WMI-2.2.4-01", "WMI-2.2.4-02", "WMI-2.2.4-03")
def test_an_object_is_marshalled_by_value() -> None:
    found = decode_objref(OBJECTS.marshal(thing("a")))
    assert isinstance(found, CustomObjRef)
    assert found.iid == UUID("dc12a681-737f-11cf-884d-00aa004b2e24")
    assert found.clsid == UUID("4590f812-1d3a-11d0-891f-00aa004b2e24")
    assert found.data == encode_object(thing("a"))


def test_objects_survive() -> None:
    instance = OBJECTS.unmarshal(OBJECTS.marshal(thing("a", 9)))
    assert isinstance(instance, Instance)
    assert instance.to_dict() == {"Id": "a", "Size": 9}
    assert str(instance.path) == str(thing("a").path)
    cls = OBJECTS.unmarshal(OBJECTS.marshal(THING))
    assert isinstance(cls, Class)
    assert cls == THING


def test_what_is_no_object() -> None:
    stranger = CustomObjRef(UUID(int=1), UUID(int=2), encode_object(THING)).encode()
    cut = OBJECTS.marshal(THING)[:-40]
    for octets in (b"", stranger, cut):
        with pytest.raises(DecodeError):
            OBJECTS.unmarshal(octets)
    with pytest.raises(DecodeError, match="pInst"):
        OBJECTS.unmarshal(stranger, "pInst")


def that(*extents: OrpcExtent) -> OrpcThat:
    return OrpcThat(extensions=OrpcExtentArray.of(*extents))


def test_error_objects_travel_beside_the_answer() -> None:
    octets = OBJECTS.marshal_error(ERROR)
    reference = decode_objref(octets)
    assert reference.iid == UUID("1cf2b120-547d-101b-8e65-08002b2bd119")
    found = OBJECTS.error_of(that(OrpcExtent.of(com_guid(9), b"?"), OrpcExtent.of(CLSID_ERROR_EXTENSION, octets)))
    assert found is not None
    assert found.to_dict() == ERROR.to_dict()


def test_error_objects_that_are_not_there_or_not_wmis() -> None:
    assert OBJECTS.error_of(OrpcThat()) is None
    for octets in (b"", b"other", OBJECTS.marshal(THING), CustomObjRef(UUID(int=1), UUID(int=2), b"").encode()):
        assert OBJECTS.error_of(that(OrpcExtent.of(CLSID_ERROR_EXTENSION, octets))) is None


_samples: st.SearchStrategy[Class | Instance] = st.sampled_from([THING, thing("a"), ERROR])


@settings(max_examples=150)
@given(st.data())
def test_wrong_octets_decode_or_are_malformed(data: st.DataObject) -> None:
    octets = bytearray(OBJECTS.marshal(data.draw(_samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        OBJECTS.unmarshal(bytes(octets))
    except DecodeError:
        return
