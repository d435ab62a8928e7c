"""What a server gives its RPC connections: acceptor contexts over the local accounts, by NTLM, Kerberos or SPNEGO."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openwmi.errors import AuthenticationError
from openwmi.security.context import KERBEROS, NTLM, SPNEGO, AuthenticationLevel, SecurityContext
from openwmi.security.ntlm import NtlmAcceptor, ServerNames
from openwmi.security.spnego import Mechanism, SpnegoAcceptor

if TYPE_CHECKING:
    from openwmi.security.accounts import Accounts
    from openwmi.security.kerberos import KerberosAcceptor, ServiceKeys

__all__ = ["LocalAcceptors"]


@dataclass(frozen=True)
class LocalAcceptors:
    """`Acceptors` for one server's accounts; it may be shared by all connections.

    require_mic: see `NtlmAcceptor`. minimum: the lowest level that is accepted. keys: this server's in a Kerberos
    realm, whose users are then known by their local accounts; without them there is only NTLM.
    """

    accounts: Accounts
    names: ServerNames
    clock: Callable[[], float] = time.time
    require_mic: bool = False
    minimum: AuthenticationLevel = AuthenticationLevel.CONNECT
    keys: ServiceKeys | None = None

    @property
    def providers(self) -> Mapping[int, str]:
        """The security providers, with what a client would ask for: NTLM has no service principals, so it is the
        computer's name there."""
        found = {NTLM: self.names.computer, SPNEGO: self.names.computer}
        if self.keys is not None:
            found[KERBEROS] = found[SPNEGO] = self.keys.principal
        return found

    def acceptor(self, auth_type: int, level: AuthenticationLevel) -> SecurityContext:
        """A new context for one exchange."""
        if level < max(self.minimum, AuthenticationLevel.CONNECT):
            raise AuthenticationError(f"the authentication level {level} is too low")
        if auth_type == NTLM:
            return self._ntlm(level)
        if auth_type == KERBEROS and self.keys is not None:
            return self._kerberos(self.keys, level)
        if auth_type == SPNEGO:
            mechanisms: list[Mechanism] = [] if self.keys is None else [self._kerberos(self.keys, level)]
            return SpnegoAcceptor(*mechanisms, self._ntlm(level))
        raise AuthenticationError(f"the security provider {auth_type} is not supported")

    def _ntlm(self, level: AuthenticationLevel) -> NtlmAcceptor:
        return NtlmAcceptor(self.accounts, self.names, level=level, clock=self.clock, require_mic=self.require_mic)

    def _kerberos(self, keys: ServiceKeys, level: AuthenticationLevel) -> KerberosAcceptor:
        # Late: the libraries are an extra.
        from openwmi.security.kerberos import KerberosAcceptor

        return KerberosAcceptor(self.accounts, keys, self.names.computer, level=level)
