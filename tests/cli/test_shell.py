"""`openwmi shell`, and the completion of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from openwmi.cli.formats import Format
from openwmi.cli.locations import classes_file, history_file
from openwmi.cli.shell import _prompt, _Shell
from openwmi.client.sync import Session, connect
from openwmi.errors import AccessDenied, ConfigurationError
from tests.cli.support import Run

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
    shell = _Shell(session, Format.TABLE)
    shell.converse(typing("show Nothing", KeyboardInterrupt, "use root", "", EOFError))
    assert shell.session.scope == "root"
    assert "WBEM_E_NOT_FOUND" in capsys.readouterr().err
    shell.converse(typing("use root/cimv2", "quit"))
    assert shell.session.scope == "root\\cimv2"


def test_words_are_those_of_the_namespace(session: Session) -> None:
    shell = _Shell(session, Format.TABLE)
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
    shell = _Shell(session, Format.TABLE)
    assert "SELECT" in shell.words()
    assert shell.words() == shell.words()
    assert len(asked) == 1


def test_the_prompt(session: Session) -> None:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("SELECT 1\n")
        assert _prompt(_Shell(session, Format.TABLE))() == "SELECT 1"
    assert "SELECT 1" in history_file().read_text()


def test_without_prompt_toolkit(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(ConfigurationError, match=r"openwmi\[shell\]"):
        _prompt(_Shell(session, Format.TABLE))


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
