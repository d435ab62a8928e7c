r"""Monikers: where to connect to, and how, in one text.

    winmgmts:{impersonationLevel=impersonate,authority=ntlmdomain:ACME,(Security)}!//host/root/cimv2:Win32_Process

Every part may be left out, the first one too; slashes and backslashes are alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from openwmi.compat.wmi.errors import x_wmi, x_wmi_authentication

__all__ = ["Moniker", "checked_security", "construct_moniker", "namespace_of"]

PROTOCOL: Final = "winmgmts:"
_MONIKER: Final = re.compile(
    r"(?:winmgmts:)?(?:\{(?P<security>[^}]*)\}!?)?(?:[/\\]{2}(?P<host>[^/\\]*)[/\\]?)?(?P<path>.*)",
    re.IGNORECASE | re.DOTALL,
)
_OBJECT: Final = re.compile(r"(?P<namespace>[\w/\\]*):(?P<name>.*)", re.DOTALL)
_LEVELS: Final = {
    "impersonation": ("", "anonymous", "identify", "impersonate"),
    "authentication": ("", "default", "none", "connect", "call", "pkt", "pktintegrity", "pktprivacy"),
}


@dataclass(frozen=True, slots=True)
class Moniker:
    """A parsed moniker. `name` is the path of a class or an instance, "" for the namespace itself."""

    host: str
    namespace: str
    name: str
    authority: str = ""

    @classmethod
    def parse(cls, text: str) -> Moniker:
        """Raises `x_wmi_authentication` for security settings that are not possible here, `x_wmi` for no moniker."""
        match = _MONIKER.fullmatch(text)
        if match is None:
            raise x_wmi(f"{text!r} is no moniker")
        settings = dict(re.findall(r"(\w+)\s*=\s*([^,()]+)", match["security"] or ""))
        known = {name.lower(): value.strip() for name, value in settings.items()}
        checked_security(known.get("impersonationlevel", ""), known.get("authenticationlevel", ""))
        path = match["path"]
        parted = _OBJECT.fullmatch(path)
        if parted is not None:
            namespace, name = parted["namespace"], parted["name"]
        elif match["host"] or re.fullmatch(r"root([/\\].*)?", path, re.IGNORECASE):
            namespace, name = path, ""
        else:
            namespace, name = "", path
        return cls(match["host"] or "", namespace, name, known.get("authority", ""))


def construct_moniker(
    computer: str | None = None,
    impersonation_level: str | None = None,
    authentication_level: str | None = None,
    authority: str | None = None,
    privileges: Iterable[str] | None = None,
    namespace: str | None = None,
    suffix: str | None = None,
) -> str:
    """The moniker of these parts. `suffix` is the path of a class or an instance."""
    settings = {
        "impersonationLevel": impersonation_level,
        "authenticationLevel": authentication_level,
        "authority": authority if computer else None,  # which this machine's own WMI does not take
    }
    security = [f"{name}={value}" for name, value in settings.items() if value]
    if privileges:
        security.append(f"({', '.join(privileges)})")
    return "".join(
        (
            PROTOCOL,
            f"{{{','.join(security)}}}!" if security else "",
            f"//{computer}/" if computer else "",
            namespace_of(namespace) if namespace else "",
            f":{suffix}" if suffix else "",
        )
    )


def namespace_of(name: str) -> str:
    """A namespace by its full name, with slashes: scripts leave root out."""
    parts = [part for part in re.split(r"[/\\]+", name) if part]
    return "/".join(parts if parts[:1] and parts[0].lower() == "root" else ["root", *parts])


def checked_security(impersonation_level: str, authentication_level: str) -> None:
    """Levels that there are. openwmi always impersonates and always seals, which is all that they ask for, or more.

    Raises `x_wmi_authentication` for delegation, which needs Kerberos, and for no level at all.
    """
    for kind, level in (("impersonation", impersonation_level), ("authentication", authentication_level)):
        if level.lower() not in _LEVELS[kind]:
            raise x_wmi_authentication(f"there is no {kind} level {level} here")
