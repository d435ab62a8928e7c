"""A provider in a process of its own: what it eats, breaks or never ends harms nobody but itself.

The process (`hosting`) is started when the provider is loaded and again after it has ended, whatever ended it. Its
memory is limited, its messages are bounded, and a call that overruns its deadline costs it its life: the process takes
no more calls from then on (the next one gets a fresh process) and is killed as soon as nobody else waits for it, which
is at the other calls' deadlines at the latest. When the server goes, however it goes, its provider processes go too.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import pickle
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from openwmi.cim import Class, Instance, Method, Property, fold
from openwmi.cim.notices import Question, unheard
from openwmi.errors import ConfigurationError, ProtocolError, WbemError
from openwmi.providers.call import DynamicProperty, ProviderCall
from openwmi.providers.messages import LENGTHS, frame, lengths, object_from, parse_frame, report_from, value_from
from openwmi.providers.runner import Batches, ClassBatches, Offer, OnReport, ProviderFailure, ProviderRunner
from openwmi.status import WbemStatus
from openwmi.wmio import ClassPartCache

__all__ = ["IsolatedRunner", "Isolation", "reference_to"]

_log = logging.getLogger("openwmi.providers")

_CLOSING_SECONDS: Final = 5.0
_ENDING_SECONDS: Final = 1.0

T = TypeVar("T")
O = TypeVar("O", Class, Instance)  # noqa: E741

_Answer = tuple[dict[str, Any], list[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How a provider's process is kept: `memory` bytes of address space at most (None: no limit; there is none on
    Windows), and messages of at most `message` bytes.
    """

    memory: int | None = 1024 * 1024 * 1024
    message: int = 16 * 1024 * 1024


def reference_to(factory: Callable[..., Any]) -> str:
    """The factory as ``module:name``, by which another process finds it; `ConfigurationError` if none would."""
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", None)
    if isinstance(module, str) and isinstance(name, str) and module != "__main__":
        with contextlib.suppress(ImportError, AttributeError):
            if resolve(f"{module}:{name}") is factory:
                return f"{module}:{name}"
    raise ConfigurationError(
        f"the provider {getattr(factory, 'name', '') or factory!r} cannot have a process of its own:"
        " it has to be a class or function at the top of a module that can be imported"
    )


def resolve(reference: str) -> Any:
    """What `reference_to` refers to."""
    module, _, name = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


class _Process:
    """One process, with the calls that wait for it. `usable` until it has ended, or is retired."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, isolation: Isolation) -> None:
        self.implements: frozenset[str] = frozenset()
        self.deadline: float | None = None
        self.usable = True
        self.cache = ClassPartCache()
        self._process = process
        self._name = name
        self._isolation = isolation
        self._talks: dict[int, _Talk] = {}
        self._last = 0
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def start(cls, reference: str, name: str, isolation: Isolation) -> _Process:
        """Starts the process and has it load the provider. Raises `ProviderFailure`."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MALLOC_ARENA_MAX": "2"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "openwmi.providers.hosting"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C in a terminal is for the server
        )
        made = cls(process, name, isolation)
        loading = {"op": "load", "provider": reference, "name": name, "memory": isolation.memory}
        try:
            async with made.talk({**loading, "message": isolation.message}, b"", None, unheard) as talk:
                ready, _ = await talk.next()
        except BaseException:
            await made.end()
            raise
        made.implements = frozenset(map(str, ready.get("implements", ())))
        deadline = ready.get("deadline")
        made.deadline = deadline if isinstance(deadline, int | float) else None
        return made

    @contextlib.asynccontextmanager
    async def talk(
        self, header: dict[str, Any], blob: bytes, deadline: float | None, on_report: OnReport
    ) -> AsyncIterator[_Talk]:
        """One call. Leaving it before its end cancels it."""
        self._last += 1
        talk = _Talk(self, self._last, deadline, on_report)
        self._talks[talk.number] = talk
        try:
            await talk.say(header, blob)
            yield talk
        finally:
            self._talks.pop(talk.number, None)
            if not talk.ended and self.usable:
                self.write({"op": "cancel", "id": talk.number})
            if not self.usable and not self._talks:
                self.kill()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._reading.done()

    def write(self, header: dict[str, Any], *blobs: bytes) -> None:
        """Sends a frame, some time."""
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(frame(header, blobs))

    async def drain(self) -> None:
        """Waits until the process takes what it is sent. That it has ended is `_read`'s to tell."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            await self._process.stdin.drain()

    def retire(self) -> None:
        """Gives the process no more calls, and kills it when the last one is through."""
        self.usable = False

    def kill(self) -> None:
        """Ends the process."""
        self.usable = False
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """Has the provider close itself; who does not in time is killed."""
        if self.usable:
            self.usable = False
            self.write({"op": "close"})
            await asyncio.wait({self._reading}, timeout=_CLOSING_SECONDS)
        await self.end()

    async def end(self) -> None:
        """Kills the process, if it still runs, and waits for its end."""
        self.kill()
        await asyncio.wait({self._reading})

    async def _read(self) -> None:
        """What the process says, until it ends, or says what makes no sense."""
        assert self._process.stdout is not None
        reason = ""
        try:
            while True:
                start = await self._process.stdout.readexactly(LENGTHS.size)
                data = await self._process.stdout.readexactly(lengths(start, self._isolation.message))
                self._dispatch(*parse_frame(start, data))
        except (asyncio.IncompleteReadError, ConnectionError):
            # It has ended or is about to; to kill it now would only hide how it did.
            self.usable = False
            await asyncio.wait({asyncio.ensure_future(self._process.wait())}, timeout=_ENDING_SECONDS)
        except ProtocolError as error:
            reason = f" after {error}"
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        code = await self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        for talk in tuple(self._talks.values()):
            talk.fail(ProviderFailure(f"the provider {self._name} failed: its process ended ({how}){reason}"))

    def _dispatch(self, header: dict[str, Any], blobs: list[bytes]) -> None:
        number = header.get("id")
        if not isinstance(number, int):
            raise ProtocolError(f"a message for the call {number!r}")
        talk = self._talks.get(number)
        if talk is not None:  # else it was cancelled
            talk.hear(header, blobs)


class _Talk:
    """One call's messages. Only the time that the process takes counts against the deadline."""

    def __init__(self, process: _Process, number: int, deadline: float | None, on_report: OnReport) -> None:
        self.process = process
        self.number = number
        self.ended = False
        self._left = deadline
        self._on_report = on_report
        self._heard: asyncio.Queue[_Answer | ProviderFailure] = asyncio.Queue(2)

    async def say(self, header: dict[str, Any], blob: bytes = b"") -> None:
        """Sends something about this call."""
        self.process.write({**header, "id": self.number}, *([blob] if blob else []))

    async def next(self) -> _Answer:
        """The next answer. Raises what the provider raised, and WBEM_E_PROVIDER_TIMED_OUT."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left):
                await self.process.drain()
                heard = await self._heard.get()
        except TimeoutError:
            self.process.retire()
            raise WbemError.of(
                WbemStatus.WBEM_E_PROVIDER_TIMED_OUT, "the provider did not answer within its deadline"
            ) from None
        if self._left is not None:
            self._left = max(0.0, self._left - (time.monotonic() - began))
        if isinstance(heard, ProviderFailure):
            self.ended = True
            raise heard
        header, blobs = heard
        self.ended = header.get("kind") != "batch"
        if header.get("kind") == "failed":
            raise self._failure(header, blobs)
        return heard

    def hear(self, header: dict[str, Any], blobs: list[bytes]) -> None:
        """Takes a message of the process; `ProtocolError` for one too many."""
        said = report_from(header)
        if said is not None:
            if isinstance(said, Question):
                reply = {"op": "answer", "id": self.number, "question": header.get("question")}
                said.on_answer(lambda yes: self.process.write({**reply, "yes": yes}))
            self._on_report(said)
            return
        try:
            self._heard.put_nowait((header, blobs))
        except asyncio.QueueFull:
            raise ProtocolError("more answers than were asked for") from None

    def fail(self, failure: ProviderFailure) -> None:
        """Ends the call: there will be no answer."""
        while self._heard.full():
            self._heard.get_nowait()
        self._heard.put_nowait(failure)

    def _failure(self, header: dict[str, Any], blobs: list[bytes]) -> WbemError:
        status, detail, trace = (header.get(name) for name in ("status", "detail", "trace"))
        if not (isinstance(status, int) and isinstance(detail, str) and isinstance(trace, str | None)):
            return ProviderFailure("a provider's process failed in a way that makes no sense")
        if trace is not None:
            return ProviderFailure(detail, trace, status)
        extended = object_from(blobs[0], self.process.cache) if blobs else None
        return WbemError.of(status, detail, extended=extended if isinstance(extended, Instance) else None)


class IsolatedRunner(ProviderRunner):
    """A provider in a process of its own. Get one from `start`."""

    def __init__(
        self, reference: str, name: str, deadline: float | None, isolation: Isolation, offer: Offer | None
    ) -> None:
        super().__init__(name, offer)
        self._reference = reference
        self._default_deadline = deadline
        self._isolation = isolation
        self._starting = asyncio.Lock()
        self._processes: list[_Process] = []  # the last one is the current one; the others are retired

    @classmethod
    async def start(
        cls, reference: str, name: str, *, deadline: float | None, isolation: Isolation, offer: Offer | None = None
    ) -> IsolatedRunner:
        """Loads the provider that `reference` makes. Raises `ProviderFailure`."""
        made = cls(reference, name, deadline, isolation, offer)
        await made._process()
        return made

    async def _process(self) -> _Process:
        async with self._starting:
            self._processes = [p for p in self._processes if p.usable or not p.has_ended]
            if not self._processes or not self._processes[-1].usable:
                try:
                    async with asyncio.timeout(self._default_deadline):
                        started = await _Process.start(self._reference, self.name, self._isolation)
                except TimeoutError:
                    raise ProviderFailure(
                        f"the provider {self.name} did not load within its deadline",
                        status=WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE,
                    ) from None
                self._processes.append(started)
            return self._processes[-1]

    def implements(self, function: str) -> bool:
        """Whether the provider overrides `function`."""
        return bool(self._processes) and function in self._processes[-1].implements

    async def close(self) -> None:
        """Has the provider close itself, and ends its process."""
        for process in self._processes:
            await process.close()
        self._processes.clear()

    # -- calls

    @contextlib.asynccontextmanager
    async def _talk(
        self, what: str, call: ProviderCall, *arguments: Any, on_report: OnReport = unheard
    ) -> AsyncIterator[_Talk]:
        process = await self._process()
        deadline = self._default_deadline if process.deadline is None else process.deadline
        blob = pickle.dumps((call, arguments))
        try:
            async with process.talk({"op": "call", "call": what}, blob, deadline, on_report) as talk:
                yield talk
        except ProtocolError as error:
            process.kill()
            raise self._failed(call, ProviderFailure(f"the provider {self.name} failed: {error}")) from error
        except ProviderFailure as failure:
            raise self._failed(call, failure) from None

    def _failed(self, call: ProviderCall, failure: ProviderFailure) -> ProviderFailure:
        about = call.path or call.cls.name
        _log.error("the provider %s failed on %s: %s\n%s", self.name, about, failure.detail, failure.trace)
        return failure

    async def _ask(
        self, what: str, call: ProviderCall, *arguments: Any, on_report: OnReport = unheard
    ) -> tuple[_Process, _Answer]:
        async with self._talk(what, call, *arguments, on_report=on_report) as talk:
            return talk.process, await talk.next()

    async def _object(
        self, kind: type[O], what: str, call: ProviderCall, *arguments: Any, on_report: OnReport = unheard
    ) -> O | None:
        async with self._talk(what, call, *arguments, on_report=on_report) as talk:
            _, blobs = await talk.next()
            return _read_as(kind, blobs[0], talk.process.cache) if blobs else None

    async def _stream(
        self, kind: type[O], what: str, call: ProviderCall, *arguments: Any, on_report: OnReport = unheard
    ) -> AsyncGenerator[list[O], None]:
        async with self._talk(what, call, *arguments, on_report=on_report) as talk:
            while True:
                await talk.say({"op": "more"})
                header, blobs = await talk.next()
                if header.get("kind") != "batch":
                    return
                yield [_read_as(kind, blob, talk.process.cache) for blob in blobs]

    def _located(self, found: Instance, call: ProviderCall) -> Instance:
        """The instance in the shape of the class that was asked for."""
        if fold(found.class_name) != fold(call.cls.name):
            raise ProtocolError(f"{call.cls.name} was asked for, and an instance of {found.class_name} came")
        made = found.copy(call.cls.shape)
        made.namespace, made.server = call.namespace, call.server
        return made

    async def get(self, call: ProviderCall, keys: Mapping[str, Any], on_report: OnReport) -> Instance:
        """The instance with these keys; `NotFound` if the provider has none."""
        self.need("get_instance")
        async with self._talk("get", call, dict(keys), on_report=on_report) as talk:
            _, blobs = await talk.next()
            if not blobs:
                raise ProtocolError("an answer without the instance")
            return self._located(_read_as(Instance, blobs[0], talk.process.cache), call)

    async def put(self, call: ProviderCall, instance: Instance, on_report: OnReport) -> None:
        """Has the provider create or change the instance."""
        self.need("put_instance")
        await self._ask("put", call, instance, on_report=on_report)

    async def delete(self, call: ProviderCall, keys: Mapping[str, Any], on_report: OnReport) -> None:
        """Has the provider delete the instance."""
        self.need("delete_instance")
        await self._ask("delete", call, dict(keys), on_report=on_report)

    def enumerate(self, call: ProviderCall, on_report: OnReport) -> Batches:
        """The instances of `call.cls`, in batches, as fast as they are taken."""
        self.need("enumerate_instances")
        return self._instances("enumerate", call, on_report=on_report)

    def query(self, call: ProviderCall, query: str, on_report: OnReport) -> Batches:
        """The instances that the provider has for a query."""
        self.need("query_instances")
        return self._instances("query", call, query, on_report=on_report)

    async def _instances(self, what: str, call: ProviderCall, *arguments: Any, on_report: OnReport) -> Batches:
        async with contextlib.aclosing(self._stream(Instance, what, call, *arguments, on_report=on_report)) as batches:
            async for batch in batches:
                yield [self._located(found, call) for found in batch]

    async def invoke(
        self,
        call: ProviderCall,
        method: Method,
        keys: Mapping[str, Any],
        arguments: Mapping[str, Any],
        on_report: OnReport,
    ) -> Instance | None:
        """Calls a method; the instance of its out-parameters, None where it has none."""
        given = (method, dict(keys), dict(arguments), self.offers_methods)
        found = await self._object(Instance, "invoke", call, *given, on_report=on_report)
        return None if found is None or method.out_class is None else found.copy(method.out_class.shape)

    async def get_property(self, call: ProviderCall, declared: Property, what: DynamicProperty) -> Any:
        """The value of one property, as one of the type that is declared."""
        self.need("get_property")
        async with self._talk("get_property", call, declared, what) as talk:
            _, blobs = await talk.next()
            return value_from(blobs[0], declared, talk.process.cache) if blobs else None

    async def put_property(self, call: ProviderCall, declared: Property, what: DynamicProperty, value: Any) -> None:
        """Has the provider change the value."""
        self.need("put_property")
        await self._ask("put_property", call, declared, what, value)

    async def get_class(self, call: ProviderCall, name: str) -> Class | None:
        """The class of that name as the provider declares it, not resolved; None if it has none."""
        self.need("get_class")
        return await self._object(Class, "get_class", call, name)

    def enumerate_classes(self, call: ProviderCall, superclass: str | None) -> ClassBatches:
        """The classes below `superclass`, at any depth; all for None. There may be others among them."""
        self.need("enumerate_classes")
        return self._stream(Class, "enumerate_classes", call, superclass)

    async def put_class(self, call: ProviderCall, cls: Class) -> None:
        """Has the provider create or change the class."""
        self.need("put_class")
        await self._ask("put_class", call, cls)

    async def delete_class(self, call: ProviderCall, name: str) -> None:
        """Has the provider delete the class."""
        self.need("delete_class")
        await self._ask("delete_class", call, name)

    async def is_class_supported(self, call: ProviderCall, name: str) -> bool:
        """What the provider says or, where it says nothing, whether it has the class."""
        _, (header, _) = await self._ask("is_class_supported", call, name)
        return header.get("value") is True


def _read_as(kind: type[O], data: bytes, cache: ClassPartCache) -> O:
    found = object_from(data, cache)
    if not isinstance(found, kind):
        raise ProtocolError(f"a {kind.__name__.lower()} was asked for, and something else came")
    return found
