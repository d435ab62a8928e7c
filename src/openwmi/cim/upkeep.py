"""What one can ask of a repository as a whole (MS-WMI 3.1.4.10, 3.1.4.11): to be backed up, restored, paused, resumed.

This is no CIM, so it is no part of `openwmi.cim.operations`: a second, smaller Protocol, which the object manager and
the clients implement alike. The requests are those of IWbemBackupRestoreEx.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Protocol, runtime_checkable

from openwmi.cim.operations import CallContext, Request

__all__ = ["Backup", "Pause", "RestoreFlags", "RestoreFrom", "Resume", "Upkeep"]


class RestoreFlags(IntFlag):
    """The flags of Restore (3.1.4.10.2)."""

    FORCE_SHUTDOWN = 0x01


@dataclass(frozen=True, slots=True)
class Backup(Request):
    """Writes the repository to the file of that name in the server's backup folder (3.1.4.10.1)."""

    IGNORED = 0
    METHOD = "Backup"
    file: str | None


@dataclass(frozen=True, slots=True)
class RestoreFrom(Request):
    """Makes the repository what a backup in that folder is, and ends everybody's connections (3.1.4.10.2)."""

    IGNORED = 0
    FLAGS = RestoreFlags.FORCE_SHUTDOWN
    METHOD = "Restore"
    file: str | None


@dataclass(frozen=True, slots=True)
class Pause(Request):
    """Holds the repository still, so that its file can be copied (3.1.4.11.1), for 15 minutes at most."""

    IGNORED = 0
    METHOD = "Pause"


@dataclass(frozen=True, slots=True)
class Resume(Request):
    """Ends a pause (3.1.4.11.2)."""

    IGNORED = 0
    METHOD = "Resume"


@runtime_checkable
class Upkeep(Protocol):
    """A repository that can be kept up by whoever may."""

    async def perform(self, request: Backup | RestoreFrom | Pause | Resume, context: CallContext) -> None:
        """Does what is asked, to its end. Raises `WbemError`."""
        ...
