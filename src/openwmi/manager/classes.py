"""Putting, deleting and enumerating classes (MS-WMI 3.1.4.3.6, .8, .10).

A static class is declared by MOF or PutClass and kept in the repository, whoever has its instances; a dynamic one is a
class provider's (`dynamic`). MS-WMI's rules for classes call dynamic whatever has an InstanceProviderId, and would have
the provider of the instances asked whether it supports a put of the class; nobody could declare a class for a provider
that only reads, so here those rules are about class providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openwmi.cim import Class, fold, is_identifier
from openwmi.cim.operation import Operation
from openwmi.cim.operations import DeleteClass, EnumerateClasses, Flags, PutClass
from openwmi.errors import InvalidParameter, NotFound, WbemError
from openwmi.manager.class_rules import check_class, reconciled
from openwmi.manager.dynamic import DynamicClasses
from openwmi.manager.instances import put_flags
from openwmi.manager.job import Job, Producer
from openwmi.manager.localization import for_caller, split
from openwmi.manager.rights import need_to_define
from openwmi.manager.static import StaticObjects
from openwmi.providers.registry import ProviderEntry
from openwmi.security.access import AccessRight
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
        owner = None if job.dynamic is None else await _class_provider(job, job.dynamic, cls)
        if owner is not None:
            await _put_dynamic(job, cls, owner, create=create, update=update)
            return
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


async def _class_provider(job: Job[PutClass], dynamic: DynamicClasses, cls: Class) -> ProviderEntry | None:
    """Whose class it is, if it is dynamic: not in the repository, and a class provider's (3.1.4.3.6)."""
    known: Class | None = await job.in_store(job.static.find_class, cls.name)
    if known is None:
        return await dynamic.supporter(job, cls.name)
    return dynamic.owners.get(fold(known.name))


async def _put_dynamic(job: Job[PutClass], given: Class, owner: ProviderEntry, *, create: bool, update: bool) -> None:
    """Has a class provider create or change its class."""
    job.need(AccessRight.WRITE_PROVIDER, f"the class {given.name} is a class provider's")

    def checked() -> Class:
        cls = resolved(job.static, given)
        parent = None if cls.superclass is None else job.static.get_class(cls.superclass)
        _check_abstract(cls, parent)
        check_class(cls, parent)
        old = job.static.find_class(cls.name)
        if old is None and not create:
            raise NotFound(f"there is no class {cls.name} in {job.namespace} to update")
        if old is not None and not update:
            raise WbemError.of(WbemStatus.WBEM_E_ALREADY_EXISTS, f"the class {cls.name} exists already")
        return cls

    cls: Class = await job.in_store(checked)
    try:
        runner = await owner.load()
        if not owner.may_have(cls):
            raise WbemError.of(
                WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE,
                f"{cls.name} is not among the classes that the provider {owner.name} says it may have",
            )
        await runner.put_class(job.call(cls), cls)
    except WbemError as error:
        raise job.failed(error, owner.name) from error


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
        members = (cls, *await job.in_store(job.static.below, cls))
        for member in members:
            need_to_define(job, member)
        await _delete_dynamic(job, members[::-1])
        if job.static.is_dynamic(cls):
            return
        if not await job.in_store(job.static.delete_class, cls):
            raise NotFound(f"the class {cls.name} does not exist any more")

    return delete


async def _delete_dynamic(job: Job[DeleteClass], members: Sequence[Class]) -> None:
    """Has class providers delete those of the classes, subclasses first, that are theirs."""
    if job.dynamic is None:
        return
    theirs = [(cls, await job.dynamic.owner(job, cls)) for cls in members if job.static.is_dynamic(cls)]
    for deleting in (False, True):  # nothing is deleted unless all of it can be
        for cls, runner in theirs:
            try:
                if deleting:
                    await runner.delete_class(job.call(cls), cls.name)
                else:
                    runner.need("delete_class")
            except WbemError as error:
                raise job.failed(error, runner.name) from error


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
