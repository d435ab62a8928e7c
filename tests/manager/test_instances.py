"""GetObject, CreateInstanceEnum and PutInstance (MS-WMI 3.1.4.3.4, .12, .16)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from openwmi.cim import ABSENT, Class, Instance, NameMap, Qualifier, TypedValue
from openwmi.cim.operations import (
    CallingMode,
    DeleteInstance,
    EnumerateInstances,
    Flags,
    GetObject,
    PutInstance,
    Request,
)
from openwmi.errors import NotFound, WbemError
from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.repository import MemoryStore
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, InMode, context, grant, run

E = WbemStatus
MOF = """
class Thing { [key] string Name; uint32 Value = 3; string Note; };
class Special : Thing { string More; };
[abstract] class Base { [key] sint32 k; };
class Left : Base { }; class Right : Base { };
[dynamic, provider("Lamps")] class Lamp : Base { boolean On; };
[dynamic, provider("Lamps")] class BrightLamp : Lamp { uint32 Watts; };
class Keyless { string Text; };
class Pair { [key] string A; [key] string B; };
[singleton] class Only { string Text; };
[amendment] class Localized { [key] string Name; };
class SystemLike : __Provider { };
instance of Thing { Name = "a"; };
instance of Special { Name = "s"; More = "m"; };
instance of Left { k = 1; };
instance of Right { k = 2; };
instance of Only { Text = "t"; };
"""


class Lamps(Provider):
    name = "Lamps"

    def __init__(self) -> None:
        self.lamps: dict[int, dict[str, Any]] = {10: {"On": True}, 11: {"On": False, "Watts": 60}}
        self.put: list[tuple[dict[str, Any], int, str]] = []

    def _is(self, call: ProviderCall, number: int) -> bool:
        return ("Watts" in self.lamps[number]) is (call.cls.name == "BrightLamp")

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        number = keys["k"]
        return self.lamps[number] if number in self.lamps and self._is(call, number) else None

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return ({"k": number, **lamp} for number, lamp in self.lamps.items() if self._is(call, number))

    def put_instance(self, call: ProviderCall, instance: Instance) -> None:
        self.put.append((instance.to_dict(), call.flags, str(call.path)))


@pytest.fixture
async def lamps(manager: ObjectManager) -> Lamps:
    made = Lamps()
    await manager.compile_mof(MOF, CIMV2, context())
    await manager.register(lambda: made, "Lamps")
    return made


@pytest.fixture(params=[CallingMode.SYNCHRONOUS, CallingMode.ASYNCHRONOUS], ids=["sync", "async"])
async def cimv2(manager: ObjectManager, request: pytest.FixtureRequest) -> Namespace:
    """What is said here holds for a method and for its Async form."""
    return InMode(await manager.connect(CIMV2, context()), request.param)


async def fails(namespace: Namespace, request: Request, **more: Any) -> WbemError:
    """How a request fails, before or after its start."""
    with pytest.raises(WbemError) as caught:
        await run(namespace, request, context(**more))
    assert caught.value.extended is not None
    assert caught.value.extended["StatusCode"] == caught.value.status
    return caught.value


async def paths(namespace: Namespace, class_name: str, flags: int = 0) -> set[str]:
    found = await run(namespace, EnumerateInstances(class_name), context(flags=flags))
    return {str(i.relative_path) for i in found if isinstance(i, Instance)}


async def get(namespace: Namespace, path: str, flags: int = 0) -> Any:
    [found] = await run(namespace, GetObject(path), context(flags=flags))
    return found


# -- GetObject


@pytest.mark.requirement(
    "WMI-3.1.4.3.4-01", "WMI-3.1.4.3.4-02", "WMI-3.1.4.3.4-28", "WMI-3.1.4.3.4-29", "WMI-3.1.4.3.4-30",
    "WMI-3.1.4.3.4-38", "WMI-3.1.4.3.5-01", "WMI-3.1.4.3.5-21", "WMI-3.1.4.3.5-22", "WMI-3.1.4.3.5-23",
    "WMI-3.1.4.3.5-30",
)  # fmt: skip
async def test_a_class(cimv2: Namespace, lamps: Lamps) -> None:
    cls = await get(cimv2, "special")
    assert isinstance(cls, Class)
    assert (cls.name, cls.superclass) == ("Special", "Thing")
    assert str(cls.path) == r"\\HOST\root\cimv2:Special"
    assert (await fails(cimv2, GetObject("Nothing"))).status == E.WBEM_E_NOT_FOUND


@pytest.mark.requirement("WMI-3.1.4.3.4-03", "WMI-3.1.4.3.5-02")
async def test_a_null_path_is_an_empty_class(cimv2: Namespace) -> None:
    [cls] = await run(cimv2, GetObject(None))
    assert cls == Class("")


@pytest.mark.requirement(
    "WMI-3.1.4.3.4-12", "WMI-3.1.4.3.4-31", "WMI-3.1.4.3.4-32", "WMI-3.1.4.3.4-33", "WMI-3.1.4.3.4-35",
    "WMI-3.1.4.3.4-38", "WMI-3.1.4.3.4-41", "WMI-3.1.4.3.5-10", "WMI-3.1.4.3.5-24", "WMI-3.1.4.3.5-25",
    "WMI-3.1.4.3.5-26", "WMI-3.1.4.3.5-28", "WMI-3.1.4.3.5-30", "WMI-3.1.4.3.5-32", "WMI-3.1.4-15",
    "WMI-3.1.4-16", "WMI-3.1.4-24", "WMI-3.1.4-32",
)  # fmt: skip
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ('Thing="a"', 'Thing.Name="a"'),
        ('Thing.Name="S"', 'Special.Name="s"'),
        ("Base.k=1", "Left.k=1"),
        ("Base.k=2", "Right.k=2"),
        ("Base.k=10", "Lamp.k=10"),
        ("Lamp.k=11", "BrightLamp.k=11"),
        ("Only=@", "Only=@"),
        ('__NAMESPACE.Name="x"', None),
        ("__SystemSecurity=@", "__SystemSecurity=@"),
        ("Lamp.k=12", None),
        ("BrightLamp.k=10", None),
        ("Base.k=3", None),
        ("Left.k=2", None),
    ],
)
async def test_an_instance_is_what_its_most_derived_class_says(
    cimv2: Namespace, lamps: Lamps, path: str, found: str | None
) -> None:
    if found is None:
        assert (await fails(cimv2, GetObject(path))).status == E.WBEM_E_NOT_FOUND
    else:
        assert str((await get(cimv2, path)).path) == rf"\\HOST\root\cimv2:{found}"


@pytest.mark.requirement("WMI-3.1.4.3.4-11", "WMI-3.1.4.3.5-11")
async def test_direct_read_is_the_class_itself(cimv2: Namespace, lamps: Lamps) -> None:
    for path in ('Thing.Name="s"', "Base.k=1", "Base.k=10", "Lamp.k=11"):
        with pytest.raises(NotFound):
            await get(cimv2, path, Flags.DIRECT_READ)
    assert (await get(cimv2, "Lamp.k=10", Flags.DIRECT_READ))["On"] is True


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", E.WBEM_E_INVALID_OBJECT_PATH),
        ("Thing.", E.WBEM_E_INVALID_OBJECT_PATH),
        ("Thing.Value=3", E.WBEM_E_INVALID_OBJECT_PATH),
        ('Nothing="a"', E.WBEM_E_INVALID_CLASS),
        ('root\\default:Thing="a"', E.WBEM_E_NOT_SUPPORTED),
        ("T" * 9000, E.WBEM_E_QUOTA_VIOLATION),
    ],
)
async def test_a_path_that_names_nothing(cimv2: Namespace, lamps: Lamps, path: str, status: int) -> None:
    assert (await fails(cimv2, GetObject(path))).status == status


@pytest.mark.requirement(
    "WMI-3.1.4.3.4-34", "WMI-3.1.4.3.5-27", "WMI-3.1.4.3.12-34", "WMI-3.1.4.3.12-35", "WMI-3.1.4.3.13-34",
    "WMI-3.1.4.3.13-35",
)  # fmt: skip
async def test_a_provider_that_cannot(manager: ObjectManager, cimv2: Namespace) -> None:
    class Blind(Provider):
        name = "Blind"
        mof = '[dynamic, provider("Blind")] class Unseen { [key] string Name; };'

    await manager.register(Blind)
    put_one = PutInstance((await get(cimv2, "Unseen")).new(Name="x"))
    for request in (GetObject('Unseen="x"'), EnumerateInstances("Unseen"), put_one):
        error = await fails(cimv2, request)
        assert error.status == E.WBEM_E_PROVIDER_NOT_CAPABLE
        assert error.extended is not None
        assert error.extended["ProviderName"] == "Blind"


@pytest.mark.requirement("WMI-3.1.4.3.4-36", "WMI-3.1.4.3.5-29", "WMI-3.1.4-23", "WMI-3.1.4-31")
async def test_a_provider_that_is_not_there(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.compile_mof('[dynamic, provider("Nobody")] class Orphan { [key] string Name; };', CIMV2, context())
    assert (await fails(cimv2, GetObject('Orphan="x"'))).status == E.WBEM_E_PROVIDER_NOT_FOUND
    cls = await get(cimv2, "Orphan")
    for request in (PutInstance(cls.new(Name="x")), EnumerateInstances("Orphan")):
        assert (await fails(cimv2, request)).status == E.WBEM_E_PROVIDER_LOAD_FAILURE


@pytest.mark.requirement("WMI-2.2.13-03", "WMI-2.2.13-04")
@pytest.mark.requirement("WMI-2.2.32-04", "WMI-2.2.32-06", "WMI-3.1.4-41", "WMI-3.1.4-42")
async def test_what_a_provider_is_told(manager: ObjectManager, cimv2: Namespace) -> None:
    told: list[Any] = []

    class Told(Provider):
        name = "Told"
        mof = """[dynamic, provider("Told"), ClassContext("c"), Locale("MS_409")] class Listening {
            [key] string Name; [PropertyContext("p")] uint32 Value; };"""

        def put_instance(self, call: ProviderCall, instance: Instance) -> None:
            given = (
                instance.qualifiers.each(),
                call.cls.qualifiers.each(),
                call.cls.properties["Value"].qualifiers.each(),
            )
            told.append({q.name: q.value for qualifiers in given for q in qualifiers})
            told.append((instance.qualifiers["Locale"].value, call.cls.qualifiers["Locale"].value))
            told.append((call.data_locale, call.ui_locale))

    await manager.register(Told)
    made = (await get(cimv2, "Listening")).new(Name="x")
    made.qualifiers = NameMap([Qualifier.of("InstanceContext", "i"), Qualifier.of("Locale", "MS_407")])
    await run(cimv2, PutInstance(made), context(locales=("MS_407", "MS_409")))
    found, of_each, first = told
    assert of_each == ("MS_407", "MS_409")
    assert {"InstanceContext": "i", "ClassContext": "c", "PropertyContext": "p"}.items() <= found.items()
    assert first == ("MS_407", "MS_407")
    values = {"__MI_DESTINATIONOPTIONS_DATA_LOCALE": "MS_40c", "__MI_DESTINATIONOPTIONS_UI_LOCALE": "MS_411"}
    ctx = context(locales=("MS_407",), values={name: TypedValue.of(value) for name, value in values.items()})
    await run(cimv2, PutInstance(made), ctx)
    assert told[-1] == ("MS_40c", "MS_411")


# -- CreateInstanceEnum


@pytest.mark.parametrize(
    ("class_name", "flags", "found"),
    [
        ("Thing", 0, {'Thing.Name="a"', 'Special.Name="s"'}),
        ("thing", Flags.SHALLOW, {'Thing.Name="a"'}),
        ("Thing", Flags.DIRECT_READ, {'Thing.Name="a"'}),
        ("Base", 0, {"Left.k=1", "Right.k=2", "Lamp.k=10", "BrightLamp.k=11"}),
        ("Base", Flags.SHALLOW, set()),
        ("Lamp", Flags.SHALLOW, {"Lamp.k=10"}),
        ("Only", 0, {"Only=@"}),
        ("Keyless", 0, set()),
    ],
)
async def test_enumerations(cimv2: Namespace, lamps: Lamps, class_name: str, flags: int, found: set[str]) -> None:
    assert await paths(cimv2, class_name, flags) == found


@pytest.mark.parametrize(
    ("class_name", "status"),
    [
        (None, E.WBEM_E_INVALID_PARAMETER),
        ("Nothing", E.WBEM_E_INVALID_CLASS),
        ("", E.WBEM_E_INVALID_CLASS),
        ("N" * 4097, E.WBEM_E_QUOTA_VIOLATION),
    ],
)
async def test_an_enumeration_of_nothing(cimv2: Namespace, lamps: Lamps, class_name: str | None, status: int) -> None:
    assert (await fails(cimv2, EnumerateInstances(class_name))).status == status


async def test_many_instances_flow_through_a_small_buffer() -> None:
    class Many(Provider):
        name = "Many"
        mof = '[dynamic, provider("Many")] class Numbers { [key] uint32 N; };'

        def enumerate_instances(self, call: ProviderCall) -> Any:
            return ({"N": n} for n in range(5000))

    async with ObjectManager(MemoryStore(), limits=Limits(results_buffered=10)) as manager:
        await manager.register(Many)
        namespace = await manager.connect(CIMV2, context())
        operation = await namespace.start(EnumerateInstances("Numbers"), context())
        assert [i["N"] async for i in operation if isinstance(i, Instance)] == list(range(5000))
        abandoned = await namespace.start(EnumerateInstances("Numbers"), context())
        assert len(await abandoned.take(3)) in (1, 2, 3)
        assert manager.running == 1
        await abandoned.close()
        assert manager.running == 0


# -- PutInstance


async def put(namespace: Namespace, class_name: str, flags: int = 0, **values: Any) -> str | None:
    cls = await get(namespace, class_name)
    operation = await namespace.start(PutInstance(cls.new(values)), context(flags=flags))
    outcome = await operation.wait()
    outcome.raise_for_status()
    return outcome.text


@pytest.mark.requirement(
    "WMI-3.1.4.3.12-11", "WMI-3.1.4.3.12-39", "WMI-3.1.4.3.12-40", "WMI-3.1.4.3.13-09", "WMI-3.1.4.3.13-36",
    "WMI-3.1.4.3.13-37", "WMI-2.2.32-08",
)  # fmt: skip
async def test_creating_and_changing(cimv2: Namespace, lamps: Lamps) -> None:
    assert await put(cimv2, "Thing", Name="n", Value=5) == 'Thing.Name="n"'
    assert (await get(cimv2, 'Thing="n"')).to_dict() == {"Name": "n", "Value": 5, "Note": None}
    assert await put(cimv2, "Thing", Name="N", Note="changed") == 'Thing.Name="N"'
    assert (await get(cimv2, 'Thing="n"')).to_dict() == {"Name": "N", "Value": 3, "Note": "changed"}
    assert await put(cimv2, "Only", Text="new") == "Only=@"
    assert (await get(cimv2, "Only=@"))["Text"] == "new"


async def test_what_is_absent_stays_as_it_was(cimv2: Namespace, lamps: Lamps) -> None:
    await put(cimv2, "Thing", Name="n", Value=5, Note="old")
    cls = await get(cimv2, "Thing")
    partial = cls.new(Name="n", Value=ABSENT, Note=None)
    await run(cimv2, PutInstance(partial))
    assert (await get(cimv2, 'Thing="n"')).to_dict() == {"Name": "n", "Value": 5, "Note": None}
    await run(cimv2, PutInstance(cls.new(Name="new", Value=ABSENT)))
    assert (await get(cimv2, 'Thing="new"'))["Value"] == 3


async def test_a_null_key_gets_a_guid(cimv2: Namespace, lamps: Lamps) -> None:
    text = await put(cimv2, "Thing", Value=1)
    assert re.fullmatch(r'Thing\.Name="\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}"', text or "")


@pytest.mark.requirement(
    "WMI-3.1.4.3.12-10", "WMI-3.1.4.3.12-12", "WMI-3.1.4.3.12-41", "WMI-3.1.4.3.13-08", "WMI-3.1.4.3.13-10",
    "WMI-3.1.4.3.13-38",
)  # fmt: skip
@pytest.mark.parametrize(
    ("class_name", "flags", "values", "status"),
    [
        ("Thing", Flags.CREATE_ONLY, {"Name": "A"}, E.WBEM_E_ALREADY_EXISTS),
        ("Thing", Flags.CREATE_ONLY, {"Name": "new"}, E.WBEM_S_NO_ERROR),
        ("Thing", Flags.UPDATE_ONLY, {"Name": "a"}, E.WBEM_S_NO_ERROR),
        ("Thing", Flags.UPDATE_ONLY, {"Name": "new"}, E.WBEM_E_NOT_FOUND),
        ("Thing", Flags.UPDATE_ONLY | Flags.CREATE_ONLY, {"Name": "a"}, E.WBEM_E_INVALID_PARAMETER),
        ("Thing", 0x8, {"Name": "a"}, E.WBEM_E_INVALID_PARAMETER),
        ("Thing", 0x40, {"Name": "a"}, E.WBEM_S_NO_ERROR),
        ("Thing", 0, {"Name": "s"}, E.WBEM_E_ALREADY_EXISTS),
        ("Thing", 0, {"Name": "n" * 9000}, E.WBEM_E_QUOTA_VIOLATION),
        ("Base", 0, {"k": 1}, E.WBEM_E_INVALID_CLASS),
        ("Left", 0, {}, E.WBEM_E_NO_KEY),
        ("Pair", 0, {"A": "a"}, E.WBEM_E_NO_KEY),
        ("Keyless", 0, {"Text": "t"}, E.WBEM_E_NO_KEY),
        ("Localized", 0, {"Name": "x"}, E.WBEM_E_INVALID_OPERATION),
        ("__thisNAMESPACE", 0, {}, E.WBEM_E_READ_ONLY),
        ("__SystemSecurity", 0, {}, E.WBEM_S_NO_ERROR),
    ],
)
async def test_what_may_be_put(
    cimv2: Namespace, lamps: Lamps, class_name: str, flags: int, values: dict[str, Any], status: int
) -> None:
    cls = await get(cimv2, class_name)
    if status == E.WBEM_S_NO_ERROR:
        await run(cimv2, PutInstance(cls.new(values)), context(flags=flags))
    else:
        assert (await fails(cimv2, PutInstance(cls.new(values)), flags=flags)).status == status


async def test_null_and_unknown_classes(cimv2: Namespace) -> None:
    assert (await fails(cimv2, PutInstance(None))).status == E.WBEM_E_INVALID_PARAMETER
    assert (await fails(cimv2, PutInstance(Class("Nothing").new()))).status == E.WBEM_E_INVALID_CLASS


async def test_another_idea_of_the_class(cimv2: Namespace, lamps: Lamps) -> None:
    """What a client thinks the class to be is fitted to what it is."""
    thing, special = await get(cimv2, "Thing"), await get(cimv2, "Special")
    foreign = Class("Thing", properties=special.properties)
    error = await fails(cimv2, PutInstance(foreign.new(Name="f", More="x")))
    assert error.status == E.WBEM_E_INVALID_OBJECT
    wrong = Class("Thing", properties=thing.properties.without("Value").with_items(
        [type(thing.properties["Note"])("Value", thing.properties["Note"].type)]
    ))  # fmt: skip
    error = await fails(cimv2, PutInstance(wrong.new(Name="f", Value="text")))
    assert error.status == E.WBEM_E_TYPE_MISMATCH
    fewer = Class("Thing", properties=thing.properties.without("Note"))
    await run(cimv2, PutInstance(fewer.new(Name="f", Value=9)))
    assert (await get(cimv2, 'Thing="f"')).to_dict() == {"Name": "f", "Value": 9, "Note": None}


async def test_a_dynamic_instance_goes_to_its_provider(cimv2: Namespace, lamps: Lamps) -> None:
    assert await put(cimv2, "Lamp", Flags.CREATE_ONLY, k=20, On=True) == "Lamp.k=20"
    assert lamps.put == [({"k": 20, "On": True}, Flags.CREATE_ONLY, "Lamp.k=20")]


@pytest.mark.requirement(
    "WMI-3.1.4.3.12-33", "WMI-3.1.4.3.12-36", "WMI-3.1.4.3.12-37", "WMI-3.1.4.3.13-30", "WMI-3.1.4.3.13-31",
    "WMI-3.1.4.3.13-32",
)  # fmt: skip
@pytest.mark.parametrize(
    ("class_name", "values", "needed"),
    [
        ("Thing", {"Name": "n"}, AccessRight.PARTIAL_WRITE_REP),
        ("SystemLike", {"Name": "n"}, AccessRight.FULL_WRITE),
        ("Lamp", {"k": 1}, AccessRight.WRITE_PROVIDER),
    ],
)
async def test_rights_to_put(
    manager: ObjectManager,
    cimv2: Namespace,
    lamps: Lamps,
    class_name: str,
    values: dict[str, Any],
    needed: AccessRight,
) -> None:
    cls = await get(cimv2, class_name)
    writes = AccessRight.PARTIAL_WRITE_REP | AccessRight.FULL_WRITE | AccessRight.WRITE_PROVIDER
    await grant(manager, AccessRight.ENABLE | writes & ~needed)
    error = await fails(cimv2, PutInstance(cls.new(values)), principal=USER)
    assert error.status == E.WBEM_E_ACCESS_DENIED
    await grant(manager, AccessRight.ENABLE | needed)
    await run(cimv2, PutInstance(cls.new(values)), context(USER))


async def test_what_was_put_can_be_deleted(cimv2: Namespace, lamps: Lamps) -> None:
    await put(cimv2, "Pair", A="x,y", B='"')
    operation = await cimv2.start(DeleteInstance(r'Pair.B="\"",A="X,Y"'), context())
    assert (await operation.wait()).succeeded
    assert await paths(cimv2, "Pair") == set()
