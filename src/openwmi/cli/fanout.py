"""The same work in several places at once: what is found comes as it comes, and what failed at the end."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Final, TypeVar

from openwmi.cli.target import Place, Where
from openwmi.client.sync import Session
from openwmi.errors import Error

__all__ = ["HostsFailed", "everywhere"]

T = TypeVar("T")

_AHEAD: Final = 1000  # results that wait for whoever writes them
_LOOK: Final = 0.2  # seconds after which a worker looks whether anybody still wants its results


class HostsFailed(Error):
    """Some of several hosts failed; `failures` are their names with why."""

    def __init__(self, failures: Sequence[tuple[str, Exception]], of: int) -> None:
        super().__init__(f"{len(failures)} of {of} hosts failed")
        self.failures = tuple(failures)


def everywhere(
    where: Where,
    work: Callable[[Session], Iterable[T]],
    write: Callable[[Iterator[tuple[str | None, T]]], None] = lambda found: None,
) -> None:
    """Has `write` write what `work` yields in every place, with the name of the place if there are several.

    Of several, one that fails does not keep the others from it: `HostsFailed` comes when all is written.
    """
    places = where.places()
    if len(places) == 1:
        with _at_work(places[0], work) as results:
            _exhaust(write, ((None, found) for found in results))
        return
    failures: list[tuple[str, Exception]] = []
    _exhaust(write, _gathered(places, work, where.parallel, failures))
    if failures:
        raise HostsFailed(sorted(failures, key=lambda failure: failure[0]), len(places))


@contextmanager
def _at_work(place: Place, work: Callable[[Session], Iterable[T]]) -> Iterator[Iterator[T]]:
    """What `work` yields in one place; what it holds is given back before the session ends."""
    with place.open() as session:
        results = iter(work(session))
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
    places: Sequence[Place],
    work: Callable[[Session], Iterable[T]],
    parallel: int,
    failures: list[tuple[str, Exception]],
) -> Generator[tuple[str | None, T], None, None]:
    """What is found in all places, as it comes; what goes wrong is added to `failures`."""
    with _results(places, work, parallel) as results, _progress(len(places)) as advance:
        remaining = len(places)
        while remaining:
            place, found, error = results.get()
            if error is not None:
                failures.append((place.name, error))
            if found is None:
                remaining -= 1
                advance()
            else:
                yield place.name, found[0]


# A place, and something found there in a tuple of one; None for its end, with why if it failed.
_Event = tuple[Place, tuple[T] | None, Exception | None]


@contextmanager
def _results(
    places: Sequence[Place], work: Callable[[Session], Iterable[T]], parallel: int
) -> Iterator[queue.Queue[_Event[T]]]:
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

    def visit(place: Place) -> None:
        problem: Exception | None = None
        try:
            if not left.is_set():
                with _at_work(place, work) as results:
                    for found in results:
                        if not report((place, (found,), None)):
                            break  # nobody wants more
        except Exception as error:
            problem = error
        report((place, None, problem))

    with ThreadPoolExecutor(min(parallel, len(places)), "openwmi-host") as pool:
        try:
            for place in places:
                pool.submit(visit, place)
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
