"""`openwmi provider list`, and `openwmi serve` with providers of installed packages."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import PASSWORD, Serve
from tests.cli.support import Run, process

CODE = '''
import os
from openwmi.providers import Key, Provider, Uint32, cim_class

@cim_class
class Acme_Lamp:
    """A lamp."""
    Number: Key[Uint32]
    Process: Uint32 = 0

class Lamps(Provider):
    name = "Lamps"
    classes = (Acme_Lamp,)

    def enumerate_instances(self, call):
        return [Acme_Lamp(1, os.getpid())]
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a provider, where the commands' processes find it."""
    folder = tmp_path / "packages"
    information = folder / "acme_lamps-1.2.dist-info"
    information.mkdir(parents=True)
    (folder / "acme_lamps.py").write_text(CODE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-lamps\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[openwmi.providers]\nlamps = acme_lamps:Lamps\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    return folder


def test_list(installed: Path) -> None:
    done = process("provider", "list")
    assert (done.status, done.err) == (0, "")
    assert "lamps\tacme_lamps:Lamps\tacme-lamps 1.2\n" in done.out


def test_none_is_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openwmi.cli.provider.installed", list)
    done = run("provider", "list")
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("No installed package has a provider")


@pytest.mark.parametrize("isolated", [False, True])
def test_serving_one(installed: Path, serve: Serve, run: Run, monkeypatch: pytest.MonkeyPatch, isolated: bool) -> None:
    served = serve("--provider", "lamps", *(["--isolate"] if isolated else []))
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    [found] = json.loads(run("query", "--host", served.url, "--json", "SELECT * FROM Acme_Lamp").out)
    assert found["Number"] == 1
    assert (found["Process"] != served.process.pid) is isolated


def test_what_is_installed_is_not_run_by_itself(
    installed: Path, serve: Serve, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    assert "WBEM_E_INVALID_CLASS" in run("query", "--host", served.url, "SELECT * FROM Acme_Lamp").err


def test_one_that_is_not_installed(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.json"
    assert (
        process("account", "add", "--password-stdin", "--accounts", accounts, "me", stdin="long enough\n").status == 0
    )
    done = process(
        "serve", "--accounts", accounts, "--repository", ":memory:", "--rpc-port", "0", "--exporter-port", "0",
        "--provider", "no-such-provider",
    )  # fmt: skip
    assert done.status == 1
    assert "no-such-provider is not installed" in done.err
