"""What the README says that is no example: its server ends by Ctrl-C, its commands are all there, its targets exist."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import openwmi
from tests.docs.support import PASSWORD, ROOT, blocks, commands, placed

README = ROOT / "README.md"


def test_the_server_ends_by_ctrl_c() -> None:
    server = next(block.text for block in blocks(README) if block.language == "python")
    script = placed(server, 0).replace("print(server.addresses)", "print(server.addresses.rpc_port, flush=True)")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True) as running:
        try:
            assert running.stdout is not None
            url = f"dcom://ada@127.0.0.1:{running.stdout.readline().strip()}"
            with openwmi.connect(url, password=PASSWORD) as session:  # so it listens, and waits for the signal
                session.test_connection()
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)
            assert (running.returncode, err) == (0, "")  # Ctrl-C is no accident
        finally:
            running.kill()


def test_the_commands_are_a_tour() -> None:
    assert [line.split()[1] for line in commands(README)] == ["query", "account", "serve", "query", "invoke"]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^    make (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert targets == ["demo", "test", "docs"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
