"""Objects that do something for local callers of Windows only: a remote one is told so (MS-WMI 3.1.4.14-3.1.4.16)."""

from __future__ import annotations

from typing import Any, ClassVar, Final
from uuid import UUID

from openwmi.dcom.activator import ClassFactory
from openwmi.dcom.peer import Call
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import HResult
from openwmi.wmi.interfaces import (
    CLSID_UNSECURED_APARTMENT,
    CLSIDS_WBEM_SHUTDOWN,
    IUnsecuredApartment,
    IWbemShutdown,
    IWbemUnsecuredApartment,
)

__all__ = ["INERT_CLASSES", "ShutdownStub", "UnsecuredApartmentStub"]

_SERVER_UNAVAILABLE: Final = 0x80070000 | HResult.RPC_S_SERVER_UNAVAILABLE  # as HRESULT_FROM_WIN32 makes it


class ShutdownStub:
    """IWbemShutdown (3.1.4.14). Nobody shuts this server down by it."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemShutdown,)

    async def shutdown(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """0x800706BA, whatever was sent."""
        return {RESULT: _SERVER_UNAVAILABLE}

    async def released(self) -> None:
        """It holds nothing."""


class UnsecuredApartmentStub:
    """IUnsecuredApartment (3.1.4.15) and IWbemUnsecuredApartment (3.1.4.16). A sink is reached without an apartment."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IUnsecuredApartment, IWbemUnsecuredApartment)

    async def create_object_stub(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """E_UNEXPECTED, whatever was sent."""
        return {RESULT: HResult.E_UNEXPECTED}

    async def create_sink_stub(self, call: Call, **reserved: Any) -> dict[str, Any]:
        """E_UNEXPECTED, whatever was sent."""
        return {RESULT: HResult.E_UNEXPECTED}

    async def released(self) -> None:
        """It holds nothing."""


async def _shutdown(call: Call) -> ShutdownStub:
    return ShutdownStub()


async def _unsecured_apartment(call: Call) -> UnsecuredApartmentStub:
    return UnsecuredApartmentStub()


INERT_CLASSES: Final[dict[UUID, ClassFactory]] = {
    **dict.fromkeys(CLSIDS_WBEM_SHUTDOWN, _shutdown),
    CLSID_UNSECURED_APARTMENT: _unsecured_apartment,
}
