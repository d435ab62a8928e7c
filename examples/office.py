"""The machine that the documentation's examples ask: services that can be stopped, disks, users and groups.

    python examples/office.py

serves it at 127.0.0.1, port 13501, to the user ada with the password "correct horse", until Ctrl-C. Beside the classes
below there are the real processes and the operating system of the machine that it runs on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

from openwmi import Accounts, MemoryStore, NotFound, Server
from openwmi.cim import Instance
from openwmi.cim.operations import CallContext
from openwmi.providers import Keys, Provider, ProviderCall, method
from openwmi.providers.host import HostComputerSystem, HostOperatingSystem, HostProcesses
from openwmi.security.principals import Principal

__all__ = ["CLASSES", "PROVIDERS", "Services", "office"]

CLASSES = r"""
class Win32_DiskDrive { [key] string DeviceID; string Model; uint64 Size; };
class Win32_DiskPartition { [key] string DeviceID; uint64 Size; boolean BootPartition; };
class Win32_LogicalDisk {
    [key] string DeviceID; string Description; uint32 DriveType; string FileSystem; string VolumeName;
    [write] uint64 FreeSpace; uint64 Size; datetime LastChecked;
};
[association] class Win32_DiskDriveToDiskPartition {
    [key] Win32_DiskDrive ref Antecedent; [key] Win32_DiskPartition ref Dependent;
};
[association] class Win32_LogicalDiskToPartition {
    [key] Win32_DiskPartition ref Antecedent; [key] Win32_LogicalDisk ref Dependent;
};
class Win32_UserAccount { [key] string Domain; [key] string Name; string FullName; boolean Disabled; };
class Win32_Group { [key] string Domain; [key] string Name; string Description; };
[association] class Win32_GroupUser {
    [key] Win32_Group ref GroupComponent; [key] Win32_UserAccount ref PartComponent;
};
class Acme_Note { [key] string Title; string Text; uint8 Stars; string Tags[]; datetime Written; };
class Acme_UrgentNote : Acme_Note { datetime Due; };

instance of Win32_DiskDrive as $drive { DeviceID = "DISK0"; Model = "ACME 500"; Size = 500000000000; };
instance of Win32_DiskPartition as $boot { DeviceID = "Disk #0, #0"; Size = 100000000; BootPartition = TRUE; };
instance of Win32_DiskPartition as $data { DeviceID = "Disk #0, #1"; Size = 499900000000; BootPartition = FALSE; };
instance of Win32_LogicalDisk as $c {
    DeviceID = "C:"; Description = "Local Fixed Disk"; DriveType = 3; FileSystem = "NTFS"; VolumeName = "System";
    FreeSpace = 20000000000; Size = 499900000000; LastChecked = "20240229120000.000000+060";
};
instance of Win32_LogicalDisk { DeviceID = "D:"; Description = "CD-ROM Disc"; DriveType = 5; };
instance of Win32_DiskDriveToDiskPartition { Antecedent = $drive; Dependent = $boot; };
instance of Win32_DiskDriveToDiskPartition { Antecedent = $drive; Dependent = $data; };
instance of Win32_LogicalDiskToPartition { Antecedent = $data; Dependent = $c; };
instance of Win32_UserAccount as $ada { Domain = "ACME"; Name = "ada"; FullName = "Ada Lovelace"; Disabled = FALSE; };
instance of Win32_UserAccount as $eve { Domain = "ACME"; Name = "eve"; FullName = "Eve"; Disabled = TRUE; };
instance of Win32_Group as $staff { Domain = "ACME"; Name = "Staff"; Description = "Everybody"; };
instance of Win32_GroupUser { GroupComponent = $staff; PartComponent = $ada; };
instance of Win32_GroupUser { GroupComponent = $staff; PartComponent = $eve; };
"""


class Services(Provider):
    """Win32_Service, of services that do nothing but run or not."""

    name = "Office Services"
    mof = """
    [dynamic, provider("Office Services")]
    class Win32_Service {
        [key] string Name; string DisplayName; string State; string StartMode; boolean Started; uint32 ProcessId;
        [implemented] uint32 StartService();
        [implemented, MappingStrings{"Win32API|Service Functions|ControlService"}] uint32 StopService();
        [implemented] uint32 ChangeStartMode([in, ID(0)] string StartMode);
    };
    """
    BEGINNING: ClassVar[dict[str, tuple[str, str]]] = {
        "Spooler": ("Print Spooler", "Auto"),
        "W32Time": ("Windows Time", "Manual"),
        "Backup": ("Nightly Backup", "Auto"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.modes = {name: mode for name, (_, mode) in self.BEGINNING.items()}
        self.running = {"Spooler", "W32Time"}

    def enumerate_instances(self, call: ProviderCall) -> Iterator[dict[str, Any]]:
        """All services."""
        return (self._service(name) for name in self.BEGINNING)

    def get_instance(self, call: ProviderCall, keys: Keys) -> dict[str, Any]:
        """The service of that name."""
        return self._service(self._known(keys))

    def put_instance(self, call: ProviderCall, instance: Instance) -> None:
        """Nothing but StartMode can be set."""
        self.modes[self._known({"Name": instance["Name"]})] = instance["StartMode"]

    def _known(self, keys: Keys) -> str:
        for name in self.BEGINNING:
            if name.casefold() == keys["Name"].casefold():
                return name
        raise NotFound(f"there is no service {keys['Name']}")

    def _service(self, name: str) -> dict[str, Any]:
        runs = name in self.running
        return {
            "Name": name,
            "DisplayName": self.BEGINNING[name][0],
            "State": "Running" if runs else "Stopped",
            "StartMode": self.modes[name],
            "Started": runs,
            "ProcessId": 1000 + len(name) if runs else 0,
        }

    @method
    def StartService(self, call: ProviderCall, keys: Keys) -> int:  # noqa: N802  # the CIM method's name
        """0, or 10 if it runs already."""
        name = self._known(keys)
        if name in self.running:
            return 10
        self.running.add(name)
        return 0

    @method
    def StopService(self, call: ProviderCall, keys: Keys) -> int:  # noqa: N802
        """0, or 5 if it does not run."""
        name = self._known(keys)
        if name not in self.running:
            return 5
        self.running.remove(name)
        return 0

    @method
    def ChangeStartMode(self, call: ProviderCall, keys: Keys, start_mode: str) -> int:  # noqa: N802
        """0, or 21 for a mode that there is not."""
        if start_mode not in ("Automatic", "Manual", "Disabled"):
            return 21
        self.modes[self._known(keys)] = {"Automatic": "Auto"}.get(start_mode, start_mode)
        return 0


PROVIDERS = (HostProcesses, HostOperatingSystem, HostComputerSystem, Services)


async def office(rpc_port: int = 13501, exporter_port: int = 13500) -> Server:
    """The machine, started: ada may do everything, bob may log on and read."""
    accounts = Accounts()
    accounts.add("ada", "correct horse", administrator=True)
    accounts.add("bob", "battery staple")
    server = Server(MemoryStore(), accounts, rpc_port=rpc_port, exporter_port=exporter_port, providers=PROVIDERS)
    await server.start()
    context = CallContext(principal=Principal.local_system())
    await server.manager.compile_mof(CLASSES, r"root\cimv2", context)
    return server


async def main() -> None:
    """Serves until Ctrl-C."""
    server = await office()
    sys.stdout.write(f"{server.addresses}; Ctrl-C ends it\n")
    try:
        await server.signalled()
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
