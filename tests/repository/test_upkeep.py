"""Verify, info, backup and restore: of an open store, and of a file by its name."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from openwmi.errors import ConfigurationError, OperationCancelled, WbemError
from openwmi.repository import MemoryStore, NamespaceInfo, SqliteStore, database, upkeep
from openwmi.repository import sqlite as implementation
from tests.repository.models import BASE, DERIVED, LEAF, NS, SCHEMA
from tests.repository.support import ROW, edit, filled, first_layout


def ids(store: SqliteStore) -> list[int]:
    return [instance["Id"] for instance in store.instances(NS, "Base", deep=True)]


@pytest.fixture
def full(store: SqliteStore) -> SqliteStore:
    store.put_instance(NS, BASE.new(Id=1, Note="kept"))
    store.put_instance(NS, LEAF.new(Id=2, Extra=b"\0"))
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "repository.db"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A backup with one instance of Base, number 77."""
    with MemoryStore() as other:
        other.create_namespace("root")
        other.create_namespace(NS)
        other.put_class(NS, BASE)
        other.put_instance(NS, BASE.new(Id=77))
        other.backup(tmp_path / "saved.backup")
    return tmp_path / "saved.backup"


def files(folder: Path) -> dict[str, bytes]:
    """What is in the folder, but for the logs of an open store."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith("repository.db")}


# -- info and verify


def test_info(full: SqliteStore) -> None:
    full.create_namespace("root\\empty")
    info = full.info()
    assert info.path == full._path
    assert info.layout == database.LAYOUT
    assert info.size > info.free >= 0
    assert info.namespaces == (
        NamespaceInfo("root", 0, 0), NamespaceInfo(NS, len(SCHEMA), 2), NamespaceInfo("root\\empty", 0, 0)
    )  # fmt: skip


def test_a_sound_store_verifies(full: SqliteStore, empty: SqliteStore) -> None:
    assert full.verify() == []
    assert empty.verify() == []


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE instances SET data = '{' WHERE id = (SELECT min(id) FROM instances)", f"instances row {ROW}: JSON"),
        (
            """UPDATE instances SET data = '{"v":1,"p":{"id":5}}' WHERE class = 1""",
            f"instances row {ROW}: the keys of this Base",
        ),
        ("""UPDATE instances SET data = '{"v":1,"p":{}}' WHERE class = 1""", "the keys of this Base"),
        ("UPDATE instances SET origin = 3 WHERE class = 1", "another class settles the keys of Base"),
        ("DELETE FROM classes WHERE id = 4", "what it belongs to in classes is gone"),
        ("UPDATE classes SET declaration = '[]' WHERE id = 2", "classes row 2: JSON"),
        ("UPDATE classes SET folded = CAST('else' AS BLOB) WHERE id = 4", "its name is Leaf, and it is kept under"),
        ("UPDATE namespaces SET parent = NULL WHERE id = 2", r"root\\cimv2 is not kept under its name, or not in"),
        ("UPDATE namespaces SET name = 'x' WHERE id = 1", "namespaces row 1: x is not kept under its name"),
    ],
)
def test_verify_finds(full: SqliteStore, sql: str, problem: str) -> None:
    full._run(sql)
    full._forget()
    assert any(problem.replace("\\\\", "\\") in line for line in full.verify()), full.verify()


def test_verify_names_a_bounded_number_of_problems(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "MAX_PROBLEMS", 3)
    monkeypatch.setattr(implementation, "PAGE", 2)
    for number in range(9):
        store.put_instance(NS, BASE.new(Id=number))
    store._run("UPDATE instances SET data = '[]'")
    problems = store.verify()
    assert len(problems) == 4
    assert problems[-1] == "there are more problems than these"


def test_verify_finds_broken_pages(path: Path) -> None:
    filled(path)
    with SqliteStore(path) as store, store.transaction():
        for number in range(2, 400):
            store.put_instance(NS, BASE.new(Id=number, Note="x" * 100))
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096)
    assert any("malformed" in problem or "Tree" in problem for problem in upkeep.verify(path))


# -- backup


def test_a_backup_is_a_repository(full: SqliteStore, tmp_path: Path) -> None:
    target = tmp_path / "saved.backup"
    full.backup(target)
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(files(tmp_path)) == ["saved.backup"]
    full.put_instance(NS, BASE.new(Id=9))
    with SqliteStore(target) as other:
        assert other.verify() == []
        assert [other.get_class(NS, cls.name) for cls in SCHEMA] == list(SCHEMA)
        assert ids(other) == [1, 2]


def test_a_backup_overwrites_only_when_told(full: SqliteStore, tmp_path: Path) -> None:
    target = tmp_path / "saved.backup"
    target.write_text("precious")
    with pytest.raises(ConfigurationError, match="is there already: name another file"):
        full.backup(target)
    assert files(tmp_path) == {"saved.backup": b"precious"}
    full.backup(target, overwrite=True)
    assert upkeep.verify(target) == []


def test_a_file_that_comes_meanwhile_is_not_overwritten(
    full: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "saved.backup"
    real = os.fsync

    def another_was_faster(handle: int) -> None:
        target.write_text("precious")
        real(handle)

    monkeypatch.setattr(os, "fsync", another_was_faster)
    with pytest.raises(ConfigurationError, match="is there already"):
        full.backup(target)
    assert files(tmp_path) == {"saved.backup": b"precious"}


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_a_repository_is_not_its_own_backup(path: Path, suffix: str) -> None:
    filled(path)
    with SqliteStore(path) as store:
        with pytest.raises(ConfigurationError, match="is the repository itself"):
            store.backup(path.parent / "." / f"{path.name}{suffix}", overwrite=True)
        with pytest.raises(ConfigurationError, match="is the repository itself"):
            store.restore(path)
        assert ids(store) == [1]


def test_places_where_no_backup_can_be(full: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder"):
        full.backup(tmp_path, overwrite=True)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        full.backup(tmp_path / "nowhere" / "saved.backup")


def test_a_disk_that_fails_leaves_nothing_behind(
    full: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ConfigurationError, match="cannot be written: Input/output error"):
        full.backup(tmp_path / "saved.backup")
    assert files(tmp_path) == {}
    assert ids(full) == [1, 2]


def test_a_full_disk_leaves_nothing_behind(full: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sqlite3.connect

    def small(name, **options):
        connection = real(name, **options)
        connection.execute("PRAGMA max_page_count = 2")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(WbemError) as caught:
        full.backup(tmp_path / "saved.backup")
    assert caught.value.name == "WBEM_E_OUT_OF_DISK_SPACE"
    assert files(tmp_path) == {}
    assert ids(full) == [1, 2]


def test_a_closed_store_has_no_upkeep(full: SqliteStore, saved: Path, tmp_path: Path) -> None:
    full.close()
    for call in (full.verify, full.info, lambda: full.backup(tmp_path / "x"), lambda: full.restore(saved)):
        with pytest.raises(WbemError) as caught:
            call()
        assert caught.value.name == "WBEM_E_SHUTTING_DOWN"


def test_no_copies_inside_a_transaction(full: SqliteStore, saved: Path, tmp_path: Path) -> None:
    for call in (lambda: full.backup(tmp_path / "other.backup"), lambda: full.restore(saved)):
        with full.transaction():
            full.put_instance(NS, BASE.new(Id=5))
            with pytest.raises(WbemError) as caught:
                call()
        assert caught.value.name == "WBEM_E_INVALID_OPERATION"
    assert ids(full) == [1, 5, 2]


def test_a_backup_under_load_is_one_moment(full: SqliteStore, tmp_path: Path) -> None:
    """Each transaction writes a pair: a copy never has one of two."""
    stop = threading.Event()

    def write() -> None:
        number = 100
        while not stop.is_set():
            with full.transaction():
                full.put_instance(NS, BASE.new(Id=number, Note="x" * 3000))
                full.put_instance(NS, DERIVED.new(Id=number + 1))
            number += 2

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            full.backup(tmp_path / "saved.backup", overwrite=True)
            with SqliteStore(tmp_path / "saved.backup") as copy:
                assert copy.verify() == []
                assert len([number for number in ids(copy) if number >= 100]) % 2 == 0
    finally:
        stop.set()
        writer.join()


# -- restore


def test_restore(full: SqliteStore, saved: Path) -> None:
    full.get_class(NS, "Leaf")
    before = saved.read_bytes()
    full.restore(saved)
    assert ids(full) == [77]
    assert full.class_names(NS) == ["Base"]
    assert full.get_class(NS, "Leaf") is None
    assert full.verify() == []
    full.put_instance(NS, BASE.new(Id=78))
    assert ids(full) == [77, 78]
    assert saved.read_bytes() == before


def test_what_was_restored_is_there_again(path: Path, saved: Path) -> None:
    filled(path)
    with SqliteStore(path) as store:
        store.restore(saved)
        assert store._row("PRAGMA journal_mode")[0] == "wal"
        with pytest.raises(ConfigurationError, match="open in another process"):
            SqliteStore(path)
    with SqliteStore(path) as store:
        assert ids(store) == [77]
        assert store.check() == []


def test_a_backup_of_an_older_layout_is_restored_and_stays_as_it_is(full: SqliteStore, tmp_path: Path) -> None:
    old = tmp_path / "old.backup"
    first_layout(old)
    before = old.read_bytes()
    full.restore(old)
    assert full.verify() == []
    assert ids(full) == [20, 30, 5, 10]
    assert full._row("PRAGMA user_version")[0] == database.LAYOUT
    assert old.read_bytes() == before


def test_a_restore_ends_the_enumerations(full: SqliteStore, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "PAGE", 1)
    running = full.instances(NS, "Base", deep=True)
    next(running)
    full.restore(saved)
    with pytest.raises(OperationCancelled, match="restored"):
        next(running)


def broken_instance(saved: Path) -> None:
    edit(saved, "UPDATE instances SET data = '{}'")


def broken_page(saved: Path) -> None:
    with saved.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda saved: saved.unlink(), "there is no repository in"),
        (lambda saved: saved.write_bytes(b""), "there is no repository in"),
        (lambda saved: saved.write_bytes(b"text" * 100), "is not a repository of openwmi"),
        (lambda saved: saved.write_bytes(saved.read_bytes()[:150]), "nothing was restored: .* is damaged"),
        (lambda saved: edit(saved, "PRAGMA user_version = 99"), "newer openwmi"),
        (broken_instance, "nothing was restored: .*instances row .*version"),
        (broken_page, "nothing was restored|is damaged"),
    ],
)
def test_a_bad_backup_changes_nothing(full: SqliteStore, saved: Path, spoil, message: str) -> None:
    spoil(saved)
    with pytest.raises((ConfigurationError, WbemError), match=message):
        full.restore(saved)
    assert ids(full) == [1, 2]
    assert full.verify() == []


def test_a_restore_that_fails_half_way_changes_nothing(path: Path, tmp_path: Path) -> None:
    with MemoryStore() as other:
        other.create_namespace("root")
        other.create_namespace(NS)
        other.put_class(NS, BASE)
        with other.transaction():
            for number in range(200):
                other.put_instance(NS, BASE.new(Id=number, Note="x" * 2000))
        other.backup(tmp_path / "large.backup")
    filled(path)
    with SqliteStore(path) as store:
        store._run(f"PRAGMA max_page_count = {store._row('PRAGMA page_count')[0] + 2}")
        with pytest.raises(WbemError) as caught:
            store.restore(tmp_path / "large.backup")
        assert caught.value.name == "WBEM_E_OUT_OF_DISK_SPACE"
        assert ids(store) == [1]
        assert store.verify() == []
        store.put_instance(NS, BASE.new(Id=2))
    with SqliteStore(path) as store:
        assert ids(store) == [1, 2]


def test_a_repository_in_use_is_no_backup(full: SqliteStore, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with SqliteStore(other) as holder:
        holder.create_namespace("root")
        with pytest.raises(ConfigurationError, match="open in another process"):
            full.restore(other)


# -- by name


def test_by_name(path: Path, tmp_path: Path) -> None:
    filled(path)
    upkeep.backup(path, tmp_path / "saved.backup")
    with pytest.raises(ConfigurationError, match="is there already"):
        upkeep.backup(path, tmp_path / "saved.backup")
    upkeep.backup(path, tmp_path / "saved.backup", overwrite=True)
    with SqliteStore(path) as store:
        store.delete_instance(NS, "Base", str(BASE.new(Id=1).identity))
    assert upkeep.info(path).namespaces[1].instances == 0
    assert upkeep.restore(path, tmp_path / "saved.backup") is None
    assert upkeep.info(path).namespaces[1].instances == 1
    assert upkeep.verify(path) == []


def test_what_is_not_there_is_not_created(path: Path) -> None:
    for call in (upkeep.verify, upkeep.info, lambda path: upkeep.backup(path, path.with_name("x"))):
        with pytest.raises(ConfigurationError, match="there is no repository in"):
            call(path)
    assert not path.exists()


def test_a_missing_repository_is_restored(path: Path, saved: Path) -> None:
    assert upkeep.restore(path, saved) is None
    assert path.stat().st_mode & 0o777 == 0o600
    with SqliteStore(path) as store:
        assert ids(store) == [77]


def test_a_repository_too_damaged_to_open_is_set_aside(path: Path, saved: Path) -> None:
    for number in (1, 2):
        filled(path)
        broken = path.read_bytes()[:150]
        path.write_bytes(broken)
        log = path.with_name(f"{path.name}-wal")
        log.write_bytes(b"its log")
        aside = upkeep.restore(path, saved)
        assert aside == path.with_name(f"{path.name}.damaged-{number}")
        assert aside.read_bytes() == broken
        assert not log.exists()
        with SqliteStore(path) as store:
            assert ids(store) == [77]
        path.unlink()


def test_a_damaged_repository_stays_if_the_backup_is_bad(path: Path, saved: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[:150])
    before = path.read_bytes()
    broken_instance(saved)
    with pytest.raises(ConfigurationError, match="nothing was restored"):
        upkeep.restore(path, saved)
    with pytest.raises(ConfigurationError, match="is the repository itself"):
        upkeep.restore(path, path)
    assert path.read_bytes() == before
    assert {p.name for p in path.parent.iterdir()} == {"repository.db", "saved.backup"}


def test_a_damaged_repository_stays_if_it_cannot_be_set_aside(
    path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[:150])
    before = path.read_bytes()

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    with pytest.raises(ConfigurationError, match="cannot be set aside: Operation not permitted"):
        upkeep.restore(path, saved)
    assert path.read_bytes() == before
    assert {p.name for p in path.parent.iterdir()} == {"repository.db", "saved.backup"}


def test_nothing_foreign_is_restored_over(path: Path, saved: Path) -> None:
    sqlite3.connect(path).execute("CREATE TABLE theirs (x)")
    with pytest.raises(ConfigurationError, match="is not a repository of openwmi"):
        upkeep.restore(path, saved)
