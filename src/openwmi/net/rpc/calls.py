"""One connection of a client: its calls by number, and what waits for a bind or alter_context."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from uuid import UUID

from openwmi.dcom.bindings import Endpoint
from openwmi.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DecodeError,
    Error,
    PeerError,
    ProtocolError,
    RpcFault,
    Stage,
    TransportError,
)
from openwmi.net.rpc.streams import address_of, close, pump, send
from openwmi.rpc import (
    AlterRefused,
    AuthenticationNeeded,
    BindRefused,
    Bound,
    ClientConnection,
    ConnectionBroken,
    ConnectionLimits,
    ContextRejected,
    Event,
    FaultReceived,
    NakReason,
    ResponseReceived,
    SyntaxId,
)
from openwmi.security.context import AuthenticationLevel, SecurityContext
from openwmi.status import HResult

__all__ = ["CallingConnection"]

_log = logging.getLogger("openwmi.net")


class CallingConnection:
    """One connection to a server: its calls by number, and what waits for a bind or alter_context."""

    def __init__(
        self,
        endpoint: Endpoint,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: ConnectionLimits | None,
        lost: Callable[[Endpoint, PeerError], None],
    ) -> None:
        self._endpoint = endpoint
        self._writer = writer
        self._lost = lost
        self._closing = False
        self.local_address = address_of(writer, "sockname")
        self._machine = ClientConnection(now=time.monotonic(), limits=limits)
        self._calls: dict[int, asyncio.Future[tuple[bytes, bool]]] = {}
        # Whoever waits for a bind or an alter_context, in the order in which they are answered.
        self._negotiations: deque[asyncio.Future[None]] = deque()
        self._bound = False
        self._reason: PeerError | None = None
        self._turn = asyncio.Lock()
        self._altering = asyncio.Lock()
        self._resumed = asyncio.Event()
        self._stepping: asyncio.Task[None] | None = None
        self._reading = asyncio.get_running_loop().create_task(self._run(reader))

    @property
    def broken(self) -> bool:
        """Whether the connection has ended."""
        return self._reason is not None

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._calls and not self._negotiations

    async def _run(self, reader: asyncio.StreamReader) -> None:
        try:
            await pump(self._machine, reader, self._handle, self._flush, self._until_resumed)
        except (OSError, Error) as error:
            self._end(self._explained(ConnectionLost(str(error))))
        finally:
            self._end(ConnectionLost(f"{self._endpoint}: the connection was closed"))
            # Nobody may come to close a connection that has ended by itself.
            self._writer.close()

    async def _flush(self) -> None:
        try:
            await send(self._machine, self._writer, self._turn)
        except OSError as error:
            raise ConnectionLost(f"{self._endpoint}: {error}") from error

    async def bind(self, syntax: SyntaxId, security: SecurityContext | None, level: AuthenticationLevel) -> None:
        """Binds the first interface and authenticates."""
        await self._negotiate(lambda: self._machine.bind([syntax], security=security, level=level))

    async def presentation(self, syntax: SyntaxId) -> int:
        """The number of an interface on this connection, added to it if need be."""
        async with self._altering:
            number = self._machine.presentation_of(syntax)
            if number is None:
                await self._negotiate(lambda: self._machine.alter_context([syntax]))
                number = self._machine.presentation_of(syntax)
        if number is None:
            raise RpcFault(HResult.RPC_S_UNKNOWN_IF, f"{self._endpoint} does not offer the interface {syntax.uuid}")
        return number

    async def _negotiate(self, begin: Callable[[], list[Event]]) -> None:
        self._check()
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._negotiations.append(waiting)
        self._handle(begin())
        await self._flush()
        await waiting

    async def call(
        self, presentation: int, opnum: int, stub: bytes, object_uuid: UUID | None, name: str
    ) -> tuple[bytes, bool]:
        """One call; the answer's stub and byte order."""
        self._check()
        call_id = self._machine.request(presentation, opnum, stub, object_uuid=object_uuid)
        answer = self._calls[call_id] = asyncio.get_running_loop().create_future()
        try:
            await self._flush()
            result: tuple[bytes, bool] = await answer
            return result
        except OSError as error:
            raise ConnectionLost(f"{self._endpoint}: {name}: {error}") from error
        finally:
            del self._calls[call_id]
            if answer.cancelled() or not answer.done():
                self._handle(self._machine.orphan(call_id))
                # At once: whoever is being cancelled cannot wait for a flush.
                self._writer.write(self._machine.data_to_send())

    def _check(self) -> None:
        if self._reason is not None:
            raise self._reason

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case ResponseReceived(call_id, stub, little_endian):
                    self._answer(call_id, (stub, little_endian))
                case FaultReceived(call_id, status):
                    self._answer(call_id, RpcFault(status))
                case AuthenticationNeeded():
                    self._stepping = asyncio.get_running_loop().create_task(self._authenticate(event))
                case Bound():
                    self._bound = True
                    self._negotiated(None)
                case ContextRejected(interface=interface):
                    _log.debug("%s rejected the interface %s", self._endpoint, interface.uuid)
                case AlterRefused(status=status):
                    self._negotiated(RpcFault(status, "the server refused the alter_context"))
                case BindRefused(reason, status):
                    self._end(_bind_refused(self._endpoint, reason, status))
                case ConnectionBroken(reason):
                    self._end(self._explained(reason))

    def _explained(self, reason: PeerError) -> PeerError:
        """Why the connection broke, with the host's name; before the bind is answered, with what that may mean."""
        where = str(self._endpoint)
        if not self._bound and isinstance(reason, ProtocolError | DecodeError | ConnectionLost):
            message = f"{where}: the bind was not answered by RPC ({reason}); is this host's WMI on another port?"
            return ConnectError(message, stage=Stage.BIND)
        if isinstance(reason, TransportError):
            return type(reason)(f"{where}: {reason.message}", stage=reason.stage or Stage.CALL, status=reason.status)
        if isinstance(reason, AuthenticationError):
            return AuthenticationError(f"{where}: {reason}")
        return ProtocolError(f"{where}: {reason}")

    async def _until_resumed(self) -> None:
        """While a step of the authentication is taken nothing more is read."""
        while self._machine.paused:
            self._resumed.clear()
            await self._resumed.wait()

    async def _authenticate(self, event: AuthenticationNeeded) -> None:
        """One step of the authentication, and what follows from it."""
        context = event.context
        assert context is not None  # an initiator is there from the start
        try:
            # In a thread: it may ask a KDC, and nobody knows how long that takes.
            token = await asyncio.to_thread(context.step, event.token)
        except AuthenticationError as error:
            events = self._machine.authentication_failed(event.auth_context_id, str(error))
        else:
            events = self._machine.authenticated(event.auth_context_id, context, token)
        self._resumed.set()
        self._handle(events)
        try:
            await self._flush()
        except (OSError, Error) as error:
            self._end(self._explained(ConnectionLost(str(error), stage=Stage.BIND)))

    def _answer(self, call_id: int, answer: tuple[bytes, bool] | RpcFault) -> None:
        waiting = self._calls.get(call_id)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, RpcFault):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _negotiated(self, problem: PeerError | None) -> None:
        if not self._negotiations:
            return
        waiting = self._negotiations.popleft()
        if waiting.done():
            return
        if problem is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(problem)

    def _end(self, reason: PeerError) -> None:
        """The connection is over: whoever waits is told why, and so is whoever comes later."""
        if self._reason is not None:
            return
        self._reason = reason
        while self._negotiations:
            self._negotiated(reason)
        for waiting in self._calls.values():
            if not waiting.done():
                waiting.set_exception(reason)
        if not self._closing:
            self._lost(self._endpoint, reason)

    async def close(self) -> None:
        """Closes the connection."""
        self._closing = True
        self._end(ConnectionLost(f"{self._endpoint}: the connection was closed"))
        tasks = {self._reading} if self._stepping is None else {self._reading, self._stepping}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._machine.close()
        await close(self._writer)


def _bind_refused(endpoint: Endpoint, reason: int, status: int | None) -> PeerError:
    if status == HResult.ERROR_ACCESS_DENIED or reason in _NAK_AUTHENTICATION:
        return AuthenticationError(f"{endpoint} refused the bind: authentication failed")
    if status is not None:
        return RpcFault(status, f"{endpoint} refused the bind")
    names = {known.value: known.name.lower().replace("_", " ") for known in NakReason}
    message = f"{endpoint} refused the bind: {names.get(reason, 'an unknown reason')} ({reason})"
    return ConnectError(message, stage=Stage.BIND)


_NAK_AUTHENTICATION: Final = (NakReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED, NakReason.INVALID_CHECKSUM)
