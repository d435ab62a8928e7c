"""How fast objects come over DCOM: openwmi's client, aiowmi and impacket, all from openwmi's server, packet privacy.

    python -m bench.dcom [--quick] [--rounds N]

The server has a provider of 10,000 objects like Win32_Process (`bench/wmio.py`). Server and clients are processes of
their own, so each one's use of the processor and of memory is its own. Every client enumerates all objects and reads
all values; openwmi's once more with only one value read, and once 100,000 objects, for what that does to its memory.

The clients take turns; the best of the rounds counts. "server" is the time that the server's process computed for each
object, and its part of all that was computed. aiowmi is asked both with SmartEnum, if the server offers it, and
without; the faster counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import psutil
from bench.wmio import process, process_class

from openwmi import aio
from openwmi.mof import write_mof
from openwmi.providers import Provider, ProviderCall
from openwmi.repository import MemoryStore
from openwmi.security.accounts import Accounts
from openwmi.server import Server

COMMAND: Final = (sys.executable, "-m", "bench.dcom")
HOST: Final = "127.0.0.1"
USER: Final = "bench"
PASSWORD: Final = "Correct-Horse-7"
COUNT: Final = 10_000
MANY: Final = 100_000
IMPACKETS: Final = 200  # impacket takes some 40 ms for each object, so it gets no more than these
GOAL: Final = 5.0
GROWTH: Final = 1.1  # how much more memory ten times as many objects may take
QUERY: Final = "SELECT * FROM Win32_Process"
PRIVACY: Final = 6  # RPC_C_AUTHN_LEVEL_PKT_PRIVACY
_WATCHED: Final = 100  # objects after which a client looks at its memory


# -- the server


def provider_of(count: int) -> type[Provider]:
    """A provider of `count` processes, which costs next to nothing by itself."""
    cls = process_class()
    templates = [process(cls, number).to_dict() for number in range(100)]

    class Processes(Provider):
        name = "Processes"
        mof = write_mof(cls).replace("class Win32_Process", '[dynamic, provider("Processes")]\nclass Win32_Process', 1)

        def enumerate_instances(self, call: ProviderCall) -> Iterator[Mapping[str, Any]]:
            for number in range(count):
                yield {**templates[number % len(templates)], "Handle": str(number)}

    return Processes


async def serve(count: int, hosts: int) -> None:
    """Says at which ports, and serves until standard input ends."""
    accounts = Accounts()
    accounts.add(USER, PASSWORD, administrator=True)
    providers = [provider_of(count)]
    async with AsyncExitStack() as servers:
        ports = []
        for _ in range(hosts):
            server = Server(MemoryStore(), accounts, rpc_port=0, exporter_port=0, providers=providers)
            await servers.enter_async_context(server)
            ports.append(server.addresses.rpc_port)
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def serving_hosts(count: int, hosts: int) -> Iterator[tuple[list[int], psutil.Process]]:
    """The ports of so many servers, each with `count` objects, and the process that they are in."""
    command = [*COMMAND, "--serve", str(count), "--hosts", str(hosts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None or not (line := server.stdout.readline()):
            raise SystemExit("the server did not start")
        try:
            yield json.loads(line), psutil.Process(server.pid)
        finally:
            server.communicate()


@contextmanager
def serving(count: int) -> Iterator[tuple[int, psutil.Process]]:
    """A server's port and process."""
    with serving_hosts(count, 1) as ((port,), server):
        yield port, server


# -- the clients


@dataclass
class Run:
    """What one client did: how many objects it got in how many seconds, how long it computed, and its memory."""

    count: int
    seconds: float
    computed: float
    memory: int


class Watch:
    """Counts objects, and measures."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.count = self._memory = 0
        gc.collect()
        self._began, self._computed = time.perf_counter(), time.process_time()

    def one(self, values: object) -> None:
        """One more object, whose values have been read."""
        self.count += 1
        if self.count % _WATCHED == 0:
            self._memory = max(self._memory, self._process.memory_info().rss)

    def done(self) -> Run:
        """What has been measured since the watch was made."""
        taken = time.perf_counter() - self._began
        return Run(self.count, taken, time.process_time() - self._computed, self._memory)


async def by_openwmi(port: int, use: Callable[[Any], object] = lambda found: found.to_dict()) -> Run:
    """As users have it: a session and its instances, all values as Python has them."""
    async with await aio.connect(f"dcom://{HOST}:{port}", user=USER, password=PASSWORD) as session:
        await session.get_class("Win32_Process")
        watch = Watch()
        async with await session.enumerate_instances("Win32_Process") as found:
            async for item in found:
                watch.one(use(item))
        return watch.done()


async def by_openwmi_one_value(port: int) -> Run:
    """The same, but a look at the name is all that is wanted."""
    return await by_openwmi(port, lambda found: found.Name)


async def by_aiowmi(port: int, *, smart: bool = False, watch: Watch | None = None) -> Run:
    """aiowmi asks for one object at a time and knows no other way. A `watch` that is given runs already."""
    from aiowmi.connection import Connection
    from aiowmi.exceptions import ServerNotOptimized, WbemException
    from aiowmi.query import Query

    connection = Connection(HOST, USER, PASSWORD, port=port)
    await connection.connect()
    try:
        service = await connection.negotiate_ntlm()
        try:
            context = Query(QUERY, namespace="root/cimv2").context(connection, service, skip_optimize=True)
            async with context:
                if smart:
                    try:
                        await context.optimize()
                    except (ServerNotOptimized, WbemException) as error:
                        raise LookupError("the server has no SmartEnum") from error
                watch = watch or Watch()
                async for found in context.results():
                    watch.one({name: each.value for name, each in found.items()})
                return watch.done()
        finally:
            service.close()
    finally:
        connection.close()


async def by_aiowmi_smart(port: int) -> Run:
    """With SmartEnum, which sends the class part once."""
    return await by_aiowmi(port, smart=True)


async def by_impacket(port: int) -> Run:
    """As impacket's own wmiquery.py: one object at a time, and `getProperties`."""
    from impacket.dcerpc.v5 import dcomrt, transport
    from impacket.dcerpc.v5.dcom import wmi
    from impacket.dcerpc.v5.dtypes import NULL

    make = transport.DCERPCTransportFactory
    resolver = f"ncacn_ip_tcp:{HOST}"  # which impacket looks for at port 135
    transport.DCERPCTransportFactory = lambda binding: make(f"{binding}[{port}]" if binding == resolver else binding)
    connection = dcomrt.DCOMConnection(HOST, username=USER, password=PASSWORD, oxidResolver=True)
    try:
        activated = connection.CoCreateInstanceEx(wmi.CLSID_WbemLevel1Login, wmi.IID_IWbemLevel1Login)
        activated.get_cinstance().set_auth_level(PRIVACY)
        services = wmi.IWbemLevel1Login(activated).NTLMLogin("//./root/cimv2", NULL, NULL)
        forward = wmi.WBEM_FLAG_FORWARD_ONLY | wmi.WBEM_FLAG_RETURN_IMMEDIATELY
        enumerator = services.ExecQuery(QUERY, forward)
        watch = Watch()
        while True:
            try:
                (found,) = enumerator.Next(0xFFFFFFFF, 1)
            except wmi.DCERPCSessionError as error:
                if error.get_error_code() != wmi.WBEMSTATUS.enumItems.WBEM_S_FALSE.value:
                    raise
                return watch.done()
            watch.one(found.getProperties())
            if watch.count == IMPACKETS:
                return watch.done()
    finally:
        connection.disconnect()


CLIENTS: Final[dict[str, Callable[[int], Awaitable[Run]]]] = {
    "openwmi": by_openwmi,
    "openwmi, one value": by_openwmi_one_value,
    "aiowmi": by_aiowmi,
    "aiowmi, SmartEnum": by_aiowmi_smart,
    "impacket": by_impacket,
}
ABSENT: Final = 3  # how a client's process ends that cannot be had here


async def client(name: str, port: int) -> int:
    """Runs one client, and says what it did."""
    try:
        run = await CLIENTS[name](port)
    except (ImportError, LookupError) as reason:
        print(reason, file=sys.stderr)
        return ABSENT
    print(json.dumps(asdict(run)))
    return 0


# -- the comparison


@dataclass
class Result:
    """A client's best run, and what the server computed for it, in seconds."""

    run: Run
    served: float

    @property
    def rate(self) -> float:
        return self.run.count / self.run.seconds

    @property
    def share(self) -> float:
        return self.served / (self.served + self.run.computed)


def used(server: psutil.Process) -> float:
    times = server.cpu_times()
    return times.user + times.system


def measure(name: str, port: int, server: psutil.Process, count: int) -> Result | None:
    """One run in a new process; None if there is no such client here."""
    before = used(server)
    done = subprocess.run([*COMMAND, "--client", name, "--port", str(port)], stdout=subprocess.PIPE, text=True)
    if done.returncode == ABSENT:
        return None
    done.check_returncode()
    run = Run(**json.loads(done.stdout))
    if run.count != (IMPACKETS if name == "impacket" else count):
        raise SystemExit(f"{name} got {run.count:,} of {count:,} objects")
    return Result(run, used(server) - before)


def compare(count: int, rounds: int) -> dict[str, Result]:
    """The best of the rounds for every client that is here."""
    best: dict[str, Result] = {}
    absent: set[str] = set()
    with serving(count) as (port, server):
        for _ in range(rounds):
            for name in CLIENTS.keys() - absent:
                found = measure(name, port, server, count)
                if found is None:
                    absent.add(name)
                elif name not in best or found.rate > best[name].rate:
                    best[name] = found
    return best


def report(results: Mapping[str, Result]) -> None:
    print(f"{'':<20} {'objects/s':>9}  {'us/object':>9}  {'client':>7}  {'server':>7}  {'server':>6}  {'memory':>8}")
    for name in CLIENTS:
        if name not in results:
            print(f"{name:<20} not here")
            continue
        found = results[name]
        each = 1e6 / found.run.count
        print(
            f"{name:<20} {found.rate:9,.0f}  {1e6 / found.rate:9.0f}  {found.run.computed * each:4.0f} us"
            f"  {found.served * each:4.0f} us  {found.share:6.0%}  {found.run.memory >> 20:5d} MB"
        )


def verdict(ours: Result, theirs: Iterable[Result], name: str, goal: float | None) -> bool:
    """Prints how much faster openwmi is; whether that misses the goal."""
    rates = [each.rate for each in theirs]
    if not rates:
        return False
    ratio = ours.rate / max(rates)
    print(f"{ratio:.1f} times as fast as {name}" + ("" if goal is None else f" (the goal is {goal:g})"))
    return goal is not None and ratio < goal


def main() -> int:
    """Prints the comparison. 1 if openwmi is slower than asked for, or its memory grows with the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--hosts", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve, given.hosts))
        return 0
    if given.client is not None:
        return asyncio.run(client(given.client, given.port))

    count, many = (COUNT // 10, MANY // 10) if given.quick else (COUNT, MANY)
    results = compare(count, 1 if given.quick else given.rounds)
    report(results)
    ours = results["openwmi"]
    missed = verdict(ours, [r for name, r in results.items() if name.startswith("aiowmi")], "aiowmi", GOAL)
    verdict(ours, [r for name, r in results.items() if name == "impacket"], "impacket", None)
    with serving(many) as (port, server):
        long = measure("openwmi", port, server, many)
    if long is None:
        raise SystemExit("openwmi is not installed")
    growth = long.run.memory / ours.run.memory
    print(
        f"{many:,} objects: {long.rate:,.0f} a second, {long.run.memory >> 20} MB in the client,"
        f" {growth:.2f} of what {count:,} take (at most {GROWTH:g})"
    )
    return int(missed or growth > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
