"""`AsyncSession`: what one asks of a CIM namespace, whatever is between it and the caller.

    async with await openwmi.aio.connect("dcom://administrator@server") as session:
        async for process in await session.query("SELECT Name, ProcessId FROM Win32_Process"):
            print(process["Name"])
        await session.delete_instance('Win32_Process.Handle="1234"')

A verb whose result is one object, or none, waits for it; one with many results gives the running operation, which
is iterated over. `session.start` has them all as running operations, for who wants to cancel or be called back.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from openwmi.cim import Class, ObjectPath, TypedValue, fold
from openwmi.cim.operations import CallContext, Connected, Namespaces, Operations, Principal
from openwmi.cim.upkeep import Backup, Pause, RestoreFlags, RestoreFrom, Resume, Upkeep
from openwmi.client.callbacks import Callbacks
from openwmi.client.objects import Instance, Invoker
from openwmi.client.operation import AsyncOperation
from openwmi.client.services import AsyncServices
from openwmi.client.verbs import Verbs
from openwmi.errors import CallerError, WbemError
from openwmi.mof import IncludeReader, Source
from openwmi.status import WbemStatus
from openwmi.wql import (
    SchemaQuery,
    SelectQuery,
    analyse,
    analyse_associations,
    analyse_schema,
    class_names,
    parse,
)

__all__ = ["AsyncSession"]

_NO_CLASS: Final = frozenset(
    {WbemStatus.WBEM_E_NOT_FOUND, WbemStatus.WBEM_E_INVALID_CLASS, WbemStatus.WBEM_E_INVALID_OBJECT_PATH}
)
"""What a server says where there is no class of a name."""

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="AsyncSession")

_Verb = Callable[Concatenate[Verbs, P], Coroutine[Any, Any, AsyncOperation[T]]]


def waited(verb: _Verb[P, T]) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, T]]:
    """The session's verb that waits for the one result of `verb`."""

    @functools.wraps(verb)
    async def method(self: AsyncSession, /, *arguments: P.args, **named: P.kwargs) -> T:
        options: Any = named.get("options") or named  # of `invoke`, whose names are the method's
        if isinstance(options.get("callbacks"), Callbacks):
            # Before anything is done: the result cannot be told and given back.
            raise CallerError(f"callbacks take the result: session.start.{verb.__name__} has them, and does not wait")
        async with await verb(self.start, *arguments, **named) as operation:
            return await operation.result()

    return method


def started(verb: _Verb[P, T]) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, AsyncOperation[T]]]:
    """The session's verb that gives the running operation of `verb`."""

    @functools.wraps(verb)
    async def method(self: AsyncSession, /, *arguments: P.args, **named: P.kwargs) -> AsyncOperation[T]:
        return await verb(self.start, *arguments, **named)

    return method


class AsyncSession:
    """One open namespace. Closing it gives back everything that it holds on the server."""

    def __init__(
        self,
        namespaces: Namespaces,
        operations: Operations,
        context: CallContext,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._namespaces = namespaces
        self._operations = operations
        self._close = close
        self._opened: dict[str, Operations] = {fold(operations.namespace): operations}
        self.context = context
        self.start = Verbs(self)
        # What instances call their methods through, if not this session itself.
        self.facade: Callable[[], Invoker | None] | None = None

    get_instance = waited(Verbs.get_instance)
    enumerate_instances = started(Verbs.enumerate_instances)
    query_instances = started(Verbs.query_instances)
    query = started(Verbs.query_instances)
    associators = started(Verbs.associators)
    references = started(Verbs.references)
    create_instance = waited(Verbs.create_instance)
    modify_instance = waited(Verbs.modify_instance)
    put_instance = waited(Verbs.put_instance)
    delete_instance = waited(Verbs.delete_instance)
    invoke = waited(Verbs.invoke)
    get_class = waited(Verbs.get_class)
    enumerate_classes = started(Verbs.enumerate_classes)
    put_class = waited(Verbs.put_class)
    delete_class = waited(Verbs.delete_class)
    test_connection = waited(Verbs.test_connection)

    async def get(self, path: str | ObjectPath) -> Class | Instance:
        """The class or the instance that a path names, whichever it is."""
        parsed = ObjectPath.parse(path) if isinstance(path, str) else path
        if parsed.is_instance:
            return await self.get_instance(parsed)
        return await self.get_class(str(parsed))

    async def check_query(self, query: str, *parameters: Any) -> None:
        """Raises `WqlError`, with the place, if a query is wrong: what it says, or what it names. It is not run."""
        parsed = parse(query, parameters)
        classes = {fold(name): await self._class_or_none(name) for name, _ in class_names(parsed)}
        if isinstance(parsed, SelectQuery):
            analyse(parsed, classes[fold(parsed.class_name)])
        elif isinstance(parsed, SchemaQuery):
            analyse_schema(parsed)
        else:
            analyse_associations(parsed, classes)

    async def _class_or_none(self, name: str) -> Class | None:
        try:
            return await self.get_class(name)
        except WbemError as error:
            if error.status not in _NO_CLASS:
                raise
            return None

    async def subscribe(self, query: str) -> AsyncOperation[Instance]:
        """Events are not there yet: WBEM_E_NOT_SUPPORTED."""
        raise WbemError.of(
            WbemStatus.WBEM_E_NOT_SUPPORTED, "events are not supported yet, and this query subscribes to them"
        )

    async def compile_mof(
        self, text: str, *, file: str = "<mof>", include: IncludeReader | None = None, keep: bool = True
    ) -> int:
        """Keeps the classes and instances that MOF text declares; the number of objects.

        In this process all or, if anything fails, none of them; over a connection one after another. `include` reads
        the files that the text includes (`openwmi.mof.read_include`). Without `keep` the text is only checked.
        Raises `MofErrors`.
        """
        return (await self.compile_sources([Source(file, text)], include=include, keep=keep))[0]

    async def compile_sources(
        self, sources: Sequence[Source], *, include: IncludeReader | None = None, keep: bool = True
    ) -> list[int]:
        """The same for several texts, of which a later one may rest on an earlier one; how many objects each has."""
        from openwmi.client.compiling import compile_over

        return await compile_over(self, sources, include=include, keep=keep)

    # -- the repository as a whole

    async def backup(self, file: str) -> None:
        """Backs the server's repository up, to a file of that name in its folder for backups."""
        await self._perform(Backup(file))

    async def restore(self, file: str) -> None:
        """Makes the server's repository what that backup is. Every connection ends, this session's namespace too."""
        await self._perform(RestoreFrom(file), RestoreFlags.FORCE_SHUTDOWN)

    async def pause(self) -> None:
        """Holds the server's repository still, so that its file can be copied; for 15 minutes at most."""
        await self._perform(Pause())

    async def resume(self) -> None:
        """Ends the pause."""
        await self._perform(Resume())

    async def _perform(self, request: Backup | RestoreFrom | Pause | Resume, flags: int = 0) -> None:
        upkeep = self._namespaces
        if not isinstance(upkeep, Upkeep):
            raise WbemError.of(WbemStatus.WBEM_E_NOT_SUPPORTED, "this connection reaches no repository")
        await upkeep.perform(request, replace(self.context, flags=flags))

    # -- where

    @property
    def scope(self) -> str:
        r"""The namespace that is open, such as ``root\cimv2``."""
        return self._operations.namespace

    @property
    def lost(self) -> bool:
        """Whether its connection has ended, by the server or on the way. What the session held there may be gone."""
        return isinstance(self._namespaces, Connected) and self._namespaces.lost

    @property
    def origin(self) -> Invoker | None:
        """The session that instances belong to: this one, or the synchronous one around it."""
        return self if self.facade is None else self.facade()

    @property
    def principal(self) -> Principal:
        """Who the session acts for."""
        return self.context.principal

    async def namespace(
        self, name: str, *, values: Mapping[str, TypedValue] | None = None, timeout: float | EllipsisType | None = ...
    ) -> AsyncSession:
        """Another namespace over the same log-on, by its full name. Close this session, not that one.

        `values` and `timeout` replace this session's for all operations in it.
        """
        context = self.context
        if values is not None:
            context = replace(context, values=values)
        if not isinstance(timeout, EllipsisType):
            context = replace(context, timeout=timeout)
        opened = await self.operations_in(name)
        return AsyncSession(self._namespaces, opened, context, _nothing)

    async def operations_in(self, namespace: str | None) -> Operations:
        """A namespace's operations, opened over this log-on the first time; this session's for None."""
        if namespace is None:
            return self._operations
        key = fold(namespace.replace("/", "\\").strip("\\"))
        found = self._opened.get(key)
        if found is None:
            found = self._opened[key] = await self._namespaces.connect(namespace, self.context)
        return found

    async def services(self, namespace: str | None = None) -> AsyncServices:
        """The calls of IWbemServices in this session's namespace, or in another by its full name."""
        return AsyncServices(self, await self.operations_in(namespace))

    # -- its end

    async def close(self) -> None:
        """Gives everything back."""
        await self._close()

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.scope}>"


async def _nothing() -> None:
    """What a session does that another one closes."""
