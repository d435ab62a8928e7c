"""DCOM's own interfaces as tables (MS-DCOM 3.1.1.5.6, 3.1.1.5.7, 3.1.2.5; appendix A).

`orpc_interface` makes the table of an interface whose calls carry ORPCTHIS and ORPCTHAT; IObjectExporter is the
one plain RPC interface here.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from openwmi.dcom.types import (
    IID_IREM_UNKNOWN,
    IID_IREM_UNKNOWN2,
    IID_IUNKNOWN,
    ComVersion,
    DualStringArrayData,
    OrpcThat,
    OrpcThis,
    RemInterfaceRef,
    RemQiResult,
    com_guid,
)
from openwmi.rpc.interface import In, InOut, Interface, Method, Out
from openwmi.rpc.ndr import (
    ConformantArray,
    Guid,
    Int32,
    MInterfacePointer,
    UInt16,
    UInt32,
    UInt64,
    Unique,
    WideString,
)

__all__ = [
    "IActivation",
    "IClassFactory",
    "IObjectExporter",
    "IRemUnknown",
    "IRemUnknown2",
    "IRemoteSCMActivator",
    "IUnknown",
    "orpc_interface",
]

HRESULT: Final = UInt32


def orpc_interface(name: str, iid: UUID, *methods: Method) -> Interface:
    """The table of a DCOM interface: version 0.0, ORPCTHIS before every request and ORPCTHAT before every response."""
    return Interface(name, iid, (0, 0), methods, leading=(In("orpc_this", OrpcThis), Out("orpc_that", OrpcThat)))


_resolved: Final = (
    In("oxid", UInt64),
    In("tower_count", UInt16),
    In("towers", ConformantArray(UInt16, size_is="tower_count")),
    Out("bindings", Unique(DualStringArrayData)),
    Out("rem_unknown", Guid),
    Out("authentication_hint", UInt32),
)

IObjectExporter: Final = Interface(
    "IObjectExporter",
    UUID("99fcfec4-5260-101b-bbcb-00aa0021347a"),
    (0, 0),
    (
        Method(0, "ResolveOxid", _resolved, UInt32),
        Method(1, "SimplePing", (In("set_id", UInt64),), UInt32),
        Method(
            2,
            "ComplexPing",
            (
                InOut("set_id", UInt64),
                In("sequence", UInt16),
                In("add_count", UInt16),
                In("delete_count", UInt16),
                In("add", Unique(ConformantArray(UInt64, size_is="add_count"))),
                In("delete", Unique(ConformantArray(UInt64, size_is="delete_count"))),
                Out("backoff_factor", UInt16),
            ),
            UInt32,
        ),
        Method(3, "ServerAlive", (), UInt32),
        Method(4, "ResolveOxid2", (*_resolved, Out("version", ComVersion)), UInt32),
        Method(
            5,
            "ServerAlive2",
            (
                Out("version", ComVersion),
                Out("bindings", Unique(DualStringArrayData)),
                Out("reserved", UInt32),
            ),
            UInt32,
        ),
    ),
)

_activation: Final[tuple[Any, ...]] = (
    In("properties_in", Unique(MInterfacePointer)),
    Out("properties_out", Unique(MInterfacePointer)),
)

IRemoteSCMActivator: Final = orpc_interface(
    "IRemoteSCMActivator",
    com_guid(0x1A0),
    Method(3, "RemoteGetClassObject", _activation, HRESULT),
    Method(4, "RemoteCreateInstance", (In("outer", Unique(MInterfacePointer)), *_activation), HRESULT),
)

IActivation: Final = orpc_interface(
    "IActivation",
    UUID("4d9f4ab8-7d1c-11cf-861e-0020af6e7c57"),
    Method(
        0,
        "RemoteActivation",
        (
            In("clsid", Guid),
            In("object_name", Unique(WideString())),
            In("object_storage", Unique(MInterfacePointer)),
            In("impersonation_level", UInt32),
            In("mode", UInt32),
            In("count", UInt32),
            In("iids", Unique(ConformantArray(Guid, size_is="count"))),
            In("tower_count", UInt16),
            In("towers", ConformantArray(UInt16, size_is="tower_count")),
            Out("oxid", UInt64),
            Out("bindings", Unique(DualStringArrayData)),
            Out("rem_unknown", Guid),
            Out("authentication_hint", UInt32),
            Out("version", ComVersion),
            Out("outcome", HRESULT),
            Out("interfaces", ConformantArray(Unique(MInterfacePointer), size_is="count")),
            Out("results", ConformantArray(HRESULT, size_is="count")),
        ),
        UInt32,
    ),
)

# What RemoteGetClassObject gives: unknwn.idl's IClassFactory with the two methods that travel.
IClassFactory: Final = orpc_interface(
    "IClassFactory",
    com_guid(1),
    Method(3, "RemoteCreateInstance", (In("iid", Guid), Out("object", Unique(MInterfacePointer))), HRESULT),
    Method(4, "RemoteLockServer", (In("lock", Int32),), HRESULT),
)

IUnknown: Final = orpc_interface("IUnknown", IID_IUNKNOWN)

_rem_unknown: Final = (
    Method(
        3,
        "RemQueryInterface",
        (
            In("ipid", Guid),
            In("references", UInt32),
            In("count", UInt16),
            In("iids", ConformantArray(Guid, size_is="count")),
            Out("results", Unique(ConformantArray(RemQiResult, size_is="count"))),
        ),
        HRESULT,
    ),
    Method(
        4,
        "RemAddRef",
        (
            In("count", UInt16),
            In("references", ConformantArray(RemInterfaceRef, size_is="count")),
            Out("results", ConformantArray(UInt32, size_is="count")),
        ),
        HRESULT,
    ),
    Method(
        5,
        "RemRelease",
        (In("count", UInt16), In("references", ConformantArray(RemInterfaceRef, size_is="count"))),
        HRESULT,
    ),
)

IRemUnknown: Final = orpc_interface("IRemUnknown", IID_IREM_UNKNOWN, *_rem_unknown)

IRemUnknown2: Final = orpc_interface(
    "IRemUnknown2",
    IID_IREM_UNKNOWN2,
    *_rem_unknown,
    Method(
        6,
        "RemQueryInterface2",
        (
            In("ipid", Guid),
            In("count", UInt16),
            In("iids", ConformantArray(Guid, size_is="count")),
            Out("results", ConformantArray(UInt32, size_is="count")),
            Out("interfaces", ConformantArray(Unique(MInterfacePointer), size_is="count")),
        ),
        HRESULT,
    ),
)
