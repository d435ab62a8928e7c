"""The exceptions of the wmi module, and the one place where openwmi's own become them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from openwmi.errors import (
    AuthenticationError,
    DeadlineExceeded,
    Error,
    InvalidQuery,
    RpcFault,
    TransportError,
    WbemError,
)
from openwmi.status import HResult, WbemStatus
from openwmi.wql import WqlError

__all__ = [
    "com_error",
    "signed_to_unsigned",
    "translated",
    "x_access_denied",
    "x_wmi",
    "x_wmi_authentication",
    "x_wmi_invalid_query",
    "x_wmi_no_namespace",
    "x_wmi_timed_out",
    "x_wmi_uninitialised_thread",
]

_E_ACCESSDENIED: Final = 0x80070005
_RPC_SERVER_UNAVAILABLE: Final = 0x800706BA
_WBEM_S_TIMEDOUT_OF_SCRIPTING: Final = 0x80043001  # wbemErrTimedout, which only the scripting interface has


def signed_to_unsigned(signed: int) -> int:
    """The code 0x800706BA of an `hresult` of -2147023174."""
    return signed & 0xFFFFFFFF


class com_error(Exception):
    """What COM said: `hresult` as the signed number that pywin32 shows, and `strerror`."""

    def __init__(self, status: int, text: str) -> None:
        self.hresult = status - (1 << 32) if status >= 1 << 31 else status
        self.strerror = text
        self.excepinfo = (0, "openwmi", text, None, 0, self.hresult)
        self.argerror = None
        super().__init__(self.hresult, text, self.excepinfo, None)


class x_wmi(Exception):
    """The base of all. `info` says what happened; `com_error` is the error beneath, if there is one."""

    def __init__(self, info: str = "", com_error: com_error | None = None) -> None:
        self.info = info
        self.com_error = com_error
        super().__init__(info, com_error)

    def __str__(self) -> str:
        return f"<{type(self).__name__}: {self.info or self.com_error or 'no reason was given'}>"


class x_wmi_invalid_query(x_wmi):
    """The query is not WQL, or asks for what the class does not have."""


class x_wmi_timed_out(x_wmi):
    """A watcher saw nothing in the time that it was given."""


class x_wmi_no_namespace(x_wmi):
    """A class without a namespace was asked for instances. Here every class has one."""


class x_access_denied(x_wmi):
    """The log-on failed, or the account lacks a right."""


class x_wmi_authentication(x_wmi):
    """Arguments about the log-on that do not go together, or that are not possible off Windows."""


class x_wmi_uninitialised_thread(x_wmi):
    """A thread without COM. Here no thread needs it."""


_BY_STATUS: Final[dict[int, type[x_wmi]]] = {
    WbemStatus.WBEM_E_INVALID_QUERY: x_wmi_invalid_query,
    WbemStatus.WBEM_E_ACCESS_DENIED: x_access_denied,
    _E_ACCESSDENIED: x_access_denied,
    _WBEM_S_TIMEDOUT_OF_SCRIPTING: x_wmi_timed_out,
}


def _status(error: Error) -> int | None:
    """The code that COM has for an error; None for what COM has no word for."""
    if isinstance(error, WbemError | RpcFault):
        return error.status
    if isinstance(error, WqlError | InvalidQuery):
        return WbemStatus.WBEM_E_INVALID_QUERY
    if isinstance(error, AuthenticationError):
        return _E_ACCESSDENIED
    if isinstance(error, DeadlineExceeded):
        return HResult.RPC_E_TIMEOUT
    return _RPC_SERVER_UNAVAILABLE if isinstance(error, TransportError) else None


@contextmanager
def translated() -> Iterator[None]:
    """Raises an `openwmi.Error` of its block as the `x_wmi` that scripts wait for."""
    try:
        yield
    except Error as error:
        status = _status(error)
        beneath = None if status is None else com_error(status, str(error))
        raise _BY_STATUS.get(status or 0, x_wmi)(str(error), beneath) from error
