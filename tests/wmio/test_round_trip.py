"""Any class and any instance comes back from its bytes as it went in."""

from __future__ import annotations

import math
import pickle
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi.cim import (
    ABSENT,
    DEFAULT,
    CimType,
    Class,
    DateTime,
    Flavor,
    Instance,
    NameMap,
    Property,
    Qualifier,
    Shape,
    fold,
)
from openwmi.errors import DecodeError, WbemError
from openwmi.status import WbemStatus
from openwmi.wmio import (
    ClassPartCache,
    Decoration,
    ObjectFlags,
    decode_block,
    decode_class_part,
    decode_instance_no_class,
    decode_object,
    encode_block,
    encode_class_part,
    encode_instance_no_class,
    encode_object,
)
from tests import strategies


def same(one: Instance, other: Instance) -> bool:
    """Stricter than ==: also the states of the slots, the qualifiers of properties, the class."""
    return (
        one == other
        and one.shape == other.shape
        and one.values == other.values
        and one.property_qualifiers == other.property_qualifiers
        and [p.name for p in one.shape.properties] == [p.name for p in other.shape.properties]
    )


@st.composite
def qualified(draw: st.DrawFn, cls: Class) -> Instance:
    instance = draw(strategies.instances(cls))
    for name in cls.properties:
        found = draw(strategies.qualifiers(1))
        if found:
            instance.property_qualifiers[fold(name)] = found
    return instance


def without_methods(cls: Class) -> Class:
    return replace(cls, methods=NameMap())


@given(strategies.classes())
def test_a_class(cls: Class) -> None:
    found = decode_object(encode_object(cls))
    assert found == cls
    assert list(found.shape.cls.properties) == list(cls.properties)


@given(strategies.hierarchies(), st.booleans())
def test_a_derived_class(pair: tuple[Class, Class], with_parent: bool) -> None:
    parent, cls = pair
    assert decode_object(encode_object(cls, parent=parent if with_parent else None)) == cls


@given(st.data())
def test_an_instance(data: st.DataObject) -> None:
    cls = without_methods(data.draw(strategies.classes()))
    instance = data.draw(qualified(cls))
    found = decode_object(encode_object(instance))
    assert isinstance(found, Instance)
    assert found.shape.cls == cls
    assert same(found, instance)
    again = decode_object(encode_object(found))
    assert isinstance(again, Instance)
    assert same(again, instance)


@given(st.data())
def test_an_instance_whose_class_is_known(data: st.DataObject) -> None:
    cls = data.draw(strategies.classes())
    first, second = data.draw(qualified(cls)), data.draw(qualified(cls))
    cache = ClassPartCache()
    whole = decode_block(encode_block(first), cache=cache)
    found = decode_instance_no_class(encode_instance_no_class(second), whole.shape, cache=cache)
    assert found.shape is whole.shape
    assert found.values == second.values
    assert found.property_qualifiers == second.property_qualifiers


@given(st.data())
def test_what_is_absent_is_left_out(data: st.DataObject) -> None:
    cls = data.draw(strategies.classes())
    instance = data.draw(strategies.instances(cls, absent=True))
    found = decode_object(encode_object(instance))
    assert isinstance(found, Instance)
    assert list(found) == list(instance)
    assert found.values == [value for value in instance.values if value is not ABSENT]


def test_partial_instances_share_their_shape() -> None:
    cls = Class("A", properties=NameMap(Property(n, CimType.UINT8, origin="A") for n in "abcdefgh"))
    partial = [Instance.of_values(cls.shape, [1, *[ABSENT] * 7]) for _ in range(2)]
    assert encode_class_part(partial[0]) is encode_class_part(partial[1])
    for mask in range(1, 200):  # what is remembered of a shape is bounded
        encode_object(Instance.of_values(cls.shape, [i if mask >> i & 1 else ABSENT for i in range(8)]))
    assert all(len(plan) <= 64 for plan in cls.shape.plans.values() if isinstance(plan, dict))


class TestOnDemand:
    @given(st.data())
    def test_is_the_same(self, data: st.DataObject) -> None:
        cls = without_methods(data.draw(strategies.classes()))
        instance = data.draw(qualified(cls))
        octets = encode_object(instance)
        one, all_ = (decode_object(octets, on_demand=True) for _ in range(2))
        assert isinstance(one, Instance)
        assert isinstance(all_, Instance)
        for name in cls.properties:
            assert name in one
            assert one[name] == instance[name]
        assert (one.keys, one.namespace, one.server) == (instance.keys, instance.namespace, instance.server)
        assert same(all_, instance)
        assert same(one, instance)
        assert pickle.loads(pickle.dumps(one)) == instance

    def test_reads_only_what_is_asked_for(self) -> None:
        cls = Class("A", properties=NameMap([Property("P", CimType.STRING), Property("Q", CimType.STRING)])).rooted()
        data = encode_object(cls.new(P="good", Q="bad"))
        broken = data.replace(b"\0bad", b"\7bad")
        with pytest.raises(DecodeError):
            decode_object(broken)
        found = decode_object(broken, on_demand=True)
        assert isinstance(found, Instance)
        assert found["p"] == "good"
        for _ in range(2):
            with pytest.raises(DecodeError, match=r"A\.Q.*Encoded-String-Flag 7"):
                found["Q"]
            with pytest.raises(DecodeError, match=r"A\.Q.*Encoded-String-Flag 7"):
                found.to_dict()
        assert found["P"] == "good"

    def test_can_be_changed(self) -> None:
        cls = Class("A", properties=NameMap([Property("P", CimType.STRING, default="d"), Property("Q", CimType.UINT8)]))
        found = decode_object(encode_object(cls.rooted().new(Q=1)), on_demand=True)
        assert isinstance(found, Instance)
        assert (found["P"], found.state("P"), found["__CLASS"]) == ("d", DEFAULT, "A")
        found["Q"] = 2
        assert found.to_dict() == {"P": "d", "Q": 2}
        assert "Z" not in found
        with pytest.raises(KeyError):
            found["Z"]
        with pytest.raises(AttributeError):
            found.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_projection() -> None:
    cls = Class(
        "A",
        "B",
        ("B",),
        properties=NameMap(
            [
                Property("Z", CimType.STRING, origin="A"),
                Property("Y", CimType.UINT16, origin="B", propagated=True),
                Property("X", CimType.UINT8, True, b"ab", origin="A"),
            ]
        ),
    )
    whole = cls.new(Z="z", Y=1)
    part = whole.copy(cls.shape.project(["z", "X"]))
    found = decode_object(encode_object(part))
    assert isinstance(found, Instance)
    assert found.to_dict() == {"Z": "z", "X": b"ab"}
    assert (found.class_name, found.cls.derivation) == ("A", ("B",))
    assert "Y" not in found.cls.properties
    assert encode_class_part(part) == encode_class_part(cls.shape.project(["Z", "X"]))


SPECIALS = [
    (CimType.REAL64, math.inf, "d"),
    (CimType.REAL32, -math.inf, "f"),
    (CimType.REAL64, -0.0, "d"),
    (CimType.REAL64, 5e-324, "d"),
    (CimType.REAL64, math.nan, "d"),
    (CimType.REAL32, math.nan, "f"),
]


@pytest.mark.parametrize(("type_", "value", "code"), SPECIALS)
def test_special_numbers(type_: CimType, value: float, code: str) -> None:
    cls = Class("A", properties=NameMap([Property("P", type_, origin="A")]))
    found = decode_object(encode_object(cls.new(P=value)))
    assert isinstance(found, Instance)
    assert struct.pack(code, found["P"]) == struct.pack(code, value)


STRINGS = [
    ("", "0000"),
    ("key", "006b657900"),  # in the dictionary, but a value is written out
    ("\xe9\xff", "00e9ff00"),
    ("\u0100", "0100010000"),
    ("A\u0100", "01410000010000"),  # a zero octet at the end of one character, another at the beginning of the next
    ("\ud83d\ude00", "013dd800de0000"),
    ("\U0001f600", "013dd800de0000"),
    ("\udc00", "0100dc0000"),
]


@pytest.mark.parametrize(("text", "octets"), STRINGS)
@pytest.mark.requirement("WMIO-2.2.78-01", "WMIO-2.2.78-02", "WMIO-2.2.78-03", "WMIO-2.2.78-04")
def test_strings(text: str, octets: str) -> None:
    cls = Class("A", properties=NameMap([Property("P", CimType.STRING, origin="A")]))
    data = encode_object(cls.new(P=text))
    assert data.endswith(bytes.fromhex("004100" + octets))
    found = decode_object(data)
    assert isinstance(found, Instance)
    assert found["P"] == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def test_where_an_object_comes_from() -> None:
    cls = Class("A", namespace="root\\x", server="S")
    for decoration, expected in (
        (None, ("S", "root\\x")),
        (Decoration("T", "n"), ("T", "n")),
        (Decoration(None, "n"), (None, "n")),
        (Decoration("", ""), (None, None)),
    ):
        for obj in (cls, cls.new()):
            found = decode_object(encode_object(obj, decoration=decoration))
            assert (found.server, found.namespace) == expected


def test_one_class_part_from_two_places() -> None:
    cache = ClassPartCache()
    cls = Class("A")
    for namespace in ("x", "y", "x"):
        found = decode_object(encode_object(cls.new(), decoration=Decoration("S", namespace)), cache=cache)
        assert found.shape.cls.namespace == namespace
    assert len(cache) == 2


def one_property(type_: CimType, *, class_name: str | None = None, **qualifiers: str) -> Class:
    made = NameMap(Qualifier.of(name, value) for name, value in qualifiers.items())
    return Class("A", properties=NameMap([Property("P", type_, class_name=class_name, qualifiers=made, origin="A")]))


CIMTYPES = [
    (one_property(CimType.UINT32), b"\0uint32\0"),
    (one_property(CimType.DATETIME), b"\0datetime\0"),
    (one_property(CimType.REFERENCE), b"\0ref:object\0"),
    (one_property(CimType.REFERENCE, class_name="B"), b"\0ref:B\0"),
    (one_property(CimType.OBJECT), b"\0object\0"),
    (one_property(CimType.OBJECT, class_name="B"), b"\0object:B\0"),
    (one_property(CimType.STRING, CIMTYPE="hexadecimal"), b"\0hexadecimal\0"),
    (one_property(CimType.STRING, CIMTYPE="string:B"), b"\0string:B\0"),
]


@pytest.mark.parametrize(("cls", "octets"), CIMTYPES)
@pytest.mark.requirement("WMIO-2.3.1-02", "WMIO-2.3.2-02", "WMIO-2.3.2-03", "WMIO-2.3.2-04")
def test_cimtype(cls: Class, octets: bytes) -> None:
    data = encode_object(cls)
    assert data.count(octets) == 1
    assert decode_object(data) == cls


@pytest.mark.requirement("WMIO-2.3.1-03")
def test_a_datetime_without_cimtype_is_a_string() -> None:
    data = encode_object(one_property(CimType.STRING, CIMTYPE="sssssss"))
    name = (0x8000000A).to_bytes(4, "little")  # CIMTYPE in the dictionary
    other = (0x80000009).to_bytes(4, "little")
    assert data.count(name) == 1
    info = (CimType.STRING.to_bytes(4, "little"), CimType.DATETIME.to_bytes(4, "little"))
    at = data.index(name)
    changed = data[: at - 18] + info[1] + data[at - 14 :].replace(name, other)
    assert data[at - 18 : at - 14] == info[0]
    found = decode_object(changed)
    assert isinstance(found, Class)
    assert found.properties["P"].type is CimType.STRING


@pytest.mark.requirement("WMIO-2.2.80-01")
def test_names_from_the_dictionary() -> None:
    names = ("key", "read", "write", "volatile", "provider", "dynamic", "cimwin32", "DWORD", '"')
    cls = Class("A", qualifiers=NameMap(Qualifier.of(name) for name in names))
    data = encode_object(cls)
    for ordinal, name in ((1, "key"), (3, "read"), (9, "DWORD"), (0, '"')):
        assert f"\0{name}\0".encode() not in data
        assert (0x80000000 | ordinal).to_bytes(4, "little") in data
    assert decode_object(data) == cls
    # Clients in wide use look for "key", spelled like that.
    upper = Class("A", qualifiers=NameMap([Qualifier.of("Key"), Qualifier.of("CIMWin32")]))
    assert list(decode_object(encode_object(upper)).qualifiers) == ["key", "cimwin32"]


@pytest.mark.requirement("WMIO-2.2.21-01")
def test_the_lookup_table_is_sorted_without_regard_to_case() -> None:
    names = ["b", "A", "c", "_", "B1"]
    cls = Class("X", properties=NameMap(Property(n, CimType.UINT8, origin="X") for n in names))
    data = encode_object(cls)
    at = [data.index(f"\0{name}\0".encode()) for name in ("_", "A", "b", "B1", "c")]
    assert at == sorted(at)
    found = decode_object(data)
    assert list(found.shape.cls.properties) == names


def test_inheritance_over_three_classes() -> None:
    spreads = Qualifier.of("key", flavor=Flavor.TO_SUBCLASS)
    top = Class("T", properties=NameMap([Property("K", CimType.STRING, qualifiers=NameMap([spreads]))])).rooted()
    middle = top.derive(Class("M", properties=NameMap([Property("N", CimType.SINT8, default=-3)])))
    low = middle.derive(
        Class("L", properties=NameMap([Property("N", CimType.SINT8, default=4), Property("O", CimType.BOOLEAN)]))
    )
    found = decode_object(encode_object(low, parent=middle))
    assert isinstance(found, Class)
    assert found == low
    assert [(p.name, p.origin, p.propagated) for p in found.properties.each()] == [
        ("K", "T", True),
        ("N", "M", False),
        ("O", "L", False),
    ]
    # ClassOfOrigin counts from the root class down
    assert [encode_object(low).count(name) for name in (b"\0T\0", b"\0M\0", b"\0L\0")] == [2, 2, 1]


@pytest.mark.parametrize("default", [5, None])
def test_a_property_that_is_overridden_is_inherited_all_the_same(default: int | None) -> None:
    """2.2.32: it was first declared in the parent. Its NdTable and its qualifiers say that it is declared again."""
    top = Class("T", properties=NameMap([Property("N", CimType.UINT8, default=3)])).rooted()
    for qualifiers in (NameMap[Qualifier](), NameMap([Qualifier.of("read")])):
        low = top.derive(
            Class("L", properties=NameMap([Property("N", CimType.UINT8, False, default, None, qualifiers)]))
        )
        part = encode_class_part(low)
        assert struct.pack("<IHII", CimType.UINT8 | 0x4000, 0, 0, 0) in part
        found = decode_object(encode_object(low))
        assert isinstance(found, Class)
        assert found == low
        assert not found.properties["N"].propagated
        # Windows leaves the default's bit alone where only a qualifier is new.
        at = part.index(struct.pack("<IHII", CimType.UINT8 | 0x4000, 0, 0, 0))
        nd = bytearray(part)
        table = 13 + 4 + len(b"\0T\0") + 4 + 4 + 4 + 8
        nd[table] |= 2
        assert at > table
        found_again = decode_class_part(bytes(nd)).properties[0]
        assert (found_again.propagated, found_again.inherits_default) == (False, True)
        assert found_again.default == default


def test_an_override_that_inherits_its_default() -> None:
    """2.2.27: the bit for that is set, and a qualifier of its own tells it from a property that is not overridden."""
    top = Class("T", properties=NameMap([Property("N", CimType.UINT8, default=3)])).rooted()
    own = Property("N", CimType.UINT8, qualifiers=NameMap([Qualifier.of("read")]), inherits_default=True)
    for declared, state in (([own], 2), ([replace(own, inherits_default=False)], 1), ([], 2)):
        low = top.derive(Class("L", properties=NameMap(declared)))
        part = encode_class_part(low)
        assert part[13 + 4 + len(b"\0T\0") + 4 + 4 + 4 + 8] & 3 == state
        assert decode_object(encode_object(low)) == low
    # The superclass that is made up for it has the default, too.
    low = top.derive(Class("L", properties=NameMap([own])))
    assert encode_object(low) == encode_object(low, parent=top)
    # A more exact class of the embedded objects is an override too, which only CIMTYPE shows.
    top = Class("T", properties=NameMap([Property("N", CimType.OBJECT)])).rooted()
    exact = Property("N", CimType.OBJECT, class_name="T", inherits_default=True)
    low = top.derive(Class("L", properties=NameMap([exact])))
    assert not low.properties["N"].propagated
    assert decode_object(encode_object(low)) == low


def test_the_wrong_parent_is_refused() -> None:
    with pytest.raises(WbemError, match="not the superclass"):
        encode_object(Class("A", "B", ("B",)), parent=Class("C"))


def nested(depth: int) -> Instance:
    cls = Class("A", properties=NameMap([Property("P", CimType.OBJECT, origin="A")]))
    made = cls.new()
    for _ in range(depth):
        made = cls.new(P=made)
    return made


UNFIT = [
    (Class("A").new, {}, None),
    (one_property(CimType.STRING).new, {"P": "a\0b"}, WbemStatus.WBEM_E_INVALID_PARAMETER),
    (lambda: nested(17), {}, WbemStatus.WBEM_E_INVALID_PARAMETER),
    (lambda: nested(16), {}, None),
]


@pytest.mark.parametrize(("make", "values", "status"), UNFIT)
def test_what_the_format_cannot_carry(make, values, status) -> None:
    instance = make(**values)
    if status is None:
        assert decode_object(encode_object(instance)) == instance
        return
    with pytest.raises(WbemError) as caught:
        encode_object(instance)
    assert caught.value.status == status


WRONG = [
    (CimType.UINT8, False, 256),
    (CimType.UINT32, False, "7"),
    (CimType.REAL32, False, 1e300),
    (CimType.STRING, False, 7),
    (CimType.STRING, True, 7),
    (CimType.STRING, True, (7,)),
    (CimType.DATETIME, False, "text"),
    (CimType.UINT16, True, (1, 70000)),
    (CimType.CHAR16, False, "ab"),
    (CimType.OBJECT, False, "text"),
]


@pytest.mark.parametrize(("type_", "is_array", "value"), WRONG)
def test_a_value_of_another_type_is_the_callers_mistake(type_: CimType, is_array: bool, value: object) -> None:
    """`Instance.of_values` checks nothing, so the encoder must."""
    cls = Class("A", properties=NameMap([Property("Prop", type_, is_array, origin="A")]))
    with pytest.raises(WbemError, match="Prop") as caught:
        encode_object(Instance.of_values(cls.shape, [value]))
    assert caught.value.status == WbemStatus.WBEM_E_TYPE_MISMATCH


def test_a_prototype() -> None:
    flags = ObjectFlags.PROTOTYPE | ObjectFlags.KEYS_MISSING
    cls = Class("A", properties=NameMap([Property("P", CimType.STRING, origin="B", propagated=True)]))
    data = encode_object(cls, flags=flags)
    assert data[8] == 0x51
    found = decode_object(data)
    assert isinstance(found, Class)
    assert found.properties["P"].origin == ""  # the derivation that would name it is left out
    with pytest.raises(ValueError, match="does not go with"):
        encode_object(cls.new(), flags=flags)


def test_states_in_the_ndtable() -> None:
    cls = Class(
        "A",
        properties=NameMap(
            Property(name, CimType.UINT8, default=default, origin="A")
            for name, default in (("a", 1), ("b", None), ("c", 1), ("d", None), ("e", 1))
        ),
    )
    instance = Instance.of_values(cls.shape, [DEFAULT, DEFAULT, None, 5, 6])
    data = encode_object(instance)
    part = encode_class_part(cls)
    at = data.index(part) + len(part) + 9
    assert data[at : at + 7] == bytes([0b00_01_11_10, 0, 0, 0, 0, 5, 6])
    found = decode_object(data)
    assert isinstance(found, Instance)
    assert found.values == instance.values


def test_a_decoded_object_can_be_pickled() -> None:
    cls = Class("A", properties=NameMap([Property("P", CimType.DATETIME, origin="A")]))
    found = decode_object(encode_object(cls.new(P=DateTime("20260131120000.000000+060"))))
    assert pickle.loads(pickle.dumps(found)) == found


class TestCache:
    def part(self, name: str, size: int = 0) -> Instance:
        return Class(name, qualifiers=NameMap([Qualifier.of("d", "x" * size)])).new()

    def test_is_bounded_in_entries(self) -> None:
        cache = ClassPartCache(entries=2)
        for name in ("A", "B", "A", "C"):
            decode_object(encode_object(self.part(name)), cache=cache)
        assert len(cache) == 2
        kept = decode_object(encode_object(self.part("A")), cache=cache)
        assert decode_object(encode_object(self.part("A")), cache=cache).shape is kept.shape

    def test_is_bounded_in_size(self) -> None:
        cache = ClassPartCache(size=1000)
        for name in ("A", "B", "C"):
            decode_object(encode_object(self.part(name, 400)), cache=cache)
        assert len(cache) == 2
        decode_object(encode_object(self.part("D", 1000)), cache=cache)
        assert len(cache) == 2

    def test_shape_remembers_its_bytes(self) -> None:
        cls = Class("A", properties=NameMap([Property("P", CimType.STRING)]))
        assert encode_class_part(cls) is encode_class_part(cls)
        shape: Shape = cls.shape.project(["P"])
        assert encode_class_part(shape) is encode_class_part(shape)
