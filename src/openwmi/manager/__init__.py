"""The CIM object manager, in process: `ObjectManager` implements `openwmi.cim.operations.Namespaces`."""

from openwmi.manager.limits import Limits
from openwmi.manager.manager import ObjectManager
from openwmi.manager.namespace import Namespace

__all__ = ["Limits", "Namespace", "ObjectManager"]
