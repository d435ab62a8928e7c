"""The patterns of LIKE (MS-WMI 2.2.1.1).

    %       any text                    _      any one character
    [abc]   one of these                [a-f]  one of a range, as well as [a=f]
    [^abc]  one that is none of these   [^]    a caret

In brackets nothing else is special. A ``-`` or ``=`` that stands last is itself. Case does not count.

Matching takes time proportional to the text for any one pattern; there is no backtracking, so no pattern is dangerous.
A piece between two ``%`` is found at its leftmost place, which is never a mistake, since all that follows lies
to the right of it. A piece of plain characters is found by `str.find`; one with wildcards by the bit-parallel
"shift-and" method: bit i of the state says that the piece's first i+1 elements match what was read last.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from openwmi.cim import fold
from openwmi.errors import SyntaxProblem

__all__ = ["compile_like", "escape_like", "has_wildcards", "literal_part"]

_SPECIAL: Final = frozenset("%_[")
_LITERALS: Final = re.compile(r"[^%_\[]+")
_BRACKET: Final = re.compile(r"\[[^\]]*\]")
_MAX_BRACKETS: Final = 256  # what each new character of a text may have to be tried against
_MAX_MASKS: Final = 4096


@dataclass(frozen=True, slots=True)
class _OneOf:
    """A bracket: characters and ranges, or with `negated` all the others."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def matches(self, character: str) -> bool:
        # A range such as [A-F] means letters of either case, though the letters between Z and a are not one range.
        spellings = {character, character.upper(), character.lower()}
        found = any(low <= spelling <= high for low, high in self.ranges for spelling in spellings)
        return found is not self.negated


_Element: TypeAlias = str | _OneOf | None
"""A character, a bracket, or any character (None)."""
_Piece: TypeAlias = tuple[_Element, ...]


def has_wildcards(pattern: str) -> bool:
    """Whether anything in `pattern` is more than itself."""
    return not _SPECIAL.isdisjoint(pattern)


def escape_like(text: str) -> str:
    """`text` as the part of a pattern that matches just this text."""
    return "".join(f"[{character}]" if character in _SPECIAL else character for character in text)


def literal_part(pattern: str) -> str:
    """The longest run of characters that stand for themselves: every text that matches has it in it."""
    return max(_LITERALS.findall(_BRACKET.sub("%", pattern)), key=len, default="")


def compile_like(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a text matches. `SyntaxProblem` for a bracket that is not closed."""
    pieces = _pieces(pattern)
    if len(pieces) == 1:
        whole = _anchored(pieces[0])
        length = len(pieces[0])

        def matches_whole(text: str) -> bool:
            text = _folded(text)
            return len(text) == length and whole(text, 0)

        return matches_whole

    first, last = _anchored(pieces[0]), _anchored(pieces[-1])
    start, end = len(pieces[0]), len(pieces[-1])
    middle = [(_search(piece), len(piece)) for piece in pieces[1:-1] if piece]

    def matches(text: str) -> bool:
        text = _folded(text)
        stop = len(text) - end
        if stop < start or not first(text, 0) or not last(text, stop):
            return False
        at = start
        for find, length in middle:
            at = find(text, at, stop)
            if at < 0:
                return False
            at += length
        return True

    return matches


def _folded(text: str) -> str:
    """As `fold` has it, character by character where the whole would change its length (U+0130 becomes two)."""
    folded = fold(text)
    if len(folded) == len(text):
        return folded
    return "".join(f if len(f := fold(c)) == 1 else c for c in text)


def _pieces(pattern: str) -> list[_Piece]:
    """What stands between the ``%``: at least one piece, the first and the last of them perhaps empty."""
    pieces: list[_Piece] = []
    current: list[_Element] = []
    at = brackets = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "%":
            pieces.append(tuple(current))
            current = []
        elif character == "_":
            current.append(None)
        elif character == "[":
            end = pattern.find("]", at)
            if end < 0:
                raise SyntaxProblem(
                    "the bracket of the pattern is not closed: a bracket itself is written [[]", pattern, at - 1
                )
            brackets += 1
            if brackets > _MAX_BRACKETS:
                raise SyntaxProblem(f"a pattern has at most {_MAX_BRACKETS} brackets", pattern, at - 1)
            current.append(_bracket(pattern[at:end]))
            at = end + 1
        else:
            current.append(_folded(character))
    pieces.append(tuple(current))
    return pieces


def _bracket(body: str) -> _OneOf:
    negated = len(body) > 1 and body[0] == "^"
    if negated:
        body = body[1:]
    ranges = []
    at = 0
    while at < len(body):
        low = high = body[at]
        at += 1
        if low != "^" and at + 1 < len(body) and body[at] in "-=":
            high = body[at + 1]
            at += 2
        ranges.append((low, high))
    return _OneOf(tuple(ranges), negated)


def _fits(element: _Element, character: str) -> bool:
    if element is None:
        return True
    return element == character if isinstance(element, str) else element.matches(character)


def _anchored(piece: _Piece) -> Callable[[str, int], bool]:
    """Whether the piece matches at one place, where the text is known to be long enough."""
    plain = _plain(piece)
    if plain is not None:
        return lambda text, at: text.startswith(plain, at)
    return lambda text, at: all(_fits(element, text[at + i]) for i, element in enumerate(piece))


def _plain(piece: _Piece) -> str | None:
    return "".join(e for e in piece if isinstance(e, str)) if all(isinstance(e, str) for e in piece) else None


def _search(piece: _Piece) -> Callable[[str, int, int], int]:
    """Where the piece matches first within ``text[start:stop]``; -1 where it does not."""
    plain = _plain(piece)
    if plain is not None:
        return lambda text, start, stop: text.find(plain, start, stop)
    places: dict[_Element, int] = {}
    for i, element in enumerate(piece):
        places[element] = places.get(element, 0) | 1 << i
    brackets = [(element, bits) for element, bits in places.items() if isinstance(element, _OneOf)]
    anywhere = places.get(None, 0)
    masks: dict[str, int] = {}
    goal = 1 << (len(piece) - 1)

    def mask_of(character: str) -> int:
        mask = anywhere | places.get(character, 0)
        for bracket, bits in brackets:
            if bracket.matches(character):
                mask |= bits
        if len(masks) < _MAX_MASKS:
            masks[character] = mask
        return mask

    def find(text: str, start: int, stop: int) -> int:
        state = 0
        for at in range(start, stop):
            character = text[at]
            mask = masks.get(character)
            if mask is None:
                mask = mask_of(character)
            state = ((state << 1) | 1) & mask
            if state & goal:
                return at - len(piece) + 1
        return -1

    return find
