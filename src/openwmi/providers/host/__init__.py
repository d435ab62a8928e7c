"""The built-in providers: this machine's processes, operating system and computer, through psutil.

They run as the server and answer with its rights, so they hold back themselves what only an administrator may do
(start and end processes) or see (how a process was started).
"""

from typing import Final

from openwmi.providers.api import Provider
from openwmi.providers.host.computersystem import HostComputerSystem
from openwmi.providers.host.operatingsystem import HostOperatingSystem
from openwmi.providers.host.processes import HostProcesses
from openwmi.providers.host.systemprocesses import HostSystemProcesses

__all__ = ["HOST_PROVIDERS", "HostComputerSystem", "HostOperatingSystem", "HostProcesses", "HostSystemProcesses"]

HOST_PROVIDERS: Final[tuple[type[Provider], ...]] = (
    HostProcesses,
    HostOperatingSystem,
    HostComputerSystem,
    HostSystemProcesses,
)
"""What a server registers to show its own machine."""
