"""Putting, deleting and enumerating classes (MS-WMI 3.1.4.3.6, .8, .10).

Classes are static here: declared by MOF or PutClass and kept in the repository, whoever has their instances. "Dynamic"
in the rules about rights means a class whose instances a provider has (InstanceProviderId, 3.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openwmi.cim import Class, fold, is_identifier
from openwmi.cim.operation import Operation
from openwmi.cim.operations import DeleteClass, EnumerateClasses, Flags, PutClass
from openwmi.errors import InvalidParameter, NotFound, WbemError
from openwmi.manager.class_rules import check_class, reconciled
from openwmi.manager.instances import put_flags
from openwmi.manager.job import Job, Producer
from openwmi.manager.localization import for_caller, split
from openwmi.manager.rights import need_to_define
from openwmi.manager.static import StaticObjects
from openwmi.status import WbemStatus

__all__ = ["resolved", "start_delete", "start_enumeration", "start_put", "store_class"]

_PAGE: Final = 64


def start_put(job: Job[PutClass]) -> Producer:
    """The checks before PutClass starts: the flags and the name."""
    cls = job.request.cls
    if cls is None:
        raise InvalidParameter("the class is NULL")
    create, update = put_flags(job)
    safe, force = job.has(Flags.UPDATE_SAFE_MODE), job.has(Flags.UPDATE_FORCE_MODE)
    if safe and force:
        raise InvalidParameter("WBEM_FLAG_UPDATE_SAFE_MODE and WBEM_FLAG_UPDATE_FORCE_MODE exclude each other")
    _check_name(job.name_of_class(cls.name))

    async def put(operation: Operation) -> None:
        await job.in_store(lambda: _put(job, cls, create=create, update=update, safe=safe, force=force))

    return put


def _check_name(name: str) -> None:
    """3.1.4.3.6, at its beginning and its end."""
    if name.startswith("_"):
        raise WbemError.of(
            WbemStatus.WBEM_E_INVALID_OPERATION, f"{name}: names that begin with an underscore are WMI's own"
        )
    if name.endswith("_"):
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_OBJECT, f"{name}: the name of a class does not end in _")
    if not is_identifier(name):
        raise InvalidParameter(f"{name[:200]!r} cannot be the name of a class")


def _put(job: Job[PutClass], given: Class, *, create: bool, update: bool, safe: bool, force: bool) -> None:
    """A new class is kept with its amended qualifiers; an old one is split if the caller says so (3.1.1.2)."""
    localized = None
    old = job.static.find_class(given.name)
    if old is not None and job.has(Flags.USE_AMENDED_QUALIFIERS):
        given, localized = split(job, given, old)
    cls = resolved(job.static, given)
    _check_abstract(cls, None if cls.superclass is None else job.static.get_class(cls.superclass))
    need_to_define(job, cls)
    if old is not None:
        need_to_define(job, old)
    with job.static.transaction():
        store_class(job.static, cls, create=create, update=update, safe=safe, force=force)
        if localized is not None:
            below = job.below(localized[0])
            need_to_define(below, localized[1])
            store_class(below.static, localized[1], safe=True)


def _check_abstract(cls: Class, parent: Class | None) -> None:
    """3.1.4: the methods that update a class refuse an abstract one whose superclass is not.

    The sentence there has one negation too many; as it stands it would forbid what the system classes do. MOF may
    declare such classes, and the DMTF's schema does.
    """
    if parent is not None and cls.is_abstract and not parent.is_abstract:
        raise WbemError.of(
            WbemStatus.WBEM_E_CANNOT_BE_ABSTRACT,
            f"{cls.name} cannot be abstract: its superclass {parent.name} is not",
        )


def resolved(static: StaticObjects, given: Class) -> Class:
    """The declaration `given` under its superclass as that is here now."""
    if given.superclass is None:
        return given.rooted()
    parent = static.find_class(given.superclass)
    if parent is None:
        # 3.1.4.3.6 says WBEM_E_NOT_FOUND for __SUPERCLASS, not WBEM_E_INVALID_SUPERCLASS.
        raise NotFound(f"{given.name}: there is no class {given.superclass} in {static.namespace}")
    return parent.derive(given.local)


def store_class(
    static: StaticObjects,
    cls: Class,
    *,
    create: bool = True,
    update: bool = True,
    safe: bool = False,
    force: bool = False,
) -> None:
    """Keeps a resolved class, as the flags allow.

    Without `safe` and `force` a class with others or instances below it only changes if nothing changes
    (WBEM_E_CLASS_HAS_CHILDREN, WBEM_E_CLASS_HAS_INSTANCES). With `safe`, classes below it may be there if they can
    inherit what it says now; with `force`, they give way where they cannot.
    """
    check_class(cls, None if cls.superclass is None else static.find_class(cls.superclass))
    old = static.find_class(cls.name)
    if old is None:
        if not create:
            raise NotFound(f"there is no class {cls.name} in {static.namespace} to update")
    elif not update:
        raise WbemError.of(WbemStatus.WBEM_E_ALREADY_EXISTS, f"the class {cls.name} exists already")
    elif old == cls:
        return
    elif force:
        with static.transaction():
            _make_way(static, old, cls)
            static.put_class(cls)
        return
    else:
        _check_update(static, old, safe=safe)
    static.put_class(cls)


def _make_way(static: StaticObjects, old: Class, new: Class) -> None:
    """Takes from the classes below what would conflict with `new`: while they still stand under `old`."""
    if any(fold(name) == fold(old.name) for name in new.derivation):
        return  # a circle, which the store refuses
    for local in reversed(reconciled(new, static.below(old))):  # from below, each fits under what is still old
        static.put_class(static.get_class(local.superclass or "").derive(local))


def _check_update(static: StaticObjects, old: Class, *, safe: bool) -> None:
    below = static.below(old)
    if below and not safe:
        raise WbemError.of(WbemStatus.WBEM_E_CLASS_HAS_CHILDREN, f"{old.name} has subclasses, such as {below[0].name}")
    for cls in (old, *below):
        if cls.provider is None and static.has_instances(cls):
            raise WbemError.of(WbemStatus.WBEM_E_CLASS_HAS_INSTANCES, f"there are instances of {cls.name}")


def start_delete(job: Job[DeleteClass]) -> Producer:
    """The checks before DeleteClass starts."""
    name = job.name_of_class(job.request.name)
    cls = job.static.find_class(name)
    if cls is None:
        raise NotFound(f"there is no class {name} in {job.namespace}")
    if cls.name.startswith("__"):
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_OPERATION, f"{cls.name} is a system class")

    async def delete(operation: Operation) -> None:
        for member in (cls, *await job.in_store(job.static.below, cls)):
            need_to_define(job, member)
        if not await job.in_store(job.static.delete_class, cls):
            raise NotFound(f"the class {cls.name} does not exist any more")

    return delete


def start_enumeration(job: Job[EnumerateClasses]) -> Producer:
    """The checks before CreateClassEnum starts. NULL or an empty name stands for all classes."""
    name = job.request.superclass or None
    superclass = None if name is None else job.static.get_class(job.name_of_class(name))
    names = job.static.class_names(superclass, deep=not job.has(Flags.SHALLOW))

    async def enumerate_(operation: Operation) -> None:
        for at in range(0, len(names), _PAGE):
            await operation.deliver(await job.in_store(_read, job, names[at : at + _PAGE]))

    return enumerate_


def _read(job: Job[EnumerateClasses], names: Sequence[str]) -> list[Class]:
    """The classes that are still there."""
    found = (job.static.find_class(name) for name in names)
    return [job.manager.located(for_caller(job, cls)) for cls in found if cls is not None]
