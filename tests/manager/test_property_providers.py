"""Dynamic properties of instances in the repository (the SDK, "Writing a Property Provider")."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import Instance, TypedValue
from openwmi.cim.operations import EnumerateInstances, ExecQuery, Flags, GetObject, PutInstance, Request
from openwmi.errors import NotFound, WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import DynamicProperty, Provider, ProviderCall
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, context, grant, run

E = WbemStatus

MOF = """
[ClassContext("houses")]
class Acme_House {
    [key] string Name;
    string Street = "Main";
    [dynamic : ToSubclass, provider("Weather") : ToSubclass, PropertyContext("outside") : ToSubclass]
    sint32 Temperature;
    [dynamic] string Mood;
    [dynamic] string Nobody;
};
class Acme_Hut : Acme_House { };
[InstanceContext("north")]
instance of Acme_House {
    Name = "a"; Temperature = 99; [provider("Weather"), PropertyContext("inside")] Mood = "stored";
};
instance of Acme_Hut { Name = "b"; };
"""


class Weather(Provider):
    name = "Weather"

    def __init__(self) -> None:
        self.asked: list[tuple[str, DynamicProperty]] = []
        self.put: list[tuple[str, str, Any]] = []
        self.temperature: Any = 21

    def get_property(self, call: ProviderCall, what: DynamicProperty) -> Any:
        self.asked.append((str(call.path), what))
        return self.temperature if what.name == "Temperature" else f"calm {what.property_context}"


class Heating(Weather):
    async def put_property(self, call: ProviderCall, what: DynamicProperty, value: Any) -> None:
        self.put.append((str(call.path), what.name, value))


@pytest.fixture
async def weather(manager: ObjectManager, request: pytest.FixtureRequest) -> Weather:
    made: Weather = getattr(request, "param", Weather)()
    await manager.register(lambda: made, "Weather", mof=MOF)
    return made


async def one(namespace: Namespace, request: Request, **more: Any) -> Instance:
    [found] = await run(namespace, request, context(**more))
    assert isinstance(found, Instance)
    return found


HOUSE = GetObject('Acme_House.Name="a"')


async def test_getting(cimv2: Namespace, weather: Weather) -> None:
    house = await one(cimv2, HOUSE)
    assert house.to_dict() == {
        "Name": "a", "Street": "Main", "Temperature": 21, "Mood": "calm inside", "Nobody": None
    }  # fmt: skip
    assert weather.asked == [
        ('Acme_House.Name="a"', DynamicProperty("Temperature", "houses", "north", "outside")),
        ('Acme_House.Name="a"', DynamicProperty("Mood", "houses", "north", "inside")),
    ]


async def test_only_what_is_looked_at_is_asked_for(cimv2: Namespace, weather: Weather) -> None:
    values = {"__GET_EXTENSIONS": TypedValue.of(True), "__GET_EXT_PROPERTIES": TypedValue.of(["Street"])}
    await one(cimv2, HOUSE, values=values)
    await run(cimv2, ExecQuery("SELECT Name FROM Acme_House"))
    assert weather.asked == []


async def test_enumerating(cimv2: Namespace, weather: Weather) -> None:
    found = await run(cimv2, EnumerateInstances("Acme_House"))
    assert [(house["Name"], house["Temperature"]) for house in found] == [("a", 21), ("b", 21)]  # type: ignore[index]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("Temperature = 21", "ab"),
        ("Temperature = 99", ""),
        ('Mood = "calm inside"', "a"),
        ('Temperature > 20 AND Name = "b"', "b"),
        ("Temperature IS NULL", ""),
    ],
)
async def test_queries_see_what_the_provider_says(cimv2: Namespace, weather: Weather, where: str, names: str) -> None:
    found = await run(cimv2, ExecQuery(f"SELECT * FROM Acme_House WHERE {where}"))
    assert "".join(house["Name"] for house in found) == names  # type: ignore[index]


@pytest.mark.parametrize("value", ["warm", 1 << 40, NotFound("no"), ValueError("no")])
async def test_a_value_that_cannot_be_had_fails_the_operation(cimv2: Namespace, weather: Weather, value: Any) -> None:
    if isinstance(value, Exception):

        def fails(call: ProviderCall, what: DynamicProperty) -> Any:
            raise value

        weather.get_property = fails  # type: ignore[method-assign]
    weather.temperature = value
    with pytest.raises(WbemError) as caught:
        await one(cimv2, HOUSE)
    assert caught.value.status == (value.status if isinstance(value, WbemError) else E.WBEM_E_PROVIDER_FAILURE)
    assert caught.value.extended is not None
    assert caught.value.extended["ProviderName"] == "Weather"


@pytest.mark.parametrize("weather", [Heating], indirect=True)
async def test_putting(manager: ObjectManager, cimv2: Namespace, weather: Heating) -> None:
    house = await one(cimv2, HOUSE)
    house["Temperature"], house["Street"] = 25, "Side"
    await run(cimv2, PutInstance(house))
    assert weather.put == [
        ('Acme_House.Name="a"', "Temperature", 25),
        ('Acme_House.Name="a"', "Mood", "calm inside"),
    ]
    after = await one(cimv2, HOUSE)
    assert (after["Temperature"], after["Street"]) == (21, "Side")
    kept = await manager.in_store(manager.store.get_instance, CIMV2, "Acme_House", house.identity or "")
    assert kept is not None
    assert kept["Temperature"] == 99, "the repository's own is nobody's business"


async def test_a_property_that_is_only_read_may_be_put_back(cimv2: Namespace, weather: Weather) -> None:
    house = await one(cimv2, HOUSE)
    house["Street"] = "Side"
    await run(cimv2, PutInstance(house))
    assert (await one(cimv2, HOUSE))["Street"] == "Side"
    house["Temperature"] = 25
    with pytest.raises(WbemError) as caught:
        await run(cimv2, PutInstance(house))
    assert caught.value.status == E.WBEM_E_PROVIDER_NOT_CAPABLE


@pytest.mark.parametrize("weather", [Heating], indirect=True)
async def test_putting_needs_the_right_to_write_to_providers(
    manager: ObjectManager, cimv2: Namespace, weather: Heating
) -> None:
    house = await one(cimv2, HOUSE)
    rights = AccessRight.ENABLE | AccessRight.PARTIAL_WRITE_REP
    for more, expected in ((AccessRight(0), E.WBEM_E_ACCESS_DENIED), (AccessRight.WRITE_PROVIDER, 0)):
        await grant(manager, rights | more)
        operation = await cimv2.start(PutInstance(house), context(USER, Flags.UPDATE_ONLY))
        assert (await operation.wait()).status == expected
