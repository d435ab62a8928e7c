"""Every exception that openwmi raises.

    Error
    ├── CallerError             the caller's mistake, or an operation that could not be done
    │   ├── WbemError           an operation's failure, with its HRESULT (`status`); subclasses by code
    │   ├── MethodFailed        a method ran, and returned another value than 0
    │   ├── SyntaxProblem       text that does not parse: an object path, WQL, MOF, a datetime
    │   └── ConfigurationError  an accounts file, a command line, a server's settings
    │       ├── RepositoryDamaged   the repository's file makes no sense any more
    │       └── RepositoryInUse     another process has it open
    └── PeerError               the other side's mistake, or its silence
        ├── DecodeError         bytes that are not what they should be (field, offset)
        ├── ProtocolError       well-formed bytes in the wrong place, a broken promise
        ├── RpcFault            the peer's own refusal, an RPC fault (status)
        ├── AuthenticationError the peer is not who it claims, or does not believe us
        └── TransportError      the way to it
            ├── ConnectError        no connection could be made
            ├── ConnectionLost      the connection ended before the answer
            └── DeadlineExceeded    the caller's time was up, wherever it went

The two branches meet at one boundary each: a server turns `CallerError` into that layer's own answer (an
HRESULT, later a SOAP fault), and `PeerError` into an RPC fault or the end of that one connection.

Beside what it is, an error says how far the work had come (`Error.stage`); `openwmi.causes` knows from the stage and
the code what is likely behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, Self

from openwmi.status import HResult, WbemStatus, describe, name_of

if TYPE_CHECKING:
    from openwmi.cim import Instance

__all__ = [
    "AccessDenied",
    "AuthenticationError",
    "CallerError",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "DeadlineExceeded",
    "DecodeError",
    "Error",
    "InvalidClass",
    "InvalidNamespace",
    "InvalidObjectPath",
    "InvalidParameter",
    "InvalidQuery",
    "MethodFailed",
    "NotFound",
    "OperationCancelled",
    "PeerError",
    "ProtocolError",
    "RepositoryDamaged",
    "RepositoryInUse",
    "RpcFault",
    "Stage",
    "SyntaxProblem",
    "TransportError",
    "WbemError",
    "during",
    "mark",
    "stage_of",
]


def printable(text: str) -> str:
    """`text` with everything escaped that would do something in a log or on a terminal: line ends, escapes, bidi."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Stage(StrEnum):
    """How far the way to an object goes, in the order in which it is gone."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    BIND = "bind"
    AUTHENTICATION = "authentication"
    ACTIVATION = "activation"
    LOGIN = "login"
    NAMESPACE = "namespace"
    CLASS = "class"
    PROVIDER = "provider"
    CALL = "call"
    PROTOCOL = "protocol"

    @property
    def text(self) -> str:
        """What is done in the stage, as a person says it."""
        return _STAGE_TEXTS[self]


_STAGE_TEXTS: Final = {
    Stage.RESOLVE: "finding the address of the host",
    Stage.CONNECT: "making a TCP connection",
    Stage.BIND: "agreeing on RPC with the server",
    Stage.AUTHENTICATION: "proving who we are",
    Stage.ACTIVATION: "having DCOM make the server's WMI object",
    Stage.LOGIN: "logging on to WMI",
    Stage.NAMESPACE: "opening the namespace",
    Stage.CLASS: "looking the class up",
    Stage.PROVIDER: "having the provider answer",
    Stage.CALL: "waiting for the answer",
    Stage.PROTOCOL: "understanding what the server sent",
}


class Error(Exception):
    """Base of every exception that openwmi raises on purpose.

    `stage` is where it happened, None for what happened here.
    """

    stage: Stage | None = None


def stage_of(error: BaseException | None) -> Stage | None:
    """The stage in which an error happened, or that of its cause."""
    while error is not None:
        stage = getattr(error, "stage", None)
        if isinstance(stage, Stage):
            return stage
        # In early releases of Python 3.11 a deadline does not name the cancellation that it is made of as its cause.
        deadline = isinstance(error, TimeoutError) and not error.__suppress_context__
        error = error.__cause__ or (error.__context__ if deadline else None)
    return None


def mark(error: BaseException, stage: Stage) -> None:
    """Notes where an error happened, unless it knows better: `CALL` is what everything on a connection is part of."""
    if getattr(error, "stage", None) in (None, Stage.CALL):
        vars(error)["stage"] = stage


@contextmanager
def during(stage: Stage) -> Iterator[None]:
    """Marks the errors that leave the block; a cancellation too, which may turn out to be a deadline (`stage_of`)."""
    try:
        yield
    except BaseException as error:
        mark(error, stage)
        raise


class CallerError(Error):
    """The caller's mistake, or an operation that could not be carried out as asked."""


class WbemError(CallerError):
    """An operation failed with a status code (MS-WMI 2.2.11).

    `status` is the unsigned 32-bit HRESULT, `detail` says what happened in this case, and `extended` is the
    `__ExtendedStatus` instance that came with it, if one did. `WbemError.of(status, ...)` makes the subclass
    that is registered for the code.
    """

    code: ClassVar[int | None] = None
    _by_code: ClassVar[dict[int, type[WbemError]]] = {}

    def __init_subclass__(cls) -> None:
        if cls.code is not None:
            WbemError._by_code[cls.code] = cls

    def __init__(self, status: int, detail: str = "", *, extended: Instance | None = None) -> None:
        self.status = status & 0xFFFFFFFF
        self.detail = detail
        self.extended = extended
        self.stage = _STAGES.get(self.status)
        super().__init__(status, detail)

    @classmethod
    def of(cls, status: int, detail: str = "", *, extended: Instance | None = None) -> WbemError:
        """The exception for `status`: of the class registered for that code, else `WbemError` itself."""
        made = cls._by_code.get(status & 0xFFFFFFFF)
        if made is None:
            return WbemError(status, detail, extended=extended)
        coded: type[_CodedError] = made  # type: ignore[assignment]  # only these register
        return coded(detail, extended=extended)

    @property
    def name(self) -> str:
        """The code's symbolic name, such as ``WBEM_E_NOT_FOUND``, or its number in hexadecimal."""
        return name_of(self.status)

    def __str__(self) -> str:
        text = self.detail or describe(self.status)
        return f"{text} [{self.name} 0x{self.status:08X}]"


# Codes that can only come from one stage.
_STAGES: Final[dict[int, Stage]] = {
    WbemStatus.WBEM_E_INVALID_NAMESPACE: Stage.NAMESPACE,
    WbemStatus.WBEM_E_INVALID_CLASS: Stage.CLASS,
    WbemStatus.WBEM_E_PROVIDER_FAILURE: Stage.PROVIDER,
    WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE: Stage.PROVIDER,
    WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE: Stage.PROVIDER,
    WbemStatus.WBEM_E_PROVIDER_NOT_FOUND: Stage.PROVIDER,
    WbemStatus.WBEM_E_PROVIDER_TIMED_OUT: Stage.PROVIDER,
    WbemStatus.WBEM_E_INVALID_PROVIDER_REGISTRATION: Stage.PROVIDER,
}


class _CodedError(WbemError):
    """A `WbemError` whose class knows its code."""

    def __init__(self, detail: str = "", *, extended: Instance | None = None) -> None:
        assert self.code is not None
        super().__init__(self.code, detail, extended=extended)
        self.args = (detail,)


class AccessDenied(_CodedError):
    """WBEM_E_ACCESS_DENIED: the caller's account lacks a right."""

    code = WbemStatus.WBEM_E_ACCESS_DENIED


class NotFound(_CodedError):
    """WBEM_E_NOT_FOUND: no such object."""

    code = WbemStatus.WBEM_E_NOT_FOUND


class InvalidParameter(_CodedError):
    """WBEM_E_INVALID_PARAMETER: an argument, or a combination of arguments, is not valid."""

    code = WbemStatus.WBEM_E_INVALID_PARAMETER


class InvalidObjectPath(_CodedError):
    """WBEM_E_INVALID_OBJECT_PATH: the path is malformed, or of the wrong kind for the operation."""

    code = WbemStatus.WBEM_E_INVALID_OBJECT_PATH


class InvalidClass(_CodedError):
    """WBEM_E_INVALID_CLASS: no such class, or a class that cannot be what is asked of it."""

    code = WbemStatus.WBEM_E_INVALID_CLASS


class InvalidNamespace(_CodedError):
    """WBEM_E_INVALID_NAMESPACE: no such namespace."""

    code = WbemStatus.WBEM_E_INVALID_NAMESPACE


class InvalidQuery(_CodedError):
    """WBEM_E_INVALID_QUERY: the query is not WQL, or asks for what the schema does not have."""

    code = WbemStatus.WBEM_E_INVALID_QUERY


class OperationCancelled(_CodedError):
    """WBEM_E_CALL_CANCELLED: the operation was cancelled before it ended."""

    code = WbemStatus.WBEM_E_CALL_CANCELLED


class MethodFailed(CallerError):
    """A method ran and returned something else than 0: what that means is in its class's documentation."""

    def __init__(self, method: str, returned: int) -> None:
        super().__init__(method, returned)
        self.method = method
        self.returned = returned

    def __str__(self) -> str:
        return f"{self.method} returned {self.returned}, and not 0"


class SyntaxProblem(CallerError):
    """Text that does not parse. `text` is the whole input, `position` the index of the offending character."""

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.position = position


class ConfigurationError(CallerError):
    """A setting, a file or a command line that cannot be used; the message says which, and what to do."""


class RepositoryDamaged(ConfigurationError):
    """The file is, or was, a repository, but its content makes no sense any more."""


class RepositoryInUse(ConfigurationError):
    """The repository is open in another process, which has it for itself."""


class PeerError(Error):
    """The other side broke the protocol, refused, or fell silent."""


class DecodeError(PeerError):
    """Bytes that are not what they should be; the message names the field and the offset."""

    stage = Stage.PROTOCOL

    def __init__(self, field: str, offset: int, problem: str) -> None:
        # A field may bear a name that the peer chose, and both go into logs.
        self.field = printable(field)
        self.offset = offset
        self.problem = printable(problem)
        super().__init__(self.field, offset, self.problem)

    def __str__(self) -> str:
        return f"{self.field} at offset {self.offset}: {self.problem}"


class ProtocolError(PeerError):
    """Well-formed bytes where the protocol does not allow them."""

    stage = Stage.PROTOCOL


class RpcFault(PeerError):
    """The peer answered a call with an RPC fault (C706 12.6.4.7). `status` is the fault's code."""

    def __init__(self, status: int, detail: str = "") -> None:
        self.status = status & 0xFFFFFFFF
        self.detail = detail
        super().__init__(status, detail)

    def __str__(self) -> str:
        text = self.detail or describe(self.status)
        return f"{text} [RPC fault {name_of(self.status)} 0x{self.status:08X}]"


class AuthenticationError(PeerError):
    """Authentication failed; the message gives the principal and the reason, never the secret."""

    stage = Stage.AUTHENTICATION


class TransportError(PeerError):
    """The connection failed. `status` is the system's reason as a Win32 code, where it gave one."""

    def __init__(self, message: str, *, stage: Stage = Stage.CALL, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.stage = stage
        self.status = status


class ConnectError(TransportError):
    """No connection could be made."""


class ConnectionLost(TransportError):
    """The connection ended before the answer came."""


class DeadlineExceeded(TransportError):
    """The time was up that this side gives a connection, a call, or an operation as a whole; `stage` says what it did.

    `status` is WSAETIMEDOUT where the other side did not answer, and WBEM_E_TIMED_OUT for an operation that was under
    way and had not ended. Limits that a server sets are the server's errors: WBEM_E_PROVIDER_TIMED_OUT, say.
    """

    def __init__(self, message: str, *, stage: Stage = Stage.CALL, status: int | None = HResult.WSAETIMEDOUT) -> None:
        super().__init__(message, stage=stage, status=status)

    @classmethod
    def after(
        cls,
        seconds: float | None,
        where: object,
        what: str,
        *,
        stage: Stage = Stage.CALL,
        status: int | None = HResult.WSAETIMEDOUT,
    ) -> Self:
        """The error for `what`, such as "no session", at a host or an endpoint: `where`."""
        time = "in time" if seconds is None else f"in {seconds:g} s"
        return cls(f"{where}: {what} {time}", stage=stage, status=status)

    def __str__(self) -> str:
        # Not in the message: whoever is above may know the stage better (`mark`).
        return self.message if self.stage is None else f"{self.message}; the time was up while {self.stage.text}"
