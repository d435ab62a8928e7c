"""What the providers' tests share."""

from __future__ import annotations

from typing import Any

from openwmi.cim import Class
from openwmi.cim.operations import CallContext
from openwmi.mof import compile_mof
from openwmi.providers import Provider, ProviderCall
from openwmi.providers.running import ThreadRunner
from openwmi.providers.threads import WorkerThreads
from openwmi.security.principals import Principal

MOF = """
class Acme_Lamp {
    [key] uint32 Number;
    boolean On = TRUE;
    string Colour;
    uint32 Toggle([in] uint32 Times, [in] string LampColour, [out] boolean WasOn);
    [static] string Describe();
    void Blink();
};
"""


class _Nothing:
    def get_class(self, namespace: str, name: str) -> Class | None:
        return None


def _compiled() -> Class:
    [item] = compile_mof(MOF, _Nothing(), namespace="root\\cimv2")
    assert isinstance(item.object, Class)
    return item.object


LAMP = _compiled()


def call(**more: Any) -> ProviderCall:
    """A call about lamps."""
    context = more.pop("context", None) or CallContext(principal=Principal.local_system())
    return ProviderCall(LAMP, context, server="HOST", **more)


def runner(provider: Provider, *, deadline: float | None = 30, threads: int = 4) -> ThreadRunner:
    """A provider, loaded."""
    return ThreadRunner(provider, "Test", deadline=deadline, threads=WorkerThreads("test", threads))


def nobody(*_: object) -> None:
    """Hears of progress and says nothing."""
