"""IWbemRefreshingServices and IWbemRemoteRefresher: tables and structures (MS-WMI 2.2.20-2.2.28, 3.1.4.12, 3.1.4.13).

There are no refreshers yet. An IWbemServices has the interface nevertheless, so that a client that looks for it is told
WBEM_E_NOT_SUPPORTED, as 2.2.11 has it, and reads the instances one by one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final
from uuid import UUID

from openwmi.dcom.interfaces import HRESULT, orpc_interface
from openwmi.dcom.peer import Call
from openwmi.rpc.interface import RESULT, In, InOut, Method, Out, Parameter
from openwmi.rpc.ndr import (
    CharString,
    ConformantArray,
    Enum32,
    Guid,
    Int32,
    MInterfacePointer,
    Tagged,
    UInt32,
    Union,
    Unique,
    WideString,
    structure,
)
from openwmi.status import WbemStatus
from openwmi.wmi.refreshed import RefreshedObject

__all__ = [
    "IWbemRefreshingServices",
    "IWbemRemoteRefresher",
    "NonHiPerf",
    "ReconnectInfo",
    "ReconnectResult",
    "ReconnectType",
    "RefreshInfo",
    "RefreshType",
    "RefresherId",
    "RefreshingStub",
    "Remote",
]

_VERSION: Final = 1  # of the server's refreshers; the only one there is (3.1.4.12.5)


class RefreshType(IntEnum):
    """WBEM_REFRESH_TYPE (2.2.25): which arm a `RefreshInfo` has."""

    INVALID = 0
    REMOTE = 3
    NON_HIPERF = 6


class ReconnectType(IntEnum):
    """WBEM_RECONNECT_TYPE (2.2.24), but for its LAST, which never travels."""

    OBJECT = 0
    ENUM = 1


@structure
class RefresherId:
    """_WBEM_REFRESHER_ID (2.2.21): the client's refresher."""

    # [string] LPSTR m_szMachineName;
    machine: Annotated[str | None, Unique(CharString())]
    # DWORD m_dwProcessId;
    process: Annotated[int, UInt32]
    # GUID m_guidRefresherId;
    refresher: Annotated[UUID, Guid]


@structure
class Remote:
    """_WBEM_REFRESH_INFO_REMOTE (2.2.27). The pointers are OBJREFs."""

    # IWbemRemoteRefresher* m_pRefresher;
    refresher: Annotated[bytes | None, Unique(MInterfacePointer)]
    # IWbemClassObject* m_pTemplate;
    template: Annotated[bytes | None, Unique(MInterfacePointer)]
    # GUID m_Guid;
    guid: Annotated[UUID, Guid]


@structure
class NonHiPerf:
    """_WBEM_REFRESH_INFO_NON_HIPERF (2.2.26). The template is an OBJREF."""

    # [string] wchar_t* m_wszNamespace;
    namespace: Annotated[str | None, Unique(WideString())]
    # IWbemClassObject* m_pTemplate;
    template: Annotated[bytes | None, Unique(MInterfacePointer)]


@structure
class RefreshInfo:
    """_WBEM_REFRESH_INFO (2.2.20), with the WBEM_REFRESH_INFO_UNION of 2.2.28."""

    # long m_lType;
    kind: Annotated[int, Enum32(RefreshType)]
    # [switch_is(m_lType)] WBEM_REFRESH_INFO_UNION m_Info;
    info: Annotated[
        Tagged,
        Union(
            Int32,
            {RefreshType.REMOTE: Remote, RefreshType.NON_HIPERF: NonHiPerf, RefreshType.INVALID: HRESULT},
            switch_is="kind",
        ),
    ]
    # long m_lCancelId;
    cancel_id: Annotated[int, Int32]


@structure
class ReconnectInfo:
    """_WBEM_RECONNECT_INFO (2.2.22)."""

    # long m_lType;
    kind: Annotated[int, Enum32(ReconnectType)]
    # [string] LPCWSTR m_pwcsPath;
    path: Annotated[str | None, Unique(WideString())]


@structure
class ReconnectResult:
    """_WBEM_RECONNECT_RESULTS (2.2.23)."""

    # long m_lId;
    id: Annotated[int, Int32]
    # HRESULT m_hr;
    status: Annotated[int, HRESULT]


_refresher: Final = In("refresher", RefresherId)
_flags: Final = In("flags", UInt32)
_client_version: Final = In("client_version", UInt32)
_server_version: Final = Out("server_version", UInt32)


def _add(opnum: int, name: str, what: Parameter) -> Method:
    context = In("context", Unique(MInterfacePointer))
    return Method(
        opnum,
        name,
        (_refresher, what, _flags, context, _client_version, Out("info", RefreshInfo), _server_version),
        HRESULT,
    )


IWbemRefreshingServices: Final = orpc_interface(
    "IWbemRefreshingServices",
    UUID("2c9273e0-1dc3-11d3-b364-00105a1f8177"),
    _add(3, "AddObjectToRefresher", In("path", WideString())),
    _add(4, "AddObjectToRefresherByTemplate", In("template", Unique(MInterfacePointer))),
    _add(5, "AddEnumToRefresher", In("class_name", WideString())),
    Method(
        6, "RemoveObjectFromRefresher", (_refresher, In("id", Int32), _flags, _client_version, _server_version), HRESULT
    ),
    Method(
        7,
        "GetRemoteRefresher",
        (
            _refresher,
            _flags,
            _client_version,
            Out("remote_refresher", Unique(MInterfacePointer)),
            Out("guid", Guid),
            _server_version,
        ),
        HRESULT,
    ),
    Method(
        8,
        "ReconnectRemoteRefresher",
        (
            _refresher,
            _flags,
            In("count", UInt32),
            _client_version,
            In("wanted", ConformantArray(ReconnectInfo, size_is="count")),
            InOut("results", ConformantArray(ReconnectResult, size_is="count")),
            _server_version,
        ),
        HRESULT,
    ),
)

IWbemRemoteRefresher: Final = orpc_interface(
    "IWbemRemoteRefresher",
    UUID("f1e9c5b2-f59b-11d2-b362-00105a1f8177"),
    Method(
        3,
        "RemoteRefresh",
        (_flags, Out("count", UInt32), Out("objects", Unique(ConformantArray(RefreshedObject, size_is="count")))),
        HRESULT,
    ),
    Method(
        4, "StopRefreshing", (In("count", UInt32), In("ids", ConformantArray(Int32, size_is="count")), _flags), HRESULT
    ),
    Method(5, "Opnum5NotUsedOnWire", (_flags, Out("guid", Guid)), HRESULT),
)


class RefreshingStub:
    """What an IWbemServices answers as IWbemRefreshingServices (3.1.4.12).

    The out-parameters of a refusal are zeros, so that `RefreshInfo` says INVALID; the server's version is told.
    """

    async def add_object_to_refresher(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """There is nothing to add the object to (3.1.4.12.1)."""
        return _answer(WbemStatus.WBEM_E_NOT_SUPPORTED)

    async def add_object_to_refresher_by_template(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """There is nothing to add the object to (3.1.4.12.2)."""
        return _answer(WbemStatus.WBEM_E_NOT_SUPPORTED)

    async def add_enum_to_refresher(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """There is nothing to add the instances to (3.1.4.12.3)."""
        return _answer(WbemStatus.WBEM_E_NOT_SUPPORTED)

    async def remove_object_from_refresher(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """No server has this, and each says so with this code (3.1.4.12.4)."""
        return _answer(WbemStatus.WBEM_E_NOT_AVAILABLE)

    async def get_remote_refresher(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """There is none to give (3.1.4.12.5)."""
        return _answer(WbemStatus.WBEM_E_NOT_SUPPORTED)

    async def reconnect_remote_refresher(self, call: Call, **wanted: Any) -> dict[str, Any]:
        """There is none to connect to (3.1.4.12.6)."""
        return _answer(WbemStatus.WBEM_E_NOT_SUPPORTED)


def _answer(status: int) -> dict[str, Any]:
    return {"server_version": _VERSION, RESULT: status}
