"""What comes back where: the tables of ppObject, ppCallResult and ppEnum of every method (MS-WMI 3.1.4.3.x).

Each row is a method with the ids of the sentences that say the same of all of them, by what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from openwmi.cim import CimType, TypedValue
from openwmi.cim.operations import CallingMode
from openwmi.dcom.importer import Response
from openwmi.errors import AccessDenied, NotFound
from openwmi.rpc.interface import Direction
from openwmi.rpc.ndr import Slot
from openwmi.status import WbemStatus
from openwmi.wmi.context import encode_context
from openwmi.wmi.interfaces import IEnumWbemClassObject, IWbemCallResult, IWbemServices

from .loopback import Held, Loopback, RecordingSink, Services, gives, thing, things

IMMEDIATELY = 0x10
REFUSED = WbemStatus.WBEM_E_ACCESS_DENIED
BROKEN = WbemStatus.WBEM_E_NOT_FOUND
PATH = 'Thing.Id="a"'


@dataclass(frozen=True)
class Row:
    """A method: its section, the values that are its own, and the numbers of sentences by what they say."""

    method: str
    section: int
    values: dict[str, Any]
    ids: dict[str, Sequence[int]] = field(default_factory=dict)

    def given(self, loop: Loopback, **more: Any) -> dict[str, Any]:
        stock = {"class": loop.objects.marshal(thing("a").cls), "instance": loop.objects.marshal(thing("a"))}
        return {name: stock.get(value, value) for name, value in self.values.items()} | more


def rows(table: Sequence[Row], *facts: str) -> pytest.MarkDecorator:
    """Runs a test for each method, and marks it with that method's sentences about these facts."""
    params = []
    for row in table:
        ids = [f"WMI-3.1.4.3.{row.section}-{n:02}" for fact in facts for n in row.ids.get(fact, ())]
        params.append(pytest.param(row, id=row.method, marks=pytest.mark.requirement(*ids) if ids else ()))
    return pytest.mark.parametrize("row", params)


# Methods that give nothing but a status, or a path.
PLAIN = [
    Row(
        "PutClass", 6, {"object": "class"},
        {"sync": (10, 26, 27, 44), "failed": (46,), "with": (20, 21, 22), "semi": (11, 25, 45), "null": (23, 24)},
    ),
    Row(
        "DeleteClass", 8, {"class_name": "Thing"},
        {"sync": (6, 15, 25, 29), "failed": (27,), "with": (10, 11, 28), "semi": (5, 14, 26), "null": (12, 13)},
    ),
    Row(
        "PutInstance", 12, {"object": "instance"},
        {"sync": (8, 29, 30, 42), "failed": (44,), "with": (23, 24, 25), "semi": (9, 28, 43), "null": (26, 27)},
    ),
    Row(
        "DeleteInstance", 14, {"path": "x"},
        {"sync": (5, 16, 17, 28), "failed": (30,), "with": (10, 11, 12), "semi": (6, 15, 29), "null": (13, 14)},
    ),
]  # fmt: skip
# Methods that give an object.
GET = Row(
    "GetObject", 4, {"path": "x"},
    {"sync": (9, 17, 24, 25, 37), "failed": (39,), "semi": (10, 18, 23, 40), "null": (21, 22), "with": (16, 19, 20)},
)  # fmt: skip
EXEC = Row(
    "ExecMethod", 22, {"path": "x", "method": "Do", "parameters": None},
    {
        "sync": (7, 14, 17, 24, 25, 26, 34), "failed": (36,), "semi": (8, 18, 23, 35), "null": (21, 22),
        "with": (19, 20),
    },
)  # fmt: skip
OBJECT = [GET, EXEC]
MANY = [
    Row("CreateClassEnum", 10, {"superclass": "Thing"}, {"semi": (13, 20, 22, 30)}),
    Row("CreateInstanceEnum", 16, {"class_name": "Thing"}, {"semi": (10, 19, 21, 22, 30)}),
    Row("ExecQuery", 18, {"language": "WQL", "query": "SELECT *"}, {"semi": (10, 19, 21, 47)}),
]
ASYNC = [
    Row("GetObjectAsync", 5, GET.values, {"null": (15, 16), "answer": (17,)}),
    Row("PutClassAsync", 7, PLAIN[0].values, {"null": (22,), "answer": (23,)}),
    Row("DeleteClassAsync", 9, PLAIN[1].values, {"null": (11,), "answer": (12,)}),
    Row("CreateClassEnumAsync", 11, MANY[0].values, {"null": (17,), "answer": (20, 21)}),
    Row("PutInstanceAsync", 13, PLAIN[2].values, {"null": (24,), "answer": (25,)}),
    Row("DeleteInstanceAsync", 15, PLAIN[3].values, {"null": (11,), "answer": (12,)}),
    Row("CreateInstanceEnumAsync", 17, MANY[1].values, {"null": (18,), "answer": (9, 17, 19, 20, 24)}),
    Row("ExecQueryAsync", 19, MANY[2].values, {"null": (18,), "answer": (9, 17, 19, 20, 24)}),
    Row("ExecMethodAsync", 23, EXEC.values, {"null": (15,), "answer": (7, 14, 16, 17, 19)}),
]


async def result(services: Services, response: Response, method: str, timeout: int = -1) -> Response:
    """A call on the IWbemCallResult that a method gave."""
    reference = services.unmarshal(response.values["call_result"].content)
    return await services.on(reference, IWbemCallResult, method, timeout=timeout)


# -- a status, or a path


@rows(PLAIN, "sync", "failed")
async def test_a_synchronous_call(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        given = row.given(loop, flags=0, context=None, call_result=None)
        for produced, status in ((gives(), 0), (gives(error=NotFound("it broke")), BROKEN)):
            loop.namespace.produce = produced
            response = await services.call(row.method, **given)
            assert (response.status, response.values) == (status, {"call_result": None})
            assert loop.namespace.last[1].mode is CallingMode.SYNCHRONOUS
            assert loop.namespace.operations[-1].outcome is not None


@rows(PLAIN, "with")
async def test_a_synchronous_call_with_a_place_for_a_call_result(row: Row) -> None:
    """It succeeds whatever becomes of the operation: the call result tells."""
    async with Loopback() as loop:
        services = await loop.services()
        given = row.given(loop, flags=0, context=None, call_result=Slot())
        for produced, status in ((gives(text=PATH), 0), (gives(error=NotFound("it broke")), BROKEN)):
            loop.namespace.produce = produced
            response = await services.call(row.method, **given)
            assert response.status == 0
            assert loop.namespace.operations[-1].outcome is not None
            told = await result(services, response, "GetCallStatus", 0)
            assert (told.status, told.values) == (0, {"status": status})
        loop.namespace.refuse = AccessDenied("no")
        response = await services.call(row.method, **given)
        assert (response.status, response.values) == (REFUSED, {"call_result": Slot()})


@pytest.mark.requirement("WMI-3.1.4.5.2-01", "WMI-3.1.4.5.2-05", "WMI-3.1.4.5.2-13")
@pytest.mark.parametrize("flags", [0, IMMEDIATELY])
async def test_the_path_of_a_put_in_either_mode(flags: int) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(text=PATH)
        given = PLAIN[2].given(loop, flags=flags, context=None, call_result=Slot())
        response = await services.call("PutInstance", **given)
        told = await result(services, response, "GetResultString")
        assert (told.status, told.values) == (0, {"text": PATH})


@rows(PLAIN, "semi", "failed")
async def test_a_semisynchronous_call(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        given = row.given(loop, flags=IMMEDIATELY, context=None, call_result=Slot())
        for error, status in ((None, 0), (NotFound("it broke"), BROKEN)):
            held = loop.namespace.produce = Held(error=error)
            response = await services.call(row.method, **given)
            assert response.status == 0
            assert loop.namespace.last[1].mode is CallingMode.SEMISYNCHRONOUS
            assert loop.namespace.operations[-1].outcome is None
            assert (await result(services, response, "GetCallStatus", 0)).status == WbemStatus.WBEM_S_TIMEDOUT
            held.go_on.set()
            told = await result(services, response, "GetCallStatus")
            assert (told.status, told.values) == (0, {"status": status})
        loop.namespace.refuse = AccessDenied("no")
        response = await services.call(row.method, **given)
        assert (response.status, response.values) == (REFUSED, {"call_result": Slot()})


# -- an object


@rows(OBJECT, "sync", "failed")
async def test_a_synchronous_call_for_an_object(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        given = row.given(loop, flags=0, context=None, object=Slot(), call_result=None)
        loop.namespace.produce = gives(thing("a"))
        response = await services.call(row.method, **given)
        assert (response.status, response.values["call_result"]) == (0, None)
        assert loop.objects.unmarshal(response.values["object"].content) == thing("a")
        for refused in (None, AccessDenied("no")):
            loop.namespace.produce, loop.namespace.refuse = gives(thing("a"), error=NotFound("it broke")), refused
            response = await services.call(row.method, **given)
            assert response.status == (REFUSED if refused else BROKEN)
            assert response.values == {"object": Slot(), "call_result": None}


@rows(OBJECT, "semi", "failed")
async def test_a_semisynchronous_call_for_an_object(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        given = row.given(loop, flags=IMMEDIATELY, context=None, object=Slot(), call_result=Slot())
        held = loop.namespace.produce = Held(thing("a"))
        response = await services.call(row.method, **given)
        assert (response.status, response.values["object"]) == (0, Slot())
        assert (await result(services, response, "GetResultObject", 0)).status == WbemStatus.WBEM_S_TIMEDOUT
        held.go_on.set()
        told = await result(services, response, "GetResultObject")
        assert (told.status, loop.objects.unmarshal(told.values["object"])) == (0, thing("a"))
        loop.namespace.refuse = AccessDenied("no")
        response = await services.call(row.method, **given)
        assert (response.status, response.values) == (REFUSED, {"object": Slot(), "call_result": Slot()})


@rows([GET], "with")
async def test_a_synchronous_get_with_a_place_for_a_call_result(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(thing("a"))
        for place in (Slot(), None):
            given = row.given(loop, flags=0, context=None, object=place, call_result=Slot())
            response = await services.call(row.method, **given)
            assert (response.status, response.values["call_result"]) == (0, Slot())
            assert (response.values["object"] is None) is (place is None)


@rows([EXEC], "with")
async def test_a_synchronous_method_with_a_place_for_a_call_result(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(thing("a"))
        given = row.given(loop, flags=0, context=None, object=Slot(), call_result=Slot())
        response = await services.call(row.method, **given)
        assert response.status == 0
        assert loop.objects.unmarshal(response.values["object"].content) == thing("a")
        told = await result(services, response, "GetResultObject", 0)
        assert loop.objects.unmarshal(told.values["object"]) == thing("a")
        loop.namespace.refuse = AccessDenied("no")
        response = await services.call(row.method, **given)
        assert (response.status, response.values) == (REFUSED, {"object": Slot(), "call_result": Slot()})


async def test_a_method_without_results_gives_none() -> None:
    async with Loopback() as loop:
        services = await loop.services()
        given = EXEC.given(loop, flags=IMMEDIATELY, context=None, object=None, call_result=Slot())
        response = await services.call("ExecMethod", **given)
        told = await result(services, response, "GetResultObject")
        assert (told.status, told.values) == (0, {"object": None})


@rows(PLAIN + OBJECT, "null")
async def test_a_semisynchronous_call_without_a_place_for_its_call_result(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        out = {"object": Slot()} if row in OBJECT else {}
        given = row.given(loop, flags=IMMEDIATELY, context=None, call_result=None, **out)
        response = await services.call(row.method, **given)
        assert response.status == WbemStatus.WBEM_E_INVALID_PARAMETER
        assert response.values == {"call_result": None, **out}
        assert loop.namespace.requests == []


# -- many objects


@pytest.mark.requirement(
    "WMI-3.1.1.1.2.1-01", "WMI-3.1.1.1.2.1-02", "WMI-3.1.1.1.2.1-03", "WMI-3.1.1.1.2.1-04", "WMI-3.1.1.1.2.1-06",
    "WMI-3.1.4.4-02",
)  # fmt: skip
@rows(MANY, "semi")
async def test_a_semisynchronous_enumeration(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        loop.namespace.produce = gives(*things(3))
        response = await services.call(row.method, **row.given(loop, flags=0, context=None))
        expected = await next_of(services, response)
        held = loop.namespace.produce = Held(*things(3))
        response = await services.call(row.method, **row.given(loop, flags=IMMEDIATELY, context=None))
        assert response.status == 0
        assert loop.namespace.last[1].mode is CallingMode.SEMISYNCHRONOUS
        assert loop.namespace.operations[-1].outcome is None
        held.go_on.set()
        assert await next_of(services, response) == expected == (WbemStatus.WBEM_S_FALSE, things(3))


async def next_of(services: Services, response: Response) -> tuple[int, list[Any]]:
    enumerator = services.unmarshal(response.values["enumerator"])
    found = await services.on(enumerator, IEnumWbemClassObject, "Next", timeout=-1, count=9)
    return found.status, [services.loop.objects.unmarshal(octets) for octets in found.values["objects"]]


# -- to a sink


@rows(ASYNC, "null")
async def test_an_asynchronous_call_without_a_sink(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        response = await services.call(row.method, **row.given(loop, flags=0, context=None, sink=None))
        assert response.status == WbemStatus.WBEM_E_INVALID_PARAMETER
        assert loop.namespace.requests == []


@rows(ASYNC, "answer")
async def test_an_asynchronous_calls_answer_says_whether_it_started(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        held = loop.namespace.produce = Held()
        sink = RecordingSink()
        given = row.given(loop, flags=0, context=None)
        response = await services.call(row.method, **given, sink=loop.sink(sink))
        assert (response.status, response.values) == (0, {})
        assert loop.namespace.last[1].mode is CallingMode.ASYNCHRONOUS
        assert [entry.operation for entry in loop.operations] == loop.namespace.operations
        held.go_on.set()
        await sink.ended.wait()
        await loop.quiet()
        assert sink.told == [("set_status", 0)]
        loop.namespace.refuse = AccessDenied("no")
        assert await services.refused(row.method, **given) == REFUSED


# -- every method


# Which sentence says of a method that pCtx is a context, and that NULL is none.
CONTEXTS = {
    "GetObject": (4, 13), "GetObjectAsync": (5, 12, 13), "PutClass": (6, 18, 19), "PutClassAsync": (7, 19, 20),
    "DeleteClass": (8, 8, 9), "DeleteClassAsync": (9, 8, 9), "CreateClassEnum": (10, 18, 19),
    "CreateClassEnumAsync": (11, 14, 15), "DeleteInstance": (14, 8, 9), "DeleteInstanceAsync": (15, 8, 9),
    "CreateInstanceEnum": (16, 17, 18), "CreateInstanceEnumAsync": (17, 15, 16), "ExecQuery": (18, 17, 18),
    "ExecQueryAsync": (19, 15, 16), "ExecMethod": (22, 10, 11), "ExecMethodAsync": (23, 10, 11),
    "PutInstance": (12, 13), "PutInstanceAsync": (13, 13),
}  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=row.method,
            marks=pytest.mark.requirement(
                *(f"WMI-3.1.4.3.{CONTEXTS[row.method][0]}-{n:02}" for n in CONTEXTS[row.method][1:])
            ),
        )
        for row in PLAIN + OBJECT + MANY + ASYNC
    ],
)
async def test_a_context_or_none(row: Row) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        values = {"A": TypedValue(CimType.UINT8, b"\1\2", True), "__correlationid": TypedValue(CimType.STRING, "id")}
        for expected in (values, {}):
            rest: dict[str, Any] = {}
            if row in ASYNC:
                rest["sink"] = loop.sink(RecordingSink())
            elif row not in MANY:
                rest["call_result"] = None
            if row in OBJECT:
                rest["object"] = Slot()
            context = encode_context(expected, loop.objects) if expected else None
            response = await services.call(row.method, **row.given(loop, flags=0, context=context, **rest))
            assert response.status == 0
            assert loop.namespace.last[1].values == expected
            assert loop.namespace.last[1].correlation_id == ("id" if expected else "")


@pytest.mark.requirement("WMI-3.1.4.3-01", "WMI-3.1.4.3-02")
async def test_every_method_answers() -> None:
    """With success or a code; a method that is not there would be answered with a fault."""
    async with Loopback() as loop:
        services = await loop.services()
        empty = {
            "path": None, "flags": 0, "context": None, "object": None, "call_result": None, "class_name": None,
            "superclass": None, "language": None, "query": None, "method": None, "parameters": None, "sink": None,
            "namespace": None, "working_namespace": None,
        }  # fmt: skip
        assert len(IWbemServices.methods) == 23
        for method in IWbemServices.methods:
            needed = {p.name for p in method.parameters if Direction.IN in p.direction} & set(empty)
            response = await services.call(method.name, **{name: empty[name] for name in needed})
            assert response.status in (0, *WbemStatus)
