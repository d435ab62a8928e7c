"""IWbemCallResult (MS-WMI 3.1.4.5) as a client has it."""

from __future__ import annotations

from typing import Any

from openwmi.cim import CimObject
from openwmi.dcom.importer import Reference, Response
from openwmi.errors import WbemError
from openwmi.status import WbemStatus, succeeded
from openwmi.wmi.client.link import POLL, Link, milliseconds
from openwmi.wmi.interfaces import IWbemCallResult

__all__ = ["RemoteCallResult"]


class RemoteCallResult:
    """What becomes of a semisynchronous call on the server. Closing it gives it back.

    Which method is called for which kind of operation is 3.2.4.2.7's business: each asks until the operation has
    ended, and raises the `WbemError` of one that failed.
    """

    def __init__(self, link: Link, result: Reference) -> None:
        self._link = link
        self._result = result

    async def wait(self) -> None:
        """For an operation that gives nothing."""
        response = await self._ended("GetCallStatus")
        status = response.values["status"]
        if not succeeded(status):
            raise self._link.error(status, response)

    async def object(self) -> CimObject | None:
        """The object that GetObject or ExecMethod gave; None for a method without results."""
        octets = await self._given("GetResultObject", "object")
        return None if octets is None else self._link.objects.unmarshal(octets)

    async def text(self) -> str | None:
        """The path that PutInstance gave."""
        text: str | None = await self._given("GetResultString", "text")
        return text

    async def services(self) -> Reference:
        """The namespace that OpenNamespace gave."""
        return self._link.reference(await self._given("GetResultServices", "services"))

    async def _given(self, method: str, name: str) -> Any:
        try:
            response = await self._ended(method)
        except WbemError as error:
            if error.status != WbemStatus.WBEM_E_INVALID_OPERATION:
                raise
            # Either the operation failed with this, or it succeeded and gave nothing: only its status tells.
            await self.wait()
            return None
        return response.values[name]

    async def _ended(self, method: str) -> Response:
        values = {"timeout": milliseconds(POLL)}
        while True:
            response = await self._link.call(self._result, IWbemCallResult, method, values, patience=POLL)
            if response.status != WbemStatus.WBEM_S_TIMEDOUT:
                return response

    async def close(self) -> None:
        """Gives it back; the operation goes on to its end."""
        await self._link.release(self._result)
