"""`ServerConnection`: the server's end of one connection (C706 chapter 9, MS-RPCE 3.3.3), without I/O.

It consumes PDUs in the order of `_LEGAL`, and pauses while the adapter takes a step of an authentication exchange
that `AuthenticationNeeded` asked for. Calls come out as `RequestReceived` and are answered with `respond` or
`fault`, in any order. A malformed or misplaced PDU, or one that does not verify, is answered as the protocol
has it and ends this connection, with the reason in `ConnectionBroken`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from openwmi.errors import AuthenticationError, PeerError, ProtocolError, RpcFault
from openwmi.rpc.association import AssociationGroups
from openwmi.rpc.connection import (
    MINIMUM_FRAGMENT,
    AuthenticationNeeded,
    CallCancelled,
    CallOrphaned,
    Connection,
    ConnectionLimits,
    Event,
    RequestReceived,
    Traffic,
)
from openwmi.rpc.header import FORBIDDEN_FAULTS, WHOLE
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
    ContextResult,
    Fault,
    NakReason,
    NegotiationResult,
    Orphaned,
    PacketFlag,
    Pdu,
    PduType,
    RejectReason,
    Request,
    Response,
    SecurityTrailer,
    SyntaxId,
    decode,
)
from openwmi.rpc.protection import HandleState, SecurityHandle, level_of, open_body, strip_verification_trailer
from openwmi.security.context import NTLM, AuthenticationLevel, SecurityContext
from openwmi.status import HResult

__all__ = ["ServerConnection"]

# Bind time feature negotiation (MS-RPCE 3.3.1.5.3): a transfer syntax whose UUID begins so; the rest is a bitmask.
_FEATURES_PREFIX: Final = UUID("6cb71c2c-9812-4540-0000-000000000000").bytes_le[:8]
_SECURITY_CONTEXT_MULTIPLEXING: Final = 0x01
_KEEP_CONNECTION_ON_ORPHAN: Final = 0x02

# Fragments of calls this much older than the current one are late, not wrong (MS-RPCE 3.3.3.5.6).
_LATE: Final = 150


class _State(Enum):
    """Of the connection (MS-RPCE figure 20). RECV_PDU and DISPATCH are states of a call, not of the connection."""

    ESTABLISHED = auto()
    NEGOTIATING = auto()  # paused until the adapter has taken a step
    NEGOTIATED = auto()


# What may be received, and when. NEGOTIATING receives nothing: PDUs wait.
_LEGAL: Final[Mapping[_State, frozenset[PduType]]] = {
    _State.ESTABLISHED: frozenset({PduType.BIND}),
    _State.NEGOTIATING: frozenset(),
    _State.NEGOTIATED: frozenset(
        {PduType.ALTER_CONTEXT, PduType.AUTH3, PduType.REQUEST, PduType.CO_CANCEL, PduType.ORPHANED}
    ),
}


@dataclass(slots=True)
class _Leg:
    """A bind, alter_context or auth3 whose answer waits for a step of authentication."""

    pdu: Pdu
    handle: SecurityHandle
    results: tuple[ContextResult, ...] = ()
    accepted: dict[int, SyntaxId] = field(default_factory=dict)


@dataclass(slots=True)
class _Incoming:
    """A call whose fragments are arriving; only one at a time (MS-RPCE 3.3.3)."""

    first: Request
    interface: SyntaxId
    handle: SecurityHandle | None
    since: float
    parts: list[bytes] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that was dispatched."""

    context_id: int
    handle: SecurityHandle | None


class ServerConnection(Connection):
    """One connection, seen from the server.

    interfaces: what is offered here: (UUID, major version) to the highest minor version.
    auth_types: the security providers that the adapter can make acceptors for.
    groups: the endpoint's association groups. secondary_address: its port, as text. client: where the client is.
    traffic: where to count. known: whether the adapter knows who the client is without an exchange.
    """

    def __init__(
        self,
        interfaces: Mapping[tuple[UUID, int], int],
        *,
        now: float,
        limits: ConnectionLimits | None = None,
        auth_types: frozenset[int] = frozenset({NTLM}),
        groups: AssociationGroups | None = None,
        secondary_address: str = "",
        client: str = "",
        traffic: Traffic | None = None,
        known: bool = False,
    ) -> None:
        super().__init__(limits or ConnectionLimits(), now, traffic)
        self._interfaces = interfaces
        self._known = known
        self._auth_types = auth_types
        self._groups = AssociationGroups() if groups is None else groups
        self._client = client
        self._secondary_address = secondary_address
        self._state = _State.ESTABLISHED
        self._group = 0
        self._max_recv_frag = self.limits.max_fragment
        self._multiplexed = False
        self._header_signing_known = False
        self._presentations: dict[int, SyntaxId] = {}
        self._leg: _Leg | None = None
        self._incoming: _Incoming | None = None
        self._refused_call: int | None = None
        self._strange_pdus = 0
        self._strays = 0
        self._last_call_id = 0
        self._exchange_since = now
        self._calls: dict[int, _Call] = {}

    # --- The adapter's answers ---

    def authenticated(self, auth_context_id: int, context: SecurityContext, token: bytes) -> list[Event]:
        """The step that `AuthenticationNeeded` asked for is taken, with `token` as its result; go on."""
        leg = self._expect_leg(auth_context_id)
        if leg is None:
            return []
        handle = leg.handle
        handle.context = context
        handle.state = HandleState.COMPLETE if context.complete else HandleState.AWAITING
        if isinstance(leg.pdu, Auth3):
            # There is no answer to rpc_auth_3, so the exchange has to be over (MS-RPCE 3.3.1.5.2.1).
            if not context.complete or token:
                handle.close()
        else:
            self._answer(leg, token)
        self._state = _State.NEGOTIATED
        return self._proceed()

    def authentication_failed(self, auth_context_id: int, reason: str) -> list[Event]:
        """The step failed. A bind ends the connection; calls in a context that failed are answered with a fault."""
        leg = self._expect_leg(auth_context_id)
        if leg is None:
            return []
        leg.handle.close()
        self._state = _State.NEGOTIATED
        if isinstance(leg.pdu, AlterContext):
            self._send_fault(leg.pdu.call_id, 0, HResult.ERROR_ACCESS_DENIED)
        elif isinstance(leg.pdu, Bind):
            self._send(BindNak(call_id=leg.pdu.call_id, reason=NakReason.INVALID_CHECKSUM))
            self._break(AuthenticationError(reason))
        return self._proceed()

    def respond(self, call_id: int, stub: bytes) -> bool:
        """Answer a call. False, and nothing is sent, if the call is no more: orphaned, or the connection is over."""
        call = self._calls.pop(call_id, None)
        if call is None or self.closed:
            return False
        self._last_activity = max(self._last_activity, self._now)
        self._send_stub(Response(call_id=call_id, context_id=call.context_id), stub, call.handle)
        return True

    def fault(self, call_id: int, status: int) -> bool:
        """Refuse a call, or tell that it failed. False as for `respond`."""
        call = self._calls.pop(call_id, None)
        if call is None or self.closed:
            return False
        if status in FORBIDDEN_FAULTS:
            status = HResult.RPC_E_SERVERFAULT
        self._send_fault(call_id, call.context_id, status, executed=True)
        return True

    def close(self) -> None:
        """See `Connection.close`; the association loses this connection."""
        super().close()
        if self._group:
            self._groups.leave(self._group)
            self._group = 0

    @property
    def outstanding_calls(self) -> int:
        """How many calls wait for an answer."""
        return len(self._calls)

    def _undone(self) -> str:
        if self._state is _State.ESTABLISHED:
            return "before a bind" if self._partial_since is None else "in the middle of a bind"
        if self._handshake_since() is not None or self._is_paused():
            return "in the middle of an authentication"
        if self._partial_since is not None or self._incoming is not None:
            return "in the middle of a request"
        return f"with {len(self._calls)} calls not answered" if self._calls else ""

    # --- Time ---

    def _handshake_since(self) -> float | None:
        if self._state is _State.ESTABLISHED:
            return self._started
        # While the adapter takes a step, nobody waits for the client.
        awaiting = any(handle.state is HandleState.AWAITING for handle in self._handles.values())
        return self._exchange_since if awaiting and self._state is _State.NEGOTIATED else None

    def _stranger_since(self) -> float | None:
        # The time that the adapter takes for a step is not the client's.
        return None if self._authenticated or self._is_paused() else self._started

    def _idle_since(self) -> float | None:
        return None if self._calls else self._last_activity

    def _call_since(self) -> float | None:
        return None if self._incoming is None else self._incoming.since

    # --- PDUs ---

    @property
    def _authenticated(self) -> bool:
        return self._known or any(handle.state is HandleState.COMPLETE for handle in self._handles.values())

    def _is_paused(self) -> bool:
        return self._state is _State.NEGOTIATING

    def _expect_leg(self, auth_context_id: int) -> _Leg | None:
        """The leg that waits for this context; None if the connection ended meanwhile."""
        leg, self._leg = self._leg, None
        if self.closed:
            return None
        if leg is None or leg.handle.context_id != auth_context_id:
            self._leg = leg
            raise ValueError(f"no step of security context {auth_context_id} was asked for")
        return leg

    def _dispatch(self, raw: bytes) -> None:
        try:
            pdu = decode(raw)
            self._count_stranger()
            if pdu.ptype not in _LEGAL[self._state]:
                raise ProtocolError(f"{pdu.ptype.name} is out of place")
            _HANDLERS[pdu.ptype](self, pdu, raw)
        except PeerError as problem:
            self._refuse_header(raw, problem)
            raise

    def _count_stranger(self) -> None:
        if self._authenticated:
            return
        self._strange_pdus += 1
        if self._strange_pdus > self.limits.max_unauthenticated_pdus:
            raise ProtocolError(f"more than {self.limits.max_unauthenticated_pdus} PDUs without authentication")

    def _count_stray(self) -> None:
        self._strays += 1
        if self._strays > self.limits.max_strays:
            raise ProtocolError(f"more than {self.limits.max_strays} PDUs about calls that are not there")

    def _refuse_header(self, header: bytes, problem: PeerError | None = None) -> None:
        """The last PDU before the connection ends: bind_nak to a bind, a fault to anything else that expects an
        answer (MS-RPCE 3.3.3.5.7)."""
        kind, call_id = header[2], int.from_bytes(header[12:16], "little" if header[4] & 0x10 else "big")
        if kind == PduType.BIND:
            self._send(BindNak(call_id=call_id, reason=NakReason.PROTOCOL_VERSION_NOT_SUPPORTED))
        elif kind in (PduType.REQUEST, PduType.ALTER_CONTEXT):
            denied = isinstance(problem, AuthenticationError)
            self._send_fault(call_id, 0, HResult.ERROR_ACCESS_DENIED if denied else HResult.NCA_S_PROTO_ERROR)

    def _send_fault(self, call_id: int, context_id: int, status: int, *, executed: bool = False) -> None:
        """Faults carry no stub and so no token (MS-RPCE 2.2.2.8, 2.2.2.12)."""
        flags = WHOLE if executed else WHOLE | PacketFlag.DID_NOT_EXECUTE
        self._send(Fault(call_id=call_id, flags=flags, alloc_hint=32, context_id=context_id, status=status))

    # --- bind, alter_context, auth3 ---

    def _on_bind(self, pdu: Bind, raw: bytes) -> None:
        self._require_whole(pdu)
        if min(pdu.max_xmit_frag, pdu.max_recv_frag) < MINIMUM_FRAGMENT:
            raise ProtocolError(f"fragments of less than {MINIMUM_FRAGMENT} bytes are offered")
        self.max_xmit_frag = min(self.limits.max_fragment, pdu.max_recv_frag)
        self._max_recv_frag = min(self.limits.max_fragment, pdu.max_xmit_frag)
        self._multiplexed = bool(pdu.flags & PacketFlag.CONC_MPX)
        self._group = self._groups.join(pdu.assoc_group_id, self._client)
        self._negotiate(pdu)

    def _on_alter_context(self, pdu: AlterContext, raw: bytes) -> None:
        self._require_whole(pdu)
        self._negotiate(pdu)

    def _on_auth3(self, pdu: Auth3, raw: bytes) -> None:
        trailer = pdu.auth
        handle = self._handles.get(trailer.context_id) if trailer is not None else None
        if trailer is None or handle is None or handle.state is not HandleState.AWAITING:
            # After a failure the client may not know yet; its call will be told.
            if handle is not None and handle.state is HandleState.FAILED:
                return
            raise ProtocolError("rpc_auth_3 continues no authentication exchange")
        self._step(_Leg(pdu, self._same(handle, trailer)), trailer)

    def _require_whole(self, pdu: Pdu) -> None:
        if not (pdu.is_first and pdu.is_last):
            raise ProtocolError(f"a fragmented {pdu.ptype.name}")

    def _negotiate(self, pdu: Bind) -> None:
        """Presentation contexts, and security if the PDU speaks of it."""
        accepted: dict[int, SyntaxId] = {}
        results = tuple(self._consider(element, accepted) for element in pdu.contexts)
        if len(self._presentations) + len(accepted) > self.limits.max_presentation_contexts:
            # MS-RPCE 3.3.3.5.5
            self._send(BindNak(call_id=pdu.call_id, reason=NakReason.LOCAL_LIMIT_EXCEEDED))
            return
        trailer = pdu.auth
        if trailer is None:
            self._state = _State.NEGOTIATED
            self._complete_negotiation(pdu, results, accepted, None)
            return
        if trailer.auth_type not in self._auth_types:
            self._refuse_provider(pdu, trailer.auth_type)
            return
        self._learn_header_signing(pdu, trailer)
        handle = self._handles.get(trailer.context_id)
        if handle is None:
            handle = self._new_handle(trailer)
        elif handle.state is not HandleState.AWAITING:
            raise ProtocolError(f"security context {trailer.context_id} is {handle.state.name.lower()} already")
        self._step(_Leg(pdu, self._same(handle, trailer), results, accepted), trailer)

    def _refuse_provider(self, pdu: Bind, auth_type: int) -> None:
        """MS-RPCE 3.3.3.5.3: a security provider that is not there."""
        if isinstance(pdu, AlterContext):
            self._send_fault(pdu.call_id, 0, HResult.RPC_S_UNKNOWN_AUTHN_SERVICE)
        else:
            self._send(BindNak(call_id=pdu.call_id, reason=NakReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED))
            self._break(AuthenticationError(f"the client asks for the security provider {auth_type}"))

    def _learn_header_signing(self, pdu: Bind, trailer: SecurityTrailer) -> None:
        """The first PDU with authentication decides for the connection (MS-RPCE 3.3.1.5.2.2)."""
        if not self._header_signing_known:
            self._header_signing_known = True
            self.header_signing = bool(pdu.flags & PacketFlag.SUPPORT_HEADER_SIGN)

    def _new_handle(self, trailer: SecurityTrailer) -> SecurityHandle:
        level = level_of(trailer.level)
        if level is AuthenticationLevel.NONE:
            raise ProtocolError("authentication at level NONE")
        incomplete = sum(handle.state is not HandleState.COMPLETE for handle in self._handles.values())
        if len(self._handles) >= self.limits.max_security_contexts or incomplete >= self.limits.max_incomplete_contexts:
            raise ProtocolError(f"{len(self._handles)} security contexts, {incomplete} of them incomplete")
        handle = SecurityHandle(trailer.context_id, trailer.auth_type, level)
        self._handles[trailer.context_id] = handle
        self._exchange_since = self._now
        return handle

    def _same(self, handle: SecurityHandle, trailer: SecurityTrailer) -> SecurityHandle:
        """The handle, if the trailer speaks of it as it began."""
        if (trailer.auth_type, level_of(trailer.level)) != (handle.auth_type, handle.level):
            raise ProtocolError(f"security context {handle.context_id} changes its type or level")
        return handle

    def _step(self, leg: _Leg, trailer: SecurityTrailer) -> None:
        """Ask the adapter for a step, and pause."""
        handle = leg.handle
        handle.state = HandleState.STEPPING
        self._leg = leg
        self._state = _State.NEGOTIATING
        self._events.append(
            AuthenticationNeeded(
                handle.context_id, handle.auth_type, _effective(handle.level), trailer.token, handle.context
            )
        )

    def _answer(self, leg: _Leg, token: bytes) -> None:
        """bind_ack or alter_context_resp after a step."""
        handle = leg.handle
        trailer = SecurityTrailer(handle.auth_type, handle.level, handle.context_id, token) if token else None
        self._complete_negotiation(leg.pdu, leg.results, leg.accepted, trailer)

    def _complete_negotiation(
        self,
        pdu: Pdu,
        results: tuple[ContextResult, ...],
        accepted: Mapping[int, SyntaxId],
        trailer: SecurityTrailer | None,
    ) -> None:
        """Make the accepted contexts valid, and say so."""
        self._presentations.update(accepted)
        altered = isinstance(pdu, AlterContext)
        flags = WHOLE
        if pdu.flags & PacketFlag.SUPPORT_HEADER_SIGN and self.header_signing:
            flags |= PacketFlag.SUPPORT_HEADER_SIGN
        if self._multiplexed and not altered:
            flags |= PacketFlag.CONC_MPX
        self._send(
            (AlterContextResponse if altered else BindAck)(
                call_id=pdu.call_id,
                flags=flags,
                max_xmit_frag=self.max_xmit_frag,
                max_recv_frag=self._max_recv_frag,
                assoc_group_id=self._group,
                secondary_address="" if altered else self._secondary_address,
                results=results,
                auth=trailer,
            )
        )

    def _consider(self, element: ContextElement, accepted: dict[int, SyntaxId]) -> ContextResult:
        """What becomes of one proposal (MS-RPCE 3.3.1.5.6)."""
        first = element.transfer_syntaxes[0] if element.transfer_syntaxes else None
        if first is not None and first.uuid.bytes_le[:8] == _FEATURES_PREFIX and first.version == (1, 0):
            supported = _SECURITY_CONTEXT_MULTIPLEXING | _KEEP_CONNECTION_ON_ORPHAN
            return ContextResult(NegotiationResult.NEGOTIATE_ACK, first.uuid.bytes_le[8] & supported)
        wanted = element.abstract_syntax
        minor = self._interfaces.get((wanted.uuid, wanted.version[0]))
        if minor is None or wanted.version[1] > minor:
            reason = RejectReason.ABSTRACT_SYNTAX_NOT_SUPPORTED
        elif NDR20 not in element.transfer_syntaxes:
            reason = RejectReason.TRANSFER_SYNTAXES_NOT_SUPPORTED
        elif self._presentations.get(element.context_id, accepted.get(element.context_id, wanted)) != wanted:
            reason = RejectReason.NOT_SPECIFIED
        else:
            accepted[element.context_id] = wanted
            return ContextResult(NegotiationResult.ACCEPTANCE, 0, NDR20)
        return ContextResult(NegotiationResult.PROVIDER_REJECTION, reason)

    # --- Calls ---

    def _on_request(self, pdu: Request, raw: bytes) -> None:
        if self._incoming is not None and self._incoming.first.call_id != pdu.call_id:
            raise ProtocolError(f"a fragment of the call {pdu.call_id} within the call {self._incoming.first.call_id}")
        try:
            handle = self._handle_of(pdu)
            body = open_body(pdu, raw, handle, header_signing=self.header_signing)
            incoming = self._gather(pdu, body, handle)
            if incoming is not None and pdu.is_last:
                self._incoming = None
                self._deliver(incoming, pdu)
        except RpcFault as refusal:
            self._incoming = None
            if self._refused_call != pdu.call_id:
                self._send_fault(pdu.call_id, pdu.context_id, refusal.status)
            self._refused_call = None if pdu.is_last else pdu.call_id

    def _handle_of(self, pdu: Pdu) -> SecurityHandle | None:
        """The security context of a PDU, or None. Raises `RpcFault` if it is one that cannot be used."""
        if pdu.auth is None:
            # The only context may go without saying, at connect level (MS-RPCE 3.3.1.5.4).
            handles = list(self._handles.values())
            if len(handles) != 1 or handles[0].level is not AuthenticationLevel.CONNECT:
                return None
            handle: SecurityHandle | None = handles[0]
        else:
            handle = self._handles.get(pdu.auth.context_id)
        if handle is None:
            raise AuthenticationError("a call in a security context that does not exist")
        if handle.state is HandleState.FAILED:
            raise RpcFault(HResult.ERROR_ACCESS_DENIED, "the authentication of this security context failed")
        if handle.state is not HandleState.COMPLETE:
            raise ProtocolError(f"a call in security context {handle.context_id} before that is complete")
        return handle

    def _gather(self, pdu: Request, body: bytes, handle: SecurityHandle | None) -> _Incoming | None:
        """Add a fragment to its call; None if it belongs to one that was refused or is gone."""
        if pdu.is_first:
            self._incoming = self._begin(pdu, handle)
        incoming = self._incoming
        if incoming is None:
            if pdu.call_id == self._refused_call or 0 <= self._last_call_id - pdu.call_id < _LATE:
                return None
            raise ProtocolError(f"a fragment of the call {pdu.call_id}, which has no beginning")
        first = incoming.first
        if (pdu.context_id, pdu.opnum) != (first.context_id, first.opnum) or incoming.handle is not handle:
            raise ProtocolError(f"the fragments of the call {pdu.call_id} differ")
        if not body and not pdu.is_last:
            raise ProtocolError(f"an empty fragment of the call {pdu.call_id}")
        incoming.size += len(body)
        limits = self.limits
        if incoming.size > (limits.max_stub if self._authenticated else limits.max_stub_unauthenticated):
            raise RpcFault(HResult.ERROR_ACCESS_DENIED, "the stub is too large")
        incoming.parts.append(body)
        return incoming

    def _begin(self, pdu: Request, handle: SecurityHandle | None) -> _Incoming:
        """The first fragment of a call."""
        if self._incoming is not None:
            raise ProtocolError(f"the call {pdu.call_id} begins twice")
        if pdu.call_id in self._calls:
            raise ProtocolError(f"the call {pdu.call_id} is not answered yet and begins again")
        self._last_call_id = pdu.call_id
        self._refused_call = None
        interface = self._presentations.get(pdu.context_id)
        if interface is None:
            raise RpcFault(HResult.NCA_S_UNK_IF, f"presentation context {pdu.context_id} does not exist")
        if len(self._calls) >= self.limits.max_calls:
            raise RpcFault(HResult.NCA_S_SERVER_TOO_BUSY)
        return _Incoming(pdu, interface, handle, self._now)

    def _deliver(self, incoming: _Incoming, last: Request) -> None:
        """The call is whole."""
        first, handle = incoming.first, incoming.handle
        stub = b"".join(incoming.parts)
        if handle is not None:
            stub = strip_verification_trailer(stub, last, incoming.interface, header_signing=self.header_signing)
        self.traffic.calls_in += 1
        self._calls[first.call_id] = _Call(first.context_id, handle)
        self._events.append(
            RequestReceived(
                call_id=first.call_id,
                interface=incoming.interface,
                opnum=first.opnum,
                object_uuid=first.object_uuid,
                stub=stub,
                level=AuthenticationLevel.NONE if handle is None else _effective(handle.level),
                security=None if handle is None else handle.ready,
                little_endian=first.little_endian,
            )
        )
        if last.flags & PacketFlag.PENDING_CANCEL:
            self._events.append(CallCancelled(first.call_id))

    def _on_cancel(self, pdu: CoCancel, raw: bytes) -> None:
        call = self._meant(pdu, raw)
        if isinstance(call, _Call):
            self._events.append(CallCancelled(pdu.call_id))
        elif call is None:
            self._count_stray()

    def _on_orphaned(self, pdu: Orphaned, raw: bytes) -> None:
        call = self._meant(pdu, raw)
        if isinstance(call, _Call):
            del self._calls[pdu.call_id]
            self._events.append(CallOrphaned(pdu.call_id))
        elif call is not None:
            self._incoming = None
        else:
            self._count_stray()

    def _meant(self, pdu: Pdu, raw: bytes) -> _Call | _Incoming | None:
        """The call that a PDU is about, arriving or dispatched; None if there is none or the PDU is not believed.

        A call that is signed or sealed is ended by its own security context only: else whoever can write to the
        connection could end it. A token is checked, and so counted, whatever it is about.
        """
        try:
            handle = self._handle_of(pdu)
        except RpcFault:
            return None
        if pdu.auth is not None:
            open_body(pdu, raw, handle, header_signing=self.header_signing)
        call: _Call | _Incoming | None = self._calls.get(pdu.call_id)
        if self._incoming is not None and self._incoming.first.call_id == pdu.call_id:
            call = self._incoming
        owner = None if call is None else call.handle
        return None if owner is not None and owner.protects and owner is not handle else call


def _effective(level: AuthenticationLevel) -> AuthenticationLevel:
    """CALL is processed as PACKET (MS-RPCE 2.2.1.1.8)."""
    return AuthenticationLevel.PACKET if level is AuthenticationLevel.CALL else level


_HANDLERS: Final[Mapping[PduType, Callable[[ServerConnection, Any, bytes], None]]] = {
    PduType.BIND: ServerConnection._on_bind,
    PduType.ALTER_CONTEXT: ServerConnection._on_alter_context,
    PduType.AUTH3: ServerConnection._on_auth3,
    PduType.REQUEST: ServerConnection._on_request,
    PduType.CO_CANCEL: ServerConnection._on_cancel,
    PduType.ORPHANED: ServerConnection._on_orphaned,
}
