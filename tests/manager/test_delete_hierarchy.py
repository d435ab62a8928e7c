"""DeleteInstance where several classes of one family know the instance.

The public Remarks of IWbemServices::DeleteInstance, and the SDK's page on deleting an instance: the providers of the
non-abstract classes are called, each with its own path; the topmost non-abstract classes' decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from openwmi.cim.operations import DeleteInstance
from openwmi.errors import AccessDenied, NotFound, WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Provider
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, Called, context, grant, raising, scripted

OK = None
GONE = NotFound("never heard of it")
DENIED = AccessDenied("not you")
E = WbemStatus

ABSTRACT_KEY = "[abstract] class {0} {{ [key] sint32 k; }};"


def dynamic(name: str, superclass: str = "", *, abstract: bool = False) -> str:
    """A class with a provider of its own name."""
    words = 'dynamic, provider("' + name + '")' + (", abstract" if abstract else "")
    if superclass:
        return f"[{words}] class {name} : {superclass} {{ }};"
    return f"[{words}] class {name} {{ [key] sint32 k; }};"


CHAIN = dynamic("A") + dynamic("B", "A") + dynamic("C", "B")
UNDER_ABSTRACT = dynamic("A", abstract=True) + dynamic("B", "A") + dynamic("C", "B")
SIBLINGS = dynamic("A", abstract=True) + dynamic("B", "A") + dynamic("C", "A") + dynamic("D", "C")


@dataclass(frozen=True)
class Case:
    """A family, the class that the path names, what each provider does, who is called in what order, and the end."""

    schema: str
    path_class: str
    called: str
    status: int = E.WBEM_S_NO_ERROR
    does: Mapping[str, WbemError | None] = field(default_factory=dict)


CASES = {
    # The first example: nothing is abstract, so A is the topmost one whichever class is named.
    "chain, middle": Case(CHAIN, "B", "ABC"),
    "chain, top": Case(CHAIN, "A", "ABC"),
    "chain, bottom": Case(CHAIN, "C", "ABC"),
    "chain, others fail": Case(CHAIN, "B", "ABC", does={"B": GONE, "C": DENIED}),
    "chain, top fails": Case(CHAIN, "B", "ABC", E.WBEM_E_ACCESS_DENIED, {"A": DENIED}),
    "chain, top knows nothing": Case(CHAIN, "C", "ABC", E.WBEM_E_NOT_FOUND, {"A": GONE}),
    "chain, all fail": Case(CHAIN, "B", "ABC", E.WBEM_E_NOT_FOUND, {"A": GONE, "B": DENIED, "C": DENIED}),
    # The second example: A is abstract, so it is not called, and B is the topmost one.
    "abstract top, middle": Case(UNDER_ABSTRACT, "B", "BC"),
    "abstract top, itself": Case(UNDER_ABSTRACT, "A", "BC"),
    "abstract top, bottom fails": Case(UNDER_ABSTRACT, "C", "BC", does={"C": GONE}),
    "abstract top, B fails": Case(UNDER_ABSTRACT, "B", "BC", E.WBEM_E_ACCESS_DENIED, {"B": DENIED}),
    # Two topmost classes: one success is enough.
    "siblings, both": Case(SIBLINGS, "A", "BCD"),
    "siblings, one": Case(SIBLINGS, "A", "BCD", does={"B": GONE}),
    "siblings, the other": Case(SIBLINGS, "A", "BCD", does={"C": DENIED, "D": DENIED}),
    "siblings, only below": Case(SIBLINGS, "A", "BCD", E.WBEM_E_NOT_FOUND, {"B": GONE, "C": GONE}),
    "siblings, who knows it says why": Case(SIBLINGS, "A", "BCD", E.WBEM_E_ACCESS_DENIED, {"B": GONE, "C": DENIED}),
    "siblings, not of this line": Case(SIBLINGS, "C", "CD"),
    "siblings, below": Case(SIBLINGS, "D", "CD"),
}


class _Family:
    """The providers of a family, and the order in which they are called."""

    def __init__(self, manager: ObjectManager) -> None:
        self.manager = manager
        self.calls: list[Called] = []

    async def build(self, schema: str, does: Mapping[str, WbemError | None]) -> None:
        await self.manager.compile_mof(schema, CIMV2, context())
        for name in "ABCD":
            error = does.get(name)
            script = None if error is None else raising(error)
            await self.manager.register(scripted(name, self.calls, script), name, mof="")

    @property
    def called(self) -> str:
        return "".join(call.provider for call in self.calls)


@pytest.fixture
def family(manager: ObjectManager) -> _Family:
    return _Family(manager)


@pytest.mark.requirement("WMI-3.1.4.3.14-25", "WMI-3.1.4.3.15-23")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_the_topmost_classes_decide(cimv2: Namespace, family: _Family, case: Case) -> None:
    await family.build(case.schema, case.does)
    operation = await cimv2.start(DeleteInstance(f"{case.path_class}.k=1"), context())
    ended = await operation.wait()
    assert (ended.status, family.called) == (case.status, case.called)
    assert [call.path for call in family.calls] == [f"{name}.k=1" for name in case.called]
    assert [call.call.cls.name for call in family.calls] == list(case.called)
    assert all(call.keys == {"k": 1} for call in family.calls)
    if not ended.succeeded:
        assert ended.extended is not None
        assert ended.extended["StatusCode"] == case.status


async def test_the_short_form_is_rewritten_too(cimv2: Namespace, family: _Family) -> None:
    await family.build(CHAIN, {})
    assert (await (await cimv2.start(DeleteInstance("B=7"), context())).wait()).succeeded
    assert [call.path for call in family.calls] == ["A.k=7", "B.k=7", "C.k=7"]


async def test_a_class_between_has_no_provider(cimv2: Namespace, family: _Family) -> None:
    await family.build(dynamic("A") + "class Between : A { };" + dynamic("C", "Between"), {})
    assert (await (await cimv2.start(DeleteInstance("Between.k=1"), context())).wait()).succeeded
    assert family.called == "AC"


async def test_an_abstract_class_without_anyone_below_has_no_instance(cimv2: Namespace, family: _Family) -> None:
    await family.build(ABSTRACT_KEY.format("Base"), {})
    with pytest.raises(NotFound):
        await cimv2.start(DeleteInstance("Base.k=1"), context())


async def test_the_given_provider_has_to_be_able(cimv2: Namespace, family: _Family) -> None:
    """B's provider is not registered: that ends it when B is named, and is B's failure when A is."""
    await family.manager.compile_mof(CHAIN, CIMV2, context())
    for name in "AC":
        await family.manager.register(scripted(name, family.calls), name, mof="")
    ended = await (await cimv2.start(DeleteInstance("B.k=1"), context())).wait()
    assert (ended.status, family.called) == (E.WBEM_E_PROVIDER_LOAD_FAILURE, "")
    ended = await (await cimv2.start(DeleteInstance("A.k=1"), context())).wait()
    assert (ended.status, family.called) == (E.WBEM_S_NO_ERROR, "AC")


@pytest.mark.requirement("WMI-3.1.4.3.14-23", "WMI-3.1.4.3.14-24", "WMI-3.1.4.3.15-21", "WMI-3.1.4.3.15-22")
async def test_the_given_provider_has_to_support_delete(cimv2: Namespace, family: _Family) -> None:
    """A's provider could delete, but B is named, and B's provider says that it does not: nobody is called."""
    await family.manager.compile_mof(CHAIN, CIMV2, context())
    await family.manager.register(Provider, "B", mof="")
    for name in "AC":
        await family.manager.register(scripted(name, family.calls), name, mof="")
    ended = await (await cimv2.start(DeleteInstance("B.k=1"), context())).wait()
    assert (ended.status, family.called) == (E.WBEM_E_PROVIDER_NOT_CAPABLE, "")
    ended = await (await cimv2.start(DeleteInstance("C.k=1"), context())).wait()
    assert (ended.status, family.called) == (E.WBEM_S_NO_ERROR, "AC")


# -- the repository takes part where it holds the instance

STATIC_BASE = "class S { [key] sint32 k; }; " + dynamic("B", "S") + "instance of S { k = 1; };"
STATIC_BELOW = dynamic("A") + "class S : A { }; instance of S { k = 1; };"


@pytest.mark.parametrize(
    ("schema", "path", "does", "status", "called", "kept"),
    [
        pytest.param(STATIC_BASE, "S.k=1", {}, E.WBEM_S_NO_ERROR, "B", False, id="static on top"),
        pytest.param(STATIC_BASE, "B.k=1", {}, E.WBEM_S_NO_ERROR, "B", True, id="not the static one's"),
        pytest.param(STATIC_BASE, "S.k=1", {"B": DENIED}, E.WBEM_S_NO_ERROR, "B", False, id="static decides"),
        pytest.param(STATIC_BASE, "S.k=2", {}, E.WBEM_S_NO_ERROR, "B", True, id="only the dynamic one"),
        pytest.param(STATIC_BELOW, "A.k=1", {}, E.WBEM_S_NO_ERROR, "A", False, id="static below"),
        pytest.param(STATIC_BELOW, "S.k=1", {}, E.WBEM_S_NO_ERROR, "A", False, id="static below, named"),
        pytest.param(STATIC_BELOW, "S.k=1", {"A": DENIED}, E.WBEM_E_ACCESS_DENIED, "A", True, id="kept on failure"),
    ],
)
async def test_static_and_dynamic(
    manager: ObjectManager,
    cimv2: Namespace,
    family: _Family,
    schema: str,
    path: str,
    does: dict[str, WbemError | None],
    status: int,
    called: str,
    kept: bool,
) -> None:
    await family.build(schema, does)
    ended = await (await cimv2.start(DeleteInstance(path), context())).wait()
    assert (ended.status, family.called) == (status, called)
    static = manager.static(CIMV2)
    assert static.has_instances(static.get_class("S")) is kept


async def test_every_kind_of_participant_needs_its_right(
    manager: ObjectManager, cimv2: Namespace, family: _Family
) -> None:
    await family.build(STATIC_BELOW, {})
    for rights in (AccessRight.WRITE_PROVIDER, AccessRight.PARTIAL_WRITE_REP):
        await grant(manager, AccessRight.ENABLE | rights)
        ended = await (await cimv2.start(DeleteInstance("S.k=1"), context(USER))).wait()
        assert (ended.status, family.called) == (E.WBEM_E_ACCESS_DENIED, "")


async def test_a_static_family(manager: ObjectManager, cimv2: Namespace) -> None:
    """A base's path names the derived class's instance; a derived class's path does not name a base's."""
    await manager.compile_mof(
        "class Base { [key] sint32 k; }; class Derived : Base { };"
        " instance of Base { k = 1; }; instance of Derived { k = 2; };",
        CIMV2,
        context(),
    )
    with pytest.raises(NotFound):
        await cimv2.start(DeleteInstance("Derived.k=1"), context())
    assert (await (await cimv2.start(DeleteInstance("Base.k=2"), context())).wait()).succeeded
    with pytest.raises(NotFound):
        await cimv2.start(DeleteInstance("Derived.k=2"), context())
