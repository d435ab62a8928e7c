"""Where a DCOM peer says that it can be reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openwmi.dcom.bindings import DualStringArray, SecurityBinding
from openwmi.dcom.interfaces import IObjectExporter
from openwmi.net.dcom import DcomHost
from openwmi.security.acceptors import LocalAcceptors
from openwmi.security.accounts import Accounts
from openwmi.security.context import NTLM, SPNEGO
from openwmi.security.ntlm import ServerNames
from tests.dcom.support import CALLER, call_method


@pytest.mark.parametrize(
    ("came_to", "advertised", "hosts"),
    [
        ("192.0.2.1", (), ("192.0.2.1",)),
        ("192.0.2.1", ("wmi.example", "192.0.2.1", "2001:db8::1"), ("192.0.2.1", "wmi.example", "2001:db8::1")),
        ("fe80::1%eth0", (), ("fe80::1",)),
    ],
)
async def test_bindings_name_what_the_caller_can_reach(
    came_to: str, advertised: tuple[str, ...], hosts: tuple[str, ...]
) -> None:
    host = DcomHost(interfaces=(), acceptors=LocalAcceptors(Accounts(), ServerNames.of("here")), advertise=advertised)
    await host.listen("127.0.0.1", 0, 0)
    try:
        caller = replace(CALLER, local_address=came_to)
        alive = DualStringArray.of_data(
            (await call_method(host.peer, IObjectExporter, "ServerAlive2", caller=caller))["bindings"]
        )
        wanted: dict[str, Any] = {"oxid": host.peer.exporter.oxid, "towers": (7,)}
        resolved = DualStringArray.of_data(
            (await call_method(host.peer, IObjectExporter, "ResolveOxid2", caller=caller, **wanted))["bindings"]
        )
    finally:
        await host.close()
    assert [binding.endpoint for binding in alive.strings] == [(name, host.resolver_port) for name in hosts]
    assert [binding.endpoint for binding in resolved.strings] == [(name, host.exporter_port) for name in hosts]
    assert alive.security == resolved.security == (SecurityBinding(NTLM), SecurityBinding(SPNEGO))
