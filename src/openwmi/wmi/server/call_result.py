"""IWbemCallResult (MS-WMI 3.1.4.5): what became of one semisynchronous call that gives at most one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from openwmi.cim.delivery import CallResult
from openwmi.cim.operation import Outcome
from openwmi.dcom.peer import Call
from openwmi.errors import WbemError
from openwmi.rpc.interface import RESULT, Interface
from openwmi.status import WbemStatus
from openwmi.wmi.interfaces import IWbemCallResult, IWbemServices
from openwmi.wmi.server.session import Session, seconds

if TYPE_CHECKING:
    from openwmi.wmi.server.services import ServicesStub

__all__ = ["CallResultStub"]


class CallResultStub:
    """One call's result: an operation's, or the namespace that OpenNamespace has opened.

    Each method waits for the end first, for its time (3.1.4.5.1-4): WBEM_S_TIMEDOUT, and NULL, if the operation still
    runs; then the operation's own failure; then WBEM_E_INVALID_OPERATION for what such an operation does not give. A
    method without results is one that might have given an object: success, and NULL.
    """

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IWbemCallResult,)

    def __init__(self, session: Session, result: CallResult | ServicesStub) -> None:
        self._session = session
        self._operation = result if isinstance(result, CallResult) else None
        self._services = None if isinstance(result, CallResult) else result

    async def get_call_status(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The operation's status (3.1.4.5.4), or WBEM_S_TIMEDOUT. The call itself succeeds."""
        outcome = await self._outcome(timeout)
        if outcome is None:
            return {RESULT: WbemStatus.WBEM_S_TIMEDOUT}
        # A failure's error object comes along, though this call succeeds: GetErrorInfo gives it to a COM caller.
        failure = {} if outcome.succeeded else {"orpc_that": call.peer.explain(outcome.to_error())}
        return {"status": outcome.status, **failure}

    async def get_result_object(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The object that the operation gave (3.1.4.5.1)."""
        outcome = await self._outcome(timeout)
        found, none = None, False
        if self._operation is not None:
            found, none = self._operation.object, self._operation.operation.request.RETURNS_OBJECT
        return _result(outcome, "object", None if found is None else self._session.objects.marshal(found), none=none)

    async def get_result_string(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The path that PutInstance gave (3.1.4.5.2)."""
        outcome = await self._outcome(timeout)
        return _result(outcome, "text", None if outcome is None else outcome.text)

    async def get_result_services(self, call: Call, *, timeout: int) -> dict[str, Any]:
        """The namespace that OpenNamespace gave (3.1.4.5.3)."""
        outcome = await self._outcome(timeout)
        services = self._services
        return _result(outcome, "services", None if services is None else call.marshal(services, IWbemServices.uuid))

    async def released(self) -> None:
        """The client wants to know no more."""
        if self._operation is not None:
            await self._operation.close()

    async def _outcome(self, timeout: int) -> Outcome | None:
        """How the operation ended; a namespace was opened before its call result was made."""
        return Outcome() if self._operation is None else await self._operation.outcome(seconds(timeout))


def _result(outcome: Outcome | None, name: str, value: Any, *, none: bool = False) -> dict[str, Any]:
    """What a method answers that is to give `value`; `none` says that it may be none."""
    if outcome is None:
        return {RESULT: WbemStatus.WBEM_S_TIMEDOUT}
    outcome.raise_for_status()
    if value is None and not none:
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, f"this operation gives no {name}")
    return {name: value}
