"""What a listener does so that strangers cannot take everybody's place: quotas of connections, and of log lines."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Guests", "RefusalLog", "connection_budget"]

_MOST_CONNECTIONS: Final = 2500
_LISTENERS: Final = 3  # of a server: two ports and a Unix socket
# What else the process has open: the repository, its log, callbacks to sinks, the children's pipes, results on disk.
_RESERVED_FILES: Final = 400
_SHARES, _LEAST_SHARE = 4, 16


def connection_budget() -> int:
    """How many connections one of a server's listeners may have, with the files that this process may open."""
    try:
        import resource
    except ImportError:  # not on this system, which has no such limit
        return _MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(16, min(_MOST_CONNECTIONS, (soft - _RESERVED_FILES) // _LISTENERS))


class Guests:
    """Who is connected, and has not said who it is.

    `total` bounds all connections, `strangers` those from one address that have not authenticated. Where there is no
    room the oldest stranger has to go: of the same address if that has too many, else of any. Only an address whose
    strangers are being slowed down is refused instead, so that nobody shortens a wait by hanging up. Those who have
    said who they are stay, but one account has a quarter of the places at most.
    """

    def __init__(self, total: int, strangers: int = 64) -> None:
        self._total = total
        self._strangers = strangers
        self.share = max(_LEAST_SHARE, total // _SHARES)
        self._accounts: dict[object, str] = {}
        self._by_account: Counter[str] = Counter()
        self._count = 0
        self._waiting: OrderedDict[object, tuple[str, Callable[[], None]]] = OrderedDict()
        self._by_address: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    def admit(self, guest: object, address: str, leave: Callable[[], None], *, suspect: bool) -> bool:
        """Whether `guest` may come in; `leave` will be called to make it go."""
        if self._by_address.get(address, 0) >= self._strangers:
            if suspect or not self._send_away(address):
                return False
        elif self._count >= self._total and not self._send_away(None):
            return False
        self._count += 1
        self._waiting[guest] = (address, leave)
        self._by_address[address] = self._by_address.get(address, 0) + 1
        return True

    def known(self, guest: object, account: str) -> bool:
        """The guest has authenticated, and stays: whether its account may have one more place."""
        if guest in self._accounts:
            return True  # with another account's context, perhaps, but in the same place
        if self._by_account[account] >= self.share:
            return False
        self._accounts[guest] = account
        self._by_account[account] += 1
        self._forget(guest)
        return True

    def _forget(self, guest: object) -> None:
        """The guest is no stranger any more."""
        found = self._waiting.pop(guest, None)
        if found is not None:
            address = found[0]
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def left(self, guest: object) -> None:
        """The guest's connection has ended."""
        self._forget(guest)
        self._count -= 1
        account = self._accounts.pop(guest, None)
        if account is not None:
            self._by_account[account] -= 1
            if not self._by_account[account]:
                del self._by_account[account]

    def _send_away(self, address: str | None) -> bool:
        """Ends the oldest stranger's connection, of one address or of any; whether there was one."""
        for guest, (where, leave) in self._waiting.items():
            if address is None or where == address:
                self._forget(guest)
                leave()
                return True
        return False


class RefusalLog:
    """Log lines about refusals and broken connections: a few for each address in ten seconds, then a count.

    Whoever is refused could otherwise fill a disk.
    """

    def __init__(self, log: logging.Logger, *, lines: int = 20, window: float = 10.0, addresses: int = 1024) -> None:
        self._log = log
        self._lines = lines
        self._window = window
        self._addresses = addresses
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def warning(self, address: str, now: float, message: str, *arguments: object) -> None:
        """Logs a refusal of somebody at `address`, or counts it."""
        self._line(logging.WARNING, address, now, message, *arguments)

    def info(self, address: str, now: float, message: str, *arguments: object) -> None:
        """The same for what is no refusal, but the peer's doing all the same."""
        self._line(logging.INFO, address, now, message, *arguments)

    def _line(self, level: int, address: str, now: float, message: str, *arguments: object) -> None:
        since, count = self._seen.get(address, (now, 0))
        if now - since >= self._window:
            if count > self._lines:
                self._log.warning("%d more refusals of %s are not shown", count - self._lines, address)
            since, count = now, 0
        self._seen[address] = (since, count + 1)
        self._seen.move_to_end(address)
        if len(self._seen) > self._addresses:
            self._seen.popitem(last=False)
        if count < self._lines:
            self._log.log(level, message, *arguments)
