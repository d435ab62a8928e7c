"""What holds wherever a provider runs: in this process's threads, or in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from openwmi.cim import CimType, ObjectPath, Property, TypedValue
from openwmi.cim.notices import Channel, Message, Prompt, Question
from openwmi.cim.operation import Progress, Report
from openwmi.cim.operations import CallContext
from openwmi.errors import AccessDenied, ConfigurationError, NotFound, ProtocolError, WbemError
from openwmi.providers import DynamicProperty, Isolation, Provider
from openwmi.providers.isolated import IsolatedRunner, reference_to
from openwmi.providers.messages import report_from
from openwmi.providers.registry import ProviderTable
from openwmi.providers.runner import Batches, Offer, ProviderFailure, ProviderRunner
from openwmi.providers.running import ThreadRunner
from openwmi.security.principals import Principal
from openwmi.status import WbemStatus
from tests.providers.isolated_support import Bare, NeverThere, NotThere, Troubled
from tests.providers.support import LAMP, call, nobody

E = WbemStatus
SMALL = Isolation(memory=768 * 1024 * 1024, message=512 * 1024)
COLOUR = Property("Colour", CimType.STRING)


async def isolated(factory: type[Provider] = Troubled, deadline: float | None = 60, **more: Any) -> IsolatedRunner:
    return await IsolatedRunner.start(reference_to(factory), "Test", deadline=deadline, isolation=SMALL, **more)


@pytest.fixture(params=["threads", "process"])
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[ProviderRunner]:
    made = ThreadRunner(Troubled(), "Test", deadline=60) if request.param == "threads" else await isolated()
    yield made
    await made.close()


async def failure(work: Any) -> WbemError:
    with pytest.raises(WbemError) as caught:
        await work
    return caught.value


def get(runner: ProviderRunner, number: int) -> Any:
    return runner.get(call(path=ObjectPath.of("Acme_Lamp", Number=number)), {"Number": number}, nobody)


async def everything(batches: Batches) -> list[Any]:
    return [item async for batch in batches for item in batch]


async def test_an_instance(runner: ProviderRunner) -> None:
    found = await get(runner, 1)
    assert found.to_dict() == {"Number": 1, "On": False, "Colour": "blue"}
    assert str(found.path) == r"\\HOST\root\cimv2:Acme_Lamp.Number=1"
    assert found.shape is LAMP.shape


async def test_what_a_provider_raises(runner: ProviderRunner) -> None:
    assert isinstance(await failure(get(runner, 2)), NotFound)
    assert str(await failure(get(runner, 3))).startswith("not yours")
    reported = await failure(get(runner, 8))
    assert (reported.status, reported.detail) == (0x80041002, "nothing of the sort")
    assert reported.extended is not None
    assert reported.extended["Colour"] == "sad"


@pytest.mark.requirement("WMI-3.1.4-24", "WMI-3.1.4-32")
async def test_a_provider_that_fails_has_its_traceback(runner: ProviderRunner, caplog: Any) -> None:
    error = await failure(get(runner, 4))
    assert isinstance(error, ProviderFailure)
    assert error.status == E.WBEM_E_PROVIDER_FAILURE
    assert "ValueError: the secret is out" in error.detail
    assert "isolated_support.py" not in error.detail
    assert "isolated_support.py" in error.trace
    assert "isolated_support.py" in caplog.text
    assert (await failure(get(runner, 5))).status == E.WBEM_E_PROVIDER_FAILURE


async def test_enumerating(runner: ProviderRunner) -> None:
    found = await everything(runner.enumerate(call(), nobody))
    assert [instance["Number"] for instance in found] == list(range(600))
    assert {instance["Colour"] for instance in found} == {Principal.local_system().name}


async def test_enumerating_a_little(runner: ProviderRunner) -> None:
    batches = runner.enumerate(call(), nobody)
    assert (await anext(batches))[0]["Number"] == 0
    await batches.aclose()
    assert await get(runner, 1)


async def test_a_stream_that_breaks(runner: ProviderRunner) -> None:
    batches = runner.query(call(), "SELECT * FROM Acme_Lamp", nobody)
    assert (await anext(batches))[0]["Colour"] == "SELECT * FROM Acme_Lamp"
    assert (await failure(anext(batches))).status == E.WBEM_E_PROVIDER_FAILURE


async def test_writing(runner: ProviderRunner) -> None:
    await runner.put(call(flags=2), LAMP.new(Number=1, Colour="green"), nobody)
    assert (await failure(runner.put(call(), LAMP.new(Number=1), nobody))).status == E.WBEM_E_PROVIDER_FAILURE
    heard: list[Report] = []
    await runner.delete(call(path=ObjectPath.of("Acme_Lamp", Number=1)), {"Number": 1}, heard.append)
    await asyncio.sleep(0)
    assert heard == [Progress(1, 2, "half")]
    assert isinstance(await failure(runner.delete(call(), {"Number": 1}, nobody)), AccessDenied)


async def test_methods(runner: ProviderRunner) -> None:
    values = {"Was": TypedValue.of(True)}
    asked = call(context=CallContext(principal=Principal.local_system(), values=values))
    result = await runner.invoke(asked, LAMP.methods["Toggle"], {"Number": 1}, {"Times": 4}, nobody)
    assert result is not None
    assert result.to_dict() == {"WasOn": True, "ReturnValue": 5}
    missing = runner.invoke(call(), LAMP.methods["Blink"], {"Number": 1}, {}, nobody)
    assert (await failure(missing)).status == E.WBEM_E_METHOD_NOT_IMPLEMENTED


async def test_properties(runner: ProviderRunner) -> None:
    what = DynamicProperty("Colour", "class", None, "x")
    assert await runner.get_property(call(), COLOUR, what) == "Colour class None"
    wrong = runner.get_property(call(), COLOUR, DynamicProperty("Colour", None, None, "wrong"))
    assert (await failure(wrong)).status == E.WBEM_E_PROVIDER_FAILURE
    await runner.put_property(call(), COLOUR, what, "red")
    assert isinstance(await failure(runner.put_property(call(), COLOUR, what, "pink")), AccessDenied)


async def test_classes(runner: ProviderRunner) -> None:
    found = await runner.get_class(call(), "ACME_dynamic")
    assert found is not None
    assert (found.name, found.superclass, [key.name for key in found.keys]) == ("Acme_Dynamic", "Acme_Thing", ["Id"])
    assert found.properties["Id"].type is CimType.UINT32
    assert await runner.get_class(call(), "Acme_Unknown") is None
    assert (await failure(runner.get_class(call(), "Acme_Other"))).status == E.WBEM_E_PROVIDER_FAILURE
    assert await runner.is_class_supported(call(), "Acme_Dynamic") is True
    assert await runner.is_class_supported(call(), "Acme_Unknown") is False
    listed = [cls async for batch in runner.enumerate_classes(call(), "Acme_Thing") for cls in batch]
    assert [(cls.name, cls.superclass) for cls in listed] == [
        ("Acme_Dynamic", "Acme_Thing"),
        ("Acme_Below_Acme_Thing", "Acme_Thing"),
    ]
    await runner.put_class(call(), LAMP)
    assert isinstance(await failure(runner.delete_class(call(), "Acme_Dynamic")), AccessDenied)


async def test_giving_up_a_call_spoils_nothing(runner: ProviderRunner) -> None:
    waiting = asyncio.create_task(get(runner, 6))
    assert await get(runner, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await get(runner, 1)


@pytest.mark.parametrize("kind", ["threads", "process"])
async def test_what_is_not_offered_is_not_supported(kind: str) -> None:
    offer = Offer(frozenset({"get_instance"}), methods=False)
    threads = ThreadRunner(Troubled(), "Test", deadline=60, offer=offer)
    runner = threads if kind == "threads" else await isolated(offer=offer)
    assert [f for f in ("get_instance", "put_instance") if runner.supports(f)] == ["get_instance"]
    assert await get(runner, 1)
    for work in (
        runner.put(call(flags=2), LAMP.new(), nobody),
        runner.delete(call(), {}, nobody),
        runner.get_class(call(), "Acme_Dynamic"),
        runner.get_property(call(), COLOUR, DynamicProperty("Colour")),
    ):
        assert (await failure(work)).status == E.WBEM_E_PROVIDER_NOT_CAPABLE
    toggled = runner.invoke(call(), LAMP.methods["Toggle"], {"Number": 1}, {"Times": 4}, nobody)
    assert (await failure(toggled)).status == E.WBEM_E_METHOD_NOT_IMPLEMENTED
    await runner.close()


# -- a process of its own


async def other_process(runner: ProviderRunner) -> int:
    return int((await get(runner, 9))["Colour"])


async def test_it_is_another_process_and_the_same_one_for_all_calls() -> None:
    runner = await isolated()
    pids = {await other_process(runner) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert (await get(runner, 13))["Number"] == 13
    await runner.close()


async def test_a_process_that_ends_is_started_again() -> None:
    runner = await isolated()
    first = await other_process(runner)
    waiting = asyncio.create_task(get(runner, 6))
    await asyncio.sleep(0)
    error = await failure(get(runner, 11))
    assert error.status == E.WBEM_E_PROVIDER_FAILURE
    assert "exit status 3" in error.detail
    assert (await failure(waiting)).status == E.WBEM_E_PROVIDER_FAILURE
    assert await other_process(runner) != first
    await runner.close()


async def test_who_overruns_the_deadline_is_killed_and_the_others_are_not_harmed() -> None:
    runner = await isolated()
    first = await other_process(runner)
    runner._default_deadline = 0.3
    deaf = asyncio.create_task(get(runner, 10))
    await asyncio.sleep(0)
    runner._default_deadline = 60
    patient = asyncio.create_task(get(runner, 6))
    await asyncio.sleep(0)
    assert (await failure(deaf)).status == E.WBEM_E_PROVIDER_TIMED_OUT
    assert await other_process(runner) != first
    assert not patient.done()
    [retired, _] = runner._processes
    assert not retired.has_ended
    patient.cancel()
    await asyncio.wait({patient})
    await asyncio.wait({retired._reading}, timeout=30)
    assert retired.has_ended
    await runner.close()


async def test_memory_is_limited() -> None:
    runner = await isolated()
    assert (await failure(get(runner, 12))).status == E.WBEM_E_OUT_OF_MEMORY
    assert await get(runner, 1)
    await runner.close()


async def test_messages_are_limited() -> None:
    runner = await isolated()
    assert (await failure(get(runner, 7))).status == E.WBEM_E_PROVIDER_FAILURE
    assert await get(runner, 1)
    await runner.close()


async def test_one_that_cannot_be_loaded() -> None:
    entry = ProviderTable(deadline=60).register(NotThere, isolation=SMALL)
    error = await failure(entry.load())
    assert error.status == E.WBEM_E_PROVIDER_LOAD_FAILURE
    assert "no such device" in error.detail
    entry = ProviderTable(deadline=0.5).register(NeverThere, isolation=SMALL)
    assert (await failure(entry.load())).status == E.WBEM_E_PROVIDER_LOAD_FAILURE


async def test_the_table_gives_one_a_process() -> None:
    entry = ProviderTable(deadline=60).register(Bare, isolation=SMALL)
    runner = await entry.load()
    assert isinstance(runner, IsolatedRunner)
    assert (await failure(get(runner, 1))).status == E.WBEM_E_PROVIDER_NOT_CAPABLE
    await entry.close()


def test_one_that_no_other_process_would_find() -> None:
    class Local(Bare):
        pass

    for factory in (Local, lambda: Bare()):
        with pytest.raises(ConfigurationError, match="process of its own"):
            ProviderTable().register(factory, "Local", isolation=SMALL)


# -- what a provider says and asks


@pytest.mark.parametrize(("answers", "asked"), [((True, True), 2), ((True, False), 2), ((False,), 1)])
async def test_questions_come_and_answers_go(runner: ProviderRunner, answers: tuple[bool, ...], asked: int) -> None:
    said: list[Report] = []
    left = list(answers)

    def hear(report: Report) -> None:
        said.append(report)
        if isinstance(report, Question):
            report.answer(left.pop(0))

    path = ObjectPath.of("Acme_Lamp", Number=14)
    found = await runner.get(call(path=path), {"Number": 14}, hear)
    assert found["On"] is all(answers)
    message, *questions = said
    assert message == Message("a bulb flickers", Channel.VERBOSE)
    about = [question.about for question in questions if isinstance(question, Question)]
    assert len(about) == asked
    assert about[0] == Prompt("is it yours?", critical=True)
    for error in about[1:]:
        assert isinstance(error, AccessDenied)
        assert error.detail == "no ladder"


async def test_nobody_answers_after_a_cancel(runner: ProviderRunner) -> None:
    asked = asyncio.Event()

    def hear(report: Report) -> None:
        if isinstance(report, Question):
            asked.set()

    path = ObjectPath.of("Acme_Lamp", Number=14)
    getting = asyncio.ensure_future(runner.get(call(path=path), {"Number": 14}, hear))
    await asyncio.wait_for(asked.wait(), 30)
    getting.cancel()
    await asyncio.wait({getting})
    # The thread is free again.
    assert (await get(runner, 1))["Colour"] == "blue"


@pytest.mark.parametrize(
    "header",
    [
        {"kind": "progress", "current": 1, "total": "2", "text": None},
        {"kind": "message", "text": "x", "channel": 3},
        {"kind": "message", "text": 1, "channel": 0},
        {"kind": "prompt", "text": "x"},
        {"kind": "error", "status": "x", "detail": "x"},
    ],
)
def test_a_report_that_is_none(header: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=header["kind"]):
        report_from(header)


def test_what_is_no_report() -> None:
    assert report_from({"kind": "batch"}) is None
