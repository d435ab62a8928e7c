"""`AsyncSession`: what one asks of a CIM namespace, whatever is between it and the caller.

async with await openwmi.aio.connect("dcom://administrator@server") as session:
    async for process in await session.query("SELECT Name, ProcessId FROM Win32_Process"):
        print(process["Name"])
    await session.delete('Win32_Process.Handle="1234"')
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from openwmi.cim import CimObject, Class, Instance, ObjectPath, TypedValue
from openwmi.cim.operation import Operation
from openwmi.cim.operations import (
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    Namespaces,
    Operations,
    Principal,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.errors import NotFound, WbemError
from openwmi.mof.pragmas import IncludeReader
from openwmi.status import WbemStatus
from openwmi.wql import parse

__all__ = ["AsyncSession"]


class AsyncSession:
    """One open namespace. Closing it gives back everything that it holds on the server.

    `timeout` is how long each operation may take, in seconds, to its end; None for no limit.
    """

    def __init__(
        self,
        namespaces: Namespaces,
        operations: Operations,
        context: CallContext,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._namespaces = namespaces
        self._operations = operations
        self._context = context
        self._close = close

    @property
    def namespace(self) -> str:
        """The namespace that is open."""
        return self._operations.namespace

    @property
    def principal(self) -> Principal:
        """Who the session acts for."""
        return self._context.principal

    async def start(
        self,
        request: Request,
        *,
        mode: CallingMode = CallingMode.SEMISYNCHRONOUS,
        flags: int = 0,
        values: Mapping[str, TypedValue] | None = None,
        timeout: float | None = None,
    ) -> Operation:
        """Starts any operation: the one way that all others take.

        `mode` says how the result comes back: `CallingMode.ASYNCHRONOUS` has the server call a sink of this session,
        with progress if `flags` has `Flags.SEND_STATUS`. `values` are the context's (IWbemContext), `timeout` replaces
        the session's. Raises what the server refuses at once; the rest is in the operation.
        """
        settings: dict[str, Any] = {"mode": mode, "flags": flags}
        if values is not None:
            settings["values"] = values
        if timeout is not None:
            settings["timeout"] = timeout
        return await self._operations.start(request, replace(self._context, **settings))

    async def query(self, query: str, *parameters: Any) -> Operation:
        """What a WQL query selects: iterate over it with ``async for``. Each ``?`` stands for a parameter, quoted as
        its type needs."""
        text = str(parse(query, parameters)) if parameters else query
        return await self.start(ExecQuery(text))

    async def instances(self, class_name: str, *, deep: bool = True) -> Operation:
        """The instances of a class, and of its subclasses if `deep`."""
        return await self.start(EnumerateInstances(class_name), flags=0 if deep else Flags.SHALLOW)

    async def classes(self, superclass: str = "", *, deep: bool = True) -> Operation:
        """The subclasses of a class; of none, all classes."""
        return await self.start(EnumerateClasses(superclass), flags=0 if deep else Flags.SHALLOW)

    async def get(self, path: str | ObjectPath) -> CimObject:
        """The class or instance that `path` names."""
        found = await self._one(GetObject(str(path)))
        if found is None:
            raise NotFound(f"{path}: the server gave nothing")
        return found

    async def get_class(self, name: str) -> Class:
        """The class of that name."""
        found = await self.get(name)
        if not isinstance(found, Class):
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_CLASS, f"{name} is no class")
        return found

    async def put(self, obj: CimObject, *, flags: int = 0) -> str | None:
        """Creates or changes an instance or a class; an instance's path."""
        request: Request = PutClass(obj) if isinstance(obj, Class) else PutInstance(obj)
        async with await self.start(request, flags=flags) as operation:
            outcome = await operation.wait()
        outcome.raise_for_status()
        return outcome.text

    async def delete(self, what: str | ObjectPath | Instance) -> None:
        """Deletes an instance, given by its path or itself."""
        await self._one(DeleteInstance(_path_of(what)))

    async def delete_class(self, name: str) -> None:
        """Deletes a class with its instances and subclasses."""
        await self._one(DeleteClass(name))

    async def invoke(
        self,
        target: str | ObjectPath | Instance | Class,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        **more: Any,
    ) -> dict[str, Any]:
        """Calls a method of a class or an instance: its out-parameters by name, ReturnValue among them.

        The arguments are given the types that the class declares. WBEM_E_INVALID_METHOD if there is no such
        method, WBEM_E_INVALID_METHOD_PARAMETERS for an argument that it does not have.
        """
        path = _path_of(target)
        given = {**(arguments or {}), **more}
        class_name = ObjectPath.parse(path).class_name
        cls = target if isinstance(target, Class) else await self.get_class(class_name)
        if method not in cls.methods:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_METHOD, f"{cls.name} has no method {method}")
        declared = cls.methods[method]
        parameters = None
        if declared.in_class is not None:
            unknown = [name for name in given if name not in declared.in_class.properties]
            parameters = Instance(declared.in_class, {n: v for n, v in given.items() if n not in unknown})
        else:
            unknown = list(given)
        if unknown:
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS,
                f"{cls.name}.{declared.name} takes no {', '.join(unknown)}",
            )
        found = await self._one(ExecMethod(path, declared.name, parameters))
        return found.to_dict() if isinstance(found, Instance) else {}

    async def compile_mof(self, text: str, *, file: str = "<mof>", include: IncludeReader | None = None) -> int:
        """Keeps the classes and instances that MOF text declares; the number of objects.

        In this process all or, if anything fails, none of them; over a connection one after another. `include` reads
        the files that the text includes (`openwmi.mof.read_include`). Raises `MofErrors`.
        """
        from openwmi.client.compiling import compile_over

        return await compile_over(self, text, file=file, include=include)

    async def open(self, namespace: str) -> AsyncSession:
        """Another namespace over the same log-on, by its full name. Close this session, not that one."""
        opened = await self._namespaces.connect(namespace, self._context)
        return AsyncSession(self._namespaces, opened, self._context, _nothing)

    async def _one(self, request: Request) -> CimObject | None:
        async with await self.start(request) as operation:
            return await operation.result()

    async def close(self) -> None:
        """Gives everything back."""
        await self._close()

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _nothing() -> None:
    """What a session does that another one closes."""


def _path_of(what: str | ObjectPath | Instance | Class) -> str:
    if isinstance(what, Class):
        return what.name
    if isinstance(what, Instance):
        path = what.relative_path
        if path is None:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT_PATH, f"{what!r} lacks its keys, so it has no path")
        return str(path)
    return str(what)
