"""The endpoint mapper and the management interface, through their tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from openwmi.errors import DecodeError
from openwmi.rpc import SyntaxId, Traffic
from openwmi.rpc.endpoints import (
    NO_HANDLE,
    ContextHandle,
    EndpointEntry,
    EndpointMapper,
    IEndpointMapper,
    MapEntry,
    RpcIfId,
    TowerData,
)
from openwmi.rpc.interface import RESULT, Interface
from openwmi.rpc.management import IManagement, Management
from openwmi.rpc.towers import Tower
from openwmi.status import HResult

ONE = UUID("44444444-0000-0000-0000-000000000001")
TWO = UUID("44444444-0000-0000-0000-000000000002")
OBJECT = UUID("55555555-0000-0000-0000-000000000001")
VERSIONS = [(1, 0), (1, 5), (2, 0)]
ENTRIES = [MapEntry(Tower.tcp(SyntaxId(ONE, v), 1000 + n, "10.0.0.1"), "one") for n, v in enumerate(VERSIONS)]
ENTRIES.append(MapEntry(Tower.tcp(SyntaxId(TWO, (0, 0)), 2000), "two"))


async def call(service: Any, table: Interface, name: str, /, **values: Any) -> dict[str, Any]:
    """A call through both stubs, as a client would make it."""
    method = table[name]
    given = method.decode_request(method.encode_request(values))
    outcome = await getattr(service, name)(None, **given)
    stub = method.encode_response({**method.null_response(given), **outcome}, request=given)
    return method.decode_response(stub, request=given)


async def mapped(mapper: EndpointMapper, wanted: bytes | None, **more: Any) -> dict[str, Any]:
    tower = None if wanted is None else TowerData(octets=wanted)
    values = {"object": None, "map_tower": tower, "entry_handle": NO_HANDLE, "max_towers": 4, **more}
    return await call(mapper, IEndpointMapper, "ept_map", **values)


async def looked_up(mapper: EndpointMapper, **more: Any) -> dict[str, Any]:
    values = {
        "inquiry_type": 0,
        "object": None,
        "interface": None,
        "vers_option": 1,
        "entry_handle": NO_HANDLE,
        "max_ents": 100,
        **more,
    }
    return await call(mapper, IEndpointMapper, "ept_lookup", **values)


def mapper(*, trusted: bool = False) -> EndpointMapper:
    return EndpointMapper(lambda call: ENTRIES, lambda call: trusted)


def ports(answer: dict[str, Any]) -> list[int | None]:
    entries = answer.get("entries")
    towers = answer["towers"] if entries is None else [entry.tower for entry in entries]
    return [Tower.decode(tower.octets).port for tower in towers]


@pytest.mark.requirement("RPCE-2.2.1.2.5-04")
@pytest.mark.parametrize(
    ("version", "found"), [((1, 0), [1000, 1001]), ((1, 5), [1001]), ((1, 6), []), ((2, 0), [1002]), ((3, 0), [])]
)
async def test_mapping_finds_compatible_versions(version: tuple[int, int], found: list[int]) -> None:
    answer = await mapped(mapper(), Tower.tcp(SyntaxId(ONE, version), 0, "1.2.3.4").encode())
    assert ports(answer) == found
    assert answer["num_towers"] == len(found)
    assert answer["status"] == (HResult.S_OK if found else HResult.DCE_EPT_S_NOT_REGISTERED)


async def test_a_tower_by_another_way_or_in_another_syntax_is_not_found() -> None:
    tower = Tower.tcp(SyntaxId(ONE, (1, 0)), 0)
    for other in (
        Tower(tower.floors[:4]),
        Tower((tower.floors[0], tower.floors[0], *tower.floors[2:])),
        Tower(tower.floors[:0]),
    ):
        assert (await mapped(mapper(), other.encode()))["status"] == HResult.DCE_EPT_S_NOT_REGISTERED


@pytest.mark.parametrize(
    "asked",
    [
        {"wanted": None},
        {"wanted": b"no tower"},
        {"wanted": bytes(2001)},
        {"wanted": Tower.tcp(SyntaxId(ONE, (1, 0)), 0).encode(), "max_towers": 501},
    ],
    ids=["none", "malformed", "too long", "too many"],
)
async def test_what_cannot_be_mapped(asked: dict[str, Any]) -> None:
    answer = await mapped(mapper(), asked.pop("wanted"), **asked)
    assert answer["status"] == HResult.EPT_S_CANT_PERFORM_OP
    assert answer["towers"] == ()


@pytest.mark.requirement("RPCE-2.2.1.2.4-02", "RPCE-2.2.1.2.4-05", "RPCE-2.2.1.2.4-07")
@pytest.mark.parametrize(("size", "statuses"), [(3, [0, 0]), (2, [0, 0, HResult.DCE_EPT_S_NOT_REGISTERED]), (5, [0])])
async def test_a_lookup_in_pages(size: int, statuses: list[int]) -> None:
    found: list[int | None] = []
    handle = NO_HANDLE
    told: list[int] = []
    while not told or handle != NO_HANDLE:
        ignored = RpcIfId(uuid=TWO, major=9, minor=9)
        answer = await looked_up(
            mapper(), entry_handle=handle, max_ents=size, interface=ignored, object=OBJECT, vers_option=77
        )
        found += ports(answer)
        told.append(answer["status"])
        handle = answer["entry_handle"]
    assert found == [1000, 1001, 1002, 2000]
    assert told == statuses


@pytest.mark.parametrize(
    ("option", "version", "found"),
    [
        (1, (9, 9), [1000, 1001, 1002]),
        (2, (1, 3), [1001]),
        (3, (1, 0), [1000]),
        (4, (1, 9), [1000, 1001]),
        (5, (1, 5), [1000, 1001]),
        (5, (2, 0), [1000, 1001, 1002]),
    ],
)
async def test_a_lookup_by_interface(option: int, version: tuple[int, int], found: list[int]) -> None:
    wanted = RpcIfId(uuid=ONE, major=version[0], minor=version[1])
    answer = await looked_up(mapper(), inquiry_type=1, interface=wanted, vers_option=option)
    assert ports(answer) == found
    assert [entry.annotation for entry in answer["entries"]] == ["one"] * len(found)


@pytest.mark.parametrize(
    "asked",
    [
        {"inquiry_type": 4},
        {"max_ents": 501},
        {"inquiry_type": 1},
        {"inquiry_type": 1, "interface": RpcIfId(uuid=ONE, major=1, minor=0), "vers_option": 6},
        {"inquiry_type": 3},
    ],
)
async def test_what_cannot_be_looked_up(asked: dict[str, Any]) -> None:
    answer = await looked_up(mapper(), **asked)
    assert answer["status"] == HResult.EPT_S_CANT_PERFORM_OP
    assert answer["entry_handle"] == NO_HANDLE


@pytest.mark.parametrize("position", [5, 2**127])
async def test_a_handle_that_was_not_given_finds_nothing(position: int) -> None:
    handle = ContextHandle(attributes=0, uuid=UUID(int=position))
    answer = await looked_up(mapper(), entry_handle=handle)
    assert (answer["status"], answer["entry_handle"]) == (HResult.DCE_EPT_S_NOT_REGISTERED, NO_HANDLE)


@pytest.mark.requirement("RPCE-2.2.1.2.8-01")
async def test_a_handle_is_freed() -> None:
    handle = ContextHandle(attributes=0, uuid=UUID(int=3))
    answer = await call(mapper(), IEndpointMapper, "ept_lookup_handle_free", entry_handle=handle)
    assert answer == {"entry_handle": NO_HANDLE, "status": 0}


def entry(port: int, *, of: UUID = OBJECT) -> EndpointEntry:
    tower = Tower.tcp(SyntaxId(TWO, (3, 0)), port)
    return EndpointEntry(object=of, tower=TowerData(octets=tower.encode()), annotation="added")


async def test_registering_for_an_object() -> None:
    service = mapper(trusted=True)
    wanted = Tower.tcp(SyntaxId(TWO, (3, 0)), 0).encode()
    for port, replace in ((5000, 0), (5001, 0), (5002, 1)):
        answer = await call(service, IEndpointMapper, "ept_insert", num_ents=1, entries=(entry(port),), replace=replace)
        assert answer["status"] == 0
    assert ports(await mapped(service, wanted, object=OBJECT)) == [5002]
    assert ports(await mapped(service, wanted)) == []
    assert ports(await looked_up(service, inquiry_type=2, object=OBJECT)) == [5002]
    for expected in (HResult.S_OK, HResult.DCE_EPT_S_NOT_REGISTERED):
        answer = await call(service, IEndpointMapper, "ept_delete", num_ents=1, entries=(entry(5002),))
        assert answer["status"] == expected
    assert ports(await mapped(service, wanted, object=OBJECT)) == []


async def test_only_so_much_is_registered_and_only_by_who_may() -> None:
    added = tuple(entry(port) for port in range(1, 502))
    for service in (mapper(trusted=True), mapper()):
        for name, more in (("ept_insert", {"replace": 0}), ("ept_delete", {})):
            if name == "ept_delete" and service._may_register(None):
                continue
            answer = await call(service, IEndpointMapper, name, num_ents=501, entries=added, **more)
            assert answer["status"] == HResult.EPT_S_CANT_PERFORM_OP
        assert len(service._registered) == 0


@pytest.mark.parametrize("octets", [b"", b"x", Tower(()).encode()])
async def test_towers_that_lead_nowhere_are_not_registered(octets: bytes) -> None:
    bad = EndpointEntry(object=OBJECT, tower=TowerData(octets=octets), annotation="")
    with pytest.raises(DecodeError, match="tower"):
        await call(mapper(trusted=True), IEndpointMapper, "ept_insert", num_ents=1, entries=(bad,), replace=0)


async def test_methods_that_were_removed() -> None:
    assert (await call(mapper(), IEndpointMapper, "ept_inq_object"))["status"] == HResult.EPT_S_CANT_PERFORM_OP
    answer = await call(mapper(), IEndpointMapper, "ept_mgmt_delete", object_speced=0, object=None, tower=None)
    assert answer["status"] == HResult.EPT_S_CANT_PERFORM_OP


# -- the management interface


def management() -> Management:
    traffic = Traffic(calls_in=1, calls_out=2, packets_in=3, packets_out=2**32 + 4)
    return Management(lambda: [SyntaxId(ONE, (1, 5)), SyntaxId(TWO, (0, 0))], {10: "HOST"}, traffic)


async def test_inquiries() -> None:
    ids = (await call(management(), IManagement, "rpc_mgmt_inq_if_ids"))["if_id_vector"]
    assert ids.ids == (RpcIfId(uuid=ONE, major=1, minor=5), RpcIfId(uuid=TWO, major=0, minor=0))
    assert await call(management(), IManagement, "rpc_mgmt_is_server_listening") == {"status": 0, RESULT: 1}


@pytest.mark.parametrize(("count", "found"), [(0, ()), (2, (1, 2)), (4, (1, 2, 3, 4)), (50, (1, 2, 3, 4))])
async def test_statistics(count: int, found: tuple[int, ...]) -> None:
    answer = await call(management(), IManagement, "rpc_mgmt_inq_stats", count=count)
    assert (answer["count"], answer["statistics"], answer["status"]) == (len(found), found, 0)


async def test_nobody_stops_the_server() -> None:
    answer = await call(management(), IManagement, "rpc_mgmt_stop_server_listening")
    assert answer["status"] == HResult.ERROR_ACCESS_DENIED


@pytest.mark.parametrize(
    ("provider", "size", "name", "status"),
    [
        (10, 5, "HOST", 0),
        (10, 4096, "HOST", 0),
        (10, 4, "", HResult.ERROR_INSUFFICIENT_BUFFER),
        (16, 100, "", HResult.RPC_S_UNKNOWN_AUTHN_SERVICE),
    ],
)
async def test_principal_names(provider: int, size: int, name: str, status: int) -> None:
    answer = await call(
        management(), IManagement, "rpc_mgmt_inq_princ_name", authn_proto=provider, princ_name_size=size
    )
    assert (answer["princ_name"], answer["status"]) == (name, status)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rpc_mgmt_inq_stats", {"count": 51}),
        ("rpc_mgmt_inq_princ_name", {"authn_proto": 10, "princ_name_size": 0}),
        ("rpc_mgmt_inq_princ_name", {"authn_proto": 10, "princ_name_size": 4097}),
    ],
)
async def test_values_out_of_their_range(name: str, values: dict[str, int]) -> None:
    with pytest.raises(DecodeError):
        await call(management(), IManagement, name, **values)
