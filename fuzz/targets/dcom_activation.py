"""Any octets ask for an activation, answer it, or are a `DecodeError`; what was read is written, and reads the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import UUID

from openwmi.dcom.activation import (
    CLSID_ACTIVATION_PROPERTIES_IN,
    CLSID_ACTIVATION_PROPERTIES_OUT,
    ActivationReply,
    ActivationRequest,
)
from openwmi.dcom.objref import CustomObjRef
from openwmi.errors import DecodeError

IID: Final = UUID(int=1)
_HEAD: Final = len(CustomObjRef(IID, IID, b"").encode())
_CAPTURES: Final = Path(__file__).parents[2] / "tests" / "data" / "dcom"


def check(data: bytes) -> None:
    """Reads the BLOB inside its reference, in both directions."""
    try:
        asked = ActivationRequest.decode(CustomObjRef(IID, CLSID_ACTIVATION_PROPERTIES_IN, data).encode())
    except DecodeError as error:
        str(error)
    else:
        # Who sends no context of its own is given an empty one.
        whole = ActivationRequest.decode(asked.encode())
        assert (whole.clsid, whole.iids, whole.towers) == (asked.clsid, asked.iids, asked.towers)
        assert ActivationRequest.decode(whole.encode()) == whole
    try:
        answered = ActivationReply.decode(CustomObjRef(IID, CLSID_ACTIVATION_PROPERTIES_OUT, data).encode())
    except DecodeError as error:
        str(error)
    else:
        assert ActivationReply.decode(answered.encode()) == answered


def seeds() -> Iterable[bytes]:
    """What Windows machines asked and answered, from behind the reference's head."""
    for path in sorted(_CAPTURES.glob("*-RemoteCreateInstance-*.bin")):
        octets = path.read_bytes()
        yield octets[octets.index(b"MEOW") + _HEAD :]
