"""What a log-on object answers beside NTLMLogin, and what a client does with it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from openwmi.dcom.importer import Importer
from openwmi.errors import AccessDenied, RpcFault, WbemError
from openwmi.rpc.interface import RESULT
from openwmi.status import HResult, WbemStatus
from openwmi.wmi.client import ClientInfo, RemoteNamespaces
from openwmi.wmi.interfaces import IWbemLevel1Login, IWbemLoginClientID, IWbemLoginHelper
from openwmi.wmi.server import LoginStub
from tests.dcom.support import EXPORTER, RESOLVER

from .loopback import NAMESPACE, Loopback, Services

ME = ClientInfo("LAPTOP", 4711)


async def login_interface(loop: Loopback, iid: Any) -> tuple[Services, Any]:
    """The log-on object's interface, for calls exactly as a test says."""
    services = await loop.services()
    login = loop.namespaces._login
    assert login is not None
    return services, await loop.importer.query_interface(login, iid, reach=loop.namespaces._link.reach, timeout=1.0)


@pytest.mark.requirement("WMI-3.1.4.8.1-06", "WMI-3.1.4.8.1-07", "WMI-3.1.4.1-02")
@pytest.mark.parametrize("reserved", [0, 5])
async def test_what_a_client_says_of_itself_is_logged(caplog: pytest.LogCaptureFixture, reserved: int) -> None:
    caplog.set_level(logging.DEBUG, "openwmi.wmi")
    async with Loopback() as loop:
        services, client_id = await login_interface(loop, IWbemLoginClientID.uuid)
        response = await services.on(
            client_id, IWbemLoginClientID, "SetClientInfo", machine="HOST\n7" + "x" * 1000, process=4, reserved=reserved
        )
        assert response.status == 0
    (said,) = (record.getMessage() for record in caplog.records if "says that it is" in record.getMessage())
    assert "process 4 of HOST" in said
    assert "\n" not in said
    assert len(said) < 500


@pytest.mark.requirement("WMI-3.1.4.8.1-03", "WMI-3.1.4.8.1-08")
async def test_a_client_without_a_name() -> None:
    async with Loopback() as loop:
        services, client_id = await login_interface(loop, IWbemLoginClientID.uuid)
        response = await services.on(
            client_id, IWbemLoginClientID, "SetClientInfo", machine=None, process=4, reserved=0
        )
        assert response.status == WbemStatus.WBEM_E_INVALID_PARAMETER


@pytest.mark.requirement("WMI-3.1.4.9.1-01", "WMI-3.1.4.9.1-05", "WMI-3.1.4.9.1-06")
@pytest.mark.parametrize("event", ["", "Global\\\\x", "x" * 5000])
@pytest.mark.requirement("WMI-3.1.4.9-03")
async def test_no_event_is_signalled(event: str) -> None:
    async with Loopback() as loop:
        services, helper = await login_interface(loop, IWbemLoginHelper.uuid)
        assert (await services.on(helper, IWbemLoginHelper, "SetEvent", event=event)).status == 0


# -- the client


def namespaces(loop: Loopback, **settings: Any) -> RemoteNamespaces:
    return RemoteNamespaces(Importer(loop.transport), EXPORTER.host, RESOLVER.port, **settings)


@pytest.mark.requirement(
    "WMI-3.2.3-01", "WMI-3.2.3-02", "WMI-3.2.3-04", "WMI-3.2.3-05", "WMI-3.2.3-06", "WMI-3.1.4.8.1-01",
    "WMI-3.1.4.8.1-02", "WMI-3.1.4.8.1-05", "WMI-3.2.4.6-01", "WMI-3.2.4.7-01", "WMI-3.2.4.8-01",
)  # fmt: skip
async def test_a_client_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[dict[str, Any]] = []

    async def hear(self: LoginStub, call: Any, **said: Any) -> None:
        heard.append(said)

    monkeypatch.setattr(LoginStub, "set_client_info", hear)
    async with Loopback() as loop:
        opened = namespaces(loop, client=ME)
        await opened.connect(NAMESPACE, loop.context())
        await opened.connect(NAMESPACE, loop.context())
        assert heard == [{"machine": "LAPTOP", "process": 4711, "reserved": 0}]
        assert loop.transport.methods == [
            "RemoteCreateInstance", "RemQueryInterface", "SetClientInfo", "RemRelease", "NTLMLogin", "NTLMLogin"
        ]  # fmt: skip
        await opened.close()
        await loop.quiet()
        assert len(loop.server.exporter) == 0


@pytest.mark.requirement("WMI-3.2.3-03")
@pytest.mark.parametrize("failing", ["no interface", "RemQueryInterface", "refused", "SetClientInfo"])
async def test_a_server_that_does_not_want_to_know(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: LoginStub, call: Any, **said: Any) -> None:
        raise AccessDenied("no")

    if failing == "no interface":
        monkeypatch.setattr(LoginStub, "INTERFACES", (IWbemLevel1Login,))
    if failing == "refused":
        monkeypatch.setattr(LoginStub, "set_client_info", refuse)
    async with Loopback() as loop:
        loop.transport.broken = lambda invoked: RpcFault(5) if invoked.method == failing else None
        opened = namespaces(loop, client=ME)
        assert (await opened.connect(NAMESPACE, loop.context())).namespace == NAMESPACE
        await opened.close()


@pytest.mark.requirement("WMI-3.2.3-07", "WMI-3.2.3-08", "WMI-3.2.3-09")
@pytest.mark.parametrize(
    ("answer", "wanted", "sent"),
    [
        ({"locale_version": 1}, ("MS_409", "de-DE"), ("MS_409", "de-DE")),
        ({"locale_version": 0}, ("de-DE", "MS_409", "ms_407"), ("MS_409", "ms_407")),
        ({RESULT: HResult.E_NOTIMPL}, ("de-DE", "MS_409", "MS_407"), ("MS_409",)),
        ({RESULT: HResult.E_NOTIMPL}, ("de-DE",), ()),
    ],
)
async def test_locales_that_the_server_takes(
    answer: dict[str, int], wanted: tuple[str, ...], sent: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def establish(self: LoginStub, call: Any, **reserved: Any) -> dict[str, int]:
        assert reserved == {"reserved": None, "flags": 0}
        return answer

    monkeypatch.setattr(LoginStub, "establish_position", establish)
    async with Loopback() as loop:
        await loop.namespaces.connect(NAMESPACE, loop.context(locales=wanted))
        assert loop.connected[-1][1].locales == sent


@pytest.mark.requirement("WMI-3.2.3-07")
@pytest.mark.requirement("WMI-3.1.4.1.4-11")
async def test_one_locale_needs_no_question() -> None:
    async with Loopback() as loop:
        await loop.namespaces.connect(NAMESPACE, loop.context(locales=("MS_409",)))
        assert loop.connected[-1][1].values == {}
        assert "EstablishPosition" not in loop.transport.methods


async def test_a_server_that_fails_to_say_which_locales_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def establish(self: LoginStub, call: Any, **reserved: Any) -> None:
        raise AccessDenied("no")

    monkeypatch.setattr(LoginStub, "establish_position", establish)
    async with Loopback() as loop:
        with pytest.raises(WbemError):
            await loop.namespaces.connect(NAMESPACE, loop.context(locales=("MS_409", "MS_407")))
