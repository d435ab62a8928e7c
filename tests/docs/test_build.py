"""`make docs`: Sphinx builds the pages, and warns of nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.support import ROOT


def test_the_pages_are_built(tmp_path: Path) -> None:
    sphinx = (sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "doctrees"))
    done = subprocess.run(
        [*sphinx, str(ROOT / "docs"), str(tmp_path / "html")], capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    reference = (tmp_path / "html" / "reference.html").read_text(encoding="utf-8")
    for name in ("openwmi.connect", "openwmi.client.sync.Session.delete_instance", "openwmi.errors.NotFound"):
        assert f'id="{name}"' in reference
