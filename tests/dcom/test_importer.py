"""References into other exporters: where they lead, what is asked once, what is given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.activation import ActivationReply
from openwmi.dcom.activator import Activator
from openwmi.dcom.bindings import DualStringArray, Endpoint, StringBinding
from openwmi.dcom.importer import Importer, Reach, Reference
from openwmi.dcom.objref import CustomObjRef, HandlerObjRef, StandardObjRef, decode_objref
from openwmi.dcom.peer import Call
from openwmi.dcom.resolver import ObjectResolver
from openwmi.dcom.types import CLSID_ERROR_EXTENSION, COM_VERSION, SORF_NOPING
from openwmi.errors import ConnectError, DeadlineExceeded, DecodeError, ProtocolError, RpcFault, WbemError
from openwmi.rpc.interface import RESULT
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
    Invoked,
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
        return self.importer.unmarshal(self.peer.marshal(self.object, ICalculator.uuid, CALLER, 0.0), REACH)

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
    reference = it.importer.unmarshal(octets, REACH)
    standard = decode_objref(octets)
    assert not isinstance(standard, CustomObjRef)
    assert reference == Reference(ICalculator.uuid, standard.std, standard.resolver)
    handler = HandlerObjRef(ICalculator.uuid, standard.std, UUID(int=9), standard.resolver)
    assert it.importer.unmarshal(handler.encode(), REACH) == reference
    assert reference.identity == it.reference().identity
    with pytest.raises(DecodeError, match="pSink at offset 4"):
        it.importer.unmarshal(CustomObjRef(UUID(int=1), UUID(int=2), b"").encode(), REACH, "pSink")


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
    await it.importer.release(second, reach=REACH, timeout=3.0)
    assert it.freed == [it.object]
    assert it.transport.methods == ["ResolveOxid2", "RemRelease", "RemRelease"]


async def test_a_reference_without_counts_needs_no_giving_back() -> None:
    it = Fixture()
    reference = it.reference()
    await it.importer.release(replace(reference, std=replace(reference.std, public_refs=0)), reach=REACH, timeout=3.0)
    assert it.transport.calls == []


async def test_another_interface_of_an_object() -> None:
    it = Fixture()
    first = it.reference()
    second = await it.importer.query_interface(first, IMemory.uuid, reach=REACH, timeout=3.0)
    assert (second.iid, second.identity) == (IMemory.uuid, first.identity)
    response = await it.importer.call(second, IMemory, "Recall", {}, reach=REACH, timeout=3.0)
    assert response.status == 0
    await it.importer.release(first, second, reach=REACH, timeout=3.0)
    assert it.freed == [it.object]
    assert it.transport.methods.count("RemRelease") == 1


async def test_an_interface_that_an_object_has_not() -> None:
    it = Fixture()
    with pytest.raises(WbemError) as caught:
        await it.importer.query_interface(it.reference(), IUnheardOf, reach=REACH, timeout=3.0)
    assert caught.value.status == HResult.E_NOINTERFACE


@pytest.mark.requirement("DCOM-3.2.4.4-01", *(f"DCOM-3.2.4.4.1-{number:02}" for number in (1, 2, 3, 4, 6, 7)))
async def test_a_reference_without_counts_is_counted_when_it_is_used() -> None:
    it = Fixture()
    kept = it.reference()
    bare = replace(kept, std=replace(kept.std, public_refs=0))
    await it.add(bare)
    await it.add(bare)
    assert it.transport.methods == ["ResolveOxid2", "RemAddRef", "Add", "Add"]
    await it.importer.release(kept, reach=REACH, timeout=3.0)
    assert it.freed == []
    await it.add(bare)
    await it.importer.release(bare, reach=REACH, timeout=3.0)
    assert it.freed == [it.object]


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


# -- older servers


class OldFixture(Fixture):
    """A server of COM version 5.`minor`, which faults as such a server does."""

    def __init__(self, minor: int, unknown: int = HResult.NCA_S_UNK_IF) -> None:
        super().__init__()
        self.version = replace(COM_VERSION, minor=minor)
        self.unknown = unknown
        self.transport.broken = self.judge
        it = self

        class OldResolver(ObjectResolver):
            async def server_alive2(self, call: Call) -> dict[str, Any]:
                return {**await super().server_alive2(call), "version": it.version}

        class OldActivator(Activator):
            async def remote_activation(self, call: Call, **values: Any) -> dict[str, Any]:
                return {**await super().remote_activation(call, **values), "version": it.version}

        bindings = DualStringArray.tcp([EXPORTER], [10])
        self.peer.add_service(
            OldResolver(self.peer.exporter, exporter_bindings=lambda c: bindings, resolver_bindings=lambda c: BINDINGS)
        )
        self.peer.add_service(OldActivator(self.peer.exporter, {CLSID: self.make}, lambda c: bindings))

    def judge(self, invoked: Invoked) -> RpcFault | None:
        method, minor = invoked.method, self.version.minor
        if method == "RemoteCreateInstance" and minor < 6:
            return RpcFault(self.unknown)
        if method in ("ServerAlive2", "ResolveOxid2") and minor < 2:
            return RpcFault(HResult.NCA_S_OP_RNG_ERROR)
        return None


@pytest.mark.requirement("DCOM-3.2.4.1.1.1-07", "DCOM-3.2.4.1.1.1-15", "DCOM-3.2.4.1.1.2-12", "DCOM-3.2.4.1.1.2-41")
@pytest.mark.parametrize("unknown", [HResult.NCA_S_UNK_IF, HResult.RPC_S_UNKNOWN_IF, HResult.RPC_E_VERSION_MISMATCH])
@pytest.mark.parametrize("minor", [1, 2, 4, 5])
async def test_a_server_that_knows_only_the_old_activation(minor: int, unknown: int) -> None:
    it = OldFixture(minor, unknown)
    calculator, missing = await it.activate(ICalculator.uuid, IUnheardOf)
    assert isinstance(calculator, Reference)
    assert missing == HResult.E_NOINTERFACE
    assert it.transport.methods == ["RemoteCreateInstance", "ServerAlive2", "RemoteActivation"]
    await it.add(calculator)
    assert it.transport.headers[-1].version == replace(COM_VERSION, minor=minor)


async def test_a_server_that_is_a_little_older() -> None:
    it = OldFixture(6)
    first = [RpcFault(HResult.RPC_E_VERSION_MISMATCH)]
    it.transport.broken = lambda invoked: first.pop() if invoked.method == "RemoteCreateInstance" and first else None
    await it.activate(ICalculator.uuid)
    assert it.transport.methods == ["RemoteCreateInstance", "ServerAlive2", "RemoteCreateInstance"]
    assert it.transport.headers[-1].version == replace(COM_VERSION, minor=6)


async def test_a_server_that_cannot_resolve_the_new_way() -> None:
    it = OldFixture(1)
    await it.add(it.reference())
    assert it.transport.methods == ["ResolveOxid2", "ResolveOxid", "Add"]
    assert it.transport.headers[-1].version == replace(COM_VERSION, minor=1)


async def test_a_server_of_another_major_version() -> None:
    it = OldFixture(1)
    it.version = replace(COM_VERSION, major=6)
    with pytest.raises(ProtocolError, match=r"COM 6\.7, not 5\.x"):
        await it.importer.alive((RESOLVER,), timeout=1.0)


async def test_whether_a_server_is_alive() -> None:
    assert await Fixture().importer.alive((RESOLVER,), timeout=1.0) == (COM_VERSION, BINDINGS)
    version, bindings = await OldFixture(1).importer.alive((RESOLVER,), timeout=1.0)
    assert (version.minor, bindings) == (1, DualStringArray())


async def test_an_old_activation_that_is_refused() -> None:
    it = OldFixture(5)
    with pytest.raises(WbemError) as caught:
        await it.activate(ICalculator.uuid, clsid=UUID(int=5))
    assert caught.value.status == HResult.REGDB_E_CLASSNOTREG


# -- pings


class PingedFixture(Fixture):
    """What the resolver hears, as (method, set, added, deleted)."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, int, set[int], set[int]]] = []
        self.status: list[int] = []
        it = self

        class Ear(ObjectResolver):
            async def simple_ping(self, call: Call, *, set_id: int) -> dict[str, Any]:
                it.heard.append(("SimplePing", set_id, set(), set()))
                return {RESULT: it.status.pop(0) if it.status else 0}

            async def complex_ping(self, call: Call, **given: Any) -> dict[str, Any]:
                added, deleted = set(given["add"] or ()), set(given["delete"] or ())
                it.heard.append(("ComplexPing", given["set_id"], added, deleted))
                it.sequences.append(given["sequence"])
                return {"set_id": given["set_id"] or 77, RESULT: it.status.pop(0) if it.status else 0}

        self.sequences: list[int] = []
        self.peer.add_service(
            Ear(self.peer.exporter, exporter_bindings=lambda c: BINDINGS, resolver_bindings=lambda c: BINDINGS)
        )

    async def ping(self) -> list[tuple[str, int, set[int], set[int]]]:
        self.heard.clear()
        await self.importer.ping(timeout=2.0)
        return self.heard

    def other(self) -> Reference:
        octets = self.peer.marshal(Calculator(), ICalculator.uuid, CALLER, 0.0)
        return self.importer.unmarshal(octets, REACH)


@pytest.mark.requirement(
    "DCOM-3.2.6.1-04",
    "DCOM-3.2.6.1-05",
    "DCOM-3.2.6.1-08",
    "DCOM-3.2.6.1-14",
    "DCOM-3.2.6.1-15",
    "DCOM-3.2.6.1-17",
    "DCOM-3.2.6.1-18",
    "DCOM-3.2.6.1-20",
    "DCOM-3.2.6.1-22",
    "DCOM-3.2.6.1-23",
)
async def test_what_is_held_is_pinged() -> None:
    it = PingedFixture()
    assert await it.ping() == []
    first, again, second = it.reference(), it.reference(), it.other()
    a, b = first.std.oid, second.std.oid
    assert await it.ping() == [("ComplexPing", 0, {a, b}, set())]
    assert await it.ping() == [("SimplePing", 77, set(), set())]
    third = it.other()
    await it.importer.release(second, reach=REACH, timeout=1.0)
    assert await it.ping() == [("ComplexPing", 77, {third.std.oid}, {b})]
    await it.importer.release(again, reach=REACH, timeout=1.0)
    assert await it.ping() == [("SimplePing", 77, set(), set())]
    await it.importer.release(first, reach=REACH, timeout=1.0)
    await it.importer.release(third, reach=REACH, timeout=1.0)
    assert await it.ping() == [("ComplexPing", 77, set(), {a, third.std.oid})]
    assert await it.ping() == []
    assert it.sequences == [1, 2, 3]
    assert it.importer._ping_sets == {}


@pytest.mark.requirement("DCOM-3.2.6.1-03")
async def test_what_need_not_be_pinged() -> None:
    it = PingedFixture()
    octets = it.peer.marshal(it.object, ICalculator.uuid, CALLER, 0.0)
    standard = decode_objref(octets)
    assert isinstance(standard, StandardObjRef)
    it.importer.unmarshal(replace(standard, std=replace(standard.std, flags=SORF_NOPING)).encode(), REACH)
    it.importer.unmarshal(replace(standard, resolver=DualStringArray()).encode(), REACH)
    assert await it.ping() == []


async def test_a_resolver_that_has_forgotten_the_set_is_told_anew() -> None:
    it = PingedFixture()
    reference = it.reference()
    await it.ping()
    it.status = [HResult.OR_INVALID_SET]
    assert await it.ping() == [("SimplePing", 77, set(), set()), ("ComplexPing", 0, {reference.std.oid}, set())]
    it.status = [HResult.OR_INVALID_SET, HResult.OR_INVALID_SET]
    assert len(await it.ping()) == 2  # one that forgets at once is not asked again before the next period
    it.status = [HResult.OR_INVALID_OID]
    assert await it.ping() == [("ComplexPing", 0, {reference.std.oid}, set())]
    assert await it.ping() == [("SimplePing", 77, set(), set())]


async def test_a_ping_that_fails_is_tried_again() -> None:
    it = PingedFixture()
    reference = it.reference()
    it.transport.broken = lambda invoked: DeadlineExceeded("too late")
    assert await it.ping() == []
    it.transport.broken = lambda invoked: None
    assert await it.ping() == [("ComplexPing", 0, {reference.std.oid}, set())]


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
