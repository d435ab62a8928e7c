"""MOF into the repository: everything that a text declares, in one transaction (the whole compilation, or nothing)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openwmi.cim import Class, Instance, ObjectPath
from openwmi.cim.operations import CallContext, DeleteInstance, PutClass, PutInstance, Request
from openwmi.errors import NotFound, WbemError
from openwmi.manager.classes import store_class
from openwmi.manager.job import Job
from openwmi.manager.rights import need_to_define, need_to_write
from openwmi.mof import Deletion, IncludeReader, MofError, MofErrors, MofItem, compile_mof
from openwmi.security.access import AccessRight
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


def compile_into(
    manager: ObjectManager,
    text: str,
    namespace: str,
    *,
    granted: AccessRight,
    file: str = "<mof>",
    include: IncludeReader | None = None,
    context: CallContext | None = None,
    force: bool = False,
) -> int:
    """Compiles `text`; the number of items. Runs in the store's thread.

    `granted` are the caller's rights in `namespace`; in others they are looked up, but with `force`, which is for the
    server's own classes. Raises `MofErrors`, also for an item that the repository refuses, with its place in the text.
    """
    who = context or CallContext(principal=_SYSTEM)
    with manager.store.transaction():
        items = compile_mof(text, _Source(manager), namespace=namespace, file=file, include=include)
        for item in items:
            same = item.namespace.lower() == namespace.lower()
            try:
                rights = granted if same or force else manager.granted(item.namespace, who)
                job: Job[Any] = Job(manager, item.namespace, Request(), who, rights)
                _apply(job, item, force)
            except WbemError as error:
                raise MofErrors([MofError(error.detail or str(error), item.position, error.status)]) from error
    return len(items)


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
