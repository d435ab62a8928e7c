"""The tables say what the IDL of MS-WMI's appendix A says."""

from __future__ import annotations

from uuid import UUID

import pytest

from openwmi.dcom.types import OrpcThat
from openwmi.rpc.interface import Direction, Interface, Parameter
from openwmi.rpc.ndr import Guid, Int32, MInterfacePointer, ResultPointer, Slot, UInt32, Unique, WideString
from openwmi.rpc.ndr.automation import BstrType
from openwmi.wmi.interfaces import (
    CLSID_WBEM_LEVEL1_LOGIN,
    IEnumWbemClassObject,
    IWbemCallResult,
    IWbemFetchSmartEnum,
    IWbemLevel1Login,
    IWbemObjectSink,
    IWbemServices,
    IWbemWCOSmartEnum,
)

# opnum, name, and what the parameters are: s BSTR, w wchar_t*, l long, g GUID, i interface pointer,
# x [out] of one of these, r [out, in, unique] pointer to an interface pointer, a array.
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
    out = "x" if parameter.direction is Direction.OUT else ""
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
    return f"{out}a"


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
    "WMI-3.1.4.6-02", "WMI-3.1.4.7-02",
)  # fmt: skip
def test_identifiers() -> None:
    assert {i.name: str(i.uuid) for i in TABLES} == {
        "IWbemServices": "9556dc99-828c-11cf-a37e-00aa003240c7",
        "IWbemLevel1Login": "f309ad18-d86a-11d0-a075-00c04fb68820",
        "IEnumWbemClassObject": "027947e1-d731-11ce-a357-000000000001",
        "IWbemFetchSmartEnum": "1c1c45ee-4395-11d2-b60b-00104b703efd",
        "IWbemWCOSmartEnum": "423ec01e-2e35-11d2-b604-00104b703efd",
        "IWbemCallResult": "44aca675-e8fc-11d0-a07c-00c04fb68820",
        "IWbemObjectSink": "7c857801-7381-11cf-884d-00aa004b2e24",
    }
    assert all(i.version == (0, 0) for i in TABLES)
    assert UUID("8bc3f05e-d86b-11d0-a075-00c04fb68820") == CLSID_WBEM_LEVEL1_LOGIN


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
