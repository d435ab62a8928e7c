"""`openwmi mof`: compile, check, show, export."""

from __future__ import annotations

from pathlib import Path

import pytest

from openwmi.repository import SqliteStore
from tests.cli.conftest import PASSWORD, Serve
from tests.cli.support import Run

GOOD = "class Cli_A { [key] string Name; };\n"
USES = 'class Cli_B : Cli_A { uint8 Small; };\ninstance of Cli_B { Name = "b"; Small = 7; };\n'
BAD = 'class Cli_C : Cli_Nowhere { };\ninstance of Cli_A { Nome = "x"; };\n'
WORSE = "class Cli_D {\n  [key] string;\n};\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name, text in {"good": GOOD, "uses": USES, "bad": BAD, "worse": WORSE}.items():
        made[name] = tmp_path / f"{name}.mof"
        made[name].write_text(text)
    return made


def test_several_files_are_one_compilation(run: Run, repository: Path, files: dict[str, Path]) -> None:
    here = ("--repository", repository)
    done = run("mof", "compile", *here, files["good"], files["uses"], files["bad"], files["worse"])
    assert (done.status, done.out) == (1, "")
    assert f"{files['bad']}:1:" in done.err
    assert f"{files['worse']}:2:" in done.err
    assert "^" in done.err
    assert run("get", *here, "Cli_A").status == 1
    done = run("mof", "compile", *here, files["good"], files["uses"])
    assert done.out == f"{files['good']}: 1 object\n{files['uses']}: 2 objects\n"
    assert run("get", *here, 'Cli_A="b"').status == 0


def test_check_changes_nothing(run: Run, repository: Path, files: dict[str, Path]) -> None:
    here = ("--repository", repository)
    done = run("mof", "check", *here, files["good"], files["uses"])
    assert (done.status, done.out) == (0, f"{files['good']}: 1 object\n{files['uses']}: 2 objects\n")
    assert run("get", *here, "Cli_A").status == 1
    done = run("mof", "check", *here, files["uses"])
    assert done.status == 1
    assert f"{files['uses']}:1:15" in done.err
    assert done.err.splitlines()[1] == "class Cli_B : Cli_A { uint8 Small; };"
    assert done.err.splitlines()[2] == " " * 14 + "^"
    # What only the repository refuses is found, too.
    (files["good"]).write_text('class Cli_Thing { [key] string Other; };\n#pragma deleteclass("Cli_Gone", FAIL)\n')
    done = run("mof", "check", *here, files["good"])
    assert done.status == 1
    assert f"{files['good']}:" in done.err


@pytest.mark.parametrize("command", ["compile", "check"])
def test_a_missing_file_is_said_first(run: Run, repository: Path, tmp_path: Path, command: str) -> None:
    """Before a repository is opened, and before a password is asked for."""
    missing = tmp_path / "none.mof"
    with SqliteStore(repository):
        for where in (("--repository", repository), ("--host", "dcom://ada@127.0.0.1:1")):
            done = run("mof", command, *where, missing)
            assert (done.status, done.out) == (1, "")
            assert done.err.startswith(f"openwmi: {missing}: cannot be read")


def test_check_without_a_repository(run: Run, repository: Path, files: dict[str, Path]) -> None:
    with SqliteStore(repository):
        assert run("mof", "check", "--repository", ":memory:", files["good"], files["uses"]).status == 0


def test_check_against_a_server(
    serve: Serve, run: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    host = ("--host", served.url)
    done = run("mof", "check", *host, files["good"], files["uses"])
    assert (done.status, done.out) == (0, f"{files['good']}: 1 object\n{files['uses']}: 2 objects\n")
    assert run("get", *host, "Cli_A").status == 1
    assert run("mof", "check", *host, files["uses"]).status == 1
    assert run("mof", "compile", *host, files["good"], files["uses"]).status == 0
    assert "instance of Cli_B" in run("mof", "export", *host).out


def test_show(run: Run, repository: Path, files: dict[str, Path]) -> None:
    here = ("--repository", repository)
    run("mof", "compile", *here, files["good"], files["uses"])
    assert run("mof", "show", *here, "Cli_B").out.startswith("class Cli_B : Cli_A")
    shown = run("mof", "show", *here, 'Cli_A="b"').out
    assert shown.startswith("instance of Cli_B")
    assert 'Name = "b";' in shown
    assert run("mof", "show", *here, "Cli_None").status == 1


def test_an_export_compiles_again(run: Run, repository: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """Into another repository and namespace, whose export is the same; without what is a namespace's own."""
    here = ("--repository", repository)
    files["bad"].write_text(
        "class Cli_Holds { [key] string Name; Cli_A Inner; Cli_A ref Other; };\n"
        'instance of Cli_Holds { Name = "h"; Inner = instance of Cli_A { Name = "in"; }; Other = "Cli_B=\\"b\\""; };\n'
        'instance of __NAMESPACE { Name = "below"; };\n'
        'instance of __Win32Provider { Name = "P"; };\n'
        '[dynamic, provider("P")] class Cli_Dynamic { [key] string Name; };\n'
    )
    assert run("mof", "compile", *here, files["good"], files["uses"], files["bad"]).status == 0
    done = run("mof", "export", *here)
    assert (done.status, done.err) == (0, "")
    for text in ("class Cli_Dynamic", "instance of Cli_Holds", "instance of __Win32Provider"):
        assert text in done.out
    assert "__NAMESPACE" not in done.out
    assert "__SystemSecurity" not in done.out
    exported = tmp_path / "exported.mof"
    exported.write_text(done.out)
    there = ("--repository", tmp_path / "other.db", "--namespace", "root\\default")
    assert run("mof", "compile", *there, exported).status == 0
    again = run("mof", "export", *there).out
    ours = [line for line in done.out.split("\n\n") if "Win32_" not in line and "CIM_" not in line]
    for declaration in ours:
        assert declaration in again
