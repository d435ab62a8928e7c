"""The accounts that may log on: one JSON file, or the same thing in memory.

The file holds names, NT hashes (never a clear password) and relative identifiers. Because an NT hash is as good
as its password, a file that others than its owner may touch is refused on POSIX; it is written whole to a new file of
mode 0600 which then takes the old one's place. A running server sees a change of the file at the next log-on.

Raises `ConfigurationError`, naming the file and the field, for a file or an argument that cannot be used.

    {"version": 1, "machine_sid": "S-1-5-21-…", "next_rid": 1001,
     "accounts": [{"name": "ada", "rid": 1000, "nt_hash": "…32 hexadecimal digits…", "administrator": true}]}
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spnego._ntlm_raw.md4 import md4

from openwmi.errors import ConfigurationError, SyntaxProblem
from openwmi.security.files import check_private, check_private_folder, locked, write_whole
from openwmi.security.principals import (
    ADMINISTRATORS,
    AUTHENTICATED_USERS,
    EVERYONE,
    USERS,
    Principal,
    Sid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Account", "Accounts", "nt_hash"]

_VERSION: Final = 1
_FIRST_RID: Final = 1000  # lower ones are Windows' own (MS-DTYP 2.4.2.4)
_LAST_RID: Final = 0xFFFFFFFE
_MAX_FILE: Final = 8 << 20  # some 80,000 accounts
_MAX_NAME: Final = 64  # Windows' SAM stops at 20, which is too short for the names of other systems
_MAX_PASSWORD: Final = 256
_FORBIDDEN: Final = frozenset('\\/"[]:|<>+=;,?*@')
_HASH: Final = re.compile(r"[0-9a-fA-F]{32}")


def nt_hash(password: str) -> bytes:
    """The NT hash of a clear password, 16 octets (NTOWFv1, MS-NLMP 3.3.1)."""
    # Not pyspnego's ntowfv1: that takes a password of the form "<32 hex>:<32 hex>" for a pair of hashes.
    return md4(password.encode("utf-16-le", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Its hash is never part of what is printed."""

    name: str
    sid: Sid
    nt_hash: bytes = field(repr=False)
    administrator: bool = False

    @property
    def rid(self) -> int:
        """The last part of the SID, which no other account of the file has or had."""
        return self.sid.sub_authorities[-1]

    def principal(self, domain: str, *logon_groups: Sid) -> Principal:
        """Who this account is on the computer `domain`, a member of `logon_groups` for how it logged on."""
        own = {EVERYONE, AUTHENTICATED_USERS, USERS, *logon_groups}
        if self.administrator:
            own.add(ADMINISTRATORS)
        return Principal(domain, self.name, self.sid, frozenset(own))


class Accounts:
    """The accounts of one server. `Accounts()` lives in memory; `Accounts.load(path)` in a file."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._stamp: tuple[int, ...] | None = None
        self._machine = Sid(5, (21, *(secrets.randbits(32) for _ in range(3))))
        self._next_rid = _FIRST_RID
        self._by_name: dict[str, Account] = {}

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, create: bool = False) -> Accounts:
        """The accounts in the file `path`. With `create` a missing file is an empty one, written by `add`."""
        made = cls()
        made._path = Path(path)
        try:
            made._read()
        except FileNotFoundError:
            if not create:
                raise ConfigurationError(
                    f"{path}: there is no such accounts file; `openwmi account add` makes one"
                ) from None
        return made

    @property
    def path(self) -> Path | None:
        """Where the accounts are kept, or None for accounts in memory."""
        return self._path

    @property
    def machine_sid(self) -> Sid:
        """The random SID of this set of accounts, S-1-5-21-x-y-z, under which each account has its own."""
        return self._machine

    def list(self) -> list[Account]:
        """Every account, by name."""
        self._refresh()
        return [self._by_name[key] for key in sorted(self._by_name)]

    def find(self, domain: str, user: str) -> Account | None:
        r"""The account that `domain` and `user` of a log-on mean, or None.

        The forms are `DOMAIN\user`, `.\user`, `user` and `user@host`, without regard to case. As on a Windows
        computer that has joined no domain, the domain's name does not matter: the computer's own name, none,
        and one that nobody here knows (such as the client computer's own) all mean the local accounts. That gives
        nothing away, for the password is still to be proven. Raises `ConfigurationError` while the file
        cannot be used.
        """
        del domain
        self._refresh()
        return self._by_name.get(user.partition("@")[0].casefold())

    def knows(self, principal: Principal) -> bool:
        """Whether somebody who logged on still has that account, with that role."""
        account = self.find("", principal.account)
        return (
            account is not None and account.sid == principal.sid and account.administrator == principal.is_administrator
        )

    def add(self, name: str, password: str, *, administrator: bool = False) -> Account:
        """Add an account, or give the one of that name a new password and role. It keeps its SID."""
        _check_password(password)
        return self.add_hash(name, nt_hash(password), administrator=administrator)

    def add_hash(self, name: str, hashed: bytes, *, administrator: bool = False) -> Account:
        """The same, for a password of which only the NT hash is known."""
        _check_name(name)
        with self._changing():
            old = self._by_name.get(name.casefold())
            if old is None:
                if self._next_rid > _LAST_RID:
                    raise ConfigurationError(f"{self._path}: no relative identifier is left")
                sid = self._machine.child(self._next_rid)
                self._next_rid += 1
            else:
                sid = old.sid
            account = Account(name, sid, hashed, administrator)
            self._by_name[name.casefold()] = account
        return account

    def remove(self, name: str) -> None:
        """Remove an account. `ConfigurationError` if there is none of that name."""
        with self._changing():
            if self._by_name.pop(name.casefold(), None) is None:
                raise ConfigurationError(f"there is no account {name!r}")

    # The file

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Run a change on the newest state and write it, alone among all processes that change the file."""
        if self._path is None:
            yield
            return
        with locked(self._path.parent):
            check_private_folder(self._path.parent)
            with contextlib.suppress(FileNotFoundError):
                self._read()
            before = (self._next_rid, dict(self._by_name))
            try:
                yield
                self._write()
            except BaseException:
                self._next_rid, self._by_name = before
                raise

    def _refresh(self) -> None:
        """Read the file again if it is another one, or has another time or size, than when it was last read."""
        if self._path is None:
            return
        try:
            if _stamp(self._path.stat()) != self._stamp:
                self._read()
        except FileNotFoundError:
            if self._stamp is not None:
                raise ConfigurationError(f"{self._path}: the accounts file is gone") from None
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from error

    def _read(self) -> None:
        assert self._path is not None
        data, stamp = _read_guarded(self._path)
        self._machine, self._next_rid, self._by_name = _parse(str(self._path), data)
        self._stamp = stamp

    def _write(self) -> None:
        assert self._path is not None
        document = {
            "version": _VERSION,
            "machine_sid": str(self._machine),
            "next_rid": self._next_rid,
            "accounts": [
                {
                    "name": account.name,
                    "rid": account.rid,
                    "nt_hash": account.nt_hash.hex(),
                    "administrator": account.administrator,
                }
                for _, account in sorted(self._by_name.items())
            ],
        }
        try:
            self._stamp = _stamp(write_whole(self._path, json.dumps(document, indent=2).encode() + b"\n"))
        except OSError as error:
            raise ConfigurationError(f"{self._path}: cannot be written: {error.strerror}") from error


def _check_name(name: str) -> None:
    """Windows' rules for account names, but for the length."""
    if not name or len(name) > _MAX_NAME:
        raise ConfigurationError(f"an account's name has 1 to {_MAX_NAME} characters")
    bad = sorted({char for char in name if char in _FORBIDDEN or not char.isprintable()})
    if bad:
        raise ConfigurationError(f"the account name {name!r} may not contain {' '.join(map(repr, bad))}")
    if name != name.strip() or name.endswith("."):
        raise ConfigurationError(f"the account name {name!r} may not begin or end with a space, or end with a dot")


def _check_password(password: str) -> None:
    if not password:
        raise ConfigurationError("an account needs a password that is not empty")
    if len(password) > _MAX_PASSWORD:
        raise ConfigurationError(f"a password has at most {_MAX_PASSWORD} characters")


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode, status.st_uid)


def _read_guarded(path: Path) -> tuple[bytes, tuple[int, ...]]:
    """The file's bytes and stamp. `FileNotFoundError` passes; a file open to others is refused."""
    try:
        # Non-blocking, because opening a FIFO would wait for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"{path}: is not a regular file")
            check_private(path, status)
            check_private_folder(path.parent)
            data = stream.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise ConfigurationError(f"{path}: is larger than {_MAX_FILE} bytes")
    return data, _stamp(status)


# The document


def _parse(source: str, data: bytes) -> tuple[Sid, int, dict[str, Account]]:
    """Machine SID, next RID and accounts of a file's bytes."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{source}: is not JSON: {error}") from None
    _check_fields(source, "", document, {"version": int, "machine_sid": str, "next_rid": int, "accounts": list})
    if document["version"] != _VERSION:
        raise ConfigurationError(f"{source}: version: is {document['version']}, must be {_VERSION}")
    try:
        machine = Sid.parse(document["machine_sid"])
    except SyntaxProblem as error:
        raise ConfigurationError(f"{source}: machine_sid: {error}") from None
    if machine.authority != 5 or len(machine.sub_authorities) != 4:
        raise ConfigurationError(f"{source}: machine_sid: must have the form S-1-5-21-x-y-z")
    found: dict[str, Account] = {}
    rids: set[int] = set()
    for index, entry in enumerate(document["accounts"]):
        where = f"accounts[{index}]"
        account = _parse_account(source, where, entry, machine)
        if account.name.casefold() in found:
            raise ConfigurationError(f"{source}: {where}.name: {account.name!r} is there twice")
        if account.rid in rids:
            raise ConfigurationError(f"{source}: {where}.rid: {account.rid} is there twice")
        rids.add(account.rid)
        found[account.name.casefold()] = account
    next_rid = document["next_rid"]
    if not max(rids, default=_FIRST_RID - 1) < next_rid <= _LAST_RID + 1:
        raise ConfigurationError(f"{source}: next_rid: {next_rid} must be above every account's rid")
    return machine, next_rid, found


def _parse_account(source: str, where: str, entry: Any, machine: Sid) -> Account:
    _check_fields(source, where, entry, {"name": str, "rid": int, "nt_hash": str, "administrator": bool})
    try:
        _check_name(entry["name"])
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {where}.name: {error}") from None
    if not _FIRST_RID <= entry["rid"] <= _LAST_RID:
        raise ConfigurationError(f"{source}: {where}.rid: must be from {_FIRST_RID} to {_LAST_RID}")
    if _HASH.fullmatch(entry["nt_hash"]) is None:
        raise ConfigurationError(f"{source}: {where}.nt_hash: must be 32 hexadecimal digits")
    hashed = bytes.fromhex(entry["nt_hash"])
    if hashed == nt_hash(""):
        raise ConfigurationError(f"{source}: {where}.nt_hash: is the hash of an empty password")
    return Account(entry["name"], machine.child(entry["rid"]), hashed, entry["administrator"])


def _check_fields(source: str, where: str, value: Any, fields: dict[str, type]) -> None:
    """`value` is an object with exactly `fields`, each of exactly its type (a bool is no int here)."""
    if type(value) is not dict:
        raise ConfigurationError(f"{source}: {where or 'the document'}: must be an object")
    prefix = f"{where}." if where else ""
    for name in value.keys() - fields.keys():
        raise ConfigurationError(f"{source}: {prefix}{name}: there is no such field")
    for name, kind in fields.items():
        if name not in value:
            raise ConfigurationError(f"{source}: {prefix}{name}: is missing")
        if type(value[name]) is not kind:
            wanted = {int: "a number", str: "a string", list: "a list", bool: "true or false"}[kind]
            raise ConfigurationError(f"{source}: {prefix}{name}: must be {wanted}")
