"""Whatever the text, a compilation ends in items or in `MofErrors`, soon."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.mof.tokens import tokenize

from .support import SAMPLE, survives

PIECES = [*set(tokenize(SAMPLE).texts), "\x00", "\\", '"', "/*", "\ud800", "é", "'", "0x", "1e999", " "]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join))
def test_any_order_of_tokens(text: str) -> None:
    survives(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    survives(text)


def test_a_mutated_sample() -> None:
    rng = random.Random(5)
    for _ in range(400):
        text = SAMPLE
        for _ in range(rng.randint(1, 4)):
            at, length = rng.randrange(len(text)), rng.choice((0, 1, 1, 5, 40))
            text = text[:at] + rng.choice((*PIECES, "")) + text[at + length :]
        survives(text)


def test_a_truncated_sample() -> None:
    for end in range(0, len(SAMPLE), 7):
        survives(SAMPLE[:end])


@pytest.mark.parametrize(
    "text",
    [
        "/*" * 200_000,
        '"' * 200_001,
        "'" * 200_000,
        "\\" * 200_000,
        "(" * 200_000,
        "[" * 200_000,
        "{" * 200_000,
        "class A { " * 50_000,
        "class A { uint32 m(" + "uint32 a, " * 50_000,
        "1" * 400_000,
        "instance of A { a = " + '"x" ' * 100_000,
        "instance of A { a = {" + "1, " * 100_000,
        "[" + "a, " * 100_000,
        "#pragma a(" + "b, " * 100_000,
        '"' + "\\\\" * 200_000,
        "$" * 200_000,
        "-" * 200_000,
        "0b" * 100_000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(60)
def test_large_nonsense_takes_no_time(text: str) -> None:
    survives(text)
