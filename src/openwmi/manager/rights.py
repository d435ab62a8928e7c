"""Which rights a write needs (MS-WMI 3.1.4.3.12, .14, .15; 5.2)."""

from __future__ import annotations

from typing import Any

from openwmi.cim import Class
from openwmi.manager.job import Job
from openwmi.manager.registrations import is_registration
from openwmi.security.access import AccessRight

__all__ = ["need_to_define", "need_to_write"]


def need_to_write(job: Job[Any], cls: Class) -> None:
    """The right to create, change or delete an instance of `cls`; `AccessDenied` without it.

    Who registers providers has to be an administrator, whatever the namespace allows (the SDK says so of each kind).
    """
    if is_registration(cls) and not job.context.principal.is_administrator:
        raise job.manager.refusal(job.context, f"registering providers in {job.namespace} is for administrators")
    if cls.provider is not None:
        job.need(AccessRight.WRITE_PROVIDER, f"{cls.name} is dynamic")
    elif cls.is_system:
        job.need(AccessRight.FULL_WRITE, f"{cls.name} descends from a system class")
    else:
        job.need(AccessRight.PARTIAL_WRITE_REP, f"{cls.name} is static")


def need_to_define(job: Job[Any], cls: Class) -> None:
    """The right to create, change or delete the class itself; `AccessDenied` without it.

    Every declaration is kept in the repository, and its provider qualifier is the caller's own word: so a class that
    says it is dynamic needs no less than one that does not, but the right to write to providers as well.
    """
    if job.static.is_dynamic(cls):
        job.need(AccessRight.WRITE_PROVIDER, f"the class {cls.name} is a class provider's")
        return
    job.need(AccessRight.FULL_WRITE, f"the class {cls.name} is declared in the repository")
    if cls.provider is not None:
        job.need(AccessRight.WRITE_PROVIDER, f"the class {cls.name} is dynamic")
