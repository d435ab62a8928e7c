"""The asyncio API: `connect` opens a session, a `Pool` keeps several for those who come and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from openwmi.client.urls import parse_url

if TYPE_CHECKING:
    from openwmi.client.destination import DestinationOptions
    from openwmi.client.pool import AsyncPool as Pool
    from openwmi.client.session import AsyncSession

__all__ = ["Pool", "connect"]

DEFAULT_NAMESPACE = "root\\cimv2"


async def connect(
    url: str = "local:",
    *,
    namespace: str | None = None,
    locales: Iterable[str] = (),
    timeout: float | None = 60.0,
    smart_enum: bool = True,
    **options: Unpack[DestinationOptions],
) -> AsyncSession:
    r"""Opens a session.

    `url` is ``dcom://user@host[:port][/namespace]``, or ``local:[file]`` for a repository on this machine: of the
    server that has the file open, which knows this process's user from the system, else in this process; in memory
    without a file. How a server is reached, and as whom, is said by `options` (`DestinationOptions`): over DCOM there
    must be a user with a password or its NT hash, or Kerberos tickets. `locales` are preferred locales, such as
    ``MS_409``. `timeout` bounds the connection, from the host's name to the log-on, and each operation after it, in
    seconds. Without `smart_enum`, results come in the form that every server has, each object with its class. Raises
    `ConfigurationError`, `AuthenticationError`, `TransportError` or `WbemError`.
    """
    target = parse_url(url)
    wanted = namespace or target.namespace or DEFAULT_NAMESPACE
    if target.scheme == "local":
        from openwmi.client.local import open_local

        return await open_local(target.path, wanted, tuple(locales), timeout, optimized=smart_enum)
    from openwmi.client.dcom import open_dcom
    from openwmi.client.destination import Destination

    destination = Destination.of(target, **options)
    return await open_dcom(destination, wanted, tuple(locales), timeout, optimized=smart_enum)


def __getattr__(name: str) -> Any:
    if name != "Pool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Late: the pool is made from `connect`.
    from openwmi.client.pool import AsyncPool

    return AsyncPool
