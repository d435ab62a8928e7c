"""Many hosts at once, and the synchronous API: what openwmi's client costs, beside aiowmi in the same run.

    python -m bench.client [--quick]

Each of 1, 10 and 200 hosts is a server of its own, with 1,000 objects like Win32_Process (`bench/wmio.py`), packet
privacy. A client asks all of them at once, in one loop: a log-on, a query, all values of every object, and the end of
the session, for each host. Its processor time is that of its whole process for all of that, after a first session that
imports what it needs; its memory is the most that the process ever took. aiowmi runs with SmartEnum and without, and
the one that computes less counts. The servers share one process, so that none of their time is the clients'; on a
machine of few cores it is what the seconds are mostly spent on.

Then 1,000 objects from one host, in turns by the asynchronous and by the synchronous API; the best of the rounds
counts. 1 if aiowmi computes less than 5 times as much for an object, or the synchronous API takes more than 1.3 times
as long as the asynchronous one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from bench.dcom import ABSENT, HOST, PASSWORD, QUERY, USER, Watch, by_aiowmi, serving, serving_hosts
from bench.load import allow_connections

import openwmi
from openwmi import aio

COMMAND: Final = (sys.executable, "-m", "bench.client")
HOSTS: Final = (1, 10, 200)
OBJECTS: Final = 1_000
ROUNDS: Final = 7
GOAL: Final = 5.0
SLOWER: Final = 1.3
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


def main() -> int:
    """Prints the comparisons; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 hosts at most")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client is not None:
        return asyncio.run(client(given.client, json.load(sys.stdin)))

    hosts = HOSTS[:-1] if given.quick else HOSTS
    allow_connections(max(hosts))
    slow = [compare_hosts(hosts), compare_interfaces(ROUNDS)]
    return int(any(slow))


if __name__ == "__main__":
    sys.exit(main())
