from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openwmi.repository import MemoryStore, SqliteStore
from tests.repository.models import NS, SCHEMA


@pytest.fixture(params=["sqlite", "memory"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with nothing in it, of each kind."""
    with MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "repository.db") as store:
        yield store


@pytest.fixture
def store(empty: SqliteStore) -> SqliteStore:
    """A store with a namespace and the schema of `models`."""
    empty.create_namespace("root")
    empty.create_namespace(NS)
    for cls in SCHEMA:
        empty.put_class(NS, cls)
    return empty
