"""``openwmi query``, ``get``, ``put``, ``delete`` and ``invoke``: the operations on a namespace."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from openwmi.cim import Class, Instance, ObjectPath
from openwmi.cim.json import instance_from_json
from openwmi.cim.operation import Progress
from openwmi.cim.operations import CallingMode, Flags
from openwmi.cli.output import (
    clean,
    write,
    write_json,
    write_object,
    write_objects,
    write_objects_as_json,
    write_values,
)
from openwmi.cli.target import (
    Host,
    Json,
    NamespaceOption,
    PasswordFile,
    Repository,
    Timeout,
    User,
    checked,
    open_session,
)
from openwmi.cli.values import parse_given, read_json, values_for
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


_CHANGE_FLAGS = {Change.BOTH: 0, Change.CREATE: int(Flags.CREATE_ONLY), Change.UPDATE: int(Flags.UPDATE_ONLY)}


def query(
    text: Annotated[
        str, typer.Argument(metavar="QUERY", help="WQL: SELECT ..., ASSOCIATORS OF {...} or REFERENCES OF {...}.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Do not run it: say whether it is right, and if not, where.")
    ] = False,
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    repository: Repository = None,
    namespace: NamespaceOption = None,
    timeout: Timeout = 60.0,
    json: Json = False,
) -> None:
    """Show what a query selects."""
    with open_session(host, user, password_file, repository, namespace, timeout) as session:
        if check:
            session.check_query(text)
            return
        with session.query(text) as found:
            (write_objects_as_json if json else write_objects)(found)


def get(
    path: Path,
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    repository: Repository = None,
    namespace: NamespaceOption = None,
    timeout: Timeout = 60.0,
    json: Json = False,
) -> None:
    """Show an instance, or a class (as MOF)."""
    with open_session(host, user, password_file, repository, namespace, timeout) as session:
        found = session.get(path)
        (write_json if json else write_object)(found)


def put(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[CLASS|PATH]", help="With --set: what is put.", callback=checked(ObjectPath.parse)),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A property; NAME:=JSON for NULL, arrays and objects."),
    ] = None,
    change: Annotated[Change, typer.Option("--only", help="Whether to create or to change objects.")] = Change.BOTH,
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    repository: Repository = None,
    namespace: NamespaceOption = None,
    timeout: Timeout = 60.0,
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
    with open_session(host, user, password_file, repository, namespace, timeout) as session:
        if target is not None:
            changed = _instance_at(session, target)
            for name, value in values_for(changed.cls, given, session.get_class).items():
                changed[name] = value
            objects = [changed]
        elif text.lstrip()[:1] in ("{", "["):
            objects = _from_json(session, text)
        else:
            if change is not Change.BOTH:
                raise typer.BadParameter("--only is for JSON and --set; in MOF, write #pragma instanceflags")
            count = session.compile_mof(text, file="<stdin>")
            write_json({"count": count}) if json else write(f"{count:,} {'object' if count == 1 else 'objects'}")
            return
        paths = [str(session.put_instance(instance, flags=_CHANGE_FLAGS[change])) for instance in objects]
    write_json(paths) if json else write("\n".join(path or "" for path in paths))


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


def delete(
    path: Path,
    asynchronous: Annotated[
        bool, typer.Option("--async", help="Have the server call back with the result (DeleteInstanceAsync).")
    ] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Show progress, where the provider reports it.")] = False,
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    repository: Repository = None,
    namespace: NamespaceOption = None,
    timeout: Timeout = 60.0,
) -> None:
    """Delete an instance."""
    options = OperationOptions()
    if asynchronous:
        options["mode"] = CallingMode.ASYNCHRONOUS
    if progress:
        options["callbacks"] = Callbacks(progress=_show_progress)
    with (
        open_session(host, user, password_file, repository, namespace, timeout) as session,
        session.start.delete_instance(path, **options) as operation,
    ):
        operation.wait().raise_for_status()


def _show_progress(progress: Progress) -> None:
    text = f" {clean(progress.text)}" if progress.text else ""
    sys.stderr.write(f"{progress.current} of {progress.total}{text}\n")


def invoke(
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
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    repository: Repository = None,
    namespace: NamespaceOption = None,
    timeout: Timeout = 60.0,
    json: Json = False,
) -> None:
    """Call a method of an instance or a class.

    A class has static methods only. What comes out is shown. A method that could be called is a success, whatever its
    ReturnValue.
    """
    given = [parse_given(argument) for argument in arguments or ()]
    with open_session(host, user, password_file, repository, namespace, timeout) as session:
        cls = session.get_class(ObjectPath.parse(path).class_name)
        declared = cls.methods[method].in_class if method in cls.methods else None
        if declared is None:
            values: dict[str, Any] = {one.name: one.text for one in given}
        else:
            values = values_for(declared, given, session.get_class)
        out = session.invoke(path, method, values)
    (write_json if json else write_values)(out)
