"""Each target's invariant holds for its seeds, for some mutations of them, and for whatever was found before."""

from __future__ import annotations

import pytest

from fuzz import engine


@pytest.mark.parametrize("name", engine.names())
def test_seeds(name: str) -> None:
    target = engine.load(name)
    assert target.__doc__
    for seed in target.seeds():
        target.check(seed)
        target.check(seed[:-1])
        target.check(seed[: len(seed) // 2])


@pytest.mark.parametrize("name", engine.names())
def test_what_was_found(name: str) -> None:
    target = engine.load(name)
    for path in engine.found(name):
        target.check(path.read_bytes())
