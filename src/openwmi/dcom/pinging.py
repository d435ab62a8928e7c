"""Ping sets as a client keeps them: which objects of one resolver it still uses (MS-DCOM 3.2.6.1).

A server frees what nobody has pinged for three periods. `PingSet` says what to call next, once in a period, and is told
the answer; `openwmi.dcom.importer.Importer.ping` makes the calls.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, TypeAlias

from openwmi.status import HResult

__all__ = ["PingCall", "PingSet"]

# AddToSet and DelFromSet are counted in 16 bits; what is over is said with the next period's ping.
_MAX_CHANGES: Final = 10_000

PingCall: TypeAlias = tuple[str, dict[str, Any]]
"""A method of IObjectExporter and its parameters."""


class PingSet:
    """The objects of one resolver that are in use here, each as often as references to it are held."""

    def __init__(self) -> None:
        self._id = 0
        self._sequence = 0
        self._used: Counter[int] = Counter()
        self._named: set[int] = set()

    @property
    def is_over(self) -> bool:
        """Whether nothing is in use, and the resolver knows."""
        return not self._used and not self._named

    def hold(self, oid: int) -> None:
        """One more reference to the object."""
        self._used[oid] += 1

    def drop(self, oid: int) -> None:
        """One reference less."""
        self._used[oid] -= 1
        if self._used[oid] <= 0:
            del self._used[oid]

    def next_call(self) -> PingCall:
        """This period's ping: of the set as it is, or with what has changed."""
        added = tuple(oid for oid in self._used if oid not in self._named)[:_MAX_CHANGES]
        deleted = tuple(oid for oid in self._named if oid not in self._used)[:_MAX_CHANGES]
        if self._id and not added and not deleted:
            return "SimplePing", {"set_id": self._id}
        self._sequence = (self._sequence + 1) & 0xFFFF
        changes = {"add": added or None, "delete": deleted or None}
        counts = {"add_count": len(added), "delete_count": len(deleted)}
        return "ComplexPing", {"set_id": self._id, "sequence": self._sequence, **counts, **changes}

    def answered(self, call: PingCall, status: int, set_id: int | None) -> bool:
        """What the resolver said to `call`; whether to call once more, because it has forgotten the set.

        An object that it does not know is not asked for again: it is gone, which the next call to it will say.
        """
        if status == HResult.OR_INVALID_SET:
            again, self._id, self._sequence = bool(self._id), 0, 0
            self._named.clear()
            return again and bool(self._used)
        name, values = call
        if name == "ComplexPing" and status in (HResult.S_OK, HResult.OR_INVALID_OID):
            self._id = set_id or self._id
            self._named |= set(values["add"] or ())
            self._named -= set(values["delete"] or ())
        return False
