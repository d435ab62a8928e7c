"""`openwmi serve`, and the other commands against it over the network."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import PASSWORD, Serve, Served
from tests.cli.support import MOF, Run, process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_file_and_a_clean_stop(serve: Serve, number: int) -> None:
    served = serve()
    assert set(served.addresses) == {"address", "rpc_port", "exporter_port"}
    for port in ("rpc_port", "exporter_port"):
        socket.create_connection((served.addresses["address"], served.addresses[port]), timeout=10).close()
    log = served.stop(number)
    assert served.process.returncode == 0
    assert "Traceback" not in log
    assert "stopping" in log
    assert not served.ready.exists()
    assert sorted(path.name for path in served.ready.parent.iterdir()) == ["accounts.json", "served.db"]


def test_everything_over_the_network(serve: Serve, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    mof = tmp_path / "things.mof"
    mof.write_text(MOF + 'instance of Cli_Thing { Name = "first"; };')
    host = ("--host", served.url)
    assert run("mof", "compile", *host, mof).out == f"{mof}: 3 objects\n"
    put = run("put", *host, "Cli_Thing", "--set", "Name=second", "--set", 'Part:={"Number": -1}')
    assert (put.status, put.out) == (0, 'Cli_Thing.Name="second"\n')
    found = json.loads(run("query", *host, "--json", "SELECT * FROM Cli_Thing WHERE Name = 'second'").out)
    assert found[0]["Part"] == {"__CLASS": "Cli_Part", "Number": -1}
    assert "class Cli_Thing" in run("get", *host, "Cli_Thing").out
    assert run("delete", *host, "--async", "--progress", 'Cli_Thing="second"').status == 0
    refused = run("delete", *host, "--async", 'Cli_Thing="second"')
    assert refused.status == 1
    assert "WBEM_E_NOT_FOUND 0x80041002" in refused.err.splitlines()[0]
    out = json.loads(run("invoke", *host, "--json", "Win32_Process", "Create", "CommandLine=true").out)
    assert out["ReturnValue"] == 0
    assert out["ProcessId"] > 0


def test_without_a_host_the_running_server_is_asked(
    serve: Serve, run: Run, tmp_path: Path, socket_folder: Path
) -> None:
    repository = socket_folder / "r.db"
    served = serve("--repository", repository)
    mof = tmp_path / "things.mof"
    mof.write_text(MOF + 'instance of Cli_Thing { Name = "first"; };')
    here = ("--repository", repository)
    assert run("mof", "compile", *here, mof).out == f"{mof}: 3 objects\n"
    assert run("query", *here, "--format", "csv", "SELECT Name FROM Cli_Thing").out == "Name\r\nfirst\r\n"
    assert run("delete", *here, 'Cli_Thing="first"').status == 0
    refused = run("delete", *here, 'Cli_Thing="first"')
    assert (refused.status, "WBEM_E_NOT_FOUND" in refused.err) == (1, True)
    assert run("diagnose", "--timeout", 100, f"local:{repository}").status == 0
    served.stop()
    assert run("query", *here, "--format", "csv", "SELECT Name FROM Cli_Thing").status == 0


def test_a_server_without_a_socket(serve: Serve, run: Run) -> None:
    served = serve("--no-socket")
    refused = run("get", "--repository", served.repository, "Win32_ComputerSystem")
    assert refused.status == 1
    assert "is open in another process" in refused.err
    assert "--host dcom://USER@127.0.0.1:PORT" in refused.err


def test_a_server_that_refuses_mof_says_where(
    serve: Serve, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    mof = tmp_path / "refused.mof"
    mof.write_text('class Cli_Two { [key] string Name; };\n#pragma deleteinstance("Cli_Two.Name=\\"x\\"", FAIL)\n')
    done = run("mof", "compile", "--host", served.url, mof)
    assert done.status == 1
    assert f"{mof}:2:" in done.err
    assert "^" in done.err
    mof.write_text('#pragma deleteclass("Cli_Two", FAIL)\n#pragma deleteinstance("Cli_No.Name=\\"x\\"", NOFAIL)\n')
    assert run("mof", "compile", "--host", served.url, mof).status == 0
    assert run("get", "--host", served.url, "Cli_Two").status == 1


class TestPasswords:
    def ask(self, served: Served, run: Run, *options: object) -> tuple[int, str]:
        done = run("get", "--host", served.url, "Win32_ComputerSystem", *options)
        return done.status, done.err

    def test_from_a_file(self, serve: Serve, run: Run, tmp_path: Path) -> None:
        served = serve()
        file = tmp_path / "password"
        file.write_text(PASSWORD + "\r\nand what follows\n")
        assert self.ask(served, run, "--password-file", file) == (0, "")
        file.write_text("another")
        status, err = self.ask(served, run, "--password-file", file)
        assert status == 1
        assert "another" not in err

    def test_without_a_terminal(self, run: Run) -> None:
        done = run("get", "--host", "dcom://ada@127.0.0.1:1", "X")
        assert done.status == 1
        assert "OPENWMI_PASSWORD or --password-file" in done.err


def test_settings_from_a_file(serve: Serve, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line says goes before what the file says."""
    config = tmp_path / "openwmi.toml"
    config.write_text('rpc_port = 1\nbackups = "."\nadvertise = ["one.example"]\n')
    served = serve("--config", config, "--advertise", "two.example", "--activation-minimum", "connect")
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    assert run("repository", "backup", "--host", served.url, "x.bak").status == 0
    assert (tmp_path / "x.bak").exists()
    told = run("diagnose", "--timeout", 100, served.url).out
    assert "two.example" in told
    assert "one.example" not in told


def test_no_help_is_cut_short(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command's one line fits on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    for group in ((), ("class",), ("mof",), ("repository",), ("security",), ("account",)):
        lines = run(*group, "--help").out.partition("Commands:")[2].splitlines()
        assert lines
        assert not [line for line in lines if line.endswith("...")]


class TestRefusals:
    def serve(self, *options: object) -> tuple[int, str]:
        done = process("serve", "--exporter-port", 0, *options)
        assert done.out == ""
        lines = [line for line in done.err.splitlines() if line.startswith("openwmi: ")]
        assert "Traceback" not in done.err
        assert len(lines) == 1
        return done.status, lines[0]

    def accounts(self, tmp_path: Path) -> Path:
        path = tmp_path / "accounts.json"
        process("account", "add", "ada", "--password-stdin", "--accounts", path, stdin="x\n")
        return path

    def test_no_accounts_file(self, tmp_path: Path) -> None:
        status, line = self.serve("--accounts", tmp_path / "none.json", "--repository", ":memory:")
        assert status == 1
        assert "`openwmi account add` makes one" in line

    def test_port_in_use(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            options = ("--accounts", self.accounts(tmp_path), "--repository", ":memory:", "--rpc-port", port)
            status, line = self.serve(*options)
        assert status == 1
        assert "cannot listen at 127.0.0.1" in line
        assert str(port) in line

    def test_settings(self, tmp_path: Path) -> None:
        config = tmp_path / "openwmi.toml"
        config.write_text("[limits]\nrequests = 0\n")
        status, line = self.serve("--config", config)
        assert status == 1
        assert line == f"openwmi: {config}: limits: requests is 0, and must be above 0"

    def test_a_folder_for_backups_that_is_not_there(self, tmp_path: Path) -> None:
        config, folder = tmp_path / "openwmi.toml", tmp_path / "backups"
        config.write_text('backups = "backups"\n')
        options = ("--accounts", self.accounts(tmp_path), "--repository", ":memory:", "--rpc-port", 0)
        for given in (("--config", config), ("--backups", folder)):
            status, line = self.serve(*options, *given)
            assert status == 1
            assert line == f"openwmi: backups: {folder} is no folder: make it, or name another one"

    def test_a_keytab_that_is_not_there(self, tmp_path: Path) -> None:
        pytest.importorskip("gssapi")
        options = ("--accounts", self.accounts(tmp_path), "--repository", ":memory:", "--rpc-port", 0)
        status, line = self.serve(*options, "--keytab", tmp_path / "none.keytab")
        assert status == 1
        assert "none.keytab cannot be read" in line

    def test_repository_in_use(self, serve: Serve) -> None:
        served = serve()
        status, line = self.serve("--accounts", served.accounts, "--repository", served.repository, "--rpc-port", 0)
        assert status == 1
        assert "is open in another process" in line

    def test_ready_file_that_cannot_be(self, tmp_path: Path) -> None:
        options = ("--accounts", self.accounts(tmp_path), "--repository", ":memory:", "--rpc-port", 0)
        status, line = self.serve(*options, "--ready-file", tmp_path / "nowhere" / "ready.json")
        assert status == 1
        assert "ready.json: cannot be written" in line
