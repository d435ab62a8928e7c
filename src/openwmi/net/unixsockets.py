"""Unix sockets to listen at: a server's beside its repository's file, and numbered ones for the sinks of its callers.

Only Linux tells both ends of such a socket who the other is in the way that is used here; elsewhere there are none.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from openwmi.errors import ConfigurationError

__all__ = [
    "NumberedSocket",
    "SocketFile",
    "numbered",
    "refuses_files",
    "socket_beside",
    "unix_socket",
    "user_at_the_other_end",
]

_LONGEST: Final = 107  # octets of a path in sockaddr_un, before its zero
_ATTEMPTS: Final = 100
_SO_PASSRIGHTS: Final = 83  # since Linux 6.16, asm-generic/socket.h
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: the process, the user and the group
_INSTEAD: Final = "move it away, or do without a socket (--no-socket)"
_log = logging.getLogger("openwmi.net")


class Connected(Protocol):
    """A socket, or what asyncio shows of one."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        """See `socket.socket.getsockopt`."""
        ...


def socket_beside(file: Path) -> Path | None:
    """Where the server that has `file` open listens: ``repository.db.sock`` for ``repository.db``, links resolved.

    None where there can be no such socket: on another system, and for a path that is none or is too long for one.
    """
    try:
        found = file.resolve()
    except (OSError, RuntimeError, ValueError):  # links that lead round in circles, a NUL: whoever opens it will say so
        return None
    found = found.with_name(f"{found.name}.sock")
    return found if _is_supported() and len(os.fsencode(found)) <= _LONGEST else None


def _is_supported() -> bool:
    return hasattr(socket, "SO_PEERCRED")


def unix_socket() -> socket.socket:
    """A new one, as are those that it accepts, to which nobody can pass open files, if the system knows how to refuse.

    Who receives such files and does not want them has to close them, and the sender decides how long that takes: a TCP
    connection with SO_LINGER would stop the whole process for hours.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    return made


def refuses_files(made: socket.socket) -> bool:
    """Whether nobody can pass open files to a `unix_socket`."""
    try:
        return made.getsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS) == 0
    except OSError:
        return False


def user_at_the_other_end(connected: Connected) -> int:
    """The number of the user who has opened the other end of a Unix socket, as the system knows it (unix(7))."""
    octets = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(octets)
    return int(user)


def numbered(port: int) -> str:
    """The name of a `NumberedSocket`."""
    return f"\0openwmi/{port}"


class NumberedSocket:
    """A socket whose name is a number that a binding can have, as a TCP port is, and no file (unix(7), abstract names).

    Anybody may connect, and anybody may have taken such a number: both ends must look who the other is.
    """

    def __init__(self) -> None:
        self.socket = unix_socket()
        problem: OSError | None = None
        for _ in range(_ATTEMPTS):
            self.port = secrets.randbelow(0xFFFF) + 1
            try:
                self.socket.bind(numbered(self.port))
            except OSError as error:
                problem = error
                if error.errno != errno.EADDRINUSE:
                    break
            else:
                return
        self.socket.close()
        raise ConfigurationError(f"cannot have a numbered Unix socket: {problem}") from None


class SocketFile:
    """A bound socket and its name in the file system, which goes with `remove`.

    Everybody who may come into the folder may connect, for the system says who it is; where it cannot refuse files that
    are passed, only the file's group may. What a server that was killed has left
    there is replaced. Raises `ConfigurationError` if somebody listens there, or if the name cannot be had.
    """

    def __init__(self, path: Path) -> None:
        if not _is_supported():
            raise ConfigurationError(f"{path}: this system does not say who is at the other end of such a socket")
        self.path = path
        self.socket = unix_socket()
        try:
            self._take_over()
            self.socket.bind(os.fspath(path))
            self._open_to(0o666 if refuses_files(self.socket) else 0o660)
        except OSError as error:
            self.socket.close()
            raise ConfigurationError(f"{path}: cannot listen there: {error.strerror or error}") from None
        except BaseException:
            self.socket.close()
            raise

    def _take_over(self) -> None:
        """Removes a socket at which nobody listens any more."""
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise ConfigurationError(f"{self.path}: is in the way of the server's socket, and is none; {_INSTEAD}")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            answer = probe.connect_ex(os.fspath(self.path))
        if answer != errno.ECONNREFUSED:
            raise ConfigurationError(f"{self.path}: another server listens there; {_INSTEAD}")
        self.path.unlink()

    def _open_to(self, mode: int) -> None:
        """Lets others connect: to what was bound, whatever somebody else has put in its place meanwhile."""
        handle = os.open(self.path, os.O_PATH | os.O_NOFOLLOW)
        try:
            found = os.fstat(handle)
            # One with two names would be a socket from elsewhere.
            if not stat.S_ISSOCK(found.st_mode) or found.st_nlink != 1:
                raise ConfigurationError(f"{self.path}: somebody else has put another file there")
            Path(f"/proc/self/fd/{handle}").chmod(mode)
        finally:
            os.close(handle)

    def remove(self) -> None:
        """Takes the name away; to be called while nobody else can have taken it over. Never raises."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:  # clients find that nobody listens there, and the next server replaces it
            _log.warning("%s: cannot be removed: %s", self.path, error.strerror or error)
