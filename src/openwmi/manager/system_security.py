"""The methods of `__SystemSecurity` (MS-WMI 2.2.30, and the SDK for the two whose descriptors are objects).

Each takes the right in the namespace to what it reads or changes (5.2), and runs in the store's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from openwmi.cim import Instance, Method, fold
from openwmi.cim.operation import Operation
from openwmi.cim.operations import ExecMethod
from openwmi.errors import DecodeError, InvalidParameter, NotFound
from openwmi.manager.descriptor_objects import DescriptorObjects
from openwmi.manager.job import Job
from openwmi.security.access import AccessRight
from openwmi.security.descriptor import SecurityDescriptor

__all__ = ["invoke"]

_Arguments: TypeAlias = dict[str, Any]


async def invoke(job: Job[ExecMethod], method: Method, arguments: _Arguments, operation: Operation) -> None:
    """Does what `method` says, and delivers what comes out. Each of them returns 0 or raises."""
    action = _METHODS.get(fold(method.name))
    if action is None:
        raise NotFound(f"__SystemSecurity has no method {method.name}")
    out = await job.in_store(action, job, arguments)
    assert method.out_class is not None
    await operation.deliver([Instance(method.out_class.shape, {"ReturnValue": 0, **out})])


def _get_sd(job: Job[ExecMethod], _: _Arguments) -> _Arguments:
    return {"SD": bytes(_read(job))}


def _set_sd(job: Job[ExecMethod], arguments: _Arguments) -> _Arguments:
    job.need(AccessRight.WRITE_DAC, "SetSD changes the security descriptor")
    try:
        descriptor = SecurityDescriptor.from_bytes(arguments["SD"] or b"")
    except DecodeError as error:
        raise InvalidParameter(f"SD is no security descriptor: {error}") from error
    return _write(job, descriptor)


def _get_descriptor(job: Job[ExecMethod], _: _Arguments) -> _Arguments:
    return {"Descriptor": DescriptorObjects(job.static.get_class).instance(_read(job))}


def _set_descriptor(job: Job[ExecMethod], arguments: _Arguments) -> _Arguments:
    job.need(AccessRight.WRITE_DAC, "SetSecurityDescriptor changes the security descriptor")
    current = job.manager.descriptor(job.namespace)
    return _write(job, DescriptorObjects(job.static.get_class).changed(current, arguments["Descriptor"]))


def _get_rights(job: Job[ExecMethod], _: _Arguments) -> _Arguments:
    return {"rights": int(job.granted)}


def _read(job: Job[ExecMethod]) -> SecurityDescriptor:
    job.need(AccessRight.READ_CONTROL, f"{job.request.method} reads the security descriptor")
    return job.manager.descriptor(job.namespace)


def _write(job: Job[ExecMethod], descriptor: SecurityDescriptor) -> _Arguments:
    job.manager.set_descriptor(job.namespace, job.manager.with_inherited(job.namespace, descriptor))
    return {}


_METHODS: Final[Mapping[str, Callable[[Job[ExecMethod], _Arguments], _Arguments]]] = {
    "getsd": _get_sd,
    "setsd": _set_sd,
    "getsecuritydescriptor": _get_descriptor,
    "setsecuritydescriptor": _set_descriptor,
    "getcalleraccessrights": _get_rights,
}
