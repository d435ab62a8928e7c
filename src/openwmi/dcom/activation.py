"""Activation properties: what a client says when it asks for an object, and what it is told (MS-DCOM 2.2.22).

A BLOB is a CustomHeader and a row of properties, each type-serialized by itself. Only what decides anything is
declared; properties that are not known are skipped, as they must be.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Annotated, Any, Final
from uuid import UUID

from openwmi.dcom.bindings import DualStringArray
from openwmi.dcom.contexts import CLSID_CONTEXT_MARSHALER, IID_CONTEXT, Context
from openwmi.dcom.objref import CustomObjRef, decode_objref
from openwmi.dcom.types import COM_VERSION, NULL_GUID, TOWER_TCP, ComVersion, DualStringArrayData, com_guid
from openwmi.errors import DecodeError
from openwmi.rpc.ndr import (
    COUNTED,
    Array,
    ConformantArray,
    Guid,
    Int32,
    MInterfacePointer,
    UInt16,
    UInt32,
    UInt64,
    Unique,
    WideString,
    deserialize_type,
    serialize_type,
    structure,
)

__all__ = [
    "ANY_SESSION",
    "ActivationFlags",
    "ActivationReply",
    "ActivationRequest",
    "marshal_context",
    "unmarshal_context",
]

CLSID_ACTIVATION_CONTEXT_INFO: Final = com_guid(0x1A5)
CLSID_ACTIVATION_PROPERTIES_IN: Final = com_guid(0x338)
CLSID_ACTIVATION_PROPERTIES_OUT: Final = com_guid(0x339)
CLSID_INSTANTIATION_INFO: Final = com_guid(0x1AB)
CLSID_PROPS_OUT_INFO: Final = com_guid(0x339)
CLSID_SCM_REPLY_INFO: Final = com_guid(0x1B6)
CLSID_SCM_REQUEST_INFO: Final = com_guid(0x1AA)
CLSID_SERVER_LOCATION_INFO: Final = com_guid(0x1A4)
CLSID_SPECIAL_SYSTEM_PROPERTIES: Final = com_guid(0x1B9)
IID_ACTIVATION_PROPERTIES_IN: Final = com_guid(0x1A2)
IID_ACTIVATION_PROPERTIES_OUT: Final = com_guid(0x1A3)

MAX_PROPERTIES: Final = 10  # MAX_ACTPROP_LIMIT (2.2.28.1)
MAX_INTERFACES: Final = 64  # of the 32,768 that MAX_REQUESTED_INTERFACES allows; WMI's class has a handful
ANY_SESSION: Final = 0xFFFFFFFF
_USE_CONSOLE_SESSION: Final = 0x1  # SPD_FLAG_USE_CONSOLE_SESSION


class ActivationFlags(IntFlag):
    """InstantiationInfoData.actvFlags (2.2.22.2.1)."""

    DISABLE_AAA = 0x2
    ACTIVATE_32_BIT_SERVER = 0x4
    ACTIVATE_64_BIT_SERVER = 0x8
    NO_FAILURE_LOG = 0x20


@structure
class CustomHeader:
    """CustomHeader (2.2.22.1)."""

    # DWORD totalSize;
    total_size: Annotated[int, UInt32]
    # DWORD headerSize;
    header_size: Annotated[int, UInt32]
    # DWORD dwReserved;
    reserved: Annotated[int, UInt32] = 0
    # DWORD destCtx;
    destination_context: Annotated[int, UInt32] = 2
    # DWORD cIfs;
    count: Annotated[int, UInt32] = COUNTED
    # CLSID classInfoClsid;
    class_info: Annotated[UUID, Guid] = NULL_GUID
    # [size_is(cIfs)] CLSID* pclsid;
    clsids: Annotated[tuple[UUID, ...] | None, Unique(ConformantArray(Guid, size_is="count"))]
    # [size_is(cIfs)] DWORD* pSizes;
    sizes: Annotated[tuple[int, ...] | None, Unique(ConformantArray(UInt32, size_is="count"))]
    # DWORD* pdwReserved;
    reserved_pointer: Annotated[int | None, Unique(UInt32)] = None


@structure
class InstantiationInfo:
    """InstantiationInfoData (2.2.22.2.1)."""

    # CLSID classId;
    clsid: Annotated[UUID, Guid]
    # DWORD classCtx;
    class_context: Annotated[int, UInt32] = 0x14
    # DWORD actvflags;
    flags: Annotated[int, UInt32] = 0
    # long fIsSurrogate;
    is_surrogate: Annotated[int, Int32] = 0
    # DWORD cIID;
    count: Annotated[int, UInt32] = COUNTED
    # DWORD instFlag;
    instance_flag: Annotated[int, UInt32] = 0
    # [size_is(cIID)] IID* pIID;
    iids: Annotated[tuple[UUID, ...] | None, Unique(ConformantArray(Guid, size_is="count"))]
    # DWORD thisSize;
    this_size: Annotated[int, UInt32] = 0
    # COMVERSION clientCOMVersion;
    client_version: ComVersion = COM_VERSION


@structure
class SpecialPropertiesStart:
    """What both definitions of SpecialPropertiesData (2.2.22.2.2) begin with; the rest is reserved."""

    # unsigned long dwSessionId;
    session: Annotated[int, UInt32] = ANY_SESSION
    # long fRemoteThisSessionId;
    remote_this_session: Annotated[int, Int32] = 0
    # long fClientImpersonating;
    client_impersonating: Annotated[int, Int32] = 0
    # long fPartitionIDPresent;
    partition_present: Annotated[int, Int32] = 0
    # DWORD dwDefaultAuthnLvl;
    default_level: Annotated[int, UInt32] = 0
    # GUID guidPartition;
    partition: Annotated[UUID, Guid] = NULL_GUID
    # DWORD dwPRTFlags;
    process_flags: Annotated[int, UInt32] = 0
    # DWORD dwOrigClsctx;
    original_context: Annotated[int, UInt32] = 0
    # DWORD dwFlags;
    flags: Annotated[int, UInt32] = 0


@structure
class SpecialProperties(SpecialPropertiesStart):
    """SpecialPropertiesData, as Windows sends it."""

    # DWORD Reserved1;
    reserved1: Annotated[int, UInt32] = 0
    # unsigned __int64 Reserved2;
    reserved2: Annotated[int, UInt64] = 0
    # DWORD Reserved3[5];
    reserved3: Annotated[tuple[int, ...], Array(UInt32, 5)] = (0,) * 5


@structure
class AlternateSpecialProperties(SpecialPropertiesStart):
    """SpecialPropertiesData_Alternate."""

    # DWORD Reserved3[8];
    reserved3: Annotated[tuple[int, ...], Array(UInt32, 8)] = (0,) * 8


@structure
class ScmRequest:
    """customREMOTE_REQUEST_SCM_INFO (2.2.22.2.4.1)."""

    # DWORD ClientImpLevel;
    impersonation_level: Annotated[int, UInt32] = 2
    # unsigned short cRequestedProtseqs;
    count: Annotated[int, UInt16] = COUNTED
    # [size_is(cRequestedProtseqs)] unsigned short* pRequestedProtseqs;
    towers: Annotated[tuple[int, ...] | None, Unique(ConformantArray(UInt16, size_is="count"))]


@structure
class ScmRequestInfo:
    """ScmRequestInfoData (2.2.22.2.4)."""

    # DWORD* pdwReserved;
    reserved: Annotated[int | None, Unique(UInt32)] = None
    # customREMOTE_REQUEST_SCM_INFO* remoteRequest;
    request: Annotated[ScmRequest | None, Unique(ScmRequest)]


@structure
class LocationInfo:
    """LocationInfoData (2.2.22.2.6)."""

    # [string] wchar_t* machineName;
    machine: Annotated[str | None, Unique(WideString())] = None
    # DWORD processId;
    process: Annotated[int, UInt32] = 0
    # DWORD apartmentId;
    apartment: Annotated[int, UInt32] = 0
    # DWORD contextId;
    context: Annotated[int, UInt32] = 0


@structure
class ActivationContextInfo:
    """ActivationContextInfoData (2.2.22.2.5)."""

    # long clientOK;
    client_ok: Annotated[int, Int32] = 0
    # long bReserved1;
    reserved1: Annotated[int, Int32] = 0
    # DWORD dwReserved1;
    reserved2: Annotated[int, UInt32] = 0
    # DWORD dwReserved2;
    reserved3: Annotated[int, UInt32] = 0
    # MInterfacePointer* pIFDClientCtx;
    client_context: Annotated[bytes | None, Unique(MInterfacePointer)] = None
    # MInterfacePointer* pIFDPrototypeCtx;
    prototype_context: Annotated[bytes | None, Unique(MInterfacePointer)] = None


@structure
class ScmReply:
    """customREMOTE_REPLY_SCM_INFO (2.2.22.2.8.1)."""

    # OXID Oxid;
    oxid: Annotated[int, UInt64]
    # DUALSTRINGARRAY* pdsaOxidBindings;
    bindings: Annotated[DualStringArrayData | None, Unique(DualStringArrayData)]
    # IPID ipidRemUnknown;
    rem_unknown: Annotated[UUID, Guid]
    # DWORD authnHint;
    authentication_hint: Annotated[int, UInt32]
    # COMVERSION serverVersion;
    version: ComVersion


@structure
class ScmReplyInfo:
    """ScmReplyInfoData (2.2.22.2.8)."""

    # DWORD* pdwReserved;
    reserved: Annotated[int | None, Unique(UInt32)] = None
    # customREMOTE_REPLY_SCM_INFO* remoteReply;
    reply: Annotated[ScmReply | None, Unique(ScmReply)]


@structure
class PropsOutInfo:
    """PropsOutInfo (2.2.22.2.9)."""

    # DWORD cIfs;
    count: Annotated[int, UInt32] = COUNTED
    # [size_is(cIfs)] IID* piid;
    iids: Annotated[tuple[UUID, ...] | None, Unique(ConformantArray(Guid, size_is="count"))]
    # [size_is(cIfs)] HRESULT* phresults;
    results: Annotated[tuple[int, ...] | None, Unique(ConformantArray(UInt32, size_is="count"))]
    # [size_is(cIfs)] MInterfacePointer** ppIntfData;
    interfaces: Annotated[
        tuple[bytes | None, ...] | None, Unique(ConformantArray(Unique(MInterfacePointer), size_is="count"))
    ]


@dataclass(frozen=True, slots=True)
class ActivationRequest:
    """What an activation asks for: a class, and the interfaces wanted of the new object, or of its class object.

    `session` is the log-on session to make it in; None stands for the console's. The contexts are OBJREFs
    (`marshal_context`); a request without the client's own gets an empty one when it is encoded.
    """

    clsid: UUID
    iids: tuple[UUID, ...]
    towers: tuple[int, ...] = (TOWER_TCP,)
    flags: int = 0
    session: int | None = ANY_SESSION
    client_context: bytes | None = None
    prototype_context: bytes | None = None

    def encode(self) -> bytes:
        """The request as an OBJREF (pActProperties)."""
        contexts = ActivationContextInfo(
            client_context=self.client_context or marshal_context(Context()), prototype_context=self.prototype_context
        )
        properties = [
            _serialized(CLSID_SPECIAL_SYSTEM_PROPERTIES, self._special()),
            _serialized(CLSID_INSTANTIATION_INFO, self._instantiation()),
            _serialized(CLSID_ACTIVATION_CONTEXT_INFO, contexts),
            _serialized(CLSID_SERVER_LOCATION_INFO, LocationInfo()),
            _serialized(CLSID_SCM_REQUEST_INFO, ScmRequestInfo(request=ScmRequest(towers=self.towers))),
        ]
        blob = _encode_blob(properties)
        return CustomObjRef(IID_ACTIVATION_PROPERTIES_IN, CLSID_ACTIVATION_PROPERTIES_IN, blob).encode()

    def _instantiation(self) -> InstantiationInfo:
        return InstantiationInfo(clsid=self.clsid, iids=self.iids, flags=self.flags)

    def _special(self) -> SpecialProperties:
        if self.session is None:
            return SpecialProperties(flags=_USE_CONSOLE_SESSION)
        return SpecialProperties(session=self.session, remote_this_session=self.session != ANY_SESSION)

    @classmethod
    def decode(cls, octets: bytes, name: str = "pActProperties") -> ActivationRequest:
        """The request in an OBJREF. Raises `DecodeError`, also for a required property that is missing."""
        found = _decode_objref(octets, CLSID_ACTIVATION_PROPERTIES_IN, name)
        wanted = _property(found, CLSID_INSTANTIATION_INFO, InstantiationInfo, f"{name}.InstantiationInfoData")
        scm = _property(found, CLSID_SCM_REQUEST_INFO, ScmRequestInfo, f"{name}.ScmRequestInfoData")
        iids = wanted.iids or ()
        if not 1 <= len(iids) <= MAX_INTERFACES:
            raise DecodeError(f"{name}.InstantiationInfoData.cIID", 0, f"is {len(iids)}, not 1 to {MAX_INTERFACES}")
        if scm.request is None:
            raise DecodeError(f"{name}.ScmRequestInfoData.remoteRequest", 0, "is NULL")
        contexts = ActivationContextInfo()
        if CLSID_ACTIVATION_CONTEXT_INFO in found:
            what = f"{name}.ActivationContextInfoData"
            contexts = _property(found, CLSID_ACTIVATION_CONTEXT_INFO, ActivationContextInfo, what)
        return cls(
            wanted.clsid,
            iids,
            scm.request.towers or (),
            flags=wanted.flags,
            session=_session(found, f"{name}.SpecialPropertiesData"),
            client_context=contexts.client_context,
            prototype_context=contexts.prototype_context,
        )


@dataclass(frozen=True, slots=True)
class ActivationReply:
    """What RemoteCreateInstance answers: where the object's exporter is, and a reference for each interface wanted."""

    oxid: int
    bindings: DualStringArray
    rem_unknown: UUID
    authentication_hint: int
    interfaces: tuple[tuple[UUID, int, bytes | None], ...]
    version: ComVersion = COM_VERSION

    def encode(self) -> bytes:
        """The reply as an OBJREF (ppActProperties)."""
        iids, results, references = zip(*self.interfaces, strict=True)
        outcome = PropsOutInfo(iids=iids, results=results, interfaces=references)
        scm = ScmReplyInfo(
            reply=ScmReply(
                oxid=self.oxid,
                bindings=self.bindings.to_data(),
                rem_unknown=self.rem_unknown,
                authentication_hint=self.authentication_hint,
                version=self.version,
            )
        )
        blob = _encode_blob(
            [
                (CLSID_PROPS_OUT_INFO, serialize_type(PropsOutInfo, outcome)),
                (CLSID_SCM_REPLY_INFO, serialize_type(ScmReplyInfo, scm)),
            ]
        )
        return CustomObjRef(IID_ACTIVATION_PROPERTIES_OUT, CLSID_ACTIVATION_PROPERTIES_OUT, blob).encode()

    @classmethod
    def decode(cls, octets: bytes, name: str = "ppActProperties") -> ActivationReply:
        """The reply in an OBJREF. Raises `DecodeError`."""
        found = _decode_objref(octets, CLSID_ACTIVATION_PROPERTIES_OUT, name)
        outcome = _property(found, CLSID_PROPS_OUT_INFO, PropsOutInfo, f"{name}.PropsOutInfo")
        reply = _property(found, CLSID_SCM_REPLY_INFO, ScmReplyInfo, f"{name}.ScmReplyInfoData").reply
        if reply is None or reply.bindings is None:
            raise DecodeError(f"{name}.ScmReplyInfoData.remoteReply", 0, "is NULL, or its bindings are")
        rows = (outcome.iids or (), outcome.results or (), outcome.interfaces or ())
        if not rows[0] or not len(rows[0]) == len(rows[1]) == len(rows[2]):
            raise DecodeError(f"{name}.PropsOutInfo", 0, "has no interfaces, or an array is NULL while another is not")
        return cls(
            oxid=reply.oxid,
            bindings=DualStringArray.of_data(reply.bindings, f"{name}.pdsaOxidBindings"),
            rem_unknown=reply.rem_unknown,
            authentication_hint=reply.authentication_hint,
            interfaces=tuple(zip(*rows, strict=True)),
            version=reply.version,
        )


def marshal_context(context: Context) -> bytes:
    """A context as an OBJREF (2.2.20)."""
    return CustomObjRef(IID_CONTEXT, CLSID_CONTEXT_MARSHALER, context.encode()).encode()


def unmarshal_context(octets: bytes, name: str = "Context") -> Context:
    """The context in an OBJREF. Raises `DecodeError`."""
    reference = decode_objref(octets, name)
    if not isinstance(reference, CustomObjRef) or reference.clsid != CLSID_CONTEXT_MARSHALER:
        raise DecodeError(f"{name}.clsid", 24, "this is no marshalled context")
    return Context.decode(reference.data, f"{name}.pObjectData")


def _serialized(clsid: UUID, value: Any) -> tuple[UUID, bytes]:
    return clsid, serialize_type(type(value), value)


def _session(found: dict[UUID, bytes], name: str) -> int | None:
    """The session that SpecialPropertiesData names; either of its definitions is valid."""
    octets = found.get(CLSID_SPECIAL_SYSTEM_PROPERTIES)
    if octets is None:
        return ANY_SESSION
    try:
        special, _ = deserialize_type(SpecialProperties, octets, name=name)
    except DecodeError:
        special, _ = deserialize_type(AlternateSpecialProperties, octets, name=name)
    return None if special.flags & _USE_CONSOLE_SESSION else special.session


def _encode_blob(properties: list[tuple[UUID, bytes]]) -> bytes:
    clsids = tuple(clsid for clsid, _ in properties)
    sizes = tuple(len(octets) for _, octets in properties)

    def header(header_size: int) -> bytes:
        made = CustomHeader(total_size=header_size + sum(sizes), header_size=header_size, clsids=clsids, sizes=sizes)
        return serialize_type(CustomHeader, made)

    # The header holds its own size, which does not depend on the number written there.
    head = header(len(header(0)))
    body = head + b"".join(octets for _, octets in properties)
    return struct.pack("<II", len(body), 0) + body


def _decode_objref(octets: bytes, clsid: UUID, name: str) -> dict[UUID, bytes]:
    reference = decode_objref(octets, name)
    if not isinstance(reference, CustomObjRef) or reference.clsid != clsid:
        raise DecodeError(f"{name}.clsid", 24, f"this is no {clsid}")
    return _decode_blob(reference.data, f"{name}.pObjectData")


def _decode_blob(data: bytes, name: str) -> dict[UUID, bytes]:
    if len(data) < 8:
        raise DecodeError(f"{name}.dwSize", 0, f"need 8 bytes, have {len(data)}")
    (size,) = struct.unpack_from("<I", data)
    body = data[8 : 8 + size]
    if len(body) != size:
        raise DecodeError(f"{name}.dwSize", 0, f"is {size}, have {len(body)}")
    header, _ = deserialize_type(CustomHeader, body, name=f"{name}.CustomHeader")
    clsids, sizes = header.clsids or (), header.sizes or ()
    if not 1 <= len(clsids) <= MAX_PROPERTIES or len(clsids) != len(sizes):
        raise DecodeError(f"{name}.CustomHeader.cIfs", 8, f"{len(clsids)} properties and {len(sizes)} sizes")
    found = {}
    at = header.header_size
    for clsid, length in zip(clsids, sizes, strict=True):
        if at + length > len(body):
            raise DecodeError(f"{name}.Property", at, f"need {length} bytes, have {max(0, len(body) - at)}")
        found[clsid] = body[at : at + length]
        at += length
    return found


def _property(found: dict[UUID, bytes], clsid: UUID, kind: type[Any], name: str) -> Any:
    if clsid not in found:
        raise DecodeError(name, 0, "is required and missing")
    value, _ = deserialize_type(kind, found[clsid], name=name)
    return value
