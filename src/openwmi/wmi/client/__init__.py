"""The client's proxies: `openwmi.cim.operations` over MS-WMI, one module for each interface.

`RemoteNamespaces` logs on, and `RemoteNamespace` turns each request into the method of IWbemServices that the calling
mode wants: the synchronous one, the semisynchronous one whose enumerator or call result is then fetched from, or the
asynchronous one with a sink. The result is the same `Operation` for all three. `RemoteEnumerator` is an enumerator
for whoever wants to go back in it.
"""

from __future__ import annotations

from openwmi.wmi.client.enumerator import RemoteEnumerator
from openwmi.wmi.client.link import SinkExporter
from openwmi.wmi.client.login import ClientInfo, RemoteNamespaces
from openwmi.wmi.client.services import RemoteNamespace

__all__ = ["ClientInfo", "RemoteEnumerator", "RemoteNamespace", "RemoteNamespaces", "SinkExporter"]
