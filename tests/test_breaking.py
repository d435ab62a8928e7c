"""The table of tools/breaking.py, and what the program makes of a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.breaking import ROOT, Breaking, read_breakings, survivors
from tools.conformance import specifications

PACKAGE = ROOT / "src" / "openwmi"


def test_every_entry_still_breaks_something() -> None:
    for breaking in read_breakings():
        text = (PACKAGE / breaking.file).read_text(encoding="utf-8")
        broken = breaking.broken(PACKAGE)
        assert broken != text
        compile(broken, breaking.file, "exec")


def test_every_id_is_known() -> None:
    known = {identifier for table in specifications().values() for identifier in table}
    for breaking in read_breakings():
        assert breaking.ids
        assert set(breaking.ids) <= known


def test_what_is_not_there_once_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\nb = 1\n", encoding="utf-8")
    for old, times in (("a = 2", 0), (" = 1", 2)):
        with pytest.raises(ValueError, match=f"{times} times, not once"):
            Breaking(("X-1-01",), "module.py", old, "").broken(tmp_path)
    assert Breaking(("X-1-01",), "module.py", "a = 1", "a = 2").broken(tmp_path) == "a = 2\nb = 1\n"


def test_survivors() -> None:
    report = {
        "one": {"outcome": "failed", "ids": ["X-1-01", "X-1-02"]},
        "two": {"outcome": "passed", "ids": ["X-1-02", "X-1-03"]},
    }
    assert survivors(["X-1-01", "X-1-02", "X-1-03", "X-1-04"], report) == ["X-1-03", "X-1-04"]
