"""`openwmi shell`, and the completion of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from openwmi.cli.fanout import Task, Writer
from openwmi.cli.formats import Format
from openwmi.cli.locations import classes_file, history_file
from openwmi.cli.shell import _Host, _prompt, _Shell
from openwmi.client.sync import Session, connect
from openwmi.errors import AccessDenied, ConfigurationError
from tests.cli.support import Done, Run

LINES = """
SELECT Name FROM Cli_Thing
SELECT Nmae FROM Cli_Thing WHERE
show Cli_Part
use root
show __Namespace
exit
SELECT Name FROM Nothing
"""


@pytest.fixture
def session(repository: Path) -> Iterator[Session]:
    with connect(f"local:{repository}") as opened:
        yield opened


def at_prompt(session: Session) -> _Shell:
    """A shell on one host."""
    return _Shell([_Host("here", session)], Format.TABLE)


def typing(*lines: str | type[BaseException]) -> Callable[[], str]:
    """What a person types, one after another; an exception is a key that raises it."""
    rest = iter(lines)

    def prompt() -> str:
        line = next(rest)
        if isinstance(line, str):
            return line
        raise line

    return prompt


def test_lines_from_a_file(run: Run, repository: Path) -> None:
    run("put", "--repository", repository, "Cli_Thing", "--set", "Name=a")
    done = run("shell", "--repository", repository, "--format", "csv", stdin=LINES)
    assert done.status == 1
    assert done.out.startswith("Name\r\na\r\n")
    assert "class Cli_Part" in done.out
    assert "class __NAMESPACE" in done.out
    assert done.err.splitlines()[0].startswith("openwmi: ")
    assert done.err.splitlines()[-1].strip() == "^"
    assert done.err.count("openwmi: ") == 1  # nothing is done after `exit`
    assert run("shell", "--repository", repository, stdin="SELECT Name FROM Cli_Thing").status == 0


def test_a_conversation(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    shell = at_prompt(session)
    shell.converse(typing("show Nothing", KeyboardInterrupt, "use root", "", EOFError))
    assert shell.scope == "root"
    assert "WBEM_E_NOT_FOUND" in capsys.readouterr().err
    shell.converse(typing("use root/cimv2", "quit"))
    assert shell.scope == "root\\cimv2"


@pytest.mark.parametrize("line", ["help", "?", "HELP"])
def test_help(run: Run, repository: Path, line: str) -> None:
    done = run("shell", "--repository", repository, stdin=f"{line}\nSELECT Number FROM Cli_Part")
    assert (done.status, done.err) == (0, "")
    said = {shown.split()[0] for shown in done.out.splitlines()}
    assert said == {"SELECT", "show", "use", "help,", "exit,"}


def test_a_name_is_missing(run: Run, repository: Path) -> None:
    done = run("shell", "--repository", repository, stdin="use\nshow  \n")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [f"openwmi: {word}: a name follows it; see help" for word in ("use", "show")]


class TestSeveralHosts:
    """Every line is done on all of them."""

    @pytest.fixture
    def hosts(self, run: Run, tmp_path: Path) -> list[str]:
        urls = []
        for name in ("one", "two"):
            path = tmp_path / f"{name}.db"
            mof = f'class Cli_Host {{ [key] string Name; }}; instance of Cli_Host {{ Name = "{name}"; }};'
            assert run("put", "--repository", path, stdin=mof).status == 0
            urls.append(f"local:{path}")
        below = '#pragma namespace("root")\ninstance of __Namespace { Name = "only"; };'
        assert run("put", "--host", urls[0], stdin=below).status == 0
        return urls

    def shell(self, run: Run, hosts: list[str], *lines: str) -> Done:
        return run("shell", "--host", ",".join(hosts), "-f", "csv", stdin="\n".join(lines))

    def test_rows_have_their_host(self, run: Run, hosts: list[str]) -> None:
        done = self.shell(run, hosts, "SELECT Name FROM Cli_Host", "show Cli_Host")
        assert (done.status, done.err) == (0, "")
        for url, name in zip(hosts, ("one", "two"), strict=True):
            assert f"{url},{name}" in done.out.splitlines()
            assert f"// {url}" in done.out.splitlines()

    def test_one_that_has_no_session(self, run: Run, hosts: list[str], tmp_path: Path) -> None:
        """It is told of at once and after the rows of the others, which go on."""
        missing = f"local:{tmp_path / 'no' / 'folder.db'}"
        query = "SELECT Name FROM Cli_Host"
        done = self.shell(run, [missing, *hosts], query, "use root/cimv2", query)
        assert done.status == 1
        assert done.out.splitlines().count(f"{hosts[1]},two") == 2
        told = [line for line in done.err.splitlines() if line.startswith("openwmi: ")]
        assert told == ["openwmi: 1 of 3 hosts failed"] * 3
        assert done.err.count(f"{missing}: openwmi: ") == 3

    def test_one_that_fails(self, run: Run, hosts: list[str]) -> None:
        done = self.shell(run, hosts, "SELECT Name FROM __NAMESPACE WHERE Name = 'only'", "SELECT", "show Cli_Host")
        assert done.status == 1
        assert "openwmi: 2 of 2 hosts failed" in done.err.splitlines()
        assert done.out.count("class Cli_Host") == 2

    def test_none_has_a_session(self, run: Run, tmp_path: Path) -> None:
        done = self.shell(run, [f"local:{tmp_path}/no/{name}.db" for name in "ab"], "help")
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines()[-1] == "openwmi: 2 of 2 hosts failed"

    def test_a_namespace_that_one_lacks(self, run: Run, hosts: list[str]) -> None:
        """All stay where they are, so that one line is about one namespace."""
        done = self.shell(run, hosts, "use root/only", "SELECT Name FROM Cli_Host")
        assert done.status == 1
        assert [line.split(":")[-1] for line in done.err.splitlines()][-1].strip() == "1 of 2 hosts failed"
        assert len(done.out.splitlines()) == 3

    def test_the_first_host_stays_the_first(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever answers first: its classes are those that may be typed."""

        def backwards(given: Sequence[Task[_Host]], parallel: int, write: Writer[_Host]) -> None:
            write((task.host, found) for task in reversed(given) for found in task.work())

        monkeypatch.setattr("openwmi.cli.shell.at_once", backwards)
        shell = _Shell([_Host(name, session) for name in "abc"], Format.TABLE)
        shell._use("root")
        assert [host.name for host in shell._hosts] == ["a", "b", "c"]

    def test_the_prompt_says_how_many(self, session: Session) -> None:
        hosts = [_Host("one", session), _Host("two", ConfigurationError("not there"))]
        assert _Shell(hosts, Format.TABLE).prompt == "root\\cimv2 on 2 hosts> "
        assert at_prompt(session).prompt == "root\\cimv2> "


def test_words_are_those_of_the_namespace(session: Session) -> None:
    shell = at_prompt(session)
    assert {"SELECT", "Cli_Thing", "use"} <= set(shell.words())
    shell.converse(typing("use root", "exit"))
    assert "Cli_Thing" not in shell.words()


def test_words_without_an_answer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Completion is a help only: it does not fail, and does not ask again."""
    asked = []

    def refuse(**options: object) -> None:
        asked.append(options)
        raise AccessDenied

    monkeypatch.setattr(session, "enumerate_classes", refuse)
    shell = at_prompt(session)
    assert "SELECT" in shell.words()
    assert shell.words() == shell.words()
    assert len(asked) == 1


def test_the_prompt(session: Session) -> None:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("SELECT 1\n")
        assert _prompt(at_prompt(session))() == "SELECT 1"
    assert "SELECT 1" in history_file().read_text()


def test_without_prompt_toolkit(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(ConfigurationError, match=r"openwmi\[shell\]"):
        _prompt(at_prompt(session))


@pytest.mark.parametrize(
    ("words", "found"),
    [("openwmi na", "namespaces"), ("openwmi class sh", "show"), ("openwmi query --form", "--format")],
)
def test_commands_are_completed(words: str, found: str) -> None:
    asked = {
        "_OPENWMI_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "openwmi"], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert found in done.stdout.split()


class TestNamesOfClasses:
    def complete(self, words: str, **more: str) -> list[str]:
        asked = {"_OPENWMI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        environment = {**os.environ, **asked, **more}
        done = subprocess.run(
            [sys.executable, "-m", "openwmi"], env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        return done.stdout.split()

    def test_asked_for_and_kept(self, run: Run, repository: Path) -> None:
        words = f"openwmi class show --repository {repository} Cli_"
        assert self.complete(words) == ["Cli_Part", "Cli_Thing"]
        assert run("class", "delete", "--repository", repository, "Cli_Part").status == 0
        assert self.complete(words) == ["Cli_Part", "Cli_Thing"]
        assert run("ls", "--repository", repository).status == 0  # which looks anew
        assert self.complete(words) == ["Cli_Thing"]

    def test_no_password_is_asked_for(self, run: Run) -> None:
        assert self.complete("openwmi ls --host dcom://ada@127.0.0.1:1 Win", OPENWMI_PASSWORD="") == []

    def test_no_server(self, run: Run) -> None:
        assert self.complete("openwmi ls --host dcom://ada@127.0.0.1:1 Win", OPENWMI_PASSWORD="x") == []

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"x": ["y", ["z"]]}'])
    def test_a_file_that_is_none_of_ours(self, run: Run, repository: Path, text: str) -> None:
        path = classes_file()
        path.parent.mkdir(parents=True)
        path.write_text(text)
        assert self.complete(f"openwmi ls --repository {repository} Cli_T") == ["Cli_Thing"]
