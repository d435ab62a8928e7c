"""What a word of MOF says where a type is due.

| written                  | type                                                  |
| ------------------------ | ----------------------------------------------------- |
| ``uint8`` ... ``string`` | that one                                              |
| ``Class ref``            | a reference to an instance of the class               |
| ``object ref``           | a reference to anything                               |
| ``Class``                | an embedded instance of the class, or the class itself |
| ``object``               | an embedded object of any class                       |

Nothing tells a class from a misspelled type but that there is such a class, which the resolver asks for. The class of
a reference may come later, from another file: the DMTF's schema is written like that.
"""

from __future__ import annotations

from openwmi.cim import CimType, fold
from openwmi.errors import SyntaxProblem
from openwmi.mof.tree import TypeName

__all__ = ["simple_type", "written_type"]


def simple_type(name: str) -> CimType | None:
    """The CIM type of that name, if it is neither an object nor a reference; None for every other word."""
    try:
        type_ = CimType.named(name)
    except SyntaxProblem:
        return None
    return None if type_ in (CimType.OBJECT, CimType.REFERENCE) else type_


def written_type(written: TypeName) -> tuple[CimType, str | None]:
    """The type, and the class that a reference or an embedded object is of: None where any will do."""
    class_name = None if fold(written.name) == "object" else written.name
    if written.is_reference:
        return CimType.REFERENCE, class_name
    simple = simple_type(written.name)
    return (CimType.OBJECT, class_name) if simple is None else (simple, None)
