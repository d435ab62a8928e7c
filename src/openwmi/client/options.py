"""What can be said about one operation beside what it asks for (MI's operation options), as keyword arguments.

    session.enumerate_instances("Win32_Process", timeout=5, properties=["Name"])

Every verb of a session takes these, so an editor completes them and mypy checks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypedDict

from openwmi.cim import CimType, TypedValue
from openwmi.cim.notices import Hears
from openwmi.cim.operations import CallContext, CallingMode, Flags
from openwmi.client.callbacks import Callbacks
from openwmi.errors import InvalidParameter

__all__ = ["OperationOptions", "Polymorphism", "checked_namespace", "context_of"]

Polymorphism = Literal["deep", "shallow"]
"""How far an enumeration goes: into the subclasses, or into the class alone."""


class OperationOptions(TypedDict, total=False):
    """The options; what is left out is the session's own setting."""

    timeout: float | None
    """Seconds for the whole operation, from its start to its last result; None for no limit."""
    page_size: int
    """How many results are fetched at a time, 1 to 1,000."""
    keys_only: bool
    """Results hold their key properties only."""
    properties: Iterable[str]
    """Results hold these properties and their keys only; a put changes only these."""
    polymorphism: Polymorphism
    """Of an enumeration: "deep" (the default) or "shallow"."""
    amended: bool
    """Classes and instances come with their localized qualifiers."""
    values: Mapping[str, Any]
    """Values of the operation's context (IWbemContext); `TypedValue` says a type, else it is inferred."""
    namespace: str | None
    """Another namespace than the session's, such as ``root/default``: by its full name, without a computer."""
    mode: CallingMode
    """How results come back over DCOM; `CallingMode.ASYNCHRONOUS` has the server call a sink of this session."""
    flags: int
    """Further bits of lFlags (`Flags`)."""
    callbacks: Callbacks
    """Who is told of results and of the end, instead of fetching them."""


_MOST_PER_PAGE: Final = 1000


def checked_namespace(name: str) -> str:
    r"""The name of a namespace as the model writes it, ``root\default``, from ``root/default``.

    Raises `InvalidParameter` for a computer's name or a backslash in it, as MI does.
    """
    if "\\" in name or name.startswith("//"):
        raise InvalidParameter(f"the namespace {name!r}: write it with slashes and without a computer, root/cimv2")
    return name.strip("/").replace("/", "\\")


def context_of(base: CallContext, options: OperationOptions, *, flags: int = 0) -> CallContext:
    """The context of an operation with these options. Raises `InvalidParameter` for one that cannot be."""
    values = {name: _typed(name, value) for name, value in options.get("values", {}).items()}
    flags |= options.get("flags", 0)
    if options.get("polymorphism") == "shallow":
        flags |= Flags.SHALLOW
    if options.get("amended"):
        flags |= Flags.USE_AMENDED_QUALIFIERS
    mode, callbacks = options.get("mode", base.mode), options.get("callbacks")
    if callbacks is not None and callbacks.progress is not None:
        # Only a sink is told of progress, and only if it asks for that.
        mode, flags = CallingMode.ASYNCHRONOUS, flags | Flags.SEND_STATUS
    timeout = options.get("timeout", base.timeout)
    if timeout is not None and timeout <= 0:
        raise InvalidParameter(f"timeout={timeout}: seconds, or None for no limit")
    page_size = options.get("page_size", base.page_size)
    if not 1 <= page_size <= _MOST_PER_PAGE:
        raise InvalidParameter(f"page_size={page_size}: 1 to {_MOST_PER_PAGE}")
    return replace(
        base,
        flags=flags,
        values={**base.values, **values, **_selection(options)},
        mode=mode,
        timeout=timeout,
        page_size=page_size,
        hears=Hears.NOTHING if callbacks is None else callbacks.hears,
    )


def _selection(options: OperationOptions) -> dict[str, TypedValue]:
    """What asks for part of an object: the context values of partial-instance operations."""
    keys_only, names = options.get("keys_only", False), options.get("properties")
    if not keys_only and names is None:
        return {}
    if keys_only and names is not None:
        raise InvalidParameter("keys_only and properties exclude each other")
    chosen = {"__GET_EXTENSIONS": TypedValue(CimType.BOOLEAN, True)}
    if names is None:
        return {**chosen, "__GET_EXT_KEYS_ONLY": TypedValue(CimType.BOOLEAN, True)}
    if isinstance(names, str):
        raise InvalidParameter("properties: a list of names, not one string")
    return {**chosen, "__GET_EXT_PROPERTIES": TypedValue(CimType.STRING, tuple(names), is_array=True)}


def _typed(name: str, value: Any) -> TypedValue:
    if isinstance(value, TypedValue):
        return value
    try:
        return TypedValue.of(value)
    except (TypeError, ValueError):
        raise InvalidParameter(f"the context value {name}: {type(value).__name__} is no CIM type") from None
