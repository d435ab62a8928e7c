"""Write ``docs/errors.md`` from the table of causes, `openwmi.causes`, and the table of codes, `openwmi.status`.

Usage: ``python tools/update_errors.py [--check]``. With ``--check`` nothing is written, and the exit status is 1 if the
page differs from what the tables give.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from openwmi.causes import CAUSES, Cause
from openwmi.errors import Stage
from openwmi.status import HResult, WbemStatus, describe, name_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

INTRODUCTION = """# Errors

<!-- Written by tools/update_errors.py. Change openwmi.causes or tools/status.tsv instead. -->

Every error that openwmi raises is an `openwmi.Error`. Its `stage` says how far the work had come, its `status` is the
code, where there is one, and a server's own explanation, the `__ExtendedStatus`, is in `extended`.
`openwmi diagnose URL` walks through the stages one by one and says where the way ends.

When the time is up that you gave, or that a connection or an answer may take, the error is always a `DeadlineExceeded`,
over DCOM and in this process alike: it says what was being done (`stage`), on which host, and after how many seconds.
Its `status` is WSAETIMEDOUT where the other side did not answer, and WBEM_E_TIMED_OUT for an operation that was under
way. WBEM_E_PROVIDER_TIMED_OUT is another thing: the server's own limit for a provider, as a `WbemError`.

The sections are in the order of the stages. In each, what is likely behind an error comes with what to do about it.
"""


def render() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, *stages(), *codes()])


def stages() -> Iterator[str]:
    """A section for each stage, with a part for each code that the table has for it."""
    for stage in Stage:
        yield f"## {stage.value.capitalize()}\n"
        yield f"What failed is {stage.text}.\n"
        for (where, code), causes in CAUSES.items():
            if where is stage:
                yield "### Whatever the code\n" if code is None else heading(code)
                yield from listed(causes)


def codes() -> Iterator[str]:
    """Every code, those with causes of their own first."""
    yield "## Codes in any stage\n"
    for (stage, code), causes in CAUSES.items():
        if stage is None and code is not None:
            yield heading(code)
            yield from listed(causes)
    yield "## All codes\n"
    yield "| Name | Code | Meaning |\n| --- | --- | --- |"
    for members in (WbemStatus, HResult):
        for member in members:
            yield f"| `{member.name}` | `0x{member.value:08X}` | {escaped(describe(member.value))} |"
    yield ""


def heading(code: int) -> str:
    """The heading of a code's part, with what the code means."""
    meaning = describe(code)
    return f"### {name_of(code)} (0x{code:08X})\n\n{escaped(meaning[:1].upper() + meaning[1:])}.\n"


def listed(causes: Iterable[Cause]) -> Iterator[str]:
    """The causes with their remedies, as a list."""
    for cause in causes:
        yield f"- **{escaped(cause.cause)}**: {escaped(cause.remedy)}."
    yield ""


def escaped(text: str) -> str:
    """Text in which nothing is markup."""
    return "".join(f"\\{character}" if character in "\\_*|<>[]`" else character for character in text)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` say whether it is up to date."""
    parser = argparse.ArgumentParser(description="Write docs/errors.md from the tables of causes and codes.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is stale")
    options = parser.parse_args(arguments)
    wanted = render()
    if options.check:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
            print(f"{PAGE.name} is stale; run python tools/update_errors.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(wanted, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
