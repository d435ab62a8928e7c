"""The daemon: listeners, object manager, providers and accounts put together."""

from openwmi.server.server import Addresses, Server, stop_signals

__all__ = ["Addresses", "Server", "stop_signals"]
