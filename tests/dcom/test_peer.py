"""Who may call what, and what becomes of a call."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.dcom.exporter import MARSHALLED_REFERENCES, PING_PERIOD
from openwmi.dcom.interfaces import IObjectExporter, IRemUnknown, IRemUnknown2
from openwmi.dcom.objref import CustomObjRef, StandardObjRef, decode_objref
from openwmi.dcom.peer import Caller, Refused, _handler_name
from openwmi.dcom.resolver import ObjectResolver
from openwmi.dcom.types import CLSID_ERROR_EXTENSION, COM_VERSION, OrpcThat, RemInterfaceRef
from openwmi.errors import InvalidParameter, WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.rpc.ndr import Slot
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel
from openwmi.status import HResult, WbemStatus

from .support import (
    BINDINGS,
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


class Fixture:
    """A peer with a resolver and one exported calculator, which belongs to ada."""

    def __init__(self, **settings: Any) -> None:
        self.peer, self.freed = make_peer(**settings)
        self.peer.add_service(
            ObjectResolver(
                self.peer.exporter, exporter_bindings=lambda c: BINDINGS, resolver_bindings=lambda c: BINDINGS
            )
        )
        self.object = Calculator()
        self.ipid = self.export(self.object)

    def export(self, what: Calculator, caller: Caller = CALLER) -> UUID:
        reference = decode_objref(self.peer.marshal(what, ICalculator.uuid, caller, 0.0))
        assert isinstance(reference, StandardObjRef)
        return reference.std.ipid

    async def add(self, ipid: UUID | None = None, **values: Any) -> dict[str, Any]:
        return await call_method(self.peer, ICalculator, "Add", ipid or self.ipid, **{"left": 1, "right": 2, **values})

    async def remote(self, method: str, **values: Any) -> dict[str, Any]:
        return await call_method(self.peer, IRemUnknown2, method, self.peer.exporter.rem_unknown, **values)

    async def status_of(self, *args: Any, **values: Any) -> int:
        """What a call is refused with."""
        with pytest.raises(Refused) as caught:
            await self.add(*args, **values)
        return caught.value.status


# -- authorization

LEVELS = list(AuthenticationLevel)
IMPERSONATIONS = list(ImpersonationLevel)


@pytest.mark.requirement("WMI-3.1.4-05", "DCOM-3.1.1.5.4-05", "DCOM-3.1.1.5.4-06")
@pytest.mark.parametrize("impersonation", IMPERSONATIONS, ids=lambda i: i.name)
@pytest.mark.parametrize("level", LEVELS, ids=lambda i: i.name)
@pytest.mark.parametrize("minimum", [AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY], ids=lambda i: i.name)
@pytest.mark.parametrize("method", ["Add", "ResolveOxid2", "RemRelease", "ServerAlive2", "ServerAlive"])
async def test_who_may_call(
    method: str, minimum: AuthenticationLevel, level: AuthenticationLevel, impersonation: ImpersonationLevel
) -> None:
    it = Fixture(minimum=minimum)
    caller = replace(CALLER, level=level, impersonation=impersonation)
    if level is AuthenticationLevel.NONE:
        caller = replace(caller, principal=None)
    calls: dict[str, Any] = {
        "Add": lambda: it.add(caller=caller),
        "ResolveOxid2": lambda: call_method(
            it.peer, IObjectExporter, method, caller=caller, oxid=it.peer.exporter.oxid, towers=()
        ),
        "RemRelease": lambda: it.remote(method, caller=caller, references=()),
        "ServerAlive2": lambda: call_method(it.peer, IObjectExporter, method, caller=caller),
        "ServerAlive": lambda: call_method(it.peer, IObjectExporter, method, caller=caller),
    }
    allowed = level >= minimum and impersonation >= ImpersonationLevel.IMPERSONATE
    if allowed or method.startswith("ServerAlive"):
        assert (await calls[method]())[RESULT] == 0
        return
    with pytest.raises(Refused) as caught:
        await calls[method]()
    assert caught.value.status == HResult.ERROR_ACCESS_DENIED
    assert it.object.calls == []


@pytest.mark.parametrize("opnum", range(8))
@pytest.mark.parametrize("target", ["object", "rem_unknown"])
async def test_no_object_is_reached_through_what_needs_no_authentication(target: str, opnum: int) -> None:
    """ServerAlive's numbers, with an object's IPID, are other methods: those of that object."""
    it = Fixture()
    ipid = it.ipid if target == "object" else it.peer.exporter.rem_unknown
    for caller in (NOBODY, replace(CALLER, level=AuthenticationLevel.CONNECT)):
        with pytest.raises(Refused) as caught:
            await it.peer.handle(IObjectExporter.uuid, opnum, ipid, b"", caller, now=0.0)
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
    assert it.object.calls == []


async def test_nothing_of_the_stub_is_read_before_the_caller_may_call() -> None:
    it = Fixture()
    with pytest.raises(Refused) as caught:
        await it.peer.handle(ICalculator.uuid, 3, it.ipid, b"garbage", NOBODY, now=0.0)
    assert caught.value.status == HResult.ERROR_ACCESS_DENIED


@pytest.mark.requirement("DCOM-3.1.1.5.4-08", "DCOM-3.1.1.5.4-09")
async def test_a_reference_is_no_capability() -> None:
    it = Fixture()
    assert await it.status_of(caller=OTHER) == HResult.ERROR_ACCESS_DENIED
    for method, values in (
        ("RemQueryInterface", {"ipid": it.ipid, "references": 1, "iids": (IMemory.uuid,)}),
        ("RemQueryInterface2", {"ipid": it.ipid, "iids": (IMemory.uuid,)}),
        ("RemAddRef", {"references": (RemInterfaceRef(ipid=it.ipid, public_refs=1, private_refs=0),)}),
        ("RemRelease", {"references": (RemInterfaceRef(ipid=it.ipid, public_refs=5, private_refs=0),)}),
    ):
        with pytest.raises(Refused) as caught:
            await it.remote(method, caller=OTHER, **values)
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
    assert (await it.add())["sum"] == 3
    assert it.freed == []


async def test_an_object_without_an_owner_is_anybodys_who_has_authenticated() -> None:
    it = Fixture()
    ipid = it.export(Calculator(), NOBODY)
    assert (await it.add(ipid, caller=OTHER))["sum"] == 3
    assert await it.status_of(ipid, caller=NOBODY) == HResult.ERROR_ACCESS_DENIED


# -- what is called


@pytest.mark.requirement("DCOM-3.1.1.5.4-20", "DCOM-3.1.1.5.4-21")
async def test_a_call() -> None:
    it = Fixture()
    answer = await it.add(left=20, right=22, now=5.0)
    assert answer == {"orpc_that": OrpcThat(), "sum": 42, RESULT: 0}
    (call,) = it.object.calls
    assert (call.caller, call.now, call.peer, call.principal) == (CALLER, 5.0, it.peer, CALLER.principal)


async def test_the_ipid_alone_says_which_interface_is_called() -> None:
    it = Fixture()
    method = ICalculator["Add"]
    stub = method.encode_request(orpc_this=HEADER, left=1, right=1)
    answer = await it.peer.handle(IUnheardOf, method.opnum, it.ipid, stub, CALLER, now=0.0)
    assert method.decode_response(answer)["sum"] == 2


@pytest.mark.requirement("DCOM-3.1.1.5.4-18")
@pytest.mark.parametrize("ipid", [UUID(int=1), UUID(int=0), None])
async def test_an_object_that_is_not_there(ipid: UUID | None) -> None:
    it = Fixture()
    with pytest.raises(Refused) as caught:
        await call_method(it.peer, ICalculator, "Add", ipid, left=1, right=2)
    assert caught.value.status == HResult.RPC_E_DISCONNECTED


async def test_an_object_that_was_there() -> None:
    it = Fixture()
    it.peer.exporter.revoke(it.object)
    assert await it.status_of() == HResult.RPC_E_DISCONNECTED


@pytest.mark.parametrize("opnum", [0, 1, 2, 7, 8, 0xFFFF])
async def test_a_method_that_is_not_there(opnum: int) -> None:
    it = Fixture()
    stub = ICalculator["Break"].encode_request(orpc_this=HEADER)
    with pytest.raises(Refused) as caught:
        await it.peer.handle(ICalculator.uuid, opnum, it.ipid, stub, CALLER, now=0.0)
    assert caught.value.status == HResult.NCA_S_OP_RNG_ERROR


async def test_a_stub_that_is_malformed() -> None:
    it = Fixture()
    method = ICalculator["Add"]
    whole = method.encode_request(orpc_this=HEADER, left=1, right=2)
    for stub in [whole[:size] for size in range(len(whole))] + [whole + bytes(65)]:
        with pytest.raises(Refused) as caught:
            await it.peer.handle(ICalculator.uuid, method.opnum, it.ipid, stub, CALLER, now=0.0)
        assert caught.value.status == HResult.RPC_X_BAD_STUB_DATA
    assert it.object.calls == []
    await it.peer.handle(ICalculator.uuid, method.opnum, it.ipid, whole + bytes(64), CALLER, now=0.0)


async def test_a_big_endian_call() -> None:
    it = Fixture()
    method = ICalculator["Add"]
    stub = bytes.fromhex("0005 0007 00000000 00000000") + bytes(16) + bytes.fromhex("00000000 00000001 00000002")
    answer = await it.peer.handle(ICalculator.uuid, method.opnum, it.ipid, stub, CALLER, now=0.0, little_endian=False)
    assert method.decode_response(answer)["sum"] == 3


@pytest.mark.requirement("DCOM-3.1.1.5.4-03")
@pytest.mark.parametrize(
    ("major", "minor", "accepted"), [(5, 7, True), (5, 1, True), (5, 8, False), (4, 7, False), (6, 7, False)]
)
async def test_versions(major: int, minor: int, accepted: bool) -> None:
    it = Fixture()
    header = replace(HEADER, version=replace(COM_VERSION, major=major, minor=minor))
    if accepted:
        assert (await it.add(header=header))["sum"] == 3
    else:
        assert await it.status_of(header=header) == HResult.RPC_E_VERSION_MISMATCH


@pytest.mark.parametrize("flags", [2, 4, 0x80000000])
async def test_flags_of_the_header(flags: int) -> None:
    it = Fixture()
    assert await it.status_of(header=replace(HEADER, flags=flags)) == HResult.RPC_E_INVALID_HEADER


@pytest.mark.requirement("DCOM-2.2.13.3-04", "DCOM-2.2.13.1-01")
async def test_what_is_reserved_in_the_header_does_not_count() -> None:
    it = Fixture()
    assert (await it.add(header=replace(HEADER, reserved1=99)))["sum"] == 3


# -- what becomes of it


@pytest.mark.parametrize("slot", [None, Slot()])
async def test_a_method_that_fails_gives_its_status_and_nothing_else(slot: Slot | None) -> None:
    it = Fixture()
    answer = await call_method(it.peer, ICalculator, "Fail", it.ipid, status=0x80041002, slot=slot)
    assert answer == {"orpc_that": OrpcThat(), "total": 0, "pointer": None, "slot": slot, RESULT: 0x80041002}


@pytest.mark.requirement("DCOM-2.2.21.1-01")
async def test_the_error_object_comes_along() -> None:
    reference = CustomObjRef(UUID(int=1), UUID(int=2), b"explained").encode()
    seen: list[WbemError] = []

    def explain(error: WbemError) -> bytes:
        seen.append(error)
        return reference

    it = Fixture(error_info=explain)
    answer = await call_method(it.peer, ICalculator, "Fail", it.ipid, status=0x80041003, slot=None)
    assert answer["orpc_that"].extent(CLSID_ERROR_EXTENSION) == reference
    assert [(error.status, error.detail) for error in seen] == [(0x80041003, "it went wrong")]


async def test_an_error_object_that_cannot_be_made_keeps_nobody_from_the_status() -> None:
    def fails(error: WbemError) -> bytes:
        raise InvalidParameter("no such text")

    it = Fixture(error_info=fails)
    answer = await call_method(it.peer, ICalculator, "Fail", it.ipid, status=0x80041003, slot=None)
    assert (answer[RESULT], answer["orpc_that"]) == (WbemStatus.WBEM_E_ACCESS_DENIED, OrpcThat())


async def test_bytes_inside_a_parameter_that_are_malformed() -> None:
    it = Fixture()
    with pytest.raises(Refused, match="object at offset 0") as caught:
        await call_method(it.peer, ICalculator, "TakeObject", it.ipid, object=b"bad")
    assert caught.value.status == HResult.RPC_X_BAD_STUB_DATA


async def test_a_mistake_in_a_method_is_the_transports_to_report() -> None:
    it = Fixture()
    with pytest.raises(KeyError):
        await call_method(it.peer, ICalculator, "Break", it.ipid)


async def test_a_failure_is_logged_with_who_called(caplog: pytest.LogCaptureFixture) -> None:
    it = Fixture()
    with caplog.at_level(logging.INFO, "openwmi.dcom"):
        await call_method(it.peer, ICalculator, "Fail", it.ipid, status=0x80041002, slot=None)
    (record,) = caplog.records
    assert "ICalculator.Fail" in record.message
    assert "HOST\\ada at 192.0.2.7" in record.message
    assert "it went wrong" in record.message


async def test_a_call_keeps_the_object_alive() -> None:
    it = Fixture()
    it.peer.exporter.connection_closed(CALLER.connection, 0.0)
    await it.add(caller=replace(CALLER, connection="another"), now=100.0)
    it.peer.exporter.handle_timeout(1e6)
    assert it.freed == []
    it.peer.exporter.connection_closed("another", 200.0)
    it.peer.exporter.handle_timeout(200.0 + 3 * PING_PERIOD)
    assert it.freed == [it.object]


# -- the Remote Unknown


@pytest.mark.requirement("DCOM-3.1.1.5.6.1-05", "DCOM-3.1.1.5.6.1-10", "DCOM-3.1.1.5.6.1-16", "DCOM-3.1.1.5.7-01")
async def test_querying() -> None:
    it = Fixture()

    async def query(*iids: UUID, ipid: UUID = it.ipid) -> dict[str, Any]:
        return await it.remote("RemQueryInterface", ipid=ipid, references=2, iids=iids)

    answer = await query(IMemory.uuid)
    assert answer[RESULT] == HResult.S_OK
    recalled = await call_method(it.peer, IMemory, "Recall", answer["results"][0].std.ipid)
    assert recalled["last"] == 0
    answer = await query(IMemory.uuid, IUnheardOf)
    assert (answer[RESULT], [r.result for r in answer["results"]]) == (HResult.S_FALSE, [0, HResult.E_NOINTERFACE])
    answer = await query(IUnheardOf)
    assert (answer[RESULT], len(answer["results"])) == (HResult.E_NOINTERFACE, 1)
    answer = await query(IMemory.uuid, ipid=UUID(int=4))
    assert (answer[RESULT], answer["results"]) == (HResult.RPC_E_INVALID_OBJECT, None)
    for iids in ((), (IMemory.uuid,) * 65):
        assert (await query(*iids))[RESULT] == HResult.E_INVALIDARG


@pytest.mark.requirement("DCOM-3.1.1.5.7.1-04", "DCOM-3.1.1.5.7.1-05", "DCOM-3.1.1.5.7.1-06")
async def test_querying_for_whole_references() -> None:
    it = Fixture()
    answer = await it.remote("RemQueryInterface2", ipid=it.ipid, iids=(IMemory.uuid, IUnheardOf))
    assert (answer[RESULT], answer["results"]) == (0, (0, HResult.E_NOINTERFACE))
    found = decode_objref(answer["interfaces"][0])
    assert isinstance(found, StandardObjRef)
    assert (found.iid, found.std.public_refs) == (IMemory.uuid, MARSHALLED_REFERENCES)
    assert answer["interfaces"][1] is None
    answer = await it.remote("RemQueryInterface2", ipid=UUID(int=4), iids=(IMemory.uuid,))
    assert (answer[RESULT], answer["interfaces"]) == (HResult.RPC_E_INVALID_OBJECT, (None,))
    assert (await it.remote("RemQueryInterface2", ipid=it.ipid, iids=()))[RESULT] == HResult.E_INVALIDARG


@pytest.mark.requirement("DCOM-3.1.1.5.6.1-38", "DCOM-3.1.1.5.6.1-49", "DCOM-3.1.1.5.6.1-54", "DCOM-3.1.1.5.6.1-58")
@pytest.mark.parametrize("interface", [IRemUnknown, IRemUnknown2], ids=lambda i: i.name)
async def test_counting(interface: Any) -> None:
    it = Fixture()
    rem_unknown = it.peer.exporter.rem_unknown

    def refs(public: int, private: int = 0, ipid: UUID = it.ipid) -> RemInterfaceRef:
        return RemInterfaceRef(ipid=ipid, public_refs=public, private_refs=private)

    answer = await call_method(
        it.peer, interface, "RemAddRef", rem_unknown, references=(refs(2, 1), refs(1, ipid=UUID(int=3)))
    )
    assert answer["results"] == (HResult.S_OK, HResult.CO_E_OBJNOTREG)
    release = (refs(MARSHALLED_REFERENCES + 2), refs(9, ipid=UUID(int=3)))
    assert (await call_method(it.peer, interface, "RemRelease", rem_unknown, references=release))[RESULT] == 0
    assert it.freed == []
    await call_method(it.peer, interface, "RemRelease", rem_unknown, references=(refs(0, 1),))
    assert it.freed == [it.object]
    assert await it.status_of() == HResult.RPC_E_DISCONNECTED


@pytest.mark.parametrize(
    ("method", "handler"),
    [
        ("NTLMLogin", "ntlm_login"),
        ("WBEMLogin", "wbem_login"),
        ("DeleteInstanceAsync", "delete_instance_async"),
        ("RemQueryInterface2", "rem_query_interface2"),
        ("ServerAlive2", "server_alive2"),
        ("Next", "next"),
    ],
)
def test_the_names_of_handlers(method: str, handler: str) -> None:
    assert _handler_name(method) == handler


_METHODS: list[tuple[Interface, str, dict[str, Any]]] = [
    (ICalculator, "Add", {"left": 1, "right": 2}),
    (ICalculator, "TakeObject", {"object": b"octets"}),
    (ICalculator, "Fail", {"status": 0x80041001, "slot": Slot()}),
    (IRemUnknown2, "RemQueryInterface", {"ipid": UUID(int=1), "references": 1, "iids": (IMemory.uuid,)}),
    (IObjectExporter, "ComplexPing", {"set_id": 0, "sequence": 1, "add": (1,), "delete": (2,)}),
]


@settings(max_examples=150)
@given(st.data())
async def test_wrong_octets_are_refused_or_answered(data: st.DataObject) -> None:
    it = Fixture()
    interface, name, values = data.draw(st.sampled_from(_METHODS))
    method = interface[name]
    leading = {"orpc_this": HEADER} if interface.leading else {}
    stub = bytearray(method.encode_request(**leading, **values))
    for _ in range(data.draw(st.integers(0, 4))):
        stub[data.draw(st.integers(0, len(stub) - 1))] = data.draw(st.integers(0, 255))
    target = {ICalculator: it.ipid, IRemUnknown2: it.peer.exporter.rem_unknown}.get(interface)
    opnum = data.draw(st.sampled_from([method.opnum, 0, 3, 4, 5, 6]).filter(lambda n: n != ICalculator["Break"].opnum))
    try:
        answer = await it.peer.handle(
            interface.uuid, opnum, target, bytes(stub), CALLER, now=0.0, little_endian=data.draw(st.booleans())
        )
    except Refused:
        return
    assert isinstance(answer, bytes)


def test_a_peers_words_cannot_forge_a_line_of_the_log() -> None:
    refusal = Refused(5, "no\n2026 all is well\x1b[2J\ud800" + "x" * 5000)
    assert refusal.reason.startswith("no\\n2026 all is well\\x1b[2J\\ud800xxx")
    assert refusal.reason.isprintable()
    assert len(refusal.reason) < 1100
