"""The `Store` that nothing outlives: for tests, doubles, and a server without a repository.

It is the same SQLite, kept in memory, so that both behave the same in every corner.
"""

from __future__ import annotations

from openwmi.repository.sqlite import SqliteStore

__all__ = ["MemoryStore"]


class MemoryStore(SqliteStore):
    """Static objects in memory."""

    def __init__(self) -> None:
        super().__init__(None)
