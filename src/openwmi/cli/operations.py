"""``openwmi query``, ``get``, ``put``, ``delete`` and ``invoke``: the operations on a namespace."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, Final

import typer

from openwmi.cim import Class, Instance, ObjectPath
from openwmi.cim.json import instance_from_json
from openwmi.cim.operation import Progress
from openwmi.cim.operations import CallingMode, Flags
from openwmi.cli.fanout import everywhere
from openwmi.cli.formats import Format, FormatOption, writer_of
from openwmi.cli.output import (
    HOST,
    Found,
    clean,
    with_host,
    write,
    write_json,
    write_json_array,
    write_object,
    write_values,
)
from openwmi.cli.queries import columns_named, selected
from openwmi.cli.target import Json, Where, checked, placed
from openwmi.cli.values import Given, parse_given, read_json, values_for
from openwmi.client.callbacks import Callbacks
from openwmi.client.options import OperationOptions
from openwmi.client.sync import Session

__all__ = ["delete", "get", "invoke", "put", "query"]

Path = Annotated[
    str, typer.Argument(metavar="PATH", help='Such as Win32_Process.Handle="1".', callback=checked(ObjectPath.parse))
]


class Change(StrEnum):
    """What a put may do."""

    BOTH = "both"
    CREATE = "create"
    UPDATE = "update"


# Objects, or an array of anything but names: what stands in the first brackets of MOF are the names of qualifiers.
_JSON: Final = re.compile(r"\s*(\{|\[\s*[^\sA-Za-z_/])")

_CHANGE_FLAGS = {Change.BOTH: 0, Change.CREATE: int(Flags.CREATE_ONLY), Change.UPDATE: int(Flags.UPDATE_ONLY)}


@placed
def query(
    where: Where,
    text: Annotated[
        str, typer.Argument(metavar="QUERY", help="WQL: SELECT ..., ASSOCIATORS OF {...} or REFERENCES OF {...}.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Do not run it: say whether it is right, and if not, where.")
    ] = False,
    output_format: FormatOption = Format.TABLE,
    json: Json = False,
) -> None:
    """Show what a query selects."""

    def checked_only(session: Session) -> tuple[()]:
        session.check_query(text)
        return ()

    if check:
        everywhere(where, checked_only)
    else:
        write_found = writer_of(output_format, as_json=json, columns=columns_named(text))
        everywhere(where, lambda session: selected(session, text), write_found)


@placed
def get(
    where: Where,
    path: Path,
    output_format: FormatOption = Format.TABLE,
    json: Json = False,
) -> None:
    """Show an instance, or a class (as MOF)."""
    form = Format.JSON if json else output_format

    def show(found: Iterator[Found]) -> None:
        host, first = next(found, (None, None))
        if first is None:
            return
        if host is None and form is Format.TABLE:
            write_object(first)
        elif host is None and form is Format.JSON:
            write_json(first)
        else:
            writer_of(form)(chain([(host, first)], found))

    everywhere(where, lambda session: [session.get(path)], show)


@placed
def put(
    where: Where,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[CLASS|PATH]", help="With --set: what is put.", callback=checked(ObjectPath.parse)),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A property; NAME:=JSON for NULL, arrays and objects."),
    ] = None,
    change: Annotated[Change, typer.Option("--only", help="Whether to create or to change objects.")] = Change.BOTH,
    json: Json = False,
) -> None:
    """Create or change objects, and show their paths.

    With --set, CLASS makes a new instance of that class and PATH changes the one that it names. Without, the objects
    are read from stdin: JSON objects with __CLASS, one or an array of them, or else MOF.
    """
    given = [parse_given(value) for value in values or ()]
    if given and target is None:
        raise typer.BadParameter("--set needs a CLASS or a PATH")
    if target is not None and not given:
        raise typer.BadParameter("say what to put into it with --set")
    text = "" if given else sys.stdin.read()
    is_mof = not given and _JSON.match(text) is None
    if not given and not text.strip():
        raise typer.BadParameter("stdin is empty: give objects there, or a CLASS or PATH with --set")
    if is_mof and change is not Change.BOTH:
        raise typer.BadParameter("--only is for JSON and --set; in MOF, write #pragma instanceflags")

    def work(session: Session) -> Iterator[Any]:
        if is_mof:
            yield session.compile_mof(text, file="<stdin>")
            return
        objects = [_changed(session, target, given)] if target is not None else _from_json(session, text)
        for instance in objects:
            yield str(session.put_instance(instance, flags=_CHANGE_FLAGS[change]))

    def show(found: Iterator[tuple[str | None, Any]]) -> None:
        if is_mof:
            for host, count in found:
                write_json(with_host(host, {"count": count})) if json else _say(host, _counted(count))
        elif json:
            write_json_array(path if host is None else {HOST: host, "path": path} for host, path in found)
        else:
            for host, path in found:
                _say(host, path)

    everywhere(where, work, show)


def _counted(count: int) -> str:
    return f"{count:,} {'object' if count == 1 else 'objects'}"


def _say(host: str | None, what: str) -> None:
    """One line of one host."""
    write(what if host is None else f"{host}: {what}")


def _changed(session: Session, target: str, given: list[Given]) -> Instance:
    """What PATH names, or a new instance of CLASS, with the given values."""
    changed = _instance_at(session, target)
    for name, value in values_for(changed.cls, given, session.get_class).items():
        changed[name] = value
    return changed


def _instance_at(session: Session, target: str) -> Instance:
    found = session.get(target)
    return found.new() if isinstance(found, Class) else found


def _from_json(session: Session, text: str) -> list[Instance]:
    try:
        read = read_json(text)
    except ValueError as error:
        raise typer.BadParameter(f"stdin is not JSON: {error}") from None
    objects: list[Any] = read if isinstance(read, list) else [read]
    made = []
    for number, data in enumerate(objects, 1):
        if not isinstance(data, dict) or not isinstance(data.get("__CLASS"), str):
            raise typer.BadParameter(f"stdin: object {number} does not say of which class it is: give it __CLASS")
        made.append(instance_from_json(data, session.get_class(data["__CLASS"]), session.get_class))
    return made


@placed
def delete(
    where: Where,
    path: Path,
    asynchronous: Annotated[
        bool, typer.Option("--async", help="Have the server call back with the result (DeleteInstanceAsync).")
    ] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Show progress, where the provider reports it.")] = False,
) -> None:
    """Delete an instance."""
    options = OperationOptions()
    if asynchronous:
        options["mode"] = CallingMode.ASYNCHRONOUS
    if progress:
        options["callbacks"] = Callbacks(progress=_show_progress)

    def work(session: Session) -> Iterator[None]:
        with session.start.delete_instance(path, **options) as operation:
            operation.wait().raise_for_status()
        yield

    everywhere(where, work)


def _show_progress(progress: Progress) -> None:
    text = f" {clean(progress.text)}" if progress.text else ""
    sys.stderr.write(f"{progress.current} of {progress.total}{text}\n")


@placed
def invoke(
    where: Where,
    path: Path,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method's name.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="Its parameters; NAME:=JSON for NULL, arrays and objects.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Call a method of an instance or a class.

    A class has static methods only. What comes out is shown. A method that could be called is a success, whatever its
    ReturnValue.
    """
    given = [parse_given(argument) for argument in arguments or ()]

    def work(session: Session) -> Iterator[Mapping[str, Any]]:
        cls = session.get_class(ObjectPath.parse(path).class_name)
        declared = cls.methods[method].in_class if method in cls.methods else None
        if declared is None:
            values: dict[str, Any] = {one.name: one.text for one in given}
        else:
            values = values_for(declared, given, session.get_class)
        yield session.invoke(path, method, values)

    def show(found: Iterator[tuple[str | None, Mapping[str, Any]]]) -> None:
        for host, out in found:
            (write_json if json else write_values)(with_host(host, out))

    everywhere(where, work, show)
