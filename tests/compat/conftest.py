"""The office of the documentation, as a script for the wmi module reaches it: over DCOM, and without any server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from examples.office import CLASSES

import openwmi
from openwmi.compat import wmi
from tests.docs.support import PASSWORD, running_office


@pytest.fixture(scope="package")
def computer() -> Iterator[str]:
    """The office's name and port."""
    with running_office() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="package")
def remote(computer: str) -> Iterator[Any]:
    c = wmi.WMI(computer, user="ada", password=PASSWORD)
    yield c
    c.handle().close()


@pytest.fixture(scope="package")
def local() -> Iterator[Any]:
    with openwmi.connect("local:") as session:
        session.compile_mof(CLASSES)
        yield wmi.WMI(wmi=session)


@pytest.fixture(scope="package", params=["remote", "local"])
def c(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)
