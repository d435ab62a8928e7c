"""IWbemBackupRestore and IWbemBackupRestoreEx: tables, stub and proxy (MS-WMI 3.1.4.10, 3.1.4.11, 3.2.4.3, 3.2.4.4).

They have an object of their own, activated by CLSID_WbemBackupRestore, and are about no namespace: what they do is
`openwmi.cim.upkeep`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from openwmi.cim.operations import CallContext, Request
from openwmi.cim.upkeep import Backup, Pause, RestoreFrom, Resume, Upkeep
from openwmi.dcom.importer import Reference
from openwmi.dcom.interfaces import HRESULT, orpc_interface
from openwmi.dcom.peer import Call
from openwmi.errors import ProtocolError
from openwmi.rpc.interface import In, Interface, Method
from openwmi.rpc.ndr import UInt32, WideString

if TYPE_CHECKING:
    from openwmi.wmi.client.link import Link

__all__ = [
    "CLSID_WBEM_BACKUP_RESTORE",
    "BackupRestoreStub",
    "IWbemBackupRestore",
    "IWbemBackupRestoreEx",
    "RemoteUpkeep",
]

CLSID_WBEM_BACKUP_RESTORE: Final = UUID("c49e32c6-bc8b-11d2-85d4-00105a1f8304")

# [in, string] without [unique]: a reference pointer, which cannot be NULL on the wire.
_METHODS: Final = (
    Method(3, "Backup", (In("file", WideString()), In("flags", UInt32)), HRESULT),
    Method(4, "Restore", (In("file", WideString()), In("flags", UInt32)), HRESULT),
)

IWbemBackupRestore: Final = orpc_interface(
    "IWbemBackupRestore", UUID("c49e32c7-bc8b-11d2-85d4-00105a1f8304"), *_METHODS
)

IWbemBackupRestoreEx: Final = orpc_interface(
    "IWbemBackupRestoreEx",
    UUID("a359dec5-e813-4834-8a2a-ba7f1d777d76"),
    *_METHODS,
    Method(5, "Pause", (), HRESULT),
    Method(6, "Resume", (), HRESULT),
)


class BackupRestoreStub:
    """The object that activation makes: one caller's way to the server's upkeep."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemBackupRestore, IWbemBackupRestoreEx)

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    async def backup(self, call: Call, *, file: str, flags: int) -> None:
        """Backs the repository up (3.1.4.10.1)."""
        await self._upkeep.perform(Backup(file), _context(call, flags))

    async def restore(self, call: Call, *, file: str, flags: int) -> None:
        """Restores it (3.1.4.10.2)."""
        await self._upkeep.perform(RestoreFrom(file), _context(call, flags))

    async def pause(self, call: Call) -> None:
        """Holds it still (3.1.4.11.1)."""
        await self._upkeep.perform(Pause(), _context(call, 0))

    async def resume(self, call: Call) -> None:
        """Ends a pause (3.1.4.11.2)."""
        await self._upkeep.perform(Resume(), _context(call, 0))

    async def released(self) -> None:
        """The client is done. A pause goes on until somebody resumes, or the backup timer does."""


def _context(call: Call, flags: int) -> CallContext:
    caller = call.caller
    return CallContext(
        principal=call.principal, level=caller.level, remote=caller.is_remote, flags=flags, peer=caller.address
    )


class RemoteUpkeep:
    """`openwmi.cim.upkeep.Upkeep` on a server, over IWbemBackupRestoreEx. `port` is the server's resolver's."""

    def __init__(self, link: Link, port: int) -> None:
        self._link = link
        self._port = port

    async def perform(self, request: Backup | RestoreFrom | Pause | Resume, context: CallContext) -> None:
        """Activates the object, calls its method, and gives it back.

        `context.timeout` is how long it may take, beside the time for an answer; without one, a day.
        """
        link = self._link
        found = await link.importer.activate(
            CLSID_WBEM_BACKUP_RESTORE, (IWbemBackupRestoreEx.uuid,), link.reach, self._port, timeout=link.timeout
        )
        if not isinstance(found[0], Reference):
            raise ProtocolError("the activation gave no IWbemBackupRestoreEx")
        patience = _A_DAY if context.timeout is None else context.timeout
        try:
            await link.call(
                found[0], IWbemBackupRestoreEx, request.METHOD, _parameters(request, context), patience=patience
            )
        finally:
            await link.release(found[0])


_A_DAY: Final = 86_400.0  # seconds


def _parameters(request: Request, context: CallContext) -> dict[str, Any]:
    if isinstance(request, Backup | RestoreFrom):
        return {"file": request.file or "", "flags": context.flags}
    return {}
