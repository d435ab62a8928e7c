"""Many hosts at once, the synchronous API, a million results: what openwmi's client costs, aiowmi in the same run.

    python -m bench.client [--quick]

Each of 1, 10 and 200 hosts is a server of its own, with 1,000 objects like Win32_Process (`bench/wmio.py`), packet
privacy. A client asks all of them at once, in one loop: a log-on, a query, all values of every object, and the end of
the session, for each host. Its processor time is that of its whole process for all of that, after a first session that
imports what it needs; its memory is the most that the process ever took. aiowmi runs with SmartEnum and without, and
the one that computes less counts. The servers share one process, so that none of their time is the clients'; on a
machine of few cores it is what the seconds are mostly spent on.

Then 1,000 objects from one host, in turns by the asynchronous and by the synchronous API; the best of the rounds
counts.

Then a million objects, in this process and over DCOM: how much memory the process that iterates over them takes at
most, beside one that iterates over ten thousand; and how long it takes, after the first ten thousand of them, until a
cancel and the close after it have returned; the median of the rounds counts, since other processes want the processor.

1 if aiowmi computes less than 5 times as much for an object, the synchronous API takes more than 1.3 times as long as
the asynchronous one, a hundred times as many objects take more than a tenth more memory, or a cancel takes 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from bench.dcom import ABSENT, HOST, PASSWORD, QUERY, USER, Watch, by_aiowmi, provider_of, serving, serving_hosts
from bench.load import allow_connections

import openwmi
from openwmi import aio
from openwmi.cim.operations import CallContext
from openwmi.client.session import AsyncSession
from openwmi.manager import ObjectManager
from openwmi.repository import MemoryStore
from openwmi.security.principals import Principal

COMMAND: Final = (sys.executable, "-m", "bench.client")
HOSTS: Final = (1, 10, 200)
OBJECTS: Final = 1_000
ROUNDS: Final = 7
GOAL: Final = 5.0
SLOWER: Final = 1.3
FEW: Final = 10_000  # results that a cancel comes after, and whose memory is compared with that of the many
MANY: Final = 1_000_000
GROWTH: Final = 1.1
AT_ONCE: Final = 0.1  # seconds
_MAXRSS: Final = 1 if sys.platform == "darwin" else 1024  # the unit in which the system tells memory, in bytes


# -- the clients


@dataclass
class Run:
    """What one client did: how many objects from all hosts, in how many seconds, its processor time and memory."""

    count: int
    seconds: float
    computed: float
    memory: int

    @property
    def each(self) -> float:
        """Seconds of the processor for one object."""
        return self.computed / self.count


async def by_openwmi(port: int, *, watch: Watch) -> None:
    """As users have it."""
    opening = aio.connect(f"dcom://{HOST}:{port}", user=USER, password=PASSWORD)
    async with await opening as session, await session.query(QUERY) as found:
        async for item in found:
            watch.one(item.to_dict())


CLIENTS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    "openwmi": by_openwmi,
    "aiowmi": by_aiowmi,
    "aiowmi, SmartEnum": partial(by_aiowmi, smart=True),
}


async def client(name: str, ports: Sequence[int]) -> int:
    """Asks all hosts at once, and says what that took."""
    ask = CLIENTS[name]
    try:
        await ask(ports[0], watch=Watch())
    except (ImportError, LookupError) as reason:
        print(reason, file=sys.stderr)
        return ABSENT
    watch = Watch()
    await asyncio.gather(*(ask(port, watch=watch) for port in ports))
    done = watch.done()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS
    print(json.dumps(asdict(Run(done.count, done.seconds, done.computed, memory))))
    return 0


def measure(name: str, ports: Sequence[int], objects: int) -> Run | None:
    """One run in a new process; None if there is no such client here."""
    command = [*COMMAND, "--client", name]
    done = subprocess.run(command, input=json.dumps(ports), stdout=subprocess.PIPE, text=True)
    if done.returncode == ABSENT:
        return None
    done.check_returncode()
    run = Run(**json.loads(done.stdout))
    if run.count != objects * len(ports):
        raise SystemExit(f"{name} got {run.count:,} of {objects * len(ports):,} objects")
    return run


def compare(hosts: int, objects: int) -> float | None:
    """Prints what every client took for so many objects from each host.

    How many times as much aiowmi computed for an object; None without aiowmi.
    """
    with serving_hosts(objects, hosts) as (ports, _):
        runs = {name: run for name in CLIENTS if (run := measure(name, ports, objects)) is not None}
    for name, run in runs.items():
        print(
            f"{hosts:4} hosts  {name:<18} {run.seconds:7.2f} s  {run.computed:7.2f} s computed"
            f"  {1e6 * run.each:6.0f} us/object  {run.memory >> 20:5d} MB",
            flush=True,
        )
    theirs = [run.each for name, run in runs.items() if name != "openwmi"]
    return min(theirs) / runs["openwmi"].each if theirs else None


def compare_hosts(counts: Sequence[int]) -> bool:
    """Compares for each number of hosts; whether openwmi misses the goal."""
    print("one object from each host, which is what a session by itself costs:")
    compare(10, 1)
    print(f"{OBJECTS:,} objects from each host:")
    missed = 0
    for hosts in counts:
        ratio = compare(hosts, OBJECTS)
        if ratio is None:
            print("aiowmi is not here")
            return False
        print(f"{hosts:4} hosts: aiowmi computes {ratio:.1f} times as much for an object (the goal is {GOAL:g})")
        missed += ratio < GOAL
    return missed > 0


# -- the synchronous API


async def asynchronously(port: int) -> float:
    """Seconds for one query by the asynchronous API."""
    async with await aio.connect(f"dcom://{HOST}:{port}", user=USER, password=PASSWORD) as session:
        began = time.perf_counter()
        async with await session.query(QUERY) as found:
            count = len([item.to_dict() async for item in found])
        return _checked(count, time.perf_counter() - began)


def synchronously(port: int) -> float:
    """Seconds for one query by the synchronous API."""
    with openwmi.connect(f"dcom://{HOST}:{port}", user=USER, password=PASSWORD) as session:
        began = time.perf_counter()
        with session.query(QUERY) as found:
            count = len([item.to_dict() for item in found])
        return _checked(count, time.perf_counter() - began)


def _checked(count: int, taken: float) -> float:
    if count != OBJECTS:
        raise SystemExit(f"{count:,} objects came instead of {OBJECTS:,}")
    return taken


def compare_interfaces(rounds: int) -> bool:
    """Prints what one query takes by both APIs; whether the synchronous one misses the goal."""
    with serving(OBJECTS) as (port, _):
        pairs = [(asyncio.run(asynchronously(port)), synchronously(port)) for _ in range(rounds)]
    first, second = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    ratio = second / first
    print(
        f"{OBJECTS:,} objects: {1e3 * first:.1f} ms asynchronously, {1e3 * second:.1f} ms synchronously,"
        f" {ratio:.2f} times as long (at most {SLOWER:g})"
    )
    return ratio > SLOWER


# -- a million results


@dataclass
class Stream:
    """What it took to iterate over so many objects, and then, each time in the midst of them, to cancel and close."""

    count: int
    seconds: float
    memory: int
    cancels: list[float]


@asynccontextmanager
async def streaming(port: int, objects: int) -> AsyncIterator[AsyncSession]:
    """A session with so many objects: a server's at this port, or for 0 in this process."""
    if port:
        async with await aio.connect(f"dcom://{HOST}:{port}", user=USER, password=PASSWORD) as session:
            yield session
        return
    context = CallContext(principal=Principal.local_system())
    async with ObjectManager(MemoryStore()) as manager:
        await manager.register(provider_of(objects))
        yield AsyncSession(manager, await manager.connect("root\\cimv2", context), context, manager.close)


async def cancelled(session: AsyncSession) -> float:
    """Seconds that a cancel in the midst of the results takes, with the close after it."""
    operation = await session.query(QUERY, timeout=None)
    left = FEW
    async for _ in operation:
        left -= 1
        if not left:
            break
    began = time.perf_counter()
    operation.cancel()
    await operation.close()
    taken = time.perf_counter() - began
    if not operation.is_cancelled:
        raise SystemExit("the operation ended before it was cancelled")
    return taken


async def stream(port: int, objects: int, rounds: int) -> int:
    """Iterates over all objects, cancels in the midst of them so many times, and says what that took."""
    async with streaming(port, objects) as session:
        watch = Watch()
        async with await session.query(QUERY, timeout=None) as found:
            async for item in found:
                watch.one(item)
        done = watch.done()
        cancels = [await cancelled(session) for _ in range(rounds)]
    print(json.dumps(asdict(Stream(done.count, done.seconds, done.memory, cancels))))
    return 0


def measure_stream(port: int, objects: int, rounds: int) -> Stream:
    """One run in a new process."""
    command = [*COMMAND, "--stream", str(port), str(objects), str(rounds)]
    done = Stream(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
    if done.count != objects:
        raise SystemExit(f"{done.count:,} objects came instead of {objects:,}")
    return done


def compare_streams(name: str, few: Stream, many: Stream) -> bool:
    """Prints what many results take; whether that misses a goal."""
    growth, taken = many.memory / few.memory, statistics.median(many.cancels)
    print(
        f"{many.count:9,} objects {name}: {many.count / many.seconds:,.0f} a second, {many.memory >> 20} MB,"
        f" {growth:.2f} of what {few.count:,} take (at most {GROWTH:g})"
    )
    print(
        f"{'':9} cancelled in the midst of them: {1e3 * taken:.1f} ms (the longest {1e3 * max(many.cancels):.1f}),"
        f" {taken / AT_ONCE:.2f} of the limit of {1e3 * AT_ONCE:.0f} ms",
        flush=True,
    )
    return growth > GROWTH or taken >= AT_ONCE


def stream_many(objects: int) -> bool:
    """Prints what so many results take in this process and over DCOM; whether that misses a goal."""
    here = compare_streams("in process", measure_stream(0, FEW, 0), measure_stream(0, objects, ROUNDS))
    with serving(FEW) as (port, _):
        few = measure_stream(port, FEW, 0)
    with serving(objects) as (port, _):
        there = compare_streams("over DCOM", few, measure_stream(port, objects, ROUNDS))
    return here or there


def main() -> int:
    """Prints the comparisons; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 hosts at most, a tenth of the million")
    parser.add_argument("--stream", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client is not None:
        return asyncio.run(client(given.client, json.load(sys.stdin)))

    if given.stream is not None:
        return asyncio.run(stream(*given.stream))

    hosts = HOSTS[:-1] if given.quick else HOSTS
    allow_connections(max(hosts))
    objects = MANY // 10 if given.quick else MANY
    slow = [compare_hosts(hosts), compare_interfaces(ROUNDS), stream_many(objects)]
    return int(any(slow))


if __name__ == "__main__":
    sys.exit(main())
