"""Calls back to the sinks of callers: who the server is there, and how well the calls are protected (MS-WMI 3.1.1.1.3).

A sink's machine has to believe that it is the server who calls. So the server tries, one after the other, what it has:
its keytab's principal, the account that it was given for this, and the caller's own hash, which the caller knows too.
On this machine, through a Unix socket, the system itself says who calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID

from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.importer import Importer, Transport
from openwmi.dcom.peer import Caller
from openwmi.errors import AuthenticationError, RpcFault
from openwmi.net.rpc import RpcTransport, UnixConnector
from openwmi.net.unixsockets import numbered
from openwmi.rpc.interface import Interface
from openwmi.security.accounts import Accounts
from openwmi.security.context import AuthenticationLevel, SecurityContext
from openwmi.security.ntlm import NtlmInitiator
from openwmi.status import HResult

__all__ = ["CallbackSecurity", "Callbacks", "SteppingTransport"]

_log = logging.getLogger("openwmi.server")

# CALL is missing: RPC raises it to PACKET (MS-RPCE 3.3.1.5.2).
_DOWNWARDS: Final = (
    AuthenticationLevel.PRIVACY,
    AuthenticationLevel.INTEGRITY,
    AuthenticationLevel.PACKET,
    AuthenticationLevel.CONNECT,
    AuthenticationLevel.NONE,
)
# NTLM's last message gets no answer: a peer that does not believe it refuses the first call instead.
_NOT_BELIEVED: Final = frozenset({HResult.ERROR_ACCESS_DENIED, HResult.E_ACCESSDENIED})
_MOST_HOSTS: Final = 1024

Initiator: TypeAlias = Callable[[str, AuthenticationLevel], SecurityContext]


@dataclass(frozen=True, slots=True)
class CallbackSecurity:
    """How sinks are called.

    `user` and `password` are an account that the sinks' machines know. The first attempt has packet privacy. If the
    sink's machine does not take that, the level goes down to the one at which the caller itself came, and no further;
    `access_control` (UnsecAppAccessControlDefault) has it stay at packet privacy, and `allow_anonymous`
    (AllowAnonymousCallback) has it go down to none: what a sink is told can be read and forged then.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    access_control: bool = False
    allow_anonymous: bool = False

    def levels(self, came_with: AuthenticationLevel) -> tuple[AuthenticationLevel, ...]:
        """The levels to try for the sinks of a caller who came with that one, best first."""
        if self.access_control:
            return _DOWNWARDS[:1]
        if self.allow_anonymous:
            return _DOWNWARDS
        return tuple(level for level in _DOWNWARDS if level >= came_with)


class SteppingTransport:
    """Makes calls in the first of several ways that the peer takes: `openwmi.dcom.importer.Transport`.

    Another way is tried only if the peer does not believe who calls, so that nothing has been done by the call. What a
    host takes is remembered for its next call.
    """

    def __init__(self, ways: Sequence[Transport]) -> None:
        self._ways = tuple(ways)
        self._taken: OrderedDict[str, int] = OrderedDict()

    async def invoke(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None,
        timeout: float | None,
    ) -> tuple[bytes, bool]:
        """See `openwmi.dcom.importer.Transport`. `timeout` is for all attempts together."""
        clock = asyncio.get_running_loop().time
        started = clock()
        host = endpoints[0].host if endpoints else ""
        way = self._taken.get(host, 0)
        while True:
            left = None if timeout is None else max(timeout - (clock() - started), 0.0)
            try:
                answer = await self._ways[way].invoke(
                    endpoints, interface, opnum, stub, object_uuid=object_uuid, timeout=left
                )
            except (AuthenticationError, RpcFault) as error:
                believed = isinstance(error, RpcFault) and error.status not in _NOT_BELIEVED
                if believed or way + 1 == len(self._ways):
                    raise
                way += 1
                _log.warning("a sink at %s cannot be called so, another way is tried: %s", host, error)
            else:
                self._remember(host, way)
                return answer

    def _remember(self, host: str, way: int) -> None:
        self._taken[host] = way
        self._taken.move_to_end(host)
        while len(self._taken) > _MOST_HOSTS:
            self._taken.popitem(last=False)


class Callbacks:
    """The ways back to the sinks of all callers: one importer for each account and level that it came with."""

    def __init__(
        self, accounts: Accounts, security: CallbackSecurity | None = None, *, keytab: str | Path | None = None
    ) -> None:
        self._accounts = accounts
        self.security = security or CallbackSecurity()
        self._keytab = keytab
        self._importers: dict[tuple[str, AuthenticationLevel, int | None], Importer] = {}
        self._transports: list[RpcTransport] = []

    def importer(self, caller: Caller) -> Importer:
        """The importer for that caller's sinks."""
        account, level, user = "" if caller.principal is None else caller.principal.account, caller.level, caller.user
        importer = self._importers.get((account, level, user))
        if importer is None:
            ways = self._ways(account, level) if user is None else [_way_to_user(user)]
            self._transports += ways
            importer = self._importers[account, level, user] = Importer(SteppingTransport(ways))
        return importer

    @property
    def importers(self) -> Iterable[Importer]:
        """All of them, which hold references that want pinging."""
        return self._importers.values()

    def _ways(self, account: str, came_with: AuthenticationLevel) -> list[RpcTransport]:
        ways = []
        for level in self.security.levels(came_with):
            if level is AuthenticationLevel.NONE:
                ways.append(RpcTransport(None))
                continue
            ways += [RpcTransport(_at(initiator, level), level=level) for initiator in self._identities(account)]
        return ways

    def _identities(self, account: str) -> list[Initiator]:
        """Who the server can be, in the order in which it tries."""
        identities: list[Initiator] = []
        if self._keytab is not None:
            identities.append(self._as_service)
        if self.security.user:
            identities.append(self._as_configured)
        identities.append(lambda host, level: self._as_caller(account, host, level))
        return identities

    def _as_service(self, host: str, level: AuthenticationLevel) -> SecurityContext:
        # Late: the libraries are an extra.
        from openwmi.security.kerberos import KerberosInitiator

        return KerberosInitiator(keytab=self._keytab, target=host, level=level)

    def _as_configured(self, host: str, level: AuthenticationLevel) -> SecurityContext:
        return NtlmInitiator(self.security.user, self.security.password, target=host, level=level)

    def _as_caller(self, account: str, host: str, level: AuthenticationLevel) -> SecurityContext:
        found = self._accounts.find("", account)
        if found is None:
            raise AuthenticationError(f"{account} has no account any more, so its sinks cannot be called")
        return NtlmInitiator(found.name, hashed=found.nt_hash, target=host, level=level)

    async def close(self) -> None:
        """Closes every connection."""
        for transport in self._transports:
            await transport.close()
        self._transports.clear()
        self._importers.clear()


def _way_to_user(user: int) -> RpcTransport:
    """The way to the sinks of a user of this machine: to numbered sockets at which that user listens."""
    return RpcTransport(None, connector=UnixConnector(lambda end: numbered(end.port), lambda found: found == user))


def _at(initiator: Initiator, level: AuthenticationLevel) -> Callable[[str], SecurityContext]:
    return lambda host: initiator(host, level)
