"""CIM semantics from a provider to the callbacks: in process all of it, over DCOM only progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import openwmi
from openwmi import aio
from openwmi.cim.operations import CallingMode
from openwmi.client.callbacks import Callbacks
from openwmi.client.options import OperationOptions
from openwmi.client.session import AsyncSession
from openwmi.errors import NotFound, OperationCancelled, WbemError
from openwmi.manager import ObjectManager
from openwmi.providers import Channel, Keys, Provider, ProviderCall
from openwmi.status import WbemStatus
from tests.wire import Machine, within

BOX = 'Acme_Box.Name="b"'


class Boxes(Provider):
    """Says and asks whatever there is while a box is deleted; what it heard is in `answers`."""

    name = "Boxes"
    mof = '[dynamic, provider("Boxes")] class Acme_Box { [key] string Name; };'
    answers: list[bool]

    async def delete_instance(self, call: ProviderCall, keys: Keys) -> None:
        call.progress(1, 3, "opening")
        call.message("it is heavy")
        call.message("seven kilograms", Channel.VERBOSE)
        self.answers.append(await call.prompt("throw it away?"))
        self.answers.append(await call.prompt("and what is in it?", critical=True))
        if not await call.error(NotFound("its lid")):
            raise NotFound("the box has no lid")

    def get_instance(self, call: ProviderCall, keys: Keys) -> Keys:
        self.answers.append(call.prompt("look into it?").wait())
        return keys


@pytest.fixture
def answers() -> list[bool]:
    return []


def factory(answers: list[bool]) -> Callable[[], Provider]:
    def make() -> Provider:
        made = Boxes()
        made.answers = answers
        return made

    return make


async def register(manager: ObjectManager, answers: list[bool]) -> None:
    await manager.register(factory(answers), Boxes.name, mof=Boxes.mof)


@pytest.fixture
async def session(answers: list[bool]) -> AsyncIterator[AsyncSession]:
    async with await aio.connect("local:") as opened:
        manager = opened._namespaces
        assert isinstance(manager, ObjectManager)
        await register(manager, answers)
        yield opened


class Told:
    """Callbacks that write down what they hear, in order, and answer as they are told to."""

    def __init__(self, **replies: bool) -> None:
        self.heard: list[Any] = []
        self.replies = replies

    @property
    def options(self) -> OperationOptions:
        callbacks = Callbacks(
            message=lambda message: self.heard.append((message.channel.name, message.text)),
            prompt=lambda prompt: self._reply("critical" if prompt.critical else "prompt", prompt.text),
            error=lambda error: self._reply("error", error.detail),
        )
        return OperationOptions(callbacks=callbacks)

    def _reply(self, what: str, text: str) -> bool:
        self.heard.append((what, text))
        return self.replies.get(what, True)


EVERYTHING = [
    ("WARNING", "it is heavy"),
    ("VERBOSE", "seven kilograms"),
    ("prompt", "throw it away?"),
    ("critical", "and what is in it?"),
    ("error", "its lid"),
]


@pytest.mark.parametrize(
    ("replies", "answered", "status"),
    [
        ({}, [True, True], 0),
        ({"prompt": False}, [False, True], 0),
        ({"critical": False}, [True, False], 0),
        ({"error": False}, [True, True], WbemStatus.WBEM_E_NOT_FOUND),
    ],
)
async def test_in_process_everything_arrives(
    session: AsyncSession, answers: list[bool], replies: dict[str, bool], answered: list[bool], status: int
) -> None:
    told = Told(**replies)
    async with await session.start.delete_instance(BOX, **told.options) as operation:
        assert (await within(operation.wait())).status == status
    assert told.heard == EVERYTHING
    assert answers == answered


async def test_a_provider_s_thread_waits_for_the_answer(session: AsyncSession, answers: list[bool]) -> None:
    told = Told(prompt=False)
    async with await session.start.get_instance(BOX, **told.options) as operation:
        assert (await within(operation.wait())).succeeded
    assert told.heard == [("prompt", "look into it?")]
    assert answers == [False]


async def test_coroutine_functions_answer_too(session: AsyncSession, answers: list[bool]) -> None:
    async def no(prompt: openwmi.Prompt) -> bool:
        await asyncio.sleep(0)
        return False

    options = OperationOptions(callbacks=Callbacks(prompt=no))
    async with await session.start.delete_instance(BOX, **options) as operation:
        assert (await within(operation.wait())).succeeded
    assert answers == [False, False]


async def test_a_callback_that_raises_says_no(session: AsyncSession, answers: list[bool]) -> None:
    def fail(prompt: openwmi.Prompt) -> bool:
        raise ValueError("who asks?")

    options = OperationOptions(callbacks=Callbacks(prompt=fail))
    async with await session.start.get_instance(BOX, **options) as operation:
        outcome = await within(operation.wait())
        with pytest.raises(OperationCancelled, match="who asks"):
            outcome.raise_for_status()
    while not answers:
        await asyncio.sleep(0)
    assert answers == [False]


async def test_without_callbacks_the_defaults_count(session: AsyncSession, answers: list[bool]) -> None:
    await within(session.delete_instance(BOX))
    assert answers == [True, False]


@pytest.mark.parametrize("mode", list(CallingMode))
async def test_dcom_carries_none_of_it_and_that_is_said(
    machine: Machine, answers: list[bool], mode: CallingMode, caplog: pytest.LogCaptureFixture
) -> None:
    await register(machine.server.manager, answers)
    session, told = await machine.session(), Told()
    options = told.options
    options["mode"] = mode
    async with await session.start.delete_instance(BOX, **options) as operation:
        assert (await within(operation.wait())).succeeded
    async with await session.start.get_class("Acme_Box", **options) as operation:
        await within(operation.wait())
    assert told.heard == []
    assert answers == [True, False]
    (said,) = (text for text in caplog.messages if "stay silent" in text)  # once, and not for every operation
    assert said.startswith("127.0.0.1: DCOM carries no messages or prompts or errors")


def test_the_synchronous_session(answers: list[bool]) -> None:
    told = Told(error=False)
    with openwmi.connect("local:") as session:
        manager = session._wrapped._namespaces
        assert isinstance(manager, ObjectManager)
        session._portal.run(register(manager, answers))
        with (
            session.start.delete_instance(BOX, **told.options) as operation,
            pytest.raises(WbemError, match="no lid"),
        ):
            operation.wait().raise_for_status()
    assert told.heard == EVERYTHING
