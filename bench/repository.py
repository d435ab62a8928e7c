"""How fast the repository is beside bare sqlite3, with the same data in the same run.

    python bench/repository.py [--quick] [--size N] [--small N] [--rounds N] [--folder DIRECTORY]

The store has one class with a key and five more properties. The bare peer is one table with one column per property and
the key as its primary key, in a file of its own with the same settings (write-ahead log, synchronised at each commit,
exclusive locking), spoken to through `sqlite3` without any layer; its rows come back as tuples. `objects` is the same
peer with each row made into a dictionary, and with the values in one JSON column: what a program that had to keep
objects of any class would do by hand. A third column gives the rate at the small size, to show what growth costs.

The tasks that begin with WQL go through the object manager, as a query of a caller in this process does: parsed,
analysed, planned, tested again, and delivered over an event loop.

Ours, theirs and both sizes take turns in short blocks, so that a machine that drifts drifts for all. Medians of the
turns. A ratio is our rate by theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from openwmi.cim import CimType, Class, Flavor, Instance, NameMap, Property, Qualifier, identity
from openwmi.cim.operations import CallContext, ExecQuery
from openwmi.manager import ObjectManager
from openwmi.repository import Condition, SqliteStore
from openwmi.security.principals import Principal

NS: Final = "root"
BLOCK: Final = 10
"""Durable writes in one turn."""

_KEY = NameMap([Qualifier.of("key", flavor=Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS)])
ITEM = Class(
    "Bench_Item",
    properties=NameMap(
        [
            Property("DeviceID", CimType.STRING, qualifiers=_KEY),
            Property("Caption", CimType.STRING),
            Property("Size", CimType.UINT64),
            Property("Rank", CimType.UINT32),
            Property("Enabled", CimType.BOOLEAN),
            Property("Status", CimType.STRING, default="OK"),
        ]
    ),
).rooted()

_CREATE: Final = """CREATE TABLE items (
    device_id TEXT PRIMARY KEY, caption TEXT, size INTEGER, rank INTEGER, enabled INTEGER, status TEXT)"""
_CREATE_JSON: Final = "CREATE TABLE objects (id TEXT PRIMARY KEY, data TEXT)"


def row_of(number: int) -> tuple[str, str, int, int, bool, str]:
    """The values of one item."""
    return f"DISK-{number:08}", f"Volume {number} of the array", number * 4096, number % 1000, number % 2 == 0, "OK"


def instance_of(number: int) -> Instance:
    """The same as an instance."""
    return Instance.of_values(ITEM.shape, list(row_of(number)))


def changed_of(number: int, change: int) -> tuple[str, str, int, int, bool, str]:
    """The same item with one value changed: SQLite would not write a row that stays as it is."""
    device_id, caption, size, _, enabled, status = row_of(number)
    return device_id, caption, size, change % 1000, enabled, status


def key_of(number: int) -> str:
    """The identity by which the store knows it."""
    return identity(ITEM, {"DeviceID": f"DISK-{number:08}"})


class Peers:
    """Our store and the bare tables, each with `size` items, and the measurements on them."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self.keys = list(range(size))
        random.Random(size).shuffle(self.keys)
        self.next = size
        self.change = 0
        self.ours = SqliteStore(folder / f"ours-{size}.db")
        self.bare = bare(folder / f"bare-{size}.db")
        self.objects = bare(folder / f"objects-{size}.db")
        # The object manager over the same store; operations on it run in a loop of ours.
        self.loop = asyncio.new_event_loop()
        self.manager = ObjectManager(self.ours)
        self.context = CallContext(principal=Principal.local_system())
        self.loop.run_until_complete(self.manager.open())
        self.ours.put_class(NS, ITEM)
        with self.ours.transaction():
            for number in range(size):
                self.ours.put_instance(NS, instance_of(number))
        self.namespace = self.loop.run_until_complete(self.manager.connect(NS, self.context))
        self.grow()
        self.bare.execute(_CREATE)
        self.bare.execute("BEGIN")
        self.bare.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", map(row_of, range(size)))
        self.bare.execute("COMMIT")
        self.objects.execute(_CREATE_JSON)
        self.objects.execute("BEGIN")
        self.objects.executemany("INSERT INTO objects VALUES (?, ?)", map(object_of, map(row_of, range(size))))
        self.objects.execute("COMMIT")

    def grow(self) -> None:
        """Gives each write-ahead log its usual length, so that nobody is measured while it still grows."""
        text = "x" * 8_000_000
        grown = ITEM.new(DeviceID="", Caption=text)
        self.ours.put_instance(NS, grown)
        self.ours.delete_instance(NS, "Bench_Item", str(grown.identity))
        for connection in (self.bare, self.objects):
            connection.execute("CREATE TABLE grown (text)")
            connection.execute("INSERT INTO grown VALUES (?)", (text,))
            connection.execute("DROP TABLE grown")

    def close(self) -> None:
        self.loop.run_until_complete(self.manager.close())
        self.loop.close()
        self.bare.close()
        self.objects.close()

    def taken(self, count: int) -> list[int]:
        """Keys that are there and were not asked for before, in random order."""
        self.keys, found = self.keys[count:], self.keys[:count]
        return found

    def fresh(self, count: int) -> list[int]:
        """Keys that are not there yet."""
        self.next += count
        return list(range(self.next - count, self.next))


def bare(path: Path) -> sqlite3.Connection:
    """A database as durable as the repository."""
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "cache_size = -65536"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def object_of(row: tuple[str, str, int, int, bool, str]) -> tuple[str, str]:
    """One item as JSON."""
    device_id, caption, size, rank, enabled, status = row
    values = {"caption": caption, "size": size, "rank": rank, "enabled": enabled, "status": status}
    return device_id, json.dumps({"device_id": device_id, **values})


Lane = Callable[[Peers, list[int]], Any]
"""One peer's way to do something with each of these keys."""


def delete_ours(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        assert peers.ours.delete_instance(NS, "Bench_Item", key_of(key))


def delete_bare(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        assert peers.bare.execute("DELETE FROM items WHERE device_id = ?", (f"DISK-{key:08}",)).rowcount


def delete_object(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        assert peers.objects.execute("DELETE FROM objects WHERE id = ?", (f"DISK-{key:08}",)).rowcount


def replace_ours(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        peers.ours.put_instance(NS, Instance.of_values(ITEM.shape, list(changed_of(key, peers.change))))


def replace_bare(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        peers.bare.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", changed_of(key, peers.change))


def replace_object(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        peers.objects.execute("INSERT OR REPLACE INTO objects VALUES (?, ?)", object_of(changed_of(key, peers.change)))


def put_ours(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        peers.ours.put_instance(NS, instance_of(key))


def put_bare(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        peers.bare.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", row_of(key))


def put_object(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        peers.objects.execute("INSERT OR REPLACE INTO objects VALUES (?, ?)", object_of(row_of(key)))


def get_ours(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        assert peers.ours.get_instance(NS, "Bench_Item", key_of(key))


def get_bare(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        assert peers.bare.execute("SELECT * FROM items WHERE device_id = ?", (f"DISK-{key:08}",)).fetchone()


def get_object(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        row = peers.objects.execute("SELECT data FROM objects WHERE id = ?", (f"DISK-{key:08}",)).fetchone()
        assert json.loads(row[0])


def enumerate_ours(peers: Peers, keys: list[int]) -> None:
    for _ in islice(peers.ours.instances(NS, "Bench_Item"), len(keys)):
        pass


def enumerate_bare(peers: Peers, keys: list[int]) -> None:
    for _ in islice(peers.bare.execute("SELECT * FROM items"), len(keys)):
        pass


def enumerate_object(peers: Peers, keys: list[int]) -> None:
    for (data,) in islice(peers.objects.execute("SELECT data FROM objects"), len(keys)):
        json.loads(data)


def by_key_ours(peers: Peers, keys: list[int]) -> None:
    for key in keys:
        conditions = [Condition("DeviceID", "=", f"DISK-{key:08}"), Condition("Rank", "<", 1000)]
        assert len(list(peers.ours.instances(NS, "Bench_Item", deep=True, conditions=conditions))) == 1


def by_key_bare(peers: Peers, keys: list[int]) -> None:
    sql = "SELECT * FROM items WHERE device_id = ? AND rank < ?"
    for key in keys:
        assert len(peers.bare.execute(sql, (f"DISK-{key:08}", 1000)).fetchall()) == 1


def by_key_object(peers: Peers, keys: list[int]) -> None:
    sql = "SELECT data FROM objects WHERE id = ? AND json_extract(data, '$.rank') < ?"
    for key in keys:
        assert [json.loads(data) for (data,) in peers.objects.execute(sql, (f"DISK-{key:08}", 1000))]


def select_ours(peers: Peers, keys: list[int]) -> None:
    conditions = [Condition("Rank", "=", keys[0] % 1000), Condition("Enabled", "=", keys[0] % 2 == 0)]
    assert list(peers.ours.instances(NS, "Bench_Item", deep=True, conditions=conditions))


def through_manager(peers: Peers, queries: list[str]) -> None:
    """Each query as a caller in this process asks the object manager for it."""

    async def ask() -> None:
        for query in queries:
            operation = await peers.namespace.start(ExecQuery(query), peers.context)
            assert await operation.collect()

    peers.loop.run_until_complete(ask())


def by_key_managed(peers: Peers, keys: list[int]) -> None:
    through_manager(
        peers, [f"SELECT * FROM Bench_Item WHERE DeviceID = 'DISK-{key:08}' AND Rank < 1000" for key in keys]
    )


def select_managed(peers: Peers, keys: list[int]) -> None:
    enabled = "TRUE" if keys[0] % 2 == 0 else "FALSE"
    through_manager(peers, [f"SELECT * FROM Bench_Item WHERE Rank = {keys[0] % 1000} AND Enabled = {enabled}"])


def select_bare(peers: Peers, keys: list[int]) -> None:
    sql = "SELECT * FROM items WHERE rank = ? AND enabled = ?"
    assert peers.bare.execute(sql, (keys[0] % 1000, keys[0] % 2 == 0)).fetchall()


def select_object(peers: Peers, keys: list[int]) -> None:
    sql = "SELECT data FROM objects WHERE json_extract(data, '$.rank') = ? AND json_extract(data, '$.enabled') = ?"
    assert [json.loads(data) for (data,) in peers.objects.execute(sql, (keys[0] % 1000, keys[0] % 2 == 0))]


@dataclass(frozen=True)
class Task:
    """One thing to measure. `count` is how many keys a turn takes; 0 is one pass over all."""

    name: str
    lanes: tuple[Lane, Lane, Lane]
    count: int
    fresh: bool = False
    consumes: bool = False


TASKS: Final = (
    Task("durable delete by key", (delete_ours, delete_bare, delete_object), BLOCK, consumes=True),
    Task("durable put, new", (put_ours, put_bare, put_object), BLOCK, fresh=True),
    Task("durable put, replacing", (replace_ours, replace_bare, replace_object), BLOCK),
    Task("get by key", (get_ours, get_bare, get_object), 1000),
    Task("enumeration", (enumerate_ours, enumerate_bare, enumerate_object), 20_000),
    Task("query on the key", (by_key_ours, by_key_bare, by_key_object), 1000),
    Task("selective query, no index", (select_ours, select_bare, select_object), 0),
    Task("WQL on the key", (by_key_managed, by_key_bare, by_key_object), 1000),
    Task("WQL, selective, no index", (select_managed, select_bare, select_object), 0),
)


class Measurement:
    """One task at one size, turn by turn."""

    def __init__(self, task: Task, peers: Peers, rounds: int) -> None:
        self.task = task
        self.peers = peers
        self.count = min(task.count or peers.size, len(peers.keys))
        self.turns = rounds * 40 if task.count == BLOCK else rounds
        if task.consumes:  # half of them stay, for the tasks that follow
            self.turns = min(self.turns, len(peers.keys) // (2 * self.count))
        self.seconds: list[list[float]] = [[], [], []]
        self.chooser = random.Random(7)

    def turn(self, number: int) -> None:
        """Each peer once, another one first each time, with the same keys."""
        if number >= self.turns:
            return
        keys = self.keys()
        self.peers.change = number + 1
        for lane in sorted(range(3), key=lambda lane: (lane + number) % 3):
            began = time.perf_counter()
            self.task.lanes[lane](self.peers, keys)
            self.seconds[lane].append((time.perf_counter() - began) / self.count)

    def keys(self) -> list[int]:
        if self.task.fresh:
            return self.peers.fresh(self.count)
        if self.task.consumes:
            return self.peers.taken(self.count)
        return self.chooser.sample(self.peers.keys, self.count) if self.task.count else [self.chooser.randrange(1000)]

    def rates(self) -> list[float]:
        """Medians of ours, bare and objects: per second, of keys or, for a pass over all, of rows."""
        return [1 / statistics.median(found) for found in self.seconds]


def report(sizes: list[int], rounds: int, folder: Path) -> Iterator[str]:
    """The table, line by line; `sizes` ascend."""
    yield f"sqlite {sqlite3.sqlite_version}, {rounds} rounds, rates per second"
    yield f"{'':<28}{'items':>9}{'ours':>11}{'bare':>11}{'ratio':>7}{'objects':>11}{'ratio':>7}{'small/large':>12}"
    peers = [Peers(folder, size) for size in sizes]
    for task in TASKS:
        measurements = [Measurement(task, each, rounds) for each in peers]
        for number in range(max(each.turns for each in measurements)):
            for each in measurements:
                each.turn(number)
        small = measurements[0].rates()[0]
        for measurement in measurements:
            ours, theirs, objects = measurement.rates()
            growth = "" if measurement is measurements[0] or not task.count else f"{small / ours:>12.2f}"
            yield (
                f"{task.name:<28}{measurement.peers.size:>9}{ours:>11.0f}{theirs:>11.0f}{ours / theirs:>7.2f}"
                f"{objects:>11.0f}{ours / objects:>7.2f}{growth}"
            )
    for peer in peers:
        peer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The repository beside bare sqlite3.")
    parser.add_argument("--size", type=int, default=1_000_000, help="how many items in the large store")
    parser.add_argument("--small", type=int, default=1_000, help="how many items in the small one")
    parser.add_argument("--quick", action="store_true", help="20,000 items instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the temporary files")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=chosen.folder))
    try:
        for line in report([chosen.small, 20_000 if chosen.quick else chosen.size], chosen.rounds, folder):
            print(line, flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
