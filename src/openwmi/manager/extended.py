"""`__ExtendedStatus`: the error object that comes with a failure (MS-WMI 2.2.31)."""

from __future__ import annotations

from typing import Final

from openwmi.cim import Class, Instance
from openwmi.cim.operations import (
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)
from openwmi.errors import WbemError
from openwmi.status import describe

__all__ = ["NO_PROVIDER", "extended_status"]

NO_PROVIDER: Final = "Windows Management"
"""ProviderName where no provider is involved."""

_MOST_TEXT: Final = 4096


def extended_status(
    cls: Class,
    request: Request,
    error: WbemError,
    *,
    provider: str = NO_PROVIDER,
    namespace: str | None = None,
    trace: str = "",
) -> Instance:
    """The error object for `error`; `cls` is the class `__ExtendedStatus`.

    What a provider set in an object of its own is kept: StatusCode and Description are its business, the other
    three properties WMI's. `trace` is where a provider's code failed; its end, which says most, goes behind the text.
    """
    if error.extended is not None:
        made = error.extended.copy()
    else:
        description = (error.detail or describe(error.status))[:_MOST_TEXT]
        if trace:
            description = f"{description}\n\n{trace[-_MOST_TEXT:]}"
        made = Instance(cls, {"StatusCode": error.status, "Description": description}, namespace=namespace)
    about = {"Operation": request.METHOD, "ParameterInfo": _parameters(request), "ProviderName": provider}
    for name, value in about.items():
        if name in made and made[name] is None:
            made[name] = value
    return made


def _parameters(request: Request) -> str | None:
    """What the request was about, in one text."""
    match request:
        case GetObject(path) | DeleteInstance(path):
            text = path
        case ExecMethod(path, method):
            text = f"{path}::{method}"
        case DeleteClass(name) | EnumerateClasses(name) | EnumerateInstances(name):
            text = name
        case ExecQuery(query):
            text = query
        case PutClass(cls):
            text = None if cls is None else cls.name
        case PutInstance(instance):
            text = None if instance is None else str(instance.relative_path or instance.class_name)
        case _:
            text = None
    return None if text is None else text[:_MOST_TEXT]
