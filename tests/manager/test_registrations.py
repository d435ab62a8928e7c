"""Providers that a namespace registers by instances of __Win32Provider (MS-WMI 3.1.1, 3.1.6), and what they may do."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import CimObject, Instance, TypedValue
from openwmi.cim.operations import (
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    GetObject,
    PutInstance,
    Request,
)
from openwmi.errors import AccessDenied, WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.mof import MofErrors
from openwmi.providers import Provider, ProviderCall, method
from openwmi.providers.registry import ProviderTable
from openwmi.security.access import ALL_RIGHTS
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, InMode, context, grant, run

E = WbemStatus

CLASSES = """
[dynamic, provider("House")] class Acme_Lamp { [key] uint32 Number; string Text; uint32 Blink(); };
"""
PROVIDER = 'instance of __Win32Provider as $P { Name = "House"; CLSID = "{1234}"; };'
EVERYTHING = """
instance of __InstanceProviderRegistration {
    provider = $P; SupportsGet = TRUE; SupportsPut = TRUE; SupportsDelete = TRUE; SupportsEnumeration = TRUE;
    QuerySupportLevels = {"wql:UNARYSELECT"};
};
instance of __MethodProviderRegistration { provider = $P; };
"""


class Lamps(Provider):
    name = "Lamps"
    clsid = "{1234}"
    made: list[Lamps]

    def __init__(self) -> None:
        self.closed = False
        self.made.append(self)

    def close(self) -> None:
        self.closed = True

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        return {"Text": "got"}

    def put_instance(self, call: ProviderCall, instance: Instance) -> None: ...

    def delete_instance(self, call: ProviderCall, keys: Any) -> None: ...

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return [{"Number": 1, "Text": "listed"}]

    def query_instances(self, call: ProviderCall, query: str) -> Any:
        return [{"Number": 1, "Text": "queried"}]

    @method
    def Blink(self, call: ProviderCall, keys: Any) -> int:
        return 7


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Lamps.made = []


async def compiled(manager: ObjectManager, *texts: str) -> None:
    await manager.compile_mof("".join(texts), CIMV2, context())


async def status(namespace: Namespace, request: Request, **more: Any) -> int:
    try:
        await run(namespace, request, context(**more))
    except WbemError as error:
        return error.status
    return 0


def lamp(found: CimObject) -> Instance:
    assert isinstance(found, Instance)
    return found


GET, LIST = GetObject("Acme_Lamp.Number=1"), EnumerateInstances("Acme_Lamp")


@pytest.mark.requirement("WMI-3.1.1-16", "WMI-3.1.4-15", "WMI-3.1.4-18", "WMI-3.1.4.3.4-33")
async def test_a_registration_makes_a_provider_and_deleting_it_unmakes_it(
    manager: ObjectManager, cimv2: Namespace
) -> None:
    manager.allow(Lamps)
    await compiled(manager, CLASSES)
    assert await status(cimv2, GET) == E.WBEM_E_PROVIDER_NOT_FOUND
    assert await status(cimv2, LIST) == E.WBEM_E_PROVIDER_LOAD_FAILURE
    await compiled(manager, PROVIDER, EVERYTHING)
    assert lamp((await run(cimv2, GET))[0])["Text"] == "got"
    [made] = Lamps.made
    assert await status(cimv2, DeleteInstance('__Win32Provider.Name="House"')) == 0
    assert await status(cimv2, GET) == E.WBEM_E_PROVIDER_NOT_FOUND
    assert made.closed
    await compiled(manager, PROVIDER, EVERYTHING)
    assert await status(cimv2, GET) == 0
    assert len(Lamps.made) == 2


async def test_a_registration_that_changes_counts_at_once(manager: ObjectManager, cimv2: Namespace) -> None:
    manager.allow(Lamps)
    await compiled(manager, CLASSES, PROVIDER)
    assert await status(cimv2, LIST) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    registration = '__InstanceProviderRegistration.provider="__Win32Provider.Name=\\"House\\""'
    await compiled(manager, PROVIDER, EVERYTHING)
    assert await status(cimv2, LIST) == 0
    assert await status(cimv2, DeleteInstance(registration)) == 0
    assert await status(cimv2, LIST) == E.WBEM_E_PROVIDER_NOT_CAPABLE


async def test_a_registration_that_is_undone_never_was(manager: ObjectManager, cimv2: Namespace) -> None:
    manager.allow(Lamps)
    await compiled(manager, CLASSES)
    with pytest.raises(MofErrors):
        await compiled(manager, PROVIDER, EVERYTHING, "instance of No_Such_Class { };")
    assert await status(cimv2, GET) == E.WBEM_E_PROVIDER_NOT_FOUND


@pytest.mark.requirement(
    "WMI-3.1.4.3.4-34", "WMI-3.1.4.3.5-27", "WMI-3.1.4.3.12-34", "WMI-3.1.4.3.12-35", "WMI-3.1.4.3.14-23",
    "WMI-3.1.4.3.14-24", "WMI-3.1.4.3.16-24", "WMI-3.1.4.3.16-25", "WMI-3.1.4.3.13-34", "WMI-3.1.4.3.13-35",
    "WMI-3.1.4.3.15-21", "WMI-3.1.4.3.15-22", "WMI-3.1.4.3.17-25", "WMI-3.1.4.3.17-26",
)  # fmt: skip
@pytest.mark.parametrize("mode", [CallingMode.SEMISYNCHRONOUS, CallingMode.ASYNCHRONOUS])
@pytest.mark.parametrize("column", ["SupportsGet", "SupportsPut", "SupportsDelete", "SupportsEnumeration"])
async def test_what_a_registration_supports_is_what_is_asked(
    manager: ObjectManager, cimv2: Namespace, column: str, mode: CallingMode
) -> None:
    cimv2 = InMode(cimv2, mode)
    manager.allow(Lamps)
    only = f"instance of __InstanceProviderRegistration {{ provider = $P; {column} = TRUE; }};"
    await compiled(manager, CLASSES, PROVIDER, only)
    [cls] = await run(cimv2, GetObject("Acme_Lamp"))
    requests: dict[str, Request] = {
        "SupportsGet": GET,
        "SupportsPut": PutInstance(cls.new(Number=1)),  # type: ignore[union-attr]
        "SupportsDelete": DeleteInstance("Acme_Lamp.Number=1"),
        "SupportsEnumeration": LIST,
    }
    found = {name: await status(cimv2, request) for name, request in requests.items()}
    assert found == {name: 0 if name == column else E.WBEM_E_PROVIDER_NOT_CAPABLE for name in requests}
    assert await status(cimv2, ExecMethod("Acme_Lamp.Number=1", "Blink")) == E.WBEM_E_METHOD_NOT_IMPLEMENTED


@pytest.mark.requirement("WMI-3.1.1-17", "WMI-3.1.4.3.18-30")
@pytest.mark.parametrize(
    ("levels", "text"),
    [('{"WQL:UnarySelect"}', "queried"), ('{"WQL:V1ProviderDefined"}', "queried"), ("{}", None), ("NULL", None)],
)
async def test_query_support_levels(manager: ObjectManager, cimv2: Namespace, levels: str, text: str | None) -> None:
    manager.allow(Lamps)
    registration = f"provider = $P; SupportsEnumeration = TRUE; QuerySupportLevels = {levels};"
    await compiled(manager, CLASSES, PROVIDER, f"instance of __InstanceProviderRegistration {{ {registration} }};")
    [found] = await run(cimv2, ExecQuery("SELECT * FROM Acme_Lamp"))
    assert lamp(found)["Text"] == (text or "listed")


async def test_a_method_provider(manager: ObjectManager, cimv2: Namespace) -> None:
    manager.allow(Lamps)
    await compiled(manager, CLASSES, PROVIDER, "instance of __MethodProviderRegistration { provider = $P; };")
    [out] = await run(cimv2, ExecMethod("Acme_Lamp.Number=1", "Blink"))
    assert lamp(out)["ReturnValue"] == 7
    assert await status(cimv2, GET) == E.WBEM_E_PROVIDER_NOT_CAPABLE


@pytest.mark.parametrize(
    ("clsid", "known"),
    [
        ('"{1234}"', True),
        ('"lamps"', True),
        ("NULL", False),
        ('"os:system"', False),
        ('"tests.manager.test_registrations:Lamps"', False),
        ('""', False),
    ],
)
async def test_a_clsid_chooses_among_known_providers_and_never_names_code(
    manager: ObjectManager, cimv2: Namespace, clsid: str, known: bool
) -> None:
    manager.allow(Lamps)
    provider = f'instance of __Win32Provider as $P {{ Name = "House"; CLSID = {clsid}; }};'
    await compiled(manager, CLASSES, provider, EVERYTHING)
    assert await status(cimv2, GET) == (0 if known else E.WBEM_E_PROVIDER_LOAD_FAILURE)


async def test_a_registration_may_come_before_what_it_means(manager: ObjectManager, cimv2: Namespace) -> None:
    await compiled(manager, CLASSES, PROVIDER, EVERYTHING)
    assert await status(cimv2, GET) == E.WBEM_E_PROVIDER_LOAD_FAILURE
    manager.allow(Lamps, "House")
    assert await status(cimv2, GET) == 0


async def test_only_administrators_register(manager: ObjectManager, cimv2: Namespace) -> None:
    await grant(manager, ALL_RIGHTS)
    manager.allow(Lamps)
    await compiled(manager, CLASSES, PROVIDER, EVERYTHING)
    [cls] = await run(cimv2, GetObject("__Win32Provider"))
    put = PutInstance(cls.new(Name="Mine", CLSID="{1234}"))  # type: ignore[union-attr]
    assert await status(cimv2, put, principal=USER) == E.WBEM_E_ACCESS_DENIED
    assert await status(cimv2, DeleteInstance('__Win32Provider.Name="House"'), principal=USER) == E.WBEM_E_ACCESS_DENIED
    with pytest.raises((AccessDenied, MofErrors)):
        await manager.compile_mof(PROVIDER, CIMV2, context(USER))
    assert await status(cimv2, GET, principal=USER) == 0


async def test_a_registration_is_for_its_own_namespace(manager: ObjectManager, cimv2: Namespace) -> None:
    manager.allow(Lamps)
    await compiled(manager, CLASSES, PROVIDER, EVERYTHING)
    await manager.compile_mof(CLASSES, "root\\default", context())
    elsewhere = await manager.connect("root\\default", context())
    assert await status(elsewhere, GET) == E.WBEM_E_PROVIDER_NOT_FOUND
    assert await status(cimv2, GET) == 0


@pytest.mark.requirement("WMI-3.1.4-17", "WMI-3.1.4-18", "WMI-3.1.4-19", "WMI-3.1.4-20", "WMI-3.1.4-21")
@pytest.mark.parametrize(
    ("architecture", "required", "expected"),
    [
        (32, True, "32"),
        (64, True, "64"),
        (32, False, "32"),
        (16, False, E.WBEM_E_INVALID_PARAMETER),
        (None, None, "64"),
    ],
)
async def test_the_architecture_that_the_context_asks_for(
    manager: ObjectManager, cimv2: Namespace, architecture: int | None, required: bool | None, expected: Any
) -> None:
    class Of(Provider):
        def __init__(self, bits: str) -> None:
            self.bits = bits

        def get_instance(self, call: ProviderCall, keys: Any) -> Any:
            return {"Text": self.bits}

    await compiled(manager, CLASSES)
    for bits in (32, 64):
        await manager.register(lambda bits=bits: Of(str(bits)), "House", architecture=bits)  # type: ignore[misc]
    values = {
        f"__{name}": TypedValue.of(value)
        for name, value in {"ProviderArchitecture": architecture, "RequiredArchitecture": required}.items()
        if value is not None
    }
    if isinstance(expected, str):
        [found] = await run(cimv2, GET, context(values=values))
        assert lamp(found)["Text"] == expected
    else:
        assert await status(cimv2, GET, values=values) == expected


async def test_deleting_the_namespace_or_the_class_ends_its_registrations(manager: ObjectManager) -> None:
    manager.allow(Lamps)
    root = await manager.connect("root", context())
    await manager.compile_mof('instance of __NAMESPACE { Name = "own"; };', "root", context())
    await manager.compile_mof(CLASSES + PROVIDER + EVERYTHING, "root\\own", context())
    own = await manager.connect("root\\own", context())
    assert await status(own, GET) == 0
    await run(root, DeleteInstance('__NAMESPACE.Name="own"'))
    await manager.registrations.review()
    assert Lamps.made[0].closed
    assert list(manager.providers) == []


async def test_a_class_of_registrations_can_go(manager: ObjectManager, cimv2: Namespace) -> None:
    manager.allow(Lamps)
    own = "class Acme_Provider : __Win32Provider { };"
    provider = PROVIDER.replace("__Win32Provider", "Acme_Provider")
    await compiled(manager, CLASSES, own, provider, EVERYTHING)
    assert await status(cimv2, GET) == 0
    await run(cimv2, DeleteClass("Acme_Provider"))
    assert await status(cimv2, GET) == E.WBEM_E_PROVIDER_NOT_FOUND


async def test_a_table_of_nothing() -> None:
    assert ProviderTable().reconcile(CIMV2, []) == []


# -- what callers are told of a failure


class Failing(Provider):
    name = "House"

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        raise ValueError("the lamp is out")

    def enumerate_instances(self, call: ProviderCall) -> Any:
        raise MemoryError


@pytest.mark.parametrize("administrator", [True, False])
async def test_the_traceback_is_for_administrators(
    manager: ObjectManager, cimv2: Namespace, administrator: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await grant(manager, ALL_RIGHTS)
    await compiled(manager, CLASSES)
    await manager.register(Failing)
    ctx = context() if administrator else context(USER)
    with pytest.raises(WbemError) as caught:
        await run(cimv2, GET, ctx)
    error = caught.value
    assert error.status == E.WBEM_E_PROVIDER_FAILURE
    assert error.extended is not None
    assert error.extended["ProviderName"] == "House"
    description = error.extended["Description"]
    assert "ValueError: the lamp is out" in description
    assert ("test_registrations.py" in description) is administrator
    assert "test_registrations.py" not in error.detail
    assert "test_registrations.py" in caplog.text
    with pytest.raises(WbemError) as caught:
        await run(cimv2, LIST, ctx)
    assert caught.value.status == E.WBEM_E_OUT_OF_MEMORY
