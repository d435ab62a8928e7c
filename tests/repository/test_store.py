"""What `Store` promises, of every implementation."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from openwmi.cim import CimType, Class, DateTime, Flavor, Instance, NameMap, ObjectPath, Property, Qualifier, identity
from openwmi.errors import InvalidClass, InvalidNamespace, WbemError
from openwmi.repository import Store
from openwmi.repository import sqlite as implementation
from openwmi.repository.sqlite import SqliteStore
from openwmi.status import WbemStatus
from tests.repository.models import BASE, DERIVED, KEY, LEAF, NS, SCHEMA, SIBLING


def name(cls: Class, number: int) -> str:
    return identity(cls, {"Id": number})


def status_of(caught: pytest.ExceptionInfo[WbemError]) -> str:
    return caught.value.name


def ids(store: Store, class_name: str) -> list[int]:
    return [instance["Id"] for instance in store.instances(NS, class_name)]


# -- namespaces


def test_the_stores_are_stores(empty: SqliteStore) -> None:
    store: Store = empty
    assert store.namespaces() == []


def test_namespaces_keep_their_first_spelling(empty: SqliteStore) -> None:
    empty.create_namespace("Root")
    empty.create_namespace("ROOT/CimV2")
    empty.create_namespace("root\\cimv2\\ms_409")
    assert empty.namespaces() == ["Root", "Root\\CimV2", "Root\\CimV2\\ms_409"]
    assert empty.namespaces("root") == ["Root\\CimV2"]
    assert empty.namespaces("ROOT\\cimv2") == ["Root\\CimV2\\ms_409"]
    assert empty.has_namespace("root/CIMV2")


@pytest.mark.parametrize("bad", ["", "\\", "root\\", "root\\\\x", "\\\\server\\root", "root:x", "1", "r\ud800", "a b"])
def test_what_cannot_be_a_namespace(empty: SqliteStore, bad: str) -> None:
    assert not empty.has_namespace(bad)
    with pytest.raises(InvalidNamespace):
        empty.create_namespace(bad)
    assert empty.namespaces() == []


def test_a_namespace_needs_its_parent(empty: SqliteStore) -> None:
    with pytest.raises(InvalidNamespace):
        empty.create_namespace("root\\cimv2")
    assert empty.namespaces() == []


def test_a_namespace_is_there_once(empty: SqliteStore) -> None:
    empty.create_namespace("root")
    with pytest.raises(WbemError) as caught:
        empty.create_namespace("ROOT")
    assert status_of(caught) == "WBEM_E_ALREADY_EXISTS"


def test_descriptors(empty: SqliteStore) -> None:
    empty.create_namespace("root", b"\x01\x00")
    assert empty.descriptor("ROOT") == b"\x01\x00"
    empty.set_descriptor("root", None)
    assert empty.descriptor("root") is None
    with pytest.raises(InvalidNamespace):
        empty.set_descriptor("elsewhere", b"")


def test_deleting_a_namespace_takes_everything_below(store: SqliteStore) -> None:
    store.create_namespace(NS + "\\deep")
    store.create_namespace("root\\cimv22")
    store.put_class(NS + "\\deep", BASE)
    store.put_instance(NS + "\\deep", BASE.new(Id=1))
    store.put_instance(NS, BASE.new(Id=1))
    store.delete_namespace(NS.upper())
    assert store.namespaces() == ["root", "root\\cimv22"]
    with pytest.raises(InvalidNamespace):
        store.get_class(NS, "Base")
    store.create_namespace(NS)
    assert store.class_names(NS) == []
    assert store.check() == []


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.delete_namespace("nowhere"),
        lambda s: s.descriptor("nowhere"),
        lambda s: s.namespaces("nowhere"),
        lambda s: s.get_class("nowhere", "Base"),
        lambda s: s.class_names("nowhere"),
        lambda s: s.put_class("nowhere", BASE),
        lambda s: s.delete_class("nowhere", "Base"),
        lambda s: s.get_instance("nowhere", "Base", ""),
        lambda s: s.put_instance("nowhere", BASE.new(Id=1)),
        lambda s: s.delete_instance("nowhere", "Base", ""),
        lambda s: s.instances("nowhere", "Base"),
    ],
)
def test_every_call_needs_its_namespace(store: SqliteStore, call) -> None:
    with pytest.raises(InvalidNamespace):
        call(store)


# -- classes


@pytest.mark.parametrize("cls", SCHEMA, ids=lambda cls: cls.name)
def test_a_class_comes_back_resolved(store: SqliteStore, cls: Class) -> None:
    found = store.get_class("ROOT/cimv2", cls.name.upper())
    assert found == cls
    assert found is not None
    assert found.namespace == NS
    assert found.server is None


def test_a_class_comes_back_from_the_file_too(store: SqliteStore) -> None:
    store._forget()
    assert [store.get_class(NS, cls.name) for cls in reversed(SCHEMA)] == list(reversed(SCHEMA))


def test_the_cache_is_bounded_and_does_no_harm(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "CACHED_CLASSES", 2)
    store._forget()
    for _ in range(2):
        for cls in SCHEMA:
            assert store.get_class(NS, cls.name) == cls
        assert len(store._by_id) == len(store._by_name) == 2
    for number in range(5):
        store.create_namespace(f"root\\n{number}")
    assert len(store._namespaces) <= 2


def test_an_unknown_class_is_none(store: SqliteStore) -> None:
    assert store.get_class(NS, "Other") is None
    assert store.get_class(NS, "Ba\ud800se") is None
    assert store.get_class("root", "Base") is None


def test_a_class_is_located_where_it_was_put(store: SqliteStore) -> None:
    store.create_namespace("root\\other")
    store.put_class("root\\other", replace(BASE, namespace=NS, server="elsewhere"))
    found = store.get_class("root\\other", "Base")
    assert found is not None
    assert (found.namespace, found.server) == ("root\\other", None)


def test_class_names(store: SqliteStore) -> None:
    assert store.class_names(NS) == ["Base", "Derived", "Sibling", "Leaf"]
    assert store.class_names(NS, deep=False) == ["Base"]
    assert store.class_names(NS, "BASE", deep=False) == ["Derived", "Sibling"]
    assert store.class_names(NS, "base") == ["Derived", "Sibling", "Leaf"]
    assert store.class_names(NS, "Leaf") == []
    with pytest.raises(InvalidClass):
        store.class_names(NS, "Other")


def test_a_superclass_must_be_there(store: SqliteStore) -> None:
    with pytest.raises(WbemError) as caught:
        store.put_class("root", DERIVED)
    assert status_of(caught) == "WBEM_E_INVALID_SUPERCLASS"
    assert store.class_names("root") == []


def test_a_change_reaches_the_classes_below(store: SqliteStore) -> None:
    store.put_instance(NS, LEAF.new(Id=1))
    more = NameMap([Property("More", CimType.DATETIME, origin="Base")])
    store.put_class(NS, replace(BASE, properties=BASE.properties.with_items(more.each())))
    leaf = store.get_class(NS, "Leaf")
    assert leaf is not None
    assert leaf.properties["More"].origin == "Base"
    assert leaf.properties["More"].propagated
    found = store.get_instance(NS, "Base", name(LEAF, 1))
    assert found is not None
    assert found["More"] is None
    found["More"] = "20260101000000.000000+000"
    store.put_instance(NS, found)
    store.put_class(NS, BASE)
    found = store.get_instance(NS, "Leaf", name(LEAF, 1))
    assert found is not None
    assert list(found) == ["Id", "Note", "Extra"]


def test_a_change_that_the_classes_below_cannot_bear_is_undone(store: SqliteStore) -> None:
    clash = Property("Extra", CimType.STRING, origin="Base")
    with pytest.raises(WbemError) as caught:
        store.put_class(NS, replace(BASE, properties=BASE.properties.with_items([clash])))
    assert status_of(caught) == "WBEM_E_UPDATE_TYPE_MISMATCH"
    assert store.get_class(NS, "Base") == BASE
    assert store.get_class(NS, "Leaf") == LEAF


def test_a_class_cannot_descend_from_itself(store: SqliteStore) -> None:
    for below in (BASE, DERIVED, LEAF):
        with pytest.raises(WbemError) as caught:
            store.put_class(NS, replace(BASE, superclass=below.name))
        assert status_of(caught) == "WBEM_E_CIRCULAR_REFERENCE"
    assert store.get_class(NS, "Leaf") == LEAF


def test_instances_must_not_lose_their_keys(store: SqliteStore) -> None:
    renamed = Class("Base", properties=NameMap([Property("Number", CimType.UINT32, qualifiers=KEY)])).rooted()
    store.put_instance(NS, LEAF.new(Id=1))
    with pytest.raises(WbemError) as caught:
        store.put_class(NS, renamed)
    assert status_of(caught) == "WBEM_E_CLASS_HAS_INSTANCES"
    assert store.get_class(NS, "Base") == BASE
    assert store.has_instance(NS, "Leaf", name(LEAF, 1))
    store.delete_instance(NS, "Leaf", name(LEAF, 1))
    store.put_class(NS, renamed)
    assert store.get_class(NS, "Base") == renamed


def test_deleting_a_class_takes_its_subclasses_and_instances(store: SqliteStore) -> None:
    for cls in SCHEMA:
        store.put_instance(NS, cls.new(Id=SCHEMA.index(cls)))
    assert store.delete_class(NS, "derived")
    assert store.class_names(NS) == ["Base", "Sibling"]
    assert ids(store, "Base") == [0]
    assert ids(store, "Sibling") == [2]
    assert not store.has_instance(NS, "Base", name(BASE, 1))
    assert not store.delete_class(NS, "Derived")
    assert store.check() == []


def test_a_deep_hierarchy_resolves_and_goes(empty: SqliteStore) -> None:
    empty.create_namespace("root")
    cls = BASE
    with empty.transaction():
        empty.put_class("root", cls)
        for number in range(1500):
            cls = cls.derive(Class(f"C{number}"))
            empty.put_class("root", cls)
    empty._forget()
    assert empty.get_class("root", "c1499") == cls
    empty.put_instance("root", cls.new(Id=1))
    assert empty.has_instance("root", "Base", name(BASE, 1))
    assert len(empty.class_names("root", "Base")) == 1500
    assert empty.delete_class("root", "Base")
    assert empty.class_names("root") == []


# -- instances


def test_an_instance_comes_back(store: SqliteStore) -> None:
    made = DERIVED.new(Id=7, Note=None, Extra=b"\0\xff")
    made.qualifiers = NameMap([Qualifier.of("Hint", "ü\ud800", Flavor.TO_INSTANCE)])
    store.put_instance(NS, made)
    found = store.get_instance("ROOT/CIMV2", "DERIVED", name(DERIVED, 7))
    assert found is not None
    assert found == made
    assert found.shape is store.get_class(NS, "Derived").shape  # type: ignore[union-attr]
    assert found.path == ObjectPath("Derived", (("Id", 7),), namespace=NS)


def test_putting_again_replaces_everything(store: SqliteStore) -> None:
    store.put_instance(NS, DERIVED.new(Id=7, Extra=b"x", Note="one"))
    store.put_instance(NS, DERIVED.new(Id=7, Note="two"))
    found = store.get_instance(NS, "Derived", name(DERIVED, 7))
    assert found is not None
    assert found.to_dict() == {"Id": 7, "Note": "two", "Extra": None}
    assert ids(store, "Derived") == [7]


def test_one_space_of_keys_in_a_hierarchy(store: SqliteStore) -> None:
    store.put_instance(NS, DERIVED.new(Id=1))
    found = store.get_instance(NS, "Base", name(BASE, 1))
    assert found is not None
    assert found.class_name == "Derived"
    assert store.get_instance(NS, "Leaf", name(LEAF, 1)) is None
    assert not store.has_instance(NS, "Sibling", name(SIBLING, 1))
    assert not store.delete_instance(NS, "Leaf", name(LEAF, 1))
    for other in (BASE, SIBLING, LEAF):
        with pytest.raises(WbemError) as caught:
            store.put_instance(NS, other.new(Id=1))
        assert status_of(caught) == "WBEM_E_ALREADY_EXISTS"
    assert store.delete_instance(NS, "Base", name(BASE, 1))
    assert not store.delete_instance(NS, "Base", name(BASE, 1))
    store.put_instance(NS, SIBLING.new(Id=1))
    assert ids(store, "Derived") == []


def test_keys_are_settled_where_the_property_became_one(store: SqliteStore) -> None:
    """A property that is plain above and a key below: each class below has its own space."""
    plain = Class(
        "Element",
        qualifiers=NameMap([Qualifier.of("abstract")]),
        properties=NameMap([Property("Name", CimType.STRING)]),
    ).rooted()
    store.put_class(NS, plain)
    for below in ("System", "Service"):
        cls = plain.derive(Class(below, properties=NameMap([Property("Name", CimType.STRING, qualifiers=KEY)])))
        store.put_class(NS, cls)
        store.put_instance(NS, cls.new(Name="x"))
    assert [i.class_name for c in ("System", "Service") for i in store.instances(NS, c)] == ["System", "Service"]


def test_singletons_have_one_instance_each(store: SqliteStore) -> None:
    base = Class("Clock", qualifiers=NameMap([Qualifier.of("singleton", flavor=SPREAD)])).rooted()
    for cls in (base, base.derive(Class("LocalClock")), base.derive(Class("UtcClock"))):
        store.put_class(NS, cls)
        store.put_instance(NS, cls.new())
        store.put_instance(NS, cls.new())
    for class_name in ("Clock", "LocalClock", "UtcClock"):
        found = store.get_instance(NS, class_name, "")
        assert found is not None
        assert found.class_name == class_name
        assert len(list(store.instances(NS, class_name))) == 1


SPREAD = Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS


@pytest.mark.parametrize(
    ("type_", "one", "same", "other"),
    [
        (CimType.STRING, "Ärger\ud800", "äRGER\ud800", "argER"),
        (CimType.STRING, "\0", "\0", ""),
        (CimType.UINT64, 2**64 - 1, 2**64 - 1, 2**64 - 2),
        (CimType.BOOLEAN, True, True, False),
        (CimType.DATETIME, "20260101120000.000000+060", "20260101110000.000000+000", "20260101120000.000000+000"),
        (CimType.REFERENCE, 'X.A="1",B=2', 'root:x.b=2,a="1"', 'X.A="1",B=3'),
        (CimType.CHAR16, "a", "A", "b"),
    ],
)
def test_equal_keys_are_one_instance(store: SqliteStore, type_: CimType, one, same, other) -> None:
    cls = Class("Keyed", properties=NameMap([Property("K", type_, qualifiers=KEY)])).rooted()
    store.put_class(NS, cls)
    first = cls.new(K=DateTime(one) if type_ is CimType.DATETIME else one)
    store.put_instance(NS, first)
    store.put_instance(NS, cls.new(K=same))
    assert len(list(store.instances(NS, "Keyed"))) == 1
    store.put_instance(NS, cls.new(K=other))
    assert len(list(store.instances(NS, "Keyed"))) == 2


def test_an_instance_needs_its_keys_and_its_class(store: SqliteStore) -> None:
    with pytest.raises(WbemError) as caught:
        store.put_instance(NS, BASE.new(Note="no key"))
    assert status_of(caught) == "WBEM_E_NO_KEY"
    with pytest.raises(InvalidClass):
        store.put_instance("root", BASE.new(Id=1))
    for call in (store.get_instance, store.has_instance, store.delete_instance):
        with pytest.raises(InvalidClass):
            call(NS, "Other", "x")
    with pytest.raises(InvalidClass):
        store.instances(NS, "Other")  # at once, not with the first instance


def test_an_instance_that_nests_too_deeply_is_refused(store: SqliteStore) -> None:
    cls = Class(
        "Nest", properties=NameMap([Property("Id", CimType.UINT32, qualifiers=KEY), Property("In", CimType.OBJECT)])
    ).rooted()
    store.put_class(NS, cls)
    instance: Instance = cls.new(Id=1)
    for _ in range(40):
        instance = cls.new(Id=1, In=instance)
    with pytest.raises(WbemError) as caught:
        store.put_instance(NS, instance)
    assert status_of(caught) == "WBEM_E_INVALID_OBJECT"


def test_enumeration_runs_in_pages_beside_writers(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "PAGE", 3)
    with store.transaction():
        for number in range(10):
            store.put_instance(NS, BASE.new(Id=number))
            store.put_instance(NS, DERIVED.new(Id=100 + number))
    running = store.instances(NS, "Base")
    seen = [next(running)["Id"]]
    store.delete_instance(NS, "Base", name(BASE, 8))
    store.put_instance(NS, BASE.new(Id=77))
    seen += [instance["Id"] for instance in running]
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 9, 77]


def test_enumeration_ends_when_its_class_goes(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementation, "PAGE", 1)
    for number in range(3):
        store.put_instance(NS, LEAF.new(Id=number))
    running = store.instances(NS, "Leaf")
    next(running)
    store.delete_class(NS, "Leaf")
    store.put_class(NS, LEAF)
    for number in range(9):
        store.put_instance(NS, LEAF.new(Id=number))
    assert list(running) == []


# -- transactions and threads


def test_a_transaction_is_all_or_nothing(store: SqliteStore) -> None:
    store.put_instance(NS, BASE.new(Id=1))
    with suppress(RuntimeError), store.transaction():
        store.create_namespace("root\\new")
        store.put_class(NS, BASE.derive(Class("New")))
        store.put_class(NS, replace(BASE, qualifiers=NameMap([Qualifier.of("changed")])))
        store.put_instance(NS, BASE.new(Id=2))
        store.delete_instance(NS, "Base", name(BASE, 1))
        assert ids(store, "Base") == [2]
        raise RuntimeError
    assert ids(store, "Base") == [1]
    assert store.namespaces() == ["root", NS]
    assert store.class_names(NS) == [cls.name for cls in SCHEMA]
    assert store.get_class(NS, "Base") == BASE


def test_transactions_nest(store: SqliteStore) -> None:
    with store.transaction():
        store.put_instance(NS, BASE.new(Id=1))
        with suppress(RuntimeError), store.transaction():
            store.put_instance(NS, BASE.new(Id=2))
            with store.transaction():
                store.put_instance(NS, BASE.new(Id=3))
            raise RuntimeError
        with pytest.raises(WbemError):
            store.put_instance(NS, BASE.new())
        with store.transaction():
            store.put_instance(NS, BASE.new(Id=4))
    assert ids(store, "Base") == [1, 4]


def test_a_transaction_keeps_other_threads_out(store: SqliteStore) -> None:
    seen: list[list[int]] = []
    reader = threading.Thread(target=lambda: seen.append(ids(store, "Base")))
    with store.transaction():
        store.put_instance(NS, BASE.new(Id=1))
        reader.start()
        store.put_instance(NS, BASE.new(Id=2))
    reader.join()
    assert seen == [[1, 2]]


def test_many_threads(store: SqliteStore) -> None:
    problems: list[BaseException] = []
    barrier = threading.Barrier(4)

    def work(lane: int) -> None:
        try:
            barrier.wait()
            for number in range(50):
                made = BASE.new(Id=lane * 1000 + number)
                store.put_instance(NS, made)
                assert store.has_instance(NS, "Base", str(made.identity))
                if number % 2:
                    assert store.delete_instance(NS, "Base", str(made.identity))
                assert store.get_class(NS, "Leaf") == LEAF
                if number % 10 == 0:
                    list(store.instances(NS, "Base"))
                    store.put_class(NS, BASE)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(ids(store, "Base")) == [lane * 1000 + number for lane in range(4) for number in range(0, 50, 2)]


def test_nothing_works_after_closing(store: SqliteStore) -> None:
    running = store.instances(NS, "Base")
    store.close()
    store.close()
    for call in (store.namespaces, store.check, lambda: list(running), lambda: store.put_class(NS, BASE)):
        with pytest.raises(WbemError) as caught:
            call()
        assert caught.value.status == WbemStatus.WBEM_E_SHUTTING_DOWN


def test_closing_inside_a_transaction_undoes_it(store: SqliteStore) -> None:
    with pytest.raises(WbemError) as caught, store.transaction():
        store.close()
    assert caught.value.status == WbemStatus.WBEM_E_SHUTTING_DOWN
