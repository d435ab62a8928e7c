from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.security.realms import realm
from tests.wire import Client, Machine, serving

__all__ = ["client", "machine", "realm"]


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> Client:
    return await machine.client()
