"""Static objects of one namespace: those that the repository keeps, and those that stand for the namespace itself.

The latter are `own.OwnObjects`' business, and nobody else needs to know. Everything here is synchronous and runs in the
store's thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from openwmi.cim import ABSENT, DEFAULT, CimType, Class, Instance, fold, identity
from openwmi.cim.operations import CallContext
from openwmi.errors import InvalidClass, NotFound, WbemError
from openwmi.manager.own import OwnObjects
from openwmi.manager.registrations import is_registration
from openwmi.repository import Condition
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.manager.dynamic import DynamicClasses
    from openwmi.manager.manager import ObjectManager

__all__ = ["StaticObjects"]


class StaticObjects:
    """The static classes and instances of one namespace, as a caller sees them; `context` None is the server."""

    def __init__(
        self,
        manager: ObjectManager,
        namespace: str,
        context: CallContext | None = None,
        dynamic: DynamicClasses | None = None,
    ) -> None:
        """`dynamic` are the classes that this namespace's class providers add to those in the repository."""
        self._manager = manager
        self._dynamic = dynamic
        self._store = manager.store
        self._own = OwnObjects(manager, namespace, context)
        self.namespace = namespace

    # -- classes

    def find_class(self, name: str) -> Class | None:
        """The class, or None. Raises `InvalidNamespace` if the namespace is gone."""
        found = self._store.get_class(self.namespace, name)
        if found is None and self._dynamic is not None:
            return self._dynamic.classes.get(name)
        return found

    def is_dynamic(self, cls: Class) -> bool:
        """Whether a class provider has the class, rather than the repository."""
        return self._dynamic is not None and fold(cls.name) in self._dynamic.owners

    def get_class(self, name: str) -> Class:
        """The class; `InvalidClass` if there is none."""
        cls = self.find_class(name)
        if cls is None:
            raise InvalidClass(f"there is no class {name[:200]} in {self.namespace}")
        return cls

    def below(self, cls: Class) -> list[Class]:
        """All classes that descend from `cls`, superclasses first."""
        found = [] if self.is_dynamic(cls) else self._store.class_names(self.namespace, cls.name)
        more = () if self._dynamic is None else self._dynamic.below(cls)
        return [*(self.get_class(name) for name in found), *more]

    def line(self, cls: Class) -> list[Class]:
        """The class with all that it descends from and all that descend from it, superclasses first."""
        above = [self.get_class(name) for name in reversed(cls.derivation)]
        return [*above, cls, *self.below(cls)]

    def class_names(self, superclass: Class | None, *, deep: bool) -> list[str]:
        """The names of the classes below `superclass` (of all, for None), superclasses first."""
        names: list[str] = []
        if superclass is None or not self.is_dynamic(superclass):
            above = None if superclass is None else superclass.name
            names = self._store.class_names(self.namespace, above, deep=deep)
        if self._dynamic is not None:
            names += [cls.name for cls in self._dynamic.below(superclass, deep=deep)]
        return names

    def transaction(self) -> AbstractContextManager[None]:
        """All that happens within it, or nothing of it."""
        return self._manager.transaction()

    def put_class(self, cls: Class) -> None:
        """Keeps a resolved class."""
        self._store.put_class(self.namespace, cls)

    def delete_class(self, cls: Class) -> bool:
        """Deletes the class with its instances and all below it; False if it is not there."""
        self._noted(cls)
        return self._store.delete_class(self.namespace, cls.name)

    # -- instances

    def has_instances(self, cls: Class) -> bool:
        """Whether there are instances of exactly `cls`."""
        return next(self.instances(cls), None) is not None

    def find(self, cls: Class, keys: dict[str, Any]) -> Instance | None:
        """The instance of `cls`, or of a class below it, with these keys; None if there is none."""
        if self._own.include(cls):
            return self._located(self._own.find(cls, keys))
        if self.is_dynamic(cls):
            return None
        return self._located(self._store.get_instance(self.namespace, cls.name, identity(cls, keys)))

    def instances(self, cls: Class, conditions: Iterable[Condition] = ()) -> Iterator[Instance]:
        """The instances of exactly `cls`: at least all of those that meet the conditions (`Store.instances`)."""
        if self._own.include(cls):
            found = self._own.instances(cls)
        else:
            found = self._store.instances(self.namespace, cls.name, conditions=conditions)
        for instance in found:
            self._located(instance)
            yield instance

    def put(self, given: Instance, *, create: bool, update: bool) -> Instance:
        """Creates or changes an instance, as `create` and `update` allow, and gives it as it is now.

        Raises WBEM_E_TYPE_MISMATCH and WBEM_E_INVALID_OBJECT for what does not fit the class, WBEM_E_NO_KEY,
        WBEM_E_ALREADY_EXISTS and `NotFound`.
        """
        cls = self.get_class(given.class_name)
        if cls.is_abstract:
            raise InvalidClass(f"{cls.name} is abstract: it has no instances of its own")
        if "amendment" in cls.qualifiers and cls.qualifiers["amendment"].value is True:
            raise WbemError.of(
                WbemStatus.WBEM_E_INVALID_OPERATION, f"{cls.name} only holds localized qualifiers (3.1.1.2)"
            )
        instance = self.fitted(given)
        _complete_key(instance)
        if instance.identity is None:
            raise WbemError.of(WbemStatus.WBEM_E_NO_KEY, f"an instance of {cls.name} needs a value for each key")
        with self._manager.transaction():
            old = self.find(cls, instance.keys or {})
            if old is None and not create:
                raise NotFound(f"{instance.relative_path} does not exist, so it cannot be updated")
            if old is not None and not update:
                raise WbemError.of(WbemStatus.WBEM_E_ALREADY_EXISTS, f"{instance.relative_path} exists already")
            _keep_absent(instance, old)
            if self._own.include(cls):
                self._own.put(instance, exists=old is not None)
            else:
                self._store.put_instance(self.namespace, instance)
        self._noted(cls)
        self._located(instance)
        return instance

    def fitted(self, given: Instance) -> Instance:
        """`given`, whose class may be an older or another client's idea of it, as an instance of the class here.

        Raises WBEM_E_INVALID_OBJECT for a property that the class has not got, WBEM_E_TYPE_MISMATCH for a value.
        """
        made = _fitted(given, self.get_class(given.class_name))
        self._located(made)
        return made

    def delete(self, cls: Class, keys: dict[str, Any]) -> bool:
        """Deletes what `find` finds; False if that is nothing."""
        if self._own.include(cls):
            return self._own.delete(cls, keys)
        self._noted(cls)
        return self._store.delete_instance(self.namespace, cls.name, identity(cls, keys))

    def _noted(self, cls: Class) -> None:
        """Tells the providers' table if what was written to is what it is made from."""
        if is_registration(cls):
            self._manager.registrations.changed(self.namespace)

    def _located(self, instance: Instance | None) -> Instance | None:
        if instance is not None:
            instance.namespace, instance.server = self.namespace, self._manager.server
        return instance


def _fitted(given: Instance, cls: Class) -> Instance:
    made = Instance(cls.shape, qualifiers=given.qualifiers)
    made.property_qualifiers = dict(given.property_qualifiers)
    made.values = [ABSENT] * len(made.values)
    for declared, value in zip(given.shape.properties, given.values, strict=True):
        if value is ABSENT:
            continue
        if declared.name not in cls.properties:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT, f"{cls.name} has no property {declared.name}")
        made[declared.name] = value
    return made


def _complete_key(instance: Instance) -> None:
    """A single string key that is NULL gets a new GUID, as WMI gives it one."""
    keys = instance.cls.keys
    if len(keys) == 1 and keys[0].type is CimType.STRING and instance.get(keys[0].name) is None:
        instance[keys[0].name] = f"{{{uuid.uuid4()}}}".upper()


def _keep_absent(instance: Instance, old: Instance | None) -> None:
    """What the caller did not send stays as it was, or is as the class defaults it."""
    absent: Callable[[str], Any] = (lambda name: DEFAULT) if old is None else lambda name: old.state(name)
    for index, declared in enumerate(instance.shape.properties):
        if instance.values[index] is ABSENT:
            known = old is None or declared.name in old
            instance.values[index] = absent(declared.name) if known else DEFAULT
