"""Any octets are a PDU or a `PeerError`, and a PDU that is written again decodes to the same."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from openwmi.errors import PeerError
from openwmi.rpc.header import LITTLE_ENDIAN
from openwmi.rpc.pdu import (
    AlterContext,
    Auth3,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextElement,
    ContextResult,
    Fault,
    Request,
    Response,
    SecurityTrailer,
    SyntaxId,
    decode,
    fragment_length,
)

_SYNTAX = SyntaxId(UUID("99fcfec4-5260-101b-bbcb-00aa0021347a"), (0, 0))
_TOKEN = SecurityTrailer(10, 6, 0, b"NTLMSSP\0" + bytes(16))


def check(data: bytes) -> None:
    """See the first line."""
    try:
        fragment_length(data)
        pdu = decode(data)
    except PeerError as error:
        str(error)
        return
    if pdu.representation == LITTLE_ENDIAN:
        again = decode(pdu.encode())
        if pdu.stub_alignment:
            assert again == pdu
        else:
            assert (type(again), again.call_id, again.flags) == (type(pdu), pdu.call_id, pdu.flags)


def seeds() -> Iterable[bytes]:
    """One PDU of each kind."""
    contexts = (ContextElement(0, _SYNTAX), ContextElement(1, _SYNTAX))
    results = (ContextResult(0, 0, _SYNTAX), ContextResult(2, 1))
    yield Bind(call_id=1, max_xmit_frag=4280, max_recv_frag=4280, contexts=contexts, auth=_TOKEN).encode()
    yield AlterContext(call_id=1, max_xmit_frag=4280, max_recv_frag=4280, contexts=contexts).encode()
    yield BindAck(
        call_id=1, max_xmit_frag=4280, max_recv_frag=4280, assoc_group_id=7, secondary_address="135", results=results
    ).encode()
    yield BindNak(call_id=1, reason=4).encode()
    yield Auth3(call_id=1, auth=_TOKEN).encode()
    yield Request(call_id=2, opnum=3, object_uuid=UUID(int=5), stub=bytes(32), auth=_TOKEN).encode()
    yield Response(call_id=2, stub=bytes(32)).encode()
    yield Fault(call_id=2, status=5).encode()
    yield CoCancel(call_id=2, auth=_TOKEN).encode()
