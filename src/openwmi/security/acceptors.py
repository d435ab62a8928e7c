"""What a server gives its RPC connections: acceptor contexts over the local accounts, plain NTLM or inside SPNEGO.

SPNEGO (RFC 4178, MS-SPNG) is pyspnego's, with NTLM as the one mechanism that it may choose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spnego._context import GSSMech
from spnego._negotiate import NegotiateProxy
from spnego._spnego import NegTokenInit, NegTokenResp, unpack_token

from openwmi.errors import AuthenticationError
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel, SecurityContext
from openwmi.security.ntlm import NtlmAcceptor, ServerNames

if TYPE_CHECKING:
    from spnego.channel_bindings import GssChannelBindings

    from openwmi.security.accounts import Accounts
    from openwmi.security.ntlm import _Engine

__all__ = ["LocalAcceptors", "SpnegoAcceptor"]


class _Negotiation(NegotiateProxy):
    """pyspnego's SPNEGO acceptor, kept to NTLM."""

    def __init__(self, inner: _Engine) -> None:
        super().__init__(usage="accept", _negotiate_contexts={GSSMech.ntlm: inner})
        # What the peer's next tokens must be: NegTokenResp, or bytes if it began with plain NTLM, as Windows may.
        self._spoken: type | None = None

    def _preferred_mech_list(self) -> list[GSSMech]:
        return [GSSMech.ntlm]

    def _rebuild_context_list(
        self, mech_types: list[str] | None = None, channel_bindings: GssChannelBindings | None = None
    ) -> list[str]:
        # pyspnego does not compare contexts that it was given with what the peer offers.
        if mech_types is not None and GSSMech.ntlm.value not in mech_types:
            raise AuthenticationError("SPNEGO: the peer does not offer NTLM")
        return super()._rebuild_context_list(mech_types, channel_bindings)

    def _step_spnego_input(
        self, in_token: bytes | None = None, channel_bindings: GssChannelBindings | None = None
    ) -> tuple[bytes | None, bytes | None, bool]:
        spoken = type(unpack_token(in_token or b""))
        if self._spoken is None:
            if spoken is NegTokenResp:
                raise AuthenticationError("SPNEGO: the peer answers before it has offered")
            self._spoken = NegTokenResp if spoken is NegTokenInit else spoken
        elif spoken is not self._spoken:
            # pyspnego would begin anew, and forget which list of mechanisms is to be confirmed.
            raise AuthenticationError("SPNEGO: the peer's token is of the wrong kind for this step")
        token, mic, is_spnego = super()._step_spnego_input(in_token, channel_bindings)
        if spoken is NegTokenInit and self._mech_list[0] != GSSMech.ntlm.value:
            # The optimistic token belongs to the mechanism that the peer likes best, such as Kerberos.
            token = None
        return token, mic, is_spnego


class SpnegoAcceptor(NtlmAcceptor):
    """The server's side of one SPNEGO exchange that ends in NTLM. Arguments are those of `NtlmAcceptor`."""

    auth_type: int = SPNEGO

    def __init__(self, accounts: Accounts, names: ServerNames, **settings: Any) -> None:
        super().__init__(accounts, names, **settings)
        self._negotiation: _Negotiation | None = _Negotiation(self._logon)

    def _advance(self, engine: _Engine, token: bytes) -> bytes:
        if self._negotiation is None:
            raise AuthenticationError("SPNEGO: the context is closed")
        if not token:
            raise AuthenticationError("SPNEGO: an empty token")
        answer = self._negotiation.step(token)
        # Both: pyspnego's SPNEGO believes a peer that calls an unfinished exchange complete.
        if self._negotiation.complete and not engine.complete:
            raise AuthenticationError("SPNEGO: the peer says that it is done before it has proven anything")
        self._complete = self._negotiation.complete
        return answer or b""

    def close(self) -> None:
        """Forget the keys."""
        super().close()
        self._negotiation = None


@dataclass(frozen=True)
class LocalAcceptors:
    """`Acceptors` for one server's accounts; it may be shared by all connections.

    require_mic: see `NtlmAcceptor`. minimum: the lowest level that is accepted.
    """

    accounts: Accounts
    names: ServerNames
    clock: Callable[[], float] = time.time
    require_mic: bool = False
    minimum: AuthenticationLevel = AuthenticationLevel.CONNECT

    @property
    def providers(self) -> Mapping[int, str]:
        """NTLM, and SPNEGO over it; NTLM has no service principals, so a server's name is its computer's."""
        return {NTLM: self.names.computer, SPNEGO: self.names.computer}

    def acceptor(self, auth_type: int, level: AuthenticationLevel) -> SecurityContext:
        """A new context for one exchange."""
        if level < max(self.minimum, AuthenticationLevel.CONNECT):
            raise AuthenticationError(f"the authentication level {level} is too low")
        made = {NTLM: NtlmAcceptor, SPNEGO: SpnegoAcceptor}.get(auth_type)
        if made is None:
            raise AuthenticationError(f"the security provider {auth_type} is not supported")
        return made(self.accounts, self.names, level=level, clock=self.clock, require_mic=self.require_mic)
