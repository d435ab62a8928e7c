"""Kerberos (RFC 4121, MS-KILE) over pyspnego and the system's GSSAPI, as acceptor and as initiator, in DCE style.

The libraries are the extra ``openwmi[kerberos]``; without it the constructors raise `ConfigurationError`. Where the KDC
is, and everything else about realms, is the system's own configuration (krb5.conf).

Everything a peer or a KDC can cause raises `AuthenticationError`, with the library's reason for the log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

from spnego._context import ContextProxy, ContextReq
from spnego._credential import Credential, CredentialCache, KerberosCCache, KerberosKeytab, Password
from spnego._gss import GSSAPIProxy
from spnego.exceptions import SpnegoError
from spnego.iov import BufferType

from openwmi.errors import AuthenticationError, ConfigurationError, printable
from openwmi.security.accounts import Accounts
from openwmi.security.context import KERBEROS, AuthenticationLevel, ImpersonationLevel
from openwmi.security.principals import NETWORK, Principal

__all__ = ["KerberosAcceptor", "KerberosInitiator", "ServiceKeys"]

_MAX_TOKEN: Final = 65_535
_MECHANISM: Final = "1.2.840.113554.1.2.2"
_SHOWN: Final = 128  # characters of a principal's name that go into a log

# The library answers a token that it does not take with an error token of its own, after which pyspnego reads the flags
# of a context that never began.
REFUSALS: Final = (SpnegoError, AttributeError)

# RPC asks for these at every level: three legs, and messages that cannot be repeated (MS-RPCE 2.2.2.12).
_REQUESTS: Final = (
    ContextReq.mutual_auth
    | ContextReq.replay_detect
    | ContextReq.sequence_detect
    | ContextReq.confidentiality
    | ContextReq.integrity
    | ContextReq.dce_style
)


def _gssapi() -> Any:
    """The library, or an explanation."""
    try:
        import gssapi
        import gssapi.raw
    except ImportError as error:
        raise ConfigurationError(f"Kerberos needs the extra openwmi[kerberos]: {error}") from error
    return gssapi


class ServiceKeys:
    """A server's keys: a keytab with the principal ``host/name@REALM``. Read once; share it among acceptors.

    `ConfigurationError` if the keytab cannot be used.
    """

    def __init__(self, keytab: str | Path) -> None:
        gssapi = _gssapi()
        self.keytab = Path(keytab)
        try:
            with self.keytab.open("rb"):  # the library reads it at the first log-on only
                pass
            self.credential = gssapi.Credentials(
                usage="accept", mechs=[gssapi.OID.from_int_seq(_MECHANISM)], store={"keytab": str(self.keytab)}
            )
        except OSError as error:
            raise ConfigurationError(f"the keytab {self.keytab} cannot be read: {error.strerror}") from error
        except gssapi.exceptions.GSSError as error:
            raise ConfigurationError(f"the keytab {self.keytab} cannot be used: {error}") from error

    @property
    def principal(self) -> str:
        """The service principal, as text; empty if the keytab leaves it open."""
        name = self.credential.name
        return "" if name is None else str(name)


class _Kerberos:
    """What both sides share: steps, protection, and their end at the first failure."""

    auth_type: int = KERBEROS
    _who: ClassVar[str]

    def __init__(self, level: AuthenticationLevel) -> None:
        _gssapi()
        self._level = level
        self._proxy: GSSAPIProxy | None = None
        self._closed = False
        self._complete = False
        self._signature_size = 0

    def _make(self) -> GSSAPIProxy:
        """pyspnego's context. May ask a KDC."""
        raise NotImplementedError

    def mechanism(self) -> ContextProxy:
        """See `openwmi.security.spnego.Mechanism`."""
        if self._closed:
            raise AuthenticationError("Kerberos: the context is closed")
        if self._proxy is None:
            try:
                self._proxy = self._make()
            except (SpnegoError, self._library_errors()) as error:
                raise self._fail(_reason(error)) from error
            # Keeps pyspnego from writing every token to its debugging log.
            self._proxy._is_wrapped = True
        return self._proxy

    @staticmethod
    def _library_errors() -> type[Exception]:
        """What the Kerberos library raises without pyspnego around it."""
        import krb5

        error: type[Exception] = krb5.Krb5Error
        return error

    @property
    def complete(self) -> bool:
        """Whether the exchange has succeeded."""
        return self._complete

    @property
    def signature_size(self) -> int:
        """Octets of a token: they depend on the kind of key and on whether messages are sealed."""
        return self._signature_size

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        """Acceptor only: what the peer allows."""
        raise AuthenticationError(f"Kerberos: {self._who} has no peer that lets itself be impersonated")

    @property
    def claimed_name(self) -> str:
        """Acceptor only: who the ticket is for; it cannot be read before it is proven."""
        return ""

    @property
    def peer(self) -> Principal:
        """Acceptor only: who authenticated."""
        raise AuthenticationError(f"Kerberos: {self._who} has no principal for its peer")

    def step(self, token: bytes) -> bytes:
        """Take the peer's token, give ours. The first failure is the last step. An initiator's may ask a KDC."""
        if self._complete:
            raise self._fail("the exchange is over, but the peer sends one more token")
        if len(token) > _MAX_TOKEN:
            raise self._fail(f"a token of {len(token)} octets")
        proxy = self.mechanism()
        try:
            answer = proxy.step(token or None)
        except REFUSALS as error:
            raise self._fail(_reason(error)) from error
        if proxy.complete:
            self.conclude()
        return answer or b""

    def conclude(self) -> None:
        """See `openwmi.security.spnego.Mechanism`."""
        proxy = self._proxy
        if proxy is None or not proxy.complete:
            raise self._fail("the exchange ended before it was complete")
        missing = self._required() & ~proxy.context_attr
        if missing:
            names = ", ".join(flag.name or "" for flag in ContextReq if flag & missing)
            raise self._fail(f"a session that is too weak, without {names}")
        self._signature_size = self._measure(proxy)
        self._complete = True

    def _required(self) -> ContextReq:
        flags = ContextReq.dce_style | ContextReq.mutual_auth
        if self._level >= AuthenticationLevel.CALL:
            flags |= ContextReq.integrity | ContextReq.replay_detect | ContextReq.sequence_detect
        if self._level >= AuthenticationLevel.PRIVACY:
            flags |= ContextReq.confidentiality
        return flags

    def _measure(self, proxy: GSSAPIProxy) -> int:
        """The size of a token, which the library knows before it makes one."""
        if self._level is AuthenticationLevel.PRIVACY:
            return int(proxy.query_message_sizes().header)
        from gssapi.raw import IOV, IOVBuffer, IOVBufferType, get_mic_iov_length

        parts = IOV(
            IOVBuffer(IOVBufferType.data, False, b""),
            IOVBuffer(IOVBufferType.mic_token, None, None),
            std_layout=False,
        )
        get_mic_iov_length(proxy._context, parts)
        return len(parts[1].value or b"")

    def seal(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """Encrypt `body`; sign what of the three parts is not empty."""
        buffers = self._parts(header, body, trailer)
        made = self._protect(lambda proxy: proxy.wrap_iov([*buffers, BufferType.header])).buffers
        return made[1 if header else 0].data or b"", made[-1].data or b""

    def unseal(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> bytes:
        """Decrypt `body`, and check the parts against `token`."""
        buffers = self._parts(header, body, trailer)
        opened = self._protect(lambda proxy: proxy.unwrap_iov([*buffers, (BufferType.header, token)]))
        if not opened.encrypted:
            raise self._fail("a message that should be sealed is signed only")
        return opened.buffers[1 if header else 0].data or b""

    def sign(self, header: bytes, body: bytes, trailer: bytes) -> bytes:
        """The signature of the three parts."""
        signature: bytes = self._protect(lambda proxy: proxy.sign(header + body + trailer))
        return signature

    def verify(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> None:
        """Check the three parts against `token`."""
        self._protect(lambda proxy: proxy.verify(header + body + trailer, token))

    @staticmethod
    def _parts(header: bytes, body: bytes, trailer: bytes) -> list[Any]:
        """The buffers of a message; without header signing there is only the body."""
        around = [(BufferType.sign_only, part) for part in (header, trailer) if part]
        return [*around[:1], (BufferType.data, body), *around[1:]] if len(around) == 2 else [(BufferType.data, body)]

    def _protect(self, work: Any) -> Any:
        """Protects or checks one message. A wrong one is the last: they are numbered."""
        if not self._complete or self._proxy is None:
            raise AuthenticationError("Kerberos: there are no keys")
        try:
            return work(self._proxy)
        except SpnegoError as error:
            reason = _reason(error)
            raise self._fail(f"a message was changed, repeated or reordered: {reason}") from error

    def close(self) -> None:
        """Forget the keys."""
        self._closed = True
        self._proxy = None

    def _fail(self, reason: str) -> AuthenticationError:
        """Close the context; the error to raise."""
        self.close()
        return AuthenticationError(f"Kerberos: {reason}")


class KerberosAcceptor(_Kerberos):
    """The server's side of one exchange.

    accounts: who may log on. A principal ``ada@REALM`` of the service's own realm is the local account ``ada``;
    principals of other realms, and those with an instance (``ada/admin``), have no account.
    keys: the server's. computer: what its accounts are named after. level: what the session must be able to do.
    """

    _who = "an acceptor"

    def __init__(
        self,
        accounts: Accounts,
        keys: ServiceKeys,
        computer: str,
        *,
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
    ) -> None:
        super().__init__(level)
        self._accounts = accounts
        self._keys = keys
        self._computer = computer
        self._claimed = ""
        self._principal: Principal | None = None
        self._impersonation = ImpersonationLevel.IMPERSONATE

    def _make(self) -> GSSAPIProxy:
        return GSSAPIProxy(usage="accept", context_req=_REQUESTS, _gssapi_credential=self._keys.credential)

    def step(self, token: bytes) -> bytes:
        """See `_Kerberos.step`."""
        if not token:
            raise self._fail("an empty token")
        return super().step(token)

    def conclude(self) -> None:
        """See `openwmi.security.spnego.Mechanism`."""
        super().conclude()
        proxy = self._proxy
        assert proxy is not None
        self._complete = False  # not before the account is found
        self._claimed = printable((proxy.client_principal or "")[:_SHOWN])
        name, _, realm = (proxy.client_principal or "").rpartition("@")
        service_realm = str(proxy._context.target_name).rpartition("@")[2]  # type: ignore[union-attr]
        if realm != service_realm or not name or not name.isprintable() or set(name) & set("/\\@"):
            raise self._fail(f"{self._claimed!r} is no user of the realm {service_realm}")
        try:
            account = self._accounts.find("", name)
        except ConfigurationError as error:
            raise self._fail(str(error)) from error
        if account is None:
            raise self._fail(f"{self._claimed!r} has no account here")
        if proxy.context_attr & ContextReq.identify:
            self._impersonation = ImpersonationLevel.IDENTIFY
        elif proxy.context_attr & ContextReq.delegate:
            self._impersonation = ImpersonationLevel.DELEGATE
        self._principal = account.principal(self._computer, NETWORK)
        self._complete = True

    @property
    def claimed_name(self) -> str:
        """Who the ticket is for, for logs and slow-downs."""
        return self._claimed

    @property
    def peer(self) -> Principal:
        """Who authenticated."""
        if not self._complete or self._principal is None:
            raise AuthenticationError("Kerberos: nobody has authenticated")
        return self._principal

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        """IDENTIFY or DELEGATE if the peer asked for that, else IMPERSONATE."""
        if not self._complete:
            raise AuthenticationError("Kerberos: nobody has authenticated")
        return self._impersonation


class KerberosInitiator(_Kerberos):
    r"""The client's side of one exchange.

    user: ``user@REALM``, ``user`` in the default realm, or ``REALM\user``; empty for whose tickets are in the cache.
    password, or keytab: a file with the user's keys. With neither, the tickets in `cache` are used, which is a file or
    another cache by its name; None for the one where the system keeps the current user's.
    target: the server's name, as it stands in its principal ``service/target``; an address will not do.
    level: what the session will be used for. impersonation: what the server may do in the user's name.
    """

    _who = "an initiator"

    def __init__(
        self,
        user: str = "",
        password: str | None = None,
        *,
        keytab: str | Path | None = None,
        cache: str | Path | None = None,
        target: str,
        service: str = "host",
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
        impersonation: ImpersonationLevel = ImpersonationLevel.IMPERSONATE,
    ) -> None:
        super().__init__(level)
        if not target:
            raise ConfigurationError("Kerberos needs the name of the server")
        if sum(proof is not None for proof in (password, keytab, cache)) > 1:
            raise ConfigurationError("Kerberos needs one of a password, a keytab and a cache")
        if password is not None and not user:
            raise ConfigurationError("Kerberos needs the user whose password that is")
        realm, _, name = user.rpartition("\\")
        self._user = f"{name}@{realm.upper()}" if realm and realm != "." else name
        self._password = password
        self._keytab = keytab
        self._cache = cache
        self._target = target
        self._service = service
        self._flags = _REQUESTS
        if impersonation is ImpersonationLevel.IDENTIFY:
            self._flags |= ContextReq.identify
        elif impersonation is ImpersonationLevel.DELEGATE:
            self._flags |= ContextReq.delegate

    def _make(self) -> GSSAPIProxy:
        credential: Credential
        if self._password is not None:
            credential = Password(self._user, self._password)
        elif self._keytab is not None:
            credential = KerberosKeytab(str(self._keytab), self._user or None)
        elif self._cache is not None:
            credential = KerberosCCache(str(self._cache), self._user or None)
        else:
            credential = CredentialCache(self._user or None)
        return GSSAPIProxy(credential, hostname=self._target, service=self._service, context_req=self._flags)


def _reason(error: Exception) -> str:
    """The library's own words, on one line."""
    inner = getattr(error, "base_error", None) or error.__cause__ or error
    return printable(" ".join(str(inner).split())[:500])
