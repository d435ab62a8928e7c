"""Where static classes and instances live: the `Store` protocol, and its two implementations."""

from openwmi.repository.memory import MemoryStore
from openwmi.repository.sqlite import SqliteStore
from openwmi.repository.store import Store

__all__ = ["MemoryStore", "SqliteStore", "Store"]
