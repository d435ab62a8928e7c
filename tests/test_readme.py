"""The examples of the README, run."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PORT = "13501"
PASSWORD = "correct horse"

SERVER, CLIENT = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def port() -> Iterator[str]:
    """The port of the README's server, which runs meanwhile."""
    assert f"rpc_port={PORT}" in SERVER
    script = SERVER.replace(f"rpc_port={PORT}", "rpc_port=0, exporter_port=0").replace(
        "print(server.addresses)", "print(server.addresses.rpc_port, flush=True)"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=30)
            assert (server.returncode, err) == (0, "")  # Ctrl-C is no accident
        finally:
            server.kill()


def test_server_and_client(port: str) -> None:
    script = CLIENT.replace(PORT, port)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^1 \S", done.stdout, re.MULTILINE)


def test_command_line(port: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "OPENWMI_PASSWORD": PASSWORD,
    }
    ran = []
    for line in COMMANDS:
        program, *arguments = shlex.split(line.replace(PORT, port))
        assert program == "openwmi"
        if arguments[0] == "serve":
            arguments.append("--help")  # the server of the README's own script runs already
        if arguments[:2] == ["account", "add"]:
            arguments.append("--password-stdin")
        done = subprocess.run(
            [sys.executable, "-m", "openwmi", *arguments],
            capture_output=True, text=True, input=PASSWORD + "\n", env=environment, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), line
        if "--json" in arguments:
            assert json.loads(done.stdout)
        ran.append(arguments[0])
    assert ran == ["query", "account", "serve", "query", "invoke"]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
