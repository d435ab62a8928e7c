"""The interfaces of MS-WMI 3.1.4 as tables (appendix A). Proxies and stubs interpret these.

The parameters have one name for one idea: `path`, `flags`, `context`, `sink`, and the result pointers `object` and
`call_result`, by whose NULL the caller says that it does not want them.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from openwmi.dcom.interfaces import HRESULT, orpc_interface
from openwmi.rpc.interface import In, InOut, Method, Out, Parameter
from openwmi.rpc.ndr import (
    CharString,
    ConformantArray,
    ConformantBytes,
    ConformantVaryingArray,
    ConformantVaryingBytes,
    Guid,
    Int32,
    MInterfacePointer,
    ResultPointer,
    UInt32,
    Unique,
    WideString,
)
from openwmi.rpc.ndr.automation import BstrType

__all__ = [
    "CLSIDS_WBEM_SHUTDOWN",
    "CLSID_UNSECURED_APARTMENT",
    "CLSID_WBEM_LEVEL1_LOGIN",
    "IEnumWbemClassObject",
    "IUnsecuredApartment",
    "IWbemCallResult",
    "IWbemFetchSmartEnum",
    "IWbemLevel1Login",
    "IWbemLoginClientID",
    "IWbemLoginHelper",
    "IWbemObjectSink",
    "IWbemServices",
    "IWbemShutdown",
    "IWbemUnsecuredApartment",
    "IWbemWCOSmartEnum",
]

CLSID_WBEM_LEVEL1_LOGIN: Final = UUID("8bc3f05e-d86b-11d0-a075-00c04fb68820")
CLSID_UNSECURED_APARTMENT: Final = UUID("49bd2028-1523-11d1-ad79-00c04fd8fdff")
CLSIDS_WBEM_SHUTDOWN: Final = (
    UUID("73e709ea-5d93-4b2e-bbb0-99b7938da9e4"),
    UUID("1f87137d-0e7c-44d5-8c73-4effb68962f2"),
)


class _TextType(BstrType):
    """A BSTR that holds text: it ends at the first NUL, as Windows reads it. Some clients count a terminator in."""

    def settle(self, raw: Any) -> str | None:
        text: str | None = super().settle(raw)
        return None if text is None else text.partition("\0")[0]


_Text: Final = _TextType()

# [in] or [out] pointers to interfaces: the value is the OBJREF's octets, None is NULL.
_Pointer: Final = Unique(MInterfacePointer)
# [out, in, unique] pointers to interface pointers.
_Result: Final = ResultPointer(MInterfacePointer)
_String: Final = Unique(WideString())

_path: Final = In("path", _Text)
_flags: Final = In("flags", UInt32)
_context: Final = In("context", _Pointer)
_sink: Final = In("sink", _Pointer)
_call_result: Final = InOut("call_result", _Result)
_enumerator: Final = Out("enumerator", _Pointer)
_timeout: Final = In("timeout", Int32)


def _pair(
    opnum: int, name: str, wanted: tuple[Parameter, ...], results: tuple[Parameter, ...]
) -> tuple[Method, Method]:
    """A method and its asynchronous version: the same parameters, and a sink where the results were."""
    return (
        Method(opnum, name, (*wanted, _flags, _context, *results), HRESULT),
        Method(opnum + 1, f"{name}Async", (*wanted, _flags, _context, _sink), HRESULT),
    )


IWbemLevel1Login: Final = orpc_interface(
    "IWbemLevel1Login",
    UUID("f309ad18-d86a-11d0-a075-00c04fb68820"),
    Method(
        3, "EstablishPosition", (In("reserved", _String), In("flags", UInt32), Out("locale_version", UInt32)), HRESULT
    ),
    Method(
        4,
        "RequestChallenge",
        (In("reserved1", _String), In("reserved2", _String), Out("reserved3", ConformantVaryingBytes())),
        HRESULT,
    ),
    Method(
        5,
        "WBEMLogin",
        (
            In("reserved1", _String),
            In("reserved2", Unique(ConformantVaryingBytes())),
            In("reserved3", Int32),
            In("reserved4", _Pointer),
            Out("reserved5", _Pointer),
        ),
        HRESULT,
    ),
    Method(
        6,
        "NTLMLogin",
        (
            In("network_resource", _String),
            In("preferred_locale", _String),
            _flags,
            _context,
            Out("namespace", _Pointer),
        ),
        HRESULT,
    ),
)

IWbemLoginClientID: Final = orpc_interface(
    "IWbemLoginClientID",
    UUID("d4781cd6-e5d3-44df-ad94-930efe48a887"),
    Method(
        3,
        "SetClientInfo",
        (In("machine", _String), In("process", Int32), In("reserved", Int32)),
        HRESULT,
    ),
)

IWbemLoginHelper: Final = orpc_interface(
    "IWbemLoginHelper",
    UUID("541679ab-2e5f-11d3-b34e-00104bcc4b4a"),
    # LPCSTR is a string by its own definition, and a reference pointer here.
    Method(3, "SetEvent", (In("event", CharString()),), HRESULT),
)

IWbemServices: Final = orpc_interface(
    "IWbemServices",
    UUID("9556dc99-828c-11cf-a37e-00aa003240c7"),
    Method(
        3,
        "OpenNamespace",
        (In("namespace", _Text), _flags, _context, InOut("working_namespace", _Result), _call_result),
        HRESULT,
    ),
    Method(4, "CancelAsyncCall", (_sink,), HRESULT),
    Method(5, "QueryObjectSink", (_flags, Out("sink", _Pointer)), HRESULT),
    *_pair(6, "GetObject", (_path,), (InOut("object", _Result), _call_result)),
    *_pair(8, "PutClass", (In("object", _Pointer),), (_call_result,)),
    *_pair(10, "DeleteClass", (In("class_name", _Text),), (_call_result,)),
    *_pair(12, "CreateClassEnum", (In("superclass", _Text),), (_enumerator,)),
    *_pair(14, "PutInstance", (In("object", _Pointer),), (_call_result,)),
    *_pair(16, "DeleteInstance", (_path,), (_call_result,)),
    *_pair(18, "CreateInstanceEnum", (In("class_name", _Text),), (_enumerator,)),
    *_pair(20, "ExecQuery", (In("language", _Text), In("query", _Text)), (_enumerator,)),
    *_pair(22, "ExecNotificationQuery", (In("language", _Text), In("query", _Text)), (_enumerator,)),
    Method(
        24,
        "ExecMethod",
        (
            _path,
            In("method", _Text),
            _flags,
            _context,
            In("parameters", _Pointer),
            InOut("object", _Result),
            _call_result,
        ),
        HRESULT,
    ),
    Method(
        25,
        "ExecMethodAsync",
        (_path, In("method", _Text), _flags, _context, In("parameters", _Pointer), _sink),
        HRESULT,
    ),
)

IEnumWbemClassObject: Final = orpc_interface(
    "IEnumWbemClassObject",
    UUID("027947e1-d731-11ce-a357-000000000001"),
    Method(3, "Reset", (), HRESULT),
    Method(
        4,
        "Next",
        (
            _timeout,
            In("count", UInt32),
            Out("objects", ConformantVaryingArray(_Pointer, size_is="count", length_is="returned")),
            Out("returned", UInt32),
        ),
        HRESULT,
    ),
    Method(5, "NextAsync", (In("count", UInt32), _sink), HRESULT),
    Method(6, "Clone", (_enumerator,), HRESULT),
    Method(7, "Skip", (_timeout, In("count", UInt32)), HRESULT),
)

IWbemFetchSmartEnum: Final = orpc_interface(
    "IWbemFetchSmartEnum",
    UUID("1c1c45ee-4395-11d2-b60b-00104b703efd"),
    Method(3, "GetSmartEnum", (Out("smart_enum", _Pointer),), HRESULT),
)

IWbemWCOSmartEnum: Final = orpc_interface(
    "IWbemWCOSmartEnum",
    UUID("423ec01e-2e35-11d2-b604-00104b703efd"),
    Method(
        3,
        "Next",
        (
            In("proxy", Guid),
            _timeout,
            In("count", UInt32),
            Out("returned", UInt32),
            Out("size", UInt32),
            Out("buffer", Unique(ConformantBytes(size_is="size"))),
        ),
        HRESULT,
    ),
)

IWbemCallResult: Final = orpc_interface(
    "IWbemCallResult",
    UUID("44aca675-e8fc-11d0-a07c-00c04fb68820"),
    Method(3, "GetResultObject", (_timeout, Out("object", _Pointer)), HRESULT),
    Method(4, "GetResultString", (_timeout, Out("text", _Text)), HRESULT),
    Method(5, "GetResultServices", (_timeout, Out("services", _Pointer)), HRESULT),
    Method(6, "GetCallStatus", (_timeout, Out("status", UInt32)), HRESULT),
)

IWbemObjectSink: Final = orpc_interface(
    "IWbemObjectSink",
    UUID("7c857801-7381-11cf-884d-00aa004b2e24"),
    Method(
        3,
        "Indicate",
        (In("count", UInt32), In("objects", ConformantArray(_Pointer, size_is="count"))),
        HRESULT,
    ),
    Method(
        4,
        "SetStatus",
        (_flags, In("status", UInt32), In("text", _Text), In("error", _Pointer)),
        HRESULT,
    ),
)

IWbemShutdown: Final = orpc_interface(
    "IWbemShutdown",
    # 3.1.4.14 prints IWbemLevel1Login's identifier by mistake; this is the one that the SDK's headers have.
    UUID("b7b31df9-d515-11d3-a11c-00105a1f515a"),
    Method(3, "Shutdown", (In("reserved1", Int32), In("reserved2", UInt32), In("reserved3", _Pointer)), HRESULT),
)

IUnsecuredApartment: Final = orpc_interface(
    "IUnsecuredApartment",
    UUID("1cfaba8c-1523-11d1-ad79-00c04fd8fdff"),
    Method(3, "CreateObjectStub", (In("reserved1", _Pointer), Out("reserved2", _Pointer)), HRESULT),
)

IWbemUnsecuredApartment: Final = orpc_interface(
    "IWbemUnsecuredApartment",
    UUID("31739d04-3471-4cf4-9a7c-57a44ae71956"),
    Method(
        3,
        "CreateSinkStub",
        (In("reserved1", _Pointer), In("reserved2", UInt32), In("reserved3", _String), Out("reserved4", _Pointer)),
        HRESULT,
    ),
)
