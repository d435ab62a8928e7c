"""Security descriptors as __SecurityDescriptor, __ACE and __Trustee."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from openwmi.cim import CimType, Class, Instance, NameMap, Property
from openwmi.errors import WbemError
from openwmi.manager.descriptor_objects import DescriptorObjects
from openwmi.manager.system import system_classes
from openwmi.security.descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, EVERYONE, LOCAL_SYSTEM, USERS
from openwmi.security.sddl import parse_sddl
from openwmi.status import WbemStatus
from tests.security import strategies

CLASSES = system_classes()
OBJECTS = DescriptorObjects(CLASSES.__getitem__)
FULL = parse_sddl("O:BAG:SYD:PAI(A;CI;CCDC;;;WD)(D;;LC;;;S-1-5-21-1-2-3-1000)(A;CIID;CC;;;BA)S:(AU;SAFA;CC;;;AU)")


def made(name: str, **values: Any) -> Instance:
    return CLASSES[name].new(values)


def trustee(**values: Any) -> Instance:
    return made("__Trustee", **(values or {"SIDString": "S-1-1-0"}))


def entry(**values: Any) -> Instance:
    return made("__ACE", **{"AceType": 0, "AccessMask": 1, "Trustee": trustee(), **values})


def test_what_the_objects_say() -> None:
    found = OBJECTS.instance(FULL)
    assert found["ControlFlags"] == FULL.control
    assert found["Owner"]["SID"] == bytes(ADMINISTRATORS)
    assert (found["Group"]["SIDString"], found["Group"]["SidLength"]) == (str(LOCAL_SYSTEM), LOCAL_SYSTEM.size)
    assert [(e["AceType"], e["AceFlags"], e["AccessMask"]) for e in found["DACL"]] == [
        (0, 2, 3),
        (1, 0, 4),
        (0, 0x12, 1),
    ]
    assert found["DACL"][1]["Trustee"]["SIDString"] == "S-1-5-21-1-2-3-1000"
    assert [(e["AceType"], e["AceFlags"]) for e in found["SACL"]] == [(2, 0xC0)]


@given(strategies.textual_descriptors() | strategies.descriptors)
def test_there_and_back(descriptor: SecurityDescriptor) -> None:
    aces = [ace for acl in (descriptor.dacl, descriptor.sacl) if acl is not None for ace in acl.aces]
    if any(ace.sid is None or ace.data for ace in aces):
        with pytest.raises(WbemError) as caught:
            OBJECTS.instance(descriptor)
        assert caught.value.status == WbemStatus.WBEM_E_NOT_SUPPORTED
        return
    found = OBJECTS.changed(descriptor, OBJECTS.instance(descriptor))
    assert found == replace(
        descriptor,
        dacl=None if descriptor.dacl is None else Acl(descriptor.dacl.aces),
        sacl=None if descriptor.sacl is None else Acl(descriptor.sacl.aces),
    )


def test_whole_into_nothing() -> None:
    assert bytes(OBJECTS.changed(SecurityDescriptor(), OBJECTS.instance(FULL))) == bytes(FULL)


def test_what_is_not_said_stays() -> None:
    assert OBJECTS.changed(FULL, made("__SecurityDescriptor")) == FULL
    changed = OBJECTS.changed(FULL, made("__SecurityDescriptor", Owner=trustee(SID=bytes(USERS)), DACL=[]))
    assert changed == replace(FULL, owner=USERS)  # ControlFlags does not say that there is a DACL
    changed = OBJECTS.changed(FULL, made("__SecurityDescriptor", ControlFlags=Control.DACL_PRESENT, DACL=[entry()]))
    dacl = Acl((Ace.allow(EVERYONE, 1),))
    assert changed == replace(
        FULL, dacl=dacl, control=FULL.control & ~(Control.DACL_PROTECTED | Control.DACL_AUTO_INHERITED)
    )
    # A DACL that is present and NULL restricts nobody; a SACL that is NULL is not replaced.
    both = Control.DACL_PRESENT | Control.SACL_PRESENT
    changed = OBJECTS.changed(FULL, made("__SecurityDescriptor", ControlFlags=both))
    assert (changed.dacl, changed.sacl, changed.control & both) == (None, FULL.sacl, both)


OTHER = Class("__SecurityDescriptor", properties=NameMap([Property("ControlFlags", CimType.STRING)]))


@pytest.mark.parametrize(
    ("given", "message", "status"),
    [
        (None, "Descriptor is no __SecurityDescriptor", WbemStatus.WBEM_E_INVALID_PARAMETER),
        (CLASSES["__SecurityDescriptor"], "is no __SecurityDescriptor", WbemStatus.WBEM_E_INVALID_PARAMETER),
        (trustee(), "is no __SecurityDescriptor", WbemStatus.WBEM_E_INVALID_PARAMETER),
        (OTHER.new(ControlFlags="x"), "ControlFlags", WbemStatus.WBEM_E_TYPE_MISMATCH),
        ({"Owner": entry()}, "Owner is no __Trustee", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"Owner": trustee(Name="root")}, "Owner: neither SID nor", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"Group": trustee(SIDString="S-2")}, "Group: 'S-2' is not", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"Group": trustee(SID=b"\1\1")}, "Group: SID", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"DACL": [None]}, "DACL[0] is no __ACE", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"DACL": [entry(), entry(AceType=None)]}, "DACL[1]: AceType is NULL", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"DACL": [entry(AceType=5)]}, "DACL: an entry of type 0x05 has no SID", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"DACL": [entry(AceFlags=256)]}, "have 8 bits", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"SACL": [entry(Trustee=None)]}, "SACL[0]: Trustee is NULL", WbemStatus.WBEM_E_INVALID_PARAMETER),
        ({"DACL": [entry()] * 4000}, "64 KiB", WbemStatus.WBEM_E_INVALID_PARAMETER),
    ],
)
def test_objects_that_are_no_descriptor(given: Any, message: str, status: int) -> None:
    if isinstance(given, dict):
        given = made("__SecurityDescriptor", ControlFlags=Control.DACL_PRESENT | Control.SACL_PRESENT, **given)
    with pytest.raises(WbemError) as caught:
        OBJECTS.changed(FULL, given)
    assert message in caught.value.detail
    assert caught.value.status == status


def test_entries_that_no_object_can_hold() -> None:
    for ace in (Ace(5, 0, data=bytes(8)), Ace(AceType.ACCESS_ALLOWED_CALLBACK, 0, 1, EVERYONE, b"artx")):
        with pytest.raises(WbemError, match="GetSD has its bytes"):
            OBJECTS.instance(SecurityDescriptor(dacl=Acl((ace,))))
