"""The process that `isolated` starts: one provider, run by the same `ThreadRunner` as in the server.

``python -m openwmi.providers.hosting`` reads frames (`messages`) from its standard input and writes them to what was
its standard output; what the provider prints goes to standard error. The end of the input is the end of the process.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pickle
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

from openwmi.cim import Class, Instance
from openwmi.cim.notices import Question
from openwmi.cim.operation import Report
from openwmi.errors import WbemError
from openwmi.providers.api import Provider
from openwmi.providers.isolated import resolve
from openwmi.providers.messages import LENGTHS, frame, lengths, object_to, parse_frame, report_to, value_to
from openwmi.providers.runner import ProviderFailure, trace_of
from openwmi.providers.running import ThreadRunner
from openwmi.status import WbemStatus

__all__ = ["main"]

_UNLIMITED: Final = 2**33  # the lengths of a frame allow no more; the server is trusted

_FUNCTIONS: Final = (
    "get_instance", "enumerate_instances", "query_instances", "put_instance", "delete_instance",
    "get_property", "put_property",
    "get_class", "enumerate_classes", "put_class", "delete_class", "is_class_supported",
)  # fmt: skip


async def _invoke(r: ThreadRunner, call: Any, method: Any, keys: Any, given: Any, offered: bool, heard: Any) -> Any:
    if not offered:
        raise WbemError.of(WbemStatus.WBEM_E_METHOD_NOT_IMPLEMENTED, f"{method.name} is not offered")
    return await r.invoke(call, method, keys, given, heard)


async def _property(r: ThreadRunner, call: Any, declared: Any, what: Any, heard: Any) -> bytes:
    return value_to(await r.get_property(call, declared, what), declared)


_CALLS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "get": lambda r, call, keys, heard: r.get(call, keys, heard),
    "put": lambda r, call, instance, heard: r.put(call, instance, heard),
    "delete": lambda r, call, keys, heard: r.delete(call, keys, heard),
    "invoke": _invoke,
    "get_property": _property,
    "put_property": lambda r, call, declared, what, value, heard: r.put_property(call, declared, what, value),
    "get_class": lambda r, call, name, heard: r.get_class(call, name),
    "put_class": lambda r, call, cls, heard: r.put_class(call, cls),
    "delete_class": lambda r, call, name, heard: r.delete_class(call, name),
    "is_class_supported": lambda r, call, name, heard: r.is_class_supported(call, name),
}
_STREAMS: Final[Mapping[str, Callable[..., AsyncGenerator[list[Any], None]]]] = {
    "enumerate": lambda r, call, heard: r.enumerate(call, heard),
    "query": lambda r, call, query, heard: r.query(call, query, heard),
    "enumerate_classes": lambda r, call, superclass, heard: r.enumerate_classes(call, superclass),
}


class _Host:
    """The provider, the calls that run, and the way back to the server."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source = source
        self._target = target
        self._writing = threading.Lock()
        self._limit = _UNLIMITED
        self._loop = asyncio.get_running_loop()
        self._runner: ThreadRunner | None = None
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._wanted: dict[int, asyncio.Semaphore] = {}
        self._questions: dict[int, Question] = {}
        self._numbers = itertools.count()
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Serves until the server says that it is enough."""
        threading.Thread(target=self._read, daemon=True).start()
        await self._closed.wait()
        if self._runner is not None:
            await self._runner.close()

    def _read(self) -> None:
        while start := self._source.read(LENGTHS.size):
            data = self._source.read(lengths(start, _UNLIMITED))
            self._loop.call_soon_threadsafe(self._heard, *parse_frame(start, data))
        os._exit(1)  # the server is gone, and nobody is left to wait for what still runs

    def _heard(self, header: dict[str, Any], blobs: list[bytes]) -> None:
        number, op = header.get("id", 0), header["op"]
        if op == "close":
            self._closed.set()
        elif op == "more" and number in self._wanted:
            self._wanted[number].release()
        elif op == "answer" and header["question"] in self._questions:
            self._questions[header["question"]].answer(header["yes"])
        elif op == "cancel" and number in self._calls:
            self._calls[number].cancel()
        elif op in ("load", "call"):
            self._wanted[number] = asyncio.Semaphore(0)
            work = self._load(header) if op == "load" else self._call(number, header["call"], blobs[0])
            self._calls[number] = self._loop.create_task(self._answer(number, work))

    async def _answer(self, number: int, work: Awaitable[dict[str, Any] | tuple[dict[str, Any], list[bytes]]]) -> None:
        try:
            answer = await work
            header, blobs = answer if isinstance(answer, tuple) else (answer, [])
            self._send({"id": number, "kind": "result", **header}, *blobs)
        except WbemError as error:
            trace = error.trace if isinstance(error, ProviderFailure) else None
            extended = [] if error.extended is None else [object_to(error.extended)]
            said = {"status": error.status, "detail": error.detail, "trace": trace}
            self._send({"id": number, "kind": "failed", **said}, *extended)
        except Exception as error:
            out = isinstance(error, MemoryError)
            status = WbemStatus.WBEM_E_OUT_OF_MEMORY if out else WbemStatus.WBEM_E_PROVIDER_FAILURE
            said = {"status": int(status), "detail": f"{type(error).__name__}: {error}", "trace": trace_of(error)}
            self._send({"id": number, "kind": "failed", **said})
        finally:
            self._calls.pop(number, None)
            self._wanted.pop(number, None)

    def _send(self, header: dict[str, Any], *blobs: bytes) -> None:
        data = frame(header, blobs)
        if len(data) - LENGTHS.size > self._limit:
            raise ProviderFailure(f"its answer of {len(data):,} bytes is more than a message may have")
        with self._writing:
            self._target.write(data)
            self._target.flush()

    async def _load(self, header: dict[str, Any]) -> dict[str, Any]:
        _limit_memory(header["memory"])
        self._limit = header["message"]
        provider = resolve(header["provider"])()
        if not isinstance(provider, Provider):
            raise TypeError(f"its factory made a {type(provider).__name__}")
        await asyncio.to_thread(provider.load)
        self._runner = ThreadRunner(provider, header["name"], deadline=None)
        # The server keeps the time, and has more than one way to end a call.
        self._runner.deadline = None
        implemented = [function for function in _FUNCTIONS if self._runner.implements(function)]
        return {"implements": implemented, "deadline": provider.deadline}

    async def _call(self, number: int, what: str, blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
        call, arguments = pickle.loads(blob)  # noqa: S301  the server that started this process wrote it
        stream = _STREAMS.get(what)

        def heard(said: Report) -> None:
            header = {"id": number, **report_to(said)}
            if isinstance(said, Question):
                header["question"] = key = next(self._numbers)
                self._questions[key] = said
                said.on_answer(lambda _: self._questions.pop(key, None))
            self._send(header)

        if stream is not None:
            await self._stream(number, stream(self._runner, call, *arguments, heard))
            return {"kind": "end"}, []
        found = await _CALLS[what](self._runner, call, *arguments, heard)
        if isinstance(found, bool):
            return {"value": found}, []
        if isinstance(found, bytes):
            return {}, [found]
        return {}, [] if found is None else [object_to(found)]

    async def _stream(self, number: int, batches: AsyncGenerator[list[Class | Instance], None]) -> None:
        """Gives a batch each time that the server asks for one."""
        wanted = self._wanted[number]
        try:
            await wanted.acquire()
            async for batch in batches:
                for part in _parts(map(object_to, batch), self._limit // 2):
                    self._send({"id": number, "kind": "batch"}, *part)
                    await wanted.acquire()
        finally:
            await batches.aclose()


def _parts(blobs: Iterable[bytes], limit: int) -> Iterator[list[bytes]]:
    """The blobs in parts of about `limit` bytes, none of them empty."""
    part: list[bytes] = []
    size = 0
    for blob in blobs:
        if part and size + len(blob) > limit:
            yield part
            part, size = [], 0
        part.append(blob)
        size += len(blob)
    if part:
        yield part


def _limit_memory(limit: int | None) -> None:
    if limit is None:
        return
    try:
        import resource
    except ImportError:  # not on this system, which has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Runs the process."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    # The server logs what fails here, as it comes back.
    log = logging.getLogger("openwmi.providers")
    log.propagate = False
    log.addHandler(logging.NullHandler())

    async def serve() -> None:
        await _Host(source, target).run()

    asyncio.run(serve())
    os._exit(0)  # a thread of the provider's may hang


if __name__ == "__main__":
    main()
