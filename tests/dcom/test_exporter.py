"""What is exported, to whom references were given, and when it goes."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.dcom.exporter import MARSHALLED_REFERENCES, MAX_REFERENCES, PING_PERIOD, Exporter
from openwmi.dcom.objref import StandardObjRef, decode_objref
from openwmi.dcom.types import IID_IUNKNOWN
from openwmi.errors import WbemError
from openwmi.status import HResult

from .support import BINDINGS, Calculator, ICalculator, IMemory, IUnheardOf

GONE = 3 * PING_PERIOD


class Fixture:
    def __init__(self, **settings: Any) -> None:
        self.freed: list[Any] = []
        self.exporter = Exporter(self.freed.append, **settings)
        self.object = Calculator()

    def marshal(self, iid: Any = ICalculator.uuid, **settings: Any) -> StandardObjRef:
        found = decode_objref(self.exporter.marshal(self.object, iid, BINDINGS, **settings))
        assert isinstance(found, StandardObjRef)
        return found


@pytest.mark.requirement("DCOM-3.1.1.5.1-15", "DCOM-3.1.1.5.1-23", "DCOM-3.1.1.5.1-25", "DCOM-3.1.1.5.1-28")
def test_a_reference() -> None:
    it = Fixture()
    reference = it.marshal()
    assert reference.iid == ICalculator.uuid
    assert reference.resolver == BINDINGS
    assert (reference.std.public_refs, reference.std.flags) == (MARSHALLED_REFERENCES, 0)
    assert reference.std.oxid == it.exporter.oxid
    entry = it.exporter.find(reference.std.ipid)
    assert entry is not None
    assert (entry.exported.implementation, entry.interface) == (it.object, ICalculator)
    assert it.exporter.has_object(reference.std.oid)


@pytest.mark.requirement("DCOM-3.1.1.5.1-03", "DCOM-3.1.1.5.1-08", "DCOM-3.1.1.5.1-19")
def test_the_same_object_again() -> None:
    it = Fixture()
    first, second, memory = it.marshal(), it.marshal(), it.marshal(IMemory.uuid)
    assert first.std == second.std
    assert memory.std.oid == first.std.oid
    assert memory.std.ipid != first.std.ipid
    assert len(it.exporter) == 1
    it.exporter.release(first.std.ipid, MARSHALLED_REFERENCES)
    assert it.exporter.find(first.std.ipid) is not None  # the second reference holds it
    it.exporter.release(first.std.ipid, MARSHALLED_REFERENCES)
    assert it.exporter.find(first.std.ipid) is None
    assert it.freed == []  # the other interface holds the object
    it.exporter.release(memory.std.ipid, MARSHALLED_REFERENCES)
    assert it.freed == [it.object]
    assert len(it.exporter) == 0
    assert not it.exporter.has_object(memory.std.oid)


def test_iunknown_is_an_interface_of_everything() -> None:
    it = Fixture()
    reference = it.marshal(IID_IUNKNOWN)
    assert reference.iid == IID_IUNKNOWN
    assert it.exporter.find(reference.std.ipid) is not None


def test_an_interface_that_the_object_does_not_have_exports_nothing() -> None:
    it = Fixture()
    with pytest.raises(WbemError) as caught:
        it.marshal(IUnheardOf)
    assert caught.value.status == HResult.E_NOINTERFACE
    assert len(it.exporter) == 0


def test_the_limit() -> None:
    it = Fixture(limit=2)
    others = [Calculator() for _ in range(2)]
    for other in others:
        it.exporter.marshal(other, ICalculator.uuid, BINDINGS)
    with pytest.raises(WbemError) as caught:
        it.marshal()
    assert caught.value.status == HResult.E_OUTOFMEMORY
    it.exporter.marshal(others[0], IMemory.uuid, BINDINGS)  # nothing new
    it.exporter.revoke(others[0])
    it.marshal()


def test_the_limit_of_one_account() -> None:
    it = Fixture(limit_per_owner=1)
    it.exporter.marshal(Calculator(), ICalculator.uuid, BINDINGS, owner="bob")
    it.marshal(owner="ada")
    with pytest.raises(WbemError) as caught:
        it.exporter.marshal(Calculator(), ICalculator.uuid, BINDINGS, owner="ada")
    assert caught.value.status == HResult.E_OUTOFMEMORY
    it.exporter.revoke(it.object)
    it.marshal(owner="ada")


@pytest.mark.requirement(
    "DCOM-3.1.1.5.6.1-14", "DCOM-3.1.1.5.6.1-16", "DCOM-3.1.1.5.6.1-21", "DCOM-3.1.1.5.6.1-28", "DCOM-3.1.1.5.6.1-29",
    "DCOM-3.1.1.5.6.1-30", "DCOM-3.1.1.5.6.1-31", "DCOM-3.1.1.5.6.1-32",
)  # fmt: skip
def test_querying_for_other_interfaces() -> None:
    it = Fixture()
    reference = it.marshal()
    entry = it.exporter.find(reference.std.ipid)
    assert entry is not None
    same, other, missing = it.exporter.query(entry, [ICalculator.uuid, IMemory.uuid, IUnheardOf], 3)
    assert (same.result, same.std.ipid) == (HResult.S_OK, reference.std.ipid)
    assert (other.result, other.std.flags, other.std.public_refs) == (HResult.S_OK, 0, 3)
    assert (other.std.oid, other.std.oxid) == (reference.std.oid, it.exporter.oxid)
    assert (missing.result, missing.std.ipid.int, missing.std.public_refs) == (HResult.E_NOINTERFACE, 0, 0)
    it.exporter.release(reference.std.ipid, MARSHALLED_REFERENCES + 2)
    assert it.exporter.find(reference.std.ipid) is not None
    it.exporter.release(reference.std.ipid, 1)
    assert it.exporter.find(reference.std.ipid) is None
    assert it.freed == []
    it.exporter.release(other.std.ipid, 3)
    assert it.freed == [it.object]


@pytest.mark.requirement("DCOM-3.1.1.5.6.1-38", "DCOM-3.1.1.5.6.1-40", "DCOM-3.1.1.5.6.1-43")
def test_more_references() -> None:
    it = Fixture()
    reference = it.marshal()
    assert it.exporter.add_references(reference.std.ipid, 2) == HResult.S_OK
    it.exporter.release(reference.std.ipid, MARSHALLED_REFERENCES + 1)
    assert it.freed == []
    it.exporter.release(reference.std.ipid, 1)
    assert it.freed == [it.object]
    assert it.exporter.add_references(reference.std.ipid, 1) == HResult.CO_E_OBJNOTREG


def test_a_count_never_overflows() -> None:
    it = Fixture()
    reference = it.marshal()
    for _ in range(3):
        it.exporter.add_references(reference.std.ipid, 0xFFFFFFFF)
    entry = it.exporter.find(reference.std.ipid)
    assert entry is not None
    assert entry.references == MAX_REFERENCES
    it.marshal()
    assert entry.references == MAX_REFERENCES


@pytest.mark.requirement("DCOM-3.1.1.5.6.1-50", "DCOM-3.1.1.5.6.1-58")
def test_giving_back_more_than_there_is() -> None:
    it = Fixture()
    reference = it.marshal()
    it.exporter.release(reference.std.ipid, 1000)
    assert it.freed == [it.object]
    it.exporter.release(reference.std.ipid, 1)  # nobody is there any more
    assert it.freed == [it.object]


def test_an_object_lives_while_its_connection_does() -> None:
    it = Fixture()
    it.marshal(connection="c", now=0.0)
    it.exporter.handle_timeout(100 * GONE)
    assert it.freed == []
    it.exporter.connection_closed("another", 100 * GONE)
    it.exporter.handle_timeout(200 * GONE)
    assert it.freed == []
    it.exporter.connection_closed("c", 1000.0)
    it.exporter.handle_timeout(1000.0 + GONE - 1)
    assert it.freed == []
    it.exporter.handle_timeout(1000.0 + GONE)
    assert it.freed == [it.object]
    assert it.exporter.find(it.exporter.rem_unknown) is None


@pytest.mark.requirement("DCOM-3.1.1.5.1-20", "DCOM-3.1.1.6.2-04", "DCOM-3.1.1.6.2-05")
def test_a_call_and_a_new_reference_are_signs_of_life() -> None:
    it = Fixture()
    reference = it.marshal(now=0.0)
    entry = it.exporter.find(reference.std.ipid)
    assert entry is not None
    it.exporter.used(entry.exported, None, 200.0)
    it.exporter.handle_timeout(GONE)
    assert it.freed == []
    it.marshal(now=300.0)
    it.exporter.handle_timeout(200.0 + GONE)
    assert it.freed == []
    it.exporter.handle_timeout(300.0 + GONE)
    assert it.freed == [it.object]


def test_a_ping_set_holds_an_object() -> None:
    it = Fixture()
    oid = it.marshal(now=0.0).std.oid
    it.exporter.hold(oid)
    it.exporter.hold(oid)
    it.exporter.unhold(oid, 10.0)
    it.exporter.handle_timeout(100 * GONE)
    assert it.freed == []
    it.exporter.unhold(oid, 1000.0)
    it.exporter.handle_timeout(999.0 + GONE)
    assert it.freed == []
    it.exporter.handle_timeout(1000.0 + GONE)
    assert it.freed == [it.object]


def test_a_ping_is_a_sign_of_life() -> None:
    it = Fixture()
    oid = it.marshal(now=0.0).std.oid
    it.exporter.pinged([oid, 12345], 50.0)
    it.exporter.handle_timeout(GONE)
    assert it.freed == []
    it.exporter.handle_timeout(50.0 + GONE)
    assert it.freed == [it.object]
    it.exporter.hold(oid)
    it.exporter.unhold(oid, 1.0)
    it.exporter.pinged([oid], 1.0)


def test_an_object_without_time_is_never_timed_out() -> None:
    it = Fixture()
    oid = it.marshal(now=float("inf")).std.oid
    it.exporter.hold(oid)
    it.exporter.unhold(oid, 1.0)
    it.exporter.handle_timeout(1e9)
    assert it.freed == []


def test_revoking_and_closing_free_whoever_refers() -> None:
    it = Fixture()
    reference = it.marshal()
    another = Calculator()
    it.exporter.marshal(another, ICalculator.uuid, BINDINGS, connection="c")
    it.exporter.revoke(it.object)
    it.exporter.revoke(it.object)
    assert it.freed == [it.object]
    assert it.exporter.find(reference.std.ipid) is None
    it.exporter.close()
    assert it.freed == [it.object, another]
    assert len(it.exporter) == 0


def test_an_object_can_be_exported_again() -> None:
    it = Fixture()
    first = it.marshal()
    it.exporter.revoke(it.object)
    second = it.marshal()
    assert second.std.oid != first.std.oid
    assert second.std.ipid != first.std.ipid
