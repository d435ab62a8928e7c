"""What the client may send, and must not (MS-WMI 3.2.3, 3.2.4): every call that the proxies make is looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import (
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)  # fmt: skip
from openwmi.dcom.interfaces import IRemoteSCMActivator
from openwmi.dcom.objref import decode_objref
from openwmi.errors import DecodeError, NotFound, WbemError
from openwmi.rpc.interface import Interface
from openwmi.status import WbemStatus
from openwmi.wmi.interfaces import CLSID_WBEM_LEVEL1_LOGIN

from .loopback import NAMESPACE, THING, FakeNamespace, Held, Loopback, gives, thing, things

IMMEDIATELY = 0x10
SYNCHRONOUS, SEMISYNCHRONOUS, ASYNCHRONOUS = (
    CallingMode.SYNCHRONOUS,
    CallingMode.SEMISYNCHRONOUS,
    CallingMode.ASYNCHRONOUS,
)

# The method of IWbemCallResult that gives what the request is for (the table in 3.2.4.2.7).
RESULTS: list[tuple[Request, str]] = [
    (GetObject("x"), "GetResultObject"),
    (ExecMethod("Thing", "Do", thing("in")), "GetResultObject"),
    (PutInstance(thing("a")), "GetResultString"),
    (PutClass(THING), "GetCallStatus"),
    (DeleteClass("Thing"), "GetCallStatus"),
    (DeleteInstance('Thing.Id="a"'), "GetCallStatus"),
]
SINGLE = [request for request, _ in RESULTS]
MANY: list[Request] = [EnumerateClasses("Thing"), EnumerateInstances("Thing"), ExecQuery("SELECT * FROM Thing")]


@dataclass
class Said:
    """What the client sends: interface, method and values of each call, and its octets."""

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    octets: list[bytes] = field(default_factory=list)

    @classmethod
    def by(cls, loop: Loopback) -> Said:
        said, invoke = cls(), loop.transport.invoke

        async def listening(endpoints: Any, interface: Interface, opnum: int, stub: bytes, **more: Any) -> Any:
            method = interface.method(opnum)
            assert method is not None
            said.calls.append((interface.name, method.name, method.decode_request(stub)))
            said.octets.append(stub)
            return await invoke(endpoints, interface, opnum, stub, **more)

        loop.transport.invoke = listening  # type: ignore[method-assign]
        return said

    def of(self, interface: str) -> list[tuple[str, dict[str, Any]]]:
        """The calls of one interface's methods."""
        return [(method, values) for name, method, values in self.calls if name == interface]

    def methods(self, interface: str) -> list[str]:
        return [method for method, _ in self.of(interface)]


async def run(loop: Loopback, request: Request, mode: CallingMode, **settings: Any) -> Said:
    """What is said for one operation, to its end."""
    remote = await loop.open()
    said = Said.by(loop)
    operation = await remote.start(request, loop.context(mode, **settings))
    await asyncio.wait_for(operation.collect(), 10)
    await operation.close()
    return said


# -- log-on


@pytest.mark.requirement("WMI-2.1-01", "WMI-3.1.3-01", "WMI-3.1.4.1-02")
@pytest.mark.requirement("WMI-3.2.3-01", "WMI-3.2.3-06", "WMI-2.1-02")
async def test_the_log_on() -> None:
    async with Loopback() as loop:
        said = Said.by(loop)
        await loop.open()
        assert said.methods(IRemoteSCMActivator.name) == ["RemoteCreateInstance"]
        assert CLSID_WBEM_LEVEL1_LOGIN.bytes_le in said.octets[0]
        ((method, values),) = [call for call in said.of("IWbemLevel1Login") if call[0] == "NTLMLogin"]
        assert (method, values["network_resource"], values["flags"]) == ("NTLMLogin", f"\\\\.\\{NAMESPACE}", 0)


# -- calling modes


@pytest.mark.requirement("WMI-3.2.4.2.4-01", "WMI-3.2.4.2.6-01", "WMI-3.2.4.2.8-02")
@pytest.mark.parametrize("request_", SINGLE + MANY, ids=lambda request: request.METHOD)
async def test_a_synchronous_call_does_not_return_immediately(request_: Request) -> None:
    async with Loopback() as loop:
        said = await run(loop, request_, SYNCHRONOUS)
        ((method, values),) = said.of("IWbemServices")
        assert method == request_.METHOD
        assert not values["flags"] & IMMEDIATELY
        assert not said.of("IWbemCallResult")


@pytest.mark.requirement(
    "WMI-3.2.4.2.7-01", "WMI-3.2.4.2.7-02", "WMI-3.2.4.2.7-03", "WMI-3.2.4.2.7-06",
    "WMI-3.2.4.2.7-07", "WMI-3.2.4.2.7-08", "WMI-3.2.4.2.7-09",
)  # fmt: skip
@pytest.mark.parametrize(("request_", "result"), RESULTS, ids=lambda row: getattr(row, "METHOD", ""))
async def test_a_semisynchronous_result_is_fetched_by_its_own_method(request_: Request, result: str) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*([thing("a")] if request_.RETURNS_OBJECT else []), text="Thing")
        said = await run(loop, request_, SEMISYNCHRONOUS)
        ((method, values),) = said.of("IWbemServices")
        assert method == request_.METHOD
        assert values["flags"] & IMMEDIATELY
        assert set(said.methods("IWbemCallResult")) == {result}


@pytest.mark.requirement("WMI-3.2.4.2.7-05")
async def test_a_namespace_is_fetched_by_its_own_method() -> None:
    async with Loopback() as loop:
        loop.namespace.children["child"] = FakeNamespace("root\\test\\child")
        remote = await loop.open()
        said = Said.by(loop)
        await remote.open_namespace("child", loop.context())
        assert set(said.methods("IWbemCallResult")) == {"GetResultServices"}


@pytest.mark.requirement("WMI-3.2.4.2.8-01")
@pytest.mark.parametrize("request_", MANY, ids=lambda request: request.METHOD)
async def test_many_results_are_fetched_page_by_page(request_: Request) -> None:
    async with Loopback() as loop:
        loop.namespace.produce = gives(*things(3))
        said = await run(loop, request_, SEMISYNCHRONOUS)
        ((method, values),) = said.of("IWbemServices")
        assert (method, values["flags"] & IMMEDIATELY) == (request_.METHOD, IMMEDIATELY)


@pytest.mark.requirement("WMI-3.1.4.2-01")
@pytest.mark.requirement("WMI-3.2.4.2.9-01")
@pytest.mark.parametrize("request_", SINGLE + MANY, ids=lambda request: request.METHOD)
async def test_an_asynchronous_call_brings_its_sink(request_: Request) -> None:
    async with Loopback() as loop:
        said = await run(loop, request_, ASYNCHRONOUS)
        ((method, values),) = said.of("IWbemServices")
        assert method == f"{request_.METHOD}Async"
        assert decode_objref(values["sink"])


@pytest.mark.requirement("WMI-3.2.4.2.9-03", "WMI-3.2.4.2.9-04")
async def test_what_is_cancelled_is_named_by_its_sink() -> None:
    async with Loopback() as loop:
        loop.namespace.produce = Held()
        remote = await loop.open()
        said = Said.by(loop)
        operation = await remote.start(DeleteInstance("x"), loop.context(ASYNCHRONOUS))
        await operation.close()
        (started, first), (cancelled, second) = said.of("IWbemServices")
        assert (started, cancelled) == ("DeleteInstanceAsync", "CancelAsyncCall")
        assert decode_objref(first["sink"]).std.ipid == decode_objref(second["sink"]).std.ipid  # type: ignore[union-attr]


# -- ends


async def next_calls(loop: Loopback, context: CallContext, enumerator: str) -> int:
    """How often Next is called for an operation that ends, however it ends."""
    remote = await loop.open()
    said = Said.by(loop)
    operation = await remote.start(EnumerateInstances("Thing"), context)
    await asyncio.wait_for(operation.wait(), 10)
    await operation.close()
    return said.methods(enumerator).count("Next")


@pytest.mark.requirement("WMI-3.2.4.2.8-04", "WMI-3.2.4.2.8-07", "WMI-3.2.4.2.8-10")
@pytest.mark.parametrize(("optimized", "enumerator"), [(False, "IEnumWbemClassObject"), (True, "IWbemWCOSmartEnum")])
async def test_nothing_is_asked_for_behind_the_end(optimized: bool, enumerator: str) -> None:
    async with Loopback(optimized=optimized) as loop:
        loop.namespace.produce = gives(*things(3))
        assert await next_calls(loop, loop.context(SYNCHRONOUS), enumerator) == 1
        loop.namespace.produce = gives(error=NotFound("it broke"))
        assert await next_calls(loop, loop.context(), enumerator) == 1


@pytest.mark.requirement("WMI-3.2.4.2.8-11")
async def test_an_error_of_next_is_the_operations_error() -> None:
    async with Loopback() as loop:
        remote = await loop.open()
        loop.namespace.produce = gives(*things(2), error=NotFound("it broke"))
        operation = await remote.start(EnumerateInstances("Thing"), loop.context())
        with pytest.raises(NotFound, match="it broke"):
            await operation.collect()


@pytest.mark.requirement("WMI-3.2.4-01")
@pytest.mark.parametrize("request_", [GetObject("x"), EnumerateInstances("Thing")], ids=lambda request: request.METHOD)
async def test_an_object_that_is_malformed_fails_its_operation(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Loopback(optimized=False) as loop:
        loop.namespace.produce = gives(thing("a"))
        remote = await loop.open()
        unmarshal = loop.namespaces._link.objects.unmarshal

        def cut(octets: bytes, *more: Any) -> Any:
            return unmarshal(octets.replace(b"\x78\x56\x34\x12", b"\0\0\0\0", 1), *more)  # the encoding's signature

        monkeypatch.setattr(loop.namespaces._link.objects, "unmarshal", cut)
        operation = await remote.start(
            request_, loop.context(SYNCHRONOUS if request_.RETURNS_OBJECT else SEMISYNCHRONOUS)
        )
        with pytest.raises(DecodeError):
            await operation.collect()
        assert (await operation.wait()).status != WbemStatus.WBEM_S_NO_ERROR


@pytest.mark.requirement("WMI-2.2.3-01", "WMI-2.2.3-02")
@pytest.mark.parametrize("mode", [SYNCHRONOUS, SEMISYNCHRONOUS], ids=lambda mode: mode.name)
@pytest.mark.parametrize("status", [0x00000005, 0x0004FFFF, 0x7FFFFFFF, 0x80000005, 0xFFFFFFFF])
async def test_the_severity_bit_decides(status: int, mode: CallingMode) -> None:
    """A success that nobody knows is a success, a failure that nobody knows a failure."""
    async with Loopback() as loop:
        remote = await loop.open()
        if status & 0x80000000:
            loop.namespace.refuse = WbemError.of(status, "unknown")
            with pytest.raises(WbemError) as caught:
                await (await remote.start(DeleteInstance("x"), loop.context(mode))).collect()
            assert caught.value.status == status
            return

        async def produce(operation: Operation) -> None:
            operation.finish(Outcome(status))

        loop.namespace.produce = produce
        operation = await remote.start(DeleteInstance("x"), loop.context(mode))
        assert (await operation.wait()).succeeded
