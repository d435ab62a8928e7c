from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import MOF, Run, process, runner
from tests.security.realms import realm

__all__ = ["realm", "repository", "run", "serve"]

PASSWORD = "correct horse"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs commands in this process, with user folders of its own."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("OPENWMI_PASSWORD", raising=False)
    monkeypatch.delenv("OPENWMI_DEBUG", raising=False)
    return runner(capsys, monkeypatch)


@pytest.fixture
def repository(run: Run, tmp_path: Path) -> Path:
    """A repository with the classes of `MOF`."""
    path, mof = tmp_path / "repository.db", tmp_path / "classes.mof"
    mof.write_text(MOF)
    done = run("mof", "compile", "--repository", path, mof)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{mof}: 2 objects\n"
    return path


@dataclass
class Served:
    """A running `openwmi serve`."""

    process: subprocess.Popen[str]
    accounts: Path
    repository: Path
    ready: Path
    addresses: dict[str, Any]

    @property
    def url(self) -> str:
        return f"dcom://ada@127.0.0.1:{self.addresses['rpc_port']}"

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Stops it with a signal; what it logged."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return err


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers, with more options if need be, and ends those that still run."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: object) -> Served:
        accounts, repository, ready = (tmp_path / name for name in ("accounts.json", "served.db", "ready.json"))
        add = ("account", "add", "ada", "--administrator", "--password-stdin", "--accounts", accounts)
        assert process(*add, stdin=PASSWORD + "\n").status == 0
        ports = ["--rpc-port", "0", "--exporter-port", "0"]
        server = subprocess.Popen(
            [sys.executable, "-m", "openwmi", "serve", *ports, "--repository", str(repository),
             "--accounts", str(accounts), "--ready-file", str(ready), *map(str, options)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(server)
        while not ready.exists():  # the ready file comes whole, or the server ends
            assert server.poll() is None, server.communicate()[1]
        return Served(server, accounts, repository, ready, json.loads(ready.read_text()))

    yield start
    for server in started:
        if server.poll() is None:
            server.kill()
        server.communicate()
