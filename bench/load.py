"""Many sessions at once: every one asks again and again, and then the server is to be as it was.

    python -m bench.load [--sessions N] [--seconds S]

500 sessions, each with its own log-on and its own connections, query 20 objects like Win32_Process in a loop for 60
seconds, packet privacy. None may get an error or fewer objects than there are. Server and sessions are processes of
their own. Prints how many queries each session got through, how long they took, and the server's memory: before, while
it was asked, and after all sessions have gone. 1 if there was an error, or if more than a tenth of memory is not back.

Before it is measured, the server has served one wave of all the sessions: what it makes once, such as imported modules,
and what the allocator keeps for the next wave, is not what grows.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections import Counter
from typing import Final

import psutil
from bench.dcom import HOST, PASSWORD, USER, serving

from openwmi import aio
from openwmi.client.session import AsyncSession
from openwmi.errors import Error

SESSIONS: Final = 500
SECONDS: Final = 60.0
OBJECTS: Final = 20
QUERY: Final = "SELECT Name, ProcessId, WorkingSetSize FROM Win32_Process"
GROWTH: Final = 1.1
OPENING: Final = 20  # sessions that log on at a time
SETTLED: Final = 5.0  # seconds that the server has after the last session has gone
_FILES: Final = 4  # for each session: its connections, and room


class Load:
    """What the sessions have done so far."""

    def __init__(self) -> None:
        self.queries: Counter[int] = Counter()
        self.times: list[float] = []
        self.errors: Counter[str] = Counter()

    async def ask(self, number: int, session: AsyncSession, until: float) -> None:
        """Queries in a loop, at least once; an error ends it."""
        try:
            while True:
                began = time.perf_counter()
                found = 0
                async with await session.query(QUERY) as operation:
                    async for _ in operation:
                        found += 1
                if found != OBJECTS:
                    self.errors[f"{found} objects instead of {OBJECTS}"] += 1
                self.times.append(time.perf_counter() - began)
                self.queries[number] += 1
                if time.monotonic() >= until:
                    return
        except Error as error:
            self.errors[str(error)] += 1


async def open_all(port: int, count: int) -> list[AsyncSession]:
    """Logs on so many times."""
    few = asyncio.Semaphore(OPENING)

    async def connect() -> AsyncSession:
        async with few:
            return await aio.connect(f"dcom://{HOST}:{port}", user=USER, password=PASSWORD)

    return await asyncio.gather(*(connect() for _ in range(count)))


async def wave(port: int, count: int, seconds: float, server: psutil.Process) -> tuple[Load, int]:
    """All sessions together for so long: what they did, and the server's memory before they went."""
    sessions = await open_all(port, count)
    load = Load()
    try:
        until = time.monotonic() + seconds
        await asyncio.gather(*(load.ask(number, session, until) for number, session in enumerate(sessions)))
        memory = server.memory_info().rss
    finally:
        await asyncio.gather(*(session.close() for session in sessions))
    return load, memory


async def run(count: int, seconds: float) -> int:
    """The whole bench; the exit status."""
    with serving(OBJECTS) as (port, server):
        empty = server.memory_info().rss
        await wave(port, count, 0.0, server)
        await asyncio.sleep(SETTLED)
        before = server.memory_info().rss
        began = time.perf_counter()
        load, during = await wave(port, count, seconds, server)
        taken = time.perf_counter() - began
        await asyncio.sleep(SETTLED)
        after = server.memory_info().rss
        left = len(server.net_connections("tcp")) - 2  # what remains are the two listening ports
    total = sum(load.queries.values())
    each = [load.queries[number] for number in range(count)]
    print(f"{count} sessions, {total:,} queries of {OBJECTS} objects in {taken:.0f} s: {total / taken:,.0f} a second")
    print(f"queries of a session: {min(each)} at least, {statistics.median(each):g} in the middle, {max(each)} at most")
    slowest = statistics.quantiles(load.times, n=100)[98]
    print(f"seconds of a query: {statistics.median(load.times):.2f} in the middle, 99 of 100 within {slowest:.2f}")
    figures = [f"{octets / (1 << 20):.1f} MB" for octets in (empty, before, during, after)]
    print("the server's memory: {} new, {} before, {} with all sessions, {} after".format(*figures))
    print(f"{after / before:.2f} of what it was (at most {GROWTH:g}); {left} connections are left")
    for what, how_often in load.errors.most_common(5):
        print(f"ERROR, {how_often} times: {what}")
    return int(bool(load.errors) or after > before * GROWTH or left > 0)


def allow_connections(sessions: int) -> None:
    """Lets this process and those that it starts have so many sessions open, as far as the system permits."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(now, _FILES * sessions + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most == resource.RLIM_INFINITY else min(most, wanted), most))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    allow_connections(given.sessions)
    return asyncio.run(run(given.sessions, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
