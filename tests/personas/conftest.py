from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.wire import Machine, serving


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with serving() as running:
        yield running
