"""Query results as objects of a user's own dataclass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import Any, ClassVar, assert_type

import pytest

import openwmi
from openwmi.cim import DateTime
from openwmi.client.objects import Instance
from openwmi.errors import InvalidParameter, NotFound, WbemError
from openwmi.status import WbemStatus
from tests.wire import serving

MOF = r"""
class Acme_Inner { uint8 Number; };
class Acme_Sample {
    [key] string SampleName; uint64 Big; real32 Share; boolean On; datetime Since; datetime Took; datetime Vague;
    uint8 Raw[]; sint32 Many[]; string Mode; uint16 Level; Acme_Inner Child; string A_B; string AB;
};
class Acme_Other { [key] string Name; };
instance of Acme_Sample {
    SampleName = "one"; Big = 18446744073709551615; Share = 0.5; On = TRUE; Since = "20260131123015.000000+060";
    Took = "00000001020304.000000:000"; Vague = "202601********.******+000"; Raw = {1, 2}; Many = {3, -4};
    Mode = "Auto"; Level = 2; Child = instance of Acme_Inner { Number = 7; }; A_B = "with"; AB = "without";
};
instance of Acme_Sample { SampleName = "it's empty"; };
"""


class Mode(Enum):
    AUTO = "Auto"
    MANUAL = "Manual"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Inner:
    number: int


@dataclass(frozen=True)
class Sample:
    cim_class: ClassVar[str] = "Acme_Sample"
    sample_name: str
    BIG: int
    share: float
    on: bool
    since: datetime
    took: timedelta
    vague: DateTime
    raw: bytes
    many: list[int]
    mode: Mode | None
    level: Level
    child: Inner
    A_B: str
    ab: str
    anything: Any = field(default=None, metadata={"cim": "Mode"})
    computed: int = field(default=0, init=False)


@pytest.fixture(scope="module")
def session() -> Iterator[openwmi.Session]:
    with openwmi.connect("local:") as opened:
        opened.compile_mof(MOF)
        yield opened


def test_each_field_is_its_property(session: openwmi.Session) -> None:
    [found] = session.query(Sample, "WHERE SampleName = ?", "one")
    since = datetime(2026, 1, 31, 11, 30, 15, tzinfo=UTC)
    took = timedelta(days=1, hours=2, minutes=3, seconds=4)
    vague = DateTime("202601********.******+000")
    assert found == Sample(
        "one", 2**64 - 1, 0.5, True, since, took, vague, b"\x01\x02", [3, -4], Mode.AUTO, Level.HIGH, Inner(7),
        "with", "without", "Auto",
    )  # fmt: skip
    assert type(found.many) is list


def one(session: openwmi.Session, name: str, annotation: Any, **settings: Any) -> Any:
    """The value of a dataclass's only field, which is annotated so."""

    class Asked:
        cim_class = "Acme_Sample"

    Asked.__annotations__ = {"cim_class": ClassVar[str], name: annotation}
    if settings:
        setattr(Asked, name, field(**settings))
    which = settings.get("metadata", {}).get("which", "one")
    [found] = session.query(dataclass(Asked), "WHERE SampleName = ?", which)
    return getattr(found, name)


@pytest.mark.parametrize(
    ("name", "annotation", "value"),
    [
        ("many", tuple[int, ...], (3, -4)),
        ("many", set[int], {3, -4}),
        ("many", frozenset, frozenset({3, -4})),
        ("raw", list[int], [1, 2]),
        ("share", int | float, 0.5),
        ("level", float, 2.0),
        ("level", str | int, 2),
        ("many", object, (3, -4)),
    ],
)
def test_what_a_value_may_become(session: openwmi.Session, name: str, annotation: Any, value: Any) -> None:
    found = one(session, name, annotation)
    assert found == value
    assert isinstance(found, type(value))


def test_an_embedded_object_may_stay_one(session: openwmi.Session) -> None:
    child = one(session, "child", Instance)
    assert (child.class_name, child.Number) == ("Acme_Inner", 7)


@pytest.mark.parametrize(
    ("name", "annotation", "message"),
    [
        ("sample_name", int, r"Asked.sample_name: SampleName is 'one', which is no int"),
        ("on", int, "On is True, which is no int"),
        ("level", bool, "Level is 2, which is no bool"),
        ("mode", Level, "Mode is 'Auto', which is no Level"),
        ("many", list[str], "Many is 3, which is no str"),
        ("mode", list[str], "Mode is 'Auto', which is no array"),
        ("mode", Inner, "Mode is 'Auto', which is no object"),
        ("mode", int | bool, "Mode is 'Auto', which is no int and 'Auto', which is no bool"),
    ],
)
def test_a_value_that_does_not_fit(session: openwmi.Session, name: str, annotation: Any, message: str) -> None:
    with pytest.raises(WbemError, match=message) as caught:
        one(session, name, annotation)
    assert caught.value.status == WbemStatus.WBEM_E_TYPE_MISMATCH


def test_null(session: openwmi.Session) -> None:
    empty = {"which": "it's empty"}
    assert one(session, "level", int | None, metadata=empty) is None
    assert one(session, "level", Any, metadata=empty) is None
    assert one(session, "level", int, default=5, metadata=empty) == 5
    assert one(session, "many", list[int], default_factory=list, metadata=empty) == []
    with pytest.raises(WbemError, match=r"level: Level is NULL: annotate it with \| None, or give it a default"):
        one(session, "level", int, metadata=empty)


@pytest.mark.parametrize(
    ("name", "annotation", "message"),
    [
        ("nothing", int, "Asked.nothing: Acme_Sample has no property nothing"),
        ("level", complex, r"Asked.level: no CIM value is a .*complex"),
        ("many", list[complex], "no CIM value is a .*complex"),
    ],
)
def test_a_dataclass_that_cannot_be_one(session: openwmi.Session, name: str, annotation: Any, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        one(session, name, annotation)


@dataclass
class Acme_Other:
    name: str


def test_the_classs_name_is_the_dataclasss(session: openwmi.Session) -> None:
    session.put_instance(session.get_class("Acme_Other").new(Name="a"))
    assert session.query(Acme_Other).results() == [Acme_Other("a")]


@pytest.mark.parametrize("query", [3, str, Acme_Other("an object")])
def test_no_dataclass(session: openwmi.Session, query: Any) -> None:
    with pytest.raises(InvalidParameter, match="neither the text of a query nor a dataclass"):
        session.query(query)


def test_a_condition_begins_with_where(session: openwmi.Session) -> None:
    with pytest.raises(InvalidParameter, match="begins with WHERE"):
        session.query(Acme_Other, "Name = 'a'")


def test_a_class_that_there_is_not(session: openwmi.Session) -> None:
    with pytest.raises(NotFound):
        session.query(Inner)


async def test_over_dcom_and_in_another_namespace() -> None:
    async with serving() as machine:
        session = await machine.session()
        await session.compile_mof(MOF)
        async with await session.query(Sample, "WHERE On = ?", True) as found:
            assert_type([sample async for sample in found], list[Sample])
        async with await session.query(Acme_Other, namespace="root/cimv2") as others:
            assert await others.results() == []


def typed(session: openwmi.Session) -> None:
    """What mypy is to see: only it reads this."""
    assert_type(session.query(Sample, "WHERE On = ?", True), openwmi.Operation[Sample])
    assert_type(session.start.query_instances(Sample), openwmi.Operation[Sample])
    assert_type(session.query("SELECT * FROM Acme_Sample"), openwmi.Operation[Instance])
