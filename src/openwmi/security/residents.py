"""Who the users of this machine are to a server on it, by the numbers that the system vouches for (SO_PEERCRED)."""

from __future__ import annotations

import os
from collections.abc import Callable

from openwmi.errors import ConfigurationError
from openwmi.security.accounts import Accounts
from openwmi.security.principals import Principal

__all__ = ["is_system", "resident", "system_name"]


def system_name(user: int) -> str | None:
    """The name of a user in the system's own table; None for a number that it does not know."""
    import pwd  # which not every system has

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


def is_system(user: int) -> bool:
    """Whether that is root or the server's own user, who can do all that the server can."""
    return user in (0, os.geteuid())


def resident(
    accounts: Accounts, user: int, computer: str, *, name_of: Callable[[int], str | None] = system_name
) -> Principal | None:
    """Whom the user with that number is on the server called `computer`.

    Who `is_system` is the system. Others are the account whose
    name is theirs to the letter: a user of a directory, ``ada@corp.example``, is not the local ada. None for everybody
    else, and while the accounts cannot be read. To ask the system's table may take time.
    """
    if is_system(user):
        return Principal.local_system()
    name = name_of(user)
    if name is None:
        return None
    try:
        account = accounts.find("", name)
    except ConfigurationError:
        return None
    return account.principal(computer) if account is not None and account.name == name else None
