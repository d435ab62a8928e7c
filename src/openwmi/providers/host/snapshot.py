"""From a psutil process to the properties of Win32_Process. Reads only; what psutil cannot tell, or may not, is NULL.

psutil's calls differ in cost by a factor of fifty, so they are grouped in `Part`s: each names the properties that one
call yields, and a call is made only if one of them is wanted.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psutil

from openwmi.providers.host.facts import local_time, most_uint32

__all__ = ["PARTS", "SENSITIVE", "Part", "has_ended", "snapshot"]

_WINDOWS: Final = sys.platform == "win32"
_TICKS: Final = 10_000_000  # the 100 ns units in a second

# CIM_Process.ExecutionState; a status that is not here is "Other".
_EXECUTION_STATES: Final = {
    psutil.STATUS_RUNNING: 3,
    psutil.STATUS_WAKING: 2,
    psutil.STATUS_SLEEPING: 4,
    psutil.STATUS_DISK_SLEEP: 4,
    psutil.STATUS_IDLE: 4,
    psutil.STATUS_LOCKED: 4,
    psutil.STATUS_WAITING: 4,
    psutil.STATUS_PARKED: 5,
    psutil.STATUS_STOPPED: 8,
    psutil.STATUS_TRACING_STOP: 8,
}
_OTHER_STATE: Final = 1

# A process that has ended, though its parent has not looked yet. To WMI there is no such process any more.
_ENDED: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)

# Windows' base priorities by its priority classes, which is what psutil gives for nice() there.
_BASE_PRIORITIES: Final = {64: 4, 16384: 6, 32: 8, 32768: 10, 128: 13, 256: 24}

SENSITIVE: Final = frozenset({"CommandLine", "ExecutablePath"})
"""What Windows shows of other people's processes only to administrators; a command line may hold a password."""


@dataclass(frozen=True, slots=True)
class Part:
    """Properties that come from one call, and that call: it gives their values in the same order."""

    properties: tuple[str, ...]
    read: Callable[[psutil.Process], Sequence[Any]]


def has_ended(process: psutil.Process) -> bool:
    """Whether the process is gone, or nothing but an entry that waits for its parent."""
    try:
        return not process.is_running() or _status_says_ended(process)
    except psutil.NoSuchProcess:
        return True


def snapshot(process: psutil.Process, parts: Iterable[Part]) -> dict[str, Any] | None:
    """The properties of the process that `parts` read, at about one point in time; None if it has ended."""
    values: dict[str, Any] = {"Handle": str(process.pid), "ProcessId": process.pid}
    try:
        with process.oneshot():
            if _status_says_ended(process):
                return None
            for part in parts:
                try:
                    values.update(zip(part.properties, part.read(process), strict=True))
                except (psutil.AccessDenied, NotImplementedError):
                    continue
    except psutil.NoSuchProcess:
        return None
    return values


def _status_says_ended(process: psutil.Process) -> bool:
    """As `has_ended`, of a process that was found a moment ago: by its status alone, which `oneshot` keeps."""
    try:
        return process.status() in _ENDED
    except psutil.AccessDenied:
        return False


def _name(process: psutil.Process) -> Sequence[Any]:
    return (process.name(),) * 3


def _command_line(process: psutil.Process) -> Sequence[Any]:
    """One text that the system's own shell rules split again. One word alone may be a title that the process wrote."""
    words = process.cmdline()
    if len(words) <= 1:
        return ("".join(words) or None,)
    return (subprocess.list2cmdline(words) if _WINDOWS else shlex.join(words),)


def _executable(process: psutil.Process) -> Sequence[Any]:
    return (process.exe() or None,)


def _created(process: psutil.Process) -> Sequence[Any]:
    # The kernel's own threads, and Windows' idle process, may have no time at all.
    created = process.create_time()
    return (local_time(created) if created > 0 else None,)


def _parent(process: psutil.Process) -> Sequence[Any]:
    return (process.ppid(),)


def _times(process: psutil.Process) -> Sequence[Any]:
    times = process.cpu_times()
    return round(times.system * _TICKS), round(times.user * _TICKS)


def _threads(process: psutil.Process) -> Sequence[Any]:
    return (process.num_threads(),)


def _handles(process: psutil.Process) -> Sequence[Any]:
    count = getattr(process, "num_handles", None) or getattr(process, "num_fds", None)
    return (None if count is None else count(),)


def _state(process: psutil.Process) -> Sequence[Any]:
    return (_EXECUTION_STATES.get(process.status(), _OTHER_STATE),)


def _priority(process: psutil.Process) -> Sequence[Any]:
    """From 0 to 31, where 8 is normal. A niceness of -20 to 19 becomes 24 to 1, higher being more urgent as there."""
    nice = int(process.nice())
    if _WINDOWS:
        return (_BASE_PRIORITIES.get(nice),)
    return (8 + -nice * 16 // 20 if nice < 0 else 8 - -(-nice * 7 // 19),)


def _session(process: psutil.Process) -> Sequence[Any]:
    """The POSIX session: the number of the process that leads it."""
    if sys.platform == "win32":
        return (None,)
    try:
        return (os.getsid(process.pid),)
    except OSError:
        return (None,)


def _memory(process: psutil.Process) -> Sequence[Any]:
    """The working set in bytes, its peak and the quotas in KiB; the quotas and the page file are Windows' alone."""
    memory = process.memory_info()

    def bytes_of(name: str) -> int | None:
        value: int | None = getattr(memory, name, None)
        return value

    def kib_of(name: str) -> int | None:
        value = bytes_of(name)
        return None if value is None else most_uint32(value // 1024)

    return (
        memory.rss,
        kib_of("peak_wset"),
        None if _WINDOWS else memory.vms,  # there psutil's vms is the page file's share
        bytes_of("private"),
        most_uint32(bytes_of("num_page_faults")),
        kib_of("pagefile"),
        kib_of("peak_pagefile"),
        kib_of("paged_pool"),
        kib_of("peak_paged_pool"),
        kib_of("nonpaged_pool"),
        kib_of("peak_nonpaged_pool"),
    )


def _transfers(process: psutil.Process) -> Sequence[Any]:
    """What the process read and wrote. Windows counts all calls, not only those that reach a disk: so do the chars."""
    read = getattr(process, "io_counters", None)  # not on macOS
    counters = None if read is None else read()

    def of(*names: str) -> int | None:
        return next((v for name in names if (v := getattr(counters, name, None)) is not None), None)

    return (
        of("read_count"),
        of("read_chars", "read_bytes"),
        of("write_count"),
        of("write_chars", "write_bytes"),
        of("other_count"),
        of("other_bytes"),
    )


PARTS: Final = (
    Part(("Name", "Caption", "Description"), _name),
    Part(("CommandLine",), _command_line),
    Part(("ExecutablePath",), _executable),
    Part(("CreationDate",), _created),
    Part(("ParentProcessId",), _parent),
    Part(("KernelModeTime", "UserModeTime"), _times),
    Part(("ThreadCount",), _threads),
    Part(("HandleCount",), _handles),
    Part(("ExecutionState",), _state),
    Part(("Priority",), _priority),
    Part(("SessionId",), _session),
    Part(
        (
            "WorkingSetSize",
            "PeakWorkingSetSize",
            "VirtualSize",
            "PrivatePageCount",
            "PageFaults",
            "PageFileUsage",
            "PeakPageFileUsage",
            "QuotaPagedPoolUsage",
            "QuotaPeakPagedPoolUsage",
            "QuotaNonPagedPoolUsage",
            "QuotaPeakNonPagedPoolUsage",
        ),
        _memory,
    ),
    Part(
        (
            "ReadOperationCount",
            "ReadTransferCount",
            "WriteOperationCount",
            "WriteTransferCount",
            "OtherOperationCount",
            "OtherTransferCount",
        ),
        _transfers,
    ),
)
"""Every property that is read of a process; what the other properties hold is the same for all, or NULL."""
