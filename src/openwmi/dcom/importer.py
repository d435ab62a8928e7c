"""The importing side: references to other exporters' objects, and calls through them (MS-DCOM 3.2).

`Importer` keeps what is known of exporters (their OXIDs), resolves those it meets in a reference, encodes calls by
the interface's table, pings what it holds, and gives references back. The connections are the `Transport`'s, which
enforces the time-outs: here is no socket and no clock.

COM's version is negotiated as it turns out to be necessary, not by a call before each activation (3.2.4.1.1.1): a
server that does not know the newest way to activate, or refuses the version, is asked which one it has.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from openwmi.dcom.activation import ActivationReply, ActivationRequest
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.interfaces import IActivation, IObjectExporter, IRemoteSCMActivator, IRemUnknown
from openwmi.dcom.objref import CustomObjRef, decode_objref
from openwmi.dcom.pinging import PingSet
from openwmi.dcom.types import (
    COM_VERSION,
    OLDEST_VERSION,
    TOWER_TCP,
    ComVersion,
    OrpcThat,
    OrpcThis,
    RemInterfaceRef,
    StdObjRef,
)
from openwmi.errors import DecodeError, Error, ProtocolError, RpcFault, WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.security.context import ImpersonationLevel
from openwmi.status import HResult

__all__ = ["Importer", "Reach", "Reference", "Response", "Transport"]

_log = logging.getLogger("openwmi.dcom")

RESOLVER_PORT: Final = 135
_MAX_EXPORTERS: Final = 1024
_MAX_ENDPOINTS: Final = 8

_UNKNOWN_INTERFACE: Final = frozenset({HResult.RPC_S_UNKNOWN_IF, HResult.NCA_S_UNK_IF})
_UNKNOWN_METHOD: Final = frozenset({HResult.RPC_S_PROCNUM_OUT_OF_RANGE, HResult.NCA_S_OP_RNG_ERROR})
# How a server says that it is too old for what it was asked.
_TOO_NEW: Final = _UNKNOWN_INTERFACE | _UNKNOWN_METHOD | {HResult.RPC_E_VERSION_MISMATCH}
_SCM_ACTIVATOR_SINCE: Final = 6  # the minor version with IRemoteSCMActivator (2.2.11)


class Transport(Protocol):
    """Makes RPC calls over connections that it finds or opens, binds and authenticates."""

    async def invoke(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        opnum: int,
        stub: bytes,
        *,
        object_uuid: UUID | None,
        timeout: float | None,
    ) -> tuple[bytes, bool]:
        """The response's stub, and whether it is little-endian.

        Raises `RpcFault`, `AuthenticationError`, or `TransportError`: `DeadlineExceeded` after `timeout` seconds.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses to try for a binding.

    `host` is the address that is known to work: the one the user gave, or the one that the peer calls from. Unless
    `anywhere`, nothing else is tried: no reference can make us connect, and log on, anywhere but where it came from.
    """

    host: str
    anywhere: bool = False

    def endpoints(self, bindings: DualStringArray, default_port: int | None = None) -> tuple[Endpoint, ...]:
        """Endpoints in the order in which to try them; bindings without a port count if there is a default."""
        found: dict[Endpoint, None] = {}
        ports: dict[int, None] = {}
        for binding in bindings.strings:
            if binding.endpoint is None:
                continue
            host, port = binding.endpoint
            port = port or default_port
            if port is None:
                continue
            ports[port] = None
            if self.anywhere and host:
                found[Endpoint(host, port)] = None
        by_host = [Endpoint(self.host, port) for port in ports]
        return tuple(dict.fromkeys([*by_host, *found]))[:_MAX_ENDPOINTS]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to an interface of somebody else's object."""

    iid: UUID
    std: StdObjRef
    resolver: DualStringArray

    @property
    def identity(self) -> tuple[int, int]:
        """Equal for two references to one object."""
        return self.std.oxid, self.std.oid


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a call: its HRESULT, the out-parameters by name, and the extensions that came along."""

    status: int
    values: dict[str, Any]
    that: OrpcThat


@dataclass(frozen=True, slots=True)
class _ExporterEntry:
    """What is known of an object exporter (the client's OXID table, 3.2.1)."""

    endpoints: tuple[Endpoint, ...]
    rem_unknown: UUID
    version: ComVersion


class Importer:
    """References into other exporters, over one transport. Knows at most 1,024 exporters at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # By host too: a peer that claims another's OXID must not be asked for the other's objects.
        self._exporters: OrderedDict[tuple[str, int], _ExporterEntry] = OrderedDict()
        self._ping_sets: dict[tuple[Endpoint, ...], PingSet] = {}
        self._asked_for: set[UUID] = set()  # the IPIDs of references that came without a count

    def unmarshal(self, octets: bytes, reach: Reach, what: str = "OBJREF") -> Reference:
        """The reference in an OBJREF, which is pinged from now on until `release`.

        Raises `DecodeError` if it is none of the kinds that refer to an exporter.
        """
        found = decode_objref(octets, what)
        if isinstance(found, CustomObjRef):
            raise DecodeError(what, 4, "is marshalled by value, where a reference is due")
        reference = Reference(found.iid, found.std, found.resolver)
        self._hold(reference, reach)
        return reference

    def _hold(self, reference: Reference, reach: Reach) -> None:
        resolver = reach.endpoints(reference.resolver, RESOLVER_PORT)
        if resolver and reference.std.is_pinged:
            self._ping_sets.setdefault(resolver, PingSet()).hold(reference.std.oid)

    async def alive(
        self, endpoints: tuple[Endpoint, ...], *, timeout: float | None
    ) -> tuple[ComVersion, DualStringArray]:
        """The version to speak with the server there, and where it says that its resolver is (3.2.4.1.1.1).

        Raises `ProtocolError` for a server of another major version.
        """
        try:
            answer = await self._ask(endpoints, IObjectExporter, "ServerAlive2", {}, timeout)
        except RpcFault as fault:
            if fault.status not in _UNKNOWN_METHOD:
                raise
            return OLDEST_VERSION, DualStringArray()
        data = answer["bindings"]
        return _common(answer["version"]), DualStringArray() if data is None else DualStringArray.of_data(data)

    async def activate(
        self, clsid: UUID, iids: tuple[UUID, ...], reach: Reach, port: int, *, timeout: float | None
    ) -> list[Reference | int]:
        """Asks the resolver at `reach.host` for a new object: a reference for each interface, or its HRESULT.

        `timeout` is for each of the calls that this takes: one, or three if the server is an old one.
        """
        endpoints = (Endpoint(reach.host, port),)
        request = ActivationRequest(clsid, iids)
        try:
            reply = await self._create_instance(endpoints, request, COM_VERSION, timeout)
        except RpcFault as fault:
            if fault.status not in _TOO_NEW:
                raise
            version, _ = await self.alive(endpoints, timeout=timeout)
            if fault.status in _UNKNOWN_INTERFACE or version.minor < _SCM_ACTIVATOR_SINCE:
                reply = await self._remote_activation(endpoints, request, version, timeout)
            else:
                reply = await self._create_instance(endpoints, request, version, timeout)
        if tuple(iid for iid, _, _ in reply.interfaces) != iids:
            raise ProtocolError("the activation gave other interfaces than those that were asked for")
        exporter = _ExporterEntry(reach.endpoints(reply.bindings), reply.rem_unknown, _common(reply.version))
        self._learn((reach.host, reply.oxid), exporter)
        return [
            status if reference is None or status & 0x80000000 else self.unmarshal(reference, reach)
            for _, status, reference in reply.interfaces
        ]

    async def _create_instance(
        self, endpoints: tuple[Endpoint, ...], request: ActivationRequest, version: ComVersion, timeout: float | None
    ) -> ActivationReply:
        values = {"orpc_this": _header(version), "outer": None, "properties_in": request.encode()}
        answer = await self._ask(endpoints, IRemoteSCMActivator, "RemoteCreateInstance", values, timeout)
        _check_activation(answer[RESULT])
        if answer["properties_out"] is None:
            raise ProtocolError("the activation succeeded and gave nothing")
        return ActivationReply.decode(answer["properties_out"])

    async def _remote_activation(
        self, endpoints: tuple[Endpoint, ...], request: ActivationRequest, version: ComVersion, timeout: float | None
    ) -> ActivationReply:
        values = {
            "orpc_this": _header(version),
            "clsid": request.clsid,
            "object_name": None,
            "object_storage": None,
            "impersonation_level": ImpersonationLevel.IMPERSONATE,
            "mode": 0,
            "count": len(request.iids),
            "iids": request.iids,
            "towers": request.towers,
        }
        answer = await self._ask(endpoints, IActivation, "RemoteActivation", values, timeout)
        _check_activation(answer[RESULT] and HResult.E_UNEXPECTED)
        _check_activation(answer["outcome"])
        if answer["bindings"] is None:
            raise ProtocolError("the activation succeeded and names no bindings")
        return ActivationReply(
            oxid=answer["oxid"],
            bindings=DualStringArray.of_data(answer["bindings"], "ppdsaOxidBindings"),
            rem_unknown=answer["rem_unknown"],
            authentication_hint=answer["authentication_hint"],
            interfaces=tuple(zip(request.iids, answer["results"], answer["interfaces"], strict=True)),
            version=answer["version"],
        )

    async def call(
        self,
        reference: Reference,
        interface: Interface,
        method_name: str,
        values: dict[str, Any],
        *,
        reach: Reach,
        timeout: float | None,
    ) -> Response:
        """Calls a method of the object; the HRESULT is for the caller to judge."""
        entry = await self._exporter(reference, reach, timeout)
        if not reference.std.public_refs:
            await self._ask_for_one(entry, reference.std.ipid, timeout)
        return await self._invoke(entry, reference.std.ipid, interface, method_name, values, timeout)

    async def _ask_for_one(self, entry: _ExporterEntry, ipid: UUID, timeout: float | None) -> None:
        """Counts a reference for an OBJREF that carried none, before it is first used (3.2.4.4.1)."""
        if ipid not in self._asked_for:
            self._asked_for.add(ipid)
            wanted = RemInterfaceRef(ipid=ipid, public_refs=1, private_refs=0)
            await self._invoke(entry, entry.rem_unknown, IRemUnknown, "RemAddRef", {"references": (wanted,)}, timeout)

    async def query_interface(
        self, reference: Reference, iid: UUID, *, reach: Reach, timeout: float | None
    ) -> Reference:
        """A reference to another interface of the object (3.2.4.4.3), pinged and to be released as this one is.

        Raises `WbemError`, E_NOINTERFACE if the object has no such interface.
        """
        entry = await self._exporter(reference, reach, timeout)
        values = {"ipid": reference.std.ipid, "references": 1, "iids": (iid,)}
        response = await self._invoke(entry, entry.rem_unknown, IRemUnknown, "RemQueryInterface", values, timeout)
        results = response.values["results"]
        if not results or results[0].result & 0x80000000:
            status = results[0].result if results else response.status or HResult.E_NOINTERFACE
            raise WbemError.of(status, f"the object gives no interface {iid}")
        found = Reference(iid, results[0].std, reference.resolver)
        self._hold(found, reach)
        return found

    async def release(self, *references: Reference, reach: Reach, timeout: float | None) -> None:
        """Gives back references to one exporter's objects, as many as came, and pings for them no more. Never raises.

        What cannot be given back now, the other side frees by itself when we are gone.
        """
        for reference in references:
            ping_set = self._ping_sets.get(reach.endpoints(reference.resolver, RESOLVER_PORT))
            if ping_set is not None and reference.std.is_pinged:
                ping_set.drop(reference.std.oid)
        counts = [(reference.std.ipid, self._counted(reference.std)) for reference in references]
        given_back = tuple(RemInterfaceRef(ipid=i, public_refs=count, private_refs=0) for i, count in counts if count)
        if not given_back:
            return
        try:
            entry = await self._exporter(references[0], reach, timeout)
            values = {"references": given_back}
            await self._invoke(entry, entry.rem_unknown, IRemUnknown, "RemRelease", values, timeout)
        except Error as error:
            _log.debug("RemRelease of %s failed: %s", references[0].std.ipid, error)

    def _counted(self, std: StdObjRef) -> int:
        """How many references there are to give back: what it carried, or the one that was asked for."""
        if std.public_refs or std.ipid not in self._asked_for:
            return std.public_refs
        self._asked_for.discard(std.ipid)
        return 1

    async def ping(self, *, timeout: float | None) -> None:
        """Tells each resolver what is still in use (3.2.6.1); to be called once in a ping period. Never raises."""
        for endpoints, ping_set in list(self._ping_sets.items()):
            if ping_set.is_over:
                del self._ping_sets[endpoints]
                continue
            try:
                while await self._ping(endpoints, ping_set, timeout):
                    pass
            except Error as error:
                # The server frees nothing before three periods have passed: the next ping may get through.
                _log.info("pinging %s failed: %s", endpoints[0], error)

    async def _ping(self, endpoints: tuple[Endpoint, ...], ping_set: PingSet, timeout: float | None) -> bool:
        call = ping_set.next_call()
        answer = await self._ask(endpoints, IObjectExporter, *call, timeout)
        return ping_set.answered(call, answer[RESULT], answer.get("set_id"))

    async def _invoke(
        self,
        entry: _ExporterEntry,
        ipid: UUID,
        interface: Interface,
        method_name: str,
        values: dict[str, Any],
        timeout: float | None,
    ) -> Response:
        values = {**values, "orpc_this": _header(entry.version)}
        answer = await self._ask(entry.endpoints, interface, method_name, values, timeout, ipid)
        that = answer.pop("orpc_that")
        return Response(answer.pop(RESULT), answer, that)

    async def _ask(
        self,
        endpoints: tuple[Endpoint, ...],
        interface: Interface,
        method_name: str,
        values: dict[str, Any],
        timeout: float | None,
        object_uuid: UUID | None = None,
    ) -> dict[str, Any]:
        """One call by the interface's table; the response's values."""
        method = interface[method_name]
        octets, little = await self._transport.invoke(
            endpoints, interface, method.opnum, method.encode_request(values), object_uuid=object_uuid, timeout=timeout
        )
        return method.decode_response(octets, request=values, little_endian=little)

    async def _exporter(self, reference: Reference, reach: Reach, timeout: float | None) -> _ExporterEntry:
        """Where the reference's exporter is, asking its resolver if that is not known (3.2.4.1.2)."""
        oxid = reference.std.oxid
        entry = self._exporters.get((reach.host, oxid))
        if entry is not None:
            self._exporters.move_to_end((reach.host, oxid))
            return entry
        endpoints = reach.endpoints(reference.resolver, RESOLVER_PORT)
        if not endpoints:
            raise ProtocolError("the reference names no resolver that can be reached over TCP")
        values = {"oxid": oxid, "towers": (TOWER_TCP,)}
        try:
            answer = await self._ask(endpoints, IObjectExporter, "ResolveOxid2", values, timeout)
        except RpcFault as fault:
            if fault.status not in _UNKNOWN_METHOD:
                raise
            answer = await self._ask(endpoints, IObjectExporter, "ResolveOxid", values, timeout)
        if answer[RESULT] != 0 or answer["bindings"] is None:
            raise ProtocolError(f"the resolver does not know the exporter: status {answer[RESULT]}")
        bindings = DualStringArray.of_data(answer["bindings"])
        version = _common(answer.get("version", OLDEST_VERSION))
        entry = _ExporterEntry(reach.endpoints(bindings), answer["rem_unknown"], version)
        if not entry.endpoints:
            raise ProtocolError("the exporter has no TCP endpoint")
        self._learn((reach.host, oxid), entry)
        return entry

    def _learn(self, key: tuple[str, int], entry: _ExporterEntry) -> None:
        self._exporters[key] = entry
        self._exporters.move_to_end(key)
        while len(self._exporters) > _MAX_EXPORTERS:
            self._exporters.popitem(last=False)


def _common(theirs: ComVersion) -> ComVersion:
    """The version that both sides speak (1.7). Raises `ProtocolError` for another major version."""
    if theirs.major != COM_VERSION.major:
        raise ProtocolError(f"the server speaks COM {theirs.major}.{theirs.minor}, not {COM_VERSION.major}.x")
    return min(theirs, COM_VERSION, key=lambda version: version.minor)


def _check_activation(status: int) -> None:
    if status & 0x80000000:
        raise WbemError.of(status, "the activation was refused")


def _header(version: ComVersion) -> OrpcThis:
    return OrpcThis(version=version, flags=0, reserved1=0, cid=uuid4())
