from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.repository import MemoryStore
from tests.manager.support import CIMV2, context


@pytest.fixture
async def manager() -> AsyncIterator[ObjectManager]:
    async with ObjectManager(MemoryStore(), server="HOST", limits=Limits(provider_deadline=30)) as opened:
        yield opened


@pytest.fixture
async def cimv2(manager: ObjectManager) -> Namespace:
    return await manager.connect(CIMV2, context())
