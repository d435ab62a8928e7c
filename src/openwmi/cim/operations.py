"""What one can ask of a CIM namespace (keystone 2): requests, the context of a call, and the two Protocols.

The in-process object manager and the clients *implement* `Operations`; stubs, the command line and the session API
*consume* it. Starting is two-phase: `await namespace.start(request, context)` does, and raises, everything that
the specification checks before an operation starts; what comes later belongs to the `Operation` it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, runtime_checkable

from openwmi.cim.classes import Class
from openwmi.cim.instances import Instance
from openwmi.cim.notices import Hears
from openwmi.cim.types import TypedValue

if TYPE_CHECKING:
    from openwmi.cim.operation import Operation

__all__ = [
    "IGNORED_FLAGS",
    "CallContext",
    "CallingMode",
    "Connected",
    "DeleteClass",
    "DeleteInstance",
    "EnumerateClasses",
    "EnumerateInstances",
    "ExecMethod",
    "ExecQuery",
    "Flags",
    "GetObject",
    "Namespaces",
    "Operations",
    "Principal",
    "PutClass",
    "PutInstance",
    "Request",
]


class Flags(IntFlag):
    """The bits of lFlags (MS-WMI 2.2.5, 2.2.6, 2.2.9). One number may mean two things to two methods."""

    NONE = 0
    RETURN_IMMEDIATELY = 0x10
    FORWARD_ONLY = 0x20
    SEND_STATUS = 0x80
    ENSURE_LOCATABLE = 0x100
    DIRECT_READ = 0x200
    USE_AMENDED_QUALIFIERS = 0x20000
    # WBEM_CHANGE_FLAG_TYPE, of the Put methods
    UPDATE_ONLY = 0x01
    CREATE_ONLY = 0x02
    UPDATE_SAFE_MODE = 0x20
    UPDATE_FORCE_MODE = 0x40
    # WBEM_QUERY_FLAG_TYPE, of the enumerations and queries
    SHALLOW = 0x01
    PROTOTYPE = 0x02


# WBEM_FLAG_NO_ERROR_OBJECT, WBEM_MASK_RESERVED_FLAGS and WBEM_FLAG_STRONG_VALIDATION "MUST be ignored on receipt"
# (2.2.6). The first has PutClass's UPDATE_FORCE_MODE's number, so a request says which of them it ignores.
IGNORED_FLAGS: Final = 0x40 | 0x1F000 | 0x100000


class CallingMode(Enum):
    """How the result is to reach the caller (MS-WMI 3.1.1.1); decides which flags are valid."""

    SYNCHRONOUS = 0
    SEMISYNCHRONOUS = Flags.RETURN_IMMEDIATELY.value
    ASYNCHRONOUS = Flags.SEND_STATUS.value


class Principal(Protocol):
    """Who calls, as far as the model needs to know; `openwmi.security` has the rest. Equal are those of one account."""

    @property
    def name(self) -> str:
        """``DOMAIN\\account``."""
        ...

    @property
    def is_administrator(self) -> bool:
        """Whether the account is one of this machine's administrators."""
        ...


_NO_VALUES: Final[Mapping[str, TypedValue]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Everything about a call but what it asks for.

    `level` is the authentication level (MS-RPCE 2.2.1.1.8; 6, packet privacy, for a caller in this process), `remote`
    whether the caller needs WBEM_REMOTE_ENABLE, `flags` lFlags as they came, `values` the IWbemContext's (2.2.13), by
    name as it was spelled, `peer` the other side (for a server its caller's address, for a client the host that it
    asks), `timeout` the seconds that the whole operation may take, None for no limit, `page_size` how many results a
    client fetches at a time, and `hears` what the caller takes beside results.
    """

    principal: Principal
    level: int = 6
    remote: bool = False
    flags: int = 0
    mode: CallingMode = CallingMode.SEMISYNCHRONOUS
    locales: tuple[str, ...] = ()
    values: Mapping[str, TypedValue] = field(default_factory=lambda: _NO_VALUES)
    correlation_id: str = ""
    peer: str = "this process"
    timeout: float | None = None
    page_size: int = 250
    hears: Hears = Hears.NOTHING


@dataclass(frozen=True, slots=True)
class Request:
    """Base of the requests. `FLAGS` are the flags valid for this one beside those of the calling mode.

    `RETURNS_MANY` says that the results are for an enumerator, `RETURNS_OBJECT` that there is one object, or none, and
    `REPEATABLE` that it changes nothing, so that asking twice is as good as asking once.
    """

    FLAGS: ClassVar[int] = 0
    IGNORED: ClassVar[int] = IGNORED_FLAGS
    RETURNS_MANY: ClassVar[bool] = False
    RETURNS_OBJECT: ClassVar[bool] = False
    REPEATABLE: ClassVar[bool] = False
    METHOD: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class GetObject(Request):
    """A class or an instance by its path (3.1.4.3.4); None is an empty class."""

    FLAGS = Flags.USE_AMENDED_QUALIFIERS | Flags.DIRECT_READ
    RETURNS_OBJECT = True
    REPEATABLE = True
    METHOD = "GetObject"
    path: str | None


@dataclass(frozen=True, slots=True)
class PutClass(Request):
    """Creates or changes a class (3.1.4.3.6)."""

    FLAGS = (
        Flags.USE_AMENDED_QUALIFIERS | Flags.UPDATE_ONLY | Flags.CREATE_ONLY
        | Flags.UPDATE_FORCE_MODE | Flags.UPDATE_SAFE_MODE
    )  # fmt: skip
    IGNORED = IGNORED_FLAGS & ~Flags.UPDATE_FORCE_MODE.value  # an IntFlag's own ~ drops bits that have no name
    METHOD = "PutClass"
    cls: Class | None


@dataclass(frozen=True, slots=True)
class DeleteClass(Request):
    """Deletes a class with its instances and subclasses (3.1.4.3.8)."""

    METHOD = "DeleteClass"
    name: str | None


@dataclass(frozen=True, slots=True)
class EnumerateClasses(Request):
    """The subclasses of a class; of all classes for "" or None (3.1.4.3.10)."""

    FLAGS = Flags.USE_AMENDED_QUALIFIERS | Flags.SHALLOW | Flags.FORWARD_ONLY
    RETURNS_MANY = True
    REPEATABLE = True
    METHOD = "CreateClassEnum"
    superclass: str | None


@dataclass(frozen=True, slots=True)
class PutInstance(Request):
    """Creates or changes an instance (3.1.4.3.12). The operation's `text` is the path it got."""

    FLAGS = Flags.USE_AMENDED_QUALIFIERS | Flags.UPDATE_ONLY | Flags.CREATE_ONLY
    METHOD = "PutInstance"
    instance: Instance | None


@dataclass(frozen=True, slots=True)
class DeleteInstance(Request):
    """Deletes an instance by its path (3.1.4.3.14, 3.1.4.3.15)."""

    METHOD = "DeleteInstance"
    path: str | None


@dataclass(frozen=True, slots=True)
class EnumerateInstances(Request):
    """The instances of a class and, without SHALLOW, of its subclasses (3.1.4.3.16)."""

    FLAGS = (
        Flags.USE_AMENDED_QUALIFIERS | Flags.DIRECT_READ | Flags.SHALLOW
        | Flags.FORWARD_ONLY | Flags.ENSURE_LOCATABLE
    )  # fmt: skip
    RETURNS_MANY = True
    REPEATABLE = True
    METHOD = "CreateInstanceEnum"
    class_name: str | None


@dataclass(frozen=True, slots=True)
class ExecQuery(Request):
    """What a query selects (3.1.4.3.18)."""

    FLAGS = (
        Flags.USE_AMENDED_QUALIFIERS | Flags.DIRECT_READ | Flags.PROTOTYPE
        | Flags.FORWARD_ONLY | Flags.ENSURE_LOCATABLE
    )  # fmt: skip
    RETURNS_MANY = True
    REPEATABLE = True
    METHOD = "ExecQuery"
    query: str | None
    language: str | None = "WQL"


@dataclass(frozen=True, slots=True)
class ExecMethod(Request):
    """Calls a method (3.1.4.3.22). The operation's one object holds the out-parameters."""

    RETURNS_OBJECT = True
    METHOD = "ExecMethod"
    path: str | None
    method: str | None
    parameters: Instance | None = None


class Operations(Protocol):
    """One CIM namespace, as one caller has it open."""

    @property
    def namespace(self) -> str:
        """The namespace, such as ``root\\cimv2``."""
        ...

    async def start(self, request: Request, context: CallContext) -> Operation:
        """Starts an operation. Raises `WbemError` for what the specification checks before an operation starts."""
        ...

    async def open_namespace(self, path: str | None, context: CallContext) -> Operations:
        """The child namespace `path` of this one (3.1.4.3.1); WBEM_E_INVALID_NAMESPACE if there is none."""
        ...


@runtime_checkable
class Connected(Protocol):
    """What is at the other end of a connection."""

    @property
    def lost(self) -> bool:
        """Whether a connection has ended that was not closed from here, since the first one was made."""
        ...


class Namespaces(Protocol):
    """Where namespaces are opened: the object manager, or a connection to one."""

    async def connect(self, namespace: str | None, context: CallContext) -> Operations:
        """Opens a namespace by its full name (3.1.4.1.4), checking the caller's rights to it."""
        ...
