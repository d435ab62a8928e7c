"""`AsyncPool`: sessions for those who come and go, over log-ons that stay.

    async with openwmi.aio.Pool(limit=4) as pool:
        async with await pool.connect("dcom://administrator@server", password=...) as session:
            await session.delete_instance(path)

A session of a pool has a log-on for itself as long as it is open. Closing the session cancels what still runs over it,
and hands the log-on to whoever asks the pool next for the same host as the same user with the same settings, in
whichever namespace. A host has `limit` log-ons from a pool at most; who comes when all of them are in use waits, in
turn, within the time-out of `connect`. What nobody has used for `idle` seconds is given back.

A log-on whose connection has ended is made anew, by the rule in `openwmi.client.reconnecting`: what reads may be sent
twice, what writes never is.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Final, ParamSpec
from weakref import WeakValueDictionary

from openwmi import aio
from openwmi.cim.operation import undisturbed
from openwmi.client.reconnecting import ReconnectingNamespaces
from openwmi.client.session import AsyncSession
from openwmi.client.urls import Target, parse_url
from openwmi.errors import CallerError, DeadlineExceeded, InvalidParameter, Stage, stage_of
from openwmi.status import WbemStatus

__all__ = ["IDLE", "LIMIT", "AsyncPool"]

P = ParamSpec("P")

LIMIT: Final = 8  # log-ons for each host
IDLE: Final = 60.0  # seconds


@dataclass(eq=False)
class _Host:
    """One host's log-ons: how many more may be in use, and those that nobody uses, the newest last."""

    free: asyncio.Semaphore
    idle: deque[_Slot] = field(default_factory=deque)


@dataclass(eq=False)
class _Slot:
    """A log-on with what it was made from. It is as good as another one of the same settings.

    `lent` is what the session has that uses it now.
    """

    host: _Host
    settings: dict[str, Any]
    namespaces: ReconnectingNamespaces
    lent: ReconnectingNamespaces | None = None
    expiry: asyncio.TimerHandle | None = None


def pooled(
    original: Callable[P, Coroutine[Any, Any, AsyncSession]],
) -> Callable[Concatenate[AsyncPool, P], Coroutine[Any, Any, AsyncSession]]:
    """`connect` as a pool has it: with the parameters of `original`, which opens what is not there yet."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    async def connect(self: AsyncPool, /, *arguments: P.args, **named: P.kwargs) -> AsyncSession:
        given = signature.bind(*arguments, **named)
        given.apply_defaults()
        return await self._connect(original, {"url": given.args[0], **given.kwargs})

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    connect.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what `help` and editors show
        parameters=[itself, *signature.parameters.values()]
    )
    return connect


class AsyncPool:
    """Log-ons for reuse, `limit` for each host; see the module. Closing it ends its sessions, too."""

    connect = pooled(aio.connect)

    def __init__(self, *, limit: int = LIMIT, idle: float = IDLE) -> None:
        """`idle` is in seconds. Raises `InvalidParameter`."""
        if limit < 1:
            raise InvalidParameter(f"limit={limit}: at least one log-on for each host")
        if idle < 0:
            raise InvalidParameter(f"idle={idle}: seconds, and not less than 0")
        self._limit = limit
        self._idle = idle
        # A host is there as long as somebody waits for it, or it has a log-on: the timer of an idle one holds it.
        self._hosts: WeakValueDictionary[Target, _Host] = WeakValueDictionary()
        self._used: set[_Slot] = set()
        self._opening: set[asyncio.Timeout] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def _connect(
        self, original: Callable[..., Coroutine[Any, Any, AsyncSession]], arguments: dict[str, Any]
    ) -> AsyncSession:
        target = parse_url(arguments["url"])
        namespace = arguments["namespace"] or target.namespace or aio.DEFAULT_NAMESPACE
        host = self._hosts.setdefault(replace(target, user="", namespace=None), _Host(asyncio.Semaphore(self._limit)))
        settings = {**arguments, "url": replace(target, namespace=None), "locales": tuple(arguments["locales"])}
        del settings["namespace"]

        async def open_session(first: str) -> AsyncSession:
            return await original(**{**arguments, "locales": settings["locales"], "namespace": first})

        timeout, where = settings["timeout"], target.host or target.scheme
        expires = None if timeout is None else asyncio.get_running_loop().time() + timeout
        await self._admit(host, where, timeout)
        slot = self._idle_slot(host, settings) or _Slot(host, settings, ReconnectingNamespaces(open_session))
        slot.lent = lent = slot.namespaces
        self._used.add(slot)
        try:
            async with self._in_time(expires):
                await self._make_room(host)
                return await lent.session(namespace, functools.partial(self._give_back, slot, lent))
        except BaseException as error:
            await self._give_back(slot, lent)
            if not isinstance(error, TimeoutError):
                raise
            if self._closed:
                raise CallerError("the pool is closed") from None
            stage = stage_of(error) or Stage.LOGIN
            raise DeadlineExceeded.after(timeout, where, "no session", stage=stage) from None

    @asynccontextmanager
    async def _in_time(self, expires: float | None) -> AsyncIterator[None]:
        """Raises `TimeoutError` in the block at the deadline, or when the pool is closed."""
        async with asyncio.timeout_at(expires) as limit:
            self._opening.add(limit)
            try:
                yield
            finally:
                self._opening.discard(limit)

    async def _admit(self, host: _Host, where: str, timeout: float | None) -> None:
        """Waits until the host may have one more session. Raises `DeadlineExceeded`."""
        try:
            async with asyncio.timeout(timeout):
                await host.free.acquire()
        except TimeoutError:
            what, status = f"none of the pool's {self._limit} log-ons became free", WbemStatus.WBEM_E_TIMED_OUT
            raise DeadlineExceeded.after(timeout, where, what, stage=Stage.LOGIN, status=status) from None
        if self._closed:
            host.free.release()
            raise CallerError("the pool is closed")

    def _idle_slot(self, host: _Host, settings: dict[str, Any]) -> _Slot | None:
        """The log-on with these settings that was used last."""
        found = next((each for each in reversed(host.idle) if each.settings == settings), None)
        if found is not None:
            self._wake(found)
        return found

    async def _make_room(self, host: _Host) -> None:
        """Gives idle log-ons of other settings back until the host has no more than it may."""
        while host.idle and len(host.idle) + sum(each.host is host for each in self._used) > self._limit:
            oldest = host.idle[0]
            self._wake(oldest)
            await oldest.namespaces.close()

    def _wake(self, slot: _Slot) -> None:
        """It is idle no more."""
        slot.host.idle.remove(slot)
        if slot.expiry is not None:
            slot.expiry.cancel()

    async def _give_back(self, slot: _Slot, lent: ReconnectingNamespaces | None) -> None:
        """The end of the session that was `lent` a log-on; a second time does nothing."""
        if lent is not None and slot.lent is lent:
            slot.lent = None
            await undisturbed(self._take_back(slot))

    async def _take_back(self, slot: _Slot) -> None:
        try:
            if not self._closed and not slot.namespaces.is_lost:
                slot.namespaces = await slot.namespaces.hand_on()
            if self._closed or slot.namespaces.is_lost:
                await slot.namespaces.close()
            else:
                slot.host.idle.append(slot)
                slot.expiry = asyncio.get_running_loop().call_later(self._idle, self._expire, slot)
        finally:
            # Up to here it counts as used: a host never has more log-ons than its limit, not even for a moment.
            self._used.remove(slot)
            slot.host.free.release()

    def _expire(self, slot: _Slot) -> None:
        """Nobody has come for it."""
        self._wake(slot)
        task = asyncio.get_running_loop().create_task(slot.namespaces.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Gives every log-on back, also those in use: what runs over them ends, and the pool takes no more."""
        self._closed = True
        for limit in self._opening:
            if not limit.expired():
                limit.reschedule(0.0)  # now
        for host in self._hosts.values():
            for slot in tuple(host.idle):
                self._expire(slot)
        for slot in tuple(self._used):
            await self._give_back(slot, slot.lent)
        if self._closing:
            await asyncio.wait(self._closing)

    async def __aenter__(self) -> AsyncPool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        idle = sum(len(host.idle) for host in self._hosts.values())
        return f"<{type(self).__name__} with {len(self._used)} sessions, {idle} idle log-ons>"
