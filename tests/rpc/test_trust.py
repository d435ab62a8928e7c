"""What a PDU about a call must prove before it is believed, and what the end of a connection says was cut off."""

from __future__ import annotations

import pytest

from openwmi.errors import ConnectionLost
from openwmi.rpc import (
    AuthenticationNeeded,
    CallCancelled,
    CallOrphaned,
    ClientConnection,
    ConnectionBroken,
    ConnectionLimits,
    FaultReceived,
    RequestReceived,
    ServerConnection,
)
from openwmi.rpc.header import FORBIDDEN_FAULTS
from openwmi.rpc.pdu import CoCancel, Orphaned, Pdu, fragment_length
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel
from openwmi.status import HResult
from tests.rpc.support import IF_A, OFFERED, FakeContext, Link, bound

# What a verification trailer begins with (MS-RPCE 2.2.2.13.1).
SIGNATURE = bytes.fromhex("8ae3137102f43671")
PROTECTED = [AuthenticationLevel.PACKET, AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY]


@pytest.mark.parametrize("level", PROTECTED)
@pytest.mark.parametrize("kind", [CoCancel, Orphaned])
def test_who_cannot_sign_cannot_end_a_call(level: AuthenticationLevel, kind: type[Pdu]) -> None:
    link = bound(Link(), level)
    call_id = link.client.request(0, 1, b"x")
    link.run()
    link.take()
    assert link.server.receive(kind(call_id=call_id).encode(), 0.0) == []
    assert not link.server.closed
    assert link.server.respond(call_id, b"all the same")


@pytest.mark.parametrize("kind", [CoCancel, Orphaned])
def test_another_security_context_cannot_end_a_call(kind: type[Pdu]) -> None:
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    second = FakeContext(initiator=True)
    link.run(link.client.alter_context([], security=second, level=AuthenticationLevel.PRIVACY))
    call_id = link.client.request(0, 1, b"x", auth_context_id=0)
    link.run()
    link.take()
    link.client._send(kind(call_id=call_id), link.client._handles[1])
    link.run()
    assert link.server_events == []
    assert link.server.outstanding_calls == 1


def test_half_a_call_is_ended_by_who_sends_it_only() -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_fragment=1432)), AuthenticationLevel.PRIVACY)
    call_id = link.client.request(0, 1, bytes(4000))
    data = link.client.data_to_send()
    first = fragment_length(data)
    link.server.receive(data[:first], 0.0)
    link.server.receive(Orphaned(call_id=call_id).encode(), 0.0)
    assert len(link.server.receive(data[first:], 0.0)) == 1


@pytest.mark.parametrize("level", [AuthenticationLevel.NONE, AuthenticationLevel.CONNECT])
def test_calls_that_nothing_protects_are_ended_by_a_bare_pdu(level: AuthenticationLevel) -> None:
    link = bound(Link(), level)
    call_id = link.client.request(0, 1, b"x")
    link.run()
    link.take()
    assert link.server.receive(CoCancel(call_id=call_id).encode(), 0.0) == [CallCancelled(call_id)]
    assert link.server.receive(Orphaned(call_id=call_id).encode(), 0.0) == [CallOrphaned(call_id)]


@pytest.mark.requirement("RPCE-3.3.3.5.1-03", "RPCE-3.3.3.5.1-05", "RPCE-2.2.2.8-02")
@pytest.mark.parametrize("status", sorted(FORBIDDEN_FAULTS))
def test_a_fault_never_looks_like_the_clients_own_crash(status: int) -> None:
    link = bound(Link())
    call_id = link.client.request(0, 1, b"x")
    link.run()
    link.take()
    link.server.fault(call_id, status)
    link.run()
    assert link.client_events == [FaultReceived(call_id, HResult.RPC_E_SERVERFAULT)]


def undone(server: ServerConnection) -> str:
    (broken,) = server.peer_closed(ConnectionLost("cut"))
    assert isinstance(broken, ConnectionBroken)
    return broken.undone


def test_the_end_says_what_it_cut_off() -> None:
    client = ClientConnection(now=0.0)
    security = FakeContext(initiator=True)
    client.bind([IF_A], security=security, level=AuthenticationLevel.PRIVACY)
    client.authenticated(0, security, security.step(b""))
    bind = client.data_to_send()

    assert undone(ServerConnection(OFFERED, now=0.0)) == "before a bind"

    half = ServerConnection(OFFERED, now=0.0)
    half.receive(bind[:20], 0.0)
    assert undone(half) == "in the middle of a bind"

    stepping = ServerConnection(OFFERED, now=0.0)
    (needed,) = stepping.receive(bind, 0.0)
    assert isinstance(needed, AuthenticationNeeded)
    assert undone(stepping) == "in the middle of an authentication"

    awaiting = ServerConnection(OFFERED, now=0.0)
    awaiting.receive(bind, 0.0)
    acceptor = FakeContext(initiator=False)
    awaiting.authenticated(0, acceptor, acceptor.step(needed.token))
    assert undone(awaiting) == "in the middle of an authentication"

    link = bound(Link(), AuthenticationLevel.PRIVACY)
    assert undone(link.server) == ""
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    link.client.request(0, 1, b"x")
    link.run()
    assert undone(link.server) == "with 1 calls not answered"
    link = bound(Link(), AuthenticationLevel.PRIVACY)
    link.client.request(0, 1, b"x")
    link.server.receive(link.client.data_to_send()[:-3], 0.0)
    assert undone(link.server) == "in the middle of a request"


@pytest.mark.requirement("RPCE-2.2.2.13-02", "RPCE-2.2.2.13-06", "RPCE-2.2.2.13.1-01", "RPCE-2.2.2.13-07")
@pytest.mark.parametrize("level", PROTECTED)
@pytest.mark.parametrize("size", [0, 1, 1300, 1376, 1391, 1392, 1393, 4000])
def test_a_client_whose_headers_are_not_signed_says_inside_what_they_are(level: AuthenticationLevel, size: int) -> None:
    link = bound(Link(server_limits=ConnectionLimits(max_fragment=1432)), level, SPNEGO)
    link.client.header_signing = link.server.header_signing = False
    link.take()
    stub = bytes(range(256)) * 20
    link.client.request(0, 5, stub[:size])
    sent = link.client.data_to_send()
    fragments = []
    while sent:
        length = fragment_length(sent)
        fragments.append(sent[:length])
        sent = sent[length:]
    assert all(len(fragment) <= 1432 for fragment in fragments)
    if level is not AuthenticationLevel.PRIVACY:
        assert [SIGNATURE in fragment for fragment in fragments] == [False] * (len(fragments) - 1) + [True]
        assert fragments[-1].index(SIGNATURE) % 4 == 0
    (request,) = link.server.receive(b"".join(fragments), 0.0)
    assert isinstance(request, RequestReceived)
    assert request.stub[:size] == stub[:size]
    assert request.stub[size:] == bytes(-size % 4)


@pytest.mark.requirement("RPCE-2.2.2.13.3-07", "RPCE-2.2.2.13.3-09")
def test_a_header_that_was_changed_is_noticed_by_the_trailer() -> None:
    link = bound(Link(), AuthenticationLevel.INTEGRITY, SPNEGO)
    link.client.header_signing = link.server.header_signing = False
    link.take()
    call_id = link.client.request(0, 5, b"stub")
    forged = bytearray(link.client.data_to_send())
    forged[22] = 6  # opnum
    assert link.server.receive(bytes(forged), 0.0) == []
    link.run()
    assert link.client_events == [FaultReceived(call_id, HResult.ERROR_ACCESS_DENIED, executed=False)]


def test_a_client_whose_headers_are_signed_adds_nothing() -> None:
    for auth_type, header_signing in ((SPNEGO, True), (NTLM, False)):
        link = bound(Link(), AuthenticationLevel.INTEGRITY, auth_type)
        link.client.header_signing = link.server.header_signing = header_signing
        link.client.request(0, 5, b"stub")
        assert SIGNATURE not in link.client.data_to_send()
