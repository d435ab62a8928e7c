from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from openwmi.cim import CimType, DateTime, Instance
from openwmi.errors import AccessDenied, NotFound, OperationCancelled, WbemError
from openwmi.providers.host import HostProcesses, control
from openwmi.providers.host.snapshot import has_ended
from openwmi.status import WbemStatus
from tests.providers.host_support import IDLE, NOBODY, SERVER, call, class_of, classes, idle_child, instance
from tests.providers.support import nobody, runner

CLASS = "Win32_Process"
PROVIDER = HostProcesses()
POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX has it, Windows does not")
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone does this")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = idle_child()
    yield process
    process.kill()
    process.wait(30)


@pytest.fixture
def created() -> Iterator[list[int]]:
    """The numbers of processes that `Create` started; whatever of them still runs is ended."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        process = control.find(str(pid))
        if process is not None and process.ppid() == os.getpid():
            process.kill()
        reaped(pid)


def reaped(pid: int) -> None:
    """Waits until the child's exit status is taken."""
    for thread in threading.enumerate():
        if thread.name == f"child {pid}":
            thread.join(30)
            assert not thread.is_alive()


def get(pid: object, **more: Any) -> Instance:
    return instance(CLASS, PROVIDER.get_instance(call(CLASS, **more), {"Handle": str(pid)}))


def idle_command_line() -> str:
    return subprocess.list2cmdline(IDLE) if sys.platform == "win32" else shlex.join(IDLE)


def create(pids: list[int], command_line: str | None, directory: str | None = None, **startup: Any) -> tuple[int, Any]:
    """ReturnValue and ProcessId of Win32_Process.Create."""
    information = classes(HostProcesses)["Win32_ProcessStartup"].new(startup) if startup else None
    out = PROVIDER.create(call(CLASS), {}, command_line, directory, information)
    pid = out.get("ProcessId")
    if pid is not None:
        pids.append(pid)
    return int(out["ReturnValue"]), pid


# -- reading


def test_this_process_is_what_psutil_says() -> None:
    process = psutil.Process()
    found = get(process.pid)
    assert found["Handle"] == str(process.pid)
    assert found["ProcessId"] == process.pid
    assert found["Name"] == found["Caption"] == found["Description"] == process.name()
    assert found["ExecutablePath"] == process.exe()
    assert found["ParentProcessId"] == process.ppid()
    assert found["CreationDate"].to_datetime().timestamp() == pytest.approx(process.create_time(), abs=1e-5)
    assert found["ExecutionState"] == 3
    assert found["CSName"] == SERVER
    assert found["CSCreationClassName"] == "Win32_ComputerSystem"
    assert found["OSCreationClassName"] == "Win32_OperatingSystem"
    assert found["CreationClassName"] == CLASS
    assert found["TerminationDate"] is None
    assert str(found.path) == f'\\\\{SERVER}\\:Win32_Process.Handle="{process.pid}"'


def test_what_grows_lies_between_two_looks() -> None:
    process = psutil.Process()
    times = process.cpu_times()
    found = get(process.pid)
    later = process.cpu_times()
    assert round(times.user * 1e7) <= found["UserModeTime"] <= round(later.user * 1e7)
    assert round(times.system * 1e7) <= found["KernelModeTime"] <= round(later.system * 1e7)


def test_a_child_that_does_nothing_is_what_psutil_says(child: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(child.pid)
    found = get(child.pid)
    assert found["CommandLine"] == idle_command_line()
    assert found["ParentProcessId"] == os.getpid()
    assert found["CreationDate"].to_datetime().timestamp() == pytest.approx(process.create_time(), abs=1e-5)
    assert found["ThreadCount"] >= 1
    assert found["WorkingSetSize"] > 0


@POSIX_ONLY
def test_what_posix_has(child: subprocess.Popen[bytes]) -> None:
    found = get(child.pid)
    assert found["SessionId"] == os.getsid(child.pid)
    assert found["HandleCount"] >= 1
    assert found["VirtualSize"] >= found["WorkingSetSize"]


@POSIX_ONLY
@pytest.mark.parametrize(("nice", "priority"), [(-20, 24), (-10, 16), (-1, 8), (0, 8), (1, 7), (19, 1)])
def test_priority(monkeypatch: pytest.MonkeyPatch, nice: int, priority: int) -> None:
    monkeypatch.setattr(psutil.Process, "nice", lambda self: nice)
    assert get(os.getpid())["Priority"] == priority


def test_every_value_of_every_process_fits_its_property(child: subprocess.Popen[bytes]) -> None:
    kinds: dict[CimType, type] = {CimType.STRING: str, CimType.DATETIME: DateTime}
    handles = set()
    for values in PROVIDER.enumerate_instances(call(CLASS)):
        found = instance(CLASS, values)
        assert set(values) <= set(class_of(CLASS).properties)
        assert found["Handle"] == str(found["ProcessId"])
        for declared in class_of(CLASS).properties.each():
            value = found[declared.name]
            assert value is None or type(value) is kinds.get(declared.type, int), declared.name
        handles.add(found["Handle"])
    assert {str(os.getpid()), str(child.pid)} <= handles


def test_an_enumeration_comes_one_by_one_and_can_be_cancelled() -> None:
    one = call(CLASS)
    found = iter(PROVIDER.enumerate_instances(one))
    next(found)
    one.cancel()
    with pytest.raises(OperationCancelled):
        next(found)


def test_a_process_that_ends_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, here = 2**31 - 1, os.getpid()
    monkeypatch.setattr(psutil, "pids", lambda: [gone, here])
    assert [found["Handle"] for found in PROVIDER.enumerate_instances(call(CLASS))] == [str(here)]


def test_only_what_is_wanted_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> Any:
        raise AssertionError("nobody wants this")

    for costly in ("cmdline", "exe", "num_threads"):
        monkeypatch.setattr(psutil.Process, costly, refuse)
    found = get(os.getpid(), properties=frozenset({"name", "Handle"}))
    assert found["Name"] == psutil.Process().name()
    assert found["CommandLine"] is None


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), NotImplementedError()])
def test_what_psutil_may_not_tell_is_null(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(self: psutil.Process) -> Any:
        raise error

    for denied in ("exe", "num_threads"):
        monkeypatch.setattr(psutil.Process, denied, refuse)
    found = get(os.getpid())
    assert found["ExecutablePath"] is None
    assert found["ThreadCount"] is None
    assert found["Name"] == psutil.Process().name()


def test_only_administrators_see_how_a_process_was_started() -> None:
    found = get(os.getpid(), principal=NOBODY)
    assert found["CommandLine"] is None
    assert found["ExecutablePath"] is None
    assert found["Name"] == psutil.Process().name()


@pytest.mark.parametrize(
    "handle", ["", "x", "-1", "+1", "007", " 1", "1.0", "٣", "1\n", "2147483647", "4294967295", "9999999999", "9" * 99]
)
def test_a_handle_that_names_nothing(handle: str) -> None:
    assert PROVIDER.get_instance(call(CLASS), {"Handle": handle}) is None
    with pytest.raises(NotFound):
        PROVIDER.delete_instance(call(CLASS), {"Handle": handle})
    with pytest.raises(NotFound):
        PROVIDER.terminate(call(CLASS), {"Handle": handle})
    with pytest.raises(NotFound):
        PROVIDER.get_owner(call(CLASS), {"Handle": handle})
    with pytest.raises(NotFound):
        PROVIDER.set_priority(call(CLASS), {"Handle": handle}, 32)


@LINUX_ONLY
def test_the_number_of_a_thread_names_no_process() -> None:
    numbers: list[int] = []
    ready, done = threading.Event(), threading.Event()

    def run() -> None:
        numbers.append(threading.get_native_id())
        ready.set()
        done.wait(30)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        assert control.find(str(numbers[0])) is None
    finally:
        done.set()
        thread.join(30)


@POSIX_ONLY
def test_a_zombie_is_no_process(child: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert has_ended(process)
    assert PROVIDER.get_instance(call(CLASS), {"Handle": str(child.pid)}) is None
    assert str(child.pid) not in {found["Handle"] for found in PROVIDER.enumerate_instances(call(CLASS))}
    with pytest.raises(NotFound):
        PROVIDER.delete_instance(call(CLASS), {"Handle": str(child.pid)})


# -- ending


def ends_by_delete(pid: int) -> None:
    PROVIDER.delete_instance(call(CLASS), {"Handle": str(pid)})


def ends_by_terminate(pid: int) -> None:
    assert PROVIDER.terminate(call(CLASS), {"Handle": str(pid)}, 7) == 0


@pytest.mark.parametrize("ends", [ends_by_delete, ends_by_terminate])
def test_it_ends_that_process_and_no_other(child: subprocess.Popen[bytes], ends: Callable[[int], None]) -> None:
    other = idle_child()
    try:
        ends(other.pid)
        assert control.find(str(other.pid)) is None
        assert child.poll() is None
        # The exit status is still there for the one who started it.
        assert other.wait(30) == (15 if sys.platform == "win32" else -9)
    finally:
        other.kill()
        other.wait(30)


@pytest.mark.parametrize("itself", [True, False])
def test_what_is_never_ended(itself: bool) -> None:
    process = psutil.Process()
    if not itself:
        process._pid = 0  # type: ignore[attr-defined]
    with pytest.raises(AccessDenied):
        control.end(process, lambda seconds: True)


def test_a_stranger_with_the_same_number_is_not_harmed(child: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(child.pid)
    process._ident = (child.pid, 1.0)  # type: ignore[attr-defined]  # as if found before the number was used again
    with pytest.raises(NotFound):
        control.end(process, lambda seconds: True)
    assert child.poll() is None


@pytest.mark.parametrize(
    ("error", "raised", "returned"),
    [
        (psutil.AccessDenied(1), AccessDenied, 2),
        (psutil.NoSuchProcess(1), NotFound, None),
        (psutil.ZombieProcess(1), NotFound, None),
    ],
)
def test_a_kill_that_fails(
    monkeypatch: pytest.MonkeyPatch,
    child: subprocess.Popen[bytes],
    error: Exception,
    raised: type[WbemError],
    returned: int | None,
) -> None:
    def refuse(self: psutil.Process) -> None:
        raise error

    keys = {"Handle": str(child.pid)}
    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "kill", refuse)
        with pytest.raises(raised):
            PROVIDER.delete_instance(call(CLASS), keys)
        if returned is None:
            with pytest.raises(raised):
                PROVIDER.terminate(call(CLASS), keys)
        else:
            assert PROVIDER.terminate(call(CLASS), keys) == returned


def test_a_process_that_does_not_end_in_time(monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]) -> None:
    monkeypatch.setattr(psutil.Process, "kill", lambda self: None)
    monkeypatch.setattr(control, "_LONGEST_END", 0.0)
    with pytest.raises(WbemError) as error:
        PROVIDER.delete_instance(call(CLASS), {"Handle": str(child.pid)})
    assert error.value.status == WbemStatus.WBEM_E_FAILED
    assert PROVIDER.terminate(call(CLASS), {"Handle": str(child.pid)}) == 8


def test_nobody_waits_for_a_delete_that_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(psutil.Process, "kill", lambda self: None)
    one = call(CLASS)
    one.cancel()
    PROVIDER.delete_instance(one, {"Handle": str(child.pid)})


def test_only_administrators_start_end_and_change_processes(child: subprocess.Popen[bytes]) -> None:
    keys = {"Handle": str(child.pid)}
    with pytest.raises(AccessDenied, match="nobody"):
        PROVIDER.delete_instance(call(CLASS, principal=NOBODY), keys)
    assert PROVIDER.terminate(call(CLASS, principal=NOBODY), keys) == 3
    assert PROVIDER.set_priority(call(CLASS, principal=NOBODY), keys, 64) == 3
    assert PROVIDER.create(call(CLASS, principal=NOBODY), {}, "true") == {"ReturnValue": 3}
    assert child.poll() is None


# -- methods


def test_what_is_created_runs_apart_and_leaves_no_zombie(created: list[int]) -> None:
    code, pid = create(created, idle_command_line())
    assert code == 0
    # For a moment after exec the system shows no arguments yet.
    found = next(found for found in iter(lambda: get(pid), None) if found["CommandLine"] is not None)
    assert found["CommandLine"] == idle_command_line()
    assert found["ParentProcessId"] == os.getpid()
    if sys.platform != "win32":
        assert found["SessionId"] == pid != os.getsid(0)
    assert PROVIDER.terminate(call(CLASS), {"Handle": str(pid)}) == 0
    reaped(pid)
    assert not psutil.pid_exists(pid)


def test_what_is_created_has_its_directory_and_environment(created: list[int], tmp_path: Path) -> None:
    program = tmp_path / "say.py"
    program.write_text(
        "import json, os, sys\n"
        "said = os.getcwd(), os.environ.get('COLOUR'), 'HOME' in os.environ, sys.stdin.read(), os.fstat(1).st_rdev\n"
        "open('said', 'w').write(json.dumps(said))\n"
    )
    folder = tmp_path / "a folder"
    folder.mkdir()
    command_line = subprocess.list2cmdline([sys.executable, "-S", str(program)])
    variables = ["COLOUR=a=b", "EMPTY="]
    if sys.platform == "win32":
        variables.append(f"SystemRoot={os.environ['SystemRoot']}")  # noqa: SIM112
    code, pid = create(created, command_line, str(folder), EnvironmentVariables=variables)
    assert code == 0
    reaped(pid)
    where, colour, home, said, out = json.loads((folder / "said").read_text())
    assert Path(where).resolve() == folder.resolve()
    assert (colour, home, said) == ("a=b", False, "")
    assert out == Path(os.devnull).stat().st_rdev


def test_a_priority_class(created: list[int]) -> None:
    code, pid = create(created, idle_command_line(), PriorityClass=64)
    assert code == 0
    assert get(pid)["Priority"] < get(os.getpid())["Priority"]
    keys = {"Handle": str(pid)}
    assert PROVIDER.set_priority(call(CLASS), keys, 64) == 0
    assert PROVIDER.set_priority(call(CLASS), keys, 65) == 21
    assert PROVIDER.set_priority(call(CLASS), keys) == 21


def test_a_priority_that_may_not_be_given(monkeypatch: pytest.MonkeyPatch, created: list[int]) -> None:
    def refuse(self: psutil.Process, value: int | None = None) -> None:
        raise psutil.AccessDenied(self.pid)

    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "nice", refuse)
        code, pid = create(created, idle_command_line(), PriorityClass=256)
        assert code == 0
        assert PROVIDER.set_priority(call(CLASS), {"Handle": str(pid)}, 256) == 2
    assert control.find(str(pid)) is not None


@pytest.mark.parametrize(
    ("command_line", "directory", "startup", "code"),
    [
        (None, None, {}, 21),
        ("", None, {}, 21),
        ("  ", None, {}, 21),
        ("a\0b", None, {}, 21),
        ("x" * 4_000_000, None, {}, 21),
        ("no-such-program-anywhere", None, {}, 9),
        ("/no/such/folder/program", None, {}, 9),
        ("true", "/no/such/folder", {}, 9),
        ("true", None, {"CreateFlags": 4}, 21),
        ("true", None, {"PriorityClass": 5}, 21),
        ("true", None, {"EnvironmentVariables": ["nothing"]}, 21),
        ("true", None, {"EnvironmentVariables": ["=x"]}, 21),
        ("true", None, {"EnvironmentVariables": [None]}, 21),
    ],
)
def test_what_cannot_be_created(
    created: list[int],
    command_line: str | None,
    directory: str | None,
    startup: dict[str, Any],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A folder in it that may not be looked into would make it a question of rights.
    monkeypatch.setenv("PATH", os.defpath)
    assert create(created, command_line, directory, **startup) == (code, None)


@POSIX_ONLY
def test_what_posix_cannot_create(created: list[int], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    plain.chmod(0o600)
    assert create(created, str(plain)) == (2, None)
    assert create(created, str(plain / "below")) == (9, None)
    assert create(created, "echo 'without an end") == (21, None)


def test_a_system_that_has_no_more_room(monkeypatch: pytest.MonkeyPatch, created: list[int]) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert create(created, "true") == (8, None)


def test_get_owner() -> None:
    out = PROVIDER.get_owner(call(CLASS), {"Handle": str(os.getpid())})
    domain, _, user = psutil.Process().username().rpartition("\\")
    assert out == {"User": user, "Domain": domain or SERVER, "ReturnValue": 0}


def test_an_owner_that_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> str:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "username", refuse)
    assert PROVIDER.get_owner(call(CLASS), {"Handle": str(os.getpid())}) == {"ReturnValue": 2}


async def test_methods_as_the_server_calls_them(created: list[int]) -> None:
    served, cls = runner(PROVIDER), class_of(CLASS)
    startup = classes(HostProcesses)["Win32_ProcessStartup"].new(PriorityClass=64)
    arguments = {
        "CommandLine": idle_command_line(),
        "CurrentDirectory": None,
        "ProcessStartupInformation": startup,
    }
    out = await served.invoke(call(CLASS), cls.methods["Create"], {}, arguments, nobody)
    assert out is not None
    created.append(out["ProcessId"])
    assert out["ReturnValue"] == 0
    keys = {"Handle": str(out["ProcessId"])}
    owner = await served.invoke(call(CLASS), cls.methods["GetOwner"], keys, {}, nobody)
    assert owner is not None
    assert owner["User"] == psutil.Process().username().rpartition("\\")[2]
    ended = await served.invoke(call(CLASS), cls.methods["Terminate"], keys, {"Reason": None}, nobody)
    assert ended is not None
    assert ended["ReturnValue"] == 0
    with pytest.raises(NotFound):
        await served.delete(call(CLASS), keys, nobody)


def test_the_methods_that_say_they_are_implemented_are() -> None:
    cls = class_of(CLASS)
    said = {m.name for m in cls.methods.each() if "implemented" in m.qualifiers}
    assert said == {"Create", "Terminate", "GetOwner", "SetPriority"}
    assert said == {name for name in cls.methods if PROVIDER.implementation(cls, name)}


def test_a_server_that_ends_before_its_children_does_so_quietly(tmp_path: Path) -> None:
    """No ResourceWarning, and no waiting for the child."""
    script = "import sys\nfrom openwmi.providers.host import control\nprint(control.start(sys.argv[1], None, {}))\n"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, idle_command_line()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    child = psutil.Process(int(done.stdout))
    assert child.cmdline() == IDLE
    child.kill()
    assert done.stderr == ""
