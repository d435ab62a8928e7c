"""The tables say what the IDL of MS-WMI's appendix A says."""

from __future__ import annotations

from uuid import UUID

import pytest

from openwmi.dcom.types import OrpcThat
from openwmi.rpc.interface import Direction, Interface, Parameter
from openwmi.rpc.ndr import CharString, Guid, Int32, MInterfacePointer, ResultPointer, Slot, UInt32, Unique, WideString
from openwmi.rpc.ndr.automation import BstrType
from openwmi.wmi.interfaces import (
    CLSID_UNSECURED_APARTMENT,
    CLSID_WBEM_LEVEL1_LOGIN,
    CLSIDS_WBEM_SHUTDOWN,
    IEnumWbemClassObject,
    IUnsecuredApartment,
    IWbemCallResult,
    IWbemFetchSmartEnum,
    IWbemLevel1Login,
    IWbemLoginClientID,
    IWbemLoginHelper,
    IWbemObjectSink,
    IWbemServices,
    IWbemShutdown,
    IWbemUnsecuredApartment,
    IWbemWCOSmartEnum,
)
from openwmi.wmi.refreshing import IWbemRefreshingServices, IWbemRemoteRefresher

# opnum, name, and what the parameters are: s BSTR, w wchar_t*, l long, g GUID, i interface pointer,
# c char* and z wchar_t* that cannot be NULL, t structure, a array, x [out] and y [in, out] of one of these,
# r [out, in, unique] pointer to an interface pointer.
TABLES = {
    IWbemServices: """
        3  OpenNamespace              s l i r r
        4  CancelAsyncCall            i
        5  QueryObjectSink            l xi
        6  GetObject                  s l i r r
        7  GetObjectAsync             s l i i
        8  PutClass                   i l i r
        9  PutClassAsync              i l i i
        10 DeleteClass                s l i r
        11 DeleteClassAsync           s l i i
        12 CreateClassEnum            s l i xi
        13 CreateClassEnumAsync       s l i i
        14 PutInstance                i l i r
        15 PutInstanceAsync           i l i i
        16 DeleteInstance             s l i r
        17 DeleteInstanceAsync        s l i i
        18 CreateInstanceEnum         s l i xi
        19 CreateInstanceEnumAsync    s l i i
        20 ExecQuery                  s s l i xi
        21 ExecQueryAsync             s s l i i
        22 ExecNotificationQuery      s s l i xi
        23 ExecNotificationQueryAsync s s l i i
        24 ExecMethod                 s s l i i r r
        25 ExecMethodAsync            s s l i i i
    """,
    IWbemLevel1Login: """
        3  EstablishPosition          w l xl
        4  RequestChallenge           w w xa
        5  WBEMLogin                  w a l i xi
        6  NTLMLogin                  w w l i xi
    """,
    IEnumWbemClassObject: """
        3  Reset
        4  Next                       l l xa xl
        5  NextAsync                  l i
        6  Clone                      xi
        7  Skip                       l l
    """,
    IWbemFetchSmartEnum: """
        3  GetSmartEnum               xi
    """,
    IWbemWCOSmartEnum: """
        3  Next                       g l l xl xl xa
    """,
    IWbemCallResult: """
        3  GetResultObject            l xi
        4  GetResultString            l xs
        5  GetResultServices          l xi
        6  GetCallStatus              l xl
    """,
    IWbemLoginClientID: """
        3  SetClientInfo              w l l
    """,
    IWbemLoginHelper: """
        3  SetEvent                   c
    """,
    IWbemRefreshingServices: """
        3  AddObjectToRefresher           t z l i l xt xl
        4  AddObjectToRefresherByTemplate t i l i l xt xl
        5  AddEnumToRefresher             t z l i l xt xl
        6  RemoveObjectFromRefresher      t l l l xl
        7  GetRemoteRefresher             t l l xi xg xl
        8  ReconnectRemoteRefresher       t l l l a ya xl
    """,
    IWbemRemoteRefresher: """
        3  RemoteRefresh              l xl xa
        4  StopRefreshing             l a l
        5  Opnum5NotUsedOnWire        l xg
    """,
    IWbemShutdown: """
        3  Shutdown                   l l i
    """,
    IUnsecuredApartment: """
        3  CreateObjectStub           i xi
    """,
    IWbemUnsecuredApartment: """
        3  CreateSinkStub             i l w xi
    """,
    IWbemObjectSink: """
        3  Indicate                   l a
        4  SetStatus                  l l s i
    """,
}


def label(parameter: Parameter) -> str:
    kind = parameter.type
    if isinstance(kind, ResultPointer):
        assert parameter.direction is Direction.IN_OUT
        return "r"
    out = {Direction.IN: "", Direction.OUT: "x", Direction.IN_OUT: "y"}[parameter.direction]
    if kind is UInt32 or kind is Int32:
        return f"{out}l"
    if kind is Guid:
        return f"{out}g"
    if isinstance(kind, BstrType):
        return f"{out}s"
    if isinstance(kind, Unique) and kind.target is MInterfacePointer:
        return f"{out}i"
    if isinstance(kind, Unique) and isinstance(kind.target, WideString):
        return f"{out}w"
    if isinstance(kind, CharString | WideString):
        return "c" if isinstance(kind, CharString) else "z"
    return f"{out}t" if isinstance(kind, type) else f"{out}a"


@pytest.mark.requirement("WMI-3.1.4.3-04")
@pytest.mark.parametrize("interface", TABLES, ids=lambda i: i.name)
def test_methods(interface: Interface) -> None:
    rows = [line.split() for line in TABLES[interface].strip().splitlines()]
    assert [(int(number), name) for number, name, *_ in rows] == [(m.opnum, m.name) for m in interface.methods]
    for _, name, *kinds in rows:
        method = interface[name]
        assert [p.name for p in method.parameters[:2]] == ["orpc_this", "orpc_that"]
        assert [label(p) for p in method.parameters[2:]] == kinds, name
        assert method.returns is UInt32


@pytest.mark.requirement(
    "WMI-3.1.4.1-01", "WMI-3.1.4.1-03", "WMI-3.1.4.2-03", "WMI-3.1.4.3-05", "WMI-3.1.4.4-01", "WMI-3.1.4.5-03",
    "WMI-3.1.4.6-02", "WMI-3.1.4.7-02", "WMI-3.1.4.8-01", "WMI-3.1.4.9-02", "WMI-3.1.4.12-02", "WMI-3.1.4.13-02",
    "WMI-3.1.4.15-01", "WMI-3.1.4.16-01",
)  # fmt: skip
def test_identifiers() -> None:
    assert {i.name: str(i.uuid) for i in TABLES} == {
        "IWbemServices": "9556dc99-828c-11cf-a37e-00aa003240c7",
        "IWbemLevel1Login": "f309ad18-d86a-11d0-a075-00c04fb68820",
        "IEnumWbemClassObject": "027947e1-d731-11ce-a357-000000000001",
        "IWbemFetchSmartEnum": "1c1c45ee-4395-11d2-b60b-00104b703efd",
        "IWbemWCOSmartEnum": "423ec01e-2e35-11d2-b604-00104b703efd",
        "IWbemCallResult": "44aca675-e8fc-11d0-a07c-00c04fb68820",
        "IWbemLoginClientID": "d4781cd6-e5d3-44df-ad94-930efe48a887",
        "IWbemLoginHelper": "541679ab-2e5f-11d3-b34e-00104bcc4b4a",
        "IWbemRefreshingServices": "2c9273e0-1dc3-11d3-b364-00105a1f8177",
        "IWbemRemoteRefresher": "f1e9c5b2-f59b-11d2-b362-00105a1f8177",
        "IWbemShutdown": "b7b31df9-d515-11d3-a11c-00105a1f515a",
        "IUnsecuredApartment": "1cfaba8c-1523-11d1-ad79-00c04fd8fdff",
        "IWbemUnsecuredApartment": "31739d04-3471-4cf4-9a7c-57a44ae71956",
        "IWbemObjectSink": "7c857801-7381-11cf-884d-00aa004b2e24",
    }
    assert all(i.version == (0, 0) for i in TABLES)
    assert UUID("8bc3f05e-d86b-11d0-a075-00c04fb68820") == CLSID_WBEM_LEVEL1_LOGIN
    assert UUID("49bd2028-1523-11d1-ad79-00c04fd8fdff") == CLSID_UNSECURED_APARTMENT
    assert [str(clsid) for clsid in CLSIDS_WBEM_SHUTDOWN] == [
        "73e709ea-5d93-4b2e-bbb0-99b7938da9e4",
        "1f87137d-0e7c-44d5-8c73-4effb68962f2",
    ]


# Version 5.7, flags, reserved, the causality, no extensions.
THIS = "0500 0700 00000000 00000000 00112233445566778899AABBCCDDEEFF 00000000"
# A pointer, the maximum count, cBytes, clSize, and the text with padding.
PATH = "72657355 03000000 06000000 03000000 4100 3D00 3100 0000"


def test_a_call_written_by_hand() -> None:
    stub = bytes.fromhex(THIS + PATH + "80000000 00000000 00000200 03000000 03000000 AABBCC 00")
    values = IWbemServices["DeleteInstanceAsync"].decode_request(stub)
    del values["orpc_this"]
    assert values == {"path": "A=1", "flags": 0x80, "context": None, "sink": b"\xaa\xbb\xcc"}


@pytest.mark.parametrize(
    ("pointers", "expected"),
    [
        ("00000000", None),
        ("00000200 00000000", Slot()),
        ("00000200 04000200 01000000 01000000 AA", Slot(b"\xaa")),
    ],
)
def test_result_pointers_written_by_hand(pointers: str, expected: Slot | None) -> None:
    stub = bytes.fromhex(THIS + PATH + "00000000 00000000" + pointers)
    assert IWbemServices["DeleteInstance"].decode_request(stub)["call_result"] == expected


@pytest.mark.parametrize(("sent", "seen"), [("A=1\0", "A=1"), ("A\0B", "A"), ("\0", ""), ("", ""), (None, None)])
def test_text_ends_at_the_first_nul(sent: str | None, seen: str | None) -> None:

    stub = IWbemCallResult["GetResultString"].encode_response(orpc_that=OrpcThat(), text=sent, result=0)
    assert IWbemCallResult["GetResultString"].decode_response(stub)["text"] == seen
