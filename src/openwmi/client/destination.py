"""A remote destination: the server, as whom and how one logs on there, and which way the connections go.

    Destination.of(parse_url("dcom://ada@10.0.0.5"), authentication="kerberos", service_principal="host/db.example")

These are MI's destination options as far as DCOM has them, and what CoSetProxyBlanket is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack

from openwmi.client.credentials import Credentials, Mechanism
from openwmi.client.urls import Target
from openwmi.errors import ConfigurationError
from openwmi.net.dcom import DcomHost
from openwmi.net.rpc import RpcTransport, TcpConnector
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel, SecurityContext
from openwmi.security.ntlm import NtlmInitiator
from openwmi.security.spnego import Mechanism as SpnegoMechanism
from openwmi.security.spnego import SpnegoInitiator
from openwmi.wmi.interfaces import IWbemObjectSink

__all__ = ["Destination", "DestinationOptions", "ServicePrincipal"]


class DestinationOptions(TypedDict, total=False):
    """How a server is reached, and as whom. A repository in this process needs none of these, and looks at none."""

    user: str | None
    r"""The account, if the URL does not name it: ``user``, ``DOMAIN\user`` or ``user@realm``."""
    password: str | None
    """The account's password."""
    nt_hash: bytes | None
    """The password's NT hash in its place, 16 octets, for NTLM."""
    ticket_cache: str | Path | None
    """Kerberos tickets in its place: a file, or another cache by its name (``KEYRING:...``), for this session alone."""
    authentication: Literal["ntlm", "kerberos", "negotiate"] | None
    """NTLM unless there is a ticket cache. Kerberos without password and cache takes the current user's tickets."""
    service_principal: str | None
    """The server in Kerberos, ``host/server.example`` or its name alone, where that is not the name in the URL."""
    authentication_level: Literal["connect", "call", "packet", "integrity", "privacy"]
    """How much of each message is protected; privacy, the default, encrypts. WMI servers want integrity at least."""
    impersonation: Literal["identify", "impersonate", "delegate"]
    """What the server may do in the user's name: "impersonate" by default; "delegate" needs Kerberos."""
    source_address: str | None
    """The address of this machine from which connections are made."""
    callback_port: int
    """The port at which sinks are called; 0, the default, is a free one."""
    proxy: str | None
    """Will come with WS-Management; refused until then."""
    certificate: str | None
    """Will come with WS-Management; refused until then."""


# DCOM goes through no proxy for HTTP, and has no TLS.
_WS_MANAGEMENT: Final = ("proxy", "certificate")


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """A service by its class and host, as Kerberos knows it (and NTLMv2 says whom it means to talk to)."""

    service: str
    host: str

    @classmethod
    def parse(cls, text: str) -> ServicePrincipal:
        """From ``service/host``, or ``host`` alone. Raises `ConfigurationError`."""
        service, _, host = text.rpartition("/")
        if not host or "/" in service or "@" in text:
            raise ConfigurationError(
                f"the service principal {text!r}: write it as host/server.example; its realm is krb5.conf's business"
            )
        return cls(service or "host", host)

    def __str__(self) -> str:
        return f"{self.service}/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A server over DCOM; see the module. An invalid one cannot be made: `ConfigurationError`."""

    host: str
    port: int
    credentials: Credentials
    service_principal: ServicePrincipal
    level: AuthenticationLevel = AuthenticationLevel.PRIVACY
    impersonation: ImpersonationLevel = ImpersonationLevel.IMPERSONATE
    source_address: str | None = None
    callback_port: int = 0

    def __post_init__(self) -> None:
        mechanism = self.credentials.mechanism
        if self.level is AuthenticationLevel.NONE or self.impersonation is ImpersonationLevel.ANONYMOUS:
            raise ConfigurationError("nobody logs on to WMI without saying who it is")
        if self.impersonation is ImpersonationLevel.DELEGATE and mechanism is Mechanism.NTLM:
            raise ConfigurationError('NTLM cannot delegate: authentication="kerberos" can')
        if mechanism is not Mechanism.NTLM and not self._named and self._needs_kerberos:
            raise ConfigurationError(
                f"Kerberos knows a server by its name, and {self.service_principal.host} is an address:"
                ' give service_principal="host/NAME"'
            )
        if self.source_address is not None and not _is_address(self.source_address):
            raise ConfigurationError(f"source_address={self.source_address!r}: an address of this machine")
        if not 0 <= self.callback_port <= 0xFFFF:
            raise ConfigurationError(f"callback_port={self.callback_port}: a port, or 0 for a free one")

    @classmethod
    def of(cls, target: Target, **options: Unpack[DestinationOptions]) -> Destination:
        """The destination that a URL and options mean. Raises `ConfigurationError`."""
        for name in _WS_MANAGEMENT:
            if options.get(name) is not None:
                raise ConfigurationError(f"{name} is for WS-Management, which will follow: DCOM has none")
        cache = options.get("ticket_cache")
        default = "ntlm" if cache is None else "kerberos"
        principal = options.get("service_principal") or f"host/{target.host}"
        return cls(
            host=target.host,
            port=target.port,
            credentials=Credentials(
                options.get("user") or target.user,
                options.get("password"),
                options.get("nt_hash"),
                _chosen(_MECHANISMS, "authentication", options.get("authentication") or default),
                cache,
            ),
            service_principal=ServicePrincipal.parse(principal),
            level=_chosen(_LEVELS, "authentication_level", options.get("authentication_level", "privacy")),
            impersonation=_chosen(_IMPERSONATIONS, "impersonation", options.get("impersonation", "impersonate")),
            source_address=options.get("source_address"),
            callback_port=options.get("callback_port", 0),
        )

    @property
    def who(self) -> str:
        """Who logs on, for people."""
        return self.credentials.name

    @property
    def why_refused(self) -> str:
        """What may be wrong with a log-on that is refused."""
        text = "the user or the password is wrong, or the account may not log on there"
        if self.level >= AuthenticationLevel.INTEGRITY and self.impersonation >= ImpersonationLevel.IMPERSONATE:
            return text
        return (
            f"{text}, or {self.level.name.lower()} and {self.impersonation.name.lower()} are too little for the server"
        )

    def transport(self, connect_timeout: float) -> RpcTransport:
        """What makes calls to the server."""
        return RpcTransport(
            lambda _: self.initiator(),
            level=self.level,
            connect_timeout=connect_timeout,
            connector=TcpConnector(self.source_address),
        )

    async def sink_host(self, address: str) -> DcomHost:
        """Where sinks live: at the `address` from which the server is reached, for who knows the password too."""
        host = DcomHost(interfaces=[IWbemObjectSink], acceptors=self.credentials.acceptors())
        await host.listen(address, self.callback_port, None)
        return host

    def initiator(self) -> SecurityContext:
        """A security context for a connection to the server, at whichever of its addresses."""
        mechanism = self.credentials.mechanism
        if mechanism is Mechanism.NTLM:
            return self._ntlm()
        if mechanism is Mechanism.KERBEROS:
            return self._kerberos()
        return SpnegoInitiator(*self._mechanisms())

    def _mechanisms(self) -> list[SpnegoMechanism]:
        """What can be offered, the best first."""
        if self._needs_kerberos:
            return [self._kerberos()]
        found: list[SpnegoMechanism] = [self._ntlm()]
        if self._named and self.credentials.nt_hash is None:
            with suppress(ConfigurationError):  # without its libraries, NTLM is what there is
                found.insert(0, self._kerberos())
        return found

    @property
    def _needs_kerberos(self) -> bool:
        """Whether nothing else will do."""
        credentials = self.credentials
        delegates = self.impersonation is ImpersonationLevel.DELEGATE
        return credentials.mechanism is Mechanism.KERBEROS or credentials.uses_tickets or delegates

    @property
    def _named(self) -> bool:
        return not _is_address(self.service_principal.host)

    def _ntlm(self) -> NtlmInitiator:
        who = self.credentials
        return NtlmInitiator(
            who.user,
            who.password,
            hashed=who.nt_hash,
            target=self.service_principal.host,
            service=self.service_principal.service,
            level=self.level,
            impersonation=self.impersonation,
        )

    def _kerberos(self) -> SpnegoMechanism:
        # Late: the libraries are an extra.
        from openwmi.security.kerberos import KerberosInitiator

        who = self.credentials
        return KerberosInitiator(
            who.user,
            who.password,
            cache=who.ticket_cache,
            target=self.service_principal.host,
            service=self.service_principal.service,
            level=self.level,
            impersonation=self.impersonation,
        )


_MECHANISMS: Final = {mechanism.value: mechanism for mechanism in Mechanism}
_LEVELS: Final = {level.name.lower(): level for level in AuthenticationLevel if level is not AuthenticationLevel.NONE}
_IMPERSONATIONS: Final = {
    level.name.lower(): level for level in ImpersonationLevel if level is not ImpersonationLevel.ANONYMOUS
}


def _chosen(choices: Mapping[str, Any], option: str, value: str) -> Any:
    try:
        return choices[value]
    except KeyError:
        raise ConfigurationError(f"{option}={value!r}: one of {', '.join(choices)}") from None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
