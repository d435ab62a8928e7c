"""MOF's tokens (DSP0004 annex A; the MOF pages of the WMI documentation).

`tokenize` turns a text into `Tokens`, the last of which is ``end``. It raises nothing: what is no token becomes a
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
    "Tokens",
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


class Tokens(NamedTuple):
    """The tokens of a text: of each its kind, its text as it was written, and where it begins.

    Three lists, since a large schema has hundreds of thousands of tokens, each looked at a few times.
    """

    kinds: list[str]
    texts: list[str]
    starts: list[int]


# Letters are those of DSP0004 (U+0080 to U+FFEF) without the spaces among them: documents pasted from the web are full
# of no-break spaces, and a name that contains one is never what its author meant. Surrogates are no characters.
_LETTER: Final = (
    r"A-Za-z_\u0080-\u0084\u0086-\u009f\u00a1-\u167f\u1681-\u1fff\u200c-\u2027\u202a-\u202e"
    r"\u2030-\u205e\u2060-\u2fff\u3001-\ud7ff\ue000-\ufefe\uff00-\uffef"
)
_NAME: Final = rf"[{_LETTER}][0-9{_LETTER}]*+"
_STRING: Final = r'"[^"\\\r\n]*+(?>(?:\\.[^"\\\r\n]*+)*)"'

# Blanks and comments belong to the token behind them, strings with only blanks between them are one token: both halve
# the number of matches. Nothing is given back once it matched (the possessive ``*+``), which keeps it linear. What is
# more than one character is repeated inside an atomic group, ``(?>(...)*)``, to the same end: early releases of Python
# 3.11 lose their place in a possessive repetition whose last attempt fails half way.
_MASTER: Final = re.compile(
    rf"""
    (?> (?: [\s\u200b\ufeff]++ | //[^\r\n]*+ | /\*[\s\S]*?\*/ )* )
    (?:
      (?P<punctuation>[\[\]{{}}():;,=])
    | (?P<string>{_STRING}(?>(?:\s*+{_STRING})*))
    | (?P<identifier>{_NAME})
    | (?P<number>
          [-+]?(?:0[xX][0-9A-Fa-f]+ | [01]+[bB] | (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
          (?![0-9{_LETTER}.]) )
    | (?P<char>'(?:[^'\\\r\n]|\\x[0-9A-Fa-f]{{1,4}}|\\.)')
    | (?P<alias>\$(?:{_NAME})?)
    | (?P<directive>\#[ \t]*(?:[A-Za-z]+)?)
    | (?P<end>\Z)
    | (?P<bad>/\*[\s\S]* | ["'][^\r\n]* | [-+.0-9][0-9{_LETTER}.]* | .)
    )
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> Tokens:
    """The tokens of `text`, without blanks and comments, and an ``end`` token after them."""
    matches = list(_MASTER.finditer(text))
    kinds = [match.lastgroup or BAD for match in matches]
    # Behind blanks at the text's end there is its end, and then, as regular expressions have it, its end again.
    del kinds[kinds.index(END) + 1 :], matches[len(kinds) :]
    return Tokens(kinds, [m[m.lastindex or 0] for m in matches], [m.start(m.lastindex or 0) for m in matches])
