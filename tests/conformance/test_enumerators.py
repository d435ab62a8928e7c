"""Enumerators, in this process and over DCOM: the same places in the same results, wherever the results wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim.operations import CallContext, CallingMode, EnumerateInstances, ExecQuery, Flags, Request
from openwmi.cim.results import Enumerator, ResultSet
from openwmi.client.session import AsyncSession
from openwmi.errors import WbemError
from openwmi.manager.limits import Limits
from openwmi.status import WbemStatus
from openwmi.wmi.client import RemoteEnumerator, RemoteNamespace
from tests.conformance.conftest import IMPLEMENTATIONS, NAMESPACE

END = WbemStatus.WBEM_S_FALSE
COUNT = 200
THINGS = "".join(f'instance of Suite_Thing {{ Name = "{n:03}"; }};' for n in range(COUNT))
NAMES = [f"{n:03}" for n in range(COUNT)]
LIMITS = {
    "in memory": Limits(),
    "on disk": Limits(results_in_memory=0),
    "too little": Limits(results_in_memory=0, results_on_disk=5_000, results_buffered=10),
}


@asynccontextmanager
async def opened(kind: str, limits: str) -> AsyncIterator[AsyncSession]:
    async with IMPLEMENTATIONS[kind](LIMITS[limits]) as session:
        await session.compile_mof(THINGS)
        yield session


async def enumerator(session: AsyncSession, request: Request, context: CallContext) -> Enumerator | RemoteEnumerator:
    namespace = await session.operations_in(NAMESPACE)
    if isinstance(namespace, RemoteNamespace):
        return await namespace.enumerate(request, context)
    operation = await namespace.start(request, context)
    results = ResultSet(
        operation,
        forward_only=bool(context.flags & Flags.FORWARD_ONLY),
        spool=session._namespaces.spools.open(),  # type: ignore[attr-defined]
    )
    if context.mode is CallingMode.SYNCHRONOUS:
        try:
            await results.collect()
        except WbemError:
            await results.close()
            raise
    return results.enumerator()


async def names(it: Enumerator | RemoteEnumerator, count: int) -> tuple[list[Any], int]:
    found, status = await it.next(count, None)
    return [one["Name"] for one in found], status  # type: ignore[index]


@pytest.mark.parametrize("kind", list(IMPLEMENTATIONS))
@pytest.mark.parametrize("limits", ["in memory", "on disk"])
@pytest.mark.parametrize("mode", [CallingMode.SYNCHRONOUS, CallingMode.SEMISYNCHRONOUS])
async def test_there_and_back(kind: str, limits: str, mode: CallingMode) -> None:
    async with opened(kind, limits) as session:
        request = ExecQuery("SELECT * FROM Suite_Thing")
        it = await enumerator(session, request, replace(session.context, mode=mode))
        everything, status = await names(it, COUNT)
        assert (sorted(everything), status) == (NAMES, 0)
        assert await names(it, 1) == ([], END)
        await it.reset()
        assert await it.skip(COUNT - 10, None) == 0
        copy = await it.clone()
        assert await names(it, 20) == (everything[-10:], END)
        assert await names(copy, 5) == (everything[-10:-5], 0)
        await it.close()
        await copy.reset()
        assert await names(copy, COUNT) == (everything, 0)
        await copy.close()


@pytest.mark.parametrize("kind", list(IMPLEMENTATIONS))
@pytest.mark.parametrize("mode", [CallingMode.SYNCHRONOUS, CallingMode.SEMISYNCHRONOUS])
async def test_more_than_may_wait_is_refused_and_never_cut_off(kind: str, mode: CallingMode) -> None:
    async with opened(kind, "too little") as session:
        context = replace(session.context, mode=mode)
        with pytest.raises(WbemError) as caught:  # noqa: PT012 - a synchronous call fails itself, another one later
            it = await enumerator(session, EnumerateInstances("Suite_Thing"), context)
            try:
                while (await it.next(10, None))[1] != END:
                    pass
            finally:
                await it.close()
        assert caught.value.status == WbemStatus.WBEM_E_QUOTA_VIOLATION
        if mode is CallingMode.SEMISYNCHRONOUS:
            # What only goes forward need not wait anywhere.
            it = await enumerator(
                session, EnumerateInstances("Suite_Thing"), replace(context, flags=int(Flags.FORWARD_ONLY))
            )
            found: list[Any] = []
            status = 0
            while status != END:
                page, status = await names(it, 10)
                found += page
            assert sorted(found) == NAMES
            await it.close()


@pytest.mark.parametrize("kind", list(IMPLEMENTATIONS))
async def test_a_session_lets_results_come_as_they_are_found(kind: str) -> None:
    async with opened(kind, "too little") as session:
        assert session.context.mode is CallingMode.SEMISYNCHRONOUS
        async with await session.enumerate_instances("Suite_Thing", page_size=7) as operation:
            assert sorted([thing["Name"] async for thing in operation]) == NAMES
