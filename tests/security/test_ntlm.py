from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spnego._ntlm_raw.crypto import hmac_md5
from spnego._ntlm_raw.messages import Authenticate, Challenge, Negotiate, NegotiateFlags

from openwmi.errors import AuthenticationError, ConfigurationError
from openwmi.security.accounts import Accounts, nt_hash
from openwmi.security.context import NTLM, AuthenticationLevel, ImpersonationLevel
from openwmi.security.ntlm import NtlmAcceptor, NtlmInitiator, ServerNames
from openwmi.security.principals import ADMINISTRATORS, NETWORK

DATA = Path(__file__).parents[1] / "data" / "security"
NAMES = ServerNames.of("host.example.test")
NOW = 1_700_000_000.0
LEVELS = [AuthenticationLevel.CONNECT, AuthenticationLevel.INTEGRITY, AuthenticationLevel.PRIVACY]


@pytest.fixture(autouse=True)
def _foreign_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pyspnego's own settings in the environment must not matter: an account only it knows, and NTLMv1."""
    users = tmp_path / "ntlm-users"
    users.write_text(":eve:secret\nHOST:eve:secret\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    monkeypatch.setenv("LM_COMPAT_LEVEL", "0")


def _accounts() -> Accounts:
    accounts = Accounts()
    accounts.add("Ada", "secret", administrator=True)
    accounts.add("bob", "pässwörd €")
    return accounts


ACCOUNTS = _accounts()


def _acceptor(level: AuthenticationLevel = AuthenticationLevel.PRIVACY, **settings: object) -> NtlmAcceptor:
    settings.setdefault("clock", lambda: NOW)
    return NtlmAcceptor(ACCOUNTS, NAMES, level=level, **settings)  # type: ignore[arg-type]


def _same(token: bytes) -> bytes:
    return token


def _log_on(
    acceptor: NtlmAcceptor,
    initiator: NtlmInitiator,
    *,
    negotiate: Callable[[bytes], bytes] = _same,
    challenge: Callable[[bytes], bytes] = _same,
    authenticate: Callable[[bytes], bytes] = _same,
) -> None:
    """One exchange, each message perhaps changed on its way."""
    token = challenge(acceptor.step(negotiate(initiator.step(b""))))
    assert acceptor.step(authenticate(initiator.step(token))) == b""


def _pair(level: AuthenticationLevel = AuthenticationLevel.PRIVACY) -> tuple[NtlmAcceptor, NtlmInitiator]:
    acceptor, initiator = _acceptor(level), NtlmInitiator("ada", "secret", level=level)
    _log_on(acceptor, initiator)
    return acceptor, initiator


# Log-ons that succeed


@pytest.mark.parametrize("user", ["ada", "ADA", ".\\ada", "HOST\\Ada", "CLIENT\\ada", "ada@host.example.test"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_log_on(user: str, level: AuthenticationLevel) -> None:
    acceptor, initiator = _acceptor(level), NtlmInitiator(user, "secret", target="host", level=level)
    assert not acceptor.complete
    _log_on(acceptor, initiator)
    assert acceptor.complete
    assert initiator.complete
    assert acceptor.auth_type == initiator.auth_type == NTLM
    assert acceptor.claimed_name == user
    assert acceptor.peer.name == "HOST\\Ada"
    assert acceptor.peer.is_administrator
    assert {ADMINISTRATORS, NETWORK} <= acceptor.peer.groups
    assert acceptor.impersonation_level is ImpersonationLevel.IMPERSONATE


def test_a_hash_serves_instead_of_a_password() -> None:
    acceptor = _acceptor()
    _log_on(acceptor, NtlmInitiator("bob", hashed=nt_hash("pässwörd €")))
    assert acceptor.peer.name == "HOST\\bob"
    assert not acceptor.peer.is_administrator


def test_a_client_may_ask_to_be_identified_only() -> None:
    acceptor = _acceptor()
    _log_on(acceptor, NtlmInitiator("ada", "secret", impersonation=ImpersonationLevel.IDENTIFY))
    assert acceptor.impersonation_level is ImpersonationLevel.IDENTIFY


def test_the_challenge_says_who_we_are() -> None:
    token = _acceptor().step(NtlmInitiator("ada", "secret").step(b""))
    challenge = Challenge.unpack(token)
    assert challenge.target_name == "HOST"
    assert challenge.target_info is not None
    pairs = [value for key, value in challenge.target_info.items() if key and key != 7]
    assert pairs == ["HOST", "HOST", "example.test", "host.example.test"]
    assert struct.pack("<Q", int(NOW * 10**7) + 116_444_736_000_000_000) in token
    assert challenge.flags & NegotiateFlags.target_type_server


def test_challenges_differ() -> None:
    offer = NtlmInitiator("ada", "secret").step(b"")
    challenges = {Challenge.unpack(_acceptor().step(offer)).server_challenge for _ in range(20)}
    assert len(challenges) == 20


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("host", ("HOST", "HOST", "host", "")),
        (
            "a-very-long-host-name.example.test",
            ("A-VERY-LONG-HOS",) * 2 + ("a-very-long-host-name.example.test", "example.test"),
        ),
        ("", ("OPENWMI", "OPENWMI", "openwmi", "")),
    ],
)
def test_server_names(hostname: str, names: tuple[str, ...]) -> None:
    made = ServerNames.of(hostname)
    assert (made.computer, made.domain, made.dns_computer, made.dns_domain) == names


# Log-ons that are refused


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("ada", "Secret", "wrong password"),
        ("ada", "", "wrong password"),
        ("eve", "secret", "unknown account"),
        ("HOST\\eve", "secret", "unknown account"),
    ],
)
def test_a_refused_log_on_names_account_and_reason_but_no_secret(user: str, password: str, reason: str) -> None:
    acceptor = _acceptor()
    with pytest.raises(AuthenticationError) as caught:
        _log_on(acceptor, NtlmInitiator(user, password))
    assert reason in str(caught.value)
    assert repr(user) in str(caught.value)
    assert "ecret'" not in str(caught.value)
    assert acceptor.claimed_name == user
    assert not acceptor.complete
    with pytest.raises(AuthenticationError):
        _ = acceptor.peer
    with pytest.raises(AuthenticationError, match="closed"):
        acceptor.step(b"")


def test_an_unknown_account_costs_the_work_of_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counting(key: bytes, data: bytes) -> bytes:
        calls.append(len(data))
        return hmac_md5(key, data)

    monkeypatch.setattr("openwmi.security.ntlm.hmac_md5", counting)
    costs = []
    for user in ("ada", "eve"):
        calls.clear()
        with pytest.raises(AuthenticationError):
            _log_on(_acceptor(), NtlmInitiator(user, "wrong"))
        costs.append(list(calls))
    assert costs[0] == costs[1] != []


def _without(*flags: NegotiateFlags) -> Callable[[bytes], bytes]:
    """Clear flags in a Negotiate message."""

    def change(token: bytes) -> bytes:
        message = Negotiate.unpack(token)
        for flag in flags:
            message.flags &= ~flag
        return message.pack()

    return change


@pytest.mark.parametrize("flag", ["unicode", "extended_session_security", "key_128", "key_exch"])
@pytest.mark.parametrize("level", LEVELS)
def test_an_offer_that_is_too_weak(flag: str, level: AuthenticationLevel) -> None:
    with pytest.raises(AuthenticationError, match=f"too weak, without {flag}"):
        _log_on(_acceptor(level), NtlmInitiator("ada", "secret"), negotiate=_without(NegotiateFlags[flag]))


@pytest.mark.parametrize(
    ("level", "flag"),
    [
        (AuthenticationLevel.CALL, "sign"),
        (AuthenticationLevel.INTEGRITY, "sign"),
        (AuthenticationLevel.PRIVACY, "seal"),
    ],
)
def test_an_offer_that_is_too_weak_for_the_level(level: AuthenticationLevel, flag: str) -> None:
    with pytest.raises(AuthenticationError, match=f"without {flag}"):
        _log_on(_acceptor(level), NtlmInitiator("ada", "secret"), negotiate=_without(NegotiateFlags[flag]))


@pytest.mark.parametrize("flag", ["sign", "seal", "extended_session_security", "key_128", "key_exch", "unicode"])
def test_flags_that_are_taken_back_in_the_last_message(flag: str) -> None:
    def change(token: bytes) -> bytes:
        message = Authenticate.unpack(token)
        message.flags &= ~NegotiateFlags[flag]
        return message.pack()

    with pytest.raises(AuthenticationError, match=f"too weak, without {flag}"):
        _log_on(_acceptor(), NtlmInitiator("ada", "secret"), authenticate=change)


@pytest.mark.parametrize("flag", ["extended_session_security", "key_128", "key_exch", "seal", "sign"])
def test_a_client_refuses_a_weak_server(flag: str) -> None:
    def change(token: bytes) -> bytes:
        message = Challenge.unpack(token)
        message.flags &= ~NegotiateFlags[flag]
        return message.pack()

    with pytest.raises(AuthenticationError, match=f"server offers .* without {flag}"):
        _log_on(_acceptor(), NtlmInitiator("ada", "secret"), challenge=change)


def test_ntlm_version_1_is_refused() -> None:
    initiator = NtlmInitiator("ada", "secret")
    assert initiator._engine is not None
    initiator._engine._nt_v2, initiator._engine._nt_v1 = False, True
    with pytest.raises(AuthenticationError, match="'ada' refused: an NTLMv1 or LM response"):
        _log_on(_acceptor(), initiator)


_STRONG = 0xE2088235


@pytest.mark.parametrize(
    ("user", "flags", "lm", "nt", "reason"),
    [
        ("", _STRONG, b"\0", b"", "anonymous"),
        ("ada", _STRONG | NegotiateFlags.anonymous, b"", b"", "anonymous"),
        ("ada", _STRONG, bytes(24), b"", "NTLMv1 or LM"),
        ("ada", _STRONG, bytes(24), bytes(24), "NTLMv1 or LM"),
        ("ada", _STRONG, b"", bytes(25), "malformed"),
        ("ada", _STRONG, b"", bytes(16) + b"\x02\x02" + bytes(40), "version 2"),
        ("ada", _STRONG, b"", bytes(16) + b"\x01\x01" + bytes(42), "wrong password"),
    ],
)
def test_responses_that_are_refused(user: str, flags: int, lm: bytes, nt: bytes, reason: str) -> None:
    acceptor = _acceptor()
    acceptor.step(NtlmInitiator("ada", "secret").step(b""))
    message = Authenticate(flags, lm, nt, username=user, encrypted_session_key=bytes(16))
    with pytest.raises(AuthenticationError, match=reason):
        acceptor.step(message.pack())


@pytest.mark.parametrize(("hours", "accepted"), [(0, True), (35, True), (-35, True), (37, False), (-37, False)])
def test_the_age_of_a_response(hours: int, accepted: bool) -> None:
    now = NOW
    acceptor = _acceptor(clock=lambda: now)
    initiator = NtlmInitiator("ada", "secret")
    token = initiator.step(acceptor.step(initiator.step(b"")))
    now += hours * 3600
    if accepted:
        acceptor.step(token)
        assert acceptor.complete
    else:
        with pytest.raises(AuthenticationError, match="36 hours"):
            acceptor.step(token)


# The message integrity code


def test_a_changed_offer_is_found_by_the_code() -> None:
    def add_a_flag(token: bytes) -> bytes:
        message = Negotiate.unpack(token)
        message.flags ^= NegotiateFlags.key_56
        return message.pack()

    with pytest.raises(AuthenticationError, match="integrity code is wrong"):
        _log_on(_acceptor(), NtlmInitiator("ada", "secret"), negotiate=add_a_flag)


def test_a_zeroed_code_is_wrong() -> None:
    def zero(token: bytes) -> bytes:
        message = Authenticate.unpack(token)
        message.mic = bytes(16)
        return message.pack()

    with pytest.raises(AuthenticationError, match="integrity code is wrong"):
        _log_on(_acceptor(), NtlmInitiator("ada", "secret"), authenticate=zero)


def test_a_code_that_was_cut_out_is_missed() -> None:
    def cut(token: bytes) -> bytes:
        old = Authenticate.unpack(token)
        header, payload = bytearray(token[:64]), token[88:]
        for field in range(12, 60, 8):
            (offset,) = struct.unpack_from("<I", header, field + 4)
            struct.pack_into("<I", header, field + 4, offset - 24)
        cut = bytes(header) + payload
        assert Authenticate.unpack(cut).nt_challenge_response == old.nt_challenge_response
        return cut

    with pytest.raises(AuthenticationError, match="integrity code is missing"):
        _log_on(_acceptor(), NtlmInitiator("ada", "secret"), authenticate=cut)


def test_the_code_may_be_required() -> None:
    _log_on(_acceptor(require_mic=True), NtlmInitiator("ada", "secret"))


# Channel bindings


def test_channel_bindings() -> None:
    from hashlib import md5

    from spnego.channel_bindings import GssChannelBindings

    bindings = GssChannelBindings(application_data=b"tls-server-end-point:abc")
    wanted = md5(bindings.pack(), usedforsecurity=False).digest()
    _log_on(_acceptor(channel_bindings=wanted), NtlmInitiator("ada", "secret", channel_bindings=bindings))
    _log_on(_acceptor(), NtlmInitiator("ada", "secret", channel_bindings=bindings))
    for other in (None, GssChannelBindings(application_data=b"tls-server-end-point:def")):
        with pytest.raises(AuthenticationError, match="channel bindings"):
            _log_on(_acceptor(channel_bindings=wanted), NtlmInitiator("ada", "secret", channel_bindings=other))


# Protected messages

HEADER, BODY, TRAILER = b"a PDU's header", b"its stub data", b"its trailer"


def test_sealed_messages_both_ways() -> None:
    acceptor, initiator = _pair()
    for number in range(5):
        body = BODY * number
        for one, other in ((acceptor, initiator), (initiator, acceptor)):
            sealed, token = one.seal(HEADER, body, TRAILER)
            assert len(token) == one.signature_size == 16
            assert len(sealed) == len(body)
            assert sealed != body or not body
            assert other.unseal(HEADER, sealed, TRAILER, token) == body


def test_signed_messages_both_ways_and_among_sealed_ones() -> None:
    acceptor, initiator = _pair()
    for one, other in ((acceptor, initiator), (initiator, acceptor), (acceptor, initiator)):
        other.verify(HEADER, BODY, TRAILER, one.sign(HEADER, BODY, TRAILER))
        sealed, token = one.seal(HEADER, BODY, TRAILER)
        assert other.unseal(HEADER, sealed, TRAILER, token) == BODY


def test_a_level_without_sealing_signs() -> None:
    acceptor, initiator = _pair(AuthenticationLevel.INTEGRITY)
    acceptor.verify(HEADER, BODY, TRAILER, initiator.sign(HEADER, BODY, TRAILER))
    with pytest.raises(AuthenticationError, match="without the flag seal"):
        acceptor.seal(HEADER, BODY, TRAILER)


def test_a_session_without_signing_does_not_sign() -> None:
    acceptor = _acceptor(AuthenticationLevel.CONNECT)
    initiator = NtlmInitiator("ada", "secret", level=AuthenticationLevel.CONNECT)
    assert initiator._engine is not None
    initiator._engine._context_req &= ~NegotiateFlags.sign & ~NegotiateFlags.always_sign
    _log_on(acceptor, initiator)
    with pytest.raises(AuthenticationError, match="without the flag sign"):
        acceptor.sign(HEADER, BODY, TRAILER)
    with pytest.raises(AuthenticationError, match="without the flag sign"):
        acceptor.verify(HEADER, BODY, TRAILER, b"\x01" + bytes(15))


def _flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("index", [0, 5, -1])
def test_a_changed_octet_is_found(part: int, index: int) -> None:
    acceptor, initiator = _pair()
    sealed, token = initiator.seal(HEADER, BODY, TRAILER)
    parts = [HEADER, sealed, TRAILER, token]
    parts[part] = _flipped(parts[part], index % len(parts[part]))
    with pytest.raises(AuthenticationError, match="signature is wrong"):
        acceptor.unseal(*parts)
    with pytest.raises(AuthenticationError, match="closed"):
        acceptor.sign(HEADER, BODY, TRAILER)

    acceptor, initiator = _pair()
    parts = [HEADER, BODY, TRAILER, initiator.sign(HEADER, BODY, TRAILER)]
    parts[part] = _flipped(parts[part], index % len(parts[part]))
    with pytest.raises(AuthenticationError, match="signature is wrong"):
        acceptor.verify(*parts)


@pytest.mark.parametrize("token", [b"", bytes(15), bytes(16), bytes(17)])
def test_a_token_of_the_wrong_size_is_found(token: bytes) -> None:
    acceptor, initiator = _pair()
    sealed, _ = initiator.seal(HEADER, BODY, TRAILER)
    with pytest.raises(AuthenticationError, match="signature is wrong"):
        acceptor.unseal(HEADER, sealed, TRAILER, token)


# which of three messages arrive in which order; only the last is wrong
@pytest.mark.parametrize("order", [(0, 0), (1,), (0, 2), (0, 1, 0)])
def test_a_repeated_lost_or_reordered_message_is_found(order: tuple[int, ...]) -> None:
    acceptor, initiator = _pair()
    sent = [initiator.seal(HEADER, BODY, TRAILER) for _ in range(3)]
    *good, bad = order
    for index in good:
        sealed, token = sent[index]
        assert acceptor.unseal(HEADER, sealed, TRAILER, token) == BODY
    sealed, token = sent[bad]
    with pytest.raises(AuthenticationError, match="repeated or reordered"):
        acceptor.unseal(HEADER, sealed, TRAILER, token)


def test_a_message_cannot_be_reflected_or_moved_to_another_session() -> None:
    acceptor, initiator = _pair()
    sealed, token = initiator.seal(HEADER, BODY, TRAILER)
    other, _ = _pair()
    with pytest.raises(AuthenticationError):
        initiator.unseal(HEADER, sealed, TRAILER, token)
    with pytest.raises(AuthenticationError):
        other.unseal(HEADER, sealed, TRAILER, token)
    assert acceptor.unseal(HEADER, sealed, TRAILER, token) == BODY


def test_contexts_are_independent() -> None:
    pairs = [_pair() for _ in range(3)]
    for _ in range(3):
        for acceptor, initiator in pairs:
            sealed, token = initiator.seal(HEADER, BODY, TRAILER)
            assert acceptor.unseal(HEADER, sealed, TRAILER, token) == BODY


# Order of use


def test_nothing_is_protected_before_the_end() -> None:
    acceptor, initiator = _acceptor(), NtlmInitiator("ada", "secret")
    offer = initiator.step(b"")
    for context in (acceptor, initiator):
        for call in (context.seal, context.sign):
            with pytest.raises(AuthenticationError, match="not complete"):
                call(HEADER, BODY, TRAILER)
    acceptor.step(offer)
    with pytest.raises(AuthenticationError, match="nobody"):
        _ = acceptor.peer
    with pytest.raises(AuthenticationError, match="nobody"):
        _ = acceptor.impersonation_level


def test_an_initiator_knows_no_peer() -> None:
    _, initiator = _pair()
    for name in ("peer", "impersonation_level"):
        with pytest.raises(AuthenticationError):
            getattr(initiator, name)


@pytest.mark.parametrize("side", [0, 1])
def test_there_is_no_step_after_the_last(side: int) -> None:
    context = _pair()[side]
    with pytest.raises(AuthenticationError, match="over"):
        context.step(b"")


@pytest.mark.parametrize("side", [0, 1])
def test_a_closed_context_has_no_keys(side: int) -> None:
    context = _pair()[side]
    context.close()
    context.close()
    for call in (context.seal, context.sign):
        with pytest.raises(AuthenticationError, match="closed"):
            call(HEADER, BODY, TRAILER)
    with pytest.raises(AuthenticationError, match="closed"):
        context.step(b"")


@pytest.mark.parametrize(
    "arguments",
    [
        {"user": "", "password": "x"},
        {"user": "HOST\\", "password": "x"},
        {"user": "ada"},
        {"user": "ada", "password": "x", "hashed": bytes(16)},
        {"user": "ada", "hashed": bytes(15)},
        {"user": "ada", "password": "x", "impersonation": ImpersonationLevel.DELEGATE},
        {"user": "ada", "password": "x", "impersonation": ImpersonationLevel.ANONYMOUS},
    ],
)
def test_arguments_that_ntlm_cannot_use(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        NtlmInitiator(**arguments)  # type: ignore[arg-type]


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        _pair()
    assert caplog.text == ""


def test_accounts_that_cannot_be_read_know_nobody(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    accounts = Accounts.load(path, create=True)
    accounts.add("ada", "secret")
    path.unlink()
    with pytest.raises(AuthenticationError, match="accounts file is gone"):
        _log_on(NtlmAcceptor(accounts, NAMES), NtlmInitiator("ada", "secret"))


# Hostile bytes


def _messages() -> list[bytes]:
    acceptor, initiator = _acceptor(), NtlmInitiator("ada", "secret")
    negotiate = initiator.step(b"")
    challenge = acceptor.step(negotiate)
    return [negotiate, challenge, initiator.step(challenge)]


@pytest.mark.parametrize(
    "token", [b"", b"NTLMSSP\0", bytes(64), b"NTLMSSP\0\x04\0\0\0" + bytes(60), bytes(100_000)], ids=len
)
def test_a_first_token_that_is_no_offer(token: bytes) -> None:
    with pytest.raises(AuthenticationError):
        _acceptor().step(token)


def test_messages_out_of_order_are_refused() -> None:
    negotiate, challenge, authenticate = _messages()
    for wrong in (challenge, authenticate):
        with pytest.raises(AuthenticationError, match="malformed"):
            _acceptor().step(wrong)
    for wrong in (negotiate, challenge):
        acceptor = _acceptor()
        acceptor.step(negotiate)
        with pytest.raises(AuthenticationError, match="malformed"):
            acceptor.step(wrong)


@settings(max_examples=200)
@given(st.data())
def test_mutated_messages_are_refused_or_harmless(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, 2))

    def mutate(token: bytes) -> bytes:
        changed = bytearray(token)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        return bytes(changed[: data.draw(st.integers(0, len(changed)) | st.just(len(changed)))])

    changes = [_same, _same, _same]
    changes[which] = mutate
    acceptor, initiator = _acceptor(), NtlmInitiator("ada", "secret")
    try:
        _log_on(acceptor, initiator, negotiate=changes[0], challenge=changes[1], authenticate=changes[2])
    except AuthenticationError:
        assert not acceptor.complete
    else:
        assert acceptor.peer.name == "HOST\\Ada"


# The printed exchange, MS-NLMP 4.2.4


def _printed(name: str, clock: float) -> NtlmAcceptor:
    """An acceptor that has sent the printed challenge, and awaits its answer at the printed time, 0."""
    accounts = Accounts()
    accounts.add("User", "Password")
    acceptor = NtlmAcceptor(accounts, ServerNames.of("Server"), clock=lambda: clock)
    acceptor._logon._temp_negotiate = Negotiate(_STRONG)
    acceptor._logon._temp_challenge = Challenge.unpack((DATA / f"{name}_challenge.bin").read_bytes())
    return acceptor


def test_the_printed_exchange_and_message() -> None:
    acceptor = _printed("ntlmv2", clock=-11_644_473_600)
    acceptor.step((DATA / "ntlmv2_authenticate.bin").read_bytes())
    assert acceptor.claimed_name == "Domain\\User"
    assert acceptor.peer.name == "SERVER\\User"
    sealed = bytes.fromhex("54e50165bf1936dc996020c1811b0f06fb5f")
    token = bytes.fromhex("010000007fb38ec5c55d497600000000")
    assert acceptor.unseal(b"", sealed, b"", token) == "Plaintext".encode("utf-16-le")


def test_the_printed_exchange_is_too_old_today() -> None:
    with pytest.raises(AuthenticationError, match="36 hours"):
        _printed("ntlmv2", clock=NOW).step((DATA / "ntlmv2_authenticate.bin").read_bytes())


def test_the_printed_version_1_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="refused"):
        _printed("ntlmv1", clock=NOW).step((DATA / "ntlmv1_authenticate.bin").read_bytes())
