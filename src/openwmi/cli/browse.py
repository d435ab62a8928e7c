"""``openwmi ls``, ``class``, ``associators`` and ``namespaces``: what there is to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from openwmi.cim import CimObject, Class, Instance, fold
from openwmi.cli.completion import complete_class, keep
from openwmi.cli.fanout import everywhere
from openwmi.cli.formats import Format, FormatOption, writer_of
from openwmi.cli.operations import Path
from openwmi.cli.output import HOST, write, write_json_array
from openwmi.cli.target import Json, Where, placed
from openwmi.client.sync import Session

__all__ = ["app", "associators", "ls", "namespaces"]

app = typer.Typer(help="Classes: list, show, delete.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name of a class.", show_default=False, autocompletion=complete_class),
]


def _classes(session: Session, superclass: str = "") -> list[Class]:
    """By their names: a server's own order may be any."""
    with session.enumerate_classes(superclass) as found:
        return sorted(found, key=lambda cls: fold(cls.name))


@placed
def ls(
    where: Where,
    class_name: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLASS]", help="Its instances instead.", show_default=False, autocompletion=complete_class
        ),
    ] = None,
    output_format: FormatOption = Format.TABLE,
    json: Json = False,
) -> None:
    """List the classes of a namespace, or the instances of a class."""

    def work(session: Session) -> Iterator[CimObject]:
        if class_name is None:
            classes = _classes(session)
            keep(where, [cls.name for cls in classes])
            yield from classes
        else:
            with session.enumerate_instances(class_name) as found:
                yield from found

    everywhere(where, work, writer_of(output_format, as_json=json))


@placed
def associators(
    where: Where,
    path: Path,
    association_class: Annotated[
        str | None, typer.Option("--through", metavar="CLASS", help="Only by associations of this class.")
    ] = None,
    result_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Only objects of this class.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="The reference that names PATH.")] = None,
    result_role: Annotated[str | None, typer.Option("--result-role", help="The one that names what is found.")] = None,
    output_format: FormatOption = Format.TABLE,
    json: Json = False,
) -> None:
    """Show the objects that associations connect with one."""

    def work(session: Session) -> Iterator[Instance]:
        with session.associators(
            path, association_class=association_class, result_class=result_class, role=role, result_role=result_role
        ) as found:
            yield from found

    everywhere(where, work, writer_of(output_format, as_json=json))


@placed
def namespaces(
    where: Where,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Those below them too.")] = False,
    json: Json = False,
) -> None:
    """List the namespaces in root, or in the one that is named."""

    def work(session: Session) -> Iterator[str]:
        waiting = [session.scope]
        while waiting:
            parent = waiting.pop()
            with session.enumerate_instances("__NAMESPACE", namespace=parent.replace("\\", "/")) as found:
                below = sorted((f"{parent}\\{one['Name']}" for one in found), key=fold)
            yield from below
            if recursive:
                waiting += reversed(below)

    def show_names(found: Iterator[tuple[str | None, str]]) -> None:
        if json:
            write_json_array(name if host is None else {HOST: host, "name": name} for host, name in found)
        else:
            for host, name in found:
                write(name if host is None else f"{host}: {name}")

    everywhere(where.in_namespace("root"), work, show_names)


@app.command("list")
@placed
def list_(
    where: Where,
    superclass: Annotated[
        str, typer.Argument(metavar="[SUPERCLASS]", help="Only what descends from it.", show_default=False)
    ] = "",
    output_format: FormatOption = Format.TABLE,
    json: Json = False,
) -> None:
    """List the classes of a namespace."""
    everywhere(where, lambda session: _classes(session, superclass), writer_of(output_format, as_json=json))


@app.command()
@placed
def show(where: Where, name: Name, output_format: FormatOption = Format.MOF, json: Json = False) -> None:
    """Show a class, as MOF."""
    everywhere(where, lambda session: [session.get_class(name)], writer_of(output_format, as_json=json))


@app.command()
@placed
def delete(where: Where, name: Name) -> None:
    """Delete a class, its subclasses and their instances."""

    def work(session: Session) -> Iterator[None]:
        session.delete_class(name)
        yield

    everywhere(where, work)
