"""``openwmi serve``: the server, until a signal ends it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from openwmi.cli import is_debugging
from openwmi.cli.locations import IN_MEMORY, accounts_file, repository_file
from openwmi.errors import ConfigurationError, printable

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
    listen: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen at.")] = "127.0.0.1",
    rpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Where clients come to first; 0: a free one.")] = 135,
    exporter_port: Annotated[int, typer.Option(min=0, max=65535, help="Where objects are; 0: a free one.")] = 13500,
    repository: Annotated[
        str | None,
        typer.Option(metavar="PATH|:memory:", help="Where objects are kept, if not in this user's own file."),
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may log on, if not this user's own file says it.")
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Receives the addresses, as JSON, once all ports listen. Removed at the end."
        ),
    ] = None,
) -> None:
    """Run the server. SIGTERM or Ctrl-C stops it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if is_debugging() else logging.INFO, handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("spnego").setLevel(logging.WARNING)  # its debug lines show authentication tokens
    _raise_file_limit()
    asyncio.run(_serve(listen, rpc_port, exporter_port, repository, accounts, ready_file))


async def _serve(
    listen: str,
    rpc_port: int,
    exporter_port: int,
    repository: str | None,
    accounts: Path | None,
    ready_file: Path | None,
) -> None:
    from openwmi.repository import MemoryStore, SqliteStore, Store
    from openwmi.security.accounts import Accounts
    from openwmi.server import Server

    stop = _stop_signal()
    known = Accounts.load(accounts_file(accounts))
    _remove(ready_file)  # one that a killed server left would speak for this one
    path = repository_file(repository)
    store: Store = MemoryStore() if path == IN_MEMORY else SqliteStore(path)
    server = Server(store, known, listen=listen, rpc_port=rpc_port, exporter_port=exporter_port)
    async with server:
        try:
            if ready_file is not None:
                _write_whole(ready_file, server.addresses.to_dict())
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


def _stop_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows' loop has no such thing
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    """A reader finds the whole file or none."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(content) + "\n")
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
