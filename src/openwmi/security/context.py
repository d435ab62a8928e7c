"""What a protocol sees of an authentication mechanism: contexts that exchange tokens and protect messages.

A `SecurityContext` consumes the peer's tokens in `step` until it is `complete`, and afterwards seals, unseals,
signs and verifies messages, each once and in order: mechanisms number their messages. Everything that a peer
can cause raises `openwmi.errors.AuthenticationError`; its message names the principal and the reason and never
holds a secret. A context reads no socket; `step` is the only place where it may spend time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from openwmi.security.principals import Principal

__all__ = [
    "KERBEROS",
    "NTLM",
    "SPNEGO",
    "Acceptors",
    "AuthenticationLevel",
    "ImpersonationLevel",
    "SecurityContext",
]

# Security providers of RPC, `auth_type` in a PDU's security trailer (MS-RPCE 2.2.1.1.7).
SPNEGO: Final = 9
NTLM: Final = 10
KERBEROS: Final = 16


class AuthenticationLevel(IntEnum):
    """How much of each message is protected (MS-RPCE 2.2.1.1.8); a higher level includes the lower ones."""

    NONE = 1
    CONNECT = 2
    CALL = 3
    PACKET = 4
    INTEGRITY = 5
    PRIVACY = 6


class ImpersonationLevel(IntEnum):
    """What a client lets the server do in its name (MS-RPCE 2.2.1.1.9, MS-WMI 3.1.4)."""

    ANONYMOUS = 1
    IDENTIFY = 2
    IMPERSONATE = 3
    DELEGATE = 4


class SecurityContext(Protocol):
    """One authentication exchange and the protection of messages that it yields."""

    auth_type: int
    """The security provider's number on the wire: `SPNEGO`, `NTLM` or `KERBEROS`."""

    @property
    def complete(self) -> bool:
        """Whether the exchange has succeeded. False again never."""
        ...

    @property
    def signature_size(self) -> int:
        """Octets of the token on each protected message; constant for a context."""
        ...

    @property
    def peer(self) -> Principal:
        """Acceptor: who authenticated. `AuthenticationError` before `complete` and from an initiator."""
        ...

    @property
    def claimed_name(self) -> str:
        """Acceptor: the account that the peer says it is, for logs and slow-downs; empty until it has said so."""
        ...

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        """Acceptor: what the peer allows. `AuthenticationError` before `complete`."""
        ...

    def step(self, token: bytes) -> bytes:
        """Take the peer's token (empty for an initiator's first step); give ours (empty if there is none)."""
        ...

    def seal(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """Encrypt `body`; sign `header`, `body` and `trailer`. Returns the sealed body and the token."""
        ...

    def unseal(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> bytes:
        """The reverse of `seal`: the clear body, after its token has been verified."""
        ...

    def sign(self, header: bytes, body: bytes, trailer: bytes) -> bytes:
        """The token that signs the three parts, none of them encrypted."""
        ...

    def verify(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> None:
        """Check what `sign` made."""
        ...

    def close(self) -> None:
        """Forget the keys. Every later use raises `AuthenticationError`."""
        ...


class Acceptors(Protocol):
    """What an RPC server needs: a new acceptor context for each authentication exchange."""

    @property
    def providers(self) -> Mapping[int, str]:
        """The security providers that there are, and the name under which this server is known to each."""
        ...

    def acceptor(self, auth_type: int, level: AuthenticationLevel) -> SecurityContext:
        """A fresh context. `AuthenticationError` for a provider or a level that is not supported."""
        ...
