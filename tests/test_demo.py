"""`make demo`: what it says happens, and nothing stays behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"


@pytest.fixture(scope="module")
def output() -> str:
    done = subprocess.run([sys.executable, str(DEMO)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        r"listens at 127\.0\.0\.1, port \d+ \(activation\) and port \d+ \(objects\)",
        r"up since \d{4}-\d\d-\d\d \d\d:\d\d UTC",
        r"ten largest processes, of \d+ ",
        r"DeleteInstanceAsync Win32_Process\.Handle=\"\d+\"",
        r"SetStatus\(WBEM_STATUS_COMPLETE, WBEM_S_NO_ERROR\)",
        r"Win32_Process knows 0 of that number",
        r"created   Demo_Note\.Title=\"first\"",
        r"read      Text = 'Hello, CIM\.', Written = 18446744073709551615",
        r"deleted   Demo_Note\.Title=\"first\"",
        r"WBEM_E_NOT_FOUND \(0x80041002\): ",
        r"__ExtendedStatus: Operation = DeleteInstance",
        r"openwmi account add demo --administrator && \S*openwmi serve",
        r"openwmi query --host dcom://demo@127\.0\.0\.1\S* \"SELECT ",
        r"wmiquery\.py -file - demo@127\.0\.0\.1",
    ],
)
def test_statement(output: str, statement: str) -> None:
    assert re.search(statement, output), output


def test_the_table_has_ten_rows(output: str) -> None:
    assert len(re.findall(r"^ +\d+ +\S.* MiB *$", output, re.MULTILINE)) == 10


def test_the_child_is_gone(output: str) -> None:
    found = re.search(r"has the number (\d+)", output)
    assert found
    pid = int(found[1])
    assert not psutil.pid_exists(pid) or "sleep" not in psutil.Process(pid).name()
