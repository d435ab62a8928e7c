"""The tables of docs/conformance, and the program that reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools.conformance import FOLDER, State, main, read_claims, specifications

HEADS = {"not-applicable.tsv": "reason", "deferred.tsv": "waits for", "not-followed.tsv": "reason"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A specification with two sections, of which the first is demanded."""
    rows = ["id\tlevel\tsection", "X-1-01\tMUST\tOne", "X-1-02\tMUST\tOne", "X-1-03\tMAY\tOne", "X-2-01\tMUST\tTwo"]
    (tmp_path / "ms-x.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    (tmp_path / "demanded.tsv").write_text("section\tscope\nX-1\tparts\n", "utf-8")
    for name, head in HEADS.items():
        (tmp_path / name).write_text(f"id\t{head}\n", "utf-8")
    return tmp_path


def say(folder: Path, table: str, line: str) -> None:
    with (folder / table).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def judged(folder: Path, **tests: tuple[str, list[str]]) -> int:
    report = folder / "report.json"
    found = {name: {"outcome": outcome, "ids": ids} for name, (outcome, ids) in tests.items()}
    report.write_text(json.dumps(found), "utf-8")
    return main([str(report), "--specification", "ms-x", "--folder", str(folder)])


def test_everything_demanded_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(folder, test=("passed", ["X-1-01", "X-1-02"])) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].split() == ["demanded", "2", "0", "0", "0", "0"]
    assert printed[-1].split() == ["all", "2", "0", "0", "0", "1"]


@pytest.mark.parametrize("table", HEADS)
def test_a_table_speaks_for_an_id(folder: Path, table: str) -> None:
    say(folder, table, "X-1-02\tbecause")
    assert judged(folder, test=("passed", ["X-1-01"])) == 0


@pytest.mark.parametrize(
    ("tests", "lines", "complaint"),
    [
        ({"a": ("passed", ["X-1-01"])}, [], "X-1-02 is open"),
        ({"a": ("passed", ["X-1-01", "X-1-02"]), "b": ("failed", ["X-1-02"])}, [], "X-1-02 is open"),
        ({"a": ("passed", ["X-1-01"]), "b": ("skipped", ["X-1-02"])}, [], "X-1-02 is open"),
        ({"a": ("passed", ["X-1-01", "X-1-02"]), "b": ("failed", ["X-2-01"])}, [], "b failed"),
        ({"a": ("passed", ["X-1-01", "X-1-02"])}, ["X-1-02\twhy"], "X-1-02 is claimed as n/a and as shown"),
        ({"a": ("passed", ["X-1-01", "X-1-02"])}, ["X-9-01\twhy"], "no specification has an id 'X-9-01'"),
        ({"a": ("passed", ["X-1-01"])}, ["X-1-02\t"], "X-1-02 has no reason"),
        ({"a": ("passed", ["X-1-01"])}, ["X-1-02\ta", "X-1-02\tb"], "X-1-02 is there twice"),
    ],
)
def test_what_is_complained_of(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tests: dict[str, tuple[str, list[str]]],
    lines: list[str],
    complaint: str,
) -> None:
    for line in lines:
        say(folder, "not-applicable.tsv", line)
    assert judged(folder, **tests) == 1
    assert complaint in capsys.readouterr().err


def test_the_tables_are_in_order() -> None:
    known = {identifier for table in specifications().values() for identifier in table}
    claims = read_claims(FOLDER, known)
    assert claims.mistakes == []
    claimed = [identifier for state in State if state in claims.reasons for identifier in claims.reasons[state]]
    assert len(claimed) == len(set(claimed))


def test_an_unknown_id_fails_its_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["tests.requirements"]')
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.requirement("WMI-9.9.9-99")
        def test_it():
            pass
        """
    )
    pytester.makeini("[pytest]\nmarkers = requirement: an id\npythonpath = " + str(FOLDER.parent.parent))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*no specification in docs/conformance has WMI-9.9.9-99*"])
    assert result.ret == 1
