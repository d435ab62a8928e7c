"""The forms in which objects are written: for people, for programs, and for Parquet's readers.

A table's columns are those of the first thousand objects, so that it can be written as it comes. CSV and Parquet (whose
types are those of `openwmi.client.tables`) are for programs, which want all columns: they are written once everything
is there.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from openwmi.cim import DateTime, Instance
from openwmi.cim.json import to_jsonable
from openwmi.cli.output import (
    HOST,
    Found,
    columns_of,
    row_of,
    write_objects,
    write_objects_as_json,
    write_objects_as_lines,
)
from openwmi.errors import ConfigurationError
from openwmi.mof import write_mof

__all__ = ["Format", "FormatOption", "writer_of"]


class Format(StrEnum):
    """The forms."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MOF = "mof"
    PARQUET = "parquet"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="How to write what is found: jsonl has an object a line.")
]


def writer_of(form: Format, *, as_json: bool = False, columns: Sequence[str] = ()) -> Callable[[Iterable[Found]], None]:
    """What writes objects to stdout in a form; `as_json` is the option ``--json``, which is short for one.

    Where the form has columns, those named stand first, in that order.
    """
    wanted = Format.JSON if as_json else form
    if wanted in _IN_COLUMNS:
        return lambda found: _IN_COLUMNS[wanted](found, columns)
    return _WRITERS[wanted]


def _write_mof(found: Iterable[Found]) -> None:
    last = None
    for host, obj in found:
        if host != last:
            sys.stdout.write(f"// {host}\n")
            last = host
        sys.stdout.write(write_mof(obj))


def _write_csv(found: Iterable[Found], first: Sequence[str]) -> None:
    """RFC 4180, with the names first; NULL is an empty field, and an array or an embedded object is JSON."""
    every = _instances(found)
    columns = columns_of(every, first)
    if columns:
        writer = csv.writer(sys.stdout, lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row_of(one, columns)] for one in every)


def _instances(found: Iterable[Found]) -> list[Found]:
    every = list(found)
    if not all(isinstance(obj, Instance) for _, obj in every):
        raise ConfigurationError("classes have no columns: use --format mof or json for them")
    return every


def _cell(value: Any) -> str | None:
    """A value as text that a program can read again."""
    if value is None:
        return None
    plain = to_jsonable(DateTime.of(value) if isinstance(value, datetime | timedelta) else value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _write_parquet(found: Iterable[Found], first: Sequence[str]) -> None:
    if sys.stdout.isatty():
        raise ConfigurationError("Parquet is nothing for a terminal: write it to a file with > FILE")
    from openwmi.client.tables import table

    every = _instances(found)
    made = table(obj for _, obj in every)
    columns = columns_of(every, first)
    if HOST in columns:
        made = made.append_column(HOST, [[host for host, _ in every]])
    import pyarrow.parquet  # `table` has said what to do where it is missing

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(made.select(columns), buffer)
    sys.stdout.flush()
    sys.stdout.buffer.write(buffer.getvalue())


_WRITERS: Final[dict[Format, Callable[[Iterable[Found]], None]]] = {
    Format.JSON: write_objects_as_json,
    Format.JSONL: write_objects_as_lines,
    Format.MOF: _write_mof,
}
_IN_COLUMNS: Final[dict[Format, Callable[[Iterable[Found], Sequence[str]], None]]] = {
    Format.TABLE: write_objects,
    Format.CSV: _write_csv,
    Format.PARQUET: _write_parquet,
}
