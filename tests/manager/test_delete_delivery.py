"""DeleteInstance's own deliveries (MS-WMI 3.1.4.3.14, 3.1.1.1.1, 3.1.1.1.2): the call itself, and IWbemCallResult."""

from __future__ import annotations

import pytest

from openwmi.cim import Instance
from openwmi.cim.delivery import CallResult
from openwmi.cim.operations import CallingMode, DeleteInstance, EnumerateInstances
from openwmi.errors import NotFound
from openwmi.manager import Namespace, ObjectManager
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, Gate, context, raising, run, scripted

MOF = """
[dynamic, provider("Slow")] class Acme_Slow { [key] string Name; };
[dynamic, provider("Broken")] class Acme_Broken { [key] string Name; };
"""


@pytest.fixture
async def gate(manager: ObjectManager) -> Gate:
    gate = Gate()
    await manager.compile_mof(MOF, CIMV2, context())
    await manager.register(scripted("Slow", does=gate), "Slow")
    await manager.register(scripted("Broken", does=raising(NotFound("none"))), "Broken")
    return gate


@pytest.mark.requirement("WMI-3.1.4.3.14-06", "WMI-3.1.4.3.14-29", "WMI-3.1.1.1.2-01")
async def test_semisynchronous_returns_while_the_operation_runs(cimv2: Namespace, gate: Gate) -> None:
    operation = await cimv2.start(DeleteInstance('Acme_Slow="x"'), context(flags=0x10))
    result = CallResult(operation)
    await gate.wait_reached()
    assert await result.outcome(0) is None
    gate.opened.set()
    ended = await result.outcome(None)
    assert ended is not None
    assert (ended.status, result.object) == (WbemStatus.WBEM_S_NO_ERROR, None)


async def test_letting_go_of_the_call_result_does_not_undo_the_deletion(
    manager: ObjectManager, cimv2: Namespace, gate: Gate
) -> None:
    operation = await cimv2.start(DeleteInstance('Acme_Slow="x"'), context(flags=0x10))
    await gate.wait_reached()
    await CallResult(operation).close()
    assert manager.running == 1
    gate.opened.set()
    assert (await operation.wait()).succeeded


@pytest.mark.requirement("WMI-3.1.4.3.14-05", "WMI-3.1.4.3.14-16", "WMI-3.1.4.3.14-17", "WMI-3.1.1.1.1-01")
async def test_synchronous_waits_for_the_end(cimv2: Namespace, gate: Gate) -> None:
    ctx = context(mode=CallingMode.SYNCHRONOUS)
    result = CallResult(await cimv2.start(DeleteInstance('Acme_Broken="x"'), ctx))
    ended = await result.outcome(None)
    assert ended is not None
    assert ended.status == WbemStatus.WBEM_E_NOT_FOUND
    assert isinstance(ended.extended, Instance)


@pytest.mark.requirement("WMI-3.1.1.1.2-02", "WMI-3.1.4.3.14-26")
async def test_what_cannot_start_gives_no_operation(cimv2: Namespace, manager: ObjectManager) -> None:
    with pytest.raises(NotFound):
        await cimv2.start(DeleteInstance('__NAMESPACE="nowhere"'), context(flags=0x10))
    assert manager.running == 0


@pytest.mark.requirement("WMI-3.1.1.1.1-02")
async def test_a_synchronous_call_has_its_results(cimv2: Namespace, manager: ObjectManager) -> None:
    await manager.compile_mof('class T { [key] string N; }; instance of T { N = "a"; };', CIMV2, context())
    found = await run(cimv2, EnumerateInstances("T"), context(mode=CallingMode.SYNCHRONOUS))
    assert [str(i.path) for i in found] == [r'\\HOST\root\cimv2:T.N="a"']
