"""``openwmi mof``: classes and instances as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openwmi.cli.output import write
from openwmi.cli.target import Host, NamespaceOption, PasswordFile, Repository, Timeout, User, open_session
from openwmi.mof import read_include, read_mof

__all__ = ["app"]

app = typer.Typer(help="Classes and instances as text.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Classes and instances as text (the Managed Object Format)."""


@app.command("compile")
def compile_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="MOF files, in order.", show_default=False)],
    host: Host = None,
    user: User = None,
    password_file: PasswordFile = None,
    repository: Repository = None,
    namespace: NamespaceOption = None,
    timeout: Timeout = 60.0,
) -> None:
    """Compile MOF files into a repository, here or on a server.

    Here, a file with a mistake changes nothing. On a server, objects are put one after another: if it refuses one,
    those before it are there.
    """
    texts = [(str(path), read_mof(path)) for path in files]
    with open_session(host, user, password_file, repository, namespace, timeout) as session:
        for file, text in texts:
            count = session.compile_mof(text, file=file, include=read_include)
            write(f"{file}: {count:,} {'object' if count == 1 else 'objects'}")
