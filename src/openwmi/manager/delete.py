"""DeleteInstance and DeleteInstanceAsync (MS-WMI 3.1.4.3.14, 3.1.4.3.15): one operation, whatever its delivery.

Before the operation starts: the path, its class and its keys, and whether there is anything to delete at all. After
it started, in this order: the caller's rights, the provider of the path's own class, and the deletion itself.

An instance may be known to several classes of one family. "WMI must call the providers" of the class that owns it, of
every class above and of every class below (the SDK's page on deleting an instance); abstract classes have no
instances, so theirs are not asked, and each provider gets the path rewritten to its own class. "If the provider for
any topmost nonabstract class succeeds", the deletion does. What the documents leave open, and what is done here:

- The classes that take part are the non-abstract ones with a provider and, if the repository holds the instance, the
  one class that it holds it for. A static class without such an instance has no part: nobody could answer for it.
- Topmost is a participant with no other participant above it; siblings under an abstract class are both topmost.
- The order is top down, one at a time: deterministic, and a base's part of an object goes before what extends it.
- All providers are called, even when a topmost one has failed; but the repository's instance is deleted only if that
  counts or the deletion succeeds anyway, so that a failed deletion leaves the repository as it was.
- If all topmost ones fail, the status is that of the first of them that failed otherwise than WBEM_E_NOT_FOUND
  (who knows the instance says more than who does not), else WBEM_E_NOT_FOUND.
- The provider of the class that the path names is the "given provider" whose SupportsDelete is obtained: if it cannot
  be loaded or cannot delete, the operation ends there, and nobody is called. Another class's provider that cannot is
  one that failed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from openwmi.cim import Class, Instance, fold
from openwmi.cim.operation import Operation
from openwmi.cim.operations import DeleteInstance
from openwmi.errors import InvalidObjectPath, NotFound, WbemError
from openwmi.manager.job import Job, Producer, instance_path
from openwmi.manager.rights import need_to_write
from openwmi.status import WbemStatus

__all__ = ["start"]

_log = logging.getLogger("openwmi.manager")


@dataclass(frozen=True, slots=True)
class _Deletion:
    """What is to be deleted: the class that the path names, the keys, and who takes part (top down)."""

    cls: Class
    keys: dict[str, Any]
    participants: tuple[Class, ...]
    static: Instance | None

    def is_topmost(self, cls: Class) -> bool:
        """Whether no other participant is above `cls`."""
        return not any(cls.is_a(other.name) for other in self.participants if other is not cls)


def start(job: Job[DeleteInstance]) -> Producer:
    """The checks before the operation starts."""
    path = job.path(job.request.path)
    if not path.is_instance:
        raise InvalidObjectPath(f"{path} names a class; the path of an instance has its keys")
    cls = job.static.get_class(path.class_name)
    keys = path.bind(cls)
    static = job.static.find(cls, keys)
    participants = [
        member
        for member in job.static.line(cls)
        if not member.is_abstract
        and (member.provider is not None or (static is not None and fold(member.name) == fold(static.class_name)))
    ]
    if not participants:
        raise NotFound(f"{path} does not exist")
    deletion = _Deletion(cls, keys, tuple(participants), static)
    return lambda operation: _delete(job, deletion, operation)


async def _delete(job: Job[DeleteInstance], deletion: _Deletion, operation: Operation) -> None:
    for participant in deletion.participants:
        need_to_write(job, participant)
    if deletion.cls in deletion.participants and deletion.cls.provider is not None:
        await _given_provider(job, deletion.cls)
    deleted = False
    failures: list[WbemError] = []
    for cls in deletion.participants:
        if cls.provider is None:
            continue
        failure = await _call(job, cls, deletion.keys, operation)
        if failure is None:
            deleted = deleted or deletion.is_topmost(cls)
        elif deletion.is_topmost(cls):
            failures.append(failure)
    static = deletion.static
    if static is not None and static.cls.provider is None and (deleted or _counts(deletion, static)):
        removed = await job.in_store(job.static.delete, static.cls, static.keys or {})
        if removed:
            deleted = deleted or _counts(deletion, static)
        else:
            failures.append(NotFound(f"{static.relative_path} does not exist any more"))
    if not deleted:
        raise next((f for f in failures if f.status != WbemStatus.WBEM_E_NOT_FOUND), failures[0])


def _counts(deletion: _Deletion, static: Instance) -> bool:
    return any(fold(cls.name) == fold(static.class_name) and deletion.is_topmost(cls) for cls in deletion.participants)


async def _given_provider(job: Job[DeleteInstance], cls: Class) -> None:
    """SupportsDelete of the provider of the class that the path names."""
    runner = await job.runner(cls)
    try:
        runner.need("delete_instance")
    except WbemError as error:
        raise job.failed(error, runner.name) from error


async def _call(job: Job[DeleteInstance], cls: Class, keys: dict[str, Any], operation: Operation) -> WbemError | None:
    """Has the provider of one class delete its part; its failure, if it fails."""
    call = job.call(cls, instance_path(cls, keys))
    try:
        runner = await job.runner(cls)
        await runner.delete(call, keys, operation.report)
    except WbemError as error:
        _log.info("%s: the provider of %s did not delete it: %s", call.path, cls.name, error)
        return job.failed(error, cls.provider or "")
    return None
