"""The management interface that every RPC server has (C706 appendix Q, MS-RPCE 2.2.1.3): inquiries, no orders.

`IManagement` is its table, for both sides; `Management` answers it. Anybody may ask; nobody may stop the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from openwmi.errors import DecodeError
from openwmi.rpc.connection import Traffic
from openwmi.rpc.endpoints import RpcIfId
from openwmi.rpc.header import SyntaxId
from openwmi.rpc.interface import RESULT, In, InOut, Interface, Method, Out
from openwmi.rpc.ndr import COUNTED, CharString, ConformantArray, Full, UInt32, structure
from openwmi.status import HResult

__all__ = ["IManagement", "IfIdVector", "Management"]

# MS-RPCE 2.2.1.3.2 and 2.2.1.3.4: the ranges of count and princ_name_size.
_MOST_STATISTICS: Final = 50
_LONGEST_NAME: Final = 4096


@structure
class IfIdVector:
    """rpc_if_id_vector_t (2.2.1.3.1)."""

    # unsigned long Count;
    count: Annotated[int, UInt32] = COUNTED
    # [size_is(Count)] RPC_IF_ID *IfId[];
    ids: Annotated[tuple[RpcIfId | None, ...], ConformantArray(Full(RpcIfId), size_is="count")]


_status: Final = Out("status", UInt32)

IManagement: Final = Interface(
    "mgmt",
    UUID("afa8bd80-7d8a-11c9-bef4-08002b102989"),
    (1, 0),
    (
        Method(0, "rpc_mgmt_inq_if_ids", (Out("if_id_vector", Full(IfIdVector)), _status)),
        Method(
            1,
            "rpc_mgmt_inq_stats",
            (InOut("count", UInt32), Out("statistics", ConformantArray(UInt32, size_is="count")), _status),
        ),
        Method(2, "rpc_mgmt_is_server_listening", (_status,), UInt32),
        Method(3, "rpc_mgmt_stop_server_listening", (_status,)),
        Method(
            4,
            "rpc_mgmt_inq_princ_name",
            (
                In("authn_proto", UInt32),
                In("princ_name_size", UInt32),
                Out("princ_name", CharString(size_is="princ_name_size")),
                _status,
            ),
        ),
    ),
)


class Management:
    """The server's side. `interfaces` gives what is registered here, `providers` the name under which this server
    authenticates with each security provider, and `traffic` is what is counted."""

    INTERFACES: ClassVar[tuple[Interface, ...]] = (IManagement,)
    OPEN: ClassVar[frozenset[str]] = frozenset(method.name for method in IManagement.methods)

    def __init__(
        self, interfaces: Callable[[], Iterable[SyntaxId]], providers: Mapping[int, str], traffic: Traffic
    ) -> None:
        self._interfaces = interfaces
        self._providers = providers
        self._traffic = traffic

    async def rpc_mgmt_inq_if_ids(self, call: Any) -> dict[str, Any]:
        """The interfaces that are registered."""
        ids = tuple(RpcIfId(uuid=i.uuid, major=i.version[0], minor=i.version[1]) for i in self._interfaces())
        return {"if_id_vector": IfIdVector(ids=ids)}

    async def rpc_mgmt_inq_stats(self, call: Any, *, count: int) -> dict[str, Any]:
        """As many of the four counters as there is room for (2.2.1.3.3)."""
        if count > _MOST_STATISTICS:
            raise DecodeError("count", 0, f"is {count}, more than {_MOST_STATISTICS}")
        traffic = self._traffic
        counted = (traffic.calls_in, traffic.calls_out, traffic.packets_in, traffic.packets_out)
        statistics = tuple(number & 0xFFFFFFFF for number in counted[:count])
        return {"count": len(statistics), "statistics": statistics}

    async def rpc_mgmt_is_server_listening(self, call: Any) -> dict[str, Any]:
        """It is, since it answers."""
        return {RESULT: 1}

    async def rpc_mgmt_stop_server_listening(self, call: Any) -> dict[str, Any]:
        """Not for anybody."""
        return {"status": HResult.ERROR_ACCESS_DENIED}

    async def rpc_mgmt_inq_princ_name(self, call: Any, *, authn_proto: int, princ_name_size: int) -> dict[str, Any]:
        """Under which name this server authenticates with a security provider (2.2.1.3.4)."""
        if not 1 <= princ_name_size <= _LONGEST_NAME:
            raise DecodeError("princ_name_size", 0, f"is {princ_name_size}, not from 1 to {_LONGEST_NAME}")
        name = self._providers.get(authn_proto)
        if name is None:
            return {"princ_name": "", "status": HResult.RPC_S_UNKNOWN_AUTHN_SERVICE}
        if len(name) >= princ_name_size:
            return {"princ_name": "", "status": HResult.ERROR_INSUFFICIENT_BUFFER}
        return {"princ_name": name}

    async def released(self) -> None:
        """The management interface lives as long as its server."""
