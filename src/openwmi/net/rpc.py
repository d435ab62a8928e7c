"""RPC over TCP: the machines of `openwmi.rpc` on asyncio streams.

`RpcListener` serves a `Peer`'s calls; `RpcTransport` makes calls, over connections that it keeps. Here are the
sockets, the clock and the tasks, and nothing else: what a PDU means is the machines' business, who may call the
peer's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from uuid import UUID

from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.peer import Caller, Peer, Refused
from openwmi.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    Error,
    PeerError,
    ProtocolError,
    RpcFault,
)
from openwmi.net.guard import Guests, RefusalLog, connection_budget
from openwmi.rpc import (
    AlterRefused,
    AssociationGroups,
    AuthenticationNeeded,
    BindRefused,
    Bound,
    CallCancelled,
    CallOrphaned,
    ClientConnection,
    ConnectionBroken,
    ConnectionLimits,
    ContextRejected,
    Event,
    FaultReceived,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
    SyntaxId,
)
from openwmi.rpc.interface import Interface
from openwmi.security.context import (
    NTLM,
    SPNEGO,
    Acceptors,
    AuthenticationLevel,
    ImpersonationLevel,
    SecurityContext,
)
from openwmi.security.throttle import Throttle
from openwmi.status import HResult

__all__ = ["RpcListener", "RpcTransport"]

_log = logging.getLogger("openwmi.net")

# Little at a time, so that what one peer sends keeps the loop busy for some milliseconds at most.
_READ: Final = 32 * 1024
# How long a flush may wait for a peer that does not read.
_SEND_TIMEOUT: Final = 30.0


class _Tasks:
    """Tasks that belong together and end together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def stop(self) -> None:
        running = [t for t in self._running if t is not asyncio.current_task()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


class RpcListener:
    """One listening port of a `Peer`.

    `interfaces` is what a bind may name here. `throttle` slows down wrong passwords, over all listeners that share it.
    At most `max_connections` are served at a time (None: as many as the process may have files for half of); for one
    more, the oldest that has not authenticated has to go.
    """

    def __init__(
        self,
        peer: Peer,
        interfaces: Mapping[tuple[UUID, int], int],
        acceptors: Acceptors,
        *,
        throttle: Throttle,
        limits: ConnectionLimits | None = None,
        max_connections: int | None = None,
    ) -> None:
        self.peer = peer
        self.interfaces = interfaces
        self.acceptors = acceptors
        self.throttle = throttle
        self.limits = limits or ConnectionLimits()
        self.groups = AssociationGroups()
        self.port = 0
        self.guests = Guests(connection_budget() if max_connections is None else max_connections)
        self.refusals = RefusalLog(_log)
        self._server: asyncio.Server | None = None
        self._sessions = _Tasks()
        self._closed = False

    async def start(self, address: str, port: int) -> int:
        """Listens; the port, which is a free one for 0. `OSError` if the port cannot be had."""
        self._server = await asyncio.start_server(self._accept, address, port, limit=_READ)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:  # it was accepted just before
            writer.transport.abort()
            return
        address = _address(writer, "peername")
        now = time.monotonic()
        suspect = self.throttle.suspects(address, now)
        if not self.guests.admit(writer, address, writer.transport.abort, suspect=suspect):
            self.refusals.warning(address, now, "refused a connection from %s: there are too many", address)
            writer.transport.abort()
            return
        task = self._sessions.start(_ServedConnection(self, reader, writer).run())
        task.add_done_callback(lambda _: self._left(writer))

    def _left(self, writer: asyncio.StreamWriter) -> None:
        self.guests.left(writer)
        # A session that is cancelled before its first step never comes to close it.
        writer.close()

    async def close(self) -> None:
        """Stops listening and ends every connection."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        await self._sessions.stop()
        if self._server is not None:
            await self._server.wait_closed()


class _ServedConnection:
    """One client's connection."""

    def __init__(self, listener: RpcListener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._listener = listener
        self._reader = reader
        self._writer = writer
        self._address = _address(writer, "peername")
        self._local_address = _address(writer, "sockname")
        self._machine = ServerConnection(
            listener.interfaces,
            now=time.monotonic(),
            limits=listener.limits,
            auth_types=frozenset({NTLM, SPNEGO}),
            groups=listener.groups,
            secondary_address=str(listener.port),
        )
        self._tasks = _Tasks()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._resumed = asyncio.Event()

    async def run(self) -> None:
        """Serves the connection to its end."""
        try:
            await _pump(self._machine, self._reader, self._handle, self._flush, self._until_resumed)
        except (OSError, DeadlineExceeded) as error:
            _log.debug("the connection from %s ended: %s", self._address, error)
        finally:
            await self._tasks.stop()
            self._machine.close()
            self._listener.peer.exporter.connection_closed(self, time.monotonic())
            await _close(self._writer)

    async def _flush(self) -> None:
        await _send(self._machine, self._writer, self._turn)

    async def _until_resumed(self) -> None:
        """While an authentication is under way nothing more is read: what the peer sends presses back on it."""
        while self._machine.paused:
            self._resumed.clear()
            await self._resumed.wait()

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case RequestReceived():
                    self._tasks.start(self._serve(event))
                case AuthenticationNeeded():
                    self._tasks.start(self._authenticate(event))
                case CallOrphaned(call_id) | CallCancelled(call_id):
                    if call_id in self._calls:
                        self._calls[call_id].cancel()
                case ConnectionBroken(ConnectionLost() as reason):
                    _log.debug("the connection from %s ended: %s", self._address, reason)
                case ConnectionBroken(reason):
                    _log.info("closed the connection from %s: %s", self._address, reason)

    async def _authenticate(self, event: AuthenticationNeeded) -> None:
        """One step of an authentication exchange, and the answer; a wrong password's is late."""
        machine = self._machine
        context = event.context
        problem: str | None = None
        token = b""
        try:
            if context is not None:
                await self._await_slot()
            context = context or self._listener.acceptors.acceptor(event.auth_type, event.level)
            token = context.step(event.token)
        except AuthenticationError as error:
            problem = str(error)
        if problem is not None or (context is not None and context.complete):
            problem = await self._judged("" if context is None else context.claimed_name, problem)
        if problem is not None or context is None:
            events = machine.authentication_failed(event.auth_context_id, problem or "no context")
        else:
            events = machine.authenticated(event.auth_context_id, context, token)
        self._resumed.set()
        self._handle(events)
        with contextlib.suppress(OSError, DeadlineExceeded):
            await self._flush()

    async def _judged(self, claimed: str, problem: str | None) -> str | None:
        """The end of an attempt: why it is refused, after the time that a guesser has to wait; None if it is not.

        An account that has just failed from this address is refused whether or not the password was right, and
        without that counting as another failure.
        """
        listener, address, now = self._listener, self._address, time.monotonic()
        blocked = listener.throttle.blocked(claimed, address, now)
        if blocked:
            problem = f"this account has failed from this address; it is blocked for {max(blocked, 0.1):.1f} s"
            wait = min(blocked, 1.0)
        elif problem is not None:
            wait = listener.throttle.failed(claimed, address, now)
        else:
            listener.throttle.succeeded(claimed, address)
            listener.guests.known(self._writer)
            return None
        listener.refusals.warning(
            address, now, "refused %r from %s: authentication failed: %s", claimed, address, problem
        )
        await asyncio.sleep(wait)
        return problem

    async def _await_slot(self) -> None:
        """Waits until this attempt may be looked at: the attempts of an address that guesses come one by one."""
        wait = self._listener.throttle.slot(self._address, time.monotonic())
        if wait is None:
            raise AuthenticationError("too many attempts of this address are waiting")
        await asyncio.sleep(wait)

    async def _serve(self, request: RequestReceived) -> None:
        """One call, from the request to the response or fault."""
        peer, machine = self._listener.peer, self._machine
        caller = self._caller(request)
        task = asyncio.current_task()
        assert task is not None
        # Only from here on can it be cancelled: a task that never began would never answer.
        self._calls[request.call_id] = task
        try:
            stub = await peer.handle(
                request.interface.uuid,
                request.opnum,
                request.object_uuid,
                request.stub,
                caller,
                now=time.monotonic(),
                little_endian=request.little_endian,
            )
            machine.respond(request.call_id, stub)
        except Refused as refusal:
            self._listener.refusals.warning(
                self._address, time.monotonic(), "refused a call of %s: %s", caller, refusal.reason
            )
            machine.fault(request.call_id, refusal.status)
        except asyncio.CancelledError:
            machine.fault(request.call_id, HResult.RPC_S_CALL_CANCELLED)
            raise
        except Exception:
            _log.exception("a call of %s failed unexpectedly", caller)
            machine.fault(request.call_id, HResult.RPC_E_SERVERFAULT)
        finally:
            self._calls.pop(request.call_id, None)
            with contextlib.suppress(OSError, DeadlineExceeded):
                await self._flush()

    def _caller(self, request: RequestReceived) -> Caller:
        security = request.security
        return Caller(
            principal=None if security is None else security.peer,
            level=request.level,
            impersonation=ImpersonationLevel.ANONYMOUS if security is None else security.impersonation_level,
            address=self._address,
            connection=self,
            local_address=self._local_address,
        )


class RpcTransport:
    """Makes calls, over one connection for each endpoint: `openwmi.dcom.importer.Transport` on TCP.

    `initiator` makes a security context for a host, for every new connection; None calls without authentication.
    `connect_timeout` bounds each attempt to connect and bind, beside the call's own time-out. At most
    `max_connections` are kept, and as many attempted at a time; of those without a call, the one that was used longest
    ago goes first. `on_lost` is told of a connection that ends without being closed from here.
    """

    def __init__(
        self,
        initiator: Callable[[str], SecurityContext] | None,
        *,
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
        connect_timeout: float = 20.0,
        max_connections: int = 16,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._initiator = initiator
        self._level = level if initiator is not None else AuthenticationLevel.NONE
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._limits = limits
        self._connections: OrderedDict[Endpoint, _Connection] = OrderedDict()
        self._opening: dict[Endpoint, asyncio.Task[_Connection]] = {}
        self._attempts = asyncio.Semaphore(max_connections)
        self.on_lost: Callable[[Endpoint, PeerError], None] | None = None

    async def invoke(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None,
        timeout: float | None,
    ) -> tuple[bytes, bool]:
        """See `openwmi.dcom.importer.Transport`."""
        method = interface.method(opnum)
        name = method.qualified_name if method is not None else interface.name
        try:
            async with asyncio.timeout(timeout):
                connection, presentation = await self._reach(endpoints, SyntaxId(interface.uuid, interface.version))
                return await connection.call(presentation, opnum, stub, object_uuid, name)
        except TimeoutError:
            where = ", ".join(map(str, endpoints))
            raise DeadlineExceeded(f"{name}: no answer from {where} in {timeout:g} s", stage="call") from None

    @property
    def local_address(self) -> str | None:
        """The address from which the server is reached, once it has been."""
        return next((c.local_address for c in reversed(self._connections.values())), None)

    async def _reach(self, endpoints: tuple[Endpoint, ...], syntax: SyntaxId) -> tuple[_Connection, int]:
        """A connection to the first endpoint that answers, with the interface bound."""
        problems = []
        for endpoint in sorted(endpoints, key=lambda e: e not in self._connections):
            try:
                connection = await self._connection(endpoint, syntax)
                return connection, await connection.presentation(syntax)
            except ConnectError as error:
                problems.append(str(error))
        raise ConnectError("; ".join(problems) or "there is no endpoint to connect to", stage="connect")

    async def _connection(self, endpoint: Endpoint, syntax: SyntaxId) -> _Connection:
        """The connection to an endpoint: of several calls that want a new one, the first opens it for all."""
        opening = self._opening.get(endpoint)
        if opening is None:
            connection = self._connections.get(endpoint)
            if connection is not None and not connection.broken:
                self._connections.move_to_end(endpoint)
                return connection
            opening = asyncio.get_running_loop().create_task(self._attempt(endpoint, syntax))
            self._opening[endpoint] = opening
            opening.add_done_callback(lambda task: self._opened(endpoint, task))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled() and not _is_cancelled():
                raise ConnectionLost(f"{endpoint}: the transport was closed", stage="connect") from None
            raise

    def _opened(self, endpoint: Endpoint, task: asyncio.Task[_Connection]) -> None:
        self._opening.pop(endpoint, None)
        if not task.cancelled() and task.exception() is not None:
            # Whoever waited has been told; if all of them gave up meanwhile, this is the place to take note.
            _log.debug("%s: %s", endpoint, task.exception())

    async def _make_room(self) -> None:
        for endpoint, connection in list(self._connections.items())[:-1]:
            if len(self._connections) <= self._max_connections:
                return
            if connection.broken or connection.idle:
                del self._connections[endpoint]
                await connection.close()

    async def _attempt(self, endpoint: Endpoint, syntax: SyntaxId) -> _Connection:
        async with self._attempts:
            return await self._open(endpoint, syntax)

    async def _open(self, endpoint: Endpoint, syntax: SyntaxId) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_timeout):
                reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, limit=_READ)
        except TimeoutError:
            raise ConnectError(f"{endpoint}: no connection in {self._connect_timeout:g} s", stage="connect") from None
        except OSError as error:
            raise ConnectError(f"{endpoint}: {_reason(error)}; is a server running there?", stage="connect") from error
        connection = _Connection(endpoint, reader, writer, self._limits, self._lost)
        security = None if self._initiator is None else self._initiator(endpoint.host)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.bind(syntax, security, self._level)
        except TimeoutError:
            await connection.close()
            message = f"{endpoint}: the bind was not answered in {self._connect_timeout:g} s"
            raise ConnectError(message, stage="bind") from None
        except BaseException:
            await connection.close()
            raise
        self._connections[endpoint] = connection
        self._connections.move_to_end(endpoint)
        await self._make_room()
        return connection

    def _lost(self, endpoint: Endpoint, reason: PeerError) -> None:
        if self.on_lost is not None:
            self.on_lost(endpoint, reason)

    async def close(self) -> None:
        """Closes every connection."""
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        connections, self._connections = self._connections, OrderedDict()
        for connection in connections.values():
            await connection.close()


class _Connection:
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
        self.local_address = _address(writer, "sockname")
        self._machine = ClientConnection(now=time.monotonic(), limits=limits)
        self._calls: dict[int, asyncio.Future[tuple[bytes, bool]]] = {}
        # Whoever waits for a bind or an alter_context, in the order in which they are answered.
        self._negotiations: deque[asyncio.Future[None]] = deque()
        self._reason: PeerError | None = None
        self._turn = asyncio.Lock()
        self._altering = asyncio.Lock()
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
            await _pump(self._machine, reader, self._handle, self._flush, _at_once)
        except (OSError, Error) as error:
            self._end(ConnectionLost(f"{self._endpoint}: {error}", stage="call"))
        finally:
            self._end(ConnectionLost(f"{self._endpoint}: the connection was closed", stage="call"))
            # Nobody may come to close a connection that has ended by itself.
            self._writer.close()

    async def _flush(self) -> None:
        try:
            await _send(self._machine, self._writer, self._turn)
        except OSError as error:
            raise ConnectionLost(f"{self._endpoint}: {error}", stage="send") from error

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
            raise ConnectionLost(f"{self._endpoint}: {name}: {error}", stage="call") from error
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
                    self._step(event)
                case Bound():
                    self._negotiated(None)
                case ContextRejected(interface=interface):
                    _log.debug("%s rejected the interface %s", self._endpoint, interface.uuid)
                case AlterRefused(status=status):
                    self._negotiated(RpcFault(status, "the server refused the alter_context"))
                case BindRefused(reason, status):
                    self._end(_bind_refused(self._endpoint, reason, status))
                case ConnectionBroken(reason):
                    self._end(reason)

    def _step(self, event: AuthenticationNeeded) -> None:
        context = event.context
        assert context is not None  # an initiator is there from the start
        try:
            token = context.step(event.token)
        except AuthenticationError as error:
            self._handle(self._machine.authentication_failed(event.auth_context_id, str(error)))
        else:
            self._handle(self._machine.authenticated(event.auth_context_id, context, token))

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
        self._end(ConnectionLost(f"{self._endpoint}: the connection was closed", stage="call"))
        self._reading.cancel()
        await asyncio.wait({self._reading})
        self._machine.close()
        await _close(self._writer)


def _bind_refused(endpoint: Endpoint, reason: int, status: int | None) -> PeerError:
    if status == HResult.ERROR_ACCESS_DENIED or reason == _NAK_AUTHENTICATION:
        return AuthenticationError(f"{endpoint} refused the bind: authentication failed")
    return ProtocolError(f"{endpoint} refused the bind: reason {reason}, status {status}")


_NAK_AUTHENTICATION: Final = 8  # authentication type not recognized (MS-RPCE 2.2.2.5)


async def _pump(
    machine: ServerConnection | ClientConnection,
    reader: asyncio.StreamReader,
    handle: Callable[[list[Event]], None],
    flush: Callable[[], Coroutine[Any, Any, None]],
    resumed: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Feeds a machine what arrives, and the time, until it is closed."""
    while not machine.closed:
        await resumed()
        deadline = machine.next_timeout()
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        timer = asyncio.timeout(left)
        try:
            async with timer:
                data = await reader.read(_READ)
        except TimeoutError:
            if not timer.expired():  # the transport's own: it will never read again
                raise
            handle(machine.handle_timeout(time.monotonic()))
        else:
            if data:
                handle(machine.receive(data, time.monotonic()))
            else:
                handle(machine.peer_closed(ConnectionLost("the peer closed the connection", stage="call")))
        await flush()
        # A reader with data at hand and nothing to flush would not let go of the loop.
        await asyncio.sleep(0)


async def _send(machine: ServerConnection | ClientConnection, writer: asyncio.StreamWriter, turn: asyncio.Lock) -> None:
    """Sends what the machine has to send; a peer that does not read for 30 s is let go."""
    data = machine.data_to_send()
    if not data:
        return
    writer.write(data)
    async with turn:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT):
                await writer.drain()
        except TimeoutError:
            writer.transport.abort()
            raise DeadlineExceeded("the peer does not read what it is sent", stage="send") from None


async def _at_once() -> None:
    """A client takes its steps at once, so there is nothing to wait for."""


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(1.0):
            await writer.wait_closed()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reason(error: OSError) -> str:
    """What the system says; asyncio puts words of its own in the place of its text."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _address(writer: asyncio.StreamWriter, which: str) -> str:
    name = writer.get_extra_info(which)
    return str(name[0]) if name else "an unknown address"
