"""The operation suite: what `openwmi.cim.operations` promises, of every implementation alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from openwmi.cim import (
    CimType,
    Class,
    Flavor,
    Instance,
    NameMap,
    ObjectPath,
    Property,
    Qualifier,
    TypedValue,
    return_value,
)
from openwmi.cim.operation import Progress
from openwmi.cim.operations import (
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.client.callbacks import Callbacks
from openwmi.client.options import OperationOptions
from openwmi.client.session import AsyncSession
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

MODES = list(CallingMode)
KEY = Qualifier("key", CimType.BOOLEAN, True, flavor=Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS | Flavor.NOT_OVERRIDABLE)


async def thing(session: AsyncSession, name: str, class_name: str = "Suite_Thing", **values: Any) -> ObjectPath:
    cls = await session.get_class(class_name)
    return await session.put_instance(cls.new(Name=name, **values))


async def failure(session: AsyncSession, request: Request, mode: CallingMode, flags: int = 0) -> WbemError:
    """The error that a request ends with, whether it is refused or fails."""
    with pytest.raises(WbemError) as caught:
        async with await session.start(request, mode=mode, flags=flags) as operation:
            await operation.results()
    return caught.value


# -- classes


async def test_a_class_comes_back_as_it_is(session: AsyncSession) -> None:
    cls = await session.get_class("suite_derived")
    assert (cls.name, cls.superclass, cls.derivation) == ("Suite_Derived", "Suite_Thing", ("Suite_Thing",))
    assert [(p.name, p.type, p.is_array, p.propagated, p.origin) for p in cls.properties.each()] == [
        ("Name", CimType.STRING, False, True, "Suite_Thing"),
        ("Size", CimType.UINT32, False, True, "Suite_Thing"),
        ("Note", CimType.STRING, False, True, "Suite_Thing"),
        ("Big", CimType.UINT64, False, True, "Suite_Thing"),
        ("When", CimType.DATETIME, False, True, "Suite_Thing"),
        ("Many", CimType.SINT16, True, True, "Suite_Thing"),
        ("Extra", CimType.BOOLEAN, False, False, "Suite_Derived"),
    ]
    assert [key.name for key in cls.keys] == ["Name"]
    assert cls.properties["Size"].default == 7


async def test_methods_come_back_with_their_signatures(session: AsyncSession) -> None:
    declared = (await session.get_class("Suite_Gauge")).methods["Add"]
    assert declared.returns == return_value(CimType.UINT32)
    assert [(p.name, p.type, p.id) for p in declared.parameters.each()] == [
        ("Amount", CimType.SINT32, 0),
        ("Total", CimType.SINT32, 1),
    ]


@pytest.mark.parametrize("mode", MODES)
async def test_a_class_is_created_found_and_deleted(session: AsyncSession, mode: CallingMode) -> None:
    made = Class(
        "Suite_New",
        properties=NameMap(
            [
                Property("Id", CimType.UINT32, qualifiers=NameMap([KEY]), origin="Suite_New"),
                Property("Text", CimType.STRING, default="x", origin="Suite_New"),
            ]
        ),
    )
    for request in (PutClass(made), None, DeleteClass("Suite_New")):
        if request is None:
            assert await session.get_class("Suite_New") == made
            continue
        async with await session.start(request, mode=mode) as operation:
            assert await operation.results() == []
    error = await failure(session, GetObject("Suite_New"), mode)
    assert error.status in (WbemStatus.WBEM_E_NOT_FOUND, WbemStatus.WBEM_E_INVALID_CLASS)


@pytest.mark.parametrize(("deep", "expected"), [(True, {"Suite_Derived"}), (False, {"Suite_Derived"})])
async def test_subclasses_are_enumerated(session: AsyncSession, deep: bool, expected: set[str]) -> None:
    async with await session.enumerate_classes("Suite_Thing", polymorphism="deep" if deep else "shallow") as operation:
        assert {c.name async for c in operation if isinstance(c, Class)} == expected


async def test_all_classes_are_enumerated(session: AsyncSession) -> None:
    async with await session.enumerate_classes() as operation:
        names = {c.name async for c in operation if isinstance(c, Class)}
    assert names >= {"Suite_Thing", "Suite_Derived", "Suite_Gauge", "__NAMESPACE"}


# -- instances


async def test_values_of_every_kind_survive(session: AsyncSession) -> None:
    when = datetime(2026, 1, 31, 12, 30, 15, 250, tzinfo=UTC)
    values: dict[str, Any] = {
        "Size": 4_294_967_295,
        "Note": "Zoë ☃ \\ \"'",
        "Big": 2**64 - 1,
        "When": when,
        "Many": (-5, 0, 32_767),
    }
    path = await thing(session, "all", **values)
    assert path is not None
    found = await session.get(path)
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Name": "all", **values}
    assert str(found.relative_path) == 'Suite_Thing.Name="all"'


async def test_null_and_default_are_not_the_same(session: AsyncSession) -> None:
    await thing(session, "default")
    await thing(session, "null", Size=None)
    assert (await session.get('Suite_Thing="default"'))["Size"] == 7  # type: ignore[index]
    assert (await session.get('Suite_Thing="null"'))["Size"] is None  # type: ignore[index]


@pytest.mark.parametrize("mode", MODES)
async def test_an_instance_is_put_and_its_path_told(session: AsyncSession, mode: CallingMode) -> None:
    cls = await session.get_class("Suite_Pair")
    operation = await session.start(PutInstance(cls.new(Left=5, Right="r")), mode=mode)
    async with operation:
        assert await operation.results() == []
        if mode is not CallingMode.SYNCHRONOUS:  # which has no place for it (3.1.4.3.12)
            assert (await operation.wait()).text is not None
    found = await session.get('suite_pair.right="R",LEFT=5')
    assert found.to_dict() == {"Left": 5, "Right": "r"}  # type: ignore[union-attr]


async def test_a_base_finds_the_derived_and_enumerates_it(session: AsyncSession) -> None:
    await thing(session, "base")
    await thing(session, "derived", "Suite_Derived", Extra=True)
    found = await session.get('Suite_Thing.Name="derived"')
    assert (found.class_name, found["Extra"]) == ("Suite_Derived", True)  # type: ignore[union-attr,index]
    async with await session.enumerate_instances("Suite_Thing") as operation:
        assert {i["Name"] async for i in operation} == {"base", "derived"}
    async with await session.enumerate_instances("Suite_Thing", polymorphism="shallow") as operation:
        assert {i["Name"] async for i in operation} == {"base"}


async def test_a_singleton(session: AsyncSession) -> None:
    cls = await session.get_class("Suite_Only")
    await session.put_instance(cls.new(Text="one"))
    await session.put_instance(cls.new(Text="two"))
    found = await session.get("Suite_Only=@")
    assert found["Text"] == "two"  # type: ignore[index]
    await session.delete_instance("Suite_Only=@")
    assert (await failure(session, GetObject("Suite_Only=@"), MODES[0])).status == WbemStatus.WBEM_E_NOT_FOUND


# -- deleting


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ['Suite_Thing.Name="x"', 'suite_thing="X"', 'Suite_Gauge.Name="a"'])
async def test_an_instance_is_deleted(session: AsyncSession, mode: CallingMode, path: str) -> None:
    await thing(session, "x")
    async with await session.start(DeleteInstance(path), mode=mode) as operation:
        assert await operation.results() == []
        assert (await operation.wait()).status == WbemStatus.WBEM_S_NO_ERROR
    assert (await failure(session, GetObject(path), mode)).status == WbemStatus.WBEM_E_NOT_FOUND


DELETE_FAILURES = [
    (None, WbemStatus.WBEM_E_INVALID_PARAMETER),
    ("", WbemStatus.WBEM_E_INVALID_OBJECT_PATH),
    ("Suite_Thing", WbemStatus.WBEM_E_INVALID_OBJECT_PATH),
    ('Suite_Thing.Nmae="x"', WbemStatus.WBEM_E_INVALID_OBJECT_PATH),
    ('Suite_Thing.Name="x', WbemStatus.WBEM_E_INVALID_OBJECT_PATH),
    ('No_Such_Class="x"', WbemStatus.WBEM_E_INVALID_CLASS),
    ('Suite_Thing="absent"', WbemStatus.WBEM_E_NOT_FOUND),
    ('Suite_Gauge="absent"', WbemStatus.WBEM_E_NOT_FOUND),
    (f'Suite_Thing="{"x" * 9000}"', WbemStatus.WBEM_E_QUOTA_VIOLATION),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("path", "status"), DELETE_FAILURES)
async def test_a_delete_fails(session: AsyncSession, mode: CallingMode, path: str | None, status: int) -> None:
    error = await failure(session, DeleteInstance(path), mode)
    assert error.status == status
    assert error.extended is not None
    assert error.extended["Operation"] == "DeleteInstance"
    assert error.extended["StatusCode"] == status


async def test_progress_is_told_to_who_asks_for_it(session: AsyncSession) -> None:
    told: list[Progress] = []
    options = OperationOptions(callbacks=Callbacks(progress=told.append))
    async with await session.start.delete_instance('Suite_Gauge.Name="b"', **options) as operation:
        assert (await operation.wait()).succeeded
        assert operation.progress == Progress(1, 2, "half way")
    assert told == [Progress(1, 2, "half way")]


@pytest.mark.parametrize(
    ("mode", "flag"),
    [
        (CallingMode.SYNCHRONOUS, Flags.USE_AMENDED_QUALIFIERS),
        (CallingMode.SEMISYNCHRONOUS, Flags.SEND_STATUS),
        (CallingMode.ASYNCHRONOUS, Flags.USE_AMENDED_QUALIFIERS),
        (CallingMode.ASYNCHRONOUS, Flags.RETURN_IMMEDIATELY),
    ],
)
async def test_flags_that_a_delete_has_not(session: AsyncSession, mode: CallingMode, flag: int) -> None:
    error = await failure(session, DeleteInstance('Suite_Gauge.Name="a"'), mode, flag)
    assert error.status == WbemStatus.WBEM_E_INVALID_PARAMETER


# -- queries and methods


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM Suite_Gauge", {"a", "b"}),
        ("SELECT Name FROM Suite_Gauge WHERE Value > 1", {"b"}),
        ("SELECT * FROM Suite_Thing WHERE Name LIKE 'q[0-1]%'", {"q0", "q1"}),
        ("SELECT * FROM Suite_Thing WHERE Size = 2 OR Name = 'Q0'", {"q0", "q2"}),
        ("SELECT * FROM Suite_Thing WHERE Note IS NULL AND NOT Size < 2", {"q2"}),
        ("SELECT * FROM Suite_Thing WHERE Name = 'none'", set()),
    ],
)
async def test_queries_select(session: AsyncSession, query: str, expected: set[str]) -> None:
    for number in range(3):
        await thing(session, f"q{number}", Size=number)
    async with await session.query(query) as operation:
        assert {i["Name"] async for i in operation} == expected


async def test_parameters_do_not_inject(session: AsyncSession) -> None:
    await thing(session, "o'neil \" OR 1=1")
    async with await session.query("SELECT * FROM Suite_Thing WHERE Name = ?", "o'neil \" OR 1=1") as operation:
        assert len(await operation.results()) == 1


async def test_a_projection_has_only_what_was_selected(session: AsyncSession) -> None:
    await thing(session, "p", Size=3)
    async with await session.query("SELECT Size FROM Suite_Thing") as operation:
        (found,) = await operation.results()
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Size": 3}
    assert found.path is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("SELECT * FROM No_Such_Class", WbemStatus.WBEM_E_INVALID_CLASS),
        ("SELECT Nmae FROM Suite_Thing", WbemStatus.WBEM_E_INVALID_QUERY),
        ("SELECT FROM WHERE", WbemStatus.WBEM_E_INVALID_QUERY),
        (None, WbemStatus.WBEM_E_INVALID_PARAMETER),
    ],
)
async def test_queries_that_fail(session: AsyncSession, query: str | None, status: int) -> None:
    assert (await failure(session, ExecQuery(query), CallingMode.SEMISYNCHRONOUS)).status == status


async def test_a_thousand_results_stream(session: AsyncSession) -> None:
    cls = await session.get_class("Suite_Thing")
    for number in range(1200):
        await session.put_instance(cls.new(Name=f"{number:04d}", Size=number))
    async with await session.start(EnumerateInstances("Suite_Thing")) as operation:
        sizes = [i["Size"] async for i in operation]  # type: ignore[index]
    assert sorted(sizes) == list(range(1200))


async def test_closing_in_the_middle_of_results(session: AsyncSession) -> None:
    for number in range(300):
        await thing(session, f"{number:04d}")
    async with await session.start(EnumerateInstances("Suite_Thing")) as operation:
        async for _ in operation:
            break
    assert await session.get_class("Suite_Thing")  # the session goes on


@pytest.mark.parametrize("mode", MODES)
async def test_a_method_of_an_instance(session: AsyncSession, mode: CallingMode) -> None:
    assert await session.invoke('Suite_Gauge.Name="b"', "add", Amount=40) == {"Total": 42, "ReturnValue": 0}
    assert await session.invoke("Suite_Gauge", "Count") == {"Number": 2, "ReturnValue": 0}
    error = await failure(session, ExecMethod('Suite_Gauge.Name="a"', "NoSuch", None), mode)
    assert error.status == WbemStatus.WBEM_E_INVALID_METHOD


async def test_the_context_reaches_the_provider(session: AsyncSession) -> None:
    values = {"Remark": TypedValue.of("from afar")}
    async with await session.start(GetObject('Suite_Gauge.Name="a"'), values=values) as operation:
        found = await operation.result()
    assert found["Context"] == "from afar"  # type: ignore[index]


async def test_an_abstract_class_has_no_instances(session: AsyncSession) -> None:
    cls = await session.get_class("Suite_Abstract")
    with pytest.raises(WbemError):
        await session.put_instance(cls.new(Name="x"))


@pytest.mark.parametrize(
    ("flags", "exists", "status"),
    [
        (Flags.CREATE_ONLY, True, WbemStatus.WBEM_E_ALREADY_EXISTS),
        (Flags.CREATE_ONLY, False, None),
        (Flags.UPDATE_ONLY, False, WbemStatus.WBEM_E_NOT_FOUND),
        (Flags.UPDATE_ONLY, True, None),
    ],
)
async def test_create_only_and_update_only(session: AsyncSession, flags: int, exists: bool, status: int | None) -> None:
    if exists:
        await thing(session, "f")
    made = (await session.get_class("Suite_Thing")).new(Name="f")
    if status is None:
        await session.put_instance(made, flags=flags)
    else:
        with pytest.raises(WbemError) as caught:
            await session.put_instance(made, flags=flags)
        assert caught.value.status == status
