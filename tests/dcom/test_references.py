"""Object references, bindings and extensions: tables in both directions, malformed rows, round trips."""

from __future__ import annotations

import struct
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openwmi.dcom.activation import (
    CLSID_ACTIVATION_PROPERTIES_IN,
    CLSID_ACTIVATION_PROPERTIES_OUT,
    CLSID_INSTANTIATION_INFO,
    CLSID_PROPS_OUT_INFO,
    CLSID_SCM_REPLY_INFO,
    CLSID_SCM_REQUEST_INFO,
    CLSID_SPECIAL_SYSTEM_PROPERTIES,
    IID_ACTIVATION_PROPERTIES_IN,
    ActivationReply,
    ActivationRequest,
    AlternateSpecialProperties,
    InstantiationInfo,
    PropsOutInfo,
    ScmReply,
    ScmReplyInfo,
    ScmRequest,
    ScmRequestInfo,
    SpecialProperties,
    _encode_blob,
    marshal_context,
    unmarshal_context,
)
from openwmi.dcom.bindings import DualStringArray, Endpoint, SecurityBinding, StringBinding
from openwmi.dcom.contexts import Context, ContextProperty
from openwmi.dcom.objref import CustomObjRef, ExtendedObjRef, HandlerObjRef, ObjRef, StandardObjRef, decode_objref
from openwmi.dcom.types import (
    COM_VERSION,
    DualStringArrayData,
    OrpcExtent,
    OrpcExtentArray,
    OrpcThat,
    StdObjRef,
    com_guid,
)
from openwmi.errors import DecodeError
from openwmi.rpc.ndr import Struct, serialize_type

IID = UUID("01020304-0506-0708-090a-0b0c0d0e0f10")
CLSID = UUID("a1a2a3a4-a5a6-a7a8-a9aa-abacadaeafb0")
STD = StdObjRef(flags=0x1000, public_refs=5, oxid=0x1122334455667788, oid=0x99AABBCCDDEEFF00, ipid=UUID(int=7))
STD_OCTETS = (
    "00100000 05000000 8877665544332211 00FFEEDDCCBBAA99"  # flags, cPublicRefs, oxid, oid
    "00000000 0000 0000 0000 000000000007"
)
HEAD = "4D454F57 {kind:02X}000000 04030201 0605 0807 090A 0B0C0D0E0F10"
CLSID_OCTETS = "A4A3A2A1 A6A5 A8A7 A9AA ABACADAEAFB0"
# One binding over TCP to "h[5]", one security binding of NTLM without a principal.
BINDINGS = DualStringArray((StringBinding("h[5]"),), (SecurityBinding(10),))
BINDINGS_OCTETS = "0B00 0700 0700 6800 5B00 3500 5D00 0000 0000 0A00 FFFF 0000 0000"
CONTEXT_OCTETS = "0100 0100" + CLSID_OCTETS + "02000000 00000000 00000000 00000000 00000000 00000000 01000000"

REFERENCES: list[tuple[str, str, ObjRef]] = [
    (
        "standard",
        HEAD.format(kind=1) + STD_OCTETS + BINDINGS_OCTETS,
        StandardObjRef(IID, STD, BINDINGS),
    ),
    (
        "handler",
        HEAD.format(kind=2) + STD_OCTETS + CLSID_OCTETS + BINDINGS_OCTETS,
        HandlerObjRef(IID, STD, CLSID, BINDINGS),
    ),
    (
        "custom",
        HEAD.format(kind=4) + CLSID_OCTETS + "00000000 0B000000 AABBCC",
        CustomObjRef(IID, CLSID, b"\xaa\xbb\xcc"),
    ),
    (
        "custom without data",
        HEAD.format(kind=4) + CLSID_OCTETS + "00000000 08000000",
        CustomObjRef(IID, CLSID, b""),
    ),
    (
        "extended",
        HEAD.format(kind=8)
        + STD_OCTETS
        + "5659534E"
        + BINDINGS_OCTETS
        + "01000000 5659534E"
        + CLSID_OCTETS
        + "30000000 30000000"
        + CONTEXT_OCTETS,
        ExtendedObjRef(IID, STD, BINDINGS, Context(CLSID)),
    ),
]


@pytest.mark.requirement(
    "DCOM-2.2.18-01",
    "DCOM-2.2.18-03",
    "DCOM-2.2.18-04",
    "DCOM-2.2.18-05",
    "DCOM-2.2.18-06",
    "DCOM-2.2.18.1-01",
    "DCOM-2.2.18.7-02",
    "DCOM-2.2.18.7-04",
    "DCOM-2.2.18.7-05",
)
@pytest.mark.parametrize(("octets", "reference"), [row[1:] for row in REFERENCES], ids=[row[0] for row in REFERENCES])
def test_a_reference_in_both_directions(octets: str, reference: ObjRef) -> None:
    assert decode_objref(bytes.fromhex(octets)) == reference
    assert reference.encode() == bytes.fromhex(octets)


@pytest.mark.parametrize("row", REFERENCES, ids=lambda row: row[0])
def test_a_reference_cut_short_is_malformed(row: tuple[str, str, ObjRef]) -> None:
    octets = bytes.fromhex(row[1])
    end = 48 if isinstance(row[2], CustomObjRef) else len(octets)
    for size in range(end):
        with pytest.raises(DecodeError):
            decode_objref(octets[:size])


STANDARD = bytes.fromhex(REFERENCES[0][1])
EXTENDED = bytes.fromhex(REFERENCES[-1][1])


@pytest.mark.parametrize(
    ("octets", "field", "offset"),
    [
        (b"", "OBJREF", 0),
        (b"WOEM" + STANDARD[4:], "OBJREF.signature", 0),
        (STANDARD[:4] + b"\3" + STANDARD[5:], "OBJREF.flags", 4),
        (STANDARD[:4] + b"\0" + STANDARD[5:], "OBJREF.flags", 4),
        (STANDARD[:4] + b"\x09" + STANDARD[5:], "OBJREF.flags", 4),
        (EXTENDED[:64] + bytes(4) + EXTENDED[68:], "OBJREF.Signature1", 64),
        (EXTENDED[:94] + b"\2" + EXTENDED[95:], "OBJREF.nElms", 94),
        (EXTENDED[:98] + bytes(4) + EXTENDED[102:], "OBJREF.Signature2", 98),
        (EXTENDED[:102] + bytes(16) + EXTENDED[118:], "OBJREF.dataID", 102),
        (EXTENDED[:118] + bytes(4) + EXTENDED[122:], "OBJREF.cbRounded", 122),
        (EXTENDED[:122] + b"\x31" + EXTENDED[123:], "OBJREF.cbRounded", 122),
        (EXTENDED + b"\0", "OBJREF", len(EXTENDED)),
        (STANDARD + b"\0\0", "OBJREF", len(STANDARD)),
        (STANDARD[:64] + b"\xff\xff" + STANDARD[66:], "OBJREF.saResAddr.aStringArray", 68),
        (STANDARD[:66] + b"\xff\x00" + STANDARD[68:], "OBJREF.saResAddr.wSecurityOffset", 2),
        (bytes.fromhex(REFERENCES[2][1])[:47], "OBJREF.cbExtension", 40),
    ],
)
def test_a_malformed_reference_names_the_field(octets: bytes, field: str, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_objref(octets)
    assert (caught.value.field, caught.value.offset) == (field, offset)


@pytest.mark.requirement("DCOM-2.2.18.6-03", "DCOM-2.2.18.6-04")
def test_what_a_custom_reference_says_of_its_size_does_not_count() -> None:
    octets = bytearray.fromhex(REFERENCES[2][1])
    octets[40:48] = b"\xff" * 8
    assert decode_objref(bytes(octets)) == REFERENCES[2][2]


@pytest.mark.requirement("DCOM-2.2.19.1-02", "DCOM-2.2.19.1-04", "DCOM-2.2.19.4-04")
@pytest.mark.parametrize(
    ("octets", "bindings"),
    [
        (BINDINGS_OCTETS, BINDINGS),
        ("0400 0200 0000 0000 0000 0000", DualStringArray()),
        ("0600 0400 0700 6100 0000 0000 0000 0000", DualStringArray((StringBinding("a"),))),
        ("0600 0200 0000 0000 0900 FFFF 0000 0000", DualStringArray((), (SecurityBinding(9),))),
        (
            "0D00 0800 0F00 7000 0000 0700 3A00 3A00 0000 0000 1000 FFFF 7300 0000 0000",
            DualStringArray((StringBinding("p", 15), StringBinding("::", 7)), (SecurityBinding(16, "s"),)),
        ),
    ],
)
def test_bindings(octets: str, bindings: DualStringArray) -> None:
    assert DualStringArray.of_bytes(bytes.fromhex(octets)) == (bindings, len(bytes.fromhex(octets)))
    assert DualStringArray.of_bytes(b"??" + bytes.fromhex(octets), 2)[0] == bindings
    assert DualStringArray.of_data(bindings.to_data()) == bindings
    again, _ = DualStringArray.of_bytes(bindings.to_bytes())
    assert again == bindings


@pytest.mark.requirement("DCOM-2.2.19.4-04")
def test_the_reserved_part_of_a_security_binding_does_not_count() -> None:
    octets = bytes.fromhex("0600 0200 0000 0000 0900 1234 0000 0000")
    assert DualStringArray.of_bytes(octets)[0].security == (SecurityBinding(9),)


@pytest.mark.parametrize(
    ("units", "split"),
    [
        ((7, 65), 2),  # an address without an end
        ((0, 0, 9), 2),  # a security binding without the rest
        ((0, 0, 9, 0xFFFF, 65), 2),
        ((0, 0, 0, 0), 5),
    ],
)
def test_malformed_bindings(units: tuple[int, ...], split: int) -> None:
    with pytest.raises(DecodeError):
        DualStringArray.of_data(DualStringArrayData(security_offset=split, strings=units))


@pytest.mark.parametrize("size", range(len(bytes.fromhex(BINDINGS_OCTETS))))
def test_bindings_cut_short_are_malformed(size: int) -> None:
    with pytest.raises(DecodeError):
        DualStringArray.of_bytes(bytes.fromhex(BINDINGS_OCTETS)[:size])


@pytest.mark.requirement("DCOM-2.2.19.3-08")
@pytest.mark.parametrize(
    ("binding", "endpoint"),
    [
        (StringBinding("10.0.0.1[5000]"), ("10.0.0.1", 5000)),
        (StringBinding("10.0.0.1"), ("10.0.0.1", None)),
        (StringBinding("2008::1[49670]"), ("2008::1", 49670)),
        (StringBinding("[5000]"), ("", 5000)),
        (StringBinding(""), ("", None)),
        (StringBinding("host[65536]"), None),
        (StringBinding("host[]"), None),
        (StringBinding("host[1"), None),
        (StringBinding("host[x]"), None),
        (StringBinding("\\\\host[\\pipe\\x]", 15), None),
        (StringBinding("host[5000]", 15), None),
    ],
)
def test_the_endpoint_of_a_string_binding(binding: StringBinding, endpoint: tuple[str, int | None] | None) -> None:
    assert binding.endpoint == endpoint


def test_bindings_for_tcp() -> None:
    made = DualStringArray.tcp([Endpoint("192.0.2.1", 5000), "192.0.2.1"], [10, 9])
    assert made.strings == (StringBinding("192.0.2.1[5000]", 7), StringBinding("192.0.2.1", 7))
    assert made.security == (SecurityBinding(10), SecurityBinding(9))


_units = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=12)
_bindings = st.builds(
    DualStringArray,
    st.lists(st.builds(StringBinding, _units, st.integers(1, 0xFFFF)), max_size=3).map(tuple),
    st.lists(st.builds(SecurityBinding, st.integers(1, 0xFFFF), _units), max_size=3).map(tuple),
)
_std = st.builds(
    lambda f, p, x, o, i: StdObjRef(flags=f, public_refs=p, oxid=x, oid=o, ipid=i),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.uuids(),
)
_contexts = st.builds(
    Context,
    st.uuids().filter(lambda id: id.int),
    st.lists(
        st.builds(ContextProperty, st.uuids(), st.integers(0, 7), st.binary(max_size=20), st.uuids()), max_size=3
    ).map(tuple),
)
_references = st.one_of(
    st.builds(ExtendedObjRef, st.uuids(), _std, _bindings, _contexts),
    st.builds(StandardObjRef, st.uuids(), _std, _bindings),
    st.builds(HandlerObjRef, st.uuids(), _std, st.uuids(), _bindings),
    st.builds(CustomObjRef, st.uuids(), st.uuids(), st.binary(max_size=40)),
)


@settings(max_examples=100)
@given(_references)
def test_references_survive_the_wire(reference: ObjRef) -> None:
    assert decode_objref(reference.encode()) == reference


@settings(max_examples=150)
@given(_references, st.data())
def test_references_with_wrong_octets_decode_or_are_malformed(reference: ObjRef, data: st.DataObject) -> None:
    octets = bytearray(reference.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_objref(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
    except DecodeError:
        return
    found.encode()


@pytest.mark.requirement("DCOM-2.2.13.1-03", "DCOM-2.2.13.1-05", "DCOM-2.2.13.2-01", "DCOM-2.2.13.2-04")
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_extensions_are_padded(size: int, count: int) -> None:
    wanted, other = com_guid(0x31C), com_guid(1)
    extents = [OrpcExtent.of(other, b"?")] * (count - 1) + [OrpcExtent.of(wanted, bytes(range(size)))]
    array = OrpcExtentArray.of(*extents)
    assert array.size == count
    assert array.extents is not None
    assert len(array.extents) == count + count % 2
    assert all(len(extent.data) % 8 == 0 for extent in extents)
    that = Struct(OrpcThat).decode(Struct(OrpcThat).encode(OrpcThat(flags=3, extensions=array)))
    assert that.extent(wanted) == bytes(range(size))
    assert that.extent(com_guid(2)) is None


def test_no_extensions() -> None:
    assert Struct(OrpcThat).encode(OrpcThat()) == bytes(8)
    assert OrpcThat().extent(com_guid(1)) is None


# -- activation properties

REQUEST = ActivationRequest(CLSID, (IID, com_guid(0)), (7, 15))
REPLY = ActivationReply(
    oxid=5,
    bindings=BINDINGS,
    rem_unknown=UUID(int=9),
    authentication_hint=6,
    interfaces=((IID, 0, b"reference"), (com_guid(0), 0x80004002, None)),
)


def wrap(clsid: UUID, blob: bytes) -> bytes:
    return CustomObjRef(IID_ACTIVATION_PROPERTIES_IN, clsid, blob).encode()


def row(clsid: UUID, kind: type, value: object) -> tuple[UUID, bytes]:
    return clsid, serialize_type(kind, value)


WANTED = row(CLSID_INSTANTIATION_INFO, InstantiationInfo, InstantiationInfo(clsid=CLSID, iids=(IID,)))
SCM = row(CLSID_SCM_REQUEST_INFO, ScmRequestInfo, ScmRequestInfo(request=ScmRequest(towers=(7,))))
OUTCOME = row(CLSID_PROPS_OUT_INFO, PropsOutInfo, PropsOutInfo(iids=(IID,), results=(0,), interfaces=(b"x",)))
SCM_OUT = row(
    CLSID_SCM_REPLY_INFO,
    ScmReplyInfo,
    ScmReplyInfo(
        reply=ScmReply(oxid=1, bindings=BINDINGS.to_data(), rem_unknown=IID, authentication_hint=5, version=COM_VERSION)
    ),
)


def test_activation_properties_survive_the_wire() -> None:
    for wanted in (REQUEST, replace(REQUEST, session=None), replace(REQUEST, session=3, flags=0x24)):
        made = replace(wanted, client_context=marshal_context(Context(IID, (ContextProperty(IID, 2, b"MEOW"),))))
        assert ActivationRequest.decode(made.encode()) == made
    sent = ActivationRequest.decode(REQUEST.encode()).client_context
    assert sent is not None
    assert unmarshal_context(sent).properties == ()
    assert ActivationReply.decode(REPLY.encode()) == REPLY


@pytest.mark.requirement("DCOM-2.2.22.2.2-13")
@pytest.mark.parametrize("kind", [SpecialProperties, AlternateSpecialProperties])
@pytest.mark.parametrize(("flags", "session"), [(0, 7), (2, 7), (1, None), (3, None)])
def test_both_definitions_of_the_special_properties(kind: type, flags: int, session: int | None) -> None:
    special = (
        row(CLSID_SPECIAL_SYSTEM_PROPERTIES, kind, kind(session=7, flags=flags, reserved3=(9,) * 8))
        if (kind is AlternateSpecialProperties)
        else row(CLSID_SPECIAL_SYSTEM_PROPERTIES, kind, kind(session=7, flags=flags, reserved1=9, reserved2=9))
    )
    blob = _encode_blob([special, WANTED, SCM])
    assert ActivationRequest.decode(wrap(CLSID_ACTIVATION_PROPERTIES_IN, blob)).session == session


CONTEXT = bytes.fromhex(CONTEXT_OCTETS)


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        (CONTEXT[:-1], "Context"),
        (b"\2" + CONTEXT[1:], "Context.MajorVersion"),
        (CONTEXT[:20] + b"\0" + CONTEXT[21:], "Context.Flags"),
        (CONTEXT[:28] + b"\1" + CONTEXT[29:], "Context.dwNumExtents"),
        (CONTEXT[:32] + b"\1" + CONTEXT[33:], "Context.dwNumExtents"),
        (CONTEXT[:40] + b"\1" + CONTEXT[41:], "Context.Count"),
        (CONTEXT[:40] + b"\xff\xff\xff\xff" + CONTEXT[44:] + bytes(80), "Context.Count"),
        (CONTEXT[:40] + b"\1" + CONTEXT[41:] + bytes(36) + b"\1\0\0\0", "Context.PropMarshalHeader[0].ctxProperty"),
        (CONTEXT + b"\0", "Context"),
    ],
)
def test_malformed_contexts(octets: bytes, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Context.decode(octets)
    assert caught.value.field == field


@pytest.mark.requirement("DCOM-2.2.22.2.6-02")
def test_properties_that_are_not_known_are_skipped() -> None:
    blob = _encode_blob([(UUID(int=99), b"nobody knows"), WANTED, SCM])
    assert ActivationRequest.decode(wrap(CLSID_ACTIVATION_PROPERTIES_IN, blob)) == ActivationRequest(CLSID, (IID,))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        bytes(7),
        struct.pack("<II", 100, 0) + bytes(50),
        _encode_blob([WANTED]),
        _encode_blob([SCM]),
        _encode_blob([WANTED, row(CLSID_SCM_REQUEST_INFO, ScmRequestInfo, ScmRequestInfo(request=None))]),
        _encode_blob(
            [row(CLSID_INSTANTIATION_INFO, InstantiationInfo, InstantiationInfo(clsid=CLSID, iids=None)), SCM]
        ),
        _encode_blob(
            [row(CLSID_INSTANTIATION_INFO, InstantiationInfo, InstantiationInfo(clsid=CLSID, iids=(IID,) * 65)), SCM]
        ),
        _encode_blob([WANTED, SCM] + [(UUID(int=n), b"") for n in range(9)]),  # eleven properties
        _encode_blob([WANTED, SCM])[:-1],
    ],
)
def test_malformed_activation_requests(blob: bytes) -> None:
    with pytest.raises(DecodeError):
        ActivationRequest.decode(wrap(CLSID_ACTIVATION_PROPERTIES_IN, blob))


@pytest.mark.parametrize(
    "octets",
    [
        wrap(CLSID_ACTIVATION_PROPERTIES_OUT, _encode_blob([WANTED, SCM])),
        STANDARD,
        b"",
    ],
)
def test_no_activation_request_at_all(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        ActivationRequest.decode(octets)


@pytest.mark.requirement("DCOM-2.2.22.2.8.1-02")
@pytest.mark.parametrize(
    "properties",
    [
        [OUTCOME],
        [SCM_OUT],
        [OUTCOME, row(CLSID_SCM_REPLY_INFO, ScmReplyInfo, ScmReplyInfo(reply=None))],
        [
            OUTCOME,
            row(
                CLSID_SCM_REPLY_INFO,
                ScmReplyInfo,
                ScmReplyInfo(
                    reply=ScmReply(oxid=1, bindings=None, rem_unknown=IID, authentication_hint=5, version=COM_VERSION)
                ),
            ),
        ],
        [
            row(CLSID_PROPS_OUT_INFO, PropsOutInfo, PropsOutInfo(iids=(IID,), results=None, interfaces=(b"x",))),
            SCM_OUT,
        ],
        [row(CLSID_PROPS_OUT_INFO, PropsOutInfo, PropsOutInfo(iids=(), results=(), interfaces=())), SCM_OUT],
        [row(CLSID_PROPS_OUT_INFO, PropsOutInfo, PropsOutInfo(iids=None, results=None, interfaces=None)), SCM_OUT],
    ],
)
def test_malformed_activation_replies(properties: list[tuple[UUID, bytes]]) -> None:
    with pytest.raises(DecodeError):
        ActivationReply.decode(wrap(CLSID_ACTIVATION_PROPERTIES_OUT, _encode_blob(properties)))
