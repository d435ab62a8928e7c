"""Runs the commands, and turns whatever goes wrong into one clear sentence and an exit status."""

from __future__ import annotations

import io
import os
import sys

from openwmi.causes import likely_causes
from openwmi.cli.app import app
from openwmi.cli.fanout import HostsFailed
from openwmi.cli.output import cause_lines, clean
from openwmi.errors import Error, InvalidQuery, WbemError
from openwmi.mof import MofError, MofErrors
from openwmi.wql import WqlError

__all__ = ["run"]


def run(arguments: list[str], *, debug: bool = False) -> int:
    """The exit status of the command line `arguments`. With `debug`, failures have their traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Data may hold what the terminal's encoding cannot say.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            raise
        _say(_sentence(error))
        return 1
    return status


def _run(arguments: list[str]) -> int:
    """typer's own exits included: usage is 2, Ctrl-C what typer has for it."""
    try:
        app(arguments, prog_name="openwmi")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, MofError | MofErrors):
        return str(error)  # one place a paragraph, with the line and a caret
    if isinstance(error, WqlError) and error.text:
        return f"openwmi: {InvalidQuery(' '.join(error.message.split()))}\n{error.excerpt}"
    if isinstance(error, HostsFailed):
        return "\n".join([*(f"{host}: {_sentence(why)}" for host, why in error.failures), f"openwmi: {error}"])
    if isinstance(error, Error):
        first = "openwmi: " + " ".join(str(error).split())
        return "\n".join([first, *_extended(error), *cause_lines(likely_causes(error))])
    what = " ".join(str(error).split())
    return (
        f"openwmi: unexpected {type(error).__name__}{': ' + what if what else ''};"
        " this is a mistake in openwmi: run it with OPENWMI_DEBUG=1 to see where"
    )


def _extended(error: Error) -> list[str]:
    """What the server's `__ExtendedStatus` says beside what the error does, in one line; none if it sent none."""
    if not isinstance(error, WbemError) or error.extended is None:
        return []
    told = {name: error.extended.get(name) for name in ("Operation", "ParameterInfo", "ProviderName", "Description")}
    texts = [f"{name} {clean(value)}" for name, value in told.items() if value and value != error.detail]
    return [f"  The server says: {', '.join(texts)}."] if texts else []


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
