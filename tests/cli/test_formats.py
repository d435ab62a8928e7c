"""The forms of output, and what there is to list."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from openwmi.cim import CimType, Class, NameMap, Property
from openwmi.cli.output import HOST, Found, columns_of
from tests.cli.support import Run

THINGS = """
instance of Cli_Thing { Name = "a"; Size = 7; Tags = {"x", "y, z"}; Part = instance of Cli_Part { Number = 1; }; };
instance of Cli_Thing { Name = "b\\"\\n"; Loud = TRUE; Big = 18446744073709551615; Ratio = 0.5;
    When = "20261121033727.000000+000"; };
"""
QUERY = "SELECT * FROM Cli_Thing"


@pytest.fixture
def here(run: Run, repository: Path) -> Run:
    """Runs a command on a repository with the two things."""

    def on_repository(*arguments: object, stdin: str = "") -> object:
        return run(*arguments, "--repository", repository, stdin=stdin)

    assert on_repository("put", stdin=THINGS).status == 0  # type: ignore[attr-defined]
    return on_repository  # type: ignore[return-value]


def test_json_lines(here: Run) -> None:
    lines = here("query", "--format", "jsonl", QUERY).out.splitlines()
    assert [json.loads(line) for line in lines] == json.loads(here("query", "--format", "json", QUERY).out)
    assert [json.loads(line)["Name"] for line in lines] == ["a", 'b"\n']


def test_csv(here: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(here("query", "-f", "csv", QUERY).out, newline="")))
    assert list(rows[0]) == ["Name", "Size", "Big", "Loud", "When", "Tags", "Ratio", "Part"]
    assert [row["Name"] for row in rows] == ["a", 'b"\n']
    assert json.loads(rows[0]["Tags"]) == ["x", "y, z"]
    assert json.loads(rows[0]["Part"])["Number"] == 1
    assert (rows[0]["When"], rows[1]["When"]) == ("", "20261121033727.000000+000")
    assert (rows[1]["Loud"], rows[1]["Big"], rows[1]["Tags"]) == ("true", str(2**64 - 1), "")


class TestOrderOfColumns:
    """After SELECT the user says it; without, it is the class's own."""

    QUERY = "SELECT Tags, name, Size, NAME FROM Cli_Thing"
    COLUMNS = ("Tags", "Name", "Size")

    def test_csv_and_table(self, here: Run) -> None:
        rows = list(csv.reader(io.StringIO(here("query", "-f", "csv", self.QUERY).out, newline="")))
        assert rows == [list(self.COLUMNS), ['["x", "y, z"]', "a", "7"], ["", 'b"\n', "3"]]
        assert here("query", self.QUERY).out.splitlines()[0].split() == list(self.COLUMNS)
        assert here("shell", stdin=self.QUERY).out.splitlines()[0].split() == list(self.COLUMNS)

    @pytest.mark.usefixtures("here")
    def test_parquet(self, repository: Path) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        done = subprocess.run(
            [sys.executable, "-m", "openwmi", "query", "-f", "parquet", "--repository", str(repository), self.QUERY],
            capture_output=True, check=True,
        )  # fmt: skip
        assert parquet.read_table(io.BytesIO(done.stdout)).column_names == list(self.COLUMNS)

    def test_many_are_blocks(self, here: Run) -> None:
        names = [f"P{number}" for number in range(12)]
        declared = " ".join(f"uint8 {name};" for name in names)
        assert here("put", stdin=f"class Cli_Wide {{ [key] string Name; {declared} }};"
                    'instance of Cli_Wide { Name = "w"; };').status == 0  # fmt: skip
        shown = here("query", f"SELECT {', '.join(reversed(names))} FROM Cli_Wide").out.splitlines()
        assert [line.split()[0] for line in shown] == names[::-1]

    def test_all_that_there_are(self, here: Run) -> None:
        assert here("query", "-f", "csv", QUERY).out.splitlines()[0].startswith("Name,Size,Big,")
        assert here("query", "-f", "csv", "ASSOCIATORS OF {Cli_Thing='a'}").status == 0


def test_a_datetime_looks_the_same_everywhere(here: Run) -> None:
    """In a table and in a list; a day that never was is shown as what it is."""
    values = ["20261121033727.000000+060", "00000003040506.000000:000", "20260230000000.000000+000"]
    for number, value in enumerate(values):
        assert here("put", "Cli_Thing", "--set", f"Name=w{number}", "--set", f"When={value}").status == 0
    texts = ["2026-11-21 03:37:27+01:00", "3 days, 4:05:06", "20260230000000.000000+000"]
    for number, text in enumerate(texts):
        assert text in here("query", f"SELECT When FROM Cli_Thing WHERE Name = 'w{number}'").out
        assert f"When  = {text}\n" in here("get", f"Cli_Thing='w{number}'").out


@pytest.mark.parametrize("end", ["WITHIN 1 WHERE TargetInstance ISA 'Cli_Thing'", "WITHIN 2", "GROUP WITHIN 1"])
def test_events_will_follow(here: Run, end: str) -> None:
    done = here("query", f"SELECT * FROM __InstanceCreationEvent {end}")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("openwmi: events are not supported yet")


def test_mof_can_be_compiled_again(here: Run, run: Run, tmp_path: Path) -> None:
    text = here("class", "show", "Cli_Part").out + here("class", "show", "Cli_Thing").out
    text += here("query", "-f", "mof", QUERY).out
    copy = ("--repository", tmp_path / "copy.db")
    assert run("put", *copy, stdin=text).out == "4 objects\n"
    assert run("query", *copy, "--json", QUERY).out == here("query", "--json", QUERY).out


def test_parquet(here: Run, repository: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "openwmi", "query", "-f", "parquet", "--repository", str(repository), QUERY],
        capture_output=True, check=True,
    )  # fmt: skip
    table = parquet.read_table(io.BytesIO(done.stdout))
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["Name"], types["Size"], types["Big"], types["Loud"]) == ("string", "uint32", "uint64", "bool")
    assert list(types) == ["Name", "Size", "Big", "Loud", "When", "Tags", "Ratio", "Part"]
    assert table.column("Big").to_pylist() == [None, 2**64 - 1]
    assert table.column("Tags").to_pylist() == [["x", "y, z"], None]


def test_parquet_without_pyarrow(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = here("query", "-f", "parquet", QUERY)
    assert (done.status, done.out) == (1, "")
    assert "openwmi[arrow]" in done.err


def test_classes_have_no_columns(here: Run) -> None:
    done = here("ls", "-f", "csv")
    assert done.status == 1
    assert "--format mof" in done.err


def test_the_order_of_columns_is_not_that_of_arrival() -> None:
    def instance(name: str, *properties: str) -> Found:
        declared = NameMap(Property(one, CimType.STRING) for one in properties)
        return "host", Class(name, properties=declared).rooted().new()

    b, a = instance("B", "Name", "Z", "A"), instance("A", "Name", "M")
    assert columns_of([a, b]) == columns_of([b, a]) == [HOST, "Name", "M", "Z", "A"]


def test_lists(here: Run) -> None:
    names = here("ls").out.splitlines()
    assert names == sorted(names, key=str.lower)
    assert {"Cli_Part", "Cli_Thing", "Win32_Process"} <= set(names)
    assert here("ls", "Cli_Thing").out == here("query", QUERY).out
    descendants = here("class", "list", "CIM_Process").out.splitlines()
    assert "Win32_Process" in descendants
    assert "Cli_Thing" not in descendants


def test_class_delete(here: Run) -> None:
    assert here("class", "delete", "Cli_Thing").status == 0
    assert "WBEM_E_NOT_FOUND" in here("class", "show", "Cli_Thing").err


def test_namespaces(here: Run) -> None:
    here("put", stdin='#pragma namespace("root")\ninstance of __Namespace { Name = "one"; };')
    here("put", stdin='#pragma namespace("root/one")\ninstance of __Namespace { Name = "two"; };')
    top = here("namespaces").out.splitlines()
    assert "root\\one" in top
    assert "root\\one\\two" not in top
    every = json.loads(here("namespaces", "--recursive", "--json").out)
    assert every.index("root\\one") < every.index("root\\one\\two")
    assert here("namespaces", "-n", "root/one").out == "root\\one\\two\n"


def test_associators(here: Run) -> None:
    here(
        "put",
        stdin="[association] class Cli_Link { [key] Cli_Thing ref One; [key] Cli_Thing ref Other; };"
        'instance of Cli_Link { One = "Cli_Thing.Name=\\"a\\""; Other = "Cli_Thing.Name=\\"c\\""; };'
        'instance of Cli_Thing { Name = "c"; };',
    )
    found = json.loads(here("associators", "--json", 'Cli_Thing="a"').out)
    assert [one["Name"] for one in found] == ["c"]
    assert here("associators", 'Cli_Thing="a"', "--role", "Other").out == ""
    assert json.loads(here("associators", "--json", 'Cli_Thing="a"', "--through", "Cli_Link").out) == found


def test_nothing_to_put(here: Run) -> None:
    done = here("put", stdin=" \n")
    assert done.status == 2
    assert "stdin is empty" in done.err


def test_a_namespace_that_is_not_there_is_named(here: Run) -> None:
    done = here("query", "-n", "root/nowhere", QUERY)
    assert done.status == 1
    assert "root\\nowhere" in done.err.splitlines()[0]
    assert "WBEM_E_INVALID_NAMESPACE" in done.err.splitlines()[0]
