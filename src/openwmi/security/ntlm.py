"""NTLM log-on and message protection (MS-NLMP) over pyspnego, as acceptor and as initiator.

pyspnego has the cryptography and the messages. What it lacks for a server is here: our own accounts, names and
clock instead of NTLM_USER_FILE and the host's; no fallback to NTLMv1, LM, anonymous or weak sessions; and
the message integrity code checked whenever the peer says that it sent one. The acceptor overrides pyspnego's two
server steps; the initiator checks what the server chose before it runs pyspnego's.

Everything a peer can cause raises `AuthenticationError`. Its message is for the log: it names the account and the true
reason. What the peer is told must not depend on that reason, nor does the work done here: a name that nobody has
costs the same computation as a wrong password.
"""

from __future__ import annotations

import hmac
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from spnego._context import ContextProxy
from spnego._credential import NTLMHash
from spnego._ntlm import NTLMProxy
from spnego._ntlm_raw.crypto import hmac_md5, ntowfv2, rc4k
from spnego._ntlm_raw.messages import (
    Authenticate,
    AvFlags,
    AvId,
    Challenge,
    FileTime,
    Negotiate,
    NegotiateFlags,
    NTClientChallengeV2,
    TargetInfo,
    Version,
)
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from openwmi.errors import AuthenticationError, ConfigurationError, printable
from openwmi.security.accounts import Accounts, nt_hash
from openwmi.security.context import NTLM, AuthenticationLevel, ImpersonationLevel
from openwmi.security.principals import NETWORK, Principal

__all__ = ["NtlmAcceptor", "NtlmInitiator", "ServerNames"]

_SIGNATURE: Final = b"NTLMSSP\0"
_MAX_TOKEN: Final = 16_384
_SHOWN: Final = 128  # characters of a claimed name that go into a log
_TOKEN_SIZE: Final = 16
_VERSION: Final = b"\x01\0\0\0"  # of a signature

# Without these a session has NTLMv1's keys, or keys that can be guessed (MS-NLMP 2.2.2.5).
_STRONG: Final = (
    NegotiateFlags.unicode | NegotiateFlags.extended_session_security | NegotiateFlags.key_128 | NegotiateFlags.key_exch
)
# What a server gives back if the client asked for it.
_ECHOED: Final = (
    _STRONG
    | NegotiateFlags.key_56
    | NegotiateFlags.sign
    | NegotiateFlags.seal
    | NegotiateFlags.always_sign
    | NegotiateFlags.request_target
    | NegotiateFlags.identity
    | NegotiateFlags.version
)
_GIVEN: Final = NegotiateFlags.ntlm | NegotiateFlags.target_info | NegotiateFlags.target_type_server

# MaxLifetime, MS-NLMP note 39: how far the time in a response may be from ours.
_MAX_LIFETIME: Final = 36 * 3600
_EPOCH_AS_FILETIME: Final = 116_444_736_000_000_000

# What pyspnego's parsers raise for bytes that are not NTLM.
MALFORMED: Final = (SpnegoError, ValueError, struct.error, LookupError, OverflowError, TypeError)


@dataclass(frozen=True, slots=True)
class ServerNames:
    """What a server calls itself in its challenge (MS-NLMP 2.2.2.1). A computer without a domain is its own."""

    computer: str
    domain: str
    dns_computer: str
    dns_domain: str = ""

    @classmethod
    def of(cls, hostname: str) -> ServerNames:
        """The names of the stand-alone computer `hostname`: NetBIOS names have at most 15 characters."""
        netbios = hostname.partition(".")[0][:15].upper() or "OPENWMI"
        return cls(netbios, netbios, hostname or "openwmi", hostname.partition(".")[2])


def required_flags(level: AuthenticationLevel) -> int:
    """The flags without which a session cannot serve `level`; RPC raises CALL to PACKET (MS-RPCE 3.3.1.5.2)."""
    flags = int(_STRONG)
    if level >= AuthenticationLevel.CALL:
        flags |= NegotiateFlags.sign
    if level >= AuthenticationLevel.PRIVACY:
        flags |= NegotiateFlags.seal
    return flags


class _Engine(NTLMProxy):
    """pyspnego's NTLM state, with message protection over header, body and trailer.

    pyspnego's own `wrap_iov` protects the same bytes, but cannot sign without sealing, and takes three times as long
    for a PDU of 500 octets.
    """

    def __init__(self, credential: NTLMHash, flags: int, **settings: Any) -> None:
        try:
            # As an initiator also for the acceptor: pyspnego's acceptor insists on NTLM_USER_FILE.
            super().__init__(credential, usage="initiate", **settings)
        except (SpnegoError, ValueError) as error:
            raise ConfigurationError(f"NTLM cannot be used here: {error}") from error
        # Whatever LM_COMPAT_LEVEL says in the environment: NTLMv2 only.
        self._lm = self._nt_v1 = False
        self._nt_v2 = True
        self._context_req = int(flags)
        # Keeps pyspnego from writing every token to its debugging log.
        self._is_wrapped = True

    def protect(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """The sealed body, and the signature of all three."""
        if self._handle_out is None:
            raise AuthenticationError("NTLM: there are no keys yet")
        return self._handle_out.update(body), self.signature(header, body, trailer)

    def unprotect(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """The clear body, and the signature that the peer should have sent."""
        if self._handle_in is None:
            raise AuthenticationError("NTLM: there are no keys yet")
        clear = self._handle_in.update(body)
        return clear, self.signature(header, clear, trailer, incoming=True)

    def signature(self, *parts: bytes, incoming: bool = False) -> bytes:
        """The signature of the next message, ours or the peer's (MS-NLMP 3.4.4.2). It advances the numbering.

        The parts are not joined first: for the fragments of a large call that would cost as much as the cipher. Every
        session here has extended session security and a key exchange, so there is one kind of signature only.
        """
        key = self._sign_key_in if incoming else self._sign_key_out
        handle = self._handle_in if incoming else self._handle_out
        if key is None or handle is None:
            raise AuthenticationError("NTLM: there are no keys yet")
        number = struct.pack("<I", self._seq_num_in if incoming else self._seq_num_out)
        digest = hmac.new(key, number, "md5")
        for part in parts:
            digest.update(part)
        return _VERSION + handle.update(digest.digest()[:8]) + number


class _Context:
    """What acceptor and initiator share: steps, protection, and their end at the first failure."""

    auth_type: int = NTLM
    _who: ClassVar[str]

    def __init__(self, engine: _Engine, required: int) -> None:
        self._engine: _Engine | None = engine
        self._required = required
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether the exchange has succeeded."""
        return self._complete

    @property
    def signature_size(self) -> int:
        """Octets of an NTLM signature: 16."""
        return _TOKEN_SIZE

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        """Acceptor only: what the peer allows."""
        raise AuthenticationError(f"NTLM: {self._who} has no peer that lets itself be impersonated")

    @property
    def claimed_name(self) -> str:
        """Acceptor only: nobody claims anything to an initiator."""
        return ""

    @property
    def peer(self) -> Principal:
        """Acceptor only: who authenticated."""
        raise AuthenticationError(f"NTLM: {self._who} does not learn who the server is")

    def step(self, token: bytes) -> bytes:
        """Take the peer's token, give ours. The first failure is the last step."""
        engine = self._live()
        if self._complete:
            raise self._fail("the exchange is over, but the peer sends one more token")
        if len(token) > _MAX_TOKEN:
            raise self._fail(f"a token of {len(token)} octets")
        try:
            answer = self._advance(engine, token)
        except AuthenticationError:
            self.close()
            raise
        except MALFORMED as error:
            raise self._fail(f"the peer's message is malformed ({type(error).__name__})") from error
        return answer

    def _advance(self, engine: _Engine, token: bytes) -> bytes:
        answer = engine.step(token)
        self._complete = engine.complete
        return answer or b""

    def mechanism(self) -> ContextProxy:
        """See `openwmi.security.spnego.Mechanism`."""
        return self._live()

    def conclude(self) -> None:
        """See `openwmi.security.spnego.Mechanism`."""
        if not self._live().complete:
            raise self._fail("the peer says that it is done before it has proven anything")
        self._complete = True

    def seal(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        """Encrypt `body` and sign all three parts: with extended session security NTLM always signs the whole PDU."""
        return self._ready(NegotiateFlags.seal).protect(header, body, trailer)

    def unseal(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> bytes:
        """Decrypt `body`, and check the three parts against `token`."""
        clear, expected = self._ready(NegotiateFlags.seal).unprotect(header, body, trailer)
        self._check(expected, token)
        return clear

    def sign(self, header: bytes, body: bytes, trailer: bytes) -> bytes:
        """The signature of the three parts."""
        return self._ready(NegotiateFlags.sign).signature(header, body, trailer)

    def verify(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> None:
        """Check the three parts against `token`."""
        engine = self._ready(NegotiateFlags.sign)
        self._check(engine.signature(header, body, trailer, incoming=True), token)

    def close(self) -> None:
        """Forget the keys."""
        self._engine = None

    def _check(self, expected: bytes, token: bytes) -> None:
        # A wrong signature also leaves the cipher streams out of step: nothing later could be read.
        if not hmac.compare_digest(expected, token):
            raise self._fail("a message's signature is wrong: it was changed, repeated or reordered")

    def _live(self) -> _Engine:
        if self._engine is None:
            raise AuthenticationError("NTLM: the context is closed")
        return self._engine

    def _ready(self, protection: NegotiateFlags) -> _Engine:
        engine = self._live()
        if not self._complete:
            raise AuthenticationError("NTLM: the log-on is not complete")
        if not engine._context_attr & protection:
            # pyspnego would answer with a constant for a signature and accept it.
            raise AuthenticationError(f"NTLM: the session was made without the flag {protection.name}")
        return engine

    def _fail(self, reason: str) -> AuthenticationError:
        """Close the context; the error to raise."""
        self.close()
        return AuthenticationError(f"NTLM: {reason}")


class _Logon(_Engine):
    """The server's two steps (MS-NLMP 3.2.5.1), with our accounts."""

    def __init__(
        self,
        accounts: Accounts,
        names: ServerNames,
        required: int,
        clock: Callable[[], float],
        channel_bindings: bytes | None,
        require_mic: bool,
    ) -> None:
        super().__init__(NTLMHash("acceptor"), 0)
        self.usage = "accept"
        self._credential = None
        self._accounts = accounts
        self._names = names
        self._required = required
        self._clock = clock
        self._bindings_hash = channel_bindings
        self._require_mic = require_mic
        self._mic_checked = False
        self.claimed = ""
        self.principal: Principal | None = None
        self.identify_only = False

    @property
    def _requires_mech_list_mic(self) -> bool:
        """Whether SPNEGO's mechListMIC is due: a client that sends the one code sends the other."""
        return self._mic_checked

    def _step_accept_negotiate(self, token: bytes) -> bytes:
        """Section 3.2.5.1.1: what the client offers; our challenge."""
        _check_signature(token)
        negotiate = Negotiate.unpack(token)
        self._refuse_weak(negotiate.flags)
        names = self._names
        info = TargetInfo()
        info[AvId.nb_domain_name] = names.domain
        info[AvId.nb_computer_name] = names.computer
        info[AvId.dns_domain_name] = names.dns_domain or names.dns_computer
        info[AvId.dns_computer_name] = names.dns_computer
        info[AvId.timestamp] = FileTime.from_datetime(datetime.fromtimestamp(self._clock(), UTC))
        flags = negotiate.flags & _ECHOED | _GIVEN
        challenge = Challenge(
            flags,
            os.urandom(8),
            target_name=names.computer,
            target_info=info,
            version=Version.get_current() if flags & NegotiateFlags.version else None,
        )
        self._temp_negotiate = negotiate
        self._temp_challenge = challenge
        return challenge.pack()

    def _step_accept_authenticate(self, token: bytes, channel_bindings: GssChannelBindings | None) -> None:
        """Section 3.2.5.1.2: the client's proof. Raises, or the session's keys can be made."""
        del channel_bindings
        negotiate, challenge = self._temp_negotiate, self._temp_challenge
        assert negotiate is not None
        assert challenge is not None
        _check_signature(token)
        auth = Authenticate.unpack(token)
        user, domain = auth.user_name or "", auth.domain_name or ""
        self.claimed = printable((f"{domain}\\{user}" if domain else user)[:_SHOWN])
        if not user or auth.flags & NegotiateFlags.anonymous:
            raise self._refusal("anonymous log-on")
        flags = auth.flags & challenge.flags
        self._refuse_weak(flags)
        response = auth.nt_challenge_response or b""
        if len(response) <= 24:
            raise self._refusal("an NTLMv1 or LM response")
        proof, temp = response[:16], response[16:]
        blob = NTClientChallengeV2.unpack(temp)
        if blob.resp_type != 1 or blob.hi_resp_type != 1:
            raise self._refusal(f"a response of version {blob.resp_type}")
        pairs = blob.av_pairs
        base_key = self._prove(user, domain, challenge.server_challenge, proof, temp)
        self._check_time(temp)
        self._check_bindings(pairs)
        self._session_key = base_key
        if flags & (NegotiateFlags.sign | NegotiateFlags.seal):
            encrypted = auth.encrypted_random_session_key or b""
            if len(encrypted) != 16:
                raise self._refusal(f"a session key of {len(encrypted)} octets")
            self._session_key = rc4k(base_key, encrypted)
        self._check_mic(negotiate, challenge, auth, bool(pairs.get(AvId.flags, 0) & AvFlags.mic))
        self.identify_only = bool((negotiate.flags | auth.flags) & NegotiateFlags.identity)
        self._context_attr = int(flags)
        self._complete = True

    def _prove(self, user: str, domain: str, server_challenge: bytes, proof: bytes, temp: bytes) -> bytes:
        """Check NTProofStr against the account (section 3.3.2); the session base key.

        It is computed over the client's own bytes, not over a re-encoding of them, and the same for a name that
        nobody has. Section 3.2.5.1.2 has a second try with an empty domain, for clients that leave it out.
        """
        problem = "unknown account"
        try:
            account = self._accounts.find(domain, user)
        except ConfigurationError as error:
            account, problem = None, str(error)
        key = account.nt_hash if account is not None else os.urandom(16)
        base_key = b""
        for hashed_domain in (domain, ""):
            response_key = ntowfv2(user, key, hashed_domain)
            expected = hmac_md5(response_key, server_challenge + temp)
            candidate = hmac_md5(response_key, expected)
            if hmac.compare_digest(expected, proof) and not base_key:
                base_key = candidate
        if account is None:
            raise self._refusal(problem)
        if not base_key:
            raise self._refusal("wrong password")
        self.principal = account.principal(self._names.computer, NETWORK)
        return base_key

    def _check_time(self, temp: bytes) -> None:
        (filetime,) = struct.unpack_from("<Q", temp, 8)
        seconds = (filetime - _EPOCH_AS_FILETIME) / 10_000_000
        if abs(seconds - self._clock()) > _MAX_LIFETIME:
            raise self._refusal("the response's time is more than 36 hours from ours")

    def _check_bindings(self, pairs: TargetInfo) -> None:
        """An all-zero hash means that the client has no bindings (section 2.2.2.1): not enough if we want them."""
        if self._bindings_hash is not None:
            given = pairs.get(AvId.channel_bindings, b"")
            if not hmac.compare_digest(given, self._bindings_hash):
                raise self._refusal("the channel bindings are absent or another channel's")

    def _check_mic(self, negotiate: Negotiate, challenge: Challenge, auth: Authenticate, sent: bool) -> None:
        """The code over all three messages. Whether there is one stands in what the password protects."""
        if not sent:
            if self._require_mic:
                raise self._refusal("no message integrity code")
            return
        mic = auth.mic
        if mic is None:
            raise self._refusal("the message integrity code is missing")
        auth.mic = bytes(16)
        expected = self._calculate_mic(self.session_key, negotiate.pack(), challenge.pack(), auth.pack())
        if not hmac.compare_digest(expected, mic):
            raise self._refusal("the message integrity code is wrong")
        self._mic_checked = True

    def _refuse_weak(self, flags: int) -> None:
        missing = self._required & ~flags
        if missing:
            names = ", ".join(flag.name or "" for flag in NegotiateFlags(missing))
            raise self._refusal(f"a session that is too weak, without {names}")

    def _refusal(self, reason: str) -> AuthenticationError:
        who = f" of {self.claimed!r}" if self.claimed else ""
        return AuthenticationError(f"NTLM log-on{who} refused: {reason}")


class NtlmAcceptor(_Context):
    """The server's side of one NTLM exchange: two steps, challenge and end.

    accounts, names: who may log on, and what we call ourselves.
    level: what the session must be able to do; a weaker one is refused.
    clock: seconds since 1970, for the challenge and for the age of the response.
    channel_bindings: the MD5 hash of the outer channel's bindings, if the client must prove that it uses it.
    require_mic: refuse clients that send no message integrity code. Windows sends one; several libraries do not.
    """

    _who = "an acceptor"

    def __init__(
        self,
        accounts: Accounts,
        names: ServerNames,
        *,
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
        clock: Callable[[], float] = time.time,
        channel_bindings: bytes | None = None,
        require_mic: bool = False,
    ) -> None:
        required = required_flags(level)
        self._logon = _Logon(accounts, names, required, clock, channel_bindings, require_mic)
        super().__init__(self._logon, required)

    @property
    def claimed_name(self) -> str:
        r"""The `DOMAIN\user` that the peer typed, proven or not; empty before it did. For logs and throttles."""
        return self._logon.claimed

    @property
    def peer(self) -> Principal:
        """Who authenticated."""
        if not self._complete or self._logon.principal is None:
            raise AuthenticationError("NTLM: nobody has authenticated")
        return self._logon.principal

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        """IDENTIFY if the client's flags ask for no more, else IMPERSONATE; NTLM cannot delegate."""
        if not self._complete:
            raise AuthenticationError("NTLM: nobody has authenticated")
        return ImpersonationLevel.IDENTIFY if self._logon.identify_only else ImpersonationLevel.IMPERSONATE


class _Client(_Engine):
    """pyspnego's client, which takes whatever flags the server chose, after a check of these flags."""

    def __init__(self, credential: NTLMHash, flags: int, required: int, **settings: Any) -> None:
        super().__init__(credential, flags, **settings)
        self._required = required

    def _step_initiate(
        self, in_token: bytes | None = None, *, channel_bindings: GssChannelBindings | None = None
    ) -> bytes:
        if self._temp_negotiate is not None:
            token = in_token or b""
            _check_signature(token)
            missing = self._required & ~Challenge.unpack(token).flags
            if missing:
                names = ", ".join(flag.name or "" for flag in NegotiateFlags(missing))
                raise AuthenticationError(f"NTLM: the server offers a session that is too weak, without {names}")
            # Also towards servers that send no time: the code protects the flags that were negotiated.
            self._mic_required = True
        return super()._step_initiate(in_token, channel_bindings=channel_bindings)


class NtlmInitiator(_Context):
    r"""The client's side of one NTLM exchange: two steps, offer and proof.

    user: `user`, `DOMAIN\user`, `.\user` or `user@host`.
    password or hashed: the clear password, or its NT hash of 16 octets. Exactly one.
    target, service: the server's host name and the class of its service, for its service principal name.
    level: what the session will be used for. impersonation: IDENTIFY or IMPERSONATE.
    `ConfigurationError` for arguments that NTLM cannot use.
    """

    _who = "an initiator"

    def __init__(
        self,
        user: str,
        password: str | None = None,
        *,
        hashed: bytes | None = None,
        target: str = "",
        service: str = "host",
        level: AuthenticationLevel = AuthenticationLevel.PRIVACY,
        impersonation: ImpersonationLevel = ImpersonationLevel.IMPERSONATE,
        channel_bindings: GssChannelBindings | None = None,
    ) -> None:
        if not user.rpartition("\\")[2]:
            raise ConfigurationError("NTLM needs a user name: there is no anonymous log-on")
        if (password is None) == (hashed is None):
            raise ConfigurationError("NTLM needs a password or an NT hash, and not both")
        if impersonation not in (ImpersonationLevel.IDENTIFY, ImpersonationLevel.IMPERSONATE):
            raise ConfigurationError(f"NTLM cannot offer the impersonation level {impersonation.name}")
        secret = hashed if hashed is not None else nt_hash(password or "")
        if len(secret) != 16:
            raise ConfigurationError(f"an NT hash has 16 octets, not {len(secret)}")
        required = required_flags(level)
        flags = required | NegotiateFlags.ntlm | NegotiateFlags.request_target | NegotiateFlags.always_sign
        flags |= NegotiateFlags.key_56 | NegotiateFlags.target_info | NegotiateFlags.sign
        if impersonation is ImpersonationLevel.IDENTIFY:
            flags |= NegotiateFlags.identity
        engine = _Client(
            NTLMHash(user, nt_hash=secret.hex()),
            flags,
            required,
            hostname=target or None,
            service=service,
            channel_bindings=channel_bindings,
        )
        super().__init__(engine, required)


def _check_signature(token: bytes) -> None:
    """pyspnego's parsers look at the message type only."""
    if not token.startswith(_SIGNATURE):
        raise ValueError("no NTLMSSP signature")
