"""Listening and connecting at Unix sockets: the system says who is at the other end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from openwmi.dcom.bindings import Endpoint
from openwmi.dcom.peer import Caller
from openwmi.errors import ConfigurationError, ConnectError, PeerError, RpcFault, Stage
from openwmi.net.guard import Guests
from openwmi.net.rpc import RpcTransport, UnixConnector, listener
from openwmi.net.unixsockets import (
    NumberedSocket,
    SocketFile,
    numbered,
    refuses_files,
    socket_beside,
    unix_socket,
)
from openwmi.rpc import ConnectionLimits
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel
from openwmi.security.ntlm import NtlmInitiator
from openwmi.security.principals import Principal
from openwmi.status import HResult
from tests.net.support import PASSWORD, Network
from tests.wire import within

ME = os.geteuid()
SOMEWHERE = Endpoint("somewhere.invalid", 1)


class Residents:
    """Whom everybody is: nobody, unless `principal` is set."""

    def __init__(self) -> None:
        self.principal: Principal | None = Principal.local_system()
        self.asked: list[int] = []

    async def __call__(self, user: int) -> Principal | None:
        self.asked.append(user)
        return self.principal


class UnixNetwork(Network):
    """The same service at a Unix socket. Clients are told an endpoint that leads nowhere."""

    def __init__(self, limits: ConnectionLimits | None = None) -> None:
        self.residents = Residents()
        super().__init__(limits, residents=self.residents)
        self.bound = NumberedSocket()

    @property
    def endpoint(self) -> Endpoint:
        return SOMEWHERE

    def client(self, *, trusted: int = ME, initiator: NtlmInitiator | None = None) -> RpcTransport:
        connector = UnixConnector(lambda _: numbered(self.bound.port), lambda user: user == trusted)
        made = RpcTransport(None if initiator is None else lambda _: initiator, connector=connector)
        self.clients.push_async_callback(made.close)
        return made


@pytest.fixture
async def network() -> AsyncIterator[UnixNetwork]:
    made = UnixNetwork(ConnectionLimits(max_unauthenticated_pdus=8))
    await made.listener.start_unix(made.bound.socket)
    async with made.clients:
        yield made
    await made.listener.close()


async def test_the_caller_is_who_the_system_says(network: UnixNetwork) -> None:
    transport = network.client()
    for _ in range(20):  # more than somebody unknown may send
        assert await network.repeats(transport)
    called = network.echo.callers[-1]
    expected = Caller(
        Principal.local_system(),
        AuthenticationLevel.PRIVACY,
        ImpersonationLevel.IMPERSONATE,
        "localhost",
        called.connection,
        "localhost",
        ME,
    )
    assert called == expected
    assert not called.is_remote
    assert network.residents.asked == [ME]


async def test_who_is_nobody_here_is_refused(network: UnixNetwork) -> None:
    network.residents.principal = None
    transport = network.client()
    assert await network.alive(transport)
    with pytest.raises(RpcFault) as caught:
        await network.repeats(transport)
    assert caught.value.status == HResult.ERROR_ACCESS_DENIED
    for _ in range(8 - 4):  # after two binds and two calls
        await network.alive(transport)
    with pytest.raises(PeerError):  # and may not try for long
        await network.alive(transport)
    assert network.echo.callers == []


async def test_nobody_logs_on_there(network: UnixNetwork) -> None:
    with pytest.raises(PeerError):
        await network.repeats(network.client(initiator=NtlmInitiator("ada", PASSWORD, target="localhost")))
    assert network.echo.callers == []


async def test_a_server_of_somebody_else_is_not_talked_to(network: UnixNetwork) -> None:
    with pytest.raises(ConnectError, match=f"the user {ME} listens there, and may not") as caught:
        await network.alive(network.client(trusted=ME + 1))
    assert caught.value.stage is Stage.CONNECT
    await network.connections(0)


async def test_one_user_has_a_share_of_the_connections(network: UnixNetwork) -> None:
    network.listener.guests = Guests(20)
    share = network.listener.guests.share
    for _ in range(share):
        assert await network.alive(network.client())
    with pytest.raises(PeerError):
        await network.alive(network.client())
    await network.connections(share)


class Users:
    """Who connects, one after the other: the system's part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.next = ME
        monkeypatch.setattr(listener, "user_at_the_other_end", lambda connected: self.next)


async def test_a_flood_of_one_user_pushes_out_nobody_else(
    network: UnixNetwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    users = Users(monkeypatch)
    network.residents.principal = None
    network.listener.guests = Guests(20, strangers=2)
    first = network.client()
    assert await network.alive(first)
    users.next = ME + 1
    for _ in range(5):
        assert await network.alive(network.client())
    await network.connections(3)
    assert await network.alive(first)
    assert {record.message.split(" without")[0] for record in caplog.records} == {
        f"closed the oldest connection of the user {ME + 1}"
    }


async def test_who_is_sent_away_does_not_wait_to_be_known(
    network: UnixNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(user: int) -> Principal | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(network.listener, "_residents", never)
    network.listener.guests = Guests(20, strangers=1)
    connected = [await asyncio.open_unix_connection(numbered(network.bound.port)) for _ in range(5)]
    for reader, _ in connected[:-1]:
        with suppress(ConnectionError):
            assert await within(reader.read()) == b""
    await network.connections(1)
    assert len(network.listener.guests) == 1
    for _, writer in connected:
        writer.close()


async def test_a_listener_without_room_is_waited_for() -> None:
    bound = NumberedSocket()
    with bound.socket, ExitStack() as others:
        bound.socket.listen(1)
        while True:
            other = others.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            try:
                other.connect(numbered(bound.port))
            except BlockingIOError:
                break
        connecting = asyncio.create_task(UnixConnector(lambda _: numbered(bound.port), ME.__eq__)(SOMEWHERE))
        await asyncio.sleep(0)
        assert not connecting.done()
        others.enter_context(bound.socket.accept()[0])
        _, writer = await within(connecting)
        writer.close()


def test_nobody_passes_files() -> None:
    bound = NumberedSocket()
    with bound.socket, unix_socket() as client:
        if not refuses_files(client):
            pytest.skip("this system knows no SO_PASSRIGHTS")
        bound.socket.listen()
        client.connect(numbered(bound.port))
        accepted, _ = bound.socket.accept()
        with accepted:
            for end in (client, accepted):
                with pytest.raises(PermissionError):
                    socket.send_fds(end, [b"x"], [bound.socket.fileno()])
                end.send(b"x")


def test_the_socket_beside_a_file(socket_folder: Path) -> None:
    file = socket_folder / "r.db"
    link = socket_folder / "link.db"
    link.symlink_to(file)
    assert socket_beside(file) == socket_beside(link) == socket_folder / "r.db.sock"
    assert socket_beside(socket_folder / ("n" * 107)) is None
    assert socket_beside(Path("a\0b")) is None
    circle = socket_folder / "circle"
    circle.symlink_to(circle)
    # Python from 3.13 on leaves such a link as it is.
    assert socket_beside(circle) in (None, socket_folder / "circle.sock")


def test_a_system_without_such_sockets(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    assert socket_beside(socket_folder / "r.db") is None
    with pytest.raises(ConfigurationError, match="does not say who is at the other end"):
        SocketFile(socket_folder / "s")


class TestSocketFile:
    @pytest.mark.parametrize(("refuses", "mode"), [(True, 0o666), (False, 0o660)])
    def test_who_may_connect_until_it_is_removed(
        self, socket_folder: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool, mode: int
    ) -> None:
        monkeypatch.setattr("openwmi.net.unixsockets.refuses_files", lambda made: refuses)
        path = socket_folder / "s"
        made = SocketFile(path)
        with made.socket:
            assert path.stat().st_mode & 0o777 == mode
        made.remove()
        assert not path.exists()
        made.remove()

    def test_what_a_killed_server_left_is_replaced(self, socket_folder: Path) -> None:
        path = socket_folder / "s"
        SocketFile(path).socket.close()
        made = SocketFile(path)
        with made.socket, socket.socket(socket.AF_UNIX) as client:
            made.socket.listen()
            client.connect(str(path))

    def test_a_server_that_runs_is_not_replaced(self, socket_folder: Path) -> None:
        path = socket_folder / "s"
        made = SocketFile(path)
        with made.socket:
            made.socket.listen(1)
            for _ in range(4):  # the second finds the queue full
                with pytest.raises(ConfigurationError, match="another server listens there"):
                    SocketFile(path)
        assert path.exists()

    def test_nothing_is_opened_to_all_but_the_socket(self, socket_folder: Path) -> None:
        victim = socket_folder / "victim"
        victim.touch(mode=0o600)
        path = socket_folder / "s"
        made = SocketFile(path)
        with made.socket:
            path.unlink()
            path.symlink_to(victim)
            with pytest.raises(ConfigurationError, match="another file"):
                made._open_to(0o666)
        assert victim.stat().st_mode & 0o777 == 0o600

    def test_a_socket_from_elsewhere_is_not_opened_to_all(self, socket_folder: Path) -> None:
        made, others = SocketFile(socket_folder / "s"), SocketFile(socket_folder / "other")
        with made.socket, others.socket:
            others.path.chmod(0o600)
            made.path.unlink()
            made.path.hardlink_to(others.path)
            with pytest.raises(ConfigurationError, match="another file"):
                made._open_to(0o666)
        assert others.path.stat().st_mode & 0o777 == 0o600

    def test_what_cannot_be_removed_holds_up_nothing(
        self, socket_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = socket_folder / "s"
        made = SocketFile(path)
        made.socket.close()
        path.unlink()
        path.mkdir()
        made.remove()
        assert path.is_dir()
        assert "cannot be removed" in caplog.text

    def test_another_file_is_left_alone(self, socket_folder: Path) -> None:
        path = socket_folder / "s"
        path.write_text("precious")
        with pytest.raises(ConfigurationError, match="is in the way"):
            SocketFile(path)
        assert path.read_text() == "precious"

    @pytest.mark.parametrize("name", ["no folder/s", "n" * 200])
    def test_a_name_that_cannot_be_had(self, socket_folder: Path, name: str) -> None:
        with pytest.raises(ConfigurationError, match="cannot listen there"):
            SocketFile(socket_folder / name)


def test_there_may_be_no_number_left(monkeypatch: pytest.MonkeyPatch) -> None:
    first = NumberedSocket()
    monkeypatch.setattr("secrets.randbelow", lambda most: first.port - 1)
    with first.socket, pytest.raises(ConfigurationError, match="in use"):
        NumberedSocket()


def test_numbered_sockets_have_different_numbers() -> None:
    first, second = NumberedSocket(), NumberedSocket()
    with first.socket, second.socket:
        assert first.port != second.port
        assert {first.port, second.port} <= set(range(1, 0x10000))
