"""One call of a provider: what the provider is told, and what it may say back before, or instead of, returning.

A `ProviderCall` may be used from any thread, and after the function that it was given to has returned. It raises
nothing of its own but `OperationCancelled`, from `check`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from openwmi.cim import Class, Instance, ObjectPath, TypedValue, fold
from openwmi.cim.notices import Channel, Message, Prompt, Question, unheard
from openwmi.cim.operation import Progress, Report
from openwmi.cim.operations import CallContext, Principal
from openwmi.errors import OperationCancelled, WbemError
from openwmi.status import WbemStatus

__all__ = ["PENDING", "DynamicProperty", "Pending", "ProviderCall", "ProviderStatus"]


class Pending(Enum):
    """What a provider returns to say that `ProviderCall.set_status` will tell the end."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING

# A SetStatus of progress carries both numbers in 16 bits (MS-WMI 3.2.4.1.2).
_MOST_STEPS: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class DynamicProperty:
    """One property that a property provider answers for, with what the schema says of it for the provider's use.

    The contexts are the qualifiers ClassContext (of the class), InstanceContext (of the instance) and
    PropertyContext (of the property; the instance's own counts before the class's), None where they are not there.
    """

    name: str
    class_context: str | None = None
    instance_context: str | None = None
    property_context: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """What a provider reported through its status callback."""

    status: int
    detail: str = ""
    result: Any = None
    extended: Instance | None = None


class ProviderCall:
    """The callback object of one call (the sink that MS-WMI 3.1.4.17 hands to a provider).

    `cls` is the class asked for, `namespace` where, `path` the instance's path *in that class* (None for an
    enumeration), `properties` which of them the caller looks at (None for all; a hint that saves work), `flags`
    the flags of the request, and `context` everything about the caller.
    """

    def __init__(
        self,
        cls: Class,
        context: CallContext,
        *,
        namespace: str = "root\\cimv2",
        server: str | None = None,
        path: ObjectPath | None = None,
        properties: frozenset[str] | None = None,
        flags: int = 0,
        deadline: float | None = None,
    ) -> None:
        self.cls = cls
        self.context = context
        self.namespace = namespace
        self.server = server
        self.path = path
        self.properties = None if properties is None else frozenset(map(fold, properties))
        self.flags = flags
        self.deadline = deadline
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._on_cancel: list[Callable[[], object]] = []
        self._status: ProviderStatus | None = None
        self._on_status: Callable[[], object] = lambda: None
        self._on_report: Callable[[Report], object] = unheard
        self._asked: list[Question] = []

    def __reduce__(self) -> tuple[Any, ...]:
        # To a provider's own process goes what the provider is told; whom it reports to is connected there.
        properties = None if self.properties is None else tuple(self.properties)
        context = replace(self.context, values=dict(self.context.values))
        return _remade, (self.cls, context, self.namespace, self.server, self.path, properties, self.flags)

    # -- what the provider is told

    @property
    def principal(self) -> Principal:
        """The account that calls. The provider runs as the server; what this account may do is its to check."""
        return self.context.principal

    @property
    def locales(self) -> tuple[str, ...]:
        """The caller's preferred locales (``MS_409``), best first."""
        return self.context.locales

    @property
    def data_locale(self) -> str | None:
        """The locale for numbers and dates: the context's, else the first preferred one (MS-WMI 3.1.4)."""
        return self._locale("__MI_DESTINATIONOPTIONS_DATA_LOCALE")

    @property
    def ui_locale(self) -> str | None:
        """The locale for texts that people read: the context's, else the first preferred one (MS-WMI 3.1.4)."""
        return self._locale("__MI_DESTINATIONOPTIONS_UI_LOCALE")

    @property
    def correlation_id(self) -> str:
        """What groups this call with others in logs; "" if the caller gave nothing."""
        return self.context.correlation_id

    @property
    def values(self) -> Mapping[str, TypedValue]:
        """The context's values as the caller sent them, with their types, by name as it was spelled."""
        return self.context.values

    def value(self, name: str, default: Any = None) -> Any:
        """The context's value `name`, whatever its spelling, as a Python value; `default` if there is none."""
        wanted = fold(name)
        for given, typed in self.context.values.items():
            if fold(given) == wanted:
                return typed.value
        return default

    def wants(self, name: str) -> bool:
        """Whether the caller looks at the property `name`: False allows to leave it out of a result."""
        return self.properties is None or fold(name) in self.properties

    @property
    def remaining(self) -> float | None:
        """Seconds until the call's deadline, never less than 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def new(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Instance:
        """An instance of the class asked for, with these values and where it lives."""
        return Instance(self.cls.shape, {**(values or {}), **more}, namespace=self.namespace, server=self.server)

    # -- cancelling

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this call any more: it was cancelled, or its deadline passed."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raises `OperationCancelled` if the call is cancelled: a line for a long loop."""
        if self._cancelled.is_set():
            raise OperationCancelled("the call was cancelled")

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Waits (in a thread, not in the loop) until the call is cancelled; False if `timeout` seconds passed first."""
        return self._cancelled.wait(timeout)

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Calls `callback` when the call is cancelled, at once if it is. It runs in the server's loop: be quick."""
        with self._lock:
            if not self._cancelled.is_set():
                self._on_cancel.append(callback)
                return
        callback()

    # -- what the provider says

    def progress(self, current: int, total: int, text: str | None = None) -> None:
        """Reports that `current` of `total` steps are done (0 to 65,535 each; larger numbers are scaled down).

        The caller hears of it only if it asked for status reports.
        """
        current, total = max(0, current), max(0, total)
        if (highest := max(current, total)) > _MOST_STEPS:
            current, total = current * _MOST_STEPS // highest, total * _MOST_STEPS // highest
        self._on_report(Progress(current, total, text))

    def message(self, text: str, channel: Channel = Channel.WARNING) -> None:
        """Tells the caller something in words, if the caller hears messages."""
        self._on_report(Message(text, channel))

    def prompt(self, text: str, *, critical: bool = False) -> Question:
        """Asks the caller whether to go on: ``call.prompt(...).wait()`` in a thread, ``await call.prompt(...)`` else.

        Without anybody to ask the answer is yes or, to what is `critical`, no. Waiting counts against the deadline.
        """
        return self._ask(Prompt(text, critical))

    def error(self, error: WbemError | str) -> Question:
        """Tells the caller what failed without being the end, and asks, as `prompt` does, whether to go on.

        After a no the provider raises what is to be the operation's error. Without anybody to ask it is a yes.
        """
        if isinstance(error, str):
            error = WbemError.of(WbemStatus.WBEM_E_FAILED, error)
        return self._ask(error)

    def _ask(self, about: Prompt | WbemError) -> Question:
        question = Question(about)
        with self._lock:
            self._asked = [earlier for earlier in self._asked if not earlier.is_answered]
            self._asked.append(question)
            gone = self._cancelled.is_set()
        if gone:
            question.answer(False)
        else:
            self._on_report(question)
        return question

    def set_status(
        self, status: int = 0, detail: str = "", *, result: Any = None, extended: Instance | None = None
    ) -> None:
        """Reports how the call ended. It wins over what the function returns or raises; only the first one counts.

        `status` is a WBEM code, `detail` a text for people, `result` what the function would have returned (for a
        call that gives something), `extended` an `__ExtendedStatus` of the provider's own. A failure ends the call
        at once. A success ends it at once if nothing but the status is wanted (put, delete) or a result comes
        with it, else when the function returns. A provider that goes on after returning returns `PENDING`, and must
        call this before the deadline.
        """
        with self._lock:
            if self._status is not None:
                return
            self._status = ProviderStatus(status & 0xFFFFFFFF, detail, result, extended)
        self._on_status()

    # -- the manager's side

    @property
    def reported(self) -> ProviderStatus | None:
        """What `set_status` was told, None so far."""
        return self._status

    def connect(self, on_status: Callable[[], object], on_report: Callable[[Report], object]) -> None:
        """Says who hears of status and reports. Called before the provider is; in whichever thread they happen."""
        self._on_status = on_status
        self._on_report = on_report

    def cancel(self) -> None:
        """Tells the provider that nobody waits any more."""
        with self._lock:
            if self._cancelled.is_set():
                return
            self._cancelled.set()
            callbacks, self._on_cancel = self._on_cancel, []
            asked, self._asked = self._asked, []
        for question in asked:
            question.answer(False)
        for callback in callbacks:
            callback()

    def _locale(self, name: str) -> str | None:
        given = self.value(name)
        if isinstance(given, str) and given:
            return given
        return self.locales[0] if self.locales else None


def _remade(
    cls: Class,
    context: CallContext,
    namespace: str,
    server: str | None,
    path: ObjectPath | None,
    properties: tuple[str, ...] | None,
    flags: int,
) -> ProviderCall:
    return ProviderCall(
        cls,
        context,
        namespace=namespace,
        server=server,
        path=path,
        properties=None if properties is None else frozenset(properties),
        flags=flags,
    )
