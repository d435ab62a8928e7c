"""A query against a schema: does what it asks for exist, can it be compared, and which objects match.

`analyse` makes a plan of a data query and the class it names; `analyse_schema` one of a query for classes. A class
that is not there is WBEM_E_INVALID_CLASS; an unknown property or an impossible comparison WBEM_E_INVALID_QUERY, each a
`WqlError` with the position. What lies behind a dot is looked up in each object, since embedded objects are of any
class: a path that leads nowhere is no error and matches nothing, as the documentation has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from openwmi.cim import SYSTEM_PROPERTIES, CimType, Class, Instance, Unset, fold, is_system_name
from openwmi.status import WbemStatus
from openwmi.wql.errors import WqlError
from openwmi.wql.evaluate import Impossible, Test, comparison
from openwmi.wql.required import Requirement, requirements, terms
from openwmi.wql.tree import (
    And,
    Comparison,
    Constant,
    Expression,
    Isa,
    IsNull,
    Not,
    Operator,
    Or,
    PropertyPath,
    SchemaQuery,
    SelectQuery,
)

__all__ = ["SchemaPlan", "SelectPlan", "analyse", "analyse_schema", "check_is_for_data"]

Predicate: TypeAlias = Callable[[Any], bool]
_Read: TypeAlias = Callable[[Any], Any]

_THIS: Final = "__this"
_OF_CLASS: Final = frozenset({_THIS, "__class", "__superclass", "__dynasty", "__derivation"})


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class SelectPlan:
    """How to answer a data query: from the instances of `cls` and its subclasses, those that `predicate` is true of.

    `projection` names the properties to give, as the class spells them, system ones included; None is all of them.
    `requirements` are true of every match: enough to look an object up by its key, or to ask a database for less.
    """

    cls: Class
    query: SelectQuery
    projection: tuple[str, ...] | None
    predicate: Callable[[Instance], bool]
    requirements: tuple[Requirement, ...] = ()
    _class_predicate: Predicate = field(default=_always, repr=False)

    @property
    def equalities(self) -> Mapping[str, Any]:
        """The properties, as the class spells them, that every match has with this very value (text: but for case)."""
        return {r.property: r.value for r in reversed(self.requirements) if r.operator == "=" and r.value is not None}

    def concerns(self, cls: Class) -> bool:
        """Whether instances of exactly this class can match at all, as far as the class itself tells."""
        return self._class_predicate(cls)


@dataclass(frozen=True)
class SchemaPlan:
    """How to answer a query for classes: those that `predicate` is true of.

    `root` is the class whose subclasses (and itself) every match is among, where ISA says so.
    """

    query: SchemaQuery
    predicate: Callable[[Class], bool]
    root: str | None = None


def analyse(query: SelectQuery, cls: Class | None) -> SelectPlan:
    """The plan of a data query; `cls` is the class that it names, None if there is none. Raises `WqlError`."""
    check_is_for_data(query)
    if cls is None:
        raise WqlError(
            f"there is no class {query.class_name}", query.text, query.class_offset, WbemStatus.WBEM_E_INVALID_CLASS
        )
    builder = _Builder(query.text, cls)
    projection = None
    if query.properties is not None:
        projection = tuple(dict.fromkeys(builder.selected(path) for path in query.properties))
    if query.where is None:
        return SelectPlan(cls, query, projection, _always)
    predicate = builder.predicate(query.where)
    return SelectPlan(cls, query, projection, predicate, requirements(query.where, cls), builder.of_class(query.where))


def check_is_for_data(query: SelectQuery) -> None:
    """Raises `WqlError` (WBEM_E_NOT_SUPPORTED) for a query that can only be one for events."""
    if query.within is not None or query.group is not None:
        raise WqlError(
            "WITHIN and GROUP belong to queries for events, which ExecNotificationQuery takes",
            query.text, query.class_offset, WbemStatus.WBEM_E_NOT_SUPPORTED,
        )  # fmt: skip


def analyse_schema(query: SchemaQuery) -> SchemaPlan:
    """The plan of a query for classes: system properties, and ``__THIS ISA``. Raises `WqlError`."""
    if query.where is None:
        return SchemaPlan(query, _always)
    predicate = _Builder(query.text, None).predicate(query.where)
    roots = [term.class_name for term in terms(query.where) if isinstance(term, Isa)]
    return SchemaPlan(query, predicate, roots[0] if roots else None)


class _Builder:
    """Predicates over the objects of one class; over classes themselves where `cls` is None."""

    def __init__(self, text: str, cls: Class | None) -> None:
        self.text = text
        self.cls = cls

    def selected(self, path: PropertyPath) -> str:
        """The name of a selected property as the class spells it; of a dotted one, the whole embedded object."""
        assert self.cls is not None
        name = path.names[0]
        if name in self.cls.properties:
            declared = self.cls.properties[name]
            if len(path.names) > 1 and declared.type is not CimType.OBJECT:
                raise self._problem(f"{declared.name} is no embedded object", path)
            return declared.name
        system = SYSTEM_PROPERTIES.get(name.upper())
        if system is None or len(path.names) > 1:
            raise self._problem(f"{self.cls.name} has no property {name}", path)
        return system.name

    def predicate(self, expression: Expression) -> Predicate:
        """The expression as a function of an object."""
        if isinstance(expression, And):
            return _all([self.predicate(term) for term in expression.terms])
        if isinstance(expression, Or):
            return _any([self.predicate(term) for term in expression.terms])
        if isinstance(expression, Not):
            return _not(self.predicate(expression.term))
        if isinstance(expression, IsNull):
            return self._is_null(expression)
        if isinstance(expression, Isa):
            return self._isa(expression)
        return self._comparison(expression)

    def of_class(self, where: Expression) -> Predicate:
        """What the expression asks of an instance's class, as a function of the class."""
        found = [self.predicate(term) for term in terms(where) if _is_about_class(term)]
        return _all(found) if found else _always

    def _comparison(self, node: Comparison) -> Predicate:
        path = node.property
        if fold(path.names[0]) == _THIS:
            raise self._problem("__THIS goes with ISA only", path)
        type_, is_array, read = self._property(path)
        if len(path.names) > 1:
            return _late(_follow(read, path.names[1:]), node.operator, node.constant)
        try:
            test = comparison(type_, is_array, node.operator, node.constant.value)
        except Impossible as reason:
            raise WqlError(f"{path}: {reason}", self.text, node.constant.offset) from None
        return _tested(read, test)

    def _is_null(self, node: IsNull) -> Predicate:
        path = node.property
        if fold(path.names[0]) == _THIS:
            raise self._problem("__THIS goes with ISA only", path)
        _, _, read = self._property(path)
        if len(path.names) == 1:
            return (lambda obj: read(obj) is not None) if node.negated else (lambda obj: read(obj) is None)
        follow = _follow(read, path.names[1:])

        def is_null(obj: Any) -> bool:
            found = follow(obj)
            return found is not None and (found[2] is None) is not node.negated

        return is_null

    def _isa(self, node: Isa) -> Predicate:
        path, wanted = node.property, node.class_name
        if len(path.names) == 1 and fold(path.names[0]) == _THIS:
            return lambda obj: obj.shape.cls.is_a(wanted)
        type_, is_array, read = self._property(path)
        if len(path.names) > 1:
            follow = _follow(read, path.names[1:])

            def isa(obj: Any) -> bool:
                found = follow(obj)
                return found is not None and _is_object_of(found[2], wanted)

            return isa
        if type_ is not CimType.OBJECT or is_array:
            raise self._problem(f"ISA goes with an embedded object, which {path} is not", path)
        return lambda obj: _is_object_of(read(obj), wanted)

    def _property(self, path: PropertyPath) -> tuple[CimType, bool, _Read]:
        """Type and reader of the path's first property; behind a dot it has to be an embedded object."""
        name = path.names[0]
        if self.cls is not None and name in self.cls.properties:
            declared = self.cls.properties[name]
            if len(path.names) > 1 and (declared.type is not CimType.OBJECT or declared.is_array):
                raise self._problem(f"{declared.name} is no embedded object", path)
            return declared.type, declared.is_array, _reader(fold(name))
        system = SYSTEM_PROPERTIES.get(name.upper()) if is_system_name(name) else None
        if system is None or len(path.names) > 1:
            what = (
                "a query for classes knows system properties only, not"
                if self.cls is None
                else f"{self.cls.name} has no property"
            )
            raise self._problem(f"{what} {name}", path)
        return system.type, system.is_array, system.read

    def _problem(self, message: str, path: PropertyPath) -> WqlError:
        return WqlError(message, self.text, path.offset)


def _is_about_class(term: Expression) -> bool:
    """Whether an instance and its class give the same answer."""
    if isinstance(term, Not):
        return _is_about_class(term.term)
    if isinstance(term, And | Or):
        return all(map(_is_about_class, term.terms))
    names = term.property.names
    return len(names) == 1 and fold(names[0]) in _OF_CLASS


def _all(parts: list[Predicate]) -> Predicate:
    if len(parts) == 2:
        first, second = parts
        return lambda obj: first(obj) and second(obj)
    return lambda obj: all(part(obj) for part in parts)


def _any(parts: list[Predicate]) -> Predicate:
    if len(parts) == 2:
        first, second = parts
        return lambda obj: first(obj) or second(obj)
    return lambda obj: any(part(obj) for part in parts)


def _not(part: Predicate) -> Predicate:
    return lambda obj: not part(obj)


def _tested(read: _Read, test: Test) -> Predicate:
    def holds(obj: Any) -> bool:
        value = read(obj)
        return value is not None and test(value)

    return holds


def _reader(key: str) -> _Read:
    """Reads a property of an instance; NULL where the instance, as a partial one, has not got it."""

    def read(instance: Instance) -> Any:
        shape = instance.shape
        index = shape.index.get(key)
        if index is None:
            return None
        value = instance.values[index]
        if isinstance(value, Unset):
            return shape.properties[index].default if value is Unset.DEFAULT else None
        return value

    return read


def _follow(read: _Read, names: tuple[str, ...]) -> Callable[[Any], tuple[CimType, bool, Any] | None]:
    """The type and the value at the end of a path into embedded objects; None where it leads nowhere."""

    def follow(obj: Any) -> tuple[CimType, bool, Any] | None:
        value = read(obj)
        found: tuple[CimType, bool, Any] | None = None
        for name in names:
            found = _member(value, name)
            if found is None:
                return None
            value = found[2]
        return found

    return follow


def _member(obj: Any, name: str) -> tuple[CimType, bool, Any] | None:
    if not isinstance(obj, Instance | Class):
        return None
    system = SYSTEM_PROPERTIES.get(name.upper())
    if system is not None:
        return system.type, system.is_array, system.read(obj)
    cls = obj.shape.cls
    if name not in cls.properties:
        return None
    declared = cls.properties[name]
    value = declared.default if isinstance(obj, Class) else obj.get(name)
    return declared.type, declared.is_array, value


def _late(
    follow: Callable[[Any], tuple[CimType, bool, Any] | None], operator: Operator, constant: Constant
) -> Predicate:
    """A comparison whose type only the object tells. One that is impossible for it is false of it."""
    tests: dict[tuple[CimType, bool], Test | None] = {}

    def holds(obj: Any) -> bool:
        found = follow(obj)
        if found is None or found[2] is None:
            return False
        kind = found[0], found[1]
        if kind not in tests:
            try:
                tests[kind] = comparison(*kind, operator, constant.value)
            except Impossible:
                tests[kind] = None
        test = tests[kind]
        return test is not None and test(found[2])

    return holds


def _is_object_of(value: Any, class_name: str) -> bool:
    return isinstance(value, Instance | Class) and value.shape.cls.is_a(class_name)
