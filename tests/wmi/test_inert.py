"""What a remote caller is told by objects that are for local ones."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.importer import Reference
from openwmi.rpc.interface import Interface
from openwmi.status import HResult
from openwmi.wmi.interfaces import (
    CLSID_UNSECURED_APARTMENT,
    CLSIDS_WBEM_SHUTDOWN,
    IUnsecuredApartment,
    IWbemShutdown,
    IWbemUnsecuredApartment,
)
from tests.dcom.support import RESOLVER

from .loopback import Loopback

CASES: list[tuple[UUID, Interface, str, dict[str, Any], int]] = [
    *(
        (clsid, IWbemShutdown, "Shutdown", {"reserved1": a, "reserved2": a, "reserved3": b}, 0x800706BA)
        for clsid in CLSIDS_WBEM_SHUTDOWN
        for a, b in ((0, None), (7, b"odd"))
    ),
    *(
        (CLSID_UNSECURED_APARTMENT, IUnsecuredApartment, "CreateObjectStub", {"reserved1": a}, HResult.E_UNEXPECTED)
        for a in (None, b"odd")
    ),
    *(
        (
            CLSID_UNSECURED_APARTMENT,
            IWbemUnsecuredApartment,
            "CreateSinkStub",
            {"reserved1": a, "reserved2": b, "reserved3": c},
            HResult.E_UNEXPECTED,
        )
        for a, b, c in ((None, 0, None), (b"odd", 9, "odd"))
    ),
]


@pytest.mark.requirement(
    "WMI-3.1.4.14-02", "WMI-3.1.4.14.1-01", "WMI-3.1.4.14.1-02", "WMI-3.1.4.14.1-03", "WMI-3.1.4.14.1-04",
    "WMI-3.1.4.15-02", "WMI-3.1.4.15.1-01", "WMI-3.1.4.15.1-02", "WMI-3.1.4.15.1-03", "WMI-3.1.4.16-02",
    "WMI-3.1.4.16.1-01", "WMI-3.1.4.16.1-02", "WMI-3.1.4.16.1-03", "WMI-3.1.4.16.1-04", "WMI-3.1.4.16.1-05",
)  # fmt: skip
@pytest.mark.parametrize(("clsid", "interface", "method", "values", "status"), CASES)
async def test_nothing_is_done(
    clsid: UUID, interface: Interface, method: str, values: dict[str, Any], status: int
) -> None:
    async with Loopback() as loop:
        reach = loop.namespaces._link.reach
        (it,) = await loop.importer.activate(clsid, (interface.uuid,), reach, RESOLVER.port, timeout=1.0)
        assert isinstance(it, Reference)
        response = await loop.importer.call(it, interface, method, values, reach=reach, timeout=1.0)
        assert response.status == status
        assert all(value is None for value in response.values.values())
        await loop.importer.release(it, reach=reach, timeout=1.0)
        await loop.quiet()
        assert len(loop.server.exporter) == 0
