"""A slow-down of wrong passwords, without a clock and without waiting: times go in, delays come out.

Whoever owns the connection asks `delay` before it hands an authentication token over and waits that long, and
reports what came of it with `failed` or `succeeded`. Times are seconds on any clock that does not go back.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Throttle"]

_K = TypeVar("_K")


@dataclass(slots=True)
class _Record:
    """What one key has done: its failures in a row, the last one's time, and when it may try again."""

    failures: int = 0
    last: float = 0.0
    until: float = 0.0


class Throttle:
    """Delays that double with each failure, for each account and address together and for each address alone.

    first: seconds after the first failure that counts.
    cap: the longest delay, in seconds.
    free: failures of one address, over all account names, that do not count for the address; the failures of one
        account from one address all count. Many users may share an address, and one guesser tries many names.
    forget: seconds after which a failure is forgotten.
    size: entries in each table. The least recently failed go first, so an attacker with many names cannot
        make the tables grow, nor push an address out of the addresses' own table with names.
    """

    def __init__(
        self, *, first: float = 0.5, cap: float = 30.0, free: int = 5, forget: float = 900.0, size: int = 4096
    ) -> None:
        if not (0 < first <= cap and free >= 0 and forget > 0 and size > 0):
            raise ValueError("a throttle needs 0 < first <= cap, free >= 0, forget > 0 and size > 0")
        self._first = first
        self._cap = cap
        self._free = free
        self._forget = forget
        self._size = size
        self._pairs: OrderedDict[tuple[str, str], _Record] = OrderedDict()
        self._addresses: OrderedDict[str, _Record] = OrderedDict()

    def delay(self, principal_name: str | None, peer_address: str, now: float) -> float:
        """Seconds to wait before this attempt is looked at; 0.0 for none. The name may not be known yet."""
        until = _until(self._addresses.get(peer_address))
        if principal_name is not None:
            until = max(until, _until(self._pairs.get((principal_name.casefold(), peer_address))))
        return min(max(until - now, 0.0), self._cap)

    def failed(self, principal_name: str | None, peer_address: str, now: float) -> float:
        """Note a failure. The delay that the next attempt will see."""
        self._note(self._addresses, peer_address, now, self._free)
        if principal_name is not None:
            self._note(self._pairs, (principal_name.casefold(), peer_address), now, 0)
        return self.delay(principal_name, peer_address, now)

    def succeeded(self, principal_name: str, peer_address: str) -> None:
        """Note a success: it clears the account's failures from that address, but not the address's own.

        Otherwise one known password would let its owner guess the others' at full speed.
        """
        self._pairs.pop((principal_name.casefold(), peer_address), None)

    def _note(self, table: OrderedDict[_K, _Record], key: _K, now: float, free: int) -> None:
        record = table.setdefault(key, _Record())
        if now - record.last > self._forget:
            record.failures = 0
        record.failures += 1
        record.last = now
        table.move_to_end(key)
        counted = record.failures - free
        if counted > 0:
            penalty = min(self._first * 2.0 ** min(counted - 1, 60), self._cap)
            # From the end of the running delay: attempts made in parallel pay for each other.
            record.until = min(max(record.until, now) + penalty, now + self._cap)
        while len(table) > self._size:
            table.popitem(last=False)


def _until(record: _Record | None) -> float:
    return record.until if record is not None else 0.0
