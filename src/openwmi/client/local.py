"""Sessions in this process: the object manager over a repository, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openwmi.cim.operations import CallContext, Operations
from openwmi.client.session import AsyncSession
from openwmi.manager import ObjectManager
from openwmi.manager.recovery import RecoveryList
from openwmi.mof import IncludeReader, Source
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.repository import MemoryStore, SqliteStore, Store
from openwmi.security.principals import Principal

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


async def open_local(path: str, namespace: str, locales: tuple[str, ...], timeout: float | None) -> AsyncSession:
    """Opens the repository `path` (one in memory for "" and ":memory:") with this host's providers.

    The caller acts as the machine itself, as whoever may read the file could. Raises `ConfigurationError` for a file
    that cannot be used.
    """
    in_memory = path in ("", ":memory:")
    store: Store = MemoryStore() if in_memory else SqliteStore(path)
    manager = ObjectManager(store, recovery=None if in_memory else RecoveryList.beside(Path(path)))
    context = CallContext(principal=Principal.local_system(), locales=locales, timeout=timeout)
    try:
        await manager.open()
        for provider in HOST_PROVIDERS:
            await manager.register(provider)
        await manager.recover()
        operations = await manager.connect(namespace, context)
    except BaseException:
        await manager.close()
        raise
    return LocalSession(manager, operations, context)
