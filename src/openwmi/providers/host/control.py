"""Finding, starting and ending processes.

`find` gives a process or None. `end` raises `NotFound`, `AccessDenied` or WBEM_E_FAILED. `start` raises `OSError` as
the system does and `ValueError` for what no process can be started from.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import psutil

from openwmi.errors import AccessDenied, NotFound, WbemError
from openwmi.providers.host.snapshot import has_ended
from openwmi.status import WbemStatus

__all__ = ["end", "find", "set_priority_class", "start"]

_PID: Final = re.compile(r"(?:0|[1-9]\d{0,9})\Z", re.ASCII)

# CreateProcess's own limit; and shlex takes quadratic time for a long word.
_LONGEST_COMMAND_LINE: Final = 32_767

_LONGEST_END: Final = 5.0
"""Seconds within which a killed process ends unless the kernel itself is stuck in it."""

# Win32_ProcessStartup.PriorityClass, and the niceness that comes closest.
_NICENESS: Final = {64: 19, 16384: 10, 32: 0, 32768: -5, 128: -10, 256: -20}

# Debug_Process, Debug_Only_This_Process and Create_Suspended leave the child to somebody who is not there.
_REFUSED_FLAGS: Final = 0x00000007


def find(handle: str) -> psutil.Process | None:
    """The process that Win32_Process.Handle names; None if there is none, or it has ended."""
    if not _PID.match(handle):
        return None  # "007" is no Handle: the Handle of process 7 is "7"
    try:
        # On Linux psutil would take a thread's number for a process, and kill the thread's whole process.
        if not psutil.pid_exists(int(handle)):
            return None
        process = psutil.Process(int(handle))
    except (psutil.NoSuchProcess, OverflowError):
        return None
    return None if has_ended(process) else process


def end(process: psutil.Process, pause: Callable[[float], bool]) -> None:
    """Kills the process and waits until it has ended.

    psutil compares the time of creation first, so a stranger that got the same number since is not harmed.
    `pause(seconds)` waits and says whether nobody waits for the outcome any more. The wait is bounded.
    """
    pid = process.pid
    if pid in (0, os.getpid()):
        raise AccessDenied("the server does not end itself" if pid else "process 0 is the system's own")
    try:
        process.kill()
    except psutil.NoSuchProcess:
        raise NotFound(f"there is no process {pid}") from None
    except psutil.AccessDenied:
        raise AccessDenied(f"the server may not end process {pid}") from None
    delay, until = 0.001, time.monotonic() + _LONGEST_END
    # Not process.wait(): it would take the exit status of one of our own children from whoever waits for that.
    while not has_ended(process):
        if time.monotonic() >= until:
            raise WbemError.of(WbemStatus.WBEM_E_FAILED, f"process {pid} was killed and has not ended yet")
        if pause(delay):
            return
        delay = min(2 * delay, 0.05)


def set_priority_class(process: psutil.Process, priority_class: int) -> None:
    """Gives the process one of Windows' priority classes. `ValueError` for an unknown one, and psutil's errors."""
    if priority_class not in _NICENESS:
        raise ValueError(f"{priority_class} is no priority class")
    process.nice(priority_class if sys.platform == "win32" else _NICENESS[priority_class])


def start(command_line: str, directory: str | None, startup: Mapping[str, Any]) -> int:
    """Starts a process in a session of its own, without input or output; its process id.

    On Windows the command line goes to the system as it is; elsewhere it is split by the shell's rules, and no
    shell runs. `startup` are the properties of a Win32_ProcessStartup. Those about windows have no meaning here.
    """
    if len(command_line) > _LONGEST_COMMAND_LINE:
        raise ValueError(f"a command line has at most {_LONGEST_COMMAND_LINE} characters")
    flags = startup.get("CreateFlags") or 0
    if flags & _REFUSED_FLAGS:
        raise ValueError("nobody is here to debug or resume the process")
    priority_class = startup.get("PriorityClass")
    if priority_class is not None and priority_class not in _NICENESS:
        raise ValueError(f"{priority_class} is no priority class")
    arguments = command_line if sys.platform == "win32" else shlex.split(command_line)
    if not arguments or not command_line.strip():
        raise ValueError("the command line is empty")
    child = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory or None,
        env=_environment(startup.get("EnvironmentVariables")),
        start_new_session=True,
        creationflags=flags if sys.platform == "win32" else 0,
    )
    # Somebody has to take the child's exit status, or it stays a zombie for as long as the server runs.
    threading.Thread(target=child.wait, name=f"child {child.pid}", daemon=True).start()
    if priority_class is not None:
        _try_priority(child.pid, priority_class)
    return child.pid


def _try_priority(pid: int, priority_class: int) -> None:
    """As on Windows, a priority that the server may not give is not given, and the process runs all the same."""
    try:
        set_priority_class(psutil.Process(pid), priority_class)
    except psutil.Error:
        return


def _environment(settings: tuple[str | None, ...] | None) -> dict[str, str] | None:
    """``NAME=value`` texts as the child's whole environment; None for the server's own."""
    if settings is None:
        return None
    environment = {}
    for setting in settings:
        name, equals, value = (setting or "").partition("=")
        if not name or not equals:
            raise ValueError("an environment variable is NAME=value")
        environment[name] = value
    return environment
