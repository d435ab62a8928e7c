"""`Server`: a machine that answers WMI clients over DCOM.

async with Server(SqliteStore("wmi.db"), Accounts.load("accounts.json")) as server:
    print(server.addresses)
    await server.signalled()
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import Instance
from openwmi.dcom.peer import Call
from openwmi.errors import WbemError
from openwmi.manager import ObjectManager
from openwmi.manager.limits import Limits
from openwmi.manager.recovery import RecoveryList
from openwmi.net.dcom import DcomHost, keep_pinging
from openwmi.net.unixsockets import SocketFile
from openwmi.providers import Isolation, Provider
from openwmi.providers.discovery import load_installed
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.providers.threads import WorkerThreads
from openwmi.repository import Store
from openwmi.rpc import ConnectionLimits
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.context import AuthenticationLevel
from openwmi.security.ntlm import ServerNames
from openwmi.security.principals import LOCAL_SYSTEM, Principal
from openwmi.security.residents import is_system, resident
from openwmi.server.callbacks import Callbacks, CallbackSecurity
from openwmi.wmi.backup import (
    CLSID_WBEM_BACKUP_RESTORE,
    BackupRestoreStub,
)
from openwmi.wmi.interfaces import CLSID_WBEM_LEVEL1_LOGIN
from openwmi.wmi.objects import ObjectMarshaller
from openwmi.wmi.server import INERT_CLASSES, WMI_INTERFACES, WmiServer
from openwmi.wmi.sinks import SINK_TIMER

if TYPE_CHECKING:
    from openwmi.security.kerberos import ServiceKeys

__all__ = ["EXPORTER_PORT", "RPC_PORT", "Addresses", "Server", "stop_signals"]

_log = logging.getLogger("openwmi.server")

RPC_PORT: Final = 135
# Below the ports that systems hand out by themselves, so that it is free when the server starts.
EXPORTER_PORT: Final = 13500

_DECODED_AT_ONCE: Final = 2  # large objects in parameters, each in a thread
_NAMED_AT_ONCE: Final = 4  # users of this machine whose names are looked up, each in a thread


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT (Ctrl-C) set, instead of what they do otherwise."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        try:
            loop.add_signal_handler(number, asked.set)
        except NotImplementedError:  # Windows' loop has no such thing
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(asked.set))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server listens."""

    address: str
    rpc_port: int
    exporter_port: int

    def to_dict(self) -> dict[str, Any]:
        """For the ready file."""
        return asdict(self)


def _service_keys(keytab: str | Path | None) -> ServiceKeys | None:
    """This server's keys in its Kerberos realm, if it has any."""
    if keytab is None:
        return None
    # Late: the libraries are an extra.
    from openwmi.security.kerberos import ServiceKeys

    return ServiceKeys(keytab)


class Server:
    """One server: an object manager over `store`, the host's providers and more, and DCOM in front of them.

    `providers` are registered in every namespace, with their classes: classes, functions that make one, or names of
    installed ones (entry points of ``openwmi.providers``). `allowed_providers` wait for a namespace to register them by
    MOF. `isolation` has every provider but the host's own run in a process of its own.

    `listen` is the address to listen at, ports of 0 are free ones; `advertise` and `activation_minimum` are
    `DcomHost`'s, `backups` and `recovery` the object manager's. With a `keytab`, users of its Kerberos realm are the
    accounts of the same name; `callbacks` says how the sinks of callers are called. `socket_path` is a Unix socket at
    which users of this machine come in without a password, as `openwmi.security.residents` says whom (Linux). Starting
    opens everything, and closes it again if something cannot be opened; stopping closes the store too.
    """

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        *,
        listen: str = "127.0.0.1",
        rpc_port: int = RPC_PORT,
        exporter_port: int = EXPORTER_PORT,
        providers: Iterable[Callable[[], Provider] | str] = HOST_PROVIDERS,
        allowed_providers: Iterable[Callable[[], Provider] | str] = (),
        isolation: Isolation | None = None,
        limits: Limits | None = None,
        connection_limits: ConnectionLimits | None = None,
        sink_timer: float = SINK_TIMER,
        advertise: Iterable[str] = (),
        activation_minimum: AuthenticationLevel | None = None,
        backups: Path | None = None,
        recovery: RecoveryList | None = None,
        keytab: str | Path | None = None,
        callbacks: CallbackSecurity | None = None,
        socket_path: Path | None = None,
    ) -> None:
        self.manager = ObjectManager(store, limits=limits, backups=backups, recovery=recovery)
        self.addresses = Addresses(listen, rpc_port, exporter_port)
        self._accounts = accounts
        self._providers = tuple(providers)
        self._allowed = tuple(allowed_providers)
        self._isolation = isolation
        self._callbacks = Callbacks(accounts, callbacks, keytab=keytab)
        self._socket_path = socket_path
        self._socket_file: SocketFile | None = None
        self._names = ServerNames.of(socket.gethostname())
        self._pinging: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._errors = ObjectMarshaller()
        self._host = DcomHost(
            interfaces=WMI_INTERFACES,
            acceptors=LocalAcceptors(accounts, self._names, keys=_service_keys(keytab)),
            error_info=self._error_info,
            is_current=self._is_current,
            classes={
                CLSID_WBEM_LEVEL1_LOGIN: lambda call: self._wmi.activate(call),
                CLSID_WBEM_BACKUP_RESTORE: self._activate_backup,
                **INERT_CLASSES,
            },
            limits=connection_limits,
            advertise=advertise,
            activation_minimum=activation_minimum,
        )
        self._naming = WorkerThreads("users", _NAMED_AT_ONCE)
        self._named: dict[int, asyncio.Future[Principal | None]] = {}
        self._decoding = WorkerThreads("objects", _DECODED_AT_ONCE)
        self._wmi = WmiServer(
            namespaces=self.manager,
            operations=self.manager.async_operations,
            extended=self.manager.extended,
            callbacks=self._callbacks.importer,
            spawn=self._host.spawn,
            offload=self._decoding.run,
            spools=self.manager.spools,
            sink_timer=sink_timer,
        )

    async def start(self) -> Addresses:
        """Opens the store, registers the providers, and listens. `ConfigurationError` if a port cannot be had."""
        wanted = self.addresses
        try:
            await self.manager.open()
            for provider in self._providers:
                factory = load_installed(provider) if isinstance(provider, str) else provider
                await self.manager.register(factory, isolation=self._isolation_of(provider))
            for provider in self._allowed:
                factory = load_installed(provider) if isinstance(provider, str) else provider
                self.manager.allow(factory, isolation=self._isolation_of(provider))
            await self.manager.recover()
            await self._host.listen(wanted.address, wanted.rpc_port, wanted.exporter_port)
            if self._socket_path is not None:
                self._socket_file = SocketFile(self._socket_path)
                await self._host.listen_unix(self._socket_file.socket, self._resident)
        except BaseException:
            await self.stop()
            raise
        pinging = keep_pinging(lambda: self._callbacks.importers)
        self._pinging = asyncio.get_running_loop().create_task(pinging)
        self.addresses = Addresses(wanted.address, self._host.resolver_port, self._host.exporter_port)
        _log.info("listening at %s, ports %d and %d", *asdict(self.addresses).values())
        if self._socket_path is not None:
            _log.info("listening at %s for users of this machine", self._socket_path)
        return self.addresses

    def _isolation_of(self, provider: Callable[[], Provider] | str) -> Isolation | None:
        """The host's own providers are part of the server; all others may be kept apart from it."""
        return None if provider in HOST_PROVIDERS else self._isolation

    async def stop(self) -> None:
        """Ends every operation and connection, and closes the store."""
        if self._socket_file is not None:
            # While the store is still ours: the next server that opens it will listen in this place.
            self._socket_file.remove()
            self._socket_file = None
        await self.manager.close()
        await self._host.close()
        self._decoding.close()
        self._naming.close()
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.wait({self._pinging})
        await self._callbacks.close()
        self._stopped.set()

    async def stopped(self) -> None:
        """Waits until the server has been stopped."""
        await self._stopped.wait()

    async def signalled(self) -> None:
        """Waits until SIGTERM or Ctrl-C asks the process to end; what they did before is restored then."""
        with stop_signals() as asked:
            await asked.wait()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _resident(self, user: int) -> Principal | None:
        if is_system(user):
            return Principal.local_system()
        # In a thread, and once for all its connections: the system may have to ask a directory for the user's name.
        found = self._named.get(user)
        if found is None:
            found = self._named[user] = self._naming.run(resident, self._accounts, user, self._names.computer)
            found.add_done_callback(lambda _: self._named.pop(user))
        return await asyncio.shield(found)

    def _is_current(self, principal: Principal) -> bool:
        """Whether somebody who came in is still who that was; nobody becomes the system by logging on."""
        return principal.sid == LOCAL_SYSTEM or self._accounts.knows(principal)

    async def _activate_backup(self, call: Call) -> BackupRestoreStub:
        return BackupRestoreStub(self.manager)

    def _error_info(self, error: WbemError) -> bytes | None:
        extended = error.extended
        return self._errors.marshal_error(extended) if isinstance(extended, Instance) else None
