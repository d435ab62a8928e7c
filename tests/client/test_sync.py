"""The synchronous facade: the same verbs, one thread, no item-by-item crossing, a clean end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import openwmi
from openwmi.cim import Instance
from openwmi.cim.operations import DeleteInstance
from openwmi.client.operation import AsyncOperation
from openwmi.client.portal import Portal
from openwmi.client.session import AsyncSession
from openwmi.client.sync import Operation, Session, Starting, connect
from openwmi.client.verbs import Verbs
from openwmi.errors import ConfigurationError, ConnectError, DeadlineExceeded, NotFound
from openwmi.mof import MofErrors

Portals = Callable[[], list[threading.Thread]]
MOF = "class Sync_Thing { [key] uint32 Number; string Text; };"


@pytest.fixture
def portals() -> Portals:
    """The threads of the test's own sessions: others may have theirs."""
    before = set(threading.enumerate())
    return lambda: [each for each in threading.enumerate() if each.name == "openwmi-portal" and each not in before]


@pytest.fixture
def session(portals: Portals) -> Iterator[Session]:
    with connect("local:") as opened:
        opened.compile_mof(MOF)
        yield opened
    assert not portals()


def put(session: Session, count: int) -> None:
    cls = session.get_class("Sync_Thing")
    for number in range(count):
        session.put_instance(cls.new(Number=number))


def test_every_verb_is_there() -> None:
    for asynchronous, blocking in ((AsyncSession, Session), (AsyncOperation, Operation), (Verbs, Starting)):
        for name, function in inspect.getmembers(asynchronous, inspect.iscoroutinefunction):
            if name.startswith("_") or name == "operations_in":
                continue  # what verbs are made of is not for users
            ours = getattr(blocking, name)
            assert not inspect.iscoroutinefunction(ours), name
            assert ours.__doc__, name
            if name != "close":
                assert inspect.signature(ours) == inspect.signature(function), name


def test_put_get_delete(session: Session) -> None:
    assert session.scope == "root\\cimv2"
    path = session.put_instance(session.get_class("sync_thing").new(Number=7, Text="seven"))
    assert str(path) == "Sync_Thing.Number=7"
    found = session.get(path)
    assert isinstance(found, Instance)
    assert found["Text"] == "seven"
    session.delete_instance(found)
    with pytest.raises(NotFound):
        session.get(path)


def test_mof_is_all_or_nothing(session: Session) -> None:
    with pytest.raises(MofErrors, match="<mof>:1:"):
        session.compile_mof("class Sync_Good { [key] string Name; }; class Sync_Bad : Nowhere {};")
    with pytest.raises(NotFound):
        session.get_class("Sync_Good")


def test_results_cross_by_pages(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    put(session, 50)
    crossings = 0
    run = Portal.run

    def counted(self: Portal, work: Any) -> Any:
        nonlocal crossings
        crossings += 1
        return run(self, work)

    monkeypatch.setattr(Portal, "run", counted)
    with session.enumerate_instances("Sync_Thing", page_size=20) as found:
        found.wait()
        crossings = 0
        assert len(list(found)) == 50
    assert crossings == 6  # three pages, the end of them, the outcome, and the close


def test_the_outcome_and_its_error(session: Session) -> None:
    put(session, 1)
    with session.start(DeleteInstance("Sync_Thing.Number=0")) as operation:
        outcome = operation.wait()
        assert outcome.succeeded
        assert operation.outcome == outcome
        assert operation.elapsed >= 0
        assert "DeleteInstance" in repr(operation)
    with pytest.raises(openwmi.InvalidClass):
        session.query("SELECT * FROM Sync_Nothing").results()


def test_cancel(session: Session) -> None:
    # More than an operation holds, so that it runs until somebody takes them.
    session.compile_mof("".join(f"instance of Sync_Thing {{ Number = {n}; }};" for n in range(1100)))
    with session.enumerate_instances("Sync_Thing") as found:
        assert len(found.take(10)) == 10
        assert found.outcome is None
        found.cancel()
        assert found.take(10) == []
        with pytest.raises(openwmi.OperationCancelled):
            list(found)
    with session.enumerate_instances("Sync_Thing") as found:
        assert len(list(found)) == 1100


def test_another_namespace_shares_the_thread(session: Session, portals: Portals) -> None:
    other = session.namespace("root\\default")
    assert (other.scope, len(portals())) == ("root\\default", 1)
    assert repr(other) == "<Session root\\default>"
    other.close()  # gives nothing back that the first one has
    assert session.get_class("Sync_Thing").name == "Sync_Thing"


def test_threads_share_a_session(session: Session) -> None:
    put(session, 20)
    found: list[int] = []
    workers = [
        threading.Thread(target=lambda: found.append(len(list(session.query("SELECT * FROM Sync_Thing")))))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert found == [20] * 4


def test_another_thread_cancels(session: Session) -> None:
    session.compile_mof("".join(f"instance of Sync_Thing {{ Number = {n}; }};" for n in range(1100)))
    with session.enumerate_instances("Sync_Thing") as found:
        assert found.take(1)
        canceller = threading.Thread(target=found.cancel)
        canceller.start()
        with pytest.raises(openwmi.OperationCancelled):
            found.wait().raise_for_status()
        canceller.join(30)


def test_another_thread_closes_the_session(portals: Portals) -> None:
    session = connect("local:")
    waiting = threading.Event()
    raised: list[BaseException] = []

    async def endless() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            session._portal.run(endless())
        except openwmi.CallerError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(30)
    session.close()
    thread.join(30)
    assert [str(error) for error in raised] == ["the session was closed meanwhile"]
    assert not portals()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_is_told_what_happened() -> None:
    script = """
import os, openwmi
session = openwmi.connect("local:")
parent = os.getpid()
child = os.fork()
if not child:
    try:
        session.get_class("__NAMESPACE")
    except openwmi.CallerError as error:
        assert f"belongs to process {parent}" in str(error), error
    session.close()  # which is the parent's to close
    with openwmi.connect("local:") as fresh:
        print(fresh.get_class("__NAMESPACE").name, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
with session:
    print(session.get_class("__PARAMETERS").name)
"""
    # From Python 3.12 on, forking beside a thread is warned of.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["__NAMESPACE", "__PARAMETERS"]


def test_a_closed_session_says_so(portals: Portals) -> None:
    session = connect("local:")
    session.close()
    session.close()
    with pytest.raises(openwmi.CallerError, match="the session is closed"):
        session.get_class("__NAMESPACE")
    assert not portals()


def test_a_forgotten_session_ends(portals: Portals) -> None:
    session = connect("local:")
    threads = portals()
    del session
    gc.collect()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_the_garbage_collector_waits_for_no_server(portals: Portals) -> None:
    """It runs in any thread; in that of the server itself nothing would ever be given back."""
    released = threading.Event()
    session = connect("local:")
    close = session._wrapped.close

    async def slow() -> None:
        await asyncio.to_thread(released.wait, 60)
        await close()

    session._portal.at_end(slow, "nowhere")
    ring: list[Any] = [session]
    ring.append(ring)
    del session, ring
    gc.collect()
    [thread] = portals()
    released.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_forgotten_session_that_cannot_give_everything_back(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise OSError("the connection is gone")

    session = connect("local:")
    portal, close = session._portal, session._wrapped.close
    portal.run(close())
    portal.at_end(fail, "nowhere")
    del session, close
    gc.collect()
    portal.close()
    assert "could not give everything back: the connection is gone" in caplog.text


@pytest.mark.parametrize(
    ("last", "said"), [("pass", ""), ("raise OSError('gone')", "could not give everything back: gone\n")]
)
def test_a_session_that_is_open_at_the_end_of_the_program(last: str, said: str) -> None:
    script = f"""
import openwmi
session = openwmi.connect("local:")
close = session._wrapped.close
async def last():
    await close()
    print("given back")
    {last}
session._portal.at_end(last, "nowhere")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "given back\n")
    assert done.stderr.removeprefix("a session that was not closed ") == said


@pytest.mark.parametrize(("url", "error"), [("ftp://x", ConfigurationError), ("dcom://ada@127.0.0.1:1", ConnectError)])
def test_a_failed_connect_leaves_no_thread(url: str, error: type[Exception], portals: Portals) -> None:
    with pytest.raises(error):
        connect(url, password="x")
    assert not portals()


def test_not_from_its_own_loop(session: Session) -> None:
    async def nested() -> None:
        session.get_class("__NAMESPACE")

    with pytest.raises(openwmi.CallerError, match="own event loop"):
        session._portal.run(nested())


def test_ctrl_c_cancels_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody waits out the grace: what was cancelled says so.
    monkeypatch.setattr("openwmi.client.portal._GRACE", 1000.0)
    portal = Portal()
    ended = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    async def endless() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def answer() -> int:
        return 42

    try:
        with pytest.raises(KeyboardInterrupt):
            portal.run(endless())
        assert ended.wait(10)
        assert portal.run(answer()) == 42
    finally:
        portal.close()


def test_ctrl_c_before_there_is_a_session_leaves_no_thread(portals: Portals) -> None:
    main = threading.main_thread().ident
    assert main is not None

    class Interrupted(Portal):
        async def _serve(self) -> None:
            signal.pthread_kill(main or 0, signal.SIGINT)
            await super()._serve()

    with pytest.raises(KeyboardInterrupt):
        Interrupted()
    for thread in portals():
        thread.join(60)
    assert not portals()


def test_ctrl_c_ends_the_operation_whose_results_it_may_have_lost(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(session, 3)
    monkeypatch.setattr(AsyncOperation, "page_size", 1)
    taken = AsyncOperation.take
    main = threading.main_thread().ident
    assert main is not None

    async def take(self: AsyncOperation[Any], maximum: int) -> list[Any]:
        found = await taken(self, maximum)
        signal.pthread_kill(main, signal.SIGINT)  # when the results have left the operation
        return found

    with session.enumerate_instances("Sync_Thing") as operation:
        results = iter(operation)
        next(results)
        with monkeypatch.context() as patched:
            patched.setattr(AsyncOperation, "take", take)
            with pytest.raises(KeyboardInterrupt):
                next(results)
        assert operation.is_cancelled
        with pytest.raises(openwmi.OperationCancelled):
            list(operation)


def hanging() -> tuple[Portal, threading.Event, threading.Event]:
    """A portal whose cleanup has `begun` to hang, and is `released` by the test."""
    portal, begun, released = Portal(), threading.Event(), threading.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.to_thread(released.wait, 60)

    portal.at_end(hang, "nowhere")
    return portal, begun, released


def test_ctrl_c_ends_the_wait_for_a_cleanup_that_hangs() -> None:
    portal, begun, released = hanging()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        begun.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.close()
        interrupter.join(30)
        assert not portal._over.is_set()
    finally:
        released.set()
    portal.close()
    assert portal._over.is_set()


def test_a_cleanup_that_hangs_is_not_waited_for_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    portal, begun, released = hanging()
    with monkeypatch.context() as patched:
        patched.setattr("openwmi.client.portal._PATIENCE", 0.0)
        patched.setattr("openwmi.client.portal._TURN", 0.01)
        with pytest.raises(DeadlineExceeded, match=r"nowhere: .* left to end by itself"):
            portal.close()
    assert begun.wait(30)
    released.set()
    portal.close()
    assert portal._over.is_set()


def test_a_close_that_fails_is_told(portals: Portals) -> None:
    async def fail() -> None:
        raise ConnectError("gone")

    portal = Portal()
    portal.at_end(fail, "nowhere")
    with pytest.raises(ConnectError, match="gone"):
        portal.close()
    portal.close()
    assert not portals()


def test_callbacks_run_in_a_thread_of_their_own(session: Session, portals: Portals) -> None:
    put(session, 3)
    told: list[openwmi.Result[Any]] = []
    refused: list[str] = []
    running: list[Operation[Any]] = []
    started = threading.Event()

    def seen(result: openwmi.Result[Any]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert threading.current_thread() not in portals()
        started.wait()
        told.append(result)
        operation = running[0]
        for forbidden in (operation.cancel, operation.close, operation.wait, operation.fetch, operation.results):
            with pytest.raises(openwmi.CallerError, match="callback") as raised:
                forbidden()
            refused.append(str(raised.value))
        # Another operation of the same session is free to be used.
        assert session.get_class("Sync_Thing").name == "Sync_Thing"

    with session.enumerate_instances("Sync_Thing", callbacks=openwmi.Callbacks(instance=seen)) as operation:
        running.append(operation)
        started.set()
        assert operation.wait().succeeded
    assert [result.more for result in told] == [True, True, True, False]
    assert len(refused) == 20


def test_verbs_as_running_operations(session: Session) -> None:
    put(session, 1)
    with session.start.delete_instance("Sync_Thing.Number=0") as operation:
        assert operation.fetch() == openwmi.Result(None, more=False)
    with pytest.raises(openwmi.InvalidParameter), session.start.delete_instance("Sync_Thing.Number=0", flags=1):
        pass


def test_an_operation_outlives_the_name_of_its_session() -> None:
    assert openwmi.connect().query("SELECT ProcessId FROM Win32_Process").results()
