"""IEnumWbemClassObject (MS-WMI 3.1.4.4) as a client has it, in its optimized form if the server has that."""

from __future__ import annotations

from typing import Final

from openwmi.cim import CimObject
from openwmi.cim.operation import Operation
from openwmi.cim.operations import CallContext, Flags, Request
from openwmi.dcom.importer import Reference
from openwmi.errors import InvalidParameter, ProtocolError, WbemError
from openwmi.status import WbemStatus
from openwmi.wmi.client.link import POLL, Link, milliseconds
from openwmi.wmi.client.smart_enum import RemoteSmartEnum
from openwmi.wmi.interfaces import IEnumWbemClassObject

__all__ = ["RemoteEnumerator"]

# A server holds a page back until it is full or the time is up, however slowly results come. So the first wait is
# short, in seconds, and each one that brings nothing is followed by one twice as long.
_FIRST_WAIT: Final = 0.25
# A page is empty when the server had to wait; one that never waits and never gives anything is making fun of us.
_MOST_EMPTY_PAGES: Final = 10_000


class RemoteEnumerator:
    """A place in the results of an operation on the server.

    Its methods are those of `openwmi.cim.results.Enumerator`, and do what those do. Closing it gives it back.
    """

    def __init__(
        self,
        link: Link,
        enumerator: Reference,
        smart: RemoteSmartEnum | None,
        request: Request,
        context: CallContext,
    ) -> None:
        self._link = link
        self._enumerator = enumerator
        self._smart = smart
        self._request = request
        self._context = context
        self._closed = False

    @classmethod
    async def of(cls, link: Link, enumerator: Reference, request: Request, context: CallContext) -> RemoteEnumerator:
        """The enumerator that a call gave, and its optimized form."""
        try:
            smart = await RemoteSmartEnum.of(link, enumerator) if link.optimized else None
        except BaseException:
            await link.release(enumerator)
            raise
        return cls(link, enumerator, smart, request, context)

    async def next(self, count: int, timeout: float | None) -> tuple[list[CimObject], int]:
        """Up to `count` objects and a status: S_NO_ERROR (all of them), S_FALSE (the end), S_TIMEDOUT (too few yet).

        The server waits for at most `timeout` seconds, without limit for None. An answer may hold fewer than were
        asked for, and S_TIMEDOUT, though there are more: ask again. Raises the `WbemError` of a failure.
        """
        if self._smart is not None:
            return await self._smart.next(count, timeout)
        values = {"timeout": milliseconds(timeout), "count": count}
        response = await self._link.call(self._enumerator, IEnumWbemClassObject, "Next", values, patience=timeout)
        return [self._link.objects.unmarshal(o) for o in response.values["objects"] if o is not None], response.status

    async def skip(self, count: int, timeout: float | None) -> int:
        """Passes over `count` objects; the status is as `next` has it (3.1.4.4.5)."""
        values = {"timeout": milliseconds(timeout), "count": count}
        response = await self._link.call(self._enumerator, IEnumWbemClassObject, "Skip", values, patience=timeout)
        return response.status

    async def reset(self) -> None:
        """Back to the first object (3.1.4.4.1). WBEM_E_INVALID_OPERATION if it can only go forward."""
        self._need_to_go_back()
        await self._link.call(self._enumerator, IEnumWbemClassObject, "Reset")

    async def clone(self) -> RemoteEnumerator:
        """Another enumerator of the same results, at the same place (3.1.4.4.4)."""
        self._need_to_go_back()
        response = await self._link.call(self._enumerator, IEnumWbemClassObject, "Clone")
        reference = self._link.reference(response.values["enumerator"])
        return await RemoteEnumerator.of(self._link, reference, self._request, self._context)

    async def next_async(self, count: int) -> Operation:
        """The next `count` objects to a sink of this client's, as an operation (3.1.4.4.3).

        It ends with S_NO_ERROR, or with S_FALSE if there were not as many. One that is cancelled has passed over what
        was on its way.
        """
        if count < 1:
            raise InvalidParameter(f"count={count}: ask for one object at least")
        operation = Operation(self._request, self._context)

        async def call(sink: bytes) -> None:
            await self._link.call(self._enumerator, IEnumWbemClassObject, "NextAsync", {"count": count, "sink": sink})

        producer = await self._link.receive(operation, call)
        return await operation.begin(producer)

    async def fetch(self, operation: Operation) -> None:
        """Delivers everything to `operation`, page after page until the server has no more (3.2.4.2.8)."""
        empty, wait = 0, _FIRST_WAIT
        while True:
            page, status = await self.next(self._context.page_size, wait)
            if page:
                await operation.deliver(page)
            empty, wait = (0, _FIRST_WAIT) if page else (empty + 1, min(2 * wait, POLL))
            if empty > (0 if status == WbemStatus.WBEM_S_NO_ERROR else _MOST_EMPTY_PAGES):
                raise ProtocolError("the server answers Next without objects, and says that there are more")
            if status not in (WbemStatus.WBEM_S_NO_ERROR, WbemStatus.WBEM_S_TIMEDOUT):
                return

    def _need_to_go_back(self) -> None:
        """A server is not asked for what it has been told will not be asked for (3.2.4.2.8)."""
        if self._context.flags & Flags.FORWARD_ONLY:
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_OPERATION, "the enumerator was made with WBEM_FLAG_FORWARD_ONLY"
            )

    async def close(self) -> None:
        """Gives it back; the server frees the results that nobody else wants."""
        if not self._closed:
            self._closed = True
            await self._link.release(self._enumerator, *(self._smart.references if self._smart is not None else ()))
