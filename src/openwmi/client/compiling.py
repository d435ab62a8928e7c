"""MOF into a namespace that is only reached through its operations: one put or delete after another.

Unlike a compilation in the object manager's own process it cannot be undone: if an object is refused, those before it
are there. All of the text is compiled against the schema before the first object is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from openwmi.cim import Class, fold
from openwmi.cim.operations import Flags
from openwmi.errors import InvalidClass, InvalidNamespace, NotFound, WbemError
from openwmi.mof import Deletion, IncludeReader, MofError, MofErrors, MofItem, Source, compile_each, compile_mof

if TYPE_CHECKING:
    from openwmi.client.session import AsyncSession

__all__ = ["compile_over"]

_FLAGS: Final = {
    "createonly": Flags.CREATE_ONLY,
    "updateonly": Flags.UPDATE_ONLY,
    "safeupdate": Flags.UPDATE_SAFE_MODE,
    "forceupdate": Flags.UPDATE_FORCE_MODE,
}


class _Remote:
    """The namespaces that a text names, and their classes: `openwmi.mof.ClassSource` over sessions."""

    def __init__(self, session: AsyncSession) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._open: dict[str, AsyncSession] = {fold(session.scope): session}
        self._classes: dict[tuple[str, str], Class | None] = {}

    async def session(self, namespace: str) -> AsyncSession:
        """The session for a namespace."""
        key = fold(namespace)
        if key not in self._open:
            self._open[key] = await self._session.namespace(namespace)
        return self._open[key]

    def get_class(self, namespace: str, name: str) -> Class | None:
        """Called by the compiler, in its thread."""
        key = fold(namespace), fold(name)
        if key not in self._classes:
            found = asyncio.run_coroutine_threadsafe(self._get_class(namespace, name), self._loop)
            self._classes[key] = found.result()
        return self._classes[key]

    def declare(self, items: Sequence[MofItem]) -> None:
        """Takes note of what a text declares, for the texts that follow it. Called in the same thread."""
        for item in items:
            made = item.object
            if isinstance(made, Class):
                self._classes[fold(item.namespace), fold(made.name)] = made
            elif isinstance(made, Deletion) and not made.path.is_instance:
                self._classes[fold(item.namespace), fold(made.path.class_name)] = None

    async def _get_class(self, namespace: str, name: str) -> Class | None:
        try:
            return await (await self.session(namespace)).get_class(name)
        except (NotFound, InvalidClass, InvalidNamespace):
            return None


async def compile_over(
    session: AsyncSession, sources: Sequence[Source], *, include: IncludeReader | None, keep: bool = True
) -> list[int]:
    """Compiles the texts and, with `keep`, sends what they declare; the number of objects of each.

    Raises `MofErrors`, also for an object that the server refuses, with its place in the text.
    """
    remote = _Remote(session)

    def compile_one(source: Source) -> list[MofItem]:
        items = compile_mof(source.text, remote, namespace=session.scope, file=source.file, include=include)
        remote.declare(items)
        return items

    compiled = await asyncio.to_thread(compile_each, sources, compile_one)
    for item in (item for items in compiled for item in items if keep):
        try:
            await _send(await remote.session(item.namespace), item)
        except WbemError as error:
            raise MofErrors([MofError(error.detail or str(error), item.position, error.status)]) from error
    return [len(items) for items in compiled]


async def _send(session: AsyncSession, item: MofItem) -> None:
    made = item.object
    if not isinstance(made, Deletion):
        flags = 0
        for word in item.flags:
            flags |= _FLAGS[word]
        if isinstance(made, Class):
            await session.put_class(made, flags=flags)
        else:
            await session.put_instance(made, flags=flags)
        return
    try:
        if made.path.is_instance:
            await session.delete_instance(made.path.relative)
        else:
            await session.delete_class(made.path.class_name)
    except (NotFound, InvalidClass):
        if made.must_exist:
            raise
