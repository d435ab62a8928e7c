"""What can be wrong with a query, and the bounds that a query has to keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from openwmi.errors import SyntaxProblem, WbemError
from openwmi.status import WbemStatus

__all__ = ["Limits", "WqlError"]

_EXCERPT: Final = 120  # characters of a line that a mistake shows


class WqlError(SyntaxProblem):
    """A query that cannot be run. `text` is the query, `position` the index of what is wrong in it.

    `status` is the operation's code for it: WBEM_E_INVALID_QUERY, WBEM_E_INVALID_CLASS, or WBEM_E_QUOTA_VIOLATION for a
    query beyond its limits. `as_wbem_error()` is the failure that an operation reports.
    """

    def __init__(
        self, message: str, text: str = "", position: int = 0, status: int = WbemStatus.WBEM_E_INVALID_QUERY
    ) -> None:
        super().__init__(message, text, position)
        self.status = int(status)

    def as_wbem_error(self) -> WbemError:
        """The same as an operation's failure: `InvalidQuery`, `InvalidClass` ..., with the place in its detail."""
        return WbemError.of(self.status, str(self))

    @property
    def excerpt(self) -> str:
        """The line of the query that is wrong, and under it a caret; a long line is cut around the place."""
        begin = self.text.rfind("\n", 0, self.position) + 1
        line = self.text[begin:].split("\n", 1)[0]
        column = self.position - begin
        start = max(0, column - _EXCERPT // 2)
        shown = line[start : start + _EXCERPT]
        shown = "".join(c if c == "\t" or c.isprintable() else "?" for c in shown)
        # Tabs stay tabs under a tab, so that the caret stands where a terminal puts the character.
        indent = "".join("\t" if c == "\t" else " " for c in shown[: column - start])
        return f"{shown}\n{indent}^"

    def __str__(self) -> str:
        start = max(0, self.position - 30)
        shown = self.text[start : self.position + 30]
        before = "..." if start else ""
        after = "..." if self.position + 30 < len(self.text) else ""
        return f"{self.message}, at {self.position} of {before}{shown}{after}" if self.text else self.message


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a query may be: characters, parentheses and NOTs in one another, comparisons and selected properties.

    The default length is Windows' own.
    """

    length: int = 16_384
    depth: int = 64
    terms: int = 1_024
