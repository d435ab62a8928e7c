"""The file: who may open it, what survives, what is refused, and that refusing changes nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from openwmi.errors import ConfigurationError, RepositoryDamaged, WbemError
from openwmi.repository import SqliteStore, database
from tests.repository.models import BASE, DERIVED, NS, SCHEMA
from tests.repository.support import ROW, edit, filled, first_layout

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "repository.db"


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process with the project on its path."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_everything_is_there_again(path: Path) -> None:
    filled(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with SqliteStore(str(path)) as store:
        assert store.namespaces() == ["root", NS]
        assert store.descriptor("root") == b"sd"
        assert [store.get_class(NS, cls.name) for cls in SCHEMA] == list(SCHEMA)
        assert [i.to_dict() for i in store.instances(NS, "Base")] == [{"Id": 1, "Note": "kept"}]
        assert store.check() == []


def test_writes_are_synchronised(path: Path) -> None:
    with SqliteStore(path) as store:
        assert store._row("PRAGMA journal_mode")[0] == "wal"
        assert store._row("PRAGMA synchronous")[0] == 2
        assert store._row("PRAGMA application_id")[0] == database.APPLICATION_ID
        assert store._row("PRAGMA user_version")[0] == database.LAYOUT


HOLDER = """
import sys
from openwmi.repository import SqliteStore
store = SqliteStore(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time(path: Path) -> None:
    filled(path)
    process = run(HOLDER, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with pytest.raises(ConfigurationError, match="open in another process: stop"):
        SqliteStore(path)
    reader = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):  # nobody sees a state that is not in the file yet
        reader.execute("SELECT name FROM namespaces")
    reader.close()
    process.kill()
    process.communicate()
    with SqliteStore(path) as store:
        assert store.class_names(NS)
        with pytest.raises(ConfigurationError, match="open in another process"):
            SqliteStore(path)
        assert store.class_names(NS)


def foreign_database(path: Path) -> None:
    edit(path, "CREATE TABLE theirs (x)")


def newer(path: Path) -> None:
    filled(path)
    edit(path, "PRAGMA user_version = 99")


def cut(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[:150])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (foreign_database, "is not a repository of openwmi"),
        (lambda path: path.write_bytes(b"name,value\n" * 50), "is not a repository of openwmi"),
        (lambda path: path.write_bytes(b"x"), "is not a repository of openwmi"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (newer, "newer openwmi"),
        (cut, "restore it from a backup"),
    ],
    ids=["another database", "text", "one byte", "folder", "newer", "truncated"],
)
def test_files_that_are_refused_stay_as_they_are(path: Path, make, message: str) -> None:
    make(path)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(ConfigurationError, match=message):
        SqliteStore(path)
    assert before is None or path.read_bytes() == before


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a folder that exists"):
        SqliteStore(tmp_path / "nowhere" / "repository.db")


def test_an_unwritable_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SQLite reports it; root, who may run the tests, can write everywhere."""
    real = sqlite3.connect

    def read_only(name, **options):
        return real(f"file:{name}?mode=ro", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        SqliteStore(path)
    assert not path.exists()  # not even the empty file


def test_an_empty_file_becomes_a_repository(path: Path) -> None:
    path.touch(0o600)
    filled(path)
    with SqliteStore(path) as store:
        assert store.class_names(NS)


def test_an_older_layout_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr(database, "STEPS", (*database.STEPS, ("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)")))
    monkeypatch.setattr(database, "LAYOUT", database.LAYOUT + 1)
    for _ in range(2):
        with SqliteStore(path) as store:
            assert store._run("SELECT x FROM more").fetchall() == [(1,)]
            assert [i.to_dict() for i in store.instances(NS, "Base")] == [{"Id": 1, "Note": "kept"}]
    assert int.from_bytes(path.read_bytes()[60:64], "big") == database.LAYOUT


def schema_of(store: SqliteStore) -> list[tuple[str, str]]:
    found = store._rows("SELECT name, sql FROM sqlite_master ORDER BY name")
    return [(name, "".join((sql or "").split())) for name, sql in found]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644])
def test_a_file_that_others_may_touch_is_refused(path: Path, mode: int) -> None:
    filled(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"others may use it \(mode {mode:04o}\); run: chmod 600 "):
        SqliteStore(path)
    path.chmod(0o600)
    SqliteStore(path).close()


def test_a_settled_file_is_whole_by_itself(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied.db"
    with SqliteStore(path) as store:
        store.create_namespace("root")
        store.settle()
        copied.write_bytes(path.read_bytes())
    copied.chmod(0o600)
    with SqliteStore(copied) as store:
        assert store.namespaces() == ["root"]
        assert store.verify() == []


def test_the_first_layout_is_migrated(path: Path) -> None:
    """A file as the first version wrote it: nothing is lost, and enumerations keep their order."""
    assert int.from_bytes(b"oWMI", "big") == 1867992393
    first_layout(path)
    path.chmod(0o600)
    with SqliteStore(path) as store:
        assert store.verify() == []
        assert store.descriptor("root") == b"\0\xff"
        assert [store.get_class(NS, cls.name) for cls in (BASE, DERIVED)] == [BASE, DERIVED]
        assert [i.to_dict() for i in store.instances(NS, "Base", deep=True)] == [
            {"Id": 20, "Note": None},
            {"Id": 30, "Note": "nothing", "Extra": b"\0\xff"},
            {"Id": 5, "Note": "nothing", "Extra": None},
            {"Id": 10, "Note": "nothing", "Extra": None},
        ]
        store.put_instance(NS, DERIVED.new(Id=1))
        assert [i["Id"] for i in store.instances(NS, "Derived")] == [30, 5, 10, 1]
        assert store.delete_instance(NS, "Base", "id=n2:30")
        schema = schema_of(store)
    assert int.from_bytes(path.read_bytes()[60:64], "big") == database.LAYOUT
    with SqliteStore(path.with_name("new.db")) as new:
        assert schema_of(new) == schema


def test_a_newer_layout_in_the_log_is_refused(path: Path, tmp_path: Path) -> None:
    """The header in the file is older than the log beside it: what counts is the log."""
    filled(path)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA user_version = 99")
    crashed = tmp_path / "crashed.db"
    for suffix in ("", "-wal"):
        Path(f"{crashed}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    writer.close()
    crashed.chmod(0o600)
    assert int.from_bytes(crashed.read_bytes()[60:64], "big") == database.LAYOUT
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="newer openwmi"):
            SqliteStore(crashed)
    assert int.from_bytes(crashed.read_bytes()[60:64], "big") == 99


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr(database, "STEPS", (*database.STEPS, ("CREATE TABLE more (x)", "CREATE TABLE more (x)")))
    monkeypatch.setattr(database, "LAYOUT", database.LAYOUT + 1)
    with pytest.raises(ConfigurationError, match="more already exists"):
        SqliteStore(path)
    monkeypatch.undo()
    with SqliteStore(path) as store:
        assert store._row("PRAGMA user_version")[0] == database.LAYOUT
        assert store._row("SELECT count(*) FROM sqlite_master WHERE name = 'more'")[0] == 0
        assert store.class_names(NS)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ('UPDATE instances SET data = \'{"v":1,"p":{"id":"one"}}\'', rf"instances row {ROW}: instance\.Id"),
        ("UPDATE instances SET data = '{'", f"instances row {ROW}: JSON"),
        ("UPDATE classes SET declaration = '[]' WHERE id = 1", "classes row 1: JSON"),
        ("DELETE FROM classes WHERE id = 1", "superclass is missing"),
        ("UPDATE classes SET parent = 2 WHERE id = 1", "superclass is missing"),
    ],
)
def test_a_damaged_row_is_named(path: Path, sql: str, message: str) -> None:
    filled(path)
    edit(path, sql)
    with SqliteStore(path) as store:
        with pytest.raises(WbemError, match=message) as caught:
            (store.get_class(NS, "Derived"), list(store.instances(NS, "Base")))
        assert caught.value.name == "WBEM_E_CRITICAL_ERROR"


def test_orphans_are_found(path: Path) -> None:
    filled(path)
    edit(path, "DELETE FROM classes WHERE id = 1")
    with SqliteStore(path) as store:
        assert f"instances row {ROW}: what it belongs to in classes is gone" in store.check()


def fill(store: SqliteStore) -> None:
    with store.transaction():
        for number in range(100):
            store.put_instance(NS, BASE.new(Id=number + 10, Note="x" * 2000))


def test_a_full_disk_undoes_the_write(path: Path) -> None:
    filled(path)
    with SqliteStore(path) as store:
        pages = store._row("PRAGMA page_count")[0]
        store._run(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(WbemError) as caught:
            fill(store)
        assert caught.value.name == "WBEM_E_OUT_OF_DISK_SPACE"
        assert [i["Id"] for i in store.instances(NS, "Base")] == [1]
        store.put_instance(NS, BASE.new(Id=2))
        assert store.check() == []


def careless(store: SqliteStore) -> None:
    with store.transaction():
        store.put_instance(NS, BASE.new(Id=5))
        with suppress(WbemError):
            store.put_instance(NS, BASE.new(Id=6, Note="x" * 100_000))
        store.put_instance(NS, BASE.new(Id=7))


def test_a_transaction_that_the_disk_undid_takes_no_more(path: Path) -> None:
    """A caller that swallows the failure does not get the rest of its transaction written without the first part."""
    filled(path)
    with SqliteStore(path) as store:
        store._run(f"PRAGMA max_page_count = {store._row('PRAGMA page_count')[0] + 2}")
        with pytest.raises(WbemError, match="undone"):
            careless(store)
        assert [i["Id"] for i in store.instances(NS, "Base")] == [1]
        store.put_instance(NS, BASE.new(Id=8))


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (sqlite3.SQLITE_IOERR_SHMOPEN, ConfigurationError, "whether the file system is read-only"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, ConfigurationError, "cannot be written to"),
        (sqlite3.SQLITE_CORRUPT, RepositoryDamaged, "restore it from a backup"),
    ],
)
def test_only_what_is_damaged_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], says: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        error = sqlite3.OperationalError("refused")
        error.sqlite_errorcode = code
        raise error

    SqliteStore(tmp_path / "r.db").close()
    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(ConfigurationError, match=says) as caught:
        SqliteStore(tmp_path / "r.db")
    assert type(caught.value) is kind
