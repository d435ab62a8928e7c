r"""``openwmi shell``: a prompt for queries.

    root\cimv2> SELECT Name FROM Win32_Process
    root\cimv2> use root\default
    root\default> exit

On a terminal it has a history and completes keywords and the names of classes. Elsewhere it reads lines from stdin.
Each line is done on all hosts at once; one that cannot answer is named after what the others say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import typer

from openwmi.cli.failures import told
from openwmi.cli.fanout import HostsFailed, Task, Writer, at_once, tasks
from openwmi.cli.formats import Format, FormatOption, writer_of
from openwmi.cli.locations import history_file
from openwmi.cli.output import write
from openwmi.cli.queries import columns_named, selected
from openwmi.cli.target import Place, Where, placed
from openwmi.client.sync import Session
from openwmi.errors import ConfigurationError, Error

__all__ = ["shell"]

T = TypeVar("T")

_KEYWORDS: Final = (
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "LIKE", "IS", "NULL", "ISA", "ASSOCIATORS", "REFERENCES", "OF",
    "use", "show", "help", "exit",
)  # fmt: skip
_HELP: Final = """\
SELECT ...        a query in WQL; ASSOCIATORS OF {...} and REFERENCES OF {...}, too
show CLASS        a class, as MOF
use NAMESPACE     go to another namespace, such as root\\default
help, ?           this
exit, quit        leave; Ctrl-D does, too"""
_PATIENCE: Final = 5.0  # seconds for the names of the classes, which are only a help


@placed
def shell(where: Where, output_format: FormatOption = Format.TABLE) -> None:
    """Answer queries as they are typed, one after another.

    Beside WQL: use NAMESPACE, show CLASS, help, exit. Lines that fail do not end it; the exit status is 1 if it was no
    terminal that they came from.
    """
    with ExitStack() as stack:
        asked = _Shell(_opened(where, stack), output_format, where.parallel)
        if sys.stdin.isatty():
            asked.converse(_prompt(asked))
        elif asked.read(sys.stdin):
            raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Host:
    """A host, and the session there or why there is none."""

    name: str
    opened: Session | Error

    @property
    def session(self) -> Session:
        """The session. Raises what there is in its place."""
        if isinstance(self.opened, Error):
            raise self.opened
        return self.opened

    def ask(self, work: Callable[[Session], Iterable[T]]) -> Iterable[T]:
        """What `work` yields in the session."""
        return work(self.session)

    def moved(self, namespace: str) -> list[_Host]:
        """The host with its session in another namespace."""
        return [_Host(self.name, self.session.namespace(namespace))]


def _opened(where: Where, stack: ExitStack) -> list[_Host]:
    """The hosts, with sessions that end with `stack`. Which have none is said; raises if that is all of them."""
    hosts: list[_Host] = []

    def keep(found: Iterator[tuple[str | None, _Host]]) -> None:
        for _, host in found:
            hosts.append(host)
            if isinstance(host.opened, Session):
                stack.enter_context(host.opened)

    places = where.places()
    at_once(tasks(places, lambda place: [_host_at(place)]), where.parallel, keep)
    names = [place.name for place in places]
    hosts.sort(key=lambda host: names.index(host.name))  # not as they answered
    failures = [(host.name, host.opened) for host in hosts if isinstance(host.opened, Error)]
    if failures:
        failed = failures[0][1] if len(places) == 1 else HostsFailed(failures, len(places))
        if len(failures) == len(places):
            raise failed
        _complain(failed)
    return hosts


def _host_at(place: Place) -> _Host:
    try:
        return _Host(place.name, place.open())
    except Error as error:
        return _Host(place.name, error)


def _complain(error: Error) -> None:
    sys.stderr.write(told(error) + "\n")


class _Shell:
    """What the lines do on hosts, of which one at least has a session, and the namespace in which they do it."""

    def __init__(self, hosts: Sequence[_Host], form: Format, parallel: int = 1) -> None:
        self._hosts = hosts
        self._form = form
        self._parallel = parallel
        self._names: dict[str, list[str]] = {}

    @property
    def _open(self) -> list[_Host]:
        return [host for host in self._hosts if isinstance(host.opened, Session)]

    @property
    def scope(self) -> str:
        """The namespace."""
        return self._open[0].session.scope

    @property
    def prompt(self) -> str:
        """What stands before a line that is typed."""
        count = len(self._hosts)
        return f"{self.scope}> " if count == 1 else f"{self.scope} on {count} hosts> "

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
                _complain(error)

    def read(self, lines: Iterable[str]) -> int:
        """Does what the lines say; how many of them failed."""
        failed = 0
        for line in lines:
            try:
                if not self._do(line):
                    break
            except Error as error:
                _complain(error)
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
            case "help" | "?":
                write(_HELP)
            case "use" | "show" if not rest.strip():
                raise ConfigurationError(f"{word}: a name follows it; see help")
            case "use":
                self._use(rest.strip())
            case "show":
                self._everywhere(lambda session: [session.get_class(rest.strip())], writer_of(Format.MOF))
            case _:
                text = line.strip()
                columns = columns_named(text)
                self._everywhere(lambda session: selected(session, text), writer_of(self._form, columns=columns))
        return True

    def _everywhere(self, work: Callable[[Session], Iterable[T]], show: Writer[T]) -> None:
        """Shows what `work` yields on all hosts; those that have no session fail each time."""
        at_once([Task(host.name, partial(host.ask, work)) for host in self._hosts], self._parallel, show)

    def _use(self, name: str) -> None:
        """Another namespace, on all hosts with a session or, if one of them does not have it, on none."""
        moved: dict[str, _Host] = {}

        def keep(found: Iterator[tuple[str | None, _Host]]) -> None:
            moved.update((host.name, host) for _, host in found)

        at_once([Task(host.name, partial(host.moved, name)) for host in self._open], self._parallel, keep)
        self._hosts = [moved.get(host.name, host) for host in self._hosts]

    def words(self) -> list[str]:
        """What may be typed next; without the names of classes, if the first host does not tell them soon."""
        scope = self.scope
        if scope not in self._names:
            try:
                with self._open[0].session.enumerate_classes(timeout=_PATIENCE) as found:
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
    return lambda: str(prompt.prompt(asked.prompt))
