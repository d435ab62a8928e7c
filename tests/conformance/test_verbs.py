"""The verbs of a session, and the running operations that they start, over every implementation."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from openwmi.cim import Instance as CimInstance
from openwmi.cim import ObjectPath
from openwmi.cim.operations import CallingMode, Flags
from openwmi.client.callbacks import Callbacks, Result
from openwmi.client.objects import Instance
from openwmi.client.operation import AsyncOperation, CancelReason
from openwmi.client.options import OperationOptions
from openwmi.client.session import AsyncSession
from openwmi.errors import (
    CallerError,
    InvalidClass,
    InvalidNamespace,
    InvalidParameter,
    NotFound,
    WbemError,
)
from openwmi.status import MIResult, WbemStatus


async def things(session: AsyncSession, *names: str, **values: Any) -> list[CimInstance]:
    cls = await session.get_class("Suite_Thing")
    made = [cls.new(Name=name, **values) for name in names]
    for instance in made:
        await session.put_instance(instance)
    return made


async def names_of(operation: AsyncOperation[Any]) -> list[str]:
    async with operation:
        return sorted([item["Name"] async for item in operation])


# -- instances


async def test_creating_and_modifying(session: AsyncSession) -> None:
    cls = await session.get_class("Suite_Thing")
    made = cls.new(Name="one", Size=1, Note="first")
    path = await session.create_instance(made)
    assert path.relative == ObjectPath.of("Suite_Thing", Name="one")
    with pytest.raises(WbemError) as caught:
        await session.create_instance(made)
    assert caught.value.status == WbemStatus.WBEM_E_ALREADY_EXISTS
    found = await session.get_instance(path)
    found["Note"], found["Size"] = "second", 2
    await session.modify_instance(found)
    assert (await session.get_instance("Suite_Thing", {"Name": "one"}))["Note"] == "second"
    with pytest.raises(NotFound):
        await session.modify_instance(cls.new(Name="two"))


async def test_modifying_some_properties(session: AsyncSession) -> None:
    (made,) = await things(session, "one", Size=1, Note="first")
    made["Size"], made["Note"] = 2, None
    await session.modify_instance(made, properties=["Size"])
    found = await session.get_instance('Suite_Thing="one"')
    assert (found["Size"], found["Note"]) == (2, "first")
    await session.modify_instance(made, properties=["Note"])
    assert (await session.get_instance('Suite_Thing="one"'))["Note"] is None


async def test_part_of_an_instance(session: AsyncSession) -> None:
    await things(session, "one", Size=1)
    keys = await session.get_instance('Suite_Thing="one"', keys_only=True)
    assert keys.to_dict() == {"Name": "one"}
    some = await session.get_instance('Suite_Thing="one"', properties=["size"])
    assert some.to_dict() == {"Name": "one", "Size": 1}
    with pytest.raises(InvalidParameter, match="exclude each other"):
        await session.get_instance('Suite_Thing="one"', properties=["size"], keys_only=True)
    with pytest.raises(InvalidParameter, match="a list of names"):
        await session.get_instance('Suite_Thing="one"', properties="size")


async def test_an_instance_is_an_instance(session: AsyncSession) -> None:
    with pytest.raises(WbemError) as caught:
        await session.get_instance("Suite_Thing")
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_OBJECT_PATH
    with pytest.raises(WbemError) as caught:
        await session.get_class("Suite_Only=@")
    assert caught.value.status in (WbemStatus.WBEM_E_INVALID_CLASS, WbemStatus.WBEM_E_NOT_FOUND)


# -- deleting, as MI_Session_DeleteInstance does


@pytest.mark.parametrize("how", ["instance", "found", "path", "object path", "full path", "class and keys", "class"])
async def test_what_can_be_deleted(session: AsyncSession, how: str) -> None:
    made, _ = await things(session, "one", "two")
    found = await session.get_instance('Suite_Thing="one"')
    cls = await session.get_class("Suite_Thing")
    targets: dict[str, tuple[Any, ...]] = {
        "instance": (made,),
        "found": (found,),
        "path": ('Suite_Thing.Name="one"',),
        "object path": (ObjectPath.of("Suite_Thing", Name="one"),),
        "full path": (str(found.path),),
        "class and keys": ("Suite_Thing", {"Name": "one"}),
        "class": (cls, {"name": "one"}),
    }
    await session.delete_instance(*targets[how])
    assert await names_of(await session.enumerate_instances("Suite_Thing")) == ["two"]


async def test_what_cannot_be_deleted(session: AsyncSession) -> None:
    cls = await session.get_class("Suite_Thing")
    with pytest.raises(InvalidParameter, match="give the keys"):
        await session.delete_instance(cls)
    nameless = cls.new()
    nameless["Name"] = None
    with pytest.raises(WbemError) as caught:
        await session.delete_instance(nameless)
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_OBJECT_PATH
    with pytest.raises(InvalidParameter, match="name of a class"):
        await session.delete_instance(ObjectPath("Suite_Thing"), {"Name": "one"})


@pytest.mark.parametrize("flags", [1, Flags.USE_AMENDED_QUALIFIERS, 0x10])
async def test_a_delete_takes_no_flags(session: AsyncSession, flags: int) -> None:
    await things(session, "one")
    with pytest.raises(InvalidParameter, match="takes none"):
        await session.delete_instance('Suite_Thing="one"', flags=flags)
    assert await session.get_instance('Suite_Thing="one"')


@pytest.mark.parametrize("namespace", ["//server/root/cimv2", "root\\cimv2", "\\\\.\\root\\cimv2"])
async def test_a_namespace_has_no_computer_and_no_backslash(session: AsyncSession, namespace: str) -> None:
    with pytest.raises(InvalidParameter, match="with slashes and without a computer"):
        await session.delete_instance('Suite_Thing="one"', namespace=namespace)


async def test_a_namespace_is_optional(session: AsyncSession) -> None:
    await things(session, "one")
    with pytest.raises(WbemError) as caught:
        await session.delete_instance('Suite_Thing="one"', namespace="root/default")
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_CLASS
    with pytest.raises(InvalidNamespace):
        await session.delete_instance('Suite_Thing="one"', namespace="root/nowhere")
    found = await session.get_instance('Suite_Thing="one"')
    with pytest.raises(InvalidParameter, match="and not in"):
        await session.delete_instance(found, namespace="root/default")
    await session.delete_instance('Suite_Thing="one"', namespace="ROOT/cimv2")
    await session.delete_instance('Suite_Gauge="a"', namespace=None)


async def test_an_instance_is_deleted_where_it_is(session: AsyncSession) -> None:
    """And not its namesake in the session's own namespace."""
    await things(session, "one")
    found = await session.get_instance('Suite_Thing="one"')
    elsewhere = await session.namespace("root/default")
    assert elsewhere.scope.lower() in ("root\\default", "root/default")
    await elsewhere.delete_instance(found)
    assert await names_of(await session.enumerate_instances("Suite_Thing")) == []


async def test_an_instance_is_put_back_where_it_is_from(session: AsyncSession) -> None:
    """And created where the session is."""
    await things(session, "one", Size=1)
    found = await session.get_instance('Suite_Thing="one"')
    elsewhere = await session.namespace("root/default")
    found["Size"] = 2
    await elsewhere.put_instance(found)
    assert (await session.get_instance('Suite_Thing="one"'))["Size"] == 2
    with pytest.raises(InvalidClass):
        await elsewhere.create_instance(found)


# -- fetching


async def test_a_delete_has_one_result_without_an_instance(session: AsyncSession) -> None:
    await things(session, "one")
    async with await session.start.delete_instance('Suite_Thing="one"') as operation:
        assert await operation.fetch() == Result(None, more=False)
        await operation.result()


async def test_fetching_goes_on_until_there_is_no_more(session: AsyncSession) -> None:
    await things(session, "one", "two")
    async with await session.enumerate_instances("Suite_Thing") as operation:
        fetched = [await operation.fetch()]
        while fetched[-1].more:
            fetched.append(await operation.fetch())
    assert [result.more for result in fetched] == [True, True, False]
    assert {result.instance["Name"] for result in fetched[:2] if result.instance} == {"one", "two"}
    assert fetched[2] == Result(None, more=False)


async def test_the_end_of_a_failure_has_its_details(session: AsyncSession) -> None:
    async with await session.start.delete_instance('Suite_Thing="absent"') as operation:
        end = await operation.fetch()
        assert not end.more
        assert end.status == WbemStatus.WBEM_E_NOT_FOUND
        assert "WBEM_E_NOT_FOUND" in end.message
        assert end.details is not None
        assert (end.details.class_name, end.details["error_Code"]) == ("CIM_Error", WbemStatus.WBEM_E_NOT_FOUND)
        assert end.details["CIMStatusCode"] == MIResult.MI_RESULT_NOT_FOUND
        assert operation.error is not None
        assert operation.error["Operation"] == "DeleteInstance"
        with pytest.raises(NotFound):
            await operation.result()


@pytest.mark.parametrize("reason", CancelReason)
async def test_a_cancelled_operation_is_fetched_to_its_end_too(session: AsyncSession, reason: CancelReason) -> None:
    await things(session, *map(str, range(5)))
    async with await session.enumerate_instances("Suite_Thing", page_size=1) as operation:
        assert (await operation.fetch()).more
        operation.cancel(reason)
        end = await operation.fetch()
        while end.more:
            end = await operation.fetch()
        assert end.instance is None
        if operation.outcome is not None and not operation.outcome.succeeded:
            assert (end.status, reason.value in end.message) == (WbemStatus.WBEM_E_CALL_CANCELLED, True)


async def test_one_result_is_one(session: AsyncSession) -> None:
    await things(session, "one", "two")
    async with await session.query('SELECT * FROM Suite_Thing WHERE Name = "one"') as operation:
        found = await operation.result()
        assert isinstance(found, Instance)
        assert found["Name"] == "one"
    async with await session.enumerate_instances("Suite_Thing") as operation:
        with pytest.raises(CallerError, match="more than one"):
            await operation.result()
    async with await session.query('SELECT * FROM Suite_Thing WHERE Name = "none"') as empty:
        with pytest.raises(CallerError, match="no result"):
            await empty.result()


# -- callbacks


@pytest.mark.parametrize("mode", [CallingMode.SEMISYNCHRONOUS, CallingMode.ASYNCHRONOUS])
async def test_callbacks_are_told_everything_once(session: AsyncSession, mode: CallingMode) -> None:
    await things(session, "one", "two", "three")
    told: list[Result[Instance]] = []
    threads: set[int] = set()

    def seen(result: Result[Instance]) -> None:
        told.append(result)
        threads.add(threading.get_ident())

    options = OperationOptions(callbacks=Callbacks(instance=seen), mode=mode)
    async with await session.enumerate_instances("Suite_Thing", **options) as operation:
        assert (await operation.wait()).succeeded
    assert sorted(result.instance["Name"] for result in told if result.instance) == ["one", "three", "two"]
    assert [result.more for result in told] == [True, True, True, False]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_coroutine_functions_are_callbacks_too(session: AsyncSession) -> None:
    told: list[Result[None]] = []

    async def seen(result: Result[None]) -> None:
        await asyncio.sleep(0)
        told.append(result)

    options = OperationOptions(callbacks=Callbacks(instance=seen))
    async with await session.start.delete_instance('Suite_Thing="absent"', **options) as operation:
        await operation.wait()
    (end,) = told
    assert (end.instance, end.more, end.status) == (None, False, WbemStatus.WBEM_E_NOT_FOUND)
    assert end.details is not None


async def test_with_callbacks_there_is_nothing_to_fetch(session: AsyncSession) -> None:
    options = OperationOptions(callbacks=Callbacks(instance=lambda result: None))
    async with await session.enumerate_instances("Suite_Thing", **options) as operation:
        for fetching in (operation.fetch, operation.result, operation.results):
            with pytest.raises(CallerError, match="callbacks take"):
                await fetching()


async def test_a_verb_that_waits_takes_no_callbacks(session: AsyncSession) -> None:
    """And refuses them before it has done anything."""
    told: list[Result[Any]] = []
    options = OperationOptions(callbacks=Callbacks(instance=told.append))
    with pytest.raises(CallerError, match=r"session\.start\.delete_instance"):
        await session.delete_instance('Suite_Gauge="a"', **options)
    with pytest.raises(CallerError, match=r"session\.start\.invoke"):
        await session.invoke('Suite_Gauge="a"', "Add", Amount=40, options=options)
    found = await session.get_instance('Suite_Gauge="a"')
    assert (found["Value"], told) == (1, [])


@pytest.mark.requirement("WMI-3.2.4.2.9-05")
async def test_what_is_forbidden_inside_a_callback(session: AsyncSession) -> None:
    await things(session, "one")
    refused: list[str] = []
    running: list[AsyncOperation[Instance]] = []
    ready = threading.Event()

    async def seen(result: Result[Instance]) -> None:
        await asyncio.to_thread(ready.wait)
        (operation,) = running
        for forbidden in (operation.cancel, operation.close, operation.wait):
            try:
                found = forbidden()
                if found is not None:
                    await found
            except CallerError as error:
                refused.append(str(error))

    options = OperationOptions(callbacks=Callbacks(instance=seen))
    async with await session.enumerate_instances("Suite_Thing", **options) as operation:
        running.append(operation)
        ready.set()
        assert (await operation.wait()).succeeded
    assert len(refused) == 6
    assert all("inside a callback" in text for text in refused)


async def test_a_callback_that_raises_cancels(session: AsyncSession, caplog: pytest.LogCaptureFixture) -> None:
    await things(session, "one", "two")
    told: list[Result[Instance]] = []

    def seen(result: Result[Instance]) -> None:
        told.append(result)
        if result.more:
            raise KeyError("a mistake")

    options = OperationOptions(callbacks=Callbacks(instance=seen), page_size=1)
    async with await session.enumerate_instances("Suite_Thing", **options) as operation:
        await operation.wait()
    assert "the callback for instance" in caplog.text
    assert not told[-1].more
    assert sum(not result.more for result in told) == 1


async def test_closing_tells_the_callbacks_the_end(session: AsyncSession) -> None:
    await things(session, *map(str, range(20)))
    told: list[Result[Instance]] = []
    options = OperationOptions(callbacks=Callbacks(instance=told.append), page_size=1)
    operation = await session.enumerate_instances("Suite_Thing", **options)
    await operation.close()
    assert sum(not result.more for result in told) == 1
    assert not told[-1].more


# -- the rest


async def test_pages(session: AsyncSession) -> None:
    await things(session, *map(str, range(7)))
    for size in (1, 3, 1000):
        operation = await session.enumerate_instances("Suite_Thing", page_size=size)
        assert len(await names_of(operation)) == 7
    for size in (0, 1001):
        with pytest.raises(InvalidParameter, match="page_size"):
            await session.enumerate_instances("Suite_Thing", page_size=size)


async def test_values_of_the_context(session: AsyncSession) -> None:
    found = await session.get_instance('Suite_Gauge="a"', values={"Remark": "hello"})
    assert found["Context"] == "hello"
    with pytest.raises(InvalidParameter, match="Remark"):
        await session.get_instance('Suite_Gauge="a"', values={"Remark": object()})


async def test_a_timeout_is_for_the_whole_operation(session: AsyncSession) -> None:
    with pytest.raises(InvalidParameter, match="timeout"):
        await session.get_instance('Suite_Gauge="a"', timeout=0)
    async with await session.start.get_instance('Suite_Gauge="a"', timeout=20) as operation:
        assert operation.remaining is not None
        assert 0 < operation.remaining <= 20
        assert operation.elapsed >= 0
        await operation.result()
    async with await session.start.get_instance('Suite_Gauge="a"', timeout=None) as operation:
        assert operation.remaining is None
        await operation.result()


async def test_testing_the_connection(session: AsyncSession) -> None:
    await session.test_connection()


async def test_events_come_later(session: AsyncSession) -> None:
    with pytest.raises(WbemError) as caught:
        await session.subscribe("SELECT * FROM __InstanceDeletionEvent")
    assert caught.value.status == WbemStatus.WBEM_E_NOT_SUPPORTED


@pytest.mark.requirement("WMI-3.2.4.2.5-01", "WMI-3.2.4.2.5-02", "WMI-3.2.4.2.5-03")
async def test_methods_take_arguments_and_options(session: AsyncSession) -> None:
    answer = await session.invoke('Suite_Gauge="a"', "Add", Amount=2)
    assert answer == {"Total": 3, "ReturnValue": 0}
    gauge = await session.get_instance('Suite_Gauge="a"')
    answer = await session.invoke(gauge, "add", {"amount": 1}, options={"timeout": 9})
    assert answer["Total"] == 4
    assert (await session.invoke(await session.get_class("Suite_Gauge"), "Count"))["Number"] == 2
    with pytest.raises(WbemError) as caught:
        await session.invoke('Suite_Gauge="a"', "Add", Amuont=2)
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS
