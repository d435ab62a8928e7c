"""What some of these tests share with those of `security`."""

from __future__ import annotations

from tests.security.realms import realm

__all__ = ["realm"]
