"""What people are told about an error."""

from __future__ import annotations

import errno
import os
from typing import Final

from openwmi.causes import Cause, likely_causes
from openwmi.cli.fanout import HostsFailed
from openwmi.cli.output import cause_lines, clean
from openwmi.errors import Error, InvalidQuery, SyntaxProblem, WbemError
from openwmi.mof import MofError, MofErrors
from openwmi.wql import WqlError

__all__ = ["told"]

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))  # what no program can do anything about


def told(error: Exception) -> str:
    """One clear sentence; below it, indented, what the server adds and what is likely behind it.

    Of several hosts, each has its own sentence, and what is likely is said once for all of them.
    """
    if isinstance(error, HostsFailed):
        hosts = [f"{host}: {_what(why)}" for host, why in error.failures]
        causes = [cause for _, why in error.failures for cause in _causes(why)]
        return "\n".join([*hosts, *cause_lines(dict.fromkeys(causes)), f"openwmi: {error}"])
    return "\n".join([_what(error), *cause_lines(_causes(error))])


def _causes(error: Exception) -> tuple[Cause, ...]:
    """What is likely behind it; for text that is wrong, the place has been shown instead."""
    return likely_causes(error) if isinstance(error, Error) and not isinstance(error, SyntaxProblem) else ()


def _what(error: Exception) -> str:
    """What happened, and what the server adds."""
    if isinstance(error, MofError | MofErrors):
        return str(error)  # one place a paragraph, with the line and a caret
    if isinstance(error, WqlError) and error.text:
        return f"openwmi: {InvalidQuery(' '.join(error.message.split()))}\n{error.excerpt}"
    if isinstance(error, Error):
        return "\n".join(["openwmi: " + " ".join(str(error).split()), *_extended(error)])
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"openwmi: cannot write: {os.strerror(error.errno)}"
    what = " ".join(str(error).split())
    return (
        f"openwmi: unexpected {type(error).__name__}{': ' + what if what else ''};"
        " this is a mistake in openwmi: run it with OPENWMI_DEBUG=1 to see where"
    )


def _extended(error: Error) -> list[str]:
    """What the server's `__ExtendedStatus` says beside what the error does, in one line; none if it sent none."""
    if not isinstance(error, WbemError) or error.extended is None:
        return []
    known = {name: error.extended.get(name) for name in ("Operation", "ParameterInfo", "ProviderName", "Description")}
    texts = [f"{name} {clean(value)}" for name, value in known.items() if value and value != error.detail]
    return [f"  The server says: {', '.join(texts)}."] if texts else []
