"""Refreshing: what is on the wire, and what is answered as long as there are no refreshers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from openwmi.dcom.types import OrpcThat
from openwmi.rpc.ndr import Tagged
from openwmi.status import WbemStatus
from openwmi.wmi.refreshing import (
    IWbemRefreshingServices,
    IWbemRemoteRefresher,
    NonHiPerf,
    ReconnectInfo,
    ReconnectResult,
    ReconnectType,
    RefresherId,
    RefreshInfo,
    RefreshType,
    Remote,
)

from .loopback import Loopback

GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
ME = RefresherId(machine="LAPTOP", process=7, refresher=GUID)
ADDED: dict[str, Any] = {"refresher": ME, "flags": 0, "context": None, "client_version": 2}
NOTHING = RefreshInfo(kind=RefreshType.INVALID, info=Tagged(0, 0), cancel_id=0)
PAIR = (ReconnectInfo(kind=ReconnectType.OBJECT, path="A=1"), ReconnectInfo(kind=ReconnectType.ENUM, path="A"))
ZEROS = (ReconnectResult(id=0, status=0),) * 2
UNSUPPORTED, UNAVAILABLE = WbemStatus.WBEM_E_NOT_SUPPORTED, WbemStatus.WBEM_E_NOT_AVAILABLE


@pytest.mark.requirement(
    "WMI-3.1.4.12.4-09", "WMI-3.1.4.12.4-10", "WMI-3.1.4.12.4-12", "WMI-3.1.4.12.4-13", "WMI-3.1.4.12.4-14",
    "WMI-3.1.4.12.4-15",
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "values", "status", "results"),
    [
        ("AddObjectToRefresher", {**ADDED, "path": "A=1"}, UNSUPPORTED, {"info": NOTHING}),
        ("AddObjectToRefresherByTemplate", {**ADDED, "template": None}, UNSUPPORTED, {"info": NOTHING}),
        ("AddEnumToRefresher", {**ADDED, "class_name": "A"}, UNSUPPORTED, {"info": NOTHING}),
        (
            "RemoveObjectFromRefresher",
            {"refresher": ME, "id": 3, "flags": 0, "client_version": 1},
            UNAVAILABLE,
            {},
        ),
        (
            "GetRemoteRefresher",
            {"refresher": ME, "flags": 0, "client_version": 2},
            UNSUPPORTED,
            {"remote_refresher": None, "guid": UUID(int=0)},
        ),
        (
            "ReconnectRemoteRefresher",
            {"refresher": ME, "flags": 0, "client_version": 2, "wanted": PAIR, "results": ZEROS},
            UNSUPPORTED,
            {"results": ZEROS},
        ),
    ],
)
async def test_there_are_no_refreshers(
    method: str, values: dict[str, Any], status: int, results: dict[str, Any]
) -> None:
    async with Loopback() as loop:
        services = await loop.services()
        refreshing = await loop.importer.query_interface(
            services.reference, IWbemRefreshingServices.uuid, reach=loop.namespaces._link.reach, timeout=1.0
        )
        response = await services.on(refreshing, IWbemRefreshingServices, method, **values)
        assert (response.status, response.values) == (status, {**results, "server_version": 1})


@pytest.mark.parametrize(
    "info",
    [
        NOTHING,
        RefreshInfo(
            kind=RefreshType.REMOTE,
            info=Tagged(RefreshType.REMOTE, Remote(refresher=b"one", template=b"two", guid=GUID)),
            cancel_id=-4,
        ),
        RefreshInfo(
            kind=RefreshType.NON_HIPERF,
            info=Tagged(RefreshType.NON_HIPERF, NonHiPerf(namespace="root", template=None)),
            cancel_id=4,
        ),
    ],
)
def test_each_kind_of_refresh_information_survives(info: RefreshInfo) -> None:
    method = IWbemRefreshingServices["AddEnumToRefresher"]
    stub = method.encode_response(orpc_that=OrpcThat(), info=info, server_version=1, result=0)
    assert method.decode_response(stub)["info"] == info


def test_a_refresh_request_written_by_hand() -> None:
    """The structure with its pointer, then what that points to, then the flags, NULL and the version."""
    this = "0500 0700 00000000 00000000 00112233445566778899AABBCCDDEEFF 00000000"
    me = "00000200 07000000 33221100 5544 7766 8899AABBCCDDEEFF" + "02000000 00000000 02000000 4100 0000"
    path = "04000000 00000000 04000000 4100 3D00 3100 0000"
    stub = bytes.fromhex(this + me + path + "00000000 00000000 02000000")
    found = IWbemRefreshingServices["AddObjectToRefresher"].decode_request(stub)
    assert found["refresher"] == RefresherId(machine="A", process=7, refresher=GUID)
    assert (found["path"], found["flags"], found["context"], found["client_version"]) == ("A=1", 0, None, 2)


def test_the_remote_refresher() -> None:
    """Its table; nobody is given one."""
    assert [(m.opnum, m.name) for m in IWbemRemoteRefresher.methods] == [
        (3, "RemoteRefresh"), (4, "StopRefreshing"), (5, "Opnum5NotUsedOnWire")
    ]  # fmt: skip
    stop = IWbemRemoteRefresher["StopRefreshing"]
    assert [p.name for p in stop.parameters[2:]] == ["count", "ids", "flags"]
    refresh = IWbemRemoteRefresher["RemoteRefresh"]
    stub = refresh.encode_response(orpc_that=OrpcThat(), objects=None, count=0, result=UNSUPPORTED)
    assert refresh.decode_response(stub)["objects"] is None
