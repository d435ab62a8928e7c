"""The parse tree of MOF: what a text says, before any of it is looked up.

Every node is immutable (a named tuple where there are many of it) and knows the `offset` at which it begins; the file
it is in knows lines and columns (`MofFile.source`). Names keep their spelling. A declaration's qualifiers stand in the
order of the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from openwmi.mof.source import Source

__all__ = [
    "AliasUse",
    "ArrayLiteral",
    "Assignment",
    "ClassDeclaration",
    "Declaration",
    "ElementDeclaration",
    "InstanceDeclaration",
    "Literal",
    "LiteralKind",
    "MethodDeclaration",
    "MofFile",
    "Pragma",
    "QualifierDeclaration",
    "QualifierUse",
    "TypeName",
    "Value",
]


class LiteralKind(Enum):
    """How a constant was written."""

    STRING = auto()
    CHAR = auto()
    INTEGER = auto()
    REAL = auto()
    BOOLEAN = auto()
    NULL = auto()


class Literal(NamedTuple):
    """A constant. A string is already joined from its parts, its escapes resolved."""

    offset: int
    kind: LiteralKind
    value: str | int | float | bool | None


class AliasUse(NamedTuple):
    """``$Name`` where a value stands; `name` lacks the dollar."""

    offset: int
    name: str


class ArrayLiteral(NamedTuple):
    """``{ a, b, ... }``."""

    offset: int
    items: tuple[Value, ...]


class QualifierUse(NamedTuple):
    """``Name``, ``Name(value)`` or ``Name{...}``, with the flavors after its colon, in lower case."""

    offset: int
    name: str
    value: Value | None
    flavors: tuple[str, ...]


class TypeName(NamedTuple):
    """A type as it was written: a CIM type, ``object``, or a class; with `is_reference`, ``Class ref``."""

    offset: int
    name: str
    is_reference: bool


class ElementDeclaration(NamedTuple):
    """A property or a parameter. `size` is that of ``name[32]``; `value` the default, None where none is written."""

    offset: int
    name: str
    type: TypeName
    is_array: bool
    size: int | None
    value: Value | None
    qualifiers: tuple[QualifierUse, ...]


class MethodDeclaration(NamedTuple):
    """A method; `returns` None is ``void``."""

    offset: int
    name: str
    returns: TypeName | None
    parameters: tuple[ElementDeclaration, ...]
    qualifiers: tuple[QualifierUse, ...]


@dataclass(frozen=True, slots=True)
class ClassDeclaration:
    """``class Name as $alias : Superclass { ... }``; `offset` is the name's."""

    offset: int
    name: str
    superclass: str | None
    superclass_offset: int
    alias: str | None
    qualifiers: tuple[QualifierUse, ...]
    properties: tuple[ElementDeclaration, ...]
    methods: tuple[MethodDeclaration, ...]


class Assignment(NamedTuple):
    """``Name = value;`` in an instance."""

    offset: int
    name: str
    value: Value
    qualifiers: tuple[QualifierUse, ...]


@dataclass(frozen=True, slots=True)
class InstanceDeclaration:
    """``instance of Class as $alias { ... }``; `offset` is the class name's."""

    offset: int
    class_name: str
    alias: str | None
    qualifiers: tuple[QualifierUse, ...]
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class QualifierDeclaration:
    """``Qualifier Name : type = default, Scope(...), Flavor(...);`` or WMI's ``Qualifier Name : flavor ...;``.

    `type` is None in WMI's form. Scopes and flavors are in lower case.
    """

    offset: int
    name: str
    type: TypeName | None
    is_array: bool
    default: Value | None
    scopes: tuple[str, ...]
    flavors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pragma:
    """``#pragma name(arguments)``; ``#include ("file")`` is the pragma ``include``. `name` is in lower case."""

    offset: int
    name: str
    arguments: tuple[str, ...]


Value: TypeAlias = Literal | ArrayLiteral | AliasUse | InstanceDeclaration | ClassDeclaration
Declaration: TypeAlias = ClassDeclaration | InstanceDeclaration | QualifierDeclaration | Pragma


@dataclass(frozen=True, slots=True)
class MofFile:
    """A text's declarations, in order."""

    source: Source
    declarations: tuple[Declaration, ...]
