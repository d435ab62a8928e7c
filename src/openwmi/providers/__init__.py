"""Providers: code behind classes. `openwmi.providers.api` is for people who write one."""

from openwmi.cim.notices import Channel
from openwmi.providers.api import (
    PENDING,
    DeclaredClass,
    DynamicProperty,
    Found,
    Keys,
    Pending,
    Provider,
    ProviderCall,
    method,
)
from openwmi.providers.declared import (
    Char16,
    Key,
    Real32,
    Real64,
    Ref,
    Sint8,
    Sint16,
    Sint32,
    Sint64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    cim_class,
)
from openwmi.providers.isolated import Isolation

__all__ = [
    "PENDING",
    "Channel",
    "Char16",
    "DeclaredClass",
    "DynamicProperty",
    "Found",
    "Isolation",
    "Key",
    "Keys",
    "Pending",
    "Provider",
    "ProviderCall",
    "Real32",
    "Real64",
    "Ref",
    "Sint8",
    "Sint16",
    "Sint32",
    "Sint64",
    "Uint8",
    "Uint16",
    "Uint32",
    "Uint64",
    "cim_class",
    "method",
]
