"""What providers do right and wrong, and what becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from openwmi.cim import Instance
from openwmi.cim.operation import Progress, Report
from openwmi.errors import AccessDenied, NotFound, WbemError
from openwmi.providers import PENDING, Provider, ProviderCall, method
from openwmi.providers.runner import Batches, ProviderRunner
from openwmi.providers.threads import WorkerThreads
from openwmi.status import WbemStatus
from tests.providers.support import LAMP, call, nobody, runner

E = WbemStatus
KEYS = {"Number": 3}


async def failing(awaitable: Any) -> WbemError:
    with pytest.raises(WbemError) as caught:
        await awaitable
    return caught.value


async def everything(batches: Batches) -> list[Instance]:
    return [item async for batch in batches for item in batch]


def provider(**functions: Callable[..., Any]) -> Provider:
    """A provider with these functions."""
    made = type("Made", (Provider,), functions)()
    assert isinstance(made, Provider)
    return made


# -- get


class Sync(Provider):
    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        return {"on": False}


class Async(Provider):
    async def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        await asyncio.sleep(0)
        return call.new(Number=3, On=False)


@pytest.mark.parametrize("made", [Sync(), Async()])
async def test_get(made: Provider) -> None:
    found = await runner(made).get(call(), KEYS, nobody)
    assert found.to_dict() == {"Number": 3, "On": False, "Colour": None}
    assert str(found.path) == r"\\HOST\root\cimv2:Acme_Lamp.Number=3"


async def test_functions_that_are_def_run_in_a_thread_and_others_in_the_loop() -> None:
    where: list[threading.Thread] = []

    async def in_loop(self: Provider, call: ProviderCall, keys: Any) -> None:
        where.append(threading.current_thread())

    def in_thread(self: Provider, call: ProviderCall, keys: Any) -> None:
        where.append(threading.current_thread())

    await runner(provider(delete_instance=in_loop)).delete(call(), KEYS, nobody)
    await runner(provider(delete_instance=in_thread)).delete(call(), KEYS, nobody)
    assert where[0] is threading.current_thread()
    assert where[1] is not threading.current_thread()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, E.WBEM_E_NOT_FOUND),
        ({}, E.WBEM_S_NO_ERROR),
        ({"Nonsense": 1}, E.WBEM_E_PROVIDER_FAILURE),
        ({"On": "yes"}, E.WBEM_E_PROVIDER_FAILURE),
        ({"Number": -1}, E.WBEM_E_PROVIDER_FAILURE),
        ({1: 2}, E.WBEM_E_PROVIDER_FAILURE),
        (5, E.WBEM_E_PROVIDER_FAILURE),
        ("Acme_Lamp", E.WBEM_E_PROVIDER_FAILURE),
        ([{}], E.WBEM_E_PROVIDER_FAILURE),
        (Instance(LAMP, {"Number": 3}), E.WBEM_S_NO_ERROR),
        (LAMP.methods["Toggle"].out_class and LAMP.methods["Toggle"].out_class.new(), E.WBEM_E_PROVIDER_FAILURE),
    ],
)
async def test_what_a_provider_may_give(given: Any, status: int) -> None:
    made = runner(provider(get_instance=lambda self, call, keys: given))
    if status == E.WBEM_S_NO_ERROR:
        assert (await made.get(call(), KEYS, nobody))["Number"] == 3
    else:
        assert (await failing(made.get(call(), KEYS, nobody))).status == status


ERRORS: list[tuple[BaseException, int]] = [
    (NotFound("x"), E.WBEM_E_NOT_FOUND),
    (AccessDenied("x"), E.WBEM_E_ACCESS_DENIED),
    (ValueError("x"), E.WBEM_E_PROVIDER_FAILURE),
    (StopIteration(), E.WBEM_E_PROVIDER_FAILURE),
    (TimeoutError(), E.WBEM_E_PROVIDER_FAILURE),
    (SystemExit(), E.WBEM_E_PROVIDER_FAILURE),
    (asyncio.CancelledError(), E.WBEM_E_PROVIDER_FAILURE),
]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("error", "status"), ERRORS)
async def test_what_a_provider_may_raise(error: BaseException, status: int, asynchronous: bool) -> None:
    def raises(self: Provider, call: ProviderCall, keys: Any) -> Any:
        raise error

    async def raises_later(self: Provider, call: ProviderCall, keys: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    made = runner(provider(get_instance=raises_later if asynchronous else raises))
    assert (await failing(made.get(call(), KEYS, nobody))).status == status


async def test_what_is_not_overridden_is_not_supported() -> None:
    made = runner(Provider())
    for work in (
        made.get(call(), KEYS, nobody),
        made.delete(call(), KEYS, nobody),
        made.put(call(), LAMP.new(), nobody),
    ):
        assert (await failing(work)).status == E.WBEM_E_PROVIDER_NOT_CAPABLE
    with pytest.raises(WbemError) as caught:
        made.enumerate(call(), nobody)
    assert caught.value.status == E.WBEM_E_PROVIDER_NOT_CAPABLE


# -- enumerate


def counting(self: Provider, call: ProviderCall) -> Iterator[dict[str, Any]]:
    for number in range(1000):
        yield {"Number": number}


async def counting_later(self: Provider, call: ProviderCall) -> AsyncIterator[dict[str, Any]]:
    for number in range(1000):
        yield {"Number": number}


async def listing(self: Provider, call: ProviderCall) -> list[dict[str, Any]]:
    return [{"Number": number} for number in range(1000)]


@pytest.mark.parametrize("function", [counting, counting_later, listing])
async def test_enumerate(function: Callable[..., Any]) -> None:
    found = await everything(runner(provider(enumerate_instances=function)).enumerate(call(), nobody))
    assert [instance["Number"] for instance in found] == list(range(1000))
    assert {str(instance.namespace) for instance in found} == {"root\\cimv2"}


async def test_a_generator_runs_no_further_than_its_reader_and_is_closed() -> None:
    made: list[int] = []
    closed = threading.Event()

    def endless(self: Provider, call: ProviderCall) -> Iterator[dict[str, Any]]:
        try:
            while True:
                made.append(len(made))
                yield {"Number": made[-1]}
        finally:
            closed.set()

    batches = runner(provider(enumerate_instances=endless)).enumerate(call(), nobody)
    taken = [len(await anext(batches)) for _ in range(4)]
    assert taken == [1, 8, 64, 256]
    assert len(made) == 329
    await batches.aclose()
    assert await asyncio.to_thread(closed.wait, 30)


async def test_a_short_generator_takes_two_ways_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first object at once; the others, and that there are no more, together; there is nothing to close then."""

    def few(self: Provider, call: ProviderCall) -> Iterator[dict[str, Any]]:
        for number in range(5):
            yield {"Number": number}

    ways: list[str] = []
    run = WorkerThreads.run

    def counted(self: WorkerThreads, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        ways.append(function.__name__)
        return run(self, function, *arguments)

    monkeypatch.setattr(WorkerThreads, "run", counted)
    assert len(await everything(runner(provider(enumerate_instances=few)).enumerate(call(), nobody))) == 5
    assert ways == ["_some", "_some"]


async def test_no_thread_is_held_while_the_reader_is_away() -> None:
    """With one thread, two enumerations take turns."""
    made = runner(provider(enumerate_instances=counting), threads=1)
    one, two = made.enumerate(call(), nobody), made.enumerate(call(), nobody)
    for _ in range(3):
        await anext(one)
        await anext(two)
    await one.aclose()
    await two.aclose()


async def test_an_async_generator_is_closed() -> None:
    closed = asyncio.Event()

    async def endless(self: Provider, call: ProviderCall) -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                yield {"Number": 1}
        finally:
            closed.set()

    batches = runner(provider(enumerate_instances=endless)).enumerate(call(), nobody)
    await anext(batches)
    await batches.aclose()
    await asyncio.wait_for(closed.wait(), 30)


@pytest.mark.parametrize("given", [None, 5, "text", b"bytes", {"Number": 1}, LAMP.new(Number=1)])
async def test_an_enumeration_that_is_none(given: Any) -> None:
    batches = runner(provider(enumerate_instances=lambda self, call: given)).enumerate(call(), nobody)
    assert (await failing(everything(batches))).status == E.WBEM_E_PROVIDER_FAILURE


async def test_a_failure_in_the_middle_comes_after_what_was_found() -> None:
    def breaks(self: Provider, call: ProviderCall) -> Iterator[dict[str, Any]]:
        yield {"Number": 1}
        raise AccessDenied("no more")

    batches = runner(provider(enumerate_instances=breaks)).enumerate(call(), nobody)
    assert [i["Number"] for i in await anext(batches)] == [1]
    assert (await failing(anext(batches))).status == E.WBEM_E_ACCESS_DENIED


async def test_a_status_ends_an_enumeration() -> None:
    def reports(self: Provider, call: ProviderCall) -> Iterator[dict[str, Any]]:
        yield {"Number": 1}
        call.set_status(E.WBEM_E_ACCESS_DENIED, "no more")
        yield {"Number": 2}

    batches = runner(provider(enumerate_instances=reports)).enumerate(call(), nobody)
    assert (await failing(everything(batches))).status == E.WBEM_E_ACCESS_DENIED


# -- deadlines and cancelling


def stubborn(released: threading.Event) -> Callable[..., Any]:
    """A function that pays no attention to being cancelled."""
    return lambda self, call, keys: released.wait(30)


async def test_a_hanging_function_harms_its_own_call_only() -> None:
    released = threading.Event()
    hanging = provider(delete_instance=stubborn(released), get_instance=lambda self, call, keys: {})
    made = runner(hanging, deadline=0.05, threads=2)
    asked = call()
    assert (await failing(made.delete(asked, KEYS, nobody))).status == E.WBEM_E_PROVIDER_TIMED_OUT
    assert asked.cancelled
    assert asked.remaining == 0
    assert (await made.get(call(), KEYS, nobody))["Number"] == 3
    # Once all of its threads hang, the provider's further calls fail in time as well.
    assert (await failing(made.delete(call(), KEYS, nobody))).status == E.WBEM_E_PROVIDER_TIMED_OUT
    assert (await failing(made.get(call(), KEYS, nobody))).status == E.WBEM_E_PROVIDER_TIMED_OUT
    assert (await runner(Sync()).get(call(), KEYS, nobody))["On"] is False
    released.set()


async def test_a_coroutine_that_does_not_stop_holds_nobody_up() -> None:
    go = asyncio.Event()
    ended = asyncio.Event()

    async def swallows(self: Provider, call: ProviderCall, keys: Any) -> None:
        try:
            await go.wait()
        except asyncio.CancelledError:
            await go.wait()
        ended.set()

    made = runner(provider(delete_instance=swallows), deadline=0.05)
    assert (await failing(made.delete(call(), KEYS, nobody))).status == E.WBEM_E_PROVIDER_TIMED_OUT
    go.set()
    await asyncio.wait_for(ended.wait(), 30)


async def test_the_provider_s_own_deadline_comes_first() -> None:
    class Patient(Provider):
        deadline = 7.0

        def delete_instance(self, call: ProviderCall, keys: Any) -> None:
            assert call.remaining is not None
            assert 5 < call.remaining <= 7

    await runner(Patient(), deadline=0.001).delete(call(), KEYS, nobody)


async def test_no_deadline() -> None:
    def asks(self: Provider, call: ProviderCall, keys: Any) -> Any:
        return {"Colour": str(call.remaining)}

    made = runner(provider(get_instance=asks), deadline=None)
    assert (await made.get(call(), KEYS, nobody))["Colour"] == "None"


async def test_cancelling_reaches_the_provider() -> None:
    reached, told, left = threading.Event(), threading.Event(), threading.Event()

    def waits(self: Provider, call: ProviderCall, keys: Any) -> None:
        call.on_cancel(told.set)
        reached.set()
        assert call.wait_cancelled(30)
        left.set()
        call.check()

    asked = call()
    task = asyncio.create_task(runner(provider(delete_instance=waits)).delete(asked, KEYS, nobody))
    assert await asyncio.to_thread(reached.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(left.wait, 30)
    assert told.is_set()
    assert asked.cancelled


# -- the callback object


async def test_progress_comes_in_order_and_in_the_loop() -> None:
    heard: list[tuple[Report, bool]] = []

    def reports(self: Provider, call: ProviderCall, keys: Any) -> None:
        call.progress(1, 2, "half")
        call.progress(2, 2)
        call.progress(70_000, 140_000)
        call.progress(-5, 3)

    await runner(provider(delete_instance=reports)).delete(
        call(), KEYS, lambda p: heard.append((p, threading.current_thread() is threading.main_thread()))
    )
    await asyncio.sleep(0)
    assert heard == [
        (Progress(1, 2, "half"), True),
        (Progress(2, 2), True),
        (Progress(32767, 65535), True),
        (Progress(0, 3), True),
    ]


async def test_a_result_can_come_with_the_status() -> None:
    def later(self: Provider, call: ProviderCall, keys: Any) -> Any:
        threading.Thread(target=lambda: call.set_status(result={"Colour": "red"})).start()
        return PENDING

    found = await runner(provider(get_instance=later)).get(call(), KEYS, nobody)
    assert found["Colour"] == "red"


async def test_a_success_waits_for_the_result_that_is_to_come() -> None:
    def reports(self: Provider, call: ProviderCall, keys: Any) -> Any:
        call.set_status(0)
        return {"Colour": "blue"}

    assert (await runner(provider(get_instance=reports)).get(call(), KEYS, nobody))["Colour"] == "blue"


@pytest.mark.parametrize(("function", "status"), [("delete_instance", 0), ("delete_instance", 5), ("get_instance", 5)])
async def test_a_status_that_decides_is_not_followed_by_waiting(function: str, status: int) -> None:
    """The function never returns, and there is no deadline; what it reported is enough."""
    released = threading.Event()

    def reports(self: Provider, call: ProviderCall, keys: Any) -> Any:
        call.set_status(0x80041000 + status if status else 0)
        released.wait(30)

    made = runner(provider(**{function: reports}), deadline=None)
    work = made.delete(call(), KEYS, nobody) if function == "delete_instance" else made.get(call(), KEYS, nobody)
    async with asyncio.timeout(20):
        if status:
            assert (await failing(work)).status == 0x80041000 + status
        else:
            await work
    assert not released.is_set()
    released.set()


async def test_pending_without_a_status_times_out() -> None:
    made = runner(provider(get_instance=lambda self, call, keys: PENDING), deadline=0.05)
    assert (await failing(made.get(call(), KEYS, nobody))).status == E.WBEM_E_PROVIDER_TIMED_OUT


# -- methods


class Lamps(Provider):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @method
    def Toggle(self, call: ProviderCall, keys: Any, times: int = 1, lamp_colour: str | None = None) -> Any:
        self.heard.append((dict(keys), times, lamp_colour))
        return {"WasOn": True}

    @method("Describe")
    async def tell(self, call: ProviderCall, keys: Any) -> str:
        return "a lamp"

    @method
    def Blink(self, call: ProviderCall, keys: Any) -> int:
        return 5


def invoke(made: ProviderRunner, name: str, arguments: dict[str, Any] | None = None) -> Any:
    return made.invoke(call(), LAMP.methods[name], KEYS, arguments or {}, nobody)


async def test_arguments_go_by_name() -> None:
    lamps = Lamps()
    result = await invoke(runner(lamps), "Toggle", {"Times": 4, "LampColour": "red"})
    assert result.to_dict() == {"WasOn": True, "ReturnValue": 0}
    await invoke(runner(lamps), "Toggle", {"Times": None, "LampColour": None})
    assert lamps.heard == [({"Number": 3}, 4, "red"), ({"Number": 3}, 1, None)]


async def test_return_values() -> None:
    assert (await invoke(runner(Lamps()), "Describe")).to_dict() == {"ReturnValue": "a lamp"}
    assert await invoke(runner(Lamps()), "Blink") is None


@pytest.mark.parametrize(
    ("function", "arguments", "status"),
    [
        (lambda self, call, keys: 0, {"Times": 1}, E.WBEM_E_PROVIDER_FAILURE),
        (lambda self, call, keys: 0, {"Times": None}, None),
        (lambda self, call, keys, **more: more["Times"], {"Times": 1}, None),
        (lambda self, call, keys, Times: 0, {"Times": None}, None),
        (lambda self, call, keys: {"Nonsense": 1}, {}, E.WBEM_E_PROVIDER_FAILURE),
        (lambda self, call, keys: "text", {}, E.WBEM_E_PROVIDER_FAILURE),
        (lambda self, call, keys: None, {}, None),
        (lambda self, call, keys: {"ReturnValue": 2, "WasOn": None}, {}, None),
    ],
)
async def test_calling_conventions(function: Callable[..., Any], arguments: dict[str, Any], status: int | None) -> None:
    made = runner(provider(toggle=method("TOGGLE")(function)))
    if status is None:
        assert (await invoke(made, "Toggle", arguments)).class_name == "__PARAMETERS"
    else:
        assert (await failing(invoke(made, "Toggle", arguments))).status == status


async def test_a_method_that_nobody_implements() -> None:
    assert (await failing(invoke(runner(Sync()), "Toggle"))).status == E.WBEM_E_METHOD_NOT_IMPLEMENTED
