"""Kerberos with a KDC of our own: who gets in, what is protected, and SPNEGO over it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from spnego._spnego import unpack_token

from openwmi.errors import AuthenticationError, ConfigurationError
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.context import (
    KERBEROS,
    NTLM,
    SPNEGO,
    AuthenticationLevel,
    ImpersonationLevel,
    SecurityContext,
)
from openwmi.security.kerberos import KerberosAcceptor, KerberosInitiator, ServiceKeys
from openwmi.security.ntlm import NtlmAcceptor, NtlmInitiator, ServerNames
from openwmi.security.spnego import SpnegoAcceptor, SpnegoInitiator
from tests.security.kdc import PASSWORD, REALM, SERVICE_HOST, STRANGER, USER, Realm

LEVEL = AuthenticationLevel
NAMES = ServerNames.of("server.openwmi.test")
SIGNED = [LEVEL.PACKET, LEVEL.INTEGRITY]


@pytest.fixture(scope="session")
def keys(realm: Realm) -> ServiceKeys:
    return ServiceKeys(realm.keytab)


@pytest.fixture(scope="module")
def accounts() -> Accounts:
    made = Accounts()
    made.add(USER, "another password: the realm's counts", administrator=True)
    return made


def initiator(
    user: str = f"{USER}@{REALM}",
    password: str | None = PASSWORD,
    *,
    target: str = SERVICE_HOST,
    level: AuthenticationLevel = LEVEL.PRIVACY,
    impersonation: ImpersonationLevel = ImpersonationLevel.IMPERSONATE,
) -> KerberosInitiator:
    return KerberosInitiator(user, password, target=target, level=level, impersonation=impersonation)


def log_on(client: SecurityContext, server: SecurityContext) -> int:
    """Carries tokens until neither side has one; how many there were."""
    count = 0
    token = client.step(b"")
    while token:
        count += 1
        answer = server.step(token)
        count += bool(answer)
        token = client.step(answer) if answer else b""
    return count


def pair(
    accounts: Accounts, keys: ServiceKeys, level: AuthenticationLevel = LEVEL.PRIVACY
) -> tuple[KerberosInitiator, KerberosAcceptor]:
    client, server = initiator(level=level), KerberosAcceptor(accounts, keys, "SERVER", level=level)
    log_on(client, server)
    return client, server


@pytest.mark.parametrize("user", [f"{USER}@{REALM}", USER, f"{REALM.lower()}\\{USER}"])
@pytest.mark.parametrize("level", [LEVEL.CONNECT, *SIGNED, LEVEL.PRIVACY])
def test_a_log_on(accounts: Accounts, keys: ServiceKeys, user: str, level: AuthenticationLevel) -> None:
    client = initiator(user, level=level)
    server = KerberosAcceptor(accounts, keys, "SERVER", level=level)
    assert log_on(client, server) == 3
    assert client.complete
    assert server.complete
    assert server.peer.name == f"SERVER\\{USER}"
    assert server.peer.is_administrator
    assert server.claimed_name == f"{USER}@{REALM}"
    assert server.impersonation_level is ImpersonationLevel.IMPERSONATE
    assert client.auth_type == server.auth_type == KERBEROS


@pytest.mark.requirement("RPCE-2.2.1.1.9-02")
def test_a_client_may_ask_to_be_identified_only(accounts: Accounts, keys: ServiceKeys) -> None:
    server = KerberosAcceptor(accounts, keys, "SERVER")
    log_on(initiator(impersonation=ImpersonationLevel.IDENTIFY), server)
    assert server.impersonation_level is ImpersonationLevel.IDENTIFY


def test_a_keytab_serves_but_a_service_is_no_user(accounts: Accounts, keys: ServiceKeys, realm: Realm) -> None:
    accounts.add("host", "x")
    client = KerberosInitiator(f"host/{SERVICE_HOST}@{REALM}", keytab=realm.keytab, target=SERVICE_HOST)
    server = KerberosAcceptor(accounts, keys, "SERVER")
    with pytest.raises(AuthenticationError, match="no user of the realm"):
        log_on(client, server)


@pytest.mark.parametrize(("user", "problem"), [(STRANGER, "no account"), (f"{USER}/admin", "no user of the realm")])
def test_principals_without_an_account(accounts: Accounts, keys: ServiceKeys, user: str, problem: str) -> None:
    server = KerberosAcceptor(accounts, keys, "SERVER")
    with pytest.raises(AuthenticationError, match=problem):
        log_on(initiator(user), server)
    assert not server.complete
    assert server.claimed_name == f"{user}@{REALM}"
    with pytest.raises(AuthenticationError):
        _ = server.peer
    with pytest.raises(AuthenticationError):
        server.sign(b"", b"", b"")


@pytest.mark.parametrize(
    ("user", "password", "target"),
    [(USER, "wrong", SERVICE_HOST), ("nobody", PASSWORD, SERVICE_HOST), (USER, PASSWORD, "other.openwmi.test")],
    ids=["password", "user", "server"],
)
def test_what_the_kdc_refuses(realm: Realm, user: str, password: str, target: str) -> None:
    client = initiator(user, password, target=target)
    with pytest.raises(AuthenticationError, match="Kerberos") as caught:
        client.step(b"")
    assert password not in str(caught.value)
    with pytest.raises(AuthenticationError, match="closed"):
        client.step(b"")


def test_a_weaker_session_is_refused(accounts: Accounts, keys: ServiceKeys) -> None:
    client, server = initiator(), KerberosAcceptor(accounts, keys, "SERVER")
    client._flags &= ~type(client._flags).dce_style
    with pytest.raises(AuthenticationError, match="without dce_style"):
        log_on(client, server)


@pytest.mark.parametrize("token", [b"", b"x", b"\x6e\x82\x00\x00", bytes(70_000)])
def test_tokens_that_are_none(accounts: Accounts, keys: ServiceKeys, token: bytes) -> None:
    with pytest.raises(AuthenticationError):
        KerberosAcceptor(accounts, keys, "SERVER").step(token)


def test_a_replayed_ticket_is_refused(accounts: Accounts, keys: ServiceKeys) -> None:
    token = initiator().step(b"")
    KerberosAcceptor(accounts, keys, "SERVER").step(token)
    second = KerberosAcceptor(accounts, keys, "SERVER")
    # In DCE style the client proves once more that it has the key, so the replay fails in the third leg at the latest.
    with pytest.raises(AuthenticationError):
        second.step(second.step(token))
    assert not second.complete


# -- messages

HEADER, BODY, TRAILER = b"H" * 24, b"the body of it" * 20, b"T" * 8


@pytest.mark.parametrize("around", [(HEADER, TRAILER), (b"", b"")], ids=["header signing", "body only"])
def test_sealed_messages_both_ways(accounts: Accounts, keys: ServiceKeys, around: tuple[bytes, bytes]) -> None:
    header, trailer = around
    for one, other in (pair(accounts, keys), pair(accounts, keys)[::-1]):
        for body in (BODY, b"", b"x" * 16):
            sealed, token = one.seal(header, body, trailer)
            assert len(token) == one.signature_size
            assert len(sealed) == len(body)
            assert other.unseal(header, sealed, trailer, token) == body
    assert b"the body" not in pair(accounts, keys)[0].seal(header, BODY, trailer)[0]


@pytest.mark.parametrize("level", SIGNED)
def test_signed_messages_both_ways(accounts: Accounts, keys: ServiceKeys, level: AuthenticationLevel) -> None:
    client, server = pair(accounts, keys, level)
    for one, other in ((client, server), (server, client)):
        token = one.sign(HEADER, BODY, TRAILER)
        assert len(token) == one.signature_size
        other.verify(HEADER, BODY, TRAILER, token)


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("level", [LEVEL.INTEGRITY, LEVEL.PRIVACY])
def test_a_changed_octet_is_found(accounts: Accounts, keys: ServiceKeys, level: AuthenticationLevel, part: int) -> None:
    client, server = pair(accounts, keys, level)
    if level is LEVEL.PRIVACY:
        sealed, token = client.seal(HEADER, BODY, TRAILER)
    else:
        sealed, token = BODY, client.sign(HEADER, BODY, TRAILER)
    parts = [HEADER, sealed, TRAILER, token]
    parts[part] = parts[part][:-1] + bytes([parts[part][-1] ^ 1])
    check = server.unseal if level is LEVEL.PRIVACY else server.verify
    with pytest.raises(AuthenticationError, match="changed, repeated or reordered"):
        check(*parts)
    with pytest.raises(AuthenticationError):
        server.sign(b"", b"", b"")


@pytest.mark.parametrize("order", [(0, 0), (1,), (1, 0)])
def test_a_repeated_lost_or_reordered_message_is_found(
    accounts: Accounts, keys: ServiceKeys, order: tuple[int, ...]
) -> None:
    client, server = pair(accounts, keys)
    messages = [client.seal(HEADER, BODY, TRAILER) for _ in range(2)]

    def arrive() -> None:
        for number in order:
            sealed, token = messages[number]
            server.unseal(HEADER, sealed, TRAILER, token)

    with pytest.raises(AuthenticationError, match="repeated"):
        arrive()


# -- SPNEGO


def spnego(accounts: Accounts, keys: ServiceKeys | None) -> SecurityContext:
    return LocalAcceptors(accounts, NAMES, keys=keys).acceptor(SPNEGO, LEVEL.PRIVACY)


def test_spnego_prefers_kerberos(accounts: Accounts, keys: ServiceKeys) -> None:
    ntlm = NtlmInitiator(USER, "another password: the realm's counts")
    client, server = SpnegoInitiator(initiator(), ntlm), spnego(accounts, keys)
    assert log_on(client, server) == 4
    assert client.complete
    assert server.complete
    assert server.claimed_name == f"{USER}@{REALM}"
    sealed, token = client.seal(HEADER, BODY, TRAILER)
    assert len(token) == client.signature_size == server.signature_size
    assert server.unseal(HEADER, sealed, TRAILER, token) == BODY
    server_token = server.sign(HEADER, BODY, TRAILER)
    client.verify(HEADER, BODY, TRAILER, server_token)


@pytest.mark.parametrize("reason", ["the server has no keytab", "no KDC knows the server"])
def test_spnego_falls_back_to_ntlm(accounts: Accounts, keys: ServiceKeys, reason: str) -> None:
    ntlm = NtlmInitiator(USER, "another password: the realm's counts")
    target = SERVICE_HOST if "keytab" in reason else "10.0.0.1"
    client = SpnegoInitiator(initiator(target=target), ntlm)
    server = spnego(accounts, None if "keytab" in reason else keys)
    log_on(client, server)
    assert server.complete
    assert server.claimed_name == USER
    sealed, token = client.seal(HEADER, BODY, TRAILER)
    assert server.unseal(HEADER, sealed, TRAILER, token) == BODY


def test_spnego_without_a_common_mechanism(accounts: Accounts, keys: ServiceKeys) -> None:
    only = SpnegoAcceptor(KerberosAcceptor(accounts, keys, "SERVER"))
    with pytest.raises(AuthenticationError, match="does not offer Kerberos"):
        log_on(SpnegoInitiator(NtlmInitiator(USER, "x")), only)


def test_a_list_of_mechanisms_that_was_cut_is_noticed(accounts: Accounts, keys: ServiceKeys) -> None:
    ntlm = NtlmInitiator(USER, "another password: the realm's counts")
    client, server = SpnegoInitiator(initiator(), ntlm), spnego(accounts, keys)
    offer = unpack_token(client.step(b""))
    del offer.mech_types[1:]  # nobody should be able to take an offer away
    answer = server.step(offer.pack())
    with pytest.raises(AuthenticationError):
        server.step(client.step(answer))


# -- what is made for a server


def test_providers(accounts: Accounts, keys: ServiceKeys) -> None:
    acceptors = LocalAcceptors(accounts, NAMES, keys=keys)
    assert set(acceptors.providers) == {NTLM, SPNEGO, KERBEROS}
    assert isinstance(acceptors.acceptor(KERBEROS, LEVEL.INTEGRITY), KerberosAcceptor)
    assert isinstance(acceptors.acceptor(NTLM, LEVEL.INTEGRITY), NtlmAcceptor)


def test_keytabs_that_cannot_be_used(realm: Realm, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ServiceKeys(tmp_path / "none")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    for make in (lambda: ServiceKeys("x"), lambda: KerberosInitiator(target="x")):
        with pytest.raises(ConfigurationError, match=r"openwmi\[kerberos\]"):
            make()


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": ""},
        {"target": "x", "password": "y"},
        {"target": "x", "user": "u", "password": "y", "keytab": "z"},
    ],
)
def test_arguments_that_kerberos_cannot_use(realm: Realm, arguments: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        KerberosInitiator(**arguments)  # type: ignore[arg-type]
