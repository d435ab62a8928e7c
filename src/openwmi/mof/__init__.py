"""The Managed Object Format: classes and instances as text, both ways.

`compile_mof` gives the classes and instances that a text declares, `parse` its tree, `read_mof` the text of a file,
`write_mof` the text of a class or an instance, `export_mof` that of many. Mistakes are `MofErrors`: all of them, each
with file, line, column, the line and a caret.
"""

from openwmi.mof.errors import MofError, MofErrors
from openwmi.mof.parser import parse
from openwmi.mof.pragmas import IncludeReader, read_include
from openwmi.mof.resolver import ClassSource, Deletion, MofItem, compile_mof
from openwmi.mof.several import compile_each
from openwmi.mof.source import Position, Source, read_mof
from openwmi.mof.writer import export_mof, write_mof

__all__ = [
    "ClassSource",
    "Deletion",
    "IncludeReader",
    "MofError",
    "MofErrors",
    "MofItem",
    "Position",
    "Source",
    "compile_each",
    "compile_mof",
    "export_mof",
    "parse",
    "read_include",
    "read_mof",
    "write_mof",
]
