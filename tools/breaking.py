"""Whether the marks of the tests are true: ``make breaking``.

Usage: ``python tools/breaking.py [ID ...] [--jobs N]``. A test may carry a requirement's id only if it fails when the
behaviour in that sentence is broken, so this breaks it. Each entry of ``tools/breakings.toml`` is one way to break the
product: the ids of the sentences that are no longer followed then, a file below ``src/openwmi``, the text in it that
goes, and what comes instead. In a copy of the tree, the tests that carry those ids are run; for every id one of them
has to fail. With ids on the command line, only the entries that break one of them.

The exit status is 1 when an id survives, when nobody carries it, or when a text is not found exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

__all__ = ["Breaking", "main", "read_breakings", "survivors"]

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = ROOT / "tools" / "breakings.toml"
COPIED: Final = ("src", "tests", "tools", "fuzz", "examples", "docs", "pyproject.toml", "README.md", "Makefile")
_LONGEST: Final = 240  # seconds, for the tests of one entry


@dataclass(frozen=True)
class Breaking:
    """One way to break the product: in `file`, below the package, `old` becomes `new`, and `ids` are not followed."""

    ids: tuple[str, ...]
    file: str
    old: str
    new: str

    def broken(self, package: Path) -> str:
        """The file's text, broken. `ValueError` unless the text that goes is there once."""
        text = (package / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: the text is there {text.count(self.old)} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


def read_breakings(path: Path = TABLE) -> list[Breaking]:
    """The entries of the table."""
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["breaking"]
    return [Breaking(tuple(row["ids"]), row["file"], row["old"], row["new"]) for row in rows]


def survivors(ids: Sequence[str], report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The ids of which no test failed."""
    failed = {identifier for test in report.values() if test["outcome"] == "failed" for identifier in test["ids"]}
    return [identifier for identifier in ids if identifier not in failed]


def _pytest(tree: Path, report: Path, *arguments: str) -> str:
    """Runs pytest in a tree, which writes `report`; what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--requirements", str(report)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=False
    )
    return done.stdout + done.stderr


def _load(report: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))
    return found


def _check(breaking: Breaking, tree: Path, carriers: Mapping[str, Sequence[str]]) -> list[str]:
    """Breaks the copy in `tree`, runs the tests, mends it. What is wrong."""
    unknown = [f"{identifier}: no test carries it" for identifier in breaking.ids if identifier not in carriers]
    tests = sorted({test for identifier in breaking.ids for test in carriers.get(identifier, ())})
    package, report = tree / "src" / "openwmi", tree / "report.json"
    source = package / breaking.file
    whole = source.read_text(encoding="utf-8")
    try:
        source.write_text(breaking.broken(package), encoding="utf-8")
        chosen = tree / "tests.txt"
        chosen.write_text("\n".join(tests) + "\n", encoding="utf-8")
        report.unlink(missing_ok=True)
        printed = _pytest(tree, report, "--until-broken", ",".join(breaking.ids), f"@{chosen}") if tests else ""
    except (ValueError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    finally:
        source.write_text(whole, encoding="utf-8")
    if tests and not report.exists():
        return [f"{breaking.file}: the tests could not be run:\n{printed}"]
    alive = survivors(breaking.ids, _load(report) if tests else {})
    where = f"{breaking.file}: {breaking.old.strip().splitlines()[0].strip()}"
    return [*unknown, *(f"{i}: its tests pass without {where}" for i in alive if i in carriers)]


@contextmanager
def _copies(number: int) -> Iterator[SimpleQueue[Path]]:
    """So many copies of the tree, to be taken and put back."""
    with tempfile.TemporaryDirectory(prefix="breaking-") as folder:
        free: SimpleQueue[Path] = SimpleQueue()
        for index in range(number):
            tree = Path(folder, str(index))
            tree.mkdir()
            for name in COPIED:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(ROOT / name, tree / name)
            free.put(tree)
        yield free


def main(arguments: Sequence[str] | None = None) -> int:
    """Break everything in the table, or what breaks the ids that are named; the exit status."""
    parser = argparse.ArgumentParser(description="Whether tests fail when what they show is broken.")
    parser.add_argument("ids", nargs="*", metavar="ID", help="only the entries that break one of these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many entries at a time")
    options = parser.parse_args(arguments)
    wanted = [one for one in read_breakings() if not options.ids or set(one.ids) & set(options.ids)]
    with _copies(options.jobs) as free, ThreadPoolExecutor(options.jobs) as pool:
        tree = free.get()
        _pytest(tree, tree / "carriers.json", "--collect-only", "tests")
        carriers: dict[str, list[str]] = {}
        for test, row in _load(tree / "carriers.json").items():
            for identifier in row["ids"]:
                carriers.setdefault(identifier, []).append(test)
        free.put(tree)

        def check(breaking: Breaking) -> list[str]:
            tree = free.get()
            try:
                return _check(breaking, tree, carriers)
            finally:
                free.put(tree)

        wrong = []
        for breaking, complaints in zip(wanted, pool.map(check, wanted), strict=True):
            print(f"{'survived' if complaints else 'broken  '} {breaking.file}: {', '.join(breaking.ids)}", flush=True)
            wrong += complaints
    print(f"{len(wanted)} ways to break {len({i for one in wanted for i in one.ids})} sentences")
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
