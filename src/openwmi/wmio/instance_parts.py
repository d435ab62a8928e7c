"""One instance: InstanceType without its CurrentClass (2.2.53-2.2.58, 2.2.65), both ways.

Read on demand, an instance begins as little more than its value table: what a reference leads to is looked up when its
property is asked for, or all at once for whoever wants all. So one property does not cost what all cost; the price is
that a mistake in the heap shows only then, as the same `DecodeError`, whose offset counts from the InstanceType.
"""

from __future__ import annotations

from typing import Any, Final

from openwmi.cim import ABSENT, DEFAULT, Instance, NameMap, Qualifiers, Shape, fold
from openwmi.errors import DecodeError
from openwmi.wmio.class_parts import plan_of
from openwmi.wmio.layout import DICTIONARY_FLAG, INSTANCE_HEADER, Decoration
from openwmi.wmio.plans import Plan
from openwmi.wmio.qualifiers import read_qualifiers
from openwmi.wmio.reading import Cursor, Heap, Scope, open_heap
from openwmi.wmio.value_tables import ValueTable, unset_in, write_values
from openwmi.wmio.writing import HeapWriter, Nesting, Octets

__all__ = ["present_shape", "read_instance_body", "read_instance_part", "write_instance_body", "write_instance_part"]

_NO_QUALIFIERS: Final = b"\x04\0\0\0\x01"  # an empty set, and no sets for properties
_WITHOUT_SETS, _WITH_SETS = 1, 2  # InstPropQualSetFlag
_SHAPES: Final = "wmio present"  # the key in Shape.plans of the shapes that lack some properties
_MAX_SHAPES: Final = 64


# -- reading


class _OnDemand(Instance):
    """An instance that reads its values from a table; an ordinary one as soon as something needs them all.

    Its slot `values` is empty until then, which is when Python asks `__getattr__`.
    """

    __slots__ = ("_table",)
    _table: ValueTable | None

    @classmethod
    def of(cls, table: ValueTable, plan: Plan, decoration: Decoration) -> _OnDemand:
        made = cls.__new__(cls)
        made.shape = plan.shape
        made.server, made.namespace = decoration
        made.qualifiers = _NO_SET
        made.property_qualifiers = {}
        made._table = table
        return made

    def __getattr__(self, name: str) -> Any:
        if name != "values" or self._table is None:
            raise AttributeError(f"an Instance has no attribute {name}")
        self.values = self._table.all(again=True)
        self._table = None
        return self.values

    def __getitem__(self, name: str) -> Any:
        if self._table is None or name.startswith("__"):
            return super().__getitem__(name)
        index = self._slot(name)
        value = self._table.one(index)
        return self.shape.properties[index].default if value is DEFAULT else value

    def __contains__(self, name: object) -> bool:
        # What came in bytes has all the properties of its shape.
        return isinstance(name, str) and fold(name) in self.shape.index if self._table else super().__contains__(name)


_NO_SET: Final[Qualifiers] = NameMap()


def read_instance_part(
    cursor: Cursor, plan: Plan, scope: Scope, decoration: Decoration, *, on_demand: bool = False
) -> Instance:
    """The instance of `plan`'s class whose part begins where `cursor` stands, which moves behind it.

    Between the end of the heap and that of the part there may be slack.
    """
    data, at = cursor.data, cursor.at
    length, _flags, class_name = cursor.unpack(INSTANCE_HEADER, "InstanceType")
    if length > cursor.end - at:
        raise DecodeError(f"{cursor.field}.EncodingLength", at, f"{length} in {cursor.end - at} bytes")
    cursor.at = at + length
    if on_demand:  # it may live long, and must not keep a whole packet alive
        data, at = data[at : cursor.at], 0
    part = Cursor(data, at + INSTANCE_HEADER.size, at + length, cursor.field)
    return read_instance_body(part, plan, scope, decoration, class_name, on_demand=on_demand)


def read_instance_body(
    cursor: Cursor,
    plan: Plan,
    scope: Scope,
    decoration: Decoration,
    class_name: int | None = None,
    *,
    on_demand: bool = False,
) -> Instance:
    """NdTable to InstanceHeap. `class_name` is the InstanceClassName, for the forms that have one."""
    table = ValueTable(cursor, plan)
    sets = _skip_qualifiers(cursor, plan)
    heap = open_heap(cursor, scope)
    if class_name is None:
        table.attach(heap)
    else:
        _check_name(heap, class_name, plan)
        table.attach(heap, class_name)
    if sets is None:
        if on_demand:
            return _OnDemand.of(table, plan, decoration)
        server, namespace = decoration
        return Instance.of_values(plan.shape, table.all(), namespace=namespace, server=server)
    own = read_qualifiers(sets[0], heap)
    of_properties = _property_qualifiers(sets[1:], plan, heap)
    made = Instance.of_values(plan.shape, table.all(), namespace=decoration.namespace, server=decoration.server)
    made.qualifiers = own
    made.property_qualifiers = of_properties
    return made


def _check_name(heap: Heap, reference: int, plan: Plan) -> None:
    if plan.name and not reference & DICTIONARY_FLAG:
        at = heap.start + reference
        if heap.data.startswith(plan.name, at, heap.end):
            heap.claim(at, at + len(plan.name), "InstanceClassName")
            return
    name = heap.string(reference, "InstanceClassName") or ""
    if fold(name) != fold(plan.shape.cls.name):
        raise DecodeError("InstanceClassName", heap.start, f"{name} is not the class {plan.shape.cls.name}")


def _skip_qualifiers(cursor: Cursor, plan: Plan) -> list[Cursor] | None:
    """Cursors over the qualifier sets, the instance's own first: they refer to a heap that comes after them."""
    if cursor.end - cursor.at >= 5 and cursor.data.startswith(_NO_QUALIFIERS, cursor.at):
        cursor.at += 5
        return None
    sets = [cursor.window("InstanceQualifierSet")]
    at = cursor.skip(1, "InstPropQualSetFlag")
    flag = cursor.data[at]
    if flag == _WITH_SETS:
        sets += [cursor.window("InstancePropQualifierSet") for _ in plan.lookup]
    elif flag != _WITHOUT_SETS:
        raise DecodeError(f"{cursor.field}.InstPropQualSetFlag", at, f"{flag} is neither 1 nor 2")
    return sets


def _property_qualifiers(sets: list[Cursor], plan: Plan, heap: Heap) -> dict[str, Qualifiers]:
    found = {}
    for index, cursor in zip(plan.lookup, sets, strict=False):  # no sets at all where the flag says so
        if cursor.at < cursor.end:
            found[fold(plan.shape.properties[index].name)] = read_qualifiers(cursor, heap)
    return found


# -- writing


def present_shape(instance: Instance) -> Shape:
    """The shape without the properties that are absent: the wire cannot say that one is, but by leaving it out.

    Partial instances of one result mostly lack the same properties, so the shape remembers such shapes.
    """
    shape = instance.shape
    present = tuple([i for i, value in enumerate(instance.values) if value is not ABSENT])
    if len(present) == len(instance.values):
        return shape
    known: dict[tuple[int, ...], Shape] = shape.plans.setdefault(_SHAPES, {})
    found = known.get(present)
    if found is None:
        while len(known) >= _MAX_SHAPES:
            del known[next(iter(known))]
        found = known[present] = shape.project(instance)
    return found


def write_instance_part(instance: Instance, nesting: Nesting) -> tuple[Plan, tuple[Octets, ...]]:
    """The pieces from EncodingLength to InstanceHeap, and the plan with the class part that goes with them."""
    heap = HeapWriter(nesting)
    plan = plan_of(instance.shape, nesting)
    name = heap.put(plan.name) if plan.name else heap.class_name(instance.shape.cls.name)
    plan, body = write_instance_body(instance, plan, heap)
    return plan, (INSTANCE_HEADER.pack(INSTANCE_HEADER.size + sum(map(len, body)), 0, name), *body)


def write_instance_body(instance: Instance, plan: Plan, heap: HeapWriter) -> tuple[Plan, tuple[Octets, ...]]:
    """The pieces from NdTable to InstanceHeap, which is `heap` with the values added.

    With them comes `plan`, or another one if some properties are absent.
    """
    values = instance.values
    unset = unset_in(values)
    if any([values[i] is ABSENT for i in unset]):  # noqa: C419 - these are few
        plan = plan_of(present_shape(instance), heap.nesting)
        values = [value for value in values if value is not ABSENT]
        unset = unset_in(values)
    table = write_values(values, unset, plan, heap)
    return plan, (table, _encode_qualifiers(instance, plan, heap), *heap.parts())


def _encode_qualifiers(instance: Instance, plan: Plan, heap: HeapWriter) -> bytes:
    own = instance.property_qualifiers
    if not own and not instance.qualifiers:
        return _NO_QUALIFIERS
    parts = [heap.qualifier_set(instance.qualifiers)]
    if not any(own.values()):
        parts.append(bytes([_WITHOUT_SETS]))
    else:
        names = (fold(plan.shape.properties[i].name) for i in plan.lookup)
        parts.append(bytes([_WITH_SETS]))
        parts += [heap.qualifier_set(own.get(name, _NO_SET)) for name in names]
    return b"".join(parts)
