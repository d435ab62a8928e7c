"""Running a provider's functions here: threads or loop, deadline, cancelling, status callback, and what they give back.

A function in a thread that never returns keeps that thread of its provider, and nothing else. One in the loop that
blocks it is beyond help; that is why providers that block are to be `def`, or in a process of their own.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from openwmi.cim import INTEGER_RANGES, Class, Instance, Method, Property, fold
from openwmi.cim.notices import unheard
from openwmi.errors import NotFound, WbemError
from openwmi.providers.api import Keys, Provider
from openwmi.providers.call import PENDING, DynamicProperty, ProviderCall
from openwmi.providers.declared import class_of, is_declared, values_of
from openwmi.providers.registration import takes_queries
from openwmi.providers.runner import Batches, ClassBatches, Offer, OnReport, ProviderFailure, ProviderRunner, trace_of
from openwmi.providers.threads import WorkerThreads
from openwmi.status import WbemStatus, succeeded

__all__ = ["ThreadRunner"]

_log = logging.getLogger("openwmi.providers")

_MOST_AT_ONCE: Final = 256  # instances that a generator is asked for in one go
_GROWTH: Final = 8  # how many times as many as the last time it is asked for
_LONGEST_AT_ONCE: Final = 0.05  # seconds after which those that are there are handed on
_CLOSING_SECONDS: Final = 5.0
_END: Final = object()

T = TypeVar("T")


class ThreadRunner(ProviderRunner):
    """A loaded provider and its threads. `deadline` is the seconds that one call may take; None for no limit."""

    def __init__(
        self,
        provider: Provider,
        name: str,
        *,
        deadline: float | None,
        threads: WorkerThreads | None = None,
        offer: Offer | None = None,
    ) -> None:
        super().__init__(name, offer)
        self.provider = provider
        self.deadline = provider.deadline if provider.deadline is not None else deadline
        self._threads = threads or WorkerThreads(f"provider {name}", max(1, provider.threads))

    def implements(self, function: str) -> bool:
        """Whether the provider overrides `function`, and, of queries, has a level of support for them."""
        if function == "query_instances" and not takes_queries(self.provider.query_support_levels):
            return False
        return self.provider.supports(function)

    async def close(self) -> None:
        """Closes the provider, in a thread of its own: the provider's may hang."""
        self._threads.close()
        closer = WorkerThreads(f"close {self.name}", 1)
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await closer.run(self.provider.close)
        except Exception:
            _log.exception("the provider %s did not close", self.name)
        finally:
            closer.close()

    async def get(self, call: ProviderCall, keys: Keys, on_report: OnReport) -> Instance:
        """The instance with these keys; `NotFound` if the provider has none."""
        run = self._start("get_instance", call, on_report)
        found = await run.result(self.provider.get_instance, call, keys)
        if found is None:
            raise NotFound(f"{call.path or call.cls.name} does not exist")
        instance = _as_instance(found, call, self.name)
        for name, value in keys.items():
            if instance.get(name) is None:
                instance[name] = value
        return instance

    async def put(self, call: ProviderCall, instance: Instance, on_report: OnReport) -> None:
        """Has the provider create or change the instance."""
        run = self._start("put_instance", call, on_report)
        await run.result(self.provider.put_instance, call, instance, gives=False)

    async def delete(self, call: ProviderCall, keys: Keys, on_report: OnReport) -> None:
        """Has the provider delete the instance."""
        run = self._start("delete_instance", call, on_report)
        await run.result(self.provider.delete_instance, call, keys, gives=False)

    def enumerate(self, call: ProviderCall, on_report: OnReport) -> Batches:
        """The instances of `call.cls`, in batches, as fast as they are taken."""
        run = self._start("enumerate_instances", call, on_report)
        return self._stream(run, self._as_instance, self.provider.enumerate_instances, call)

    def query(self, call: ProviderCall, query: str, on_report: OnReport) -> Batches:
        """The instances that the provider has for a query."""
        run = self._start("query_instances", call, on_report)
        return self._stream(run, self._as_instance, self.provider.query_instances, call, query)

    async def invoke(
        self,
        call: ProviderCall,
        method: Method,
        keys: Keys,
        arguments: Mapping[str, Any],
        on_report: OnReport,
    ) -> Instance | None:
        """Calls a method; the instance of its out-parameters, None where it has none.

        `arguments` are all in-parameters by their declared names. Raises WBEM_E_METHOD_NOT_IMPLEMENTED.
        """
        function = self.provider.implementation(call.cls, method.name) if self.offers_methods else None
        if function is None:
            raise WbemError.of(
                WbemStatus.WBEM_E_METHOD_NOT_IMPLEMENTED,
                f"the provider {self.name} does not implement {call.cls.name}.{method.name}",
            )
        run = _Run(call, self._threads, self.deadline, self.name, on_report)
        named = _named_arguments(function, arguments, f"{call.cls.name}.{method.name}", self.name)
        result = await run.result(lambda: function(call, keys, **named), asynchronous=_is_async(function))
        return _as_out_parameters(result, method, call.cls, self.name)

    # -- properties

    async def get_property(self, call: ProviderCall, declared: Property, what: DynamicProperty) -> Any:
        """The value of one property, as one of the type that is declared."""
        run = self._start("get_property", call, unheard)
        value = await run.result(self.provider.get_property, call, what)
        try:
            return declared.conform(value)
        except WbemError as error:
            raise _nonsense(self.name, error.detail) from error

    async def put_property(self, call: ProviderCall, declared: Property, what: DynamicProperty, value: Any) -> None:
        """Has the provider change the value."""
        run = self._start("put_property", call, unheard)
        await run.result(self.provider.put_property, call, what, value, gives=False)

    # -- classes

    async def get_class(self, call: ProviderCall, name: str) -> Class | None:
        """The class of that name as the provider declares it, not resolved; None if it has none."""
        run = self._start("get_class", call, unheard)
        found = await run.result(self.provider.get_class, call, name)
        if found is None:
            return None
        cls = self._as_class(found, call)
        if fold(cls.name) != fold(name):
            raise _nonsense(self.name, f"the class {name} was asked for, and {cls.name} came")
        return cls

    def enumerate_classes(self, call: ProviderCall, superclass: str | None) -> ClassBatches:
        """The classes below `superclass`, at any depth; all for None. There may be others among them."""
        run = self._start("enumerate_classes", call, unheard)
        return self._stream(run, self._as_class, self.provider.enumerate_classes, call, superclass)

    async def put_class(self, call: ProviderCall, cls: Class) -> None:
        """Has the provider create or change the class."""
        run = self._start("put_class", call, unheard)
        await run.result(self.provider.put_class, call, cls, gives=False)

    async def delete_class(self, call: ProviderCall, name: str) -> None:
        """Has the provider delete the class."""
        run = self._start("delete_class", call, unheard)
        await run.result(self.provider.delete_class, call, name, gives=False)

    async def is_class_supported(self, call: ProviderCall, name: str) -> bool:
        """What the provider says or, where it says nothing, whether it has the class."""
        if not self.supports("is_class_supported"):
            return self.supports("get_class") and await self.get_class(call, name) is not None
        run = self._start("is_class_supported", call, unheard)
        said = await run.result(self.provider.is_class_supported, call, name)
        if not isinstance(said, bool):
            raise _nonsense(self.name, f"whether it supports {name} was asked, and {_shown(said)} came")
        return said

    # -- what all of them are made of

    def _start(self, function: str, call: ProviderCall, on_report: OnReport) -> _Run:
        self.need(function)
        return _Run(call, self._threads, self.deadline, self.name, on_report)

    async def _stream(
        self, run: _Run, convert: Callable[[Any, ProviderCall], T], function: Callable[..., Any], *arguments: Any
    ) -> AsyncGenerator[list[T], None]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            source = function(*arguments)  # which runs nothing of it yet
        else:
            source = await run.result(function, *arguments)
        if hasattr(source, "__aiter__"):
            batches = _pull_async(run, source.__aiter__())
        elif hasattr(source, "__iter__") and not isinstance(source, str | bytes | Mapping | Instance):
            batches = _pull(run, iter(source))
        else:
            raise _nonsense(self.name, f"an enumeration of {run.call.cls.name} gave {_shown(source)}")
        try:
            async for batch in batches:
                yield [convert(item, run.call) for item in batch]
        finally:
            await batches.aclose()
            run.call.cancel()

    def _as_instance(self, found: Any, call: ProviderCall) -> Instance:
        return _as_instance(found, call, self.name)

    def _as_class(self, found: Any, call: ProviderCall) -> Class:
        if isinstance(found, Class):
            return found
        if isinstance(found, type) and is_declared(found):
            return class_of(found)
        raise _nonsense(self.name, f"a class was wanted, and {_shown(found)} came")


class _Run:
    """One call: waits for the function, the status callback, the deadline or a cancel, whichever is first."""

    def __init__(
        self,
        call: ProviderCall,
        threads: WorkerThreads,
        limit: float | None,
        name: str,
        on_report: OnReport,
    ) -> None:
        self.call = call
        self.threads = threads
        self.name = name
        self._left = limit
        self._loop = asyncio.get_running_loop()
        self._reported = asyncio.Event()
        call.connect(lambda: self._in_loop(self._reported.set), lambda said: self._in_loop(on_report, said))

    def _in_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            _log.debug("the provider %s reports after the server has stopped", self.name)

    async def result(
        self, function: Callable[..., Any], *arguments: Any, gives: bool = True, asynchronous: bool | None = None
    ) -> Any:
        """What `function` returns, or what `set_status` says it does. `gives` says that a result is wanted."""
        is_async = _is_async(function) if asynchronous is None else asynchronous
        value = await self.step(function, *arguments, is_async=is_async, gives=gives)
        if value is PENDING:
            await self._await(self._loop.create_task(self._reported.wait()))
        reported = self.call.reported
        if reported is None:
            return value
        self._raise_if_failed()
        if reported.result is not None:
            return reported.result
        return None if value is PENDING else value

    async def step(
        self, function: Callable[..., Any], *arguments: Any, is_async: bool = False, gives: bool = True
    ) -> Any:
        """Runs one piece of the provider's code to its end. Only its time counts against the deadline."""
        if is_async:
            value = function(*arguments)
        else:
            value = await self._await(self.threads.run(function, *arguments), gives=gives)
        if inspect.isawaitable(value):
            value = await self._await(self._loop.create_task(_guarded(value)), gives=gives)
        return value

    async def _await(self, work: asyncio.Future[Any], *, gives: bool = True) -> Any:
        began = time.monotonic()
        self.call.deadline = None if self._left is None else began + self._left
        reported = self._loop.create_task(self._reported.wait())
        try:
            while True:
                waiting = {work, reported} if not reported.done() else {work}
                done, _ = await asyncio.wait(waiting, timeout=self.call.remaining, return_when=asyncio.FIRST_COMPLETED)
                if self._reported.is_set() and self._decided(gives):
                    self._raise_if_failed()
                    return None
                if work in done:
                    return self._outcome(work)
                if not done:
                    raise WbemError.of(
                        WbemStatus.WBEM_E_PROVIDER_TIMED_OUT,
                        f"the provider {self.name} did not answer within its deadline",
                    )
        finally:
            if not work.done() or work.cancelled():
                # Nobody waits for it any more. What it raises from here on is not news.
                self.call.cancel()
                work.cancel()
                work.add_done_callback(_ignore)
            reported.cancel()
            if self._left is not None:
                self._left = max(0.0, self._left - (time.monotonic() - began))

    def _decided(self, gives: bool) -> bool:
        """Whether the status that was reported ends the call before the function does."""
        reported = self.call.reported
        return reported is not None and (not succeeded(reported.status) or not gives or reported.result is not None)

    def _raise_if_failed(self) -> None:
        reported = self.call.reported
        if reported is not None and not succeeded(reported.status):
            raise WbemError.of(reported.status, reported.detail, extended=reported.extended)

    def _outcome(self, work: asyncio.Future[Any]) -> Any:
        if work.cancelled():
            raise _failure(self.name, "the provider cancelled its own work")
        error = work.exception()
        if error is None:
            return work.result()
        if self.call.reported is not None:
            _log.debug("the provider %s reported a status and then raised %r", self.name, error)
            self._raise_if_failed()
            return None
        if isinstance(error, WbemError):
            raise error
        _log.error("the provider %s failed on %s", self.name, self.call.path or self.call.cls.name, exc_info=error)
        status = WbemStatus.WBEM_E_PROVIDER_FAILURE
        if isinstance(error, MemoryError):
            status = WbemStatus.WBEM_E_OUT_OF_MEMORY
        raise _failure(self.name, f"{type(error).__name__}: {error}", trace_of(error), status) from error


async def _guarded(awaitable: Any) -> Any:
    try:
        return await awaitable
    except SystemExit as error:
        raise RuntimeError("SystemExit was raised") from error  # it would end the server's loop


def _ignore(work: asyncio.Future[Any]) -> None:
    if not work.cancelled():
        work.exception()


async def _pull(run: _Run, items: Iterator[Any]) -> AsyncGenerator[list[Any], None]:
    """The items of an iterator, in batches that grow while they come fast. No thread is held between two batches."""
    size, ended = 1, False
    try:
        while not ended:
            taken = await run.step(_some, items, size)
            if taken is None:  # its status says that it is over
                break
            batch, ended = taken
            if batch:
                yield batch
            size = min(_GROWTH * size, _MOST_AT_ONCE)
        run._raise_if_failed()
    finally:
        close = getattr(items, "close", None)
        if close is not None and not ended and not run.threads.closed:
            run.threads.run(close).add_done_callback(_ignore)


def _some(items: Iterator[Any], size: int) -> tuple[list[Any], bool]:
    """At most `size` items, and whether there are no more: to ask for that alone would be one more way to a thread."""
    batch: list[Any] = []
    until = time.monotonic() + _LONGEST_AT_ONCE
    for item in items:
        batch.append(item)
        if len(batch) >= size or time.monotonic() >= until:
            return batch, False
    return batch, True


async def _pull_async(run: _Run, items: AsyncIterator[Any]) -> AsyncGenerator[list[Any], None]:
    try:
        while (item := await run.step(anext, items, _END, is_async=True)) is not _END:
            yield [item]
        run._raise_if_failed()
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            task = asyncio.get_running_loop().create_task(_guarded(close()))
            task.add_done_callback(_ignore)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def _as_instance(found: Any, call: ProviderCall, name: str) -> Instance:
    """What the provider gave as an instance of the class that it was asked for."""
    cls = call.cls
    try:
        if isinstance(found, Instance):
            if fold(found.class_name) != fold(cls.name):
                raise _nonsense(name, f"{cls.name} was asked for, and an instance of {found.class_name} came")
            instance = found if found.shape is cls.shape else found.copy(cls.shape)
            instance.namespace, instance.server = call.namespace, call.server
            return instance
        if not isinstance(found, type) and is_declared(type(found)):
            found = values_of(found, cls)
        if isinstance(found, Mapping):
            return Instance(cls.shape, found, namespace=call.namespace, server=call.server)
    except ProviderFailure:
        raise
    except WbemError as error:
        raise _nonsense(name, error.detail) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise _nonsense(name, f"an instance of {cls.name} that is none: {error}") from error
    raise _nonsense(name, f"an instance of {cls.name} was wanted, and {_shown(found)} came")


def _named_arguments(
    function: Callable[..., Any], arguments: Mapping[str, Any], what: str, provider: str
) -> dict[str, Any]:
    """The in-parameters by the names that the Python function has for them."""
    parameters = list(inspect.signature(function).parameters.values())[2:]  # behind call and keys
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    known = {_loose(p.name): p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}
    named: dict[str, Any] = {}
    for name, value in arguments.items():
        parameter = known.get(_loose(name))
        if parameter is None:
            if takes_any:
                named[name] = value
            elif value is not None:
                raise _nonsense(provider, f"its {what} takes no {name}")
        elif value is not None or parameter.default is inspect.Parameter.empty:
            named[parameter.name] = value
    return named


def _loose(name: str) -> str:
    return fold(name).replace("_", "")


def _as_out_parameters(result: Any, method: Method, cls: Class, provider: str) -> Instance | None:
    out = method.out_class
    if out is None:
        return None
    if not isinstance(result, type) and is_declared(type(result)):
        result = values_of(result, out)
    values = dict(result) if isinstance(result, Mapping) else {} if result is None else {"ReturnValue": result}
    returns = method.returns
    if returns is not None and all(fold(str(name)) != "returnvalue" for name in values):
        values[returns.name] = 0 if returns.type in INTEGER_RANGES and not returns.is_array else None
    try:
        return Instance(out.shape, values)
    except (WbemError, AttributeError) as error:
        raise _nonsense(provider, f"the result of {cls.name}.{method.name} does not fit: {error}") from error


def _failure(
    provider: str, what: str, trace: str = "", status: int = WbemStatus.WBEM_E_PROVIDER_FAILURE
) -> ProviderFailure:
    return ProviderFailure(f"the provider {provider} failed: {what}", trace, status)


def _nonsense(provider: str, what: str) -> WbemError:
    error = _failure(provider, what)
    _log.error("%s", error.detail)
    return error


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
