"""Win32_OperatingSystem: the one operating system that the server runs on.

What psutil and the standard library cannot tell (most of what is Windows' alone) is NULL.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil

from openwmi.cim import canonical_key
from openwmi.providers.api import Keys, Provider
from openwmi.providers.call import ProviderCall
from openwmi.providers.host import facts

__all__ = ["HostOperatingSystem", "operating_system"]

# CIM_OperatingSystem.OSType by what `platform.system()` says; all others are "Other".
_OS_TYPES: Final = {
    "AIX": 9,
    "Darwin": 2,
    "FreeBSD": 42,
    "Linux": 36,
    "NetBSD": 43,
    "SunOS": 30,
    "Windows": 18,
}
_OTHER: Final = 1

# Kernels that do not have their width in the name of the machine.
_WIDE_MACHINES: Final = {"alpha", "s390x", "sparcv9"}


class HostOperatingSystem(Provider):
    """The provider of Win32_OperatingSystem."""

    name = "OpenWMI Host Operating System"
    mof = facts.schema("operatingsystem.mof")

    def get_instance(self, call: ProviderCall, keys: Keys) -> Mapping[str, Any] | None:
        """The operating system, if that is its name."""
        if canonical_key(keys["Name"]) != canonical_key(facts.os_name()):
            return None
        return operating_system(facts.computer_name(call))

    def enumerate_instances(self, call: ProviderCall) -> Iterator[Mapping[str, Any]]:
        """The one operating system."""
        yield operating_system(facts.computer_name(call))


def operating_system(computer: str) -> dict[str, Any]:
    """The properties of Win32_OperatingSystem, without those that are NULL."""
    system, version = platform.system(), facts.os_version()
    os_type = _OS_TYPES.get(system, _OTHER)
    return {
        "Name": facts.os_name(),
        "Caption": facts.os_name(),
        "CreationClassName": "Win32_OperatingSystem",
        "CSCreationClassName": "Win32_ComputerSystem",
        "CSName": computer,
        "Status": "OK",
        "Version": version,
        "BuildNumber": facts.build_number(version),
        "Manufacturer": _manufacturer(system),
        "OSArchitecture": "64-bit" if _is_64_bit(platform.machine()) else "32-bit",
        "OSType": os_type,
        "OtherTypeDescription": system if os_type == _OTHER else None,
        "Primary": True,
        "Distributed": False,
        "CurrentTimeZone": facts.zone_minutes(),
        "LocalDateTime": facts.local_time(),
        "LastBootUpTime": facts.local_time(psutil.boot_time()),
        "NumberOfProcesses": len(psutil.pids()),
        "NumberOfUsers": len(psutil.users()),
        **_memory(),
        **_windows_folders(system),
    }


def _memory() -> dict[str, int]:
    """Sizes in KiB. Virtual memory is what Windows calls so: main memory and page files together."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "TotalVisibleMemorySize": memory.total // 1024,
        "FreePhysicalMemory": memory.available // 1024,
        "TotalVirtualMemorySize": (memory.total + swap.total) // 1024,
        "FreeVirtualMemory": (memory.available + swap.free) // 1024,
        "SizeStoredInPagingFiles": swap.total // 1024,
        "FreeSpaceInPagingFiles": swap.free // 1024,
    }


def _manufacturer(system: str) -> str | None:
    if system == "Windows":
        return "Microsoft Corporation"
    if system == "Darwin":
        return "Apple Inc."
    release = facts.os_release()
    return release.get("VENDOR_NAME") or release.get("NAME")


def _is_64_bit(machine: str) -> bool:
    return "64" in machine or machine.lower() in _WIDE_MACHINES


def _windows_folders(system: str) -> dict[str, str | None]:
    root = os.environ.get("SystemRoot") if system == "Windows" else None  # noqa: SIM112  # so Windows spells it
    if root is None:
        return {}
    return {"WindowsDirectory": root, "SystemDirectory": f"{root}\\system32", "SystemDrive": root[:2]}
