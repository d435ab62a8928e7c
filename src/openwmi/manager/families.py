"""The classes whose instances are looked for together, and what one object is that several of them know.

A class and one above it may both know an object: each has a provider, or one has and the other's instance is in the
repository. To the caller it is one object, which comes once, as the most derived class shows it. Classes that are not
above each other never share an object, though their keys be equal, and neither do static ones (`repository.Store`).

What was seen costs 16 bytes an object, and only where two classes can know the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from openwmi.cim import Class, Instance, fold
from openwmi.cim.operations import Flags
from openwmi.manager.job import Job

__all__ = ["Merger", "family"]

_DIGEST: Final = 16


def family(job: Job[Any], cls: Class) -> list[Class]:
    """The class and all that descend from it, superclasses first; with WBEM_FLAG_DIRECT_READ the class alone."""
    return [cls] if job.has(Flags.DIRECT_READ) else [cls, *job.static.below(cls)]


class Merger:
    """Leaves out what a more derived class has given already. `classes` are in the order to ask them in."""

    def __init__(self, classes: Iterable[Class]) -> None:
        """The classes come superclasses first."""
        given = list(classes)
        concrete = {fold(cls.name): cls for cls in given if not cls.is_abstract and (cls.keys or cls.is_singleton)}
        self._seen: dict[str, set[bytes]] = {
            name: set()
            for cls in concrete.values()
            for name in map(fold, cls.derivation)
            if name in concrete and not (cls.provider is None and concrete[name].provider is None)
        }
        # A class whose objects others may know has to wait for them.
        self.classes: Sequence[Class] = given[::-1] if self._seen else given

    def new(self, cls: Class, batch: list[Instance]) -> list[Instance]:
        """Those of the instances of `cls` that no class below it has given."""
        mine = self._seen.get(fold(cls.name))
        above = [self._seen[name] for name in map(fold, cls.derivation) if name in self._seen]
        if mine is None and not above:
            return batch
        found = []
        for instance in batch:
            identity = instance.identity
            if identity is None:
                found.append(instance)
                continue
            digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
            if mine is not None and digest in mine:
                continue
            for seen in above:
                seen.add(digest)
            found.append(instance)
        return found
