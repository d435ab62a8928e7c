"""Providers: code behind classes. `openwmi.providers.api` is for people who write one."""

from openwmi.providers.api import PENDING, Found, Keys, Pending, Provider, ProviderCall, method

__all__ = ["PENDING", "Found", "Keys", "Pending", "Provider", "ProviderCall", "method"]
