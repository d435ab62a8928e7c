"""From the text of a query to its tree: recursive descent over the tokens (MS-WMI 2.2.1.1, 2.2.1.2).

The language:

    SELECT * | property, ... FROM class [WITHIN s] [WHERE expression]
        [GROUP WITHIN s [BY property, ...] [HAVING expression]]
    SELECT * FROM meta_class [WHERE expression]
    ASSOCIATORS OF {path} [WHERE clauses]       REFERENCES OF {path} [WHERE clauses]

    expression   NOT before AND before OR; parentheses
                 property = | <> | != | < | > | <= | >= | LIKE constant, or the constant first
                 property IS [NOT] NULL, property ISA class
    property     Name, __SYSTEM, Embedded.Name
    constant     "text" or 'text' with \\ before a backslash or a quote; 5, -5, 0x1F, 2.5, 1e3; TRUE, FALSE, NULL; ?
    clauses      AssocClass = c, ResultClass = c, ResultRole = p, Role = p, RequiredQualifier = q,
                 RequiredAssocQualifier = q, KeysOnly, ClassDefsOnly, SchemaOnly; no commas, no AND

Each ``?`` takes the next parameter as a constant: never as text of the query, so nothing in it can mean anything.

Raises `WqlError` for whatever is not that, and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from openwmi.cim import Class, DateTime, Instance, ObjectPath, fold
from openwmi.errors import SyntaxProblem
from openwmi.status import WbemStatus
from openwmi.wql.errors import Limits, WqlError
from openwmi.wql.tree import (
    ASSOCIATORS_CLAUSES,
    REFERENCES_CLAUSES,
    And,
    AssociatorsQuery,
    Comparison,
    Constant,
    Expression,
    GroupClause,
    Isa,
    IsNull,
    Not,
    Operator,
    Or,
    PropertyPath,
    Query,
    ReferencesQuery,
    SchemaQuery,
    SelectQuery,
)

__all__ = ["parse"]

_NAME: Final = r"[A-Za-z_\u0080-\uffef][0-9A-Za-z_\u0080-\uffef]*"
_TOKEN: Final = re.compile(
    rf"""
      \s+
    | (?P<word>{_NAME})
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>[-+]?(?:0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?![0-9A-Za-z_.]))
    | (?P<operator><=|>=|<>|!=|[=<>])
    | (?P<object>\{{(?:[^"'{{}}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*\}})
    | (?P<mark>[(),.*?])
    | (?P<bad>["'{{].*|[-+.0-9][0-9A-Za-z_.]*|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = frozenset("\\\"'")
_OPERATORS: Final = {operator.value: operator for operator in Operator} | {"!=": Operator.NOT_EQUAL}
_STANDALONE: Final = frozenset({"keys_only", "class_definitions_only", "schema_only"})
_WORDS: Final = frozenset({"true", "false", "null"})
_MAX_NUMBER: Final = 64  # characters
_MAX_INTERVAL: Final = 2**32 - 1


class _Token(NamedTuple):
    kind: str
    text: str
    offset: int


class _Null:
    """What a NULL constant is until it has become an `IsNull`."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


def parse(text: str, parameters: Sequence[Any] = (), limits: Limits | None = None) -> Query:
    """The tree of the query `text`, in which each ``?`` stands for one of `parameters`, in order.

    A parameter is a string, a number, a boolean, None, an `ObjectPath`, a `DateTime`, a `datetime` or a `timedelta`.
    Raises `WqlError`.
    """
    limits = limits or Limits()
    if len(text) > limits.length:
        raise WqlError(
            f"the query has {len(text):,} characters; {limits.length:,} are allowed",
            status=WbemStatus.WBEM_E_QUOTA_VIOLATION,
        )
    return _Parser(text, parameters, limits).parse()


class _Parser:
    """Each method consumes what it names, or raises."""

    def __init__(self, text: str, parameters: Sequence[Any], limits: Limits) -> None:
        self.text = text
        self.parameters = parameters
        self.used = 0
        self.limits = limits
        self.depth = 0
        self.terms = 0
        self.tokens = [_Token(m.lastgroup, m[0], m.start()) for m in _TOKEN.finditer(text) if m.lastgroup is not None]
        self.tokens.append(_Token("end", "", len(text)))
        self.at = 0

    def parse(self) -> Query:
        word = self.tokens[self.at]
        make: Callable[[], Query] | None = {
            "select": self._select,
            "associators": self._associators,
            "references": self._references,
        }.get(word.text.lower())
        if word.kind != "word" or make is None:
            raise self._expected("SELECT, ASSOCIATORS OF or REFERENCES OF")
        self.at += 1
        query = make()
        if self.tokens[self.at].kind != "end":
            raise self._expected(self._what_may_follow(query))
        if self.used < len(self.parameters):
            raise WqlError(
                f"the query has {self.used} '?', but {len(self.parameters)} parameters are given",
                self.text,
                len(self.text),
            )
        return query

    @staticmethod
    def _what_may_follow(query: Query) -> str:
        if isinstance(query, SelectQuery | SchemaQuery):
            return "the end of the query" if query.where is None else "AND, OR or the end of the query"
        return "the end of the query"

    # SELECT

    def _select(self) -> Query:
        properties = None if self._takes_mark("*") else self._properties("'*' or the name of a property")
        self._keyword("from")
        name = self._word("the name of a class")
        if fold(name.text) == "meta_class":
            if properties is not None:
                raise WqlError("a query for classes selects '*'", self.text, properties[0].offset)
            return SchemaQuery(self._optional_where(), self.text)
        within = self._interval() if self._takes("within") else None
        where = self._optional_where()
        group = self._group() if self._takes("group") else None
        return SelectQuery(name.text, properties, where, within, group, name.offset, self.text)

    def _properties(self, what: str) -> tuple[PropertyPath, ...]:
        found = [self._property(what)]
        while self._takes_mark(","):
            found.append(self._property("the name of a property"))
        return tuple(found)

    def _optional_where(self) -> Expression | None:
        return self._expression() if self._takes("where") else None

    def _interval(self) -> float:
        token = self.tokens[self.at]
        if token.kind != "number":
            raise self._expected("a number of seconds")
        seconds = self._number()
        if seconds < 0 or seconds > _MAX_INTERVAL:
            raise WqlError(f"an interval has 0 to {_MAX_INTERVAL:,} seconds", self.text, token.offset)
        return float(seconds)

    def _group(self) -> GroupClause:
        self._keyword("within")
        within = self._interval()
        by: tuple[PropertyPath, ...] = ()
        if self._takes("by"):
            by = self._properties("the name of a property")
        having = self._expression() if self._takes("having") else None
        return GroupClause(within, by, having)

    # Expressions

    def _expression(self) -> Expression:
        start = self.tokens[self.at].offset
        terms: list[Expression] = []
        while True:
            term = self._conjunction()
            terms.extend(term.terms if isinstance(term, Or) else (term,))
            if not self._takes("or"):
                break
        return terms[0] if len(terms) == 1 else Or(tuple(terms), start)

    def _conjunction(self) -> Expression:
        start = self.tokens[self.at].offset
        terms: list[Expression] = []
        while True:
            term = self._term()
            terms.extend(term.terms if isinstance(term, And) else (term,))
            if not self._takes("and"):
                break
        return terms[0] if len(terms) == 1 else And(tuple(terms), start)

    def _term(self) -> Expression:
        token = self.tokens[self.at]
        if self._takes("not"):
            with self._nested(token):
                return Not(self._term(), token.offset)
        if self._takes_mark("("):
            with self._nested(token):
                inner = self._expression()
            if not self._takes_mark(")"):
                raise self._expected("AND, OR or ')'")
            return inner
        self._count(token)
        if token.kind == "word" and token.text.lower() not in _WORDS:
            return self._test(self._property("a property"))
        return self._reversed()

    def _reversed(self) -> Expression:
        """``constant operator property``."""
        constant = self._constant("a property or a constant")
        token = self.tokens[self.at]
        operator = self._operator("=, <>, <, >, <= or >=")
        if operator is Operator.LIKE:
            raise WqlError("LIKE has the property before it and the pattern after it", self.text, token.offset)
        path = self._property("the name of a property: the other side is a constant")
        return self._compared(path, operator.mirrored, constant, token)

    def _test(self, path: PropertyPath) -> Expression:
        token = self.tokens[self.at]
        if self._takes("is"):
            negated = self._takes("not")
            self._keyword("null")
            return IsNull(path, negated, path.offset)
        if self._takes("isa"):
            return Isa(path, self._class_name(), path.offset)
        operator = self._operator("a comparison (=, <>, <, >, <=, >=, LIKE, IS, ISA)")
        following = self.tokens[self.at]
        # 2.2.1.1's grammar has __CLASS = Name without quotes.
        if fold(path.names[-1]) == "__class" and following.kind == "word" and following.text.lower() not in _WORDS:
            self.at += 1
            return Comparison(path, operator, Constant(following.text, following.offset), path.offset)
        constant = self._constant("a constant: text in quotes, a number, TRUE, FALSE or NULL")
        return self._compared(path, operator, constant, token)

    def _compared(
        self, path: PropertyPath, operator: Operator, constant: Constant | _Null, token: _Token
    ) -> Expression:
        if isinstance(constant, Constant):
            return Comparison(path, operator, constant, path.offset)
        if operator not in (Operator.EQUAL, Operator.NOT_EQUAL):
            raise WqlError(f"{operator.value} does not go with NULL", self.text, token.offset)
        return IsNull(path, operator is Operator.NOT_EQUAL, path.offset)

    def _operator(self, what: str) -> Operator:
        token = self.tokens[self.at]
        if token.kind != "operator" and not (token.kind == "word" and token.text.lower() == "like"):
            raise self._expected(what)
        self.at += 1
        return _OPERATORS[token.text.upper()]

    def _property(self, what: str) -> PropertyPath:
        first = self._word(what)
        self._count(first)
        names = [first.text]
        while self._takes_mark("."):
            names.append(self._word("the name of a property").text)
            self._count(first)
        return PropertyPath(tuple(names), first.offset)

    def _class_name(self) -> str:
        token = self.tokens[self.at]
        if token.kind == "string":
            self.at += 1
            return self._unescaped(token)
        if token.text == "?":
            constant = self._constant("the name of a class")
            if isinstance(constant, Constant) and isinstance(constant.value, str):
                return constant.value
            raise WqlError("ISA takes the name of a class", self.text, token.offset)
        return self._word("the name of a class").text

    # Constants

    def _constant(self, what: str) -> Constant | _Null:
        token = self.tokens[self.at]
        if token.kind == "number":
            return Constant(self._number(), token.offset)
        if token.kind == "string":
            self.at += 1
            return Constant(self._unescaped(token), token.offset)
        if token.text == "?":
            self.at += 1
            return self._parameter(token)
        word = token.text.lower() if token.kind == "word" else ""
        if word == "null":
            self.at += 1
            return _Null(token.offset)
        if word in ("true", "false"):
            self.at += 1
            return Constant(word == "true", token.offset)
        raise self._expected(what)

    def _parameter(self, token: _Token) -> Constant | _Null:
        if self.used >= len(self.parameters):
            raise WqlError("there is no parameter for this '?'", self.text, token.offset)
        value = self.parameters[self.used]
        self.used += 1
        if value is None:
            return _Null(token.offset)
        if isinstance(value, DateTime | datetime | timedelta):
            try:
                return Constant(DateTime.of(value).text, token.offset)
            except SyntaxProblem as error:
                raise WqlError(f"parameter {self.used}: {error.message}", self.text, token.offset) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise WqlError(f"parameter {self.used} is no number", self.text, token.offset)
        # Of the plain type: what a subclass writes as its text is its own business.
        if isinstance(value, bool):
            return Constant(value, token.offset)
        if isinstance(value, str):
            return Constant(str.__str__(value), token.offset)
        if isinstance(value, float):
            return Constant(float.__float__(value), token.offset)
        if isinstance(value, int):
            if abs(value) >= 10 ** (_MAX_NUMBER - 1):
                raise WqlError(f"parameter {self.used} is too large a number", self.text, token.offset)
            return Constant(int.__int__(value), token.offset)
        path = value.path if isinstance(value, Class | Instance) else value
        if isinstance(path, ObjectPath):
            return Constant(str(path), token.offset)
        raise WqlError(
            f"parameter {self.used}: a {type(value).__name__} is no constant of WQL", self.text, token.offset
        )

    def _number(self) -> int | float:
        token = self.tokens[self.at]
        written = token.text.lower()
        if len(written) > _MAX_NUMBER:
            raise WqlError(f"a number has at most {_MAX_NUMBER} characters", self.text, token.offset)
        self.at += 1
        if "x" in written:
            return int(written, 16)
        if written.lstrip("+-").isdigit():
            return int(written)
        value = float(written)
        if not math.isfinite(value):
            raise WqlError(f"{written} is too large a number", self.text, token.offset)
        return value

    def _unescaped(self, token: _Token) -> str:
        body = token.text[1:-1]
        if "\\" not in body:
            return body

        def replaced(match: re.Match[str]) -> str:
            if match[1] in _ESCAPED:
                return match[1]
            # Windows refuses these too, in LIKE as anywhere, whatever MS-WMI 2.2.1 says of backslashes in LIKE.
            raise WqlError(
                f"{match[0]} is no escape: a backslash itself is written \\\\",
                self.text,
                token.offset + 1 + match.start(),
            )

        return _ESCAPE.sub(replaced, body)

    # ASSOCIATORS OF, REFERENCES OF

    def _associators(self) -> AssociatorsQuery:
        path, offset = self._object()
        return AssociatorsQuery(path, text=self.text, **self._clauses(path, offset, ASSOCIATORS_CLAUSES))

    def _references(self) -> ReferencesQuery:
        path, offset = self._object()
        return ReferencesQuery(path, text=self.text, **self._clauses(path, offset, REFERENCES_CLAUSES))

    def _object(self) -> tuple[ObjectPath, int]:
        self._keyword("of")
        token = self.tokens[self.at]
        if token.kind != "object":
            raise self._expected("an object path in braces")
        self.at += 1
        inner = token.text[1:-1]
        start = token.offset + 1 + len(inner) - len(inner.lstrip())
        try:
            path = ObjectPath.parse(inner.strip())
        except SyntaxProblem as error:
            raise WqlError(f"the object path is not one: {error.message}", self.text, start + error.position) from None
        if not path.class_name:
            raise WqlError("a namespace has no associations: name a class or an instance", self.text, token.offset)
        return path, start

    def _clauses(self, path: ObjectPath, offset: int, table: dict[str, str]) -> dict[str, Any]:
        known = {fold(word): (word, name) for word, name in table.items()}
        offsets = {"path": offset}
        found: dict[str, Any] = {"offsets": offsets}
        if not self._takes("where"):
            return found
        words = ", ".join(table)
        while True:
            token = self.tokens[self.at]
            if token.kind != "word" or fold(token.text) not in known:
                if len(found) > 1 and token.kind == "end":
                    break
                raise self._expected(f"one of {words}" + (" (without commas, AND or OR)" if len(found) > 1 else ""))
            self.at += 1
            word, name = known[fold(token.text)]
            if name in found:
                raise WqlError(f"{word} is there twice", self.text, token.offset)
            if name in _STANDALONE:
                found[name] = True
                continue
            operator = self.tokens[self.at]
            if operator.text != "=":
                raise self._expected(f"'=' after {word}")
            self.at += 1
            offsets[name] = self.tokens[self.at].offset
            found[name] = self._class_name()
        self._check_clauses(path, found)
        return found

    def _check_clauses(self, path: ObjectPath, found: dict[str, Any]) -> None:
        if "class_definitions_only" in found and "result_class" in found:
            raise WqlError("ClassDefsOnly and ResultClass exclude each other", self.text, len(self.text))
        if "class_definitions_only" in found and "schema_only" in found:
            raise WqlError(
                "SchemaOnly gives classes anyway: ClassDefsOnly does not go with it", self.text, len(self.text)
            )
        if "schema_only" in found and path.is_instance:
            raise WqlError("SchemaOnly goes with the path of a class", self.text, len(self.text))

    # Tokens

    def _takes(self, keyword: str) -> bool:
        token = self.tokens[self.at]
        if token.kind == "word" and token.text.lower() == keyword:
            self.at += 1
            return True
        return False

    def _takes_mark(self, mark: str) -> bool:
        token = self.tokens[self.at]
        if token.kind == "mark" and token.text == mark:
            self.at += 1
            return True
        return False

    def _keyword(self, keyword: str) -> None:
        if not self._takes(keyword):
            raise self._expected(keyword.upper())

    def _word(self, what: str) -> _Token:
        token = self.tokens[self.at]
        if token.kind != "word":
            raise self._expected(what)
        self.at += 1
        return token

    # Mistakes and bounds

    def _expected(self, what: str) -> WqlError:
        token = self.tokens[self.at]
        if token.kind == "bad":
            return WqlError(_bad(token.text), self.text, token.offset)
        shown = token.text if len(token.text) <= 40 else token.text[:37] + "..."
        found = "the query ends" if token.kind == "end" else f"found {shown}"
        return WqlError(f"expected {what}; {found}", self.text, token.offset)

    def _count(self, token: _Token) -> None:
        self.terms += 1
        if self.terms > 2 * self.limits.terms:  # a comparison counts for itself and for its property
            raise WqlError(
                f"the query has more than {self.limits.terms:,} terms",
                self.text,
                token.offset,
                WbemStatus.WBEM_E_QUOTA_VIOLATION,
            )

    @contextmanager
    def _nested(self, token: _Token) -> Iterator[None]:
        self.depth += 1
        if self.depth > self.limits.depth:
            raise WqlError(
                f"the query nests deeper than {self.limits.depth}",
                self.text,
                token.offset,
                WbemStatus.WBEM_E_QUOTA_VIOLATION,
            )
        yield
        self.depth -= 1


def _bad(text: str) -> str:
    if text[0] in "\"'":
        return "this string has no end"
    if text[0] == "{":
        return "this brace is not closed"
    if text[0].isdigit() or text[0] in "+-.":
        return f"{text[:40]} is not a number"
    return f"{text!r} means nothing in WQL"
