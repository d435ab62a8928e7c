"""Passwords: from a file, from OPENWMI_PASSWORD, or from a prompt; never from an argument."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from openwmi.errors import ConfigurationError

__all__ = ["VARIABLE", "known_password", "new_password", "password_from"]

VARIABLE = "OPENWMI_PASSWORD"

_LONGEST = 4096


def password_from(path: Path) -> str:
    """The first line of a file, without its end."""
    try:
        with path.open(encoding="utf-8") as stream:
            line = stream.readline(_LONGEST)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8") from None
    return _not_empty(line.rstrip("\r\n"), str(path))


def known_password(user: str, path: Path | None) -> str:
    """The password with which `user` logs on."""
    if path is not None:
        return password_from(path)
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"there is no terminal to ask for {user}'s password: use {VARIABLE} or --password-file"
        )
    return getpass.getpass(f"Password for {user}: ")


def new_password(name: str, *, from_stdin: bool) -> str:
    """The password of a new account: the first line of stdin, or typed twice."""
    if from_stdin:
        return _not_empty(sys.stdin.readline(_LONGEST).rstrip("\r\n"), "stdin")
    if not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask for a password: use --password-stdin")
    first = getpass.getpass(f"Password for {name}: ")
    if first != getpass.getpass("The same again: "):
        raise ConfigurationError("the two are not the same; nothing was changed")
    return first


def _not_empty(password: str, where: str) -> str:
    if not password:
        raise ConfigurationError(f"{where}: the first line, the password, is empty")
    return password
