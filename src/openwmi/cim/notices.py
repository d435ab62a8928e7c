"""What is said while an operation runs, beside its results: messages, and questions that want an answer.

MI calls it CIM semantics: MI_Context_WriteMessage is a `Message`, MI_Context_PromptUser and MI_Context_WriteError are
a `Question` about a `Prompt` or about an error that need not be the end. Whoever starts an operation says in its
context what they hear (`Hears`). A question that nobody hears is answered at once by its default, so whoever asks need
not know whether anybody is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from enum import Flag, IntEnum, auto
from typing import Any

from openwmi.errors import WbemError

__all__ = ["Channel", "Hears", "Message", "Prompt", "Question", "unheard"]


class Hears(Flag):
    """Which notices the caller of an operation takes."""

    NOTHING = 0
    MESSAGES = auto()
    PROMPTS = auto()
    ERRORS = auto()


class Channel(IntEnum):
    """What a message is for (MI_WRITEMESSAGE_CHANNEL)."""

    WARNING = 0
    VERBOSE = 1
    DEBUG = 2


@dataclass(frozen=True, slots=True)
class Message:
    """A text for whoever watches the operation."""

    text: str
    channel: Channel = Channel.WARNING


@dataclass(frozen=True, slots=True)
class Prompt:
    """Whether to go on is asked; `critical` is what must not happen without a yes (MI_PROMPTTYPE_CRITICAL)."""

    text: str
    critical: bool = False


class Question:
    """Something the caller is asked. A thread takes the answer by `wait`, a coroutine awaits the question itself.

    The first answer counts. The end of the operation, or of the call that asked, is a no.
    """

    def __init__(self, about: Prompt | WbemError) -> None:
        self.about = about
        self._reply: Future[bool] = Future()

    @property
    def default(self) -> bool:
        """The answer where nobody hears it: yes to go on, also after an error, but no to what is critical."""
        return not (isinstance(self.about, Prompt) and self.about.critical)

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer."""
        return self._reply.done()

    def answer(self, yes: bool) -> None:
        """Says yes or no, from whichever thread."""
        with suppress(InvalidStateError):
            self._reply.set_result(yes)

    def on_answer(self, callback: Callable[[bool], object]) -> None:
        """Calls `callback` with the answer, where it is given; at once if it has been."""
        self._reply.add_done_callback(lambda reply: callback(reply.result()))

    def wait(self) -> bool:
        """The answer. It blocks the thread, so a coroutine awaits the question instead."""
        return self._reply.result()

    def __await__(self) -> Generator[Any, None, bool]:
        # Shielded: who waits may be cancelled, which is no answer.
        return asyncio.shield(asyncio.wrap_future(self._reply)).__await__()


def unheard(said: object) -> None:
    """Takes what nobody listens to: a question gets its default."""
    if isinstance(said, Question):
        said.answer(said.default)
