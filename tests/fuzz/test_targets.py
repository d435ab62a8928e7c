"""Each target's invariant holds for its seeds, for some mutations of them, and for whatever was found before."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import engine

FOUND = [(name, path) for name in engine.names() for path in engine.found(name)]


@pytest.mark.parametrize("name", engine.names())
def test_seeds(name: str) -> None:
    target = engine.load(name)
    assert target.__doc__
    for seed in target.seeds():
        target.check(seed)
        target.check(seed[:-1])
        target.check(seed[: len(seed) // 2])


@pytest.mark.parametrize(("name", "path"), FOUND, ids=[f"{name}/{path.stem[:16]}" for name, path in FOUND])
def test_what_was_found(name: str, path: Path) -> None:
    engine.load(name).check(path.read_bytes())
