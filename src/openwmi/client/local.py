"""Sessions in this process: the object manager over a repository, without a server."""

from __future__ import annotations

from openwmi.cim.operations import CallContext, Operations
from openwmi.client.session import AsyncSession
from openwmi.manager import ObjectManager
from openwmi.mof import IncludeReader
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.repository import MemoryStore, SqliteStore, Store
from openwmi.security.principals import Principal

__all__ = ["LocalSession", "open_local"]


class LocalSession(AsyncSession):
    """A session whose object manager is at hand, and does at once what others do object by object."""

    def __init__(self, manager: ObjectManager, operations: Operations, context: CallContext) -> None:
        super().__init__(manager, operations, context, manager.close)
        self._manager = manager

    async def compile_mof(self, text: str, *, file: str = "<mof>", include: IncludeReader | None = None) -> int:
        """Keeps all that the text declares, or nothing."""
        return await self._manager.compile_mof(text, self.scope, self.context, file=file, include=include)


async def open_local(path: str, namespace: str, locales: tuple[str, ...], timeout: float | None) -> AsyncSession:
    """Opens the repository `path` (one in memory for "" and ":memory:") with this host's providers.

    The caller acts as the machine itself, as whoever may read the file could. Raises `ConfigurationError` for a file
    that cannot be used.
    """
    store: Store = SqliteStore(path) if path not in ("", ":memory:") else MemoryStore()
    manager = ObjectManager(store)
    context = CallContext(principal=Principal.local_system(), locales=locales, timeout=timeout)
    try:
        await manager.open()
        for provider in HOST_PROVIDERS:
            await manager.register(provider)
        operations = await manager.connect(namespace, context)
    except BaseException:
        await manager.close()
        raise
    return LocalSession(manager, operations, context)
