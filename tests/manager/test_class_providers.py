"""Classes that class providers have (MS-WMI 3.1.1, 3.1.4, 3.1.4.3.4-.11, 3.1.4.17)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from openwmi.cim import Class, Instance, NameMap, Property, TypedValue
from openwmi.cim.operations import (
    CallingMode,
    DeleteClass,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    PutClass,
    Request,
)
from openwmi.cim.types import CimType
from openwmi.errors import NotFound, WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Key, Provider, ProviderCall, Uint32, cim_class
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, InMode, context, grant, run

E = WbemStatus

MOF = """
[abstract] class Acme_Shape { [key] uint32 Id; };
class Acme_Static : Acme_Shape { };
"""


@cim_class(superclass="Acme_Shape")
class Acme_Circle:
    Radius: Uint32 = 1


@cim_class
class Acme_Ellipse(Acme_Circle):
    Other: Uint32 = 2


@cim_class(abstract=True)
class Acme_Lonely:
    Name: Key[str]


class Shapes(Provider):
    name = "Shapes"
    mof: ClassVar[str | None] = MOF
    result_set_queries = ('SELECT * FROM meta_class WHERE __THIS ISA "Acme_Shape"', "SELECT * FROM nonsense !",
                          'SELECT * FROM meta_class WHERE __CLASS = "Acme_Lonely"')  # fmt: skip

    def __init__(self) -> None:
        self.classes_now: dict[str, Any] = {c.__name__: c for c in (Acme_Circle, Acme_Ellipse, Acme_Lonely)}
        self.fails: Exception | None = None
        self.log: list[Any] = []

    def get_class(self, call: ProviderCall, name: str) -> Any:
        self.log.append(name)
        if self.fails is not None:
            raise self.fails
        return next((cls for known, cls in self.classes_now.items() if known.lower() == name.lower()), None)

    def enumerate_classes(self, call: ProviderCall, superclass: str | None) -> Iterator[Any]:
        if self.fails is not None:
            raise self.fails
        yield from self.classes_now.values()

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return [{"Id": len(call.cls.name)}]

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        return {} if keys["Id"] == len(call.cls.name) else None


class Writable(Shapes):
    def put_class(self, call: ProviderCall, cls: Class) -> None:
        self.log.append(("put", cls.name, list(cls.properties)))
        self.classes_now[cls.name] = cls.local

    async def delete_class(self, call: ProviderCall, name: str) -> None:
        del self.classes_now[name]

    def is_class_supported(self, call: ProviderCall, name: str) -> bool:
        return name.startswith("Acme_")


@pytest.fixture(params=[CallingMode.SEMISYNCHRONOUS, CallingMode.ASYNCHRONOUS], ids=["sync", "async"])
async def cimv2(manager: ObjectManager, request: pytest.FixtureRequest) -> Namespace:
    return InMode(await manager.connect(CIMV2, context()), request.param)


@pytest.fixture
async def shapes(manager: ObjectManager, request: pytest.FixtureRequest) -> Shapes:
    kind: type[Shapes] = getattr(request, "param", Shapes)
    await manager.register(kind)
    [entry] = manager.providers
    runner = await entry.load()
    provider = runner.provider  # type: ignore[attr-defined]
    assert isinstance(provider, Shapes)
    return provider


def names(found: Any) -> list[str]:
    return [item.name if isinstance(item, Class) else item.class_name for item in found]


async def status(namespace: Namespace, request: Request, **more: Any) -> int:
    try:
        await run(namespace, request, context(**more))
    except WbemError as error:
        return error.status
    return 0


async def test_a_class_by_its_name(cimv2: Namespace, shapes: Shapes) -> None:
    [found] = await run(cimv2, GetObject("acme_ELLIPSE"))
    assert isinstance(found, Class)
    assert found.derivation == ("Acme_Circle", "Acme_Shape")
    assert list(found.properties) == ["Id", "Radius", "Other"]
    assert found.provider == "Shapes"
    assert str(found.path) == r"\\HOST\root\cimv2:Acme_Ellipse"
    assert await status(cimv2, GetObject("Acme_Square")) == E.WBEM_E_NOT_FOUND


async def test_classes_of_the_repository_are_not_asked_for(cimv2: Namespace, shapes: Shapes) -> None:
    await run(cimv2, GetObject("Acme_Static"))
    assert shapes.log == []
    shapes.classes_now["Acme_Static"] = Class("Acme_Static", properties=NameMap((Property("X", CimType.SINT8),)))
    [found] = await run(cimv2, GetObject("Acme_Static"))
    assert list(found.properties) == ["Id"]  # type: ignore[union-attr]


@pytest.mark.requirement("WMI-3.1.4.3.10-25", "WMI-3.1.4.3.11-26")
@pytest.mark.parametrize(
    ("superclass", "flags", "expected"),
    [
        ("Acme_Shape", 0, ["Acme_Static", "Acme_Circle", "Acme_Ellipse"]),
        ("Acme_Shape", Flags.SHALLOW, ["Acme_Static", "Acme_Circle"]),
        ("Acme_Circle", 0, ["Acme_Ellipse"]),
        ("Acme_Ellipse", 0, []),
        ("Acme_Lonely", 0, []),
    ],
)
async def test_enumerations_have_both_kinds(
    cimv2: Namespace, shapes: Shapes, superclass: str, flags: int, expected: list[str]
) -> None:
    assert names(await run(cimv2, EnumerateClasses(superclass), context(flags=flags))) == expected


async def test_all_classes(cimv2: Namespace, shapes: Shapes) -> None:
    everything = names(await run(cimv2, EnumerateClasses(None)))
    assert {"Acme_Shape", "Acme_Static", "Acme_Circle", "Acme_Ellipse", "Acme_Lonely"} <= set(everything)
    assert len(everything) == len(set(everything))
    top = names(await run(cimv2, EnumerateClasses(None), context(flags=Flags.SHALLOW)))
    assert "Acme_Lonely" in top
    assert "Acme_Circle" not in top
    found = await run(cimv2, ExecQuery('SELECT * FROM meta_class WHERE __THIS ISA "Acme_Circle"'))
    assert names(found) == ["Acme_Circle", "Acme_Ellipse"]


async def test_instances_of_dynamic_classes(cimv2: Namespace, shapes: Shapes) -> None:
    assert sorted(names(await run(cimv2, EnumerateInstances("Acme_Circle")))) == ["Acme_Circle", "Acme_Ellipse"]
    assert sorted(names(await run(cimv2, EnumerateInstances("Acme_Shape")))) == ["Acme_Circle", "Acme_Ellipse"]
    assert names(await run(cimv2, ExecQuery("SELECT * FROM Acme_Shape WHERE Id = 12"))) == ["Acme_Ellipse"]
    [found] = await run(cimv2, GetObject("Acme_Shape.Id=11"))
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Id": 11, "Radius": 1}
    assert await status(cimv2, GetObject("Acme_Circle.Id=1")) == E.WBEM_E_NOT_FOUND


async def test_a_method_that_there_is_not(cimv2: Namespace, shapes: Shapes) -> None:
    assert await status(cimv2, ExecMethod("Acme_Circle.Id=11", "Twist")) == E.WBEM_E_INVALID_METHOD


@pytest.mark.requirement("WMI-3.1.4-25", "WMI-3.1.4-26", "WMI-3.1.4-27")
async def test_result_set_queries(cimv2: Namespace, shapes: Shapes) -> None:
    shapes.classes_now["Acme_Stray"] = Class("Acme_Stray")
    assert await status(cimv2, GetObject("Acme_Stray")) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert await status(cimv2, GetObject("Acme_Circle")) == 0
    assert "Acme_Stray" not in names(await run(cimv2, EnumerateClasses(None)))


async def test_nonsense_is_left_out(cimv2: Namespace, shapes: Shapes, caplog: pytest.LogCaptureFixture) -> None:
    shapes.classes_now["Acme_Loop"] = Class("Acme_Loop", "Acme_Pool")
    shapes.classes_now["Acme_Pool"] = Class("Acme_Pool", "Acme_Loop")
    shapes.classes_now["Acme_Orphan"] = Class("Acme_Orphan", "Acme_Nowhere")
    clash = Property("Id", CimType.STRING)
    shapes.classes_now["Acme_Clash"] = Class("Acme_Clash", "Acme_Shape", properties=NameMap((clash,)))
    assert names(await run(cimv2, EnumerateClasses("Acme_Shape"))) == ["Acme_Static", "Acme_Circle", "Acme_Ellipse"]
    assert await status(cimv2, GetObject("Acme_Loop")) == E.WBEM_E_NOT_FOUND
    assert "left out" in caplog.text


async def test_a_provider_that_fails_harms_its_own_requests_only(cimv2: Namespace, shapes: Shapes) -> None:
    shapes.fails = ValueError("no")
    assert await status(cimv2, GetObject("Acme_Circle")) == E.WBEM_E_PROVIDER_FAILURE
    assert await status(cimv2, EnumerateClasses("Acme_Shape")) == E.WBEM_E_PROVIDER_FAILURE
    assert await status(cimv2, EnumerateInstances("Acme_Static")) == 0
    assert await status(cimv2, GetObject("Acme_Static")) == 0
    shapes.fails = NotFound("no")
    assert await status(cimv2, GetObject("Acme_Circle")) == E.WBEM_E_NOT_FOUND


class Unloadable(Shapes):
    def load(self) -> None:
        raise OSError("no")


@pytest.mark.requirement("WMI-3.1.4-31")
async def test_one_that_cannot_be_loaded(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.register(Unloadable)
    assert await status(cimv2, GetObject("Acme_Circle")) == E.WBEM_E_PROVIDER_LOAD_FAILURE
    assert await status(cimv2, EnumerateClasses("Acme_Shape")) == E.WBEM_E_PROVIDER_LOAD_FAILURE
    assert await status(cimv2, EnumerateInstances("Acme_Static")) == 0


class Narrow(Shapes):
    """The same for 32 bits, with a class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.classes_now = {"Acme_Narrow": Class("Acme_Narrow", "Acme_Shape")}


@pytest.mark.requirement("WMI-3.1.4-28", "WMI-3.1.4-29")
@pytest.mark.parametrize(("architecture", "expected"), [(32, "Acme_Narrow"), (64, "Acme_Circle"), (16, None)])
async def test_the_architecture_that_the_context_asks_for(
    manager: ObjectManager, cimv2: Namespace, architecture: int, expected: str | None
) -> None:
    await manager.register(Shapes, architecture=64)
    await manager.register(Narrow, architecture=32)
    values = {"__ProviderArchitecture": TypedValue.of(architecture), "__RequiredArchitecture": TypedValue.of(True)}
    for name in ("Acme_Narrow", "Acme_Circle"):
        otherwise = E.WBEM_E_INVALID_PARAMETER if expected is None else E.WBEM_E_NOT_FOUND
        assert await status(cimv2, GetObject(name), values=values) == (0 if name == expected else otherwise)


class Silent(Shapes):
    enumerate_classes = Provider.enumerate_classes  # type: ignore[assignment]


@pytest.mark.requirement("WMI-3.1.4.3.10-26", "WMI-3.1.4.3.11-27")
@pytest.mark.parametrize("shapes", [Silent], indirect=True)
async def test_below_a_dynamic_class_its_provider_has_to_enumerate(cimv2: Namespace, shapes: Shapes) -> None:
    assert await status(cimv2, EnumerateClasses("Acme_Circle")) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert names(await run(cimv2, EnumerateClasses("Acme_Shape"))) == ["Acme_Static"]


def square(name: str = "Acme_Square", superclass: str | None = "Acme_Shape") -> Class:
    return Class(name, superclass, properties=NameMap((Property("Side", CimType.UINT32),)))


@pytest.mark.requirement("WMI-3.1.4.3.6-31", "WMI-3.1.4.3.6-35", "WMI-3.1.4.3.7-28", "WMI-3.1.4.3.7-31")
@pytest.mark.parametrize("shapes", [Writable], indirect=True)
async def test_putting_and_deleting(manager: ObjectManager, cimv2: Namespace, shapes: Writable) -> None:
    await run(cimv2, PutClass(square()))
    assert ("put", "Acme_Square", ["Id", "Side"]) in shapes.log
    assert await manager.in_store(manager.store.get_class, CIMV2, "Acme_Square") is None
    assert "Acme_Square" in names(await run(cimv2, EnumerateClasses("Acme_Shape")))
    assert await status(cimv2, PutClass(square()), flags=Flags.CREATE_ONLY) == E.WBEM_E_ALREADY_EXISTS
    assert await status(cimv2, PutClass(square("Acme_Cube")), flags=Flags.UPDATE_ONLY) == E.WBEM_E_NOT_FOUND
    assert await status(cimv2, PutClass(square("Acme_Odd", "Acme_Nowhere"))) == E.WBEM_E_NOT_FOUND
    await run(cimv2, DeleteClass("Acme_Square"))
    assert await status(cimv2, GetObject("Acme_Square")) == E.WBEM_E_NOT_FOUND
    await run(cimv2, DeleteClass("Acme_Circle"))
    assert set(shapes.classes_now) == {"Acme_Lonely"}


@pytest.mark.requirement("WMI-3.1.4.3.6-31", "WMI-3.1.4.3.7-28", "WMI-3.1.4-27")
@pytest.mark.parametrize("shapes", [Writable], indirect=True)
async def test_whose_class_it_is(manager: ObjectManager, cimv2: Namespace, shapes: Writable) -> None:
    """A class that no provider takes is static; one that a provider takes has to be among those it may have."""
    await run(cimv2, PutClass(square("Other_Square")))
    assert await manager.in_store(manager.store.get_class, CIMV2, "Other_Square") is not None
    assert await status(cimv2, PutClass(square("Acme_Stray", None))) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert await status(cimv2, PutClass(square("Acme_Static"))) == 0
    assert ("put", "Acme_Static", ["Id", "Side"]) not in shapes.log
    below = await status(cimv2, PutClass(square("Other_Below", "Acme_Circle")))
    assert below == E.WBEM_E_INVALID_SUPERCLASS


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-36", "WMI-3.1.4.3.7-32", "WMI-3.1.4.3.8-20", "WMI-3.1.4.3.8-21", "WMI-3.1.4.3.9-19",
    "WMI-3.1.4.3.9-20",
)  # fmt: skip
async def test_what_is_not_supported(cimv2: Namespace, shapes: Shapes) -> None:
    [circle] = await run(cimv2, GetObject("Acme_Circle"))
    assert isinstance(circle, Class)
    assert await status(cimv2, PutClass(circle)) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert await status(cimv2, DeleteClass("Acme_Circle")) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert await status(cimv2, DeleteClass("Acme_Shape")) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert await status(cimv2, GetObject("Acme_Static")) == 0, "nothing was deleted"


class Reader(Shapes):
    name = "Reader"
    mof = None

    def __init__(self) -> None:
        super().__init__()
        self.classes_now = {"Acme_Plain": Class("Acme_Plain", "Acme_Shape")}


@pytest.mark.parametrize("shapes", [Writable], indirect=True)
async def test_nothing_is_deleted_unless_all_of_it_can_be(
    manager: ObjectManager, cimv2: Namespace, shapes: Writable
) -> None:
    before = dict(shapes.classes_now)
    await manager.register(Reader)
    assert await status(cimv2, DeleteClass("Acme_Shape")) == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert shapes.classes_now == before


@pytest.mark.requirement("WMI-3.1.4.3.6-32", "WMI-3.1.4.3.7-29", "WMI-3.1.4.3.8-18", "WMI-3.1.4.3.9-17")
@pytest.mark.parametrize("shapes", [Writable], indirect=True)
async def test_rights(manager: ObjectManager, cimv2: Namespace, shapes: Writable) -> None:
    for rights, expected in ((AccessRight.FULL_WRITE, E.WBEM_E_ACCESS_DENIED), (AccessRight.WRITE_PROVIDER, 0)):
        await grant(manager, AccessRight.ENABLE | rights)
        assert await status(cimv2, PutClass(square()), principal=USER) == expected
        assert await status(cimv2, DeleteClass("Acme_Ellipse"), principal=USER) == expected


async def test_nobody_is_asked_for_a_caller_without_rights(
    manager: ObjectManager, cimv2: Namespace, shapes: Shapes
) -> None:
    await grant(manager, AccessRight(0))
    assert await status(cimv2, GetObject("Acme_Circle"), principal=USER) == E.WBEM_E_ACCESS_DENIED
    assert shapes.log == []


@pytest.mark.requirement("WMI-3.1.1-16")
async def test_registered_by_mof(manager: ObjectManager, cimv2: Namespace) -> None:
    manager.allow(Shapes)
    registration = """
    instance of __Win32Provider as $P { Name = "S"; CLSID = "Shapes"; };
    instance of __ClassProviderRegistration {
        provider = $P; SupportsGet = TRUE; SupportsEnumeration = TRUE;
        ResultSetQueries = {"SELECT * FROM meta_class"};
        UnsupportedQueries = {"SELECT * FROM meta_class WHERE __CLASS = \\"Acme_Ellipse\\""};
    };
    instance of __InstanceProviderRegistration { provider = $P; SupportsEnumeration = TRUE; };
    """
    await manager.compile_mof(MOF + registration, CIMV2, context())
    assert names(await run(cimv2, EnumerateClasses("Acme_Shape"))) == ["Acme_Static", "Acme_Circle"]
    assert names(await run(cimv2, EnumerateInstances("Acme_Circle"))) == ["Acme_Circle"]
    assert await status(cimv2, GetObject("Acme_Ellipse")) == E.WBEM_E_PROVIDER_NOT_CAPABLE
