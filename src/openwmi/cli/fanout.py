"""The same work in several places at once: what is found comes as it comes, and what failed at the end."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from openwmi.cli.target import Place, Where
from openwmi.client.sync import Session
from openwmi.errors import Error

__all__ = ["HostsFailed", "Task", "Writer", "at_once", "everywhere", "nothing", "tasks"]

T = TypeVar("T")

_AHEAD: Final = 1000  # results that wait for whoever writes them
_LOOK: Final = 0.2  # seconds after which a worker looks whether anybody still wants its results


class HostsFailed(Error):
    """Some of several hosts failed; `failures` are their names with why."""

    def __init__(self, failures: Sequence[tuple[str, Exception]], of: int) -> None:
        super().__init__(f"{len(failures)} of {of} hosts failed")
        self.failures = tuple(failures)


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """What is to be done for one host, and its name."""

    host: str
    work: Callable[[], Iterable[T]]


Writer = Callable[[Iterator[tuple[str | None, T]]], None]
"""What takes the results with the names of their hosts."""


def nothing(found: object) -> None:
    """The writer for work of which there is nothing to show."""


def everywhere(where: Where, work: Callable[[Session], Iterable[T]], write: Writer[T] = nothing) -> None:
    """Has `write` write what `work` yields in every place, in a session that is opened for it, as `at_once` does."""
    at_once(tasks(where.places(), lambda place: _in_session(place, work)), where.parallel, write)


def _in_session(place: Place, work: Callable[[Session], Iterable[T]]) -> Generator[T, None, None]:
    with place.open() as session:
        yield from work(session)


def tasks(places: Sequence[Place], work: Callable[[Place], Iterable[T]]) -> list[Task[T]]:
    """A task for each place."""
    return [Task(place.name, partial(work, place)) for place in places]


def at_once(given: Sequence[Task[T]], parallel: int, write: Writer[T] = nothing) -> None:
    """Has `write` write what the tasks yield, as it comes, with the name of the host if there are several.

    `parallel` of them are under way at a time. Of several, one that fails does not keep the others from it:
    `HostsFailed` comes when all is written.
    """
    if len(given) == 1:
        with _at_work(given[0]) as results:
            _exhaust(write, ((None, found) for found in results))
        return
    failures: list[tuple[str, Exception]] = []
    _exhaust(write, _gathered(given, parallel, failures))
    if failures:
        raise HostsFailed(sorted(failures, key=lambda failure: failure[0]), len(given))


@contextmanager
def _at_work(task: Task[T]) -> Iterator[Iterator[T]]:
    """What a task yields; what it holds is given back at the block's end."""
    results = iter(task.work())
    try:
        yield results
    finally:
        if isinstance(results, Generator):
            results.close()


def _exhaust(write: Callable[[Iterator[T]], None], found: Generator[T, None, None]) -> None:
    """Also what `write` leaves is asked for: work that yields nothing of interest is done nevertheless."""
    with closing(found):
        write(found)
        for _ in found:
            pass


def _gathered(
    given: Sequence[Task[T]], parallel: int, failures: list[tuple[str, Exception]]
) -> Generator[tuple[str | None, T], None, None]:
    """What all tasks yield, as it comes; what goes wrong is added to `failures`."""
    with _results(given, parallel) as results, _progress(len(given)) as advance:
        remaining = len(given)
        while remaining:
            host, found, error = results.get()
            if error is not None:
                failures.append((host, error))
            if found is None:
                remaining -= 1
                advance()
            else:
                yield host, found[0]


# A host, and something found there in a tuple of one; None for its end, with why if it failed.
_Event = tuple[str, tuple[T] | None, Exception | None]


@contextmanager
def _results(given: Sequence[Task[T]], parallel: int) -> Iterator[queue.Queue[_Event[T]]]:
    """What the workers report. They end early if the block does."""
    events: queue.Queue[_Event[T]] = queue.Queue(_AHEAD)
    left = threading.Event()

    def report(event: _Event[T]) -> bool:
        while not left.is_set():
            try:
                events.put(event, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False

    def visit(task: Task[T]) -> None:
        problem: Exception | None = None
        try:
            with _at_work(task) as results:
                for found in results:
                    if not report((task.host, (found,), None)):
                        break  # nobody wants more
        except Exception as error:
            problem = error
        report((task.host, None, problem))

    waiting = iter(given)
    turn = threading.Lock()

    def visit_all() -> None:
        while not left.is_set():
            with turn:
                task = next(waiting, None)
            if task is None:
                return
            visit(task)

    try:
        for number in range(min(parallel, len(given))):
            # Whoever leaves early, as with Ctrl-C, does not wait for hosts that are silent, nor does the end of the
            # process: it would for the threads of an executor.
            threading.Thread(target=visit_all, name=f"openwmi-host-{number}", daemon=True).start()
        yield events
    finally:
        left.set()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Shows on a terminal how many of the hosts are done; gives what counts one more."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # What is written to the same terminal is to stand above the bar; what goes into a file is no business of the bar's.
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=False) as bar:
        task = bar.add_task("hosts", total=total)
        yield lambda: bar.advance(task)
