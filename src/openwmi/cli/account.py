"""``openwmi account``: who may log on to the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openwmi.cli.locations import accounts_file
from openwmi.cli.output import write, write_json, write_table
from openwmi.cli.passwords import new_password
from openwmi.cli.target import Json

__all__ = ["app"]

app = typer.Typer(help="The accounts of the server: names and NT hashes.", no_args_is_help=True)

AccountsFile = Annotated[
    Path | None, typer.Option("--accounts", metavar="FILE", help="The accounts file, if not this user's own.")
]
Name = Annotated[str, typer.Argument(help="The account's name.", metavar="NAME")]


@app.command()
def add(
    name: Name,
    accounts: AccountsFile = None,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="May do everything, and use the server over the network.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="The password is the first line of stdin.")
    ] = False,
) -> None:
    """Add an account, or give one that is there a new password and role."""
    from openwmi.security.accounts import Accounts

    opened = Accounts.load(accounts_file(accounts), create=True)
    opened.add(name, new_password(name, from_stdin=password_stdin), administrator=administrator)
    role = "" if administrator else "; without --administrator it may use the server over the network only if granted"
    write(f"{name} is in {opened.path}{role}")


@app.command()
def remove(name: Name, accounts: AccountsFile = None) -> None:
    """Remove an account."""
    from openwmi.security.accounts import Accounts

    Accounts.load(accounts_file(accounts)).remove(name)


@app.command("list")
def list_(accounts: AccountsFile = None, json: Json = False) -> None:
    """List the accounts."""
    from openwmi.security.accounts import Accounts

    found = Accounts.load(accounts_file(accounts)).list()
    if json:
        write_json([{"name": a.name, "sid": str(a.sid), "administrator": a.administrator} for a in found])
    elif found:
        write_table(
            ("Name", "SID", "Role"), [(a.name, a.sid, "administrator" if a.administrator else "") for a in found]
        )
