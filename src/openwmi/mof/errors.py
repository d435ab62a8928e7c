"""What is wrong with a MOF text, and where: `MofError` is one mistake, `MofErrors` all those of a compilation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openwmi.errors import SyntaxProblem
from openwmi.mof.source import Position
from openwmi.status import WbemStatus

__all__ = ["MAX_ERRORS", "MofError", "MofErrors"]

MAX_ERRORS: Final = 100
"""After so many mistakes nobody reads on: the rest of the text is not looked at."""

_EXCERPT: Final = 160  # columns of a source line that an error shows


class MofError(SyntaxProblem):
    """One mistake in a MOF text. `str()` gives file, line, column, the message, the line itself and a caret.

    `status` is the code that the operation has for it: WBEMMOF_E_* for the text, WBEM_E_* for what the classes forbid.
    """

    def __init__(self, problem: str, where: Position, status: int = WbemStatus.WBEMMOF_E_UNRECOGNIZED_TOKEN) -> None:
        super().__init__(problem, where.source.text, where.offset)
        self.where = where
        self.status = int(status)

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.where.file

    @property
    def line(self) -> int:
        """The line, counted from 1."""
        return self.where.line

    @property
    def column(self) -> int:
        """The column in characters, counted from 1."""
        return self.where.column

    @property
    def excerpt(self) -> str:
        """The line, and under it a caret; a long line is cut around the place."""
        line = self.where.line_text
        column = self.column - 1
        start = max(0, column - _EXCERPT // 2)
        shown = line[start : start + _EXCERPT]
        # Tabs stay tabs under a tab, so that the caret stands where a terminal puts the character.
        indent = "".join("\t" if c == "\t" else " " for c in shown[: column - start])
        return f"{shown}\n{indent}^"

    def __str__(self) -> str:
        return f"{self.where}: {self.message}\n{self.excerpt}"


class MofErrors(SyntaxProblem):
    """Every mistake that a compilation found, in the order of the text."""

    def __init__(self, errors: Sequence[MofError]) -> None:
        first = errors[0]
        super().__init__(str(first), first.text, first.position)
        self.errors = tuple(errors)

    @property
    def status(self) -> int:
        """The first mistake's code."""
        return self.errors[0].status

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)
