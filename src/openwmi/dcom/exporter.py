"""The object exporter: which objects others hold references to, and how many (MS-DCOM 3.1.1).

`Exporter` hands out references (`marshal`), finds what an IPID means (`find`), and counts (`add_references`,
`release`). An object lives while somebody holds a reference *and* is alive: a connection through which it is used is
open, a ping set names it, or the last sign of life is younger than three ping periods (3.1.2.2). The time goes in as
`now`; what is freed goes to `freed`, for the owner to close.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol
from uuid import UUID, uuid4

from openwmi.dcom.bindings import DualStringArray
from openwmi.dcom.objref import StandardObjRef
from openwmi.dcom.types import IID_IUNKNOWN, NO_REFERENCE, RemQiResult, StdObjRef
from openwmi.errors import WbemError
from openwmi.rpc.interface import Interface
from openwmi.status import HResult

__all__ = ["Exported", "Exporter", "Implementation", "ReferenceEntry"]

PING_PERIOD: Final = 120.0  # seconds (3.1.2.2)
MARSHALLED_REFERENCES: Final = 5  # how many an OBJREF carries, so that a client seldom has to ask for more
MAX_REFERENCES: Final = 0x7FFFFFFF


class Implementation(Protocol):
    """An object that can be exported: its interfaces, and for each method a coroutine function.

    The method ``DeleteInstanceAsync`` is handled by ``delete_instance_async(call, **parameters)``, which returns the
    out-parameters (None for none) or raises `WbemError`. One that has `DENIED` wants that code, instead of
    ERROR_ACCESS_DENIED, for calls by another account than the one it was made for.
    """

    INTERFACES: ClassVar[tuple[Interface, ...]]

    async def released(self) -> None:
        """Nobody holds a reference any more: free what the object holds."""
        ...


@dataclass(eq=False, slots=True)
class ReferenceEntry:
    """One row of the IPID table: one interface of one object."""

    ipid: UUID
    iid: UUID
    interface: Interface
    exported: Exported
    references: int = 0


@dataclass(eq=False, slots=True)
class Exported:
    """One row of the OID table. `owner` is the SID of the account that the object was made for; None is anybody's."""

    oid: int
    implementation: Implementation
    owner: str | None
    last_used: float
    by_iid: dict[UUID, ReferenceEntry] = field(default_factory=dict)
    connections: set[Hashable] = field(default_factory=set)
    ping_sets: int = 0


class Exporter:
    """The tables of one object exporter, with its OXID and the IPID of its Remote Unknown."""

    def __init__(
        self, freed: Callable[[Implementation], None], *, limit: int = 50_000, limit_per_owner: int = 5_000
    ) -> None:
        """`freed` is told of each object that goes; the limits are on objects at a time, of all and of one account."""
        self.oxid = secrets.randbits(64) | 1
        self.rem_unknown = uuid4()
        self._limit = limit
        self._limit_per_owner = limit_per_owner
        self._by_owner: Counter[str | None] = Counter()
        self._by_oid: dict[int, Exported] = {}
        self._by_ipid: dict[UUID, ReferenceEntry] = {}
        self._by_identity: dict[int, Exported] = {}
        self._freed = freed

    def __len__(self) -> int:
        return len(self._by_oid)

    def marshal(
        self,
        implementation: Implementation,
        iid: UUID,
        resolver: DualStringArray,
        *,
        owner: str | None = None,
        connection: Hashable = None,
        now: float = 0.0,
    ) -> bytes:
        """A reference to `implementation` as an OBJREF that carries `MARSHALLED_REFERENCES` (3.1.1.5.1).

        Raises `WbemError` E_NOINTERFACE if the object has no such interface, E_OUTOFMEMORY at the limit.
        """
        if _table(implementation, iid) is None:
            raise WbemError.of(HResult.E_NOINTERFACE, f"{type(implementation).__name__} has no interface {iid}")
        exported = self._by_identity.get(id(implementation))
        if exported is None:
            exported = self._export(implementation, owner, now)
        self.used(exported, connection, now)
        entry = self._entry(exported, iid)
        assert entry is not None  # the object has the interface
        entry.references = min(entry.references + MARSHALLED_REFERENCES, MAX_REFERENCES)
        return StandardObjRef(iid, self._standard(entry, MARSHALLED_REFERENCES), resolver).encode()

    def find(self, ipid: UUID) -> ReferenceEntry | None:
        """The interface that `ipid` names, or None."""
        return self._by_ipid.get(ipid)

    def has_object(self, oid: int) -> bool:
        """Whether an object with that identifier is exported."""
        return oid in self._by_oid

    def used(self, exported: Exported, connection: Hashable, now: float) -> None:
        """A call arrived for the object, or a reference went out: that is a sign of life."""
        exported.last_used = max(exported.last_used, now)
        if connection is not None:
            exported.connections.add(connection)

    def query(self, entry: ReferenceEntry, iids: Sequence[UUID], references: int) -> tuple[RemQiResult, ...]:
        """RemQueryInterface (3.1.1.5.6.1.1): references to other interfaces of the same object."""
        found = []
        for iid in iids:
            other = self._entry(entry.exported, iid)
            if other is None:
                found.append(RemQiResult(result=HResult.E_NOINTERFACE, std=NO_REFERENCE))
                continue
            other.references = min(other.references + references, MAX_REFERENCES)
            found.append(RemQiResult(result=HResult.S_OK, std=self._standard(other, references)))
        return tuple(found)

    def add_references(self, ipid: UUID, count: int) -> int:
        """RemAddRef for one interface (3.1.1.5.6.1.2); the HRESULT."""
        entry = self._by_ipid.get(ipid)
        if entry is None:
            return HResult.CO_E_OBJNOTREG
        entry.references = min(entry.references + count, MAX_REFERENCES)
        return HResult.S_OK

    def release(self, ipid: UUID, count: int) -> None:
        """RemRelease for one interface (3.1.1.5.6.1.3); the last one frees the object."""
        entry = self._by_ipid.get(ipid)
        if entry is None:
            return
        entry.references -= min(count, entry.references)
        if entry.references == 0:
            del self._by_ipid[ipid]
            del entry.exported.by_iid[entry.iid]
            if not entry.exported.by_iid:
                self._free(entry.exported)

    def pinged(self, oids: Iterable[int], now: float) -> None:
        """A ping set names these objects."""
        for oid in oids:
            if oid in self._by_oid:
                exported = self._by_oid[oid]
                exported.last_used = max(exported.last_used, now)

    def hold(self, oid: int) -> None:
        """The object is in one more ping set."""
        if oid in self._by_oid:
            self._by_oid[oid].ping_sets += 1

    def unhold(self, oid: int, now: float) -> None:
        """The object is in one ping set less."""
        exported = self._by_oid.get(oid)
        if exported is not None and exported.ping_sets:
            exported.ping_sets -= 1
            exported.last_used = max(exported.last_used, now)

    def connection_closed(self, connection: Hashable, now: float) -> None:
        """What was used through this connection has lost that sign of life."""
        for exported in self._by_oid.values():
            if connection in exported.connections:
                exported.connections.discard(connection)
                exported.last_used = max(exported.last_used, now)

    def handle_timeout(self, now: float) -> None:
        """Frees what no living client can hold (3.1.1.6.2)."""
        deadline = now - 3 * PING_PERIOD
        for exported in [e for e in self._by_oid.values() if e.last_used <= deadline]:
            if not exported.connections and not exported.ping_sets:
                self._free(exported)

    def revoke(self, implementation: Implementation) -> None:
        """Frees the object, whoever still refers to it: calls to it are answered RPC_E_DISCONNECTED."""
        exported = self._by_identity.get(id(implementation))
        if exported is not None:
            self._free(exported)

    def close(self) -> None:
        """Frees everything."""
        for exported in list(self._by_oid.values()):
            self._free(exported)

    def _export(self, implementation: Implementation, owner: str | None, now: float) -> Exported:
        if len(self._by_oid) >= self._limit:
            raise WbemError.of(HResult.E_OUTOFMEMORY, f"{self._limit} objects are exported already")
        if self._by_owner[owner] >= self._limit_per_owner:
            raise WbemError.of(HResult.E_OUTOFMEMORY, f"this account has {self._limit_per_owner} objects already")
        oid = secrets.randbits(64)
        while oid in self._by_oid or not oid:
            oid = secrets.randbits(64)
        exported = Exported(oid, implementation, owner, now)
        self._by_oid[oid] = self._by_identity[id(implementation)] = exported
        self._by_owner[owner] += 1
        return exported

    def _entry(self, exported: Exported, iid: UUID) -> ReferenceEntry | None:
        entry = exported.by_iid.get(iid)
        if entry is not None:
            return entry
        interface = _table(exported.implementation, iid)
        if interface is None:
            return None
        entry = ReferenceEntry(uuid4(), iid, interface, exported)
        exported.by_iid[iid] = self._by_ipid[entry.ipid] = entry
        return entry

    def _standard(self, entry: ReferenceEntry, references: int) -> StdObjRef:
        return StdObjRef(flags=0, public_refs=references, oxid=self.oxid, oid=entry.exported.oid, ipid=entry.ipid)

    def _free(self, exported: Exported) -> None:
        for entry in exported.by_iid.values():
            self._by_ipid.pop(entry.ipid, None)
        exported.by_iid.clear()
        if self._by_oid.pop(exported.oid, None) is not None:
            del self._by_identity[id(exported.implementation)]
            self._by_owner[exported.owner] -= 1
            if not self._by_owner[exported.owner]:
                del self._by_owner[exported.owner]
            self._freed(exported.implementation)


def _table(implementation: Implementation, iid: UUID) -> Interface | None:
    """The table of the object's interface `iid`, if it has that interface."""
    interfaces = implementation.INTERFACES
    if iid == IID_IUNKNOWN:
        # IUnknown has no methods of its own on the wire, so any of the object's tables will do.
        return interfaces[0]
    return next((i for i in interfaces if i.uuid == iid), None)
