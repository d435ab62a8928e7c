"""What the manager's tests share: callers, providers that do as they are told, a sink that writes everything down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from openwmi.cim import CimObject, Instance, TypedValue
from openwmi.cim.operation import Operation
from openwmi.cim.operations import CallContext, CallingMode, Request
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.security.access import ALL_RIGHTS, AccessRight
from openwmi.security.descriptor import Ace, Acl, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, AUTHENTICATED_USERS, Principal, Sid

CIMV2 = "root\\cimv2"

SYSTEM = Principal.local_system()
USER = Principal("HOST", "user", Sid(5, (21, 1, 2, 3, 1001)), frozenset({AUTHENTICATED_USERS}))


def context(
    principal: Any = SYSTEM,
    flags: int = 0,
    mode: CallingMode = CallingMode.SEMISYNCHRONOUS,
    values: dict[str, TypedValue] | None = None,
    **more: Any,
) -> CallContext:
    """A call's context; of the system itself unless told otherwise."""
    return CallContext(principal=principal, flags=flags, mode=mode, values=values or {}, **more)


def asynchronously(principal: Any = SYSTEM, flags: int = 0, **more: Any) -> CallContext:
    """The context of an Async method."""
    return context(principal, flags, CallingMode.ASYNCHRONOUS, **more)


async def run(namespace: Namespace, request: Request, ctx: CallContext | None = None) -> list[CimObject]:
    """An operation's results."""
    operation = await namespace.start(request, ctx or context())
    return await operation.collect()


async def grant(manager: ObjectManager, rights: AccessRight, namespace: str = CIMV2) -> None:
    """Gives ordinary users exactly these rights."""
    acl = Acl((Ace.allow(ADMINISTRATORS, ALL_RIGHTS), Ace.allow(AUTHENTICATED_USERS, rights)))
    descriptor = SecurityDescriptor(ADMINISTRATORS, ADMINISTRATORS, acl)
    await manager.in_store(manager.set_descriptor, namespace, descriptor)


class InMode(Namespace):
    """A namespace whose every call is made in one mode."""

    def __init__(self, namespace: Namespace, mode: CallingMode) -> None:
        super().__init__(namespace._manager, namespace._connection)
        self._mode = mode

    async def start(self, request: Request, context: CallContext) -> Operation:
        return await super().start(request, replace(context, mode=self._mode))


@dataclass(frozen=True)
class Called:
    """One call that a provider got."""

    provider: str
    function: str
    path: str
    keys: dict[str, Any]
    call: ProviderCall = field(compare=False)


class Scripted(Provider):
    """A provider whose functions do what the test says, and that remembers its calls."""

    def __init__(self, name: str, calls: list[Called], does: Callable[[ProviderCall], Any] | None = None) -> None:
        self.id = name
        self.calls = calls
        self.does = does or (lambda call: None)

    def delete_instance(self, call: ProviderCall, keys: Any) -> Any:
        self.calls.append(Called(self.id, "delete", str(call.path), dict(keys), call))
        return self.does(call)

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return []


def scripted(
    name: str, calls: list[Called] | None = None, does: Callable[[ProviderCall], Any] | None = None
) -> Callable[[], Provider]:
    """A factory of one."""
    return lambda: Scripted(name, [] if calls is None else calls, does)


def raising(error: BaseException) -> Callable[[ProviderCall], Any]:
    """A script that raises."""

    def does(call: ProviderCall) -> Any:
        raise error

    return does


@dataclass
class Gate:
    """A point at which a provider's thread waits until the test lets it go on, or the call is cancelled."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def __call__(self, call: ProviderCall) -> None:
        call.on_cancel(self.opened.set)
        self.reached.set()
        self.opened.wait(30)
        self.left.set()

    async def wait_reached(self) -> None:
        await asyncio.to_thread(self.reached.wait, 30)


class RecordingSink:
    """A sink that writes down what is called, in order. `fail` and `hold` decide about its answers."""

    def __init__(self, identity: Hashable = "sink") -> None:
        self._identity = identity
        self.calls: list[tuple[Any, ...]] = []
        self.fail: Callable[[tuple[Any, ...]], BaseException | None] = lambda call: None
        self.hold: asyncio.Event | None = None
        self.called = asyncio.Event()

    @property
    def identity(self) -> Hashable:
        return self._identity

    async def indicate(self, objects: Sequence[CimObject]) -> None:
        await self._record(("indicate", *objects))

    async def set_status(self, kind: int, status: int, text: str | None, error: Instance | None) -> None:
        await self._record(("set_status", kind, status, text, error))

    async def release(self) -> None:
        self.calls.append(("release",))

    async def _record(self, call: tuple[Any, ...]) -> None:
        self.calls.append(call)
        self.called.set()
        if self.hold is not None:
            await self.hold.wait()
        error = self.fail(call)
        if error is not None:
            raise error

    @property
    def statuses(self) -> list[tuple[Any, ...]]:
        """The SetStatus calls."""
        return [call[1:] for call in self.calls if call[0] == "set_status"]
