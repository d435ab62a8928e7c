"""Backup, restore, pause and resume (MS-WMI 3.1.4.10, 3.1.4.11), and what requests see meanwhile (3.1.4)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from openwmi.cim import Instance
from openwmi.cim.operations import CallContext, DeleteInstance, EnumerateInstances, GetObject
from openwmi.cim.upkeep import Backup, Pause, RestoreFlags, RestoreFrom, Resume, Upkeep
from openwmi.errors import WbemError
from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.providers import Provider
from openwmi.repository import MemoryStore, SqliteStore
from openwmi.status import HResult
from openwmi.status import WbemStatus as E
from tests.manager.support import CIMV2, SYSTEM, USER, RecordingSink, asynchronously, context, run

MOF = 'class Thing { [key] string Name; }; instance of Thing { Name = "a"; };'
FORCE = RestoreFlags.FORCE_SHUTDOWN
WAIT = 10


class GatedStore(MemoryStore):
    """A store whose copies wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def _wait(self) -> None:
        self.begun.set()
        assert self.go_on.wait(WAIT)

    def backup(self, path: Path | str, *, overwrite: bool = False) -> None:
        self._wait()
        super().backup(path, overwrite=overwrite)

    def restore(self, path: Path | str) -> None:
        self._wait()
        super().restore(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


@asynccontextmanager
async def managing(
    folder: Path | None, store: MemoryStore | SqliteStore | None = None, **limits: Any
) -> AsyncIterator[ObjectManager]:
    async with ObjectManager(store or MemoryStore(), backups=folder, limits=Limits(**limits)) as manager:
        await manager.compile_mof(MOF, CIMV2, context())
        yield manager


async def names(manager: ObjectManager) -> list[str]:
    namespace = await manager.connect(CIMV2, context())
    return sorted(i["Name"] for i in await run(namespace, EnumerateInstances("Thing")) if isinstance(i, Instance))


async def refused(manager: ObjectManager, request: Any, ctx: CallContext | None = None) -> int:
    """The code with which a request is refused; it comes with its error object."""
    with pytest.raises(WbemError) as caught:
        await manager.perform(request, ctx or context(flags=FORCE if isinstance(request, RestoreFrom) else 0))
    extended = caught.value.extended
    assert extended is not None
    assert extended["Operation"] == request.METHOD
    assert extended["StatusCode"] == caught.value.status
    return caught.value.status


# -- backup and restore


@pytest.mark.requirement("WMI-3.1.4.10.1-01")
@pytest.mark.requirement("WMI-3.1.4.10.1-02")
@pytest.mark.requirement("WMI-3.1.4.10.1-10")
@pytest.mark.requirement("WMI-3.1.4.10.2-01")
@pytest.mark.requirement("WMI-3.1.4.10.2-02")
@pytest.mark.requirement("WMI-3.1.4.10.2-13")
async def test_there_and_back(folder: Path) -> None:
    async with managing(folder) as manager:
        assert isinstance(manager, Upkeep)
        await manager.perform(Backup("monday.bak"), context())
        assert [file.name for file in folder.iterdir()] == ["monday.bak"]
        assert (folder / "monday.bak").stat().st_mode & 0o777 == 0o600
        namespace = await manager.connect(CIMV2, context())
        await run(namespace, DeleteInstance('Thing="a"'))
        assert await names(manager) == []
        await manager.perform(RestoreFrom("monday.bak"), context(flags=FORCE))
        assert await names(manager) == ["a"]
        # As a full path, which Windows asks for; and an earlier backup's place is taken.
        await manager.perform(Backup(str(folder / "monday.bak")), context())
        with SqliteStore(folder / "monday.bak") as store:
            assert [i["Name"] for i in store.instances(CIMV2, "Thing")] == ["a"]


NAMES = [
    "", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "x:stream", ".hidden", "x.", " x", "x ", "nul",
    "COM1.x", "a\0b", "a\nb", "\ud800", "x" * 201, "\\\\host\\share\\x", "*", "~/x",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("request_", [Backup, RestoreFrom])
async def test_names_that_lead_elsewhere(folder: Path, request_: Callable[[str], Any], name: str) -> None:
    async with managing(folder) as manager:
        for spelling in (name, f"{folder}/../x", f"{folder}/{name}"):
            assert await refused(manager, request_(spelling)) == E.WBEM_E_INVALID_PARAMETER
        assert not manager.backup.restore_in_progress
        assert await names(manager) == ["a"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.requirement("WMI-3.1.4.10.1-03")
@pytest.mark.requirement("WMI-3.1.4.10.2-03")
async def test_no_name(folder: Path) -> None:
    async with managing(folder) as manager:
        assert await refused(manager, Backup(None)) == E.WBEM_E_INVALID_PARAMETER
        assert await refused(manager, RestoreFrom(None)) == E.WBEM_E_INVALID_PARAMETER


async def test_what_is_no_backup_is_neither_overwritten_nor_restored(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.db"
    SqliteStore(outside).close()
    (folder / "link.bak").symlink_to(outside)
    (folder / "dangling.bak").symlink_to(tmp_path / "nowhere")
    (folder / "notes.txt").write_text("keep me")
    (folder / "folder").mkdir()
    before = outside.read_bytes()
    async with managing(folder) as manager:
        for name in ("link.bak", "dangling.bak", "notes.txt", "folder"):
            assert await refused(manager, Backup(name)) == E.WBEM_E_INVALID_PARAMETER
            assert await refused(manager, RestoreFrom(name)) in (E.WBEM_E_INVALID_PARAMETER, E.WBEM_E_NOT_FOUND)
        assert await refused(manager, RestoreFrom("none.bak")) == E.WBEM_E_NOT_FOUND
    assert outside.read_bytes() == before
    assert (folder / "notes.txt").read_text() == "keep me"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.requirement("WMI-3.1.4.10.1-07")
@pytest.mark.requirement("WMI-3.1.4.10.2-10")
async def test_what_cannot_be_done(tmp_path: Path, folder: Path) -> None:
    """Each failure is a code with its severity bit, and nothing stays in progress."""
    async with managing(None) as manager:
        assert await refused(manager, Backup("x")) == E.WBEM_E_NOT_SUPPORTED
        assert await refused(manager, RestoreFrom("x")) == E.WBEM_E_NOT_SUPPORTED
    async with managing(tmp_path / "gone") as manager:
        assert await refused(manager, Backup("x")) == E.WBEM_E_FAILED
    store = SqliteStore(folder / "live.db")
    async with managing(folder, store) as manager:
        assert await refused(manager, Backup("live.db")) == E.WBEM_E_FAILED
        assert await refused(manager, RestoreFrom("live.db")) == E.WBEM_E_FAILED
        await manager.perform(Backup("cut.bak"), context())
        (folder / "cut.bak").write_bytes((folder / "cut.bak").read_bytes()[:5000])
        assert await refused(manager, RestoreFrom("cut.bak")) == E.WBEM_E_FAILED
        assert not manager.backup.backup_in_progress
        assert not manager.backup.restore_in_progress
        assert await names(manager) == ["a"]


@pytest.mark.requirement("WMI-3.1.4.10.1-12")
@pytest.mark.requirement("WMI-3.1.4.10.2-15")
@pytest.mark.parametrize("request_", [Backup("x"), RestoreFrom("x"), Pause(), Resume()])
async def test_for_administrators_only(folder: Path, request_: Any) -> None:
    async with managing(folder) as manager:
        flags = FORCE if isinstance(request_, RestoreFrom) else 0
        assert await refused(manager, request_, context(USER, flags)) == E.WBEM_E_ACCESS_DENIED
        weak = context(SYSTEM, flags, remote=True, level=2)
        assert await refused(manager, request_, weak) == E.WBEM_E_ACCESS_DENIED
        assert list(folder.iterdir()) == []


@pytest.mark.requirement("WMI-3.1.4.10.1-04")
@pytest.mark.requirement("WMI-3.1.4.10.2-04")
@pytest.mark.requirement("WMI-3.1.4.10.2-05")
@pytest.mark.requirement("WMI-3.1.4.10.2-09")
@pytest.mark.parametrize(
    ("request_", "flags"), [(Backup("x"), 1), (Backup("x"), 0x40), (RestoreFrom("x"), 0), (RestoreFrom("x"), 3)]
)
async def test_flags(folder: Path, request_: Any, flags: int) -> None:
    """A restore without the flag is refused, whether or not there are clients."""
    async with managing(folder) as manager:
        await manager.perform(Backup("x"), context())
        assert await refused(manager, request_, context(flags=flags)) == E.WBEM_E_INVALID_PARAMETER


# -- what requests see


@pytest.mark.requirement("WMI-3.1.1-08")
@pytest.mark.requirement("WMI-3.1.3-10")
@pytest.mark.requirement("WMI-3.1.4-38")
@pytest.mark.requirement("WMI-3.1.4.10.1-09")
@pytest.mark.requirement("WMI-3.1.4.10.1-13")
@pytest.mark.requirement("WMI-3.1.4.10.1-14")
async def test_requests_wait_for_a_backup(folder: Path) -> None:
    store = GatedStore()
    async with managing(folder, store) as manager:
        namespace = await manager.connect(CIMV2, context())
        assert not manager.backup.backup_in_progress
        backup = asyncio.create_task(manager.perform(Backup("x"), context()))
        await asyncio.to_thread(store.begun.wait, WAIT)
        assert manager.backup.backup_in_progress
        calls = [asyncio.create_task(run(namespace, DeleteInstance('Thing="a"'))), asyncio.create_task(names(manager))]
        done, _ = await asyncio.wait(calls, timeout=0.05)
        assert not done
        assert manager.running == 2
        store.go_on.set()
        await backup
        assert not manager.backup.backup_in_progress
        await asyncio.gather(*calls)
        assert manager.running == 0
        assert await names(manager) == []
    with SqliteStore(folder / "x") as copy:
        assert [i["Name"] for i in copy.instances(CIMV2, "Thing")] == ["a"]


@pytest.mark.requirement("WMI-3.1.1-09")
@pytest.mark.requirement("WMI-3.1.3-11")
@pytest.mark.requirement("WMI-3.1.4-14")
@pytest.mark.requirement("WMI-3.1.4-36")
@pytest.mark.requirement("WMI-3.1.4.10.2-06")
@pytest.mark.requirement("WMI-3.1.4.10.2-11")
@pytest.mark.requirement("WMI-3.1.4.10.2-12")
@pytest.mark.requirement("WMI-3.1.4.10.2-16")
@pytest.mark.requirement("WMI-3.1.4.10.2-17")
async def test_a_restore_ends_what_runs_and_refuses_what_comes(folder: Path) -> None:
    store = GatedStore()
    async with managing(folder, store) as manager:
        store.go_on.set()
        await manager.perform(Backup("x"), context())
        store.go_on.clear()
        store.begun.clear()
        namespace = await manager.connect(CIMV2, context())
        waiting = asyncio.Event()

        class Endless(Provider):
            name = "Endless"
            mof = '[dynamic, provider("Endless")] class Long { [key] string Name; };'

            async def enumerate_instances(self, call: Any) -> Any:
                waiting.set()
                await asyncio.Event().wait()
                yield {}

        await manager.register(Endless)
        sink = RecordingSink()
        ctx = asynchronously()
        entry = await manager.async_operations.start(
            sink, ctx, lambda: namespace.start(EnumerateInstances("Long"), ctx)
        )
        delivery = asyncio.create_task(manager.async_operations.deliver(entry))
        await waiting.wait()
        assert not manager.backup.restore_in_progress
        restore = asyncio.create_task(manager.perform(RestoreFrom("x"), context(flags=FORCE)))
        await asyncio.to_thread(store.begun.wait, WAIT)
        assert manager.backup.restore_in_progress
        await delivery
        assert [call[1] for call in sink.statuses] == [HResult.CO_E_SERVER_STOPPING]
        for refused_ in (lambda: run(namespace, GetObject("Thing")), lambda: manager.connect(CIMV2, context())):
            with pytest.raises(WbemError) as caught:
                await refused_()
            assert caught.value.status == HResult.CO_E_SERVER_STOPPING
        assert await refused(manager, Backup("y")) == HResult.CO_E_SERVER_STOPPING
        assert await refused(manager, Pause()) == HResult.CO_E_SERVER_STOPPING
        store.go_on.set()
        await restore
        assert not manager.backup.restore_in_progress
        with pytest.raises(WbemError) as caught:
            await run(namespace, GetObject("Thing"))
        assert caught.value.status == E.WBEM_E_INVALID_NAMESPACE
        # What the server brings along is there, though the backup is older than it.
        anew = await manager.connect(CIMV2, context())
        assert await run(anew, GetObject("Long"))


@pytest.mark.requirement("WMI-3.1.2-05")
@pytest.mark.requirement("WMI-3.1.1-10")
@pytest.mark.requirement("WMI-3.1.3-12")
@pytest.mark.requirement("WMI-3.1.4-38")
@pytest.mark.requirement("WMI-3.1.4.11.1-01")
@pytest.mark.requirement("WMI-3.1.4.11.1-04")
@pytest.mark.requirement("WMI-3.1.4.11.2-01")
@pytest.mark.requirement("WMI-3.1.4.11.2-04")
async def test_pause_and_resume(tmp_path: Path) -> None:
    """While paused the file alone is the whole repository, and stands still."""
    path, copy = tmp_path / "live.db", tmp_path / "copy.db"
    async with managing(None, SqliteStore(path)) as manager:
        assert not manager.backup.is_server_paused
        assert await refused(manager, Resume()) == E.WBEM_E_INVALID_OPERATION
        namespace = await manager.connect(CIMV2, context())
        await manager.perform(Pause(), context())
        assert manager.backup.is_server_paused
        assert await refused(manager, Pause()) == E.WBEM_E_INVALID_OPERATION
        assert await refused(manager, RestoreFrom("x")) == E.WBEM_E_INVALID_OPERATION
        before = path.read_bytes()
        delete = asyncio.create_task(run(namespace, DeleteInstance('Thing="a"')))
        done, _ = await asyncio.wait([delete], timeout=0.05)
        assert not done
        assert path.read_bytes() == before
        copy.write_bytes(before)
        await manager.perform(Resume(), context())
        assert not manager.backup.is_server_paused
        assert manager.backup._timer is None
        await delete
        assert await names(manager) == []
    copy.chmod(0o600)
    with SqliteStore(copy) as store:
        assert store.verify() == []
        assert [i["Name"] for i in store.instances(CIMV2, "Thing")] == ["a"]


async def test_an_operation_that_runs_does_not_reach_a_paused_repository() -> None:
    async with managing(None) as manager:
        await manager.perform(Pause(), context())
        work = asyncio.create_task(manager.in_store(lambda: "done"))
        done, _ = await asyncio.wait([work], timeout=0.05)
        assert not done
        await manager.perform(Resume(), context())
        assert await work == "done"


@pytest.mark.requirement("WMI-3.1.2-04")
async def test_the_backup_timer_is_fifteen_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    call_later = loop.call_later

    def noting(delay: float, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        delays.append(delay)
        return call_later(delay, *arguments, **more)

    async with managing(None) as manager:
        monkeypatch.setattr(loop, "call_later", noting)
        await manager.perform(Pause(), context())
        assert delays == [15 * 60]


@pytest.mark.requirement("WMI-3.1.4.11.1-07")
@pytest.mark.requirement("WMI-3.1.5-02")
async def test_the_backup_timer_resumes(caplog: pytest.LogCaptureFixture) -> None:
    async with managing(None, pause=0.2) as manager:
        namespace: Namespace = await manager.connect(CIMV2, context())
        await manager.perform(Pause(), context())
        timer = manager.backup._timer
        assert await refused(manager, Pause()) == E.WBEM_E_INVALID_OPERATION
        assert manager.backup._timer is timer
        with caplog.at_level(logging.WARNING):
            assert await run(namespace, GetObject("Thing"))
        assert "nobody has resumed the server" in caplog.text
        assert manager.backup._timer is None
        assert await refused(manager, Resume()) == E.WBEM_E_INVALID_OPERATION


@pytest.mark.requirement("WMI-3.1.1-05")
@pytest.mark.requirement("WMI-3.1.4-38")
@pytest.mark.requirement("WMI-3.1.4.3-07")
async def test_what_waits_is_bounded(folder: Path) -> None:
    """MaxRequestLimit and a caller's share count what waits like what runs."""
    async with managing(folder, requests=3, requests_per_caller=2) as manager:
        namespace = await manager.connect(CIMV2, context())
        await manager.perform(Pause(), context())

        def request(principal: Any) -> asyncio.Task[Any]:
            return asyncio.create_task(run(namespace, GetObject("Thing"), context(principal)))

        async def code(task: asyncio.Task[Any]) -> int:
            with pytest.raises(WbemError) as caught:
                await asyncio.wait_for(task, WAIT)
            return caught.value.status

        waiting = [request(SYSTEM), request(SYSTEM)]
        assert await code(request(SYSTEM)) == E.WBEM_E_QUOTA_VIOLATION
        waiting.append(request(USER))
        assert await code(request(USER)) == E.WBEM_E_SERVER_TOO_BUSY
        assert manager.running == 3
        await manager.perform(Resume(), context())
        await asyncio.wait(waiting)
        assert manager.running == 0


async def test_a_request_that_gives_up_does_not_wait_any_more() -> None:
    async with managing(None) as manager:
        namespace = await manager.connect(CIMV2, context())
        await manager.perform(Pause(), context())
        task = asyncio.create_task(run(namespace, GetObject("Thing")))
        await asyncio.sleep(0)
        assert manager.running == 1
        task.cancel()
        await asyncio.wait([task])
        assert manager.running == 0


async def test_closing_ends_a_pause() -> None:
    async with managing(None) as manager:
        namespace = await manager.connect(CIMV2, context())
        await manager.perform(Pause(), context())
        task = asyncio.create_task(run(namespace, GetObject("Thing")))
        await asyncio.sleep(0)
    with pytest.raises(WbemError) as caught:
        await task
    assert caught.value.status == E.WBEM_E_SHUTTING_DOWN


async def test_backups_come_one_after_the_other(folder: Path) -> None:
    store = GatedStore()
    async with managing(folder, store) as manager:
        both = [asyncio.create_task(manager.perform(Backup(name), context())) for name in ("x", "y")]
        await asyncio.to_thread(store.begun.wait, WAIT)
        store.go_on.set()
        await asyncio.gather(*both)
    assert sorted(file.name for file in folder.iterdir()) == ["x", "y"]


async def test_it_is_in_the_audit_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with managing(folder) as manager:
        with caplog.at_level(logging.INFO, "openwmi.audit"):
            await manager.perform(Backup("x"), context(peer="192.0.2.1"))
        assert "at 192.0.2.1: Backup(file='x')" in caplog.text
        caplog.clear()
        assert await refused(manager, Backup("x"), context(USER)) == E.WBEM_E_ACCESS_DENIED
        assert "HOST\\user" in caplog.text
