"""impacket as a client: what it gets from a server on 127.0.0.1 is what psutil says about this machine."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from impacket.dcerpc.v5 import dcomrt, transport
from impacket.dcerpc.v5.dcom import wmi
from impacket.dcerpc.v5.dtypes import NULL
from impacket.dcerpc.v5.rpcrt import (
    RPC_C_AUTHN_LEVEL_CONNECT,
    RPC_C_AUTHN_LEVEL_PKT,
    RPC_C_AUTHN_LEVEL_PKT_INTEGRITY,
    RPC_C_AUTHN_LEVEL_PKT_PRIVACY,
    DCERPCException,
)

from openwmi.dcom.exporter import PING_PERIOD
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.security.accounts import nt_hash
from openwmi.status import WbemStatus
from tests.wire import HOST, PASSWORD, Machine, serving

_Result = TypeVar("_Result")
Work = Callable[[Any], _Result]
_WBEM_S_FALSE = 1
LEVELS = [RPC_C_AUTHN_LEVEL_PKT_INTEGRITY, RPC_C_AUTHN_LEVEL_PKT_PRIVACY]


@pytest.fixture
async def machine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    """A server with this host's classes; impacket finds its resolver at another port than 135."""
    make = transport.DCERPCTransportFactory
    async with serving(providers=HOST_PROVIDERS) as running:
        port = running.server.addresses.rpc_port

        def factory(binding: str) -> Any:
            return make(f"{binding}[{port}]" if binding == f"ncacn_ip_tcp:{HOST}" else binding)

        monkeypatch.setattr(transport, "DCERPCTransportFactory", factory)
        yield running


@contextmanager
def logged_on(**settings: Any) -> Iterator[Any]:
    """An IWbemLevel1Login."""
    login = {"username": "admin", "password": PASSWORD, "oxidResolver": True, **settings}
    connection = dcomrt.DCOMConnection(HOST, **login)
    try:
        activated = connection.CoCreateInstanceEx(wmi.CLSID_WbemLevel1Login, wmi.IID_IWbemLevel1Login)
        # By itself impacket takes the level that the activation's answer hints at for everything else.
        activated.get_cinstance().set_auth_level(login.get("authLevel", RPC_C_AUTHN_LEVEL_PKT_PRIVACY))
        level1 = wmi.IWbemLevel1Login(activated)
        yield level1
        level1.RemRelease()
    finally:
        # What disconnect() would only forget, without closing it.
        for kept in dcomrt.INTERFACE.CONNECTIONS.pop(HOST, {}).values():
            for one in kept.values():
                one["dce"].disconnect()
        connection.disconnect()


@contextmanager
def services(**settings: Any) -> Iterator[Any]:
    """An IWbemServices of root\\cimv2."""
    with logged_on(**settings) as level1:
        yield level1.NTLMLogin("//./root/cimv2", NULL, NULL)


async def run(work: Work[_Result], **settings: Any) -> _Result:
    """Runs `work` in a thread: impacket waits for its answers there, and the server answers here."""

    def whole() -> _Result:
        with services(**settings) as opened:
            return work(opened)

    return await asyncio.wait_for(asyncio.to_thread(whole), 60)


def fetch(enumerator: Any) -> list[dict[str, Any]]:
    """All results of an enumerator: each one's properties by name, as impacket describes them."""
    found: list[dict[str, Any]] = []
    while True:
        try:
            (item,) = enumerator.Next(0xFFFFFFFF, 1)
        except wmi.DCERPCSessionError as error:
            if error.get_error_code() != _WBEM_S_FALSE:
                raise
            return found
        found.append(item.getProperties())


def values(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: described["value"] for name, described in properties.items()}


def code_of(error: DCERPCException) -> int:
    return int(error.get_error_code()) & 0xFFFFFFFF


# -- reading


async def test_processes(machine: Machine) -> None:
    own = psutil.Process()
    found = await run(lambda s: fetch(s.ExecQuery("SELECT * FROM Win32_Process")))
    by_pid = {described["ProcessId"]["value"]: described for described in found}
    assert {own.pid, own.ppid()} <= set(by_pid)
    assert len(set(by_pid) & set(psutil.pids())) > len(by_pid) // 2  # processes come and go
    mine = by_pid[own.pid]
    got = values(mine)
    assert got["Handle"] == str(own.pid)
    assert got["Name"] == got["Caption"] == own.name()
    assert got["ParentProcessId"] == own.ppid()
    assert got["ExecutablePath"] == own.exe()
    assert got["CreationClassName"] == "Win32_Process"
    assert _moment(got["CreationDate"]) == pytest.approx(own.create_time(), abs=1)
    assert int(got["WorkingSetSize"]) == pytest.approx(own.memory_info().rss, rel=0.5)
    assert got["ThreadCount"] >= 1


async def test_the_types_of_a_process(machine: Machine) -> None:
    query = f"SELECT * FROM Win32_Process WHERE ProcessId = {os.getpid()}"
    (mine,) = await run(lambda s: fetch(s.ExecQuery(query)))
    types = {
        "Handle": "string",
        "Name": "string",
        "ProcessId": "uint32",
        "ThreadCount": "uint32",
        "ExecutionState": "uint16",
        "WorkingSetSize": "uint64",
        "KernelModeTime": "uint64",
        "CreationDate": "datetime",
    }
    assert {name: mine[name]["stype"] for name in types} == types


async def test_a_projection(machine: Machine) -> None:
    query = f"SELECT Name, ProcessId FROM Win32_Process WHERE Handle = '{os.getpid()}'"
    (mine,) = await run(lambda s: fetch(s.ExecQuery(query)))
    assert values(mine) == {"Name": psutil.Process().name(), "ProcessId": os.getpid()}


async def test_operating_system(machine: Machine) -> None:
    (found,) = await run(lambda s: fetch(s.ExecQuery("SELECT * FROM Win32_OperatingSystem")))
    got = values(found)
    assert int(got["TotalVisibleMemorySize"]) == psutil.virtual_memory().total // 1024
    assert _moment(got["LastBootUpTime"]) == pytest.approx(psutil.boot_time(), abs=2)


async def test_an_enumeration(machine: Machine) -> None:
    found = await run(lambda s: fetch(s.CreateInstanceEnum("Win32_OperatingSystem")))
    assert [values(o)["CreationClassName"] for o in found] == ["Win32_OperatingSystem"]


async def test_an_enumerator_goes_back_and_forth(machine: Machine) -> None:
    def work(opened: Any) -> tuple[list[list[str]], int]:
        def names(count: int) -> list[str]:
            return [values(item.getProperties())["Handle"] for item in enumerator.Next(0xFFFFFFFF, count)]

        enumerator = opened.CreateInstanceEnum("Win32_Process")
        found = [names(3)]
        enumerator.Reset()
        enumerator.Skip(0xFFFFFFFF, 1)
        found.append(names(2))
        copy = enumerator.Clone()["ppEnum"]["abData"]
        found.append(names(1))
        original = enumerator
        enumerator = wmi.IEnumWbemClassObject(
            dcomrt.INTERFACE(
                original.get_cinstance(), b"".join(copy), original.get_ipidRemUnknown(),
                oxid=original.get_oxid(), target=original.get_target(),
            )
        )  # fmt: skip
        found.append(names(1))
        forward = opened.CreateInstanceEnum("Win32_Process", lFlags=0x30)
        with pytest.raises(DCERPCException) as caught:
            forward.Reset()
        return found, code_of(caught.value)

    (first, again, third, copied), refused = await run(work)
    assert (len(first), again, len(third)) == (3, first[1:], 1)
    assert copied == third
    assert refused == WbemStatus.WBEM_E_INVALID_OPERATION


async def test_a_class(machine: Machine) -> None:
    def work(opened: Any) -> tuple[str, dict[str, Any], set[str]]:
        cls, _ = opened.GetObject("Win32_Process")
        return cls.getClassName(), cls.getProperties(), set(cls.getMethods())

    name, properties, methods = await run(work)
    assert name == "Win32_Process"
    assert properties["ProcessId"]["stype"] == "uint32"
    assert "key" in {q.lower() for q in properties["Handle"]["qualifiers"]}
    assert {"Create", "Terminate"} <= methods


async def test_an_instance(machine: Machine) -> None:
    path = f'Win32_Process.Handle="{os.getpid()}"'
    got = await run(lambda s: values(s.GetObject(path)[0].getProperties()))
    assert (got["ProcessId"], got["Name"]) == (os.getpid(), psutil.Process().name())


@pytest.mark.parametrize(
    ("path", "status"),
    [("Nothing", 0x80041002), ('Win32_Process.Handle="-1"', 0x80041002), ("a b:c", 0x8004103A)],
)
async def test_what_is_not_there(machine: Machine, path: str, status: int) -> None:
    def work(opened: Any) -> int:
        with pytest.raises(wmi.DCERPCSessionError) as caught:
            opened.GetObject(path)
        return code_of(caught.value)

    assert await run(work) == status


# -- writing


async def test_put_and_delete_an_instance(machine: Machine) -> None:
    def put(opened: Any) -> tuple[int, int]:
        cls, _ = opened.GetObject("Acme_Static")
        made = cls.SpawnInstance()
        made.Name, made.Value = "from impacket", 77
        done = opened.PutInstance(made.marshalMe())
        read, _ = opened.GetObject('Acme_Static.Name="from impacket"')
        return done.GetCallStatus(0) & 0xFFFFFFFF, read.Value

    def delete(opened: Any) -> int:
        return int(opened.DeleteInstance('Acme_Static.Name="from impacket"').GetCallStatus(0)) & 0xFFFFFFFF

    assert await run(put) == (0, 77)
    assert await machine.names() == ["from impacket", "x", "y", "z"]
    assert await run(delete) == 0
    assert await machine.names() == ["x", "y", "z"]


async def test_a_delete_that_is_refused(machine: Machine) -> None:
    def work(opened: Any) -> int:
        with pytest.raises(wmi.DCERPCSessionError) as caught:
            opened.DeleteInstance('Acme_Static.Name="nobody"')
        return code_of(caught.value)

    assert await run(work) == 0x80041002


async def test_create_and_terminate_a_process(machine: Machine) -> None:
    command = f'{sys.executable} -c "import time; time.sleep(600)"'

    def create(opened: Any) -> tuple[int, int]:
        cls, _ = opened.GetObject("Win32_Process")
        made = cls.Create(command, str(Path.cwd()), None)
        return made.ReturnValue, made.ProcessId

    def terminate(opened: Any) -> int:
        running, _ = opened.GetObject(f'Win32_Process.Handle="{pid}"')
        return int(running.Terminate(0).ReturnValue)

    status, pid = await run(create)
    assert status == 0
    child = psutil.Process(pid)
    try:
        assert child.cmdline()[1:2] == ["-c"]
        assert await run(terminate) == 0
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    finally:
        if child.is_running():
            child.kill()


# -- logging on


@pytest.mark.requirement("WMI-2.1-03")
@pytest.mark.parametrize("level", LEVELS)
async def test_levels(machine: Machine, level: int) -> None:
    await run(lambda s: s.DeleteInstance('Acme_Dynamic.Name="d"'), authLevel=level)
    assert [called.call.context.level for called in machine.calls] == [level]


@pytest.mark.parametrize("level", [RPC_C_AUTHN_LEVEL_CONNECT, RPC_C_AUTHN_LEVEL_PKT])
async def test_weak_levels_are_refused(machine: Machine, level: int) -> None:
    with pytest.raises(DCERPCException, match="access_denied"):
        await run(lambda s: None, authLevel=level)


@pytest.mark.parametrize("level", LEVELS)
async def test_a_hash_is_as_good_as_the_password(machine: Machine, level: int) -> None:
    hashed = nt_hash(PASSWORD).hex()
    got = await run(
        lambda s: fetch(s.ExecQuery("SELECT * FROM Acme_Only")), password="", nthash=hashed, authLevel=level
    )
    assert [values(o) for o in got] == [{"Text": "t"}]


@pytest.mark.parametrize(
    "settings",
    [
        {"password": "Wrong-Horse-7"},
        {"password": "", "nthash": "00" * 16},
        {"username": "nobody"},
        {"username": "", "password": ""},
    ],
)
async def test_whoever_is_not_known_is_refused(machine: Machine, settings: dict[str, str]) -> None:
    with pytest.raises(DCERPCException):
        await run(lambda s: None, **settings)
    assert await run(lambda s: 1) == 1


async def test_a_domain_does_not_matter(machine: Machine) -> None:
    assert await run(lambda s: 1, domain="ELSEWHERE") == 1


async def test_an_account_without_rights(machine: Machine) -> None:
    with pytest.raises(DCERPCException) as caught:
        await run(lambda s: None, username="user")
    assert code_of(caught.value) == 0x80041003


async def test_nothing_is_left_on_the_server(machine: Machine) -> None:
    """impacket gives back one reference of the five that it gets, so its objects go when it has been away for long."""
    await run(lambda s: fetch(s.ExecQuery("SELECT * FROM Acme_Static")))
    await machine.hung_up()
    exporter = machine.server._host.peer.exporter
    assert machine.exported > 0
    exporter.handle_timeout(time.monotonic() + 3 * PING_PERIOD)
    await machine.quiet()
    assert machine.exported == 0


def _moment(text: str) -> float:
    """Seconds since 1970 of a DMTF datetime."""
    matched = re.fullmatch(r"(\d{14}\.\d{6})([+-])(\d{3})", text)
    assert matched is not None
    minutes = int(matched[2] + matched[3])
    local = datetime.strptime(matched[1] + "+0000", "%Y%m%d%H%M%S.%f%z")
    return local.timestamp() - 60 * minutes
