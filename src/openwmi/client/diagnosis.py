"""`diagnose`: the way to a class, gone stage by stage, to see where it ends.

    async for check in diagnose("dcom://administrator@server", password=...):
        print(check.stage, check.verdict, check.detail)

Over DCOM: the name, TCP, RPC without authentication (ServerAlive2), RPC with it, the activation of the log-on object,
the log-on, the namespace, a class, and an instance from its provider. `local:` has the last three of these. What comes
after a stage that failed is not tried.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Unpack

from openwmi.aio import DEFAULT_NAMESPACE, connect
from openwmi.causes import Cause, likely_causes
from openwmi.client.dcom import DcomConnection
from openwmi.client.destination import Destination, DestinationOptions
from openwmi.client.session import AsyncSession
from openwmi.client.urls import parse_url
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.importer import Importer
from openwmi.dcom.types import ComVersion
from openwmi.errors import DeadlineExceeded, Error, InvalidNamespace, Stage, during, stage_of
from openwmi.net.rpc import RpcTransport
from openwmi.net.rpc.transport import connect_error

__all__ = ["Check", "Verdict", "diagnose"]

# A class that every namespace has, and one whose provider every host has.
_ANY_CLASS: Final = "__NAMESPACE"
_HOST_CLASS: Final = "Win32_OperatingSystem"


class Verdict(StrEnum):
    """How a stage went."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One stage of a diagnosis. `seconds` and `detail` are what it took and found; `error` is why it failed."""

    stage: Stage
    verdict: Verdict
    seconds: float = 0.0
    detail: str = ""
    error: Error | None = None

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What is likely behind a failure."""
        return () if self.error is None else likely_causes(self.error)


_Step = Callable[[], Awaitable[str]]


async def diagnose(
    url: str = "local:",
    *,
    namespace: str | None = None,
    class_name: str | None = None,
    timeout: float = 10.0,
    **options: Unpack[DestinationOptions],
) -> AsyncIterator[Check]:
    """Goes the way to a class, and yields one `Check` for each stage as it is done.

    `timeout` is for each stage, in seconds. `class_name` is what is looked at, by default Win32_OperatingSystem, or
    outside ``root\\cimv2`` __NAMESPACE. `options` are those of `connect`. Raises `ConfigurationError` for a URL or an
    option that cannot be used.
    """
    target = parse_url(url)
    wanted = namespace or target.namespace or DEFAULT_NAMESPACE
    looked_at = class_name or (_HOST_CLASS if wanted.lower() == DEFAULT_NAMESPACE else _ANY_CLASS)
    async with AsyncExitStack() as stack:
        way: _Way
        if target.scheme == "local":
            way = _LocalWay(url, wanted, looked_at, stack)
        else:
            way = _DcomWay(Destination.of(target, **options), wanted, looked_at, timeout, stack)
        failed = False
        for stage, step in way.steps():
            check = Check(stage, Verdict.SKIPPED) if failed else await _checked(way, stage, step, timeout)
            failed = check.verdict is not Verdict.OK
            yield check


async def _checked(way: _Way, stage: Stage, step: _Step, timeout: float) -> Check:
    began = time.monotonic()
    error: Error
    try:
        with during(stage):
            async with asyncio.timeout(timeout):
                detail = await step()
        return Check(stage, Verdict.OK, time.monotonic() - began, detail)
    except TimeoutError as late:
        error = DeadlineExceeded.after(timeout, way.where, "no answer", stage=stage_of(late) or stage)
    except Error as problem:
        error = problem
    return Check(stage, Verdict.FAILED, time.monotonic() - began, str(error), error)


class _Way:
    """The stages that every way ends with: the namespace, the class, and an instance of it. `where` it leads to."""

    where = "this process"

    def __init__(self, namespace: str, class_name: str) -> None:
        self._namespace = namespace
        self._class_name = class_name
        self._session: AsyncSession | None = None

    def steps(self) -> list[tuple[Stage, _Step]]:
        """The stages in order, with what is done in each; what that gives is the detail."""
        return [
            (Stage.NAMESPACE, self._open_namespace),
            (Stage.CLASS, self._get_class),
            (Stage.PROVIDER, self._get_instance),
        ]

    @property
    def _opened(self) -> AsyncSession:
        assert self._session is not None  # the steps are taken in order
        return self._session

    async def _open_namespace(self) -> str:
        await self._opened.test_connection()
        return self._opened.scope

    async def _get_class(self) -> str:
        found = await self._opened.get_class(self._class_name)
        return f"{found.name}, {len(found.properties)} properties"

    async def _get_instance(self) -> str:
        async with await self._opened.enumerate_instances(self._class_name, page_size=1) as operation:
            found = await operation.take(1)
            if not found and operation.outcome is not None:
                operation.outcome.raise_for_status()
        return str(found[0].relative_path or found[0].class_name) if found else f"no instance of {self._class_name}"


class _LocalWay(_Way):
    """The way to a repository in this process."""

    def __init__(self, url: str, namespace: str, class_name: str, stack: AsyncExitStack) -> None:
        super().__init__(namespace, class_name)
        self._url = url
        self._stack = stack

    async def _open_namespace(self) -> str:
        self._session = await self._stack.enter_async_context(await connect(self._url, namespace=self._namespace))
        return await super()._open_namespace()


class _DcomWay(_Way):
    """The way to a server over DCOM."""

    def __init__(
        self,
        destination: Destination,
        namespace: str,
        class_name: str,
        timeout: float,
        stack: AsyncExitStack,
    ) -> None:
        super().__init__(namespace, class_name)
        self._destination = destination
        self.where = destination.host
        self._endpoint = Endpoint(destination.host, destination.port)
        self._timeout = timeout
        self._connection = DcomConnection(destination, connect_timeout=timeout, call_timeout=timeout)
        stack.push_async_callback(self._connection.close)
        self._addresses: list[str] = []
        self._missing: InvalidNamespace | None = None

    def steps(self) -> list[tuple[Stage, _Step]]:
        return [
            (Stage.RESOLVE, self._resolve),
            (Stage.CONNECT, self._connect),
            (Stage.BIND, self._bind),
            (Stage.AUTHENTICATION, self._authenticate),
            (Stage.ACTIVATION, self._activate),
            (Stage.LOGIN, self._log_in),
            *super().steps(),
        ]

    async def _resolve(self) -> str:
        host, port = self._endpoint.host, self._endpoint.port
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise connect_error(self._endpoint, error) from error
        return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _connect(self) -> str:
        try:
            _, writer = await asyncio.open_connection(self._endpoint.host, self._endpoint.port)
        except OSError as error:
            raise connect_error(self._endpoint, error) from error
        peer = writer.get_extra_info("peername")
        writer.close()
        return f"{peer[0]} port {peer[1]}"

    async def _bind(self) -> str:
        transport = RpcTransport(None, connect_timeout=self._timeout)
        try:
            return _told(await Importer(transport).alive((self._endpoint,), timeout=self._timeout))
        finally:
            await transport.close()

    async def _authenticate(self) -> str:
        await self._connection.alive()
        destination = self._destination
        return f"{destination.credentials.name}, {destination.credentials.mechanism}, {destination.level.name.lower()}"

    async def _activate(self) -> str:
        await self._connection.activate()
        return "IWbemLevel1Login"

    async def _log_in(self) -> str:
        try:
            self._session = await self._connection.open_session(self._namespace, timeout=self._timeout)
        except InvalidNamespace as error:
            # Whoever is told that there is no such namespace is logged on.
            self._missing = error
        return "NTLMLogin"

    async def _open_namespace(self) -> str:
        if self._missing is not None:
            raise self._missing
        return await super()._open_namespace()


def _told(answer: tuple[ComVersion, DualStringArray]) -> str:
    """What ServerAlive2 says."""
    version, bindings = answer
    names = dict.fromkeys(binding.address for binding in bindings.strings)
    return ", ".join([f"COM {version.major}.{version.minor}", *names])
