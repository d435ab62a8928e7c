"""`openwmi repository`: a repository's file, and the one that a server has open."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from openwmi.repository import SqliteStore, database
from tests.cli.conftest import PASSWORD, Serve
from tests.cli.support import Run


def test_info(run: Run, repository: Path) -> None:
    done = run("repository", "info", "--repository", repository)
    assert done.status == 0
    assert done.out.startswith(f"{repository}: layout {database.LAYOUT}, ")
    assert any(line.split()[0] == "root\\cimv2" for line in done.out.splitlines())
    found = json.loads(run("repository", "info", "--repository", repository, "--json").out)
    assert (found["path"], found["layout"]) == (str(repository), database.LAYOUT)
    assert {space["name"] for space in found["namespaces"]} >= {"root", "root\\cimv2"}


def test_verify(run: Run, repository: Path) -> None:
    assert run("repository", "verify", "--repository", repository).out == f"{repository} is sound\n"
    connection = sqlite3.connect(repository)
    connection.execute("UPDATE classes SET declaration = 'nonsense' WHERE folded = ?", (b"cli_thing",))
    connection.commit()
    connection.close()
    done = run("repository", "verify", "--repository", repository)
    assert done.status == 1
    assert "is damaged: classes row" in done.out
    assert done.err == ""


def test_backup_and_restore(run: Run, repository: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    assert run("repository", "backup", "--repository", repository, backup).status == 0
    refused = run("repository", "backup", "--repository", repository, backup)
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "is there already" in refused.err
    assert "--overwrite" in refused.err
    assert run("repository", "backup", "--repository", repository, backup, "--overwrite").status == 0
    assert run("put", "--repository", repository, "Cli_Thing", "--set", "Name=x").status == 0
    assert run("repository", "restore", "--repository", repository, backup).status == 0
    assert run("get", "--repository", repository, 'Cli_Thing="x"').status == 1
    assert run("get", "--repository", repository, "Cli_Thing").status == 0
    with SqliteStore(repository):  # that it is in use is not what is wrong first
        missing = run("repository", "restore", "--repository", repository, tmp_path / "none.db")
    assert (missing.status, missing.err) == (1, f"openwmi: there is no backup {tmp_path / 'none.db'}\n")
    repository.write_bytes(repository.read_bytes()[:3000])
    done = run("repository", "restore", "--repository", repository, backup)
    assert done.out == f"the damaged repository is now {repository}.damaged-1\n"
    assert run("get", "--repository", repository, "Cli_Thing").status == 0


@pytest.mark.parametrize("command", [("info",), ("verify",), ("backup", "x")])
def test_what_cannot_be_opened(run: Run, repository: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    def refusal(path: object) -> str:
        done = run("repository", *command, "--repository", path)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        return done.err

    assert "there is no repository in" in refusal(tmp_path / "none.db")
    assert "there is no repository in" in refusal(tmp_path / "no" / "folder" / "none.db")
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to have a header of one hundred bytes" * 2)
    assert "is not a repository of openwmi: name another file" in refusal(text)
    with SqliteStore(repository):
        in_use = refusal(repository)
    assert "is open in another process" in in_use
    assert "--host dcom://USER@127.0.0.1:PORT" in in_use
    connection = sqlite3.connect(repository)
    connection.execute(f"PRAGMA user_version = {database.LAYOUT + 1}")
    connection.close()
    assert "was written by a newer openwmi" in refusal(repository)
    assert run("repository", *command, "--repository", ":memory:").status == 2


class TestFirstUse:
    """What the ordinary commands say of a repository that they cannot have."""

    def refusal(self, run: Run, path: object) -> str:
        done = run("get", "--repository", path, "X")
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        return done.err

    def test_no_such_folder(self, run: Run, tmp_path: Path) -> None:
        assert "name a file in a folder that exists" in self.refusal(run, tmp_path / "nowhere" / "x.db")

    def test_a_folder(self, run: Run, tmp_path: Path) -> None:
        assert f"{tmp_path} cannot be read" in self.refusal(run, tmp_path)

    def test_in_use(self, run: Run, repository: Path) -> None:
        with SqliteStore(repository):
            text = self.refusal(run, repository)
        assert "If that is `openwmi serve`, ask it: --host dcom://USER@127.0.0.1:PORT" in text

    @pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
    def test_others_may_write_to_it(self, run: Run, repository: Path) -> None:
        repository.chmod(0o666)
        assert "chmod 600" in self.refusal(run, repository)

    def test_the_default_one_is_shared(self, run: Run) -> None:
        """The commands and `serve` have one repository unless told otherwise: the second is told what to do."""
        assert run("get", "Win32_ComputerSystem").status == 0
        path = next(Path.home().rglob("repository.db"))
        with SqliteStore(path):
            done = run("get", "Win32_ComputerSystem")
        assert done.status == 1
        assert "ask it: --host" in done.err


def test_on_a_server(serve: Serve, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    served = serve("--backups", folder)
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    host = ("--host", served.url)
    for _ in range(2):
        assert run("repository", "backup", *host, "monday.bak").status == 0
    mof = tmp_path / "x.mof"
    mof.write_text("class Cli_Later { [key] string Name; };")
    assert run("mof", "compile", *host, mof).status == 0
    assert run("repository", "restore", *host, "monday.bak").status == 0
    assert run("get", *host, "Cli_Later").status == 1
    done = run("repository", "backup", *host, "../monday.bak")
    assert done.status == 1
    assert "WBEM_E_INVALID_PARAMETER" in done.err.splitlines()[0]
    assert [file.name for file in folder.iterdir()] == ["monday.bak"]
