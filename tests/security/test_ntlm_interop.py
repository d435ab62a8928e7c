"""The acceptor against the NTLM of two other libraries, in memory."""

from __future__ import annotations

from typing import Any

import pytest
from Cryptodome.Cipher import ARC4
from impacket import ntlm

from openwmi.errors import AuthenticationError
from openwmi.security.accounts import Accounts
from openwmi.security.ntlm import NtlmAcceptor, ServerNames

NAMES = ServerNames.of("host.example.test")


def _acceptor() -> NtlmAcceptor:
    accounts = Accounts()
    accounts.add("ada", "secret", administrator=True)
    return NtlmAcceptor(accounts, NAMES)


class _Impacket:
    """impacket's client as its RPC layer uses it."""

    def __init__(self, user: str, password: str, domain: str = "", hashed: str = "") -> None:
        self._credentials = (user, password, domain, "", hashed)
        self._numbers = [0, 0]

    def offer(self) -> bytes:
        self._first = ntlm.getNTLMSSPType1("CLIENT", "", signingRequired=True, use_ntlmv2=True)
        return self._first.getData()  # type: ignore[no-any-return]

    def prove(self, challenge: bytes) -> bytes:
        user, password, domain, lm, nt = self._credentials
        last, key = ntlm.getNTLMSSPType3(self._first, challenge, user, password, domain, lm, nt, use_ntlmv2=True)
        self.flags = last["flags"]
        self.keys = [ntlm.SIGNKEY(self.flags, key, mode) for mode in ("Client", "Server")]
        self.streams = [ARC4.new(ntlm.SEALKEY(self.flags, key, mode)).encrypt for mode in ("Client", "Server")]
        return last.getData()  # type: ignore[no-any-return]

    def _number(self, side: int) -> int:
        self._numbers[side] += 1
        return self._numbers[side] - 1

    def seal(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        sealed, token = ntlm.SEAL(
            self.flags, self.keys[0], None, header + body + trailer, body, self._number(0), self.streams[0]
        )
        return sealed, bytes(token.getData())

    def unseal(self, header: bytes, sealed: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        body = self.streams[1](sealed)
        token = ntlm.MAC(self.flags, self.streams[1], self.keys[1], self._number(1), header + body + trailer)
        return body, bytes(token.getData())

    def sign(self, message: bytes, side: int) -> bytes:
        token = ntlm.SIGN(self.flags, self.keys[side], message, self._number(side), self.streams[side])
        return bytes(token.getData())


@pytest.mark.parametrize("domain", ["", ".", "HOST", "CLIENT"])
def test_impacket_logs_on_and_exchanges_messages(domain: str) -> None:
    acceptor, client = _acceptor(), _Impacket("Ada", "secret", domain)
    assert acceptor.step(client.prove(acceptor.step(client.offer()))) == b""
    assert acceptor.peer.name == "HOST\\ada"
    for number in range(4):
        body = b"stub data " * number
        sealed, token = client.seal(b"header", body, b"trailer")
        assert acceptor.unseal(b"header", sealed, b"trailer", token) == body
        sealed, token = acceptor.seal(b"HEADER", body, b"TRAILER")
        assert client.unseal(b"HEADER", sealed, b"TRAILER") == (body, token)
        acceptor.verify(b"h", body, b"t", client.sign(b"h" + body + b"t", 0))
        assert acceptor.sign(b"h", body, b"t") == client.sign(b"h" + body + b"t", 1)


def test_impacket_logs_on_with_a_hash() -> None:
    acceptor, client = _acceptor(), _Impacket("ada", "", hashed=ntlm.compute_nthash("secret"))
    acceptor.step(client.prove(acceptor.step(client.offer())))
    assert acceptor.complete


def test_a_client_that_forgets_the_domain_in_its_proof_logs_on() -> None:
    """MS-NLMP 3.2.5.1.2: servers should support clients that name a domain and compute without it."""
    acceptor = _acceptor()
    offer = ntlm.getNTLMSSPType1("", "", signingRequired=True, use_ntlmv2=True)
    last, _ = ntlm.getNTLMSSPType3(offer, acceptor.step(offer.getData()), "ada", "secret", "", use_ntlmv2=True)
    last["domain_name"] = "CLIENT".encode("utf-16-le")
    acceptor.step(last.getData())
    assert acceptor.claimed_name == "CLIENT\\ada"
    assert acceptor.peer.name == "HOST\\ada"


@pytest.mark.parametrize(("user", "password"), [("ada", "wrong"), ("eve", "secret"), ("", "")])
def test_impacket_is_refused(user: str, password: str) -> None:
    acceptor, client = _acceptor(), _Impacket(user, password)
    with pytest.raises(AuthenticationError, match="refused"):
        acceptor.step(client.prove(acceptor.step(client.offer())))


def test_impacket_of_version_1_is_refused() -> None:
    acceptor = _acceptor()
    offer = ntlm.getNTLMSSPType1("", "", signingRequired=True, use_ntlmv2=False)
    challenge = acceptor.step(offer.getData())
    last, _ = ntlm.getNTLMSSPType3(offer, challenge, "ada", "secret", "", use_ntlmv2=False)
    with pytest.raises(AuthenticationError, match="NTLMv1"):
        acceptor.step(last.getData())


def test_an_offer_of_impacket_without_signing_is_too_weak() -> None:
    with pytest.raises(AuthenticationError, match="too weak"):
        _acceptor().step(ntlm.getNTLMSSPType1("", "", signingRequired=False, use_ntlmv2=True).getData())


def test_a_code_is_not_impackets_to_give() -> None:
    accounts = Accounts()
    accounts.add("ada", "secret")
    acceptor, client = NtlmAcceptor(accounts, NAMES, require_mic=True), _Impacket("ada", "secret")
    with pytest.raises(AuthenticationError, match="no message integrity code"):
        acceptor.step(client.prove(acceptor.step(client.offer())))


def _aiowmi_log_on(acceptor: NtlmAcceptor, user: str, password: str) -> tuple[int, bytes]:
    """aiowmi's client as its connection uses it; flags and session key."""
    from aiowmi.ntlm.auth_authenticate import NTLMAuthAuthenticate
    from aiowmi.ntlm.auth_challange import NTLMAuthChallenge
    from aiowmi.ntlm.auth_negotiate import NTLMAuthNegotiate
    from aiowmi.tools import encrypted_session_key

    offer: Any = NTLMAuthNegotiate()
    challenge = NTLMAuthChallenge(acceptor.step(offer.get_data()))
    flags = offer.get_negotiate_flags()
    proof: Any = NTLMAuthAuthenticate(flags)
    base = proof.set_credentials(user, password, challenge.target_info, challenge.server_challenge, domain_name="")
    key = bytes(range(16))
    proof.set_encr_random_session_key(encrypted_session_key(base, key))
    proof.set_workstation_name("client")
    acceptor.step(proof.get_data())
    return flags, key


def test_aiowmi_logs_on_and_seals() -> None:
    from aiowmi.ntlm.tools import seal_func, seal_key, sign_key

    acceptor = _acceptor()
    flags, key = _aiowmi_log_on(acceptor, "ada", "secret")
    assert acceptor.peer.name == "HOST\\ada"
    seal = seal_func(sign_key(flags, key), ARC4.new(seal_key(flags, key)).encrypt)
    for number in range(3):
        sealed, token = seal(
            flags=flags, seq_num=number, message_to_sign=b"headerbodytrailer", message_to_encrypt=b"body"
        )
        assert acceptor.unseal(b"header", sealed, b"trailer", token) == b"body"


def test_aiowmi_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="wrong password"):
        _aiowmi_log_on(_acceptor(), "ada", "wrong")
