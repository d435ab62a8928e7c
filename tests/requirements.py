"""The plugin behind `@pytest.mark.requirement`: it refuses ids that no specification has, and reports what was shown.

A marker with an unknown id fails its test before it runs. With `--requirements FILE` the ids of every test that carries
some, and the test's outcome, are written as JSON: `{nodeid: {"outcome": "passed", "ids": [...]}}`, which
`tools/conformance.py` reads; with ``--collect-only`` the outcome is "collected". It works under xdist: ids travel with
each report as user properties.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from tools.conformance import specifications

PROPERTY = "requirement"


@cache
def known_ids() -> frozenset[str]:
    """The ids of all specifications in docs/conformance."""
    return frozenset(identifier for table in specifications().values() for identifier in table)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requirements", metavar="FILE", help="write which requirements were shown to FILE, as JSON")
    parser.addoption(
        "--until-broken", metavar="ID,...", default="", help="stop when for each of these ids a test has failed"
    )


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--requirements")
    # Under xdist only the controller sees every report; workers have `workerinput`.
    if path and not hasattr(config, "workerinput"):
        wanted = config.getoption("--until-broken")
        config.pluginmanager.register(Recorder(Path(path), wanted.split(",")), "requirements-recorder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        ids = {identifier for marker in item.iter_markers(PROPERTY) for identifier in marker.args}
        item.user_properties.extend((PROPERTY, identifier) for identifier in sorted(ids))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    unknown = sorted(
        str(value) for name, value in item.user_properties if name == PROPERTY and value not in known_ids()
    )
    if unknown:
        pytest.fail(f"no specification in docs/conformance has {', '.join(unknown)}", pytrace=False)


class Recorder:
    """Collects the outcome of each test that carries ids. A test is as good as the worst of its phases."""

    def __init__(self, path: Path, until_broken: Sequence[str]) -> None:
        self._path = path
        self._unbroken = set(until_broken)
        self._session: pytest.Session | None = None
        self._tests: dict[str, tuple[str, list[str]]] = {}

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        ids = [str(value) for name, value in report.user_properties if name == PROPERTY]
        if not ids:
            return
        before = self._tests.get(report.nodeid, ("passed", ids))[0]
        self._tests[report.nodeid] = (report.outcome if before == "passed" else before, ids)
        if report.failed and self._unbroken:
            self._unbroken -= set(ids)
            if not self._unbroken and self._session is not None:
                self._session.shouldstop = "each of these ids has a test that failed"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            for item in session.items:
                ids = [str(value) for name, value in item.user_properties if name == PROPERTY]
                if ids:
                    self._tests[item.nodeid] = ("collected", ids)

    def pytest_sessionfinish(self) -> None:
        tests = {nodeid: {"outcome": outcome, "ids": ids} for nodeid, (outcome, ids) in sorted(self._tests.items())}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(tests, indent=1) + "\n", encoding="utf-8")
