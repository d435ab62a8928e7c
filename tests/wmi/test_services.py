"""The stubs of log-on and namespaces: which request each method makes, in which mode, and what comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim import CimType, TypedValue
from openwmi.cim.operations import (
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)  # fmt: skip
from openwmi.dcom.importer import Reference
from openwmi.errors import AccessDenied, NotFound, RpcFault, WbemError
from openwmi.rpc.ndr import Slot
from openwmi.security.context import AuthenticationLevel
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemCallResult, IWbemLevel1Login, IWbemServices
from tests.dcom.support import CALLER

from .loopback import NAMESPACE, THING, FakeNamespace, Held, Loopback, RecordingSink, Services, gives, thing

IMMEDIATELY = int(Flags.RETURN_IMMEDIATELY)
UNASKED = WbemStatus.WBEM_E_INVALID_PARAMETER


def marshalled(loop: Loopback) -> dict[str, bytes]:
    return {"class": loop.objects.marshal(THING), "instance": loop.objects.marshal(thing("a"))}


# Each method with the values that are its own, and the request that they make.
SINGLE: list[tuple[str, dict[str, Any], Request]] = [
    ("GetObject", {"path": 'Thing="a"'}, GetObject('Thing="a"')),
    ("GetObject", {"path": None}, GetObject(None)),
    ("PutClass", {"object": "class"}, PutClass(THING)),
    ("PutClass", {"object": None}, PutClass(None)),
    ("DeleteClass", {"class_name": "Thing"}, DeleteClass("Thing")),
    ("DeleteClass", {"class_name": None}, DeleteClass(None)),
    ("PutInstance", {"object": "instance"}, PutInstance(thing("a"))),
    ("PutInstance", {"object": None}, PutInstance(None)),
    ("DeleteInstance", {"path": 'Thing="a"'}, DeleteInstance('Thing="a"')),
    ("DeleteInstance", {"path": None}, DeleteInstance(None)),
    (
        "ExecMethod",
        {"path": "Thing", "method": "Do", "parameters": "instance"},
        ExecMethod("Thing", "Do", thing("a")),
    ),
    ("ExecMethod", {"path": None, "method": None, "parameters": None}, ExecMethod(None, None, None)),
]
MANY: list[tuple[str, dict[str, Any], Request]] = [
    ("CreateClassEnum", {"superclass": "Thing"}, EnumerateClasses("Thing")),
    ("CreateClassEnum", {"superclass": None}, EnumerateClasses(None)),
    ("CreateInstanceEnum", {"class_name": "Thing"}, EnumerateInstances("Thing")),
    ("CreateInstanceEnum", {"class_name": None}, EnumerateInstances(None)),
    ("ExecQuery", {"language": "WQL", "query": "SELECT *"}, ExecQuery("SELECT *", "WQL")),
    ("ExecQuery", {"language": None, "query": None}, ExecQuery(None, None)),
]
GIVES_OBJECT = ("GetObject", "ExecMethod")


def values_of(loop: Loopback, values: dict[str, Any]) -> dict[str, Any]:
    stock = marshalled(loop)
    return {
        name: stock.get(value, value) if name in ("object", "parameters") else value for name, value in values.items()
    }


# -- log-on


@pytest.mark.requirement("WMI-3.1.4.1.3-05")
@pytest.mark.requirement("WMI-3.1.4.1.1-04", "WMI-3.1.4.1.2-04", "WMI-3.1.4.1.3-06")
@pytest.mark.requirement(
    "WMI-3.1.4.1.1-01", "WMI-3.1.4.1.1-02", "WMI-3.1.4.1.1-03", "WMI-3.1.4.1.1-06", "WMI-3.1.4.1.2-01",
    "WMI-3.1.4.1.2-02", "WMI-3.1.4.1.3-01", "WMI-3.1.4.1.3-02", "WMI-3.1.4.1.3-03", "WMI-3.1.4.1.3-04",
)  # fmt: skip
async def test_the_methods_that_are_reserved() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        login = loop.namespaces._login
        assert login is not None
        response = await services.on(login, IWbemLevel1Login, "EstablishPosition", reserved="x", flags=5)
        assert (response.status, response.values) == (0, {"locale_version": 1})
        response = await services.on(login, IWbemLevel1Login, "RequestChallenge", reserved1="x", reserved2="y")
        assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_SUPPORTED, {"reserved3": bytes(16)})
        values = {"reserved1": "x", "reserved2": bytes(16), "reserved3": 7, "reserved4": b"odd"}
        response = await services.on(login, IWbemLevel1Login, "WBEMLogin", **values)
        assert (response.status, response.values) == (HResult.E_NOTIMPL, {"reserved5": None})


async def login(loop: Loopback, **values: Any) -> Any:
    services = await loop.services()
    assert loop.namespaces._login is not None
    given = {"network_resource": f"\\\\.\\{NAMESPACE}", "preferred_locale": None, "flags": 0, "context": None, **values}
    return await services.on(loop.namespaces._login, IWbemLevel1Login, "NTLMLogin", **given)


@pytest.mark.requirement(
    "WMI-3.1.4.1.4-02", "WMI-3.1.4.1.4-12", "WMI-3.1.4.1.4-21", "WMI-3.1.4.1.4-28", "WMI-3.1.4.3-03"
)
@pytest.mark.requirement(
    "WMI-3.1.4.1.4-01", "WMI-3.1.4.1.4-04", "WMI-3.1.4.1.4-07", "WMI-3.1.4.1.4-10", "WMI-3.1.4.1.4-14",
    "WMI-3.1.4.1.4-15", "WMI-3.1.4.1.4-19", "WMI-3.1.4.1.4-22", "WMI-3.1.4.1.4-23", "WMI-3.1.3-01",
)  # fmt: skip
async def test_a_log_on_opens_a_namespace() -> None:
    async with Loopback() as loop:
        values = {"__CorrelationId": TypedValue(CimType.STRING, "{1234}"), "Own": TypedValue(CimType.SINT32, 5)}
        response = await login(loop, preferred_locale="MS_409, MS_407,,", context=encode_context(values, loop.objects))
        assert response.status == 0
        name, context = loop.connected[-1]
        assert name == f"\\\\.\\{NAMESPACE}"
        assert context.locales == ("MS_409", "MS_407")
        assert (context.principal, context.level, context.remote) == (
            CALLER.principal,
            AuthenticationLevel.PRIVACY,
            True,
        )
        assert (context.correlation_id, context.values, context.peer) == ("{1234}", values, CALLER.address)
        services = Services(loop, loop.importer.unmarshal(response.values["namespace"], loop.namespaces._link.reach))
        await services.call("DeleteClass", class_name="X", flags=0, context=None, call_result=None)
        assert loop.namespace.last[1].locales == ("MS_409", "MS_407")


@pytest.mark.requirement("WMI-3.1.4.1.4-14")
@pytest.mark.requirement("WMI-3.1.4.1.4-03", "WMI-3.1.4.1.4-09", "WMI-3.1.4.1.4-13", "WMI-3.1.4.1.4-29")
@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"network_resource": None}, UNASKED),
        ({"flags": 1}, UNASKED),
        ({"network_resource": "\\\\.\\root\\nowhere"}, WbemStatus.WBEM_E_INVALID_NAMESPACE),
    ],
)
@pytest.mark.requirement("WMI-3.1.4.1.4-08", "WMI-3.1.4.1.4-24", "WMI-3.1.4.1.4-30")
async def test_log_ons_that_are_refused(values: dict[str, Any], status: int) -> None:
    async with Loopback() as loop:
        response = await login(loop, **values)
        assert (response.status, response.values) == (status, {"namespace": None})


# -- one result, or none


@pytest.mark.requirement("WMI-3.1.1.1.1-01", "WMI-3.1.1.1.1-02")
@pytest.mark.parametrize(("method", "values", "request_"), SINGLE)
async def test_synchronous(method: str, values: dict[str, Any], request_: Request) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        found = thing("result", 3)
        loop.namespace.produce = gives(found) if method in GIVES_OBJECT else gives(text="a path")
        out = {"object": Slot()} if method in GIVES_OBJECT else {}
        own = values_of(loop, values)
        response = await services.call(method, **own, flags=0x100, context=None, call_result=None, **out)
        assert response.status == 0
        made, context = loop.namespace.last
        assert made == request_
        assert (context.mode, context.flags) == (CallingMode.SYNCHRONOUS, 0x100)
        assert (context.principal, context.values) == (CALLER.principal, {})
        assert response.values["call_result"] is None
        if method in GIVES_OBJECT:
            assert loop.objects.unmarshal(response.values["object"].content).to_dict() == found.to_dict()  # type: ignore[union-attr]


@pytest.mark.requirement("WMI-3.1.1.1.2-01", "WMI-3.1.1.1.2.2-01", "WMI-3.1.1.1.2.2-02", "WMI-3.1.4.5-02")
@pytest.mark.parametrize(("method", "values", "request_"), SINGLE)
async def test_semisynchronous(method: str, values: dict[str, Any], request_: Request) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        found = thing("result", 3)
        held = loop.namespace.produce = Held(*([found] if method in GIVES_OBJECT else []), text="a path")
        out = {"object": Slot()} if method in GIVES_OBJECT else {}
        own = values_of(loop, values)
        response = await services.call(method, **own, flags=IMMEDIATELY, context=None, call_result=Slot(), **out)
        assert response.status == 0
        made, context = loop.namespace.last
        assert made == request_
        assert (context.mode, context.flags) == (CallingMode.SEMISYNCHRONOUS, IMMEDIATELY)
        if out:
            assert response.values["object"] == Slot()
        result = services.unmarshal(response.values["call_result"].content)
        waiting = await services.on(result, IWbemCallResult, "GetCallStatus", timeout=0)
        assert waiting.status == WbemStatus.WBEM_S_TIMEDOUT
        held.go_on.set()
        ended = await services.on(result, IWbemCallResult, "GetCallStatus", timeout=-1)
        assert (ended.status, ended.values) == (0, {"status": 0})


@pytest.mark.requirement("WMI-3.1.1.1.3-01", "WMI-3.1.1.1.3-05", "WMI-3.1.1.1.3-06", "WMI-3.1.4.3.15-17")
@pytest.mark.parametrize(("method", "values", "request_"), SINGLE + MANY)
async def test_asynchronous(method: str, values: dict[str, Any], request_: Request) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        sink = RecordingSink()
        held = loop.namespace.produce = Held(thing("a"), thing("b"), text="a path")
        own = values_of(loop, values)
        response = await services.call(f"{method}Async", **own, flags=0x80, context=None, sink=loop.sink(sink))
        assert (response.status, response.values) == (0, {})
        await held.started.wait()
        (entry,) = loop.operations
        made, context = loop.namespace.last
        assert made == request_
        assert (context.mode, context.flags) == (CallingMode.ASYNCHRONOUS, 0x80)
        held.go_on.set()
        await asyncio.wait_for(sink.freed.wait(), 5)
        assert sink.calls == [
            ("indicate", [{"Id": "a", "Size": 1}, {"Id": "b", "Size": 1}]),
            ("set_status", 0, 0, "a path", None),
        ]
        assert entry.set_status_with_final_result_called


@pytest.mark.requirement("WMI-3.1.1.1.2.1-01", "WMI-3.1.1.1.2.1-02", "WMI-3.1.1.1.2.1-03", "WMI-3.1.4.4-02")
@pytest.mark.parametrize("flags", [0, IMMEDIATELY])
@pytest.mark.parametrize(("method", "values", "request_"), MANY)
async def test_enumerations(method: str, values: dict[str, Any], request_: Request, flags: int) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(thing("a"), THING)
        response = await services.call(method, **values, flags=flags | 0x20, context=None)
        assert response.status == 0
        made, context = loop.namespace.last
        assert made == request_
        mode = CallingMode.SEMISYNCHRONOUS if flags else CallingMode.SYNCHRONOUS
        assert (context.mode, context.flags) == (mode, flags | 0x20)
        enumerator = services.unmarshal(response.values["enumerator"])
        page = await services.on(enumerator, IEnumWbemClassObject, "Next", timeout=-1, count=5)
        assert (page.status, page.values["returned"]) == (WbemStatus.WBEM_S_FALSE, 2)


# -- what goes wrong


@pytest.mark.requirement("WMI-3.1.4.3.14-16", "WMI-3.1.4.3.14-30", "WMI-3.1.4.3.4-39", "WMI-3.1.4.3.22-36")
@pytest.mark.parametrize("kind", [AccessDenied, NotFound])
@pytest.mark.parametrize(("method", "values", "request_"), SINGLE[::2])
@pytest.mark.parametrize("when", ["before it starts", "later"])
async def test_a_synchronous_failure(
    method: str, values: dict[str, Any], request_: Request, kind: type[WbemError], when: str
) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        error = WbemError.of(kind.code or 0, "so it is")
        if when == "later":
            loop.namespace.produce = gives(error=error)
        else:
            loop.namespace.refuse = error
        out = {"object": Slot()} if method in GIVES_OBJECT else {}
        own = values_of(loop, values)
        response = await services.call(method, **own, flags=0, context=None, call_result=None, **out)
        assert (response.status, response.values) == (error.status, {"call_result": None, **out})
        explained = loop.objects.error_of(response.that)
        assert explained is not None
        assert (explained["StatusCode"], explained["Operation"]) == (error.status, method)


@pytest.mark.requirement("WMI-3.1.1.1.2-02")
@pytest.mark.parametrize(("method", "values", "request_"), SINGLE[::2] + MANY[::2])
async def test_a_semisynchronous_call_that_does_not_start(
    method: str, values: dict[str, Any], request_: Request
) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.refuse = AccessDenied("no")
        before = len(loop.server.exporter)
        rest: dict[str, Any] = {} if request_.RETURNS_MANY else {"call_result": Slot()}
        if method in GIVES_OBJECT:
            rest["object"] = None
        response = await services.call(method, **values_of(loop, values), flags=IMMEDIATELY, context=None, **rest)
        expected = {"enumerator": None} if request_.RETURNS_MANY else rest
        assert (response.status, response.values) == (WbemStatus.WBEM_E_ACCESS_DENIED, expected)
        assert len(loop.server.exporter) == before


@pytest.mark.requirement("WMI-3.1.4.3.14-14", "WMI-3.1.4.3.4-22", "WMI-3.1.4.3.22-22")
@pytest.mark.parametrize(("method", "values", "request_"), SINGLE[::2])
async def test_a_semisynchronous_call_without_a_place_for_its_result(
    method: str, values: dict[str, Any], request_: Request
) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        out = {"object": Slot()} if method in GIVES_OBJECT else {}
        own = values_of(loop, values)
        response = await services.call(method, **own, flags=IMMEDIATELY, context=None, call_result=None, **out)
        assert response.status == UNASKED
        assert loop.objects.error_of(response.that) is not None
        assert loop.namespace.requests == []


@pytest.mark.requirement("WMI-3.1.4.3.22-15", "WMI-3.1.4.3.22-16")
async def test_a_method_call_without_a_place_for_its_result() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        values: dict[str, Any] = {"path": "Thing", "method": "Do", "flags": 0, "context": None, "parameters": None}
        response = await services.call("ExecMethod", **values, object=None, call_result=None)
        assert response.status == UNASKED
        assert loop.namespace.requests == []


@pytest.mark.requirement("WMI-3.1.4.3.4-15")
async def test_an_object_that_nobody_wants() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(thing("a"))
        response = await services.call("GetObject", path="x", flags=0, context=None, object=None, call_result=None)
        assert (response.status, response.values) == (0, {"object": None, "call_result": None})


@pytest.mark.requirement("WMI-3.1.4.3.14-10", "WMI-3.1.4.3.14-12")
async def test_a_synchronous_delete_with_a_call_result_tells_there_what_happened() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(error=NotFound("gone"))
        response = await services.call("DeleteInstance", path="x", flags=0, context=None, call_result=Slot())
        assert response.status == 0
        result = services.unmarshal(response.values["call_result"].content)
        told = await services.on(result, IWbemCallResult, "GetCallStatus", timeout=0)
        assert (told.status, told.values["status"]) == (0, WbemStatus.WBEM_E_NOT_FOUND)


@pytest.mark.requirement("WMI-3.1.4.3.4-20")
async def test_a_synchronous_get_ignores_the_place_for_a_call_result() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(error=NotFound("gone"))
        response = await services.call("GetObject", path="x", flags=0, context=None, object=Slot(), call_result=Slot())
        assert (response.status, response.values) == (
            WbemStatus.WBEM_E_NOT_FOUND,
            {"object": Slot(), "call_result": Slot()},
        )


async def test_an_object_of_the_wrong_kind() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        stock = marshalled(loop)
        rest: dict[str, Any] = {"flags": 0, "context": None, "call_result": None}
        assert (await services.call("PutClass", object=stock["instance"], **rest)).status == UNASKED
        assert (await services.call("PutInstance", object=stock["class"], **rest)).status == UNASKED
        method: dict[str, Any] = {"path": "T", "method": "M", "parameters": stock["class"], "object": Slot(), **rest}
        assert (await services.call("ExecMethod", **method)).status == UNASKED


@pytest.mark.requirement("WMI-3.1.4-09")
@pytest.mark.parametrize("octets", [b"MEOW", b"MEOW" + bytes(100_000)], ids=["small", "large"])
@pytest.mark.parametrize("method", ["PutClass", "PutInstance"])
async def test_octets_that_are_no_object(method: str, octets: bytes) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        response = await services.call(method, object=octets, flags=0, context=None, call_result=None)
        assert response.status == WbemStatus.WBEM_E_INVALID_OBJECT
        with pytest.raises(RpcFault) as caught:
            await services.call(method, object=None, flags=0, context=octets, call_result=None)
        assert caught.value.status == HResult.RPC_X_BAD_STUB_DATA
        assert (await services.call("DeleteClass", class_name="", flags=0, context=None, call_result=None)).status == 0


async def test_an_enumeration_that_fails_with_nothing_fails_the_synchronous_call() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(error=NotFound("no such class"))
        before = len(loop.server.exporter)
        response = await services.call("CreateInstanceEnum", class_name="X", flags=0, context=None)
        assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_FOUND, {"enumerator": None})
        assert len(loop.server.exporter) == before
        response = await services.call("CreateInstanceEnum", class_name="X", flags=IMMEDIATELY, context=None)
        assert response.status == 0


@pytest.mark.requirement("WMI-3.1.4.3.3-03", "WMI-3.1.4.3.3-04", "WMI-3.1.4.3.3-10")
async def test_what_is_not_there_yet() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        response = await services.call("QueryObjectSink", flags=0)
        assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_SUPPORTED, {"sink": None})
        values: dict[str, Any] = {"language": "WQL", "query": "x", "flags": 0, "context": None}
        response = await services.call("ExecNotificationQuery", **values)
        assert (response.status, response.values) == (WbemStatus.WBEM_E_NOT_SUPPORTED, {"enumerator": None})
        assert await services.refused("ExecNotificationQueryAsync", **values) == WbemStatus.WBEM_E_NOT_SUPPORTED
        response = await services.call("ExecNotificationQueryAsync", **values, sink=None)
        assert response.status == WbemStatus.WBEM_E_NOT_SUPPORTED


# -- namespaces within namespaces


async def open_child(loop: Loopback, services: Services, **values: Any) -> Any:
    loop.namespace.children["child"] = FakeNamespace("root\\test\\child")
    given = {
        "namespace": "child", "flags": 0, "context": None, "working_namespace": Slot(), "call_result": None, **values
    }  # fmt: skip
    return await services.call("OpenNamespace", **given)


@pytest.mark.requirement(
    "WMI-3.1.4.3.1-05", "WMI-3.1.4.3.1-10", "WMI-3.1.4.3.1-11", "WMI-3.1.4.3.1-12", "WMI-3.1.4.3.1-15",
    "WMI-3.1.4.3.1-18", "WMI-3.1.4.3.1-19", "WMI-3.1.4.3.1-20", "WMI-3.1.4.3.1-22", "WMI-3.1.4.3.1-23",
    "WMI-3.1.4.3.1-24",
)  # fmt: skip
@pytest.mark.parametrize("place", [None, Slot()])
async def test_a_child_namespace(place: Slot | None) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        response = await open_child(loop, services, call_result=place)
        assert (response.status, response.values["call_result"]) == (0, place)
        child = Services(loop, services.unmarshal(response.values["working_namespace"].content))
        await child.call("DeleteClass", class_name="X", flags=0, context=None, call_result=None)
        assert loop.namespace.requests == []
        assert loop.namespace.children["child"].last[0] == DeleteClass("X")


@pytest.mark.requirement(
    "WMI-3.1.4.3.1-04", "WMI-3.1.4.3.1-06", "WMI-3.1.4.3.1-13", "WMI-3.1.4.3.1-14", "WMI-3.1.4.3.1-16",
    "WMI-3.1.4.3.1-23", "WMI-3.1.4.3.1-25", "WMI-3.1.4.5.3-01", "WMI-3.1.4.5.3-04", "WMI-3.1.4.5.3-08",
    "WMI-3.1.4.5.3-09", "WMI-3.1.4.5.3-10", "WMI-3.1.4.5.3-12", "WMI-3.1.4.5.3-15", "WMI-3.1.4.5.3-17",
)  # fmt: skip
async def test_a_child_namespace_semisynchronously() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        response = await open_child(loop, services, flags=IMMEDIATELY, call_result=Slot())
        assert (response.status, response.values["working_namespace"]) == (0, Slot())
        result = services.unmarshal(response.values["call_result"].content)
        told = await services.on(result, IWbemCallResult, "GetCallStatus", timeout=0)
        assert (told.status, told.values["status"]) == (0, 0)
        given = await services.on(result, IWbemCallResult, "GetResultServices", timeout=0)
        assert given.status == 0
        child = Services(loop, services.unmarshal(given.values["services"]))
        await child.call("DeleteClass", class_name="X", flags=0, context=None, call_result=None)
        assert loop.namespace.children["child"].last[0] == DeleteClass("X")


@pytest.mark.requirement(
    "WMI-3.1.4.3.1-07", "WMI-3.1.4.3.1-08", "WMI-3.1.4.3.1-09", "WMI-3.1.4.3.1-17", "WMI-3.1.4.3.1-21",
    "WMI-3.1.4.3.1-26",
)  # fmt: skip
@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"namespace": "stranger"}, WbemStatus.WBEM_E_INVALID_NAMESPACE),
        ({"flags": 2}, UNASKED),
        ({"flags": 0x20000}, UNASKED),
        ({"working_namespace": None}, UNASKED),
        ({"working_namespace": None, "call_result": Slot()}, UNASKED),
        ({"flags": IMMEDIATELY}, UNASKED),
        ({"context": "a context"}, UNASKED),
        ({"flags": 0x1F000 | 0x40 | 0x100000}, 0),
    ],
)
async def test_child_namespaces_that_cannot_be_opened(values: dict[str, Any], status: int) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        if "context" in values:
            values = {"context": encode_context({"A": TypedValue(None, None)}, loop.objects)}
        response = await open_child(loop, services, **values)
        assert response.status == status
        if status:
            assert response.values["working_namespace"] in (None, Slot())
            assert response.values["call_result"] in (None, Slot())


# -- who calls


@pytest.mark.requirement("WMI-3.1.4-10")
async def test_a_weak_caller_opens_nothing() -> None:
    for weaker in (
        replace(CALLER, level=AuthenticationLevel.PACKET),
        replace(CALLER, principal=None, level=AuthenticationLevel.NONE),
    ):
        loop = Loopback(CALLER)
        loop.transport.caller = weaker
        with pytest.raises(RpcFault) as caught:
            await loop.open()
        assert caught.value.status == HResult.ERROR_ACCESS_DENIED
        assert loop.connected == []


async def test_a_namespace_lives_as_long_as_it_is_referred_to() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        assert len(loop.server.exporter) == 2  # the log-on object, and the namespace
        reference: Reference = remote._services
        await remote.close()
        await remote.close()
        assert len(loop.server.exporter) == 1
        services = Services(loop, reference)
        with pytest.raises(RpcFault) as caught:
            await services.on(reference, IWbemServices, "CancelAsyncCall", sink=None)
        assert caught.value.status == HResult.RPC_E_DISCONNECTED
        await loop.namespaces.close()
        assert len(loop.server.exporter) == 0


async def test_a_null_sink_to_cancel() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        assert (await services.call("CancelAsyncCall", sink=None)).status == UNASKED
