"""References into other exporters: where they lead, what is asked once, what is given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.activation import ActivationReply
from openwmi.dcom.bindings import DualStringArray, Endpoint, StringBinding
from openwmi.dcom.exporter import MARSHALLED_REFERENCES
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.dcom.objref import CustomObjRef, HandlerObjRef, decode_objref
from openwmi.dcom.peer import Call
from openwmi.dcom.resolver import Activator, ObjectResolver
from openwmi.dcom.types import CLSID_ERROR_EXTENSION, COM_VERSION
from openwmi.errors import ConnectError, DeadlineExceeded, DecodeError, ProtocolError, RpcFault, WbemError
from openwmi.rpc.ndr import Slot
from openwmi.status import HResult

from .support import (
    BINDINGS,
    CALLER,
    EXPORTER,
    NOBODY,
    RESOLVER,
    Calculator,
    ICalculator,
    IMemory,
    IUnheardOf,
    MemoryTransport,
    make_peer,
)  # fmt: skip

CLSID = UUID("11111111-2222-3333-4444-00000000c1a5")
REACH = Reach("192.0.2.1")
HOST = "192.0.2.1"


class Fixture:
    """A peer behind a resolver, and an importer of its objects."""

    def __init__(self, *addresses: Endpoint | str) -> None:
        self.peer, self.freed = make_peer(error_info=lambda error: b"explained")
        bindings = DualStringArray.tcp(addresses or (EXPORTER,), [10])
        self.peer.add_service(
            ObjectResolver(
                self.peer.exporter, exporter_bindings=lambda c: bindings, resolver_bindings=lambda c: BINDINGS
            )
        )
        self.peer.add_service(Activator(self.peer.exporter, {CLSID: self.make}, lambda c: bindings))
        self.transport = MemoryTransport({EXPORTER: self.peer, RESOLVER: self.peer})
        self.importer = Importer(self.transport)
        self.object = Calculator()

    async def make(self, call: Call) -> Calculator:
        return self.object

    def reference(self) -> Reference:
        return self.importer.unmarshal(self.peer.marshal(self.object, ICalculator.uuid, CALLER, 0.0))

    async def add(self, reference: Reference, **values: Any) -> int:
        values = {"left": 1, "right": 1, **values}
        response = await self.importer.call(reference, ICalculator, "Add", values, reach=REACH, timeout=7.0)
        assert response.status == 0
        found: int = response.values["sum"]
        return found

    async def activate(self, *iids: UUID, clsid: UUID = CLSID) -> list[Reference | int]:
        return await self.importer.activate(clsid, iids, REACH, 135, timeout=9.0)


# -- where to go


BOTH = DualStringArray.tcp([Endpoint("name.example", 5000), Endpoint("10.0.0.9", 5001)], [10])


@pytest.mark.parametrize(
    ("reach", "bindings", "default", "expected"),
    [
        # The host that is known to work first, at every port there is; then what the bindings say, in order.
        (
            Reach("h", anywhere=True),
            BOTH,
            None,
            [("h", 5000), ("h", 5001), ("name.example", 5000), ("10.0.0.9", 5001)],
        ),
        (Reach("h"), BOTH, None, [("h", 5000), ("h", 5001)]),
        (Reach("h", anywhere=True), DualStringArray.tcp(["a"], []), 135, [("h", 135), ("a", 135)]),
        (Reach("h"), DualStringArray.tcp(["a", "b"], []), 135, [("h", 135)]),
        (Reach("h"), DualStringArray.tcp(["a"], []), None, []),
        (Reach("h"), DualStringArray.tcp([Endpoint("h", 1), Endpoint("h", 1)], []), 135, [("h", 1)]),
        (Reach("h"), DualStringArray.tcp(["[5]"], []), None, [("h", 5)]),
        (Reach("h"), DualStringArray((StringBinding("a[\\pipe\\x]", 15), StringBinding("a[99999]"))), 135, []),
        (Reach("h"), DualStringArray(), 135, []),
    ],
)
def test_reach(reach: Reach, bindings: DualStringArray, default: int | None, expected: list[tuple[str, int]]) -> None:
    assert list(reach.endpoints(bindings, default)) == [Endpoint(*row) for row in expected]


# -- unmarshalling


def test_what_refers_to_an_exporter() -> None:
    it = Fixture()
    octets = it.peer.marshal(it.object, ICalculator.uuid, CALLER, 0.0)
    reference = it.importer.unmarshal(octets)
    standard = decode_objref(octets)
    assert not isinstance(standard, CustomObjRef)
    assert reference == Reference(ICalculator.uuid, standard.std, standard.resolver)
    handler = HandlerObjRef(ICalculator.uuid, standard.std, UUID(int=9), standard.resolver)
    assert it.importer.unmarshal(handler.encode()) == reference
    assert reference.identity == it.reference().identity
    with pytest.raises(DecodeError, match="pSink at offset 4"):
        it.importer.unmarshal(CustomObjRef(UUID(int=1), UUID(int=2), b"").encode(), "pSink")


# -- calls


async def test_an_exporter_is_resolved_once() -> None:
    it = Fixture()
    reference = it.reference()
    assert await it.add(reference) == 2
    assert await it.add(reference, left=5) == 6
    assert await it.add(replace(reference)) == 2
    assert it.transport.methods == ["ResolveOxid2", "Add", "Add", "Add"]
    assert [call.endpoint for call in it.transport.calls] == [RESOLVER, EXPORTER, EXPORTER, EXPORTER]
    assert {call.timeout for call in it.transport.calls} == {7.0}
    assert [call.object_uuid for call in it.transport.calls[1:]] == [reference.std.ipid] * 3


async def test_an_exporter_is_known_by_its_host_too() -> None:
    """A peer that claims the OXID of another must not be asked for the other's objects."""
    it = Fixture()
    reference = it.reference()
    await it.add(reference)
    elsewhere = Reach("203.0.113.66")
    with pytest.raises(ConnectError):
        await it.importer.call(reference, ICalculator, "Add", {"left": 1, "right": 1}, reach=elsewhere, timeout=1.0)
    assert it.transport.tried[-1] == Endpoint("203.0.113.66", 135)
    assert await it.add(reference) == 2


async def test_only_so_many_exporters_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openwmi.dcom.importer._MAX_EXPORTERS", 2)
    it = Fixture()
    reference = it.reference()
    hosts = [Reach(HOST), Reach("a", anywhere=True), Reach("b", anywhere=True)]
    for reach in (*hosts, hosts[2], hosts[0]):
        await it.importer.call(reference, ICalculator, "Add", {"left": 1, "right": 1}, reach=reach, timeout=1.0)
    assert it.transport.methods.count("ResolveOxid2") == 4  # the first had been forgotten


async def test_the_status_of_a_call_is_the_callers_to_judge() -> None:
    it = Fixture()
    values = {"status": 0x80041002, "slot": Slot()}
    response = await it.importer.call(it.reference(), ICalculator, "Fail", values, reach=REACH, timeout=None)
    assert response.status == 0x80041002
    assert response.values == {"total": 0, "pointer": None, "slot": Slot()}
    assert response.that.extent(CLSID_ERROR_EXTENSION) == b"explained"


async def test_a_fault_and_a_deadline_come_through() -> None:
    it = Fixture()
    reference = it.reference()
    it.peer.exporter.revoke(it.object)
    with pytest.raises(RpcFault) as caught:
        await it.add(reference)
    assert caught.value.status == HResult.RPC_E_DISCONNECTED
    it.transport.broken = lambda invoked: DeadlineExceeded("too late")
    with pytest.raises(DeadlineExceeded):
        await it.add(reference)


async def test_exporters_that_cannot_be_found() -> None:
    it = Fixture()
    reference = it.reference()
    unknown = replace(reference, std=replace(reference.std, oxid=1))
    with pytest.raises(ProtocolError, match="does not know the exporter"):
        await it.add(unknown)
    nowhere = replace(reference, resolver=DualStringArray())
    with pytest.raises(ProtocolError, match="no resolver that can be reached"):
        await it.add(nowhere)
    no_port = Fixture("192.0.2.1")
    with pytest.raises(ProtocolError, match="no TCP endpoint"):
        await no_port.add(no_port.reference())


# -- giving back


async def test_what_a_reference_carried_is_given_back() -> None:
    it = Fixture()
    first, second = it.reference(), it.reference()
    await it.importer.release(first, reach=REACH, timeout=3.0)
    assert it.freed == []
    await it.importer.release(second, reach=REACH, timeout=3.0, count=MARSHALLED_REFERENCES - 1)
    assert it.freed == []
    await it.importer.release(second, reach=REACH, timeout=3.0, count=1)
    assert it.freed == [it.object]
    assert it.transport.methods == ["ResolveOxid2", "RemRelease", "RemRelease", "RemRelease"]


async def test_a_reference_without_counts_needs_no_giving_back() -> None:
    it = Fixture()
    reference = it.reference()
    await it.importer.release(replace(reference, std=replace(reference.std, public_refs=0)), reach=REACH, timeout=3.0)
    assert it.transport.calls == []


@pytest.mark.parametrize("error", [ConnectError("no"), DeadlineExceeded("late"), RpcFault(5), ProtocolError("odd")])
async def test_giving_back_never_raises(error: Exception) -> None:
    it = Fixture()
    it.transport.broken = lambda invoked: error  # type: ignore[assignment,return-value]
    await it.importer.release(it.reference(), reach=REACH, timeout=3.0)
    it.transport.broken = lambda invoked: error if invoked.method == "RemRelease" else None  # type: ignore[assignment,return-value]
    await it.importer.release(it.reference(), reach=REACH, timeout=3.0)


# -- activation


async def test_an_activation_tells_where_the_exporter_is() -> None:
    it = Fixture()
    calculator, missing, memory = await it.activate(ICalculator.uuid, IUnheardOf, IMemory.uuid)
    assert missing == HResult.E_NOINTERFACE
    assert isinstance(calculator, Reference)
    assert isinstance(memory, Reference)
    assert (calculator.iid, memory.iid) == (ICalculator.uuid, IMemory.uuid)
    assert calculator.identity == memory.identity
    assert await it.add(calculator) == 2
    assert it.transport.methods == ["RemoteCreateInstance", "Add"]
    assert it.transport.calls[0].endpoint == RESOLVER


async def test_activations_that_are_refused() -> None:
    it = Fixture()
    with pytest.raises(WbemError) as caught:
        await it.activate(ICalculator.uuid, clsid=UUID(int=5))
    assert caught.value.status == HResult.REGDB_E_CLASSNOTREG
    it.transport.caller = NOBODY
    with pytest.raises(RpcFault) as refused:
        await it.activate(ICalculator.uuid)
    assert refused.value.status == HResult.ERROR_ACCESS_DENIED


@pytest.mark.parametrize(
    "interfaces",
    [
        ((IMemory.uuid, 0, b"x"),),
        ((ICalculator.uuid, 0, b"x"), (IMemory.uuid, 0, b"x")),
    ],
)
async def test_a_server_that_gives_what_was_not_asked_for(interfaces: Any) -> None:
    reply = ActivationReply(
        oxid=1, bindings=BINDINGS, rem_unknown=UUID(int=1), authentication_hint=5, interfaces=interfaces,
        version=COM_VERSION,
    )  # fmt: skip

    class Liar(Activator):
        async def remote_create_instance(
            self, call: Call, *, outer: bytes | None, properties_in: bytes | None
        ) -> dict[str, Any]:
            return {"properties_out": reply.encode()}

    it = Fixture()
    it.peer.add_service(Liar(it.peer.exporter, {}, lambda c: BINDINGS))
    with pytest.raises(ProtocolError, match="other interfaces"):
        await it.activate(ICalculator.uuid)
