"""What is likely behind an error, and what to do about it: one table, by the stage and the code.

The command line, `openwmi diagnose` and the documentation's page of errors all say what stands here. A row is for a
code in a stage, for a code wherever it comes, or for whatever else goes wrong in a stage; `likely_causes` takes the
first of these three that the table has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from openwmi.errors import Stage, stage_of
from openwmi.status import HResult, WbemStatus

__all__ = ["CAUSES", "Cause", "likely_causes"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that may be behind an error, and what to do then: two sentences without their full stops."""

    cause: str
    remedy: str


Key = tuple[Stage | None, int | None]

_PORT: Final = Cause(
    "WMI is at another port", "add the port to the URL, dcom://user@host:port; on Windows the first one is 135"
)
_FIREWALL: Final = Cause(
    "a firewall drops the connection",
    "open TCP 135 and the server's dynamic ports: on Windows the rule group Windows Management Instrumentation (WMI)",
)
_PASSWORD: Final = Cause(
    "the user name or the password is wrong",
    r"write an account of a domain as DOMAIN\user or user@realm, and check what OPENWMI_PASSWORD holds",
)
_REMOTE_DCOM: Final = Cause(
    "the account may not activate DCOM objects from afar",
    "on Windows put it into Distributed COM Users or give it Remote Launch and Remote Activation (dcomcnfg);"
    " with openwmi, openwmi account add --administrator",
)
_LOCAL_ADMINISTRATOR: Final = Cause(
    "it is a local administrator, whom Windows gives no administrator's rights over the network",
    "use an account of the domain, or set LocalAccountTokenFilterPolicy on the server",
)
_NAMESPACE_RIGHTS: Final = Cause(
    "the account lacks a right in this namespace",
    "grant Remote Enable, and Execute Methods or a write right as needed: wmimgmt.msc, or openwmi security grant",
)
_VERSION: Final = Cause(
    "the server is of another kind than expected, or something on the way changes what passes",
    "see the server's log, and report what does not fit with OPENWMI_DEBUG=1",
)

CAUSES: Final[dict[Key, tuple[Cause, ...]]] = {
    (Stage.RESOLVE, None): (
        Cause("the name is misspelt", "compare it with what the server calls itself"),
        Cause("this machine's DNS does not know it", "use its full name, with the domain, or its address"),
    ),
    (Stage.CONNECT, HResult.WSAECONNREFUSED): (
        Cause("no server runs on the host", "start it: on Windows the services RpcSs and Winmgmt, or openwmi serve"),
        _PORT,
        Cause("the server listens at another of its addresses", "have it listen at this one: openwmi serve --listen"),
    ),
    (Stage.CONNECT, HResult.WSAETIMEDOUT): (
        _FIREWALL,
        Cause("the host is down, or the address is not its own", "ping it, or ask who runs it"),
    ),
    (Stage.CONNECT, HResult.WSAENETUNREACH): (
        Cause("this machine has no route to that network", "connect to the network or the VPN first"),
    ),
    (Stage.CONNECT, HResult.WSAEHOSTUNREACH): (
        Cause("the host is down, or a router refuses to let us to it", "check the address and the route to it"),
    ),
    (Stage.CONNECT, None): (_PORT, _FIREWALL),
    (Stage.BIND, HResult.WSAETIMEDOUT): (
        Cause("something that is not RPC has the port, and waits for more", "check the port in the URL"),
        Cause("the server is overloaded", "try again later, with a longer --timeout"),
    ),
    (Stage.BIND, None): (
        _PORT,
        Cause("a proxy or an inspecting firewall ends the connection", "let DCE/RPC pass between the two hosts"),
    ),
    (Stage.AUTHENTICATION, None): (
        _PASSWORD,
        Cause("the account is locked, disabled or expired", "log on with it where it is known to work"),
        Cause(
            "the server takes no NTLM, or no account of this kind",
            "ask for its policy (Network security: Restrict NTLM)",
        ),
        Cause("the clocks differ by more than five minutes", "set both by the same source"),
    ),
    (Stage.ACTIVATION, HResult.E_ACCESSDENIED): (_REMOTE_DCOM, _LOCAL_ADMINISTRATOR),
    (Stage.ACTIVATION, HResult.ERROR_ACCESS_DENIED): (_REMOTE_DCOM, _LOCAL_ADMINISTRATOR),
    (Stage.ACTIVATION, HResult.REGDB_E_CLASSNOTREG): (
        Cause("the host has DCOM, but no WMI", "install it, or start the service Winmgmt"),
    ),
    (Stage.ACTIVATION, HResult.RPC_E_REMOTE_DISABLED): (
        Cause("DCOM is switched off on the host", "switch it on: dcomcnfg, Enable Distributed COM on this computer"),
    ),
    (Stage.ACTIVATION, HResult.WSAETIMEDOUT): (
        Cause("the host has no resources left, or its DCOM service hangs", "see its event log; restart the service"),
    ),
    (Stage.ACTIVATION, None): (
        Cause("the service Winmgmt is stopped or disabled", "start it on the host"),
        _REMOTE_DCOM,
    ),
    (Stage.LOGIN, WbemStatus.WBEM_E_ACCESS_DENIED): (_NAMESPACE_RIGHTS, _LOCAL_ADMINISTRATOR),
    (Stage.LOGIN, HResult.E_ACCESSDENIED): (_NAMESPACE_RIGHTS, _LOCAL_ADMINISTRATOR),
    (Stage.LOGIN, HResult.ERROR_ACCESS_DENIED): (_NAMESPACE_RIGHTS, _LOCAL_ADMINISTRATOR),
    (Stage.LOGIN, HResult.WSAECONNREFUSED): (
        Cause("the server's second port is not reachable", "let its dynamic ports pass, or give it a fixed one"),
    ),
    (Stage.LOGIN, WbemStatus.WBEM_E_TIMED_OUT): (
        Cause("sessions of the pool stay open longer than others can wait", "close them sooner, or raise its limit"),
    ),
    (Stage.LOGIN, None): (
        Cause(
            "a firewall or a NAT lets port 135 through and not the port on which the objects are",
            "let the dynamic ports (49152 to 65535) pass, or give WMI a fixed port: winmgmt /standalonehost,"
            " or openwmi serve --exporter-port",
        ),
    ),
    (None, WbemStatus.WBEM_E_INVALID_NAMESPACE): (
        Cause("the namespace is misspelt", "list those that are there: openwmi namespaces --recursive"),
        Cause("the product that brings it is not installed on the host", "install it, or compile its MOF"),
    ),
    (None, WbemStatus.WBEM_E_INVALID_CLASS): (
        Cause("the class is misspelt", "list those that are there: openwmi class list"),
        Cause("it is in another namespace", "name that one with -n"),
    ),
    (None, WbemStatus.WBEM_E_ACCESS_DENIED): (_NAMESPACE_RIGHTS,),
    (None, WbemStatus.WBEM_E_PRIVILEGE_NOT_HELD): (
        Cause("the account is no administrator of the host", "use one that is"),
    ),
    (None, WbemStatus.WBEM_E_PROVIDER_NOT_FOUND): (
        Cause("the class names a provider that is not registered", "register it: its MOF says how"),
    ),
    (None, WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE): (
        Cause("what the provider is made of is missing or broken", "see the server's log; install it anew"),
    ),
    (None, WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE): (
        Cause("the provider does not offer this operation", "see the class's qualifiers: openwmi class show"),
    ),
    (None, WbemStatus.WBEM_E_TIMED_OUT): (
        Cause("there is more work than time", "ask for less (properties, a WHERE), or give it more with --timeout"),
        Cause("the server hangs, or a provider there", "see the server's log"),
    ),
    (None, WbemStatus.WBEM_E_QUOTA_VIOLATION): (
        Cause("the operation needs more memory, handles or results than one may have", "ask for less at a time"),
    ),
    (None, WbemStatus.WBEM_E_SERVER_TOO_BUSY): (
        Cause("too much is under way on the server", "try again later, with fewer requests at a time"),
    ),
    (None, HResult.RPC_S_SERVER_TOO_BUSY): (
        Cause("too much is under way on the server", "try again later, with fewer requests at a time"),
    ),
    (Stage.PROVIDER, WbemStatus.WBEM_E_PROVIDER_TIMED_OUT): (
        Cause(
            "the provider hangs, or has more to do than the server gives it time for",
            "ask for less (properties, a WHERE), and see the server's log",
        ),
    ),
    (Stage.PROVIDER, None): (
        Cause("the provider failed, or what it asks did", "see the server's log and the error object that it sent"),
    ),
    (Stage.CALL, HResult.WSAETIMEDOUT): (
        Cause("the server is slow or hangs in a provider", "give it more time with --timeout; see its log"),
        Cause("a firewall dropped the connection while it was idle", "connect anew"),
    ),
    (Stage.CALL, None): (
        Cause("the server was stopped or restarted", "connect anew once it runs"),
        Cause("the network between the two hosts failed", "connect anew"),
    ),
    (Stage.PROTOCOL, None): (_VERSION,),
}
"""The table. A key without a code is for every other code of its stage, one without a stage for the code anywhere."""


def likely_causes(error: BaseException) -> tuple[Cause, ...]:
    """What may be behind an error, the likeliest first; nothing for one that says all there is to say."""
    stage, status = stage_of(error), getattr(error, "status", None)
    keys: tuple[Key, ...] = ((stage, status), (None, status), (stage, None))
    # Without a stage and a code it was no way to anywhere that failed.
    return next((CAUSES[key] for key in keys if key != (None, None) and key in CAUSES), ())
