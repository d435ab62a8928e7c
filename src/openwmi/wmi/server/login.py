"""IWbemLevel1Login (MS-WMI 3.1.4.1): the object that activation makes, and the way to a namespace."""

from __future__ import annotations

from typing import Any, ClassVar

from openwmi.dcom.peer import Call, Caller
from openwmi.errors import InvalidParameter
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.interfaces import IWbemLevel1Login, IWbemServices
from openwmi.wmi.server.services import ServicesStub
from openwmi.wmi.server.session import Environment, Session

__all__ = ["LoginStub", "WmiServer"]


class WmiServer(Environment):
    """Where every log-on begins: what the stubs share, and what activation makes of it."""

    async def activate(self, call: Call) -> LoginStub:
        """A new WbemLevel1Login object for this caller."""
        return LoginStub(self, call.caller)


class LoginStub:
    """IWbemLevel1Login (3.1.4.1): the object that activation makes."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemLevel1Login,)

    def __init__(self, server: Environment, caller: Caller) -> None:
        self._server = server
        self._session = Session(server, caller)

    async def establish_position(self, call: Call, *, reserved: str | None, flags: int) -> dict[str, Any]:
        """Answers with 1, which says that a log-on with an unknown locale succeeds (3.1.4.1.1)."""
        return {"locale_version": 1}

    async def request_challenge(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """Reserved (3.1.4.1.2)."""
        return {"reserved3": bytes(16), RESULT: WbemStatus.WBEM_E_NOT_SUPPORTED}

    async def wbem_login(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """Reserved (3.1.4.1.3)."""
        return {RESULT: HResult.E_NOTIMPL}

    async def ntlm_login(
        self,
        call: Call,
        *,
        network_resource: str | None,
        preferred_locale: str | None,
        flags: int,
        context: bytes | None,
    ) -> dict[str, Any]:
        """Opens a namespace (3.1.4.1.4)."""
        if network_resource is None:
            raise InvalidParameter("wszNetworkResource is NULL")
        if flags:
            raise InvalidParameter(f"lFlags is 0x{flags:X}, not 0")
        locales = tuple(part.strip() for part in (preferred_locale or "").split(",") if part.strip())
        opening = self._session.context(call, 0, context, locales=locales)
        namespace = await self._server.namespaces.connect(network_resource, opening)
        stub = ServicesStub(self._session, namespace, locales)
        return {"namespace": call.marshal(stub, IWbemServices.uuid)}

    async def released(self) -> None:
        """The client needs no further namespace."""
