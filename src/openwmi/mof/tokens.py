"""MOF's tokens (DSP0004 annex A; the MOF pages of the WMI documentation).

`tokenize` turns a text into a list that ends with an ``end`` token. It raises nothing: what is no token becomes a
``bad`` one, whose place the parser reports when it gets there. Time is linear in the text's length.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = [
    "ALIAS",
    "BAD",
    "CHAR",
    "DIRECTIVE",
    "END",
    "IDENTIFIER",
    "NUMBER",
    "PUNCTUATION",
    "STRING",
    "Token",
    "tokenize",
]

IDENTIFIER: Final = "identifier"
STRING: Final = "string"
CHAR: Final = "char"
NUMBER: Final = "number"
ALIAS: Final = "alias"
PUNCTUATION: Final = "punctuation"
DIRECTIVE: Final = "directive"
BAD: Final = "bad"
END: Final = "end"


class Token(NamedTuple):
    """A token: its kind, its text as it was written, and where it begins."""

    kind: str
    text: str
    offset: int


# Letters are those of DSP0004 (U+0080 to U+FFEF) without the spaces among them: documents pasted from the web are full
# of no-break spaces, and a name that contains one is never what its author meant.
_LETTER: Final = (
    r"A-Za-z_\u0080-\u0084\u0086-\u009f\u00a1-\u167f\u1681-\u1fff\u200c-\u2027\u202a-\u202e"
    r"\u2030-\u205e\u2060-\u2fff\u3001-\ufefe\uff00-\uffef"
)
_NAME: Final = rf"[{_LETTER}][0-9{_LETTER}]*"

_MASTER: Final = re.compile(
    rf"""
      (?:[\s\u200b\ufeff]+ | //[^\r\n]* | /\*[\s\S]*?\*/)+
    | (?P<identifier>{_NAME})
    | (?P<punctuation>[\[\]{{}}():;,=])
    | (?P<string>"[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*")
    | (?P<number>
          [-+]?(?:0[xX][0-9A-Fa-f]+ | [01]+[bB] | (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
          (?![0-9{_LETTER}.]) )
    | (?P<char>'(?:[^'\\\r\n]|\\x[0-9A-Fa-f]{{1,4}}|\\.)')
    | (?P<alias>\$(?:{_NAME})?)
    | (?P<directive>\#[ \t]*(?:[A-Za-z]+)?)
    | (?P<bad>/\*[\s\S]* | ["'][^\r\n]* | [-+.0-9][0-9{_LETTER}.]* | .)
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, without blanks and comments, and an ``end`` token after them."""
    tokens = [
        Token(match.lastgroup, match[0], match.start())
        for match in _MASTER.finditer(text)
        if match.lastgroup is not None
    ]
    tokens.append(Token(END, "", len(text)))
    return tokens
