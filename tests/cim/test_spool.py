"""The spool: a sequence in memory and on disk that nobody can tell from a list, and its bounds."""

from __future__ import annotations

import errno
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.cim import ABSENT, CimType, Class, Instance, NameMap, Property, Qualifier
from openwmi.cim.spool import Spool, Spools, weight
from openwmi.errors import WbemError
from openwmi.status import WbemStatus
from tests.strategies import classes, instances

THING = Class(
    "Thing",
    properties=NameMap([Property("Id", CimType.UINT32), Property("Text", CimType.STRING, default="so")]),
    namespace="root\\test",
)


def things(count: int, first: int = 0) -> list[Any]:
    return [THING.new(Id=first + n, Text="x" * 100) for n in range(count)]


def ids(found: list[Any]) -> list[int]:
    return [one["Id"] for one in found]


NOTHING_IN_MEMORY = {"in_memory": 0}
SOME_IN_MEMORY = {"in_memory": 8 * 100 * weight(things(1)[0])}
BOUNDS = [{}, NOTHING_IN_MEMORY, SOME_IN_MEMORY]


@pytest.mark.parametrize("bounds", BOUNDS, ids=["in memory", "on disk", "both"])
@given(st.lists(st.tuples(st.sampled_from(["append", "read", "discard"]), st.integers(0, 300)), max_size=20))
@settings(max_examples=40, deadline=None)
def test_it_is_a_list_that_forgets_its_beginning(bounds: dict[str, int], steps: list[tuple[str, int]]) -> None:
    spools = Spools(**bounds)
    spool = spools.open()
    length = discarded = 0
    for step, number in steps:
        if step == "append":
            spool.append(things(number, length))
            length += number
        elif step == "discard":
            discarded = max(discarded, min(number, length))
            spool.discard(number)
        else:
            start = max(number, discarded)
            found = spool.read(start, start + 70)
            assert ids(found) == list(range(start, min(start + 70, length)))
        assert len(spool) == length
    spool.close()
    assert (spools.memory_used, spools.disk_used, len(spool)) == (0, 0, 0)
    assert not spools.used_by


@given(
    st.lists(st.one_of(classes(), classes().flatmap(lambda cls: instances(cls, absent=True))), min_size=1, max_size=5)
)
@settings(max_examples=25, deadline=None)
def test_every_object_comes_back_from_the_disk_as_it_was(objects: list[Any]) -> None:
    spool = Spools(in_memory=0).open()
    try:
        spool.append(objects)
        found = spool.read(0, len(objects))
        assert found == objects
        for one, was in zip(found, objects, strict=True):
            assert type(one) is type(was)
            if isinstance(was, Instance) and isinstance(one, Instance):
                assert (one.values, one.namespace, one.server) == (was.values, was.namespace, was.server)
                assert one.shape is was.shape
                assert one.property_qualifiers == was.property_qualifiers
    finally:
        spool.close()


def test_what_instances_do_not_share_is_kept() -> None:
    part = Instance.of_values(THING.shape, [1, ABSENT], namespace="root\\other", server="THERE")
    part.qualifiers = NameMap([Qualifier.of("Q", 1)])
    part.property_qualifiers = {"id": NameMap([Qualifier.of("P", True)])}
    spool = Spools(in_memory=0).open()
    spool.append([part])
    (found,) = spool.read(0, 1)
    assert isinstance(found, Instance)
    assert found == part
    assert (found.namespace, found.server, "Text" in found) == ("root\\other", "THERE", False)
    assert found.property_qualifiers == part.property_qualifiers
    spool.close()


def test_shapes_without_end_are_written_rather_than_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openwmi.cim.spool._MOST_SHAPES", 2)
    objects = [Class(f"C{n}", properties=THING.properties).new(Id=n) for n in range(5)]
    spool = Spools(in_memory=0).open()
    spool.append(objects)
    found = spool.read(0, 5)
    assert found == objects
    assert [a.shape is b.shape for a, b in zip(found, objects, strict=True)] == [True, True, False, False, False]
    spool.close()


def test_one_spool_has_an_eighth_of_the_memory_and_all_have_no_more_than_all_of_it() -> None:
    each = weight(things(1)[0])
    spools = Spools(in_memory=each * 64 * 8)
    opened = [spools.open() for _ in range(20)]
    for spool in opened:
        spool.append(things(1000))
    assert spools.memory_used == each * 64 * 8
    assert {spool._memory for spool in opened[:8]} == {each * 64}
    assert {spool._memory for spool in opened[8:]} == {0}
    opened[0].discard(1000)
    assert spools.memory_used == each * 64 * 7
    for spool in opened[1:]:
        assert ids(spool.read(990, 2000)) == list(range(990, 1000))
    for spool in opened:
        spool.close()


def test_the_file_goes_when_nothing_in_it_is_needed() -> None:
    spools = Spools(in_memory=0)
    spool = spools.open()
    spool.append(things(200))
    size = spools.disk_used
    spool.discard(150)
    assert spools.disk_used == size
    assert ids(spool.read(150, 200)) == list(range(150, 200))
    spool.discard(200)
    assert spools.disk_used == 0
    spool.append(things(10, 200), awaited=True)
    assert spools.disk_used == 0 < spools.memory_used
    spool.append(things(10, 210))
    assert ids(spool.read(205, 300)) == list(range(205, 220))
    spool.close()
    assert (spools.memory_used, spools.disk_used) == (0, 0)


def used(octets: dict[str, int], owners: str) -> list[Spool]:
    spools = Spools(in_memory=0, **octets)
    opened = []
    for owner in owners:
        opened.append(spools.open(owner))
        opened[-1].append(things(64))
    return opened


def test_the_disk_is_bounded_for_all_and_for_each() -> None:
    (first,) = used({}, "a")
    size = first._size
    first.close()
    for octets, owners, refused in (
        ({"on_disk": size * 3}, "abc", "d"),
        ({"on_disk": size * 3}, "aaa", "b"),
        ({"per_owner": size * 2}, "aab", "a"),
    ):
        opened = used(octets, owners)
        more = opened[0]._spools.open(refused)
        with pytest.raises(WbemError, match="fetched") as caught:
            more.append(things(64))
        assert caught.value.status == WbemStatus.WBEM_E_QUOTA_VIOLATION
        # What was freed is there for others.
        opened[0].close()
        more.append(things(64))
        for spool in (*opened, more):
            spool.close()
        assert more._spools.disk_used == 0


@pytest.mark.parametrize("how", ["refuses", "takes a part", "cannot be made", "cannot be read"])
def test_a_disk_that_fails(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class File:
        def seek(self, offset: int) -> None:
            pass

        def write(self, data: bytes) -> int:
            if how == "refuses":
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(data) - (how == "takes a part")

        def read(self, size: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        def close(self) -> None:
            pass

    def made(**_: Any) -> IO[bytes] | File:
        if how == "cannot be made":
            raise OSError(errno.EROFS, "Read-only file system")
        return File()

    monkeypatch.setattr("tempfile.TemporaryFile", made)
    spool = Spools(in_memory=0).open()
    with pytest.raises(WbemError) as caught:  # noqa: PT012 - what cannot be written is not read
        spool.append(things(1))
        spool.read(0, 1)
    assert caught.value.status == WbemStatus.WBEM_E_OUT_OF_MEMORY
    spool.close()
    assert spool._spools.disk_used == 0


def test_weights_grow_with_what_an_object_holds() -> None:
    small, large = THING.new(Id=1, Text="x"), THING.new(Id=1, Text="x" * 10_000)
    assert weight(large) - weight(small) == 9_999
    assert weight((b"12", ("a", None))) > weight(b"12") + weight("a")
    assert weight(THING) > weight(Class("Empty"))
    outer = Class("Outer", properties=NameMap([Property("Inner", CimType.OBJECT)])).new(Inner=large)
    assert weight(outer) > weight(large)


def test_files_are_counted_too() -> None:
    """A process has only so many: neither one owner nor all together take the last ones."""
    spools = Spools(**NOTHING_IN_MEMORY)
    kept = [spools.open(owner) for owner in "abcd" for _ in range(32)]
    for spool in kept:
        spool.append(things(1))
    for owner in ("a", "e"):
        with pytest.raises(WbemError, match="may wait on disk") as caught:
            spools.open(owner).append(things(1))
        assert caught.value.status == WbemStatus.WBEM_E_QUOTA_VIOLATION
    kept.pop().close()
    last = spools.open("e")
    last.append(things(1))
    with pytest.raises(WbemError, match="may wait on disk"):
        spools.open("a").append(things(1))
    for spool in kept:
        spool.close()
    assert spools.files_of.keys() == {"e"}
    last.close()
    assert not spools.files_of
