r"""Localized classes (MS-WMI 3.1.1.2), and instances with amended qualifiers (3.1.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openwmi.cim import Class, Flavor, Instance, NameMap, Qualifier, Qualifiers
from openwmi.cim.operations import DeleteClass, EnumerateClasses, Flags, GetObject, PutClass, PutInstance, Request
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.manager.localization import locales
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, asynchronously, context, grant, run

E = WbemStatus
AMENDED = Flags.USE_AMENDED_QUALIFIERS

NEUTRAL = """
[Locale(1033)] class Thing {
    [key] string Name;
    [Description("neutral")] uint32 Value;
    string Plain;
    uint32 Do([in] uint32 How);
};
class Bare { [key] string Name; };
[abstract] class Hollow { };
instance of Thing { Name = "x"; };
#pragma namespace("root\\\\cimv2")
instance of __NAMESPACE { Name = "ms_409"; };
instance of __NAMESPACE { Name = "ms_407"; };
instance of __NAMESPACE { Name = "ms_40c"; };
#pragma namespace("root\\\\cimv2\\\\ms_409")
[Amendment, Locale(1033), Description("A thing") : Amended, Other("unamended")]
class Thing {
    [key, Description("The name") : Amended] string Name;
    [Description("The value") : Amended, Units("pieces") : Amended] uint32 Value;
    [Description("Does it") : Amended] uint32 Do([in, Description("In which way") : Amended] uint32 How);
};
[Amendment, Description("Only here") : Amended] class Elsewhere { [key] string Name; };
#pragma namespace("root\\\\cimv2\\\\ms_407")
[Amendment, Locale(1031), Description("Ein Ding") : Amended] class Thing { [key] string Name; };
"""


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager) -> None:
    await manager.compile_mof(NEUTRAL, CIMV2, context())


async def get(namespace: Namespace, path: str, flags: int = 0, *preferred: str) -> Any:
    [found] = await run(namespace, GetObject(path), context(flags=flags, locales=preferred))
    return found


def description(qualifiers: Qualifiers) -> Any:
    found = qualifiers.get("Description")
    return None if found is None else found.value


async def localized(manager: ObjectManager, locale: str) -> Any:
    return await get(await manager.connect(f"{CIMV2}\\{locale}", context()), "Thing")


@pytest.mark.requirement(
    "WMI-3.1.1.2-01", "WMI-3.1.1.2-11", "WMI-3.1.1.2-14", "WMI-3.1.4.3.4-08", "WMI-3.1.4.3.5-07",
)  # fmt: skip
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
async def test_merging(cimv2: Namespace, mode: str) -> None:
    make = context if mode == "synchronous" else asynchronously
    [cls] = await run(cimv2, GetObject("thing"), make(flags=AMENDED, locales=("MS_409",)))
    assert isinstance(cls, Class)
    assert description(cls.qualifiers) == "A thing"
    assert Flavor.AMENDED in cls.qualifiers["Description"].flavor
    assert description(cls.properties["Name"].qualifiers) == "The name"
    assert cls.properties["Name"].is_key
    assert cls.properties["Value"].qualifiers["Units"].value == "pieces"
    assert description(cls.properties["Value"].qualifiers) == "neutral"  # the neutral object has priority
    assert description(cls.properties["Plain"].qualifiers) is None
    assert description(cls.methods["Do"].qualifiers) == "Does it"
    assert description(cls.methods["Do"].parameters["How"].qualifiers) == "In which way"
    assert cls.qualifiers["Locale"].value == 1033
    # What is not localized text is none of a localized class's business.
    assert "Other" not in cls.qualifiers
    assert "Amendment" not in cls.qualifiers
    assert cls.namespace == CIMV2


@pytest.mark.requirement("WMI-3.1.1.2-15", "WMI-3.1.4.3.4-07", "WMI-3.1.4.3.5-06")
async def test_without_the_flag_the_neutral_class(cimv2: Namespace) -> None:
    cls = await get(cimv2, "Thing", 0, "MS_409")
    assert description(cls.qualifiers) is None
    assert description(cls.properties["Name"].qualifiers) is None


@pytest.mark.requirement("WMI-3.1.4.1.4-26")
@pytest.mark.requirement("WMI-3.1.1.2-12", "WMI-3.1.1.2-13")
@pytest.mark.parametrize(
    ("preferred", "text"),
    [
        ((), "A thing"),
        (("MS_409",), "A thing"),
        (("ms_0409",), "A thing"),
        (("en-US",), "A thing"),
        (("en_us",), "A thing"),
        (("MS_407",), "Ein Ding"),
        (("de-DE",), "Ein Ding"),
        (("MS_407", "MS_409"), "Ein Ding"),
        (("MS_409", "MS_407"), "A thing"),
        (("MS_409,MS_407",), "A thing"),
        (("MS_411", "nonsense", "", "MS_", "MS_407"), "Ein Ding"),
        (("MS_40C", "MS_407"), "Ein Ding"),  # the namespace is there, the class is not
        (("MS_411",), None),
    ],
)
async def test_the_order_of_preference(cimv2: Namespace, preferred: tuple[str, ...], text: str | None) -> None:
    cls = await get(cimv2, "Thing", AMENDED, *preferred)
    assert description(cls.qualifiers) == text
    if text == "Ein Ding":
        # The search ends with the class that is found first.
        assert description(cls.properties["Name"].qualifiers) is None


@pytest.mark.requirement("WMI-2.2.29-01")
def test_the_locales_of_a_caller() -> None:
    assert locales(context()) == ["ms_409"]
    assert locales(context(locales=("MS_409, en-US", "de-DE", "xx-YY", "MS_409"))) == ["ms_409", "ms_407"]


@pytest.mark.requirement("WMI-3.1.1.2-16")
@pytest.mark.parametrize("flags", [0, AMENDED])
async def test_a_class_that_is_only_localized(cimv2: Namespace, flags: int) -> None:
    with pytest.raises(WbemError) as caught:
        await get(cimv2, "Elsewhere", flags, "MS_409")
    assert caught.value.status == E.WBEM_E_NOT_FOUND


@pytest.mark.requirement("WMI-3.1.4.3.10-10", "WMI-3.1.4.3.10-11", "WMI-3.1.4.3.11-08", "WMI-3.1.4.3.11-09")
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
async def test_enumerating_classes(cimv2: Namespace, mode: str) -> None:
    make = context if mode == "synchronous" else asynchronously
    for flags, text in ((0, None), (AMENDED, "A thing")):
        found = await run(cimv2, EnumerateClasses(None), make(flags=flags, locales=("MS_409",)))
        [thing] = [c for c in found if isinstance(c, Class) and c.name == "Thing"]
        assert description(thing.qualifiers) == text


async def test_an_instance_in_the_caller_s_language(cimv2: Namespace) -> None:
    found = await get(cimv2, 'Thing="x"', AMENDED, "MS_409")
    assert description(found.cls.properties["Name"].qualifiers) == "The name"
    assert found.to_dict() == {"Name": "x", "Value": None, "Plain": None}
    assert description((await get(cimv2, 'Thing="x"')).cls.qualifiers) is None
    assert (await get(cimv2, "Bare", AMENDED)).qualifiers == (await get(cimv2, "Bare")).qualifiers


async def test_a_locale_that_the_caller_may_not_read(manager: ObjectManager, cimv2: Namespace) -> None:
    await grant(manager, AccessRight.ENABLE)
    await grant(manager, AccessRight(0), f"{CIMV2}\\ms_409")
    [cls] = await run(cimv2, GetObject("Thing"), context(USER, AMENDED, locales=("MS_409", "MS_407")))
    assert isinstance(cls, Class)
    assert description(cls.qualifiers) == "Ein Ding"


# -- creating, changing, deleting


def text(value: str, flavor: Flavor = Flavor.AMENDED) -> Qualifier:
    return Qualifier.of("Description", value, flavor)


def described(cls: Class, value: str) -> Class:
    """The class as a client changes its localized texts."""
    name = cls.properties["Name"]
    name = replace(name, qualifiers=name.qualifiers.with_items([text(f"{value}'s name")]))
    return replace(
        cls,
        qualifiers=cls.qualifiers.with_items([text(value)]),
        properties=cls.properties.with_items([name]),
    )


@pytest.mark.requirement("WMI-3.1.1.2-09", "WMI-3.1.1.2-10", "WMI-3.1.4.3.6-09", "WMI-3.1.4.3.7-10")
@pytest.mark.parametrize("flags", [0, AMENDED])
async def test_a_new_class_is_kept_as_it_is(manager: ObjectManager, cimv2: Namespace, flags: int) -> None:
    new = described(replace((await get(cimv2, "Bare")).local, name="New"), "new")
    await run(cimv2, PutClass(new), context(flags=flags, locales=("MS_409",)))
    kept = await get(cimv2, "New")
    assert description(kept.qualifiers) == "new"
    assert description(kept.properties["Name"].qualifiers) == "new's name"
    assert manager.store.get_class(f"{CIMV2}\\ms_409", "New") is None


@pytest.mark.requirement("WMI-3.1.1.2-05", "WMI-3.1.1.2-07", "WMI-3.1.1.2-08")
async def test_an_update_without_the_flag(manager: ObjectManager, cimv2: Namespace) -> None:
    before = await localized(manager, "ms_409")
    await run(
        cimv2,
        PutClass(described(await get(cimv2, "Thing"), "changed")),
        context(flags=Flags.UPDATE_FORCE_MODE, locales=("MS_409",)),
    )
    assert description((await get(cimv2, "Thing")).qualifiers) == "changed"
    assert await localized(manager, "ms_409") == before


@pytest.mark.requirement(
    "WMI-3.1.1.2-03", "WMI-3.1.1.2-04", "WMI-3.1.1.2-06", "WMI-3.1.4.3.6-08", "WMI-3.1.4.3.7-09",
)  # fmt: skip
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
async def test_an_update_with_the_flag(manager: ObjectManager, cimv2: Namespace, mode: str) -> None:
    make = context if mode == "synchronous" else asynchronously
    german = await localized(manager, "ms_407")
    changed = described(await get(cimv2, "Thing", AMENDED, "MS_409"), "changed")
    plain = replace(changed.properties["Plain"], qualifiers=NameMap([Qualifier.of("Marked")]))
    changed = replace(changed, properties=changed.properties.with_items([plain]))
    flags = AMENDED | Flags.UPDATE_FORCE_MODE
    await run(cimv2, PutClass(changed), make(flags=flags, locales=("MS_409", "MS_407")))

    neutral = await get(cimv2, "Thing")
    assert "Marked" in neutral.properties["Plain"].qualifiers
    found = [neutral.qualifiers, *(e.qualifiers for e in (*neutral.properties.each(), *neutral.methods.each()))]
    assert not any(Flavor.AMENDED in q.flavor for qualifiers in found for q in qualifiers.each())
    english = await localized(manager, "ms_409")
    assert description(english.qualifiers) == "changed"
    assert description(english.properties["Name"].qualifiers) == "changed's name"
    assert "Plain" not in english.properties
    assert english.qualifiers["Amendment"].value is True
    assert description((await get(cimv2, "Thing", AMENDED, "MS_409")).qualifiers) == "changed"
    assert await localized(manager, "ms_407") == german


async def test_an_update_where_nothing_is_localized_yet(manager: ObjectManager, cimv2: Namespace) -> None:
    """The first preferred locale that has a namespace gets the texts; without any, the neutral class keeps its own."""
    bare = await get(cimv2, "Bare")
    await run(cimv2, PutClass(described(bare, "kahl")), context(flags=AMENDED, locales=("MS_411", "MS_407")))
    assert await get(cimv2, "Bare") == bare
    assert description((await get(cimv2, "Bare", AMENDED, "de-DE")).qualifiers) == "kahl"

    first = described(bare, "first")
    await run(cimv2, PutClass(first))
    await run(cimv2, PutClass(described(bare, "second")), context(flags=AMENDED, locales=("MS_411",)))
    assert description((await get(cimv2, "Bare")).qualifiers) == "first"
    # Without amended qualifiers there is nothing to keep in the locale.
    hollow = await get(cimv2, "Hollow")
    await run(cimv2, PutClass(hollow), context(flags=AMENDED, locales=("MS_409",)))
    assert manager.store.get_class(f"{CIMV2}\\ms_409", "Hollow") is None


async def test_texts_of_what_a_class_inherits(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.compile_mof("class Special : Thing { string More; };", CIMV2, context())
    special = await get(cimv2, "Special", AMENDED, "MS_409")
    await run(cimv2, PutClass(described(special, "special")), context(flags=AMENDED, locales=("MS_409",)))
    found = await get(cimv2, "Special", AMENDED, "MS_409")
    assert description(found.properties["Name"].qualifiers) == "special's name"
    assert found.derivation == ("Thing",)
    assert description((await get(cimv2, "Special")).properties["Name"].qualifiers) is None


async def test_an_update_of_a_locale_needs_rights_there(manager: ObjectManager, cimv2: Namespace) -> None:
    thing = await get(cimv2, "Bare")
    await grant(manager, AccessRight.ENABLE | AccessRight.FULL_WRITE)
    await grant(manager, AccessRight.ENABLE, f"{CIMV2}\\ms_409")
    with pytest.raises(WbemError) as caught:
        await run(cimv2, PutClass(described(thing, "mine")), context(USER, AMENDED, locales=("MS_409",)))
    assert caught.value.status == E.WBEM_E_ACCESS_DENIED
    assert await get(cimv2, "Bare") == thing


@pytest.mark.requirement("WMI-3.1.1.2-18", "WMI-3.1.1.2-19")
async def test_deleting(manager: ObjectManager, cimv2: Namespace) -> None:
    with pytest.raises(WbemError) as caught:
        await run(cimv2, DeleteClass("Thing"), context(flags=AMENDED))
    assert caught.value.status == E.WBEM_E_INVALID_PARAMETER
    await run(cimv2, DeleteClass("Thing"))
    assert description((await localized(manager, "ms_409")).qualifiers) == "A thing"


@pytest.mark.requirement("WMI-3.1.1.2-17")
async def test_a_localized_class_has_no_instances(manager: ObjectManager) -> None:
    english = await manager.connect(f"{CIMV2}\\ms_409", context())
    cls = await get(english, "Thing")
    with pytest.raises(WbemError) as caught:
        await run(english, PutInstance(cls.new(Name="x")))
    assert caught.value.status == E.WBEM_E_INVALID_OPERATION


@pytest.mark.requirement("WMI-3.1.1.2-02", "WMI-3.1.1.2-03")
async def test_mof_with_an_amendment(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.compile_mof(
        """
        #pragma amendment("MS_409")
        [Description("Amended") : Amended, LOCALE(0x409)] class Both {
            [Description("The key") : Amended, key] string Name;
            uint64 Value;
        };
        """,
        CIMV2,
        context(),
    )
    assert description((await get(cimv2, "Both")).qualifiers) is None
    cls = await get(cimv2, "Both", AMENDED, "en-US")
    assert (description(cls.qualifiers), description(cls.properties["Name"].qualifiers)) == ("Amended", "The key")
    of_locale = manager.store.get_class(f"{CIMV2}\\ms_409", "Both")
    assert of_locale is not None
    assert list(of_locale.properties) == ["Name"]


# -- instances


async def put_status(namespace: Namespace, request: Request, flags: int = 0) -> int:
    try:
        await run(namespace, request, context(flags=flags))
    except WbemError as error:
        return error.status
    return E.WBEM_S_NO_ERROR


@pytest.mark.requirement(
    "WMI-3.1.4-40", "WMI-3.1.4.3.12-06", "WMI-3.1.4.3.13-06",
)  # fmt: skip
async def test_an_instance_with_amended_qualifiers(cimv2: Namespace) -> None:
    cls = await get(cimv2, "Thing")
    merged = await get(cimv2, "Thing", AMENDED, "MS_409")
    own = cls.new(Name="x", Value=1)
    own.qualifiers = NameMap([text("mine"), Qualifier.of("Fixed")])
    of_property = cls.new(Name="x", Value=2)
    of_property.property_qualifiers = {"value": NameMap([text("mine"), Qualifier.of("Kept", "k")])}
    for instance in (own, of_property, merged.new(Name="x", Value=3)):
        assert await put_status(cimv2, PutInstance(instance)) == E.WBEM_E_AMENDED_OBJECT
        assert await put_status(cimv2, PutInstance(instance), AMENDED) == E.WBEM_S_NO_ERROR
        found = await get(cimv2, 'Thing="x"')
        assert isinstance(found, Instance)
        assert found["Value"] == instance["Value"]
        assert "Description" not in found.qualifiers
        assert not any("Description" in q for q in found.property_qualifiers.values())
    assert await put_status(cimv2, PutInstance(cls.new(Name="x", Value=4))) == E.WBEM_S_NO_ERROR
    await run(cimv2, PutInstance(own), context(flags=AMENDED))
    assert "Fixed" in (await get(cimv2, 'Thing="x"')).qualifiers


async def test_a_class_that_kept_its_texts_is_not_a_localized_one(cimv2: Namespace) -> None:
    """A class that was created with amended qualifiers shows them to everybody, and its instances can be put."""
    await run(cimv2, PutClass(described(replace((await get(cimv2, "Bare")).local, name="New"), "new")))
    cls = await get(cimv2, "New")
    copied = replace(cls, namespace=None)
    assert await put_status(cimv2, PutInstance(copied.new(Name="n"))) == E.WBEM_S_NO_ERROR
