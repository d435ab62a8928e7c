"""The operation suite: queries, enumerations and associations, of every implementation alike."""

from __future__ import annotations

import random
from typing import Any

import pytest

from openwmi.cim import Class, Instance, ObjectPath
from openwmi.cim.operations import CallingMode, EnumerateClasses, EnumerateInstances, ExecQuery, Flags, Request
from openwmi.client.session import AsyncSession
from openwmi.errors import WbemError
from openwmi.status import WbemStatus
from openwmi.wql import WqlError
from tests.conformance.test_operations import MODES, failure, thing

E = WbemStatus


async def linked(session: AsyncSession) -> None:
    """One thing that is linked with a derived one, a gauge, and what is not there."""
    await thing(session, "one", Size=1, Note='it\'s "1"')
    await thing(session, "two", "Suite_Derived", Size=2, Extra=True)
    link, strong = await session.get_class("Suite_Link"), await session.get_class("Suite_StrongLink")
    await session.put_instance(link.new(Upper='Suite_Thing="one"', Lower='Suite_Derived.Name="two"', Weight=5))
    await session.put_instance(strong.new(Upper='suite_thing.name="ONE"', Lower='Suite_Gauge.Name="a"'))
    await session.put_instance(link.new(Upper='Suite_Thing.Name="one"', Lower='Suite_Gauge.Name="none"'))


def shown(obj: Any) -> str:
    return obj.name if isinstance(obj, Class) else str(obj.relative_path)


async def answers(session: AsyncSession, request: Request, mode: CallingMode, flags: int = 0) -> list[str]:
    async with await session.start(request, mode=mode, flags=flags) as operation:
        return sorted(map(shown, await operation.results()))


ONE, TWO, A, B = (f'Suite_{c}.Name="{n}"' for c, n in
                  (("Thing", "one"), ("Derived", "two"), ("Gauge", "a"), ("Gauge", "b")))  # fmt: skip
STATEMENTS: list[tuple[str, list[str]]] = [
    (f"ASSOCIATORS OF {{{ONE}}}", [TWO, A]),
    (f"ASSOCIATORS OF {{{ONE}}} WHERE ResultClass = Suite_Thing", [TWO]),
    (f"ASSOCIATORS OF {{{ONE}}} WHERE AssocClass = Suite_StrongLink", [A]),
    (f"ASSOCIATORS OF {{{ONE}}} WHERE Role = Lower", []),
    (f"ASSOCIATORS OF {{{TWO}}} WHERE ResultRole = Upper KeysOnly", [ONE]),
    (f"ASSOCIATORS OF {{{A}}} WHERE AssocClass = Suite_GaugePair", [B]),
    (f"ASSOCIATORS OF {{{ONE}}} WHERE ClassDefsOnly", ["Suite_Derived", "Suite_Gauge"]),
    ("ASSOCIATORS OF {Suite_Gauge} WHERE SchemaOnly AssocClass = Suite_GaugePair", ["Suite_Gauge"]),
    ("REFERENCES OF {Suite_Thing} WHERE SchemaOnly ResultClass = Suite_Link", ["Suite_Link", "Suite_StrongLink"]),
    (f"REFERENCES OF {{{B}}}", ['Suite_GaugePair.One="Suite_Gauge.Name=\\"a\\"",Other="Suite_Gauge.Name=\\"b\\""']),
    ("SELECT * FROM Suite_Thing WHERE __CLASS = 'suite_derived'", [TWO]),
    ("SELECT * FROM Suite_Thing WHERE Name = 'ONE' AND Size = 1", [ONE]),
    ("SELECT * FROM Suite_Thing WHERE Note LIKE 'it\\'s%' AND NOT Size > 1", [ONE]),
    ("SELECT * FROM Suite_Thing WHERE Size >= 0x1 AND Size < '2'", [ONE]),
    ("SELECT * FROM Suite_Link WHERE Upper = 'Suite_Thing=\"one\"' AND Weight = 5",
     ['Suite_Link.Lower="Suite_Derived.Name=\\"two\\"",Upper="Suite_Thing=\\"one\\""']),
    ("SELECT * FROM meta_class WHERE __THIS ISA 'Suite_Link'", ["Suite_Link", "Suite_StrongLink"]),
]  # fmt: skip


@pytest.mark.requirement(
    "WMI-2.2.1-01", "WMI-2.2.1-02", "WMI-2.2.1-04", "WMI-2.2.1.1-20", "WMI-3.1.4.3.18-02", "WMI-3.1.4.3.18-24",
    "WMI-3.1.4.3.18-28", "WMI-3.1.4.3.19-02", "WMI-3.1.4.3.19-25",
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
async def test_statements(session: AsyncSession, mode: CallingMode) -> None:
    await linked(session)
    for query, expected in STATEMENTS:
        assert await answers(session, ExecQuery(query), mode) == sorted(expected), query


async def test_the_verbs_for_associations(session: AsyncSession) -> None:
    await linked(session)
    one = await session.get(ONE)
    async with await session.associators(one) as operation:
        assert sorted(map(shown, await operation.results())) == sorted([TWO, A])
    everything: dict[str, Any] = {
        "association_class": "Suite_Link", "result_class": "Suite_Thing", "role": "Upper", "result_role": "Lower",
        "required_qualifier": "abstract", "required_association_qualifier": "association", "keys_only": True,
    }  # fmt: skip
    async with await session.associators(ONE, **everything) as operation:
        assert await operation.results() == []
    del everything["required_qualifier"]
    async with await session.associators(ONE, **everything) as operation:
        [found] = await operation.results()
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Name": "two"}
    async with await session.references(ONE, result_class="Suite_StrongLink", role="upper") as operation:
        assert [i.class_name for i in await operation.results() if isinstance(i, Instance)] == ["Suite_StrongLink"]
    async with await session.references("Suite_Gauge", result_class="Suite_GaugePair") as operation:
        assert [shown(cls) for cls in await operation.results()] == ["Suite_GaugePair"]


@pytest.mark.parametrize("word", ["X ClassDefsOnly", "a} {b", "", '"'])
async def test_words_for_associations_do_not_inject(session: AsyncSession, word: str) -> None:
    await linked(session)
    async with await session.associators(ONE, role=word) as operation:
        assert await operation.results() == []


async def test_a_path_that_would_end_the_braces_is_refused(session: AsyncSession) -> None:
    for path in ("\\\\a} WHERE KeysOnly {\\root:X", "\\\\a}\\root:X=1"):
        with pytest.raises(WbemError) as caught:
            async with await session.references(path) as operation:
                await operation.results()
        assert caught.value.status == E.WBEM_E_INVALID_OBJECT_PATH


async def test_partial_results(session: AsyncSession) -> None:
    """What the context asks for narrows the results of queries, too."""
    await linked(session)
    for query, option, expected in (
        ("SELECT * FROM Suite_Thing WHERE Size = 1", {"keys_only": True}, {"Name": "one"}),
        ("SELECT * FROM Suite_Thing WHERE Size = 1", {"properties": ["size", "x"]}, {"Name": "one", "Size": 1}),
        ("SELECT Name, Note FROM Suite_Thing WHERE Size = 1", {"properties": ["Size"]}, {"Name": "one"}),
        (f"ASSOCIATORS OF {{{ONE}}} WHERE ResultClass = Suite_Thing", {"properties": ["Extra"]},
         {"Name": "two", "Extra": True}),
    ):  # fmt: skip
        options: Any = option
        async with await session.query(query, **options) as operation:
            [found] = await operation.results()
        assert isinstance(found, Instance)
        assert found.to_dict() == expected


async def test_an_object_stands_for_its_path(session: AsyncSession) -> None:
    await thing(session, "one")
    one, gauge = [await session.get_instance(path) for path in (ONE, A)]
    await session.put_instance((await session.get_class("Suite_Link")).new(Upper=one, Lower=gauge))
    async with await session.associators(one) as operation:
        assert [shown(found) for found in await operation.results()] == [A]
    async with await session.query("SELECT * FROM Suite_Link WHERE Upper = ? AND Lower = ?", one, gauge) as operation:
        assert len(await operation.results()) == 1


TRICKS = ["'", '"', "\\", "\\'", "?", "%", "\t\r\n", " OR 1 = 1", "' OR Name <> '", "NULL", "}", "\u2603", '\\\\"']


async def test_any_text_is_found_as_a_parameter_and_nothing_else(session: AsyncSession) -> None:
    """Over the wire too: the text that is sent has the value quoted exactly."""
    chosen = random.Random(5)
    texts = {*TRICKS, *("".join(chosen.choices(TRICKS, k=chosen.randint(2, 4))) for _ in range(25))}
    await thing(session, "other")
    for text in sorted(texts):
        await thing(session, text, Note=text)
        async with await session.query("SELECT * FROM Suite_Thing WHERE Name = ? AND Note = ?", text, text) as found:
            assert [i["Name"] for i in await found.results() if isinstance(i, Instance)] == [text]
        async with await session.query("SELECT * FROM Suite_Thing WHERE Name = ? AND Note <> ?", text, text) as found:
            assert await found.results() == []
        await session.delete_instance(ObjectPath.of("Suite_Thing", Name=text))


FAILURES: list[tuple[str | None, int]] = [
    (None, E.WBEM_E_INVALID_PARAMETER),
    ("", E.WBEM_E_INVALID_QUERY),
    ("SELECT Name Size FROM Suite_Thing", E.WBEM_E_INVALID_QUERY),
    ("SELECT * FROM Suite_Thing WHERE Size LIKE '1%'", E.WBEM_E_INVALID_QUERY),
    ("SELECT * FROM Suite_Thing WHERE Many = 1", E.WBEM_E_INVALID_QUERY),
    ("SELECT * FROM Suite_Derived WHERE Extra < TRUE", E.WBEM_E_INVALID_QUERY),
    ("SELECT * FROM Suite_Thing WHERE Name IS 5", E.WBEM_E_INVALID_QUERY),
    ("SELECT Name, Nmae FROM Suite_Thing", E.WBEM_E_INVALID_QUERY),
    ("SELECT * FROM No_Such_Class", E.WBEM_E_INVALID_CLASS),
    ("SELECT * FROM Suite_Thing WITHIN 5", E.WBEM_E_NOT_SUPPORTED),
    ("SELECT ASSOCIATORS OF {Suite_Thing='x'}", E.WBEM_E_INVALID_QUERY),
    ("ASSOCIATORS OF {Suite_Thing='x'} REFERENCES OF {Suite_Thing='x'}", E.WBEM_E_INVALID_QUERY),
    ("ASSOCIATORS OF", E.WBEM_E_INVALID_QUERY),
    ("ASSOCIATORS OF {Suite_Thing='x'} WHERE Role = A Role = B", E.WBEM_E_INVALID_QUERY),
    ("REFERENCES OF {Suite_Thing='x'} WHERE KeysOnly KeysOnly", E.WBEM_E_INVALID_QUERY),
    ("REFERENCES OF {Suite_Thing='x'} WHERE AssocClass = Suite_Link", E.WBEM_E_INVALID_QUERY),
    ("ASSOCIATORS OF {Suite_Thing='x'} WHERE KeysOnly, ClassDefsOnly", E.WBEM_E_INVALID_QUERY),
    ("ASSOCIATORS OF {Suite_Thing='absent'}", E.WBEM_E_NOT_FOUND),
    ("SELECT * FROM Suite_Thing WHERE Name = '" + "x" * 17_000 + "'", E.WBEM_E_QUOTA_VIOLATION),
    ("SELECT * FROM Suite_Thing WHERE " + "(" * 500 + "Size = 1" + ")" * 500, E.WBEM_E_QUOTA_VIOLATION),
]


@pytest.mark.requirement(
    "WMI-2.2.1.1-03", "WMI-2.2.1.1-04", "WMI-2.2.1.1-06", "WMI-2.2.1.1-08", "WMI-2.2.1.1-09", "WMI-2.2.1.1-11",
    "WMI-2.2.1.1-21", "WMI-2.2.1.1-12", "WMI-2.2.1.1-05", "WMI-3.1.4.3.18-03", "WMI-3.1.4.3.18-25",
    "WMI-3.1.4.3.18-26", "WMI-3.1.4.3.18-27", "WMI-3.1.4.3.19-03", "WMI-3.1.4.3.19-22", "WMI-3.1.4.3.19-23",
    "WMI-3.1.4.3.19-26", "WMI-3.1.4.3.19-27", "WMI-3.1.4.3.18-48",
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
async def test_queries_that_fail(session: AsyncSession, mode: CallingMode) -> None:
    for query, status in FAILURES:
        error = await failure(session, ExecQuery(query), mode)
        assert error.status == status, query
        assert error.extended is not None
        assert error.extended["Operation"] == "ExecQuery"


@pytest.mark.requirement("WMI-3.1.4.3.18-01", "WMI-3.1.4.3.19-01")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("language", "status"),
    [("wql", None), ("CQL", E.WBEM_E_INVALID_QUERY_TYPE), ("", E.WBEM_E_INVALID_QUERY_TYPE),
     (None, E.WBEM_E_INVALID_PARAMETER)],
)  # fmt: skip
async def test_the_language_of_queries(
    session: AsyncSession, mode: CallingMode, language: str | None, status: int | None
) -> None:
    request = ExecQuery("SELECT * FROM Suite_Gauge", language)
    if status is None:
        assert await answers(session, request, mode) == [A, B]
    else:
        assert (await failure(session, request, mode)).status == status


@pytest.mark.requirement("WMI-2.2.1.1-22")
@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'a\\\\b'", {"a\\b"}),
        ("Name = 'x_y' OR Name = \"it\\'s\"", {"x_y", "it's"}),
        ("Name LIKE 'x_y'", {"x_y", "xzy"}),
        ("Name LIKE 'x[_]y'", {"x_y"}),
    ],
)
async def test_escapes(session: AsyncSession, where: str, found: set[str]) -> None:
    for name in ("a\\b", "ab", "it's", "x_y", "xzy"):
        await thing(session, name)
    async with await session.query(f"SELECT * FROM Suite_Thing WHERE {where}") as operation:
        assert {i["Name"] async for i in operation} == found


# -- flags


@pytest.mark.requirement("WMI-3.1.4.3.18-13", "WMI-3.1.4.3.19-11", "WMI-3.1.4.3.19-12")
@pytest.mark.parametrize("mode", MODES)
async def test_a_prototype(session: AsyncSession, mode: CallingMode) -> None:
    query = ExecQuery("SELECT Size, Name FROM Suite_Thing")
    async with await session.start(query, mode=mode, flags=Flags.PROTOTYPE) as operation:
        [cls] = await operation.results()
    assert isinstance(cls, Class)
    assert [(p.name, p.qualifiers["Order"].value) for p in cls.properties.each()] == [("Name", (1,)), ("Size", (0,))]


@pytest.mark.requirement(
    "WMI-3.1.4.3.16-01", "WMI-3.1.4.3.16-11", "WMI-3.1.4.3.16-12", "WMI-3.1.4.3.16-13", "WMI-3.1.4.3.16-14",
    "WMI-3.1.4.3.16-05", "WMI-3.1.4.3.17-01", "WMI-3.1.4.3.17-05", "WMI-3.1.4.3.17-11", "WMI-3.1.4.3.17-12",
    "WMI-3.1.4.3.17-13", "WMI-3.1.4.3.17-14", "WMI-3.1.4.3.17-27", "WMI-3.1.4.3.18-05", "WMI-3.1.4.3.18-11",
    "WMI-3.1.4.3.18-12", "WMI-3.1.4.3.19-05", "WMI-3.1.4.3.19-13", "WMI-3.1.4.3.19-14",
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
async def test_shallow_deep_and_direct(session: AsyncSession, mode: CallingMode) -> None:
    await linked(session)
    enumeration, query = EnumerateInstances("Suite_Thing"), ExecQuery("SELECT * FROM Suite_Thing")
    locatable = Flags.ENSURE_LOCATABLE
    for request, flags, found in (
        (enumeration, 0, [TWO, ONE]),
        (enumeration, Flags.SHALLOW, [ONE]),
        (enumeration, Flags.DIRECT_READ | locatable, [ONE]),
        (enumeration, Flags.DIRECT_READ | Flags.SHALLOW, [ONE]),
        (query, 0, [TWO, ONE]),
        (query, Flags.DIRECT_READ, [ONE]),
        (ExecQuery("SELECT Size FROM Suite_Thing"), locatable, [TWO, ONE]),
        (ExecQuery("SELECT Size FROM Suite_Thing"), locatable | Flags.DIRECT_READ, [ONE]),
    ):
        assert await answers(session, request, mode, flags) == found


@pytest.mark.requirement(
    "WMI-3.1.4.3.16-06", "WMI-3.1.4.3.17-06", "WMI-3.1.4.3.18-06", "WMI-3.1.4.3.19-06", "WMI-3.1.4.3.10-09",
    "WMI-3.1.4.3.11-07",
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("request_", "flag"),
    [
        (EnumerateInstances("Suite_Thing"), 0x02), (ExecQuery("SELECT * FROM Suite_Thing"), 0x01),
        (EnumerateClasses(""), 0x02), (EnumerateClasses(""), 0x200), (ExecQuery("SELECT * FROM Suite_Thing"), 0x400),
    ],
)  # fmt: skip
async def test_flags_that_are_not_valid(session: AsyncSession, mode: CallingMode, request_: Request, flag: int) -> None:
    assert (await failure(session, request_, mode, flag)).status == E.WBEM_E_INVALID_PARAMETER


@pytest.mark.requirement(
    "WMI-3.1.4.3.16-02", "WMI-3.1.4.3.16-03", "WMI-3.1.4.3.16-27", "WMI-3.1.4.3.16-28", "WMI-3.1.4.3.17-02",
    "WMI-3.1.4.3.17-03", "WMI-3.1.4.3.17-22", "WMI-3.1.4.3.17-23", "WMI-3.1.4.3.17-28",
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "status"),
    [
        (None, E.WBEM_E_INVALID_PARAMETER), ("Nothing", E.WBEM_E_INVALID_CLASS), ("", E.WBEM_E_INVALID_CLASS),
        ("x" * 5000, E.WBEM_E_QUOTA_VIOLATION),
    ],
)  # fmt: skip
async def test_enumerations_that_fail(session: AsyncSession, mode: CallingMode, name: str | None, status: int) -> None:
    assert (await failure(session, EnumerateInstances(name), mode)).status == status


@pytest.mark.requirement(
    "WMI-3.1.4.3.10-01", "WMI-3.1.4.3.10-02", "WMI-3.1.4.3.10-03", "WMI-3.1.4.3.10-04", "WMI-3.1.4.3.10-05",
    "WMI-3.1.4.3.10-06", "WMI-3.1.4.3.10-14", "WMI-3.1.4.3.10-15", "WMI-3.1.4.3.10-27", "WMI-3.1.4.3.11-01",
    "WMI-3.1.4.3.11-02", "WMI-3.1.4.3.11-03", "WMI-3.1.4.3.11-04", "WMI-3.1.4.3.11-12", "WMI-3.1.4.3.11-13",
    "WMI-3.1.4.3.11-28",
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
async def test_classes_are_enumerated(session: AsyncSession, mode: CallingMode) -> None:
    assert await answers(session, EnumerateClasses("suite_thing"), mode) == ["Suite_Derived"]
    derived = await session.get_class("Suite_Derived")
    await session.put_class(derived.derive(Class("Suite_Lower")))
    assert await answers(session, EnumerateClasses("Suite_Thing"), mode) == [derived.name, "Suite_Lower"]
    assert await answers(session, EnumerateClasses("Suite_Thing"), mode, Flags.SHALLOW) == [derived.name]
    for name in (None, ""):
        assert {"Suite_Thing", "Suite_Lower", "__NAMESPACE"} <= set(
            await answers(session, EnumerateClasses(name), mode)
        )
        roots = set(await answers(session, EnumerateClasses(name), mode, Flags.SHALLOW))
        assert "Suite_Thing" in roots
        assert roots.isdisjoint({"Suite_Derived", "Suite_Lower", "__NAMESPACE"})


@pytest.mark.requirement("WMI-3.1.4.3.10-28", "WMI-3.1.4.3.10-32", "WMI-3.1.4.3.11-24", "WMI-3.1.4.3.11-29")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "status"), [("Nothing", E.WBEM_E_INVALID_CLASS), ("x" * 5000, E.WBEM_E_QUOTA_VIOLATION)]
)
async def test_class_enumerations_that_fail(session: AsyncSession, mode: CallingMode, name: str, status: int) -> None:
    assert (await failure(session, EnumerateClasses(name), mode)).status == status


# -- checking


async def test_a_query_is_checked_without_being_run(session: AsyncSession) -> None:
    await session.check_query("SELECT Name FROM Suite_Thing WHERE Size > ?", 5)
    await session.check_query("ASSOCIATORS OF {Suite_Thing='absent'} WHERE ResultClass = Suite_Derived")
    for query, status, at in (
        ("SELECT Nmae FROM Suite_Thing", E.WBEM_E_INVALID_QUERY, 7),
        ("SELECT * FROM Nothing", E.WBEM_E_INVALID_CLASS, 14),
        ("REFERENCES OF {Suite_Thing='x'} WHERE ResultClass = Nothing", E.WBEM_E_INVALID_CLASS, 52),
        ("SELECT * FROM meta_class WHERE Name = 1", E.WBEM_E_INVALID_QUERY, 31),
    ):
        with pytest.raises(WqlError) as caught:
            await session.check_query(query)
        assert (caught.value.status, caught.value.position) == (status, at)
