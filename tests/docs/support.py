"""Examples out of Markdown, and the machine that they ask: one way for the README and every page of docs/.

A page's examples are its fenced blocks. Those in Python under one second-level heading are one script, run in this
process; a block of ``text`` after one is what it prints, with ``...`` for what differs from time to time. Commands in
a ``console`` block are run one after another.

What a reader types in works as it stands with ``python examples/office.py`` running at port 13501; here that port is
replaced by the one at which the office of the test listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from examples.office import office

__all__ = [
    "PASSWORD",
    "ROOT",
    "Block",
    "Example",
    "blocks",
    "commands",
    "examples",
    "placed",
    "run_command",
    "running_office",
]

ROOT = Path(__file__).parents[2]
PORT = "13501"
PASSWORD = "correct horse"
_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^##? (.+)$", re.MULTILINE)
_OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its line in the page and the heading that it stands under."""

    language: str
    text: str
    line: int
    heading: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    headings = [
        (match.start(), match[1])
        for match in _HEADING.finditer(_FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text))
    ]
    found = []
    for match in _FENCE.finditer(text):
        heading = next((name for start, name in reversed(headings) if start < match.start()), "")
        found.append(Block(match["language"], match["text"], text.count("\n", 0, match.start()) + 2, heading))
    return found


@dataclass
class Example:
    """The Python under one heading, and what each part of it prints (None: whatever it prints)."""

    page: Path
    heading: str
    parts: list[tuple[Block, str | None]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page.name}: {self.heading}"

    def run(self, port: int) -> None:
        """Runs it against the office at `port`; AssertionError if it prints something else than the page says."""
        module = ModuleType("example")
        for block, expected in self.parts:
            # Lines of their own number, so that a traceback names the line of the page.
            source = "\n" * (block.line - 1) + placed(block.text, port)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(source, str(self.page), "exec"), _namespace(module))
            if expected is not None:
                same = doctest.OutputChecker().check_output(expected, printed.getvalue(), _OUTPUT)
                assert same, f"{self}, line {block.line} prints\n{printed.getvalue()}\ninstead of\n{expected}"


def _namespace(module: ModuleType) -> dict[str, Any]:
    # Registered, because dataclasses and typing look a class's module up.
    sys.modules[module.__name__] = module
    return module.__dict__


def examples(page: Path) -> list[Example]:
    """What a page has to run, in order."""
    found: dict[str, Example] = {}
    previous: Block | None = None
    for block in blocks(page):
        if block.language == "python":
            found.setdefault(block.heading, Example(page, block.heading)).parts.append((block, None))
        elif block.language == "text" and previous is not None and previous.language == "python":
            found[block.heading].parts[-1] = (previous, block.text)
        previous = block
    return list(found.values())


def placed(text: str, port: int) -> str:
    """The text with the office's port, and free ports for a server of its own."""
    return text.replace(f"rpc_port={PORT}", "rpc_port=0, exporter_port=0").replace(PORT, str(port))


def commands(page: Path) -> list[str]:
    """The command lines of a page."""
    return [
        line.removeprefix("$ ")
        for block in blocks(page)
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def run_command(line: str, port: int, home: Path) -> str:
    """Runs one command line of `openwmi` with a home of its own; what it prints, which is JSON if it says so."""
    program, *arguments = shlex.split(placed(line, port))
    assert program == "openwmi", line
    if arguments[0] == "serve":
        arguments.append("--help")  # a server runs already
    if arguments[:2] == ["account", "add"]:
        arguments.append("--password-stdin")
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "OPENWMI_PASSWORD": PASSWORD,
    }
    done = subprocess.run(
        [sys.executable, "-m", "openwmi", *arguments],
        capture_output=True, text=True, input=PASSWORD + "\n", env=environment, timeout=100, check=False, cwd=home,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), line
    if "--json" in arguments:
        assert json.loads(done.stdout), line
    return done.stdout


@contextmanager
def running_office() -> Iterator[int]:
    """The office in a thread of its own; the port that it listens at."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="office")
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(office(0, 0), loop).result(60)
        try:
            yield server.addresses.rpc_port
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
