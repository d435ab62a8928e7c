"""The server of this machine that has a repository open, over its Unix socket: a destination without credentials."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from openwmi.dcom.importer import RESOLVER_PORT
from openwmi.net.dcom import DcomHost
from openwmi.net.rpc import RpcTransport, UnixConnector
from openwmi.net.unixsockets import NumberedSocket, socket_beside
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.ntlm import ServerNames
from openwmi.security.principals import Principal
from openwmi.security.residents import system_name
from openwmi.wmi.interfaces import IWbemObjectSink

__all__ = ["RunningServer"]


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The server; its system tells it who comes, and the client's who listens there.

    `owner` is the number of the user whose file the repository is: that user, root and this process's own may serve it.
    """

    socket: Path
    owner: int

    port: ClassVar[int] = RESOLVER_PORT  # a name only: whichever port is meant, the socket is the same

    @classmethod
    def of(cls, repository: Path) -> RunningServer | None:
        """The server that has `repository` open, if there seems to be one."""
        found = socket_beside(repository)
        try:
            # A link is none: it could lead to the server of another repository, which would be trusted just as well.
            if found is None or not stat.S_ISSOCK(found.lstat().st_mode):
                return None
            return cls(found, repository.stat().st_uid)
        except OSError:  # the same will be said of the file
            return None

    @property
    def host(self) -> str:
        """Where it is, for people."""
        return str(self.socket)

    @property
    def who(self) -> str:
        """Who comes, for people."""
        return system_name(os.geteuid()) or f"the user {os.geteuid()}"

    @property
    def why_refused(self) -> str:
        """What may be wrong with a log-on that is refused."""
        name = system_name(os.geteuid())
        if name is None:
            return "the system has no name for that user, by which the server could know an account"
        return f"the server has no account of that name: `openwmi account add {name}` makes one"

    def transport(self, connect_timeout: float) -> RpcTransport:
        """What makes calls to the server."""
        connector = UnixConnector(lambda _: self.host, self._may_serve)
        return RpcTransport(None, connect_timeout=connect_timeout, connector=connector)

    def _may_serve(self, user: int) -> bool:
        return user in (0, self.owner, os.geteuid())

    async def sink_host(self, address: str) -> DcomHost:
        """Where sinks live: at a socket of their own, for who may serve the repository."""
        nobody = LocalAcceptors(Accounts(), ServerNames.of("openwmi-client"))  # logs on to a Unix socket
        host = DcomHost(interfaces=[IWbemObjectSink], acceptors=nobody)
        bound = NumberedSocket()
        await host.listen_unix(bound.socket, self._caller, port=bound.port)
        return host

    async def _caller(self, user: int) -> Principal | None:
        return Principal.local_system() if self._may_serve(user) else None
