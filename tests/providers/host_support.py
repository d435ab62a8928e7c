"""What the tests of the host providers share: their classes, calls to them, and children to look at and to end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from openwmi.cim import Class, Instance
from openwmi.cim.operations import CallContext
from openwmi.mof import compile_mof
from openwmi.providers import Provider, ProviderCall
from openwmi.providers.host import HOST_PROVIDERS
from openwmi.security.principals import Principal, Sid

SERVER: Final = "SOMEBOX"
NOBODY: Final = Principal(SERVER, "nobody", Sid.parse("S-1-5-21-1-2-3-1001"))
IDLE: Final = [sys.executable, "-S", "-c", "import threading; threading.Event().wait(600)", "two words"]


class _Nothing:
    def get_class(self, namespace: str, name: str) -> Class | None:
        return None


def classes(provider: type[Provider]) -> Mapping[str, Class]:
    """The classes that the provider declares, by name."""
    assert provider.mof is not None
    return _compiled(provider.mof, provider.namespace)


@cache
def _compiled(mof: str, namespace: str) -> Mapping[str, Class]:
    items = compile_mof(mof, _Nothing(), namespace=namespace)
    return {item.object.name: item.object for item in items if isinstance(item.object, Class)}


@cache
def class_of(name: str) -> Class:
    """The class of that name."""
    return next(classes(provider)[name] for provider in HOST_PROVIDERS if name in classes(provider))


def call(name: str, **more: Any) -> ProviderCall:
    """A call about the class `name`, of `principal` (the system itself if it is not given)."""
    context = CallContext(principal=more.pop("principal", None) or Principal.local_system())
    return ProviderCall(class_of(name), context, server=SERVER, **more)


def instance(name: str, found: Any) -> Instance:
    """What a provider found, as the instance that it becomes: every value has to fit."""
    assert found is not None
    return Instance(class_of(name).shape, found, server=SERVER)


def idle_child() -> subprocess.Popen[bytes]:
    """A process that does nothing until it is ended."""
    return subprocess.Popen(IDLE, stdin=subprocess.DEVNULL)
