from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import NameMap, TypedValue
from openwmi.cim.operations import CallContext
from openwmi.errors import OperationCancelled
from openwmi.providers import Provider, ProviderCall, method
from openwmi.security.principals import Principal
from tests.providers.support import LAMP, call


class Everything(Provider):
    def get_instance(self, call: ProviderCall, keys: Any) -> Any: ...

    def put_instance(self, call: ProviderCall, instance: Any) -> Any: ...

    def delete_instance(self, call: ProviderCall, keys: Any) -> Any: ...

    def enumerate_instances(self, call: ProviderCall) -> Any: ...

    def query_instances(self, call: ProviderCall, query: str) -> Any: ...


class Derived(Everything):
    """Supports what its base does."""


class GetOnly(Provider):
    async def get_instance(self, call: ProviderCall, keys: Any) -> Any: ...


FUNCTIONS = ("get_instance", "put_instance", "delete_instance", "enumerate_instances", "query_instances")


@pytest.mark.parametrize(
    ("provider", "supported"),
    [(Provider(), ()), (Everything(), FUNCTIONS), (Derived(), FUNCTIONS), (GetOnly(), ("get_instance",))],
)
def test_what_is_overridden_is_supported(provider: Provider, supported: tuple[str, ...]) -> None:
    assert tuple(filter(provider.supports, FUNCTIONS)) == supported


class Methods(Provider):
    @method
    def Toggle(self, call: ProviderCall, keys: Any) -> int:
        return 1

    @method("Toggle", of="Acme_Lamp")
    def lamp(self, call: ProviderCall, keys: Any) -> int:
        return 2

    def Describe(self, call: ProviderCall, keys: Any) -> int:
        """Not marked, so not callable from outside."""
        return 3


class Overriding(Methods):
    @method("toggle")
    def other(self, call: ProviderCall, keys: Any) -> int:
        return 4


def test_implementations() -> None:
    other = LAMP.rooted()
    provider = Methods()
    assert provider.implementation(LAMP, "TOGGLE") == provider.lamp
    assert provider.implementation(type(other)("Acme_Other"), "toggle") == provider.Toggle
    derived = type(other)("Acme_Bright", "Acme_Lamp", ("Acme_Lamp",), properties=NameMap())
    assert provider.implementation(derived, "Toggle") == provider.lamp
    for name in ("Describe", "get_instance", "__init__", "load"):
        assert provider.implementation(LAMP, name) is None
    overriding = Overriding()
    assert overriding.implementation(type(other)("Acme_Other"), "Toggle") == overriding.other


def test_what_a_call_tells() -> None:
    values = {
        "__MI_DESTINATIONOPTIONS_UI_LOCALE": TypedValue.of("MS_407"),
        "Number": TypedValue.of(5),
    }
    context = CallContext(principal=Principal.local_system(), locales=("MS_409", "MS_40C"), values=values)
    asked = call(context=context, properties=frozenset({"Number"}))
    assert (asked.ui_locale, asked.data_locale) == ("MS_407", "MS_409")
    assert (asked.value("NUMBER"), asked.value("other", "none")) == (5, "none")
    assert (asked.wants("NUMBER"), asked.wants("Colour"), call().wants("Colour")) == (True, False, True)
    assert asked.principal.is_administrator
    assert asked.new(Number=5)["__PATH"] == r"\\HOST\root\cimv2:Acme_Lamp.Number=5"
    assert call().ui_locale is None


def test_cancelling() -> None:
    asked = call()
    heard: list[str] = []
    asked.on_cancel(lambda: heard.append("before"))
    asked.check()
    assert (asked.cancelled, asked.wait_cancelled(0)) == (False, False)
    asked.cancel()
    asked.cancel()
    asked.on_cancel(lambda: heard.append("after"))
    assert (asked.cancelled, asked.wait_cancelled(0), heard) == (True, True, ["before", "after"])
    with pytest.raises(OperationCancelled):
        asked.check()
