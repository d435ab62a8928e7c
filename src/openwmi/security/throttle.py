"""A slow-down of wrong passwords, without a clock and without waiting: times go in, delays come out.

Two things are slowed down, each where it hurts a guesser and nobody else:

- An account, from one address: after a wrong password further attempts are not looked at for a while, which doubles
  with each failure. Who asks meanwhile is refused, right or wrong.
- An address: once it has failed often, over all account names, its attempts are looked at one after the other, each
  in a slot of its own. An honest user behind the same address waits a little, and is let in.

Times are seconds on any clock that does not go back.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Throttle"]

_K = TypeVar("_K")


@dataclass(slots=True)
class _Record:
    """What one key has done: its failures in a row, the last one's time, and until when it has to wait."""

    failures: int = 0
    last: float = 0.0
    until: float = 0.0


class Throttle:
    """Delays for each account and address together, and for each address alone.

    first: seconds after the first failure of an account; cap: the longest such time.
    free: failures of one address, over all account names, before its attempts get slots; spacing: the time between
        two slots; queue: how far ahead slots are given. Many users may share an address; a guesser tries many names.
    forget: seconds after which a failure is forgotten.
    size: entries in each table. The least recently failed go first, so an attacker with many names cannot make the
        tables grow, nor push an address out of the addresses' own table with names.
    """

    def __init__(
        self,
        *,
        first: float = 0.5,
        cap: float = 30.0,
        free: int = 5,
        spacing: float = 0.25,
        queue: float = 15.0,
        forget: float = 900.0,
        size: int = 4096,
    ) -> None:
        if not (0 < first <= cap and free >= 0 and 0 <= spacing <= queue and forget > 0 and size > 0):
            raise ValueError("a throttle needs 0 < first <= cap, free >= 0, spacing <= queue, forget > 0 and size > 0")
        self._first = first
        self._cap = cap
        self._free = free
        self._spacing = spacing
        self._queue = queue
        self._forget = forget
        self._size = size
        self._accounts: OrderedDict[tuple[str, str], _Record] = OrderedDict()
        self._addresses: OrderedDict[str, _Record] = OrderedDict()

    def slot(self, address: str, now: float) -> float | None:
        """Seconds until this attempt may be looked at, the place in the queue taken; None if the queue is full."""
        if not self.suspects(address, now):
            return 0.0
        record = self._addresses[address]
        start = max(record.until, now)
        if start - now > self._queue:
            return None
        record.until = start + self._spacing
        return start - now

    def suspects(self, address: str, now: float) -> bool:
        """Whether the address has failed so often that its attempts get slots."""
        record = self._addresses.get(address)
        return record is not None and record.failures > self._free and now - record.last <= self._forget

    def blocked(self, account: str, address: str, now: float) -> float:
        """Seconds for which attempts of `account` from there are not looked at; 0.0 if they are."""
        record = self._accounts.get(_key(account, address))
        return 0.0 if record is None else max(record.until - now, 0.0)

    def failed(self, account: str, address: str, now: float) -> float:
        """Note a failure, of an attempt that was looked at; `account` is "" if nobody was named.

        Returns the seconds by which to delay the answer.
        """
        self._note(self._addresses, address, now)
        if not account:
            return self._first
        record = self._note(self._accounts, _key(account, address), now)
        penalty = min(self._first * 2.0 ** min(record.failures - 1, 60), self._cap)
        record.until = now + penalty
        return min(penalty, self._first * 2)

    def succeeded(self, account: str, address: str) -> None:
        """Note a success: it clears the account's failures from that address, but not the address's own.

        Otherwise one known password would let its owner guess the others' at full speed.
        """
        self._accounts.pop(_key(account, address), None)

    def _note(self, table: OrderedDict[_K, _Record], key: _K, now: float) -> _Record:
        record = table.setdefault(key, _Record())
        if now - record.last > self._forget:
            record.failures = 0
        record.failures += 1
        record.last = now
        table.move_to_end(key)
        while len(table) > self._size:
            table.popitem(last=False)
        return record


def _key(account: str, address: str) -> tuple[str, str]:
    r"""One key for ``DOMAIN\user``, ``user@host`` and ``user``: here they are one account."""
    return account.rpartition("\\")[2].partition("@")[0].casefold(), address
