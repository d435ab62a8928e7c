"""Windows Management Instrumentation for every platform: a server, a client and a test double.

    with openwmi.connect("dcom://administrator@server", password=...) as session:
        for process in session.query("SELECT Name, ProcessId FROM Win32_Process"):
            print(process["Name"])

`openwmi.aio` is the same for asyncio. What stands here is imported when it is first used, so that
``import openwmi`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from openwmi import aio as aio
    from openwmi.cim.notices import Channel as Channel
    from openwmi.cim.notices import Message as Message
    from openwmi.cim.notices import Prompt as Prompt
    from openwmi.client.callbacks import Callbacks as Callbacks
    from openwmi.client.callbacks import Result as Result
    from openwmi.client.methods import MethodResult as MethodResult
    from openwmi.client.objects import Instance as Instance
    from openwmi.client.operation import AsyncOperation as AsyncOperation
    from openwmi.client.operation import CancelReason as CancelReason
    from openwmi.client.options import OperationOptions as OperationOptions
    from openwmi.client.pool import AsyncPool as AsyncPool
    from openwmi.client.session import AsyncSession as AsyncSession
    from openwmi.client.sync import Operation as Operation
    from openwmi.client.sync import Pool as Pool
    from openwmi.client.sync import Session as Session
    from openwmi.client.sync import connect as connect
    from openwmi.errors import AccessDenied as AccessDenied
    from openwmi.errors import AuthenticationError as AuthenticationError
    from openwmi.errors import CallerError as CallerError
    from openwmi.errors import ConfigurationError as ConfigurationError
    from openwmi.errors import ConnectError as ConnectError
    from openwmi.errors import ConnectionLost as ConnectionLost
    from openwmi.errors import DeadlineExceeded as DeadlineExceeded
    from openwmi.errors import DecodeError as DecodeError
    from openwmi.errors import Error as Error
    from openwmi.errors import InvalidClass as InvalidClass
    from openwmi.errors import InvalidNamespace as InvalidNamespace
    from openwmi.errors import InvalidObjectPath as InvalidObjectPath
    from openwmi.errors import InvalidParameter as InvalidParameter
    from openwmi.errors import InvalidQuery as InvalidQuery
    from openwmi.errors import MethodFailed as MethodFailed
    from openwmi.errors import NotFound as NotFound
    from openwmi.errors import OperationCancelled as OperationCancelled
    from openwmi.errors import PeerError as PeerError
    from openwmi.errors import ProtocolError as ProtocolError
    from openwmi.errors import RepositoryDamaged as RepositoryDamaged
    from openwmi.errors import RepositoryInUse as RepositoryInUse
    from openwmi.errors import RpcFault as RpcFault
    from openwmi.errors import Stage as Stage
    from openwmi.errors import SyntaxProblem as SyntaxProblem
    from openwmi.errors import TransportError as TransportError
    from openwmi.errors import WbemError as WbemError
    from openwmi.repository import MemoryStore as MemoryStore
    from openwmi.repository import SqliteStore as SqliteStore
    from openwmi.security.accounts import Accounts as Accounts
    from openwmi.server import Server as Server
    from openwmi.wql import escape as escape

__version__ = "0.1.0"

_HOME: Final = {
    "AccessDenied": "openwmi.errors",
    "Accounts": "openwmi.security.accounts",
    "AsyncOperation": "openwmi.client.operation",
    "AsyncPool": "openwmi.client.pool",
    "AsyncSession": "openwmi.client.session",
    "AuthenticationError": "openwmi.errors",
    "Callbacks": "openwmi.client.callbacks",
    "CallerError": "openwmi.errors",
    "CancelReason": "openwmi.client.operation",
    "Channel": "openwmi.cim.notices",
    "ConfigurationError": "openwmi.errors",
    "ConnectError": "openwmi.errors",
    "ConnectionLost": "openwmi.errors",
    "DeadlineExceeded": "openwmi.errors",
    "DecodeError": "openwmi.errors",
    "Error": "openwmi.errors",
    "Instance": "openwmi.client.objects",
    "InvalidClass": "openwmi.errors",
    "InvalidNamespace": "openwmi.errors",
    "InvalidObjectPath": "openwmi.errors",
    "InvalidParameter": "openwmi.errors",
    "InvalidQuery": "openwmi.errors",
    "MemoryStore": "openwmi.repository",
    "Message": "openwmi.cim.notices",
    "MethodFailed": "openwmi.errors",
    "MethodResult": "openwmi.client.methods",
    "NotFound": "openwmi.errors",
    "Operation": "openwmi.client.sync",
    "OperationCancelled": "openwmi.errors",
    "OperationOptions": "openwmi.client.options",
    "PeerError": "openwmi.errors",
    "Pool": "openwmi.client.sync",
    "Prompt": "openwmi.cim.notices",
    "ProtocolError": "openwmi.errors",
    "RepositoryDamaged": "openwmi.errors",
    "RepositoryInUse": "openwmi.errors",
    "Result": "openwmi.client.callbacks",
    "RpcFault": "openwmi.errors",
    "Server": "openwmi.server",
    "Session": "openwmi.client.sync",
    "SqliteStore": "openwmi.repository",
    "Stage": "openwmi.errors",
    "SyntaxProblem": "openwmi.errors",
    "TransportError": "openwmi.errors",
    "WbemError": "openwmi.errors",
    "connect": "openwmi.client.sync",
    "escape": "openwmi.wql",
}

__all__ = [
    "AccessDenied",
    "Accounts",
    "AsyncOperation",
    "AsyncPool",
    "AsyncSession",
    "AuthenticationError",
    "Callbacks",
    "CallerError",
    "CancelReason",
    "Channel",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "DeadlineExceeded",
    "DecodeError",
    "Error",
    "Instance",
    "InvalidClass",
    "InvalidNamespace",
    "InvalidObjectPath",
    "InvalidParameter",
    "InvalidQuery",
    "MemoryStore",
    "Message",
    "MethodFailed",
    "MethodResult",
    "NotFound",
    "Operation",
    "OperationCancelled",
    "OperationOptions",
    "PeerError",
    "Pool",
    "Prompt",
    "ProtocolError",
    "RepositoryDamaged",
    "RepositoryInUse",
    "Result",
    "RpcFault",
    "Server",
    "Session",
    "SqliteStore",
    "Stage",
    "SyntaxProblem",
    "TransportError",
    "WbemError",
    "__version__",
    "aio",
    "connect",
    "escape",
]


def __getattr__(name: str) -> Any:
    if name == "aio":
        return import_module("openwmi.aio")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
