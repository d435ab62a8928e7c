"""Activation: a client asks for an object of a class, or for the class object itself (MS-DCOM 3.1.2.5.2).

Three methods of two interfaces ask for the same in different words; `_activate` is what they have in common.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID

from openwmi.dcom.activation import (
    ANY_SESSION,
    MAX_INTERFACES,
    ActivationFlags,
    ActivationReply,
    ActivationRequest,
    unmarshal_context,
)
from openwmi.dcom.bindings import DualStringArray
from openwmi.dcom.exporter import Exporter, Implementation
from openwmi.dcom.interfaces import IActivation, IClassFactory, IRemoteSCMActivator
from openwmi.dcom.peer import Call, Caller
from openwmi.errors import DecodeError, WbemError
from openwmi.rpc.interface import Interface
from openwmi.security.context import AuthenticationLevel
from openwmi.status import HResult

__all__ = ["Activator", "ClassFactory"]

ClassFactory: TypeAlias = Callable[[Call], Awaitable[Implementation]]
"""Makes an object of a class for the caller; a `WbemError` that it raises refuses the activation."""

_CLASS_OBJECT: Final = 0xFFFFFFFF  # RemoteActivation's Mode
_SERVICES_SESSION: Final = 0
_OTHER_ARCHITECTURE: Final = (
    ActivationFlags.ACTIVATE_32_BIT_SERVER if sys.maxsize > 2**32 else ActivationFlags.ACTIVATE_64_BIT_SERVER
)


class Activator:
    """IRemoteSCMActivator and IActivation: makes objects of the classes in `classes`, CLSID to a `ClassFactory`."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IRemoteSCMActivator, IActivation)
    OPEN: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        exporter: Exporter,
        classes: Mapping[UUID, ClassFactory],
        exporter_bindings: Callable[[Caller], DualStringArray],
        *,
        hint: AuthenticationLevel = AuthenticationLevel.INTEGRITY,
    ) -> None:
        self._exporter = exporter
        self._classes = classes
        self._exporter_bindings = exporter_bindings
        self._hint = hint

    async def remote_create_instance(
        self, call: Call, *, outer: bytes | None, properties_in: bytes | None
    ) -> dict[str, Any]:
        """Makes an object and hands out the interfaces that were asked for (3.1.2.5.2.3.3)."""
        return await self._by_properties(call, properties_in, class_object=False)

    async def remote_get_class_object(self, call: Call, *, properties_in: bytes | None) -> dict[str, Any]:
        """Hands out the class object, through which objects can be made (3.1.2.5.2.3.2)."""
        return await self._by_properties(call, properties_in, class_object=True)

    async def _by_properties(self, call: Call, octets: bytes | None, *, class_object: bool) -> dict[str, Any]:
        if octets is None:
            raise WbemError.of(HResult.E_INVALIDARG, "pActProperties is NULL")
        request = ActivationRequest.decode(octets)
        reply = await self._activate(call, request, class_object=class_object)
        return {"properties_out": reply.encode()}

    async def remote_activation(
        self,
        call: Call,
        *,
        clsid: UUID,
        object_name: str | None,
        object_storage: bytes | None,
        mode: int,
        iids: tuple[UUID, ...] | None,
        towers: tuple[int, ...],
        **counts: Any,
    ) -> dict[str, Any]:
        """The same as clients before COM version 5.6 ask for it (3.1.2.5.2.3.1)."""
        wanted = iids or ()
        try:
            if not 1 <= len(wanted) <= MAX_INTERFACES:
                raise WbemError.of(HResult.E_INVALIDARG, f"{len(wanted)} interfaces, not 1 to {MAX_INTERFACES}")
            if object_name is not None or object_storage is not None:
                raise WbemError.of(HResult.E_INVALIDARG, "no class here makes objects out of a file or a storage")
            request = ActivationRequest(clsid, wanted, towers)
            reply = await self._activate(call, request, class_object=mode == _CLASS_OBJECT)
        except WbemError as error:
            return {"outcome": error.status}
        _, results, references = zip(*reply.interfaces, strict=True)
        return {
            "oxid": reply.oxid,
            "bindings": reply.bindings.to_data(),
            "rem_unknown": reply.rem_unknown,
            "authentication_hint": reply.authentication_hint,
            "version": reply.version,
            "interfaces": references,
            "results": results,
        }

    async def _activate(self, call: Call, request: ActivationRequest, *, class_object: bool) -> ActivationReply:
        """3.1.2.5.2.3, but for the header's version, which `Peer` looks at."""
        _check(request)
        factory = self._classes.get(request.clsid)
        if factory is None:
            raise WbemError.of(HResult.REGDB_E_CLASSNOTREG, f"the class {request.clsid} is not here")
        made = ClassObject(factory) if class_object else await factory(call)
        interfaces: list[tuple[UUID, int, bytes | None]] = []
        for iid in request.iids:
            try:
                interfaces.append((iid, HResult.S_OK, call.marshal(made, iid)))
            except WbemError as error:
                interfaces.append((iid, error.status, None))
        if all(reference is None for _, _, reference in interfaces):
            await made.released()
            raise WbemError.of(HResult.E_NOINTERFACE, "the object has none of the interfaces asked for")
        return ActivationReply(
            oxid=self._exporter.oxid,
            bindings=self._exporter_bindings(call.caller),
            rem_unknown=self._exporter.rem_unknown,
            authentication_hint=self._hint,
            interfaces=tuple(interfaces),
        )

    async def released(self) -> None:
        """The activator lives as long as its server."""


def _check(request: ActivationRequest) -> None:
    """What a request may ask of the place where the object is made.

    The client's context may be NULL, although 2.2.22.2.5 forbids it: aiowmi sends none, and Windows reads it only for
    classes that have an application identifier.
    """
    for octets in (request.client_context, request.prototype_context):
        try:
            if octets is not None:
                unmarshal_context(octets)
        except DecodeError as error:
            raise WbemError.of(HResult.RPC_E_INVALID_OBJREF, f"the request's context: {error}") from error
    if request.session not in (ANY_SESSION, _SERVICES_SESSION):
        where = "the console's session" if request.session is None else f"session {request.session}"
        raise WbemError.of(HResult.CO_E_RUNAS_LOGON_FAILURE, f"this server does not run in {where}")
    if request.flags & _OTHER_ARCHITECTURE:
        raise WbemError.of(HResult.REGDB_E_CLASSNOTREG, f"the class is not there for {_OTHER_ARCHITECTURE.name}")


class ClassObject:
    """IClassFactory of one class, for one caller."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IClassFactory,)

    def __init__(self, factory: ClassFactory) -> None:
        self._factory = factory

    async def remote_create_instance(self, call: Call, *, iid: UUID) -> dict[str, Any]:
        """Makes an object and hands out one of its interfaces."""
        made = await self._factory(call)
        try:
            return {"object": call.marshal(made, iid)}
        except WbemError:
            await made.released()
            raise

    async def remote_lock_server(self, call: Call, *, lock: int) -> None:
        """Keeps the server from ending, which it does not do by itself."""

    async def released(self) -> None:
        """There is nothing to free."""
