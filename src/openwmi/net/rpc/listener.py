"""`RpcListener`: one listening port or Unix socket, and the connections of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from openwmi.dcom.peer import Caller, Peer, Refused
from openwmi.errors import AuthenticationError, ConnectionLost, DeadlineExceeded, PeerError, TransportError
from openwmi.net.guard import Guests, RefusalLog, connection_budget
from openwmi.net.rpc.streams import READ, address_of, close, pump, send
from openwmi.net.unixsockets import user_at_the_other_end
from openwmi.rpc import (
    AssociationGroups,
    AuthenticationNeeded,
    CallCancelled,
    CallOrphaned,
    ConnectionBroken,
    ConnectionLimits,
    Event,
    RequestReceived,
    ServerConnection,
    Traffic,
)
from openwmi.security.context import Acceptors, AuthenticationLevel, ImpersonationLevel
from openwmi.security.principals import Principal
from openwmi.security.throttle import Throttle
from openwmi.status import HResult

__all__ = ["RpcListener"]

_log = logging.getLogger("openwmi.net")


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


@dataclass(frozen=True, slots=True)
class _Resident:
    """A user of this machine, who has come through a Unix socket: the number, and whom that is here, if anybody."""

    user: int
    principal: Principal | None


def _name_of(user: int) -> str:
    """Where the connections of one user of this machine come from: each has a share of its own, as an address has."""
    return f"the user {user}"


class RpcListener:
    """One listening port of a `Peer`, or one Unix socket.

    `interfaces` is what a bind may name here. `throttle` slows down wrong passwords, over all listeners that share it.
    At most `max_connections` are served at a time (None: as many as the process may have files for half of); for one
    more, the oldest that has not authenticated has to go. `traffic` counts, for all that share it. With `residents` it
    is for a Unix socket, where nobody authenticates: they say whom the user at the other end is here, by the number
    that the system gives.
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
        traffic: Traffic | None = None,
        residents: Callable[[int], Awaitable[Principal | None]] | None = None,
    ) -> None:
        self.peer = peer
        self.interfaces = interfaces
        self.acceptors = acceptors
        self.throttle = throttle
        self.limits = limits or ConnectionLimits()
        self.groups = AssociationGroups()
        self.traffic = Traffic() if traffic is None else traffic
        self.port = 0
        self.guests = Guests(connection_budget() if max_connections is None else max_connections)
        self.refusals = RefusalLog(_log)
        self._residents = residents
        self._server: asyncio.Server | None = None
        self._sessions = _Tasks()
        self._closed = False

    async def start(self, address: str, port: int) -> int:
        """Listens; the port, which is a free one for 0. `OSError` if the port cannot be had."""
        self._server = await asyncio.start_server(self._accept, address, port, limit=READ)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def start_unix(self, bound: socket.socket) -> None:
        """Listens at a Unix socket, which is closed with the listener."""
        self._server = await asyncio.start_unix_server(self._accept, sock=bound, limit=READ)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:  # it was accepted just before
            writer.transport.abort()
            return
        user = None if self._residents is None else user_at_the_other_end(writer.get_extra_info("socket"))
        source = address_of(writer, "peername") if user is None else _name_of(user)
        now = time.monotonic()
        suspect = self.throttle.suspects(source, now)
        task = self._sessions.start(self._serve(reader, writer, user))
        if not self.guests.admit(writer, source, lambda: self._send_away(writer, source, task), suspect=suspect):
            self.refusals.warning(source, now, "refused a connection from %s: there are too many", source)
            task.cancel()
            writer.transport.abort()
            return
        task.add_done_callback(lambda _: self._left(writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: int | None) -> None:
        resident = None
        if self._residents is not None and user is not None:
            resident = _Resident(user, await self._residents(user))
            source = _name_of(user)
            if resident.principal is not None and not self.guests.known(writer, source):
                message = "refused a connection of %s: it has %d already"
                self.refusals.warning(source, time.monotonic(), message, source, self.guests.share)
                return
        await _ServedConnection(self, reader, writer, resident).run()

    def _send_away(self, writer: asyncio.StreamWriter, source: str, task: asyncio.Task[None]) -> None:
        """Ends a connection that has not authenticated, for one that has just come, whatever it waits for."""
        message = "closed the oldest connection of %s without authentication: there are too many"
        self.refusals.warning(source, time.monotonic(), message, source)
        writer.transport.abort()
        task.cancel()

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

    def __init__(
        self,
        listener: RpcListener,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        resident: _Resident | None,
    ) -> None:
        self._listener = listener
        self._reader = reader
        self._writer = writer
        self._resident = resident
        self._address = address_of(writer, "peername")
        self._local_address = address_of(writer, "sockname")
        # Whose refusals are counted together, and whose associations are shared.
        self._source = self._address if resident is None else _name_of(resident.user)
        self._machine = ServerConnection(
            listener.interfaces,
            now=time.monotonic(),
            limits=listener.limits,
            auth_types=frozenset(listener.acceptors.providers if resident is None else ()),
            groups=listener.groups,
            client=self._source,
            traffic=listener.traffic,
            secondary_address=str(listener.port),
            known=resident is not None and resident.principal is not None,
        )
        self._tasks = _Tasks()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._resumed = asyncio.Event()

    async def run(self) -> None:
        """Serves the connection to its end."""
        try:
            await pump(self._machine, self._reader, self._handle, self._flush, self._until_resumed)
        except (OSError, DeadlineExceeded) as error:
            # The machine knows of no end yet.
            self._handle(self._machine.peer_closed(ConnectionLost(str(error))))
        finally:
            await self._tasks.stop()
            self._machine.close()
            self._listener.peer.exporter.connection_closed(self, time.monotonic())
            await close(self._writer)

    async def _flush(self) -> None:
        await send(self._machine, self._writer, self._turn)

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
                case ConnectionBroken(reason, undone):
                    self._broken(reason, undone)

    def _broken(self, reason: PeerError, undone: str) -> None:
        """Says why the connection is over; that a client has left when it was done is no news."""
        if isinstance(reason, ConnectionLost) and not undone:
            _log.debug("the connection from %s ended: %s", self._source, reason)
            return
        message = "closed the connection from %s: %s"
        if undone:
            message += f", {undone}"
        # What a client was doing when the time was up is no news of a server.
        why = reason.message if isinstance(reason, TransportError) else reason
        self._listener.refusals.info(self._source, time.monotonic(), message, self._source, why)

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
            if listener.guests.known(self._writer, claimed.casefold()):
                return None
            problem, wait = f"this account has {listener.guests.share} connections already", 0.0
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
                self._source, time.monotonic(), "refused a call of %s: %s", caller, refusal.reason
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
        resident = self._resident
        if resident is not None:
            # Nobody reads or changes what goes through this machine's own memory.
            return Caller(
                principal=resident.principal,
                level=AuthenticationLevel.PRIVACY,
                impersonation=ImpersonationLevel.IMPERSONATE,
                address=self._address,
                connection=self,
                local_address=self._local_address,
                user=resident.user,
            )
        security = request.security
        return Caller(
            principal=None if security is None else security.peer,
            level=request.level,
            impersonation=ImpersonationLevel.ANONYMOUS if security is None else security.impersonation_level,
            address=self._address,
            connection=self,
            local_address=self._local_address,
        )
