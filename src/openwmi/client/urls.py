"""Where a session goes to: ``dcom://user@host``, ``local:``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from openwmi.errors import ConfigurationError

__all__ = ["Target", "parse_url"]

_LATER: Final = {"wsman", "wsmans", "auto"}
_DEFAULT_PORT: Final = 135
_FORM: Final = "dcom://user@host:port/namespace"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL. `namespace` is None where the URL names none; `path` is a `local:` repository's."""

    scheme: str
    host: str = ""
    port: int = _DEFAULT_PORT
    user: str = ""
    namespace: str | None = None
    path: str = ""


def parse_url(url: str) -> Target:
    r"""Takes ``dcom://[user@]host[:port][/namespace]`` and ``local:[path]`` apart.

    The user may be ``DOMAIN\user``, ``DOMAIN;user`` or ``user@realm`` (its @ written %40); a host that stands alone is
    ``dcom://host``. Raises `ConfigurationError`: also for a password, which has no place in a URL.
    """
    if url == "local" or url.startswith("local:"):
        return Target("local", path=url.removeprefix("local").removeprefix(":"))
    if "://" not in url:
        url = f"dcom://{url}"
    # What the URL says is not quoted, and neither are the parser's messages: it may be the beginning of a password.
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"this is no URL: write {_FORM}") from None
    try:
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigurationError(f"the port in the URL is no number from 1 to 65535: write {_FORM}")
    if parts.scheme in _LATER:
        raise ConfigurationError(f"{parts.scheme}:// will follow with WS-Management: until then use dcom:// or local:")
    if parts.scheme != "dcom":
        raise ConfigurationError(f"{parts.scheme}:// is not known: use dcom://user@host or local:")
    if parts.password is not None:
        raise ConfigurationError(
            "a URL is no place for a password: give it at the prompt, in OPENWMI_PASSWORD, in a file, or as an argument"
        )
    if not parts.hostname:
        raise ConfigurationError("the URL names no host: use dcom://user@host")
    if parts.query or parts.fragment:
        raise ConfigurationError("the URL has a ? or #, which mean nothing here")
    namespace = re.sub(r"[/\\]+", r"\\", unquote(parts.path)).strip("\\") or None
    user = unquote(parts.username or "").replace(";", "\\")
    return Target("dcom", parts.hostname, port, user, namespace)
