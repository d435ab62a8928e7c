"""Which sentences of a specification the tests show: ``make conformance``.

Usage: ``python tools/conformance.py REPORT [--specification NAME ...] [--list]``. REPORT is what
``pytest --requirements REPORT`` wrote: for each test that carries requirement ids, its outcome and the ids.

``docs/conformance`` holds the rest: the ids of each specification with their level and the title of their section, and
three tables that say why an id is not shown (``not-applicable.tsv``, ``deferred.tsv``, ``not-followed.tsv``). Every
MUST is in exactly one state. The program prints how many of each section are in which, and ends with 1 when an id of a
demanded section (``demanded.tsv``) is open, when a table names an unknown id or gives no reason, or when two states
claim one id.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

__all__ = ["Claims", "Requirement", "State", "judge", "main", "read_claims", "read_requirements", "shown_ids"]

DEFAULT = ("ms-wmi", "ms-wmio")
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "conformance"


class State(StrEnum):
    """What is known of a requirement. The value is the column's title."""

    SHOWN = "shown"
    NOT_APPLICABLE = "n/a"
    DEFERRED = "deferred"
    NOT_FOLLOWED = "not followed"
    OPEN = "open"


# The tables that speak for an id which no test shows. Whatever none of them names, and no test shows, is open.
TABLES = {
    State.NOT_APPLICABLE: "not-applicable.tsv",
    State.DEFERRED: "deferred.tsv",
    State.NOT_FOLLOWED: "not-followed.tsv",
}


@dataclass(frozen=True)
class Requirement:
    """One sentence of a specification: its id, its level (MUST, SHOULD, MAY) and the title of its section."""

    id: str
    level: str
    title: str

    @property
    def section(self) -> str:
        """The protocol and the section's number: ``WMI-3.1.4.3.15`` of ``WMI-3.1.4.3.15-14``."""
        return self.id.rpartition("-")[0]


@dataclass(frozen=True)
class Claims:
    """What the tables say: id to reason, for each state; which sections are demanded; mistakes found while reading."""

    reasons: Mapping[State, Mapping[str, str]]
    demanded: Mapping[str, str] = field(default_factory=dict)
    mistakes: Sequence[str] = ()

    def demands(self, section: str) -> bool:
        """Whether `demanded.tsv` names the section, or one that it is a part of."""
        above = section.split(".")
        return section in self.demanded or any(
            self.demanded.get(".".join(above[:length])) == "parts" for length in range(1, len(above))
        )


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated table, by column title. Quotes mean nothing."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_requirements(path: Path) -> dict[str, Requirement]:
    """The requirements of one specification, in the order of its text."""
    return {row["id"]: Requirement(row["id"], row["level"], row["section"]) for row in rows(path)}


def specifications(folder: Path = FOLDER) -> dict[str, dict[str, Requirement]]:
    """Every specification that the folder has ids of, by name."""
    return {path.stem: read_requirements(path) for path in sorted(folder.glob("ms-*.tsv"))}


def read_claims(folder: Path, known: Iterable[str]) -> Claims:
    """The three tables and the demanded sections of a folder; `known` are the ids of every specification."""
    ids = set(known)
    mistakes: list[str] = []
    reasons: dict[State, dict[str, str]] = {}
    for state, name in TABLES.items():
        table: dict[str, str] = {}
        for line, row in enumerate(rows(folder / name), start=2):
            identifier, reason = (value or "" for value in list(row.values())[:2])
            if identifier not in ids:
                mistakes.append(f"{name}:{line}: no specification has an id {identifier!r}")
            if identifier in table:
                mistakes.append(f"{name}:{line}: {identifier} is there twice")
            if not reason.strip():
                mistakes.append(f"{name}:{line}: {identifier} has no reason")
            table[identifier] = reason
        reasons[state] = table
    demanded = {row["section"]: row["scope"] for row in rows(folder / "demanded.tsv")}
    return Claims(reasons, demanded, mistakes)


def shown_ids(report: Path) -> tuple[set[str], list[str]]:
    """The ids shown by the tests of a report, and the tests that failed. A failed test shows nothing, and takes its
    ids away from those that passed; a skipped one says nothing.
    """
    tests: dict[str, dict[str, object]] = json.loads(report.read_text(encoding="utf-8"))
    passed: set[str] = set()
    broken: set[str] = set()
    failed = []
    for nodeid, test in tests.items():
        ids = test["ids"]
        assert isinstance(ids, list)
        if test["outcome"] == "passed":
            passed.update(ids)
        elif test["outcome"] == "failed":
            broken.update(ids)
            failed.append(nodeid)
    return passed - broken, failed


def judge(
    requirements: Mapping[str, Requirement], shown: set[str], claims: Claims
) -> tuple[dict[str, State], list[str]]:
    """The state of every MUST, and what is wrong."""
    states: dict[str, State] = {}
    mistakes: list[str] = []
    for identifier, requirement in requirements.items():
        claimed = [state for state, table in claims.reasons.items() if identifier in table]
        if identifier in shown:
            claimed.append(State.SHOWN)
        if len(claimed) > 1:
            mistakes.append(f"{identifier} is claimed as {' and as '.join(sorted(claimed))}")
        if requirement.level == "MUST":
            states[identifier] = claimed[0] if claimed else State.OPEN
            if not claimed and claims.demands(requirement.section):
                mistakes.append(f"{identifier} is open, in a demanded section")
    return states, mistakes


def summary(requirements: Mapping[str, Requirement], states: Mapping[str, State], claims: Claims) -> list[str]:
    """One line for each section that has a MUST (a star: demanded), and the sums."""
    counts: dict[str, Counter[State]] = {}
    titles: dict[str, str] = {}
    for identifier, state in states.items():
        requirement = requirements[identifier]
        counts.setdefault(requirement.section, Counter())[state] += 1
        titles[requirement.section] = requirement.title
    head = "".join(f"{state:>14}" for state in State)
    lines = [f"{'section':<18}{head}"]
    for section, count in counts.items():
        star = "*" if claims.demands(section) else " "
        figures = "".join(f"{count[state] or '.':>14}" for state in State)
        lines.append(f"{section:<17}{star}{figures}  {titles[section]}")
    for name, wanted in (("demanded", True), ("all", False)):
        total = sum(
            (count for section, count in counts.items() if not wanted or claims.demands(section)), Counter[State]()
        )
        lines.append(f"{name:<18}" + "".join(f"{total[state]:>14}" for state in State))
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the summary. Returns the exit status: 0, or 1 when something is open that is demanded, or wrong."""
    parser = argparse.ArgumentParser(description="Which sentences of a specification the tests show.")
    parser.add_argument("report", type=Path, help="what `pytest --requirements` wrote")
    parser.add_argument(
        "--specification", action="append", help=f"one of docs/conformance (default: {' and '.join(DEFAULT)})"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="also print every id with its state")
    options = parser.parse_args(arguments)
    known = specifications(options.folder)
    wanted = options.specification or [name for name in DEFAULT if name in known]
    for name in wanted:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    try:
        shown, failed = shown_ids(options.report)
    except (OSError, ValueError) as error:
        parser.error(f"{options.report} cannot be read ({error}): run pytest --requirements {options.report}")
    claims = read_claims(options.folder, (identifier for table in known.values() for identifier in table))
    complaints = [*(f"{nodeid} failed" for nodeid in failed), *claims.mistakes]
    for name in wanted:
        states, mistakes = judge(known[name], shown, claims)
        complaints += mistakes
        print("\n".join(summary(known[name], states, claims)))
        if options.list:
            print("\n".join(f"{identifier}\t{state}" for identifier, state in states.items()))
    for identifier, reason in claims.reasons[State.NOT_FOLLOWED].items():
        print(f"not followed: {identifier}: {reason}")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
