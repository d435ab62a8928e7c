"""The synchronous API with the asynchronous one's face: so one suite of operations shows both."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from openwmi.client.sync import Facade

__all__ = ["Awaited"]

_END: Final = object()
_AT_ONCE: Final = frozenset({"cancel"})  # what is no coroutine function in the asynchronous API either


class Awaited:
    """Something synchronous, each of whose blocking calls is made in a thread and awaited."""

    def __init__(self, facade: Facade[Any]) -> None:
        self._facade = facade

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._facade, name)
        if isinstance(found, Facade):
            return Awaited(found)
        return functools.partial(_in_thread, found) if callable(found) and name not in _AT_ONCE else found

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        assert callable(self._facade)
        return await _in_thread(self._facade, *arguments, **named)

    async def __aenter__(self) -> Awaited:
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self._facade.__exit__, *error)  # type: ignore[attr-defined]

    async def __aiter__(self) -> AsyncIterator[Any]:
        iterator = iter(self._facade)  # type: ignore[call-overload]
        while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield item


async def _in_thread(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    found = await asyncio.to_thread(function, *arguments, **named)
    return Awaited(found) if isinstance(found, Facade) else found
