"""Unix sockets to listen at: a server's beside its repository's file, and numbered ones for the sinks of its callers.

Only Linux tells both ends of such a socket who the other is in the way that is used here; elsewhere there are none.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
from pathlib import Path
from typing import Final

from openwmi.errors import ConfigurationError

__all__ = ["NumberedSocket", "SocketFile", "numbered", "socket_beside"]

_LONGEST: Final = 107  # octets of a path in sockaddr_un, before its zero
_ATTEMPTS: Final = 100


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


def numbered(port: int) -> str:
    """The name of a `NumberedSocket`."""
    return f"\0openwmi/{port}"


class NumberedSocket:
    """A socket whose name is a number that a binding can have, as a TCP port is, and no file (unix(7), abstract names).

    Anybody may connect, and anybody may have taken such a number: both ends must look who the other is.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
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

    Everybody who may come into the folder may connect, for each says who it is. What a server that was killed has left
    there is replaced. Raises `ConfigurationError` if somebody listens there, or if the name cannot be had.
    """

    def __init__(self, path: Path) -> None:
        if not _is_supported():
            raise ConfigurationError(f"{path}: this system does not say who is at the other end of such a socket")
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._take_over()
            self.socket.bind(os.fspath(path))
            path.chmod(0o666)
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
                raise ConfigurationError(f"{self.path}: is in the way of the server's socket, and is none")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            answer = probe.connect_ex(os.fspath(self.path))
        if answer != errno.ECONNREFUSED:
            raise ConfigurationError(f"{self.path}: another server listens there")
        self.path.unlink()

    def remove(self) -> None:
        """Takes the name away; to be called while nobody else can have taken it over."""
        self.path.unlink(missing_ok=True)
