"""The options that say where a command works, and the session that they open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from openwmi.cli.locations import repository_file
from openwmi.cli.passwords import known_password
from openwmi.client.sync import Session, connect
from openwmi.client.urls import parse_url
from openwmi.errors import ConfigurationError, RepositoryInUse, SyntaxProblem

__all__ = [
    "Host",
    "Json",
    "NamespaceOption",
    "PasswordFile",
    "Repository",
    "Timeout",
    "User",
    "checked",
    "explaining",
    "open_session",
]


def checked(parse: Callable[[str], Any]) -> Callable[[str | None], str | None]:
    """A check of an argument: what `parse` refuses is a mistake of usage."""

    def check(value: str | None) -> str | None:
        if value is not None:
            try:
                parse(value)
            except (ConfigurationError, SyntaxProblem) as error:
                raise typer.BadParameter(str(error)) from None
        return value

    return check


Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="The server, as dcom://user@host:port or its name alone. Without it: a repository in this process.",
        callback=checked(parse_url),
        show_default=False,
    ),
]
User = Annotated[str | None, typer.Option("--user", "-u", help="The account, if the URL does not name it.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help="The password is this file's first line. Else OPENWMI_PASSWORD, else a prompt."
    ),
]
Repository = Annotated[
    str | None,
    typer.Option("--repository", metavar="PATH|:memory:", help="Where objects are kept when there is no --host."),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace.", show_default="root\\cimv2")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that the operation may take.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@contextmanager
def explaining() -> Iterator[None]:
    """Says what a user of the command line can do about a repository that is open elsewhere."""
    try:
        yield
    except RepositoryInUse as error:
        raise ConfigurationError(
            f"{error}. If that is `openwmi serve`, ask it: --host dcom://USER@127.0.0.1:PORT"
        ) from None


def open_session(
    host: str | None,
    user: str | None,
    password_file: Path | None,
    repository: str | None,
    namespace: str | None,
    timeout: float = 60.0,
) -> Session:
    """The session that the options mean."""
    if host is None:
        with explaining():
            return connect(f"local:{repository_file(repository)}", namespace=namespace, timeout=timeout)
    if repository is not None:
        raise typer.BadParameter("--repository is for this process, so not with --host")
    who = user or parse_url(host).user
    if parse_url(host).scheme == "local":
        return connect(host, namespace=namespace, timeout=timeout)
    if not who:
        raise typer.BadParameter("--host names no user: write dcom://user@host, or use --user")
    return connect(host, user=user, password=known_password(who, password_file), namespace=namespace, timeout=timeout)
