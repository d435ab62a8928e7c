"""Every way in which this side's time is up: one error, which says what was done, where, and for how long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from openwmi import aio
from openwmi.cim.operations import CallingMode
from openwmi.client.callbacks import Callbacks
from openwmi.client.diagnosis import Verdict, diagnose
from openwmi.client.local import LocalSession, open_local
from openwmi.client.session import AsyncSession
from openwmi.errors import CallerError, DeadlineExceeded, Stage, WbemError
from openwmi.providers import Provider, ProviderCall
from openwmi.status import HResult, WbemStatus
from tests.wire import HOST, PASSWORD, Machine, within

from .clock import Clock
from .proxy import Persona, Response, Send
from .sessions import TIMEOUT
from .traces import misbehaving

UNANSWERED, UNFINISHED = HResult.WSAETIMEDOUT, WbemStatus.WBEM_E_TIMED_OUT
BINDING: Final = ""
ACTIVATION, LOGIN = "IRemoteSCMActivator.RemoteCreateInstance", "IWbemLevel1Login.NTLMLogin"
QUERY, NEXT = "IWbemServices.ExecQuery", "IWbemWCOSmartEnum.Next"

Work = Callable[[AsyncSession], Awaitable[object]]


def checked(error: DeadlineExceeded | None, stage: Stage, status: int, where: str) -> str:
    """The error's text, once it is what it should be."""
    assert type(error) is DeadlineExceeded
    assert (error.stage, error.status) == (stage, status)
    text = str(error)
    assert text.startswith(where)
    assert re.search(rf" in \S+ s; the time was up while {re.escape(stage.text)}$", text)
    return text


class Mute(Persona):
    """Does what it is asked, but says nothing any more from its answer to `method` on."""

    swallows = True

    def __init__(self, method: str) -> None:
        self.method = method
        self.is_silent = method == BINDING

    def respond(self, response: Response) -> bytes:
        self.is_silent |= response.method == self.method
        return response.stub

    async def reply(self, number: int, pdu: bytes, send: Send) -> None:
        if self.is_silent:
            self.clock.leap()
        else:
            await send(pdu)


# -- over DCOM


async def query(session: AsyncSession) -> None:
    async with await session.query("SELECT * FROM Acme_Static") as found:
        await found.results()


async def query_told(session: AsyncSession) -> None:
    async with await session.query("SELECT * FROM Acme_Static", callbacks=Callbacks(instance=print)) as found:
        (await found.wait()).raise_for_status()


async def delete_at_once(session: AsyncSession) -> None:
    await session.delete_instance("Acme_Static.Name='x'", mode=CallingMode.SYNCHRONOUS)


async def open_below(session: AsyncSession) -> None:
    await (await session.services("root")).open_namespace("cimv2")


async def enumerate_(session: AsyncSession) -> None:
    services = await session.services()
    async with await services.semisynchronous.create_instance_enum("Acme_Static") as enumerator:
        await enumerator.take(1)


WAYS: Final[list[tuple[str, Work, Stage, int]]] = [
    (BINDING, query, Stage.BIND, UNANSWERED),
    (ACTIVATION, query, Stage.ACTIVATION, UNANSWERED),
    (LOGIN, query, Stage.LOGIN, UNANSWERED),
    (QUERY, query, Stage.CALL, UNFINISHED),
    (NEXT, query, Stage.CALL, UNFINISHED),
    (NEXT, query_told, Stage.CALL, UNFINISHED),
    ("IWbemCallResult.GetResultObject", lambda session: session.get_class("Acme_Static"), Stage.CALL, UNFINISHED),
    ("IWbemCallResult.GetCallStatus", lambda s: s.delete_instance("Acme_Static='x'"), Stage.CALL, UNFINISHED),
    ("IWbemServices.DeleteInstance", delete_at_once, Stage.CALL, UNFINISHED),
    ("IWbemServices.OpenNamespace", open_below, Stage.CALL, UNFINISHED),
    ("IWbemServices.CreateInstanceEnum", enumerate_, Stage.CALL, UNFINISHED),
    (NEXT, enumerate_, Stage.CALL, UNANSWERED),
]


@pytest.mark.parametrize(
    ("method", "work", "stage", "status", "timeout"),
    # Without a deadline for the whole there is still one for every answer, but for a Next that waits without limit.
    [*((*way, TIMEOUT) for way in WAYS), *((*way, None) for way in WAYS if way[:2] != (NEXT, enumerate_))],
)
async def test_a_server_that_does_not_answer(
    machine: Machine, method: str, work: Work, stage: Stage, status: int, timeout: float | None
) -> None:
    async with misbehaving(machine, Mute(method)) as proxy:
        with pytest.raises(DeadlineExceeded) as raised:
            async with await aio.connect(proxy.url, user="admin", password=PASSWORD, timeout=timeout) as session:
                await work(session)
    text = checked(raised.value, stage, UNANSWERED if timeout is None else status, HOST)
    if timeout is not None and (method, work) != (NEXT, enumerate_):  # a Next waits for what it is asked to on top
        assert f" in {timeout:g} s;" in text


async def test_another_namespace_in_which_an_operation_is_not_started(machine: Machine) -> None:
    persona = Mute("no method yet")
    async with (
        misbehaving(machine, persona) as proxy,
        await aio.connect(proxy.url, user="admin", password=PASSWORD, timeout=TIMEOUT) as session,
    ):
        persona.method = LOGIN
        with pytest.raises(DeadlineExceeded) as raised:
            await session.get_class("__NAMESPACE", namespace="root")
    assert "GetObject was not started" in checked(raised.value, Stage.LOGIN, UNANSWERED, HOST)


@pytest.mark.parametrize("timeout", [TIMEOUT, None])
async def test_a_host_that_does_not_answer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    async with misbehaving(machine, Persona()) as proxy:

        async def nobody(*_: Any, **__: Any) -> Any:
            proxy.persona.clock.leap()
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr("openwmi.net.rpc.transport.asyncio.open_connection", nobody)
        with pytest.raises(DeadlineExceeded) as raised:
            await aio.connect(proxy.url, user="admin", password=PASSWORD, timeout=timeout)
        monkeypatch.undo()
    checked(raised.value, Stage.CONNECT, UNANSWERED, HOST)


@pytest.mark.parametrize(
    ("method", "stage"),
    [
        (BINDING, Stage.BIND),
        (ACTIVATION, Stage.ACTIVATION),
        (LOGIN, Stage.LOGIN),
        ("IWbemCallResult.GetResultObject", Stage.NAMESPACE),
        (NEXT, Stage.PROVIDER),
    ],
)
async def test_a_diagnosis(machine: Machine, method: str, stage: Stage) -> None:
    async with misbehaving(machine, Mute(method)) as proxy:
        way = diagnose(proxy.url, class_name="Acme_Static", user="admin", password=PASSWORD, timeout=TIMEOUT)
        checks = [check async for check in way]
    (failed,) = (check for check in checks if check.verdict is Verdict.FAILED)
    assert failed.stage is stage
    assert isinstance(failed.error, DeadlineExceeded)
    assert failed.error.stage in (stage, Stage.CALL)  # an operation of the session has its own deadline, too
    assert str(failed.error).startswith(HOST)


# -- a pool


async def test_a_pool_that_is_in_use(machine: Machine) -> None:
    async with aio.Pool(limit=1) as pool, await pool.connect(machine.url, user="admin", password=PASSWORD):
        with Clock().leaping(), pytest.raises(DeadlineExceeded) as raised:
            await pool.connect(machine.url, user="admin", password=PASSWORD, timeout=TIMEOUT)
    text = checked(raised.value, Stage.LOGIN, UNFINISHED, HOST)
    assert "none of the pool's 1 log-ons became free in 8 s" in text


@pytest.mark.parametrize(("method", "stage"), [(BINDING, Stage.BIND), (LOGIN, Stage.LOGIN)])
async def test_a_pool_whose_host_does_not_answer(machine: Machine, method: str, stage: Stage) -> None:
    async with misbehaving(machine, Mute(method)) as proxy, aio.Pool(limit=1) as pool:
        with pytest.raises(DeadlineExceeded) as raised:
            await pool.connect(proxy.url, user="admin", password=PASSWORD, timeout=TIMEOUT)
    assert "no session in 8 s" in checked(raised.value, stage, UNANSWERED, HOST)


async def test_a_pool_is_closed_while_a_host_does_not_answer(machine: Machine) -> None:
    asked = asyncio.Event()

    class Deaf(Persona):
        async def reply(self, number: int, pdu: bytes, send: Send) -> None:
            asked.set()

    async with misbehaving(machine, Deaf()) as proxy:
        pool = aio.Pool()
        connecting = asyncio.create_task(pool.connect(proxy.url, user="admin", password=PASSWORD, timeout=None))
        await within(asked.wait())
        await within(pool.close())
        with pytest.raises(CallerError, match="the pool is closed"):
            await within(connecting)


# -- in this process


async def never() -> None:
    Clock().leap()
    await asyncio.get_running_loop().create_future()


class Hanging(Provider):
    """Does nothing, for ever."""

    name = "Hanging"
    mof = '[dynamic, provider("Hanging")] class Acme_Hanging { [key] string Name; };'

    async def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        await never()

    async def delete_instance(self, call: ProviderCall, keys: Any) -> None:
        await never()

    async def enumerate_instances(self, call: ProviderCall) -> Any:
        yield {"Name": "the first"}
        await never()


@asynccontextmanager
async def hanging(timeout: float | None) -> AsyncIterator[AsyncSession]:
    session = await open_local("", "root\\cimv2", (), timeout)
    assert isinstance(session, LocalSession)
    async with session:
        await session._manager.register(Hanging)
        yield session


async def all_of(session: AsyncSession) -> None:
    async with await session.enumerate_instances("Acme_Hanging") as operation:
        seen = []
        try:
            async for one in operation:
                seen.append(one["Name"])
        finally:
            assert seen == ["the first"]  # what has come is given before the end is told


async def told(session: AsyncSession) -> None:
    ends = []
    callbacks = Callbacks(instance=lambda result: None if result.more else ends.append(result))
    async with await session.enumerate_instances("Acme_Hanging", callbacks=callbacks) as operation:
        outcome = await operation.wait()
    (end,) = ends
    assert (end.status, end.message) == (UNFINISHED, str(outcome.error))
    assert end.details is not None
    assert end.details["error_Code"] == UNFINISHED
    outcome.raise_for_status()


async def enumerator(session: AsyncSession) -> None:
    services = await session.services()
    async with await services.semisynchronous.create_instance_enum("Acme_Hanging") as place:
        assert len(await place.take(1)) == 1
        await place.take(1)


@pytest.mark.parametrize(
    "work",
    [
        all_of,
        told,
        enumerator,
        lambda session: session.get_instance("Acme_Hanging='x'"),
        lambda session: session.delete_instance("Acme_Hanging='x'"),
    ],
)
async def test_a_provider_in_this_process_that_hangs(work: Work) -> None:
    async with hanging(TIMEOUT) as session:
        with pytest.raises(DeadlineExceeded) as raised:
            await work(session)
    assert " in 8 s;" in checked(raised.value, Stage.CALL, UNFINISHED, "this process: ")


async def test_a_provider_s_own_deadline_is_the_server_s_error() -> None:
    async with hanging(None) as session:
        with pytest.raises(WbemError) as raised:
            await session.get_instance("Acme_Hanging='x'")
    assert (raised.value.status, raised.value.stage) == (WbemStatus.WBEM_E_PROVIDER_TIMED_OUT, Stage.PROVIDER)


async def test_a_repository_that_is_not_opened_in_time(tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'repository'}"
    with pytest.raises(DeadlineExceeded) as raised:
        await aio.connect(url, timeout=1e-9)
    checked(raised.value, Stage.NAMESPACE, UNFINISHED, "this process: ")
    async with await aio.connect(url, timeout=None) as session:  # nobody has it any more
        await session.test_connection()


async def test_an_operation_in_this_process_that_is_not_started_in_time() -> None:
    async with await aio.connect("local:") as session:
        with pytest.raises(DeadlineExceeded) as raised:
            await session.get_class("__NAMESPACE", timeout=1e-9)
    assert "GetObject was not started" in checked(raised.value, Stage.CALL, UNFINISHED, "this process: ")
