"""The CIM object manager: namespaces, what is in them, and who may do what with it.

    async with ObjectManager(store) as manager:
        await manager.register(MyProvider)
        namespace = await manager.connect(r"root\\cimv2", context)
        operation = await namespace.start(DeleteInstance('Thing="x"'), context)

An `ObjectManager` owns its store, its providers and the table of asynchronous operations. It is used from one event
loop; the store works in a thread of its own, providers in theirs.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from openwmi.cim import CimType, Class, Instance, NameMap, Qualifier, flag, fold, split_namespace
from openwmi.cim.delivery import AsyncOperationTable
from openwmi.cim.operation import Operation, Outcome
from openwmi.cim.operations import CallContext, Request
from openwmi.cim.spool import Spools
from openwmi.errors import (
    AccessDenied,
    CallerError,
    InvalidNamespace,
    InvalidParameter,
    SyntaxProblem,
    WbemError,
)
from openwmi.manager.backup import BackupRestore
from openwmi.manager.compiling import compile_into
from openwmi.manager.extended import NO_PROVIDER, extended_status
from openwmi.manager.job import check_length
from openwmi.manager.limits import Limits
from openwmi.manager.namespace import Namespace, NamespaceConnection
from openwmi.manager.recovery import RecoveryList
from openwmi.manager.registrations import Registrations
from openwmi.manager.static import StaticObjects
from openwmi.manager.system import SYSTEM_NAMESPACES, system_classes
from openwmi.mof import IncludeReader, Source, read_include, read_mof
from openwmi.providers.api import Provider
from openwmi.providers.isolated import Isolation
from openwmi.providers.registry import ARCHITECTURE, ProviderTable
from openwmi.providers.threads import WorkerThreads
from openwmi.repository.store import Store
from openwmi.security.access import ALL_RIGHTS, AccessRight, audited, default_descriptor, granted_access
from openwmi.security.context import AuthenticationLevel
from openwmi.security.descriptor import Acl, SecurityDescriptor, inherit
from openwmi.security.principals import Principal
from openwmi.status import WbemStatus

__all__ = ["ObjectManager"]

_log = logging.getLogger("openwmi.manager")
_audit_log = logging.getLogger("openwmi.audit")

_LOCAL_NAMES: Final = (".", "localhost", "127.0.0.1", "::1")

T = TypeVar("T")


class ObjectManager:
    """The object manager over a store. Open it (`async with`, or `open`) before use; closing it closes the store.

    `server` is the machine's name in paths (its host name by default), `names` are others that mean this machine.
    `backups` is the folder that Backup and Restore use, `recovery` the MOF files for a repository that is built anew.
    """

    def __init__(
        self,
        store: Store,
        *,
        server: str | None = None,
        names: Iterable[str] = (),
        limits: Limits | None = None,
        backups: Path | None = None,
        recovery: RecoveryList | None = None,
    ) -> None:
        host = socket.gethostname()
        self.store = store
        self.server = server or host.partition(".")[0].upper()
        self.limits = limits or Limits()
        self.providers = ProviderTable(deadline=self.limits.provider_deadline)
        self.registrations = Registrations(self)
        self.async_operations = AsyncOperationTable(limit_per_caller=self.limits.async_operations_per_caller)
        self.spools = Spools(
            in_memory=self.limits.results_in_memory,
            on_disk=self.limits.results_on_disk,
            per_owner=self.limits.results_on_disk_per_caller,
        )
        self.backup = BackupRestore(self, backups, self.limits.pause)
        self._recovery = recovery
        self._names = {fold(name) for name in (*_LOCAL_NAMES, self.server, host, *names)}
        self._threads = WorkerThreads("store", 1)
        self._readers = WorkerThreads("store reader", 2)
        self._system = system_classes()
        self._operations: set[Operation] = set()
        # Used in the store's thread only.
        self._connections: weakref.WeakValueDictionary[str, NamespaceConnection] = weakref.WeakValueDictionary()
        self._put_off: list[Callable[[], None]] = []
        self._depth = 0
        self._provider_mof: list[tuple[str, str, str]] = []
        self._open = False
        self._is_new = False
        self._shutting_down = False

    # -- its life

    async def open(self) -> ObjectManager:
        """Prepares the store (MS-WMI 3.1.3): the namespaces that every server has, and their system classes."""
        await self.in_store(self._prepare)
        await self.registrations.review()
        self._open = True
        return self

    def _prepare(self) -> None:
        with self.transaction():
            self._is_new = not self.store.has_namespace(SYSTEM_NAMESPACES[0])
            for name in SYSTEM_NAMESPACES:
                if not self.store.has_namespace(name):
                    self.create_namespace(name, None)
            for name in self.store.namespaces():
                self._put_system_classes(name)
        self.registrations.changed(None)

    async def recover(self) -> None:
        """Compiles the MOF files of the recovery list if the repository was built anew (`#pragma autorecover`).

        Do it when the providers are registered, whose classes the files may need. A file that does not compile is
        logged, and leaves nothing behind.
        """
        if self._is_new and self._recovery is not None:
            await self.in_store(self._recover, self._recovery)

    def _recover(self, recovery: RecoveryList) -> None:
        self._is_new = False
        for entry in recovery.entries():
            try:
                sources = (Source(entry.file, read_mof(entry.file)),)
                compile_into(self, sources, entry.namespace, include=read_include)
            except CallerError as error:
                _log.warning("%s is not recovered: %s", entry.file, " ".join(str(error).split()))
            else:
                _log.info("%s is recovered", entry.file)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """`Store.transaction`, in the store's thread; what is put off (`when_kept`) in it is done if it is kept."""
        before = len(self._put_off)
        self._depth += 1
        try:
            with self.store.transaction():
                yield
        except BaseException:
            del self._put_off[before:]
            raise
        finally:
            self._depth -= 1
        if not self._depth:
            actions, self._put_off = self._put_off, []
            for action in actions:
                action()

    def when_kept(self, action: Callable[[], None]) -> None:
        """Does `action` once the transaction under way is kept; at once if there is none."""
        if self._depth:
            self._put_off.append(action)
        else:
            action()

    def create_namespace(self, name: str, descriptor: SecurityDescriptor | None) -> None:
        """Creates a namespace with its system classes, in the store's thread (3.1.4.18.1).

        Its descriptor is the one given or the default one, with what it inherits from its parent.
        """
        with self.transaction():
            self.store.create_namespace(name)
            self.set_descriptor(name, self.with_inherited(name, descriptor or default_descriptor()))
            self._put_system_classes(name)

    def delete_namespace(self, name: str) -> None:
        """Deletes a namespace with all that is in and below it, and ends the connections to them (3.1.4.18.4)."""
        self.store.delete_namespace(name)
        self.when_kept(lambda: self._disconnect(f"{fold(name)}\\"))

    def _disconnect(self, prefix: str = "") -> None:
        """Ends the connections to all namespaces whose folded names begin like that."""
        for key, connection in list(self._connections.items()):
            if f"{key}\\".startswith(prefix):
                connection.gone = True
                self._connections.pop(key, None)
        self.registrations.changed(None)

    def _put_system_classes(self, namespace: str) -> None:
        for cls in self._system.each():
            if self.store.get_class(namespace, cls.name) != cls:
                self.store.put_class(namespace, cls)

    async def close(self) -> None:
        """Ends all operations with WBEM_E_SHUTTING_DOWN, unloads the providers and closes the store."""
        if self._shutting_down:
            return
        self._shutting_down = True
        self.backup.end_pause()
        await self.async_operations.close()
        await self.end_everything(WbemError.of(WbemStatus.WBEM_E_SHUTTING_DOWN, "the server is shutting down"))
        await self.registrations.close()
        await self.providers.close()
        await self.in_store(self.store.close)
        self._readers.close()
        self._threads.close()

    async def end_everything(self, why: WbemError) -> None:
        """Ends every operation that runs, with `why` as its outcome."""
        running = tuple(self._operations)
        for operation in running:
            operation.cancel(Outcome(why.status, detail=why.detail))
        await asyncio.gather(*(operation.close() for operation in running))

    async def perform(self, request: Request, context: CallContext) -> None:
        """Backup, restore, pause or resume (`openwmi.cim.upkeep.Upkeep`)."""
        await self.backup.perform(request, context)

    def restore_from(self, path: Path) -> None:
        """Makes the repository what the backup is, in the store's thread; every connection to what was is gone.

        What this server brings along is put in again: the system classes and the providers' own. The recovery list is
        not compiled: a restored repository is what it was, not built anew.
        """
        self._disconnect()
        self.store.restore(path)
        self._prepare()
        for text, namespace, file in self._provider_mof:
            compile_into(self, (Source(file, text),), namespace, force=True)

    async def __aenter__(self) -> ObjectManager:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- what one does with it

    async def register(
        self,
        factory: Callable[[], Provider],
        name: str | None = None,
        *,
        mof: str | None = None,
        namespace: str | None = None,
        architecture: int = ARCHITECTURE,
        isolation: Isolation | None = None,
    ) -> None:
        """Registers a provider and compiles its classes; `Provider`'s own attributes are the defaults.

        Do it once the manager is open. The namespace is created if it is not there. `isolation` has the provider run in
        a process of its own.

        Raises `ConfigurationError` for a name that is taken, `MofErrors` for MOF that does not compile.
        """
        text = mof
        if text is None and isinstance(factory, type) and issubclass(factory, Provider):
            text = factory.schema()
        where = namespace or str(getattr(factory, "namespace", Provider.namespace))
        self.providers.register(factory, name, architecture=architecture, isolation=isolation)
        self.registrations.changed(None)
        if text:
            file = f"<{name or getattr(factory, 'name', 'provider')}>"
            await self.in_store(self._compile_for_provider, text, where, file)
            self._provider_mof.append((text, where, file))
        await self.registrations.review()

    def allow(
        self, factory: Callable[[], Provider], name: str | None = None, *, isolation: Isolation | None = None
    ) -> None:
        """Makes a provider known, for namespaces that register it with a `__Win32Provider` (by its CLSID or its name).

        Raises `ConfigurationError` for a name that is taken.
        """
        self.providers.allow(factory, name, isolation=isolation)
        self.registrations.changed(None)

    def _compile_for_provider(self, text: str, namespace: str, file: str) -> None:
        levels = split_namespace(namespace)
        for depth in range(1, len(levels) + 1):
            name = "\\".join(levels[:depth])
            if not self.store.has_namespace(name):
                self.create_namespace(name, None)
        compile_into(self, (Source(file, text),), namespace, force=True)

    async def connect(self, namespace: str | None, context: CallContext) -> Namespace:
        r"""Opens a namespace by its full name, ``root\cimv2`` or ``\\server\root\cimv2`` (3.1.4.1.4).

        Raises WBEM_E_INVALID_PARAMETER for NULL, WBEM_E_QUOTA_VIOLATION, WBEM_E_INVALID_NAMESPACE and
        WBEM_E_ACCESS_DENIED.
        """
        if namespace is None:
            raise InvalidParameter("the namespace is NULL")
        check_length(namespace, self.limits.login_namespace, "the namespace")
        await self.admit(context)
        connection = await self.in_store(self._connectable, self.local_namespace(namespace), context)
        return Namespace(self, connection)

    def _connectable(self, name: str, context: CallContext) -> NamespaceConnection:
        self.check_running()
        try:
            granted, sacl = self.admitted(name, context)
        except SyntaxProblem as problem:
            raise InvalidNamespace(problem.message) from None
        needed = AccessRight.ENABLE | AccessRight.REMOTE_ENABLE if context.remote else AccessRight.ENABLE
        missing = needed & ~granted
        self.audit(context, name, sacl, needed, granted=not missing)
        if missing:
            raise self.refusal(context, f"connecting to {name} is not allowed")
        connection = self._connections.get(fold(name))
        if connection is None:
            connection = NamespaceConnection(next(n for n in self.store.namespaces() if fold(n) == fold(name)))
            self._connections[fold(name)] = connection
        return connection

    async def compile_mof(
        self,
        text: str,
        namespace: str,
        context: CallContext,
        *,
        file: str = "<mof>",
        include: IncludeReader | None = None,
    ) -> int:
        """`compile_sources` of one text; the number of objects."""
        return (await self.compile_sources([Source(file, text)], namespace, context, include=include))[0]

    async def compile_sources(
        self,
        sources: Sequence[Source],
        namespace: str,
        context: CallContext,
        *,
        include: IncludeReader | None = None,
        keep: bool = True,
    ) -> list[int]:
        """Compiles MOF and keeps all that the sources declare, or, if anything fails, nothing; how many objects each.

        Without `keep` nothing is kept, whatever happens: the sources are only checked. A source with
        `#pragma autorecover` goes on the recovery list, if there is one.

        Raises `MofErrors` for the text, and for what the repository or the caller's rights forbid.
        """

        def compile_() -> list[int]:
            self.check_running()
            name = self.local_namespace(namespace)
            counts = compile_into(self, sources, name, include=include, context=context, keep=keep)
            if keep and self._recovery is not None:
                self._recovery.note(sources, name)
            return counts

        await self.admit(context)
        return await self.in_store(compile_)

    # -- names

    def is_own_name(self, server: str) -> bool:
        """Whether a path's machine is this one."""
        return fold(server) in self._names

    def local_namespace(self, namespace: str) -> str:
        r"""A namespace without the machine in front, ``root\cimv2``. Another machine is WBEM_E_INVALID_NAMESPACE."""
        text = namespace.replace("/", "\\")
        if text.startswith("\\\\"):
            server, _, text = text[2:].partition("\\")
            if not self.is_own_name(server):
                raise InvalidNamespace(f"{server} is not this machine, which is {self.server}")
        try:
            return "\\".join(split_namespace(text))
        except SyntaxProblem as problem:
            raise InvalidNamespace(problem.message) from None

    def located(self, cls: Class) -> Class:
        """The class with the machine it is on."""
        return replace(cls, server=self.server)

    # -- security

    def admitted(self, namespace: str, context: CallContext) -> tuple[AccessRight, Acl | None]:
        """GrantedAccess (3.1.1), of this call, and the list of what is to be recorded.

        A right that is taken away is gone for the next call. Raises `InvalidNamespace`, and `AccessDenied` for a remote
        caller below packet integrity and for anyone below packet privacy where that is required (3.1.4).
        """
        if context.remote and context.level < AuthenticationLevel.INTEGRITY:
            raise self.refusal(context, f"authentication level {context.level}; calls need packet integrity or privacy")
        descriptor = self.descriptor(namespace)
        if context.level != AuthenticationLevel.PRIVACY and self.requires_encryption(namespace):
            raise self.refusal(context, f"authentication level {context.level}; {namespace} needs packet privacy")
        return self.rights(descriptor, context), descriptor.sacl

    def granted(self, namespace: str, context: CallContext) -> AccessRight:
        """The rights alone of `admitted`."""
        return self.admitted(namespace, context)[0]

    def rights(self, descriptor: SecurityDescriptor, context: CallContext) -> AccessRight:
        """What the caller may do where `descriptor` is the security descriptor."""
        principal = context.principal
        if isinstance(principal, Principal):
            return granted_access(descriptor, principal)
        # Some other kind of account, which the descriptor's SIDs say nothing of.
        return ALL_RIGHTS if principal.is_administrator else AccessRight(0)

    def audit(
        self, context: CallContext, namespace: str, sacl: Acl | None, rights: AccessRight, *, granted: bool
    ) -> None:
        """Records the use of rights, or its refusal, in the log `openwmi.audit` if the namespace's SACL wants it."""
        principal = context.principal
        if sacl is None or not isinstance(principal, Principal):
            return
        if audited(sacl, principal, rights, granted=granted):
            names = " ".join(right.name or "" for right in AccessRight if right & rights)
            outcome = "success" if granted else "failure"
            _audit_log.info("%s: %s at %s: %s in %s", outcome, principal.name, context.peer, names, namespace)

    def refusal(self, context: CallContext, reason: str) -> AccessDenied:
        """The error for a caller who may not do something. Every refusal is in the log."""
        _log.warning("refused: %s at %s: %s", context.principal.name, context.peer, reason)
        return AccessDenied(f"{context.principal.name}: {reason}")

    def descriptor(self, namespace: str) -> SecurityDescriptor:
        """The namespace's security descriptor; the default one if it has none of its own."""
        if not self.store.has_namespace(namespace):
            raise InvalidNamespace(f"there is no namespace {namespace[:200]}")
        data = self.store.descriptor(namespace)
        return default_descriptor() if data is None else _parsed(data)

    def set_descriptor(self, namespace: str, descriptor: SecurityDescriptor) -> None:
        """Changes the namespace's security descriptor to exactly this one, in the store's thread."""
        self.store.set_descriptor(namespace, bytes(descriptor))

    def with_inherited(self, namespace: str, descriptor: SecurityDescriptor) -> SecurityDescriptor:
        """`descriptor` with what `namespace` inherits from its parent (2.2.30.2).

        Namespaces below are as they were: they inherit anew when their own descriptor is set.
        Raises WBEM_E_INVALID_PARAMETER for lists that become too long.
        """
        parent = namespace.rpartition("\\")[0]
        if not parent:
            return descriptor
        try:
            return inherit(self.descriptor(parent), descriptor)
        except ValueError as error:
            raise InvalidParameter(f"the security descriptor of {namespace}: {error}") from None

    def requires_encryption(self, namespace: str) -> bool:
        """The namespace's RequiresEncryption flag (2.2.30.3): a qualifier of its `__SystemSecurity`."""
        settings = self.store.get_instance(namespace, "__SystemSecurity", "")
        return settings is not None and flag(settings.qualifiers, "RequiresEncryption")

    def set_requires_encryption(self, namespace: str, required: bool) -> None:
        """Changes that flag, in the store's thread."""
        qualifier = Qualifier("RequiresEncryption", CimType.BOOLEAN, required)
        self.store.put_instance(namespace, Instance(self._system["__SystemSecurity"], qualifiers=NameMap((qualifier,))))

    # -- running operations

    async def admit(self, context: CallContext) -> None:
        """Lets a request in: at once, after a backup or a pause, or, during a restore, not at all."""
        await self.backup.admit(context)
        self.check_running()

    def check_running(self) -> None:
        """WBEM_E_SHUTTING_DOWN once the manager closes (3.1.4), WBEM_E_INITIALIZATION_FAILURE before it is open."""
        if self._shutting_down:
            raise WbemError.of(WbemStatus.WBEM_E_SHUTTING_DOWN, "the server is shutting down")
        if not self._open:
            raise WbemError.of(WbemStatus.WBEM_E_INITIALIZATION_FAILURE, "the object manager is not open")

    def check_capacity(self, context: CallContext) -> None:
        """WBEM_E_SERVER_TOO_BUSY when MaxRequestLimit operations run (3.1.1.1.3, 3.1.4.3), WBEM_E_QUOTA_VIOLATION when
        the caller has its share of them: nobody gets everybody's place."""
        if self.running >= self.limits.requests:
            raise WbemError.of(WbemStatus.WBEM_E_SERVER_TOO_BUSY, f"{self.limits.requests:,} operations run already")
        share = self.limits.requests_per_caller
        if self.running >= share:
            running = (*(operation.context for operation in self._operations), *self.backup.waiting)
            mine = sum(other.principal == context.principal for other in running)
            if mine >= share:
                raise WbemError.of(
                    WbemStatus.WBEM_E_QUOTA_VIOLATION, f"{context.principal.name} runs {share:,} operations already"
                )

    def register_operation(self, operation: Operation) -> None:
        """Counts an operation until it ends."""
        self._operations.add(operation)
        operation.on_finish(lambda outcome: self._operations.discard(operation))

    @property
    def running(self) -> int:
        """CurrentRequestCount (3.1.1): how many operations run, or wait for a backup or a pause to end."""
        return len(self._operations) + len(self.backup.waiting)

    def extended(
        self,
        request: Request,
        error: WbemError,
        *,
        namespace: str | None = None,
        provider: str = NO_PROVIDER,
        trace: str = "",
    ) -> Instance:
        """The `__ExtendedStatus` of a failure."""
        cls = self._system["__ExtendedStatus"]
        return extended_status(cls, request, error, provider=provider, namespace=namespace, trace=trace)

    async def in_store(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(*arguments)` in the store's thread, once the repository is not paused."""
        await self.backup.settled()
        return await self.in_store_now(function, *arguments)

    async def in_store_now(self, function: Callable[..., T], *arguments: Any) -> T:
        """The same for the upkeep itself, which does not wait for a pause's end."""
        if self._threads.closed:
            raise WbemError.of(WbemStatus.WBEM_E_SHUTTING_DOWN, "the server has shut down")
        return await self._threads.run(function, *arguments)

    async def in_reader(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function that only reads instances from the store, and may take long, where nobody waits for it."""
        if self._readers.closed:
            raise WbemError.of(WbemStatus.WBEM_E_SHUTTING_DOWN, "the server has shut down")
        return await self._readers.run(function, *arguments)

    def static(self, namespace: str) -> StaticObjects:
        """The static objects of a namespace, for code in the store's thread."""
        return StaticObjects(self, namespace)


@lru_cache(maxsize=256)
def _parsed(data: bytes) -> SecurityDescriptor:
    return SecurityDescriptor.from_bytes(data)
