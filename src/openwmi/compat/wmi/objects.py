"""Namespaces, classes, instances, methods and properties as the wmi module has them, over an `openwmi.Session`.

Attributes of a namespace are its classes, those of a class its properties and methods, those of an instance the values
of its properties, and its methods. As in that module, an attribute may ask the server: for a class that was not used
yet, and for the object that a reference names. Names are looked up without regard to case.

Everything raises `x_wmi` and its subclasses (`openwmi.compat.wmi.errors`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NoReturn

from openwmi.cim import CimType, Class, Method, ObjectPath, Property, Qualifiers, fold
from openwmi.cim import Instance as CimInstance
from openwmi.client.objects import Instance
from openwmi.client.sync import Session
from openwmi.compat.wmi.errors import translated, x_wmi
from openwmi.compat.wmi.values import automation_value, cim_value
from openwmi.errors import InvalidClass, NotFound
from openwmi.mof import write_mof

__all__ = ["_wmi_class", "_wmi_method", "_wmi_namespace", "_wmi_object", "_wmi_path", "_wmi_property", "_wmi_result"]

_NOTIFICATIONS: Final = ("operation", "creation", "deletion", "modification")


def _refuse_attribute(owner: object, name: str) -> NoReturn:
    raise AttributeError(f"{owner!r} has no {name}")


def _is_pythons_own(name: str) -> bool:
    """Whether an attribute is one that Python looks for, not CIM: ``_private`` and ``__magic__``, but ``__CLASS``."""
    return name.startswith("_") and (not name.startswith("__") or name.endswith("__"))


def _written(value: Any, declared: Property) -> Any:
    """What a script gives for a property or a parameter, as the session takes it."""
    is_many = isinstance(value, list | tuple)
    plain = [_unwrapped(item, declared) for item in value] if is_many else _unwrapped(value, declared)
    return cim_value(plain, declared.type, declared.is_array)


def _unwrapped(value: Any, declared: Property) -> Any:
    if isinstance(value, _wmi_object):
        return str(value.path()) if declared.type is CimType.REFERENCE else value._found
    return value


def _values(qualifiers: Qualifiers) -> dict[str, Any]:
    return {each.name: each.value for each in qualifiers.each()}


class _wmi_path:
    """Where an object is, as `SWbemObjectPath` says it."""

    def __init__(self, path: ObjectPath) -> None:
        self.Path = str(path)
        self.RelPath = str(path.relative)
        self.Class = path.class_name
        self.Namespace = path.namespace or ""
        self.Server = path.server or ""
        self.IsClass = path.is_class
        self.IsSingleton = path.singleton
        self.DisplayName = f"winmgmts:{self.Path}"

    def __str__(self) -> str:
        return self.Path


class _wmi_property:
    """A property: its `name`, `value`, `type` (as the CIMTYPE qualifier has it), `qualifiers` and `provenance`."""

    def __init__(self, owner: _wmi_object, declared: Property) -> None:
        self._owner = owner
        self._declared = declared
        self.name = declared.name
        self.type = declared.type_text
        self.qualifiers = _values(declared.qualifiers)
        self.provenance = "\n".join(self.qualifiers.get("MappingStrings") or ())

    @property
    def value(self) -> Any:
        """The value; of a class's property, its default."""
        return self._owner._value(self._declared)

    def set(self, value: Any) -> None:
        """Sets the value here; `put` writes it."""
        self._owner._assign(self._declared, value)

    def __repr__(self) -> str:
        return f"<wmi_property: {self.name}>"


class _wmi_method:
    """A method, to be called with its parameters by place or by name; its out-parameters come back as a tuple.

    Both are in the order of their names, the return value among them. As text it is its own signature.
    """

    def __init__(self, owner: _wmi_object, declared: Method) -> None:
        self._owner = owner
        self._declared = declared
        self.qualifiers = _values(declared.qualifiers)
        self.provenance = "\n".join(self.qualifiers.get("MappingStrings") or ())
        self._in = _sorted_by_name(declared.in_class)
        self._out = _sorted_by_name(declared.out_class)
        self.in_parameter_names = [(each.name, each.is_array) for each in self._in]
        self.out_parameter_names = [(each.name, each.is_array) for each in self._out]
        self.__doc__ = f"{declared.name} ({_listed(self._in)}) => ({_listed(self._out)})"
        privileges = self.qualifiers.get("Privileges")
        if privileges:
            self.__doc__ += f" | Needs: {', '.join(privileges)}"

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Raises `TypeError` for what is no array where one is needed, `AttributeError` for an unknown parameter."""
        if len(args) > len(self._in):
            raise TypeError(f"{self.__doc__} takes no more than {len(self._in)} parameters")
        given = {each.name: value for each, value in zip(self._in, args, strict=False)} | kwargs
        arguments = {}
        for name, value in given.items():
            declared = next((each for each in self._in if fold(each.name) == fold(name)), None)
            if declared is None:
                raise AttributeError(f"{name} is no parameter of {self.__doc__}")
            if declared.is_array and (isinstance(value, str) or not isinstance(value, Iterable)):
                raise TypeError(f"{name} must be iterable")
            arguments[declared.name] = _written(value, declared)
        with translated():
            found = self._owner._session.invoke(self._owner._found, self._declared.name, arguments)
        return tuple(self._result(each, found.get(each.name)) for each in self._out)

    def _result(self, declared: Property, value: Any) -> Any:
        wrapped = self._owner._namespace._wrapped(value)
        return list(wrapped or ()) if declared.is_array else wrapped

    def __repr__(self) -> str:
        return f"<function {self.__doc__}>"


def _sorted_by_name(signature: Class | None) -> list[Property]:
    return [] if signature is None else sorted(signature.properties.each(), key=lambda each: fold(each.name))


def _listed(parameters: list[Property]) -> str:
    return ", ".join(each.name + "[]" * each.is_array for each in parameters)


class _wmi_object:
    """An instance. Setting one of its properties writes it at once, unless it is a new one: `put` creates that."""

    # What is not CIM's: everything else that is set is a property.
    _namespace: _wmi_namespace
    _found: Any
    _stored: bool

    def __init__(self, namespace: _wmi_namespace, found: Instance | Class, *, stored: bool = True) -> None:
        self.__dict__.update(_namespace=namespace, _found=found, _stored=stored)

    @property
    def _session(self) -> Session:
        return self._namespace._session

    @property
    def _class(self) -> Class:
        found: Class = self._found.cls
        return found

    def _value(self, declared: Property) -> Any:
        value = self._found[declared.name]
        if declared.type is CimType.REFERENCE and isinstance(value, str):
            return self._namespace.get(value)
        return self._namespace._wrapped(value)

    def _assign(self, declared: Property, value: Any) -> None:
        with translated():
            self._found[declared.name] = _written(value, declared)

    def _declared(self, name: str) -> Property:
        """The property of that name. Raises `AttributeError`."""
        if name not in self._found:
            _refuse_attribute(self, name)
        return self._class.properties[name]

    def __getattr__(self, name: str) -> Any:
        if _is_pythons_own(name):
            _refuse_attribute(type(self).__name__, name)
        if name.startswith("__"):
            return getattr(self._found, name)
        if name in self._class.properties:
            return self._value(self._declared(name))
        return self._method(name)

    def _method(self, name: str) -> _wmi_method:
        known = self._methods
        if fold(name) not in known:
            _refuse_attribute(self, name)
        return known[fold(name)]

    @cached_property
    def _methods(self) -> dict[str, _wmi_method]:
        # An instance comes without its class's methods.
        declared = self._namespace._class(self._class.name)._found.methods
        return {fold(each.name): _wmi_method(self, each) for each in declared.each()}

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(**{name: value})

    def set(self, **kwargs: Any) -> None:
        """Sets properties, and writes the object if it is not a new one."""
        for declared, value in [(self._declared(name), value) for name, value in kwargs.items()]:
            self._assign(declared, value)
        if self._stored and kwargs:
            self.put()

    def put(self) -> None:
        """Writes the object."""
        with translated():
            self._session.put_instance(self._found)
        self.__dict__["_stored"] = True

    # -- what it is

    @property
    def properties(self) -> dict[str, _wmi_property]:
        """The properties by name."""
        return {name: _wmi_property(self, self._class.properties[name]) for name in self._found}

    @property
    def methods(self) -> dict[str, _wmi_method]:
        """The methods by name."""
        return {each._declared.name: each for each in self._methods.values()}

    @property
    def qualifiers(self) -> dict[str, Any]:
        """The qualifiers of the class, and the values that they have."""
        return _values(self._class.qualifiers)

    @property
    def is_association(self) -> bool:
        """Whether the object relates others to each other."""
        return self._class.is_association

    @property
    def keys(self) -> list[str]:
        """The names of the key properties."""
        return [each.name for each in self._class.keys]

    def wmi_property(self, property_name: str) -> _wmi_property:
        """The property of that name."""
        return _wmi_property(self, self._declared(property_name))

    def path(self) -> _wmi_path:
        """Where the object is; a path without any text if it has none."""
        return _wmi_path(self._found.path or ObjectPath(self._class.name))

    def derivation(self) -> tuple[str, ...]:
        """The superclasses, the nearest first."""
        return self._class.derivation

    @property
    def id(self) -> str:
        """The path in lower case: equal objects have equal ones."""
        return self.path().DisplayName.lower()

    @property
    def ole_object(self) -> _wmi_object:
        """The object itself: for scripts that hand it on as an argument."""
        return self

    # -- what it has to do with others

    @property
    def associated_classes(self) -> dict[str, _wmi_class]:
        """The classes at the other ends of the class's associations, by name."""
        of = self._namespace._class(self._class.name)
        return {each._class.name: each for each in of.associators()}

    def associators(self, wmi_association_class: str = "", wmi_result_class: str = "") -> list[Any]:
        """The objects that are associated with this one."""
        with translated():
            found = self._session.associators(
                self._found,
                association_class=wmi_association_class or None,
                result_class=wmi_result_class or None,
            ).results()
        return [self._namespace._wrapped(each) for each in found]

    def references(self, wmi_class: str = "") -> list[Any]:
        """The associations that this object is in."""
        with translated():
            found = self._session.references(self._found, result_class=wmi_class or None).results()
        return [self._namespace._wrapped(each) for each in found]

    # -- as Python sees it

    def __str__(self) -> str:
        return write_mof(self._found)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.path()}>"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.properties, *self.methods})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _wmi_object) and self.id == other.id

    def __lt__(self, other: _wmi_object) -> bool:
        return self.id < other.id

    def __hash__(self) -> int:
        return hash(self.id)


class _wmi_class(_wmi_object):
    """A class: called, it gives its instances; its attributes are its properties and methods."""

    @property
    def _class(self) -> Class:
        found: Class = self._found
        return found

    def _value(self, declared: Property) -> Any:
        return self._namespace._wrapped(declared.default)

    def _assign(self, declared: Property, value: Any) -> None:
        raise AttributeError(f"{self!r}: a class is changed in MOF")

    @property
    def properties(self) -> dict[str, _wmi_property]:
        """The properties by name."""
        return {each.name: _wmi_property(self, each) for each in self._class.properties.each()}

    def _declared(self, name: str) -> Property:
        if name not in self._class.properties:
            _refuse_attribute(self, name)
        return self._class.properties[name]

    def __getattr__(self, name: str) -> Any:
        if not _is_pythons_own(name) and name in self._class.properties:
            return _wmi_property(self, self._class.properties[name])
        if _is_pythons_own(name) or name.startswith("__"):
            _refuse_attribute(type(self).__name__, name)
        return self._method(name)

    def put(self) -> None:
        """Writes the class."""
        with translated():
            self._session.put_class(self._class)

    def query(self, fields: Collection[str] = (), **where_clause: Any) -> list[_wmi_object]:
        """The instances whose properties equal those given; with `fields`, these properties and the keys only."""
        found = self._namespace._selected(self._class, fields, where_clause)
        return [self._namespace._wrapped(each) for each in found]

    __call__ = query

    def instances(self) -> list[_wmi_object]:
        """All instances."""
        return self._namespace.instances(self._class.name)

    def new(self, **kwargs: Any) -> _wmi_object:
        """A new instance, with these values: for `put`, or as an argument of a method."""
        made = _wmi_object(self._namespace, Instance.bound(self._class.new(), self._session), stored=False)
        made.set(**kwargs)
        return made

    def to_csv(self, filepath: str | None = None) -> None:
        """Writes all instances to a file, the names of the properties first; Class.csv without a name."""
        names = list(self.properties)
        with Path(filepath or f"{self._class.name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(names)
            rows.writerows([getattr(each, name) for name in names] for each in self.query())

    def watch_for(self, notification_type: str = "operation", *arguments: Any, **more: Any) -> NoReturn:
        """Events are not there yet: raises `x_wmi`."""
        self._namespace.watch_for(None, notification_type, self, *arguments, **more)


class _wmi_result:
    """The values of one object, and nothing else."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


class _wmi_namespace:
    """A namespace: its attributes are its classes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, _wmi_class] = {}

    def __getattr__(self, name: str) -> _wmi_class:
        if _is_pythons_own(name):
            _refuse_attribute(type(self).__name__, name)
        return self._class(name)

    def _class(self, name: str) -> _wmi_class:
        """The class of that name, asked for once. Raises `AttributeError` if there is none."""
        known = self._known.get(fold(name))
        if known is None:
            with translated():
                try:
                    found = self._session.get_class(name)
                except (NotFound, InvalidClass) as error:
                    raise AttributeError(f"{self} has no class {name}") from error
            known = self._known[fold(name)] = _wmi_class(self, found)
        return known

    def _wrapped(self, value: Any) -> Any:
        """What a session gives as scripts have it."""
        if isinstance(value, CimInstance):
            return _wmi_object(self, Instance.bound(value, self._session))
        if isinstance(value, Class):
            return _wmi_class(self, value)
        if isinstance(value, tuple):
            return tuple(self._wrapped(each) for each in value)
        return automation_value(value)

    def _selected(self, cls: Class, fields: Collection[str], conditions: Mapping[str, Any]) -> list[Instance]:
        """The instances of `cls` whose properties equal those given, with these properties or all."""
        given = [
            _written(value, cls.properties[name]) if name in cls.properties else value
            for name, value in conditions.items()
        ]
        # Without its keys an object would have no path, and could not be asked for anything more.
        names = dict.fromkeys((*fields, *(key.name for key in cls.keys))) if fields else ["*"]
        words = ["SELECT", ", ".join(names), "FROM", cls.name]
        if conditions:
            words += ["WHERE", " AND ".join(f"{name} = ?" for name in conditions)]
        with translated():
            return self._session.query(" ".join(words), *given).results()

    def query(self, wql: str, instance_of: Any = None, fields: Collection[str] = ()) -> list[Any]:
        """What a query selects. Backslashes are doubled before it is sent, as scripts expect.

        `instance_of` and `fields` mean nothing: the query says both.
        """
        with translated():
            return [self._wrapped(each) for each in self._session.query(wql.replace("\\", "\\\\")).results()]

    def fetch_as_classes(
        self, wmi_classname: str, fields: Collection[str] = (), **where_clause: Any
    ) -> list[_wmi_result]:
        """The same as `_wmi_class.query`, as plain objects that have nothing but the values."""
        found = self._selected(self._class(wmi_classname)._found, fields, where_clause)
        return [_wmi_result({name: self._wrapped(each[name]) for name in fields or each}) for each in found]

    def fetch_as_lists(self, wmi_classname: str, fields: Collection[str], **where_clause: Any) -> list[list[Any]]:
        """The same as lists of values, in the order of `fields`."""
        found = self._selected(self._class(wmi_classname)._found, fields, where_clause)
        return [[self._wrapped(each[name]) for name in fields] for each in found]

    @property
    def classes(self) -> list[str]:
        """The names of all classes."""
        return sorted(self.subclasses_of())

    def subclasses_of(self, root: str = "", regex: str = r".*") -> set[str]:
        """The names of a class's subclasses, of those that the expression matches."""
        with translated():
            found = self._session.enumerate_classes(root).results()
        return {each.name for each in found if re.match(regex, each.name)}

    def instances(self, class_name: str) -> list[_wmi_object]:
        """All instances of a class."""
        with translated():
            return [self._wrapped(each) for each in self._session.enumerate_instances(class_name).results()]

    def get(self, moniker: str) -> Any:
        """The object or the class of that path."""
        with translated():
            return self._wrapped(self._session.get(moniker))

    def new(self, wmi_class: str, **kwargs: Any) -> _wmi_object:
        """A new instance of a class."""
        return self._class(wmi_class).new(**kwargs)

    new_instance_of = new

    def handle(self) -> Session:
        """The session beneath."""
        return self._session

    def watch_for(
        self, raw_wql: str | None = None, notification_type: str = "operation", *arguments: Any, **more: Any
    ) -> NoReturn:
        """Events are not there yet: raises `x_wmi`."""
        if notification_type.lower() not in _NOTIFICATIONS:
            raise x_wmi(f"notification_type must be one of {', '.join(_NOTIFICATIONS)}")
        raise x_wmi("watch_for follows with events, which openwmi has not got yet: query now and then instead")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self.classes if not name.startswith("__"))]

    def __repr__(self) -> str:
        return f"<_wmi_namespace: {self._session.scope}>"
