"""MOF into the repository: everything that some texts declare, in one transaction (the whole of them, or nothing)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import Class, Instance, ObjectPath, fold
from openwmi.cim.operations import CallContext, DeleteInstance, PutClass, PutInstance, Request
from openwmi.errors import NotFound, WbemError
from openwmi.manager.classes import store_class
from openwmi.manager.job import Job
from openwmi.manager.rights import need_to_define, need_to_write
from openwmi.mof import Deletion, IncludeReader, MofError, MofErrors, MofItem, Source, compile_each, compile_mof
from openwmi.security.access import ALL_RIGHTS
from openwmi.security.principals import Principal
from openwmi.status import WbemStatus

if TYPE_CHECKING:
    from openwmi.manager.manager import ObjectManager

__all__ = ["compile_into"]

_SYSTEM: Final = Principal.local_system()


class _Source:
    """The repository's classes, as a compilation looks them up."""

    def __init__(self, manager: ObjectManager) -> None:
        self._manager = manager

    def get_class(self, namespace: str, name: str) -> Class | None:
        store = self._manager.store
        return store.get_class(namespace, name) if store.has_namespace(namespace) else None


class _NotKept(Exception):
    """Undoes a compilation that has succeeded, but was only to be checked."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self.counts = counts


def compile_into(
    manager: ObjectManager,
    sources: Sequence[Source],
    namespace: str,
    *,
    include: IncludeReader | None = None,
    context: CallContext | None = None,
    force: bool = False,
    keep: bool = True,
) -> list[int]:
    """Compiles the sources in order; the number of items of each. Runs in the store's thread.

    Without `keep` all of it is undone in the end. `force` is for the server's own classes, whose rights nobody asks
    about. Raises `MofErrors`, also for an item that the repository refuses, with its place in the text.
    """
    compilation = _Compilation(manager, namespace, include, context or CallContext(principal=_SYSTEM), force)
    try:
        with manager.transaction():
            counts = compile_each(sources, compilation.add)
            if not keep:
                raise _NotKept(counts)  # noqa: TRY301  (it ends the transaction)
    except _NotKept as checked:
        return checked.counts
    return counts


class _Compilation:
    """What the sources of one compilation share: who compiles, and what he may do in each namespace."""

    def __init__(
        self,
        manager: ObjectManager,
        namespace: str,
        include: IncludeReader | None,
        context: CallContext,
        force: bool,
    ) -> None:
        self._manager = manager
        self._namespace = namespace
        self._include = include
        self._context = context
        self._force = force

    def add(self, source: Source) -> int:
        """Compiles one source; how many items it has."""
        items = compile_mof(
            source.text, _Source(self._manager), namespace=self._namespace, file=source.file, include=self._include
        )
        jobs: dict[str, Job[Any]] = {}
        for item in items:
            try:
                key = fold(item.namespace)
                if key not in jobs:
                    jobs[key] = self._job(item.namespace)
                _apply(jobs[key], item, self._force)
                if not isinstance(item.object, Class):
                    jobs.clear()  # it may have changed the rights, or have been the namespace itself
            except WbemError as error:
                raise MofErrors([MofError(error.detail or str(error), item.position, error.status)]) from error
        return len(items)

    def _job(self, namespace: str) -> Job[Any]:
        granted, sacl = (ALL_RIGHTS, None) if self._force else self._manager.admitted(namespace, self._context)
        return Job(self._manager, namespace, Request(), self._context, granted, sacl)


def _apply(job: Job[Any], item: MofItem, force: bool) -> None:
    create, update = "updateonly" not in item.flags, "createonly" not in item.flags
    made = item.object
    if isinstance(made, Class):
        # Resolved already, under what is here and what the items before this one put here.
        need_to_define(job.of(PutClass(made)), made)
        safe, forced = "safeupdate" in item.flags, force or "forceupdate" in item.flags
        store_class(job.static, made, create=create, update=update, safe=safe, force=forced)
    elif isinstance(made, Instance):
        cls = job.static.get_class(made.class_name)
        _static_only(cls)
        need_to_write(job.of(PutInstance(made)), cls)
        job.static.put(made, create=create, update=update)
    else:
        _delete(job, made)


def _delete(job: Job[Any], deletion: Deletion) -> None:
    path: ObjectPath = deletion.path
    cls = job.static.find_class(path.class_name)
    found = False
    if cls is not None and path.is_instance:
        _static_only(cls)
        need_to_write(job.of(DeleteInstance(str(path))), cls)
        found = job.static.delete(cls, path.bind(cls))
    elif cls is not None:
        for member in (cls, *job.static.below(cls)):
            need_to_define(job, member)
        found = job.static.delete_class(cls)
    if deletion.must_exist and not found:
        raise NotFound(f"{path} does not exist")


def _static_only(cls: Class) -> None:
    if cls.provider is not None:
        raise WbemError.of(
            WbemStatus.WBEM_E_NOT_SUPPORTED,
            f"{cls.name} is dynamic: MOF cannot write its instances, since a provider's work cannot be undone",
        )
