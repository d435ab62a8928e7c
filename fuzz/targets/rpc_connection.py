"""Whatever a peer sends, a connection gives events or its one end, keeps little, and its timers end it at last."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from openwmi.errors import AuthenticationError, PeerError
from openwmi.rpc import (
    AssociationGroups,
    AuthenticationNeeded,
    ClientConnection,
    ConnectionBroken,
    ConnectionLimits,
    Event,
    RequestReceived,
    ServerConnection,
    SyntaxId,
)
from openwmi.security.accounts import Accounts
from openwmi.security.context import NTLM, AuthenticationLevel
from openwmi.security.ntlm import NtlmAcceptor, NtlmInitiator, ServerNames

_SYNTAX = SyntaxId(UUID("99fcfec4-5260-101b-bbcb-00aa0021347a"), (0, 0))
_LIMITS = ConnectionLimits(max_fragment=1432, max_stub=8192, max_stub_unauthenticated=4096, max_held=4096, max_calls=8)
_ACCOUNTS = Accounts()
_ACCOUNTS.add("ada", "Correct-Horse-7")
_NAMES = ServerNames.of("fuzz")


def check(data: bytes) -> None:
    """See the first line. The first octet says how large the pieces are in which the rest arrives."""
    if not data:
        return
    piece, data = data[0] * 8 + 1, data[1:]
    groups = AssociationGroups()
    server = ServerConnection(
        {(_SYNTAX.uuid, 0): 0}, now=0.0, limits=_LIMITS, auth_types=frozenset({NTLM}), groups=groups
    )
    client = ClientConnection(now=0.0, limits=_LIMITS)
    client.bind([_SYNTAX])
    for machine in (server, client):
        for at in range(0, len(data), piece):
            _drive(machine, machine.receive(data[at : at + piece], 0.0))
            machine.data_to_send()
            assert len(machine._input) <= _LIMITS.max_held + piece
        _drive(machine, machine.handle_timeout(1e9))
    assert server.closed
    assert len(groups) == 0


def _drive(machine: ServerConnection | ClientConnection, queue: list[Event]) -> None:
    """Play the adapter: take steps, answer calls."""
    while queue:
        event = queue.pop(0)
        if isinstance(event, ConnectionBroken):
            assert isinstance(event.reason, PeerError)
            assert machine.closed
            assert not queue
        elif isinstance(event, AuthenticationNeeded):
            context = event.context or NtlmAcceptor(_ACCOUNTS, _NAMES, level=event.level)
            try:
                token = context.step(event.token)
            except AuthenticationError as error:
                queue += machine.authentication_failed(event.auth_context_id, str(error))
            else:
                queue += machine.authenticated(event.auth_context_id, context, token)
        elif isinstance(event, RequestReceived):
            assert isinstance(machine, ServerConnection)
            assert len(event.stub) <= _LIMITS.max_stub
            machine.respond(event.call_id, event.stub)


def seeds() -> Iterable[bytes]:
    """What a client sends in a session without security, and the beginning of one with it; and a server's answers."""
    server = ServerConnection({(_SYNTAX.uuid, 0): 0}, now=0.0, limits=_LIMITS)
    client = ClientConnection(now=0.0, limits=_LIMITS)
    client.bind([_SYNTAX])
    there = back = b""
    for size in (0, 10, 3000):
        if there:
            number = client.request(0, 3, bytes(size))
            client.cancel(number)
        sent = client.data_to_send()
        there += sent
        for event in server.receive(sent, 0.0):
            if isinstance(event, RequestReceived):
                server.respond(event.call_id, event.stub)
        sent = server.data_to_send()
        back += sent
        client.receive(sent, 0.0)
    yield b"\xff" + there
    yield b"\x03" + back
    client = ClientConnection(now=0.0, limits=_LIMITS)
    initiator = NtlmInitiator("ada", "Correct-Horse-7")
    client.bind([_SYNTAX], security=initiator, level=AuthenticationLevel.PRIVACY)
    client.authenticated(0, initiator, initiator.step(b""))
    yield b"\xff" + client.data_to_send()
