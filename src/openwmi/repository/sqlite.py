"""The `Store` in an SQLite file: namespaces, classes with a cache of resolved ones, instances.

What is done to one instance by its name is one statement: it finds, checks and writes, and is a transaction by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from openwmi.cim import Class, Instance, fold, split_namespace
from openwmi.errors import (
    ConfigurationError,
    DecodeError,
    InvalidClass,
    InvalidNamespace,
    OperationCancelled,
    RepositoryDamaged,
    SyntaxProblem,
    WbemError,
)
from openwmi.repository.conditions import Condition, compile_conditions, named_identity
from openwmi.repository.database import CLASS_SHIFT, LAYOUT, stage
from openwmi.repository.engine import Engine
from openwmi.repository.serial import decode_class, decode_instance, encode_class, encode_instance
from openwmi.repository.store import NamespaceInfo, RepositoryInfo
from openwmi.status import WbemStatus

__all__ = ["SqliteStore", "checked"]

PAGE: Final = 256
"""Instances that an enumeration reads at a time."""

SCAN: Final = 16384
"""Instances that one statement looks at for those that meet conditions."""

MAX_PROBLEMS: Final = 100
"""Problems that `verify` lists."""

CACHED_CLASSES: Final = 4000
"""Resolved classes kept in memory: more than the whole DMTF schema has."""

_BELOW_CLASS: Final = """
    WITH RECURSIVE below(id) AS (SELECT ? UNION ALL SELECT classes.id FROM classes JOIN below ON parent = below.id)
"""
_BELOW_NAMESPACE: Final = """
    WITH RECURSIVE below(id) AS
        (SELECT ? UNION ALL SELECT namespaces.id FROM namespaces JOIN below ON parent = below.id)
"""
_DELETE_INSTANCES_OF: Final = f"""
    DELETE FROM instances WHERE id IN (
        SELECT instances.id FROM {{}} CROSS JOIN instances
        ON instances.id BETWEEN classes.id << {CLASS_SHIFT} AND (classes.id + 1 << {CLASS_SHIFT}) - 1
    )
"""  # noqa: S608

# The number within the class is the next after the highest in use.
_PUT: Final = """
    INSERT INTO instances (id, origin, identity, class, data) VALUES (
        coalesce((SELECT id FROM instances WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1), ?1) + 1, ?3, ?4, ?5, ?6
    ) ON CONFLICT (origin, identity) DO UPDATE SET data = excluded.data WHERE class = excluded.class
"""
_GET: Final = "SELECT id, class, data FROM instances WHERE origin = ? AND identity = ?"
_FIND: Final = "SELECT id, class FROM instances WHERE origin = ? AND identity = ?"
_DELETE: Final = "DELETE FROM instances WHERE origin = ? AND identity = ? AND id BETWEEN ? AND ?"
_EVERY: Final = (0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A class as it lies in the database. `origin` is the id of the class that settles its keys."""

    id: int
    namespace: int
    origin: int
    cls: Class

    @property
    def first(self) -> int:
        """The lowest id that an instance of the class can have."""
        return self.id << CLASS_SHIFT

    @property
    def last(self) -> int:
        """The highest one."""
        return (self.id + 1 << CLASS_SHIFT) - 1


class SqliteStore(Engine):
    """Static objects in the SQLite file `path`, which is created if it is not there.

    Raises `ConfigurationError` if the file is not ours, too new, unwritable, or open in another process.
    """

    def __init__(self, path: Path | str | None) -> None:
        self._namespaces: dict[str, tuple[int, str]] = {}
        self._by_name: dict[tuple[int, str], _Entry] = {}
        self._by_id: dict[int, _Entry] = {}
        super().__init__(None if path is None else Path(path))

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
                return [name for (name,) in self._rows("SELECT name FROM namespaces ORDER BY id")]
            number, _ = self._namespace(parent)
            return [name for (name,) in self._rows("SELECT name FROM namespaces WHERE parent = ? ORDER BY id", number)]

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
            inside = "classes JOIN below ON classes.namespace = below.id"
            self._run(f"{_BELOW_NAMESPACE} {_DELETE_INSTANCES_OF.format(inside)}", number)
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
                start = self._rows("SELECT id FROM classes WHERE namespace = ? AND parent IS NULL ORDER BY id", number)
            else:
                above = self._entry(namespace, superclass).id
                start = self._rows("SELECT id FROM classes WHERE parent = ? ORDER BY id", above)
            level = [found for (found,) in start]
            names = [self._at(number).cls.name for number in level]
            while deep and level:
                level = [
                    found for above in level
                    for (found,) in self._rows("SELECT id FROM classes WHERE parent = ? ORDER BY id", above)
                ]  # fmt: skip
                names += [self._at(number).cls.name for number in level]
            return names

    def put_class(self, namespace: str, cls: Class) -> None:
        """See `Store.put_class`."""
        with self.transaction():
            number, spelled = self._namespace(namespace)
            above = None if cls.superclass is None else self._find(number, cls.superclass)
            if cls.superclass is not None and above is None:
                raise WbemError.of(
                    WbemStatus.WBEM_E_INVALID_SUPERCLASS, f"{cls.name}: there is no superclass {cls.superclass}"
                )
            parent = None if above is None else above.id
            local = cls.local
            declaration = encode_class(local)
            before = self._find(number, cls.name)
            if before is not None:
                self._change_class(before, parent, declaration)
                return
            made = self._run(
                "INSERT INTO classes (namespace, folded, parent, declaration) VALUES (?, ?, ?, ?)",
                number, _key(cls.name), parent, declaration,
            )  # fmt: skip
            # What was written reads back the same, so the class is resolved without being read.
            self._resolve(int(made.lastrowid or 0), number, replace(local, namespace=spelled, server=None), above)

    def _change_class(self, before: _Entry, parent: int | None, declaration: str) -> None:
        """Replaces a declaration; the classes below must still be able to inherit, instances must keep their keys."""
        below = [n for (n,) in self._rows(f"{_BELOW_CLASS} SELECT id FROM below", before.id)]  # noqa: S608
        if parent in below:
            raise WbemError.of(WbemStatus.WBEM_E_CIRCULAR_REFERENCE, f"{before.cls.name} cannot descend from itself")
        keyed = {number: _key_rule(self._at(number)) for number in below if self._has_instances(number)}
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
            self._run(f"{_BELOW_CLASS} {_DELETE_INSTANCES_OF.format('below AS classes')}", entry.id)
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
        for number, namespace, _, declaration, spelled in reversed(rows):
            try:
                declared = replace(decode_class(declaration), namespace=spelled)
            except DecodeError as error:
                raise self._damaged("classes", number, str(error)) from error
            entry = self._resolve(number, namespace, declared, entry)
        assert entry is not None
        return entry

    def _resolve(self, number: int, namespace: int, declared: Class, parent: _Entry | None) -> _Entry:
        """Remembers a class, resolved under its parent."""
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
            row = self._row(_GET, wanted.origin, _bytes(identity))
            if row is None:
                return None
            entry = wanted if row[1] == wanted.id else self._at(row[1])
        if entry is not wanted and not entry.cls.is_a(wanted.cls.name):
            return None
        return self._instance(entry.cls, row[0], row[2])

    def has_instance(self, namespace: str, class_name: str, identity: str) -> bool:
        """See `Store.has_instance`."""
        with self._lock:
            return self._locate(self._entry(namespace, class_name), identity) is not None

    def put_instance(self, namespace: str, instance: Instance) -> None:
        """See `Store.put_instance`."""
        identity = instance.identity
        if identity is None:
            raise WbemError.of(WbemStatus.WBEM_E_NO_KEY, f"an instance of {instance.class_name} without its keys")
        try:
            data = encode_instance(instance)
        except ValueError as error:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT, str(error)) from error
        with self._lock:
            entry = self._entry(namespace, instance.class_name)
            done = self._run(_PUT, entry.first, entry.last, entry.origin, _bytes(identity), entry.id, data)
        if done.rowcount == 0:
            raise WbemError.of(
                WbemStatus.WBEM_E_ALREADY_EXISTS,
                f"an instance of another class has the keys of {instance.relative_path}",
            )

    def delete_instance(self, namespace: str, class_name: str, identity: str) -> bool:
        """See `Store.delete_instance`."""
        with self._lock:
            wanted = self._entry(namespace, class_name)
            # Where the class itself settles the keys, whatever has the identity is of it or of a class below.
            low, high = _EVERY if wanted.id == wanted.origin else (wanted.first, wanted.last)
            if self._run(_DELETE, wanted.origin, _bytes(identity), low, high).rowcount:
                return True
            if wanted.id == wanted.origin:
                return False
            row = self._locate(wanted, identity)
            return row is not None and self._run("DELETE FROM instances WHERE id = ?", row).rowcount == 1

    def _locate(self, wanted: _Entry, identity: str) -> int | None:
        """The row of the instance that the name stands for."""
        row = self._row(_FIND, wanted.origin, _bytes(identity))
        if row is None or not (row[1] == wanted.id or self._at(row[1]).cls.is_a(wanted.cls.name)):
            return None
        return int(row[0])

    def _has_instances(self, number: int) -> bool:
        first, last = number << CLASS_SHIFT, (number + 1 << CLASS_SHIFT) - 1
        return self._row("SELECT 1 FROM instances WHERE id BETWEEN ? AND ? LIMIT 1", first, last) is not None

    def instances(
        self, namespace: str, class_name: str, *, deep: bool = False, conditions: Iterable[Condition] = ()
    ) -> Iterator[Instance]:
        """See `Store.instances`."""
        conditions = tuple(conditions)
        with self._lock:
            entry = self._entry(namespace, class_name)
            identity = named_identity(entry.cls, conditions)
            if identity is None:
                classes = self._below(entry.id) if deep else [entry.id]
                return self._streams(classes, conditions)
        found = self.get_instance(namespace, class_name, identity)
        wanted = found is not None and (deep or fold(found.class_name) == fold(entry.cls.name))
        return iter([found] if found is not None and wanted else [])

    def _below(self, number: int) -> list[int]:
        """The class and those that descend from it, by their ids, superclasses first."""
        return [n for (n,) in self._rows(f"{_BELOW_CLASS} SELECT id FROM below", number)]  # noqa: S608

    def _streams(self, classes: list[int], conditions: tuple[Condition, ...]) -> Iterator[Instance]:
        generation = self._generation
        return (instance for number in classes for instance in self._pages(number, conditions, generation))

    def _pages(self, number: int, conditions: tuple[Condition, ...], generation: int) -> Iterator[Instance]:
        last, end = number << CLASS_SHIFT, (number + 1 << CLASS_SHIFT) - 1
        while last < end:
            with self._lock:
                if generation != self._generation:
                    raise OperationCancelled("the repository was restored while the enumeration ran")
                # The declaration may have changed since the last page; if it is gone, so are the instances.
                cls = self._at(number).cls if self._has_class(number) else None
                if cls is None:
                    return
                where, parameters = compile_conditions(cls, conditions)
                until = self._scanned(last, end) if where else end
                rows = self._rows(
                    f"SELECT id, data FROM instances WHERE id > ? AND id <= ?{where} ORDER BY id LIMIT ?",  # noqa: S608
                    last, until, *parameters, PAGE,
                )  # fmt: skip
            for last, data in rows:  # `last` is where the next page begins
                yield self._instance(cls, last, data)
            if len(rows) < PAGE:
                last = until

    def _scanned(self, last: int, end: int) -> int:
        """How far one statement looks behind `last` for what meets conditions: others must not wait for it long."""
        row = self._row(
            "SELECT id FROM instances WHERE id > ? AND id <= ? ORDER BY id LIMIT 1 OFFSET ?", last, end, SCAN - 1
        )
        return end if row is None else int(row[0])

    def _has_class(self, number: int) -> bool:
        return number in self._by_id or self._row("SELECT 1 FROM classes WHERE id = ?", number) is not None

    def _instance(self, cls: Class, row: int, data: str) -> Instance:
        try:
            found = decode_instance(data, cls)
        except DecodeError as error:
            raise self._damaged("instances", row, str(error)) from error
        found.namespace = cls.namespace
        return found

    # -- the whole

    def verify(self) -> list[str]:
        """See `Store.verify`."""
        problems = self.check()[:MAX_PROBLEMS]
        try:
            for problem in self._logical_problems():
                if len(problems) >= MAX_PROBLEMS:
                    return [*problems, "there are more problems than these"]
                problems.append(problem)
        except WbemError as error:
            if self._connection is None:
                raise
            problems.append(error.detail)  # and what lies behind it is out of reach
        return problems

    def _logical_problems(self) -> Iterator[str]:
        with self._lock:
            rows = self._rows("SELECT id, folded FROM classes ORDER BY id")
            spaces = self._rows(
                "SELECT child.id, child.folded, child.name, parent.folded FROM namespaces AS child"
                " LEFT JOIN namespaces AS parent ON parent.id = child.parent"
            )
        for number, folded, name, above in spaces:
            if _key(name) != folded or folded.rpartition(b"\\")[0] != (above or b""):
                yield f"namespaces row {number}: {name} is not kept under its name, or not in its parent"
        for number, folded in rows:
            try:
                with self._lock:
                    name = self._at(number).cls.name if self._has_class(number) else None
            except WbemError as error:
                yield error.detail
            else:
                if name is not None and _key(name) != folded:
                    yield f"classes row {number}: its name is {name}, and it is kept under another"
        last = -1
        while True:
            with self._lock:
                rows = self._rows(
                    "SELECT id, origin, identity, class, data FROM instances WHERE id > ? ORDER BY id LIMIT ?",
                    last, PAGE,
                )  # fmt: skip
                problems = [problem for row in rows if (problem := self._problem_of(*row)) is not None]
            yield from problems
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    def _problem_of(self, row: int, origin: int, identity: bytes, number: int, data: str) -> str | None:
        """What is wrong with an instance's row, if anything is."""
        try:
            entry = self._at(number)
            found = self._instance(entry.cls, row, data).identity
        except WbemError as error:
            return error.detail
        if origin != entry.origin:
            return f"instances row {row}: another class settles the keys of {entry.cls.name}"
        if found is None or _bytes(found) != identity:
            return f"instances row {row}: the keys of this {entry.cls.name} are not those that it is kept under"
        return None

    def restore(self, path: Path | str) -> None:
        """See `Store.restore`."""
        source = Path(path)
        if self._path is not None and source.resolve() == self._path.resolve():
            raise ConfigurationError(f"{source} is the repository itself: name a backup")
        staged = checked(source)
        try:
            self._replace(staged)
        finally:
            staged.close()

    def info(self) -> RepositoryInfo:
        """See `Store.info`."""
        with self._lock:
            page, pages, free = (
                self._row(f"PRAGMA {name}")[0] for name in ("page_size", "page_count", "freelist_count")
            )
            # Every class of a family is in one namespace; so the index of identities, which is smaller, will do.
            instances = dict(
                self._rows(
                    "SELECT namespace, sum(n) FROM (SELECT origin, count(*) AS n FROM instances GROUP BY origin)"
                    " JOIN classes ON classes.id = origin GROUP BY namespace"
                )
            )
            classes = dict(self._rows("SELECT namespace, count(*) FROM classes GROUP BY namespace"))
            names = self._rows("SELECT id, name FROM namespaces ORDER BY folded")
        return RepositoryInfo(
            path=self._path,
            layout=LAYOUT,
            size=page * pages,
            free=page * free,
            namespaces=tuple(NamespaceInfo(name, classes.get(n, 0), instances.get(n, 0)) for n, name in names),
        )

    def _damaged(self, table: str, row: int, problem: str) -> WbemError:
        return WbemError.of(
            WbemStatus.WBEM_E_CRITICAL_ERROR,
            f"the repository {self._name} is damaged: {table} row {row}: {problem}; restore it from a backup",
        )


def checked(path: Path) -> sqlite3.Connection:
    """A private copy of the backup at `path` (`stage`) in which nothing is wrong; `ConfigurationError` if not."""
    try:
        staged = stage(path)
    except RepositoryDamaged as error:
        raise ConfigurationError(f"nothing was restored: {path} is damaged, SQLite cannot read it") from error
    try:
        problems = _View(staged, path).verify()
    except BaseException:
        staged.close()
        raise
    if problems:
        staged.close()
        raise ConfigurationError(f"nothing was restored: {path} is damaged ({problems[0]})")
    return staged


class _View(SqliteStore):
    """A store over a connection that is open already, and that stays so."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._staged = connection
        super().__init__(path)

    def _connect(self) -> sqlite3.Connection:
        return self._staged


def _levels(name: str) -> tuple[str, ...]:
    try:
        return split_namespace(name)
    except SyntaxProblem as error:
        raise InvalidNamespace(error.message) from None


def _key(name: str) -> bytes:
    return _bytes(fold(name))


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _key_rule(entry: _Entry) -> tuple[Any, ...]:
    """What the identities of the class's instances depend on."""
    return entry.origin, entry.cls.is_singleton, [(fold(k.name), k.type) for k in entry.cls.keys]
