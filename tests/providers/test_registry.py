from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from openwmi.cim import TypedValue
from openwmi.errors import ConfigurationError, WbemError
from openwmi.providers import Provider
from openwmi.providers.registry import ARCHITECTURE, ProviderEntry, ProviderTable
from openwmi.providers.running import ThreadRunner
from openwmi.status import WbemStatus

E = WbemStatus


class Named(Provider):
    name = "Named"

    def __init__(self) -> None:
        self.loads = 0
        self.closes = 0

    def load(self) -> None:
        self.loads += 1

    def close(self) -> None:
        self.closes += 1


CIMV2 = "root\\cimv2"


def provider_of(entry: ProviderEntry) -> Provider:
    assert isinstance(entry.loaded, ThreadRunner)
    return entry.loaded.provider


def values(**context: Any) -> dict[str, TypedValue]:
    return {f"__{name}": TypedValue.of(value) for name, value in context.items()}


FOUND: list[tuple[tuple[int, ...], dict[str, Any], int | None]] = [
    ((32, 64), {}, ARCHITECTURE),
    ((32,), {}, 32),
    ((64,), {}, 64),
    ((32, 64), {"ProviderArchitecture": 32}, 32),
    ((32, 64), {"ProviderArchitecture": 64}, 64),
    ((64,), {"ProviderArchitecture": 32}, 64),
    ((64,), {"ProviderArchitecture": 32, "RequiredArchitecture": False}, 64),
    ((64,), {"ProviderArchitecture": 32, "RequiredArchitecture": True}, None),
    ((32, 64), {"ProviderArchitecture": 32, "RequiredArchitecture": True}, 32),
    ((32,), {"RequiredArchitecture": True}, 32),
    ((), {}, None),
]


@pytest.mark.requirement("WMI-3.1.4-18", "WMI-3.1.4-20", "WMI-3.1.4-21", "WMI-3.1.4-22")
@pytest.mark.parametrize(("registered", "context", "found"), FOUND)
def test_the_architecture_that_is_found(
    registered: tuple[int, ...], context: dict[str, Any], found: int | None
) -> None:
    table = ProviderTable()
    for architecture in registered:
        table.register(Named, architecture=architecture)
    if found is None:
        with pytest.raises(WbemError) as caught:
            table.find("named", values(**context), CIMV2)
        assert caught.value.status == E.WBEM_E_PROVIDER_LOAD_FAILURE
    else:
        assert table.find("NAMED", values(**context), CIMV2).architecture == found


@pytest.mark.requirement("WMI-3.1.4-19")
@pytest.mark.parametrize("architecture", [0, 16, 128, -32, "32", True, 64.5])
def test_an_architecture_that_is_none(architecture: Any) -> None:
    table = ProviderTable()
    table.register(Named)
    with pytest.raises(WbemError) as caught:
        table.find("Named", values(ProviderArchitecture=architecture), CIMV2)
    assert caught.value.status == E.WBEM_E_INVALID_PARAMETER


def test_registering() -> None:
    table = ProviderTable()
    table.register(Named)
    assert table.has("NAMED", CIMV2)
    assert not table.has("Other", CIMV2)
    table.register(Named, "Other")
    assert [entry.name for entry in table] == ["Named", "Other"]
    for factory, more in ((Named, {}), (Provider, {}), (Named, {"name": "x", "architecture": 16})):
        with pytest.raises(ConfigurationError):
            table.register(factory, **more)  # type: ignore[arg-type]


async def test_a_provider_is_loaded_once_when_it_is_needed() -> None:
    table = ProviderTable()
    entry = table.register(Named)
    assert entry.loaded is None
    runners = await asyncio.gather(*(entry.load() for _ in range(5)))
    assert len({id(runner) for runner in runners}) == 1
    provider = provider_of(entry)
    assert isinstance(provider, Named)
    assert (provider.loads, provider.closes) == (1, 0)
    await table.close()
    assert (provider.loads, provider.closes) == (1, 1)


async def test_loading_is_tried_again() -> None:
    attempts: list[int] = []

    def unsteady() -> Provider:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("busy")
        return Named()

    entry = ProviderTable().register(unsteady, "Unsteady")
    with pytest.raises(WbemError, match="busy") as caught:
        await entry.load()
    assert caught.value.status == E.WBEM_E_PROVIDER_LOAD_FAILURE
    await entry.load()
    assert len(attempts) == 2
    assert isinstance(provider_of(entry), Named)
    await entry.close()


async def test_a_factory_that_makes_something_else() -> None:
    entry = ProviderTable().register(object, "Odd")  # type: ignore[arg-type]
    with pytest.raises(WbemError) as caught:
        await entry.load()
    assert caught.value.status == E.WBEM_E_PROVIDER_LOAD_FAILURE


async def test_loading_has_a_deadline() -> None:
    go = threading.Event()

    class Hangs(Named):
        def load(self) -> None:
            go.wait(30)

    entry = ProviderTable(deadline=0.05).register(Hangs)
    with pytest.raises(WbemError) as caught:
        await entry.load()
    assert caught.value.status == E.WBEM_E_PROVIDER_LOAD_FAILURE
    go.set()


async def test_giving_up_waiting_does_not_spoil_the_loading() -> None:
    go, begun = threading.Event(), threading.Event()

    class Slow(Named):
        def load(self) -> None:
            begun.set()
            go.wait(30)

    entry = ProviderTable().register(Slow)
    first = asyncio.create_task(entry.load())
    assert await asyncio.to_thread(begun.wait, 30)
    second = asyncio.create_task(entry.load())
    first.cancel()
    go.set()
    await second
    assert isinstance(provider_of(entry), Slow)
    await entry.close()


async def test_a_provider_that_does_not_close_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Named):
        def close(self) -> None:
            raise OSError("no")

    table = ProviderTable()
    await table.register(Fails).load()
    await table.close()
    assert "did not close" in caplog.text
