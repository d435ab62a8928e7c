"""The server's stubs of MS-WMI 3.1.4, over `openwmi.cim.operations`: one module for each interface.

A stub decodes what is in a parameter (an object, a context, a reference to a sink), asks the namespace, and picks
the delivery that the calling mode wants. It checks nothing that an operation checks: that is the namespace's, for
every caller alike. It waits for nobody but those that it asks, and reads no clock: deliveries do.
"""

from __future__ import annotations

from openwmi.wmi.server.call_result import CallResultStub
from openwmi.wmi.server.enumerator import EnumeratorStub
from openwmi.wmi.server.login import LoginStub, WmiServer
from openwmi.wmi.server.services import ServicesStub

__all__ = ["CallResultStub", "EnumeratorStub", "LoginStub", "ServicesStub", "WmiServer"]
