"""ExecQuery (MS-WMI 3.1.4.3.18)."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import CimType, Class, Instance, is_system_name
from openwmi.cim.operations import ExecQuery, Flags
from openwmi.errors import WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, context, run

E = WbemStatus
MOF = """
class Thing { [key] string Name; uint32 Value; string Note; };
class Special : Thing { string More; };
instance of Thing { Name = "a"; Value = 1; };
instance of Thing { Name = "b"; Value = 2; Note = "n"; };
instance of Special { Name = "s"; Value = 3; More = "m"; };
[dynamic, provider("Numbers")] class Number { [key] uint32 N; string Text; };
[dynamic, provider("Filters")] class Filtered { [key] uint32 N; };
[dynamic, provider("Lister")] class Listed { [key] uint32 N; };
"""


class Numbers(Provider):
    name = "Numbers"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        self.asked.append(("get", keys["N"]))
        return {"Text": "t"} if keys["N"] < 10 else None

    def enumerate_instances(self, call: ProviderCall) -> Any:
        self.asked.append(("enumerate", call.properties))
        for n in range(10):
            yield {"N": n, "Text": f"t{n}"}


class Filters(Provider):
    """Answers queries itself, unless they are about 5."""

    name = "Filters"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query_instances(self, call: ProviderCall, query: str) -> Any:
        self.asked.append(query)
        if "5" in query:
            raise WbemError.of(WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE)
        return [{"N": 1}, {"N": 2}]

    def enumerate_instances(self, call: ProviderCall) -> Any:
        self.asked.append("enumerate")
        return [{"N": n} for n in range(10)]


class Lister(Provider):
    """Enumerates, but cannot get."""

    name = "Lister"

    def enumerate_instances(self, call: ProviderCall) -> Any:
        return [{"N": n} for n in range(10)]


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def filters() -> Filters:
    return Filters()


@pytest.fixture(autouse=True)
async def schema(manager: ObjectManager, numbers: Numbers, filters: Filters) -> None:
    await manager.compile_mof(MOF, CIMV2, context())
    await manager.register(lambda: numbers, "Numbers")
    await manager.register(lambda: filters, "Filters")
    await manager.register(Lister)


async def ask(namespace: Namespace, query: str, flags: int = 0) -> list[dict[str, Any]]:
    found = await run(namespace, ExecQuery(query), context(flags=flags))
    return [i.to_dict() for i in found if isinstance(i, Instance)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT Name FROM Thing", [{"Name": "a"}, {"Name": "b"}, {"Name": "s"}]),
        ("SELECT Value FROM Thing WHERE Name = 'B'", [{"Value": 2}]),
        ("SELECT * FROM Thing WHERE Name = 'b'", [{"Name": "b", "Value": 2, "Note": "n"}]),
        ("SELECT Name FROM Thing WHERE Name = 's'", [{"Name": "s"}]),
        ("SELECT Name FROM Thing WHERE Name = 's' AND Value = 4", []),
        ("SELECT Name FROM Thing WHERE Value > 1 AND Note IS NULL", [{"Name": "s"}]),
        ("SELECT Name FROM Thing WHERE __CLASS = 'Special'", [{"Name": "s"}]),
        ("SELECT More FROM Special", [{"More": "m"}]),
        ("SELECT N FROM Number WHERE N >= 8", [{"N": 8}, {"N": 9}]),
        ("SELECT Text FROM Number WHERE N = 3", [{"Text": "t"}]),
        ("SELECT Text FROM Number WHERE N = 30", []),
        ("SELECT N FROM Number WHERE N = -1", []),
        ("SELECT N FROM Listed WHERE N = 3", [{"N": 3}]),
    ],
)
async def test_answers(cimv2: Namespace, query: str, found: list[dict[str, Any]]) -> None:
    assert await ask(cimv2, query) == found


async def test_keys_that_are_left_out_leave_no_path(cimv2: Namespace) -> None:
    [bare] = await run(cimv2, ExecQuery("SELECT Value FROM Thing WHERE Name = 'a'"))
    assert isinstance(bare, Instance)
    assert (bare["__PATH"], bare["__RELPATH"], bare["__CLASS"]) == (None, None, "Thing")
    flags = context(flags=Flags.ENSURE_LOCATABLE)
    [whole] = await run(cimv2, ExecQuery("SELECT Value FROM Thing WHERE Name = 'a'"), flags)
    assert isinstance(whole, Instance)
    assert whole["__PATH"] == r'\\HOST\root\cimv2:Thing.Name="a"'


async def test_direct_read_leaves_subclasses_out(cimv2: Namespace) -> None:
    assert await ask(cimv2, "SELECT Name FROM Thing", Flags.DIRECT_READ) == [{"Name": "a"}, {"Name": "b"}]


async def test_a_key_is_a_get(cimv2: Namespace, numbers: Numbers) -> None:
    await ask(cimv2, "SELECT * FROM Number WHERE N = 3")
    await ask(cimv2, "SELECT Text FROM Number WHERE N > 3")
    assert numbers.asked == [("get", 3), ("enumerate", frozenset({"n", "text"}))]
    await ask(cimv2, "SELECT * FROM Number WHERE N = '0x4' AND Text = 't'")
    assert numbers.asked[2:] == [("get", 4)]


@pytest.mark.requirement("WMI-3.1.4.17.15-01")
async def test_a_provider_that_filters(cimv2: Namespace, filters: Filters) -> None:
    """What it gives is filtered again; a query that it cannot answer becomes an enumeration."""
    assert await ask(cimv2, "SELECT * FROM Filtered WHERE N < 2") == [{"N": 1}]
    assert filters.asked == ["SELECT * FROM Filtered WHERE N < 2"]
    assert await ask(cimv2, "SELECT * FROM Filtered WHERE N = 5") == [{"N": 5}]
    assert filters.asked[1:] == ["SELECT * FROM Filtered WHERE N = 5", "enumerate"]


@pytest.mark.requirement(
    "WMI-3.1.4.3.18-30", "WMI-3.1.4.3.18-31", "WMI-3.1.4.3.18-32", "WMI-3.1.4.3.18-33", "WMI-3.1.4.3.18-29"
)
async def test_query_support_levels(
    cimv2: Namespace, filters: Filters, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that takes queries gets those on its keys, too; one whose levels name none gets none."""
    query = "SELECT * FROM Filtered WHERE N = 2"
    assert await ask(cimv2, query) == [{"N": 2}]
    assert filters.asked == [query]
    monkeypatch.setattr(Filters, "query_support_levels", property(lambda self: ("WQL:V1ProviderDefined",)))
    assert await ask(cimv2, query) == [{"N": 2}]
    assert filters.asked == [query, query]
    monkeypatch.setattr(Filters, "query_support_levels", property(lambda self: ()))
    assert await ask(cimv2, query) == [{"N": 2}]
    assert filters.asked == [query, query, "enumerate"]
    assert await ask(cimv2, "SELECT Name FROM Thing WHERE Name = 'a'") == [{"Name": "a"}]
    assert numbers.asked == []


async def test_the_repository_is_asked_for_what_may_match(
    cimv2: Namespace, manager: ObjectManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are a look-up, conditions are tested there, and classes that cannot match are not asked at all."""
    asked: list[tuple[str, Any]] = []
    original = manager.store.instances

    def instances(namespace: str, class_name: str, *, deep: bool = False, conditions: Any = ()) -> Any:
        found = list(original(namespace, class_name, deep=deep, conditions=conditions))
        if not is_system_name(class_name):  # the registrations of providers are looked up, too
            asked.append((class_name, [i["Name"] for i in found]))
        return iter(found)

    monkeypatch.setattr(manager.store, "instances", instances)
    assert await ask(cimv2, "SELECT Name FROM Thing WHERE Value > 1 AND Note = 'N' AND NOT Name = 'x'") == [
        {"Name": "b"}
    ]
    assert asked == [("Thing", ["b"]), ("Special", [])]
    asked.clear()
    assert await ask(cimv2, "SELECT Name FROM Thing WHERE __CLASS = 'special' AND Name LIKE '%S'") == [{"Name": "s"}]
    assert asked == [("Special", ["s"])]
    asked.clear()
    assert await ask(cimv2, "SELECT Name FROM Thing WHERE Name = 'A' AND Value = 2") == []
    assert asked == [("Thing", ["a"]), ("Special", [])]  # the one name, whatever else is asked of it


@pytest.mark.requirement("WMI-3.1.4.3.18-14")
async def test_a_prototype(cimv2: Namespace) -> None:
    [cls] = await run(cimv2, ExecQuery("SELECT Value FROM Thing"), context(flags=Flags.PROTOTYPE))
    assert isinstance(cls, Class)
    assert (cls.name, list(cls.properties)) == ("Thing", ["Value"])
    [cls] = await run(cimv2, ExecQuery("SELECT * FROM Thing"), context(flags=Flags.PROTOTYPE))
    assert isinstance(cls, Class)
    assert [(p.name, p.qualifiers["Order"].value) for p in cls.properties.each()] == [
        ("Name", (0,)), ("Value", (1,)), ("Note", (2,))
    ]  # fmt: skip


@pytest.mark.requirement("WMI-3.1.4.3.18-13", "WMI-3.1.4.3.18-14")
async def test_a_prototype_says_where_in_the_list_its_properties_stand(cimv2: Namespace, numbers: Numbers) -> None:
    """2.2.4.1: the place in the list, each if there are several; no derivation unless it is asked for."""
    flags = context(flags=Flags.PROTOTYPE)
    [cls] = await run(cimv2, ExecQuery("SELECT more, NAME, More, __PATH FROM Special WHERE Value = 1"), flags)
    assert isinstance(cls, Class)
    orders = {p.name: p.qualifiers["Order"] for p in cls.properties.each()}
    assert {name: (q.type, q.is_array, q.value) for name, q in orders.items()} == {
        "More": (CimType.SINT32, True, (0, 2)), "Name": (CimType.SINT32, True, (1,))
    }  # fmt: skip
    assert (cls.superclass, cls.derivation) == (None, ())
    [cls] = await run(cimv2, ExecQuery("SELECT Name, __Dynasty FROM Special"), flags)
    assert isinstance(cls, Class)
    assert cls.derivation == ("Thing",)
    await run(cimv2, ExecQuery("SELECT N FROM Number"), flags)
    assert numbers.asked == []  # it is not run


@pytest.mark.parametrize(
    ("query", "language", "status"),
    [
        (None, "WQL", E.WBEM_E_INVALID_PARAMETER),
        ("SELECT * FROM Thing", None, E.WBEM_E_INVALID_PARAMETER),
        ("SELECT * FROM Thing", "SQL", E.WBEM_E_INVALID_QUERY_TYPE),
        ("", "WQL", E.WBEM_E_INVALID_QUERY),
        ("SELECT * FROM", "wql", E.WBEM_E_INVALID_QUERY),
        ("SELECT * FROM Thing WHERE Name = '" + "x" * 20_000 + "'", "WQL", E.WBEM_E_QUOTA_VIOLATION),
        ("SELECT * FROM __InstanceCreationEvent WITHIN 5", "WQL", E.WBEM_E_NOT_SUPPORTED),
        ("SELECT * FROM Thing GROUP WITHIN 5", "WQL", E.WBEM_E_NOT_SUPPORTED),
        ("ASSOCIATORS OF {root\\default:Thing='a'}", "WQL", E.WBEM_E_NOT_SUPPORTED),
        ("ASSOCIATORS OF {Thing='a'} WHERE ClassDefsOnly ResultClass = Thing", "WQL", E.WBEM_E_INVALID_QUERY),
        ("REFERENCES OF {Thing='a'} WHERE ResultClass <> Thing", "WQL", E.WBEM_E_INVALID_QUERY),
    ],
)
async def test_a_query_that_is_refused(cimv2: Namespace, query: str | None, language: str | None, status: int) -> None:
    with pytest.raises(WbemError) as caught:
        await cimv2.start(ExecQuery(query, language), context())
    assert caught.value.status == status
    assert caught.value.extended is not None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("SELECT * FROM Nothing", E.WBEM_E_INVALID_CLASS),
        ("SELECT Nothing FROM Thing", E.WBEM_E_INVALID_QUERY),
        ("SELECT * FROM Thing WHERE Nothing = 1", E.WBEM_E_INVALID_QUERY),
        ("SELECT * FROM Thing WHERE Value = 'x'", E.WBEM_E_INVALID_QUERY),
    ],
)
async def test_a_query_that_fails_once_it_runs(cimv2: Namespace, query: str, status: int) -> None:
    operation = await cimv2.start(ExecQuery(query), context())
    ended = await operation.wait()
    assert ended.status == status
    assert ended.extended is not None
    assert ended.extended["ParameterInfo"] == query


async def test_classes(cimv2: Namespace) -> None:
    found = await run(cimv2, ExecQuery("SELECT * FROM meta_class WHERE __THIS ISA 'Thing'"))
    assert [cls.name for cls in found if isinstance(cls, Class)] == ["Thing", "Special"]
    found = await run(cimv2, ExecQuery("SELECT * FROM meta_class WHERE __CLASS = 'special'"))
    assert [str(cls.path) for cls in found] == [r"\\HOST\root\cimv2:Special"]
    assert await run(cimv2, ExecQuery("SELECT * FROM meta_class WHERE __THIS ISA 'Nothing'")) == []
