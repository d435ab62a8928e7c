"""Classes and instances as MOF, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openwmi.cim import CimType, Class, Direction, Instance, Method, NameMap, Parameter, Property, Qualifier, fold
from openwmi.errors import WbemError
from openwmi.mof import export_mof, write_mof
from tests import strategies

from .support import SAMPLE, compiled, objects, one_class, one_instance

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _spelled(cls: Class) -> Class:
    """The class with what MOF cannot leave open: a direction is a qualifier, a value says its qualifier's type."""

    def parameter(p: Parameter) -> Parameter:
        marks = [Qualifier.of(n) for n, d in (("In", Direction.IN), ("Out", Direction.OUT)) if p.direction & d]
        return replace(p, qualifiers=NameMap(marks).with_items(map(qualifier, p.qualifiers.each())), default=None)

    def qualifier(q: Qualifier) -> Qualifier:
        return replace(q, type=CimType.STRING) if q.is_array and q.value == () else q

    def method(m: Method) -> Method:
        qualifiers = NameMap(map(qualifier, m.qualifiers.each()))
        return replace(m, qualifiers=qualifiers, parameters=NameMap(map(parameter, m.parameters.each())))

    def prop(p: Property) -> Property:
        class_name = p.class_name if p.type is CimType.REFERENCE else None
        default = None if p.type is CimType.OBJECT else p.default
        return replace(
            p, default=default, class_name=class_name, qualifiers=NameMap(map(qualifier, p.qualifiers.each()))
        )

    return replace(
        cls,
        qualifiers=NameMap(map(qualifier, cls.qualifiers.each())),
        properties=NameMap(map(prop, cls.properties.each())),
        methods=NameMap(map(method, cls.methods.each())),
    )


def _plain_qualifiers(instance: Instance) -> Instance:
    qualifiers = [
        replace(q, type=CimType.STRING) if q.is_array and q.value == () else q for q in instance.qualifiers.each()
    ]
    instance.qualifiers = NameMap(qualifiers)
    return instance


CLASSES = strategies.classes().map(_spelled)
SOMEBODY = Class("Somebody")  # whom a method of those may return


@QUICK
@given(CLASSES)
def test_a_class_compiles_to_itself(cls: Class) -> None:
    assert one_class(write_mof(cls), SOMEBODY) == cls


@QUICK
@given(CLASSES, st.data())
def test_a_subclass_compiles_to_itself(base: Class, data: st.DataObject) -> None:
    own = data.draw(CLASSES.filter(lambda c: fold(c.name) != fold(base.name) and not c.keys))
    fresh = replace(  # what it overrides might be what may not be overridden
        own,
        qualifiers=own.qualifiers.without(*base.qualifiers),
        properties=own.properties.without(*base.properties),
        methods=own.methods.without(*base.methods),
    )
    derived = base.derive(fresh)
    assert one_class(write_mof(derived), SOMEBODY, base) == derived


@QUICK
@given(CLASSES, st.data())
def test_an_instance_compiles_to_itself(cls: Class, data: st.DataObject) -> None:
    instance = data.draw(strategies.instances(_without_objects(cls), depth=0).map(_plain_qualifiers))
    again = one_instance(write_mof(instance), instance.cls)
    assert again == instance
    assert again.values == instance.values


def _without_objects(cls: Class) -> Class:
    return replace(cls, properties=NameMap(p for p in cls.properties.each() if p.type is not CimType.OBJECT))


def test_the_sample_compiles_to_itself() -> None:
    made = [item.object for item in compiled(SAMPLE) if isinstance(item.object, Class | Instance)]
    known = [cls for cls in made if isinstance(cls, Class)]
    toy = one_class("class Toy { string Kind; };")
    for obj in made:
        (again,) = objects(write_mof(obj), *known, toy)
        assert again == obj
    rex = next(obj for obj in made if isinstance(obj, Instance))
    assert one_instance(write_mof(rex), *known).property_qualifiers == rex.property_qualifiers


def test_the_default_of_a_property_that_is_overridden() -> None:
    base = one_class("class B { uint8 A = 5; };")
    for written, default in (("A", 5), ("A = NULL", None), ("A = 7", 7)):
        cls = one_class(f"class D : B {{ [Read] uint8 {written}; }};", base)
        assert cls.properties["A"].default == default
        assert cls.new()["A"] == default
        assert f"uint8 {written};" in write_mof(cls)
        assert one_class(write_mof(cls), base) == cls


def test_how_it_looks() -> None:
    text = """[Description("A dog") : ToSubclass, dynamic]
class Dog : Animal
{
    [key]
    string Name;
    Dog ref Friend = NULL;
    uint8 Bytes[] = {1, 2};
    object Thing = instance of Toy
    {
        Kind = "b\\"\\\\\\x00A0";
    };
    [static]
    uint32 Bark(
        [In, ID(0)] string Text,
        [Out, ID(1)] real64 Size = 1.5);
    void Stop();
};
"""
    animal, toy = one_class("class Animal {};"), one_class("class Toy { string Kind; };")
    written = write_mof(one_class(text, replace(animal, qualifiers=NameMap([Qualifier.of("abstract")])), toy))
    assert written == text.replace(" = NULL", "")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_cannot_be_written(value: float) -> None:
    cls = Class("A", properties=NameMap([Property("r", CimType.REAL64, default=value)])).rooted()
    with pytest.raises(WbemError, match="no way to write"):
        write_mof(cls)


@pytest.mark.parametrize("value", [1e22, 1e-7, 5e-324, 1.7976931348623157e308, 0.1, -0.0])
def test_reals(value: float) -> None:
    cls = Class("A", properties=NameMap([Property("r", CimType.REAL64, default=value)])).rooted()
    assert repr(one_class(write_mof(cls)).properties["r"].default) == repr(value)


def test_objects_nested_without_end_are_refused() -> None:
    cls = one_class("class A { object o; };")
    instance = cls.new()
    instance["o"] = instance
    with pytest.raises(WbemError, match="deep"):
        write_mof(instance)


def test_many_objects_in_an_order_that_compiles() -> None:
    text = 'class A { [key] string n; }; class B : A {}; class C : B {}; class D {}; instance of C { n = "1"; };'
    made = objects(text)
    shuffled = [made[4], made[2], made[3], made[1], made[0]]
    written = "".join(export_mof(shuffled, "root\\test"))
    items = compiled(written, namespace="root\\elsewhere")
    assert {item.namespace for item in items} == {"root\\test"}
    assert [item.object for item in items] == [*made[:4], made[4]]
    # What is not among them is taken to be there.
    assert "".join(export_mof(made[2:3])) == write_mof(made[2]) + "\n"


def test_flavors_that_differ_from_the_default_are_spelled() -> None:
    cls = one_class("class A { [key : NotToInstance EnableOverride] string s; };")
    assert "[key : NotToInstance EnableOverride]" in write_mof(cls)


def test_a_direction_without_a_qualifier_gets_one() -> None:
    parameters = [Parameter("a", CimType.STRING), Parameter("b", CimType.STRING, direction=Direction.OUT, id=1)]
    cls = Class("A", methods=NameMap([Method("m", NameMap(parameters), None)])).rooted()
    again = one_class(write_mof(cls))
    assert [p.direction for p in again.methods["m"].parameters.each()] == [Direction.IN, Direction.OUT]
