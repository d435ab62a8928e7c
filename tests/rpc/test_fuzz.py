"""Mutated PDUs thrown at both machines: events or ConnectionBroken come out, never an exception, and soon."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.errors import AuthenticationError, PeerError
from openwmi.rpc import (
    AuthenticationNeeded,
    ClientConnection,
    ConnectionBroken,
    ConnectionLimits,
    Event,
    RequestReceived,
    ServerConnection,
)
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel
from tests.rpc.support import IF_A, IF_B, OFFERED, FakeContext, Link

LIMITS = ConnectionLimits(max_fragment=1432, max_stub=20_000, max_stub_unauthenticated=5000, max_held=5000)


def session(level: AuthenticationLevel, auth_type: int) -> tuple[bytes, bytes]:
    """What client and server send in a session with a bit of everything."""
    link = Link(client_limits=LIMITS, server_limits=LIMITS)
    security = None if level is AuthenticationLevel.NONE else FakeContext(initiator=True, auth_type=auth_type)
    link.run(link.client.bind([IF_A, IF_B], security=security, level=level))
    for size in (10, 4000):
        call_id = link.client.request(0, 5, bytes(size))
        link.run()
        link.server.respond(call_id, bytes(size))
        link.run()
    link.run(link.client.alter_context([IF_B]))
    first, second, third = (link.client.request(1, number, b"xyz") for number in range(3))
    link.run()
    link.client.cancel(first)
    link.client.orphan(second)
    link.run()
    link.server.fault(third, 5)
    link.run()
    return link.to_server, link.to_client


SESSIONS = {
    (level, auth_type): session(level, auth_type)
    for level in (AuthenticationLevel.NONE, AuthenticationLevel.CONNECT, AuthenticationLevel.PRIVACY)
    for auth_type in (NTLM, SPNEGO)
}

Which = tuple[AuthenticationLevel, int]
Mutations = list[tuple[str, int, bytes]]

MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "repeat"]), st.integers(0, 20_000), st.binary(max_size=4)),
    max_size=3,
)


def mutated(data: bytes, mutations: Mutations) -> bytes:
    for kind, where, octets in mutations:
        at = where % (len(data) + 1)
        if kind == "set":
            data = data[:at] + octets + data[at + len(octets) :]
        elif kind == "cut":
            data = data[:at] + data[at + len(octets) :]
        elif kind == "insert":
            data = data[:at] + octets + data[at:]
        else:
            data = data[:at] + data[max(at - 200, 0) : at] + data[at:]
    return data


def drive(machine: ServerConnection | ClientConnection, events: list[Event], budget: int = 500) -> None:
    """Play the adapter: take steps, answer calls."""
    queue = list(events)
    while queue:
        budget -= 1
        assert budget > 0, "no end of events"
        event = queue.pop(0)
        assert isinstance(event, Event)
        if isinstance(event, ConnectionBroken):
            assert isinstance(event.reason, PeerError)
            assert str(event.reason)
            assert machine.closed
            assert not queue
        elif isinstance(event, AuthenticationNeeded):
            context = event.context or FakeContext(initiator=False, auth_type=event.auth_type)
            try:
                token = context.step(event.token)
            except AuthenticationError as problem:
                queue += machine.authentication_failed(event.auth_context_id, str(problem))
            else:
                queue += machine.authenticated(event.auth_context_id, context, token)
        elif isinstance(event, RequestReceived):
            assert isinstance(machine, ServerConnection)
            assert len(event.stub) <= LIMITS.max_stub
            machine.respond(event.call_id, event.stub)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SESSIONS)), MUTATIONS, st.integers(1, 3000))
def test_the_server_survives(which: Which, mutations: Mutations, chunk: int) -> None:
    data = mutated(SESSIONS[which][0], mutations)
    server = ServerConnection(OFFERED, now=0.0, limits=LIMITS, auth_types=frozenset({NTLM, SPNEGO}))
    for at in range(0, len(data), chunk):
        drive(server, server.receive(data[at : at + chunk], 0.0))
        server.data_to_send()
        assert len(server._input) <= LIMITS.max_held + chunk
    drive(server, server.handle_timeout(1e9))
    assert server.closed


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SESSIONS)), MUTATIONS, st.integers(1, 3000))
def test_the_client_survives(which: Which, mutations: Mutations, chunk: int) -> None:
    level, auth_type = which
    data = mutated(SESSIONS[which][1], mutations)
    client = ClientConnection(now=0.0, limits=LIMITS)
    security = None if level is AuthenticationLevel.NONE else FakeContext(initiator=True, auth_type=auth_type)
    drive(client, client.bind([IF_A, IF_B], security=security, level=level))
    for at in range(0, len(data), chunk):
        drive(client, client.receive(data[at : at + chunk], 0.0))
        client.data_to_send()
        if not client.closed and client.presentation_of(IF_A) is not None and client.outstanding_calls < 3:
            client.request(0, 5, b"abc")
    drive(client, client.handle_timeout(1e9))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_at_all(data: bytes) -> None:
    server = ServerConnection(OFFERED, now=0.0)
    drive(server, server.receive(data, 0.0))
    client = ClientConnection(now=0.0)
    client.bind([IF_A])
    drive(client, client.receive(data, 0.0))


@pytest.mark.parametrize("level", [AuthenticationLevel.NONE, AuthenticationLevel.PRIVACY])
def test_a_session_cut_after_any_octet_leaves_the_server_waiting(level: AuthenticationLevel) -> None:
    data = SESSIONS[level, NTLM][0]
    for size in range(0, len(data), 97):
        server = ServerConnection(OFFERED, now=0.0, auth_types=frozenset({NTLM}))
        drive(server, server.receive(data[:size], 0.0))
        assert not server.closed
        assert server.next_timeout() is not None
