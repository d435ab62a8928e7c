"""Any first and second token from a stranger is answered or an `AuthenticationError`; nobody gets in by it."""

from __future__ import annotations

from collections.abc import Iterable

import spnego

from openwmi.errors import AuthenticationError
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel
from openwmi.security.ntlm import NtlmInitiator, ServerNames

_ACCOUNTS = Accounts()
_ACCOUNTS.add("ada", "Correct-Horse-7")
_ACCEPTORS = LocalAcceptors(_ACCOUNTS, ServerNames.of("fuzz"))


def check(data: bytes) -> None:
    """See the first line. The first octet chooses the provider, the next two say where the second token begins."""
    if len(data) < 3:
        return
    acceptor = _ACCEPTORS.acceptor(SPNEGO if data[0] & 1 else NTLM, AuthenticationLevel.PRIVACY)
    split = int.from_bytes(data[1:3], "little") % (len(data) - 2)
    tokens = data[3 : 3 + split], data[3 + split :]
    try:
        for token in tokens:
            acceptor.step(token)
    except AuthenticationError as error:
        str(error)
    assert not acceptor.complete


def seeds() -> Iterable[bytes]:
    """The first tokens of good clients, with an answer to another challenge behind them."""
    plain = NtlmInitiator("ada", "Correct-Horse-7")
    first = plain.step(b"")
    second = plain.step(_ACCEPTORS.acceptor(NTLM, AuthenticationLevel.PRIVACY).step(first))
    yield b"\0" + len(first).to_bytes(2, "little") + first + second
    client = spnego.client(
        "ada", "Correct-Horse-7", protocol="negotiate", options=spnego.NegotiateOptions.use_negotiate
    )
    first = client.step() or b""
    second = client.step(_ACCEPTORS.acceptor(SPNEGO, AuthenticationLevel.PRIVACY).step(first)) or b""
    yield b"\1" + len(first).to_bytes(2, "little") + first + second
