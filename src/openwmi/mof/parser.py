"""From MOF text to its parse tree: recursive descent over the tokens.

The language is all of DSP0004's MOF as WMI takes it: classes, instances, qualifier declarations in both forms,
aliases, default values, embedded instances and classes, references, methods, arrays, every form of number, adjacent
strings, pragmas and includes. Keywords are not reserved: they mean something only where the grammar has them.

A mistake does not end the parse. What is broken is skipped to the next ``;`` on its level, so that every mistake of a
file is found; then `MofErrors` has them all. Nothing else is raised, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from openwmi.cim import CimType, is_identifier
from openwmi.errors import SyntaxProblem
from openwmi.mof import tokens as t
from openwmi.mof.errors import MAX_ERRORS, MofError, MofErrors
from openwmi.mof.source import Source
from openwmi.mof.tokens import Token, tokenize
from openwmi.mof.tree import (
    AliasUse,
    ArrayLiteral,
    Assignment,
    ClassDeclaration,
    Declaration,
    ElementDeclaration,
    InstanceDeclaration,
    Literal,
    LiteralKind,
    MethodDeclaration,
    MofFile,
    Pragma,
    QualifierDeclaration,
    QualifierUse,
    TypeName,
    Value,
)
from openwmi.status import WbemStatus

__all__ = ["FLAVORS", "MAX_DEPTH", "parse"]

MAX_DEPTH: Final = 32
"""How deep objects may be embedded in one another."""

FLAVORS: Final = frozenset(
    {
        "amended", "disableoverride", "enableoverride", "nottoinstance", "nottosubclass", "restricted", "toinstance",
        "tosubclass", "translatable",
    }
)  # fmt: skip
"""The flavors WMI knows, and DSP0004's ``translatable``, which is WMI's ``amended`` without its effect."""

_MAX_NUMBER: Final = 128  # characters: far more than 64 bits need in any base
_MAX_PARAMETERS: Final = 4096
_ESCAPE: Final = re.compile(r"\\(?:[xX](?P<code>[0-9A-Fa-f]{1,4})|(?P<other>.))")
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_STATUS: Final = {
    ";": WbemStatus.WBEMMOF_E_EXPECTED_SEMI,
    "{": WbemStatus.WBEMMOF_E_EXPECTED_OPEN_BRACE,
    "}": WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_BRACE,
    "]": WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_BRACKET,
    ")": WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_PAREN,
    "(": WbemStatus.WBEMMOF_E_EXPECTED_OPEN_PAREN,
}
_WORDS: Final = {
    "null": (LiteralKind.NULL, None),
    "true": (LiteralKind.BOOLEAN, True),
    "false": (LiteralKind.BOOLEAN, False),
}


def parse(text: str, file: str = "<mof>") -> MofFile:
    """The parse tree of `text`; `file` is what errors call it. Raises `MofErrors`."""
    return _Parser(Source(file, text)).parse()


class _TooMany(Exception):
    """`MAX_ERRORS` was reached."""


class _Abandoned(Exception):
    """A body whose end got lost in an earlier mistake: what comes next stands at the top level again."""


class _Parser:
    """Each method consumes what it names; on a mistake it raises `MofError` wherever it is."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokenize(source.text)
        self.at = 0
        self.depth = 0
        self.errors: list[MofError] = []

    def parse(self) -> MofFile:
        found: list[Declaration] = []
        try:
            while self.tokens[self.at].kind != t.END:
                with self._recovering():
                    found.append(self._declaration())
        except _TooMany:
            pass
        if self.errors:
            raise MofErrors(self.errors)
        return MofFile(self.source, tuple(found))

    # What stands at the top level

    def _declaration(self) -> Declaration:
        token = self.tokens[self.at]
        if token.kind == t.DIRECTIVE:
            return self._directive()
        qualifiers = self._qualifiers()
        if self._takes("class"):
            declared: Declaration = self._class(qualifiers)
        elif self._takes("instance"):
            declared = self._instance(qualifiers)
        elif not qualifiers and self._takes("qualifier"):
            return self._qualifier_declaration()
        else:
            raise self._expected("class, instance of" + ("" if qualifiers else ", qualifier or a #pragma"))
        self._punctuation(";", f"';' after the {'class' if isinstance(declared, ClassDeclaration) else 'instance'}")
        return declared

    def _directive(self) -> Pragma:
        token = self._next()
        word = token.text[1:].strip().lower()
        if word == "include":
            return Pragma(token.offset, "include", self._arguments(required=True))
        if word != "pragma":
            self.at -= 1
            raise self._expected("#pragma or #include", status=WbemStatus.WBEMMOF_E_INVALID_PRAGMA)
        name = self._identifier("the name of a pragma", WbemStatus.WBEMMOF_E_INVALID_PRAGMA)
        return Pragma(token.offset, name.text.lower(), self._arguments(required=False))

    def _arguments(self, *, required: bool) -> tuple[str, ...]:
        """``("text", word, ...)``. A semicolon after it does no harm: people write one."""
        found = []
        if required or self._is("("):
            self._punctuation("(")
            while not self._is(")"):
                token = self.tokens[self.at]
                if token.kind == t.STRING:
                    found.append(self._string())
                elif token.kind in (t.IDENTIFIER, t.NUMBER):
                    found.append(self._next().text)
                else:
                    raise self._expected("a string or a word", status=WbemStatus.WBEMMOF_E_INVALID_PRAGMA)
                if not self._take(","):
                    break
            self._punctuation(")")
        self._take(";")
        return tuple(found)

    def _qualifier_declaration(self) -> QualifierDeclaration:
        name = self._identifier("the name of a qualifier", WbemStatus.WBEMMOF_E_EXPECTED_QUALIFIER_NAME)
        self._punctuation(":")
        token = self.tokens[self.at]
        if token.kind == t.IDENTIFIER and token.text.lower() in FLAVORS:
            flavors = self._flavors()
            self._punctuation(";")
            return QualifierDeclaration(name.offset, name.text, None, False, None, (), flavors)
        type_ = self._type("the type of the qualifier, or a flavor")
        is_array, _ = self._brackets()
        default = self._value() if self._take("=") else None
        lists: dict[str, tuple[str, ...]] = {}
        while self._take(","):
            word = self._identifier("scope or flavor", WbemStatus.WBEMMOF_E_INVALID_QUALIFIER_SYNTAX)
            key = word.text.lower()
            if key not in ("scope", "flavor") or key in lists:
                self.at -= 1
                raise self._expected("one scope(...) and one flavor(...)")
            lists[key] = self._words(check_flavors=key == "flavor")
        self._punctuation(";")
        return QualifierDeclaration(
            name.offset, name.text, type_, is_array, default, lists.get("scope", ()), lists.get("flavor", ())
        )

    def _words(self, *, check_flavors: bool) -> tuple[str, ...]:
        self._punctuation("(")
        words = []
        while True:
            words.append(self._flavor() if check_flavors else self._identifier("a scope").text.lower())
            if not self._take(","):
                break
        self._punctuation(")")
        return tuple(words)

    # Classes

    def _class(self, qualifiers: tuple[QualifierUse, ...]) -> ClassDeclaration:
        name = self._identifier("the name of the class", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME)
        alias = self._alias()
        superclass = None
        if self._take(":"):
            superclass = self._identifier("the name of the superclass", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME)
        properties: list[ElementDeclaration] = []
        methods: list[MethodDeclaration] = []
        with self._nested():
            self._punctuation("{")
            while not self._ends_body():
                with self._recovering(inside=True):
                    member = self._member()
                    if isinstance(member, MethodDeclaration):
                        methods.append(member)
                    else:
                        properties.append(member)
        return ClassDeclaration(
            name.offset,
            name.text,
            superclass.text if superclass else None,
            superclass.offset if superclass else name.offset,
            alias,
            qualifiers,
            tuple(properties),
            tuple(methods),
        )

    def _member(self) -> ElementDeclaration | MethodDeclaration:
        qualifiers = self._qualifiers()
        returns = None
        if self._is_word("void") and self.tokens[self.at + 1].kind == t.IDENTIFIER:
            self.at += 1
        else:
            returns = self._type("the type of a property or a method")
        name = self._identifier("the name of the property or the method", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME)
        if self._is("("):
            parameters = self._parameters()
            self._punctuation(";", "';' after the method")
            return MethodDeclaration(name.offset, name.text, returns, parameters, qualifiers)
        if returns is None:
            raise self._expected(f"'(': only the method {name.text} can be void")
        declared = self._element(name, returns, qualifiers)
        self._punctuation(";", "';' after the property")
        return declared

    def _element(self, name: Token, type_: TypeName, qualifiers: tuple[QualifierUse, ...]) -> ElementDeclaration:
        is_array, size = self._brackets()
        value = self._value() if self._take("=") else None
        return ElementDeclaration(name.offset, name.text, type_, is_array, size, value, qualifiers)

    def _parameters(self) -> tuple[ElementDeclaration, ...]:
        self._punctuation("(")
        found: list[ElementDeclaration] = []
        while not self._is(")"):
            if len(found) >= _MAX_PARAMETERS:
                raise self._expected(f"at most {_MAX_PARAMETERS:,} parameters")
            qualifiers = self._qualifiers()
            type_ = self._type("the type of a parameter")
            name = self._identifier("the name of the parameter", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME)
            found.append(self._element(name, type_, qualifiers))
            if not self._take(","):
                break
        self._punctuation(")", "',' or ')' after the parameter" if found else "')'")
        return tuple(found)

    def _type(self, what: str) -> TypeName:
        token = self._identifier(what, WbemStatus.WBEMMOF_E_EXPECTED_TYPE_IDENTIFIER)
        is_reference = self._takes("ref")
        if is_reference and _is_simple_type(token.text):
            self.at -= 2
            raise self._expected("the class that ref points to", status=WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE)
        return TypeName(token.offset, token.text, is_reference)

    def _brackets(self) -> tuple[bool, int | None]:
        if not self._take("["):
            return False, None
        size = None
        if not self._is("]"):
            literal = self._number() if self.tokens[self.at].kind == t.NUMBER else None
            if literal is None or not isinstance(literal.value, int) or not 0 < literal.value < 2**31:
                raise self._expected("the size of the array, or ']'")
            size = literal.value
        self._punctuation("]")
        return True, size

    # Instances

    def _instance(self, qualifiers: tuple[QualifierUse, ...]) -> InstanceDeclaration:
        if not self._takes("of"):
            raise self._expected("'of' after instance", status=WbemStatus.WBEMMOF_E_INVALID_INSTANCE_DECLARATION)
        name = self._identifier("the name of a class", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME)
        alias = self._alias()
        assignments: list[Assignment] = []
        with self._nested():
            self._punctuation("{")
            while not self._ends_body():
                with self._recovering(inside=True):
                    assignments.append(self._assignment())
        return InstanceDeclaration(name.offset, name.text, alias, qualifiers, tuple(assignments))

    def _assignment(self) -> Assignment:
        qualifiers = self._qualifiers()
        name = self._identifier("the name of a property", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME)
        self._punctuation("=")
        value = self._value()
        self._punctuation(";", "';' after the value")
        return Assignment(name.offset, name.text, value, qualifiers)

    def _alias(self) -> str | None:
        if not self._takes("as"):
            return None
        token = self.tokens[self.at]
        if self.depth:
            raise self._expected(
                "'{': an embedded object has no alias", status=WbemStatus.WBEMMOF_E_ALIASES_IN_EMBEDDED
            )
        if token.kind != t.ALIAS or len(token.text) < 2:
            raise self._expected("$ and the name of the alias", status=WbemStatus.WBEMMOF_E_EXPECTED_ALIAS_NAME)
        self.at += 1
        return token.text[1:]

    # Qualifiers

    def _qualifiers(self) -> tuple[QualifierUse, ...]:
        if not self._take("["):
            return ()
        found = []
        while True:
            found.append(self._qualifier())
            if not self._take(","):
                break
        self._punctuation("]", "',' or ']' after the qualifier")
        return tuple(found)

    def _qualifier(self) -> QualifierUse:
        name = self._identifier("the name of a qualifier", WbemStatus.WBEMMOF_E_EXPECTED_QUALIFIER_NAME)
        value: Value | None = None
        if self._take("("):
            value = self._constant()
            self._punctuation(")", "')' after the qualifier's value")
        elif self._is("{"):
            value = self._constant()
        flavors = self._flavors() if self._take(":") else ()
        return QualifierUse(name.offset, name.text, value, flavors)

    def _flavors(self) -> tuple[str, ...]:
        found = [self._flavor()]
        while self.tokens[self.at].kind == t.IDENTIFIER:
            found.append(self._flavor())
        return tuple(found)

    def _flavor(self) -> str:
        token = self._identifier("a flavor", WbemStatus.WBEMMOF_E_EXPECTED_FLAVOR_TYPE)
        if token.text.lower() not in FLAVORS:
            self.at -= 1
            raise self._expected("a flavor", status=WbemStatus.WBEMMOF_E_EXPECTED_FLAVOR_TYPE)
        return token.text.lower()

    # Values

    def _constant(self) -> Value:
        """A qualifier's value: a literal, or an array of literals."""
        value = self._value()
        parts = value.items if isinstance(value, ArrayLiteral) else (value,)
        for part in parts:
            if not isinstance(part, Literal):
                raise MofError(
                    "a qualifier's value is a constant",
                    self.source.at(part.offset),
                    WbemStatus.WBEMMOF_E_INVALID_QUALIFIER_SYNTAX,
                )
        return value

    def _value(self, *, in_array: bool = False) -> Value:
        token = self.tokens[self.at]
        if token.kind == t.STRING:
            return Literal(token.offset, LiteralKind.STRING, self._string())
        if token.kind == t.NUMBER:
            return self._number()
        if token.kind == t.CHAR:
            self.at += 1
            return Literal(token.offset, LiteralKind.CHAR, self._unescaped(token))
        if token.kind == t.ALIAS and len(token.text) > 1:
            self.at += 1
            return AliasUse(token.offset, token.text[1:])
        if token.kind == t.IDENTIFIER and token.text.lower() in _WORDS:
            self.at += 1
            return Literal(token.offset, *_WORDS[token.text.lower()])
        if token.text == "{" and not in_array:
            return self._array()
        qualifiers = self._qualifiers()
        if self._takes("instance"):
            return self._instance(qualifiers)
        if self._takes("class"):
            return self._class(qualifiers)
        raise self._expected("a value", status=WbemStatus.WBEMMOF_E_ILLEGAL_CONSTANT_VALUE)

    def _array(self) -> ArrayLiteral:
        start = self._next()
        items = []
        while not self._is("}"):
            items.append(self._value(in_array=True))
            if not self._take(","):
                break
        self._punctuation("}", "',' or '}' after the element")
        return ArrayLiteral(start.offset, tuple(items))

    def _string(self) -> str:
        """Adjacent strings are one."""
        parts = []
        while self.tokens[self.at].kind == t.STRING:
            parts.append(self._unescaped(self._next()))
        return "".join(parts)

    def _unescaped(self, token: Token) -> str:
        body = token.text[1:-1]
        if "\\" not in body:
            return body

        def replaced(match: re.Match[str]) -> str:
            if match["code"] is not None:
                return chr(int(match["code"], 16))
            character = _ESCAPES.get(match["other"])
            if character is None:
                raise MofError(
                    f"{match[0]} is no escape: a backslash itself is written \\\\",
                    self.source.at(token.offset + 1 + match.start()),
                    WbemStatus.WBEMMOF_E_ILLEGAL_CONSTANT_VALUE,
                )
            return character

        return _ESCAPE.sub(replaced, body)

    def _number(self) -> Literal:
        token = self._next()
        text = token.text.lower()
        if len(text) > _MAX_NUMBER:
            self.at -= 1
            raise self._expected(f"a number of at most {_MAX_NUMBER} characters")
        sign = -1 if text[0] == "-" else 1
        digits = text.lstrip("+-")
        if digits.startswith("0x"):
            value = int(digits[2:], 16)
        elif digits.endswith("b"):
            value = int(digits[:-1], 2)
        elif not digits.isdigit():
            return Literal(token.offset, LiteralKind.REAL, float(text))
        elif digits[0] == "0" and digits.strip("01234567") == "":
            value = int(digits, 8)
        else:
            value = int(digits)
        return Literal(token.offset, LiteralKind.INTEGER, sign * value)

    # Tokens

    def _next(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def _is(self, punctuation: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == t.PUNCTUATION and token.text == punctuation

    def _take(self, punctuation: str) -> bool:
        if self._is(punctuation):
            self.at += 1
            return True
        return False

    def _punctuation(self, punctuation: str, expected: str = "") -> None:
        if not self._take(punctuation):
            raise self._expected(expected or f"'{punctuation}'", status=_STATUS.get(punctuation))

    def _is_word(self, word: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == t.IDENTIFIER and token.text.lower() == word

    def _takes(self, word: str) -> bool:
        if self._is_word(word):
            self.at += 1
            return True
        return False

    def _identifier(self, what: str, status: int | None = None) -> Token:
        token = self.tokens[self.at]
        if token.kind != t.IDENTIFIER or not is_identifier(token.text):
            raise self._expected(what, status=status)
        self.at += 1
        return token

    # Mistakes

    def _expected(self, what: str, *, status: int | None = None) -> MofError:
        token = self.tokens[self.at]
        where = self.source.at(token.offset)
        if token.kind == t.BAD:
            return MofError(_bad(token.text), where, WbemStatus.WBEMMOF_E_UNRECOGNIZED_TOKEN)
        found = "the text ends" if token.kind == t.END else f"found {_shown(token.text)}"
        return MofError(f"expected {what}; {found}", where, status or WbemStatus.WBEMMOF_E_UNRECOGNIZED_TOKEN)

    @contextmanager
    def _nested(self) -> Iterator[None]:
        if self.depth >= MAX_DEPTH:
            raise self._expected(f"objects embedded at most {MAX_DEPTH} deep")
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def _ends_body(self) -> bool:
        """Takes the ``}`` that ends a body; an error if the text ends first, unless one before explains that."""
        if self._take("}"):
            return True
        if self.errors and self._begins_declaration():
            raise _Abandoned
        if self.tokens[self.at].kind == t.END:
            raise self._expected("'}'", status=WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_BRACE)
        return False

    def _begins_declaration(self) -> bool:
        """Whether what follows can be no member of a class or an instance."""
        first, second, third = (self.tokens[min(self.at + i, len(self.tokens) - 1)] for i in range(3))
        if first.kind in (t.DIRECTIVE, t.END):
            return True
        if self._is_word("instance"):
            return second.text.lower() == "of" and third.kind == t.IDENTIFIER
        return self._is_word("class") and second.kind == t.IDENTIFIER and third.text.lower() in ("{", ":", "as")

    @contextmanager
    def _recovering(self, *, inside: bool = False) -> Iterator[None]:
        """Notes a mistake in what runs within, and goes on behind the next ``;`` of that level.

        The outermost object's body recovers for itself; in an embedded object the whole member of the outermost one is
        given up, since its own braces cannot be trusted any more.
        """
        start = self.at
        try:
            yield
        except _Abandoned:
            if inside:
                raise
        except MofError as error:
            if inside and self.depth > 1:
                raise
            self.errors.append(error)
            if len(self.errors) >= MAX_ERRORS:
                raise _TooMany from None
            self._skip(start, inside=inside)

    def _skip(self, start: int, *, inside: bool) -> None:
        """From where the mistake is to behind the next ``;`` that no brace opened since `start` encloses.

        Only braces count: they alone can hold a ``;``. Inside a body the ``}`` that closes it ends the search and is
        left; at the top level whatever begins a declaration does.
        """
        stopped = self.at
        self.at = start
        level = 0
        while (token := self.tokens[self.at]).kind != t.END:
            if token.text == "{":
                level += 1
            elif token.text == "}":
                if inside and level == 0 and self.at >= stopped:
                    return
                level = max(0, level - 1)
            elif self.at >= stopped and level == 0 and token.text == ";":
                self.at += 1
                return
            elif self.at > stopped and level == 0 and not inside and self._begins_declaration():
                return
            self.at += 1


def _is_simple_type(name: str) -> bool:
    try:
        return CimType.named(name) not in (CimType.OBJECT, CimType.REFERENCE)
    except SyntaxProblem:
        return False


def _shown(text: str) -> str:
    return f"{text[:37]}..." if len(text) > 40 else text


def _bad(text: str) -> str:
    if text.startswith("/*"):
        return "this comment has no end"
    if text.startswith('"'):
        return "this string has no end on its line"
    if text.startswith("'"):
        return "this is not one character in single quotes"
    if text[0].isdigit() or text[0] in "+-.":
        return f"{_shown(text)} is not a number"
    return f"{text!r} means nothing in MOF"
