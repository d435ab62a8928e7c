"""What a bind asks for and what it is given: levels and features."""

from __future__ import annotations

from uuid import UUID

import pytest

from openwmi.rpc import AuthenticationNeeded, ClientConnection, NegotiationResult, ServerConnection, SyntaxId
from openwmi.rpc.pdu import Bind, BindAck, ContextElement, SecurityTrailer, decode
from openwmi.security.context import NTLM, AuthenticationLevel
from tests.rpc.support import IF_A, OFFERED, FakeContext

FEATURES = UUID("6cb71c2c-9812-4540-ff00-000000000000")


@pytest.mark.requirement("RPCE-2.2.1.1.8-03")
def test_a_client_asks_for_packet_where_call_is_wanted() -> None:
    client = ClientConnection(now=0.0)
    security = FakeContext(initiator=True)
    client.bind([IF_A], security=security, level=AuthenticationLevel.CALL)
    client.authenticated(0, security, security.step(b""))
    bind = decode(client.data_to_send())
    assert bind.auth is not None
    assert bind.auth.level == AuthenticationLevel.PACKET


@pytest.mark.requirement("RPCE-2.2.1.1.8-04")
def test_a_server_takes_call_for_packet() -> None:
    server = ServerConnection(OFFERED, now=0.0)
    trailer = SecurityTrailer(NTLM, AuthenticationLevel.CALL, 0, b"onesecret")
    bind = Bind(call_id=1, max_xmit_frag=4280, max_recv_frag=4280, contexts=(ContextElement(0, IF_A),), auth=trailer)
    (needed,) = server.receive(bind.encode(), 0.0)
    assert isinstance(needed, AuthenticationNeeded)
    assert needed.level is AuthenticationLevel.PACKET


@pytest.mark.requirement(
    "RPCE-3.3.1.5.3-02", "RPCE-3.3.1.5.3-08", "RPCE-3.3.1.5.3-09", "RPCE-3.3.1.5.3-17", "RPCE-3.3.1.5.3-20"
)
def test_features_are_negotiated_in_the_bind() -> None:
    client = ClientConnection(now=0.0)
    client.bind([IF_A])
    sent = client.data_to_send()
    bind = decode(sent)
    assert isinstance(bind, Bind)
    wanted = bind.contexts[-1]
    assert wanted.abstract_syntax == bind.contexts[-2].abstract_syntax
    assert [str(syntax) for syntax in wanted.transfer_syntaxes] == ["6cb71c2c-9812-4540-0300-000000000000 v1.0"]
    server = ServerConnection(OFFERED, now=0.0)
    # All bits, the reserved ones too: only what the server has comes back.
    server.receive(sent.replace(wanted.transfer_syntaxes[0].uuid.bytes_le, FEATURES.bytes_le), 0.0)
    ack = decode(server.data_to_send())
    assert isinstance(ack, BindAck)
    result = ack.results[-1]
    assert (result.result, result.reason) == (NegotiationResult.NEGOTIATE_ACK, 3)
    assert result.transfer_syntax == SyntaxId(UUID(int=0), (0, 0))
