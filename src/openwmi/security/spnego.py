"""SPNEGO (RFC 4178, MS-SPNG): which mechanism two sides use, and that nobody in between has chosen for them.

The negotiation is pyspnego's; the mechanisms are ours, `NtlmAcceptor`, `KerberosInitiator` and their like, in the order
in which they are preferred. Once it has ended, the chosen mechanism protects the messages.
"""

from __future__ import annotations

from typing import Protocol

from spnego._context import ContextProxy, ContextReq, GSSMech
from spnego._negotiate import NegotiateProxy
from spnego._spnego import NegTokenInit, NegTokenResp, unpack_token
from spnego.channel_bindings import GssChannelBindings

from openwmi.errors import AuthenticationError
from openwmi.security.context import KERBEROS, NTLM, SPNEGO, ImpersonationLevel, SecurityContext
from openwmi.security.ntlm import MALFORMED
from openwmi.security.principals import Principal

__all__ = ["Mechanism", "SpnegoAcceptor", "SpnegoInitiator"]

_MAX_TOKEN = 65_535


class Mechanism(SecurityContext, Protocol):
    """A security context that SPNEGO can drive instead of its own `step`."""

    def mechanism(self) -> ContextProxy:
        """pyspnego's side of it, for the negotiation. May take time; raises `AuthenticationError`."""
        ...

    def conclude(self) -> None:
        """The negotiation has ended: take over. `AuthenticationError` unless the exchange is complete and good."""
        ...


_MECHANISMS = {NTLM: GSSMech.ntlm, KERBEROS: GSSMech.kerberos}
_NAMES = {GSSMech.ntlm: "NTLM", GSSMech.kerberos: "Kerberos"}


class _Negotiation(NegotiateProxy):
    """pyspnego's SPNEGO over given contexts and no others."""

    def __init__(self, usage: str, contexts: dict[GSSMech, ContextProxy], requests: ContextReq) -> None:
        super().__init__(usage=usage, context_req=requests, _negotiate_contexts=dict(contexts))
        self._given = contexts
        # What the peer's next tokens must be: NegTokenResp, or bytes if it began with a plain token, as Windows may.
        self._spoken: type | None = None

    @property
    def chosen(self) -> GSSMech:
        """The mechanism that is being used."""
        return self._chosen_mech

    def _preferred_mech_list(self) -> list[GSSMech]:
        return list(self._given)

    def _rebuild_context_list(
        self, mech_types: list[str] | None = None, channel_bindings: GssChannelBindings | None = None
    ) -> list[str]:
        if mech_types is not None:
            # pyspnego does not compare contexts that it was given with what the peer offers.
            common = {m: c for m, c in self._given.items() if any(self._is_same_mech(m, oid) for oid in mech_types)}
            if not common:
                wanted = " or ".join(_NAMES[mechanism] for mechanism in self._given)
                raise AuthenticationError(f"SPNEGO: the peer does not offer {wanted}")
            self._available_contexts = dict(common)
        return super()._rebuild_context_list(mech_types, channel_bindings)

    def _step_spnego_input(
        self, in_token: bytes | None = None, channel_bindings: GssChannelBindings | None = None
    ) -> tuple[bytes | None, bytes | None, bool]:
        if self.usage == "initiate":
            return super()._step_spnego_input(in_token, channel_bindings)
        spoken = type(unpack_token(in_token or b""))
        if self._spoken is None:
            if spoken is NegTokenResp:
                raise AuthenticationError("SPNEGO: the peer answers before it has offered")
            self._spoken = NegTokenResp if spoken is NegTokenInit else spoken
        elif spoken is not self._spoken:
            # pyspnego would begin anew, and forget which list of mechanisms is to be confirmed.
            raise AuthenticationError("SPNEGO: the peer's token is of the wrong kind for this step")
        token, mic, is_spnego = super()._step_spnego_input(in_token, channel_bindings)
        if spoken is NegTokenInit and not self._is_same_mech(self.chosen, self._mech_list[0]):
            # The optimistic token belongs to the mechanism that the peer likes best.
            token = None
        return token, mic, is_spnego


class _Spnego:
    """What both sides share: the steps, and the mechanism's protection of messages."""

    auth_type: int = SPNEGO
    _usage: str
    _requests: ContextReq

    def __init__(self, *mechanisms: Mechanism) -> None:
        if not mechanisms:
            raise ValueError("SPNEGO needs a mechanism")
        self._mechanisms = {_MECHANISMS[mechanism.auth_type]: mechanism for mechanism in mechanisms}
        self._negotiation: _Negotiation | None = None
        self._chosen: Mechanism | None = None
        self._closed = False

    @property
    def complete(self) -> bool:
        """Whether the exchange has succeeded."""
        return self._chosen is not None

    @property
    def signature_size(self) -> int:
        """Octets of the chosen mechanism's signature."""
        return self._ready().signature_size

    @property
    def peer(self) -> Principal:
        """Acceptor only: who authenticated."""
        return self._ready().peer

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        """Acceptor only: what the peer allows."""
        return self._ready().impersonation_level

    @property
    def claimed_name(self) -> str:
        """Acceptor only: the account that the peer says it is."""
        return next((m.claimed_name for m in self._mechanisms.values() if m.claimed_name), "")

    def step(self, token: bytes) -> bytes:
        """Take the peer's token, give ours. The first failure is the last step."""
        if self._closed:
            raise AuthenticationError("SPNEGO: the context is closed")
        try:
            return self._advance(token)
        except AuthenticationError:
            self.close()
            raise
        except (*MALFORMED, AttributeError) as error:  # AttributeError: see `kerberos.REFUSALS`
            self.close()
            raise AuthenticationError(f"SPNEGO: the peer's message is malformed ({type(error).__name__})") from error

    def _advance(self, token: bytes) -> bytes:
        if self._chosen is not None:
            raise AuthenticationError("SPNEGO: the exchange is over, but the peer sends one more token")
        if len(token) > _MAX_TOKEN:
            raise AuthenticationError(f"SPNEGO: a token of {len(token)} octets")
        if self._negotiation is None:
            self._negotiation = _Negotiation(self._usage, self._contexts(), self._requests)
        elif not token:
            raise AuthenticationError("SPNEGO: an empty token")
        negotiation = self._negotiation
        answer = negotiation.step(token or None)
        if negotiation.complete:
            # It believes a peer that calls an unfinished exchange complete; the mechanism does not.
            chosen = self._mechanisms[negotiation.chosen]
            chosen.conclude()
            self._chosen = chosen
        return answer or b""

    def _contexts(self) -> dict[GSSMech, ContextProxy]:
        """The mechanisms that can be used now."""
        return {name: mechanism.mechanism() for name, mechanism in self._mechanisms.items()}

    def seal(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """See `SecurityContext.seal`."""
        return self._ready().seal(header, body, trailer)

    def unseal(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> bytes:
        """See `SecurityContext.unseal`."""
        return self._ready().unseal(header, body, trailer, token)

    def sign(self, header: bytes, body: bytes, trailer: bytes) -> bytes:
        """See `SecurityContext.sign`."""
        return self._ready().sign(header, body, trailer)

    def verify(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> None:
        """See `SecurityContext.verify`."""
        self._ready().verify(header, body, trailer, token)

    def close(self) -> None:
        """Forget the keys."""
        self._closed = True
        self._negotiation = None
        for mechanism in self._mechanisms.values():
            mechanism.close()

    def _ready(self) -> Mechanism:
        if self._chosen is None:
            raise AuthenticationError("SPNEGO: the exchange is not complete")
        return self._chosen


class SpnegoAcceptor(_Spnego):
    """The server's side of one exchange, over the acceptors that it may end in."""

    _usage = "accept"
    _requests = ContextReq.default

    def _advance(self, token: bytes) -> bytes:
        if not token:
            raise AuthenticationError("SPNEGO: an empty token")
        return super()._advance(token)


class SpnegoInitiator(_Spnego):
    """The client's side of one exchange. A mechanism that cannot begin (no KDC answers, say) is not offered, unless it
    is the last that is left."""

    _usage = "initiate"
    # As Windows does for RPC: both sides confirm the list of mechanisms, whatever was chosen.
    _requests = ContextReq.default | ContextReq.dce_style

    def _contexts(self) -> dict[GSSMech, ContextProxy]:
        found: dict[GSSMech, ContextProxy] = {}
        problem: AuthenticationError | None = None
        for name, mechanism in self._mechanisms.items():
            try:
                found[name] = mechanism.mechanism()
            except AuthenticationError as error:
                problem = error
        if not found:
            raise problem or AuthenticationError("SPNEGO: there is no mechanism")
        return found
