r"""``openwmi shell``: a prompt for queries.

    root\cimv2> SELECT Name FROM Win32_Process
    root\cimv2> use root\default
    root\default> exit

On a terminal it has a history and completes keywords and the names of classes. Elsewhere it reads lines from stdin.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer

from openwmi.cli.failures import told
from openwmi.cli.formats import Format, FormatOption, writer_of
from openwmi.cli.locations import history_file
from openwmi.cli.output import write_object
from openwmi.cli.target import Where, placed
from openwmi.client.sync import Session
from openwmi.errors import ConfigurationError, Error, InvalidQuery

__all__ = ["shell"]

_KEYWORDS: Final = (
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "LIKE", "IS", "NULL", "ISA", "ASSOCIATORS", "REFERENCES", "OF",
    "use", "show", "exit",
)  # fmt: skip
_PATIENCE: Final = 5.0  # seconds for the names of the classes, which are only a help


@placed
def shell(where: Where, output_format: FormatOption = Format.TABLE) -> None:
    """Answer queries as they are typed, one after another.

    Beside WQL: use NAMESPACE, show CLASS, exit. Lines that fail do not end it; the exit status is 1 if it was no
    terminal that they came from.
    """
    with where.open() as session:
        asked = _Shell(session, output_format)
        if sys.stdin.isatty():
            asked.converse(_prompt(asked))
        elif asked.read(sys.stdin):
            raise typer.Exit(1)


class _Shell:
    """What the lines do, and the namespace in which they do it."""

    def __init__(self, session: Session, form: Format) -> None:
        self.session = session
        self._form = form
        self._names: dict[str, list[str]] = {}

    def converse(self, prompt: Callable[[], str]) -> None:
        """Does what is typed. Ctrl-C ends a line or a query, Ctrl-D everything."""
        going = True
        while going:
            try:
                going = self._do(prompt())
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            except Error as error:
                sys.stderr.write(told(error) + "\n")

    def read(self, lines: Iterator[str]) -> int:
        """Does what the lines say; how many of them failed."""
        failed = 0
        for line in lines:
            try:
                if not self._do(line):
                    break
            except Error as error:
                sys.stderr.write(told(error) + "\n")
                failed += 1
        return failed

    def _do(self, line: str) -> bool:
        """One line; whether another one is wanted."""
        word, _, rest = line.strip().partition(" ")
        match word.lower():
            case "":
                pass
            case "exit" | "quit":
                return False
            case "use":
                self.session = self.session.namespace(rest.strip())
            case "show":
                write_object(self.session.get_class(rest.strip()))
            case _:
                self._query(line.strip())
        return True

    def _query(self, text: str) -> None:
        try:
            with self.session.query(text) as found:
                writer_of(self._form)((None, one) for one in found)
        except InvalidQuery:
            self.session.check_query(text)  # which can say where
            raise

    def words(self) -> list[str]:
        """What may be typed next; without the names of classes, if the server does not tell them soon."""
        scope = self.session.scope
        if scope not in self._names:
            try:
                with self.session.enumerate_classes(timeout=_PATIENCE) as found:
                    self._names[scope] = [cls.name for cls in found]
            except Error:
                self._names[scope] = []
        return [*_KEYWORDS, *self._names[scope]]


def _prompt(asked: _Shell) -> Callable[[], str]:
    """What asks for a line, with a history and with completion."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory
    except ImportError:
        raise ConfigurationError("the shell's prompt needs prompt_toolkit: pip install 'openwmi[shell]'") from None
    history = history_file()
    try:
        history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{history.parent}: cannot be made: {error.strerror}") from None
    completer = WordCompleter(asked.words, ignore_case=True)
    prompt: PromptSession[Any] = PromptSession(
        history=FileHistory(str(history)), completer=completer, complete_in_thread=True
    )
    return lambda: str(prompt.prompt(f"{asked.session.scope}> "))
