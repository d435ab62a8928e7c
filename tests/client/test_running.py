"""`local:FILE` while a server has the file open: the server is asked, through its socket, as the system's user."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import openwmi
from openwmi import aio
from openwmi.cim.operations import CallingMode
from openwmi.client import running as running_module
from openwmi.client.local import LocalSession
from openwmi.client.running import RunningServer
from openwmi.client.session import AsyncSession
from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.interfaces import IObjectExporter
from openwmi.errors import AccessDenied, AuthenticationError, ConnectError, NotFound, RepositoryInUse
from openwmi.net.rpc import RpcTransport
from openwmi.net.unixsockets import SocketFile, socket_beside
from openwmi.repository import SqliteStore
from openwmi.security.access import AccessRight
from openwmi.security.accounts import Accounts
from openwmi.security.principals import Principal
from openwmi.server import Server, callbacks
from openwmi.server import server as server_module
from tests.manager.support import CIMV2, Called, context, grant, scripted
from tests.wire import connection_of, sinks_of, within

ME = os.geteuid()
SCHEMA = """
class Thing { [key] string Name; };
instance of Thing { Name = "x"; };
instance of Thing { Name = "y"; };
[dynamic, provider("Scripted")] class Live { [key] string Name; };
"""


@dataclass
class Running:
    """A server that has a repository open."""

    server: Server
    repository: Path
    accounts: Accounts
    calls: list[Called] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"local:{self.repository}"


def server_over(repository: Path, accounts: Accounts | None = None, **settings: Any) -> Server:
    """A server as `openwmi serve` makes it."""
    settings.setdefault("socket_path", socket_beside(repository))
    return Server(
        SqliteStore(repository), accounts or Accounts(), providers=(), rpc_port=0, exporter_port=0, **settings
    )


@pytest.fixture
async def running(socket_folder: Path) -> AsyncIterator[Running]:
    accounts = Accounts()
    accounts.add("ada", "a password")
    made = Running(server_over(socket_folder / "r.db", accounts), socket_folder / "r.db", accounts)
    async with made.server:
        manager = made.server.manager
        await manager.compile_mof(SCHEMA, CIMV2, context())
        await manager.register(scripted("Scripted", made.calls), "Scripted")
        yield made


@pytest.fixture
def as_user(running: Running, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Makes this process's user the account of that name to the server, or nobody."""

    def become(name: str | None) -> None:
        account = None if name is None else running.accounts.find("", name)
        principal = None if account is None else account.principal("HOST")
        monkeypatch.setattr(server_module, "is_system", lambda user: False)
        monkeypatch.setattr(server_module, "resident", lambda accounts, user, computer: principal)

    return become


async def names(session: AsyncSession, **options: Any) -> list[str]:
    return sorted([thing.Name async for thing in await session.query("SELECT * FROM Thing", **options)])


async def test_the_server_is_asked(running: Running) -> None:
    async with await aio.connect(running.url) as session:
        assert not isinstance(session, LocalSession)
        assert await names(session) == ["x", "y"]
        await session.delete_instance('Thing.Name="x"')
        with pytest.raises(NotFound):
            await session.delete_instance('Thing.Name="x"')
        await session.delete_instance('Live.Name="any"')
    (called,) = running.calls
    assert called.call.principal == Principal.local_system()
    assert (called.call.context.remote, called.call.context.peer) == (False, "localhost")


async def test_from_the_synchronous_api(running: Running) -> None:
    def ask() -> list[str]:
        with openwmi.connect(running.url) as session:
            return sorted(thing.Name for thing in session.query("SELECT * FROM Thing"))

    assert await asyncio.to_thread(ask) == ["x", "y"]


async def test_without_a_server_it_is_opened_here(socket_folder: Path) -> None:
    async with await aio.connect(f"local:{socket_folder / 'r.db'}") as session:
        assert isinstance(session, LocalSession)
    async with server_over(socket_folder / "r.db"), await aio.connect(f"local:{socket_folder / 'r.db'}") as session:
        assert not isinstance(session, LocalSession)
    async with await aio.connect(f"local:{socket_folder / 'r.db'}") as session:
        assert isinstance(session, LocalSession)
    assert sorted(path.name for path in socket_folder.iterdir()) == ["r.db"]


async def test_the_socket_of_a_killed_server(socket_folder: Path) -> None:
    path = socket_beside(socket_folder / "r.db")
    assert path is not None
    SocketFile(path).socket.close()
    for _ in range(2):  # no file yet, then one
        async with await aio.connect(f"local:{socket_folder / 'r.db'}") as session:
            assert isinstance(session, LocalSession)
    async with server_over(socket_folder / "r.db"), await aio.connect(f"local:{socket_folder / 'r.db'}") as session:
        assert not isinstance(session, LocalSession)


async def test_a_link_to_another_servers_socket_is_none(running: Running, socket_folder: Path) -> None:
    other = socket_folder / "other.db"
    async with await aio.connect(f"local:{other}"):
        pass
    (socket_folder / "other.db.sock").symlink_to(f"{running.repository}.sock")
    assert RunningServer.of(running.repository) is not None
    assert RunningServer.of(other) is None
    async with await aio.connect(f"local:{other}") as session:
        assert isinstance(session, LocalSession)


async def test_names_are_looked_up_once_and_hold_up_nobody_else(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    answered = threading.Event()

    def slow(accounts: Accounts, user: int, computer: str) -> Principal | None:
        asked.append(user)
        answered.wait()
        return None

    monkeypatch.setattr(server_module, "resident", slow)
    connections = [asyncio.create_task(running.server._resident(ME + 1)) for _ in range(100)]
    try:
        connections[0].cancel()
        assert await running.server._resident(ME) == Principal.local_system()
    finally:
        answered.set()
    assert await asyncio.gather(*connections[1:]) == [None] * 99
    assert asked == [ME + 1]
    assert await running.server._resident(ME + 1) is None
    assert asked == [ME + 1] * 2  # who had no account may have one now


async def test_a_server_that_goes_meanwhile(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = RunningServer(socket_folder / "gone.sock", ME)
    monkeypatch.setattr(RunningServer, "of", lambda repository: gone)
    async with await aio.connect(f"local:{socket_folder / 'r.db'}") as session:
        assert isinstance(session, LocalSession)


async def test_a_server_without_a_socket(socket_folder: Path) -> None:
    async with server_over(socket_folder / "r.db", socket_path=None):
        with pytest.raises(RepositoryInUse):
            await aio.connect(f"local:{socket_folder / 'r.db'}")


async def test_a_second_server_leaves_the_first_ones_socket(running: Running) -> None:
    with pytest.raises(RepositoryInUse):
        await server_over(running.repository).start()
    async with await aio.connect(running.url) as session:
        assert await names(session) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "who", "advice"),
    [
        ("eve", "eve", "the server has no account of that name: `openwmi account add eve` makes one"),
        (None, f"the user {ME}", "the system has no name for that user, by which the server could know an account"),
    ],
)
async def test_a_user_without_an_account(
    running: Running,
    as_user: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    who: str,
    advice: str,
) -> None:
    as_user(None)
    monkeypatch.setattr(running_module, "system_name", {ME: name}.get)
    with pytest.raises(AuthenticationError) as caught:
        await aio.connect(running.url)
    assert str(caught.value) == f"{who} at {socket_beside(running.repository)}: access is denied: {advice}"


async def test_a_user_is_the_account_of_that_name(running: Running, as_user: Callable[[str | None], None]) -> None:
    as_user("ada")
    # Over a network REMOTE_ENABLE would be needed beside it (3.1.4.1.4).
    await grant(running.server.manager, AccessRight.ENABLE)
    async with await aio.connect(running.url) as session:
        assert await names(session) == ["x", "y"]
        with pytest.raises(AccessDenied):
            await session.delete_instance('Thing.Name="x"')
        await grant(running.server.manager, AccessRight(0))
        with pytest.raises(AccessDenied):
            await names(session)


async def test_an_account_that_is_removed_meanwhile(running: Running, as_user: Callable[[str | None], None]) -> None:
    as_user("ada")
    async with await aio.connect(running.url) as session:
        running.accounts.remove("ada")
        with pytest.raises(openwmi.Error):
            await names(session)


@pytest.mark.parametrize("user", [None, "ada"])
async def test_sinks_are_called(running: Running, as_user: Callable[[str | None], None], user: str | None) -> None:
    if user is not None:
        as_user(user)
    async with await aio.connect(running.url) as session:
        assert await names(session, mode=CallingMode.ASYNCHRONOUS) == ["x", "y"]
        assert connection_of(session)._sinks is not None
        assert sinks_of(session) == 0
    assert running.server._host._work == set()


class TestWhoIsCalled:
    """A sink's socket has a number that anybody can take, and any user can connect to it."""

    async def call(self, transport: RpcTransport, port: int) -> None:
        method = IObjectExporter["ServerAlive"]
        try:
            await transport.invoke(
                (Endpoint("localhost", port),),
                IObjectExporter,
                method.opnum,
                method.encode_request({}),
                object_uuid=None,
                timeout=10,
            )
        finally:
            await transport.close()

    async def test_the_server_calls_nobody_but_the_caller(self) -> None:
        somebody = await RunningServer(Path("/nowhere"), ME).sink_host("localhost")
        try:
            await self.call(callbacks._way_to_user(ME), somebody.exporter_port)
            with pytest.raises(ConnectError, match="listens there, and may not"):
                await self.call(callbacks._way_to_user(ME + 1), somebody.exporter_port)
        finally:
            await somebody.close()

    async def test_a_sink_listens_to_nobody_but_who_may_serve(self) -> None:
        server = RunningServer(Path("/nowhere"), ME + 1)
        assert [await server._caller(user) for user in (0, ME, ME + 1)] == [Principal.local_system()] * 3
        assert await server._caller(ME + 2) is None


async def test_a_server_of_somebody_else_is_not_believed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunningServer, "_may_serve", lambda self, user: False)
    with pytest.raises(ConnectError, match="and may not"):
        await within(aio.connect(running.url))
