"""ExecMethod (MS-WMI 3.1.4.3.22): methods that providers implement, and those that the server itself has."""

from __future__ import annotations

from typing import Any

from openwmi.cim import Class, Instance, Method, ObjectPath, flag, fold
from openwmi.cim.operation import Operation
from openwmi.cim.operations import ExecMethod
from openwmi.errors import InvalidObjectPath, InvalidParameter, WbemError
from openwmi.manager import system_security
from openwmi.manager.job import Job, Producer, instance_path
from openwmi.status import WbemStatus

__all__ = ["start"]


def start(job: Job[ExecMethod]) -> Producer:
    """The checks before ExecMethod starts: the path, the method, its parameters."""
    path = job.path(job.request.path)
    if job.request.method is None:
        raise InvalidParameter("the name of the method is NULL")
    cls = job.static.get_class(path.class_name)
    if job.request.method not in cls.methods:
        raise WbemError.of(WbemStatus.WBEM_E_INVALID_METHOD, f"{cls.name} has no method {job.request.method[:200]}")
    method = cls.methods[job.request.method]
    if flag(method.qualifiers, "disabled"):
        raise WbemError.of(WbemStatus.WBEM_E_METHOD_DISABLED, f"{cls.name}.{method.name} is disabled")
    if path.is_class and not method.is_static and not cls.is_singleton:
        raise InvalidObjectPath(f"{cls.name}.{method.name} is called on an instance, and {path} is a class")
    keys = {} if path.is_class else path.bind(cls)
    arguments = _arguments(method, job.request.parameters, f"{cls.name}.{method.name}")
    if fold(cls.name) == "__systemsecurity":
        return lambda operation: system_security.invoke(job, method, arguments, operation)
    if cls.provider is None:
        raise WbemError.of(
            WbemStatus.WBEM_E_METHOD_NOT_IMPLEMENTED, f"{cls.name} is static: nobody implements {method.name}"
        )
    return lambda operation: _invoke(job, cls, method, path, keys, arguments, operation)


def _arguments(method: Method, given: Instance | None, what: str) -> dict[str, Any]:
    """Every in-parameter by its declared name; WBEM_E_INVALID_METHOD_PARAMETERS for what does not fit."""
    declared = method.in_class
    arguments = {} if declared is None else {p.name: p.default for p in declared.properties.each()}
    for name, value in () if given is None else given.items():
        if declared is None or name not in declared.properties:
            if value is None:
                continue
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS, f"{what} has no in-parameter {name}")
        parameter = declared.properties[name]
        try:
            arguments[parameter.name] = parameter.conform(value)
        except WbemError as error:
            raise WbemError.of(WbemStatus.WBEM_E_INVALID_METHOD_PARAMETERS, f"{what}: {error.detail}") from error
    return arguments


async def _invoke(
    job: Job[ExecMethod],
    cls: Class,
    method: Method,
    path: ObjectPath,
    keys: dict[str, Any],
    arguments: dict[str, Any],
    operation: Operation,
) -> None:
    runner = await job.runner(cls)
    try:
        call = job.call(cls, path if path.is_class else instance_path(cls, keys))
        result = await runner.invoke(call, method, keys, arguments, operation.report)
    except WbemError as error:
        raise job.failed(error, runner.name) from error
    if result is not None:
        await operation.deliver([result])
