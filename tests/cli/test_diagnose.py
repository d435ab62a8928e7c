"""`openwmi diagnose`, and what other commands say about what is likely behind an error."""

from __future__ import annotations

import json
import socket

import pytest

from tests.cli.conftest import PASSWORD, Serve
from tests.cli.support import Run


@pytest.fixture
def nowhere() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"dcom://ada@127.0.0.1:{server.getsockname()[1]}"


def test_the_whole_way(serve: Serve, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    done = run("diagnose", served.url)
    assert (done.status, done.err) == (0, "")
    words = [line.split() for line in done.out.splitlines()]
    assert [word[0] for word in words][:2] == ["resolve", "connect"]
    assert words[-1][0] == "provider"
    assert {word[1] for word in words} == {"ok"}
    assert all(float(word[2]) >= 0 and word[3] == "s" for word in words)


def test_where_it_ends_and_why(run: Run, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_PASSWORD", "x")
    done = run("diagnose", nowhere)
    assert done.status == 1
    lines = done.out.splitlines()
    assert "refused" in lines[1]
    assert lines[2].startswith("  No server runs on the host: ")
    checks = json.loads(run("diagnose", "--json", nowhere).out)
    assert [check["verdict"] for check in checks[:3]] == ["ok", "failed", "skipped"]
    assert checks[1]["causes"][0].keys() == {"cause", "remedy"}


def test_every_command_says_why(run: Run, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_PASSWORD", "x")
    done = run("get", "--host", nowhere, "X")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("openwmi: ")
    assert done.err.splitlines()[1].startswith("  No server runs on the host: ")


def test_usage(run: Run) -> None:
    assert run("diagnose", "ftp://x").status == 2
    assert run("diagnose", "dcom://host").status == 2
