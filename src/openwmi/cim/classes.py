"""Class declarations: properties, methods, qualifiers, and inheritance.

A `Class` is *resolved*: its properties and methods include the inherited ones, marked `propagated`, each with the
class it comes from (`origin`). A declaration as MOF has it, with only its own elements, becomes one with
`Class.derive(parent)`; `Class.local` goes back. Classes do not change; change one with `dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Flag, auto
from functools import cached_property
from operator import is_
from typing import TYPE_CHECKING, Any, Final, TypeVar

from openwmi.cim.names import NameMap, fold, is_system_name
from openwmi.cim.paths import ObjectPath
from openwmi.cim.qualifiers import Flavor, Qualifier, Qualifiers, flag
from openwmi.cim.types import CimType, CimValue, conform, type_name
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.cim.instances import Instance, Shape

__all__ = ["PARAMETERS_CLASS", "Class", "Direction", "Method", "Parameter", "Property"]

PARAMETERS_CLASS = "__PARAMETERS"
_NO_QUALIFIERS: Qualifiers = NameMap()
_NO_KEYS: Final = frozenset({CimType.REAL32, CimType.REAL64, CimType.OBJECT})

E = TypeVar("E", "Property", "Method")


@dataclass(frozen=True, slots=True)
class Property:
    """A property's declaration. `default` None is NULL.

    `class_name` is the class that a reference points to, or whose instances are embedded; None leaves it open.
    `inherits_default` is for what a class declares itself: nothing is said about the default, so that of the superclass
    stays, if the property is from there. Setting NULL is something else (MS-WMIO 2.2.27). Who gives such a property
    another default takes the mark off.
    """

    name: str
    type: CimType
    is_array: bool = False
    default: CimValue = None
    class_name: str | None = None
    qualifiers: Qualifiers = field(default=_NO_QUALIFIERS)
    origin: str = ""
    propagated: bool = False
    inherits_default: bool = False

    @property
    def is_key(self) -> bool:
        """Whether the property is part of its instances' name."""
        return flag(self.qualifiers, "key")

    @property
    def can_be_key(self) -> bool:
        """Whether the property is of a type that keys are of: no array, no real, no embedded object."""
        return not self.is_array and self.type not in _NO_KEYS

    @property
    def type_text(self) -> str:
        """The type as the CIMTYPE qualifier spells it: ``uint32``, ``ref:CIM_Process``, ``object:Win32_Point``."""
        if self.type is CimType.REFERENCE:
            return f"ref:{self.class_name or 'object'}"
        if self.type is CimType.OBJECT and self.class_name:
            return f"object:{self.class_name}"
        return self.type.text

    def conform(self, value: Any) -> CimValue:
        """`value` as a value of this property (`openwmi.cim.types.conform`)."""
        return conform(value, self.type, self.is_array, what=self.name)


class Direction(Flag):
    """Which way a parameter goes. MS-WMI 3.1.4.17.11: one without a qualifier goes both."""

    IN = auto()
    OUT = auto()
    IN_OUT = IN | OUT


@dataclass(frozen=True, slots=True)
class Parameter:
    """A method's parameter. `id` is its place in the call (the ID qualifier), counted from 0."""

    name: str
    type: CimType
    is_array: bool = False
    direction: Direction = Direction.IN
    id: int = 0
    class_name: str | None = None
    qualifiers: Qualifiers = field(default=_NO_QUALIFIERS)
    default: CimValue = None


RETURN_VALUE: Final = "ReturnValue"
"""The name of what a method returns, among what comes out of it."""


def return_value(
    type_: CimType,
    *,
    is_array: bool = False,
    class_name: str | None = None,
    qualifiers: Qualifiers | None = None,
) -> Property:
    """What a method returns, as the property that it is in the class of what comes out (MS-WMIO 2.3.3)."""
    if qualifiers is None:
        qualifiers = NameMap((Qualifier("out", CimType.BOOLEAN, True),))
    return Property(
        RETURN_VALUE, type_, is_array, class_name=class_name, qualifiers=qualifiers, origin=PARAMETERS_CLASS
    )


_STATUS: Final = return_value(CimType.UINT32)


@dataclass(frozen=True)
class Method:
    """A method's declaration. `returns` is what `return_value` makes; None is void."""

    name: str
    parameters: NameMap[Parameter] = field(default_factory=NameMap)
    returns: Property | None = field(default_factory=lambda: _STATUS)
    qualifiers: Qualifiers = field(default=_NO_QUALIFIERS)
    origin: str = ""
    propagated: bool = False

    @property
    def is_static(self) -> bool:
        """Whether the method belongs to the class rather than to an instance."""
        return flag(self.qualifiers, "static")

    @cached_property
    def in_class(self) -> Class | None:
        """The `__PARAMETERS` class of what goes in, or None when nothing does (MS-WMIO 2.3.3)."""
        return self._signature(Direction.IN)

    @cached_property
    def out_class(self) -> Class | None:
        """The `__PARAMETERS` class of what comes out, with ReturnValue, or None when nothing does."""
        return self._signature(Direction.OUT)

    def _signature(self, direction: Direction) -> Class | None:
        properties = [
            Property(p.name, p.type, p.is_array, p.default, p.class_name, _with_id(p), PARAMETERS_CLASS)
            for p in self.parameters.each()
            if p.direction & direction
        ]
        if direction is Direction.OUT and self.returns is not None and RETURN_VALUE not in self.parameters:
            properties.append(self.returns)
        if not properties:
            return None
        abstract = NameMap((Qualifier("abstract", CimType.BOOLEAN, True),))
        return Class(PARAMETERS_CLASS, qualifiers=abstract, properties=NameMap(properties))


def _with_id(parameter: Parameter) -> Qualifiers:
    flavor = Flavor.TO_INSTANCE | Flavor.NOT_OVERRIDABLE  # as Windows writes it
    return parameter.qualifiers.with_items([Qualifier("ID", CimType.SINT32, parameter.id, flavor=flavor)])


@dataclass(frozen=True)
class Class:
    """A class declaration, resolved.

    `derivation` names the superclasses, nearest first. `namespace` and `server` say where the declaration was
    found; they are no part of it, so they do not count when classes are compared.
    """

    name: str
    superclass: str | None = None
    derivation: tuple[str, ...] = ()
    qualifiers: Qualifiers = field(default=_NO_QUALIFIERS)
    properties: NameMap[Property] = field(default_factory=NameMap)
    methods: NameMap[Method] = field(default_factory=NameMap)
    namespace: str | None = field(default=None, compare=False)
    server: str | None = field(default=None, compare=False)

    @cached_property
    def shape(self) -> Shape:
        """The shape of this class's whole instances."""
        from openwmi.cim.instances import Shape

        return Shape(self, tuple(self.properties.each()))

    @cached_property
    def keys(self) -> tuple[Property, ...]:
        """The key properties, in the class's order."""
        return tuple(p for p in self.properties.each() if p.is_key)

    @cached_property
    def is_abstract(self) -> bool:
        """Whether the class has no instances of its own."""
        return flag(self.qualifiers, "abstract")

    @cached_property
    def is_singleton(self) -> bool:
        """Whether the class has exactly one instance, ``Class=@``."""
        return flag(self.qualifiers, "singleton")

    @cached_property
    def is_association(self) -> bool:
        """Whether instances relate others to each other."""
        return flag(self.qualifiers, "association")

    @cached_property
    def is_system(self) -> bool:
        """Whether the class, or one it descends from, is WMI's own (MS-WMI 2.2.31)."""
        return is_system_name(self.name) or any(is_system_name(name) for name in self.derivation)

    @cached_property
    def provider(self) -> str | None:
        """InstanceProviderId (MS-WMI 3.1.1): who has the instances; None when the repository does."""
        value = self.qualifiers["provider"].value if "provider" in self.qualifiers else None
        return value if isinstance(value, str) and value else None

    @property
    def path(self) -> ObjectPath:
        """The class's own path, with its location as far as that is known."""
        return ObjectPath(self.name, namespace=self.namespace, server=self.server)

    def is_a(self, name: str) -> bool:
        """Whether this is the class `name` or a descendant of it."""
        wanted = fold(name)
        return fold(self.name) == wanted or any(fold(ancestor) == wanted for ancestor in self.derivation)

    def new(self, values: dict[str, Any] | None = None, /, **more: Any) -> Instance:
        """An instance with these values, the others as the class defaults them."""
        from openwmi.cim.instances import Instance

        return Instance(self.shape, {**(values or {}), **more}, namespace=self.namespace, server=self.server)

    def derive(self, declared: Class) -> Class:
        """`declared`, which has only its own elements, resolved as a subclass of this class.

        Raises `WbemError` for what inheritance forbids: another type for a property (WBEM_E_UPDATE_TYPE_MISMATCH), a
        qualifier that may not be overridden (WBEM_E_OVERRIDE_NOT_ALLOWED), a new key (WBEM_E_CANNOT_BE_KEY), a
        singleton under a class with keys (WBEM_E_CANNOT_BE_SINGLETON). An abstract class under one that is not is in
        order here: the DMTF's schema has one. That PutClass takes none is PutClass's own rule (MS-WMI 3.1.4).
        """
        inherited = self._inheritance
        own = [self._override(p, declared) for p in declared.properties.each()]
        own_methods = [self._override_method(m, declared) for m in declared.methods.each()]
        derived = Class(
            declared.name,
            self.name,
            inherited.derivation,
            _inherit(self.qualifiers, inherited.qualifiers, declared.qualifiers, declared.name),
            inherited.properties.with_items(own),
            inherited.methods.with_items(own_methods),
            declared.namespace,
            declared.server,
        )
        derived._check_against(self, declared)
        return derived

    @cached_property
    def _inheritance(self) -> _Inheritance:
        """What every subclass begins with. Worked out once: a class like CIM_ManagedElement has hundreds of them."""
        return _Inheritance(
            (self.name, *self.derivation),
            _spreading(self.qualifiers),
            NameMap(_inherited_property(p) for p in self.properties.each()),
            NameMap(_inherited(m) for m in self.methods.each()),
        )

    @cached_property
    def local(self) -> Class:
        """The declaration with only what this class itself says: `parent.derive(cls.local) == cls`."""
        return replace(
            self,
            qualifiers=_own(self.qualifiers),
            properties=NameMap(_with(p, _own(p.qualifiers)) for p in self.properties.each() if not p.propagated),
            methods=NameMap(_with(m, _own(m.qualifiers)) for m in self.methods.each() if not m.propagated),
        )

    def rooted(self) -> Class:
        """A class without a superclass, its elements marked as its own."""
        return replace(
            self,
            properties=NameMap(_original_property(p, self.name) for p in self.properties.each()),
            methods=NameMap(_original(m, self.name) for m in self.methods.each()),
        )

    def _override(self, declared: Property, by: Class) -> Property:
        if declared.name not in self.properties:
            return _original_property(declared, by.name)
        base = self.properties[declared.name]
        if (base.type, base.is_array) != (declared.type, declared.is_array):
            raise WbemError.of(
                WbemStatus.WBEM_E_UPDATE_TYPE_MISMATCH,
                f"{by.name}.{declared.name} is {type_name(declared.type, declared.is_array)},"
                f" but {base.origin}.{base.name} is {type_name(base.type, base.is_array)}",
            )
        inherited = self._inheritance.properties[base.name]
        if declared.inherits_default and not declared.qualifiers and declared.class_name == base.class_name:
            return inherited  # nothing is changed: it is the superclass's property
        return replace(
            declared,
            name=base.name,
            default=base.default if declared.inherits_default else declared.default,
            qualifiers=_inherit(
                base.qualifiers, inherited.qualifiers, declared.qualifiers, f"{by.name}.{declared.name}"
            ),
            origin=base.origin,
            propagated=False,
        )

    def _override_method(self, declared: Method, by: Class) -> Method:
        if declared.name not in self.methods:
            return _original(declared, by.name)
        base = self.methods[declared.name]
        spreading = self._inheritance.methods[base.name].qualifiers
        merged = _inherit(base.qualifiers, spreading, declared.qualifiers, f"{by.name}.{declared.name}()")
        return replace(declared, name=base.name, qualifiers=merged, origin=base.origin, propagated=False)

    def _check_against(self, parent: Class, declared: Class) -> None:
        if self.is_singleton and (self.keys or not (parent.is_singleton or parent.is_abstract)):
            raise WbemError.of(
                WbemStatus.WBEM_E_CANNOT_BE_SINGLETON,
                f"{self.name} cannot be a singleton: it has keys, or its superclass {parent.name} is none",
            )
        new_keys = [p.name for p in declared.properties.each() if p.is_key and not _is_key_of(parent, p.name)]
        if new_keys and (parent.keys or not parent.is_abstract):
            raise WbemError.of(
                WbemStatus.WBEM_E_CANNOT_BE_KEY,
                f"{self.name}.{new_keys[0]} cannot be a key: {parent.name} already settles which keys there are",
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # The caches in __dict__ are not worth carrying along.
        return Class, (
            self.name, self.superclass, self.derivation, self.qualifiers, self.properties, self.methods,
            self.namespace, self.server,
        )  # fmt: skip


def _is_key_of(cls: Class, name: str) -> bool:
    return name in cls.properties and cls.properties[name].is_key


@dataclass(frozen=True, slots=True)
class _Inheritance:
    """A class as its subclasses see it."""

    derivation: tuple[str, ...]
    qualifiers: Qualifiers
    properties: NameMap[Property]
    methods: NameMap[Method]


def _inherited(element: E) -> E:
    """The element as a subclass sees it: itself, where it came from further up and everything of it spreads."""
    qualifiers = _spreading(element.qualifiers)
    if element.propagated and qualifiers is element.qualifiers:
        return element
    return replace(element, propagated=True, qualifiers=qualifiers)


def _inherited_property(declared: Property) -> Property:
    inherited = _inherited(declared)
    return replace(inherited, inherits_default=False) if inherited.inherits_default else inherited


def _original_property(declared: Property, name: str) -> Property:
    """The property as one of `name`'s own. If it was to inherit its default, there is nothing to inherit."""
    if declared.inherits_default:
        declared = replace(declared, default=None, inherits_default=False)
    return _original(declared, name)


def _original(element: E, name: str) -> E:
    if element.origin == name and not element.propagated:
        return element
    return replace(element, origin=name, propagated=False)


def _with(element: E, qualifiers: Qualifiers) -> E:
    return element if qualifiers is element.qualifiers else replace(element, qualifiers=qualifiers)


def _spreads(qualifier: Qualifier) -> bool:
    """Key, and whatever a reader needs to understand a value, follow the element; others by their flavor."""
    return Flavor.TO_SUBCLASS in qualifier.flavor or fold(qualifier.name) in ("key", "cimtype")


def _spreading(qualifiers: Qualifiers) -> Qualifiers:
    """Those that spread, as a subclass has them."""
    found = [q.inherited() for q in qualifiers.each() if _spreads(q)]
    if len(found) == len(qualifiers) and all(map(is_, found, qualifiers.each())):
        return qualifiers
    return NameMap(found)


def _own(qualifiers: Qualifiers) -> Qualifiers:
    if not any(q.propagated for q in qualifiers.each()):
        return qualifiers
    return NameMap(q for q in qualifiers.each() if not q.propagated)


def _inherit(base: Qualifiers, spreading: Qualifiers, declared: Qualifiers, where: str) -> Qualifiers:
    """What a subclass's element has: its own qualifiers, and those of the `base` that are `spreading` to it."""
    for qualifier in declared.each():
        above = base.get(qualifier.name)
        if (
            above is not None
            and Flavor.NOT_OVERRIDABLE in above.flavor
            and (above.type, above.value) != (qualifier.type, qualifier.value)
        ):
            raise WbemError.of(
                WbemStatus.WBEM_E_OVERRIDE_NOT_ALLOWED,
                f"{where}: the qualifier {qualifier.name} may not be overridden",
            )
    return spreading.with_items(declared.each())
