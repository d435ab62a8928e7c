"""Notices: who hears them, in which order they come, and what becomes of a question that nobody answers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from openwmi.cim import Class
from openwmi.cim.notices import Channel, Hears, Message, Prompt, Question
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import CallContext, GetObject
from openwmi.errors import NotFound
from openwmi.security.principals import Principal

THING = Class("Thing")
EVERYTHING = Hears.MESSAGES | Hears.PROMPTS | Hears.ERRORS


def operation(hears: Hears = EVERYTHING, *, capacity: int = 100) -> Operation:
    context = CallContext(principal=Principal.local_system(), hears=hears)
    return Operation(GetObject("Thing"), context, capacity=capacity)


def questions() -> tuple[Question, Question, Question]:
    """An ordinary prompt, a critical one, and an error."""
    return Question(Prompt("sure?")), Question(Prompt("really?", critical=True)), Question(NotFound("one of them"))


@pytest.mark.parametrize(
    ("hears", "heard", "answers"),
    [
        (Hears.NOTHING, [], [True, False, True]),
        (Hears.MESSAGES, ["message"], [True, False, True]),
        (Hears.PROMPTS, ["sure?", "really?"], [None, None, True]),
        (Hears.ERRORS, ["one of them"], [True, False, None]),
        (EVERYTHING, ["message", "sure?", "really?", "one of them"], [None, None, None]),
    ],
)
async def test_who_hears_what(hears: Hears, heard: list[str], answers: list[bool | None]) -> None:
    running, asked = operation(hears), questions()
    running.report(Message("message"))
    for question in asked:
        running.report(question)
    assert [question.wait() if question.is_answered else None for question in asked] == answers
    texts = []
    for _ in heard:
        notice = await running.next_event()
        about = notice.about if isinstance(notice, Question) else notice
        texts.append(about.detail if isinstance(about, NotFound) else about.text)  # type: ignore[union-attr]
    assert texts == heard


async def test_the_end_comes_last_and_is_a_no() -> None:
    running, question = operation(), Question(Prompt("sure?"))
    running.report(Message("a warning"))
    running.report(question)
    await running.deliver([THING])
    running.finish(Outcome())
    assert question.wait() is False
    assert [await running.next_event() for _ in range(3)] == [Message("a warning"), [THING], Outcome()]


async def test_after_the_end_there_is_nobody_to_ask() -> None:
    running, question = operation(), Question(Prompt("sure?"))
    running.cancel()
    running.report(Message("too late"))
    running.report(question)
    assert question.wait() is False
    assert isinstance(await running.next_event(), Outcome)


async def test_after_a_cancel_nothing_is_told() -> None:
    running = operation()
    running.report(Message("unheard"))
    running.cancel()
    assert isinstance(await running.next_event(), Outcome)


async def test_who_is_too_far_behind_misses_some() -> None:
    running, question = operation(capacity=2), Question(Prompt("sure?"))
    for number in range(5):
        running.report(Message(str(number), Channel.DEBUG))
    running.report(question)
    assert question.wait() is True
    running.finish(Outcome())
    assert [await running.next_event() for _ in range(2)] == [Message(str(n), Channel.DEBUG) for n in range(2)]
    assert await running.next_event() == Outcome()


async def test_an_answer_reaches_threads_and_coroutines() -> None:
    question, heard = Question(Prompt("sure?")), list[bool]()
    question.on_answer(heard.append)
    thread = threading.Thread(target=lambda: heard.append(question.wait()))
    thread.start()

    async def ask() -> bool:
        return await question

    waiting, impatient = asyncio.ensure_future(ask()), asyncio.ensure_future(ask())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait({impatient})
    question.answer(True)
    question.answer(False)  # only the first counts
    assert await waiting is True
    await asyncio.to_thread(thread.join, 30)
    assert heard == [True, True]
