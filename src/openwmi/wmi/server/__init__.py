"""The server's stubs of MS-WMI 3.1.4, over `openwmi.cim.operations`: one module for each object that is exported.

A stub decodes what is in a parameter (an object, a context, a reference to a sink), asks the namespace, and picks
the delivery that the calling mode wants. It checks nothing that an operation checks: that is the namespace's, for
every caller alike. It waits for nobody but those that it asks, and reads no clock: deliveries do.
"""

from __future__ import annotations

from typing import Final

from openwmi.rpc.interface import Interface
from openwmi.wmi.backup import BackupRestoreStub
from openwmi.wmi.server.call_result import CallResultStub
from openwmi.wmi.server.enumerator import EnumeratorStub, SmartEnumStub
from openwmi.wmi.server.inert import INERT_CLASSES, ShutdownStub, UnsecuredApartmentStub
from openwmi.wmi.server.login import LoginStub, WmiServer
from openwmi.wmi.server.services import ServicesStub

__all__ = [
    "INERT_CLASSES",
    "WMI_INTERFACES",
    "CallResultStub",
    "EnumeratorStub",
    "LoginStub",
    "ServicesStub",
    "SmartEnumStub",
    "WmiServer",
]

# What a server of MS-WMI offers: every interface that one of the stubs has.
WMI_INTERFACES: Final[tuple[Interface, ...]] = (
    *LoginStub.INTERFACES,
    *ServicesStub.INTERFACES,
    *EnumeratorStub.INTERFACES,
    *SmartEnumStub.INTERFACES,
    *CallResultStub.INTERFACES,
    *BackupRestoreStub.INTERFACES,
    *ShutdownStub.INTERFACES,
    *UnsecuredApartmentStub.INTERFACES,
)
