"""``openwmi serve``: the server, until a signal ends it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from openwmi.cli import is_debugging
from openwmi.cli.locations import IN_MEMORY, accounts_file, repository_file
from openwmi.errors import ConfigurationError, printable
from openwmi.security.files import write_whole

if TYPE_CHECKING:
    from openwmi.server.settings import Settings

__all__ = ["serve"]

_log = logging.getLogger("openwmi.cli")


class _OneLine(logging.Formatter):
    """Messages may quote a peer: what would begin a line of its own, or steer a terminal, is escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        record.message = printable(record.message)
        return super().formatMessage(record)


def _raise_file_limit() -> None:
    """Lets the server have as many files, and so connections, as the system allows it."""
    try:
        import resource
    except ImportError:  # not on this system, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings, as TOML. Options given here go before what it says."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The address to listen at.", show_default="127.0.0.1")
    ] = None,
    rpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where clients come to first; 0: a free one.", show_default="135"),
    ] = None,
    exporter_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Where objects are; 0: a free one.", show_default="13500")
    ] = None,
    advertise: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name or address of this machine for clients. May be repeated."),
    ] = None,
    activation_minimum: Annotated[
        Literal["connect", "call", "packet", "integrity", "privacy"] | None,
        typer.Option(help="The protection that old clients' activation needs.", show_default="integrity"),
    ] = None,
    keytab: Annotated[
        Path | None, typer.Option(metavar="FILE", help="This server's Kerberos keys: lets users of its realm log on.")
    ] = None,
    socket: Annotated[
        bool | None,
        typer.Option(
            "--socket/--no-socket",
            help="Lets users of this machine in without a password, through a socket beside the repository.",
            show_default="--socket",
        ),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option(metavar="PATH|:memory:", help="Where objects are kept, if not in this user's own file."),
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may log on, if not this user's own file says it.")
    ] = None,
    backups: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where administrators may back the repository up to, and restore it from."),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Runs an installed provider (openwmi provider list). May be repeated."),
    ] = None,
    allow_provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Lets namespaces register an installed provider by MOF. May be repeated."),
    ] = None,
    isolate: Annotated[
        bool | None, typer.Option("--isolate", help="Gives each of these providers a process of its own.")
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Receives the addresses, as JSON, once all ports listen. Removed at the end."
        ),
    ] = None,
) -> None:
    """Run the server. SIGTERM or Ctrl-C stops it."""
    from openwmi.security.context import AuthenticationLevel
    from openwmi.server.settings import Settings

    settings = Settings() if config is None else Settings.load(config)
    given = {
        "listen": listen,
        "rpc_port": rpc_port,
        "exporter_port": exporter_port,
        "advertise": None if advertise is None else tuple(advertise),
        "activation_minimum": None if activation_minimum is None else AuthenticationLevel[activation_minimum.upper()],
        "keytab": keytab,
        "socket": socket,
        "repository": repository,
        "accounts": accounts,
        "backups": backups,
        "ready_file": ready_file,
        "installed_providers": provider,
        "allowed_providers": allow_provider,
        "isolate_providers": isolate,
    }
    settings = settings.model_copy(update={name: value for name, value in given.items() if value is not None})
    _start_logging()
    _raise_file_limit()
    asyncio.run(_serve(settings))


def _start_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if is_debugging() else logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("spnego").setLevel(logging.WARNING)  # its debug lines show authentication tokens


async def _serve(settings: Settings) -> None:
    from openwmi.security.accounts import Accounts
    from openwmi.server import stop_signals

    ready_file = settings.ready_file
    path = repository_file(settings.repository)
    with stop_signals() as stop:
        known = Accounts.load(accounts_file(settings.accounts))
        _remove(ready_file)  # one that a killed server left would speak for this one
        server = settings.server(None if path == IN_MEMORY else Path(path), known)
        async with server:
            try:
                if ready_file is not None:
                    _write_ready(ready_file, server.addresses.to_dict())
                await stop.wait()
                _log.info("stopping")
            finally:
                _remove(ready_file)


def _remove(path: Path | None) -> None:
    if path is not None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be removed: {error.strerror}") from None


def _write_ready(path: Path, content: dict[str, Any]) -> None:
    """A reader finds the whole file or none."""
    try:
        write_whole(path, json.dumps(content).encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
