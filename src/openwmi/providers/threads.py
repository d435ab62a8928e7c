"""Threads for code that may block, and may never come back.

Daemon threads, so that one that hangs does not hold up the end of the process, and few of them per owner, so that one
owner's hanging code harms nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["WorkerThreads"]

_IDLE_SECONDS: Final = 10.0

T = TypeVar("T")


class WorkerThreads:
    """At most `limit` threads that run functions on behalf of the event loop. They start and end as needed."""

    def __init__(self, name: str, limit: int) -> None:
        if limit < 1:
            raise ValueError("a pool needs at least one thread")
        self._name = name
        self._limit = limit
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def run(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Runs `function(*arguments)` in a thread. Cancelling the future drops a job that has not begun."""
        loop = asyncio.get_running_loop()
        job = _Job(loop, loop.create_future(), function, arguments)
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the threads of {self._name} are closed")
            self._jobs.append(job)
            if self._idle < len(self._jobs) and self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            else:
                self._changed.notify()
        return job.future

    @property
    def closed(self) -> bool:
        """Whether no more jobs are taken."""
        return self._closed

    def close(self) -> None:
        """Lets idle threads end, and busy ones when they are through; jobs that wait are dropped."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._idle += 1
                    awoken = not self._closed and self._changed.wait(_IDLE_SECONDS)
                    self._idle -= 1
                    if not self._jobs and (self._closed or not awoken):
                        self._threads -= 1
                        return
                job = self._jobs.popleft()
            job.run()


class _Job:
    """One function to run, and the loop that waits for it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        self.loop = loop
        self.future = future
        self.function = function
        self.arguments = arguments

    def run(self) -> None:
        if self.future.cancelled():
            return
        result: Any = None
        problem: BaseException | None = None
        try:
            result = self.function(*self.arguments)
        except (StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # A future cannot hold the first, and the others would end more than this job.
            problem = RuntimeError(f"{type(error).__name__} was raised")
            problem.__cause__ = error
        except BaseException as error:  # it belongs to whoever waits
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._finish, result, problem)

    def _finish(self, result: Any, problem: BaseException | None) -> None:
        if self.future.cancelled():
            return
        if problem is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(problem)
