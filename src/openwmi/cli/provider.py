"""``openwmi provider``: which providers are installed."""

from __future__ import annotations

import typer

from openwmi.errors import printable
from openwmi.providers.discovery import installed

__all__ = ["app"]

app = typer.Typer(name="provider", help="Providers of installed packages.", no_args_is_help=True)


@app.callback()
def _options() -> None:
    """Providers of installed packages."""


@app.command("list")
def list_() -> None:
    """List the providers that `openwmi serve --provider NAME` can run: name, code, and the package they come with."""
    found = installed()
    if not found:
        typer.echo("No installed package has a provider; those of openwmi itself run without being named.", err=True)
    for entry in found:
        package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
        typer.echo("\t".join(map(printable, (entry.name, entry.value, package))))
