from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import pytest

from openwmi.cim import CimType, Class, Direction, NameMap, ObjectPath, Qualifier, return_value
from openwmi.errors import ConfigurationError
from openwmi.mof import compile_mof
from openwmi.providers import (
    Char16,
    Key,
    Provider,
    ProviderCall,
    Real32,
    Ref,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    cim_class,
    method,
)
from openwmi.providers.declared import class_of
from openwmi.status import WbemStatus
from tests.providers.support import nobody, runner


@cim_class
class Acme_Point:
    X: float
    Y: float = 0.5


@cim_class(abstract=True, superclass="CIM_ManagedElement")
class Acme_Thing:
    """A thing.

    Of any kind.
    """

    Name: Key[str]


@cim_class(name="Acme_Gadget")
class Gadget(Acme_Thing):
    Count: Uint64 | None = 7
    Small: Uint8 = 1
    Letter: Char16 | None = None
    Weight: Real32 = 1.5
    Made: datetime | None = None
    Runs: timedelta | None = None
    Raw: bytes | None = None
    Labels: list[str] | None = None
    Sizes: tuple[Uint16, ...] = (1, 2)
    Place: Acme_Point | None = None
    Corners: list[Acme_Point] | None = None
    Owner: Annotated[str | None, Ref("Acme_Person")] = None
    Anything: ObjectPath | None = None
    Wide: int = 0
    Odd: Annotated[Any, CimType.SINT16, "of an odd type"] = -1
    Told: Annotated[bool, "whether it was told"] = False


@cim_class
class Acme_Result:
    ReturnValue: Uint16
    Total: Uint32


class Gadgets(Provider):
    name = "Gadgets"
    classes = (Acme_Thing, Gadget, Acme_Point)
    mof = "class Acme_Other { [key] string Name; };"

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        if keys["Name"] == "wrong":
            return Acme_Point(1.0)
        return Gadget(keys["Name"], Place=Acme_Point(1.0), Corners=[Acme_Point(2.0), Acme_Point(3.0)])

    @method(of="Acme_Gadget")
    def Grow(self, call: ProviderCall, keys: Any, by_how_much: Uint32 = 1, fast: bool = False) -> Acme_Result:
        """Makes it grow."""
        return Acme_Result(5, by_how_much)

    @method("Reset", static=True, of="Acme_Gadget")
    async def reset(self, call: ProviderCall, keys: Any) -> None: ...


class _Source:
    def get_class(self, namespace: str, name: str) -> Class | None:
        return Class(name, qualifiers=NameMap((Qualifier.of("abstract"),))) if name == "CIM_ManagedElement" else None


def compiled(provider: type[Provider]) -> NameMap[Class]:
    items = compile_mof(provider.schema(), _Source(), namespace="root\\cimv2")
    return NameMap(item.object for item in items if isinstance(item.object, Class))


def test_what_the_annotations_say() -> None:
    gadget = compiled(Gadgets)["Acme_Gadget"]
    assert [(p.name, p.type_text + ("[]" if p.is_array else ""), p.default) for p in gadget.properties.each()] == [
        ("Name", "string", None),
        ("Count", "uint64", 7),
        ("Small", "uint8", 1),
        ("Letter", "char16", None),
        ("Weight", "real32", 1.5),
        ("Made", "datetime", None),
        ("Runs", "datetime", None),
        ("Raw", "uint8[]", None),
        ("Labels", "string[]", None),
        ("Sizes", "uint16[]", (1, 2)),
        ("Place", "object:Acme_Point", None),
        ("Corners", "object:Acme_Point[]", None),
        ("Owner", "ref:Acme_Person", None),
        ("Anything", "ref:object", None),
        ("Wide", "sint64", 0),
        ("Odd", "sint16", -1),
        ("Told", "boolean", False),
    ]
    assert gadget.derivation == ("Acme_Thing", "CIM_ManagedElement")
    assert [key.name for key in gadget.keys] == ["Name"]
    assert gadget.provider == "Gadgets"
    assert gadget.properties["Told"].qualifiers["Description"].value == "whether it was told"


def test_the_classes_themselves() -> None:
    classes = compiled(Gadgets)
    assert classes["Acme_Thing"].is_abstract
    assert classes["Acme_Thing"].provider is None
    assert classes["Acme_Thing"].qualifiers["Description"].value == "A thing.\n\nOf any kind."
    assert "Description" not in classes["Acme_Point"].qualifiers
    assert "Acme_Other" in classes
    assert Provider.schema() == ""


def test_methods() -> None:
    methods = compiled(Gadgets)["Acme_Gadget"].methods
    grow = methods["Grow"]
    assert [(p.name, p.type, p.direction, p.id) for p in grow.parameters.each()] == [
        ("ByHowMuch", CimType.UINT32, Direction.IN, 0),
        ("Fast", CimType.BOOLEAN, Direction.IN, 1),
        ("Total", CimType.UINT32, Direction.OUT, 2),
    ]
    assert grow.returns == return_value(CimType.UINT16)
    assert grow.qualifiers["Description"].value == "Makes it grow."
    assert methods["Reset"].is_static
    assert methods["Reset"].returns is None


async def test_objects_as_instances() -> None:
    cls = compiled(Gadgets)["Acme_Gadget"]
    call = ProviderCall(cls, nobody_calls())
    made = runner(Gadgets())
    found = await made.get(call, {"Name": "x"}, nobody)
    assert (found["Name"], found["Count"], found["Sizes"]) == ("x", 7, (1, 2))
    assert found["Place"]["X"] == 1.0
    assert [corner["X"] for corner in found["Corners"]] == [2.0, 3.0]
    with pytest.raises(Exception, match="Acme_Point") as caught:
        await made.get(call, {"Name": "wrong"}, nobody)
    assert caught.value.status == WbemStatus.WBEM_E_PROVIDER_FAILURE  # type: ignore[attr-defined]
    result = await made.invoke(call, cls.methods["Grow"], {"Name": "x"}, {"ByHowMuch": 9, "Fast": None}, nobody)
    assert result is not None
    assert result.to_dict() == {"Total": 9, "ReturnValue": 5}


def nobody_calls() -> Any:
    from openwmi.cim.operations import CallContext
    from openwmi.security.principals import Principal

    return CallContext(principal=Principal.local_system())


@cim_class
class Untyped:
    Value: object


@cim_class
class Nested:
    Value: list[list[int]]


@cim_class
class Unknown:
    Value: "NoSuchThing"  # type: ignore[name-defined]  # noqa: F821, UP037


@cim_class
class BadDefault:
    Value: Uint8 = 256


@cim_class(superclass="Other")
class TwoParents(Acme_Thing):
    pass


@cim_class
class Again(Gadget):
    Count: Annotated[Uint64 | None, "described anew"]
    Small: Annotated[Uint8, "and with another default"] = 2


def test_an_attribute_declared_again_keeps_its_default() -> None:
    again = class_of(Again)
    found = [(p.name, p.default, p.inherits_default) for p in again.properties.each() if not p.propagated]
    assert found == [("Count", 7, True), ("Small", 2, False)]
    assert again.new()["Count"] == 7


@pytest.mark.parametrize("cls", [Untyped, Nested, Unknown, BadDefault, TwoParents])
def test_what_cannot_be_declared(cls: type) -> None:
    with pytest.raises(ConfigurationError, match=cls.__name__ if cls is not BadDefault else "Value"):
        class_of(cls)


def untold(self: Any, call: Any, keys: Any, times) -> Uint32: ...  # type: ignore[empty-body]


def returning_something(self: Any, call: Any, keys: Any): ...


@pytest.mark.parametrize(
    "functions",
    [
        {"classes": (Acme_Point,), "f": method("F")(untold)},
        {"classes": (Acme_Point,), "f": method("F")(returning_something)},
        {"classes": (Acme_Point,), "f": method("F", of="Acme_Gadget")(lambda self, call, keys: None)},
        {"classes": (Acme_Thing,), "f": method("F")(returning_something)},
        {"classes": (Provider,)},
    ],
)
def test_a_provider_that_cannot_be_declared(functions: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        type("Made", (Provider,), {"name": "Made", **functions}).schema()  # type: ignore[attr-defined]
