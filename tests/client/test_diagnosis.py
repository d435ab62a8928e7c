"""The way to a class, stage by stage: how far it is gone, and what is said about its end."""

from __future__ import annotations

import socket

import pytest

from openwmi.client.diagnosis import Check, Verdict, diagnose
from openwmi.errors import ConfigurationError, Stage
from openwmi.status import HResult, WbemStatus
from tests.wire import HOST, PASSWORD, Machine

WAY = [
    Stage.RESOLVE,
    Stage.CONNECT,
    Stage.BIND,
    Stage.AUTHENTICATION,
    Stage.ACTIVATION,
    Stage.LOGIN,
    Stage.NAMESPACE,
    Stage.CLASS,
    Stage.PROVIDER,
]


async def checks(url: str, **settings: object) -> list[Check]:
    found = [check async for check in diagnose(url, **settings)]  # type: ignore[arg-type]
    assert [check.stage for check in found] == WAY
    return found


def ended(found: list[Check]) -> Check:
    """The one that failed; what is before it went well, and what is after it was not tried."""
    at = next(number for number, check in enumerate(found) if check.verdict is Verdict.FAILED)
    assert {check.verdict for check in found[:at]} <= {Verdict.OK}
    assert {check.verdict for check in found[at + 1 :]} <= {Verdict.SKIPPED}
    assert found[at].error is not None
    assert found[at].causes
    return found[at]


async def test_the_whole_way(machine: Machine) -> None:
    found = await checks(machine.url, user="admin", password=PASSWORD, class_name="Acme_Static")
    assert {check.verdict for check in found} == {Verdict.OK}
    assert all(check.detail and check.error is None and not check.causes for check in found)


async def test_a_name_that_nobody_has() -> None:
    check = ended(await checks("dcom://admin@host.invalid", password=PASSWORD))
    assert check.stage is Stage.RESOLVE


async def test_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    check = ended(await checks(f"dcom://admin@{HOST}:{port}", password=PASSWORD))
    assert check.stage is Stage.CONNECT
    assert getattr(check.error, "status", None) == HResult.WSAECONNREFUSED


async def test_a_port_that_is_silent() -> None:
    with socket.create_server((HOST, 0)) as silent:
        check = ended(await checks(f"dcom://admin@{HOST}:{silent.getsockname()[1]}", password=PASSWORD, timeout=0.2))
    assert check.stage is Stage.BIND


async def test_a_wrong_password(machine: Machine) -> None:
    check = ended(await checks(machine.url, user="admin", password="Wrong-Horse-7"))
    assert check.stage is Stage.AUTHENTICATION
    assert "Wrong-Horse-7" not in check.detail


@pytest.mark.parametrize(
    ("settings", "stage", "status"),
    [
        ({"namespace": "root\\nowhere"}, Stage.NAMESPACE, WbemStatus.WBEM_E_INVALID_NAMESPACE),
        ({"class_name": "Acme_Nothing"}, Stage.CLASS, WbemStatus.WBEM_E_NOT_FOUND),
    ],
)
async def test_what_is_not_there(machine: Machine, settings: dict[str, str], stage: Stage, status: int) -> None:
    found = await checks(machine.url, user="admin", password=PASSWORD, **settings)
    at = next(check for check in found if check.verdict is Verdict.FAILED)
    assert at.stage is stage
    assert getattr(at.error, "status", None) == status


async def test_a_repository_in_this_process() -> None:
    found = [check async for check in diagnose("local:", class_name="__NAMESPACE")]
    assert [(check.stage, check.verdict) for check in found] == [(stage, Verdict.OK) for stage in WAY[-3:]]


async def test_nobody_to_log_on_as() -> None:
    with pytest.raises(ConfigurationError, match="no user"):
        await anext(diagnose(f"dcom://{HOST}"))
