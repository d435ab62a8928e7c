"""Pragmas and includes: a compilation's files as one list of declarations, each with what is in force at its place.

``namespace``, ``classflags``, ``instanceflags`` and ``amendment`` hold from where they stand on, across an include
too; ``deleteclass`` and ``deleteinstance`` are things to do and stay in the list; ``locale`` and ``autorecover`` say
nothing that a compilation needs. An unknown pragma is ignored (DSP0004 7.11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from openwmi.cim import split_namespace
from openwmi.errors import CallerError, SyntaxProblem
from openwmi.mof.amendment import is_locale
from openwmi.mof.errors import MAX_ERRORS, MofError, MofErrors
from openwmi.mof.parser import parse
from openwmi.mof.source import Position, Source, read_mof
from openwmi.mof.tree import Declaration, Pragma
from openwmi.status import WbemStatus

__all__ = ["Context", "IncludeReader", "Loader", "Unit", "read_include"]

MAX_INCLUDE_DEPTH: Final = 16
MAX_FILES: Final = 16_384
MAX_TOTAL: Final = 256 * 1024 * 1024  # characters of all files together

_NAMESPACE: Final = re.compile(r"(?:[\\/]{2}\.[\\/])?(?P<path>.*)\Z", re.DOTALL)
_CLASS_FLAGS: Final = frozenset({"createonly", "forceupdate", "safeupdate", "updateonly"})
_INSTANCE_FLAGS: Final = frozenset({"createonly", "updateonly"})

IncludeReader = Callable[[str, str], tuple[str, str]]
"""``(including file, name as written)`` to ``(the file's own name, its text)``; raises a `CallerError`."""


def read_include(including: str, name: str) -> tuple[str, str]:
    """An included file, from where the including one lies; Windows' separators are understood everywhere."""
    path = Path(including).parent / name.replace("\\", "/")
    return str(path), read_mof(path)


@dataclass(frozen=True, slots=True)
class Context:
    """What holds at one place of a compilation."""

    source: Source
    namespace: str
    class_flags: frozenset[str] = frozenset()
    instance_flags: frozenset[str] = frozenset()
    amendment: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One declaration (of pragmas, only those that delete) and what holds there."""

    declaration: Declaration
    context: Context

    def at(self, offset: int) -> Position:
        """A place in the unit's file."""
        return self.context.source.at(offset)


@dataclass
class Loader:
    """Reads a text and what it includes, one file at a time: nothing of it is kept but what the caller keeps.

    `errors` is where mistakes go. After the first one no more declarations come, since what they rest on may be
    missing, or wrong; the rest is read for its own mistakes only.
    """

    include: IncludeReader | None
    context: Context
    errors: list[MofError]
    failed: bool = False
    files: int = 0
    total: int = 0

    def units(self) -> Iterator[Unit]:
        """The declarations, in order, each with what holds at its place."""
        return self._file(self.context.source, 0)

    def _file(self, source: Source, depth: int) -> Iterator[Unit]:
        self.files += 1
        self.total += len(source.text)
        try:
            tree = parse(source.text, source.file)
        except MofErrors as errors:
            self._note(*errors.errors)
            return
        before = self.context.source
        self.context = replace(self.context, source=tree.source)
        for declaration in tree.declarations:
            if len(self.errors) >= MAX_ERRORS:
                break
            if not isinstance(declaration, Pragma):
                if not self.failed:
                    yield Unit(declaration, self.context)
                continue
            try:
                if declaration.name == "include":
                    yield from self._file(self._included(declaration, depth), depth + 1)
                elif declaration.name in ("deleteclass", "deleteinstance"):
                    self._check_deletion(declaration)
                    if not self.failed:
                        yield Unit(declaration, self.context)
                else:
                    self._pragma(declaration)
            except MofError as error:
                self._note(error)
        self.context = replace(self.context, source=before)

    def _note(self, *errors: MofError) -> None:
        self.failed = True
        self.errors.extend(errors[: MAX_ERRORS - len(self.errors)])

    def _pragma(self, pragma: Pragma) -> None:
        if pragma.name == "namespace":
            self.context = replace(self.context, namespace=self._namespace(pragma))
        elif pragma.name == "amendment":
            self.context = replace(self.context, amendment=self._locale(pragma))
        elif pragma.name == "classflags":
            self.context = replace(self.context, class_flags=self._flags(pragma, _CLASS_FLAGS))
        elif pragma.name == "instanceflags":
            self.context = replace(self.context, instance_flags=self._flags(pragma, _INSTANCE_FLAGS))

    def _check_deletion(self, pragma: Pragma) -> None:
        words = pragma.arguments
        if len(words) != 2 or words[1].lower() not in ("fail", "nofail"):
            raise self._problem(pragma, 'takes ("name", FAIL) or ("name", NOFAIL)')

    def _included(self, pragma: Pragma, depth: int) -> Source:
        name = self._one(pragma, 'the name of a file, as ("other.mof")')
        status = WbemStatus.WBEMMOF_E_ERROR_INVALID_INCLUDE_FILE
        if self.include is None:
            raise self._problem(pragma, f"{name}: there are no files here to include", status)
        if depth >= MAX_INCLUDE_DEPTH or self.files >= MAX_FILES or self.total > MAX_TOTAL:
            raise self._problem(
                pragma,
                f"{name}: too much is included (at most {MAX_INCLUDE_DEPTH} deep, {MAX_FILES:,} files in all)",
                status,
            )
        try:
            return Source(*self.include(self.context.source.file, name))
        except CallerError as error:
            raise self._problem(pragma, str(error), status) from None

    def _locale(self, pragma: Pragma) -> str:
        what = 'the locale, as ("MS_409")'
        locale = self._one(pragma, what)
        if not is_locale(locale):
            raise self._problem(pragma, f"takes {what}, which {locale!r:.40} is not")
        return locale

    def _namespace(self, pragma: Pragma) -> str:
        written = self._one(pragma, 'a namespace, as ("\\\\\\\\.\\\\root\\\\cimv2")')
        match = _NAMESPACE.match(written)
        try:
            return "\\".join(split_namespace(match["path"] if match else written))
        except SyntaxProblem as error:
            raise self._problem(pragma, error.message, WbemStatus.WBEMMOF_E_INVALID_NAMESPACE_SPECIFICATION) from None

    def _flags(self, pragma: Pragma, known: frozenset[str]) -> frozenset[str]:
        # The documentation shows ("a", "b") as well as ("a, b").
        words = {word.strip().lower() for argument in pragma.arguments for word in argument.split(",")}
        if not words or not words <= known or {"createonly", "updateonly"} <= words:
            raise self._problem(
                pragma,
                f"takes one or more of {', '.join(sorted(known))}, and not both createonly and updateonly",
                WbemStatus.WBEMMOF_E_INVALID_FLAGS_SYNTAX,
            )
        return frozenset(words)

    def _one(self, pragma: Pragma, what: str) -> str:
        if len(pragma.arguments) != 1:
            raise self._problem(pragma, f"takes {what}")
        return pragma.arguments[0]

    def _problem(self, pragma: Pragma, problem: str, status: int = WbemStatus.WBEMMOF_E_INVALID_PRAGMA) -> MofError:
        where = self.context.source.at(pragma.offset)
        return MofError(f"#pragma {pragma.name}: {problem}", where, status)
