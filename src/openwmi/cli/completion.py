"""The names of classes for the command line's completion.

They are kept in a file of the user's cache, so that Tab seldom waits for a server: for a day, for a few places. What
lists the classes of a place keeps them; where nothing is kept, the place is asked, if no password has to be typed for
it, and for a short time only. Completion never fails: without names there are none.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, Final

import typer

from openwmi.cim import fold
from openwmi.cli.locations import classes_file
from openwmi.cli.passwords import VARIABLE
from openwmi.cli.target import Where
from openwmi.errors import Error
from openwmi.security.files import write_whole

__all__ = ["complete_class", "keep"]

_FRESH: Final = 86_400.0  # seconds
_PATIENCE: Final = 3.0  # seconds
_PLACES: Final = 16
_LARGEST: Final = 1 << 22  # octets of the file

# For a place: when its names were kept, and they themselves.
_Kept = dict[str, tuple[float, list[str]]]


def complete_class(context: typer.Context) -> list[str]:
    """The names in the place that the command line's options mean; typer takes those that begin as what is typed."""
    given = {field.name: context.params.get(field.name) for field in fields(Where)}
    return _names(Where(**{name: value for name, value in given.items() if value is not None}))


def keep(where: Where, names: Iterable[str]) -> None:
    """Keeps the names of all classes of a place. That they cannot be kept is no failure of whatever listed them."""
    kept = {key: entry for key, entry in _kept().items() if key != _key(where)}
    kept[_key(where)] = (time.time(), list(names))
    latest = dict(list(kept.items())[-_PLACES:])
    path = classes_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, json.dumps(latest).encode())
    except (OSError, Error):
        return


def _key(where: Where) -> str:
    return json.dumps([where.host, where.profile, where.repository, where.namespace])


def _names(where: Where) -> list[str]:
    kept_at, names = _kept().get(_key(where), (0.0, []))
    if 0 <= time.time() - kept_at < _FRESH:
        return names
    local = where.host is None and where.hosts is None and where.profile is None
    if not local and not os.environ.get(VARIABLE) and where.password_file is None:
        return names
    try:
        with replace(where, timeout=_PATIENCE).open() as session, session.enumerate_classes() as found:
            names = sorted((cls.name for cls in found), key=fold)
    except (Error, typer.BadParameter):
        return names
    keep(where, names)
    return names


def _kept() -> _Kept:
    """What the file says; nothing, if it is not one of ours."""
    try:
        with classes_file().open("rb") as stream:
            read: Any = json.loads(stream.read(_LARGEST))
        return {str(key): (float(at), [str(name) for name in names]) for key, (at, names) in read.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
