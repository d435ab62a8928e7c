"""Results as columns: Arrow tables, and through them pandas, Polars, DuckDB or Parquet; by pyarrow (`openwmi[arrow]`).

A result's columns are the properties of its first page of instances, each with the Arrow type of its CIM type. A
datetime column holds timestamps in UTC or durations, and text if there are both, or asterisks for unknown digits. An
embedded object is its JSON text. A property that only some classes of the results have is null in the others.

What does not fit the columns of the first page is an error, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, Final

from openwmi.cim import CimType, Property, fold
from openwmi.client.objects import Instance
from openwmi.errors import CallerError, ConfigurationError

__all__ = ["record_batches", "table"]

_TYPES: Final = {
    CimType.SINT8: "int8",
    CimType.SINT16: "int16",
    CimType.SINT32: "int32",
    CimType.SINT64: "int64",
    CimType.UINT8: "uint8",
    CimType.UINT16: "uint16",
    CimType.UINT32: "uint32",
    CimType.UINT64: "uint64",
    CimType.REAL32: "float32",
    CimType.REAL64: "float64",
    CimType.BOOLEAN: "bool_",
}
"""By the names of pyarrow's functions; all other types are text."""


def table(results: Iterable[Any]) -> Any:
    """All of `results` as one `pyarrow.Table`; the columns of all of them."""
    arrow = _pyarrow()
    found = [_row(result) for result in results]
    schema = _schema(arrow, found)
    return arrow.Table.from_batches([_batch(arrow, schema, found)], schema=schema)


def record_batches(pages: Iterable[list[Any]]) -> Any:
    """A `pyarrow.RecordBatchReader` with one batch for each page, taken as it is read."""
    arrow = _pyarrow()
    rest = iter(pages)
    first = [_row(result) for result in next(rest, [])]
    schema = _schema(arrow, first)

    def batches() -> Iterator[Any]:
        if first:
            yield _batch(arrow, schema, first)
        for page in rest:
            yield _batch(arrow, schema, [_row(result) for result in page])

    return arrow.RecordBatchReader.from_batches(schema, batches())


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        raise ConfigurationError("tables need pyarrow: pip install 'openwmi[arrow]'") from None
    else:
        module: ModuleType = pyarrow
        return module


def _row(result: Any) -> Instance:
    if not isinstance(result, Instance):
        raise CallerError(f"a table is made of instances, and this result is a {type(result).__name__}")
    return result


def _schema(arrow: ModuleType, rows: list[Instance]) -> Any:
    columns: dict[str, Property] = {}
    for shape in dict.fromkeys(row.shape for row in rows):
        for declared in shape.properties:
            columns.setdefault(fold(declared.name), declared)
    return arrow.schema([(declared.name, _type(arrow, declared, rows)) for declared in columns.values()])


def _type(arrow: ModuleType, declared: Property, rows: list[Instance]) -> Any:
    if declared.type is CimType.UINT8 and declared.is_array:
        return arrow.binary()
    if declared.type is CimType.DATETIME:
        item = _time_type(arrow, declared, rows)
    else:
        item = getattr(arrow, _TYPES.get(declared.type, "string"))()
    return arrow.list_(item) if declared.is_array else item


def _time_type(arrow: ModuleType, declared: Property, rows: list[Instance]) -> Any:
    """What the values are: the type alone does not say whether a datetime is a time, an interval or half unknown."""
    kinds = {type(each) for row in rows for each in _items(row.get(declared.name))}
    if kinds == {timedelta}:
        return arrow.duration("us")
    return arrow.timestamp("us", tz="UTC") if kinds <= {datetime} else arrow.string()


def _items(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _batch(arrow: ModuleType, schema: Any, rows: list[Instance]) -> Any:
    known = {fold(name) for name in schema.names}
    for shape in dict.fromkeys(row.shape for row in rows):
        for declared in shape.properties:
            if fold(declared.name) not in known:
                raise CallerError(
                    f"{declared.name} of {shape.cls.name} came after the columns were made:"
                    " select properties by name, or use to_arrow()"
                )
    columns = []
    for field in schema:
        text = arrow.types.is_string(getattr(field.type, "value_type", None) or field.type)
        values = [row.get(field.name) for row in rows]
        try:
            columns.append(arrow.array([_texts(v) for v in values] if text else values, field.type))
        except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
            raise CallerError(f"{field.name} is no {field.type} any more: {error}: use to_arrow()") from None
    return arrow.RecordBatch.from_arrays(columns, schema=schema)


def _texts(value: Any) -> Any:
    """A value of a column of text: embedded objects and datetimes are written out."""
    if isinstance(value, tuple):
        return [_texts(item) for item in value]
    if isinstance(value, Instance):
        return value.to_json()
    return value if value is None else str(value)
