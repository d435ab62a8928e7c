"""Win32_SystemProcesses: this machine as the group, and each process that runs on it as a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psutil

from openwmi.cim import ObjectPath, canonical_key
from openwmi.errors import SyntaxProblem
from openwmi.providers.api import Keys, Provider
from openwmi.providers.call import ProviderCall
from openwmi.providers.host import control, facts

__all__ = ["HostSystemProcesses"]


class HostSystemProcesses(Provider):
    """The provider of Win32_SystemProcesses."""

    name = "OpenWMI Host System Processes"
    mof = facts.schema("systemprocesses.mof")

    def get_instance(self, call: ProviderCall, keys: Keys) -> Mapping[str, Any] | None:
        """The link of this machine with a process, if that runs."""
        system = _key(keys["GroupComponent"], "Win32_ComputerSystem", "Name")
        handle = _key(keys["PartComponent"], "Win32_Process", "Handle")
        if system is None or handle is None or control.find(handle) is None:
            return None
        return keys if canonical_key(system) == canonical_key(facts.computer_name(call)) else None

    def enumerate_instances(self, call: ProviderCall) -> Iterator[Mapping[str, Any]]:
        """One link for each process."""
        system = _path(call, "Win32_ComputerSystem", "Name", facts.computer_name(call))
        for pid in psutil.pids():
            yield {"GroupComponent": system, "PartComponent": _path(call, "Win32_Process", "Handle", str(pid))}


def _path(call: ProviderCall, class_name: str, key: str, value: str) -> str:
    return str(ObjectPath(class_name, ((key, value),)).at(call.namespace, facts.computer_name(call)))


def _key(reference: str, class_name: str, key: str) -> str | None:
    """The one key of a path that names an object of the class; None for any other path."""
    try:
        path = ObjectPath.parse(reference)
    except SyntaxProblem:
        return None
    if path.keys is None or len(path.keys) != 1:
        return None
    value = str(path.keys[0][1])
    given = path.relative
    return value if given in (ObjectPath(class_name, ((name, value),)) for name in (key, "")) else None
