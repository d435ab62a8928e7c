"""MOF text and places in it: reading files (UTF-8, UTF-16), offset to line and column."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from openwmi.errors import ConfigurationError

__all__ = ["MAX_FILE_SIZE", "Position", "Source", "read_mof"]

MAX_FILE_SIZE: Final = 64 * 1024 * 1024
"""Bytes of one file. The whole DMTF schema has less than a tenth of it."""

_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, eq=False)
class Source:
    """One text and the name it goes by. Lines are found the first time somebody asks."""

    file: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset at which each line begins."""
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def at(self, offset: int) -> Position:
        """The place at `offset`."""
        return Position(self, min(max(offset, 0), len(self.text)))


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """A place in a text; line and column are worked out when they are asked for."""

    source: Source
    offset: int

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.source.file

    @property
    def line(self) -> int:
        """The line, counted from 1."""
        return bisect_right(self.source.line_starts, self.offset)

    @property
    def column(self) -> int:
        """The column in characters, counted from 1."""
        return self.offset - self.source.line_starts[self.line - 1] + 1

    @property
    def line_text(self) -> str:
        """The line, without its end."""
        starts, line = self.source.line_starts, self.line
        end = starts[line] if line < len(starts) else len(self.source.text)
        return self.source.text[starts[line - 1] : end].rstrip("\r\n")

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def __repr__(self) -> str:
        return f"<{self}>"


def read_mof(path: str | Path) -> str:
    """The text of a MOF file: UTF-16 with a byte order mark, else UTF-8, with one or without.

    Raises `ConfigurationError`, whose message names the file, for a file that cannot be read, is larger than
    `MAX_FILE_SIZE`, or holds bytes of another encoding.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_SIZE:
        raise ConfigurationError(f"{path}: is larger than {MAX_FILE_SIZE:,} bytes")
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decoded(path, data[len(mark) :], encoding)
    return _decoded(path, data, "utf-8")


def _decoded(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        where = f"line {line}" if encoding == "utf-8" else f"byte {error.start}"
        raise ConfigurationError(
            f"{path}: {where} is not {encoding.upper()}: save the file as UTF-8, or as UTF-16 with a byte order mark"
        ) from None
