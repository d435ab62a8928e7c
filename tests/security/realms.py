"""The fixture `realm`, for the folders whose tests need Kerberos."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.security import kdc


@pytest.fixture(scope="session")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kdc.Realm]:
    """A running realm, to which this process's Kerberos library is led."""
    missing = kdc.missing()
    if missing is not None:
        pytest.skip(f"Kerberos needs {missing}")
    made = kdc.Realm.start(tmp_path_factory.mktemp("realm"))
    before = {name: os.environ.get(name) for name in made.environment}
    os.environ.update(made.environment)
    try:
        yield made
    finally:
        made.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
