r"""What the object manager asks of a place that keeps static classes and instances.

Two implementations: `SqliteStore` (a file) and `MemoryStore` (nothing outlives it). Both are synchronous, may be called
from any thread, and behave the same.

- Names (of namespaces and classes) are compared without regard to case; the first spelling is kept.
- A class is kept as the declaration it makes itself and comes back *resolved*, with `Class.namespace` set.
- An instance is named by its class and the text that `openwmi.cim.identity` makes of its keys. That text is unique
  among all instances below the class that *settles the keys*: with ``Base.Id=1`` in the store there cannot be a
  ``Derived.Id=1``, and asking for ``Base.Id=1`` finds the instance even if it is a ``Derived``. A singleton's
  instance is unique in its own class only.
- Every write is one transaction: done and durable when the call returns, or not done at all.

Every method raises `InvalidNamespace` for a namespace that is not there, WBEM_E_SHUTTING_DOWN once the store is
closed, WBEM_E_OUT_OF_DISK_SPACE when the disk is full, and WBEM_E_CRITICAL_ERROR, naming the row, for a damaged file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openwmi.cim import Class, Instance
from openwmi.repository.conditions import Condition

__all__ = ["NamespaceInfo", "RepositoryInfo", "Store"]


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """How much is in one namespace, those below it not counted."""

    name: str
    classes: int
    instances: int


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """A repository in numbers. `size` and `free` (what a deleted object left and a new one will take) are bytes.

    `path` is None for one in memory; `layout` is the version of the file's schema.
    """

    path: Path | None
    layout: int
    size: int
    free: int
    namespaces: tuple[NamespaceInfo, ...]


class Store(Protocol):
    """Where static objects live."""

    # -- namespaces

    def namespaces(self, parent: str | None = None) -> list[str]:
        r"""The full names of all namespaces, a parent before its children; of `parent`'s direct children, if given."""
        ...

    def has_namespace(self, name: str) -> bool:
        """Whether there is such a namespace; False, too, for what cannot be a namespace's name."""
        ...

    def create_namespace(self, name: str, descriptor: bytes | None = None) -> None:
        """Creates a namespace whose parent exists (``root`` needs none). WBEM_E_ALREADY_EXISTS if it is there."""
        ...

    def delete_namespace(self, name: str) -> None:
        """Deletes a namespace with everything in and below it."""
        ...

    def descriptor(self, name: str) -> bytes | None:
        """The namespace's own security descriptor, self-relative, or None if none was set."""
        ...

    def set_descriptor(self, name: str, descriptor: bytes | None) -> None:
        """Sets or, with None, removes the namespace's own security descriptor."""
        ...

    # -- classes

    def get_class(self, namespace: str, name: str) -> Class | None:
        """The class, resolved, or None."""
        ...

    def class_names(self, namespace: str, superclass: str | None = None, *, deep: bool = True) -> list[str]:
        """The names of the classes below `superclass` (None: of all), superclasses first.

        Without `deep` only the direct subclasses (None: the classes that have no superclass). Raises `InvalidClass`
        if `superclass` is not there.
        """
        ...

    def put_class(self, namespace: str, cls: Class) -> None:
        """Creates the class, or changes it if it is there. Only what it declares itself is kept (`Class.local`).

        Raises WBEM_E_INVALID_SUPERCLASS if its superclass is not there, WBEM_E_CIRCULAR_REFERENCE if that descends from
        the class, what `Class.derive` raises if it, or a class below it, cannot inherit like that, and
        WBEM_E_CLASS_HAS_INSTANCES if instances would lose their keys. All other rules are the caller's to keep.
        """
        ...

    def delete_class(self, namespace: str, name: str) -> bool:
        """Deletes the class, its instances, its subclasses and theirs. False if it is not there."""
        ...

    # -- instances: `InvalidClass` for a class that is not in the namespace

    def get_instance(self, namespace: str, class_name: str, identity: str) -> Instance | None:
        """The instance of that class, or of one below it, with that identity; or None."""
        ...

    def has_instance(self, namespace: str, class_name: str, identity: str) -> bool:
        """Whether `get_instance` would find one."""
        ...

    def put_instance(self, namespace: str, instance: Instance) -> None:
        """Creates the instance, or replaces the one of that class and identity.

        Raises WBEM_E_NO_KEY if it has none, WBEM_E_ALREADY_EXISTS if an instance of *another* class has its name.
        """
        ...

    def delete_instance(self, namespace: str, class_name: str, identity: str) -> bool:
        """Deletes what `get_instance` would find. False if there is nothing."""
        ...

    def instances(
        self, namespace: str, class_name: str, *, deep: bool = False, conditions: Iterable[Condition] = ()
    ) -> Iterator[Instance]:
        """The instances of exactly that class, in the order in which they were created.

        With `deep` those of the classes below it follow, superclasses first. With `conditions` every instance that
        meets them all comes, but others may, too: whoever needs it exactly tests again (`Condition`). Conditions
        that pin every key are answered by a look-up of the one name.

        They come in pages, so memory is bounded, and writers go on meanwhile: an instance that is changed while the
        iterator runs is seen as it was or as it is. A `restore` ends it with WBEM_E_CALL_CANCELLED.
        """
        ...

    # -- the whole

    def transaction(self) -> AbstractContextManager[None]:
        """Makes all writes in the `with` block one: all are done when it ends, or, if it raises, none.

        Other threads wait meanwhile. Transactions nest; an inner one that raises undoes what was done in it.
        """
        ...

    def verify(self) -> list[str]:
        """What is wrong, in words: with the file, with classes, with instances (do they decode, have they their class
        and their name). Nothing in a sound repository. Others wait during the first part, not during the rest.
        """
        ...

    def settle(self) -> None:
        """Brings everything into the one file: until the next write, a copy of it is a whole and sound repository."""
        ...

    def backup(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Writes the state of this moment to a new file, itself a repository, that only this account may read.

        The file has its name when it is complete and on the disk, not before. `ConfigurationError` if it is there
        already and `overwrite` is not said, is the repository itself, or cannot be written; WBEM_E_INVALID_OPERATION
        inside a transaction. Others wait meanwhile.
        """
        ...

    def restore(self, path: Path | str) -> None:
        """Makes the content that of a backup, also an older layout's. All or nothing: what was there stays if it fails.

        The backup is copied, brought up to date and verified before anything is touched; `ConfigurationError` says
        what is wrong with it. WBEM_E_INVALID_OPERATION inside a transaction.
        """
        ...

    def info(self) -> RepositoryInfo:
        """Sizes and counts."""
        ...

    def close(self) -> None:
        """Releases the store. Closing it again does nothing."""
        ...
