"""A server's settings, and the TOML file that holds them (`openwmi serve --config FILE`).

    listen = "192.0.2.1"
    backups = "/var/backups/openwmi"

    [limits]
    requests = 500

    [connections]
    max_calls = 32

Every key is a field of `Settings`; ``limits`` are those of the object manager, ``connections`` those of one RPC
connection, ``callbacks`` is how sinks are called. What a file leaves out has its default. Names of files are relative
to the file's own folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from openwmi.cim import fold
from openwmi.errors import ConfigurationError
from openwmi.manager.limits import Limits
from openwmi.manager.recovery import RecoveryList
from openwmi.net.unixsockets import socket_beside
from openwmi.providers import Isolation, Provider
from openwmi.providers.discovery import installed
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.repository import MemoryStore, SqliteStore
from openwmi.rpc import ConnectionLimits
from openwmi.security.accounts import Accounts
from openwmi.security.context import AuthenticationLevel
from openwmi.server.callbacks import CallbackSecurity
from openwmi.server.server import EXPORTER_PORT, RPC_PORT, Server
from openwmi.tomlfiles import read_toml, validated
from openwmi.wmi.sinks import SINK_TIMER

__all__ = ["Settings"]

_FILES: Final = ("repository", "accounts", "backups", "keytab", "ready_file")
_IN_MEMORY: Final = ":memory:"

_log = logging.getLogger("openwmi.server")


def _fields_of(kind: type) -> BeforeValidator:
    """Refuses keys that are no fields of a dataclass, which would be ignored otherwise."""
    known = {field.name for field in fields(kind)}

    def check(value: Any) -> Any:
        unknown = sorted(set(value) - known) if isinstance(value, Mapping) else []
        if unknown:
            raise ValueError(f"there is no {unknown[0]}; there are {', '.join(sorted(known))}")
        return value

    return BeforeValidator(check)


def _above_zero(limits: Any) -> Any:
    """Refuses a limit that would let nothing through; None, where there may be one, is no limit."""
    for field in fields(limits):
        value = getattr(limits, field.name)
        if value is not None and not value > 0:
            raise ValueError(f"{field.name} is {value}, and must be above 0")
    return limits


def _level(name: Any) -> Any:
    """The authentication level of that name, in small letters."""
    names = {level.name.lower(): level for level in AuthenticationLevel}
    if name not in names:
        raise ValueError(f"there is no level {name}; there are {', '.join(names)}")
    return names[name]


_Level = Annotated[AuthenticationLevel, BeforeValidator(_level)]
_Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseModel):
    """What a server needs to know. Files that are None are the user's own, or, of `backups` and `ready_file`, none.

    `providers` are names of the host's own providers, which all run if none are named, and of entry points.
    `installed_providers` and `allowed_providers` are entry points, run beside those for every namespace or for those
    that register them. With `isolate_providers` each entry point's is in a process of its own. With `socket` users of
    this machine come in through the Unix socket beside the repository's file, where there can be one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = "127.0.0.1"
    rpc_port: _Port = RPC_PORT
    exporter_port: _Port = EXPORTER_PORT
    advertise: tuple[str, ...] = ()
    activation_minimum: _Level | None = None
    keytab: Path | None = None
    socket: bool = True
    repository: str | None = None
    accounts: Path | None = None
    backups: Path | None = None
    ready_file: Path | None = None
    providers: tuple[str, ...] | None = None
    installed_providers: tuple[str, ...] = ()
    allowed_providers: tuple[str, ...] = ()
    isolate_providers: bool = False
    sink_timer: Annotated[float, Field(gt=0)] = SINK_TIMER
    limits: Annotated[Limits, _fields_of(Limits), AfterValidator(_above_zero)] = Limits()
    callbacks: Annotated[CallbackSecurity, _fields_of(CallbackSecurity)] = CallbackSecurity()
    connections: Annotated[ConnectionLimits, _fields_of(ConnectionLimits), AfterValidator(_above_zero)] = (
        ConnectionLimits()
    )

    @classmethod
    def load(cls, path: Path) -> Settings:
        """The settings in a TOML file. `ConfigurationError` names the file and every key that will not do."""
        document = read_toml(path)
        for name in _FILES:
            value = document.get(name)
            if isinstance(value, str) and value != _IN_MEMORY:
                document[name] = str(path.parent / value)
        return validated(cls, document, str(path))

    def server(self, repository: Path | None, accounts: Accounts) -> Server:
        """The server that they describe, with the repository in that file, or in memory for None.

        Whose the files are that the settings leave open is the caller's to say. Raises `ConfigurationError`.
        """
        providers = self._chosen_providers()
        if self.backups is not None and not self.backups.is_dir():
            raise ConfigurationError(f"backups: {self.backups} is no folder: make it, or name another one")
        return Server(
            MemoryStore() if repository is None else SqliteStore(repository),
            accounts,
            listen=self.listen,
            rpc_port=self.rpc_port,
            exporter_port=self.exporter_port,
            providers=tuple(dict.fromkeys((*providers, *self.installed_providers))),
            allowed_providers=self.allowed_providers,
            isolation=Isolation() if self.isolate_providers else None,
            limits=self.limits,
            connection_limits=self.connections,
            sink_timer=self.sink_timer,
            callbacks=self.callbacks,
            advertise=self.advertise,
            activation_minimum=self.activation_minimum,
            keytab=self.keytab,
            backups=self.backups,
            recovery=None if repository is None else RecoveryList.beside(repository),
            socket_path=None if repository is None else self._socket_path(repository),
        )

    def _socket_path(self, repository: Path) -> Path | None:
        """Where users of this machine are let in, if anywhere."""
        if not self.socket:
            return None
        path = socket_beside(repository)
        if path is None:
            _log.warning(
                "users of this machine log on over the network, with a password: there can be no socket beside %s:"
                " its path is too long for one, or this system has none",
                repository,
            )
        return path

    def _chosen_providers(self) -> tuple[Callable[[], Provider] | str, ...]:
        """What `providers` names, entry points by their names; all the host's providers for None."""
        if self.providers is None:
            return HOST_PROVIDERS
        own = {provider.name: provider for provider in HOST_PROVIDERS}
        brought = {fold(entry.name): entry.name for entry in installed()}
        for name in self.providers:
            if name not in own and fold(name) not in brought:
                names = ", ".join((*own, *brought.values()))
                raise ConfigurationError(f"providers: there is no {name}; there are {names}")
        return tuple(own[name] if name in own else brought[fold(name)] for name in self.providers)
