"""The two machines talking to each other in memory."""

from __future__ import annotations

from uuid import UUID

import pytest

from openwmi.errors import AuthenticationError, CallerError, ConnectionLost, DeadlineExceeded, ProtocolError
from openwmi.rpc import (
    AlterRefused,
    AuthenticationNeeded,
    BindRefused,
    Bound,
    CallCancelled,
    CallOrphaned,
    ClientConnection,
    ConnectionBroken,
    ConnectionLimits,
    ContextAccepted,
    ContextRejected,
    FaultReceived,
    NakReason,
    NegotiationResult,
    RejectReason,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
    SyntaxId,
)
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel
from openwmi.status import HResult
from tests.rpc.support import IF_A, IF_B, IF_UNKNOWN, OFFERED, FakeContext, Link, bound

LEVELS = [
    AuthenticationLevel.NONE,
    AuthenticationLevel.CONNECT,
    AuthenticationLevel.CALL,
    AuthenticationLevel.PACKET,
    AuthenticationLevel.INTEGRITY,
    AuthenticationLevel.PRIVACY,
]
OBJECT = UUID("deadbeef-0000-0000-0000-000000000007")


def call(link: Link, stub: bytes, answer: bytes, **more: object) -> RequestReceived:
    """One call there and back; gives what the server saw."""
    link.take()
    call_id = link.client.request(0, 5, stub, **more)  # type: ignore[arg-type]
    link.run()
    _, seen = link.take()
    (request,) = seen
    assert isinstance(request, RequestReceived)
    assert request.call_id == call_id
    assert link.server.respond(call_id, answer)
    link.run()
    assert link.client_events == [ResponseReceived(call_id, answer)]
    return request


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("auth_type", [NTLM, SPNEGO])
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_bind_and_call(level: AuthenticationLevel, auth_type: int, chunk: int) -> None:
    link = bound(Link(chunk=chunk), level, auth_type)
    assert link.client_events == [
        ContextAccepted(0, IF_A),
        ContextAccepted(1, IF_B),
        Bound(None if level is AuthenticationLevel.NONE else 0),
    ]
    assert link.client.multiplexed
    request = call(link, b"question", b"answer", object_uuid=OBJECT)
    assert (request.interface, request.opnum, request.object_uuid, request.stub) == (IF_A, 5, OBJECT, b"question")
    assert request.level is (AuthenticationLevel.PACKET if level is AuthenticationLevel.CALL else level)
    assert (request.security is None) == (level is AuthenticationLevel.NONE)
    assert link.server.outstanding_calls == link.client.outstanding_calls == 0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [0, 1, 1391, 1392, 1393, 1408, 5000, 60_000])
def test_stubs_of_every_size_are_fragmented_both_ways(level: AuthenticationLevel, size: int) -> None:
    limits = ConnectionLimits(max_fragment=1432)
    link = bound(Link(server_limits=limits), level)
    stub = bytes(range(256)) * (size // 256 + 1)
    assert call(link, stub[:size], stub[1 : size + 1]).stub == stub[:size]
    assert call(link, b"again", b"and again").stub == b"again"
    for sent in (link.to_client, link.to_server):
        while sent:
            length = int.from_bytes(sent[8:10], "little")
            assert length <= 1432
            sent = sent[length:]


def test_sealed_octets_do_not_show_the_stub_and_signed_ones_do() -> None:
    for level, shows in ((AuthenticationLevel.INTEGRITY, True), (AuthenticationLevel.PRIVACY, False)):
        link = bound(Link(), level)
        call(link, b"the question" * 3, b"the answer" * 3)
        assert (b"the question" in link.to_server) is shows
        assert (b"the answer" in link.to_client) is shows


@pytest.mark.requirement("RPCE-3.3.1.5.3-05", "RPCE-3.3.1.5.3-06")
def test_presentation_contexts_are_judged_one_by_one() -> None:
    link = Link()
    newer = SyntaxId(IF_A.uuid, (1, 3))
    older = SyntaxId(IF_A.uuid, (1, 0))
    link.run(link.client.bind([IF_UNKNOWN, newer, older]))
    assert link.client_events == [
        ContextRejected(
            0, IF_UNKNOWN, NegotiationResult.PROVIDER_REJECTION, RejectReason.ABSTRACT_SYNTAX_NOT_SUPPORTED
        ),
        ContextRejected(1, newer, NegotiationResult.PROVIDER_REJECTION, RejectReason.ABSTRACT_SYNTAX_NOT_SUPPORTED),
        ContextAccepted(2, older),
        Bound(None),
    ]
    assert link.client.presentation_of(older) == 2
    assert link.client.presentation_of(IF_UNKNOWN) is None
    with pytest.raises(CallerError):
        link.client.request(0, 0, b"")


def test_alter_context_adds_interfaces_and_security_contexts() -> None:
    link = Link()
    link.run(link.client.bind([IF_A], security=FakeContext(initiator=True), level=AuthenticationLevel.INTEGRITY))
    link.run(link.client.alter_context([IF_B]))
    second = FakeContext(initiator=True, auth_type=SPNEGO)
    third = FakeContext(initiator=True)
    events = link.client.alter_context([IF_B], security=second, level=AuthenticationLevel.PRIVACY)
    events += link.client.alter_context([], security=third, level=AuthenticationLevel.CONNECT)
    link.run(events)
    assert [event for event in link.client_events if isinstance(event, Bound)] == [
        Bound(0),
        Bound(None),
        Bound(1),
        Bound(2),
    ]
    with pytest.raises(CallerError, match="several"):
        link.client.request(0, 0, b"")
    with pytest.raises(CallerError, match="does not exist"):
        link.client.request(0, 0, b"", auth_context_id=7)
    for number, level in enumerate((AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY)):
        assert call(link, b"abc", b"def", auth_context_id=number).level is level


@pytest.mark.requirement("RPCE-3.3.2.5.2-01")
def test_calls_are_multiplexed_and_answered_in_any_order() -> None:
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    ids = [link.client.request(0, number, bytes([number]) * 9000) for number in range(5)]
    link.run()
    link.client_events.clear()
    assert [event.opnum for event in link.server_events if isinstance(event, RequestReceived)] == [0, 1, 2, 3, 4]
    for number in (3, 0, 4, 1, 2):
        assert link.server.respond(ids[number], b"%d" % number)
    link.run()
    assert link.client_events == [ResponseReceived(ids[number], b"%d" % number) for number in (3, 0, 4, 1, 2)]


@pytest.mark.requirement("RPCE-3.3.3-02", "RPCE-3.3.1.5.8-05")
def test_without_multiplexing_calls_wait_their_turn() -> None:
    link = bound(Link())
    link.client.multiplexed = False
    first, second = link.client.request(0, 1, b""), link.client.request(0, 2, b"")
    events = link.client.alter_context([IF_B])
    link.run(events)
    _, seen = link.take()
    assert [event.opnum for event in seen if isinstance(event, RequestReceived)] == [1]
    link.server.respond(first, b"")
    link.run()
    seen_by_client, seen = link.take()
    assert Bound(None) in seen_by_client
    assert [event.opnum for event in seen if isinstance(event, RequestReceived)] == [2]
    link.server.respond(second, b"")
    link.run()
    assert link.client_events == [ResponseReceived(second, b"")]


def test_faults() -> None:
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    link.take()
    call_id = link.client.request(0, 1, b"x")
    link.run()
    assert link.server.fault(call_id, HResult.NCA_S_OP_RNG_ERROR)
    assert not link.server.fault(call_id, HResult.NCA_S_OP_RNG_ERROR)
    assert not link.server.respond(call_id, b"")
    link.run()
    assert link.client_events == [FaultReceived(call_id, HResult.NCA_S_OP_RNG_ERROR, executed=True)]
    call(link, b"still", b"alive")


@pytest.mark.parametrize("level", [AuthenticationLevel.NONE, AuthenticationLevel.PRIVACY])
def test_cancel_and_orphan(level: AuthenticationLevel) -> None:
    link = bound(Link(), level)
    first, second = link.client.request(0, 1, b"x"), link.client.request(0, 2, b"y")
    link.run()
    link.take()
    link.client.cancel(first)
    assert link.client.orphan(second) == []
    link.run()
    assert link.server_events == [CallCancelled(first), CallOrphaned(second)]
    assert not link.server.respond(second, b"nobody listens")
    assert link.server.respond(first, b"late")
    link.run()
    assert link.client_events == [ResponseReceived(first, b"late")]
    call(link, b"still", b"alive")


def test_an_answer_to_an_orphaned_call_is_swallowed() -> None:
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    call_id = link.client.request(0, 1, b"x")
    link.run()
    link.server.respond(call_id, b"crosses the orphaned PDU" * 300)
    link.client.orphan(call_id)
    link.take()
    link.run()
    assert link.take() == ([], [])
    call(link, b"still", b"alive")


def test_calls_that_wait_can_be_cancelled_and_orphaned() -> None:
    link = bound(Link())
    link.client.multiplexed = False
    ids = [link.client.request(0, number, b"") for number in range(3)]
    link.client.cancel(ids[1])
    link.client.orphan(ids[2])
    link.run()
    link.server.respond(ids[0], b"")
    link.take()
    link.run()
    _, seen = link.take()
    assert [type(event) for event in seen] == [RequestReceived, CallCancelled]


# --- Authentication that fails ---


@pytest.mark.requirement("RPCE-3.3.1.5.2.1-29")
def test_a_wrong_password_in_three_legs_is_a_fault_at_the_first_call() -> None:
    link = Link()
    # rpc_auth_3 has no answer: the client learns it from its call (MS-RPCE 3.3.1.5.2.1).
    context = FakeContext(initiator=True)
    link.run(link.client.bind([IF_A], security=context, level=AuthenticationLevel.PRIVACY))
    good = link.to_server
    server = ServerConnection(OFFERED, now=0.0)
    bind_length = int.from_bytes(good[8:10], "little")
    (needed,) = server.receive(good[:bind_length], 0.0)
    assert isinstance(needed, AuthenticationNeeded)
    acceptor = FakeContext(initiator=False)
    assert server.authenticated(0, acceptor, acceptor.step(needed.token)) == []
    link.client.request(0, 0, b"secret stub")
    (needed,) = server.receive(good[bind_length:] + link.client.data_to_send(), 0.0)
    assert isinstance(needed, AuthenticationNeeded)
    assert needed.context is acceptor
    server.data_to_send()
    assert server.authentication_failed(0, "wrong password") == []
    assert acceptor.closed
    answer = server.data_to_send()
    assert answer[2] == 3
    assert answer[24:28] == (5).to_bytes(4, "little")
    assert not server.closed


@pytest.mark.requirement("RPCE-3.3.1.5.2.1-05", "RPCE-3.3.1.5.2.1-18")
def test_a_wrong_token_in_a_bind_is_a_bind_nak() -> None:
    link = Link()
    link.acceptor_password = "other"
    link.run(link.client.bind([IF_A], security=FakeContext(initiator=True), level=AuthenticationLevel.PRIVACY))
    assert link.client_events == [BindRefused(NakReason.INVALID_CHECKSUM)]
    (broken,) = link.server_events
    assert isinstance(broken, ConnectionBroken)
    assert isinstance(broken.reason, AuthenticationError)
    assert link.client.closed
    assert link.server.closed


@pytest.mark.requirement("RPCE-3.3.3.5.3-01")
def test_an_unknown_provider_is_a_bind_nak_or_a_fault() -> None:
    link = bound(Link(auth_types=frozenset({NTLM})), AuthenticationLevel.PRIVACY, SPNEGO)
    assert link.client_events == [BindRefused(NakReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED)]
    link = bound(Link(auth_types=frozenset({NTLM})))
    link.take()
    other = FakeContext(initiator=True, auth_type=SPNEGO)
    link.run(link.client.alter_context([IF_B], security=other, level=AuthenticationLevel.PRIVACY))
    assert link.client_events == [AlterRefused((IF_B,), 0, HResult.RPC_S_UNKNOWN_AUTHN_SERVICE)]
    call(link, b"still", b"alive")


@pytest.mark.requirement("RPCE-3.3.1.5.2.1-06")
def test_a_refused_alter_context_leaves_the_connection_alone() -> None:
    link = bound(Link())
    link.take()
    link.acceptor_password = "other"
    security = FakeContext(initiator=True, auth_type=SPNEGO)
    link.run(link.client.alter_context([IF_B], security=security, level=AuthenticationLevel.PRIVACY))
    assert link.client_events == [AlterRefused((IF_B,), 0, HResult.ERROR_ACCESS_DENIED)]
    assert call(link, b"still", b"alive").level is AuthenticationLevel.NONE


@pytest.mark.requirement("RPCE-3.3.1.5.2.1-15")
def test_the_client_gives_up_when_its_own_step_fails() -> None:
    client = ClientConnection(now=0.0)
    (needed,) = client.bind([IF_A], security=FakeContext(initiator=True), level=AuthenticationLevel.PRIVACY)
    assert isinstance(needed, AuthenticationNeeded)
    (broken,) = client.authentication_failed(needed.auth_context_id, "no ticket")
    assert isinstance(broken, ConnectionBroken)
    assert str(broken.reason) == "no ticket"
    assert client.data_to_send() == b""


@pytest.mark.parametrize(
    "level", [AuthenticationLevel.PACKET, AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY]
)
@pytest.mark.parametrize("where", [2, 20, 25, -1, -20])
@pytest.mark.parametrize("to_server", [True, False])
def test_a_changed_octet_ends_the_connection(level: AuthenticationLevel, where: int, to_server: bool) -> None:
    link = bound(Link(), level)
    call_id = link.client.request(0, 1, b"0123456789abcdef")
    link.take()
    forged = bytearray(link.client.data_to_send())
    if to_server:
        forged[where] ^= 0x01
        events = link.server.receive(bytes(forged), 0.0)
        assert not any(isinstance(event, RequestReceived) for event in events)
        assert isinstance(events[-1], ConnectionBroken)
        assert link.server.closed
        return
    link.server.receive(bytes(forged), 0.0)
    link.server.respond(call_id, b"0123456789abcdef")
    forged = bytearray(link.server.data_to_send())
    forged[where] ^= 0x01
    events = link.client.receive(bytes(forged), 0.0)
    assert not any(isinstance(event, ResponseReceived) for event in events)
    assert isinstance(events[-1], ConnectionBroken)
    assert link.client.closed


@pytest.mark.parametrize("level", [AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY])
def test_replayed_reordered_and_unprotected_pdus_end_the_connection(level: AuthenticationLevel) -> None:
    def pdus() -> tuple[Link, bytes, bytes]:
        link = bound(Link(), level)
        link.client.request(0, 1, b"first")
        first = link.client.data_to_send()
        link.client.request(0, 2, b"second")
        return link, first, link.client.data_to_send()

    link, first, second = pdus()
    assert isinstance(link.server.receive(second + first, 0.0)[-1], ConnectionBroken)
    link, first, second = pdus()
    assert isinstance(link.server.receive(first + first, 0.0)[-1], ConnectionBroken)
    link, first, second = pdus()
    # A response without a token, where tokens were agreed on.
    link.server.receive(first, 0.0)
    plain = bytes.fromhex("05000203100000001c00000003000000") + bytes(8) + b"abcd"
    (broken,) = link.client.receive(plain.replace(b"\x03\0\0\0\0", first[12:16] + b"\0", 1), 0.0)
    assert isinstance(broken, ConnectionBroken)
    assert isinstance(broken.reason, AuthenticationError)


def test_a_request_without_token_on_an_authenticated_connection_is_nobodys() -> None:
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    plain = ClientConnection(now=0.0)
    plain.bind([IF_A])
    plain.data_to_send()
    raw = bytes.fromhex("05000003100000001c00000063000000") + bytes(8) + b"abcd"
    (seen,) = link.server.receive(raw, 0.0)
    assert isinstance(seen, RequestReceived)
    assert seen.level is AuthenticationLevel.NONE
    assert seen.security is None


# --- Limits and time ---


@pytest.mark.parametrize(
    ("limits", "level", "size", "fits"),
    [
        (ConnectionLimits(max_stub_unauthenticated=3000), AuthenticationLevel.NONE, 3000, True),
        (ConnectionLimits(max_stub_unauthenticated=3000), AuthenticationLevel.NONE, 3001, False),
        (ConnectionLimits(max_stub=3000), AuthenticationLevel.PRIVACY, 3000, True),
        (ConnectionLimits(max_stub=3000), AuthenticationLevel.PRIVACY, 3001, False),
        (ConnectionLimits(max_stub=3000, max_fragment=1432), AuthenticationLevel.PRIVACY, 9000, False),
        (ConnectionLimits(max_stub=9000, max_stub_unauthenticated=1), AuthenticationLevel.CONNECT, 9000, True),
    ],
)
def test_the_size_of_stubs_is_limited(
    limits: ConnectionLimits, level: AuthenticationLevel, size: int, fits: bool
) -> None:
    link = bound(Link(server_limits=limits), level)
    link.take()
    call_id = link.client.request(0, 1, bytes(size))
    link.run()
    if fits:
        assert isinstance(link.server_events[0], RequestReceived)
    else:
        assert link.server_events == []
        assert link.client_events == [FaultReceived(call_id, HResult.ERROR_ACCESS_DENIED, executed=False)]
        call(link, b"still", b"alive")


def test_the_number_of_calls_is_limited() -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_calls=2), client_limits=ConnectionLimits(max_calls=3)))
    link.take()
    ids = [link.client.request(0, 1, bytes(3000)) for _ in range(3)]
    with pytest.raises(CallerError):
        link.client.request(0, 1, b"")
    link.run()
    assert link.client_events == [FaultReceived(ids[2], HResult.NCA_S_SERVER_TOO_BUSY, executed=False)]


@pytest.mark.requirement("RPCE-3.3.3.5.5-03")
def test_the_number_of_presentation_contexts_is_limited() -> None:
    link = Link(server_limits=ConnectionLimits(max_presentation_contexts=2))
    link.run(link.client.bind([IF_A, IF_B]))
    link.take()
    link.run(link.client.alter_context([IF_B]))
    assert link.client_events == [AlterRefused((IF_B,), None, HResult.RPC_S_PROTOCOL_ERROR)]
    call(link, b"still", b"alive")
    link = Link(server_limits=ConnectionLimits(max_presentation_contexts=2))
    link.run(link.client.bind([IF_A, IF_B, IF_A]))
    assert link.client_events == [BindRefused(NakReason.LOCAL_LIMIT_EXCEEDED)]


def test_the_number_of_security_contexts_is_limited() -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_security_contexts=2)), AuthenticationLevel.PRIVACY)
    more = [FakeContext(initiator=True) for _ in range(2)]
    link.run(link.client.alter_context([], security=more[0], level=AuthenticationLevel.PRIVACY))
    link.take()
    link.run(link.client.alter_context([], security=more[1], level=AuthenticationLevel.PRIVACY))
    assert isinstance(link.server_events[0], ConnectionBroken)


def test_guesses_of_a_password_are_limited() -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_incomplete_contexts=3)))
    link.acceptor_password = "other"
    for _ in range(4):
        security = FakeContext(initiator=True)
        link.run(link.client.alter_context([], security=security, level=AuthenticationLevel.PRIVACY))
    assert isinstance(link.server_events[-1], ConnectionBroken)
    assert sum(isinstance(event, AlterRefused) for event in link.client_events) == 4


def test_pdus_wait_while_authentication_is_under_way_and_are_limited() -> None:
    link = Link()
    (needed,) = link.client.bind([IF_A], security=FakeContext(initiator=True), level=AuthenticationLevel.CONNECT)
    assert isinstance(needed, AuthenticationNeeded)
    link.client.authenticated(0, needed.context, needed.context.step(b""))  # type: ignore[union-attr, arg-type]
    server = ServerConnection(OFFERED, now=0.0, limits=ConnectionLimits(max_held=1000))
    bind = link.client.data_to_send()
    server.receive(bind, 0.0)
    assert server.receive(bytes(1000), 0.0) == []
    (broken,) = server.receive(b"x", 0.0)
    assert isinstance(broken, ConnectionBroken)
    assert server.authenticated(0, FakeContext(initiator=False), b"") == []
    assert server.receive(bind, 0.0) == []


def test_fragments_larger_than_offered_end_the_connection() -> None:
    server = ServerConnection(OFFERED, now=0.0, limits=ConnectionLimits(max_fragment=5840))
    (broken,) = server.receive(bytes.fromhex("05000b0310000000d116000001000000"), 0.0)
    assert isinstance(broken, ConnectionBroken)
    assert server.data_to_send()[2] == 13


def timed_out(machine: ServerConnection | ClientConnection, stage: str) -> None:
    deadline = machine.next_timeout()
    assert deadline is not None
    assert machine.handle_timeout(deadline - 0.001) == []
    (broken,) = machine.handle_timeout(deadline)
    assert isinstance(broken, ConnectionBroken)
    assert isinstance(broken.reason, DeadlineExceeded)
    assert broken.reason.stage == stage
    assert machine.next_timeout() is None
    assert machine.handle_timeout(deadline + 1) == []


def test_a_silent_client_is_given_up() -> None:
    server = ServerConnection(OFFERED, now=5.0, limits=ConnectionLimits(handshake_timeout=10))
    assert server.next_timeout() == 15.0
    timed_out(server, "bind")


def test_a_bind_without_end_is_given_up() -> None:
    link = Link(server_limits=ConnectionLimits(handshake_timeout=10))
    link.run(link.client.bind([IF_A], security=FakeContext(initiator=True), level=AuthenticationLevel.PRIVACY))
    server = ServerConnection(OFFERED, now=0.0, limits=ConnectionLimits(handshake_timeout=10))
    server.receive(link.to_server[: int.from_bytes(link.to_server[8:10], "little")], 1.0)
    acceptor = FakeContext(initiator=False)
    server.authenticated(0, acceptor, acceptor.step(b"onesecret"))
    assert server.next_timeout() == 11.0
    timed_out(server, "bind")


def test_an_exchange_that_begins_late_has_its_own_time() -> None:
    link = bound(Link(server_limits=ConnectionLimits(handshake_timeout=10, unauthenticated_timeout=None)))
    link.now = 100.0
    client = ClientConnection(now=0.0)
    client.bind([IF_A, IF_B])
    client.receive(link.to_client[: int.from_bytes(link.to_client[8:10], "little")], 0.0)
    security = FakeContext(initiator=True)
    client.data_to_send()
    client.alter_context([], security=security, level=AuthenticationLevel.PRIVACY)
    client.authenticated(0, security, security.step(b""))
    (needed,) = link.server.receive(client.data_to_send(), 100.0)
    assert isinstance(needed, AuthenticationNeeded)
    assert link.server.handle_timeout(200.0) == []
    acceptor = FakeContext(initiator=False)
    link.server.authenticated(0, acceptor, acceptor.step(needed.token))
    assert link.server.next_timeout() == 110.0
    timed_out(link.server, "bind")


def test_a_failed_connect_level_context_is_a_fault_even_without_tokens() -> None:
    link = bound(Link(), AuthenticationLevel.CONNECT)
    call(link, b"x", b"y")
    link.server._handles[0].close()
    call_id = link.client.request(0, 1, b"")
    link.take()
    link.run()
    assert link.take() == ([FaultReceived(call_id, HResult.ERROR_ACCESS_DENIED, executed=False)], [])


def test_half_a_pdu_and_half_a_call_are_given_up() -> None:
    limits = ConnectionLimits(transfer_timeout=10, call_timeout=25)
    link = bound(Link(server_limits=limits))
    link.client.request(0, 0, bytes(4000))
    link.server.receive(link.client.data_to_send()[:100], 3.0)
    link.server.receive(b"\0", 9.0)
    assert link.server.next_timeout() == 13.0
    timed_out(link.server, "call")
    link = bound(Link(server_limits=ConnectionLimits(transfer_timeout=10, call_timeout=25, max_fragment=1432)))
    link.client.request(0, 0, bytes(10_000))
    data = link.client.data_to_send()
    link.server.receive(data[:1432], 1.0)
    assert link.server.next_timeout() == 11.0
    link.server.receive(data[1432:2864], 10.0)
    assert link.server.next_timeout() == 20.0
    link.server.receive(data[2864:4296], 19.0)
    assert link.server.next_timeout() == 26.0
    timed_out(link.server, "call")


def test_an_idle_connection_is_given_up_but_not_a_busy_one() -> None:
    link = bound(Link(server_limits=ConnectionLimits(idle_timeout=100, unauthenticated_timeout=None)))
    assert link.server.next_timeout() == 100
    call_id = link.client.request(0, 0, b"")
    link.now = 50.0
    link.run()
    assert link.server.next_timeout() is None
    link.server.respond(call_id, b"")
    assert link.server.next_timeout() == 150
    timed_out(link.server, "call")


def test_a_lost_connection_breaks_once() -> None:
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    lost = ConnectionLost("gone")
    assert link.server.peer_closed(lost) == [ConnectionBroken(lost)]
    assert link.server.peer_closed(lost) == []
    assert link.client.peer_closed(lost) == [ConnectionBroken(lost)]
    with pytest.raises(CallerError):
        link.client.request(0, 0, b"")


def test_misuse_is_the_callers_mistake() -> None:
    client = ClientConnection(now=0.0)
    with pytest.raises(CallerError):
        client.alter_context([IF_A])
    with pytest.raises(CallerError):
        client.bind([IF_A], security=FakeContext(initiator=True))
    link = bound(Link())
    with pytest.raises(CallerError):
        link.client.bind([IF_A])
    with pytest.raises(ValueError, match="asked for"):
        link.server.authenticated(0, FakeContext(initiator=False), b"")
    with pytest.raises(ValueError, match="asked for"):
        link.client.authenticated(0, FakeContext(initiator=True), b"")
    with pytest.raises(ValueError, match="max_fragment"):
        ServerConnection(OFFERED, now=0.0, limits=ConnectionLimits(max_fragment=1000))


def test_protocol_errors_say_what_is_wrong() -> None:
    server = ServerConnection(OFFERED, now=0.0)
    (broken,) = server.receive(bytes.fromhex("05000003100000001800000001000000") + bytes(8), 0.0)
    assert isinstance(broken, ConnectionBroken)
    assert isinstance(broken.reason, ProtocolError)
    assert "REQUEST" in str(broken.reason)
    assert server.data_to_send()[24:28] == HResult.NCA_S_PROTO_ERROR.to_bytes(4, "little")


def test_a_stranger_has_little_time() -> None:
    link = bound(Link(server_limits=ConnectionLimits(unauthenticated_timeout=30)))
    assert link.server.next_timeout() == 30
    (broken,) = link.server.handle_timeout(30)
    assert isinstance(broken, ConnectionBroken)
    assert isinstance(broken.reason, DeadlineExceeded)


@pytest.mark.parametrize("kind", ["orphaned", "co_cancel"])
def test_a_stranger_may_send_little(kind: str) -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_unauthenticated_pdus=8)))
    ptype = {"co_cancel": 18, "orphaned": 19}[kind]
    pdu = bytes.fromhex(f"0500{ptype:02x}03 10000000 1000 0000 09000000")
    events = link.server.receive(pdu * 100, 1.0)
    assert [type(event) for event in events] == [ConnectionBroken]


def test_strays_are_counted_even_of_friends() -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_unauthenticated_pdus=10**6, max_strays=5)))
    pdu = bytes.fromhex("05001303 10000000 1000 0000 09000000")
    assert link.server.receive(pdu * 5, 1.0) == []
    (broken,) = link.server.receive(pdu, 1.0)
    assert isinstance(broken, ConnectionBroken)
