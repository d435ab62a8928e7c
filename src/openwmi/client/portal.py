"""The portal: a thread with an event loop, through which synchronous code runs asyncio's.

The loop and whatever runs in it end with the portal. It may be used from any thread but its own, and from several at a
time. Ctrl-C while `run` waits cancels what it waits for before it goes on; while `close` waits, it leaves the thread to
itself. A process that is forked off has the portal's object, but not its thread: it is told so, and needs its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from typing import Any, Final, Generic, TypeVar

from openwmi.errors import CallerError, DeadlineExceeded
from openwmi.status import WbemStatus

__all__ = ["Portal"]

_log = logging.getLogger("openwmi.client")

T = TypeVar("T")

# Seconds between two looks at whether the loop is still there, which another thread may close. On Windows only such a
# look notices Ctrl-C, too.
_TURN: Final = 0.2 if sys.platform == "win32" else 1.0
_GRACE: Final = 5.0  # seconds within which what Ctrl-C cancelled ends, or is left behind
_PATIENCE: Final = 30.0  # seconds within which the thread ends once it has been told to, or is left behind


class _Call(Generic[T]):
    """One piece of work on its way through the portal. Its methods run in the loop, `start` before `cancel`."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.done: Future[T] = Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._finished)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:  # the interrupt came before `start` was handed over
            self._work.close()
            self._cancelled()

    def _cancelled(self) -> None:
        self.done.cancel()
        self.done.set_running_or_notify_cancel()  # without it, nobody who waits is told

    def _finished(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._cancelled()
            return
        error = task.exception()
        if error is None:
            self.done.set_result(task.result())
        else:
            self.done.set_exception(error)


class Portal:
    """One loop in one thread of its own, for as long as it is open."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._stop: asyncio.Event | None = None
        self._cleanup: Callable[[], Awaitable[None]] | None = None
        self._where = ""
        self._failure: BaseException | None = None
        self._abandoned = False
        # Not the thread's `is_alive`: Python 3.11 takes a thread for dead once Ctrl-C has interrupted a `join`.
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._main, name="openwmi-portal", daemon=True)
        try:
            self._thread.start()
            self._loop = self._ready.result()
        except BaseException:
            # Ctrl-C: nobody gets this portal, so its thread need not wait for anybody.
            self._ready.add_done_callback(self._unwanted)
            raise

    def _unwanted(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        if ready.exception() is None and self._stop is not None:
            ready.result().call_soon_threadsafe(self._stop.set)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` in the loop and waits for it: what it returns, or raises."""
        problem = self._problem()
        if problem is not None:
            work.close()
            raise CallerError(problem)
        call = _Call(work)
        # All of it in the `try`: an interrupt may come between handing the work over and waiting for it, too.
        try:
            try:
                self._loop.call_soon_threadsafe(call.start)
            except RuntimeError:
                work.close()
                raise CallerError("the session is closed") from None
            while not wait((call.done,), _TURN).done:
                if self._over.is_set():
                    raise CallerError("the session was closed meanwhile")
            return call.done.result()
        except KeyboardInterrupt:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call.cancel)
            wait((call.done,), _GRACE)
            raise
        except CancelledError:
            raise CallerError("the session was closed meanwhile") from None

    def _problem(self) -> str | None:
        """Why nothing can be run from here, if that is so."""
        if not self._is_here:
            return (
                f"the session belongs to process {self._process}, from which this one was forked; its thread and its"
                " connection stayed there: call openwmi.connect in this process, too"
            )
        if threading.current_thread() is self._thread:
            return "this runs in the session's own event loop, which a blocking call would stop"
        return "the session is closed" if self._over.is_set() else None

    def at_end(self, cleanup: Callable[[], Awaitable[None]], where: str) -> None:
        """What the loop does last, whoever closes the portal; `where` is for the error if it takes too long."""
        self._cleanup = cleanup
        self._where = where

    def close(self) -> None:
        """Does what is to be done at the end, stops the loop and waits for the thread. A second time does nothing.

        Raises what `at_end`'s cleanup raised, and `DeadlineExceeded` for one that takes more than half a minute.
        """
        self._end()
        if threading.current_thread() is not self._thread:
            if not self._ended():
                message = f"{self._where}: the session did not end in {_PATIENCE:g} s and is left to end by itself"
                raise DeadlineExceeded(message, status=WbemStatus.WBEM_E_TIMED_OUT)
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure

    def abandon(self) -> None:
        """The same for a portal that nobody uses any more, and that nobody waits for: what fails goes to the log.

        The garbage collector runs in any thread, that of an event loop too. Only at the interpreter's exit, when the
        main thread is done, is the end waited for: nothing runs after it.
        """
        self._abandoned = True
        self._end()
        if not threading.main_thread().is_alive() and threading.current_thread() is not self._thread:
            self._ended()

    def _ended(self) -> bool:
        """Waits for the thread's end; whether it came. Ctrl-C ends the wait."""
        if not self._is_here:
            return True
        until = time.monotonic() + _PATIENCE
        while not self._over.wait(_TURN):
            if time.monotonic() > until:
                return False
        self._thread.join()
        return True

    def _end(self) -> None:
        if self._is_here and not self._over.is_set() and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended in between
                self._loop.call_soon_threadsafe(self._stop.set)

    @property
    def _is_here(self) -> bool:
        """Whether this is the process that the thread is in."""
        return os.getpid() == self._process

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)  # no loop could be made
            elif self._abandoned:
                _log.warning("a session that was not closed could not give everything back: %s", error)
            else:
                self._failure = error
        finally:
            self._over.set()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._ready.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        if self._cleanup is not None:
            await self._cleanup()
