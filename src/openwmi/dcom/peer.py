"""One side of DCOM: it answers calls to its services and exported objects (MS-DCOM 3.1).

`Peer.handle` takes a request that the RPC machine has reassembled and verified, and gives the response's stub. On the
way are, in this order and each once: who may call this at all, the stub's decoding, the ORPC header, the object, the
method. What refuses a call raises `Refused`, which the transport turns into a fault; an operation's failure becomes an
HRESULT in an ordinary response, its error object in ORPCTHAT (2.2.21.1).

A client with a sink is a `Peer` just as a server is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol
from uuid import UUID

from openwmi.dcom.bindings import DualStringArray
from openwmi.dcom.exporter import Exporter, Implementation, ReferenceEntry
from openwmi.dcom.interfaces import IRemUnknown, IRemUnknown2
from openwmi.dcom.types import (
    CLSID_ERROR_EXTENSION,
    COM_VERSION,
    OrpcExtent,
    OrpcExtentArray,
    OrpcThat,
    OrpcThis,
    RemInterfaceRef,
)
from openwmi.errors import DecodeError, Error, WbemError, printable
from openwmi.rpc.interface import RESULT, Interface, Method
from openwmi.security.context import AuthenticationLevel, ImpersonationLevel
from openwmi.security.principals import Principal
from openwmi.status import HResult

__all__ = ["Call", "Caller", "Peer", "Refused", "Service"]

_log = logging.getLogger("openwmi.dcom")

_MAX_QUERIED: Final = 64
# Windows does not look at what follows the last parameter, and impacket relies on it: it declares the result pointers
# of IWbemServices one level too shallow, so that each sends four octets that nobody reads.
_SLACK: Final = 64
_MAX_LINE: Final = 1000  # characters of one log line that a peer may fill


class Refused(Error):
    """A call that is answered with a fault: `status` is the fault's code, the text is for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = printable(reason[:_MAX_LINE])


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and through what. `principal` is None without authentication, `address` where the peer is.

    `user` is the number of this machine's user who calls, where the system says it: through a Unix socket.
    """

    principal: Principal | None
    level: AuthenticationLevel
    impersonation: ImpersonationLevel
    address: str
    connection: Hashable = None
    local_address: str = ""
    user: int | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the call may have come over a network."""
        return self.user is None

    def __str__(self) -> str:
        if self.principal is not None:
            return f"{self.principal.name} at {self.address}"
        return f"{'nobody' if self.user is None else f'the user {self.user}'} (not authenticated) at {self.address}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call as a method sees it: the caller, the time, and the peer through which it can export and unmarshal."""

    peer: Peer
    caller: Caller
    now: float

    @property
    def principal(self) -> Principal:
        """The authenticated account. Methods that are reached without authentication do not ask."""
        if self.caller.principal is None:
            raise Refused(HResult.ERROR_ACCESS_DENIED, "not authenticated")
        return self.caller.principal

    def marshal(self, implementation: Implementation, iid: UUID) -> bytes:
        """A reference for this caller, who will own the object if it is new."""
        return self.peer.marshal(implementation, iid, self.caller, self.now)


class Service(Implementation, Protocol):
    """What is called without naming an object. `OPEN` are the names of the methods that anybody may call."""

    OPEN: ClassVar[frozenset[str]]


class Peer:
    """Services and exported objects, and the rules for calling them.

    `bindings` gives, for a caller, where this peer's resolver can be reached (`saResAddr`); `freed` is told of objects
    that nobody refers to any more; `error_info` makes the OBJREF of an error object, and
    `is_current` says whether an account that logged on is still the same. `minimum` is the authentication
    level that everything needs but what a service leaves open, unless `exceptions` has another one for a service.
    """

    def __init__(
        self,
        *,
        interfaces: Iterable[Interface],
        bindings: Callable[[Caller], DualStringArray],
        freed: Callable[[Implementation], None],
        error_info: Callable[[WbemError], bytes | None] = lambda error: None,
        is_current: Callable[[Principal], bool] = lambda principal: True,
        minimum: AuthenticationLevel = AuthenticationLevel.INTEGRITY,
        exceptions: Mapping[UUID, AuthenticationLevel] | None = None,
    ) -> None:
        self.exporter = Exporter(freed)
        self.minimum = minimum
        self._exceptions = dict(exceptions or {})
        self._bindings = bindings
        self._error_info = error_info
        self._is_current = is_current
        self._services: dict[UUID, Service] = {}
        self._open: set[tuple[UUID, int]] = set()
        remote_unknown = RemoteUnknown(self)
        self._tables = {i.uuid: i for i in (*interfaces, *remote_unknown.INTERFACES)}
        self._remote_unknown = remote_unknown

    @property
    def object_interfaces(self) -> dict[tuple[UUID, int], int]:
        """What a listener for this peer's objects offers: (interface, major version) and the minor version."""
        return {(i.uuid, i.version[0]): i.version[1] for i in self._tables.values()}

    def add_service(self, service: Service) -> None:
        """Serves an interface that is called without naming an object (the resolver, the activator)."""
        for interface in service.INTERFACES:
            self._services[interface.uuid] = service
            self._open |= {(interface.uuid, m.opnum) for m in interface.methods if m.name in service.OPEN}

    @property
    def service_interfaces(self) -> dict[tuple[UUID, int], int]:
        """What a listener for this peer's services offers."""
        found = (i for s in self._services.values() for i in s.INTERFACES)
        return {(i.uuid, i.version[0]): i.version[1] for i in found}

    def marshal(self, implementation: Implementation, iid: UUID, caller: Caller, now: float) -> bytes:
        """A reference to `implementation` for `caller`, as an OBJREF."""
        return self.exporter.marshal(
            implementation,
            iid,
            self._bindings(caller),
            owner=str(caller.principal.sid) if caller.principal is not None else None,
            connection=caller.connection,
            now=now,
        )

    async def handle(
        self,
        interface: UUID,
        opnum: int,
        object_uuid: UUID | None,
        stub: bytes,
        caller: Caller,
        *,
        now: float,
        little_endian: bool = True,
    ) -> bytes:
        """Answers one call; raises `Refused`. Nothing of the stub is looked at before the caller may call."""
        self._authorize(interface, opnum, object_uuid, caller)
        table, implementation = self._target(interface, object_uuid, caller, now)
        method = table.method(opnum)
        if method is None:
            raise Refused(HResult.NCA_S_OP_RNG_ERROR, f"{table.name} has no method {opnum}")
        try:
            given = method.decode_request(stub, little_endian=little_endian, slack=_SLACK)
        except DecodeError as error:
            raise Refused(HResult.RPC_X_BAD_STUB_DATA, str(error)) from error
        orpc_this: OrpcThis | None = given.pop("orpc_this", None)
        if orpc_this is not None:
            # Activation ignores the flags (2.2.13.3).
            _check_header(orpc_this, ignore_flags=interface in self._services)
        outcome = await self._invoke(method, implementation, given, Call(self, caller, now))
        return method.encode_response(outcome, request=given)

    def _authorize(self, interface: UUID, opnum: int, object_uuid: UUID | None, caller: Caller) -> None:
        # A call that names an object is one to that object's interface, whatever was bound.
        if (interface, opnum) in self._open and _is_null(object_uuid):
            return
        minimum = self._exceptions.get(interface, self.minimum) if _is_null(object_uuid) else self.minimum
        if caller.principal is None or caller.level < minimum:
            raise Refused(
                HResult.ERROR_ACCESS_DENIED,
                f"authentication level {caller.level.name}: this needs {minimum.name} or better",
            )
        if not self._is_current(caller.principal):
            raise Refused(HResult.ERROR_ACCESS_DENIED, "the account is gone, or is not what it was at the log-on")
        if caller.impersonation < ImpersonationLevel.IMPERSONATE:
            raise Refused(
                HResult.ERROR_ACCESS_DENIED,
                f"impersonation level {caller.impersonation.name}: this needs IMPERSONATE or better",
            )

    def _target(
        self, interface: UUID, object_uuid: UUID | None, caller: Caller, now: float
    ) -> tuple[Interface, Implementation]:
        if object_uuid is None or _is_null(object_uuid):
            service = self._services.get(interface)
            if service is None:
                raise Refused(HResult.RPC_E_DISCONNECTED, "the call names no object")
            return next(i for i in service.INTERFACES if i.uuid == interface), service
        # The IPID alone says which interface is called (3.1.1.5.4); clients such as aiowmi never bind the others.
        if object_uuid == self.exporter.rem_unknown:
            return IRemUnknown2, self._remote_unknown
        entry = self.exporter.find(object_uuid)
        if entry is None:
            raise Refused(HResult.RPC_E_DISCONNECTED, "the object is not there any more, or never was")
        self.check_owner(entry, caller)
        self.exporter.used(entry.exported, caller.connection, now)
        return entry.interface, entry.exported.implementation

    def check_owner(self, entry: ReferenceEntry, caller: Caller) -> None:
        """Refuses a caller who is not the one that the object was made for: a reference is no capability."""
        owner = entry.exported.owner
        if owner is not None and (caller.principal is None or str(caller.principal.sid) != owner):
            denied = getattr(entry.exported.implementation, "DENIED", HResult.ERROR_ACCESS_DENIED)
            raise Refused(denied, "the object belongs to another account")

    async def _invoke(
        self, method: Method, implementation: Implementation, given: Mapping[str, Any], call: Call
    ) -> dict[str, Any]:
        handler = getattr(implementation, _handler_name(method.name), None)
        if handler is None:
            raise Refused(HResult.NCA_S_OP_RNG_ERROR, f"{method.qualified_name} is not implemented")
        try:
            empty = method.null_response(given)
            outcome: Mapping[str, Any] | None = await handler(call, **given)
        except WbemError as error:
            _log.info("%s for %s: %s", method.qualified_name, call.caller, printable(str(error)[:_MAX_LINE]))
            explained = {"orpc_that": self.explain(error)} if "orpc_that" in empty else {}
            return {**empty, RESULT: error.status, **explained}
        except DecodeError as error:
            # Bytes inside a parameter: an object, a reference, a context.
            raise Refused(HResult.RPC_X_BAD_STUB_DATA, f"{method.qualified_name}: {error}") from error
        return {**empty, **(outcome or {})}

    def explain(self, error: WbemError) -> OrpcThat:
        """ORPCTHAT with the error object, as `SetErrorInfo` puts it there."""
        try:
            info = self._error_info(error)
        except Error as problem:
            # What cannot be said must not keep the status from being told.
            _log.warning("the error object of %s cannot be sent: %s", error, problem)
            info = None
        if info is None:
            return OrpcThat()
        return OrpcThat(extensions=OrpcExtentArray.of(OrpcExtent.of(CLSID_ERROR_EXTENSION, info)))


def _is_null(uuid: UUID | None) -> bool:
    return uuid is None or not uuid.int


def _check_header(header: OrpcThis, *, ignore_flags: bool) -> None:
    version = header.version
    if version.major != COM_VERSION.major or version.minor > COM_VERSION.minor:
        raise Refused(HResult.RPC_E_VERSION_MISMATCH, f"COM version {version.major}.{version.minor}")
    if not ignore_flags and header.flags not in (0, 1):
        # 3.1.1.5.4 says other than 0; 1 is ORPCF_LOCAL, which old Windows sets within a machine.
        raise Refused(HResult.RPC_E_INVALID_HEADER, f"ORPCTHIS.flags is 0x{header.flags:X}")


_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=512)  # the methods that are declared, all interfaces together
def _handler_name(method: str) -> str:
    """``NTLMLogin`` is handled by ``ntlm_login``."""
    return _WORDS.sub("_", method).lower()


class RemoteUnknown:
    """IRemUnknown and IRemUnknown2 of one exporter (3.1.1.5.6, 3.1.1.5.7)."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IRemUnknown, IRemUnknown2)

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def _entry(self, call: Call, ipid: UUID) -> ReferenceEntry:
        entry = self._peer.exporter.find(ipid)
        if entry is None:
            raise WbemError.of(HResult.RPC_E_INVALID_OBJECT, f"no object has the interface {ipid}")
        self._peer.check_owner(entry, call.caller)
        self._peer.exporter.used(entry.exported, call.caller.connection, call.now)
        return entry

    async def rem_query_interface(
        self, call: Call, *, ipid: UUID, references: int, count: int, iids: tuple[UUID, ...]
    ) -> dict[str, Any]:
        """References to other interfaces of an object. S_FALSE if only some of them are there."""
        entry = self._entry(call, ipid)
        if not 1 <= count <= _MAX_QUERIED:
            raise WbemError.of(HResult.E_INVALIDARG, f"{count} interfaces at once")
        results = self._peer.exporter.query(entry, iids, references)
        found = sum(r.result == HResult.S_OK for r in results)
        status = HResult.S_OK if found == count else HResult.S_FALSE if found else HResult.E_NOINTERFACE
        return {"results": results, RESULT: status}

    async def rem_query_interface2(
        self, call: Call, *, ipid: UUID, count: int, iids: tuple[UUID, ...]
    ) -> dict[str, Any]:
        """The same, each reference as an OBJREF."""
        entry = self._entry(call, ipid)
        if not 1 <= count <= _MAX_QUERIED:
            raise WbemError.of(HResult.E_INVALIDARG, f"{count} interfaces at once")
        results: list[int] = []
        references: list[bytes | None] = []
        for iid in iids:
            try:
                references.append(call.marshal(entry.exported.implementation, iid))
                results.append(HResult.S_OK)
            except WbemError as error:
                references.append(None)
                results.append(error.status)
        return {"results": tuple(results), "interfaces": tuple(references)}

    async def rem_add_ref(self, call: Call, *, count: int, references: tuple[RemInterfaceRef, ...]) -> dict[str, Any]:
        """More references to interfaces."""
        results = []
        for reference in references:
            entry = self._peer.exporter.find(reference.ipid)
            if entry is not None:
                self._peer.check_owner(entry, call.caller)
            total = reference.public_refs + reference.private_refs
            results.append(self._peer.exporter.add_references(reference.ipid, total))
        return {"results": tuple(results)}

    async def rem_release(self, call: Call, *, count: int, references: tuple[RemInterfaceRef, ...]) -> None:
        """References that are given back."""
        for reference in references:
            entry = self._peer.exporter.find(reference.ipid)
            if entry is None:
                continue
            self._peer.check_owner(entry, call.caller)
            self._peer.exporter.release(reference.ipid, reference.public_refs + reference.private_refs)

    async def released(self) -> None:
        """The Remote Unknown lives as long as its exporter."""
