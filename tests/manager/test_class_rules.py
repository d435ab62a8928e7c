"""What PutClass refuses, and how a change goes through a hierarchy (MS-WMI 3.1.4.3.6, 3.1.4.3.7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim import (
    CimType,
    Class,
    Direction,
    Flavor,
    Instance,
    Method,
    NameMap,
    Parameter,
    Property,
    Qualifier,
    return_value,
)
from openwmi.cim.operations import Flags, GetObject, PutClass
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.mof import MofErrors
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, asynchronously, context, run

E = WbemStatus
MOF = """
[abstract] class Abstract { string Text; };
class Keyed { [key] string Name; uint32 Number; };
[singleton] class Only { string Text; };
class Keyless { string Text; };
[abstract, association] class Link { Keyed ref A; };
class Methodical { [key] string Name; uint32 Do([in] uint32 How); };
class Lone { [key] string Name; };
"""
KEY = Qualifier.of("key")
ON = {name: Qualifier.of(name) for name in ("abstract", "singleton", "association", "dynamic", "amendment")}
OFF = {name: Qualifier.of(name, False) for name in ON}


def prop(name: str, type_: CimType = CimType.STRING, *qualifiers: Qualifier, is_array: bool = False) -> Property:
    return Property(name, type_, is_array, qualifiers=NameMap(qualifiers))


def reference(name: str) -> Property:
    return Property(name, CimType.REFERENCE, class_name="Keyed")


def do(type_: CimType = CimType.UINT32, returns: CimType | None = CimType.UINT32, **more: Any) -> Method:
    returned = None if returns is None else return_value(returns)
    return Method("Do", NameMap([Parameter("How", type_, **more)]), returned)


def made(
    name: str,
    superclass: str | None = None,
    *elements: Property | Method,
    qualifiers: Iterable[Qualifier] = (),
) -> Class:
    properties = NameMap(e for e in elements if isinstance(e, Property))
    methods = NameMap(e for e in elements if isinstance(e, Method))
    return Class(name, superclass, qualifiers=NameMap(qualifiers), properties=properties, methods=methods)


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager) -> None:
    await manager.compile_mof(MOF, CIMV2, context())


async def get(namespace: Namespace, path: str) -> Any:
    [found] = await run(namespace, GetObject(path))
    return found


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-34", "WMI-3.1.4.3.6-38", "WMI-3.1.4.3.6-39", "WMI-3.1.4.3.7-33", "WMI-3.1.4.3.7-35",
    "WMI-3.1.4.3.7-36", "WMI-3.1.4-39",
)  # fmt: skip
@pytest.mark.parametrize(
    ("cls", "status"),
    [
        # keys
        (made("New", None, prop("K", CimType.UINT32, KEY, is_array=True)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", None, prop("K", CimType.REAL32, KEY)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", None, prop("K", CimType.REAL64, KEY)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", None, prop("K", CimType.OBJECT, KEY)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", None, prop("K", CimType.DATETIME, KEY)), None),
        (made("New", None, reference("K")), None),
        (made("New", "Keyed", prop("More", CimType.STRING, KEY)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", "Keyless", prop("More", CimType.STRING, KEY)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", "Abstract", prop("More", CimType.STRING, KEY)), None),
        (made("New", "Abstract", prop("Text", CimType.STRING, KEY)), None),
        (made("New", "Keyed", prop("Name")), None),
        (made("New", "Keyed", prop("Name", CimType.STRING, Qualifier.of("key", False))), E.WBEM_E_OVERRIDE_NOT_ALLOWED),
        # overriding
        (made("New", "Keyed", prop("Number", CimType.UINT64)), E.WBEM_E_UPDATE_TYPE_MISMATCH),
        (made("New", "Keyed", prop("Number", CimType.UINT32, is_array=True)), E.WBEM_E_UPDATE_TYPE_MISMATCH),
        (made("New", "Keyed", prop("number", CimType.UINT32)), None),
        (made("New", "Methodical", do(CimType.STRING)), E.WBEM_E_PROPAGATED_METHOD),
        (made("New", "Methodical", do(returns=None)), E.WBEM_E_PROPAGATED_METHOD),
        (made("New", "Methodical", do(is_array=True)), E.WBEM_E_PROPAGATED_METHOD),
        (made("New", "Methodical", do(direction=Direction.OUT)), E.WBEM_E_PROPAGATED_METHOD),
        (made("New", "Methodical", Method("Do")), E.WBEM_E_PROPAGATED_METHOD),
        (made("New", "Methodical", do()), None),
        # abstract
        (made("New", "Keyed", qualifiers=[ON["abstract"]]), E.WBEM_E_CANNOT_BE_ABSTRACT),
        (made("New", "Abstract", qualifiers=[ON["abstract"]]), None),
        (made("New", None, qualifiers=[ON["abstract"]]), None),
        # singletons
        (made("New", None, prop("K", CimType.STRING, KEY), qualifiers=[ON["singleton"]]), E.WBEM_E_CANNOT_BE_SINGLETON),
        (made("New", "Keyed", qualifiers=[ON["singleton"]]), E.WBEM_E_CANNOT_BE_SINGLETON),
        (made("New", "Keyless", qualifiers=[ON["singleton"]]), E.WBEM_E_CANNOT_BE_SINGLETON),
        (made("New", "Abstract", qualifiers=[ON["singleton"]]), None),
        (made("New", "Only", qualifiers=[ON["singleton"]]), None),
        (made("New", "Only", prop("K", CimType.STRING, KEY)), E.WBEM_E_CANNOT_BE_KEY),
        (made("New", "Only", qualifiers=[OFF["singleton"]]), E.WBEM_E_OVERRIDE_NOT_ALLOWED),
        # associations
        (made("New", None, reference("A"), qualifiers=[ON["association"]]), E.WBEM_E_INVALID_OBJECT),
        (made("New", None, reference("A"), reference("B"), qualifiers=[ON["association"]]), None),
        (made("New", "Link", reference("B")), None),
        (made("New", "Link"), E.WBEM_E_INVALID_OBJECT),
        (made("New", "Link", reference("B"), qualifiers=[OFF["association"]]), E.WBEM_E_OVERRIDE_NOT_ALLOWED),
        # qualifiers that would silently mean nothing
        (made("New", None, qualifiers=[Qualifier.of("abstract", "true")]), E.WBEM_E_INVALID_QUALIFIER_TYPE),
        (made("New", None, qualifiers=[Qualifier.of("provider", 1)]), E.WBEM_E_INVALID_QUALIFIER_TYPE),
        (made("New", None, qualifiers=[Qualifier.of("dynamic", [True])]), E.WBEM_E_INVALID_QUALIFIER_TYPE),
        (made("New", None, prop("K", CimType.STRING, Qualifier.of("key", 1))), E.WBEM_E_INVALID_QUALIFIER_TYPE),
        (
            made("New", None, Method("Do", qualifiers=NameMap([Qualifier.of("static", "yes")]))),
            E.WBEM_E_INVALID_QUALIFIER_TYPE,
        ),
        # names of elements
        (made("New", None, prop("__CLASS")), E.WBEM_E_INVALID_OBJECT),
        (made("New", None, prop("a b")), E.WBEM_E_INVALID_OBJECT),
        (made("New", None, Method("1st")), E.WBEM_E_INVALID_OBJECT),
        # superclasses
        (made("New", "Nothing"), E.WBEM_E_NOT_FOUND),
        (made("Lone", "Lone"), E.WBEM_E_CIRCULAR_REFERENCE),
        # WMI's own
        (made("__SystemClass"), E.WBEM_E_INVALID_OPERATION),
        (made("__Win32Provider", "__Provider", prop("More")), E.WBEM_E_INVALID_OPERATION),
        (made("New", "__Provider"), None),
    ],
)
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
async def test_the_rules(cimv2: Namespace, cls: Class, status: int | None, mode: str) -> None:
    ctx = context(flags=Flags.UPDATE_FORCE_MODE) if mode == "synchronous" else asynchronously()
    operation = await cimv2.start(PutClass(cls), ctx) if status != E.WBEM_E_INVALID_OPERATION else None
    if operation is None:
        with pytest.raises(WbemError) as caught:
            await cimv2.start(PutClass(cls), ctx)
        assert caught.value.status == status
        return
    outcome = await operation.wait()
    assert outcome.status == (status or E.WBEM_S_NO_ERROR), outcome.detail
    if status is None:
        assert (await get(cimv2, cls.name)).superclass == cls.superclass


async def test_mof_keeps_the_same_rules(manager: ObjectManager) -> None:
    for text in ("class T { [key] real32 K; };", "[association] class T { Keyed ref A; };"):
        with pytest.raises(MofErrors):
            await manager.compile_mof(text, CIMV2, context())


# -- changing a class that has others below it

HIERARCHY = """
class Base { [key] string Name; string Text; };
class Middle : Base { string Own; };
class Leaf : Middle { string Last; };
"""


async def test_a_change_reaches_all_below(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.compile_mof(HIERARCHY, CIMV2, context())
    base = await get(cimv2, "Base")
    changed = replace(base.local, properties=base.local.properties.with_items([prop("More", CimType.UINT8)]))
    with pytest.raises(WbemError) as caught:
        await run(cimv2, PutClass(changed))
    assert caught.value.status == E.WBEM_E_CLASS_HAS_CHILDREN
    await run(cimv2, PutClass(changed), context(flags=Flags.UPDATE_SAFE_MODE))
    leaf = await get(cimv2, "Leaf")
    assert (leaf.properties["More"].origin, leaf.properties["More"].propagated) == ("Base", True)


def described(value: str, flavor: Flavor) -> Qualifier:
    return Qualifier.of("Note", value, Flavor.TO_SUBCLASS | flavor)


@pytest.mark.requirement(
    "WMI-3.1.4.3.6-15", "WMI-3.1.4.3.6-16", "WMI-3.1.4.3.7-14", "WMI-3.1.4.3.7-15", "WMI-3.1.4.3.6-17",
    "WMI-3.1.4.3.7-16",
)  # fmt: skip
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
@pytest.mark.parametrize(
    ("below", "base", "conflict"),
    [
        # A property of another type.
        ("string New;", [prop("New", CimType.UINT32)], E.WBEM_E_UPDATE_TYPE_MISMATCH),
        # A qualifier that may not be overridden, on the class, on a property.
        (
            "string Plain;",
            [prop("Plain", CimType.STRING, described("base", Flavor.NOT_OVERRIDABLE))],
            None,
        ),
        (
            '[Note("own")] string Noted;',
            [prop("Noted", CimType.STRING, described("base", Flavor.NOT_OVERRIDABLE))],
            E.WBEM_E_OVERRIDE_NOT_ALLOWED,
        ),
    ],
)
async def test_a_change_that_conflicts(
    manager: ObjectManager,
    cimv2: Namespace,
    mode: str,
    below: str,
    base: list[Property],
    conflict: int | None,
) -> None:
    """Safe mode refuses, force mode has the classes below give way."""
    text = HIERARCHY.replace("string Own;", f"string Own; {below}") + "instance of Lone { Name = 'l'; };".replace(
        "'", '"'
    )
    await manager.compile_mof(text, CIMV2, context())
    leaf_before = await get(cimv2, "Leaf")
    found = await get(cimv2, "Base")
    changed = replace(found.local, properties=found.local.properties.with_items(base))

    def ctx(flags: int) -> Any:
        return context(flags=flags) if mode == "synchronous" else asynchronously(flags=flags)

    safe = await (await cimv2.start(PutClass(changed), ctx(Flags.UPDATE_SAFE_MODE))).wait()
    assert safe.status == (conflict or E.WBEM_S_NO_ERROR)
    if conflict is not None:
        assert await get(cimv2, "Base") == found
        assert await get(cimv2, "Leaf") == leaf_before
    forced = await (await cimv2.start(PutClass(changed), ctx(Flags.UPDATE_FORCE_MODE))).wait()
    assert forced.status == E.WBEM_S_NO_ERROR
    name = base[0].name
    for cls in (await get(cimv2, "Middle"), await get(cimv2, "Leaf")):
        assert cls.properties[name].type is base[0].type
        assert cls.properties[name].origin == "Base"
        assert "Own" in cls.properties
        note = cls.properties[name].qualifiers.get("Note")
        assert note is None or note.value == "base"


async def test_force_takes_keys_and_singletons_back(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.compile_mof(
        """
        [abstract] class Top { string Text; };
        class Named : Top { [key] string Name; };
        class Below : Named { string Last; };
        [singleton] class Single : Top { };
        [singleton] class Singular : Single { };
        """,
        CIMV2,
        context(),
    )
    top = await get(cimv2, "Top")
    keyed = replace(top.local, properties=top.local.properties.with_items([prop("Id", CimType.UINT32, KEY)]))
    for flags in (0, Flags.UPDATE_SAFE_MODE):
        with pytest.raises(WbemError):
            await run(cimv2, PutClass(keyed), context(flags=flags))
    await run(cimv2, PutClass(keyed), context(flags=Flags.UPDATE_FORCE_MODE))
    for name in ("Named", "Below", "Single", "Singular"):
        cls = await get(cimv2, name)
        assert [key.name for key in cls.keys] == ["Id"]
        assert not cls.is_singleton
    assert not (await get(cimv2, "Below")).properties["Name"].is_key


async def test_force_does_not_lose_the_names_of_instances(manager: ObjectManager, cimv2: Namespace) -> None:
    text = '[abstract] class Top { }; class Named : Top { [key] string Name; }; instance of Named { Name = "n"; };'
    await manager.compile_mof(text, CIMV2, context())
    keyed = made("Top", None, prop("Id", CimType.UINT32, KEY), qualifiers=[ON["abstract"]])
    with pytest.raises(WbemError) as caught:
        await run(cimv2, PutClass(keyed), context(flags=Flags.UPDATE_FORCE_MODE))
    assert caught.value.status == E.WBEM_E_CLASS_HAS_INSTANCES
    found = await get(cimv2, 'Named="n"')
    assert isinstance(found, Instance)
    assert [key.name for key in found.cls.keys] == ["Name"]
