"""PutClass, DeleteClass and CreateClassEnum (MS-WMI 3.1.4.3.6, .8, .10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim import CimType, Class, NameMap, Property, Qualifier
from openwmi.cim.operations import (
    CallingMode,
    DeleteClass,
    EnumerateClasses,
    EnumerateInstances,
    Flags,
    GetObject,
    PutClass,
    Request,
)
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, InMode, context, grant, run

E = WbemStatus
KEY = Property("Name", CimType.STRING, qualifiers=NameMap([Qualifier.of("key")]))
MOF = """
class Parent { [key] string Name; };
class Child : Parent { uint32 Value; };
class Filled { [key] string Name; };
class Lone { [key] string Name; };
[dynamic, provider("Lamps")] class Lamp { [key] string Name; };
instance of Filled { Name = "x"; };
"""


def with_more(cls: Class) -> Class:
    """The class with one property more."""
    return replace(cls.local, properties=cls.local.properties.with_items([Property("More", CimType.UINT8)]))


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager) -> None:
    await manager.compile_mof(MOF, CIMV2, context())


@pytest.fixture(params=[CallingMode.SYNCHRONOUS, CallingMode.ASYNCHRONOUS], ids=["sync", "async"])
async def cimv2(manager: ObjectManager, request: pytest.FixtureRequest) -> Namespace:
    """Everything here holds for a method and for its Async form."""
    return InMode(await manager.connect(CIMV2, context()), request.param)


async def fails(namespace: Namespace, request: Request, **more: Any) -> int:
    with pytest.raises(WbemError) as caught:
        await run(namespace, request, context(**more))
    assert caught.value.extended is not None
    return caught.value.status


async def get(namespace: Namespace, name: str) -> Class:
    [found] = await run(namespace, GetObject(name))
    assert isinstance(found, Class)
    return found


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-13", "WMI-3.1.4.3.6-14", "WMI-3.1.4.3.6-37", "WMI-3.1.4.3.6-40", "WMI-3.1.4.3.7-12",
    "WMI-3.1.4.3.7-13", "WMI-3.1.4.3.7-34", "WMI-3.1.4.3.7-37",
)  # fmt: skip
async def test_a_new_class(cimv2: Namespace) -> None:
    await run(cimv2, PutClass(Class("New", properties=NameMap([KEY]))))
    cls = await get(cimv2, "new")
    assert [(p.name, p.origin, p.propagated) for p in cls.properties.each()] == [("Name", "New", False)]


@pytest.mark.requirement("WMI-3.1.1-14")
async def test_who_has_the_instances(cimv2: Namespace) -> None:
    assert ((await get(cimv2, "Lone")).provider, (await get(cimv2, "Lamp")).provider) == (None, "Lamps")


@pytest.mark.requirement("WMI-3.1.4.3.6-41", "WMI-3.1.4.3.7-38")
async def test_a_new_subclass(cimv2: Namespace) -> None:
    await run(cimv2, PutClass(Class("New", "Child", properties=NameMap([Property("X", CimType.UINT8)]))))
    cls = await get(cimv2, "New")
    assert cls.derivation == ("Child", "Parent")
    assert [(p.name, p.origin) for p in cls.properties.each()] == [("Name", "Parent"), ("Value", "Child"), ("X", "New")]
    # What comes back from the server can be put again.
    await run(cimv2, PutClass(cls))
    assert await get(cimv2, "New") == cls


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-01", "WMI-3.1.4.3.6-02", "WMI-3.1.4.3.6-38", "WMI-3.1.4.3.6-39", "WMI-3.1.4.3.6-47",
    "WMI-3.1.4.3.6-48", "WMI-3.1.4.3.6-49", "WMI-3.1.4.3.7-01", "WMI-3.1.4.3.7-02", "WMI-3.1.4.3.7-35",
    "WMI-3.1.4.3.7-36", "WMI-3.1.4.3.7-41", "WMI-3.1.4.3.7-42", "WMI-3.1.4.3.7-43", "WMI-3.1.4.3-08",
)  # fmt: skip
@pytest.mark.parametrize(
    ("cls", "flags", "status"),
    [
        (None, 0, E.WBEM_E_INVALID_PARAMETER),
        (Class("_New"), 0, E.WBEM_E_INVALID_OPERATION),
        (Class("__New"), 0, E.WBEM_E_INVALID_OPERATION),
        (Class("New_"), 0, E.WBEM_E_INVALID_OBJECT),
        (Class("1New"), 0, E.WBEM_E_INVALID_PARAMETER),
        (Class("Ne w"), 0, E.WBEM_E_INVALID_PARAMETER),
        (Class("Ne-w"), 0, E.WBEM_E_INVALID_PARAMETER),
        (Class(""), 0, E.WBEM_E_INVALID_PARAMETER),
        (Class("N" * 4097), 0, E.WBEM_E_QUOTA_VIOLATION),
        (Class("New", "Nothing"), 0, E.WBEM_E_NOT_FOUND),
        (Class("New"), Flags.UPDATE_ONLY, E.WBEM_E_NOT_FOUND),
        (Class("Lone"), Flags.CREATE_ONLY, E.WBEM_E_ALREADY_EXISTS),
        (Class("Lone"), Flags.CREATE_ONLY | Flags.UPDATE_ONLY, E.WBEM_E_INVALID_PARAMETER),
        (Class("Lone"), Flags.UPDATE_SAFE_MODE | Flags.UPDATE_FORCE_MODE, E.WBEM_E_INVALID_PARAMETER),
        (Class("Lone"), Flags.ENSURE_LOCATABLE, E.WBEM_E_INVALID_PARAMETER),
        (Class("New", "Parent", qualifiers=NameMap([Qualifier.of("abstract")])), 0, E.WBEM_E_CANNOT_BE_ABSTRACT),
        (Class("New", "Parent", qualifiers=NameMap([Qualifier.of("singleton")])), 0, E.WBEM_E_CANNOT_BE_SINGLETON),
        (Class("Parent", "Child"), Flags.UPDATE_FORCE_MODE, E.WBEM_E_CIRCULAR_REFERENCE),
    ],
)
async def test_a_class_that_cannot_be_put(cimv2: Namespace, cls: Class | None, flags: int, status: int) -> None:
    assert await fails(cimv2, PutClass(cls), flags=flags) == status


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-12", "WMI-3.1.4.3.6-16", "WMI-3.1.4.3.6-17", "WMI-3.1.4.3.7-11", "WMI-3.1.4.3.7-15",
    "WMI-3.1.4.3.7-16",
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "flags", "status"),
    [
        ("Lone", 0, None),
        ("Lone", Flags.UPDATE_ONLY, None),
        ("Parent", 0, E.WBEM_E_CLASS_HAS_CHILDREN),
        ("Parent", Flags.UPDATE_SAFE_MODE, None),
        ("Parent", Flags.UPDATE_FORCE_MODE, None),
        ("Filled", 0, E.WBEM_E_CLASS_HAS_INSTANCES),
        ("Filled", Flags.UPDATE_SAFE_MODE, E.WBEM_E_CLASS_HAS_INSTANCES),
        ("Filled", Flags.UPDATE_FORCE_MODE, None),
    ],
)
async def test_changing_a_class(cimv2: Namespace, name: str, flags: int, status: int | None) -> None:
    cls = await get(cimv2, name)
    await run(cimv2, PutClass(cls), context(flags=flags))  # unchanged, it may always be put
    changed = with_more(cls)
    if status is not None:
        assert await fails(cimv2, PutClass(changed), flags=flags) == status
        return
    await run(cimv2, PutClass(changed), context(flags=flags))
    assert "More" in (await get(cimv2, name)).properties
    if name == "Parent":
        assert "More" in (await get(cimv2, "Child")).properties


async def test_an_overridden_propertys_default_follows_the_superclass(manager: ObjectManager, cimv2: Namespace) -> None:
    text = "class B {{ [key] string K; uint8 A = {}; }};"
    overrides = "class Silent : B { [Read] uint8 A; }; class Nulled : B { uint8 A = NULL; }; class Below : Silent { };"
    await manager.compile_mof(text.format(5) + overrides, CIMV2, context())
    for default in (5, 6):
        await manager.compile_mof('#pragma classflags("forceupdate")\n' + text.format(default), CIMV2, context())
        found = [(await get(cimv2, name)).properties["A"].default for name in ("Silent", "Nulled", "Below")]
        assert found == [default, None, default]


@pytest.mark.requirement("WMI-3.1.4.3.8-24", "WMI-3.1.4.3.9-23")
@pytest.mark.parametrize(
    ("name", "status"),
    [
        (None, E.WBEM_E_INVALID_PARAMETER),
        ("Nothing", E.WBEM_E_NOT_FOUND),
        ("__Event", E.WBEM_E_INVALID_OPERATION),
        ("N" * 4097, E.WBEM_E_QUOTA_VIOLATION),
    ],
)
async def test_a_class_that_cannot_be_deleted(cimv2: Namespace, name: str | None, status: int) -> None:
    assert await fails(cimv2, DeleteClass(name)) == status


@pytest.mark.requirement(
    "WMI-3.1.4.3.8-01", "WMI-3.1.4.3.8-22", "WMI-3.1.4.3.8-23", "WMI-3.1.4.3.8-30", "WMI-3.1.4.3.9-01",
    "WMI-3.1.4.3.9-21", "WMI-3.1.4.3.9-22", "WMI-3.1.4.3.9-24",
)  # fmt: skip
async def test_deleting_takes_instances_and_subclasses_along(cimv2: Namespace) -> None:
    for name in ("PARENT", "Filled"):
        await run(cimv2, DeleteClass(name))
    for name in ("Parent", "Child", "Filled"):
        assert await fails(cimv2, GetObject(name)) == E.WBEM_E_NOT_FOUND
    await run(cimv2, PutClass(Class("Filled", properties=NameMap([KEY]))))
    assert await run(cimv2, EnumerateInstances("Filled")) == []


@pytest.mark.parametrize("flags", [Flags.USE_AMENDED_QUALIFIERS, Flags.SHALLOW])
async def test_deleting_knows_no_flags(cimv2: Namespace, flags: int) -> None:
    assert await fails(cimv2, DeleteClass("Lone"), flags=flags) == E.WBEM_E_INVALID_PARAMETER


async def listed(namespace: Namespace, superclass: str | None, flags: int = 0) -> list[str]:
    found = await run(namespace, EnumerateClasses(superclass), context(flags=flags))
    return [cls.name for cls in found if isinstance(cls, Class)]


@pytest.mark.requirement(
    "WMI-3.1.4.3.10-01", "WMI-3.1.4.3.10-02", "WMI-3.1.4.3.10-03", "WMI-3.1.4.3.10-04", "WMI-3.1.4.3.10-05",
    "WMI-3.1.4.3.10-06", "WMI-3.1.4.3.10-14", "WMI-3.1.4.3.10-15", "WMI-3.1.4.3.10-27", "WMI-3.1.4.3.10-28",
    "WMI-3.1.4.3.11-01", "WMI-3.1.4.3.11-02", "WMI-3.1.4.3.11-03", "WMI-3.1.4.3.11-04", "WMI-3.1.4.3.11-12",
    "WMI-3.1.4.3.11-13", "WMI-3.1.4.3.11-28", "WMI-3.1.4.3.11-29",
)  # fmt: skip
async def test_enumerating(cimv2: Namespace) -> None:
    everything = await listed(cimv2, None)
    assert everything == await listed(cimv2, "")
    assert {"Parent", "Child", "Lamp", "__SystemClass", "__ExtendedStatus"} <= set(everything)
    assert everything.index("Parent") < everything.index("Child")
    roots = await listed(cimv2, None, Flags.SHALLOW)
    assert "Parent" in roots
    assert "Child" not in roots
    assert await listed(cimv2, "parent") == ["Child"]
    assert await listed(cimv2, "__ClassOperationEvent", Flags.SHALLOW) == [
        "__ClassCreationEvent",
        "__ClassDeletionEvent",
        "__ClassModificationEvent",
    ]
    assert await fails(cimv2, EnumerateClasses("Nothing")) == E.WBEM_E_INVALID_CLASS


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-30", "WMI-3.1.4.3.6-32", "WMI-3.1.4.3.6-33", "WMI-3.1.4.3.7-27", "WMI-3.1.4.3.7-29",
    "WMI-3.1.4.3.7-30", "WMI-3.1.4.3.8-18", "WMI-3.1.4.3.8-19", "WMI-3.1.4.3.9-17", "WMI-3.1.4.3.9-18",
)  # fmt: skip
@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        (PutClass(Class("New")), AccessRight.FULL_WRITE),
        (DeleteClass("Lone"), AccessRight.FULL_WRITE),
        (DeleteClass("Lamp"), AccessRight.FULL_WRITE | AccessRight.WRITE_PROVIDER),
        (
            # Whoever declares a class chooses its qualifiers, so they must not choose the right.
            PutClass(Class("N", qualifiers=NameMap([Qualifier.of("provider", "Lamps")]))),
            AccessRight.FULL_WRITE | AccessRight.WRITE_PROVIDER,
        ),
    ],
)
async def test_rights(manager: ObjectManager, cimv2: Namespace, request_: Request, needed: AccessRight) -> None:
    writes = AccessRight.PARTIAL_WRITE_REP | AccessRight.FULL_WRITE | AccessRight.WRITE_PROVIDER
    for right in AccessRight:
        if right & needed:
            await grant(manager, AccessRight.ENABLE | writes & ~right)
            assert await fails(cimv2, request_, principal=USER) == E.WBEM_E_ACCESS_DENIED
    await grant(manager, AccessRight.ENABLE | needed)
    await run(cimv2, request_, context(USER))
