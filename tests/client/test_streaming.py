"""A million results: they come as they are asked for, and a cancel in the midst of them frees everything at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

import openwmi
from openwmi.client.session import AsyncSession
from openwmi.providers import Provider, ProviderCall
from tests.wire import Machine, within

MILLION: Final = 1_000_000
TAKEN: Final = 3000
AHEAD: Final = 10_000  # how many may wait on the way, in the buffers and pages of both sides


class Made:
    """How many results a provider was asked for; `over` is set when nobody asks any more."""

    def __init__(self) -> None:
        self.count = 0
        self.over = threading.Event()


def provider_of(made: Made) -> type[Provider]:
    """A provider of a million stars."""

    class Stars(Provider):
        name = "Stars"
        mof = '[dynamic, provider("Stars")] class Acme_Star { [key] uint32 Number; string Text; };'

        def enumerate_instances(self, call: ProviderCall) -> Iterator[Mapping[str, Any]]:
            try:
                for number in range(MILLION):
                    made.count += 1
                    yield {"Number": number, "Text": "x" * 100}
            finally:
                made.over.set()

    return Stars


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
async def session(machine: Machine, made: Made) -> AsyncSession:
    await machine.server.manager.register(provider_of(made))
    return await machine.session()


async def test_over_a_connection(machine: Machine, session: AsyncSession, made: Made) -> None:
    await session.get_class("Acme_Star")
    before = machine.exported
    async with await session.enumerate_instances("Acme_Star") as found:
        numbers = [star["Number"] for _ in range(30) for star in await found.take(100)]
        assert numbers == list(range(len(numbers)))
        found.cancel()
        with pytest.raises(openwmi.OperationCancelled):
            await found.results()
    await within(asyncio.to_thread(made.over.wait))
    await machine.quiet()
    assert made.count - len(numbers) < AHEAD
    assert (machine.exported, machine.server.manager.running) == (before, 0)


def test_in_this_process(made: Made) -> None:
    with openwmi.connect("local:") as session:
        session._portal.run(session._wrapped._manager.register(provider_of(made)))  # type: ignore[attr-defined]
        with session.enumerate_instances("Acme_Star") as found:
            for number, star in enumerate(found):
                assert star["Number"] == number
                if number == TAKEN:
                    break
            found.cancel()
            assert found.wait().status == openwmi.OperationCancelled.code
        assert made.over.wait(30)
    assert made.count - TAKEN < AHEAD
