"""The resolver over a peer: who exports what, ping sets, and activation."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.activation import ActivationFlags, ActivationReply, ActivationRequest
from openwmi.dcom.activator import Activator
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.exporter import PING_PERIOD
from openwmi.dcom.interfaces import IActivation, IClassFactory, IObjectExporter, IRemoteSCMActivator
from openwmi.dcom.objref import CustomObjRef, StandardObjRef, decode_objref
from openwmi.dcom.peer import Call, Caller, Refused
from openwmi.dcom.resolver import ObjectResolver
from openwmi.dcom.types import COM_VERSION
from openwmi.errors import WbemError
from openwmi.rpc.interface import RESULT
from openwmi.security.context import NTLM, AuthenticationLevel
from openwmi.status import HResult

from .support import (
    ADA,
    CALLER,
    HEADER,
    NOBODY,
    OTHER,
    Calculator,
    ICalculator,
    IMemory,
    IUnheardOf,
    call_method,
    make_peer,
)  # fmt: skip

CLSID = UUID("11111111-2222-3333-4444-00000000c1a5")
GONE = 3 * PING_PERIOD
IS_64_BIT = sys.maxsize > 2**32
HERE = ActivationFlags.ACTIVATE_64_BIT_SERVER if IS_64_BIT else ActivationFlags.ACTIVATE_32_BIT_SERVER
ELSEWHERE = ActivationFlags.ACTIVATE_32_BIT_SERVER if IS_64_BIT else ActivationFlags.ACTIVATE_64_BIT_SERVER
OLD: dict[str, Any] = {
    "clsid": CLSID,
    "object_name": None,
    "object_storage": None,
    "impersonation_level": 3,
    "mode": 0,
    "count": 1,
    "iids": (ICalculator.uuid,),
    "towers": (7,),
}


class Fixture:
    """A peer with a resolver and an activator of calculators."""

    def __init__(self, **settings: Any) -> None:
        self.made: list[Calculator] = []
        self.peer, self.freed = make_peer(**settings)
        self.resolver = ObjectResolver(
            self.peer.exporter,
            exporter_bindings=lambda caller: DualStringArray.tcp([Endpoint(caller.local_address, 5000)], [NTLM]),
            resolver_bindings=lambda caller: DualStringArray.tcp(["resolver.example"], [NTLM]),
        )
        self.peer.add_service(self.resolver)
        self.peer.add_service(
            Activator(
                self.peer.exporter,
                {CLSID: self.make},
                lambda caller: DualStringArray.tcp([Endpoint(caller.local_address, 5000)], [NTLM]),
            )
        )

    async def make(self, call: Call) -> Calculator:
        if call.principal is not ADA:
            raise WbemError.of(HResult.E_ACCESSDENIED, "for ada alone")
        self.made.append(Calculator())
        return self.made[-1]

    async def call(self, method: str, **values: Any) -> dict[str, Any]:
        return await call_method(self.peer, IObjectExporter, method, **values)

    async def ping(self, set_id: int, sequence: int = 0, **values: Any) -> dict[str, Any]:
        return await self.call(
            "ComplexPing", set_id=set_id, sequence=sequence, **{"add": None, "delete": None, **values}
        )

    async def activate(self, *iids: UUID, clsid: UUID = CLSID, **values: Any) -> dict[str, Any]:
        octets = ActivationRequest(clsid, iids).encode()
        given = {"outer": None, "properties_in": octets, **values}
        return await call_method(self.peer, IRemoteSCMActivator, "RemoteCreateInstance", **given)

    async def request(self, request: ActivationRequest, method: str = "RemoteCreateInstance") -> dict[str, Any]:
        values: dict[str, Any] = {"outer": None} if method == "RemoteCreateInstance" else {}
        return await call_method(self.peer, IRemoteSCMActivator, method, **values, properties_in=request.encode())

    async def old_activation(self, *iids: UUID, **values: Any) -> dict[str, Any]:
        given = {**OLD, "count": len(iids), "iids": iids or None, **values}
        return await call_method(self.peer, IActivation, "RemoteActivation", **given)

    def export(self, now: float = 0.0) -> tuple[Calculator, int]:
        """An object that only pings keep, and its OID."""
        made = Calculator()
        octets = self.peer.marshal(made, ICalculator.uuid, replace(CALLER, connection=None), now)
        reference = decode_objref(octets)
        assert isinstance(reference, StandardObjRef)
        return made, reference.std.oid


@pytest.mark.requirement("DCOM-3.1.2.5.1.4-02", "DCOM-3.1.2.5.1.4-03", "DCOM-3.1.2.5.1.6-06", "DCOM-3.1.2.5.1.6-07")
@pytest.mark.parametrize("caller", [CALLER, NOBODY], ids=str)
async def test_anybody_may_ask_whether_the_server_is_alive(caller: Caller) -> None:
    it = Fixture()
    assert await it.call("ServerAlive", caller=caller) == {RESULT: 0}
    answer = await it.call("ServerAlive2", caller=caller)
    assert (answer["version"], answer["reserved"], answer[RESULT]) == (COM_VERSION, 0, 0)
    assert DualStringArray.of_data(answer["bindings"]) == DualStringArray.tcp(["resolver.example"], [NTLM])


@pytest.mark.requirement(
    "DCOM-3.1.2.5.1.1-05", "DCOM-3.1.2.5.1.1-07", "DCOM-3.1.2.5.1.5-09", "DCOM-3.1.2.5.1.5-11"
)  # fmt: skip
async def test_resolving() -> None:
    it = Fixture()
    wanted = {"oxid": it.peer.exporter.oxid, "towers": (7,)}
    first, second = await it.call("ResolveOxid", **wanted), await it.call("ResolveOxid2", **wanted)
    assert "version" not in first
    assert second.pop("version") == COM_VERSION
    assert first == second
    assert DualStringArray.of_data(first["bindings"]).strings[0].address == "192.0.2.1[5000]"
    assert first["rem_unknown"] == it.peer.exporter.rem_unknown
    assert first["authentication_hint"] == AuthenticationLevel.INTEGRITY


@pytest.mark.requirement("DCOM-3.1.2.5.1.1-12", "DCOM-3.1.2.5.1.5-10")
@pytest.mark.parametrize("method", ["ResolveOxid", "ResolveOxid2"])
async def test_an_exporter_that_is_not_here(method: str) -> None:
    it = Fixture()
    answer = await it.call(method, oxid=it.peer.exporter.oxid ^ 1, towers=())
    assert (answer[RESULT], answer["bindings"], answer["rem_unknown"].int) == (HResult.OR_INVALID_OXID, None, 0)


@pytest.mark.parametrize("method", ["ResolveOxid", "ResolveOxid2", "SimplePing", "ComplexPing"])
async def test_everything_else_is_for_those_who_have_authenticated(method: str) -> None:
    it = Fixture()
    values: dict[str, Any] = {"oxid": 1, "towers": ()}
    if method == "SimplePing":
        values = {"set_id": 1}
    if method == "ComplexPing":
        values = {"set_id": 1, "sequence": 0, "add": None, "delete": None}
    with pytest.raises(Refused) as caught:
        await it.call(method, caller=NOBODY, **values)
    assert caught.value.status == HResult.ERROR_ACCESS_DENIED


@pytest.mark.requirement(
    "DCOM-3.1.2.5.1.2-07", "DCOM-3.1.2.5.1.3-03", "DCOM-3.1.2.5.1.3-36", "DCOM-3.1.2.5.1.3-37", "DCOM-3.1.2.5.1.3-40"
)  # fmt: skip
async def test_a_ping_set_keeps_its_objects() -> None:
    it = Fixture()
    made, oid = it.export()
    answer = await it.ping(0, 1, add=(oid,), now=0.0)
    set_id = answer["set_id"]
    assert (answer[RESULT], answer["backoff_factor"]) == (0, 0)
    assert set_id
    for now in (300.0, 600.0, 900.0):
        it.resolver.handle_timeout(now)
        it.peer.exporter.handle_timeout(now)
        assert (await it.call("SimplePing", set_id=set_id, now=now))[RESULT] == 0
    it.resolver.handle_timeout(900.0 + GONE - 1)
    it.peer.exporter.handle_timeout(900.0 + GONE - 1)
    assert it.freed == []
    it.resolver.handle_timeout(900.0 + GONE)  # the set is dropped, and its objects have three periods more
    assert (await it.call("SimplePing", set_id=set_id, now=1300.0))[RESULT] == HResult.OR_INVALID_SET
    it.peer.exporter.handle_timeout(900.0 + 2 * GONE)
    assert it.freed == [made]


@pytest.mark.requirement("DCOM-3.1.2.5.1.3-04", "DCOM-3.1.2.5.1.3-22", "DCOM-3.1.2.5.1.3-28", "DCOM-3.1.2.5.1.3-29")
async def test_a_set_that_changes() -> None:
    it = Fixture()
    (first, first_oid), (second, second_oid) = it.export(), it.export()
    set_id = (await it.ping(0, 1, add=(first_oid,)))["set_id"]
    answer = await it.ping(set_id, 2, add=(second_oid, second_oid), delete=(first_oid, 4711), now=10.0)
    assert (answer[RESULT], answer["set_id"]) == (0, set_id)
    it.peer.exporter.handle_timeout(10.0 + GONE)
    assert it.freed == [first]
    await it.ping(set_id, 3, delete=(second_oid,), now=20.0)
    it.peer.exporter.handle_timeout(20.0 + GONE)
    assert it.freed == [first, second]


@pytest.mark.requirement("DCOM-3.1.2.5.1.3-17", "DCOM-3.1.2.5.1.3-30")
async def test_a_ping_that_comes_too_late_changes_nothing() -> None:
    it = Fixture()
    made, oid = it.export()
    set_id = (await it.ping(0, 5, add=(oid,)))["set_id"]
    late = await it.ping(set_id, 4, delete=(oid,), now=300.0)
    assert late[RESULT] == 0
    it.resolver.handle_timeout(GONE)  # it did not count as a ping either
    assert (await it.call("SimplePing", set_id=set_id))[RESULT] == HResult.OR_INVALID_SET
    set_id = (await it.ping(0, 5, add=(oid,)))["set_id"]
    await it.ping(set_id, 9)
    await it.ping(set_id, 8, delete=(oid,))
    it.peer.exporter.handle_timeout(100 * GONE)
    assert it.freed == []
    await it.ping(set_id, 9, delete=(oid,), now=0.0)
    it.peer.exporter.handle_timeout(100 * GONE)
    assert it.freed == [made]


@pytest.mark.requirement("DCOM-3.1.2.5.1.3-16", "DCOM-3.1.2.5.1.3-23")
async def test_what_is_not_there() -> None:
    it = Fixture()
    _, oid = it.export()
    answer = await it.ping(0, 1, add=(4711, oid))
    assert answer[RESULT] == HResult.OR_INVALID_OID
    it.peer.exporter.handle_timeout(100 * GONE)
    assert it.freed == []  # the one that is there was added nevertheless
    assert (await it.ping(answer["set_id"] ^ 2))[RESULT] == HResult.OR_INVALID_SET
    assert (await it.call("SimplePing", set_id=1))[RESULT] == HResult.OR_INVALID_SET


async def test_another_accounts_set_does_not_exist_for_a_caller() -> None:
    it = Fixture()
    _, oid = it.export()
    set_id = (await it.ping(0, 1, add=(oid,)))["set_id"]
    assert (await it.call("SimplePing", set_id=set_id, caller=OTHER))[RESULT] == HResult.OR_INVALID_SET
    assert (await it.ping(set_id, 2, delete=(oid,), caller=OTHER))[RESULT] == HResult.OR_INVALID_SET
    it.peer.exporter.handle_timeout(100 * GONE)
    assert it.freed == []


async def test_sets_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openwmi.dcom.resolver._MAX_SETS_PER_ACCOUNT", 2)
    monkeypatch.setattr("openwmi.dcom.resolver._MAX_OIDS_PER_SET", 1)
    it = Fixture()
    first, second = it.export()[1], it.export()[1]
    assert (await it.ping(0, add=(first, second)))[RESULT] == HResult.OR_INVALID_OID
    assert (await it.ping(0))[RESULT] == 0
    assert (await it.ping(0))[RESULT] == HResult.E_OUTOFMEMORY
    assert (await it.ping(0, caller=OTHER))[RESULT] == 0  # another account has its own


# -- activation


async def test_an_activation() -> None:
    it = Fixture()
    answer = await it.activate(ICalculator.uuid, IUnheardOf, IMemory.uuid)
    assert answer[RESULT] == 0
    reply = ActivationReply.decode(answer["properties_out"])
    assert (reply.oxid, reply.rem_unknown) == (it.peer.exporter.oxid, it.peer.exporter.rem_unknown)
    assert reply.bindings.strings[0].endpoint == ("192.0.2.1", 5000)
    assert [(iid, status) for iid, status, _ in reply.interfaces] == [
        (ICalculator.uuid, 0),
        (IUnheardOf, HResult.E_NOINTERFACE),
        (IMemory.uuid, 0),
    ]
    assert reply.interfaces[1][2] is None
    octets = reply.interfaces[0][2]
    assert octets is not None
    reference = decode_objref(octets)
    assert isinstance(reference, StandardObjRef)
    summed = await call_method(it.peer, ICalculator, "Add", reference.std.ipid, left=2, right=3)
    assert summed["sum"] == 5


async def test_an_object_belongs_to_who_activated_it() -> None:
    it = Fixture()
    await it.activate(ICalculator.uuid)
    entry = next(iter(it.peer.exporter._by_ipid))
    with pytest.raises(Refused, match="another account"):
        await call_method(it.peer, ICalculator, "Add", entry, caller=OTHER, left=1, right=1)


@pytest.mark.requirement("DCOM-2.2.13.3-03")
async def test_activation_does_not_look_at_the_flags_of_the_header() -> None:
    it = Fixture()
    answer = await it.activate(ICalculator.uuid, header=replace(HEADER, flags=0xABCD))
    assert answer[RESULT] == 0


@pytest.mark.requirement("DCOM-3.1.2.5.2.3-04")
@pytest.mark.parametrize(("major", "minor"), [(5, 8), (4, 7), (6, 0)])
async def test_activation_looks_at_the_version(major: int, minor: int) -> None:
    it = Fixture()
    with pytest.raises(Refused) as caught:
        await it.activate(
            ICalculator.uuid, header=replace(HEADER, version=replace(COM_VERSION, major=major, minor=minor))
        )
    assert caught.value.status == HResult.RPC_E_VERSION_MISMATCH


async def test_activations_that_fail() -> None:
    it = Fixture()
    answer = await it.activate(ICalculator.uuid, clsid=UUID(int=1))
    assert (answer[RESULT], answer["properties_out"]) == (HResult.REGDB_E_CLASSNOTREG, None)
    answer = await it.activate(ICalculator.uuid, caller=OTHER)
    assert (answer[RESULT], answer["properties_out"]) == (HResult.E_ACCESSDENIED, None)
    answer = await it.activate(properties_in=None)
    assert (answer[RESULT], answer["properties_out"]) == (HResult.E_INVALIDARG, None)
    answer = await it.activate(IUnheardOf)
    assert (answer[RESULT], answer["properties_out"]) == (HResult.E_NOINTERFACE, None)
    assert [made.is_released for made in it.made] == [True]
    assert len(it.peer.exporter) == 0
    with pytest.raises(Refused) as caught:
        await it.activate(properties_in=b"MEOW")
    assert caught.value.status == HResult.RPC_X_BAD_STUB_DATA
    with pytest.raises(Refused) as caught:
        await it.activate(ICalculator.uuid, caller=NOBODY)
    assert caught.value.status == HResult.ERROR_ACCESS_DENIED


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (ActivationRequest(CLSID, (ICalculator.uuid,), session=0), HResult.S_OK),
        (ActivationRequest(CLSID, (ICalculator.uuid,), session=3), HResult.CO_E_RUNAS_LOGON_FAILURE),
        (ActivationRequest(CLSID, (ICalculator.uuid,), session=None), HResult.CO_E_RUNAS_LOGON_FAILURE),
        (ActivationRequest(CLSID, (ICalculator.uuid,), flags=0x22), HResult.S_OK),
        (ActivationRequest(CLSID, (ICalculator.uuid,), flags=HERE), HResult.S_OK),
        (ActivationRequest(CLSID, (ICalculator.uuid,), flags=ELSEWHERE), HResult.REGDB_E_CLASSNOTREG),
        (ActivationRequest(CLSID, (ICalculator.uuid,), client_context=b"MEOW"), HResult.RPC_E_INVALID_OBJREF),
        (
            ActivationRequest(CLSID, (ICalculator.uuid,), prototype_context=CustomObjRef(CLSID, CLSID, b"").encode()),
            HResult.RPC_E_INVALID_OBJREF,
        ),
    ],
)
@pytest.mark.requirement(
    "DCOM-2.2.22.2.2-09", "DCOM-3.1.2.5.2.3-12", "DCOM-3.1.2.5.2.3-15", "DCOM-3.1.2.5.2.3-17", "DCOM-3.1.2.5.2.3-18"
)
async def test_where_an_object_may_be_made(request_: ActivationRequest, status: int) -> None:
    it = Fixture()
    answer = await it.request(request_)
    assert answer[RESULT] == status
    assert (len(it.made) == 1) is (status == HResult.S_OK)


# -- the class object


async def test_a_class_object_makes_objects() -> None:
    it = Fixture()
    answer = await it.request(ActivationRequest(CLSID, (IClassFactory.uuid,)), "RemoteGetClassObject")
    assert answer[RESULT] == 0
    assert it.made == []
    octets = ActivationReply.decode(answer["properties_out"]).interfaces[0][2]
    assert octets is not None
    factory = decode_objref(octets)
    assert isinstance(factory, StandardObjRef)
    locked = await call_method(it.peer, IClassFactory, "RemoteLockServer", factory.std.ipid, lock=1)
    assert locked[RESULT] == 0
    made = await call_method(it.peer, IClassFactory, "RemoteCreateInstance", factory.std.ipid, iid=ICalculator.uuid)
    reference = decode_objref(made["object"])
    assert isinstance(reference, StandardObjRef)
    assert (await call_method(it.peer, ICalculator, "Add", reference.std.ipid, left=2, right=3))["sum"] == 5
    refused = await call_method(it.peer, IClassFactory, "RemoteCreateInstance", factory.std.ipid, iid=IUnheardOf)
    assert (refused[RESULT], refused["object"]) == (HResult.E_NOINTERFACE, None)
    assert it.made[1].is_released


# -- activation as clients before COM 5.6 ask for it


async def test_an_old_activation() -> None:
    it = Fixture()
    answer = await it.old_activation(ICalculator.uuid, IUnheardOf)
    assert (answer[RESULT], answer["outcome"]) == (0, 0)
    assert answer["results"] == (HResult.S_OK, HResult.E_NOINTERFACE)
    assert (answer["oxid"], answer["rem_unknown"]) == (it.peer.exporter.oxid, it.peer.exporter.rem_unknown)
    assert (answer["version"], answer["authentication_hint"]) == (COM_VERSION, AuthenticationLevel.INTEGRITY)
    assert DualStringArray.of_data(answer["bindings"]).strings[0].endpoint == ("192.0.2.1", 5000)
    reference = decode_objref(answer["interfaces"][0])
    assert isinstance(reference, StandardObjRef)
    assert (await call_method(it.peer, ICalculator, "Add", reference.std.ipid, left=2, right=3))["sum"] == 5
    answer = await it.old_activation(IClassFactory.uuid, mode=0xFFFFFFFF)
    assert answer["outcome"] == 0
    assert len(it.made) == 1


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"clsid": UUID(int=1)}, HResult.REGDB_E_CLASSNOTREG),
        ({"object_name": "C:\\file"}, HResult.E_INVALIDARG),
        ({"object_storage": b"MEOW"}, HResult.E_INVALIDARG),
        ({"count": 65, "iids": (ICalculator.uuid,) * 65}, HResult.E_INVALIDARG),
    ],
)
async def test_old_activations_that_fail(values: dict[str, Any], status: int) -> None:
    it = Fixture()
    answer = await it.old_activation(ICalculator.uuid, **values)
    assert (answer[RESULT], answer["outcome"], set(answer["results"])) == (0, status, {0})
    assert it.made == []


@pytest.mark.parametrize(
    ("taken", "level", "allowed"),
    [
        (None, AuthenticationLevel.CONNECT, False),
        (None, AuthenticationLevel.INTEGRITY, True),
        (AuthenticationLevel.CONNECT, AuthenticationLevel.CONNECT, True),
        (AuthenticationLevel.PACKET, AuthenticationLevel.CONNECT, False),
    ],
)
async def test_the_level_that_old_activation_takes(
    taken: AuthenticationLevel | None, level: AuthenticationLevel, allowed: bool
) -> None:
    it = Fixture(exceptions={} if taken is None else {IActivation.uuid: taken})
    caller = replace(CALLER, level=level)
    if allowed:
        assert (await it.old_activation(ICalculator.uuid, caller=caller))["outcome"] == 0
    else:
        with pytest.raises(Refused, match="authentication level CONNECT"):
            await it.old_activation(ICalculator.uuid, caller=caller)
    if level < AuthenticationLevel.INTEGRITY:
        with pytest.raises(Refused, match="authentication level CONNECT"):
            await it.call("ResolveOxid", oxid=1, towers=(), caller=caller)
        # Naming an object in the header does not make its interface the activator's.
        with pytest.raises(Refused, match="authentication level CONNECT"):
            await call_method(it.peer, IActivation, "RemoteActivation", UUID(int=5), caller=caller, **OLD)


async def test_services_are_offered_apart_from_objects() -> None:
    it = Fixture()
    assert set(it.peer.service_interfaces) == {
        (IObjectExporter.uuid, 0),
        (IRemoteSCMActivator.uuid, 0),
        (IActivation.uuid, 0),
    }
    assert (ICalculator.uuid, 0) in it.peer.object_interfaces
    assert not set(it.peer.service_interfaces) & set(it.peer.object_interfaces)
