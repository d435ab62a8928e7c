"""The system classes (MS-WMI 2.2.30, 2.2.31), from the MOF files that come with the package."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Final

from openwmi.cim import Class, NameMap
from openwmi.mof import compile_mof

__all__ = ["SYSTEM_NAMESPACES", "system_classes"]

SYSTEM_NAMESPACES: Final = ("root", "root\\cimv2", "root\\default")
"""What a fresh repository has."""


class _Nothing:
    """A source without classes: the system classes need none."""

    def get_class(self, namespace: str, name: str) -> Class | None:
        """None."""
        return None


@lru_cache(maxsize=1)
def system_classes() -> NameMap[Class]:
    """The system classes, superclasses first."""
    text = resources.files("openwmi.manager").joinpath("mof/system.mof").read_text("utf-8")
    items = compile_mof(text, _Nothing(), namespace="root", file="system.mof")
    return NameMap(item.object for item in items if isinstance(item.object, Class))
