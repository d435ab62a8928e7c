"""Win32_Process: the processes of the machine that the server runs on.

Deleting an instance ends the process, as on Windows. The provider runs as the server, so it asks who calls: only
administrators start, end or reprioritise processes and see command lines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import psutil

from openwmi.cim import Instance
from openwmi.errors import AccessDenied, NotFound, WbemError
from openwmi.providers.api import Keys, Provider, method
from openwmi.providers.call import ProviderCall
from openwmi.providers.host import control, facts
from openwmi.providers.host.snapshot import PARTS, SENSITIVE, Part, snapshot

__all__ = ["HostProcesses", "ReturnValue"]

_log = logging.getLogger("openwmi.providers.host")


class ReturnValue(IntEnum):
    """What the methods of Win32_Process return."""

    DONE = 0
    ACCESS_DENIED = 2
    INSUFFICIENT_PRIVILEGE = 3
    UNKNOWN_FAILURE = 8
    PATH_NOT_FOUND = 9
    INVALID_PARAMETER = 21


class HostProcesses(Provider):
    """The provider of Win32_Process."""

    name = "OpenWMI Host Processes"
    mof = facts.schema("process.mof")

    def get_instance(self, call: ProviderCall, keys: Keys) -> Mapping[str, Any] | None:
        """The process with that Handle, if it runs."""
        process = control.find(keys["Handle"])
        return None if process is None else _reader(call)(process)

    def enumerate_instances(self, call: ProviderCall) -> Iterator[Mapping[str, Any]]:
        """The processes that run, one by one as they are asked for.

        Not from psutil.process_iter: the objects that it keeps remember what a process executed before its exec.
        """
        read = _reader(call)
        for pid in psutil.pids():
            call.check()
            try:
                process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                continue
            found = read(process)
            if found is not None:
                yield found

    def delete_instance(self, call: ProviderCall, keys: Keys) -> None:
        """Kills the process and waits until it has ended."""
        process = _existing(keys)
        if not call.principal.is_administrator:
            raise AccessDenied(f"{call.principal.name} is no administrator and may not end processes")
        _end(call, process)

    @method("Create")
    def create(
        self,
        call: ProviderCall,
        keys: Keys,
        command_line: str | None = None,
        current_directory: str | None = None,
        process_startup_information: Instance | None = None,
    ) -> Mapping[str, Any]:
        """Starts a process; the id of it if that could be done."""
        if not call.principal.is_administrator:
            return {"ReturnValue": ReturnValue.INSUFFICIENT_PRIVILEGE}
        startup = {} if process_startup_information is None else process_startup_information.to_dict()
        try:
            pid = control.start(command_line or "", current_directory, startup)
        except ValueError as error:
            _log.debug("no process can be started: %s", error)
            return {"ReturnValue": ReturnValue.INVALID_PARAMETER}
        except (FileNotFoundError, NotADirectoryError):
            return {"ReturnValue": ReturnValue.PATH_NOT_FOUND}
        except PermissionError:
            return {"ReturnValue": ReturnValue.ACCESS_DENIED}
        except OSError as error:
            _log.warning("a process did not start: %s", error)
            return {"ReturnValue": ReturnValue.UNKNOWN_FAILURE}
        _log.info("%s started process %d", call.principal.name, pid)
        return {"ProcessId": pid, "ReturnValue": ReturnValue.DONE}

    @method("Terminate")
    def terminate(self, call: ProviderCall, keys: Keys, reason: int = 0) -> int:
        """Ends the process as a delete does. `reason` is an exit status that only Windows could give it."""
        process = _existing(keys)
        if not call.principal.is_administrator:
            return ReturnValue.INSUFFICIENT_PRIVILEGE
        try:
            _end(call, process)
        except NotFound:
            raise  # it has just gone, and a process that is not there has no methods
        except AccessDenied:
            return ReturnValue.ACCESS_DENIED
        except WbemError as error:
            _log.warning("%s", error)
            return ReturnValue.UNKNOWN_FAILURE
        return ReturnValue.DONE

    @method("GetOwner")
    def get_owner(self, call: ProviderCall, keys: Keys) -> Mapping[str, Any]:
        """The account that the process runs as; the machine is the domain of an account without one."""
        process = _existing(keys)
        try:
            domain, _, user = process.username().rpartition("\\")
        except psutil.NoSuchProcess:
            raise _gone(keys) from None
        except psutil.AccessDenied:
            return {"ReturnValue": ReturnValue.ACCESS_DENIED}
        return {"User": user, "Domain": domain or facts.computer_name(call), "ReturnValue": ReturnValue.DONE}

    @method("SetPriority")
    def set_priority(self, call: ProviderCall, keys: Keys, priority: int | None = None) -> int:
        """Gives the process one of Windows' priority classes."""
        process = _existing(keys)
        if not call.principal.is_administrator:
            return ReturnValue.INSUFFICIENT_PRIVILEGE
        try:
            control.set_priority_class(process, -1 if priority is None else priority)
        except ValueError:
            return ReturnValue.INVALID_PARAMETER
        except psutil.NoSuchProcess:
            raise _gone(keys) from None
        except psutil.AccessDenied:
            return ReturnValue.ACCESS_DENIED
        return ReturnValue.DONE


def _existing(keys: Keys) -> psutil.Process:
    process = control.find(keys["Handle"])
    if process is None:
        raise _gone(keys)
    return process


def _end(call: ProviderCall, process: psutil.Process) -> None:
    control.end(process, call.wait_cancelled)
    _log.info("%s ended process %d", call.principal.name, process.pid)


def _gone(keys: Keys) -> NotFound:
    return NotFound(f"there is no process {keys['Handle'][:40]}")


def _reader(call: ProviderCall) -> Callable[[psutil.Process], dict[str, Any] | None]:
    """What reads the properties that this caller wants, and may see, of one process after another."""
    common = {
        "CreationClassName": "Win32_Process",
        "CSCreationClassName": "Win32_ComputerSystem",
        "CSName": facts.computer_name(call),
        "OSCreationClassName": "Win32_OperatingSystem",
        "OSName": facts.os_name(),
        "WindowsVersion": facts.os_version(),
    }
    parts = _wanted_parts(call)

    def read(process: psutil.Process) -> dict[str, Any] | None:
        found = snapshot(process, parts)
        return None if found is None else found | common

    return read


def _wanted_parts(call: ProviderCall) -> Sequence[Part]:
    hidden = frozenset() if call.principal.is_administrator else SENSITIVE
    return [p for p in PARTS if hidden.isdisjoint(p.properties) and any(map(call.wants, p.properties))]
