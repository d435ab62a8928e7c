"""The typed tree of WQL (MS-WMI 2.2.1). `str()` of a query is WQL again, which parses to an equal tree.

Nodes are frozen. `offset` says where a node stands in the text; it and the text do not count when trees are compared.

    Query = SelectQuery | SchemaQuery | AssociatorsQuery | ReferencesQuery
    Expression = And | Or | Not | Comparison | IsNull | Isa
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias, Union

from openwmi.cim import ObjectPath, is_identifier

__all__ = [
    "And",
    "AssociatorsQuery",
    "Comparison",
    "Constant",
    "Expression",
    "GroupClause",
    "IsNull",
    "Isa",
    "Not",
    "Operator",
    "Or",
    "PropertyPath",
    "Query",
    "ReferencesQuery",
    "SchemaQuery",
    "SelectQuery",
    "escape",
    "quote",
]

Scalar: TypeAlias = str | int | float | bool


def escape(text: str) -> str:
    """`text` as it stands within the quotes, of either kind, of a string constant of WQL.

    A parameter (``WHERE Name = ?``) needs no such thing. In a pattern of LIKE ``%``, ``_`` and ``[`` go on meaning
    what they mean there: `escape_like` comes first.
    """
    return re.sub(r"""([\\"'])""", r"\\\1", text)


def quote(text: str) -> str:
    """`text` as a string constant of WQL, quotes included."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Operator(Enum):
    """The operators that compare a property with a constant."""

    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    GREATER = ">"
    LESS_EQUAL = "<="
    GREATER_EQUAL = ">="
    LIKE = "LIKE"

    @property
    def mirrored(self) -> Operator:
        """The operator that says the same when its sides are exchanged."""
        return _MIRRORED.get(self, self)


_MIRRORED = {
    Operator.LESS: Operator.GREATER,
    Operator.GREATER: Operator.LESS,
    Operator.LESS_EQUAL: Operator.GREATER_EQUAL,
    Operator.GREATER_EQUAL: Operator.LESS_EQUAL,
}


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant that is not NULL (NULL makes an `IsNull`)."""

    value: Scalar
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return "TRUE" if self.value else "FALSE"
        return quote(self.value) if isinstance(self.value, str) else repr(self.value)


@dataclass(frozen=True, slots=True)
class PropertyPath:
    """A property, or with dots one of the object embedded in it: ``TargetInstance.Name``."""

    names: tuple[str, ...]
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``property operator constant``; the other way round it is turned around."""

    property: PropertyPath
    operator: Operator
    constant: Constant
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.property} {self.operator.value} {self.constant}"


@dataclass(frozen=True, slots=True)
class IsNull:
    """``IS NULL`` (also ``= NULL``), with `negated` ``IS NOT NULL``."""

    property: PropertyPath
    negated: bool = False
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.property} IS {'NOT ' if self.negated else ''}NULL"


@dataclass(frozen=True, slots=True)
class Isa:
    """``property ISA "Class"``: the embedded object is of the class or a subclass; ``__THIS`` is the object itself."""

    property: PropertyPath
    class_name: str
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.property} ISA {quote(self.class_name)}"


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT term``."""

    term: Expression
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"NOT {_inside(self.term, And | Or)}"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more terms that all hold; none of them is an `And` itself."""

    terms: tuple[Expression, ...]
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return " AND ".join(_inside(term, Or) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more terms of which one holds; none of them is an `Or` itself."""

    terms: tuple[Expression, ...]
    offset: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return " OR ".join(str(term) for term in self.terms)


Expression: TypeAlias = Union["And", "Or", "Not", "Comparison", "IsNull", "Isa"]


def _inside(term: Expression, weaker: object) -> str:
    return f"({term})" if isinstance(term, weaker) else str(term)  # type: ignore[arg-type]


def _where(expression: Expression | None) -> str:
    return "" if expression is None else f" WHERE {expression}"


@dataclass(frozen=True, slots=True)
class GroupClause:
    """``GROUP WITHIN seconds [BY properties] [HAVING expression]`` of an event query."""

    within: float
    by: tuple[PropertyPath, ...] = ()
    having: Expression | None = None

    def __str__(self) -> str:
        text = f" GROUP WITHIN {_seconds(self.within)}"
        if self.by:
            text += " BY " + ", ".join(str(path) for path in self.by)
        return text if self.having is None else f"{text} HAVING {self.having}"


def _seconds(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(value)


@dataclass(frozen=True, slots=True)
class SelectQuery:
    """A data query or an event query. `properties` None is ``*``; `within` is the polling interval in seconds.

    Which of the two it is only the class tells, unless `within` or `group` is there.
    """

    class_name: str
    properties: tuple[PropertyPath, ...] | None = None
    where: Expression | None = None
    within: float | None = None
    group: GroupClause | None = None
    class_offset: int = field(default=0, compare=False)
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        selected = "*" if self.properties is None else ", ".join(str(path) for path in self.properties)
        within = "" if self.within is None else f" WITHIN {_seconds(self.within)}"
        group = "" if self.group is None else str(self.group)
        return f"SELECT {selected} FROM {self.class_name}{within}{_where(self.where)}{group}"  # noqa: S608 - to make a query's text is the purpose


@dataclass(frozen=True, slots=True)
class SchemaQuery:
    """``SELECT * FROM meta_class``: classes."""

    where: Expression | None = None
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return f"SELECT * FROM meta_class{_where(self.where)}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class ReferencesQuery:
    """``REFERENCES OF {path}``: the associations that lead to an object.

    `offsets` has the place of the path and of each name, by field.
    """

    path: ObjectPath
    result_class: str | None = None
    role: str | None = None
    required_qualifier: str | None = None
    keys_only: bool = False
    class_definitions_only: bool = False
    schema_only: bool = False
    offsets: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return f"REFERENCES OF {{{self.path}}}{_clauses(self)}"


@dataclass(frozen=True, slots=True)
class AssociatorsQuery:
    """``ASSOCIATORS OF {path}``: the objects that associations connect with an object. `offsets` as above."""

    path: ObjectPath
    association_class: str | None = None
    result_class: str | None = None
    result_role: str | None = None
    role: str | None = None
    required_qualifier: str | None = None
    required_association_qualifier: str | None = None
    keys_only: bool = False
    class_definitions_only: bool = False
    schema_only: bool = False
    offsets: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return f"ASSOCIATORS OF {{{self.path}}}{_clauses(self)}"


ASSOCIATORS_CLAUSES = {
    "AssocClass": "association_class",
    "ResultClass": "result_class",
    "ResultRole": "result_role",
    "Role": "role",
    "RequiredQualifier": "required_qualifier",
    "RequiredAssocQualifier": "required_association_qualifier",
    "KeysOnly": "keys_only",
    "ClassDefsOnly": "class_definitions_only",
    "SchemaOnly": "schema_only",
}
"""The words of the WHERE clause, and the field that each sets; the last three stand alone."""

REFERENCES_CLAUSES = {
    word: name
    for word, name in ASSOCIATORS_CLAUSES.items()
    if word not in ("AssocClass", "ResultRole", "RequiredAssocQualifier")
}


def _clauses(query: ReferencesQuery | AssociatorsQuery) -> str:
    table = REFERENCES_CLAUSES if isinstance(query, ReferencesQuery) else ASSOCIATORS_CLAUSES
    words = []
    for word, name in table.items():
        value = getattr(query, name)
        if value is True:
            words.append(word)
        elif isinstance(value, str):
            words.append(f"{word} = {value if _is_word(value) else quote(value)}")
    return " WHERE " + " ".join(words) if words else ""


def _is_word(name: str) -> bool:
    """Whether a name is one word in a query's text: a name may have Unicode's spaces in it, which part words."""
    return is_identifier(name) and not any(map(str.isspace, name))


Query: TypeAlias = SelectQuery | SchemaQuery | ReferencesQuery | AssociatorsQuery
