"""`Pool`: log-ons for reuse, a limit for each host, and a new one in the place of one that was lost."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

import openwmi
from openwmi import aio
from openwmi.client.dcom import DcomConnection
from openwmi.client.pool import AsyncPool
from openwmi.client.session import AsyncSession
from openwmi.client.sync import Pool
from openwmi.errors import (
    CallerError,
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    InvalidNamespace,
    InvalidParameter,
    OperationCancelled,
)
from openwmi.providers import Keys, Provider, ProviderCall
from tests.manager.support import Gate
from tests.wire import PASSWORD, Machine, cut_off, within

DYNAMIC = 'Acme_Dynamic="d"'
CLOCK = 'Pool_Clock="c"'


class Clocks(Provider):
    """Clocks that can be read only once a gate, if there still is one, has opened."""

    name = "Clocks"
    mof = '[dynamic, provider("Clocks")] class Pool_Clock { [key] string Name; };'

    def __init__(self, *gates: Gate) -> None:
        self.gates = list(gates)

    def get_instance(self, call: ProviderCall, keys: Keys) -> Keys:
        if self.gates:
            self.gates.pop(0)(call)
        return keys


@pytest.fixture
async def gate(machine: Machine) -> Gate:
    """What the first reader of a clock waits for."""
    made = Gate()
    await machine.server.manager.register(lambda: Clocks(made), Clocks.name, mof=Clocks.mof)
    return made


@pytest.fixture
def log_ons(monkeypatch: pytest.MonkeyPatch) -> list[DcomConnection]:
    """Every log-on that is made, in order."""
    made: list[DcomConnection] = []
    original = DcomConnection.open_session

    async def open_session(self: DcomConnection, *arguments: object, **named: object) -> AsyncSession:
        made.append(self)
        return await original(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(DcomConnection, "open_session", open_session)
    return made


@pytest.fixture
async def pool() -> AsyncIterator[AsyncPool]:
    async with aio.Pool(limit=2) as opened:
        yield opened


def connecting(pool: AsyncPool, machine: Machine) -> Callable[..., asyncio.Task[AsyncSession]]:
    async def connect(user: str, **settings: object) -> AsyncSession:
        return await pool.connect(machine.url, user=user, password=PASSWORD, **settings)  # type: ignore[arg-type]

    return lambda user="admin", **settings: asyncio.ensure_future(within(connect(user, **settings)))


# -- reuse


async def test_a_log_on_serves_one_session_after_another(
    machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]
) -> None:
    connect = connecting(pool, machine)
    async with await connect() as session:
        await session.delete_instance("Acme_Static", {"Name": "x"})
    async with await connect(namespace="root\\default") as session:
        assert session.scope == "root\\default"
        await session.get_class("__NAMESPACE")
    async with await connect() as session:
        assert len(await (await session.query("SELECT * FROM Acme_Static")).results()) == 2
    assert len(log_ons) == 1
    assert repr(pool) == "<AsyncPool with 0 sessions, 1 idle log-ons>"


async def test_two_sessions_have_two_log_ons(machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]) -> None:
    connect = connecting(pool, machine)
    async with await connect() as first, await connect() as second:
        await asyncio.gather(first.test_connection(), second.test_connection())
    assert len(log_ons) == 2


async def test_settings_are_a_log_on_s_own(machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]) -> None:
    connect = connecting(pool, machine)
    for settings in ({}, {"locales": ["MS_409"]}, {"locales": ("MS_409",)}, {}):
        async with await connect(**settings) as session:
            await session.test_connection()
    assert len(log_ons) == 2


async def test_a_wrong_namespace_costs_no_log_on(
    machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]
) -> None:
    connect = connecting(pool, machine)
    async with await connect():
        pass
    for _ in range(3):
        with pytest.raises(InvalidNamespace):
            await connect(namespace="root\\nowhere")
    async with await connect():
        pass
    assert len(log_ons) == 1


# -- the limit


async def test_who_comes_too_many_waits(machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]) -> None:
    connect = connecting(pool, machine)
    first, second = await connect(), await connect()
    third = connect()
    with pytest.raises(DeadlineExceeded, match=r"none of the pool's 2 log-ons became free in 0\.05 s"):
        await connect(timeout=0.05)
    assert not third.done()
    await first.close()
    async with await third as session:
        await session.test_connection()
    await second.close()
    assert len(log_ons) == 2


async def test_idle_log_ons_make_room_for_others(
    machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]
) -> None:
    connect = connecting(pool, machine)
    async with await connect("admin"), await connect("admin"):
        pass
    async with await connect("other") as session:
        await session.test_connection()
    assert [each.destination.who for each in log_ons] == ["admin", "admin", "other"]
    assert repr(pool) == "<AsyncPool with 0 sessions, 2 idle log-ons>"


async def test_a_failed_log_on_takes_no_place(machine: Machine, pool: AsyncPool) -> None:
    connect = connecting(pool, machine)
    for _ in range(3):
        with pytest.raises(InvalidNamespace):
            await connect(namespace="root\\nowhere")
    async with await connect() as session:
        await session.test_connection()


# -- the end


async def test_a_closed_session_is_closed(machine: Machine, pool: AsyncPool) -> None:
    connect = connecting(pool, machine)
    session = await connect()
    await session.close()
    await session.close()
    with pytest.raises(CallerError, match="the session is closed"):
        await session.test_connection()
    async with await connect() as other:
        await session.close()  # which is none of the other's business
        await other.test_connection()


async def test_what_still_runs_is_cancelled(machine: Machine, gate: Gate, pool: AsyncPool) -> None:
    connect = connecting(pool, machine)
    session = await connect()
    running = await session.start.get_instance(CLOCK)
    await gate.wait_reached()
    await within(session.close())
    with pytest.raises(OperationCancelled):
        await running.result()
    async with await connect() as session:
        await session.test_connection()


async def test_a_close_that_is_interrupted_gives_the_log_on_back(machine: Machine, pool: AsyncPool) -> None:
    connect = connecting(pool, machine)
    session = await connect()
    running = await session.enumerate_instances("Acme_Static")
    closing = asyncio.ensure_future(session.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    assert running.outcome is not None
    assert repr(pool) == "<AsyncPool with 0 sessions, 1 idle log-ons>"


async def test_idle_log_ons_are_given_back(machine: Machine) -> None:
    async with aio.Pool(idle=0) as pool:
        async with await connecting(pool, machine)():
            assert machine.exported
        while machine.exported:
            await asyncio.sleep(0)
        assert repr(pool) == "<AsyncPool with 0 sessions, 0 idle log-ons>"
        gc.collect()
        assert not pool._hosts


async def test_closing_the_pool_gives_everything_back(machine: Machine) -> None:
    async with aio.Pool(limit=2) as pool:
        connect = connecting(pool, machine)
        async with await connect():
            pass
        await connect()
        await connect("other")
        waiting = connect()
        await asyncio.sleep(0)
    with pytest.raises(CallerError, match="the pool is closed"):
        await waiting
    with pytest.raises(CallerError, match="the pool is closed"):
        await connect()
    assert not machine.exported


# -- connections that end


async def test_after_a_cut_everything_finds_a_new_log_on(
    machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]
) -> None:
    async with await connecting(pool, machine)() as session:
        await cut_off(log_ons[-1])
        await session.delete_instance("Acme_Static", {"Name": "x"})
        await cut_off(log_ons[-1])
        assert (await session.get_instance("Acme_Static", {"Name": "y"})).Name == "y"
    assert len(log_ons) == 3


async def test_a_read_in_the_middle_of_which_the_connection_ends_is_repeated(
    machine: Machine, gate: Gate, pool: AsyncPool, log_ons: list[DcomConnection]
) -> None:
    async with await connecting(pool, machine)() as session:
        asked = asyncio.ensure_future(session.get_instance(CLOCK))
        await gate.wait_reached()
        await cut_off(log_ons[-1])
        assert (await within(asked)).Name == "c"
    assert len(log_ons) == 2


async def test_a_write_in_the_middle_of_which_the_connection_ends_is_not(
    machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]
) -> None:
    machine.does = gate = Gate()
    async with await connecting(pool, machine)() as session:
        asked = asyncio.ensure_future(session.delete_instance(DYNAMIC))
        await gate.wait_reached()
        await cut_off(log_ons[-1])
        with pytest.raises(ConnectionLost):
            await within(asked)
        gate.opened.set()
    await machine.quiet()
    assert len(machine.calls) == 1


async def test_a_lost_log_on_is_not_handed_on(machine: Machine, pool: AsyncPool, log_ons: list[DcomConnection]) -> None:
    connect = connecting(pool, machine)
    async with await connect():
        await cut_off(log_ons[-1])
    assert repr(pool) == "<AsyncPool with 0 sessions, 0 idle log-ons>"


# -- wrong settings, and the synchronous one


@pytest.mark.parametrize("settings", [{"limit": 0}, {"idle": -1}])
def test_wrong_settings(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        Pool(**settings)


async def test_connect_is_connect() -> None:
    async with aio.Pool() as pool:
        assert inspect.signature(pool.connect) == inspect.signature(aio.connect)
        with pytest.raises(ConfigurationError, match="not known"):
            await pool.connect("http://server")


@pytest.fixture
def sessions() -> Iterator[Pool]:
    before = set(threading.enumerate())
    with openwmi.Pool(limit=1) as opened:
        yield opened
    assert not [each for each in set(threading.enumerate()) - before if each.name == "openwmi-portal"]


def test_the_synchronous_pool(sessions: Pool) -> None:
    with sessions.connect() as session:
        session.compile_mof("class Pool_Thing { [key] uint32 Number; };")
    with sessions.connect() as session:
        session.put_instance(session.get_class("Pool_Thing").new(Number=1))
        [thing] = session.query("SELECT * FROM Pool_Thing")
        session.delete_instance(thing)
    assert repr(sessions) == "<AsyncPool with 0 sessions, 1 idle log-ons>"
    session.close()


def test_threads_share_a_pool(sessions: Pool) -> None:
    with sessions.connect() as session:
        session.compile_mof("class Pool_Thing { [key] uint32 Number; };")

    def put(number: int) -> None:
        with sessions.connect() as session:
            session.put_instance(session.get_class("Pool_Thing").new(Number=number))

    workers = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    with sessions.connect() as session:
        assert len(session.query("SELECT * FROM Pool_Thing").results()) == 4
