"""The command line, run in this process or as a process of its own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from openwmi.cli import main

MOF = """
class Cli_Part { sint32 Number; };
class Cli_Thing
{
    [key] string Name;
    uint32 Size = 3;
    uint64 Big;
    boolean Loud;
    datetime When;
    string Tags[];
    real64 Ratio;
    Cli_Part Part;
};
"""


@dataclass(frozen=True)
class Done:
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


def runner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands in this process."""

    def run(*arguments: Any, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


def process(*arguments: Any, stdin: str = "", **settings: Any) -> Done:
    """Runs a command as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "openwmi", *map(str, arguments)],
        input=stdin, capture_output=True, text=True, timeout=60, check=False, **settings,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)
