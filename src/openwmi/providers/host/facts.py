"""What more than one of the host classes says: names, versions, times. Nothing here raises."""

from __future__ import annotations

import math
import platform
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from openwmi.cim import DateTime
from openwmi.providers.call import ProviderCall

__all__ = [
    "build_number",
    "computer_name",
    "local_time",
    "most_uint32",
    "os_name",
    "os_release",
    "os_version",
    "read_text",
    "schema",
    "zone_minutes",
]

# Far more than any of the small files that are read here has.
_MOST_CHARACTERS: Final = 1 << 20


def schema(name: str) -> str:
    """The MOF text of the file `name` of this package, behind the classes that all host classes descend from."""
    folder = resources.files("openwmi.providers.host")
    return "\n".join(folder.joinpath(file).read_text("utf-8") for file in ("base.mof", name))


def computer_name(call: ProviderCall) -> str:
    """What this machine is called in paths: the server's own name if the call tells it."""
    return call.server or socket.gethostname().partition(".")[0].upper() or "LOCALHOST"


def read_text(path: str) -> str | None:
    """The text of a small file, stripped; None if it cannot be read or is empty."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_CHARACTERS).strip("\0 \t\r\n") or None
    except OSError:
        return None


@cache
def os_release() -> Mapping[str, str]:
    """What os-release says of this system; empty where there is no such file."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


@cache
def os_name() -> str:
    """The operating system's name: the Name of Win32_OperatingSystem and the OSName of everything in it."""
    system = platform.system()
    if system == "Windows":
        return f"Microsoft Windows {platform.release()}"
    if system == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return os_release().get("PRETTY_NAME") or f"{system} {platform.release()}"


@cache
def os_version() -> str:
    """The operating system's version; of Linux and the BSDs the kernel's."""
    system = platform.system()
    if system == "Windows":
        return platform.version()
    return platform.mac_ver()[0] if system == "Darwin" else platform.release()


def build_number(version: str) -> str | None:
    """The third number of a version, which is where Windows has its build number."""
    match = re.match(r"\d+\.\d+\.(\d+)", version, re.ASCII)
    return match[1] if match else None


def local_time(seconds: float | None = None) -> DateTime:
    """A point in time (seconds since the epoch; now if None) with this machine's offset from UTC at that time."""
    moment = datetime.now().astimezone() if seconds is None else datetime.fromtimestamp(seconds).astimezone()
    return DateTime.of(moment)


def zone_minutes() -> int:
    """This machine's offset from UTC now, in minutes east of it, daylight saving included."""
    offset = datetime.now(UTC).astimezone().utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)


def most_uint32(value: float | None) -> int | None:
    """`value` as a uint32: the largest one if it is more than that."""
    return None if value is None else min(math.floor(value), 0xFFFFFFFF)
