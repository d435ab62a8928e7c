"""Each limit of the object manager, set to something small, and the code that says it was hit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim.operations import DeleteInstance, EnumerateInstances, ExecQuery, GetObject, Request
from openwmi.errors import WbemError
from openwmi.manager import Limits, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.repository import MemoryStore
from openwmi.status import WbemStatus as E
from tests.manager.support import CIMV2, SYSTEM, USER, Gate, RecordingSink, asynchronously, context, run

MOF = '[dynamic, provider("Endless")] class Thing { [key] string Name; };'


class Endless(Provider):
    """Gives instances until it is cancelled; counts them."""

    name = "Endless"
    given = 0
    gate: Gate | None = None

    def enumerate_instances(self, call: ProviderCall) -> Any:
        if self.gate is not None:
            self.gate(call)
        while not call.cancelled:
            type(self).given += 1
            yield {"Name": str(self.given)}


def managing(**limits: Any) -> ObjectManager:
    return ObjectManager(MemoryStore(), limits=Limits(**limits))


async def code_of(manager: ObjectManager, request: Request, **settings: Any) -> int:
    namespace = await manager.connect(CIMV2, context())
    with pytest.raises(WbemError) as caught:
        await run(namespace, request, context(**settings))
    return caught.value.status


@pytest.mark.parametrize(
    ("limit", "request_", "otherwise"),
    [
        ("object_path", lambda n: GetObject("T" * n), E.WBEM_E_NOT_FOUND),
        ("object_path", lambda n: DeleteInstance("T" * n), E.WBEM_E_INVALID_OBJECT_PATH),
        ("query", lambda n: ExecQuery("SELECT * FROM T".ljust(n)), E.WBEM_E_INVALID_CLASS),
        ("class_name", lambda n: EnumerateInstances("T" * n), E.WBEM_E_INVALID_CLASS),
    ],
)
async def test_lengths(limit: str, request_: Callable[[int], Request], otherwise: int) -> None:
    async with managing(**{limit: 20}) as manager:
        assert await code_of(manager, request_(20)) == otherwise
        assert await code_of(manager, request_(21)) == E.WBEM_E_QUOTA_VIOLATION


async def test_the_length_of_a_namespace() -> None:
    async with managing(login_namespace=len(CIMV2)) as manager:
        await manager.connect(CIMV2, context())
        with pytest.raises(WbemError) as caught:
            await manager.connect(f"{CIMV2}x", context())
        assert caught.value.status == E.WBEM_E_QUOTA_VIOLATION


async def test_operations_at_a_time() -> None:
    async with managing(requests=2, requests_per_caller=1) as manager:
        Gated = type("Gated", (Endless,), {"gate": Gate()})
        await manager.register(Gated, mof=MOF)
        namespace = await manager.connect(CIMV2, context())
        first = await namespace.start(EnumerateInstances("Thing"), context())
        assert await code_of(manager, GetObject("Thing")) == E.WBEM_E_QUOTA_VIOLATION
        second = await namespace.start(EnumerateInstances("Thing"), context(_other(1)))
        assert await code_of(manager, GetObject("Thing"), principal=_other(2)) == E.WBEM_E_SERVER_TOO_BUSY
        for operation in (first, second):
            await operation.close()
        assert await run(namespace, GetObject("Thing"))


def _other(number: int) -> Any:
    """Another administrator."""
    return replace(SYSTEM, account=f"admin{number}", sid=USER.sid)


async def test_sinks_of_one_account() -> None:
    async with managing(async_operations_per_caller=1) as manager:
        Gated = type("Gated", (Endless,), {"gate": Gate()})
        await manager.register(Gated, mof=MOF)
        namespace = await manager.connect(CIMV2, context())
        ctx, table = asynchronously(), manager.async_operations

        async def start() -> Any:
            return await namespace.start(EnumerateInstances("Thing"), ctx)

        entry = await table.start(RecordingSink(), ctx, start)
        with pytest.raises(WbemError) as caught:
            await table.start(RecordingSink(), ctx, start)
        assert caught.value.status == E.WBEM_E_QUOTA_VIOLATION
        assert entry.operation is not None
        entry.operation.cancel()
        await table.deliver(entry)
        assert len(table) == 0


async def test_results_buffered() -> None:
    """A full buffer holds the provider up: it runs ahead by so much, and no more."""
    given = 0

    class Fast(Provider):
        name = "Endless"

        async def enumerate_instances(self, call: ProviderCall) -> Any:
            nonlocal given
            while True:
                given += 1
                yield {"Name": str(given)}

    async with managing(results_buffered=10) as manager:
        await manager.register(Fast, mof=MOF)
        namespace = await manager.connect(CIMV2, context())
        async with await namespace.start(EnumerateInstances("Thing"), context()) as operation:
            taken = len(await operation.take(5))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert taken < given <= taken + 2 * 10


async def test_a_provider_that_takes_too_long() -> None:
    class Hangs(Provider):
        name = "Endless"

        async def enumerate_instances(self, call: ProviderCall) -> Any:
            await asyncio.Event().wait()
            yield {}

    async with managing(provider_deadline=0.05) as manager:
        await manager.register(Hangs, mof=MOF)
        assert await code_of(manager, EnumerateInstances("Thing")) == E.WBEM_E_PROVIDER_TIMED_OUT


@pytest.mark.requirement("WMI-3.1.3-04")
def test_windows_numbers() -> None:
    limits = Limits()
    assert (limits.object_path, limits.query, limits.class_name) == (8192, 16384, 4096)
    assert (limits.login_namespace, limits.requests) == (8173, 5000)
