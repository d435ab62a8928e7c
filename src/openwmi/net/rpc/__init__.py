"""RPC over TCP and Unix sockets: the machines of `openwmi.rpc` on asyncio streams.

`RpcListener` serves a `Peer`'s calls; `RpcTransport` makes calls, over connections that it keeps. Here are the
sockets, the clock and the tasks, and nothing else: what a PDU means is the machines' business, who may call the
peer's.
"""

from __future__ import annotations

from openwmi.net.rpc.connectors import TcpConnector, UnixConnector
from openwmi.net.rpc.listener import RpcListener
from openwmi.net.rpc.transport import RpcTransport

__all__ = ["RpcListener", "RpcTransport", "TcpConnector", "UnixConnector"]
