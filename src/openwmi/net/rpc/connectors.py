"""How a connection is opened: over TCP to the endpoint, or to a Unix socket of somebody's.

A connector raises `OSError` if there is no connection, which its caller explains, or an error of its own.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from openwmi.dcom.bindings import Endpoint
from openwmi.errors import ConfigurationError, ConnectError, Stage
from openwmi.net.rpc.streams import READ
from openwmi.net.unixsockets import unix_socket, user_at_the_other_end

__all__ = ["Connector", "Streams", "TcpConnector", "UnixConnector"]

_AGAIN: Final = 0.05  # seconds between two looks whether a listener has room
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connector(Protocol):
    """Opens a connection to an endpoint."""

    async def __call__(self, endpoint: Endpoint) -> Streams:
        """The two directions of the connection."""
        ...


class TcpConnector:
    """Connects to the endpoint's host and port; from `source_address`, if it is given."""

    def __init__(self, source_address: str | None = None) -> None:
        self._source = source_address

    async def __call__(self, endpoint: Endpoint) -> Streams:
        """See `Connector`."""
        source = None if self._source is None else (self._source, 0)
        try:
            return await asyncio.open_connection(endpoint.host, endpoint.port, limit=READ, local_addr=source)
        except OSError as error:
            if source is not None and error.errno == errno.EADDRNOTAVAIL:
                raise ConfigurationError(f"this machine has no address {source[0]} to connect from") from error
            raise


class UnixConnector:
    """Connects to Unix sockets, and to nothing else: no binding of a peer's can lead away from this machine.

    `name_of` gives an endpoint's socket. `trusted` says whether the user who listens there is one to talk to, by the
    number that the system gives; `ConnectError` otherwise.
    """

    def __init__(self, name_of: Callable[[Endpoint], str], trusted: Callable[[int], bool]) -> None:
        self._name_of = name_of
        self._trusted = trusted

    async def __call__(self, endpoint: Endpoint) -> Streams:
        """See `Connector`."""
        made = unix_socket()
        made.setblocking(False)
        try:
            await _connect(made, self._name_of(endpoint))
        except BaseException:
            made.close()
            raise
        user = user_at_the_other_end(made)
        reader, writer = await asyncio.open_unix_connection(sock=made, limit=READ)
        if not self._trusted(user):
            writer.transport.abort()
            raise ConnectError(f"{endpoint}: the user {user} listens there, and may not", stage=Stage.CONNECT)
        return reader, writer


async def _connect(made: socket.socket, name: str) -> None:
    """Connects, as soon as the listener has room.

    Not by asyncio's `sock_connect`, which takes a full queue for a connection under way.
    """
    while True:
        try:
            made.connect(name)
        except BlockingIOError:  # and nobody tells when there is room
            await asyncio.sleep(_AGAIN)
        else:
            return
