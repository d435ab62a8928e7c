"""Instances, and the shape that all instances of one result share (keystone 1).

A `Shape` says which properties there are (all of a class, or the projection a SELECT asked for) and whether their
types are declared or only inferred. An `Instance` is a shape and one value per property. A slot is in one of four
states: a value, NULL, *defaulted* (the class's default shines through) or *absent* (this object has not got the
property, as a partial one). Absent is not NULL: reading an absent property is a KeyError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from openwmi.cim.classes import Class, Property
from openwmi.cim.names import NameMap, fold, is_system_name
from openwmi.cim.paths import ObjectPath, identity
from openwmi.cim.qualifiers import Qualifiers
from openwmi.cim.system import SYSTEM_PROPERTIES
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

__all__ = ["ABSENT", "DEFAULT", "CimObject", "Instance", "Shape", "Unset"]


class Unset(Enum):
    """What stands in a slot that holds no value of its own."""

    DEFAULT = "default"
    ABSENT = "absent"


_NO_QUALIFIERS: Final[Qualifiers] = NameMap()
_MOST_PROJECTIONS: Final = 64
DEFAULT: Final = Unset.DEFAULT
ABSENT: Final = Unset.ABSENT


class Shape:
    """Which properties a set of instances has. Immutable, shared, and the place for what codecs work out once.

    `index` finds a property by its folded name. `plans` is for codecs: a cache by the codec's own key, that lives as
    long as the shape.
    """

    __slots__ = ("_projections", "_spelled", "cls", "declared", "index", "plans", "properties")

    def __init__(self, cls: Class, properties: Sequence[Property], *, declared: bool = True) -> None:
        self.cls = cls
        self.properties = tuple(properties)
        self.declared = declared
        self.index: dict[str, int] = {fold(p.name): i for i, p in enumerate(self.properties)}
        self.plans: dict[Any, Any] = {}
        self._projections: dict[frozenset[str], Shape] = {}
        self._spelled: dict[str, int] = {p.name: i for i, p in enumerate(self.properties)}

    def find(self, name: str) -> int | None:
        """Where the property of that name is among the properties; None if there is none."""
        at = self._spelled.get(name)  # as it is declared: no need to fold what most callers write
        return self.index.get(fold(name)) if at is None else at

    def project(self, names: Iterable[str]) -> Shape:
        """The shape with only these properties, in the class's order. WBEM_E_INVALID_QUERY for an unknown one.

        The same as the last time, most often, so that what codecs have worked out for it serves every query.
        """
        wanted = set()
        for name in names:
            if fold(name) in self.index:
                wanted.add(fold(name))
            elif not is_system_name(name):
                raise WbemError.of(WbemStatus.WBEM_E_INVALID_QUERY, f"{self.cls.name} has no property {name}")
        key = frozenset(wanted)
        found = self._projections.get(key)
        if found is None:
            if len(self._projections) >= _MOST_PROJECTIONS:
                self._projections.clear()
            made = [p for p in self.properties if fold(p.name) in wanted]
            found = self._projections[key] = Shape(self.cls, made, declared=self.declared)
        return found

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the class is left out."""
        return len(self.properties) == len(self.cls.properties)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        return self is other or (self.cls == other.cls and self.properties == other.properties)

    def __hash__(self) -> int:
        return hash((fold(self.cls.name), tuple(self.index)))

    def __repr__(self) -> str:
        return f"<Shape of {self.cls.name}: {', '.join(p.name for p in self.properties)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _shape, (self.cls, self.properties, self.declared)


def _shape(cls: Class, properties: tuple[Property, ...], declared: bool) -> Shape:
    if declared and properties == tuple(cls.properties.each()):
        return cls.shape
    return Shape(cls, properties, declared=declared)


class Instance:
    """One object of a class: `instance["Name"]`, without regard to case; NULL is None.

    Names that begin with two underscores are the system properties (`openwmi.cim.system`), which are read only.
    `values` are the slots in the shape's order, `qualifiers` the instance's own, `property_qualifiers` those of
    single properties by folded name.
    """

    __slots__ = ("namespace", "property_qualifiers", "qualifiers", "server", "shape", "values")
    shape: Shape
    values: list[Any]
    namespace: str | None
    server: str | None
    qualifiers: Qualifiers
    property_qualifiers: dict[str, Qualifiers]

    def __init__(
        self,
        shape: Shape | Class,
        values: Mapping[str, Any] | None = None,
        *,
        namespace: str | None = None,
        server: str | None = None,
        qualifiers: Qualifiers | None = None,
    ) -> None:
        """An instance whose properties are `values` and, for the rest, the class's defaults."""
        self.shape = shape.shape if isinstance(shape, Class) else shape
        self.values = [DEFAULT] * len(self.shape.properties)
        self.namespace = namespace
        self.server = server
        self.qualifiers = qualifiers if qualifiers is not None else NameMap()
        self.property_qualifiers = {}
        if values:
            self._set(values)

    @classmethod
    def of_values(
        cls, shape: Shape, values: list[Any], *, namespace: str | None = None, server: str | None = None
    ) -> Instance:
        """An instance whose slots are `values` as they are: for codecs and providers that know their types."""
        made = cls.__new__(cls)
        made.shape = shape
        made.values = values
        made.namespace = namespace
        made.server = server
        made.qualifiers = _NO_QUALIFIERS
        made.property_qualifiers = {}
        return made

    @property
    def class_name(self) -> str:
        """The name of the instance's class."""
        return self.shape.cls.name

    @property
    def cls(self) -> Class:
        """The instance's class."""
        return self.shape.cls

    def _slot(self, name: str) -> int:
        index = self.shape.find(name)
        if index is None:
            raise KeyError(f"{self.class_name} has no property {name}")
        return index

    def __getitem__(self, name: str) -> Any:
        if name.startswith("__"):
            system = SYSTEM_PROPERTIES.get(name.upper())
            if system is not None:
                return system.read(self)
        index = self._slot(name)
        value = self.values[index]
        if value is DEFAULT:
            return self.shape.properties[index].default
        if value is ABSENT:
            raise KeyError(f"{name} is not part of this object: only some properties of {self.class_name} are")
        return value

    # The model's own value, whatever a subclass makes of it for its users.
    _read = __getitem__

    def __setitem__(self, name: str, value: Any) -> None:
        """Sets a property; WBEM_E_TYPE_MISMATCH for a value of another type, WBEM_E_NOT_FOUND for a name unknown."""
        self._set({name: value})

    def _set(self, values: Mapping[str, Any]) -> None:
        find, properties = self.shape.find, self.shape.properties
        for name, value in values.items():
            at = find(name)
            if at is None:
                raise WbemError.of(WbemStatus.WBEM_E_NOT_FOUND, f"{self.class_name} has no property {name}")
            self.values[at] = value if isinstance(value, Unset) else properties[at].conform(value)

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default` where there is no such property or it is absent."""
        try:
            return self[name]
        except KeyError:
            return default

    def state(self, name: str) -> Any:
        """What the slot holds, `DEFAULT` and `ABSENT` included."""
        return self.values[self._slot(name)]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        index = self.shape.find(name)
        return index is not None and self.values[index] is not ABSENT

    def __iter__(self) -> Iterator[str]:
        """The names of the properties that this object has, in order, without the system properties."""
        return (p.name for p, value in zip(self.shape.properties, self.values, strict=True) if value is not ABSENT)

    def __len__(self) -> int:
        return sum(value is not ABSENT for value in self.values)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Name and value of every property that this object has, in order."""
        for declared, value in zip(self.shape.properties, self.values, strict=True):
            if value is not ABSENT:
                yield declared.name, declared.default if value is DEFAULT else value

    def to_dict(self) -> dict[str, Any]:
        """The properties as a plain dictionary of Python values, in order."""
        return dict(self.items())

    @property
    def keys(self) -> dict[str, Any] | None:
        """The key properties' values; None if one of them is NULL or not part of this object."""
        found = {}
        for key in self.cls.keys:
            value = self._read(key.name) if key.name in self else None
            if value is None:
                return None
            found[key.name] = value
        return found

    @property
    def identity(self) -> str | None:
        """One text per object of the class (`openwmi.cim.paths.identity`); None without keys."""
        keys = self.keys
        return None if keys is None or not (keys or self.cls.is_singleton) else identity(self.cls, keys)

    @property
    def path(self) -> ObjectPath | None:
        """The instance's path, with its location as far as that is known; None without keys."""
        relative = self.relative_path
        return None if relative is None else relative.at(self.namespace, self.server)

    @property
    def relative_path(self) -> ObjectPath | None:
        """The instance's path within its namespace, keys sorted by name as WMI writes them; None without keys."""
        if self.cls.is_singleton:
            return ObjectPath(self.class_name, singleton=True)
        keys = self.keys
        if not keys:
            return None
        written = tuple((name, _key_text(keys[name])) for name in sorted(keys, key=fold))
        return ObjectPath(self.class_name, written)

    def copy(self, shape: Shape | None = None) -> Instance:
        """A copy, in another shape of the same class if one is given (a projection, a newer declaration)."""
        if shape is None or shape is self.shape:
            made = Instance.of_values(self.shape, list(self.values), namespace=self.namespace, server=self.server)
        else:
            index = self.shape.index
            slots = (index.get(fold(p.name)) for p in shape.properties)
            values = [ABSENT if i is None else self.values[i] for i in slots]
            made = Instance.of_values(shape, values, namespace=self.namespace, server=self.server)
        made.qualifiers = self.qualifiers
        made.property_qualifiers = dict(self.property_qualifiers)
        return made

    def __eq__(self, other: object) -> bool:
        """Equal are instances of one class with the same properties and values, wherever they were found."""
        if not isinstance(other, Instance):
            return NotImplemented
        return (
            fold(self.class_name) == fold(other.class_name)
            and {fold(n): v for n, v in self.items()} == {fold(n): v for n, v in other.items()}
            and self.qualifiers == other.qualifiers
        )

    __hash__ = None  # type: ignore[assignment]  # instances change

    def __repr__(self) -> str:
        path = self.relative_path
        if path is not None:
            return f"<{path}>"
        return f"<{self.class_name} {dict(list(self.items())[:4])}>"

    def __reduce__(self) -> tuple[Any, ...]:
        state = (
            self.shape,
            self.values,
            self.namespace,
            self.server,
            self.qualifiers,
            self.property_qualifiers,
        )
        return _instance, state


def _instance(
    shape: Shape,
    values: list[Any],
    namespace: str | None,
    server: str | None,
    qualifiers: Qualifiers,
    property_qualifiers: dict[str, Qualifiers],
) -> Instance:
    made = Instance.of_values(shape, values, namespace=namespace, server=server)
    made.qualifiers = qualifiers
    made.property_qualifiers = property_qualifiers
    return made


def _key_text(value: Any) -> int | str | bool | float:
    return value if isinstance(value, bool | int | float) else str(value)


CimObject = Class | Instance
