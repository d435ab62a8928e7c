"""aiowmi as a client, with SmartEnum and without: its values are psutil's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psutil
import pytest
from aiowmi.connection import Connection
from aiowmi.exceptions import RpcSecPkgError, WbemExInvalidClass
from aiowmi.query import Query

from openwmi.providers import Provider, ProviderCall
from openwmi.providers.host import HOST_PROVIDERS
from tests.wire import HOST, PASSWORD, Machine, serving


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with serving(providers=HOST_PROVIDERS) as running:
        yield running


async def ask(machine: Machine, query: str, *, optimized: bool = True, **login: str) -> list[dict[str, Any]]:
    """A query's results: each one's values by name."""
    connection = Connection(
        HOST, login.get("user", "admin"), login.get("password", PASSWORD), port=machine.server.addresses.rpc_port
    )
    await connection.connect()
    try:
        service = await connection.negotiate_ntlm()
        try:
            asked = Query(query, namespace="root/cimv2")
            async with asked.context(connection, service, skip_optimize=not optimized) as context:
                # Its own is_optimized compares bound methods by identity, and so is never true.
                assert (context.next == context._next_smart) is optimized
                return [{n: p.value for n, p in found.items()} async for found in context.results()]
        finally:
            service.close()
    finally:
        connection.close()


@pytest.mark.parametrize("optimized", [False, True])
async def test_operating_system(machine: Machine, optimized: bool) -> None:
    (found,) = await ask(machine, "SELECT * FROM Win32_OperatingSystem", optimized=optimized)
    assert found["TotalVisibleMemorySize"] == psutil.virtual_memory().total // 1024
    assert found["LastBootUpTime"].timestamp() == pytest.approx(psutil.boot_time(), abs=2)
    assert found["NumberOfProcesses"] == pytest.approx(len(psutil.pids()), abs=50)
    assert found["CreationClassName"] == "Win32_OperatingSystem"


@pytest.mark.parametrize("optimized", [False, True])
async def test_processes(machine: Machine, optimized: bool) -> None:
    own = psutil.Process()
    found = await ask(machine, "SELECT * FROM Win32_Process", optimized=optimized)
    by_pid = {process["ProcessId"]: process for process in found}
    assert {own.pid, own.ppid()} <= set(by_pid)
    mine = by_pid[own.pid]
    assert mine["Handle"] == str(own.pid)
    assert mine["Name"] == own.name()
    assert mine["ParentProcessId"] == own.ppid()
    assert mine["ExecutablePath"] == own.exe()
    assert mine["CreationDate"].timestamp() == pytest.approx(own.create_time(), abs=1)
    assert mine["WorkingSetSize"] == pytest.approx(own.memory_info().rss, rel=0.5)


async def test_a_projection_with_a_condition(machine: Machine) -> None:
    found = await ask(machine, f"SELECT Name, ProcessId FROM Win32_Process WHERE ProcessId = {os.getpid()}")
    assert found == [{"Name": psutil.Process().name(), "ProcessId": os.getpid()}]


@pytest.mark.parametrize("optimized", [False, True])
async def test_static_instances(machine: Machine, optimized: bool) -> None:
    found = await ask(machine, "SELECT * FROM Acme_Static WHERE Name > 'x'", optimized=optimized)
    assert sorted(o["Name"] for o in found) == ["y", "z"]


class Many(Provider):
    """Ten thousand instances."""

    name = "Many"
    mof = '[dynamic, provider("Many")] class Acme_Many { [key] uint32 Number; string Text; };'

    def enumerate_instances(self, call: ProviderCall) -> Iterator[dict[str, Any]]:
        return ({"Number": number, "Text": f"number {number}"} for number in range(10_000))


@pytest.mark.parametrize("optimized", [False, True])
async def test_ten_thousand_instances(optimized: bool) -> None:
    async with serving(providers=[Many]) as running:
        found = await ask(running, "SELECT * FROM Acme_Many", optimized=optimized)
    assert found == [{"Number": number, "Text": f"number {number}"} for number in range(10_000)]


async def test_a_class_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(WbemExInvalidClass):
        await ask(machine, "SELECT * FROM Acme_Nothing")


async def test_a_wrong_password(machine: Machine) -> None:
    with pytest.raises(RpcSecPkgError):
        await ask(machine, "SELECT * FROM Acme_Static", password="Wrong-Horse-7")
