"""A writer that is killed at random moments, again and again: what it was told is done is there, and nothing in halves.

A process of its own (`SCRIPT`) forks the writers, so that each costs milliseconds: they open the store, write what a
seeded generator says, and report each write, when the store has returned, with one byte. The process kills a writer,
counts its bytes, and compares the file with what so many writes make of it, or so many and the one under way.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = 60

SCRIPT = r"""
import os, random, select, signal, sys
from contextlib import nullcontext
from dataclasses import replace
from openwmi.cim import CimType, Property, identity
from openwmi.repository import SqliteStore
from tests.repository.models import BASE, DERIVED, NS

path, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def writes(chance):
    # What a writer does, one after the other: (how, [(id, note or None for delete)]).
    while True:
        how = chance.choices(["put", "delete", "several", "class"], [5, 3, 3, 1])[0]
        count = chance.randrange(2, 6) if how == "several" else 1
        changes = []
        for number in chance.sample(range(40), count):
            note = "x" * chance.choice([3, 300, 3000, 20000]) + str(chance.random())
            gone = how == "delete" or (how == "several" and chance.random() < 0.3)
            changes.append((number, None if gone else note))
        yield how, changes


def apply(state, write):
    how, changes = write
    if how == "class":
        return {**state, "class": changes[0][1]}
    after = dict(state)
    for number, note in changes:
        if note is None:
            after.pop(number, None)
        else:
            after[number] = note
    return after


def do(store, write):
    how, changes = write
    if how == "class":
        note = Property("Note", CimType.STRING, default=changes[0][1], origin="Base")
        store.put_class(NS, replace(BASE, properties=BASE.properties.with_items([note])))
        return
    with store.transaction() if how == "several" else nullcontext():
        for number, note in changes:
            cls = DERIVED if number % 2 else BASE
            if note is None:
                store.delete_instance(NS, "Base", identity(BASE, {"Id": number}))
            else:
                store.put_instance(NS, cls.new(Id=number, Note=note))


def writer(number, report):
    store = SqliteStore(path)
    if number % 2:
        store._run("PRAGMA wal_autocheckpoint = 5")  # so that many die while the log is written back
    for write in writes(random.Random(seed * 1000 + number)):
        do(store, write)
        os.write(report, b".")


def found():
    with SqliteStore(path) as store:
        problems = store.verify()
        assert not problems, problems
        state = {i["Id"]: i["Note"] for i in store.instances(NS, "Base", deep=True)}
        state["class"] = store.get_class(NS, "Base").properties["Note"].default
    return state


with SqliteStore(path) as store:
    store.create_namespace("root")
    store.create_namespace(NS)
    store.put_class(NS, BASE)
    store.put_class(NS, DERIVED)

chance, state, written = random.Random(seed), {"class": "nothing"}, 0
for number in range(kills):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            writer(number, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    done = b""
    if number % 10:  # every tenth dies while it opens the store, or soon after
        for _ in range(chance.randrange(1, 25)):
            done += os.read(ours, 1)
    select.select([], [], [], chance.uniform(0, 0.004))
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "the writer ended by itself"
    while more := os.read(ours, 4096):
        done += more
    os.close(ours)
    ahead = writes(random.Random(seed * 1000 + number))
    for _ in done:
        state = apply(state, next(ahead))
    after = found()
    if after != state:
        state = apply(state, next(ahead))
        assert after == state, f"kill {number}: neither {len(done)} writes nor one more"
    written += len(done)
assert written > kills
print(kills, "kills")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("seed", range(4))  # 240 kills, in as many processes as there are
def test_acknowledged_writes_survive_kills(tmp_path: Path, seed: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "repository.db", str(seed), str(KILLS)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (process.stdout, process.stderr) == (f"{KILLS} kills\n", "")
