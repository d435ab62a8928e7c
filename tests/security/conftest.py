"""The Kerberos realm that tests share; those that need it are skipped, by name, where it cannot be."""

from __future__ import annotations

from tests.security.realms import realm

__all__ = ["realm"]
