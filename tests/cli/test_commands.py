"""The commands on a repository of their own: output, exit status, what users are told."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import openwmi
from openwmi.cli import operations, passwords
from openwmi.cli import run as runs
from openwmi.cli.output import clean, write_table
from openwmi.errors import ConfigurationError
from tests.cli.support import Run, process

THING = 'Cli_Thing.Name="a"'


@pytest.fixture
def here(run: Run, repository: Path) -> Run:
    """Runs a command on the repository."""

    def on_repository(command: str, *arguments: object, stdin: str = "") -> object:
        return run(command, "--repository", repository, *arguments, stdin=stdin)

    return on_repository  # type: ignore[return-value]


def put(here: Run, *values: str) -> None:
    sets = [part for value in values for part in ("--set", value)]
    done = here("put", "Cli_Thing", *sets)
    assert (done.status, done.err) == (0, "")


def test_version_and_help(run: Run) -> None:
    for option in ("--version", "-V"):
        assert run(option).out == f"openwmi {openwmi.__version__}\n"
    for command in ((), ("serve",), ("account", "add"), ("query",), ("put",), ("invoke",), ("mof", "compile")):
        done = run(*command, "--help")
        assert done.status == 0
        assert done.out.startswith("Usage: openwmi")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("query",),
        ("query", "--nonsense", "x"),
        ("get", "Thing="),
        ("query", "--host", "ftp://x", "SELECT"),
        ("query", "--host", "dcom://ada:secret@x", "SELECT"),
        ("query", "--host", "dcom://x", "SELECT"),
        ("query", "--host", "dcom://a@x", "--repository", "y", "SELECT"),
        ("put", "--repository", ":memory:", "--set", "A=b"),
        ("put", "--repository", ":memory:", "Cli_Thing"),
        ("put", "--repository", ":memory:", "Cli_Thing", "--set", "A"),
        ("put", "--repository", ":memory:", "Cli_Thing", "--set", "A:={"),
        ("put", "--repository", ":memory:", "--only", "sometimes", "X", "--set", "A=b"),
        ("invoke", "--repository", ":memory:", "Win32_Process", "Create", "sleep"),
        ("serve", "--rpc-port", "65536"),
        ("mof", "compile"),
    ],
)
def test_usage(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert "Traceback" not in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("query", "message", "line", "caret"),
    [
        ("SELECT * FROM Cli_Thing\nWHERE Nmae = 'x'", "Cli_Thing has no property Nmae", "WHERE Nmae = 'x'", 6),
        ("SELECT * FROM Nothing", "there is no class Nothing", "SELECT * FROM Nothing", 14),
        ("SELECT * FROM Cli_Thing WHERE Size > 'many'", "a number", "SELECT * FROM Cli_Thing WHERE Size > 'many'", 37),
        ("SELECT * FROM", "the query ends", "SELECT * FROM", 13),
        ("SELECT * FROM meta_class WHERE X = 1", "system properties only", "SELECT * FROM meta_class WHERE X = 1", 31),
        ("ASSOCIATORS OF {Cli_Thing='x'} WHERE AssocClass = No", "no class No",
         "ASSOCIATORS OF {Cli_Thing='x'} WHERE AssocClass = No", 50),
        ("REFERENCES OF {Cli_Thing.X=1}", "is missing", "REFERENCES OF {Cli_Thing.X=1}", 15),
    ],
)  # fmt: skip
def test_checking_a_query_that_is_wrong(here: Run, query: str, message: str, line: str, caret: int) -> None:
    for options in (("--check",), ()):
        done = here("query", *options, query)
        assert (done.status, done.out) == (1, "")
        if options or "WBEM_E_INVALID_QUERY" in done.err:
            first, shown, mark = done.err.splitlines()
            assert message in first
            assert (shown, mark) == (line, " " * caret + "^")


def test_checking_a_query_does_not_run_it(here: Run) -> None:
    put(here, "Name=a")
    for query in ("SELECT * FROM Cli_Thing", "ASSOCIATORS OF {Cli_Thing='none'}", "SELECT * FROM meta_class"):
        assert here("query", "--check", query) == here("query", "--check", "SELECT Name FROM Cli_Thing")
        assert here("query", "--check", query).status == 0
        assert here("query", "--check", query).out == ""


def test_put_get_query_delete(here: Run) -> None:
    put(here, "Name=a", "Size=0x10", f"Big={2**64 - 1}", "Loud=yes", "When=20260101000000.000000+000", "Ratio=.5")
    put(here, "Name=b", 'Tags:=["x", null]', "Ratio:=null")
    assert json.loads(here("get", "--json", THING).out) == {
        "__CLASS": "Cli_Thing",
        "Name": "a",
        "Size": 16,
        "Big": 2**64 - 1,
        "Loud": True,
        "When": "20260101000000.000000+000",
        "Tags": None,
        "Ratio": 0.5,
        "Part": None,
    }
    assert "Name  = a\nSize  = 16\n" in here("get", THING).out
    table = here("query", "SELECT Name, Size, Tags FROM Cli_Thing").out
    assert table == "Name  Size  Tags\na       16\nb        3  {x, }\n"
    assert json.loads(here("query", "--json", "SELECT Name FROM Cli_Thing").out) == [
        {"__CLASS": "Cli_Thing", "Name": "a"},
        {"__CLASS": "Cli_Thing", "Name": "b"},
    ]
    assert here("delete", "--progress", THING).status == 0
    assert here("query", "SELECT Name FROM Cli_Thing").out == "Name\nb\n"
    assert here("delete", 'Cli_Thing="b"').status == 0
    assert here("query", "SELECT Name FROM Cli_Thing").out == ""
    assert json.loads(here("query", "--json", "SELECT Name FROM Cli_Thing").out) == []


def test_put_changes_what_it_names(here: Run) -> None:
    put(here, "Name=a", "Size=9", "Loud=true")
    assert here("put", THING, "--set", "Loud=false").out == THING + "\n"
    changed = json.loads(here("get", "--json", THING).out)
    assert (changed["Size"], changed["Loud"]) == (9, False)
    assert "WBEM_E_NOT_FOUND" in here("put", 'Cli_Thing="none"', "--set", "Size=1").err


def test_put_from_stdin(here: Run) -> None:
    one = here("put", stdin='{"__CLASS": "Cli_Thing", "Name": "a", "Part": {"Number": 1}}')
    assert (one.status, one.out) == (0, THING + "\n")
    again = here("get", "--json", THING).out
    assert here("put", "--json", stdin=f"[{again}]").out == '[\n"Cli_Thing.Name=\\"a\\""\n]\n'
    assert here("put", stdin='instance of Cli_Thing { Name = "b"; };').out == "1 object\n"
    assert here("get", 'Cli_Thing="b"').status == 0
    assert here("put", stdin='[{"Name": "x"}]').status == 2
    assert here("put", stdin="[" * 100_000).status == 2


@pytest.mark.parametrize(("only", "name", "code"), [("create", "a", "ALREADY_EXISTS"), ("update", "b", "NOT_FOUND")])
def test_put_only(here: Run, only: str, name: str, code: str) -> None:
    put(here, "Name=a")
    done = here("put", "Cli_Thing", "--set", f"Name={name}", "--only", only)
    assert done.status == 1
    assert f"WBEM_E_{code}" in done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("query", "SELECT"), "WBEM_E_INVALID_QUERY"),
        (("query", "SELECT * FROM Nowhere"), "WBEM_E_INVALID_CLASS"),
        (("get", 'Cli_Thing="none"'), "WBEM_E_NOT_FOUND"),
        (("get", "-n", "root\\none", "Cli_Thing"), "WBEM_E_INVALID_NAMESPACE"),
        (("put", "Cli_Thing", "--set", "Size=many"), "WBEM_E_TYPE_MISMATCH"),
        (("put", "Cli_Thing", "--set", "Loud=perhaps"), "WBEM_E_TYPE_MISMATCH"),
        (("put", "Cli_Thing", "--set", "Tags=x"), "Tags:=JSON"),
        (("put", "Cli_Thing", "--set", "Nothing=1"), "WBEM_E_NOT_FOUND"),
        (("delete", "Cli_Thing"), "WBEM_E_INVALID_OBJECT_PATH"),
        (("invoke", "Win32_Process", "Nothing"), "WBEM_E_INVALID_METHOD"),
        (("invoke", "Win32_Process", "Create", "Nothing=1"), "WBEM_E_INVALID_METHOD_PARAMETERS"),
    ],
)
def test_failures_have_their_code_in_the_first_line(here: Run, arguments: tuple[str, ...], code: str) -> None:
    done = here(*arguments)
    assert (done.status, done.out) == (1, "")
    first = done.err.splitlines()[0]
    assert first.startswith("openwmi: ")
    assert code in first


def test_the_servers_own_account(here: Run) -> None:
    """Of the error object, what the first line does not say."""
    assert here("get", 'Cli_Thing="no"').err.splitlines()[1] == (
        '  The server says: Operation GetObject, ParameterInfo Cli_Thing="no", ProviderName Windows Management.'
    )


def test_invoke(here: Run) -> None:
    done = here("invoke", "Win32_Process", "Create", "CommandLine=true")
    assert done.status == 0
    assert "ReturnValue = 0\n" in done.out


def test_classes(here: Run) -> None:
    names = here("query", 'SELECT * FROM meta_class WHERE __CLASS = "Cli_Part"').out
    assert names == "Cli_Part\n"
    assert "class Cli_Part" in here("get", "Cli_Part").out
    assert json.loads(here("get", "--json", "Cli_Part").out)["properties"]["Number"]["type"] == "sint32"


def test_many_properties_are_blocks(here: Run) -> None:
    system = here("query", "SELECT * FROM Win32_ComputerSystem").out
    assert "\nName " in system or system.startswith("Name ")


def test_mof_with_mistakes(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.mof"
    file.write_text("class Good { [key] string Name; };\nclass Bad { uint32 = 5; };\n")
    path = tmp_path / "other.db"
    done = run("mof", "compile", "--repository", path, file)
    assert done.status == 1
    assert done.err.startswith(f"{file}:2:20: ")
    assert done.err.splitlines()[-1].strip() == "^"
    assert run("get", "--repository", path, "Good").status == 1
    missing = run("mof", "compile", "--repository", path, tmp_path / "none.mof")
    assert (missing.status, missing.err.count("\n")) == (1, 1)


def test_the_default_places(run: Run, tmp_path: Path) -> None:
    assert run("query", "SELECT Name FROM Win32_ComputerSystem").status == 0
    assert len(list((tmp_path / "home").rglob("repository.db"))) == 1
    assert run("account", "add", "ada", "--password-stdin", stdin="x\n").status == 0
    assert len(list((tmp_path / "home").rglob("accounts.json"))) == 1


class TestAccounts:
    def test_add_list_remove(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "accounts.json"
        at = ("--accounts", file)
        assert run("account", "list", *at).status == 1
        assert run("account", "add", "ada", "--administrator", "--password-stdin", *at, stdin="secret\n").status == 0
        assert run("account", "add", "bob", "--password-stdin", *at, stdin="secret\n").status == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "secret" not in file.read_text()
        listed = json.loads(run("account", "list", "--json", *at).out)
        assert [(a["name"], a["administrator"]) for a in listed] == [("ada", True), ("bob", False)]
        assert run("account", "list", *at).out.splitlines()[1].startswith("ada   S-1-5-21-")
        assert run("account", "remove", "ada", *at).status == 0
        gone = run("account", "remove", "ada", *at)
        assert (gone.status, gone.err) == (1, "openwmi: there is no account 'ada'\n")

    @pytest.mark.parametrize(("name", "stdin"), [("a/b", "x\n"), ("ada", "\n"), ("ada", "")])
    def test_refused(self, run: Run, tmp_path: Path, name: str, stdin: str) -> None:
        file = tmp_path / "accounts.json"
        done = run("account", "add", name, "--password-stdin", "--accounts", file, stdin=stdin)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert not file.exists()

    def test_prompts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", _Terminal())
        answers = iter(["one", "one", "one", "two", "three"])
        monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
        assert passwords.new_password("ada", from_stdin=False) == "one"
        with pytest.raises(ConfigurationError, match="not the same"):
            passwords.new_password("ada", from_stdin=False)
        monkeypatch.delenv("OPENWMI_PASSWORD", raising=False)
        assert passwords.known_password("ada", None) == "three"

    def test_without_a_terminal(self, run: Run, tmp_path: Path) -> None:
        done = run("account", "add", "ada", "--accounts", tmp_path / "a.json")
        assert done.status == 1
        assert "--password-stdin" in done.err


class _Terminal:
    def isatty(self) -> bool:
        return True


class TestTheLastResort:
    @pytest.fixture
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: object) -> None:
            raise ZeroDivisionError("a\nsurprise")

        monkeypatch.setattr(operations, "everywhere", fail)

    @pytest.mark.usefixtures("broken")
    def test_one_sentence(self, run: Run) -> None:
        done = run("get", "X")
        assert done.status == 1
        assert done.err.count("\n") == 1
        assert "ZeroDivisionError: a surprise" in done.err
        assert "OPENWMI_DEBUG=1" in done.err

    @pytest.mark.usefixtures("broken")
    def test_debug(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENWMI_DEBUG", "1")
        with pytest.raises(ZeroDivisionError):
            run("get", "X")

    def test_a_reader_that_has_enough(self) -> None:
        command = [sys.executable, "-m", "openwmi", "query", "--repository", ":memory:", "--json"]
        with subprocess.Popen(
            [*command, "SELECT * FROM Win32_Process"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as query:
            assert query.stdout is not None
            assert query.stderr is not None
            query.stdout.close()
            assert query.stderr.read() == ""

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
    @pytest.mark.parametrize("arguments", [("--help",), ("query", "--json", "SELECT * FROM Win32_Process")])
    def test_a_full_disk_is_no_mistake_of_ours(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "openwmi", *arguments],
                env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stderr) == (1, "openwmi: cannot write: No space left on device\n")

    def test_status_of_an_exit(self) -> None:
        assert runs.run(["--help"]) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "TRUE"),
        (b"\x01\x02", "{1, 2}"),
        ("plain é", "plain é"),
        ("\x1b[31mred\r\n", "\\x1b[31mred\\r\\n"),
        ("\u202e\ud800", "\\u202e\\ud800"),
    ],
)
def test_clean(value: object, text: str) -> None:
    assert clean(value) == text


def test_ctrl_c_before_anything_has_begun() -> None:
    code = (
        "import sys\n"
        "class CtrlC:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'openwmi.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, CtrlC())\n"
        "from openwmi.cli import main\n"
        "sys.exit(main(['--help']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_version_imports_next_to_nothing() -> None:
    code = (
        "import sys; from openwmi.cli import main; main(['--version'])\n"
        "print(*[name for name in ('typer', 'rich', 'asyncio', 'spnego', 'openwmi.cim') if name in sys.modules])"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"openwmi {openwmi.__version__}\n\n"


def test_as_a_process() -> None:
    done = process("get", "--repository", ":memory:", "Nowhere")
    assert done.status == 1
    assert done.err.startswith("openwmi: there is no class Nowhere")


def test_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    write_table(("Name", "Size"), [("[bold]a[/]", 5), (None, 10)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Name", "Size"] in lines
    assert ["[bold]a[/]", "5"] in lines  # what is in data is no markup


def test_a_long_result_streams(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("N",), ([n] for n in range(2500)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "N"
    assert [int(line) for line in lines[1:]] == list(range(2500))
