"""What Windows machines sent one another decodes to what it says, and encodes to the same octets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.dcom.activation import ActivationReply, ActivationRequest, unmarshal_context
from openwmi.dcom.bindings import DualStringArray, Endpoint, SecurityBinding, StringBinding
from openwmi.dcom.interfaces import IObjectExporter, IRemoteSCMActivator
from openwmi.dcom.objref import StandardObjRef, decode_objref
from openwmi.dcom.types import COM_VERSION
from openwmi.errors import DecodeError
from openwmi.rpc.interface import Method

DATA = Path(__file__).parents[1] / "data" / "dcom"
CLSID = UUID("d99e6e74-fc88-11d0-b498-00a0c90312f3")
IID = UUID("d99e6e70-fc88-11d0-b498-00a0c90312f3")
NAMES = sorted(path.stem for path in DATA.glob("*.bin"))
ACTIVATIONS = [name for name in NAMES if "RemoteCreateInstance" in name]


def read(name: str) -> tuple[str, Method, bytes]:
    kind, method = name.split("-")[:2]
    interface = IRemoteSCMActivator if method.startswith("Remote") else IObjectExporter
    return kind, interface[method], (DATA / f"{name}.bin").read_bytes()


def decode(kind: str, method: Method, stub: bytes) -> dict[str, Any]:
    return method.decode_request(stub) if kind == "request" else method.decode_response(stub)


def encode(kind: str, method: Method, values: dict[str, Any]) -> bytes:
    return method.encode_request(values) if kind == "request" else method.encode_response(values)


def activation(name: str) -> tuple[type[ActivationRequest] | type[ActivationReply], bytes]:
    kind, method, stub = read(name)
    values = decode(kind, method, stub)
    if kind == "request":
        return ActivationRequest, values["properties_in"]
    return ActivationReply, values["properties_out"]


def test_the_vectors_are_there() -> None:
    assert len(NAMES) == 11
    assert len(ACTIVATIONS) == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_encodes_to_the_same_octets(name: str) -> None:
    kind, method, stub = read(name)
    assert encode(kind, method, decode(kind, method, stub)).ljust(len(stub), b"\0") == stub


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_cut_short_is_malformed(name: str) -> None:
    kind, method, stub = read(name)
    needed = len(encode(kind, method, decode(kind, method, stub)))
    for size in range(needed):
        with pytest.raises(DecodeError):
            decode(kind, method, stub[:size])


SIMPLE = {
    "request-SimplePing": {"set_id": 57087107831},
    "response-SimplePing": {"result": 0},
    "request-ComplexPing": {
        "set_id": 15261554889,
        "sequence": 2,
        "add_count": 0,
        "delete_count": 1,
        "add": None,
        "delete": (2094078145883238817,),
    },
    "response-ComplexPing": {"set_id": 15261554889, "backoff_factor": 0, "result": 0},
}


@pytest.mark.parametrize("name", SIMPLE)
def test_pings(name: str) -> None:
    assert decode(*read(name)) == SIMPLE[name]


NO_NAMES = tuple(SecurityBinding(number) for number in (9, 30, 16, 10, 22, 31, 14))


@pytest.mark.requirement("DCOM-2.2.19.2-02", "DCOM-2.2.19.2-04")
@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("response-ServerAlive2-domain", ("SUT01", "2008::1")),
        ("response-ServerAlive2-workgroup", ("SUT02", "192.168.0.11")),
    ],
)
def test_a_resolver_tells_where_it_is(name: str, addresses: tuple[str, ...]) -> None:
    values = decode(*read(name))
    assert values["version"] == COM_VERSION
    found = DualStringArray.of_data(values["bindings"])
    assert found == DualStringArray(tuple(map(StringBinding, addresses)), NO_NAMES)
    assert found.to_data() == values["bindings"]


@pytest.mark.parametrize("name", ["request-RemoteCreateInstance-domain", "request-RemoteCreateInstance-workgroup"])
def test_an_activation_request(name: str) -> None:
    _, octets = activation(name)
    request = ActivationRequest.decode(octets)
    assert replace(request, client_context=None) == ActivationRequest(CLSID, (IID,), (7,))
    assert request.client_context is not None
    assert unmarshal_context(request.client_context).properties == ()
    assert ActivationRequest.decode(request.encode()) == request


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name.startswith("response")])
def test_an_activation_reply(name: str) -> None:
    _, octets = activation(name)
    reply = ActivationReply.decode(octets)
    assert (reply.authentication_hint, reply.version) == (5, COM_VERSION)
    assert reply.bindings.strings[0].endpoint is None  # a named pipe
    assert all(binding.endpoint for binding in reply.bindings.strings[1:])
    ((iid, status, reference),) = reply.interfaces
    assert (iid, status) == (IID, 0)
    assert reference is not None
    found = decode_objref(reference)
    assert isinstance(found, StandardObjRef)
    assert (found.iid, found.std.oxid, found.std.public_refs) == (IID, reply.oxid, 5)
    assert found.std.is_pinged
    assert found.resolver.security == NO_NAMES
    assert found.encode() == reference
    # Windows pads and orders as we do, so that the whole reply comes out as it was.
    assert reply.encode() == octets


def test_where_the_exporter_is() -> None:
    _, octets = activation("response-RemoteCreateInstance-two-addresses")
    reply = ActivationReply.decode(octets)
    endpoints = [binding.endpoint for binding in reply.bindings.strings]
    assert endpoints == [None, ("SUT01", 49672), ("192.168.0.11", 49672)]
    assert str(Endpoint("SUT01", 49672)) == reply.bindings.strings[1].address


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_properties_cut_short_are_malformed(name: str) -> None:
    kind, octets = activation(name)
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            kind.decode(octets[:size])


@settings(max_examples=150)
@given(st.data())
def test_activation_properties_with_wrong_octets_decode_or_are_malformed(data: st.DataObject) -> None:
    kind, octets = activation(data.draw(st.sampled_from(ACTIVATIONS)))
    changed = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = kind.decode(bytes(changed))
    except DecodeError:
        return
    if isinstance(found, ActivationReply):
        for _, _, reference in found.interfaces:
            if reference is not None:
                try:
                    decode_objref(reference)
                except DecodeError:
                    continue


@settings(max_examples=150)
@given(st.data())
def test_stubs_with_wrong_octets_decode_or_are_malformed(data: st.DataObject) -> None:
    kind, method, stub = read(data.draw(st.sampled_from(NAMES)))
    changed = bytearray(stub)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        values = decode(kind, method, bytes(changed))
        if values.get("bindings") is not None:
            DualStringArray.of_data(values["bindings"])
    except DecodeError:
        return
