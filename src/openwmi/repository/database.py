"""The repository's SQLite file: opening it, its layout, its versions, and who may have it open.

A file is ours if its header carries our application id; its user version is the layout's. An older layout is brought
up to date in one transaction; a newer one, a foreign file, or one that another process has open is a
`ConfigurationError` that says what to do, and the file stays as it was.

One process at a time: the connection takes SQLite's exclusive lock when it opens and keeps it (which also saves the
locking on every transaction, and the shared-memory file). The lock goes with the process, however that ends.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from openwmi.errors import ConfigurationError

__all__ = ["APPLICATION_ID", "LAYOUT", "connect"]

APPLICATION_ID: Final = int.from_bytes(b"oWMI", "big")

_MAGIC: Final = b"SQLite format 3\0"
_USER_VERSION: Final = slice(60, 64)
_APPLICATION_ID: Final = slice(68, 72)
_LOCK_WAIT: Final = 0.5  # seconds; enough for a process that is just closing the file

# Folded names and identities are UTF-8 as blobs, since they may hold lone surrogates, which SQLite's text cannot.
# classes: `declaration` is the local one (openwmi.repository.serial). Ids are never used again, so that an iterator
# cannot run on into another class.
# instances: `origin` is the class that settles the keys, whose whole hierarchy shares one space of identities.
# Rows of a class are found by `instances_of_class` in the order of their ids, which is the table's own order.
_FIRST_LAYOUT: Final = (
    """CREATE TABLE namespaces (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        folded BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        parent INTEGER REFERENCES namespaces,
        descriptor BLOB
    )""",
    "CREATE INDEX namespaces_parent ON namespaces (parent)",
    """CREATE TABLE classes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        namespace INTEGER NOT NULL REFERENCES namespaces,
        folded BLOB NOT NULL,
        parent INTEGER REFERENCES classes,
        declaration TEXT NOT NULL,
        UNIQUE (namespace, folded)
    )""",
    "CREATE INDEX classes_parent ON classes (parent)",
    """CREATE TABLE instances (
        id INTEGER PRIMARY KEY,
        origin INTEGER NOT NULL REFERENCES classes,
        identity BLOB NOT NULL,
        class INTEGER NOT NULL REFERENCES classes,
        data TEXT NOT NULL,
        UNIQUE (origin, identity)
    )""",
    "CREATE INDEX instances_of_class ON instances (class)",
)

# Step n brings layout n to n + 1; an empty file has layout 0.
STEPS: tuple[tuple[str, ...], ...] = (_FIRST_LAYOUT,)

LAYOUT: Final = len(STEPS)


def connect(path: Path | None) -> sqlite3.Connection:
    """The open database, in its newest layout; one in memory without a path. `ConfigurationError` if it cannot be."""
    if path is None:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _migrate(connection)
        return connection
    is_new = _inspect(path)
    opened: sqlite3.Connection | None = None
    try:
        opened = sqlite3.connect(path, timeout=_LOCK_WAIT, isolation_level=None, check_same_thread=False)
        _prepare(opened)
    except sqlite3.Error as error:
        if opened is not None:
            opened.close()
        if is_new:
            _discard(path)
        raise _problem(path, error) from None
    return opened


def _inspect(path: Path) -> bool:
    """Refuses what is not ours before SQLite touches it. Creates a missing file; returns whether it did."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return _create(path)
    except OSError as error:
        raise ConfigurationError(f"the repository {path} cannot be read: {error.strerror}") from None
    if not header:
        return False
    if header[: len(_MAGIC)] != _MAGIC or int.from_bytes(header[_APPLICATION_ID], "big") != APPLICATION_ID:
        raise ConfigurationError(f"{path} is not a repository of openwmi: name another file")
    version = int.from_bytes(header[_USER_VERSION], "big")
    if version > LAYOUT:
        raise ConfigurationError(
            f"the repository {path} was written by a newer openwmi (layout {version}; this one knows {LAYOUT}):"
            " upgrade openwmi, or name another file"
        )
    return False


def _create(path: Path) -> bool:
    """An empty file that only its owner may read: a repository holds security descriptors."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"the repository {path} cannot be created: {error.strerror}; name a file in a folder that exists"
            " and that this account may write to"
        ) from None
    return True


def _discard(path: Path) -> None:
    """Removes the file that `_create` made, if nothing got into it."""
    if path.stat().st_size == 0:
        path.unlink()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    # Takes the lock, for as long as the connection lives, and finds out whether the file can be written.
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")
    _migrate(connection)
    # Only now: the header has our mark before a log could hold the only copy of it.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA cache_size = -65536")  # KiB


def _migrate(connection: sqlite3.Connection) -> None:
    """Brings the layout up to date in one transaction, and its version into the file's header."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == LAYOUT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    # Out of the log: `_inspect` reads the version from the file itself. Does nothing where there is no log.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _problem(path: Path, error: sqlite3.Error) -> ConfigurationError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ConfigurationError(
            f"the repository {path} is open in another process: stop that one, connect to it over the network,"
            " or name another file"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigurationError(f"the repository {path}, or its folder, cannot be written to: {error}")
    return ConfigurationError(f"the repository {path} cannot be opened: {error}; restore it from a backup")
