"""IWbemLevel1Login, IWbemLoginClientID, IWbemLoginHelper (MS-WMI 3.1.4.1, 3.1.4.8, 3.1.4.9): the way to a namespace."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Final

from openwmi.dcom.peer import Call, Caller
from openwmi.errors import InvalidParameter, printable
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.interfaces import IWbemLevel1Login, IWbemLoginClientID, IWbemLoginHelper, IWbemServices
from openwmi.wmi.server.services import ServicesStub
from openwmi.wmi.server.session import Environment, Session

__all__ = ["LoginStub", "WmiServer"]

_log = logging.getLogger("openwmi.wmi")

_LONGEST_NAME: Final = 256  # characters of a client's name that are logged


class WmiServer(Environment):
    """Where every log-on begins: what the stubs share, and what activation makes of it."""

    async def activate(self, call: Call) -> LoginStub:
        """A new WbemLevel1Login object for this caller."""
        return LoginStub(self, call.caller)


class LoginStub:
    """The object that activation makes (3.1.4.1)."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemLevel1Login, IWbemLoginClientID, IWbemLoginHelper)

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

    async def set_client_info(self, call: Call, *, machine: str | None, process: int, reserved: int) -> None:
        """What the client calls itself, for the log (3.1.4.8.1)."""
        if machine is None:
            raise InvalidParameter("wszClientMachine is NULL")
        _log.debug("%s says that it is process %d of %s", call.caller, process, printable(machine[:_LONGEST_NAME]))

    async def set_event(self, call: Call, *, event: str) -> None:
        """Success, and no event is signalled (3.1.4.9.1)."""

    async def released(self) -> None:
        """The client needs no further namespace."""
