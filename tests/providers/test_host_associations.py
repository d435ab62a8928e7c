"""Win32_SystemProcesses, by itself and as what ASSOCIATORS OF follows."""

from __future__ import annotations

import os

import pytest

from openwmi.cim import Instance
from openwmi.cim.operations import ExecQuery
from openwmi.manager import ObjectManager
from openwmi.providers.host import HOST_PROVIDERS, HostSystemProcesses
from openwmi.repository import MemoryStore
from tests.manager.support import CIMV2, context, run
from tests.providers.host_support import SERVER, call, instance

CLASS = "Win32_SystemProcesses"
SYSTEM = f'Win32_ComputerSystem.Name="{SERVER}"'
OURS = f'Win32_Process.Handle="{os.getpid()}"'


def test_each_process_is_part_of_this_machine() -> None:
    found = [instance(CLASS, values) for values in HostSystemProcesses().enumerate_instances(call(CLASS))]
    assert {i["GroupComponent"] for i in found} == {rf"\\{SERVER}\root\cimv2:{SYSTEM}"}
    assert rf"\\{SERVER}\root\cimv2:{OURS}" in {i["PartComponent"] for i in found}


@pytest.mark.parametrize(
    ("group", "part", "there"),
    [
        (SYSTEM, OURS, True),
        (f"win32_computersystem='{SERVER.lower()}'", OURS, True),
        ('Win32_ComputerSystem.Name="other"', OURS, False),
        (SYSTEM, 'Win32_Process.Handle="4294967294"', False),
        (SYSTEM, f'Win32_Thread.Handle="{os.getpid()}"', False),
        (SYSTEM, "no path", False),
        (SYSTEM, "Win32_Process", False),
    ],
    ids=["this one", "another spelling", "another machine", "no process", "no class", "no path", "a class"],
)
def test_a_link(group: str, part: str, there: bool) -> None:
    found = HostSystemProcesses().get_instance(call(CLASS), {"GroupComponent": group, "PartComponent": part})
    assert (found is not None) is there


async def test_the_system_and_its_processes_find_each_other() -> None:
    async with ObjectManager(MemoryStore(), server=SERVER) as manager:
        for provider in HOST_PROVIDERS:
            await manager.register(provider)
        namespace = await manager.connect(CIMV2, context())
        [system] = await run(namespace, ExecQuery(f"ASSOCIATORS OF {{{OURS}}} WHERE ResultRole = GroupComponent"))
        assert str(system["__RELPATH"]) == SYSTEM  # type: ignore[index]
        processes = await run(namespace, ExecQuery(f"ASSOCIATORS OF {{{SYSTEM}}} WHERE AssocClass = {CLASS} KeysOnly"))
        assert os.getpid() in {int(p["Handle"]) for p in processes if isinstance(p, Instance)}
