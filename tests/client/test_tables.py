"""Results as columns of Arrow, and what pandas makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas
import pyarrow
import pytest

import openwmi
from openwmi.client.tables import record_batches, table
from openwmi.errors import CallerError, ConfigurationError
from tests.client.test_objects import sample

MOF = r"""
class Acme_Base { [key] uint32 Number; };
class Acme_First : Acme_Base { string Text; datetime When; };
class Acme_Second : Acme_Base { real64 Share; datetime When; };
instance of Acme_First { Number = 1; Text = "a"; When = "20260131123015.000000+060"; };
instance of Acme_First { Number = 2; };
instance of Acme_Second { Number = 3; Share = 0.5; When = "00000001000000.000000:000"; };
"""


@pytest.fixture(scope="module")
def session() -> Iterator[openwmi.Session]:
    with openwmi.connect("local:") as opened:
        opened.compile_mof(MOF)
        yield opened


@pytest.mark.parametrize(
    ("name", "type_", "value"),
    [
        ("Name", pyarrow.string(), "one"),
        ("Big", pyarrow.uint64(), 2**64 - 1),
        ("Small", pyarrow.int8(), -5),
        ("On", pyarrow.bool_(), True),
        ("Share", pyarrow.float64(), 0.5),
        ("Since", pyarrow.timestamp("us", "UTC"), datetime(2026, 1, 31, 12, 30, 15, 250, tzinfo=UTC)),
        ("Took", pyarrow.duration("us"), timedelta(hours=1, seconds=2)),
        ("Vague", pyarrow.string(), "202601********.******+000"),
        ("Raw", pyarrow.binary(), b"\x00\xff"),
        ("Many", pyarrow.list_(pyarrow.int32()), [1, -2]),
        ("Child", pyarrow.string(), '{"__CLASS": "Inner", "Number": 7}'),
        ("Children", pyarrow.list_(pyarrow.string()), ['{"__CLASS": "Inner", "Number": 7}', None]),
        ("Note", pyarrow.string(), None),
    ],
)
def test_a_column_has_the_type_of_its_property(name: str, type_: pyarrow.DataType, value: Any) -> None:
    made = table([sample()])
    assert (made.schema.field(name).type, made.column(name).to_pylist()) == (type_, [value])


def test_all_classes_of_the_results_have_their_columns(session: openwmi.Session) -> None:
    first = session.query("SELECT * FROM Acme_First").to_arrow()
    assert first.column("When").type == pyarrow.timestamp("us", "UTC")
    both = session.query("SELECT * FROM Acme_Base").to_arrow().sort_by("Number")
    assert both.column_names == ["Number", "Text", "When", "Share"]
    assert both.column("Share").to_pylist() == [None, None, 0.5]
    # A time in one and an interval in another: only as text are they of one type.
    assert both.column("When").to_pylist() == ["2026-01-31 12:30:15+01:00", None, "1 day, 0:00:00"]


def test_no_results(session: openwmi.Session) -> None:
    assert session.query("SELECT * FROM Acme_First WHERE Number > 9").to_arrow().num_rows == 0


def test_pandas_takes_an_operation(session: openwmi.Session) -> None:
    frame = pandas.DataFrame.from_arrow(session.query("SELECT Number, Text FROM Acme_First"))
    assert sorted(frame["Number"]) == [1, 2]
    assert frame.dtypes["Number"] == "uint32"


def test_each_page_is_a_batch_and_is_read_when_it_is_asked_for() -> None:
    read = []

    def pages() -> Iterator[list[Any]]:
        for number in range(3):
            read.append(number)
            yield [sample(Name=f"{number}")]

    reader = record_batches(pages())
    assert read == [0]
    assert reader.read_next_batch().column("Name").to_pylist() == ["0"]
    assert [batch.num_rows for batch in reader] == [1, 1]


def test_a_property_that_comes_too_late(session: openwmi.Session) -> None:
    first, second = (session.query(f"SELECT * FROM Acme_{name}").results() for name in ("First", "Second"))
    with pytest.raises(CallerError, match=r"Share of Acme_Second came after the columns .* use to_arrow\(\)"):
        record_batches([first, second]).read_all()


def test_a_time_that_becomes_an_interval() -> None:
    pages = [[sample()], [sample(Since=timedelta(1))]]
    with pytest.raises(CallerError, match=r"Since is no timestamp.* any more"):
        record_batches(pages).read_all()


def test_only_instances_make_rows(session: openwmi.Session) -> None:
    with pytest.raises(CallerError, match="this result is a Class"):
        table([session.get_class("Acme_First")])


def test_a_failure_is_no_shorter_table(session: openwmi.Session) -> None:
    with pytest.raises(openwmi.InvalidClass):
        session.query("SELECT * FROM Acme_Third").to_arrow()
    with pytest.raises(openwmi.InvalidClass):
        pyarrow.RecordBatchReader.from_stream(session.query("SELECT * FROM Acme_Third")).read_all()


def test_without_pyarrow(session: openwmi.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'openwmi\[arrow\]'"):
        session.query("SELECT * FROM Acme_First").to_arrow()
