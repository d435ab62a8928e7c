"""One SQLite connection that all threads share: statements, transactions, and copies of the whole.

One lock, held for one statement, one page of an enumeration, one transaction, or one copy. Writes are durable when they
return: the write-ahead log is synchronised first (``synchronous = FULL``). SQLite's errors become ours here.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from openwmi.errors import ConfigurationError, WbemError
from openwmi.repository.database import connect
from openwmi.status import WbemStatus

__all__ = ["BESIDE", "Engine", "copy_beside", "publish"]

_TRANSACTION: Final = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_SAVEPOINT: Final = ("SAVEPOINT inner_one", "RELEASE inner_one", ("ROLLBACK TO inner_one", "RELEASE inner_one"))
BESIDE: Final = ("", "-wal", "-journal", "-shm")
"""What the names of SQLite's files for one database end in."""


class Engine:
    """The database at `path`, or one in memory. What is known of it besides is emptied by `_forget`.

    Raises `ConfigurationError` if the file is not ours, too new, unwritable, or open in another process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._name = "in memory" if path is None else str(path)
        self._lock = threading.RLock()
        self._depth = 0
        self._undone = False
        self._generation = 0  # of the content: how often it was exchanged as a whole
        self._connection: sqlite3.Connection | None = self._connect()

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path)

    def close(self) -> None:
        """Releases the store. Closing it again does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._forget()

    def _forget(self) -> None:
        """Empties the caches: what they say may no longer be so."""

    # -- statements and transactions: the caller of `_run`, `_row` and `_rows` holds the lock

    def _run(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """One statement. Outside a transaction, a write is durable when it returns."""
        connection = self._connection
        if connection is None or self._undone:
            raise self._unusable()
        try:
            return connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _row(self, sql: str, *parameters: Any) -> Any:
        """The first row that the statement finds, or None."""
        try:
            return self._run(sql, *parameters).fetchone()
        except sqlite3.Error as error:  # damage shows when it is read
            raise self._failed(error) from error

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        """All rows that it finds."""
        try:
            return self._run(sql, *parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _unusable(self) -> WbemError:
        if self._connection is None:
            return WbemError.of(WbemStatus.WBEM_E_SHUTTING_DOWN, f"the repository {self._name} is closed")
        return WbemError.of(WbemStatus.WBEM_E_CRITICAL_ERROR, "an earlier failure has undone this transaction")

    def _failed(self, error: sqlite3.Error) -> WbemError:
        # A full disk or an I/O error may undo the whole transaction. What its owner, knowing nothing of that, still
        # writes must not get in one by one.
        self._undone = self._depth > 0 and self._connection is not None and not self._connection.in_transaction
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        status = WbemStatus.WBEM_E_OUT_OF_DISK_SPACE if full else WbemStatus.WBEM_E_CRITICAL_ERROR
        return WbemError.of(status, f"the repository {self._name}: {error}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes all writes in the `with` block one; see `Store.transaction`."""
        with self._lock:
            begin, commit, undo = _TRANSACTION if self._depth == 0 else _SAVEPOINT
            self._run(begin)
            self._depth += 1
            try:
                yield
                self._run(commit)
            except BaseException:
                self._forget()
                self._undo(undo)
                raise
            finally:
                self._depth -= 1
                self._undone = self._undone and self._depth > 0

    def _undo(self, statements: tuple[str, ...]) -> None:
        if self._connection is not None and self._connection.in_transaction:
            for statement in statements:
                self._run(statement)

    # -- the whole

    def check(self) -> list[str]:
        """What is wrong with the file, as SQLite sees it: nothing in a sound one."""
        with self._lock:
            try:
                found = [text for (text,) in self._rows("PRAGMA integrity_check") if text != "ok"]
                broken = self._rows("PRAGMA foreign_key_check")
            except WbemError as error:
                if self._connection is None:
                    raise
                return [error.detail]  # too damaged for the check itself
        return found + [
            f"{table} row {row}: what it belongs to in {parent} is gone" for table, row, parent, _ in broken
        ]

    def settle(self) -> None:
        """See `Store.settle`."""
        with self._lock:
            self._alone()
            self._row("PRAGMA wal_checkpoint(TRUNCATE)")

    def backup(self, path: Path | str, *, overwrite: bool = False) -> None:
        """See `Store.backup`."""
        target = Path(path)
        self._check_target(target, overwrite)
        with self._lock:
            source = self._alone()
            try:
                made = copy_beside(source, target)
            except sqlite3.Error as error:
                raise self._failed(error) from error
        publish(made, target, overwrite=overwrite)

    def _replace(self, staged: sqlite3.Connection) -> None:
        """Makes `staged`'s content this one's, in one transaction of SQLite's own."""
        with self._lock:
            own = self._alone()
            try:
                staged.backup(own)
            except sqlite3.Error as error:
                raise self._failed(error) from error
            finally:
                self._generation += 1
                self._forget()
            with suppress(sqlite3.Error):  # the content is safe in the log already
                own.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _alone(self) -> sqlite3.Connection:
        """The connection, for a copy, which cannot be made inside a transaction."""
        connection = self._connection
        if connection is None:
            raise self._unusable()
        if self._depth:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, "not inside a transaction")
        return connection

    def _check_target(self, target: Path, overwrite: bool) -> None:
        own = () if self._path is None else tuple(Path(f"{self._path}{suffix}").resolve() for suffix in BESIDE)
        if target.resolve() in own:
            raise ConfigurationError(f"{target} is the repository itself: name another file")
        if target.is_dir():
            raise ConfigurationError(f"{target} is a folder: name a file")
        if not overwrite and target.exists():
            raise _there_already(target)


def copy_beside(source: sqlite3.Connection, target: Path) -> Path:
    """The whole of `source` in a new file of another name beside `target`, on the disk and with nothing left in a log.

    Only this account may read it. Raises `ConfigurationError` if there can be no such file, and SQLite's errors.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # 0600
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from None
    os.close(handle)
    copy = sqlite3.connect(name, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = FULL")
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        copy.close()
        for suffix in BESIDE:
            Path(name + suffix).unlink(missing_ok=True)
        raise
    copy.close()
    return Path(name)


def publish(made: Path, target: Path, *, overwrite: bool) -> None:
    """Gives the finished file its name, all at once and for good. It is gone if that fails (`ConfigurationError`)."""
    try:
        _synchronise(made)
        if overwrite:
            made.replace(target)
        else:
            os.link(made, target)  # unlike a rename, this never takes the place of a file that came meanwhile
        if os.name == "posix":
            _synchronise(target.parent)
    except FileExistsError:
        raise _there_already(target) from None
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        made.unlink(missing_ok=True)


def _synchronise(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _there_already(target: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{target} is there already: name another file, or have it overwritten (overwrite=True, or --overwrite)"
    )
