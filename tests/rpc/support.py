"""A security context without cryptography worth the name, and two machines connected in memory."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from uuid import UUID

from openwmi.errors import AuthenticationError
from openwmi.rpc import (
    AuthenticationNeeded,
    ClientConnection,
    ConnectionLimits,
    Event,
    ServerConnection,
    SyntaxId,
)
from openwmi.security.context import NTLM, SPNEGO, AuthenticationLevel, ImpersonationLevel, SecurityContext
from openwmi.security.principals import Principal

IF_A = SyntaxId(UUID("11111111-0000-0000-0000-000000000001"), (1, 2))
IF_B = SyntaxId(UUID("11111111-0000-0000-0000-000000000002"), (0, 0))
IF_UNKNOWN = SyntaxId(UUID("99999999-0000-0000-0000-000000000009"), (0, 0))
OFFERED = {(IF_A.uuid, 1): 2, (IF_B.uuid, 0): 0}

# The tokens of an exchange, from both sides in turn: three legs, or four.
LEGS = {NTLM: (b"one", b"two", b"three"), SPNEGO: (b"one", b"two", b"three", b"four")}


class FakeContext:
    """Counts messages, signs them with HMAC and seals them with a keystream of hashes."""

    def __init__(self, *, initiator: bool, auth_type: int = NTLM, password: str = "secret") -> None:
        self.auth_type = auth_type
        self.closed = False
        self._initiator = initiator
        self._legs = [leg + password.encode() for leg in LEGS[auth_type]]
        self._leg = 0
        self._numbers = {True: 0, False: 0}

    @property
    def complete(self) -> bool:
        return not self.closed and self._leg >= len(self._legs)

    @property
    def signature_size(self) -> int:
        return 16

    @property
    def peer(self) -> Principal:
        raise AuthenticationError("fake")

    @property
    def impersonation_level(self) -> ImpersonationLevel:
        return ImpersonationLevel.IMPERSONATE

    @property
    def claimed_name(self) -> str:
        return "fake"

    def step(self, token: bytes) -> bytes:
        if token or not self._initiator:
            if self._leg >= len(self._legs) or token != self._legs[self._leg]:
                raise AuthenticationError("wrong token")
            self._leg += 1
        if self._leg >= len(self._legs):
            return b""
        self._leg += 1
        return self._legs[self._leg - 1]

    def _digest(self, mine: bool, parts: Iterable[bytes]) -> bytes:
        if not self.complete:
            raise AuthenticationError("not complete")
        number = self._numbers[mine]
        self._numbers[mine] += 1
        key = b"client" if mine == self._initiator else b"server"
        whole = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(key, number.to_bytes(4, "big") + whole, "sha256").digest()[:16]

    def _mask(self, mine: bool, body: bytes) -> bytes:
        key = b"client" if mine == self._initiator else b"server"
        stream = hashlib.shake_128(key + self._numbers[mine].to_bytes(4, "big")).digest(len(body))
        return bytes(a ^ b for a, b in zip(body, stream, strict=True))

    def seal(self, header: bytes, body: bytes, trailer: bytes) -> tuple[bytes, bytes]:
        sealed = self._mask(True, body)
        return sealed, self._digest(True, (header, body, trailer))

    def unseal(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> bytes:
        clear = self._mask(False, body)
        self.verify(header, clear, trailer, token)
        return clear

    def sign(self, header: bytes, body: bytes, trailer: bytes) -> bytes:
        return self._digest(True, (header, body, trailer))

    def verify(self, header: bytes, body: bytes, trailer: bytes, token: bytes) -> None:
        if self._digest(False, (header, body, trailer)) != token:
            raise AuthenticationError("wrong signature")

    def close(self) -> None:
        self.closed = True


class Link:
    """A client and a server; `run` carries octets and takes authentication steps until nothing moves."""

    def __init__(
        self,
        *,
        client_limits: ConnectionLimits | None = None,
        server_limits: ConnectionLimits | None = None,
        chunk: int = 1 << 20,
        auth_types: frozenset[int] = frozenset({NTLM, SPNEGO}),
    ) -> None:
        self.now = 0.0
        self.client = ClientConnection(now=0.0, limits=client_limits)
        self.server = ServerConnection(
            OFFERED, now=0.0, limits=server_limits, secondary_address="135", auth_types=auth_types
        )
        self.chunk = chunk
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self.to_server = b""
        self.to_client = b""
        self.acceptor_password = "secret"

    def run(self, events: list[Event] | None = None) -> None:
        """Carry everything; `events` are those of the client's last call."""
        self._on_client(events or [])
        while True:
            forth, back = self.client.data_to_send(), self.server.data_to_send()
            self.to_server += forth
            self.to_client += back
            for at in range(0, len(forth), self.chunk):
                self._on_server(self.server.receive(forth[at : at + self.chunk], self.now))
            for at in range(0, len(back), self.chunk):
                self._on_client(self.client.receive(back[at : at + self.chunk], self.now))
            if not forth and not back:
                return

    def _on_client(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, AuthenticationNeeded):
                self._on_client(self._step(self.client, event))
            else:
                self.client_events.append(event)

    def _on_server(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, AuthenticationNeeded):
                self._on_server(self._step(self.server, event))
            else:
                self.server_events.append(event)

    def _step(self, machine: ClientConnection | ServerConnection, event: AuthenticationNeeded) -> list[Event]:
        context: SecurityContext = event.context or FakeContext(
            initiator=False, auth_type=event.auth_type, password=self.acceptor_password
        )
        try:
            token = context.step(event.token)
        except AuthenticationError as problem:
            return machine.authentication_failed(event.auth_context_id, str(problem))
        return machine.authenticated(event.auth_context_id, context, token)

    def take(self) -> tuple[list[Event], list[Event]]:
        """What the client and the server saw, once."""
        seen = self.client_events, self.server_events
        self.client_events, self.server_events = [], []
        return seen


def bound(
    link: Link, level: AuthenticationLevel = AuthenticationLevel.NONE, auth_type: int = NTLM, password: str = "secret"
) -> Link:
    """The link, bound to both interfaces."""
    security = (
        None
        if level is AuthenticationLevel.NONE
        else FakeContext(initiator=True, auth_type=auth_type, password=password)
    )
    link.run(link.client.bind([IF_A, IF_B], security=security, level=level))
    return link
