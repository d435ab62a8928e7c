"""The repository's SQLite file: opening it, its layout, its versions, and who may have it open.

A file is ours if its header carries our application id; its user version is the layout's. An older layout is brought
up to date in one transaction; a newer one, a foreign file, or one that another process has open is a
`ConfigurationError` that says what to do, and the file stays as it was.

One process at a time, readers too: the connection takes SQLite's exclusive lock when it opens and keeps it (which also
saves the locking on every transaction, and the shared-memory file). The lock goes with the process, however that ends.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from openwmi.errors import ConfigurationError, RepositoryDamaged, RepositoryInUse
from openwmi.security.files import check_private

__all__ = ["APPLICATION_ID", "CLASS_SHIFT", "LAYOUT", "connect", "is_repository", "stage"]

APPLICATION_ID: Final = int.from_bytes(b"oWMI", "big")

_MAGIC: Final = b"SQLite format 3\0"
_USER_VERSION: Final = slice(60, 64)
_APPLICATION_ID: Final = slice(68, 72)
_LOCK_WAIT: Final = 0.5  # seconds; enough for a process that is just closing the file

# Folded names and identities are UTF-8 as blobs, since they may hold lone surrogates, which SQLite's text cannot.
# classes: `declaration` is the local one (openwmi.repository.serial). Ids are never used again, so that an iterator
# cannot run on into another class.
# instances: `origin` is the class that settles the keys, whose whole hierarchy shares one space of identities.
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

CLASS_SHIFT: Final = 36
"""An instance's id is its class's id, shifted by this, and a number within the class (see the second layout)."""

# Instead of an index, a class's instances lie together: `id` has the class in its upper bits, so that a class is one
# range of the table, in the order of creation, and a delete touches two B-trees rather than three.
_SECOND_LAYOUT: Final = (
    "ALTER TABLE instances RENAME TO instances_before",
    f"""CREATE TABLE instances (
        id INTEGER PRIMARY KEY,
        origin INTEGER NOT NULL REFERENCES classes,
        identity BLOB NOT NULL,
        class INTEGER NOT NULL REFERENCES classes,
        data TEXT NOT NULL,
        UNIQUE (origin, identity),
        CHECK (id >> {CLASS_SHIFT} = class)
    )""",
    f"""INSERT INTO instances (id, origin, identity, class, data)
        SELECT (class << {CLASS_SHIFT}) + id, origin, identity, class, data FROM instances_before ORDER BY class, id""",  # noqa: S608
    "DROP TABLE instances_before",
)

# Step n brings layout n to n + 1; an empty file has layout 0. A step that was released does not change any more.
STEPS: tuple[tuple[str, ...], ...] = (_FIRST_LAYOUT, _SECOND_LAYOUT)

LAYOUT: Final = len(STEPS)


def is_repository(path: Path) -> bool:
    """Whether `path` is a regular file with a repository's mark, of whatever layout and in whatever state."""
    try:
        return path.is_file() and _is_marked(_header(path))
    except OSError:
        return False


def connect(path: Path | None) -> sqlite3.Connection:
    """The open database, in its newest layout; one in memory without a path. `ConfigurationError` if it cannot be."""
    if path is None:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _migrate(connection, Path(":memory:"))
        return connection
    is_new = _inspect(path, private=True)
    opened: sqlite3.Connection | None = None
    try:
        opened = sqlite3.connect(path, timeout=_LOCK_WAIT, isolation_level=None, check_same_thread=False)
        _prepare(opened, path)
    except (sqlite3.Error, ConfigurationError) as error:
        if opened is not None:
            opened.close()
        if is_new:
            _discard(path)
        if isinstance(error, ConfigurationError):
            raise
        raise _problem(path, error) from None
    return opened


def stage(path: Path) -> sqlite3.Connection:
    """A private copy of the repository at `path`, which is only read, in the newest layout.

    The copy is in a temporary file that goes with the connection. Raises `ConfigurationError` as `connect` does.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise ConfigurationError(f"there is no repository in {path}")
    _inspect(path, private=False)
    staged = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_LOCK_WAIT)
        try:
            # Fails at once if another process has the file; the copy itself would wait for ever.
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(staged)
        finally:
            source.close()
        _migrate(staged, path)
    except sqlite3.Error as error:
        staged.close()
        raise _problem(path, error) from None
    except ConfigurationError:
        staged.close()
        raise
    return staged


def _inspect(path: Path, *, private: bool) -> bool:
    """Refuses what is not ours before SQLite touches it. Creates a missing file; returns whether it did.

    With `private` it is refused, too, if others than its owner may touch it: who may write to it may grant himself
    every right. A backup, which is only read, may lie about.
    """
    try:
        header, status = _header(path), path.stat()
    except FileNotFoundError:
        return _create(path)
    except OSError as error:
        raise ConfigurationError(f"the repository {path} cannot be read: {error.strerror}") from None
    if header and not _is_marked(header):
        raise ConfigurationError(f"{path} is not a repository of openwmi: name another file")
    if private:
        check_private(path, status)
    if header:
        _check_version(path, int.from_bytes(header[_USER_VERSION], "big"))
    return False


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _is_marked(header: bytes) -> bool:
    return header[: len(_MAGIC)] == _MAGIC and int.from_bytes(header[_APPLICATION_ID], "big") == APPLICATION_ID


def _check_version(path: Path, version: int) -> None:
    if version > LAYOUT:
        raise ConfigurationError(
            f"the repository {path} was written by a newer openwmi (layout {version}; this one knows {LAYOUT}):"
            " upgrade openwmi, or name another file"
        )


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


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    # Takes the lock, for as long as the connection lives, and finds out whether the file can be written.
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")
    _migrate(connection, path)
    # Only now: the header has our mark before a log could hold the only copy of it.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA cache_size = -65536")  # KiB


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings the layout up to date in one transaction, and its version into the file's header."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    _check_version(path, version)  # again: a log that is still beside the file may know better than its header
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
        return RepositoryInUse(
            f"the repository {path} is open in another process: stop that one, connect to it over the network,"
            " or name another file"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigurationError(f"the repository {path}, or its folder, cannot be written to: {error}")
    if code == sqlite3.SQLITE_IOERR:  # says nothing about what is in the file: it is so on read-only file systems, too
        return ConfigurationError(
            f"the repository {path}, or its folder, cannot be read or written: {error};"
            " look whether the file system is read-only, or the disk fails"
        )
    if code == sqlite3.SQLITE_FULL:
        return ConfigurationError(f"the repository {path} cannot be opened: {error}")
    return RepositoryDamaged(
        f"the repository {path} cannot be opened: {error}; restore it from a backup, or move it away to begin anew"
    )
