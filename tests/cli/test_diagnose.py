"""`openwmi diagnose`, and what other commands say about what is likely behind an error."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import PASSWORD, Serve
from tests.cli.support import Run

PATIENT = ("--timeout", 100)  # for each stage, on however slow a machine


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL at which nobody listens, and nobody can: its port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"dcom://ada@127.0.0.1:{taken.getsockname()[1]}"


def test_the_whole_way(serve: Serve, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    done = run("diagnose", *PATIENT, served.url)
    assert (done.status, done.err) == (0, "")
    words = [line.split() for line in done.out.splitlines()]
    assert [word[0] for word in words][:2] == ["resolve", "connect"]
    assert words[-1][0] == "provider"
    assert {word[1] for word in words} == {"ok"}
    assert all(float(word[2]) >= 0 and word[3] == "s" for word in words)


def test_where_it_ends_and_why(run: Run, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_PASSWORD", "x")
    done = run("diagnose", *PATIENT, nowhere)
    assert done.status == 1
    lines = done.out.splitlines()
    assert "refused" in lines[1]
    assert lines[2].startswith("  No server runs on the host: ")
    checks = json.loads(run("diagnose", *PATIENT, "--json", nowhere).out)
    assert [check["verdict"] for check in checks[:3]] == ["ok", "failed", "skipped"]
    assert checks[1]["causes"][0].keys() == {"cause", "remedy"}


class TestSeveralHosts:
    """Each one's stages together, when it is done; what failed at the end, and in the exit status."""

    @pytest.fixture
    def hosts(self, repository: Path, nowhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("OPENWMI_PASSWORD", "x")
        path = tmp_path / "hosts"
        path.write_text(f"local:{repository}\n{nowhere}\n")
        return path

    def test_a_block_for_each(self, run: Run, hosts: Path, repository: Path, nowhere: str) -> None:
        address = nowhere.partition("@")[2]
        done = run("diagnose", *PATIENT, "--hosts", hosts, "--parallel", 1)
        assert done.status == 1
        first, second = (block.splitlines() for block in done.out.removeprefix("# ").split("\n# "))
        assert (first[0], second[0]) == (f"local:{repository}", address)
        assert [line.split()[:2] for line in first[1:]] == [["namespace", "ok"], ["class", "ok"], ["provider", "ok"]]
        assert second[1].split()[:2] == ["resolve", "ok"]
        assert second[2].split()[:2] == ["connect", "failed"]
        # What is likely stands in the block, and not again below it.
        failed, count = done.err.splitlines()
        assert failed.startswith(f"{address}: openwmi: connect: ")
        assert count == "openwmi: 1 of 2 hosts failed"

    def test_as_json(self, run: Run, hosts: Path, repository: Path) -> None:
        checks = json.loads(run("diagnose", *PATIENT, "--hosts", hosts, "--json").out)
        assert [check["stage"] for check in checks if check["__HOST"] == f"local:{repository}"] == [
            "namespace", "class", "provider"
        ]  # fmt: skip
        assert [check["verdict"] for check in checks].count("failed") == 1

    def test_all_are_well(self, run: Run, repository: Path, tmp_path: Path) -> None:
        """A URL as an argument is one more place."""
        done = run("diagnose", *PATIENT, f"local:{repository}", "--host", "local:", "--class", "__Provider")
        assert (done.status, done.err) == (0, "")
        assert [line for line in done.out.splitlines() if line.startswith("# ")].count(f"# local:{repository}") == 1
        assert done.out.count("no instance of __Provider") == 2


def test_one_place_by_any_option(run: Run, repository: Path) -> None:
    done = run("diagnose", *PATIENT, "--repository", repository, "-n", "root")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == ["namespace", "class", "provider"]


def test_advice_is_given_once(run: Run, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_PASSWORD", "x")
    alone = run("get", "--host", nowhere, "X").err.splitlines()
    both = run("get", "--host", f"{nowhere},{nowhere.replace('ada', 'bob')}", "X").err.splitlines()
    address = nowhere.partition("@")[2]
    assert both == [f"{address}: {alone[0]}"] * 2 + alone[1:] + ["openwmi: 2 of 2 hosts failed"]


def test_every_command_says_why(run: Run, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_PASSWORD", "x")
    done = run("get", "--host", nowhere, "X")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("openwmi: ")
    assert done.err.splitlines()[1].startswith("  No server runs on the host: ")


def test_usage(run: Run) -> None:
    assert run("diagnose", "ftp://x").status == 2
    assert run("diagnose", "dcom://host").status == 2
