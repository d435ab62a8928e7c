"""The system properties: what WMI says of every object beside its own properties (``__PATH`` and its kin).

They are worked out, never stored. `__PATH` and `__RELPATH` are NULL for an object without its keys, `__SERVER` and
`__NAMESPACE` for one that does not know where it lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from openwmi.cim.types import CimType, CimValue

if TYPE_CHECKING:
    from openwmi.cim.classes import Class
    from openwmi.cim.instances import Instance

__all__ = ["SYSTEM_PROPERTIES", "SystemProperty"]


@dataclass(frozen=True, slots=True)
class SystemProperty:
    """One system property: its type, and how an object's value of it is found."""

    name: str
    type: CimType
    is_array: bool
    _read: Callable[[Class, Instance | None], CimValue]

    def read(self, obj: Instance | Class) -> CimValue:
        """The value for this class or instance."""
        cls = obj.shape.cls
        return self._read(cls, None if cls is obj else obj)  # type: ignore[arg-type]


def _path(cls: Class, instance: Instance | None) -> CimValue:
    found: Any = cls.path if instance is None else instance.path
    return None if found is None else str(found)


def _relative_path(cls: Class, instance: Instance | None) -> CimValue:
    found: Any = cls.path.relative if instance is None else instance.relative_path
    return None if found is None else str(found)


def _located(cls: Class, instance: Instance | None) -> tuple[str | None, str | None]:
    return (cls.namespace, cls.server) if instance is None else (instance.namespace, instance.server)


def _count(cls: Class, instance: Instance | None) -> CimValue:
    return len(cls.properties) if instance is None else len(instance)


SYSTEM_PROPERTIES: Final[Mapping[str, SystemProperty]] = MappingProxyType(
    {
        p.name: p
        for p in (
            SystemProperty("__GENUS", CimType.SINT32, False, lambda cls, instance: 1 if instance is None else 2),
            SystemProperty("__CLASS", CimType.STRING, False, lambda cls, instance: cls.name),
            SystemProperty("__SUPERCLASS", CimType.STRING, False, lambda cls, instance: cls.superclass),
            SystemProperty("__DYNASTY", CimType.STRING, False, lambda cls, instance: (cls.name, *cls.derivation)[-1]),
            SystemProperty("__RELPATH", CimType.STRING, False, _relative_path),
            SystemProperty("__PROPERTY_COUNT", CimType.SINT32, False, _count),
            SystemProperty("__DERIVATION", CimType.STRING, True, lambda cls, instance: cls.derivation),
            SystemProperty("__SERVER", CimType.STRING, False, lambda cls, instance: _located(cls, instance)[1]),
            SystemProperty("__NAMESPACE", CimType.STRING, False, lambda cls, instance: _located(cls, instance)[0]),
            SystemProperty("__PATH", CimType.STRING, False, _path),
        )
    }
)
