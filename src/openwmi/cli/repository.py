"""``openwmi repository``: the upkeep of a repository's file, or of the one that a server has open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openwmi.cli.locations import IN_MEMORY, repository_file
from openwmi.cli.output import write, write_json, write_table
from openwmi.cli.target import Host, Json, PasswordFile, Timeout, User, Where, explaining
from openwmi.client.sync import Session

__all__ = ["app"]

app = typer.Typer(help="The file that objects are kept in.", no_args_is_help=True)

Repository = Annotated[
    str | None, typer.Option("--repository", metavar="PATH", help="The file, if not this user's own.")
]
NAME = "A file; with --host, its name in the server's own folder for backups."


@app.callback()
def _group() -> None:
    """The file that objects are kept in: what it holds, whether it is sound, its backups."""


def _path(given: str | None) -> Path:
    if given == IN_MEMORY:
        raise typer.BadParameter(f"{IN_MEMORY} is no file")
    return Path(repository_file(given))


@app.command()
def info(repository: Repository = None, json: Json = False) -> None:
    """Show how much is in the repository."""
    from openwmi.repository import upkeep

    with explaining():
        found = upkeep.info(_path(repository))
    if json:
        write_json(
            {
                "path": str(found.path),
                "layout": found.layout,
                "size": found.size,
                "free": found.free,
                "namespaces": [
                    {"name": space.name, "classes": space.classes, "instances": space.instances}
                    for space in found.namespaces
                ],
            }
        )
        return
    write(f"{found.path}: layout {found.layout}, {found.size:,} bytes, {found.free:,} of them free")
    write_table(("Namespace", "Classes", "Instances"), [(s.name, s.classes, s.instances) for s in found.namespaces])


@app.command()
def verify(repository: Repository = None) -> None:
    """Look for damage. The exit status is 1 if there is any."""
    from openwmi.repository import upkeep

    path = _path(repository)
    with explaining():
        problems = upkeep.verify(path)
    for problem in problems:
        write(problem)
    if problems:
        raise typer.Exit(1)
    write(f"{path} is sound")


@app.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help=NAME, show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take the place of a file that is there.")] = False,
    repository: Repository = None,
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    timeout: Timeout = 600.0,
) -> None:
    """Write everything to a new file.

    A server takes a backup of an earlier day's place without being told to, and nothing else's.
    """
    from openwmi.repository import upkeep

    if host is not None:
        with _server(host, user, password_file, repository, timeout) as session:
            session.backup(file)
        return
    with explaining():
        upkeep.backup(_path(repository), Path(file), overwrite=overwrite)


@app.command()
def restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help=NAME, show_default=False)],
    repository: Repository = None,
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    timeout: Timeout = 600.0,
) -> None:
    """Make everything what it was when FILE was written.

    A repository that is too damaged to be opened is set aside. A server ends its clients' connections.
    """
    from openwmi.repository import upkeep

    if host is not None:
        with _server(host, user, password_file, repository, timeout) as session:
            session.restore(file)
        return
    with explaining():
        aside = upkeep.restore(_path(repository), Path(file))
    if aside is not None:
        write(f"the damaged repository is now {aside}")


def _server(host: str, user: str | None, password_file: Path | None, repository: str | None, timeout: float) -> Session:
    where = Where(
        host=host, user=user, password_file=password_file, repository=repository, namespace="root", timeout=timeout
    )
    return where.open()
