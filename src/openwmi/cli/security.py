"""``openwmi security``: who may do what in a namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from openwmi.cli.fanout import everywhere
from openwmi.cli.locations import accounts_file
from openwmi.cli.output import write, write_json, write_table
from openwmi.cli.target import Json, Where, placed
from openwmi.client.sync import Session
from openwmi.errors import ConfigurationError, SyntaxProblem
from openwmi.security.access import NAMESPACE_RIGHTS, AccessRight
from openwmi.security.descriptor import Ace, AceFlag, AceType, Acl, SecurityDescriptor
from openwmi.security.principals import WELL_KNOWN_NAMES, Sid
from openwmi.security.sddl import format_sddl, parse_sddl

__all__ = ["app"]

app = typer.Typer(help="Who may do what in a namespace.", no_args_is_help=True)

_PATH: Final = "__SystemSecurity=@"
_KINDS: Final = {AceType.ACCESS_ALLOWED: "allow", AceType.ACCESS_DENIED: "deny", AceType.SYSTEM_AUDIT: "audit"}


class Right(StrEnum):
    """A right as the command line spells it."""

    ENABLE = "enable"
    METHOD_EXECUTE = "method-execute"
    FULL_WRITE = "full-write"
    PARTIAL_WRITE_REP = "partial-write-rep"
    WRITE_PROVIDER = "write-provider"
    REMOTE_ENABLE = "remote-enable"
    READ_CONTROL = "read-control"
    WRITE_DAC = "write-dac"
    ALL = "all"

    @property
    def mask(self) -> AccessRight:
        """The right itself."""
        return NAMESPACE_RIGHTS if self is Right.ALL else AccessRight[self.name]


Who = Annotated[
    str, typer.Argument(metavar="WHO", help="A SID, an alias of SDDL (WD is everyone), or a name of the accounts file.")
]
AccountsFile = Annotated[
    Path | None, typer.Option("--accounts", metavar="FILE", help="The accounts file, if not this user's own.")
]


@app.callback()
def _group() -> None:
    """Who may do what in a namespace. Administrators always have every right."""


@app.command()
@placed
def show(
    where: Where,
    sddl: Annotated[bool, typer.Option("--sddl", help="Write the security descriptor as SDDL.")] = False,
    accounts: AccountsFile = None,
    json: Json = False,
) -> None:
    """Show the entries of a namespace's security descriptor.

    Beside a SID stands the name of a group that Windows has everywhere, or of an account in the accounts file.
    """
    with where.open() as session:
        descriptor = _read(session)
    if sddl:
        write(format_sddl(descriptor))
        return
    lists = (acl for acl in (descriptor.dacl, descriptor.sacl) if acl is not None)
    names = _names(accounts)
    rows = [_row(ace, names) for acl in lists for ace in _known(acl)]
    if json:
        write_json([dict(zip(("who", "name", "kind", "rights", "reach"), row, strict=True)) for row in rows])
    elif descriptor.dacl is None:
        write("There is no list of rights: everybody may do everything.")
    elif rows:
        write_table(("Who", "Name", "Kind", "Rights", "Reach"), rows)


@app.command()
@placed
def grant(
    where: Where,
    who: Who,
    rights: Annotated[
        list[Right], typer.Argument(metavar="RIGHT...", help=f"One or more of {', '.join(Right)}.", show_default=False)
    ],
    inherit: Annotated[bool, typer.Option("--inherit", help="Also in the namespaces below that come to be.")] = False,
    accounts: AccountsFile = None,
) -> None:
    """Give an account or a group rights in a namespace.

    It keeps those that it has.
    """
    sid = _sid(who, accounts)
    flags = AceFlag.CONTAINER_INHERIT if inherit else 0
    mask = 0
    for right in rights:
        mask |= right.mask

    def work(session: Session) -> tuple[()]:
        descriptor = _read(session)
        aces = list(_dacl(descriptor).aces)
        for index, ace in enumerate(aces):
            if (ace.type, ace.flags, ace.sid) == (AceType.ACCESS_ALLOWED, flags, sid):
                aces[index] = replace(ace, mask=ace.mask | mask)
                break
        else:
            # Before what is inherited: a namespace's own entries come first.
            own = sum(not ace.flags & AceFlag.INHERITED for ace in aces)
            aces.insert(own, Ace.allow(sid, mask, flags))
        _write(session, descriptor, aces)
        return ()

    everywhere(where, work)


@app.command()
@placed
def revoke(
    where: Where,
    who: Who,
    accounts: AccountsFile = None,
) -> None:
    """Take a namespace's own rights from an account or a group."""
    sid = _sid(who, accounts)

    def work(session: Session) -> Iterator[str]:
        descriptor = _read(session)
        aces = _dacl(descriptor).aces
        kept = [
            ace for ace in aces if ace.sid != sid or ace.type != AceType.ACCESS_ALLOWED or ace.flags & AceFlag.INHERITED
        ]
        if len(kept) < len(aces):
            _write(session, descriptor, kept)
        left = [ace for ace in _dacl(_read(session)).aces if ace.sid == sid and ace.type == AceType.ACCESS_ALLOWED]
        if left:
            yield f"{who} still has rights that {session.namespace} inherits: revoke them in the namespace above"

    everywhere(where, work, _tell)


def _tell(found: Iterator[tuple[str | None, str]]) -> None:
    for host, text in found:
        write(text if host is None else f"{host}: {text}")


def _read(session: Session) -> SecurityDescriptor:
    return SecurityDescriptor.from_bytes(bytes(session.invoke(_PATH, "GetSD")["SD"] or b""))


def _write(session: Session, descriptor: SecurityDescriptor, aces: Iterable[Ace]) -> None:
    acl = Acl(tuple(aces), _dacl(descriptor).revision)
    session.invoke(_PATH, "SetSD", {"SD": bytes(replace(descriptor, dacl=acl))})


def _dacl(descriptor: SecurityDescriptor) -> Acl:
    if descriptor.dacl is None:
        raise ConfigurationError("the namespace has no list of rights, so everybody may do everything there already")
    return descriptor.dacl


def _sid(who: str, accounts: Path | None) -> Sid:
    try:
        found = parse_sddl(f"O:{who}").owner
    except SyntaxProblem:
        found = None
    if found is not None:
        return found
    from openwmi.security.accounts import Accounts

    account = Accounts.load(accounts_file(accounts)).find("", who)
    if account is None:
        raise ConfigurationError(f"{who} is no SID, no alias of one, and no account")
    return account.sid


def _names(given: Path | None) -> dict[Sid, str]:
    """The names that SIDs have. The user's own accounts file is only a help: that it cannot be read is no failure."""
    from openwmi.security.accounts import Accounts

    try:
        accounts = Accounts.load(accounts_file(given)).list()
    except ConfigurationError:
        if given is not None:
            raise
        accounts = []
    return {**WELL_KNOWN_NAMES, **{account.sid: account.name for account in accounts}}


def _row(ace: Ace, names: Mapping[Sid, str]) -> tuple[str, str | None, str, str, str]:
    name = None if ace.sid is None else names.get(ace.sid)
    return str(ace.sid), name, _KINDS[AceType(ace.type)], _rights(ace), _reach(ace)


def _known(acl: Acl) -> list[Ace]:
    return [ace for ace in acl.aces if ace.type in _KINDS]


def _rights(ace: Ace) -> str:
    named = [right.value for right in Right if right is not Right.ALL and ace.mask & right.mask]
    if ace.mask & NAMESPACE_RIGHTS == NAMESPACE_RIGHTS:
        named = [Right.ALL.value]
    rest = ace.mask & ~NAMESPACE_RIGHTS
    return " ".join([*named, *([f"{rest:#x}"] if rest else [])])


def _reach(ace: Ace) -> str:
    flags = AceFlag(ace.flags)
    words = {
        AceFlag.INHERITED: "inherited",
        AceFlag.CONTAINER_INHERIT: "below",
        AceFlag.NO_PROPAGATE_INHERIT: "children only",
        AceFlag.INHERIT_ONLY: "not here",
    }
    return ", ".join(word for flag, word in words.items() if flag in flags)
