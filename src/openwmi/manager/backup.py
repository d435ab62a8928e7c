"""Backup, restore, pause and resume of the repository, and what requests see meanwhile (MS-WMI 3.1.4.10, 3.1.4.11).

The three flags of 3.1.1 are here. While BackupInProgress or IsServerPaused is set, requests wait; while
RestoreInProgress is set, they are refused with CO_E_SERVER_STOPPING (3.1.4). All of it is for administrators.

Where the specification leaves a choice:

- Files are named within one configured folder: by their name alone, or by a full path that leads right into it. A
  backup takes the place of an earlier one of that name, and of nothing else. Without a folder there is neither.
- Restore without WBEM_FLAG_BACKUP_RESTORE_FORCE_SHUTDOWN is WBEM_E_INVALID_PARAMETER, whether or not there are
  clients: 3.1.4.10.2 says the one in its table and the other below it, and this satisfies both.
- A file that cannot be a backup is refused before anybody's connection ends. A paused repository is not restored.
- While paused, operations that run already do not reach the repository either: it stands still on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim.operations import CallContext, Request
from openwmi.cim.upkeep import Backup, Pause, RestoreFlags, RestoreFrom, Resume
from openwmi.errors import ConfigurationError, InvalidParameter, NotFound, WbemError
from openwmi.repository.database import is_repository
from openwmi.security.context import AuthenticationLevel
from openwmi.status import HResult, WbemStatus

if TYPE_CHECKING:
    from openwmi.manager.manager import ObjectManager

__all__ = ["BackupRestore"]

_log = logging.getLogger("openwmi.manager")
_audit_log = logging.getLogger("openwmi.audit")

_LONGEST_NAME: Final = 200  # leaves room for what a temporary name beside it adds
# What spells a path, a stream or a device, here or on Windows.
_NOT_IN_NAMES: Final = frozenset('<>:"/\\|?*')
_DEVICES: Final = frozenset({"AUX", "CON", "NUL", "PRN", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(10))})


class BackupRestore:
    """The manager's side of IWbemBackupRestoreEx. `folder` is where backups are; None for nowhere."""

    def __init__(self, manager: ObjectManager, folder: Path | None, pause_limit: float) -> None:
        self.folder = folder
        self.backup_in_progress = False
        self.restore_in_progress = False
        self.is_server_paused = False
        self._manager = manager
        self._pause_limit = pause_limit
        self._timer: asyncio.TimerHandle | None = None
        self._one_at_a_time = asyncio.Lock()
        self._waiting: list[CallContext] = []
        self._changed = asyncio.Event()

    # -- what requests see

    @property
    def waiting(self) -> list[CallContext]:
        """The requests that wait, each by its context. They count as running."""
        return self._waiting

    async def admit(self, context: CallContext) -> None:
        """Lets a request in, at once or when the backup or the pause is over (3.1.4).

        Raises CO_E_SERVER_STOPPING during a restore, and what `ObjectManager.check_capacity` raises if there are too
        many already: what waits is bounded like what runs. The server may be shutting down when this returns.
        """
        self._refuse_while_restoring()
        if not (self.backup_in_progress or self.is_server_paused):
            return
        self._manager.check_capacity(context)
        self._waiting.append(context)
        try:
            while self.backup_in_progress or self.is_server_paused:
                await self._change()
        finally:
            self._waiting.remove(context)
        self._refuse_while_restoring()

    async def settled(self) -> None:
        """Waits until the repository is not paused."""
        while self.is_server_paused:
            await self._change()

    async def _change(self) -> None:
        changed = self._changed
        await changed.wait()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _refuse_while_restoring(self) -> None:
        if self.restore_in_progress:
            raise WbemError.of(HResult.CO_E_SERVER_STOPPING, "the repository is being restored: connect again later")

    # -- the four requests

    async def perform(self, request: Request, context: CallContext) -> None:
        """See `openwmi.cim.upkeep.Upkeep`."""
        try:
            self._manager.check_running()
            self._check(request, context)
            await self._do(request)
        except WbemError as error:
            error.extended = self._manager.extended(request, error)
            raise
        _audit_log.info("success: %s at %s: %s", context.principal.name, context.peer, request)

    async def _do(self, request: Request) -> None:
        try:
            await _HANDLERS[type(request)](self, request)
        except ConfigurationError as error:  # of a file
            raise WbemError.of(WbemStatus.WBEM_E_FAILED, str(error)) from error

    def _check(self, request: Request, context: CallContext) -> None:
        refusal = self._manager.refusal
        if context.remote and context.level < AuthenticationLevel.INTEGRITY:
            raise refusal(context, f"authentication level {context.level}; calls need packet integrity or privacy")
        if not context.principal.is_administrator:
            raise refusal(context, f"{request.METHOD} is for administrators")
        unknown = context.flags & ~int(request.FLAGS)
        if unknown:
            raise InvalidParameter(f"{request.METHOD} has no flag 0x{unknown & 0xFFFFFFFF:X}")
        if isinstance(request, RestoreFrom) and not context.flags & RestoreFlags.FORCE_SHUTDOWN:
            raise InvalidParameter("Restore needs WBEM_FLAG_BACKUP_RESTORE_FORCE_SHUTDOWN: it ends every connection")
        self._refuse_while_restoring()

    async def _backup(self, request: Backup) -> None:
        async with self._one_at_a_time:
            self._refuse_while_restoring()
            self.backup_in_progress = True
            try:
                await self._manager.in_store_now(self._write, request.file)
            finally:
                self.backup_in_progress = False
                self._announce()

    def _write(self, name: str | None) -> None:
        path = self._path(name)
        there = path.is_symlink() or path.exists()
        if there and (path.is_symlink() or not is_repository(path)):
            raise InvalidParameter(f"{path.name} is there and is no backup, so it is not overwritten")
        self._manager.store.backup(path, overwrite=there)

    async def _restore(self, request: RestoreFrom) -> None:
        async with self._one_at_a_time:
            if self.is_server_paused:
                raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "the server is paused: resume it first")
            path = await self._manager.in_store_now(self._source, request.file)
            self.restore_in_progress = True
            try:
                await self._manager.end_everything(
                    WbemError.of(HResult.CO_E_SERVER_STOPPING, "the repository is being restored")
                )
                await self._manager.in_store_now(self._manager.restore_from, path)
            finally:
                self.restore_in_progress = False
                self._announce()

    def _source(self, name: str | None) -> Path:
        path = self._path(name)
        if path.is_symlink() or not path.exists():
            raise NotFound(f"there is no backup {path.name}")
        if not is_repository(path):
            raise InvalidParameter(f"{path.name} is no backup")
        return path

    async def _pause(self, request: Pause) -> None:
        if self.is_server_paused:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "the server is paused already")
        self.is_server_paused = True
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pause_limit, self._pause_too_long)
        try:
            # After everything that waits for the store's thread: what has begun there is complete.
            await self._manager.in_store_now(self._manager.store.settle)
        except BaseException:
            self.end_pause()
            raise

    async def _resume(self, request: Resume) -> None:
        if not self.is_server_paused:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "the server is not paused")
        self.end_pause()

    def end_pause(self) -> None:
        """Lets in what waits, if the server is paused, and resets the backup timer."""
        self.is_server_paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._announce()

    def _pause_too_long(self) -> None:
        """The backup timer has expired (3.1.5)."""
        _log.warning("nobody has resumed the server in %g s: resuming", self._pause_limit)
        self.end_pause()

    # -- names of files

    def _path(self, name: str | None) -> Path:
        """The file in the folder that `name` means; `InvalidParameter` for every other place."""
        if name is None:
            raise InvalidParameter("the name of the file is NULL")
        if self.folder is None:
            raise WbemError.of(
                WbemStatus.WBEM_E_NOT_SUPPORTED, "this server has no folder for backups: its configuration names none"
            )
        try:
            folder = self.folder.resolve(strict=True)
        except OSError as error:
            raise WbemError.of(
                WbemStatus.WBEM_E_FAILED, f"the folder for backups cannot be used: {error.strerror}"
            ) from None
        for spelling in (self.folder.absolute(), folder):
            if name.startswith((f"{spelling}/", f"{spelling}\\")):
                name = name[len(str(spelling)) + 1 :]
                break
        if not _is_plain(name):
            raise InvalidParameter(f"{name[:100]!r} is no plain name of a file in the server's folder for backups")
        return folder / name


def _is_plain(name: str) -> bool:
    return (
        0 < len(name.encode(errors="replace")) <= _LONGEST_NAME
        and name.isprintable()
        and name[0] not in ". "
        and name[-1] not in ". "
        and _NOT_IN_NAMES.isdisjoint(name)
        and name.partition(".")[0].rstrip().upper() not in _DEVICES
    )


_HANDLERS: Final[dict[type[Request], Callable[[BackupRestore, Any], Awaitable[None]]]] = {
    Backup: BackupRestore._backup,
    RestoreFrom: BackupRestore._restore,
    Pause: BackupRestore._pause,
    Resume: BackupRestore._resume,
}
