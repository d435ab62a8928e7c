"""Several texts as one compilation: what a later one declares may rest on an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from openwmi.mof.errors import MofError, MofErrors
from openwmi.mof.parser import parse
from openwmi.mof.source import Source

__all__ = ["compile_each"]

T = TypeVar("T")


def compile_each(sources: Iterable[Source], compile_one: Callable[[Source], T]) -> list[T]:
    """What `compile_one` makes of each source, in order.

    Raises `MofErrors` with the mistakes of all of them. After the first source with a mistake the others, which may
    rest on it, are read for their own mistakes only.
    """
    made: list[T] = []
    errors: list[MofError] = []
    for source in sources:
        try:
            if errors:
                parse(source.text, source.file)
            else:
                made.append(compile_one(source))
        except MofErrors as found:
            errors += found.errors
    if errors:
        raise MofErrors(errors)
    return made
