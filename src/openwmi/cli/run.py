"""Runs the commands, and turns whatever goes wrong into one clear sentence and an exit status."""

from __future__ import annotations

import io
import os
import sys

from openwmi.cli.app import app
from openwmi.cli.failures import told

__all__ = ["run"]


def run(arguments: list[str], *, debug: bool = False) -> int:
    """The exit status of the command line `arguments`. With `debug`, failures are raised; Ctrl-C always is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Data may hold what the terminal's encoding cannot say.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        _end_output()
        return 1
    except Exception as error:
        if debug:
            raise
        _say(told(error))
        _end_output()
        return 1
    return status


def _end_output() -> None:
    """Writes what is still buffered, or gives it up: what cannot be written must not fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    """typer's own exits included: usage is 2, Ctrl-C what typer has for it."""
    try:
        app(arguments, prog_name="openwmi")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
