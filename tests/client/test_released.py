"""Whatever ends an operation, the server has everything back afterwards: in every mode, and by either API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

import pytest

import openwmi
from openwmi.cim.operations import CallingMode
from openwmi.client.callbacks import Callbacks
from openwmi.client.session import AsyncSession
from openwmi.providers import Provider, ProviderCall
from tests.conformance.blocking import Awaited
from tests.wire import PASSWORD, Machine, sinks_of, within

ENDLESS, TORN, STATIC = "Acme_Endless", "Acme_Torn", "Acme_Static"

Ending = Callable[[AsyncSession, CallingMode], Awaitable[None]]


class Scrolls(Provider):
    """One has no end, and one breaks off."""

    name = "Scrolls"
    mof = """
    [dynamic, provider("Scrolls")] class Acme_Endless { [key] string Name; };
    [dynamic, provider("Scrolls")] class Acme_Torn { [key] string Name; };
    """

    async def enumerate_instances(self, call: ProviderCall) -> Any:
        yield {"Name": "the first line"}
        if call.cls.name == TORN:
            raise OSError("torn")
        await asyncio.get_running_loop().create_future()


async def read_to_the_end(session: AsyncSession, mode: CallingMode) -> None:
    operation = await session.enumerate_instances(STATIC, mode=mode)
    assert len(await operation.results()) == 3


async def leave_early(session: AsyncSession, mode: CallingMode) -> None:
    async with await session.enumerate_instances(ENDLESS, mode=mode) as operation:
        async for _ in operation:
            break


async def read_nothing(session: AsyncSession, mode: CallingMode) -> None:
    async with await session.enumerate_instances(ENDLESS, mode=mode):
        pass


async def cancel(session: AsyncSession, mode: CallingMode) -> None:
    operation = await session.enumerate_instances(ENDLESS, mode=mode)
    operation.cancel()
    await operation.close()


async def cancel_and_not_close(session: AsyncSession, mode: CallingMode) -> None:
    operation = await session.enumerate_instances(ENDLESS, mode=mode)
    operation.cancel()


async def run_out_of_time(session: AsyncSession, mode: CallingMode) -> None:
    async with await session.enumerate_instances(ENDLESS, mode=mode, timeout=0.2) as operation:
        with suppress(openwmi.DeadlineExceeded):
            await operation.results()


async def break_off(session: AsyncSession, mode: CallingMode) -> None:
    operation = await session.enumerate_instances(TORN, mode=mode)
    with pytest.raises(openwmi.WbemError):
        await operation.results()


async def let_callbacks_fail(session: AsyncSession, mode: CallingMode) -> None:
    def fail(result: openwmi.Result[Any]) -> None:
        raise ValueError("a mistake")

    callbacks = Callbacks(instance=fail)
    async with await session.enumerate_instances(ENDLESS, mode=mode, callbacks=callbacks) as operation:
        await operation.wait()


async def close_under_callbacks(session: AsyncSession, mode: CallingMode) -> None:
    callbacks = Callbacks(instance=lambda result: None)
    async with await session.enumerate_instances(ENDLESS, mode=mode, callbacks=callbacks):
        pass


ENDINGS: Final[list[Ending]] = [
    read_to_the_end, leave_early, read_nothing, cancel, cancel_and_not_close, run_out_of_time, break_off,
    let_callbacks_fail, close_under_callbacks,
]  # fmt: skip
# Whose call is answered even if the server is asked to be done before it answers.
ANSWERED: Final = (read_to_the_end, run_out_of_time, break_off)


async def session_of(machine: Machine, *, blocking: bool) -> AsyncSession:
    if not blocking:
        return await machine.session()
    opened = await asyncio.to_thread(openwmi.connect, machine.url, user="admin", password=PASSWORD)
    return cast("AsyncSession", await machine.clients.enter_async_context(Awaited(opened)))


@pytest.mark.parametrize("blocking", [False, True], ids=["asynchronous API", "synchronous API"])
@pytest.mark.parametrize(
    ("ending", "mode"),
    [
        (ending, mode)
        for ending in ENDINGS
        for mode in CallingMode
        if mode is not CallingMode.SYNCHRONOUS or ending in ANSWERED
    ],
)
async def test_nothing_stays_at_the_server(machine: Machine, ending: Ending, mode: CallingMode, blocking: bool) -> None:
    await machine.server.manager.register(Scrolls)
    session = await session_of(machine, blocking=blocking)
    await session.test_connection()
    before = machine.exported
    await ending(session, mode)

    async def given_back() -> None:
        while (machine.exported, machine.server.manager.running) != (before, 0) or (not blocking and sinks_of(session)):
            await asyncio.sleep(0)
            await machine.quiet()

    await within(given_back())
    await session.test_connection()  # which is as good as it was
