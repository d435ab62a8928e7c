"""Which deletion ends how, whatever the calling mode: what the call refuses, and what fails after it has started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openwmi.errors import NotFound, WbemError
from openwmi.providers import ProviderCall
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import raising

E = WbemStatus
REMOTE = AccessRight.ENABLE | AccessRight.REMOTE_ENABLE
WRITES = AccessRight.FULL_WRITE | AccessRight.PARTIAL_WRITE_REP | AccessRight.WRITE_PROVIDER
IGNORED = 0x40 | 0x1F000 | 0x100000
"""The bits of lFlags that are to be ignored on receipt (MS-WMI 2.2.6)."""

Script = Callable[[ProviderCall], Any]

# A path, and the status with which the call refuses it.
REFUSED = {
    "NULL": (None, E.WBEM_E_INVALID_PARAMETER),
    "empty": ("", E.WBEM_E_INVALID_OBJECT_PATH),
    "malformed": ('Acme_Static.Name="x', E.WBEM_E_INVALID_OBJECT_PATH),
    "no value": ("Acme_Static.Name=", E.WBEM_E_INVALID_OBJECT_PATH),
    "not a path": ("!?", E.WBEM_E_INVALID_OBJECT_PATH),
    "class without keys": ("Acme_Static", E.WBEM_E_INVALID_OBJECT_PATH),
    "a key is missing": ('Acme_Pair.A="a"', E.WBEM_E_INVALID_OBJECT_PATH),
    "short form of two keys": ('Acme_Pair="a"', E.WBEM_E_INVALID_OBJECT_PATH),
    "no such key": ('Acme_Static.Nome="x"', E.WBEM_E_INVALID_OBJECT_PATH),
    "not a singleton": ("Acme_Static=@", E.WBEM_E_INVALID_OBJECT_PATH),
    "no such class": ('Acme_Nothing.Name="x"', E.WBEM_E_INVALID_CLASS),
    "no such static instance": ('Acme_Static.Name="nobody"', E.WBEM_E_NOT_FOUND),
    "another namespace": ('root\\default:Acme_Static.Name="x"', E.WBEM_E_NOT_SUPPORTED),
    "a namespace that is not there": ('root\\nowhere:Acme_Static.Name="x"', E.WBEM_E_NOT_SUPPORTED),
    "another machine": ('\\\\OTHER\\root\\cimv2:Acme_Static.Name="x"', E.WBEM_E_NOT_SUPPORTED),
    "too long": ('Acme_Static.Name="' + "x" * 8192 + '"', E.WBEM_E_QUOTA_VIOLATION),
}

# A path, the rights to write that the caller keeps, what the provider does, and the status in the end.
FAILURES: dict[str, tuple[str, AccessRight, Script, int]] = {
    "WRITE_PROVIDER": ('Acme_Dynamic="d"', ~AccessRight.WRITE_PROVIDER, lambda c: None, E.WBEM_E_ACCESS_DENIED),
    "FULL_WRITE": ('Acme_SystemLike="x"', ~AccessRight.FULL_WRITE, lambda c: None, E.WBEM_E_ACCESS_DENIED),
    "PARTIAL_WRITE_REP": ('Acme_Static="x"', ~AccessRight.PARTIAL_WRITE_REP, lambda c: None, E.WBEM_E_ACCESS_DENIED),
    "not capable": ('Acme_Reader="r"', WRITES, lambda c: None, E.WBEM_E_PROVIDER_NOT_CAPABLE),
    "not registered": ('Acme_Orphan="o"', WRITES, lambda c: None, E.WBEM_E_PROVIDER_LOAD_FAILURE),
    "cannot be loaded": ('Acme_Broken="b"', WRITES, lambda c: None, E.WBEM_E_PROVIDER_LOAD_FAILURE),
    "no such dynamic one": ('Acme_Dynamic="d"', WRITES, raising(NotFound("none")), E.WBEM_E_NOT_FOUND),
    "raises a status": ('Acme_Dynamic="d"', WRITES, raising(WbemError(0x80041025)), 0x80041025),
    "raises anything": ('Acme_Dynamic="d"', WRITES, raising(KeyError("k")), E.WBEM_E_PROVIDER_FAILURE),
    "reports a status": ('Acme_Dynamic="d"', WRITES, lambda c: c.set_status(0x80041001), E.WBEM_E_FAILED),
}
