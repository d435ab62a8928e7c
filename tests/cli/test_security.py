"""``openwmi security``: a namespace's rights, seen and changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Run

DEFAULT = "O:BAG:BAD:(A;CI;CCDCLCSWRPWPRCWD;;;BA)(A;CI;CCDCRP;;;NS)(A;CI;CCDCRP;;;LS)(A;CI;CCDCRP;;;AU)"


@pytest.fixture
def security(run: Run, repository: Path) -> Any:
    def command(name: str, *arguments: object, status: int = 0, namespace: str = "root\\cimv2") -> str:
        done = run("security", name, "--repository", repository, "--namespace", namespace, *arguments)
        assert done.status == status, done.err
        return done.out if status == 0 else done.err

    return command


def sddl(security: Any, **more: Any) -> str:
    text: str = security("show", "--sddl", **more)
    return text.strip()


def test_showing(security: Any) -> None:
    assert sddl(security) == DEFAULT
    rows = json.loads(security("show", "--json"))
    assert rows[0] == {
        "who": "S-1-5-32-544", "name": "BUILTIN\\Administrators", "kind": "allow", "rights": "all", "reach": "below"
    }  # fmt: skip
    assert rows[3]["rights"] == "enable method-execute write-provider"
    assert security("show").splitlines()[0].split() == ["Who", "Name", "Kind", "Rights", "Reach"]


def test_granting_and_revoking(security: Any) -> None:
    security("grant", "S-1-5-21-1-2-3-1000", "enable", "remote-enable")
    security("grant", "S-1-5-21-1-2-3-1000", "method-execute")
    assert sddl(security) == f"{DEFAULT}(A;;CCDCWP;;;S-1-5-21-1-2-3-1000)"
    security("grant", "WD", "enable", "--inherit")
    assert sddl(security).endswith("(A;CI;CC;;;WD)")
    assert security("revoke", "S-1-5-21-1-2-3-1000") == ""
    security("revoke", "WD")
    assert sddl(security) == DEFAULT


def test_what_is_inherited_stays(security: Any) -> None:
    security("grant", "WD", "enable", "--inherit", namespace="root")
    security("grant", "BU", "enable")  # takes in what the parent gives now
    assert sddl(security) == f"{DEFAULT}(A;;CC;;;BU)(A;CIID;CC;;;WD)"
    assert "inherited" in security("show")
    security("grant", "BG", "enable")
    assert sddl(security) == f"{DEFAULT}(A;;CC;;;BU)(A;;CC;;;BG)(A;CIID;CC;;;WD)"
    assert "still has rights" in security("revoke", "WD")


def test_an_account_by_its_name(run: Run, security: Any, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.json"
    assert run("account", "add", "ada", "--accounts", accounts, "--password-stdin", stdin="secret word\n").status == 0
    security("grant", "ada", "all", "--accounts", accounts)
    entry = json.loads(security("show", "--json", "--accounts", accounts))[-1]
    assert (entry["name"], entry["rights"]) == ("ada", "all")
    # Without that file it is a SID and no more; one that was named has to be there.
    assert json.loads(security("show", "--json"))[-1]["name"] is None
    assert "none.json" in security("show", "--accounts", tmp_path / "none.json", status=1)
    assert "no account" in security("grant", "nobody", "all", "--accounts", accounts, status=1)
