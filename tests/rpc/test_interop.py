"""PDUs that impacket and aiowmi build, and real NTLM contexts between the two machines."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from openwmi.rpc import (
    AuthenticationNeeded,
    Bound,
    ClientConnection,
    ContextAccepted,
    Event,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
    SyntaxId,
)
from openwmi.rpc.pdu import NDR20, Bind, BindAck, ContextElement, ContextResult, Fault, Request, Response, decode
from openwmi.security.accounts import Accounts
from openwmi.security.context import NTLM, AuthenticationLevel
from openwmi.security.ntlm import NtlmAcceptor, NtlmInitiator, ServerNames
from tests.rpc.support import IF_A, IF_B, OFFERED

rpcrt = pytest.importorskip("impacket.dcerpc.v5.rpcrt")
IMPACKET_UUID = pytest.importorskip("impacket.uuid")


def impacket_syntax(syntax: SyntaxId) -> Any:
    version = f"{syntax.version[0]}.{syntax.version[1]}"
    return IMPACKET_UUID.uuidtup_to_bin((str(syntax.uuid), version))


def impacket_bind(alter: bool = False) -> bytes:
    bind = rpcrt.MSRPCBind()
    item = rpcrt.CtxItem()
    item["AbstractSyntax"] = impacket_syntax(IF_A)
    item["TransferSyntax"] = impacket_syntax(NDR20)
    item["ContextID"] = 0
    item["TransItems"] = 1
    bind.addCtxItem(item)
    packet = rpcrt.MSRPCHeader()
    packet["type"] = rpcrt.MSRPC_ALTERCTX if alter else rpcrt.MSRPC_BIND
    packet["pduData"] = bind.getData()
    packet["call_id"] = 1
    return bytes(packet.get_packet())


def impacket_request(call_id: int, stub: bytes, uuid: UUID | None = None) -> bytes:
    packet = rpcrt.MSRPCRequestHeader()
    packet["call_id"] = call_id
    packet["ctx_id"] = 0
    packet["op_num"] = 7
    packet["alloc_hint"] = len(stub)
    packet["pduData"] = stub
    if uuid is not None:
        packet["flags"] |= rpcrt.PFC_OBJECT_UUID
        packet["uuid"] = uuid.bytes_le
    return bytes(packet.get_packet())


def test_impackets_bind_and_request_are_understood() -> None:
    bind = decode(impacket_bind())
    assert isinstance(bind, Bind)
    assert bind.contexts == (ContextElement(0, IF_A),)
    assert (bind.max_xmit_frag, bind.max_recv_frag) == (4280, 4280)
    request = decode(impacket_request(5, b"abc", UUID(int=77)))
    assert isinstance(request, Request)
    assert (request.opnum, request.object_uuid) == (7, UUID(int=77))


def test_impacket_understands_our_answers() -> None:
    server = ServerConnection(OFFERED, now=0.0, secondary_address="135")
    server.receive(impacket_bind(), 0.0)
    ack = rpcrt.MSRPCBindAck(server.data_to_send())
    assert ack["type"] == rpcrt.MSRPC_BINDACK
    assert (ack["max_rfrag"], ack["ctx_num"], ack["SecondaryAddr"]) == (4280, 1, "135")
    assert ack.getCtxItem(1)["Result"] == 0
    (request,) = server.receive(impacket_request(2, b"abcd"), 0.0)
    assert isinstance(request, RequestReceived)
    server.respond(2, b"answer")
    response = rpcrt.MSRPCRespHeader(server.data_to_send())
    assert response["call_id"] == 2
    assert response["pduData"] == b"answer"
    server.receive(impacket_request(3, b"abcd"), 0.0)
    server.fault(3, 0x1C010002)
    fault = rpcrt.MSRPCRespHeader(server.data_to_send())
    assert fault["type"] == rpcrt.MSRPC_FAULT
    assert fault["pduData"][:4] == (0x1C010002).to_bytes(4, "little")


def test_impackets_answers_are_understood() -> None:
    ack = rpcrt.MSRPCBindAck()
    result = rpcrt.CtxItemResult()
    result["Result"], result["Reason"], result["TransferSyntax"] = 0, 0, impacket_syntax(NDR20)
    ack["type"], ack["call_id"] = rpcrt.MSRPC_BINDACK, 1
    ack["max_tfrag"] = ack["max_rfrag"] = 5840
    ack["assoc_group"] = 0x1234
    ack["SecondaryAddr"], ack["SecondaryAddrLen"] = b"49152", 6
    ack["Pad"] = b"A" * ((4 - ((6 + 26) % 4)) % 4)
    ack["ctx_num"], ack["ctx_items"] = 1, result.getData()
    ack["frag_len"] = len(ack.getData())
    found = decode(bytes(ack.getData()))
    assert isinstance(found, BindAck)
    assert found.results == (ContextResult(0, 0, NDR20),)
    assert found.secondary_address == "49152"
    fault = rpcrt.MSRPCRespHeader()
    fault["type"], fault["pduData"] = rpcrt.MSRPC_FAULT, b"\x05\0\0\0"
    found_fault = decode(bytes(fault.get_packet()))
    assert isinstance(found_fault, Fault)
    assert found_fault.status == 5
    response = rpcrt.MSRPCRespHeader()
    response["pduData"] = b"abc"
    found_response = decode(bytes(response.get_packet()))
    assert isinstance(found_response, Response)
    # impacket fills the body up to four octets.
    assert found_response.stub.startswith(b"abc")


def test_aiowmis_bind_is_understood() -> None:
    dcom = pytest.importorskip("aiowmi.dcom")
    negotiate = pytest.importorskip("aiowmi.ntlm.auth_negotiate")
    raw = dcom.Dcom().get_negotiate_ntlm_pkg(impacket_syntax(IF_A), negotiate.NTLMAuthNegotiate(), 6, 4242)
    bind = decode(bytes(raw))
    assert isinstance(bind, Bind)
    assert bind.contexts[0].abstract_syntax == IF_A
    assert bind.auth is not None
    assert (bind.auth.auth_type, bind.auth.level, bind.auth.context_id) == (NTLM, 6, 4242)
    assert bind.auth.token.startswith(b"NTLMSSP\0")


# --- Sessions with real NTLM ---

LEVELS = [AuthenticationLevel.CONNECT, AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY]


class EchoServer:
    """A `ServerConnection` whose calls answer with their own stub, reversed."""

    def __init__(self) -> None:
        self.machine = ServerConnection(OFFERED, now=0.0, secondary_address="49152")
        self.accounts = Accounts()
        self.accounts.add("Ada", "secret", administrator=True)
        self.names: list[tuple[str, AuthenticationLevel]] = []

    def receive(self, data: bytes) -> bytes:
        queue = self.machine.receive(data, 0.0)
        while queue:
            event = queue.pop(0)
            if isinstance(event, AuthenticationNeeded):
                context = event.context or NtlmAcceptor(
                    self.accounts, ServerNames.of("host.example.test"), level=event.level
                )
                token = context.step(event.token)
                queue += self.machine.authenticated(event.auth_context_id, context, token)
            else:
                assert isinstance(event, RequestReceived), event
                if event.security is not None:
                    self.names.append((event.security.peer.name, event.level))
                self.machine.respond(event.call_id, event.stub[::-1])
        return self.machine.data_to_send()


class MemoryTransport:
    """What impacket takes for a transport: octets go to the server, its answers wait for `recv`."""

    def __init__(self, server: EchoServer) -> None:
        self.server = server
        self.answers = b""

    def send(self, data: bytes, forceWriteAndx: int = 0, forceRecv: int = 0) -> None:
        self.answers += self.server.receive(data)

    def recv(self, forceRecv: int = 0, count: int = 0) -> bytes:
        data = self.answers[: count or None]
        self.answers = self.answers[len(data) :]
        return data

    def get_credentials(self) -> tuple[Any, ...]:
        return ("Ada", "secret", "HOST", "", "", "", None, None)

    def doesSupportNTLMv2(self) -> bool:
        return True


@pytest.mark.parametrize("level", LEVELS)
def test_impacket_as_client(level: AuthenticationLevel) -> None:
    server = EchoServer()
    dce = rpcrt.DCERPC_v5(MemoryTransport(server))
    dce.set_auth_type(rpcrt.RPC_C_AUTHN_WINNT)
    dce.set_auth_level(int(level))
    dce.bind(impacket_syntax(IF_A))
    # Every call to another interface is another alter_context with another security context, without
    # bind time feature negotiation.
    for interface in (None, IF_B, IF_A):
        if interface is not None:
            dce = dce.alter_ctx(impacket_syntax(interface))
        for size in (4, 100, 20_000):
            stub = (b"0123456789" * (size // 10 + 1))[:size]
            dce.call(7, stub, None)
            assert dce.recv() == stub[::-1]
    calls = 9 if level > AuthenticationLevel.CONNECT else 3
    assert server.names == [("HOST\\Ada", level)] * calls


@pytest.mark.parametrize("level", LEVELS)
def test_our_client_with_real_ntlm(level: AuthenticationLevel) -> None:
    server = EchoServer()
    client = ClientConnection(now=0.0)
    initiator = NtlmInitiator("Ada", "secret", target="host", level=level)
    seen: list[Event] = []
    queue = client.bind([IF_A], security=initiator, level=level)
    stub = bytes(range(256)) * 1000
    while True:
        while queue:
            event = queue.pop(0)
            seen.append(event)
            if isinstance(event, AuthenticationNeeded):
                assert event.context is not None
                token = event.context.step(event.token)
                queue += client.authenticated(event.auth_context_id, event.context, token)
            elif isinstance(event, Bound):
                client.request(0, 1, stub)
        data = client.data_to_send()
        if not data:
            break
        queue = client.receive(server.receive(data), 0.0)
    assert [event for event in seen if not isinstance(event, AuthenticationNeeded)] == [
        ContextAccepted(0, IF_A),
        Bound(0),
        ResponseReceived(2, stub[::-1]),
    ]
    assert server.names == [("HOST\\Ada", level)]
