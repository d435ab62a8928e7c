"""The importing side: references to other exporters' objects, and calls through them (MS-DCOM 3.2).

`Importer` keeps what is known of exporters (their OXIDs), resolves those it meets in a reference, encodes calls by
the interface's table, and gives references back. The connections are the `Transport`'s, which enforces the time-outs:
here is no socket and no clock.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from openwmi.dcom.activation import ActivationReply, ActivationRequest
from openwmi.dcom.bindings import DualStringArray, Endpoint
from openwmi.dcom.interfaces import IObjectExporter, IRemoteSCMActivator, IRemUnknown
from openwmi.dcom.objref import HandlerObjRef, StandardObjRef, decode_objref
from openwmi.dcom.types import COM_VERSION, TOWER_TCP, OrpcThat, OrpcThis, RemInterfaceRef, StdObjRef
from openwmi.errors import DecodeError, Error, ProtocolError, WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import HResult

__all__ = ["Importer", "Reach", "Reference", "Response", "Transport"]

_log = logging.getLogger("openwmi.dcom")

RESOLVER_PORT: Final = 135
_MAX_EXPORTERS: Final = 1024
_MAX_ENDPOINTS: Final = 8


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


class Importer:
    """References into other exporters, over one transport. Knows at most 1,024 exporters at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # By host too: a peer that claims another's OXID must not be asked for the other's objects.
        self._exporters: OrderedDict[tuple[str, int], _ExporterEntry] = OrderedDict()

    def unmarshal(self, octets: bytes, what: str = "OBJREF") -> Reference:
        """The reference in an OBJREF; `DecodeError` if it is none of the kinds that refer to an exporter."""
        found = decode_objref(octets, what)
        if not isinstance(found, StandardObjRef | HandlerObjRef):
            raise DecodeError(what, 4, "is marshalled by value, where a reference is due")
        return Reference(found.iid, found.std, found.resolver)

    async def activate(
        self, clsid: UUID, iids: tuple[UUID, ...], reach: Reach, port: int, *, timeout: float | None
    ) -> list[Reference | int]:
        """Asks the resolver at `reach.host` for a new object: a reference for each interface, or its HRESULT."""
        method = IRemoteSCMActivator["RemoteCreateInstance"]
        request = ActivationRequest(clsid, iids)
        stub = method.encode_request(orpc_this=_header(), outer=None, properties_in=request.encode())
        endpoints = (Endpoint(reach.host, port),)
        octets, little = await self._transport.invoke(
            endpoints, IRemoteSCMActivator, method.opnum, stub, object_uuid=None, timeout=timeout
        )
        answer = method.decode_response(octets, little_endian=little)
        if answer[RESULT] & 0x80000000 or answer["properties_out"] is None:
            raise WbemError.of(answer[RESULT] or HResult.E_UNEXPECTED, "the activation was refused")
        reply = ActivationReply.decode(answer["properties_out"])
        if tuple(iid for iid, _, _ in reply.interfaces) != iids:
            raise ProtocolError("the activation gave other interfaces than those that were asked for")
        self._learn((reach.host, reply.oxid), _ExporterEntry(reach.endpoints(reply.bindings), reply.rem_unknown))
        found: list[Reference | int] = []
        for _, status, reference in reply.interfaces:
            found.append(self.unmarshal(reference) if reference is not None else status)
        return found

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
        return await self._invoke(entry, reference.std.ipid, interface, method_name, values, timeout)

    async def release(self, reference: Reference, *, reach: Reach, timeout: float | None, count: int = 0) -> None:
        """Gives references back, all that the OBJREF carried unless `count` says otherwise. Never raises.

        What cannot be given back now, the other side frees by itself when we are gone.
        """
        count = count or reference.std.public_refs
        if not count:
            return
        given_back = (RemInterfaceRef(ipid=reference.std.ipid, public_refs=count, private_refs=0),)
        try:
            entry = await self._exporter(reference, reach, timeout)
            values = {"references": given_back}
            await self._invoke(entry, entry.rem_unknown, IRemUnknown, "RemRelease", values, timeout)
        except Error as error:
            _log.debug("RemRelease of %s failed: %s", reference.std.ipid, error)

    async def _invoke(
        self,
        entry: _ExporterEntry,
        ipid: UUID,
        interface: Interface,
        method_name: str,
        values: dict[str, Any],
        timeout: float | None,
    ) -> Response:
        method = interface[method_name]
        stub = method.encode_request(values, orpc_this=_header())
        octets, little = await self._transport.invoke(
            entry.endpoints, interface, method.opnum, stub, object_uuid=ipid, timeout=timeout
        )
        answer = method.decode_response(octets, request=values, little_endian=little)
        that = answer.pop("orpc_that")
        return Response(answer.pop(RESULT), answer, that)

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
        method = IObjectExporter["ResolveOxid2"]
        stub = method.encode_request(oxid=oxid, towers=(TOWER_TCP,))
        octets, little = await self._transport.invoke(
            endpoints, IObjectExporter, method.opnum, stub, object_uuid=None, timeout=timeout
        )
        answer = method.decode_response(octets, little_endian=little)
        if answer[RESULT] != 0 or answer["bindings"] is None:
            raise ProtocolError(f"the resolver does not know the exporter: status {answer[RESULT]}")
        bindings = DualStringArray.of_data(answer["bindings"])
        entry = _ExporterEntry(reach.endpoints(bindings), answer["rem_unknown"])
        if not entry.endpoints:
            raise ProtocolError("the exporter has no TCP endpoint")
        self._learn((reach.host, oxid), entry)
        return entry

    def _learn(self, key: tuple[str, int], entry: _ExporterEntry) -> None:
        self._exporters[key] = entry
        self._exporters.move_to_end(key)
        while len(self._exporters) > _MAX_EXPORTERS:
            self._exporters.popitem(last=False)


def _header() -> OrpcThis:
    return OrpcThis(version=COM_VERSION, flags=0, reserved1=0, cid=uuid4())
