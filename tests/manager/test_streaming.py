"""Queries over many instances: in constant memory, and with the loop free for others."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from openwmi.cim import Instance
from openwmi.cim.operations import EnumerateInstances, ExecQuery, Request
from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.repository import MemoryStore
from tests.manager.support import CIMV2, context, run

COUNT = 20_000
MOF = """
class Grain { [key] uint32 N; string Text; };
[association] class Touch { [key] Grain ref One; [key] Grain ref Other; };
class Knot { [key] string Name; };
[association] class Tie { [key] uint32 N; Knot ref End; Grain ref Start; };
instance of Knot { Name = "k"; };
"""


@pytest.fixture
async def grains() -> AsyncIterator[Namespace]:
    limits = Limits(results_buffered=500)
    async with ObjectManager(MemoryStore(), server="HOST", limits=limits) as manager:
        await manager.compile_mof(MOF, CIMV2, context())
        await manager.in_store(fill, manager)
        yield await manager.connect(CIMV2, context())


def fill(manager: ObjectManager) -> None:
    static = manager.static(CIMV2)
    grain, tie = static.get_class("Grain"), static.get_class("Tie")
    with manager.store.transaction():
        for number in range(COUNT):
            manager.store.put_instance(CIMV2, grain.new(N=number, Text="x" * 100))
            if number % 10 == 0:
                end = 'Knot.Name="k"' if number % 1000 else 'Knot="j"'
                manager.store.put_instance(CIMV2, tie.new(N=number, End=end, Start=f"Grain.N={number}"))


@pytest.mark.parametrize("request_", [EnumerateInstances("Grain"), ExecQuery("SELECT * FROM Grain WHERE N > 5")])
async def test_memory_does_not_grow_with_the_result(grains: Namespace, request_: Request) -> None:
    async with await grains.start(request_, context()) as operation:
        await operation.take(1000)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            count = 1000
            while page := await operation.take(500):
                count += len(page)
                del page
            growth = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert count >= COUNT - 6
    assert growth < 8_000_000  # all of them would be some 30 MB


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM Grain WHERE Text LIKE '%[y][z]%'",
        "REFERENCES OF {Knot='k'} WHERE KeysOnly",
    ],
)
async def test_others_get_their_turn(grains: Namespace, query: str) -> None:
    """A look-up by key is answered while a long search runs."""
    operation = await grains.start(ExecQuery(query), context())
    turns = 0
    taking = asyncio.create_task(operation.collect())
    while not taking.done():
        found = await run(grains, ExecQuery("SELECT N FROM Grain WHERE N = 77"))
        assert [i["N"] for i in found if isinstance(i, Instance)] == [77]
        turns += 1
    assert turns > 3  # it would be one, if it had to wait for the search
    assert len(taking.result()) == (1980 if "KeysOnly" in query else 0)


async def test_ends_of_many_associations(grains: Namespace) -> None:
    assert len(await run(grains, ExecQuery("ASSOCIATORS OF {Knot='k'}"))) == 1980
    assert len(await run(grains, ExecQuery("ASSOCIATORS OF {Grain=10}"))) == 1
