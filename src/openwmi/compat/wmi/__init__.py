r"""The interface of the wmi module, whose scripts run with it off Windows.

    import openwmi.compat.wmi as wmi

    c = wmi.WMI("server", user=r"ACME\ada", password="...")
    for service in c.Win32_Service(StartMode="Auto", State="Stopped"):
        result, = service.StartService()

The names, arguments and results are those that the module's documentation has. What connects, though, is openwmi: over
DCOM, sealed, and to this machine without a server if no computer is named. The user and the password that a script does
not give are OPENWMI_USER and OPENWMI_PASSWORD. A computer may be a URL of `openwmi.connect`, too.

What scripts do with COM itself (`pythoncom`, `Properties_`) and events (`watch_for`) are not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

import openwmi
from openwmi.client.sync import Session
from openwmi.client.urls import parse_url
from openwmi.compat.wmi.errors import (
    com_error,
    signed_to_unsigned,
    translated,
    x_access_denied,
    x_wmi,
    x_wmi_authentication,
    x_wmi_invalid_query,
    x_wmi_no_namespace,
    x_wmi_timed_out,
    x_wmi_uninitialised_thread,
)
from openwmi.compat.wmi.monikers import Moniker, checked_security, construct_moniker, namespace_of
from openwmi.compat.wmi.objects import (
    _wmi_class,
    _wmi_method,
    _wmi_namespace,
    _wmi_object,
    _wmi_path,
    _wmi_property,
    _wmi_result,
)
from openwmi.compat.wmi.values import from_1601, from_time, to_time

__all__ = [
    "WMI",
    "Registry",
    "_wmi_class",
    "_wmi_method",
    "_wmi_namespace",
    "_wmi_object",
    "_wmi_path",
    "_wmi_property",
    "_wmi_result",
    "com_error",
    "connect",
    "connect_server",
    "construct_moniker",
    "from_1601",
    "from_time",
    "signed_to_unsigned",
    "to_time",
    "x_access_denied",
    "x_wmi",
    "x_wmi_authentication",
    "x_wmi_invalid_query",
    "x_wmi_no_namespace",
    "x_wmi_timed_out",
    "x_wmi_uninitialised_thread",
]

_HERE: Final = ("", ".")


def connect(
    computer: str | None = "",
    impersonation_level: str = "",
    authentication_level: str = "",
    authority: str = "",
    privileges: str | Iterable[str] = "",
    moniker: str = "",
    wmi: _wmi_namespace | Session | None = None,
    namespace: str = "",
    suffix: str = "",
    user: str = "",
    password: str = "",
    find_classes: bool = False,
    debug: bool = False,
) -> Any:
    """A namespace; or the class or the object that a moniker, or `suffix`, names.

    `wmi` is a namespace that `connect_server` gave, or an `openwmi.Session`; all else is ignored then. `privileges` are
    not asked for: a server lets an account use those that it has. `find_classes` and `debug` mean nothing: the classes
    are asked for when somebody looks at them. Raises `x_wmi`.
    """
    if isinstance(wmi, Session):
        return _wmi_namespace(wmi)
    if wmi is not None:
        return wmi
    if moniker:
        return _at(Moniker.parse(moniker), user, password)
    if user and (privileges or suffix):
        raise x_wmi_authentication("privileges and a suffix do not go with a user")
    if user and (computer or "") in _HERE:
        raise x_wmi_authentication("a user is for another computer: name it")
    checked_security(impersonation_level, authentication_level)
    return _at(Moniker(computer or "", namespace, suffix, authority), user, password)


WMI = connect


def connect_server(
    server: str,
    namespace: str = "",
    user: str = "",
    password: str = "",
    locale: str = "",
    authority: str = "",
    impersonation_level: str = "",
    authentication_level: str = "",
    security_flags: int = 0x80,
    named_value_set: Any = None,
) -> _wmi_namespace:
    """A namespace of a server, for ``WMI(wmi=...)``.

    `security_flags` mean nothing, as no connection is waited for without end, and neither does `named_value_set`.
    """
    checked_security(impersonation_level, authentication_level)
    return _namespace(server, namespace, user, password, authority, locale)


def Registry(
    computer: str | None = None,
    impersonation_level: str = "Impersonate",
    authentication_level: str = "Default",
    authority: str | None = None,
    privileges: str | Iterable[str] | None = None,
    moniker: str | None = None,
) -> _wmi_class:
    """The class StdRegProv of a computer. Only Windows has a registry: raises `x_wmi` where there is none."""
    wanted = moniker or construct_moniker(
        computer, impersonation_level, authentication_level, authority, privileges, "default", "StdRegProv"
    )
    try:
        found: _wmi_class = connect(moniker=wanted)
    except AttributeError as error:
        raise x_wmi(f"{computer or 'this machine'} has no registry: only Windows has one") from error
    return found


def _at(moniker: Moniker, user: str, password: str) -> Any:
    namespace = _namespace(moniker.host, moniker.namespace, user, password, moniker.authority)
    if not moniker.name:
        return namespace
    if moniker.name.isidentifier():
        return getattr(namespace, moniker.name)
    return namespace.get(moniker.name)


def _namespace(
    computer: str, namespace: str, user: str, password: str, authority: str = "", locale: str = ""
) -> _wmi_namespace:
    user = _with_domain(user or os.environ.get("OPENWMI_USER", ""), authority)
    password = password or os.environ.get("OPENWMI_PASSWORD", "")
    url = "local:" if computer in _HERE else computer
    with translated():
        target = parse_url(url)
        if target.scheme != "local":
            _check_log_on(target.host, user or target.user, password)
        session = openwmi.connect(
            url,
            user=user or None,
            password=password or None,
            namespace=namespace_of(namespace).replace("/", "\\") if namespace else None,
            locales=[locale] if locale else (),
        )
    return _wmi_namespace(session)


def _check_log_on(host: str, user: str, password: str) -> None:
    """There is no current user here whom another machine knows: raises `x_wmi_authentication` if nobody is named."""
    if not user:
        raise x_wmi_authentication(
            f"{host}: no user: give user= and password=, or set OPENWMI_USER and OPENWMI_PASSWORD"
        )
    if not password:
        raise x_wmi_authentication(f"{host}: no password for {user}: give password=, or set OPENWMI_PASSWORD")


def _with_domain(user: str, authority: str) -> str:
    """The user with the domain that the authority names. Raises `x_wmi_authentication` for Kerberos."""
    kind, _, domain = authority.rpartition(":")
    if kind.lower() == "kerberos":
        raise x_wmi_authentication(f"{authority}: there is only NTLM here")
    return f"{domain}\\{user}" if domain and user and not set("\\@") & set(user) else user
