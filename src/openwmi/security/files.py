"""Files that only their owner may touch: checking them, locking their folder, exchanging them whole.

On POSIX a file's owner and mode say who may touch it; Windows' access lists are not looked at. `ConfigurationError`
names the file and what to do.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from openwmi.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

__all__ = ["check_private", "check_private_folder", "locked", "write_whole"]

_LOCK_WAIT: Final = 10.0  # seconds; a change of a small file takes milliseconds
_LOCK_STEP: Final = 0.02


def check_private(path: Path, status: os.stat_result) -> None:
    """Refuses a file that somebody else owns or may touch."""
    if sys.platform == "win32":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"{path}: belongs to user id {status.st_uid}, must belong to {os.geteuid()}")
    if status.st_mode & 0o077 and stat.S_ISREG(status.st_mode):
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(f"{path}: others may use it (mode {mode:04o}); run: chmod 600 {path}")


def check_private_folder(folder: Path) -> None:
    """Refuses a folder in which somebody else could put another file in the place of one of ours.

    A folder that everybody writes to, but in which everybody keeps his own (the sticky bit, as of /tmp), will do.
    """
    if sys.platform == "win32":
        return
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"{folder}: belongs to user id {status.st_uid}, must belong to {os.geteuid()}")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(
            f"{folder}: others may exchange the files in it (mode {mode:04o}); run: chmod go-w {folder}"
        )


@contextmanager
def locked(folder: Path, *, wait: float = _LOCK_WAIT) -> Iterator[None]:
    """Makes `folder` and holds its lock. Locking the folder leaves no lock file behind; Windows does without.

    Raises `ConfigurationError` if another process has the lock for longer than `wait` seconds.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY) if sys.platform != "win32" else -1
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be used: {error.strerror}") from error
    if sys.platform == "win32":
        yield
        return
    try:
        _lock(handle, folder, time.monotonic() + wait)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path, until: float) -> None:
    if sys.platform == "win32":
        return
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise ConfigurationError(
                    f"{folder}: another process has had its lock for too long; end that one, or try again"
                ) from None
            time.sleep(_LOCK_STEP)
        except OSError as error:
            raise ConfigurationError(f"{folder}: cannot be locked: {error.strerror}") from None


def write_whole(path: Path, data: bytes) -> os.stat_result:
    """Puts `data` in `path`'s place, durably and at once, for nobody else to read; what the new file is like.

    A reader finds the old file or the new one, whole. Raises `OSError`, and then nothing has changed.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(handle)
            status = os.fstat(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return status
