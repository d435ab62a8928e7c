"""``openwmi mof``: classes and instances as text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from openwmi.cim import Class, Instance, fold
from openwmi.cli.fanout import everywhere
from openwmi.cli.output import write
from openwmi.cli.target import Where, placed
from openwmi.client.sync import Session
from openwmi.mof import Source, export_mof, read_include, read_mof, write_mof

__all__ = ["app"]

# What stands for the namespace itself and for those below it.
_NAMESPACES_OWN: Final = frozenset({"__namespace", "__thisnamespace", "__systemsecurity"})

app = typer.Typer(help="Classes and instances as text.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Classes and instances as text (the Managed Object Format)."""


Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="MOF files, in order.", show_default=False)]


@app.command("compile")
@placed
def compile_(
    where: Where,
    files: Files,
) -> None:
    """Compile MOF files into a repository, here or on a server.

    Here, a mistake in any file changes nothing. On a server, objects are put one after another: if it refuses one,
    those before it are there.
    """
    _compile(where, files, keep=True)


@app.command()
@placed
def check(
    where: Where,
    files: Files,
) -> None:
    """Say what is wrong with MOF files, and change nothing.

    The files are resolved against the classes of the repository, and of the files before them; with
    --repository :memory:, against openwmi's own.
    """
    _compile(where, files, keep=False)


def _compile(where: Where, files: Iterable[Path], *, keep: bool) -> None:
    """The files are read first: that one is missing is said before anybody is asked for a password."""
    sources = [Source(str(path), read_mof(path)) for path in files]

    def work(session: Session) -> Iterator[tuple[str, int]]:
        counts = session.compile_sources(sources, include=read_include, keep=keep)
        for source, count in zip(sources, counts, strict=True):
            yield source.file, count

    everywhere(where, work, _report)


def _report(found: Iterator[tuple[str | None, tuple[str, int]]]) -> None:
    for host, (file, count) in found:
        prefix = "" if host is None else f"{host}: "
        write(f"{prefix}{file}: {count:,} {'object' if count == 1 else 'objects'}")


@app.command()
@placed
def show(
    where: Where,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A class's name, or an instance's path.")],
) -> None:
    """Show a class or an instance as MOF."""
    with where.open() as session:
        sys.stdout.write(write_mof(session.get(path)))


@app.command()
@placed
def export(
    where: Where,
) -> None:
    """Write a namespace as MOF that compiles again, into any namespace.

    That is its classes and what the repository keeps of their instances: nothing that providers make up, no localized
    texts, and not the namespaces below it.
    """
    with where.open() as session:
        for text in _exported(session):
            sys.stdout.write(text)


def _exported(session: Session) -> Iterator[str]:
    with session.enumerate_classes() as found:
        classes = [cls for cls in found if isinstance(cls, Class)]
    yield from export_mof(cls for cls in classes if not cls.name.startswith("__"))
    for cls in classes:
        if cls.is_abstract or cls.provider is not None or fold(cls.name) in _NAMESPACES_OWN:
            continue
        with session.enumerate_instances(cls.name, polymorphism="shallow") as instances:
            for instance in instances:
                if isinstance(instance, Instance):
                    yield write_mof(instance) + "\n"
