"""Sessions on this machine: with the server that has the repository open, else in this process without any."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from openwmi.cim.operations import CallContext, Operations
from openwmi.client.session import AsyncSession
from openwmi.errors import ConnectError, DeadlineExceeded, Stage
from openwmi.manager import ObjectManager
from openwmi.manager.recovery import RecoveryList
from openwmi.mof import IncludeReader, Source
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.repository import MemoryStore, SqliteStore, Store
from openwmi.security.principals import Principal
from openwmi.status import HResult, WbemStatus

__all__ = ["LocalSession", "open_local"]


class LocalSession(AsyncSession):
    """A session whose object manager is at hand, and does at once what others do object by object."""

    def __init__(self, manager: ObjectManager, operations: Operations, context: CallContext) -> None:
        super().__init__(manager, operations, context, manager.close)
        self._manager = manager

    async def compile_sources(
        self, sources: Sequence[Source], *, include: IncludeReader | None = None, keep: bool = True
    ) -> list[int]:
        """Keeps all that the texts declare, or nothing."""
        return await self._manager.compile_sources(sources, self.scope, self.context, include=include, keep=keep)


async def open_local(
    path: str, namespace: str, locales: tuple[str, ...], timeout: float | None, *, optimized: bool = True
) -> AsyncSession:
    """Opens a namespace of the repository `path`, or of one in memory for "" and ":memory:".

    A server on this machine that has the repository open is asked, as the user that the system tells it; `optimized` is
    for that one. Without one, the repository is opened in this process with this host's providers, and the caller acts
    as the machine itself, as whoever may read the file could. Raises `ConfigurationError` for a file that cannot be
    used, `DeadlineExceeded` after `timeout` seconds, once the file is closed again, and for a server what a server's
    session raises.
    """
    if path in ("", ":memory:"):
        return await _open_here(MemoryStore(), None, namespace, locales, timeout)
    served = await _open_at_server(Path(path), namespace, locales, timeout, optimized=optimized)
    return served or await _open_here(SqliteStore(path), RecoveryList.beside(Path(path)), namespace, locales, timeout)


async def _open_at_server(
    repository: Path, namespace: str, locales: tuple[str, ...], timeout: float | None, *, optimized: bool
) -> AsyncSession | None:
    """A session with the server that has the repository open; None if there is none."""
    # Late: without a server nobody needs DCOM.
    from openwmi.client.dcom import open_dcom
    from openwmi.client.running import RunningServer

    server = RunningServer.of(repository)
    if server is None:
        return None
    try:
        return await open_dcom(server, namespace, locales, timeout, optimized=optimized)
    except ConnectError as error:
        # It was killed and has left its socket behind, or has just gone.
        if error.status in (HResult.WSAECONNREFUSED, HResult.ERROR_FILE_NOT_FOUND):
            return None
        raise


async def _open_here(
    store: Store, recovery: RecoveryList | None, namespace: str, locales: tuple[str, ...], timeout: float | None
) -> LocalSession:
    manager = ObjectManager(store, recovery=recovery)
    context = CallContext(principal=Principal.local_system(), locales=locales, timeout=timeout)
    try:
        async with asyncio.timeout(timeout):
            await manager.open()
            for provider in HOST_PROVIDERS:
                await manager.register(provider)
            await manager.recover()
            operations = await manager.connect(namespace, context)
    except TimeoutError:
        await manager.close()
        status, stage = WbemStatus.WBEM_E_TIMED_OUT, Stage.NAMESPACE
        raise DeadlineExceeded.after(timeout, context.peer, "no session", stage=stage, status=status) from None
    except BaseException:
        await manager.close()
        raise
    return LocalSession(manager, operations, context)
