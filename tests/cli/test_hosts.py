"""Several hosts at once, and profiles."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openwmi.cli.fanout import HostsFailed, Task, at_once, everywhere
from openwmi.cli.target import Where
from openwmi.client.sync import Session
from tests.cli.conftest import PASSWORD, Serve
from tests.cli.support import Run

QUERY = "SELECT Name, Size FROM Cli_Thing"


@pytest.fixture
def three(run: Run, tmp_path: Path) -> list[str]:
    """Two repositories with a thing each, and one that is no repository."""
    urls = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.db"
        mof = f'class Cli_Thing {{ [key] string Name; uint32 Size; }}; instance of Cli_Thing {{ Name = "{name}"; }};'
        assert run("put", "--repository", path, stdin=mof).status == 0
        urls.append(f"local:{path}")
    (tmp_path / "three.db").write_text("this is none " * 1000)
    return [*urls, f"local:{tmp_path / 'three.db'}"]


def test_all_that_can_answer(run: Run, three: list[str]) -> None:
    done = run("query", "--host", ",".join(three), "--json", QUERY)
    assert done.status == 1
    found = sorted(json.loads(done.out), key=lambda one: str(one["Name"]))
    assert [(one["__HOST"], one["Name"]) for one in found] == [(three[0], "one"), (three[1], "two")]
    lines = done.err.splitlines()
    assert lines[0].startswith(f"{three[2]}: openwmi: ")
    assert lines[-1] == "openwmi: 1 of 3 hosts failed"


@pytest.mark.parametrize("form", ["table", "csv", "jsonl", "mof"])
def test_every_form_names_the_host(run: Run, three: list[str], form: str) -> None:
    done = run("query", "--host", ",".join(three), "-f", form, QUERY)
    assert done.status == 1
    assert three[0] in done.out
    assert three[1] in done.out


def test_a_file_with_hosts(run: Run, three: list[str], tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"# all\n{three[0]}  # the first\n\n{three[1]}\n{three[0]}\n")
    done = run("put", "--hosts", hosts, "Cli_Thing", "--set", "Name=new")
    assert (done.status, done.err) == (0, "")
    assert sorted(done.out.splitlines()) == [f'{url}: Cli_Thing.Name="new"' for url in three[:2]]
    assert run("delete", "--hosts", hosts, 'Cli_Thing="new"').status == 0
    hosts.write_text(f"{three[0]}\nftp://x\n")
    refused = run("query", "--hosts", hosts, QUERY)
    assert refused.status == 1
    assert f"{hosts}:2: ftp://" in refused.err


def test_mof_and_rights_everywhere(run: Run, three: list[str], tmp_path: Path) -> None:
    file, hosts = tmp_path / "more.mof", ",".join(three[:2])
    file.write_text("class Cli_More { [key] string Name; };")
    done = run("mof", "compile", "--host", hosts, file)
    assert sorted(done.out.splitlines()) == [f"{url}: {file}: 1 object" for url in three[:2]]
    assert run("security", "grant", "BU", "enable", "--host", hosts).status == 0
    for url in three[:2]:
        assert run("mof", "show", "--host", url, "Cli_More").status == 0
        assert ["S-1-5-32-545", "allow"] in [
            [row["who"], row["kind"]] for row in json.loads(run("security", "show", "--json", "--host", url).out)
        ]


def test_no_more_at_a_time_than_wanted(three: list[str]) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(session: Session) -> Iterator[int]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        session.test_connection()
        with lock:
            now -= 1
        yield 1

    found: list[int] = []
    everywhere(Where(host=",".join(three[:2]), parallel=1), work, lambda all_: found.extend(n for _, n in all_))
    assert (found, most) == ([1, 1], 1)


def test_whoever_has_enough_ends_the_others(three: list[str]) -> None:
    """Workers that wait for room are let go."""

    def work(session: Session) -> Iterator[int]:
        while True:
            yield 1

    def enough(found: Iterator[tuple[str | None, int]]) -> None:
        next(found)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        everywhere(Where(host=",".join(three[:2])), work, enough)


def test_nobody_waits_for_a_silent_host_after_ctrl_c() -> None:
    asked, answered, seen = threading.Event(), threading.Event(), threading.Event()

    def silent() -> Iterator[int]:
        try:
            asked.set()
            answered.wait()
            yield 1
        finally:
            seen.set()

    def talking() -> Iterator[int]:
        asked.wait()
        yield 2

    def interrupted(found: Iterator[tuple[str | None, int]]) -> None:
        assert next(found) == ("talking", 2)
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            at_once([Task("silent", silent), Task("talking", talking)], 2, interrupted)
        assert not seen.is_set()
    finally:
        answered.set()
    seen.wait()  # what it holds is given back nevertheless


def test_the_end_of_the_process_does_not_wait_for_a_silent_host() -> None:
    code = (
        "import sys, threading\n"
        "from openwmi.cli.fanout import Task, at_once\n"
        "asked = threading.Event()\n"
        "def silent():\n"
        "    asked.set()\n"
        "    threading.Event().wait()\n"
        "    yield 1\n"
        "def talking():\n"
        "    asked.wait()\n"
        "    yield 2\n"
        "def interrupted(found):\n"
        "    next(found)\n"
        "    raise KeyboardInterrupt\n"
        "try:\n"
        "    at_once([Task('a', silent), Task('b', talking)], 2, interrupted)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_failures_are_all_told(three: list[str]) -> None:
    with pytest.raises(HostsFailed) as caught:
        everywhere(Where(host=",".join(three), namespace="root\\nowhere"), lambda session: [1])
    assert [host for host, _ in caught.value.failures] == sorted(three)


def test_one_host_at_a_time_where_it_must_be(run: Run, three: list[str]) -> None:
    assert run("mof", "export", "--host", ",".join(three[:2])).status == 2


class TestProfiles:
    @pytest.fixture
    def config(self, run: Run, tmp_path: Path) -> Path:
        path = tmp_path / "home" / "openwmi" / "config.toml"
        path.parent.mkdir(parents=True)
        return path

    def test_where_a_server_is(self, config: Path, run: Run, serve: Serve) -> None:
        served = serve()
        (config.parent / "lab.password").write_text(PASSWORD + "\n")
        url = served.url.replace("ada@", "")
        config.write_text(
            f'[profiles.lab]\nurl = "{url}"\nuser = "ada"\nnamespace = "root"\ntimeout = 30\n'
            'password_file = "lab.password"\n'
        )
        assert "root\\cimv2\n" in run("namespaces", "--profile", "lab").out
        # What the command line says goes before.
        assert run("get", "-p", "lab", "-n", "root/cimv2", "Win32_Process").status == 0
        assert "root/nowhere" in run("get", "-p", "lab", "-n", "root/nowhere", "X").err

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ('[profiles.lab]\npassword = "secret"\n', "password_file"),
            ('[profiles.lab]\ncolour = "red"\n', "there is no such key"),
            ("[profiles.lab]\ntimeout = -1\n", "timeout"),
            ('[profiles.home]\nurl = "x"\n', "there are: home"),
            ("[profiles\n", "is not TOML"),
        ],
    )
    def test_refused(self, config: Path, run: Run, text: str, says: str) -> None:
        config.write_text(text)
        done = run("ls", "-p", "lab")
        assert (done.status, done.out) == (1, "")
        assert str(config) in done.err
        assert says in done.err
        assert "secret" not in done.err


def test_progress_on_a_terminal(run: Run, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """How many hosts are done is shown on stderr, and what is found on stdout stays what it is."""
    plain = run("query", "--host", ",".join(three[:2]), "-f", "jsonl", QUERY)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    watched = run("query", "--host", ",".join(three[:2]), "-f", "jsonl", QUERY)
    assert sorted(watched.out.splitlines()) == sorted(plain.out.splitlines())
    assert "hosts" in terminal.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
