"""Deep enumerations and queries: one object that several classes know, and how instances are shown."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import Instance, TypedValue
from openwmi.cim.operations import CallingMode, EnumerateClasses, EnumerateInstances, ExecQuery, Flags, Request
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.manager.families import Merger
from openwmi.providers import Provider, ProviderCall
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, context, run

MOF = """
[dynamic, provider("Tops")] class Top { [key] string Id; string Said; };
[dynamic, provider("Lows")] class Low : Top { uint32 More; };
[dynamic, provider("Lows")] class Side : Top { };
class Kept : Top { uint32 Kept; };
[provider("")] class Static : Low { };
instance of Kept { Id = "k"; Said = "repository"; Kept = 1; };
"""


class Tops(Provider):
    """The upper class knows every object, but little of it."""

    name = "Tops"

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return [{"Id": letter, "Said": "top"} for letter in ("A", "b", "k", "t")]


class Lows(Provider):
    """Two classes below it, side by side, that have objects of one name."""

    name = "Lows"
    asked: tuple[Any, ...] = ()

    def enumerate_instances(self, call: ProviderCall) -> Any:
        Lows.asked = (*Lows.asked, call.properties)
        if call.cls.name == "Low":
            return [{"Id": letter, "Said": "low", "More": 5} for letter in ("a", "c")]
        return [{"Id": "a", "Said": "side"}] if call.cls.name == "Side" else []


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager) -> None:
    Lows.asked = ()
    await manager.compile_mof(MOF, CIMV2, context())
    await manager.register(Tops)
    await manager.register(Lows)


async def seen(namespace: Namespace, request: Request, flags: int = 0) -> list[tuple[str, str, str]]:
    found = await run(namespace, request, context(flags=flags))
    return sorted((i.class_name, i["Id"], i["Said"]) for i in found if isinstance(i, Instance))


@pytest.mark.requirement("WMI-3.1.4.3.16-11", "WMI-3.1.4.3.16-14", "WMI-3.1.4.3.16-26", "WMI-3.1.4.3.18-11")
@pytest.mark.parametrize("request_", [EnumerateInstances("Top"), ExecQuery("SELECT * FROM Top")])
async def test_an_object_that_several_classes_know_comes_once(cimv2: Namespace, request_: Request) -> None:
    """As the most derived class shows it. Classes side by side do not share their objects."""
    assert await seen(cimv2, request_) == [
        ("Kept", "k", "repository"), ("Low", "a", "low"), ("Low", "c", "low"), ("Side", "a", "side"),
        ("Top", "b", "top"), ("Top", "t", "top"),
    ]  # fmt: skip


@pytest.mark.requirement("WMI-3.1.4.3.16-12", "WMI-3.1.4.3.16-13", "WMI-3.1.4.3.18-12")
@pytest.mark.parametrize(
    ("request_", "flags"),
    [
        (EnumerateInstances("Top"), Flags.DIRECT_READ),
        (EnumerateInstances("Top"), Flags.SHALLOW),
        (EnumerateInstances("Top"), Flags.SHALLOW | Flags.DIRECT_READ),
        (ExecQuery("SELECT * FROM Top"), Flags.DIRECT_READ),
    ],
)
async def test_one_class_alone(cimv2: Namespace, request_: Request, flags: int) -> None:
    assert [name for name, _, _ in await seen(cimv2, request_, flags)] == ["Top"] * 4


async def test_static_classes_alone_are_asked_in_order_and_remember_nothing(manager: ObjectManager) -> None:
    classes = await manager.in_store(
        lambda: [manager.static(CIMV2).get_class(name) for name in ("__SystemClass", "__Provider", "__Win32Provider")]
    )
    merger = Merger(classes)
    assert list(merger.classes) == classes
    assert merger._seen == {}


# -- how instances are shown


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"__GET_EXTENSIONS": True, "__GET_EXT_KEYS_ONLY": True}, [{"Id": "a"}, {"Id": "c"}]),
        (
            {"__GET_EXTENSIONS": True, "__GET_EXT_PROPERTIES": ("more", "nothing")},
            [{"Id": "a", "More": 5}, {"Id": "c", "More": 5}],
        ),
    ],
)
async def test_partial_instances_in_an_enumeration(
    cimv2: Namespace, values: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    ctx = context(values={name: TypedValue.of(value) for name, value in values.items()})
    found = await run(cimv2, EnumerateInstances("Low"), ctx)
    assert [i.to_dict() for i in found if isinstance(i, Instance)] == expected
    assert all(i["__RELPATH"] for i in found if isinstance(i, Instance))
    assert Lows.asked[0] is not None
    assert "id" in Lows.asked[0]


async def test_a_context_that_is_wrong_fails_at_once(cimv2: Namespace) -> None:
    ctx = context(values={"__GET_EXTENSIONS": TypedValue.of("yes")})
    with pytest.raises(WbemError) as caught:
        await cimv2.start(EnumerateInstances("Low"), ctx)
    assert caught.value.status == WbemStatus.WBEM_E_INVALID_CONTEXT


@pytest.mark.requirement(
    "WMI-3.1.4.3.16-07", "WMI-3.1.4.3.16-08", "WMI-3.1.4.3.18-07", "WMI-3.1.4.3.18-08", "WMI-3.1.4.3.17-07",
    "WMI-3.1.4.3.17-08", "WMI-3.1.4.3.19-07", "WMI-3.1.4.3.19-08",
)  # fmt: skip
@pytest.mark.parametrize("mode", list(CallingMode))
@pytest.mark.parametrize(
    "request_", [EnumerateInstances("Named"), ExecQuery("SELECT Id FROM Named"), ExecQuery("SELECT * FROM Named")]
)
async def test_amended_qualifiers(
    cimv2: Namespace, manager: ObjectManager, request_: Request, mode: CallingMode
) -> None:
    """They come with the instances' class if they are asked for, also where only some properties are."""
    await manager.compile_mof(
        """
        #pragma namespace("root\\\\cimv2")
        class Named { [key] string Id; string Text; };
        instance of Named { Id = "n"; Text = "t"; };
        instance of __Namespace { Name = "ms_409"; };
        #pragma namespace("root\\\\cimv2\\\\ms_409")
        [amendment, locale(1033)] class Named { [key, Description("The name"): amended] string Id; };
        """,
        "root", context(),
    )  # fmt: skip
    for flags, described in ((0, False), (Flags.USE_AMENDED_QUALIFIERS, True)):
        [found] = await run(cimv2, request_, context(flags=flags, mode=mode))
        assert isinstance(found, Instance)
        assert found["Id"] == "n"
        assert ("Description" in found.cls.properties["Id"].qualifiers) is described
        assert list(found) == (["Id"] if "SELECT Id" in str(request_) else ["Id", "Text"])


# -- flags, and providers that cannot enumerate


@pytest.mark.requirement(
    "WMI-3.1.4.3.10-08", "WMI-3.1.4.3.11-06", "WMI-3.1.4.3.16-05", "WMI-3.1.4.3.17-05", "WMI-3.1.4.3.18-05",
    "WMI-3.1.4.3.19-05",
)  # fmt: skip
@pytest.mark.parametrize("mode", list(CallingMode))
@pytest.mark.parametrize(
    "request_", [EnumerateClasses("Top"), EnumerateInstances("Kept"), ExecQuery("SELECT * FROM Kept")]
)
async def test_any_combination_of_the_flags_is_valid(cimv2: Namespace, request_: Request, mode: CallingMode) -> None:
    """FORWARD_ONLY is about enumerators, which an asynchronous call has not got."""
    allowed = int(request_.FLAGS) | mode.value
    if mode is CallingMode.ASYNCHRONOUS:
        allowed &= ~int(Flags.FORWARD_ONLY)
    bits = [1 << at for at in range(32) if allowed >> at & 1]
    for chosen in range(1 << len(bits)):
        flags = sum(bit for at, bit in enumerate(bits) if chosen >> at & 1)
        operation = await cimv2.start(request_, context(flags=flags, mode=mode))
        assert await operation.collect(), hex(flags)


class Mute(Provider):
    """Gets one object, and cannot say which there are."""

    name = "Mute"
    mof = """[dynamic, provider("Mute")] class Muted { [key] string Id; };"""

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        return {"Id": keys["Id"]}


@pytest.mark.requirement("WMI-3.1.4.3.16-24", "WMI-3.1.4.3.16-25", "WMI-3.1.4.3.17-25", "WMI-3.1.4.3.17-26")
@pytest.mark.parametrize("mode", list(CallingMode))
@pytest.mark.parametrize("request_", [EnumerateInstances("Muted"), ExecQuery("SELECT * FROM Muted")])
async def test_a_provider_that_cannot_enumerate(
    cimv2: Namespace, manager: ObjectManager, request_: Request, mode: CallingMode
) -> None:
    await manager.register(Mute)
    operation = await cimv2.start(request_, context(mode=mode))
    assert (await operation.wait()).status == WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE
    [found] = await run(cimv2, ExecQuery("SELECT * FROM Muted WHERE Id = 'x'"), context(mode=mode))
    assert str(found["__RELPATH"]) == 'Muted.Id="x"'  # type: ignore[index]
