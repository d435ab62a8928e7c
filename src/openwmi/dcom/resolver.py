"""The object resolver: who exports what, and which objects are pinged (MS-DCOM 3.1.2); `activator` is the rest."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from openwmi.dcom.bindings import DualStringArray
from openwmi.dcom.exporter import PING_PERIOD, Exporter
from openwmi.dcom.interfaces import IObjectExporter
from openwmi.dcom.peer import Call, Caller
from openwmi.dcom.types import COM_VERSION
from openwmi.rpc.interface import RESULT, Interface
from openwmi.security.context import AuthenticationLevel
from openwmi.status import HResult

__all__ = ["ObjectResolver"]

_MAX_SETS_PER_ACCOUNT: Final = 100
_MAX_OIDS_PER_SET: Final = 10_000


@dataclass(slots=True)
class _PingSet:
    owner: str
    sequence: int
    deadline: float
    oids: set[int] = field(default_factory=set)


class ObjectResolver:
    """IObjectExporter over one exporter (3.1.2.5.1).

    `exporter_bindings` gives, for a caller, where the exporter listens (with ports), `resolver_bindings` where the
    resolver does.
    """

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IObjectExporter,)
    # Every client calls these without security (3.2.4.1.1.1).
    OPEN: ClassVar[frozenset[str]] = frozenset({"ServerAlive", "ServerAlive2"})

    def __init__(
        self,
        exporter: Exporter,
        *,
        exporter_bindings: Callable[[Caller], DualStringArray],
        resolver_bindings: Callable[[Caller], DualStringArray],
        hint: AuthenticationLevel = AuthenticationLevel.INTEGRITY,
    ) -> None:
        self._exporter = exporter
        self._exporter_bindings = exporter_bindings
        self._resolver_bindings = resolver_bindings
        self._hint = hint
        self._sets: dict[int, _PingSet] = {}

    async def resolve_oxid(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """Where the exporter `oxid` listens, and its Remote Unknown (3.1.2.5.1.1)."""
        resolved = await self.resolve_oxid2(call, **wanted)
        resolved.pop("version", None)
        return resolved

    async def resolve_oxid2(
        self, call: Call, *, oxid: int, tower_count: int, towers: tuple[int, ...]
    ) -> dict[str, Any]:
        """The same with the exporter's COM version (3.1.2.5.1.5)."""
        if oxid != self._exporter.oxid:
            return {RESULT: HResult.OR_INVALID_OXID}
        return {
            "bindings": self._exporter_bindings(call.caller).to_data(),
            "rem_unknown": self._exporter.rem_unknown,
            "authentication_hint": self._hint,
            "version": COM_VERSION,
        }

    async def server_alive(self, call: Call) -> None:
        """Yes (3.1.2.5.1.4)."""

    async def server_alive2(self, call: Call) -> dict[str, Any]:
        """Yes, and where the resolver can be reached (3.1.2.5.1.6)."""
        return {"version": COM_VERSION, "bindings": self._resolver_bindings(call.caller).to_data()}

    async def simple_ping(self, call: Call, *, set_id: int) -> dict[str, Any]:
        """The caller is alive, and with it everything in the set (3.1.2.5.1.2)."""
        found = self._owned(call, set_id)
        if found is None:
            return {RESULT: HResult.OR_INVALID_SET}
        self._touch(found, call.now)
        return {}

    async def complex_ping(
        self,
        call: Call,
        *,
        set_id: int,
        sequence: int,
        add_count: int,
        delete_count: int,
        add: tuple[int, ...] | None,
        delete: tuple[int, ...] | None,
    ) -> dict[str, Any]:
        """Makes a ping set (`set_id` 0) or changes one (3.1.2.5.1.3)."""
        if set_id == 0:
            owner = str(call.principal.sid)
            if sum(found.owner == owner for found in self._sets.values()) >= _MAX_SETS_PER_ACCOUNT:
                return {RESULT: HResult.E_OUTOFMEMORY}
            set_id = secrets.randbits(64) | 1
            self._sets[set_id] = _PingSet(owner, sequence, 0.0)
        found = self._owned(call, set_id)
        if found is None:
            return {"set_id": set_id, RESULT: HResult.OR_INVALID_SET}
        status = HResult.S_OK
        if found.sequence <= sequence:
            found.sequence = sequence
            for oid in add or ():
                if oid in found.oids:
                    continue
                if not self._exporter.has_object(oid) or len(found.oids) >= _MAX_OIDS_PER_SET:
                    status = HResult.OR_INVALID_OID
                    continue
                found.oids.add(oid)
                self._exporter.hold(oid)
            for oid in delete or ():
                if oid in found.oids:
                    found.oids.discard(oid)
                    self._exporter.unhold(oid, call.now)
            self._touch(found, call.now)
        return {"set_id": set_id, "backoff_factor": 0, RESULT: status}

    def _owned(self, call: Call, set_id: int) -> _PingSet | None:
        """The caller's set of that number. Another account's set does not exist for it."""
        found = self._sets.get(set_id)
        return found if found is not None and found.owner == str(call.principal.sid) else None

    def _touch(self, found: _PingSet, now: float) -> None:
        found.deadline = now + 3 * PING_PERIOD
        self._exporter.pinged(found.oids, now)

    def handle_timeout(self, now: float) -> None:
        """Drops the sets that nobody has pinged for three periods (3.1.2.6)."""
        for set_id, found in list(self._sets.items()):
            if found.deadline <= now:
                del self._sets[set_id]
                for oid in found.oids:
                    self._exporter.unhold(oid, now)

    async def released(self) -> None:
        """The resolver lives as long as its server."""
