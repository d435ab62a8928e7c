"""Namespaces over a log-on that is made again when its connection has ended.

What may be sent twice and what may not is decided here, and only here. An operation that changes nothing
(`Request.REPEATABLE`) is started once more, over a new log-on, if the connection ended before it gave its first result.
Everything else is sent once, whatever happens: nobody knows whether the server did it before the connection ended. What
comes after such an end, read or write, finds a new log-on.

A log-on that was lost is given back once the operations that still run over it have ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from openwmi.cim.notices import Message, Question
from openwmi.cim.operation import Operation, Outcome, Progress
from openwmi.cim.operations import CallContext, Operations, Request
from openwmi.client.session import AsyncSession
from openwmi.errors import CallerError, ConnectError, ConnectionLost, DeadlineExceeded, Error, Stage, TransportError

__all__ = ["ReconnectingNamespaces"]

_log = logging.getLogger("openwmi.client")


def _is_gone(error: Error | None) -> bool:
    """Whether an error says that there is no connection any more, or that none could be made, within its time too."""
    if isinstance(error, DeadlineExceeded):
        return error.stage in (Stage.CONNECT, Stage.BIND)
    return isinstance(error, ConnectionLost | ConnectError)


class _LogOn:
    """One session below, and the operations that run over it."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self._failed = False
        self._running: set[Operation] = set()

    @property
    def is_lost(self) -> bool:
        """Whether something new had better go another way."""
        return self._failed or self.session.lost

    @property
    def is_used(self) -> bool:
        """Whether an operation runs over it."""
        return bool(self._running)

    async def operations(self, namespace: str) -> Operations:
        """A namespace's operations."""
        try:
            return await self.session.operations_in(namespace)
        except TransportError as error:
            self._failed |= _is_gone(error)
            raise

    async def start(self, namespace: str, request: Request, context: CallContext) -> Operation:
        """Starts an operation, once. Its end, too, may tell that the connection is gone."""
        operations = await self.operations(namespace)
        try:
            operation = await operations.start(request, context)
        except TransportError as error:
            self._failed |= _is_gone(error)
            raise

        def ended(outcome: Outcome) -> None:
            self._running.discard(operation)
            self._failed |= _is_gone(outcome.error)

        self._running.add(operation)
        operation.on_finish(ended)
        return operation

    async def end_operations(self) -> None:
        """Cancels what runs, and waits until it has given back what it holds."""
        for operation in tuple(self._running):
            await operation.close()


class ReconnectingNamespaces:
    """`openwmi.cim.operations.Namespaces` over the sessions that `open_session` opens, one after another.

    `open_session` takes the namespace to begin with. In the end it is closed, or handed on.
    """

    def __init__(self, open_session: Callable[[str], Awaitable[AsyncSession]]) -> None:
        self._open_session = open_session
        self._turn = asyncio.Lock()
        self._current: _LogOn | None = None
        self._lost: list[_LogOn] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def is_lost(self) -> bool:
        """Whether there is no log-on, or none that works."""
        return self._current is None or self._current.is_lost

    async def session(self, namespace: str, close: Callable[[], Awaitable[None]]) -> AsyncSession:
        """A session in a namespace, which `close` ends. Raises what opening it raises."""
        context = (await self.log_on(namespace)).session.context
        return AsyncSession(self, await self.connect(namespace, context), context, close)

    async def connect(self, namespace: str | None, context: CallContext) -> Operations:
        """The operations of a namespace. Raises what opening it raises."""
        name = namespace or ""
        log_on = await self.log_on(name)
        try:
            await log_on.operations(name)
        except TransportError as error:
            if not _is_gone(error):
                raise
            await (await self.log_on(name)).operations(name)
        return _ReconnectingNamespace(self, name)

    async def log_on(self, namespace: str) -> _LogOn:
        """The log-on for something new: a new one if the last one is lost. `CallerError` after the end."""
        async with self._turn:
            if self._closed:
                raise CallerError("the session is closed")
            if self._current is not None and self._current.is_lost:
                self._lost.append(self._current)
                self._current = None
            self._sweep()
            if self._current is None:
                self._current = _LogOn(await self._open_session(namespace))
            return self._current

    def _sweep(self) -> None:
        """Gives lost log-ons back that nothing runs over any more. Nobody waits for what may be slow to answer."""
        for each in self._lost:
            if not each.is_used:
                task = asyncio.get_running_loop().create_task(_close(each))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._lost = [each for each in self._lost if each.is_used]

    async def hand_on(self) -> ReconnectingNamespaces:
        """The log-on for somebody else: what still runs over it is cancelled, and nothing starts here any more."""
        successor = ReconnectingNamespaces(self._open_session)
        async with self._turn:
            self._closed = True
            successor._current, self._current = self._current, None
        if successor._current is not None:
            await successor._current.end_operations()
        await self.close()
        return successor

    async def close(self) -> None:
        """Gives every log-on back, with whatever still runs over it."""
        async with self._turn:
            self._closed = True
            everything = [*self._lost, *([self._current] if self._current is not None else [])]
            self._lost, self._current = [], None
            for each in everything:
                await _close(each)
            if self._closing:
                await asyncio.wait(self._closing)


async def _close(log_on: _LogOn) -> None:
    try:
        await log_on.session.close()
    except Error as error:
        _log.info("%r could not be closed: %s", log_on.session, error)


class _ReconnectingNamespace:
    """`openwmi.cim.operations.Operations` of one namespace."""

    def __init__(self, connection: ReconnectingNamespaces, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The namespace's name as it was asked for."""
        return self._namespace

    async def start(self, request: Request, context: CallContext) -> Operation:
        """Starts an operation; one that changes nothing once more if the connection ends before it has begun."""
        log_on = await self._connection.log_on(self._namespace)
        if not request.REPEATABLE:
            return await log_on.start(self._namespace, request, context)
        try:
            running, may_repeat = await log_on.start(self._namespace, request, context), True
        except TransportError as error:
            if not _is_gone(error):
                raise
            running, may_repeat = await self._again(request, context), False

        async def relay(relayed: Operation) -> None:
            outcome, gave = await _pass_on(running, relayed)
            if may_repeat and not gave and _is_gone(outcome.error):
                outcome, _ = await _pass_on(await self._again(request, context), relayed)
            relayed.finish(outcome)

        return await Operation(request, context).begin(relay)

    async def _again(self, request: Request, context: CallContext) -> Operation:
        log_on = await self._connection.log_on(self._namespace)
        return await log_on.start(self._namespace, request, context)

    async def open_namespace(self, path: str | None, context: CallContext) -> Operations:
        """A child of this namespace."""
        return await self._connection.connect(f"{self._namespace}\\{path}", context)


async def _pass_on(running: Operation, relayed: Operation) -> tuple[Outcome, bool]:
    """Hands on everything that `running` gives, but not its end; that, and whether it gave a result."""
    gave = False
    async with running:
        while not isinstance(event := await running.next_event(), Outcome):
            if isinstance(event, Progress | Message | Question):
                relayed.report(event)
                continue
            gave = True
            await relayed.deliver(event)
    return event, gave
