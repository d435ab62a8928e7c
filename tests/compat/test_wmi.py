"""How scripts for the wmi module connect, and what they see of errors, values and monikers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import openwmi
from openwmi.cim import CimType, DateTime
from openwmi.compat import wmi
from openwmi.compat.wmi.errors import translated
from openwmi.compat.wmi.monikers import Moniker
from openwmi.compat.wmi.values import cim_value
from openwmi.errors import ConfigurationError, DeadlineExceeded, DecodeError, RpcFault, WbemError
from openwmi.status import WbemStatus
from tests.docs.support import PASSWORD


def test_every_name_is_there() -> None:
    assert sorted(wmi.__all__, key=str.lower) == sorted(set(wmi.__all__), key=str.lower)
    assert all(hasattr(wmi, name) for name in wmi.__all__)
    assert wmi.WMI is wmi.connect


# -- connecting


@pytest.mark.parametrize("named", [{}, {"computer": "."}, {"computer": None}, {"moniker": "winmgmts:"}])
def test_this_machine(named: dict[str, Any]) -> None:
    assert len(wmi.WMI(**named).Win32_OperatingSystem()) == 1


@pytest.mark.parametrize("namespace", ["cimv2", "root/cimv2", "root\\cimv2", ""])
def test_a_namespace(computer: str, namespace: str) -> None:
    c = wmi.WMI(computer, user="ada", password=PASSWORD, namespace=namespace, find_classes=True)
    assert c.handle().scope == r"root\cimv2"
    assert c.Win32_Group()[0].Name == "Staff"


def test_the_namespaces(computer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_USER", "ada")
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    assert "cimv2" in [each.Name for each in wmi.WMI(computer, namespace="root").__NAMESPACE()]


@pytest.mark.parametrize("path", ["//{}/root/cimv2:Win32_Group", r"\\{}\root\cimv2:Win32_Group", "//{}/:Win32_Group"])
@pytest.mark.parametrize("security", ["", "{{impersonationLevel=impersonate,(Security, !Shutdown)}}!"])
def test_a_class_by_its_moniker(computer: str, monkeypatch: pytest.MonkeyPatch, security: str, path: str) -> None:
    monkeypatch.setenv("OPENWMI_USER", "ada")
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    found = wmi.WMI(moniker=("winmgmts:" + security + path).format(computer))
    assert found()[0].Name == "Staff"


def test_a_class_here_by_its_moniker() -> None:
    assert len(wmi.WMI(moniker="Win32_OperatingSystem")()) == 1


def test_an_object_by_its_moniker(computer: str) -> None:
    where: dict[str, Any] = {"user": "ada", "password": PASSWORD}
    disk = wmi.WMI(moniker=f'//{computer}/root/cimv2:Win32_LogicalDisk.DeviceID="C:"', **where)
    assert disk.VolumeName == "System"
    assert wmi.WMI(f"dcom://ada@{computer}", password=PASSWORD).get(disk.path().RelPath) == disk


def test_a_server_first(computer: str) -> None:
    connection = wmi.connect_server(server=computer, user="ada", password=PASSWORD, authentication_level="pktPrivacy")
    assert wmi.WMI(wmi=connection).Win32_Group()[0].Name == "Staff"


def test_a_suffix(computer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_USER", "ada")
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    assert wmi.WMI(computer, privileges=["Security"], suffix="Win32_Group")()[0].Name == "Staff"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"user": "ada"}, "another computer"),
        ({"computer": "x", "user": "ada", "privileges": ["Security"]}, "do not go with a user"),
        ({"computer": "x", "user": "ada", "suffix": "X"}, "do not go with a user"),
        ({"computer": "x", "impersonation_level": "delegate"}, "no impersonation level delegate"),
        ({"computer": "x", "authentication_level": "some"}, "no authentication level some"),
        ({"moniker": "winmgmts:{impersonationLevel=Delegate}!//x"}, "no impersonation level Delegate"),
        ({"computer": "x", "user": "ada", "authority": "kerberos:ACME\\host"}, "only NTLM"),
    ],
)
def test_what_cannot_be_had(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(wmi.x_wmi_authentication, match=message):
        wmi.WMI(**settings)


@pytest.mark.parametrize(
    ("settings", "variables", "message"),
    [
        ({"computer": "x"}, {}, "x: no user: .*user=.*OPENWMI_USER"),
        ({"computer": "dcom://x:1350"}, {"OPENWMI_PASSWORD": "y"}, "x: no user: .*user=.*OPENWMI_USER"),
        ({"computer": "x", "user": "ada"}, {}, "no password for ada.*password=.*OPENWMI_PASSWORD"),
        ({"computer": "dcom://ada@x"}, {}, "no password for ada"),
        ({"moniker": "//x/root/cimv2"}, {"OPENWMI_USER": "bob"}, "no password for bob"),
    ],
)
def test_a_log_on_that_is_not_given(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], variables: dict[str, str], message: str
) -> None:
    """What is missing, and by which argument or variable to give it."""
    for name in ("OPENWMI_USER", "OPENWMI_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(wmi.x_wmi_authentication, match=message):
        wmi.WMI(**settings)


def test_the_domain_of_an_authority(computer: str) -> None:
    authority = "ntlmdomain:ACME"
    assert wmi.WMI(computer, user="ada", password=PASSWORD, authority=authority).handle().principal.name == r"ACME\ada"
    c = wmi.WMI(computer, user=r".\ada", password=PASSWORD, authority=authority)
    assert c.handle().principal.name == r".\ada"


def test_the_registry_is_windows(computer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWMI_USER", "ada")
    monkeypatch.setenv("OPENWMI_PASSWORD", PASSWORD)
    with pytest.raises(wmi.x_wmi, match=f"{computer} has no registry: only Windows has one"):
        wmi.Registry(computer)
    wmi.WMI(computer, namespace="default").handle().compile_mof(
        "class StdRegProv {"
        " [static] uint32 EnumKey([in] uint32 hDefKey, [in] string sSubKeyName, [out] string sNames[]); };"
    )
    registry = wmi.Registry(moniker=f"//{computer}/root/default:StdRegProv")
    assert repr(registry.EnumKey) == "<function EnumKey (hDefKey, sSubKeyName) => (ReturnValue, sNames[])>"
    registry._session.delete_class("StdRegProv")


# -- monikers


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "winmgmts:"),
        ({"computer": "h"}, "winmgmts://h/"),
        ({"computer": "h", "namespace": "default", "suffix": "StdRegProv"}, "winmgmts://h/root/default:StdRegProv"),
        ({"namespace": "ROOT\\a"}, "winmgmts:ROOT/a"),
        ({"authority": "ntlmdomain:A"}, "winmgmts:"),
        (
            {
                "computer": "h",
                "authority": "ntlmdomain:A",
                "impersonation_level": "impersonate",
                "privileges": ["X", "!Y"],
            },
            "winmgmts:{impersonationLevel=impersonate,authority=ntlmdomain:A,(X, !Y)}!//h/",
        ),
    ],
)
def test_monikers_are_made(parts: dict[str, Any], text: str) -> None:
    assert wmi.construct_moniker(**parts) == text


@pytest.mark.parametrize(
    ("text", "moniker"),
    [
        ("", Moniker("", "", "")),
        ("WinMgmts://h", Moniker("h", "", "")),
        (r"\\h:13501\root\a", Moniker("h:13501", r"root\a", "")),
        ("root/a", Moniker("", "root/a", "")),
        ("X", Moniker("", "", "X")),
        ('X.K="a:/b"', Moniker("", "", 'X.K="a:/b"')),
        ('//h/root/a:X.K="a:/b"', Moniker("h", "root/a", 'X.K="a:/b"')),
        ("{authority=ntlmdomain:A}!//./root:X=@", Moniker(".", "root", "X=@", "ntlmdomain:A")),
    ],
)
def test_monikers_are_read(text: str, moniker: Moniker) -> None:
    assert Moniker.parse(text) == moniker


# -- errors


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (WbemError.of(WbemStatus.WBEM_E_INVALID_QUERY, "bad"), wmi.x_wmi_invalid_query, 0x80041017),
        (WbemError.of(WbemStatus.WBEM_E_ACCESS_DENIED, "bad"), wmi.x_access_denied, 0x80041003),
        (WbemError.of(WbemStatus.WBEM_E_NOT_FOUND, "bad"), wmi.x_wmi, 0x80041002),
        (RpcFault(0x80070005, "bad"), wmi.x_access_denied, 0x80070005),
        (openwmi.AuthenticationError("bad"), wmi.x_access_denied, 0x80070005),
        (openwmi.ConnectError("bad"), wmi.x_wmi, 0x800706BA),
        (DeadlineExceeded("bad"), wmi.x_wmi, 0x8001011F),
        (DecodeError("bad", 1, "x"), wmi.x_wmi, None),
        (ConfigurationError("bad"), wmi.x_wmi, None),
    ],
)
def test_errors(error: openwmi.Error, kind: type[wmi.x_wmi], code: int | None) -> None:
    with pytest.raises(wmi.x_wmi, match="bad") as caught, translated():
        raise error
    assert type(caught.value) is kind
    beneath = caught.value.com_error
    assert (None if beneath is None else wmi.signed_to_unsigned(beneath.hresult)) == code
    assert beneath is None or beneath.hresult < 0


def test_errors_of_a_script(computer: str, c: Any) -> None:
    with pytest.raises(wmi.x_access_denied):
        wmi.WMI(computer, user="ada", password="wrong")
    with pytest.raises(wmi.x_wmi, match="no user"):
        wmi.WMI(computer)
    for query in ("SELECT", "SELECT Nothing FROM Win32_Group"):
        with pytest.raises(wmi.x_wmi_invalid_query):
            c.query(query)
    with pytest.raises(wmi.x_wmi_invalid_query):
        c.Win32_Group(Nothing=1)
    with pytest.raises(wmi.x_wmi) as caught:
        c.get('Win32_Group.Domain="x",Name="y"')
    assert caught.value.com_error is not None
    assert caught.value.com_error.hresult == -2147217406
    assert re.fullmatch("<x_wmi: .*WBEM_E_NOT_FOUND 0x80041002]>", str(caught.value))
    assert str(wmi.x_wmi()) == "<x_wmi: no reason was given>"


# -- values


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((), "**************.******+***"),
        ((2026, 1, "31"), "20260131******.******+***"),
        ((2026, 1, 31, 12, 30, 15, 250, 60), "20260131123015.000250+060"),
        ((2026, 1, 31, 12, 30, 15, 250, "-300"), "20260131123015.000250-300"),
        ((datetime(2026, 1, 31, tzinfo=UTC),), "20260131000000.000000+000"),
    ],
)
def test_from_time(parts: tuple[Any, ...], text: str) -> None:
    assert wmi.from_time(*parts) == text


def test_to_time() -> None:
    assert wmi.to_time("20260131123015.000250+060") == (2026, 1, 31, 12, 30, 15, 250, "060")
    assert wmi.to_time("**************.******+***") == (None,) * 8


@given(st.datetimes(min_value=datetime(1601, 1, 1)), st.integers(-720, 720))
def test_times_go_there_and_back(when: datetime, offset: int) -> None:
    text = wmi.from_time(
        when.year, when.month, when.day, when.hour, when.minute, when.second, when.microsecond, offset
    )  # fmt: skip
    assert wmi.to_time(text) == (*when.timetuple()[:6], when.microsecond, f"{abs(offset):03d}")
    assert DateTime(text).to_datetime().replace(tzinfo=None) == when


def test_from_1601() -> None:
    assert wmi.from_1601("125911584000000000") == datetime(2000, 1, 1)


@pytest.mark.parametrize(
    ("value", "type_", "is_array", "expected"),
    [
        ("12", CimType.UINT64, False, 12),
        ("twelve", CimType.UINT64, False, "twelve"),
        (True, CimType.UINT8, False, 1),
        (("1", 2), CimType.SINT64, True, [1, 2]),
        (1, CimType.BOOLEAN, False, True),
        ("false", CimType.BOOLEAN, False, False),
        ("0", CimType.BOOLEAN, False, False),
        (5, CimType.STRING, False, "5"),
        (None, CimType.STRING, True, None),
        ("20260131******.******+***", CimType.DATETIME, False, "20260131******.******+***"),
    ],
)
def test_values_that_scripts_give(value: Any, type_: CimType, is_array: bool, expected: Any) -> None:
    given = cim_value(value, type_, is_array)
    assert (given, type(given)) == (expected, type(expected))
