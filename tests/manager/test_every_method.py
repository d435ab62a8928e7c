"""What holds for every method alike: flags, rights, NULL, lengths, and how an Async method answers (MS-WMI 3.1.4)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from openwmi.cim import Class, TypedValue
from openwmi.cim.delivery import StatusType
from openwmi.cim.operations import (
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
)
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.security.access import ALL_RIGHTS, AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, Gate, RecordingSink, asynchronously, context, grant, run, scripted

E = WbemStatus

THING = Class("Thing")
MOF = 'class Thing { [key] string Name; }; instance of Thing { Name = "x"; };'

IGNORED = 0x40 | 0x1F000 | 0x100000
ALL_BITS = [1 << bit for bit in range(32)]


@dataclass(frozen=True)
class Method:
    """One method as its section has it: a request that works, one with NULL and one that is too long, and its flags."""

    request: Request
    null: Request
    long: Request
    synchronous: frozenset[int]
    asynchronous: frozenset[int]


async def thing(namespace: Namespace) -> Class:
    [cls] = await run(namespace, GetObject("Thing"))
    assert isinstance(cls, Class)
    return cls


AMENDED, IMMEDIATELY, STATUS = 0x20000, 0x10, 0x80
METHODS = {
    "GetObject": Method(
        GetObject("Thing='x'"),
        GetObject(None),
        GetObject(f"Thing='{'x' * 9000}'"),
        frozenset({AMENDED, IMMEDIATELY, 0x200}),
        frozenset({AMENDED, STATUS, 0x200}),
    ),
    "PutClass": Method(
        PutClass(Class("New")),
        PutClass(None),
        PutClass(Class("N" * 5000)),
        frozenset({AMENDED, IMMEDIATELY, 0x1, 0x2, 0x20, 0x40}),
        frozenset({AMENDED, STATUS, 0x1, 0x2, 0x20, 0x40}),
    ),
    "DeleteClass": Method(
        DeleteClass("Thing"), DeleteClass(None), DeleteClass("N" * 5000), frozenset({IMMEDIATELY}), frozenset({STATUS})
    ),
    "CreateClassEnum": Method(
        EnumerateClasses("__SystemClass"),
        EnumerateClasses(None),
        EnumerateClasses("N" * 5000),
        frozenset({AMENDED, IMMEDIATELY, 0x1, 0x20}),
        frozenset({AMENDED, STATUS, 0x1}),
    ),
    "PutInstance": Method(
        PutInstance(THING.new()),
        PutInstance(None),
        PutInstance(THING.new()),
        frozenset({AMENDED, IMMEDIATELY, 0x1, 0x2}),
        frozenset({AMENDED, STATUS, 0x1, 0x2}),
    ),
    "CreateInstanceEnum": Method(
        EnumerateInstances("Thing"),
        EnumerateInstances(None),
        EnumerateInstances("N" * 5000),
        frozenset({AMENDED, IMMEDIATELY, 0x1, 0x20, 0x100, 0x200}),
        frozenset({AMENDED, STATUS, 0x1, 0x100, 0x200}),
    ),
    "ExecQuery": Method(
        ExecQuery("SELECT * FROM Thing"),
        ExecQuery(None),
        ExecQuery(f"SELECT * FROM Thing WHERE Name = '{'x' * 20000}'"),
        frozenset({AMENDED, IMMEDIATELY, 0x2, 0x20, 0x100, 0x200}),
        frozenset({AMENDED, STATUS, 0x2, 0x100, 0x200}),
    ),
    "ExecMethod": Method(
        ExecMethod("__SystemSecurity=@", "GetCallerAccessRights"),
        ExecMethod(None, "GetCallerAccessRights"),
        ExecMethod(f"Thing='{'x' * 9000}'", "GetCallerAccessRights"),
        frozenset({IMMEDIATELY}),
        frozenset({STATUS}),
    ),
}
# A NULL path gives an empty object, a NULL superclass all classes.
REFUSING_NULL = ("PutClass", "DeleteClass", "PutInstance", "CreateInstanceEnum", "ExecQuery", "ExecMethod")
GIVING_RESULTS = ("GetObject", "CreateClassEnum", "CreateInstanceEnum", "ExecQuery", "ExecMethod")


async def made(namespace: Namespace, name: str, what: str = "request") -> Request:
    request: Request = getattr(METHODS[name], what)
    if isinstance(request, PutInstance) and request.instance is not None:
        cls = await thing(namespace)
        return PutInstance(cls.new(Name="x" * 9000 if what == "long" else "x"))
    return request


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager) -> None:
    await manager.compile_mof(MOF, CIMV2, context())


modes = pytest.mark.parametrize("mode", CallingMode)
methods = pytest.mark.parametrize("name", METHODS)


async def started(namespace: Namespace, request: Request, ctx: Any) -> int:
    """The status with which the call returns: before the operation itself."""
    try:
        operation = await namespace.start(request, ctx)
    except WbemError as error:
        return error.status
    await operation.close()
    return E.WBEM_S_NO_ERROR


@pytest.mark.requirement("WMI-2.2.6-01", "WMI-2.2.6-02", "WMI-2.2.6-03")
@pytest.mark.requirement(
    "WMI-3.1.4.3.4-04", "WMI-3.1.4.3.4-05", "WMI-3.1.4.3.4-06", "WMI-3.1.4.3.5-03", "WMI-3.1.4.3.5-04",
    "WMI-3.1.4.3.5-05", "WMI-3.1.4.3.6-05", "WMI-3.1.4.3.6-06", "WMI-3.1.4.3.6-07", "WMI-3.1.4.3.7-06",
    "WMI-3.1.4.3.7-07", "WMI-3.1.4.3.7-08", "WMI-3.1.4.3.8-04", "WMI-3.1.4.3.8-07", "WMI-3.1.4.3.9-04",
    "WMI-3.1.4.3.9-07", "WMI-3.1.4.3.10-07", "WMI-3.1.4.3.10-08", "WMI-3.1.4.3.10-09", "WMI-3.1.4.3.11-05",
    "WMI-3.1.4.3.11-06", "WMI-3.1.4.3.11-07", "WMI-3.1.4.3.12-03", "WMI-3.1.4.3.12-04", "WMI-3.1.4.3.12-05",
    "WMI-3.1.4.3.13-03", "WMI-3.1.4.3.13-04", "WMI-3.1.4.3.13-05", "WMI-3.1.4.3.16-04", "WMI-3.1.4.3.17-04",
    "WMI-3.1.4.3.18-04", "WMI-3.1.4.3.19-04", "WMI-3.1.4.3.22-06", "WMI-3.1.4.3.22-09", "WMI-3.1.4.3.23-06",
    "WMI-3.1.4.3.23-09",
)  # fmt: skip
@modes
@methods
async def test_flags(cimv2: Namespace, name: str, mode: CallingMode) -> None:
    method = METHODS[name]
    valid = method.asynchronous if mode is CallingMode.ASYNCHRONOUS else method.synchronous
    request = await made(cimv2, name)
    for bit in ALL_BITS:
        status = await started(cimv2, request, context(flags=bit, mode=mode))
        allowed = bit in valid or bool(bit & IGNORED)
        assert (status != E.WBEM_E_INVALID_PARAMETER) == allowed, hex(bit)
    # All of them together, but for those that exclude each other.
    together = sum(valid) & ~(0x2 | 0x20 if 0x40 in valid else 0x2)
    assert await started(cimv2, request, context(flags=together | IGNORED, mode=mode)) == E.WBEM_S_NO_ERROR
    assert await started(cimv2, request, context(flags=together | 0x4, mode=mode)) == E.WBEM_E_INVALID_PARAMETER


@pytest.mark.requirement(
    "WMI-3.1.4-03", "WMI-3.1.4-04", "WMI-3.1.4-06", "WMI-3.1.4-13", "WMI-3.1.4.3.4-27", "WMI-3.1.4.3.5-19",
    "WMI-3.1.4.3.6-29", "WMI-3.1.4.3.7-25", "WMI-3.1.4.3.8-17", "WMI-3.1.4.3.9-14", "WMI-3.1.4.3.10-24",
    "WMI-3.1.4.3.11-23", "WMI-3.1.4.3.12-32", "WMI-3.1.4.3.13-27", "WMI-3.1.4.3.16-23", "WMI-3.1.4.3.17-21",
    "WMI-3.1.4.3.18-23", "WMI-3.1.4.3.19-21", "WMI-3.1.4.3.22-27", "WMI-3.1.4.3.23-18",
)  # fmt: skip
@modes
@methods
async def test_rights_to_call(manager: ObjectManager, cimv2: Namespace, name: str, mode: CallingMode) -> None:
    request = await made(cimv2, name)
    needed = [AccessRight.REMOTE_ENABLE]
    if name == "ExecMethod":
        needed.append(AccessRight.METHOD_EXECUTE)
    if name != "ExecMethod" or mode is CallingMode.ASYNCHRONOUS:
        needed.append(AccessRight.ENABLE)
    for missing in needed:
        await grant(manager, ALL_RIGHTS & ~missing)
        ctx = context(USER, mode=mode, remote=True)
        assert await started(cimv2, request, ctx) == E.WBEM_E_ACCESS_DENIED
    await grant(manager, ALL_RIGHTS)
    assert await started(cimv2, request, context(USER, mode=mode, remote=True)) == E.WBEM_S_NO_ERROR


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-03", "WMI-3.1.4.3.6-04", "WMI-3.1.4.3.7-03", "WMI-3.1.4.3.7-05", "WMI-3.1.4.3.8-02",
    "WMI-3.1.4.3.8-03", "WMI-3.1.4.3.9-02", "WMI-3.1.4.3.9-03", "WMI-3.1.4.3.12-01", "WMI-3.1.4.3.12-02",
    "WMI-3.1.4.3.13-01", "WMI-3.1.4.3.13-02", "WMI-3.1.4.3.22-02", "WMI-3.1.4.3.23-02",
)  # fmt: skip
@modes
@pytest.mark.parametrize("name", REFUSING_NULL)
async def test_null(cimv2: Namespace, name: str, mode: CallingMode) -> None:
    assert await started(cimv2, await made(cimv2, name, "null"), context(mode=mode)) == E.WBEM_E_INVALID_PARAMETER


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-50", "WMI-3.1.4.3.7-44", "WMI-3.1.4.3.8-32", "WMI-3.1.4.3.9-15", "WMI-3.1.4.3.10-32",
    "WMI-3.1.4.3.11-24", "WMI-3.1.4.3.12-45", "WMI-3.1.4.3.13-28", "WMI-3.1.4-07",
)  # fmt: skip
@modes
@methods
async def test_what_is_too_long(cimv2: Namespace, name: str, mode: CallingMode) -> None:
    request = await made(cimv2, name, "long")
    assert await started(cimv2, request, context(mode=mode)) == E.WBEM_E_QUOTA_VIOLATION


@pytest.mark.requirement("WMI-3.1.4-07")
@pytest.mark.parametrize(("character", "status"), [("x", E.WBEM_E_NOT_FOUND), ("\U0001f600", E.WBEM_E_QUOTA_VIOLATION)])
async def test_lengths_count_units_of_16_bits(cimv2: Namespace, character: str, status: int) -> None:
    with pytest.raises(WbemError) as caught:
        await run(cimv2, GetObject(f"Thing='{character * 5000}'"))
    assert caught.value.status == status


@pytest.mark.requirement(
    "WMI-3.1.4.3.4-26", "WMI-3.1.4.3.4-13", "WMI-3.1.4.3.4-14", "WMI-3.1.4.3.6-28", "WMI-3.1.4.3.6-19",
    "WMI-3.1.4.3.8-16", "WMI-3.1.4.3.8-09", "WMI-3.1.4.3.10-23", "WMI-3.1.4.3.10-19", "WMI-3.1.4.3.12-31",
    "WMI-3.1.4.3.5-13", "WMI-3.1.4.3.7-20", "WMI-3.1.4.3.9-09", "WMI-3.1.4.3.11-15", "WMI-3.1.4.3.18-22",
    "WMI-3.1.4.3.19-20", "WMI-3.1.4.3.22-26", "WMI-3.1.4.3.23-17",
)  # fmt: skip
@modes
@methods
@pytest.mark.parametrize("values", [{}, {"Mine": TypedValue.of("x"), "__CorrelationId": TypedValue.of("{0}")}])
async def test_success_with_a_context_and_without(
    cimv2: Namespace, name: str, mode: CallingMode, values: dict[str, TypedValue]
) -> None:
    operation = await cimv2.start(await made(cimv2, name), context(mode=mode, values=values))
    await operation.collect()
    assert (await operation.wait()).status == E.WBEM_S_NO_ERROR


# -- the Async methods


async def delivered(manager: ObjectManager, namespace: Namespace, request: Request, ctx: Any) -> RecordingSink:
    sink = RecordingSink()
    table = manager.async_operations
    entry = await table.start(sink, ctx, lambda: namespace.start(request, ctx))
    task = asyncio.create_task(table.deliver(entry))
    await task
    return sink


@pytest.mark.requirement(
    "WMI-3.1.4.3.5-08", "WMI-3.1.4.3.5-14", "WMI-3.1.4.3.5-18", "WMI-3.1.4.3.7-17", "WMI-3.1.4.3.7-21",
    "WMI-3.1.4.3.7-24", "WMI-3.1.4.3.9-05", "WMI-3.1.4.3.9-10", "WMI-3.1.4.3.9-13", "WMI-3.1.4.3.11-10",
    "WMI-3.1.4.3.11-16", "WMI-3.1.4.3.11-19", "WMI-3.1.4.3.11-22", "WMI-3.1.4.3.13-11", "WMI-3.1.4.3.13-23",
    "WMI-3.1.4.3.13-26", "WMI-3.1.4.3.17-09", "WMI-3.1.4.3.19-09", "WMI-3.1.4.3.19-17", "WMI-3.1.4.3.23-07",
    "WMI-3.1.4.3.23-14",
)  # fmt: skip
@methods
@pytest.mark.parametrize("flags", [0, STATUS])
async def test_one_final_status(manager: ObjectManager, cimv2: Namespace, name: str, flags: int) -> None:
    sink = await delivered(manager, cimv2, await made(cimv2, name), asynchronously(flags=flags))
    text = 'Thing.Name="x"' if name == "PutInstance" else None
    assert sink.statuses == [(StatusType.COMPLETE, E.WBEM_S_NO_ERROR, text, None)]
    assert sink.calls[-2][0] == "set_status"
    results = [item for call in sink.calls if call[0] == "indicate" for item in call[1:]]
    assert bool(results) == (name in GIVING_RESULTS)


@pytest.mark.requirement(
    "WMI-3.1.4.3.5-20", "WMI-3.1.4.3.7-26", "WMI-3.1.4.3.9-16", "WMI-3.1.4.3.11-25", "WMI-3.1.4.3.13-29",
    "WMI-3.1.4.3.19-24", "WMI-3.1.4.3.23-19",
)  # fmt: skip
@methods
async def test_an_entry_in_the_table(manager: ObjectManager, cimv2: Namespace, name: str) -> None:
    sink, ctx, table = RecordingSink(), asynchronously(), manager.async_operations
    request = await made(cimv2, name)
    entry = await table.start(sink, ctx, lambda: cimv2.start(request, ctx))
    assert entry in list(table)
    await table.deliver(entry)
    assert entry not in list(table)


@pytest.mark.requirement("WMI-3.1.4.3.11-18", "WMI-3.1.4.3.5-31")
@methods
async def test_a_call_that_fails_leaves_the_sink_alone(manager: ObjectManager, cimv2: Namespace, name: str) -> None:
    sink, ctx = RecordingSink(), asynchronously(flags=0x4)
    request = await made(cimv2, name)
    with pytest.raises(WbemError):
        await manager.async_operations.start(sink, ctx, lambda: cimv2.start(request, ctx))
    assert sink.calls == []
    assert list(manager.async_operations) == []


# -- many at a time


@pytest.mark.requirement("WMI-3.1.4-01", "WMI-3.1.4-02")
async def test_calls_of_several_principals_at_once(manager: ObjectManager, cimv2: Namespace) -> None:
    """None of them waits for another, though each is in the middle of its work."""
    mof = '[dynamic, provider("Slow")] class Slow { [key] string Name; };'
    gate = Gate()
    await manager.register(scripted("Slow", does=gate), "Slow", mof=mof)
    await grant(manager, ALL_RIGHTS)
    callers = [context(), context(USER), context(replace(USER, account="other"))]
    running = [await cimv2.start(DeleteInstance("Slow='x'"), ctx) for ctx in callers]
    await gate.wait_reached()
    assert manager.running == len(callers)
    for ctx in callers:
        assert len(await run(cimv2, GetObject("Thing='x'"), ctx)) == 1
    gate.opened.set()
    assert [(await operation.wait()).status for operation in running] == [E.WBEM_S_NO_ERROR] * len(callers)


@pytest.mark.requirement("WMI-3.1.4.3-09")
async def test_names_of_classes_without_regard_to_case(cimv2: Namespace) -> None:
    await run(cimv2, GetObject("THING='x'"))
    await run(cimv2, EnumerateClasses("__SYSTEMclass"))
    await run(cimv2, PutClass(Class("below", "tHING")))
    await run(cimv2, DeleteClass("BELOW"))
