"""Where static classes and instances live: the `Store` protocol, and its two implementations."""

from openwmi.repository.conditions import Condition
from openwmi.repository.memory import MemoryStore
from openwmi.repository.sqlite import SqliteStore
from openwmi.repository.store import NamespaceInfo, RepositoryInfo, Store

__all__ = ["Condition", "MemoryStore", "NamespaceInfo", "RepositoryInfo", "SqliteStore", "Store"]
