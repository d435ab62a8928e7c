"""What commands write: JSON, a table on a terminal, aligned text elsewhere.

Data are another machine's: control characters in them are written as escapes, so that they cannot act on a terminal.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from openwmi.causes import Cause
from openwmi.cim import CimObject, Class, Instance, fold
from openwmi.cim.json import class_to_json, instance_to_json, to_jsonable
from openwmi.errors import printable
from openwmi.mof import write_mof

__all__ = [
    "HOST",
    "Found",
    "cause_lines",
    "clean",
    "columns_of",
    "row_of",
    "with_host",
    "write",
    "write_json",
    "write_json_array",
    "write_object",
    "write_objects",
    "write_objects_as_json",
    "write_objects_as_lines",
    "write_table",
    "write_values",
]

Found = tuple[str | None, CimObject]
"""An object, with the host that it comes from if several were asked."""

HOST: Final = "__HOST"
"""The column, and the key in JSON, of that host."""

_PAGE = 1000
_WIDEST_TABLE = 10  # columns; with more of them, one property a line reads better


def write(text: str) -> None:
    """One line, or several."""
    sys.stdout.write(text + "\n")


def clean(value: Any) -> str:
    """A value as a person reads it, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, bytes | tuple):
        return "{" + ", ".join(clean(item) for item in value) + "}"
    if isinstance(value, Instance):
        return str(value.relative_path or value.class_name)
    if isinstance(value, Class):
        return value.name
    return printable(str(value))


def cause_lines(causes: Iterable[Cause]) -> list[str]:
    """What may be behind an error, and what to do then, one a line."""
    return [f"  {cause.cause[0].upper()}{cause.cause[1:]}: {cause.remedy}." for cause in causes]


# -- JSON


def write_json(value: Any) -> None:
    """Anything of the model, or a mapping or list of it."""
    write(json.dumps(to_jsonable(value), indent=2))


def write_json_array(values: Iterable[Any]) -> None:
    """A JSON array with a value a line, written as they come."""
    separator = "["
    for value in values:
        sys.stdout.write(f"{separator}\n{json.dumps(value)}")
        separator = ","
    write("[]" if separator == "[" else "\n]")


def write_objects_as_json(found: Iterable[Found]) -> None:
    """A JSON array with an object a line."""
    write_json_array(map(_to_json, found))


def write_objects_as_lines(found: Iterable[Found]) -> None:
    """A JSON object a line, written as they come."""
    for one in found:
        write(json.dumps(_to_json(one)))


def _to_json(found: Found) -> dict[str, Any]:
    host, obj = found
    return with_host(host, class_to_json(obj) if isinstance(obj, Class) else instance_to_json(obj))


def with_host(host: str | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with the host that they come from, if several were asked."""
    return {**data} if host is None else {HOST: host, **data}


# -- text


def write_object(found: CimObject, first: Sequence[str] = ()) -> None:
    """One object: a class as MOF, an instance property by property, those named in `first` before the others."""
    if isinstance(found, Class):
        sys.stdout.write(write_mof(found))
    else:
        write_values({name: found[name] for name in columns_of([(None, found)], first)})


def write_values(values: Mapping[str, Any]) -> None:
    """Names and values, one a line."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        write(f"{name:<{width}} = {'NULL' if value is None else clean(value)}")


def write_objects(found: Iterable[Found], first: Sequence[str] = ()) -> None:
    """The result of a query: a table, or blocks where there are many properties, or the names of classes.

    The properties named in `first` stand first.
    """
    rest = iter(found)
    page = list(itertools.islice(rest, _PAGE))
    columns = columns_of(page, first)
    every = itertools.chain(page, rest)
    if not all(isinstance(obj, Instance) for _, obj in page):
        for host, obj in every:
            name = obj.name if isinstance(obj, Class) else obj.relative_path or obj.class_name
            write(str(name) if host is None else f"{host}: {name}")
    elif len(columns) > _WIDEST_TABLE:
        for number, (host, obj) in enumerate(every):
            if number:
                write("")
            if host is not None:
                write(f"# {host}")
            write_object(obj, first)
    elif page:
        write_table(columns, (row_of(one, columns) for one in every))


def columns_of(found: Sequence[Found], first: Sequence[str] = ()) -> list[str]:
    """The names of all properties, first `HOST` if there are several: the same ones in whatever order the objects came.

    Those named in `first` stand first. A class's other properties stand in its own order, and the classes in that of
    their names.
    """
    by_class: dict[str, dict[str, None]] = {}
    for _, obj in found:
        if isinstance(obj, Instance):
            by_class.setdefault(obj.class_name, {}).update(dict.fromkeys(obj))
    names = dict.fromkeys(itertools.chain.from_iterable(by_class[name] for name in sorted(by_class)))
    places = {name: place for place, name in enumerate(dict.fromkeys(map(fold, first)))}
    # The others keep their order: the sort is stable.
    ordered = sorted(names, key=lambda name: places.get(fold(name), len(places)))
    return [*([HOST] if any(host is not None for host, _ in found) else ()), *ordered]


def row_of(found: Found, columns: Sequence[str]) -> list[Any]:
    """The values of an object in the `columns`; None for what it lacks."""
    host, obj = found
    return [host if name == HOST else obj.get(name) if isinstance(obj, Instance) else None for name in columns]


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table. The widths of aligned text are those of the first page; the rest is written as it comes."""
    if sys.stdout.isatty():
        _write_rich(columns, rows)
        return
    remaining: Iterator[Sequence[Any]] = iter(rows)
    first = list(itertools.islice(remaining, _PAGE))
    numeric = [_is_numeric(row[i] for row in first) for i in range(len(columns))]
    texts = [list(columns), *([clean(value) for value in row] for row in first)]
    widths = [max(len(text[i]) for text in texts) for i in range(len(columns))]
    for text in itertools.chain(texts, ([clean(value) for value in row] for row in remaining)):
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(text, widths, numeric, strict=True)
        )
        write("  ".join(cells).rstrip())


def _write_rich(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold")
    found = list(rows)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if _is_numeric(row[index] for row in found) else "left")
    for row in found:
        table.add_row(*(Text(clean(value)) for value in row))
    Console().print(table)


def _is_numeric(values: Iterable[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in present)
