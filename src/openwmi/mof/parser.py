"""From MOF text to its parse tree: recursive descent over the tokens.

The language is all of DSP0004's MOF as WMI takes it: classes, instances, qualifier declarations in both forms,
aliases, default values, embedded instances and classes, references, methods, arrays, every form of number, adjacent
strings, pragmas and includes. Keywords are not reserved: they mean something only where the grammar has them.

A mistake does not end the parse. What is broken is skipped to the next ``;`` on its level, so that every mistake of a
file is found; then `MofErrors` has them all. Nothing else is raised, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from openwmi.mof import tokens as t
from openwmi.mof.errors import MAX_ERRORS, MofError, MofErrors
from openwmi.mof.source import Source
from openwmi.mof.tokens import tokenize
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
from openwmi.mof.types import simple_type
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
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
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
R = TypeVar("R")
_TEXT: Final = LiteralKind.STRING
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
        self.kinds, self.texts, self.starts = tokenize(source.text)
        self.at = 0
        self.depth = 0
        self.errors: list[MofError] = []

    def parse(self) -> MofFile:
        found: list[Declaration] = []
        try:
            while self.kinds[self.at] != t.END:
                declaration = self._recovering(self._declaration)
                if declaration is not None:
                    found.append(declaration)
        except _TooMany:
            pass
        if self.errors:
            raise MofErrors(self.errors)
        return MofFile(self.source, tuple(found))

    # What stands at the top level

    def _declaration(self) -> Declaration:
        if self.kinds[self.at] == t.DIRECTIVE:
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
        offset = self.starts[self.at]
        word = self._next()[1:].strip().lower()
        if word == "include":
            return Pragma(offset, "include", self._arguments(required=True))
        if word != "pragma":
            self.at -= 1
            raise self._expected("#pragma or #include", status=WbemStatus.WBEMMOF_E_INVALID_PRAGMA)
        name = self._identifier("the name of a pragma", WbemStatus.WBEMMOF_E_INVALID_PRAGMA)
        return Pragma(offset, name.lower(), self._arguments(required=False))

    def _arguments(self, *, required: bool) -> tuple[str, ...]:
        """``("text", word, ...)``. A semicolon after it does no harm: people write one."""
        found = []
        if required or self._is("("):
            self._punctuation("(")
            while not self._is(")"):
                kind = self.kinds[self.at]
                if kind == t.STRING:
                    found.append(self._string())
                elif kind in (t.IDENTIFIER, t.NUMBER):
                    found.append(self._next())
                else:
                    raise self._expected("a string or a word", status=WbemStatus.WBEMMOF_E_INVALID_PRAGMA)
                if not self._take(","):
                    break
            self._punctuation(")")
        self._take(";")
        return tuple(found)

    def _qualifier_declaration(self) -> QualifierDeclaration:
        offset = self.starts[self.at]
        name = self._identifier("the name of a qualifier", WbemStatus.WBEMMOF_E_EXPECTED_QUALIFIER_NAME)
        self._punctuation(":")
        if self.kinds[self.at] == t.IDENTIFIER and self.texts[self.at].lower() in FLAVORS:
            flavors = self._flavors()
            self._punctuation(";")
            return QualifierDeclaration(offset, name, None, False, None, (), flavors)
        type_ = self._type("the type of the qualifier, or a flavor")
        is_array, _ = self._brackets()
        default = self._value() if self._take("=") else None
        lists: dict[str, tuple[str, ...]] = {}
        while self._take(","):
            word = self._identifier("scope or flavor", WbemStatus.WBEMMOF_E_INVALID_QUALIFIER_SYNTAX).lower()
            if word not in ("scope", "flavor") or word in lists:
                self.at -= 1
                raise self._expected("one scope(...) and one flavor(...)")
            lists[word] = self._words(check_flavors=word == "flavor")
        self._punctuation(";")
        return QualifierDeclaration(
            offset, name, type_, is_array, default, lists.get("scope", ()), lists.get("flavor", ())
        )

    def _words(self, *, check_flavors: bool) -> tuple[str, ...]:
        self._punctuation("(")
        words = []
        while True:
            words.append(self._flavor() if check_flavors else self._identifier("a scope").lower())
            if not self._take(","):
                break
        self._punctuation(")")
        return tuple(words)

    # Classes

    def _class(self, qualifiers: tuple[QualifierUse, ...]) -> ClassDeclaration:
        offset = self.starts[self.at]
        name = self._identifier("the name of the class", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME)
        alias = self._alias()
        superclass, superclass_offset = None, offset
        if self._take(":"):
            superclass_offset = self.starts[self.at]
            superclass = self._identifier("the name of the superclass", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME)
        properties: list[ElementDeclaration] = []
        methods: list[MethodDeclaration] = []
        with self._nested():
            self._punctuation("{")
            while not self._ends_body():
                member = self._recovering(self._member, inside=True)
                if isinstance(member, MethodDeclaration):
                    methods.append(member)
                elif member is not None:
                    properties.append(member)
        return ClassDeclaration(
            offset, name, superclass, superclass_offset, alias, qualifiers, tuple(properties), tuple(methods)
        )

    def _member(self) -> ElementDeclaration | MethodDeclaration:
        qualifiers = self._qualifiers()
        returns = None
        if self._is_word("void") and self.kinds[self.at + 1] == t.IDENTIFIER:
            self.at += 1
        else:
            returns = self._type("the type of a property or a method")
        offset = self.starts[self.at]
        name = self._identifier("the name of the property or the method", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME)
        if self.texts[self.at] == "(":
            parameters = self._parameters()
            self._punctuation(";", "';' after the method")
            return MethodDeclaration(offset, name, returns, parameters, qualifiers)
        if returns is None:
            raise self._expected(f"'(': only the method {name} can be void")
        declared = self._element(offset, name, returns, qualifiers)
        self._punctuation(";", "';' after the property")
        return declared

    def _element(
        self, offset: int, name: str, type_: TypeName, qualifiers: tuple[QualifierUse, ...]
    ) -> ElementDeclaration:
        is_array, size = self._brackets()
        value = self._value() if self._take("=") else None
        return ElementDeclaration(offset, name, type_, is_array, size, value, qualifiers)

    def _parameters(self) -> tuple[ElementDeclaration, ...]:
        self._punctuation("(")
        found: list[ElementDeclaration] = []
        while not self._is(")"):
            if len(found) >= _MAX_PARAMETERS:
                raise self._expected(f"at most {_MAX_PARAMETERS:,} parameters")
            qualifiers = self._qualifiers()
            type_ = self._type("the type of a parameter")
            offset = self.starts[self.at]
            name = self._identifier("the name of the parameter", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME)
            found.append(self._element(offset, name, type_, qualifiers))
            if not self._take(","):
                break
        self._punctuation(")", "',' or ')' after the parameter" if found else "')'")
        return tuple(found)

    def _type(self, what: str) -> TypeName:
        offset = self.starts[self.at]
        name = self._identifier(what, WbemStatus.WBEMMOF_E_EXPECTED_TYPE_IDENTIFIER)
        is_reference = self._takes("ref")
        if is_reference and simple_type(name) is not None:
            self.at -= 2
            raise self._expected("the class that ref points to", status=WbemStatus.WBEMMOF_E_UNRECOGNIZED_TYPE)
        return TypeName(offset, name, is_reference)

    def _brackets(self) -> tuple[bool, int | None]:
        if not self._take("["):
            return False, None
        size = None
        if not self._is("]"):
            literal = self._number() if self.kinds[self.at] == t.NUMBER else None
            if literal is None or not isinstance(literal.value, int) or not 0 < literal.value < 2**31:
                raise self._expected("the size of the array, or ']'")
            size = literal.value
        self._punctuation("]")
        return True, size

    # Instances

    def _instance(self, qualifiers: tuple[QualifierUse, ...]) -> InstanceDeclaration:
        if not self._takes("of"):
            raise self._expected("'of' after instance", status=WbemStatus.WBEMMOF_E_INVALID_INSTANCE_DECLARATION)
        offset = self.starts[self.at]
        name = self._identifier("the name of a class", WbemStatus.WBEMMOF_E_EXPECTED_CLASS_NAME)
        alias = self._alias()
        assignments: list[Assignment] = []
        with self._nested():
            self._punctuation("{")
            while not self._ends_body():
                assignment = self._recovering(self._assignment, inside=True)
                if assignment is not None:
                    assignments.append(assignment)
        return InstanceDeclaration(offset, name, alias, qualifiers, tuple(assignments))

    def _assignment(self) -> Assignment:
        qualifiers = self._qualifiers()
        offset = self.starts[self.at]
        name = self._identifier("the name of a property", WbemStatus.WBEMMOF_E_EXPECTED_PROPERTY_NAME)
        self._punctuation("=")
        value = self._value()
        self._punctuation(";", "';' after the value")
        return Assignment(offset, name, value, qualifiers)

    def _alias(self) -> str | None:
        if not self._takes("as"):
            return None
        if self.depth:
            raise self._expected(
                "'{': an embedded object has no alias", status=WbemStatus.WBEMMOF_E_ALIASES_IN_EMBEDDED
            )
        text = self.texts[self.at]
        if self.kinds[self.at] != t.ALIAS or len(text) < 2:
            raise self._expected("$ and the name of the alias", status=WbemStatus.WBEMMOF_E_EXPECTED_ALIAS_NAME)
        self.at += 1
        return text[1:]

    # Qualifiers

    def _qualifiers(self) -> tuple[QualifierUse, ...]:
        if self.texts[self.at] != "[":
            return ()
        self.at += 1
        found = [self._qualifier()]
        while self._take(","):
            found.append(self._qualifier())
        self._punctuation("]", "',' or ']' after the qualifier")
        return tuple(found)

    def _qualifier(self) -> QualifierUse:
        offset = self.starts[self.at]
        name = self._identifier("the name of a qualifier", WbemStatus.WBEMMOF_E_EXPECTED_QUALIFIER_NAME)
        value: Value | None = None
        follows = self.texts[self.at]
        if follows == "(":
            self.at += 1
            value = self._constant()
            self._punctuation(")", "')' after the qualifier's value")
        elif follows == "{":
            value = self._constant()
        flavors = self._flavors() if self._take(":") else ()
        return QualifierUse(offset, name, value, flavors)

    def _flavors(self) -> tuple[str, ...]:
        found = [self._flavor()]
        while self.kinds[self.at] == t.IDENTIFIER:
            found.append(self._flavor())
        return tuple(found)

    def _flavor(self) -> str:
        word = self._identifier("a flavor", WbemStatus.WBEMMOF_E_EXPECTED_FLAVOR_TYPE).lower()
        if word not in FLAVORS:
            self.at -= 1
            raise self._expected("a flavor", status=WbemStatus.WBEMMOF_E_EXPECTED_FLAVOR_TYPE)
        return word

    # Values

    def _constant(self) -> Value:
        """A qualifier's value: a literal, or an array of literals."""
        value = self._value()
        for part in value.items if isinstance(value, ArrayLiteral) else (value,):
            if not isinstance(part, Literal):
                raise MofError(
                    "a qualifier's value is a constant",
                    self.source.at(part.offset),
                    WbemStatus.WBEMMOF_E_INVALID_QUALIFIER_SYNTAX,
                )
        return value

    def _value(self, *, in_array: bool = False) -> Value:
        kind, text = self.kinds[self.at], self.texts[self.at]
        if kind == t.STRING:
            offset = self.starts[self.at]
            return Literal(offset, _TEXT, self._string())
        if text == "{" and not in_array:
            return self._array()
        if kind == t.NUMBER:
            return self._number()
        if kind == t.CHAR:
            offset = self.starts[self.at]
            self.at += 1
            return Literal(offset, LiteralKind.CHAR, self._unescaped(text[1:-1], self.at - 1))
        if kind == t.ALIAS and len(text) > 1:
            self.at += 1
            return AliasUse(self.starts[self.at - 1], text[1:])
        if kind == t.IDENTIFIER and text.lower() in _WORDS:
            self.at += 1
            return Literal(self.starts[self.at - 1], *_WORDS[text.lower()])
        qualifiers = self._qualifiers()
        if self._takes("instance"):
            return self._instance(qualifiers)
        if self._takes("class"):
            return self._class(qualifiers)
        raise self._expected("a value", status=WbemStatus.WBEMMOF_E_ILLEGAL_CONSTANT_VALUE)

    def _array(self) -> ArrayLiteral:
        kinds, texts, starts = self.kinds, self.texts, self.starts
        offset = starts[self.at]
        self.at += 1
        items: list[Value] = []
        while texts[self.at] != "}":
            if kinds[self.at] == t.STRING:  # as nearly every element is
                items.append(Literal(starts[self.at], _TEXT, self._string()))
            else:
                items.append(self._value(in_array=True))
            if texts[self.at] != ",":
                break
            self.at += 1
        self._punctuation("}", "',' or '}' after the element")
        return ArrayLiteral(offset, tuple(items))

    def _string(self) -> str:
        """Adjacent strings are one. Those with only blanks between them are one token already."""
        joined = ""
        kinds, at = self.kinds, self.at
        while kinds[at] == t.STRING:
            text = self.texts[at]
            if "\\" in text:
                joined += self._unescaped("".join(_STRING.findall(text)), at)
            elif '"' in text[1:-1]:
                joined += "".join(text.split('"')[1::2])
            else:
                joined += text[1:-1]
            at += 1
        self.at = at
        return joined

    def _unescaped(self, body: str, token: int) -> str:
        """`body`, which the token at that index holds, with its escapes resolved."""
        if "\\" not in body:
            return body
        return _ESCAPE.sub(lambda match: self._escaped(match, token), body)

    def _escaped(self, match: re.Match[str], token: int) -> str:
        if match["code"] is not None:
            return chr(int(match["code"], 16))
        character = _ESCAPES.get(match["other"])
        if character is not None:
            return character
        text = self.texts[token]
        bad = next(m for m in _ESCAPE.finditer(text) if m["code"] is None and m["other"] not in _ESCAPES)
        raise MofError(
            f"{bad[0]} is no escape: a backslash itself is written \\\\",
            self.source.at(self.starts[token] + bad.start()),
            WbemStatus.WBEMMOF_E_ILLEGAL_CONSTANT_VALUE,
        )

    def _number(self) -> Literal:
        offset = self.starts[self.at]
        text = self._next().lower()
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
            return Literal(offset, LiteralKind.REAL, float(text))
        elif digits[0] == "0" and digits.strip("01234567") == "":
            value = int(digits, 8)
        else:
            value = int(digits)
        return Literal(offset, LiteralKind.INTEGER, sign * value)

    # Tokens

    def _next(self) -> str:
        self.at += 1
        return self.texts[self.at - 1]

    def _is(self, punctuation: str) -> bool:
        return self.texts[self.at] == punctuation  # which no token of another kind is

    def _take(self, punctuation: str) -> bool:
        if self.texts[self.at] == punctuation:
            self.at += 1
            return True
        return False

    def _punctuation(self, punctuation: str, expected: str = "") -> None:
        if self.texts[self.at] != punctuation:
            raise self._expected(expected or f"'{punctuation}'", status=_STATUS.get(punctuation))
        self.at += 1

    def _is_word(self, word: str) -> bool:
        return self.texts[self.at].lower() == word  # which only an identifier can be

    def _takes(self, word: str) -> bool:
        if self.texts[self.at].lower() == word:
            self.at += 1
            return True
        return False

    def _identifier(self, what: str, status: int | None = None) -> str:
        if self.kinds[self.at] != t.IDENTIFIER:
            raise self._expected(what, status=status)
        self.at += 1
        return self.texts[self.at - 1]

    # Mistakes

    def _expected(self, what: str, *, status: int | None = None) -> MofError:
        kind, text = self.kinds[self.at], self.texts[self.at]
        where = self.source.at(self.starts[self.at])
        if kind == t.BAD:
            return MofError(_bad(text), where, WbemStatus.WBEMMOF_E_UNRECOGNIZED_TOKEN)
        found = "the text ends" if kind == t.END else f"found {_shown(text)}"
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
        if self.kinds[self.at] == t.END:
            raise self._expected("'}'", status=WbemStatus.WBEMMOF_E_EXPECTED_CLOSE_BRACE)
        return False

    def _begins_declaration(self) -> bool:
        """Whether what follows can be no member of a class or an instance."""
        if self.kinds[self.at] in (t.DIRECTIVE, t.END):
            return True
        kinds, texts = self.kinds[self.at : self.at + 3], self.texts[self.at : self.at + 3]
        word = texts[0].lower()
        if word not in ("instance", "class") or len(kinds) < 3:
            return False
        if word == "instance":
            return texts[1].lower() == "of" and kinds[2] == t.IDENTIFIER
        return kinds[1] == t.IDENTIFIER and texts[2].lower() in ("{", ":", "as")

    def _recovering(self, rule: Callable[[], R], *, inside: bool = False) -> R | None:
        """What `rule` finds; after a mistake in it None, the mistake noted, behind the next ``;`` of that level.

        The outermost object's body recovers for itself; in an embedded object the whole member of the outermost one is
        given up, since its own braces cannot be trusted any more.
        """
        start = self.at
        try:
            return rule()
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
        return None

    def _skip(self, start: int, *, inside: bool) -> None:
        """From where the mistake is to behind the next ``;`` that no brace opened since `start` encloses.

        Only braces count: they alone can hold a ``;``. Inside a body the ``}`` that closes it ends the search and is
        left; at the top level whatever begins a declaration does.
        """
        stopped = self.at
        self.at = start
        level = 0
        while self.kinds[self.at] != t.END:
            text = self.texts[self.at]
            if text == "{":
                level += 1
            elif text == "}":
                if inside and level == 0 and self.at >= stopped:
                    return
                level = max(0, level - 1)
            elif self.at >= stopped and level == 0 and text == ";":
                self.at += 1
                return
            elif self.at > stopped and level == 0 and not inside and self._begins_declaration():
                return
            self.at += 1


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
