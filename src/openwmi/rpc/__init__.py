"""DCE/RPC, connection-oriented (C706, MS-RPCE), without I/O: declared interfaces, PDUs, and two machines.

`ndr` declares types and `interface` methods with them; `ServerConnection` and `ClientConnection` turn octets and
the time into events and back. What a peer does wrong is `openwmi.errors.PeerError`, in a `ConnectionBroken`.
"""

from __future__ import annotations

from openwmi.rpc.association import AssociationGroups
from openwmi.rpc.client import ClientConnection
from openwmi.rpc.connection import (
    AlterRefused,
    AuthenticationNeeded,
    BindRefused,
    Bound,
    CallCancelled,
    CallOrphaned,
    ConnectionBroken,
    ConnectionLimits,
    ContextAccepted,
    ContextRejected,
    Event,
    FaultReceived,
    RequestReceived,
    ResponseReceived,
    ShutdownRequested,
    Traffic,
)
from openwmi.rpc.interface import Direction, In, InOut, Interface, Method, Out, Parameter
from openwmi.rpc.pdu import NDR20, NDR64, NakReason, NegotiationResult, RejectReason, SyntaxId
from openwmi.rpc.server import ServerConnection

__all__ = [
    "NDR20",
    "NDR64",
    "AlterRefused",
    "AssociationGroups",
    "AuthenticationNeeded",
    "BindRefused",
    "Bound",
    "CallCancelled",
    "CallOrphaned",
    "ClientConnection",
    "ConnectionBroken",
    "ConnectionLimits",
    "ContextAccepted",
    "ContextRejected",
    "Direction",
    "Event",
    "FaultReceived",
    "In",
    "InOut",
    "Interface",
    "Method",
    "NakReason",
    "NegotiationResult",
    "Out",
    "Parameter",
    "RejectReason",
    "RequestReceived",
    "ResponseReceived",
    "ServerConnection",
    "ShutdownRequested",
    "SyntaxId",
    "Traffic",
]
