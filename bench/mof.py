"""The DMTF's schema into a fresh durable repository, its inheritance resolved, against pywbem doing it in memory.

    python bench/mof.py SCHEMA.zip [--classes N] [--rounds N]

SCHEMA.zip is the DMTF's own archive (cim_schema_*-MOFs.zip). Each side runs in a process of its own: openwmi through
`ObjectManager.compile_mof` into SQLite (on the disk when it returns), pywbem through
`FakedWBEMConnection.compile_mof_file`. Imports and the empty repository are not counted. Printed are seconds (the best
round), the process's peak memory, and the ratios. pywbem is in the dependency group "bench".
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

NAMESPACE = "root/cimv2"
INCLUDE = re.compile(r'^#pragma include \("[^"]+"\)\s*$', re.MULTILINE)
LEAST = 10.0


def prepare(archive: Path, folder: Path, classes: int | None) -> Path:
    """Unpacks the schema; the path of its main file, cut to `classes` includes and the qualifiers."""
    with zipfile.ZipFile(archive) as schema:
        schema.extractall(folder)
    main = next(folder.glob("cim_schema_*.mof"))
    if classes is not None:
        text = main.read_text("utf-8")
        includes = [match.span() for match in INCLUDE.finditer(text)]
        if len(includes) > classes + 1:  # the first includes the qualifiers
            main.write_text(text[: includes[classes][1]] + "\n", "utf-8")
    return main


async def openwmi(main: Path) -> tuple[float, int]:
    """Seconds, and how many classes are there afterwards."""
    from openwmi.cim.operations import CallContext
    from openwmi.manager import ObjectManager
    from openwmi.mof import read_include, read_mof
    from openwmi.repository import SqliteStore
    from openwmi.security.principals import Principal

    with tempfile.TemporaryDirectory() as folder:
        async with ObjectManager(SqliteStore(Path(folder) / "repository.db")) as manager:
            before = len(manager.store.class_names("root\\cimv2"))
            context = CallContext(principal=Principal.local_system())
            began = time.perf_counter()
            await manager.compile_mof(read_mof(main), "root\\cimv2", context, file=str(main), include=read_include)
            taken = time.perf_counter() - began
            return taken, len(manager.store.class_names("root\\cimv2")) - before


def pywbem(main: Path) -> tuple[float, int]:
    """Seconds, and how many classes are there afterwards."""
    from pywbem_mock import FakedWBEMConnection

    connection = FakedWBEMConnection(default_namespace=NAMESPACE)
    began = time.perf_counter()
    connection.compile_mof_file(str(main), namespace=NAMESPACE, search_paths=[str(main.parent)])
    taken = time.perf_counter() - began
    return taken, len(connection.EnumerateClassNames(DeepInheritance=True))


def work(who: str, main: Path) -> None:
    """What the measured process does."""
    seconds, classes = asyncio.run(openwmi(main)) if who == "openwmi" else pywbem(main)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(json.dumps({"seconds": seconds, "classes": classes, "megabytes": peak}))


def measure(who: str, main: Path, rounds: int) -> dict[str, float]:
    """The best of some rounds."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--worker", who, str(main)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    best: dict[str, float] = min(found, key=lambda f: f["seconds"])
    print(f"{who:<10} {best['seconds']:8.2f} s {best['megabytes']:8.0f} MB {best['classes']:6,} classes")
    return best


def main() -> int:
    """0 if openwmi is fast and small enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("schema", type=Path)
    parser.add_argument("--classes", type=int, help="only so many (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=["openwmi", "pywbem"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.schema)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = prepare(arguments.schema, Path(folder), arguments.classes)
        ours = measure("openwmi", file, arguments.rounds)
        theirs = measure("pywbem", file, max(1, arguments.rounds // 2))
    faster = theirs["seconds"] / ours["seconds"]
    smaller = theirs["megabytes"] / ours["megabytes"]
    print(f"openwmi is {faster:.1f} times as fast (at least {LEAST:.0f}) and takes 1/{smaller:.2f} of the memory")
    return 0 if faster >= LEAST and smaller > 1 and ours["classes"] == theirs["classes"] else 1


if __name__ == "__main__":
    sys.exit(main())
