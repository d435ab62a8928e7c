"""LIKE: MS-WMI's table, a naive reference, and patterns that want to take long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.errors import SyntaxProblem
from openwmi.wql import escape_like
from openwmi.wql.like import compile_like, has_wildcards

TABLE = [
    # pattern, texts that match, texts that do not
    ("", [""], ["a"]),
    ("abc", ["abc", "ABC"], ["ab", "abcd", "xabc"]),
    ("%", ["", "a", "a\nb"], []),
    ("Win%", ["Win", "win32"], ["xWin", "Wi"]),
    ("%Win%", ["Win", "aWINb"], ["W in"]),
    ("%32", ["32", "Win32"], ["32x"]),
    ("a%b%c", ["abc", "aXbXc", "abcbc"], ["ab", "acb", "abcd"]),
    ("%ab%ba%", ["abba", "xabxbax"], ["aba", "ab"]),
    ("a%a", ["aa", "aba"], ["a"]),
    ("_", ["a", "%", "\n"], ["", "ab"]),
    ("a_c", ["abc", "a_c"], ["ac", "abbc"]),
    ("%_", ["a", "ab"], [""]),
    ("%[_][_]%", ["a__b"], ["a_b"]),
    ("[a-f]", ["a", "F", "c"], ["g", "-", ""]),
    ("[a=f]", ["a", "f", "C"], ["g", "="]),
    ("[abc]", ["a", "B"], ["d"]),
    ("[^a-f]", ["g", "1"], ["a", "F"]),
    ("[^ad-f]", ["b", "c", "g"], ["a", "d", "e", "f"]),
    ("[^]", ["^"], ["a", ""]),
    ("[a-]", ["a", "-"], ["b"]),
    ("[a=]", ["a", "="], ["b"]),
    ("[a^]", ["a", "^"], ["b"]),
    ("[%]", ["%"], ["a"]),
    ("[[]", ["["], ["a"]),
    ("[a-cx-z5]", ["b", "y", "5"], ["d", "6"]),
    ("[f-a]", [], ["a", "f", "c", "-"]),
    ("[A-F]", ["a", "F"], ["g"]),
    ("[]", [], ["a", "", "]"]),
    ("%[0-9]", ["a1", "1"], ["a"]),
    ("[a-b]%[^c]", ["ad", "bxd"], ["ac", "d"]),
    ("%a[bc]d%", ["xabdx", "aacd"], ["aad"]),
    ("\u0130%", ["\u0130x"], ["ix"]),
]


@pytest.mark.parametrize(("pattern", "matching", "others"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = compile_like(pattern)
    assert [text for text in (*matching, *others) if matches(text)] == matching


@pytest.mark.parametrize(("pattern", "place"), [("a[b", 1), ("[", 0), ("[a][", 3), ("[a]" * 257, 768)])
def test_patterns_that_are_none(pattern: str, place: int) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        compile_like(pattern)
    assert caught.value.position == place


def _naive(pattern: str) -> str:
    """The pattern as a regular expression, by reading the table once more."""
    out, at = "", 0
    while at < len(pattern):
        c = pattern[at]
        at += 1
        if c == "%":
            out += ".*"
        elif c == "_":
            out += "."
        elif c == "[":
            end = pattern.index("]", at)
            body, at = pattern[at:end], end + 1
            negated = body.startswith("^") and body != "^"
            body = body[1:] if negated else body
            members = ""
            for part in re.findall(r"[^^][-=].|.", body, re.DOTALL):
                members += f"{re.escape(part[0])}-{re.escape(part[2])}" if len(part) == 3 else re.escape(part)
            out += f"[{'^' if negated else ''}{members}]"
        else:
            out += re.escape(c)
    return out


LETTERS = st.text("abcA-_5", max_size=12)
BRACKETS = st.sampled_from(["[a-c]", "[a=b]", "[^a]", "[^a-b5]", "[_]", "[b-]", "[^]", "[A-B5]"])
PATTERNS = st.lists(st.sampled_from(["%", "_", "a", "b", "c", "5", "%", "aa", "-"]) | BRACKETS, max_size=8).map("".join)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, LETTERS)
def test_against_a_naive_reference(pattern: str, text: str) -> None:
    expected = re.fullmatch(_naive(pattern), text, re.DOTALL | re.IGNORECASE) is not None
    assert compile_like(pattern)(text) is expected


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_escaped_text_matches_itself_only(text: str, other: str) -> None:
    pattern = escape_like(text)
    assert compile_like(pattern)(text)
    assert compile_like(f"%{pattern}%")(other + text + other)
    if other.lower() != text.lower():
        assert not compile_like(pattern)(other)


@pytest.mark.parametrize(
    ("pattern", "expected"), [("abc", False), ("a%", True), ("_", True), ("[", True), ("]^-", False)]
)
def test_what_has_wildcards(pattern: str, expected: bool) -> None:
    assert has_wildcards(pattern) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%a" * 30 + "%b", "a" * 100_000),
        ("%a%" * 4000 + "b", "a" * 100_000),
        ("%" + "_" * 4000 + "x%", "a" * 50_000),
        ("%" + "a_" * 4000 + "b%", "a" * 50_000),
        ("%" + "[a-b]" * 200 + "c%", "ab" * 50_000),
        ("%[a]%" * 100 + "b", "".join(map(chr, range(0x4000, 0x9000)))),
    ],
)
@pytest.mark.timeout(60)
def test_no_pattern_is_dangerous(pattern: str, text: str) -> None:
    assert compile_like(pattern)(text) is False
