"""A server's settings, as a TOML file says them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from openwmi.errors import ConfigurationError
from openwmi.manager.limits import Limits
from openwmi.providers import discovery
from openwmi.providers.host import HostComputerSystem
from openwmi.security.accounts import Accounts
from openwmi.security.context import AuthenticationLevel
from openwmi.server.callbacks import CallbackSecurity
from openwmi.server.settings import Settings
from tests.providers.isolated_support import Bare


def load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "openwmi.toml"
    file.write_text(text)
    return Settings.load(file)


@pytest.mark.requirement("WMI-3.1.3-04")
def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Settings()
    assert Settings().limits == Limits()
    assert Settings().limits.requests == 5000


def test_everything(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        listen = "127.0.0.1"
        rpc_port = 0
        exporter_port = 0
        advertise = ["wmi.example"]
        activation_minimum = "connect"
        keytab = "host.keytab"
        repository = "wmi.db"
        accounts = "/etc/openwmi/accounts.json"
        backups = "backups"
        sink_timer = 5
        providers = ["OpenWMI Host Computer System"]
        [limits]
        requests = 7
        pause = 60
        provider_deadline = 1.5
        [connections]
        max_calls = 8
        [callbacks]
        user = "openwmi"
        password = "a secret"
        allow_anonymous = true
        """.replace("OpenWMI Host Computer System", HostComputerSystem.name),
    )
    assert settings.repository == str(tmp_path / "wmi.db")
    assert settings.accounts == Path("/etc/openwmi/accounts.json")
    assert settings.activation_minimum is AuthenticationLevel.CONNECT
    assert settings.keytab == tmp_path / "host.keytab"
    with pytest.raises(ConfigurationError, match=rf"backups: {tmp_path}/backups is no folder"):
        settings.server(None, Accounts())
    (tmp_path / "backups").mkdir()
    server = settings.model_copy(update={"keytab": None}).server(None, Accounts())
    assert server.manager.limits == Limits(requests=7, pause=60.0, provider_deadline=1.5)
    assert server.manager.backup.folder == tmp_path / "backups"
    assert server._host._limits is settings.connections
    assert settings.connections.max_calls == 8
    assert server._providers == (HostComputerSystem,)
    assert server._wmi.sink_timer == 5
    assert server._callbacks.security == CallbackSecurity("openwmi", "a secret", allow_anonymous=True)
    assert "a secret" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("listen = = 5", "is not TOML: Invalid value (at line 1"),
        ("zzz = 1", "zzz: there is no such key; there are listen, "),
        ('rpc_port = "135"', "rpc_port: input should be a valid integer"),
        ("rpc_port = 65536", "rpc_port: input should be less than or equal to 65535"),
        ('activation_minimum = "most"', "activation_minimum: there is no level most; there are none, connect, "),
        ("sink_timer = 0", "sink_timer: input should be greater than 0"),
        ("backups = 5", "backups: "),
        ("limits = 5", "limits: "),
        ("[limits]\nrequest = 1", "limits: there is no request; there are async_operations_per_caller, "),
        ("[limits]\nrequests = 0", "limits: requests is 0, and must be above 0"),
        ("[limits]\npause = nan", "limits: pause is nan, and must be above 0"),
        ("[limits]\nquery = true", "limits.query: input should be a valid integer"),
        ("[connections]\nmax_calls = -1", "connections: max_calls is -1, and must be above 0"),
        ("[connections]\nmax_call = 1", "connections: there is no max_call; there are "),
        ("[callbacks]\nanonymous = true", "callbacks: there is no anonymous; there are access_control, "),
        ('rpc_port = "x"\nlisten = 5', "listen: input should be a valid string; rpc_port: "),
    ],
)
def test_errors_name_the_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'openwmi.toml'}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "repository", "expected"),
    [
        ("", "r.db", "r.db.sock"),
        ("socket = true", "r.db", "r.db.sock"),
        ("socket = false", "r.db", None),
        ("", None, None),
    ],
)
def test_the_socket_is_beside_the_repository(
    socket_folder: Path, text: str, repository: str | None, expected: str | None
) -> None:
    server = load(socket_folder, text).server(None if repository is None else socket_folder / repository, Accounts())
    assert server._socket_path == (None if expected is None else socket_folder / expected)


def test_no_socket_has_a_reason_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / ("x" * 108)
    folder.mkdir()
    assert load(tmp_path, "socket = false").server(folder / "other.db", Accounts())._socket_path is None
    assert not caplog.messages
    assert load(tmp_path, "").server(folder / "r.db", Accounts())._socket_path is None
    [message] = caplog.messages
    assert f"no socket beside {folder / 'r.db'}: its path is too long" in message


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read: No such file"):
        Settings.load(tmp_path / "none.toml")
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigurationError, match="is larger than"):
        Settings.load(big)
    big.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        Settings.load(big)


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("bare", "tests.providers.isolated_support:Bare", discovery.GROUP)]
    monkeypatch.setattr(discovery, "entry_points", lambda group: entries)


@pytest.mark.usefixtures("_installed")
async def test_an_installed_provider_by_name(tmp_path: Path) -> None:
    text = f"""
        rpc_port = 0
        exporter_port = 0
        providers = ["BARE", "{HostComputerSystem.name}"]
        installed_providers = ["bare"]
        """
    server = load(tmp_path, text).server(None, Accounts())
    assert server._providers == ("bare", HostComputerSystem)
    async with server:
        for provider in (Bare, HostComputerSystem):
            assert server.manager.providers.has(provider.name, "root\\cimv2")
    with pytest.raises(ConfigurationError, match=f"there is no Bear; there are .*{HostComputerSystem.name}.*, bare$"):
        load(tmp_path, 'providers = ["Bear"]').server(None, Accounts())


def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="providers: there is no Nothing; there are "):
        load(tmp_path, 'providers = ["Nothing"]').server(None, Accounts())
