from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.support import running_office


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of the documentation's machine, which runs meanwhile."""
    with running_office() as listening:
        yield listening
