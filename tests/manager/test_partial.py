"""Partial puts and gets through a call's context (MS-WMI 3.1.4.3.12, 3.1.4.3.13)."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import ABSENT, Class, Instance, TypedValue
from openwmi.cim.operations import Flags, GetObject, PutInstance
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, asynchronously, context, run

E = WbemStatus
MOF = """
class Thing { [key] string Name; uint32 Value = 3; string Note; string Text; };
class Special : Thing { string More; };
instance of Thing { Name = "x"; Value = 5; Note = "note"; Text = "text"; };
instance of Special { Name = "s"; Note = "special"; };
[dynamic, provider("Recorder")] class Recorded { [key] uint32 Id; uint32 A; string B; };
"""


class Recorder(Provider):
    """It writes down what it gets."""

    name = "Recorder"

    def __init__(self) -> None:
        self.put: list[tuple[dict[str, Any], set[str]]] = []
        self.wanted: list[dict[str, bool]] = []

    def put_instance(self, call: ProviderCall, instance: Instance) -> None:
        self.put.append((instance.to_dict(), set(call.values)))

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        self.wanted.append({name: call.wants(name) for name in ("Id", "A", "B")})
        return {"A": 1, "B": "b"}


@pytest.fixture(autouse=True)
async def recorder(manager: ObjectManager) -> Recorder:
    made = Recorder()
    await manager.compile_mof(MOF, CIMV2, context())
    await manager.register(lambda: made, "Recorder")
    return made


async def get(namespace: Namespace, path: str, **values: Any) -> Any:
    given = {name: TypedValue.of(value) for name, value in values.items()}
    [found] = await run(namespace, GetObject(path), context(values=given))
    return found


def contexts(mode: str, flags: int, values: dict[str, Any]) -> Any:
    given = {name: TypedValue.of(value) for name, value in values.items()}
    make = context if mode == "synchronous" else asynchronously
    return make(flags=flags, values=given)


PARTIAL = {"__PUT_EXTENSIONS": True, "__PUT_EXT_PROPERTIES": ["value", "NOTE"]}
BEFORE = {"Name": "x", "Value": 5, "Note": "note", "Text": "text"}

modes = pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])


@pytest.mark.requirement(
    "WMI-3.1.4.3.12-17", "WMI-3.1.4.3.12-18", "WMI-3.1.4.3.13-17", "WMI-3.1.4.3.13-18",
)  # fmt: skip
@modes
@pytest.mark.parametrize(
    ("more", "given", "after"),
    [
        ({}, {"Value": 7, "Note": "new", "Text": "ignored"}, {"Value": 7, "Note": "new"}),
        ({}, {"Value": 7, "Note": None, "Text": None}, {"Value": 7}),
        ({"__PUT_EXT_STRICT_NULLS": True}, {"Value": None, "Note": None, "Text": None}, {"Value": None, "Note": None}),
        ({"__PUT_EXT_STRICT_NULLS": False}, {"Value": 8, "Note": None}, {"Value": 8}),
        ({"__PUT_EXT_PROPERTIES": []}, {"Value": 7}, {}),
        ({"__PUT_EXT_PROPERTIES": ["Text", "__PATH"]}, {"Value": 7, "Text": "new"}, {"Text": "new"}),
        ({"__PUT_EXT_PROPERTIES": ["Value"]}, {"Value": ABSENT}, {}),
        ({"__PUT_EXT_PROPERTIES": ["Name"]}, {"Value": 9}, {}),
        ({"__put_ext_atomic": True, "__PUT_EXT_CLIENT_REQUEST": True}, {"Value": 7}, {"Value": 7}),
    ],
)
async def test_only_what_is_listed(
    cimv2: Namespace, mode: str, more: dict[str, Any], given: dict[str, Any], after: dict[str, Any]
) -> None:
    cls = await get(cimv2, "Thing")
    ctx = contexts(mode, Flags.UPDATE_ONLY, PARTIAL | more)
    operation = await cimv2.start(PutInstance(cls.new(Name="x", **given)), ctx)
    outcome = await operation.wait()
    assert (outcome.status, outcome.text) == (E.WBEM_S_NO_ERROR, 'Thing.Name="x"')
    assert (await get(cimv2, "Thing='x'")).to_dict() == BEFORE | after


@pytest.mark.requirement(
    "WMI-3.1.4.3.12-14", "WMI-3.1.4.3.12-15", "WMI-3.1.4.3.12-16", "WMI-3.1.4.3.12-19", "WMI-3.1.4.3.12-20",
    "WMI-3.1.4.3.12-21", "WMI-3.1.4.3.12-22", "WMI-3.1.4.3.13-14", "WMI-3.1.4.3.13-15", "WMI-3.1.4.3.13-16",
    "WMI-3.1.4.3.13-19", "WMI-3.1.4.3.13-20", "WMI-3.1.4.3.13-21", "WMI-3.1.4.3.13-22",
)  # fmt: skip
@modes
@pytest.mark.parametrize(
    ("values", "flags", "name", "status"),
    [
        ({"__PUT_EXTENSIONS": True}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        ({"__PUT_EXTENSIONS": True, "__PUT_EXT_STRICT_NULLS": True}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        ({"__PUT_EXT_PROPERTIES": ["Value"]}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL | {"__PUT_EXTENSIONS": False}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL | {"__PUT_EXTENSIONS": 1}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL | {"__PUT_EXT_PROPERTIES": "Value"}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL | {"__PUT_EXT_PROPERTIES": [1, 2]}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL | {"__PUT_EXT_STRICT_NULLS": "yes"}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL | {"__PUT_EXT_ATOMIC": "yes"}, Flags.UPDATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL, 0, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL, Flags.CREATE_ONLY, "x", E.WBEM_E_INVALID_CONTEXT),
        (PARTIAL, Flags.UPDATE_ONLY, "nobody", E.WBEM_E_NOT_FOUND),
        (
            PARTIAL | {"__PUT_EXT_PROPERTIES": ["Value", "Unknown"], "__PUT_EXT_ATOMIC": True},
            Flags.UPDATE_ONLY,
            "x",
            E.WBEM_E_INVALID_PROPERTY,
        ),
    ],
)
async def test_a_context_that_is_not_complete(
    cimv2: Namespace, mode: str, values: dict[str, Any], flags: int, name: str, status: int
) -> None:
    """Whatever is wrong, nothing has changed."""
    cls = await get(cimv2, "Thing")
    request = PutInstance(cls.new(Name=name, Value=7, Note="new"))
    with pytest.raises(WbemError) as caught:
        await run(cimv2, request, contexts(mode, flags, values))
    assert caught.value.status == status
    assert (await get(cimv2, "Thing='x'")).to_dict() == BEFORE


@modes
async def test_a_context_with_other_values_is_no_partial_put(cimv2: Namespace, mode: str) -> None:
    cls = await get(cimv2, "Thing")
    ctx = contexts(mode, 0, {"__CorrelationId": "{0}", "__PUT_EXTENSIONS": False})
    await run(cimv2, PutInstance(cls.new(Name="x", Value=7)), ctx)
    assert (await get(cimv2, "Thing='x'")).to_dict() == {"Name": "x", "Value": 7, "Note": None, "Text": None}


async def test_a_provider_gets_what_is_listed(cimv2: Namespace, recorder: Recorder) -> None:
    cls = await get(cimv2, "Recorded")
    values = PARTIAL | {"__PUT_EXT_PROPERTIES": ["A"], "__PUT_EXT_CLIENT_REQUEST": True, "Mine": "x"}
    await run(cimv2, PutInstance(cls.new(Id=1, A=2, B="b")), contexts("synchronous", Flags.UPDATE_ONLY, values))
    assert recorder.put == [({"Id": 1, "A": 2}, {"__PUT_EXTENSIONS", "__PUT_EXT_PROPERTIES", "Mine"})]


# -- gets


@pytest.mark.parametrize(
    ("path", "values", "found"),
    [
        ("Thing='x'", {"__GET_EXT_PROPERTIES": ["note", "Unknown", "__PATH"]}, {"Name": "x", "Note": "note"}),
        ("Thing='x'", {"__GET_EXT_KEYS_ONLY": True}, {"Name": "x"}),
        ("Thing='x'", {"__GET_EXT_PROPERTIES": []}, {"Name": "x"}),
        ("Thing='x'", {}, BEFORE),
        ("Thing='x'", {"__GET_EXT_KEYS_ONLY": False}, BEFORE),
        ("Thing='x'", {"__GET_EXTENSIONS": False, "__GET_EXT_KEYS_ONLY": True}, BEFORE),
        ("Thing='s'", {"__GET_EXT_PROPERTIES": ["More"]}, {"Name": "s", "More": None}),
        ("Recorded=1", {"__GET_EXT_PROPERTIES": ["B"]}, {"Id": 1, "B": "b"}),
    ],
)
async def test_part_of_an_object(cimv2: Namespace, path: str, values: dict[str, Any], found: dict[str, Any]) -> None:
    part = await get(cimv2, path, **({"__GET_EXTENSIONS": True} | values))
    assert part.to_dict() == found
    assert part.relative_path == (await get(cimv2, path)).relative_path


async def test_a_provider_hears_what_is_wanted(cimv2: Namespace, recorder: Recorder) -> None:
    await get(cimv2, "Recorded=1", __GET_EXTENSIONS=True, __GET_EXT_PROPERTIES=["B"])
    await get(cimv2, "Recorded=1")
    assert recorder.wanted == [{"Id": True, "A": False, "B": True}, {"Id": True, "A": True, "B": True}]


@pytest.mark.parametrize(
    "values",
    [
        {"__GET_EXT_KEYS_ONLY": True, "__GET_EXT_PROPERTIES": ["Note"]},
        {"__GET_EXT_PROPERTIES": "Note"},
        {"__GET_EXT_KEYS_ONLY": 1},
    ],
)
async def test_a_get_that_contradicts_itself(cimv2: Namespace, values: dict[str, Any]) -> None:
    with pytest.raises(WbemError) as caught:
        await get(cimv2, "Thing='x'", __GET_EXTENSIONS=True, **values)
    assert caught.value.status == E.WBEM_E_INVALID_CONTEXT


async def test_a_class_is_never_partial(cimv2: Namespace) -> None:
    cls = await get(cimv2, "Thing", __GET_EXTENSIONS=True, __GET_EXT_KEYS_ONLY=True)
    assert isinstance(cls, Class)
    assert list(cls.properties) == ["Name", "Value", "Note", "Text"]
