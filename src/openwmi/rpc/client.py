"""`ClientConnection`: the client's end of one connection (C706 chapter 9, MS-RPCE 3.3.2), without I/O.

It binds and alters (one negotiation at a time, the next ones wait), takes the security provider's steps through
`AuthenticationNeeded` and `authenticated`, and makes calls. Several calls are outstanding at once if the server
agreed to concurrent multiplexing; else they wait their turn in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from openwmi.errors import AuthenticationError, CallerError, ProtocolError
from openwmi.rpc.connection import (
    MINIMUM_FRAGMENT,
    AlterRefused,
    AuthenticationNeeded,
    BindRefused,
    Bound,
    Connection,
    ConnectionLimits,
    ContextAccepted,
    ContextRejected,
    Event,
    FaultReceived,
    ResponseReceived,
    ShutdownRequested,
)
from openwmi.rpc.header import WHOLE
from openwmi.rpc.pdu import (
    NDR20,
    AlterContext,
    AlterContextResponse,
    Auth3,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextElement,
    Fault,
    NakReason,
    NegotiationResult,
    Orphaned,
    PacketFlag,
    Pdu,
    PduType,
    Request,
    Response,
    SecurityTrailer,
    Shutdown,
    SyntaxId,
    decode,
)
from openwmi.rpc.protection import HandleState, SecurityHandle, open_body, verification_trailer
from openwmi.security.context import NTLM, AuthenticationLevel, SecurityContext
from openwmi.status import HResult

__all__ = ["ClientConnection"]

# What this client can do, as a bind time feature (MS-RPCE 3.3.1.5.3): a transfer syntax that is a bitmask.
_KEEP_CONNECTION_ON_ORPHAN: Final = 0x02
_FEATURES: Final = SyntaxId(UUID("6cb71c2c-9812-4540-0300-000000000000"), (1, 0))


class _State(Enum):
    """Of the connection (MS-RPCE figure 18). Waiting for a response is a state of a call."""

    ESTABLISHED = auto()
    STEPPING = auto()  # paused until the adapter has taken a step
    WAIT_ACK = auto()  # a bind or alter_context was sent
    NEGOTIATED = auto()


_ANSWERS: Final = frozenset({PduType.RESPONSE, PduType.FAULT, PduType.SHUTDOWN})

# What may be received, and when.
_LEGAL: Final[Mapping[_State, frozenset[PduType]]] = {
    _State.ESTABLISHED: frozenset(),
    _State.STEPPING: frozenset(),
    _State.WAIT_ACK: _ANSWERS | {PduType.BIND_ACK, PduType.BIND_NAK, PduType.ALTER_CONTEXT_RESP},
    _State.NEGOTIATED: _ANSWERS,
}


@dataclass(slots=True)
class _Negotiation:
    """A bind or alter_context, with all its legs."""

    elements: tuple[ContextElement, ...]
    handle: SecurityHandle | None
    is_bind: bool
    call_id: int = 0
    acknowledged: bool = False


@dataclass(slots=True)
class _Call:
    """A call, from `request` to its last fragment."""

    request: Request
    handle: SecurityHandle | None
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    forgotten: bool = False


class ClientConnection(Connection):
    """One connection, seen from the client."""

    def __init__(self, *, now: float, limits: ConnectionLimits | None = None) -> None:
        super().__init__(limits or ConnectionLimits(), now)
        self.association_group = 0
        self.multiplexed = False
        self._state = _State.ESTABLISHED
        self._features = 0
        self._negotiations: deque[_Negotiation] = deque()
        self._waiting: deque[int] = deque()
        self._calls: dict[int, _Call] = {}
        self._presentations: dict[int, SyntaxId] = {}
        self._next_presentation = 0
        self._next_call_id = 1
        self._next_context_id = 0

    # --- What the adapter asks for ---

    def bind(
        self,
        interfaces: Sequence[SyntaxId],
        *,
        security: SecurityContext | None = None,
        level: AuthenticationLevel = AuthenticationLevel.NONE,
        association_group: int = 0,
    ) -> list[Event]:
        """Open the dialogue, for these interfaces; with `security`, an initiator's context, at `level`.

        Leads to ContextAccepted or ContextRejected for each interface, and to Bound; or to BindRefused.
        """
        if self._state is not _State.ESTABLISHED or self._negotiations:
            raise CallerError("the connection is bound already")
        self.association_group = association_group
        self._negotiations.append(_Negotiation(self._elements(interfaces), self._handle(security, level), True))
        self._pump()
        return self._take_events()

    def alter_context(
        self,
        interfaces: Sequence[SyntaxId],
        *,
        security: SecurityContext | None = None,
        level: AuthenticationLevel = AuthenticationLevel.NONE,
    ) -> list[Event]:
        """Add interfaces, or another security context, to a connection that is bound. Ends as `bind`, or in
        AlterRefused."""
        if self._state is _State.ESTABLISHED and not self._negotiations:
            raise CallerError("the connection is not bound yet")
        self._negotiations.append(_Negotiation(self._elements(interfaces), self._handle(security, level), False))
        self._pump()
        return self._take_events()

    def authenticated(self, auth_context_id: int, context: SecurityContext, token: bytes) -> list[Event]:
        """The step that `AuthenticationNeeded` asked for is taken, with `token` as its result; go on."""
        if self.closed:
            return []
        negotiation = self._negotiations[0] if self._negotiations else None
        handle = negotiation.handle if negotiation is not None else None
        if self._state is not _State.STEPPING or handle is None or handle.context_id != auth_context_id:
            raise ValueError(f"no step of security context {auth_context_id} was asked for")
        assert negotiation is not None
        self._continue(negotiation, handle, context, token)
        return self._proceed()

    def authentication_failed(self, auth_context_id: int, reason: str) -> list[Event]:
        """The step failed: the connection is over (MS-RPCE 3.3.1.5.2.1)."""
        self._break(AuthenticationError(reason))
        return self._take_events()

    def presentation_of(self, interface: SyntaxId) -> int | None:
        """The number of an interface that was accepted."""
        return next((number for number, known in self._presentations.items() if known == interface), None)

    def request(
        self,
        presentation: int,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None = None,
        auth_context_id: int | None = None,
    ) -> int:
        """Make a call in a presentation context; gives the call's number.

        `auth_context_id` may be left out where there is at most one security context.
        """
        if self.closed:
            raise CallerError("the connection is closed")
        if presentation not in self._presentations:
            raise CallerError(f"presentation context {presentation} was not accepted")
        if len(self._calls) >= self.limits.max_calls:
            raise CallerError(f"{len(self._calls)} calls are outstanding")
        call_id = self._take_call_id()
        self.traffic.calls_out += 1
        self._calls[call_id] = _Call(
            Request(call_id=call_id, context_id=presentation, opnum=opnum, object_uuid=object_uuid, stub=bytes(stub)),
            self._choose(auth_context_id),
        )
        self._waiting.append(call_id)
        self._pump()
        return call_id

    def cancel(self, call_id: int) -> None:
        """Ask the server to end a call early; its answer still comes. One that waits is cancelled as it is sent."""
        call = self._calls.get(call_id)
        if call is None or self.closed:
            return
        if call_id in self._waiting:
            call.request = replace(call.request, flags=call.request.flags | PacketFlag.PENDING_CANCEL)
        else:
            self._send(CoCancel(call_id=call_id), call.handle)

    def orphan(self, call_id: int) -> list[Event]:
        """Give up a call: no event will come of it. The server is told if the connection survives that."""
        call = self._calls.get(call_id)
        if call is None or self.closed:
            return []
        if call_id in self._waiting:
            self._waiting.remove(call_id)
            del self._calls[call_id]
        elif self._features & _KEEP_CONNECTION_ON_ORPHAN:
            # MS-RPCE 3.3.1.5.10; without the feature the connection would have to be closed afterwards.
            self._send(Orphaned(call_id=call_id), call.handle)
            del self._calls[call_id]
        else:
            call.forgotten = True
        self._pump()
        return self._take_events()

    @property
    def outstanding_calls(self) -> int:
        """How many calls have no answer yet."""
        return len(self._calls)

    # --- Time ---

    def _handshake_since(self) -> float | None:
        bound = any(not negotiation.is_bind for negotiation in self._negotiations) or self._state is _State.NEGOTIATED
        return None if bound else self._started

    def _idle_since(self) -> float | None:
        # A client's owner closes what it does not need; only the server has to wonder.
        return None

    # --- Negotiation ---

    def _elements(self, interfaces: Sequence[SyntaxId]) -> tuple[ContextElement, ...]:
        elements = []
        for interface in interfaces:
            elements.append(ContextElement(self._next_presentation, interface))
            self._next_presentation += 1
        return tuple(elements)

    def _handle(self, security: SecurityContext | None, level: AuthenticationLevel) -> SecurityHandle | None:
        if security is None:
            return None
        if level is AuthenticationLevel.NONE:
            raise CallerError("a security context needs a level")
        effective = AuthenticationLevel.PACKET if level is AuthenticationLevel.CALL else level
        handle = SecurityHandle(self._next_context_id, security.auth_type, effective, security)
        self._next_context_id += 1
        self._handles[handle.context_id] = handle
        return handle

    def _choose(self, auth_context_id: int | None) -> SecurityHandle | None:
        """The security context of a call."""
        if auth_context_id is not None:
            handle = self._handles.get(auth_context_id)
            if handle is None or handle.state is HandleState.FAILED:
                raise CallerError(f"security context {auth_context_id} does not exist")
            return handle
        usable = [handle for handle in self._handles.values() if handle.state is not HandleState.FAILED]
        if len(usable) > 1:
            raise CallerError("there are several security contexts: say which one")
        return usable[0] if usable else None

    def _pump(self) -> None:
        """Start what can be started now: the next negotiation, or calls that wait."""
        if self.closed or self._state in (_State.STEPPING, _State.WAIT_ACK):
            return
        idle = self.multiplexed or len(self._calls) == len(self._waiting)
        if self._negotiations:
            if idle:
                self._begin(self._negotiations[0])
            return
        while self._waiting and (self.multiplexed or len(self._calls) == len(self._waiting)):
            call = self._calls[self._waiting.popleft()]
            request, handle = call.request, call.handle
            interface = self._presentations[request.context_id]
            trailer = verification_trailer(request, interface, handle, header_signing=self.header_signing)
            self._send_stub(request, request.stub, handle, trailer)

    def _begin(self, negotiation: _Negotiation) -> None:
        negotiation.call_id = self._take_call_id()
        handle = negotiation.handle
        if handle is None:
            self._send_negotiation(negotiation, b"")
        else:
            self._ask(handle, b"")

    def _ask(self, handle: SecurityHandle, token: bytes) -> None:
        """Ask the adapter for a step, and pause."""
        self._state = _State.STEPPING
        handle.state = HandleState.STEPPING
        self._events.append(
            AuthenticationNeeded(handle.context_id, handle.auth_type, handle.level, token, handle.context)
        )

    def _continue(
        self, negotiation: _Negotiation, handle: SecurityHandle, context: SecurityContext, token: bytes
    ) -> None:
        """Send what a step gave, if anything, and see whether that was the last leg."""
        handle.context = context
        handle.state = HandleState.AWAITING
        if token and context.complete and context.auth_type == NTLM:
            # NTLM has three legs, so the last one is an rpc_auth_3, which has no answer.
            trailer = SecurityTrailer(handle.auth_type, handle.level, handle.context_id, token)
            self._send(Auth3(call_id=negotiation.call_id, auth=trailer))
            self._finish(negotiation)
        elif token:
            self._send_negotiation(negotiation, token)
        elif context.complete and negotiation.acknowledged:
            self._finish(negotiation)
        else:
            self._break(AuthenticationError("the exchange ended before it was complete"))

    def _send_negotiation(self, negotiation: _Negotiation, token: bytes) -> None:
        """bind or alter_context, with a token if there is a security context."""
        handle = negotiation.handle
        self._state = _State.WAIT_ACK
        first = negotiation.is_bind and not negotiation.acknowledged
        flags = WHOLE
        trailer = None
        elements = negotiation.elements
        if handle is not None:
            flags |= PacketFlag.SUPPORT_HEADER_SIGN
            trailer = SecurityTrailer(handle.auth_type, handle.level, handle.context_id, token)
        if first:
            flags |= PacketFlag.CONC_MPX
            if elements:
                elements += (ContextElement(self._next_presentation, elements[-1].abstract_syntax, (_FEATURES,)),)
                self._next_presentation += 1
        self._send(
            (Bind if first else AlterContext)(
                call_id=negotiation.call_id,
                flags=flags,
                max_xmit_frag=self.limits.max_fragment if first else self.max_xmit_frag,
                max_recv_frag=self.limits.max_fragment,
                assoc_group_id=self.association_group,
                contexts=elements,
                auth=trailer,
            )
        )

    def _finish(self, negotiation: _Negotiation) -> None:
        """All legs are done."""
        self._negotiations.popleft()
        self._state = _State.NEGOTIATED
        if negotiation.handle is not None:
            negotiation.handle.state = HandleState.COMPLETE
        self._events.append(Bound(None if negotiation.handle is None else negotiation.handle.context_id))
        self._pump()

    def _refuse(self, reason: int, status: int | None = None) -> None:
        """The negotiation under way was refused: a bind ends the connection, an alter_context only itself."""
        negotiation = self._negotiations.popleft()
        handle = negotiation.handle
        if handle is not None:
            handle.close()
        if negotiation.is_bind and not negotiation.acknowledged:
            self._events.append(BindRefused(reason, status))
            self.close()
            return
        interfaces = tuple(element.abstract_syntax for element in negotiation.elements)
        refused = AlterRefused(
            interfaces,
            None if handle is None else handle.context_id,
            HResult.RPC_S_PROTOCOL_ERROR if status is None else status,
        )
        self._events.append(refused)
        self._state = _State.NEGOTIATED
        self._pump()

    # --- PDUs ---

    def _is_paused(self) -> bool:
        return self._state is _State.STEPPING

    def _take_call_id(self) -> int:
        call_id = self._next_call_id
        self._next_call_id = call_id % 0xFFFFFFFF + 1
        return call_id

    def _dispatch(self, raw: bytes) -> None:
        pdu = decode(raw)
        if pdu.ptype not in _LEGAL[self._state]:
            raise ProtocolError(f"{pdu.ptype.name} is out of place")
        _HANDLERS[pdu.ptype](self, pdu, raw)

    def _on_ack(self, pdu: BindAck, raw: bytes) -> None:
        negotiation = self._negotiations[0]
        expected = AlterContextResponse if negotiation.acknowledged or not negotiation.is_bind else BindAck
        if type(pdu) is not expected or pdu.call_id != negotiation.call_id:
            raise ProtocolError(f"{pdu.ptype.name} answers no question")
        if not negotiation.acknowledged:
            self._learn(negotiation, pdu)
        handle = negotiation.handle
        if handle is None:
            self._finish(negotiation)
            return
        if pdu.auth is not None:
            if pdu.auth.context_id != handle.context_id:
                raise ProtocolError(f"{pdu.ptype.name} speaks of security context {pdu.auth.context_id}")
            self._ask(handle, pdu.auth.token)
        elif handle.context is not None and handle.context.complete:
            self._finish(negotiation)
        else:
            raise AuthenticationError("the server ended the exchange before it was complete")

    def _learn(self, negotiation: _Negotiation, pdu: BindAck) -> None:
        """What the first answer says: sizes, features, and the fate of each context."""
        negotiation.acknowledged = True
        if negotiation.is_bind:
            if pdu.max_recv_frag < MINIMUM_FRAGMENT:
                raise ProtocolError(f"the server takes fragments of {pdu.max_recv_frag} bytes only")
            self.max_xmit_frag = min(self.limits.max_fragment, pdu.max_recv_frag)
            self.association_group = pdu.assoc_group_id
            self.multiplexed = bool(pdu.flags & PacketFlag.CONC_MPX)
        if negotiation.handle is not None and not any(
            handle.state is HandleState.COMPLETE for handle in self._handles.values()
        ):
            self.header_signing = bool(pdu.flags & PacketFlag.SUPPORT_HEADER_SIGN)
        results = list(pdu.results)
        if negotiation.is_bind and negotiation.elements and len(results) == len(negotiation.elements) + 1:
            features = results.pop()
            if features.result == NegotiationResult.NEGOTIATE_ACK:
                self._features = features.reason
        if len(results) != len(negotiation.elements):
            raise ProtocolError(f"{len(results)} results for {len(negotiation.elements)} contexts")
        for element, result in zip(negotiation.elements, results, strict=True):
            number, interface = element.context_id, element.abstract_syntax
            if result.result == NegotiationResult.ACCEPTANCE and result.transfer_syntax == NDR20:
                self._presentations[number] = interface
                self._events.append(ContextAccepted(number, interface))
            else:
                self._events.append(ContextRejected(number, interface, result.result, result.reason))

    def _on_nak(self, pdu: BindNak, raw: bytes) -> None:
        if pdu.call_id != self._negotiations[0].call_id:
            raise ProtocolError("bind_nak answers no question")
        self._refuse(pdu.reason)

    def _on_response(self, pdu: Response, raw: bytes) -> None:
        call = self._call_of(pdu)
        handle = call.handle if call is not None else self._handle_of(pdu)
        body = open_body(pdu, raw, handle, header_signing=self.header_signing)
        if call is None:
            return
        if pdu.is_first and call.parts:
            raise ProtocolError(f"the response to the call {pdu.call_id} begins twice")
        if not pdu.is_first and not call.parts:
            raise ProtocolError(f"the response to the call {pdu.call_id} has no beginning")
        call.size += len(body)
        if call.size > self.limits.max_stub:
            raise ProtocolError(f"the response to the call {pdu.call_id} exceeds {self.limits.max_stub} bytes")
        call.parts.append(b"" if call.forgotten else body)
        if not pdu.is_last:
            return
        del self._calls[pdu.call_id]
        if not call.forgotten:
            self._events.append(ResponseReceived(pdu.call_id, b"".join(call.parts), pdu.little_endian))
        self._pump()

    def _on_fault(self, pdu: Fault, raw: bytes) -> None:
        if pdu.auth is not None:
            open_body(pdu, raw, self._handle_of(pdu), header_signing=self.header_signing)
        status = pdu.status or HResult.RPC_S_PROTOCOL_ERROR
        if self._state is _State.WAIT_ACK and pdu.call_id == self._negotiations[0].call_id:
            self._refuse(NakReason.NOT_SPECIFIED, status)
            return
        call = self._call_of(pdu)
        if call is None:
            return
        del self._calls[pdu.call_id]
        if not call.forgotten:
            executed = not pdu.flags & PacketFlag.DID_NOT_EXECUTE
            self._events.append(FaultReceived(pdu.call_id, status, executed))
        self._pump()

    def _on_shutdown(self, pdu: Shutdown, raw: bytes) -> None:
        self._events.append(ShutdownRequested())

    def _call_of(self, pdu: Pdu) -> _Call | None:
        """The call that a PDU answers; None if it was orphaned."""
        call = self._calls.get(pdu.call_id)
        if call is not None and pdu.call_id not in self._waiting:
            return call
        if call is not None or not 0 < pdu.call_id < self._next_call_id:
            raise ProtocolError(f"{pdu.ptype.name} answers the call {pdu.call_id}, which was not made")
        return None

    def _handle_of(self, pdu: Pdu) -> SecurityHandle | None:
        """The security context that a PDU names."""
        return None if pdu.auth is None else self._handles.get(pdu.auth.context_id)


_HANDLERS: Final[Mapping[PduType, Callable[[ClientConnection, Any, bytes], None]]] = {
    PduType.BIND_ACK: ClientConnection._on_ack,
    PduType.ALTER_CONTEXT_RESP: ClientConnection._on_ack,
    PduType.BIND_NAK: ClientConnection._on_nak,
    PduType.RESPONSE: ClientConnection._on_response,
    PduType.FAULT: ClientConnection._on_fault,
    PduType.SHUTDOWN: ClientConnection._on_shutdown,
}
