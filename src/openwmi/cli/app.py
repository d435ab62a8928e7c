"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from openwmi import __version__
from openwmi.cli.account import app as account
from openwmi.cli.browse import app as classes
from openwmi.cli.browse import associators, ls, namespaces
from openwmi.cli.diagnose import diagnose
from openwmi.cli.mof import app as mof
from openwmi.cli.operations import delete, get, invoke, put, query
from openwmi.cli.provider import app as provider
from openwmi.cli.repository import app as repository
from openwmi.cli.security import app as security
from openwmi.cli.serve import serve
from openwmi.cli.shell import shell

__all__ = ["app"]

app = typer.Typer(
    name="openwmi",
    help="Windows Management Instrumentation for every platform.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openwmi {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="The version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Windows Management Instrumentation for every platform."""


for command in (serve, query, get, ls, put, delete, invoke, associators, namespaces, diagnose, shell):
    app.command()(command)
app.add_typer(account, name="account")
app.add_typer(classes, name="class")
app.add_typer(mof, name="mof")
app.add_typer(provider, name="provider")
app.add_typer(repository, name="repository")
app.add_typer(security, name="security")
