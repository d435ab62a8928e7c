"""What the operation suite runs over: implementations of `openwmi.cim.operations`, and both APIs. One line each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import pytest

import openwmi
from openwmi import aio
from openwmi.cim.operations import CallContext
from openwmi.client.session import AsyncSession
from openwmi.errors import NotFound, WbemError
from openwmi.manager import ObjectManager
from openwmi.manager.limits import Limits
from openwmi.net.unixsockets import socket_beside
from openwmi.providers import Keys, Provider, ProviderCall, method
from openwmi.repository import MemoryStore, SqliteStore
from openwmi.security.accounts import Accounts
from openwmi.security.principals import Principal
from openwmi.server import Server
from openwmi.status import WbemStatus
from tests.sockets import short_folder

from .blocking import Awaited

NAMESPACE = "root\\cimv2"
PASSWORD: Final = "a password for the suite"
TOLD: Final = ["once", "upon", "a time"]  # what a `Tales` gives before its end

STATIC_CLASSES = """
class Suite_Thing { [key] string Name; uint32 Size = 7; string Note; uint64 Big; datetime When; sint16 Many[]; };
class Suite_Derived : Suite_Thing { boolean Extra; };
class Suite_Pair { [key] uint32 Left; [key] string Right; };
[singleton] class Suite_Only { string Text; };
[abstract] class Suite_Abstract { [key] string Name; };
[association] class Suite_Link { [key] Suite_Thing ref Upper; [key] object ref Lower; uint32 Weight; };
[association] class Suite_StrongLink : Suite_Link { };
"""


class Gauges(Provider):
    """A dynamic class whose instances live in a dictionary."""

    name = "Suite Gauges"
    namespace = NAMESPACE
    mof = """
    [dynamic, provider("Suite Gauges")]
    class Suite_Gauge {
        [key] string Name; sint32 Value; string Context;
        [implemented] uint32 Add([in, ID(0)] sint32 Amount, [out, ID(1)] sint32 Total);
        [implemented, static] uint32 Count([out, ID(0)] uint32 Number);
    };
    [dynamic, provider("Suite Gauges")] class Suite_Countless { [key] uint32 Number; };
    [association, dynamic, provider("Suite Gauges")]
    class Suite_GaugePair { [key] Suite_Gauge ref One; [key] Suite_Gauge ref Other; };
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, int] = {"a": 1, "b": 2}

    def get_instance(self, call: ProviderCall, keys: Keys) -> dict[str, Any]:
        seen = call.value("Remark")
        return {"Name": keys["Name"], "Value": self._value(keys), "Context": None if seen is None else str(seen)}

    def enumerate_instances(self, call: ProviderCall) -> Any:
        if call.cls.name == "Suite_GaugePair":
            yield {"One": 'Suite_Gauge.Name="a"', "Other": 'Suite_Gauge.Name="b"'}
            return
        if call.cls.name == "Suite_Countless":
            yield from ({"Number": number} for number in itertools.count())
        for name, value in self.values.items():
            yield {"Name": name, "Value": value}

    def put_instance(self, call: ProviderCall, instance: Any) -> None:
        self.values[instance["Name"]] = instance["Value"] or 0

    def delete_instance(self, call: ProviderCall, keys: Keys) -> None:
        call.progress(1, 2, "half way")
        self._value(keys)
        del self.values[keys["Name"]]

    @method
    def Add(self, call: ProviderCall, keys: Keys, amount: int | None = None) -> dict[str, Any]:
        self.values[keys["Name"]] = self._value(keys) + (amount or 0)
        return {"Total": self.values[keys["Name"]], "ReturnValue": 0}

    @method
    def Count(self, call: ProviderCall, keys: Keys) -> dict[str, Any]:
        return {"Number": len(self.values), "ReturnValue": 0}

    def _value(self, keys: Keys) -> int:
        if keys["Name"] not in self.values:
            raise NotFound(f"no gauge {keys['Name']}")
        return self.values[keys["Name"]]


class Tales(Provider):
    """Classes whose enumerations come to no good end: one fails, and one goes on for ever."""

    name = "Suite Tales"
    namespace = NAMESPACE
    mof = """
    [abstract, dynamic, provider("Suite Tales")] class Suite_Tale { [key] string Name; };
    [dynamic, provider("Suite Tales")] class Suite_Torn : Suite_Tale { };
    [dynamic, provider("Suite Tales")] class Suite_Endless : Suite_Tale { };
    """

    async def enumerate_instances(self, call: ProviderCall) -> Any:
        for word in TOLD:
            yield {"Name": word}
        if call.cls.name == "Suite_Torn":
            raise WbemError.of(WbemStatus.WBEM_E_PROVIDER_FAILURE, "the rest is torn off")
        await asyncio.get_running_loop().create_future()


PROVIDERS: Final = (Gauges, Tales)


@asynccontextmanager
async def in_process(limits: Limits | None = None) -> AsyncIterator[AsyncSession]:
    manager = ObjectManager(MemoryStore(), server="HOST", limits=limits)
    context = CallContext(principal=Principal.local_system(), timeout=30)
    async with manager:
        for provider in PROVIDERS:
            await manager.register(provider)
        await manager.compile_mof(STATIC_CLASSES, NAMESPACE, context)
        opened = await manager.connect(NAMESPACE, context)
        yield AsyncSession(manager, opened, context, manager.close)


@asynccontextmanager
async def blocking_in_process() -> AsyncIterator[AsyncSession]:
    session = await asyncio.to_thread(openwmi.connect, "local:")
    async with Awaited(session) as awaited:
        manager = session._wrapped._namespaces
        assert isinstance(manager, ObjectManager)
        for provider in PROVIDERS:
            session._portal.run(manager.register(provider))
        session._portal.run(manager.compile_mof(STATIC_CLASSES, NAMESPACE, session._wrapped.context))
        yield cast("AsyncSession", awaited)


@asynccontextmanager
async def a_server(limits: Limits | None = None, repository: Path | None = None) -> AsyncIterator[str]:
    accounts = Accounts()
    accounts.add("suite", PASSWORD, administrator=True)
    server = Server(
        MemoryStore() if repository is None else SqliteStore(repository),
        accounts,
        rpc_port=0,
        exporter_port=0,
        providers=PROVIDERS,
        limits=limits,
        socket_path=None if repository is None else socket_beside(repository),
    )
    async with server:
        spools = server.manager.spools
        context = CallContext(principal=Principal.local_system())
        await server.manager.compile_mof(STATIC_CLASSES, NAMESPACE, context)
        yield f"dcom://suite@127.0.0.1:{server.addresses.rpc_port}/root/cimv2"
    # Whatever the clients did, nothing waits for them any more.
    assert (spools.memory_used, spools.disk_used) == (0, 0)


@asynccontextmanager
async def over_dcom(limits: Limits | None = None, *, smart_enum: bool = True) -> AsyncIterator[AsyncSession]:
    async with (
        a_server(limits) as url,
        await aio.connect(url, password=PASSWORD, timeout=30, smart_enum=smart_enum) as session,
    ):
        yield session


@asynccontextmanager
async def blocking_over_dcom() -> AsyncIterator[AsyncSession]:
    async with a_server() as url:
        session = await asyncio.to_thread(openwmi.connect, url, password=PASSWORD, timeout=30)
        async with Awaited(session) as awaited:
            yield cast("AsyncSession", awaited)


@asynccontextmanager
async def over_a_socket(limits: Limits | None = None) -> AsyncIterator[AsyncSession]:
    with short_folder() as folder:
        repository = folder / "repository.db"
        async with a_server(limits, repository), await aio.connect(f"local:{repository}", timeout=30) as session:
            yield session


IMPLEMENTATIONS: dict[str, Callable[..., AbstractAsyncContextManager[AsyncSession]]] = {
    "in process": in_process,
    "dcom": over_dcom,
    "dcom, plain Next": partial(over_dcom, smart_enum=False),
    "a running server's socket": over_a_socket,
}


BOTH_APIS: dict[str, Callable[..., AbstractAsyncContextManager[AsyncSession]]] = {
    **IMPLEMENTATIONS,
    "in process, synchronous": blocking_in_process,
    "dcom, synchronous": blocking_over_dcom,
}


@pytest.fixture(params=list(BOTH_APIS))
async def session(request: pytest.FixtureRequest) -> AsyncIterator[AsyncSession]:
    async with BOTH_APIS[request.param]() as opened:
        yield opened
