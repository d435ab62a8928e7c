"""What the two ends of a connection share: limits, events, framing, fragments and time.

`ServerConnection` (server.py) and `ClientConnection` (client.py) are machines without I/O. Octets and the time
go in by `receive`; octets to send come out of `data_to_send`, events and needs out of `receive` and of the calls
that let the machine go on. They read no clock: `now` is any steadily growing number of seconds. `next_timeout`
says when `handle_timeout` wants to be called. A machine whose `closed` is true wants what is in `data_to_send`
sent, and the transport closed.

Whatever a peer sends ends in events or in `ConnectionBroken`; nothing that it does raises.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from openwmi.errors import DeadlineExceeded, PeerError, ProtocolError, Stage
from openwmi.rpc.pdu import HEADER_SIZE, PacketFlag, Pdu, Request, Response, SyntaxId, fragment_length
from openwmi.rpc.protection import SecurityHandle, protect
from openwmi.security.context import AuthenticationLevel, SecurityContext

__all__ = [
    "AlterRefused",
    "AuthenticationNeeded",
    "BindRefused",
    "Bound",
    "CallCancelled",
    "CallOrphaned",
    "ConnectionBroken",
    "ConnectionLimits",
    "ContextAccepted",
    "ContextRejected",
    "Event",
    "FaultReceived",
    "RequestReceived",
    "ResponseReceived",
    "ShutdownRequested",
    "Traffic",
]

# C706 12.6.3.1, MustRecvFragSize: what every implementation takes.
MINIMUM_FRAGMENT: Final = 1432


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may cost. Sizes are octets, times are seconds; a time of None is unlimited.

    max_fragment: the largest fragment that is taken and offered; the peer may negotiate it down to 1,432.
    max_stub: a call's stub once the peer has authenticated (MS-RPCE 3.3.3.5.4 recommends 4 MiB), and
    max_stub_unauthenticated before.
    max_presentation_contexts, max_security_contexts: per connection; max_incomplete_contexts bounds those of the
    security contexts that have failed or are not complete, and so the guesses of a password on one connection.
    max_calls: calls that are not answered yet.
    max_unauthenticated_pdus: what a peer may send before it has authenticated: a bind, its legs, a few ServerAlive.
    max_strays: cancels and orphaned PDUs about calls that are not there; a race makes a few, nobody makes many.
    max_held: octets kept while the machine waits for `authenticated`.
    unauthenticated_timeout: from the connection to the first authentication; whoever stays anonymous has no longer.
    handshake_timeout: from the connection to the end of the bind. transfer_timeout: for one fragment, once it
    has begun, and for the wait between two fragments of a call. call_timeout: for all fragments of a call.
    idle_timeout: without a call and without a PDU.
    """

    max_fragment: int = 65528
    max_stub: int = 4 * 1024 * 1024
    max_stub_unauthenticated: int = 64 * 1024
    max_presentation_contexts: int = 4000
    max_security_contexts: int = 2048
    max_incomplete_contexts: int = 8
    max_calls: int = 256
    max_unauthenticated_pdus: int = 64
    max_strays: int = 1000
    max_held: int = 256 * 1024
    unauthenticated_timeout: float | None = 30.0
    handshake_timeout: float | None = 30.0
    transfer_timeout: float | None = 30.0
    call_timeout: float | None = 300.0
    idle_timeout: float | None = 3600.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the machine's owner has to know or to do."""


@dataclass(frozen=True, slots=True)
class AuthenticationNeeded(Event):
    """A step of an authentication exchange is to be taken: ``out = context.step(token)``, then `authenticated`.

    `context` is None at the first leg on a server, which makes an acceptor for `auth_type` and `level`.
    """

    auth_context_id: int
    auth_type: int
    level: AuthenticationLevel
    token: bytes
    context: SecurityContext | None = None


@dataclass(frozen=True, slots=True)
class RequestReceived(Event):
    """A whole call, to be answered with `respond` or `fault`.

    `level` is NONE and `security` None for a call without authentication: whether it is served is for the
    interface to decide.
    """

    call_id: int
    interface: SyntaxId
    opnum: int
    object_uuid: UUID | None
    stub: bytes
    level: AuthenticationLevel
    security: SecurityContext | None
    little_endian: bool = True


@dataclass(frozen=True, slots=True)
class CallCancelled(Event):
    """The client would like the call to end early; it still expects an answer."""

    call_id: int


@dataclass(frozen=True, slots=True)
class CallOrphaned(Event):
    """The client wants no answer to the call; `respond` and `fault` will send none."""

    call_id: int


@dataclass(frozen=True, slots=True)
class Bound(Event):
    """A bind or an alter_context is done: its contexts have been reported, its authentication is complete."""

    auth_context_id: int | None


@dataclass(frozen=True, slots=True)
class ContextAccepted(Event):
    """The interface can be called under the number `presentation`."""

    presentation: int
    interface: SyntaxId


@dataclass(frozen=True, slots=True)
class ContextRejected(Event):
    """The server does not offer the interface; `result` and `reason` as in `pdu`."""

    presentation: int
    interface: SyntaxId
    result: int
    reason: int


@dataclass(frozen=True, slots=True)
class BindRefused(Event):
    """bind_nak (`reason`, see `NakReason`), or a fault in its place (`status`). The connection is over."""

    reason: int
    status: int | None = None


@dataclass(frozen=True, slots=True)
class AlterRefused(Event):
    """An alter_context was refused: the connection lives on without its contexts."""

    interfaces: tuple[SyntaxId, ...]
    auth_context_id: int | None
    status: int


@dataclass(frozen=True, slots=True)
class ResponseReceived(Event):
    """A call's answer, whole."""

    call_id: int
    stub: bytes
    little_endian: bool = True


@dataclass(frozen=True, slots=True)
class FaultReceived(Event):
    """The server refused a call, or it failed; `executed` is false if it certainly did not begin."""

    call_id: int
    status: int
    executed: bool = True


@dataclass(frozen=True, slots=True)
class ShutdownRequested(Event):
    """The server asks for the connection to be closed once it is idle."""


@dataclass(frozen=True, slots=True)
class ConnectionBroken(Event):
    """The connection is over; no further events. `undone` says, for a log, what that cut off; empty if nothing."""

    reason: PeerError
    undone: str = ""


@dataclass(slots=True)
class Traffic:
    """What has gone through some connections: calls and PDUs, as their machines count them."""

    calls_in: int = 0
    calls_out: int = 0
    packets_in: int = 0
    packets_out: int = 0


class Connection:
    """Framing, output and time of one end. Subclasses implement `_dispatch`, `_is_paused` and the timer's view."""

    def __init__(self, limits: ConnectionLimits, now: float, traffic: Traffic | None = None) -> None:
        if not MINIMUM_FRAGMENT <= limits.max_fragment <= 0xFFFF:
            raise ValueError(f"max_fragment must be from {MINIMUM_FRAGMENT} to 65535")
        self.limits = limits
        self.traffic = Traffic() if traffic is None else traffic
        self.closed = False
        self.header_signing = False
        self.max_xmit_frag = min(limits.max_fragment, MINIMUM_FRAGMENT)
        self._handles: dict[int, SecurityHandle] = {}
        self._now = now
        self._started = now
        self._last_activity = now
        self._partial_since: float | None = None
        self._input = bytearray()
        self._output: list[bytes] = []
        self._events: list[Event] = []

    @property
    def paused(self) -> bool:
        """Whether received PDUs wait for `authenticated`: reading on would only fill memory."""
        return self._is_paused() and not self.closed

    # --- Octets ---

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what the transport brought. Gives the events that follow from it."""
        if self.closed:
            return []
        self._now = now
        self._input += data
        if self._is_paused() and len(self._input) > self.limits.max_held:
            self._break(ProtocolError(f"{len(self._input)} bytes came while authentication is under way"))
        return self._proceed()

    def data_to_send(self) -> bytes:
        """What is to be sent now, in this order; empty if nothing."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def peer_closed(self, reason: PeerError) -> list[Event]:
        """The transport ended. Gives `ConnectionBroken`, unless the connection was closed already."""
        if not self.closed:
            self._break(reason)
        return self._take_events()

    def close(self) -> None:
        """End the connection from this side, and forget its keys. No events follow."""
        self.closed = True
        self._input.clear()
        for handle in self._handles.values():
            handle.close()

    # --- Time ---

    def next_timeout(self) -> float | None:
        """When `handle_timeout` should be called, on the scale of `now`; None for never."""
        deadlines = [at for at, _, _ in self._deadlines()]
        return min(deadlines, default=None)

    def handle_timeout(self, now: float) -> list[Event]:
        """The time is `now`: end the connection if it has had its time."""
        self._now = now
        for at, stage, message in self._deadlines():
            if now >= at:
                self._break(DeadlineExceeded(message, stage=stage))
                break
        return self._take_events()

    def _deadlines(self) -> list[tuple[float, Stage, str]]:
        """The deadlines that run: when, in which stage, and what to say."""
        if self.closed:
            return []
        limits = self.limits
        running = [
            (self._partial_since, limits.transfer_timeout, Stage.CALL, "the rest of a PDU or of a call did not come"),
            (self._stranger_since(), limits.unauthenticated_timeout, Stage.BIND, "nobody authenticated"),
            (self._handshake_since(), limits.handshake_timeout, Stage.BIND, "the bind did not end"),
            (self._idle_since(), limits.idle_timeout, Stage.CALL, "nothing was asked"),
            (self._call_since(), limits.call_timeout, Stage.CALL, "not all fragments of a call came"),
        ]
        return [
            (since + timeout, stage, f"{message} in {timeout:g} s")
            for since, timeout, stage, message in running
            if since is not None and timeout is not None
        ]

    def _handshake_since(self) -> float | None:
        """When the bind that is not finished began."""
        raise NotImplementedError

    def _stranger_since(self) -> float | None:
        """Since when the peer has not said who it is; None if that is no matter."""
        return None

    def _idle_since(self) -> float | None:
        """Since when there has been nothing to do."""
        raise NotImplementedError

    def _call_since(self) -> float | None:
        """When the call that is still arriving began."""
        return None

    # --- What the subclasses build on ---

    def _undone(self) -> str:
        """What the connection's end would cut off now."""
        return ""

    def _is_paused(self) -> bool:
        """Whether received PDUs have to wait."""
        raise NotImplementedError

    def _dispatch(self, pdu: bytes) -> None:
        """Act on one PDU. Raises `PeerError` for what ends the connection."""
        raise NotImplementedError

    def _proceed(self) -> list[Event]:
        """Dispatch every PDU that is complete, and gather the events."""
        while not self.closed and not self._is_paused():
            raw = self._next_pdu()
            if raw is None:
                break
            self._last_activity = self._now
            try:
                self._dispatch(raw)
            except PeerError as problem:
                self._break(problem)
        return self._take_events()

    def _next_pdu(self) -> bytes | None:
        """The next whole PDU of the input."""
        try:
            size = fragment_length(self._input)
            if size is not None and size > self.limits.max_fragment:
                raise ProtocolError(f"a fragment of {size} bytes, more than {self.limits.max_fragment}")
        except PeerError as problem:
            self._refuse_header(bytes(self._input[:HEADER_SIZE]))
            self._break(problem)
            return None
        if size is None or len(self._input) < size:
            if (self._input or self._call_since() is not None) and self._partial_since is None:
                self._partial_since = self._now
            return None
        with memoryview(self._input) as held, held[:size] as first:
            raw = bytes(first)
        del self._input[:size]
        self._partial_since = None
        self.traffic.packets_in += 1
        return raw

    def _refuse_header(self, header: bytes) -> None:
        """Answer a PDU whose header cannot be used, if the protocol has an answer."""

    def _send(self, pdu: Pdu, handle: SecurityHandle | None = None) -> None:
        """Queue one PDU, protected as the handle says."""
        self.traffic.packets_out += 1
        self._output.append(protect(pdu, handle, header_signing=self.header_signing))

    def _send_stub(
        self, first: Request | Response, stub: bytes, handle: SecurityHandle | None, trailer: bytes = b""
    ) -> None:
        """Queue a call's stub in as many fragments as it takes; `first` says everything but flags and stub.

        Every fragment but the last is a multiple of 16 octets, so that only the last needs padding. alloc_hint
        counts what remains (MS-RPCE 2.2.2.6). A verification trailer stays in one piece, in the last one.
        """
        overhead = first.body_offset + (handle.overhead() if handle is not None else 0)
        room = max((self.max_xmit_frag - overhead) // 16 * 16, 16)
        starts = list(range(0, max(len(stub), 1), room))
        last = stub[starts[-1] :]
        if trailer:
            last += bytes(-len(last) % 4) + trailer
            if len(last) > room:
                starts.append(len(stub))
                last = trailer
        flags = first.flags & ~(PacketFlag.FIRST_FRAG | PacketFlag.LAST_FRAG) | PacketFlag.FIRST_FRAG
        for start in starts[:-1]:
            piece = stub[start : start + room]
            self._send(replace(first, flags=flags, alloc_hint=len(stub) - start, stub=piece), handle)
            flags &= ~PacketFlag.FIRST_FRAG
        self._send(replace(first, flags=flags | PacketFlag.LAST_FRAG, alloc_hint=len(last), stub=last), handle)

    def _break(self, reason: PeerError) -> None:
        """The connection is over, for this reason."""
        if not self.closed:
            self._events.append(ConnectionBroken(reason, self._undone()))
            self.close()

    def _take_events(self) -> list[Event]:
        """The events so far, each once."""
        events, self._events = self._events, []
        return events
