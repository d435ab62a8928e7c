"""The `Store` in an SQLite file: one connection, one lock, prepared statements, a cache of resolved classes.

Durable: the write-ahead log is synchronised before a write returns (``synchronous = FULL``). The lock is held for one
statement, one page of an enumeration, or one transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from openwmi.cim import Class, Instance, fold, split_namespace
from openwmi.errors import DecodeError, InvalidClass, InvalidNamespace, SyntaxProblem, WbemError
from openwmi.repository.database import connect
from openwmi.repository.serial import decode_class, decode_instance, encode_class, encode_instance
from openwmi.status import WbemStatus

__all__ = ["SqliteStore"]

PAGE: Final = 256
"""Instances that an enumeration reads at a time."""

CACHED_CLASSES: Final = 4000
"""Resolved classes kept in memory: more than the whole DMTF schema has."""

_BELOW_CLASS: Final = """
    WITH RECURSIVE below(id) AS (SELECT ? UNION ALL SELECT classes.id FROM classes JOIN below ON parent = below.id)
"""
_BELOW_NAMESPACE: Final = """
    WITH RECURSIVE below(id) AS
        (SELECT ? UNION ALL SELECT namespaces.id FROM namespaces JOIN below ON parent = below.id)
"""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A class as it lies in the database. `origin` is the id of the class that settles its keys."""

    id: int
    namespace: int
    origin: int
    cls: Class


class SqliteStore:
    """Static objects in the SQLite file `path`, which is created if it is not there.

    Raises `ConfigurationError` if the file is not ours, too new, unwritable, or open in another process.
    """

    def __init__(self, path: Path | str) -> None:
        self._open(Path(path))

    def _open(self, path: Path | None) -> None:
        self._name = "in memory" if path is None else str(path)
        self._lock = threading.RLock()
        self._depth = 0
        self._namespaces: dict[str, tuple[int, str]] = {}
        self._by_name: dict[tuple[int, str], _Entry] = {}
        self._by_id: dict[int, _Entry] = {}
        self._connection: sqlite3.Connection | None = connect(path)

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the store. Closing it again does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._forget()

    # -- statements and transactions

    def _run(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """One statement: the boundary at which SQLite's errors become ours. The caller holds the lock."""
        if self._connection is None:
            raise WbemError.of(WbemStatus.WBEM_E_SHUTTING_DOWN, f"the repository {self._name} is closed")
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            status = WbemStatus.WBEM_E_OUT_OF_DISK_SPACE if full else WbemStatus.WBEM_E_CRITICAL_ERROR
            raise WbemError.of(status, f"the repository {self._name}: {error}") from error

    def _row(self, sql: str, *parameters: Any) -> Any:
        return self._run(sql, *parameters).fetchone()

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

    def _undo(self, statements: tuple[str, ...]) -> None:
        # SQLite itself has rolled back after a full disk or an I/O error; then there is nothing left to undo.
        if self._connection is not None and self._connection.in_transaction:
            for statement in statements:
                self._run(statement)

    def _forget(self) -> None:
        """Empties the caches: what they say may no longer be so."""
        self._namespaces.clear()
        self._by_name.clear()
        self._by_id.clear()

    # -- namespaces

    def namespaces(self, parent: str | None = None) -> list[str]:
        """See `Store.namespaces`."""
        with self._lock:
            if parent is None:
                return [name for (name,) in self._run("SELECT name FROM namespaces ORDER BY id").fetchall()]
            number, _ = self._namespace(parent)
            return [name for (name,) in self._run("SELECT name FROM namespaces WHERE parent = ? ORDER BY id", number)]

    def has_namespace(self, name: str) -> bool:
        """See `Store.has_namespace`."""
        try:
            with self._lock:
                self._namespace(name)
        except InvalidNamespace:
            return False
        return True

    def create_namespace(self, name: str, descriptor: bytes | None = None) -> None:
        """See `Store.create_namespace`."""
        levels = _levels(name)
        with self.transaction():
            parent, prefix = None, ""
            if len(levels) > 1:
                parent, above = self._namespace("\\".join(levels[:-1]))
                prefix = above + "\\"
            full = prefix + levels[-1]
            if self._row("SELECT 1 FROM namespaces WHERE folded = ?", _key(full)) is not None:
                raise WbemError.of(WbemStatus.WBEM_E_ALREADY_EXISTS, f"the namespace {full} is there already")
            self._run(
                "INSERT INTO namespaces (folded, name, parent, descriptor) VALUES (?, ?, ?, ?)",
                _key(full), full, parent, descriptor,
            )  # fmt: skip

    def delete_namespace(self, name: str) -> None:
        """See `Store.delete_namespace`."""
        with self.transaction():
            number, _ = self._namespace(name)
            self._forget()
            inside = "(SELECT classes.id FROM classes JOIN below ON classes.namespace = below.id)"
            self._run(f"{_BELOW_NAMESPACE} DELETE FROM instances WHERE class IN {inside}", number)  # noqa: S608
            self._run(f"{_BELOW_NAMESPACE} DELETE FROM classes WHERE namespace IN below", number)  # noqa: S608
            self._run(f"{_BELOW_NAMESPACE} DELETE FROM namespaces WHERE id IN below", number)  # noqa: S608

    def descriptor(self, name: str) -> bytes | None:
        """See `Store.descriptor`."""
        with self._lock:
            number, _ = self._namespace(name)
            found: bytes | None = self._row("SELECT descriptor FROM namespaces WHERE id = ?", number)[0]
            return found

    def set_descriptor(self, name: str, descriptor: bytes | None) -> None:
        """See `Store.set_descriptor`."""
        with self.transaction():
            number, _ = self._namespace(name)
            self._run("UPDATE namespaces SET descriptor = ? WHERE id = ?", descriptor, number)

    def _namespace(self, name: str) -> tuple[int, str]:
        """The id and the full name, as it was spelled first."""
        found = self._namespaces.get(name)
        if found is None:
            found = self._row("SELECT id, name FROM namespaces WHERE folded = ?", _key("\\".join(_levels(name))))
            if found is None:
                raise InvalidNamespace(f"there is no namespace {name[:200]}")
            if len(self._namespaces) >= CACHED_CLASSES:
                self._namespaces.clear()
            self._namespaces[name] = found
        return found

    # -- classes

    def get_class(self, namespace: str, name: str) -> Class | None:
        """See `Store.get_class`."""
        with self._lock:
            entry = self._find(self._namespace(namespace)[0], name)
            return None if entry is None else entry.cls

    def class_names(self, namespace: str, superclass: str | None = None, *, deep: bool = True) -> list[str]:
        """See `Store.class_names`."""
        with self._lock:
            number, _ = self._namespace(namespace)
            if superclass is None:
                start = self._run("SELECT id FROM classes WHERE namespace = ? AND parent IS NULL ORDER BY id", number)
            else:
                above = self._entry(namespace, superclass).id
                start = self._run("SELECT id FROM classes WHERE parent = ? ORDER BY id", above)
            level = [found for (found,) in start.fetchall()]
            names = [self._at(number).cls.name for number in level]
            while deep and level:
                level = [
                    found for above in level
                    for (found,) in self._run("SELECT id FROM classes WHERE parent = ? ORDER BY id", above).fetchall()
                ]  # fmt: skip
                names += [self._at(number).cls.name for number in level]
            return names

    def put_class(self, namespace: str, cls: Class) -> None:
        """See `Store.put_class`."""
        with self.transaction():
            number, _ = self._namespace(namespace)
            parent = None
            if cls.superclass is not None:
                above = self._find(number, cls.superclass)
                if above is None:
                    raise WbemError.of(
                        WbemStatus.WBEM_E_INVALID_SUPERCLASS, f"{cls.name}: there is no superclass {cls.superclass}"
                    )
                parent = above.id
            declaration = encode_class(cls.local)
            before = self._find(number, cls.name)
            if before is None:
                self._run(
                    "INSERT INTO classes (namespace, folded, parent, declaration) VALUES (?, ?, ?, ?)",
                    number, _key(cls.name), parent, declaration,
                )  # fmt: skip
                self._entry(namespace, cls.name)
            else:
                self._change_class(before, parent, declaration)

    def _change_class(self, before: _Entry, parent: int | None, declaration: str) -> None:
        """Replaces a declaration; the classes below must still be able to inherit, instances must keep their keys."""
        below = [n for (n,) in self._run(f"{_BELOW_CLASS} SELECT id FROM below", before.id).fetchall()]  # noqa: S608
        if parent in below:
            raise WbemError.of(WbemStatus.WBEM_E_CIRCULAR_REFERENCE, f"{before.cls.name} cannot descend from itself")
        keyed = {
            number: _key_rule(self._at(number))
            for number in below
            if self._row("SELECT 1 FROM instances WHERE class = ? LIMIT 1", number) is not None
        }
        self._forget()
        self._run("UPDATE classes SET parent = ?, declaration = ? WHERE id = ?", parent, declaration, before.id)
        for number in below:
            after = self._at(number)
            if number in keyed and keyed[number] != _key_rule(after):
                raise WbemError.of(
                    WbemStatus.WBEM_E_CLASS_HAS_INSTANCES,
                    f"{after.cls.name} has instances, which would lose their keys",
                )

    def delete_class(self, namespace: str, name: str) -> bool:
        """See `Store.delete_class`."""
        with self.transaction():
            entry = self._find(self._namespace(namespace)[0], name)
            if entry is None:
                return False
            self._forget()
            self._run(f"{_BELOW_CLASS} DELETE FROM instances WHERE class IN below", entry.id)  # noqa: S608
            self._run(f"{_BELOW_CLASS} DELETE FROM classes WHERE id IN below", entry.id)  # noqa: S608
            return True

    def _find(self, namespace: int, name: str) -> _Entry | None:
        """The class of that name, resolved."""
        entry = self._by_name.get((namespace, fold(name)))
        if entry is None:
            row = self._row("SELECT id FROM classes WHERE namespace = ? AND folded = ?", namespace, _key(name))
            entry = None if row is None else self._at(row[0])
        return entry

    def _entry(self, namespace: str, name: str) -> _Entry:
        """The class of that name, which must be there."""
        number, spelled = self._namespace(namespace)
        found = self._find(number, name)
        if found is None:
            raise InvalidClass(f"there is no class {name[:200]} in {spelled}")
        return found

    def _at(self, number: int) -> _Entry:
        """The class with that id, resolved: up to the nearest ancestor that is known, and down again."""
        entry = self._by_id.get(number)
        if entry is not None:
            return entry
        rows: list[Any] = []
        wanted: int | None = number
        while wanted is not None and (entry := self._by_id.get(wanted)) is None:
            row = self._row(
                "SELECT classes.id, namespace, classes.parent, declaration, name FROM classes"
                " JOIN namespaces ON namespaces.id = namespace WHERE classes.id = ?",
                wanted,
            )
            if row is None or any(row[0] == seen[0] for seen in rows):
                raise self._damaged("classes", number, "its superclass is missing")
            rows.append(row)
            wanted = row[2]
        for row in reversed(rows):
            entry = self._resolve(row, entry)
        assert entry is not None
        return entry

    def _resolve(self, row: Any, parent: _Entry | None) -> _Entry:
        number, namespace, _, declaration, spelled = row
        try:
            declared = replace(decode_class(declaration), namespace=spelled)
        except DecodeError as error:
            raise self._damaged("classes", number, str(error)) from error
        cls = declared.rooted() if parent is None else parent.cls.derive(declared)
        # Inherited keys share the space of identities of the class that settled them.
        origin = parent.origin if parent is not None and parent.cls.keys else number
        entry = _Entry(number, namespace, origin, cls)
        if len(self._by_id) >= CACHED_CLASSES:
            oldest = self._by_id.pop(next(iter(self._by_id)))
            self._by_name.pop((oldest.namespace, fold(oldest.cls.name)), None)
        self._by_id[number] = entry
        self._by_name[namespace, fold(cls.name)] = entry
        return entry

    # -- instances

    def get_instance(self, namespace: str, class_name: str, identity: str) -> Instance | None:
        """See `Store.get_instance`."""
        with self._lock:
            wanted = self._entry(namespace, class_name)
            row = self._row(
                "SELECT id, class, data FROM instances WHERE origin = ? AND identity = ?",
                wanted.origin, _bytes(identity),
            )  # fmt: skip
            if row is None:
                return None
            entry = self._at(row[1])
        return self._instance(entry.cls, row[0], row[2]) if entry.cls.is_a(wanted.cls.name) else None

    def has_instance(self, namespace: str, class_name: str, identity: str) -> bool:
        """See `Store.has_instance`."""
        with self._lock:
            return self._locate(namespace, class_name, identity) is not None

    def put_instance(self, namespace: str, instance: Instance) -> None:
        """See `Store.put_instance`."""
        identity = instance.identity
        if identity is None:
            raise WbemError.of(WbemStatus.WBEM_E_NO_KEY, f"an instance of {instance.class_name} without its keys")
        try:
            data = encode_instance(instance)
        except ValueError as error:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT, str(error)) from error
        with self.transaction():
            entry = self._entry(namespace, instance.class_name)
            done = self._run(
                "INSERT INTO instances (origin, identity, class, data) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (origin, identity) DO UPDATE SET data = excluded.data WHERE class = excluded.class",
                entry.origin, _bytes(identity), entry.id, data,
            )  # fmt: skip
            if done.rowcount == 0:
                raise WbemError.of(
                    WbemStatus.WBEM_E_ALREADY_EXISTS,
                    f"an instance of another class has the keys of {instance.relative_path}",
                )

    def delete_instance(self, namespace: str, class_name: str, identity: str) -> bool:
        """See `Store.delete_instance`."""
        with self.transaction():
            row = self._locate(namespace, class_name, identity)
            if row is None:
                return False
            self._run("DELETE FROM instances WHERE id = ?", row)
            return True

    def _locate(self, namespace: str, class_name: str, identity: str) -> int | None:
        """The row of the instance that the name stands for."""
        wanted = self._entry(namespace, class_name)
        row = self._row(
            "SELECT id, class FROM instances WHERE origin = ? AND identity = ?", wanted.origin, _bytes(identity)
        )
        if row is None or not (row[1] == wanted.id or self._at(row[1]).cls.is_a(wanted.cls.name)):
            return None
        return int(row[0])

    def instances(self, namespace: str, class_name: str) -> Iterator[Instance]:
        """See `Store.instances`."""
        with self._lock:
            entry = self._entry(namespace, class_name)
        return self._pages(entry.id)

    def _pages(self, number: int) -> Iterator[Instance]:
        last = 0
        while True:
            with self._lock:
                rows = self._run(
                    "SELECT id, data FROM instances WHERE class = ? AND id > ? ORDER BY id LIMIT ?", number, last, PAGE
                ).fetchall()
                # The declaration may have changed since the last page; without rows it may even be gone.
                cls = self._at(number).cls if rows else None
            if cls is None:
                return
            for last, data in rows:  # `last` is where the next page begins
                yield self._instance(cls, last, data)

    def _instance(self, cls: Class, row: int, data: str) -> Instance:
        try:
            found = decode_instance(data, cls)
        except DecodeError as error:
            raise self._damaged("instances", row, str(error)) from error
        found.namespace = cls.namespace
        return found

    # -- upkeep

    def check(self) -> list[str]:
        """What is wrong with the file, as SQLite sees it: nothing in a sound one."""
        with self._lock:
            found = [text for (text,) in self._run("PRAGMA integrity_check").fetchall() if text != "ok"]
            broken = self._run("PRAGMA foreign_key_check").fetchall()
            return found + [
                f"{table} row {row}: what it belongs to in {parent} is gone" for table, row, parent, _ in broken
            ]

    def _damaged(self, table: str, row: int, problem: str) -> WbemError:
        return WbemError.of(
            WbemStatus.WBEM_E_CRITICAL_ERROR,
            f"the repository {self._name} is damaged ({table} row {row}: {problem}): restore it from a backup",
        )


_TRANSACTION: Final = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_SAVEPOINT: Final = ("SAVEPOINT inner_one", "RELEASE inner_one", ("ROLLBACK TO inner_one", "RELEASE inner_one"))


def _levels(name: str) -> tuple[str, ...]:
    try:
        return split_namespace(name)
    except SyntaxProblem as error:
        raise InvalidNamespace(error.message) from None


def _key(name: str) -> bytes:
    return _bytes(fold(name))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _key_rule(entry: _Entry) -> tuple[Any, ...]:
    """What the identities of the class's instances depend on."""
    return entry.origin, entry.cls.is_singleton, [(fold(k.name), k.type) for k in entry.cls.keys]
