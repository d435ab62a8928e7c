"""How an operation's life ends: with all its results or with an error, in every mode and by either API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from openwmi.cim.operations import CallingMode
from openwmi.client.callbacks import Callbacks, Result
from openwmi.client.operation import AsyncOperation, CancelReason
from openwmi.client.options import OperationOptions
from openwmi.client.session import AsyncSession
from openwmi.errors import CallerError, DeadlineExceeded, InvalidObjectPath, OperationCancelled, Stage, WbemError
from openwmi.status import WbemStatus

from .conftest import TOLD

MODES = list(CallingMode)
AS_THEY_COME = [CallingMode.SEMISYNCHRONOUS, CallingMode.ASYNCHRONOUS]

Found = AsyncOperation[Any]


# -- a part is never the whole


async def iterated(operation: Found) -> None:
    seen: list[str] = []
    try:
        async for one in operation:
            seen.append(one["Name"])
    finally:
        assert seen == TOLD[: len(seen)]


async def taken(operation: Found) -> None:
    while await operation.take(1):
        pass
    (await operation.wait()).raise_for_status()


async def fetched(operation: Found) -> None:
    while (result := await operation.fetch()).more:
        pass
    raise WbemError.of(result.status, result.message)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("read", [iterated, taken, fetched, AsyncOperation.results, AsyncOperation.to_arrow])
async def test_results_that_break_off_are_an_error(
    session: AsyncSession, mode: CallingMode, read: Callable[[Found], Awaitable[object]]
) -> None:
    async with await session.enumerate_instances("Suite_Torn", mode=mode) as operation:
        reading = getattr(operation, read.__name__, None)
        with pytest.raises(WbemError, match="torn off") as raised:
            await (read(operation) if reading is None else reading())
        assert raised.value.status == WbemStatus.WBEM_E_PROVIDER_FAILURE
        assert operation.error is not None
        assert operation.error["ProviderName"] == "Suite Tales"


@pytest.mark.parametrize("mode", MODES)
async def test_one_result_of_several_is_none(session: AsyncSession, mode: CallingMode) -> None:
    async with await session.enumerate_instances("Suite_Torn", mode=mode) as operation:
        with pytest.raises(CallerError):
            await operation.result()


@pytest.mark.parametrize("mode", MODES)
async def test_callbacks_are_told_that_results_broke_off(session: AsyncSession, mode: CallingMode) -> None:
    told: list[Result[Any]] = []
    options = OperationOptions(callbacks=Callbacks(instance=told.append), mode=mode)
    async with await session.enumerate_instances("Suite_Torn", **options) as operation:
        assert not (await operation.wait()).succeeded
    *results, end = told
    names = [result.instance["Name"] for result in results if result.instance is not None]
    assert names == TOLD[: len(names)]
    assert (end.instance, end.more, end.status) == (None, False, WbemStatus.WBEM_E_PROVIDER_FAILURE)


# -- its end before its time


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("read", [iterated, taken])
async def test_a_deadline_ends_it(session: AsyncSession, mode: CallingMode, read: Callable[[Found], Any]) -> None:
    async with await session.enumerate_instances("Suite_Endless", mode=mode, timeout=0.3) as operation:
        with pytest.raises(DeadlineExceeded, match=r" in 0\.3 s") as raised:
            await read(operation)
        assert (raised.value.stage, raised.value.status) == (Stage.CALL, WbemStatus.WBEM_E_TIMED_OUT)
        assert operation.outcome is not None
        assert operation.outcome.status == WbemStatus.WBEM_E_TIMED_OUT
    await session.test_connection()  # which is as good as it was


async def cancelled_after(operation: Found, count: int, reason: CancelReason) -> None:
    """Reads so many results and cancels. Fails if one more comes."""
    left = count
    async for _ in operation:
        assert left > 0
        left -= 1
        if left == 0:
            operation.cancel(reason)


@pytest.mark.parametrize("mode", AS_THEY_COME)
@pytest.mark.parametrize("reason", CancelReason)
async def test_nothing_comes_after_a_cancel(session: AsyncSession, mode: CallingMode, reason: CancelReason) -> None:
    async with await session.enumerate_instances("Suite_Endless", mode=mode) as operation:
        with pytest.raises(OperationCancelled, match=reason.value):
            await cancelled_after(operation, 1, reason)
        assert operation.is_cancelled
        assert await operation.take(1) == []
        assert (await operation.fetch()).status == WbemStatus.WBEM_E_CALL_CANCELLED


@pytest.mark.parametrize("mode", AS_THEY_COME)
async def test_nothing_of_a_page_comes_after_a_cancel(session: AsyncSession, mode: CallingMode) -> None:
    async with await session.enumerate_instances("Suite_Countless", mode=mode) as operation:
        with pytest.raises(OperationCancelled):
            await cancelled_after(operation, 600, CancelReason.NONE)


@pytest.mark.parametrize("mode", AS_THEY_COME)
async def test_closing_ends_it(session: AsyncSession, mode: CallingMode) -> None:
    async with await session.enumerate_instances("Suite_Endless", mode=mode) as operation:
        assert len(await operation.take(1)) == 1
    assert operation.is_cancelled
    with pytest.raises(OperationCancelled):
        await operation.results()
    await operation.close()  # a second time does nothing


@pytest.mark.parametrize("mode", AS_THEY_COME)
async def test_callbacks_are_told_of_a_cancel(session: AsyncSession, mode: CallingMode) -> None:
    told: list[Result[Any]] = []
    options = OperationOptions(callbacks=Callbacks(instance=told.append), mode=mode)
    async with await session.enumerate_instances("Suite_Endless", **options) as operation:
        operation.cancel(CancelReason.SHUTDOWN)
        await operation.wait()
    assert [result.more for result in told] == [True] * (len(told) - 1) + [False]
    assert told[-1].status == WbemStatus.WBEM_E_CALL_CANCELLED
    assert CancelReason.SHUTDOWN.value in told[-1].message


# -- results of which nothing can be made


@pytest.mark.parametrize("mode", MODES)
async def test_callbacks_are_told_of_a_result_that_is_none(session: AsyncSession, mode: CallingMode) -> None:
    told: list[Result[Any]] = []
    options = OperationOptions(callbacks=Callbacks(instance=told.append), mode=mode)
    async with await session.start.get_instance("Suite_Thing", **options) as operation:  # which is a class
        outcome = await operation.wait()
        assert operation.outcome == outcome
    (end,) = told
    assert not end.more
    assert end.status == outcome.status == WbemStatus.WBEM_E_INVALID_OBJECT_PATH
    with pytest.raises(InvalidObjectPath, match="Suite_Thing is a class"):
        outcome.raise_for_status()


@dataclass
class Suite_Gauge:
    Name: str

    def __post_init__(self) -> None:
        raise ValueError(f"{self.Name} is not wanted")


async def test_a_class_of_the_caller_s_that_refuses(session: AsyncSession, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="not wanted"):
        await (await session.query(Suite_Gauge)).results()
    told: list[Result[Any]] = []
    async with await session.query(Suite_Gauge, callbacks=Callbacks(instance=told.append)) as operation:
        assert (await operation.wait()).status == WbemStatus.WBEM_E_CALL_CANCELLED
    (end,) = told
    assert (end.more, "ValueError: a is not wanted" in end.message) == (False, True)
    assert "could not be made" in caplog.text
