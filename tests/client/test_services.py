"""`session.services()`: every method of IWbemServices in its modes, over DCOM and in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

import openwmi
from openwmi import aio
from openwmi.cim import CimObject, Class, Instance
from openwmi.cim.delivery import StatusType
from openwmi.cim.operations import CallingMode, Flags
from openwmi.client.services import AsyncServices
from openwmi.client.session import AsyncSession
from openwmi.errors import CallerError, DeadlineExceeded, InvalidParameter, NotFound, WbemError
from openwmi.providers import ProviderCall
from openwmi.status import WbemStatus
from tests.wire import SCHEMA, Machine, within

STATIC = "Acme_Static"
NAMES = ["x", "y", "z"]
X = 'Acme_Static.Name="x"'


@pytest.fixture(params=["local", "dcom"])
async def session(request: pytest.FixtureRequest, machine: Machine) -> AsyncIterator[AsyncSession]:
    if request.param == "dcom":
        yield await machine.session()
        return
    async with await aio.connect("local:") as opened:
        await opened.compile_mof(SCHEMA)
        yield opened


@pytest.fixture
async def services(session: AsyncSession) -> AsyncServices:
    return await session.services()


def name_of(found: CimObject) -> Any:
    return found["Name"] if isinstance(found, Instance) else found.name


class Told:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.statuses: list[tuple[int, int, str | None, Instance | None]] = []

    def indicate(self, objects: Sequence[CimObject]) -> None:
        self.names += [name_of(one) for one in objects]

    async def set_status(self, kind: int, status: int, text: str | None, error: Instance | None) -> None:
        self.statuses.append((kind, status, text, error))


async def test_synchronous(services: AsyncServices) -> None:
    calls = services.synchronous
    found = await calls.get_object(X)
    assert isinstance(found, openwmi.Instance)
    assert found.Value == 5
    found["Name"] = "w"
    assert await calls.put_instance(found) in (None, 'Acme_Static.Name="w"')
    await calls.delete_instance('Acme_Static.Name="w"')
    with pytest.raises(NotFound):
        await calls.get_object('Acme_Static.Name="w"')
    cls = await calls.get_object(STATIC)
    assert isinstance(cls, Class)
    await calls.put_class(cls, Flags.UPDATE_ONLY)
    await calls.delete_class("Acme_Only")
    async with await calls.exec_query(f"SELECT * FROM {STATIC}") as enumerator:
        found_all, status = await enumerator.next(10, 0)  # all of them are there
        assert ([name_of(one) for one in found_all], status) == (NAMES, WbemStatus.WBEM_S_FALSE)


async def test_semisynchronous(services: AsyncServices) -> None:
    calls = services.semisynchronous
    async with await calls.get_object(X) as getting:
        found = await getting.result()
        assert isinstance(found, Instance)
    found["Name"] = "w"
    async with await calls.put_instance(found) as putting:
        text = await putting.result()
        assert text is not None
        assert text.endswith('Acme_Static.Name="w"')
    async with await calls.delete_instance('Acme_Static.Name="w"') as deleting:
        await deleting.result()
    with pytest.raises(NotFound):
        await calls.delete_instance('Acme_Static.Name="w"')
    async with await calls.create_class_enum(None, Flags.SHALLOW | Flags.FORWARD_ONLY) as classes:
        assert STATIC in [name_of(one) async for one in classes]
    async with await calls.create_instance_enum(STATIC) as instances:
        assert [name_of(one) async for one in instances] == NAMES


@pytest.mark.parametrize("mode", ["synchronous", "semisynchronous"])
async def test_an_enumerator_goes_back(services: AsyncServices, mode: str) -> None:
    async with await getattr(services, mode).create_instance_enum(STATIC) as enumerator:
        first, status = await enumerator.next(1, 10)
        assert (name_of(first[0]), status) == ("x", WbemStatus.WBEM_S_NO_ERROR)
        async with await enumerator.clone() as clone:
            assert await clone.skip(1, 10) == WbemStatus.WBEM_S_NO_ERROR
            assert [name_of(one) for one in await clone.take(10)] == ["z"]
        await enumerator.reset()
        async with await enumerator.next_async(2) as operation:
            assert [name_of(one) async for one in operation] == ["x", "y"]
            assert operation.outcome is not None
            assert operation.outcome.status == WbemStatus.WBEM_S_NO_ERROR
        told = Told()
        async with await enumerator.next_async(2, told) as operation:
            await within(operation.wait())
        assert told.names == ["z"]
        assert [status[:2] for status in told.statuses] == [(StatusType.COMPLETE, WbemStatus.WBEM_S_FALSE)]


async def test_forward_only(services: AsyncServices) -> None:
    async with await services.semisynchronous.create_instance_enum(STATIC, Flags.FORWARD_ONLY) as enumerator:
        with pytest.raises(WbemError) as caught:
            await enumerator.reset()
        assert caught.value.status == WbemStatus.WBEM_E_INVALID_OPERATION


async def test_asynchronous_iterators(services: AsyncServices) -> None:
    calls = services.asynchronous()
    async with await calls.exec_query(f"SELECT * FROM {STATIC}") as operation:
        assert [name_of(one) async for one in operation] == NAMES
    async with await calls.create_class_enum(STATIC) as operation:
        assert [one async for one in operation] == []
    async with await calls.get_object(X) as getting:
        assert name_of(await getting.result()) == "x"
    async with await calls.delete_instance(X) as deleting:
        await deleting.result()
    async with await calls.create_instance_enum(STATIC) as operation:
        assert [name_of(one) async for one in operation] == NAMES[1:]


async def test_a_sink(services: AsyncServices) -> None:
    told = Told()
    calls = services.asynchronous(told)
    async with await calls.create_instance_enum(STATIC) as operation:
        with pytest.raises(CallerError, match="nothing left to fetch"):
            await operation.results()
        await within(operation.wait())
    assert told.names == NAMES
    assert told.statuses == [(StatusType.COMPLETE, WbemStatus.WBEM_S_NO_ERROR, None, None)]
    async with await calls.get_object('Acme_Static.Name="nobody"') as getting:
        await within(getting.wait())
    kind, status, _, error = told.statuses[-1]
    assert (kind, status) == (StatusType.COMPLETE, WbemStatus.WBEM_E_NOT_FOUND)
    assert error is not None
    assert error.class_name == "__ExtendedStatus"


async def test_a_sink_that_fails_ends_its_operation(machine: Machine) -> None:
    class Failing(Told):
        def indicate(self, objects: Sequence[CimObject]) -> None:
            raise OSError("the disk is full")

    services = await (await machine.session()).services()
    told = Failing()
    async with await services.asynchronous(told).create_instance_enum(STATIC) as operation:
        assert (await within(operation.wait())).status == WbemStatus.WBEM_E_CALL_CANCELLED
    assert [status[:2] for status in told.statuses] == [(StatusType.COMPLETE, WbemStatus.WBEM_E_CALL_CANCELLED)]


async def test_cancel_async_call(machine: Machine) -> None:
    begun, released = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(call: ProviderCall) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(30)

    machine.does = slow
    services = await (await machine.session()).services()
    told = Told()
    async with await services.asynchronous(told).delete_instance('Acme_Dynamic.Name="x"') as operation:
        await within(begun.wait())
        with pytest.raises(NotFound, match="no running operation uses this sink"):
            await services.cancel_async_call(Told())
        await services.cancel_async_call(told)
        await within(operation.wait())
        released.set()
    assert [status[:2] for status in told.statuses] == [(StatusType.COMPLETE, WbemStatus.WBEM_E_CALL_CANCELLED)]
    with pytest.raises(NotFound):
        await services.cancel_async_call(told)


async def test_an_enumerator_in_which_nothing_comes_in_time(
    services: AsyncServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def next_(count: int, timeout: float | None) -> tuple[list[CimObject], int]:
        return [], WbemStatus.WBEM_S_TIMEDOUT

    async with await services.semisynchronous.create_instance_enum(STATIC) as enumerator:
        monkeypatch.setattr(enumerator._place, "next", next_)
        with pytest.raises(DeadlineExceeded, match="Next gave no object in"):
            await enumerator.take(1)
        with pytest.raises(DeadlineExceeded):
            [one async for one in enumerator]


@pytest.mark.parametrize("mode", [CallingMode.SYNCHRONOUS, CallingMode.SEMISYNCHRONOUS])
async def test_open_namespace(session: AsyncSession, mode: CallingMode) -> None:
    root = await session.services("root")
    below = await root.open_namespace("cimv2", mode=mode)
    assert below.namespace.lower().endswith("cimv2")
    assert name_of(await below.synchronous.get_object(X)) == "x"
    with pytest.raises(WbemError, match="no asynchronous form"):
        await root.open_namespace("cimv2", mode=CallingMode.ASYNCHRONOUS)


@pytest.mark.parametrize("mode", ["synchronous", "semisynchronous"])
async def test_what_is_refused_at_once_is_raised_at_once(services: AsyncServices, mode: str) -> None:
    with pytest.raises(InvalidParameter):
        await getattr(services, mode).get_object(X, 0x1000000)
    with pytest.raises(InvalidParameter):
        await services.asynchronous().get_object(X, Flags.FORWARD_ONLY)


async def test_context_values(services: AsyncServices) -> None:
    values = {"__GET_EXTENSIONS": True, "__GET_EXT_KEYS_ONLY": True}
    found = await services.synchronous.get_object(X, 0, values)
    assert list(found) == ["Name"]  # type: ignore[arg-type]


async def test_a_method(services: AsyncServices) -> None:
    cls = await services.synchronous.get_object("__SystemSecurity")
    assert isinstance(cls, Class)
    out = await services.synchronous.exec_method("__SystemSecurity=@", "GetSD")
    assert isinstance(out, Instance)
    assert out["ReturnValue"] == 0
    async with await services.semisynchronous.exec_method("__SystemSecurity=@", "GetSD") as calling:
        assert await calling.result() == out
    async with await services.asynchronous().exec_method("__SystemSecurity=@", "GetSD") as calling:
        assert await calling.result() == out
    parameters = cls.methods["SetSD"].in_class
    assert parameters is not None
    given = Instance(parameters, {"SD": out["SD"]})
    assert isinstance(await services.synchronous.exec_method("__SystemSecurity=@", "SetSD", given), Instance)


def test_the_synchronous_facade() -> None:
    with openwmi.connect("local:") as session:
        session.compile_mof(SCHEMA)
        services = session.services()
        assert name_of(services.synchronous.get_object(X)) == "x"
        with services.semisynchronous.get_object(X) as getting:
            assert name_of(getting.result()) == "x"
        with services.synchronous.exec_query(f"SELECT * FROM {STATIC}") as enumerator:
            assert [name_of(one) for one in enumerator] == NAMES
            enumerator.reset()
            with enumerator.clone() as clone:
                assert [name_of(one) for one in clone.next(2, 10)[0]] == NAMES[:2]
            with enumerator.next_async(3) as operation:
                assert [name_of(one) for one in operation] == NAMES
        with services.asynchronous().create_instance_enum(STATIC) as operation:
            assert [name_of(one) for one in operation] == NAMES
        told = Told()
        with services.asynchronous(told).create_instance_enum(STATIC) as operation:
            operation.wait()
        assert told.names == NAMES
        with pytest.raises(NotFound):
            services.cancel_async_call(told)
        with pytest.raises(openwmi.InvalidNamespace):
            services.open_namespace("nowhere")
        assert services.namespace == "root\\cimv2"
