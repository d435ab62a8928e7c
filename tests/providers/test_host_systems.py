"""Win32_OperatingSystem, Win32_ComputerSystem, and the declarations of all host classes."""

from __future__ import annotations

import os
import platform
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from openwmi.cim import CimType, Class, DateTime
from openwmi.providers import Provider
from openwmi.providers.host import HOST_PROVIDERS, HostComputerSystem, HostOperatingSystem, computersystem, facts
from openwmi.providers.host import operatingsystem as os_module
from tests.providers.host_support import SERVER, call, class_of, classes, instance

WIN32 = ("Win32_Process", "Win32_OperatingSystem", "Win32_ComputerSystem")
REFERENCE = os.environ.get("OPENWMI_REFERENCE_DATA")


def only(name: str, provider: Provider) -> Any:
    [found] = provider.enumerate_instances(call(name))  # type: ignore[misc]
    return instance(name, found)


# -- declarations


@pytest.mark.parametrize(
    ("name", "parents", "key", "count"),
    [
        ("Win32_Process", ("CIM_Process", "CIM_LogicalElement", "CIM_ManagedSystemElement"), "Handle", 45),
        (
            "Win32_OperatingSystem",
            ("CIM_OperatingSystem", "CIM_LogicalElement", "CIM_ManagedSystemElement"),
            "Name",
            66,
        ),
        (
            "Win32_ComputerSystem",
            (
                "CIM_UnitaryComputerSystem",
                "CIM_ComputerSystem",
                "CIM_System",
                "CIM_LogicalElement",
                "CIM_ManagedSystemElement",
            ),
            "Name",
            64,
        ),
    ],
)
def test_the_classes(name: str, parents: tuple[str, ...], key: str, count: int) -> None:
    cls = class_of(name)
    assert cls.derivation == parents
    assert [k.name for k in cls.keys] == [key]
    assert len(cls.properties) == count
    assert not cls.is_abstract
    assert all(p.default is None for p in cls.properties.each())
    provider = next(p for p in HOST_PROVIDERS if name in classes(p))
    assert cls.provider == provider.name
    assert all(other.is_abstract and other.provider is None for n, other in classes(provider).items() if n != name)


def test_what_the_providers_share_they_declare_alike() -> None:
    seen: dict[str, Class] = {}
    for provider in HOST_PROVIDERS:
        for name, cls in classes(provider).items():
            assert seen.setdefault(name, cls) == cls


def test_create_takes_a_startup() -> None:
    method = class_of("Win32_Process").methods["Create"]
    assert method.is_static
    assert [p.name for p in method.parameters.each()] == [
        "CommandLine",
        "CurrentDirectory",
        "ProcessStartupInformation",
        "ProcessId",
    ]
    startup = method.parameters["ProcessStartupInformation"]
    assert (startup.type, startup.class_name) == (CimType.OBJECT, "Win32_ProcessStartup")


@pytest.mark.skipif(not REFERENCE, reason="OPENWMI_REFERENCE_DATA is not set: no Windows MOF")
@pytest.mark.parametrize("name", [*WIN32, "Win32_ProcessStartup"])
def test_every_property_is_there_with_its_type(name: str) -> None:
    text = (Path(REFERENCE or "") / "win32-mof" / "CIMWin32Prov" / f"{name}.mof").read_text("utf-8")
    found = re.findall(r"^\s+(\w+)\s+(\w+)(\[\])?(?:\s*=\s*\d+)?;", text, re.MULTILINE)
    public = {(property_, type_.lower(), bool(array)) for type_, property_, array in found}
    assert {(p.name, p.type.text, p.is_array) for p in class_of(name).properties.each()} == public


# -- Win32_OperatingSystem


def test_the_operating_system() -> None:
    found = only("Win32_OperatingSystem", HostOperatingSystem())
    assert found["Name"] == found["Caption"] == facts.os_name()
    assert found["CSName"] == SERVER
    assert found["Version"]
    assert found["TotalVisibleMemorySize"] == psutil.virtual_memory().total // 1024
    assert 0 < found["FreePhysicalMemory"] <= found["TotalVisibleMemorySize"]
    swap = psutil.swap_memory().total // 1024
    assert found["SizeStoredInPagingFiles"] == swap
    assert abs(found["TotalVirtualMemorySize"] - found["TotalVisibleMemorySize"] - swap) <= 1
    assert found["FreeVirtualMemory"] <= found["TotalVirtualMemorySize"]
    assert found["NumberOfProcesses"] > 1
    assert found["NumberOfUsers"] == len(psutil.users())
    assert found["LastBootUpTime"].to_datetime().timestamp() == pytest.approx(psutil.boot_time(), abs=2)
    assert found["LastBootUpTime"] < found["LocalDateTime"]
    assert int(found["LocalDateTime"].text[-4:]) == found["CurrentTimeZone"]
    assert found["OSType"] == {"Linux": 36, "Darwin": 2, "Windows": 18}.get(platform.system(), found["OSType"])
    assert found["OSArchitecture"] in ("64-bit", "32-bit")


def test_the_operating_system_by_its_name() -> None:
    provider, one = HostOperatingSystem(), call("Win32_OperatingSystem")
    assert provider.get_instance(one, {"Name": facts.os_name().swapcase()}) is not None
    assert provider.get_instance(one, {"Name": "CP/M"}) is None


def test_another_kind_of_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Plan9")
    found = instance("Win32_OperatingSystem", os_module.operating_system("X"))
    assert (found["OSType"], found["OtherTypeDescription"]) == (1, "Plan9")


def test_windows_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setenv("SystemRoot", "D:\\WINNT")
    found = instance("Win32_OperatingSystem", os_module.operating_system("X"))
    assert (found["WindowsDirectory"], found["SystemDrive"]) == ("D:\\WINNT", "D:")
    assert found["SystemDirectory"] == "D:\\WINNT\\system32"
    assert found["Manufacturer"] == "Microsoft Corporation"


@pytest.mark.parametrize(
    ("machine", "wide"), [("x86_64", True), ("AMD64", True), ("aarch64", True), ("s390x", True), ("i686", False)]
)
def test_the_width_of_a_machine(machine: str, wide: bool) -> None:
    assert os_module._is_64_bit(machine) is wide


@pytest.mark.parametrize(
    ("version", "build"),
    [("10.0.19045", "19045"), ("6.1.0-13-amd64", "0"), ("14.2.1", "1"), ("14.2", None), ("", None)],
)
def test_build_number(version: str, build: str | None) -> None:
    assert facts.build_number(version) == build


# -- Win32_ComputerSystem


def test_the_computer() -> None:
    found = only("Win32_ComputerSystem", HostComputerSystem())
    assert found["Name"] == found["Caption"] == SERVER
    assert found["DNSHostName"] == socket.gethostname().partition(".")[0]
    assert found["NumberOfLogicalProcessors"] == psutil.cpu_count()
    assert found["TotalPhysicalMemory"] == psutil.virtual_memory().total
    assert found["SystemType"].endswith("-based PC")
    assert found["PartOfDomain"] is None


def test_the_computer_by_its_name() -> None:
    provider, one = HostComputerSystem(), call("Win32_ComputerSystem")
    assert provider.get_instance(one, {"Name": SERVER.lower()}) is not None
    assert provider.get_instance(one, {"Name": SERVER + "X"}) is None


def test_the_name_that_a_call_without_a_server_gets() -> None:
    one = call("Win32_ComputerSystem")
    one.server = None
    assert facts.computer_name(one) == socket.gethostname().partition(".")[0].upper()


def test_a_host_name_with_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box.example.org")
    found = only("Win32_ComputerSystem", HostComputerSystem())
    assert (found["DNSHostName"], found["Domain"]) == ("box", "example.org")


@pytest.mark.parametrize(
    ("cpuinfo", "processors"),
    [
        (None, {}),
        ("processor : 0\nBogoMIPS : 108.00\n", {}),
        (
            "processor\t: 0\nphysical id\t: 0\nflags\t\t: fpu vme\n\nprocessor\t: 1\nphysical id\t: 1\n",
            {"NumberOfProcessors": 2, "HypervisorPresent": False},
        ),
        (
            "physical id\t: 0\nflags\t\t: fpu hypervisor lahf_lm\n\nphysical id\t: 0\n",
            {"NumberOfProcessors": 1, "HypervisorPresent": True},
        ),
    ],
)
def test_processors(cpuinfo: str | None, processors: dict[str, Any]) -> None:
    assert computersystem._processors(cpuinfo) == processors


@pytest.mark.parametrize(
    ("terminals", "user"),
    [([], None), (["pts/0"], None), (["pts/0", "tty1"], "X\\u1"), ([":0"], "X\\u0"), ([None], "X\\u0")],
)
def test_who_sits_at_the_machine(
    monkeypatch: pytest.MonkeyPatch, terminals: list[str | None], user: str | None
) -> None:
    users = [SimpleNamespace(name=f"u{i}", terminal=terminal) for i, terminal in enumerate(terminals)]
    monkeypatch.setattr(psutil, "users", lambda: users)
    assert computersystem._console_user("X") == user


# -- facts


def test_local_time() -> None:
    moment = 1_700_000_000.25
    found = facts.local_time(moment)
    assert found == DateTime.of(datetime.fromtimestamp(moment, UTC))
    here = datetime.fromtimestamp(moment, UTC).astimezone().utcoffset()
    assert here is not None
    assert int(found.text[-4:]) == round(here.total_seconds() / 60)


@pytest.mark.parametrize(("value", "kept"), [(None, None), (0, 0), (2**32 - 1, 2**32 - 1), (2**40, 2**32 - 1)])
def test_most_uint32(value: int | None, kept: int | None) -> None:
    assert facts.most_uint32(value) == kept


def test_read_text(tmp_path: Path) -> None:
    file = tmp_path / "vendor"
    assert facts.read_text(str(file)) is None
    file.write_bytes(b" \n")
    assert facts.read_text(str(file)) is None
    file.write_bytes(b"Acme \xff\n\0")
    assert facts.read_text(str(file)) == "Acme \ufffd"
