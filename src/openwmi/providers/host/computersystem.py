"""Win32_ComputerSystem: the machine that the server runs on.

psutil gives the numbers; on Linux the kernel's own files add what the firmware says of the hardware. Whether the
machine is in a domain is not known here, so PartOfDomain is NULL, which is how the class says just that.
"""

from __future__ import annotations

import platform
import re
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil

from openwmi.cim import canonical_key
from openwmi.providers.api import Keys, Provider
from openwmi.providers.call import ProviderCall
from openwmi.providers.host import facts

__all__ = ["HostComputerSystem", "computer_system"]

_FIRMWARE: Final = "/sys/class/dmi/id/"
_FIRMWARE_FILES: Final = {
    "Manufacturer": "sys_vendor",
    "Model": "product_name",
    "SystemFamily": "product_family",
    "SystemSKUNumber": "product_sku",
}

# How Windows names the kinds of machine, by what `platform.machine()` says in lower case.
_SYSTEM_TYPES: Final = {
    "amd64": "x64-based PC",
    "x86_64": "x64-based PC",
    "i386": "X86-based PC",
    "i586": "X86-based PC",
    "i686": "X86-based PC",
    "x86": "X86-based PC",
    "aarch64": "ARM64-based PC",
    "arm64": "ARM64-based PC",
}

# Where somebody sits who is at the machine itself.
_CONSOLE: Final = re.compile(r"(?:console|tty\d+|seat\d+|:\d+)\Z")

_PACKAGE: Final = re.compile(r"^physical id\s*:\s*(\d+)", re.MULTILINE)
_HYPERVISOR: Final = re.compile(r"^flags\s*:.*\bhypervisor\b", re.MULTILINE)


class HostComputerSystem(Provider):
    """The provider of Win32_ComputerSystem."""

    name = "OpenWMI Host Computer System"
    mof = facts.schema("computersystem.mof")

    def get_instance(self, call: ProviderCall, keys: Keys) -> Mapping[str, Any] | None:
        """The machine, if that is its name."""
        name = facts.computer_name(call)
        return computer_system(name) if canonical_key(keys["Name"]) == canonical_key(name) else None

    def enumerate_instances(self, call: ProviderCall) -> Iterator[Mapping[str, Any]]:
        """The one machine."""
        yield computer_system(facts.computer_name(call))


def computer_system(name: str) -> dict[str, Any]:
    """The properties of Win32_ComputerSystem, without those that are NULL."""
    host, _, domain = socket.gethostname().partition(".")  # asking DNS for more could take long
    machine = platform.machine()
    return {
        "Name": name,
        "Caption": name,
        "CreationClassName": "Win32_ComputerSystem",
        "DNSHostName": host or None,
        "Domain": domain or None,
        "Status": "OK",
        "SystemType": _SYSTEM_TYPES.get(machine.lower()) or (f"{machine}-based PC" if machine else None),
        "NumberOfLogicalProcessors": psutil.cpu_count(),
        "TotalPhysicalMemory": psutil.virtual_memory().total,
        "UserName": _console_user(name),
        "CurrentTimeZone": facts.zone_minutes(),
        "DaylightInEffect": time.localtime().tm_isdst > 0,
        **_processors(facts.read_text("/proc/cpuinfo")),
        **{p: facts.read_text(_FIRMWARE + file) for p, file in _FIRMWARE_FILES.items()},
    }


def _processors(cpuinfo: str | None) -> dict[str, Any]:
    """What Linux says of its processors: how many packages, and whether they are a hypervisor's.

    Machines other than x86 list neither; then nothing is said.
    """
    if cpuinfo is None:
        return {}
    packages = set(_PACKAGE.findall(cpuinfo))
    if not packages:
        return {}
    return {"NumberOfProcessors": len(packages), "HypervisorPresent": _HYPERVISOR.search(cpuinfo) is not None}


def _console_user(computer: str) -> str | None:
    """Who is logged on at the machine itself, as ``MACHINE\\user``."""
    for user in psutil.users():
        if user.terminal is None or _CONSOLE.match(user.terminal):
            return f"{computer}\\{user.name}"
    return None
