"""The whole of openwmi in a few seconds: a server, and a client that asks it for things over TCP.

Run it with ``make demo``. Nothing stays behind: the repository is in a temporary folder, the account in memory.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openwmi import Accounts, AsyncSession, ConfigurationError, Instance, NotFound, Server, SqliteStore, WbemError, aio
from openwmi.cim.operations import CallingMode, DeleteInstance, Flags
from openwmi.status import describe, name_of

HOST = "127.0.0.1"
USER = "demo"
WELL_KNOWN_PORT = 135
MIB = 1 << 20

NOTES = """
class Demo_Note
{
    [key] string Title;
    string Text;
    uint64 Written;
};
"""

console = Console(highlight=False)


def say(text: str) -> None:
    """One step of the story. What comes from elsewhere is printed with `show`."""
    console.print(Text(f"\n{text}", style="bold"))


def show(text: str) -> None:
    """What a step brought, as it is."""
    console.print(Text("  " + text), soft_wrap=True)


async def start_server(folder: Path, accounts: Accounts) -> Server:
    """A server at the well-known port, or, without the right to that one, at free ports."""
    wishes = (WELL_KNOWN_PORT, 0)
    for number, rpc_port in enumerate(wishes):
        store = SqliteStore(folder / f"repository-{number}.db")
        server = Server(store, accounts, listen=HOST, rpc_port=rpc_port, exporter_port=0)
        try:
            await server.start()
        except ConfigurationError as error:
            if rpc_port == wishes[-1]:
                raise
            show(f"Port {rpc_port} is not to be had ({error}), so free ports must do.")
        else:
            return server
    raise AssertionError("the last wish returns or raises")


async def select(session: AsyncSession, query: str, *parameters: object) -> list[Instance]:
    """All instances that a query gives."""
    return await (await session.query(query, *parameters)).results()


async def show_machine(session: AsyncSession) -> None:
    """The operating system and the ten largest processes."""
    say("This machine's operating system, from Win32_OperatingSystem:")
    for system in await select(
        session, "SELECT Caption, Version, LastBootUpTime, TotalVisibleMemorySize FROM Win32_OperatingSystem"
    ):
        booted = system["LastBootUpTime"]
        memory = system["TotalVisibleMemorySize"] / MIB
        show(f"{system['Caption']}, kernel {system['Version']}, {memory:.1f} GiB, up since {booted:%Y-%m-%d %H:%M} UTC")

    began = time.perf_counter()
    processes = await select(session, "SELECT ProcessId, Name, ThreadCount, WorkingSetSize FROM Win32_Process")
    taken = (time.perf_counter() - began) * 1000
    largest = sorted(processes, key=lambda p: p["WorkingSetSize"] or 0, reverse=True)[:10]
    say(f"Its ten largest processes, of {len(processes)} that Win32_Process gave in {taken:.0f} ms:")
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, side in (("ProcessId", "right"), ("Name", "left"), ("Threads", "right"), ("Memory", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    for process in largest:
        memory = f"{(process['WorkingSetSize'] or 0) / MIB:,.1f} MiB"
        table.add_row(str(process["ProcessId"]), Text(process["Name"]), str(process["ThreadCount"] or ""), memory)
    console.print(table)


async def end_a_process(session: AsyncSession) -> None:
    """Deletes the instance of a child process with DeleteInstanceAsync."""
    sleep = shutil.which("sleep")
    command = [sleep, "300"] if sleep else [sys.executable, "-c", "import time; time.sleep(300)"]
    child = await asyncio.to_thread(subprocess.Popen, command)
    try:
        path = f'Win32_Process.Handle="{child.pid}"'
        say(f"A child process, `sleep 300`, has the number {child.pid}. Deleting its instance ends it:")
        show(f"DeleteInstanceAsync {path}")
        async with await session.start(
            DeleteInstance(path), mode=CallingMode.ASYNCHRONOUS, flags=Flags.SEND_STATUS
        ) as operation:
            outcome = await operation.wait()
        show(f"The server called our sink: SetStatus(WBEM_STATUS_COMPLETE, {name_of(outcome.status)})")
        outcome.raise_for_status()
        code = await asyncio.to_thread(child.wait, 10)
        left = await select(session, "SELECT Name FROM Win32_Process WHERE Handle = ?", str(child.pid))
        show(f"The process is gone: it ended with {code}, and Win32_Process knows {len(left)} of that number.")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


async def keep_a_note(session: AsyncSession) -> None:
    """A class of our own, whose instances the repository keeps."""
    say("A class of our own, declared in MOF; its instances live in the repository:")
    await session.compile_mof(NOTES)
    note = (await session.get_class("Demo_Note")).new(Title="first", Text="Hello, CIM.", Written=2**64 - 1)
    path = await session.put_instance(note)
    show(f"created   {path}")
    read = await session.get(str(path))
    if isinstance(read, Instance):
        show(f"read      Text = {read['Text']!r}, Written = {read['Written']}")
    await session.delete_instance(str(path))
    show(f"deleted   {path}")

    say("And what a refusal looks like. Deleting it once more:")
    try:
        await session.delete_instance(str(path))
    except NotFound as error:
        show(f"{error.name} (0x{error.status:08X}): {error.detail or describe(error.status)}")
        if error.extended is not None:
            show(f"with it came an {error.extended.class_name}: Operation = {error.extended['Operation']}")


def go_on(rpc_port: int) -> None:
    """The three lines with which the reader goes on."""
    tool = Path(sys.executable).with_name("openwmi")
    command = tool.relative_to(Path.cwd()) if tool.is_relative_to(Path.cwd()) else tool
    privileged = rpc_port == WELL_KNOWN_PORT
    port, at = ("", HOST) if privileged else (" --rpc-port 13501", f"{HOST}:13501")
    query = "SELECT Name, ProcessId FROM Win32_Process"
    say("Now you: a server (it asks for a password), a query from a second terminal, and the same from impacket:")
    for line in (
        f"{command} account add {USER} --administrator && {command} serve{port}",
        f'{command} query --host dcom://{USER}@{at} "{query}"',
        f'echo "{query}" | wmiquery.py -file - {USER}@{HOST}',
    ):
        show(line)
    if not privileged:
        show("(impacket knows no port but 135: for the third line, serve with the right to it, without --rpc-port)")


async def main() -> int:
    """The story."""
    password = secrets.token_urlsafe(16)
    accounts = Accounts()
    accounts.add(USER, password, administrator=True)
    with tempfile.TemporaryDirectory(prefix="openwmi-demo-") as folder:
        say("A WMI server starts, with a repository in a temporary folder and one account with a random password.")
        server = await start_server(Path(folder), accounts)
        rpc_port = server.addresses.rpc_port
        try:
            exporter_port = server.addresses.exporter_port
            show(f"It listens at {HOST}, port {rpc_port} (activation) and port {exporter_port} (objects).")
            say("A client logs on over TCP: DCOM, NTLMv2, every packet signed and sealed.")
            async with await aio.connect(f"dcom://{USER}@{HOST}:{rpc_port}", password=password) as session:
                show(f"{USER} has {session.scope} open.")
                await show_machine(session)
                await end_a_process(session)
                await keep_a_note(session)
        finally:
            await server.stop()
        say("The server has stopped; nothing is left of it.")
    go_on(rpc_port)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (ConfigurationError, WbemError) as problem:
        sys.exit(f"demo: {problem}")
