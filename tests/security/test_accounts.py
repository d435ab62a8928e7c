from __future__ import annotations

import json
import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from openwmi.errors import ConfigurationError
from openwmi.security.accounts import Accounts, nt_hash
from openwmi.security.principals import ADMINISTRATORS, AUTHENTICATED_USERS, EVERYONE, NETWORK, USERS

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has access lists instead of modes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accounts.json"


@pytest.fixture
def stored(path: Path) -> Accounts:
    accounts = Accounts.load(path, create=True)
    accounts.add("ada", "secret", administrator=True)
    accounts.add("bob", "other")
    return accounts


def _touch_later(path: Path) -> None:
    """Make sure that a change is seen even where times are coarse."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_the_printed_hash() -> None:
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"  # MS-NLMP 4.2.2.1.2


def test_a_password_that_looks_like_hashes_is_a_password() -> None:
    password = "00" * 16 + ":" + "11" * 16
    assert nt_hash(password) != bytes.fromhex("11" * 16)


def test_what_is_added_is_found_after_loading(stored: Accounts, path: Path) -> None:
    loaded = Accounts.load(path)
    assert loaded.list() == stored.list()
    assert [account.name for account in loaded.list()] == ["ada", "bob"]
    assert loaded.machine_sid == stored.machine_sid
    ada = loaded.find("", "ada")
    assert ada is not None
    assert (ada.administrator, ada.nt_hash, ada.rid) == (True, nt_hash("secret"), 1000)
    assert str(ada.sid) == f"{loaded.machine_sid}-1000"


def test_two_sets_of_accounts_have_different_machines() -> None:
    assert Accounts().machine_sid != Accounts().machine_sid


def test_neither_the_file_nor_a_printed_account_holds_a_password(stored: Accounts, path: Path) -> None:
    assert b"secret" not in path.read_bytes()
    account = stored.find("", "ada")
    assert account is not None
    assert account.nt_hash.hex() not in repr(account)
    assert repr(account.nt_hash) not in repr(account)


@posix
def test_the_file_is_its_owners_alone(stored: Accounts, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@posix
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o601, 0o610, 0o777])
def test_a_file_open_to_others_is_refused(stored: Accounts, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        Accounts.load(path)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        stored.find("", "ada")
    path.chmod(0o400)
    assert stored.find("", "ada") is not None


@posix
def test_a_file_of_somebody_else_is_refused(stored: Accounts, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stat().st_uid == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="belongs to user id"):
        Accounts.load(path)


@posix
def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for odd in (fifo, tmp_path):
        with pytest.raises(ConfigurationError, match=str(odd)):
            Accounts.load(odd)


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such accounts file"):
        Accounts.load(path)
    assert Accounts.load(path, create=True).list() == []
    assert not path.exists()


def test_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "accounts.json"
    Accounts.load(path, create=True).add("ada", "secret")
    assert len(Accounts.load(path).list()) == 1


@pytest.mark.parametrize("user", ["ada", "ADA", "ada@host.example.test", "Ada@"])
@pytest.mark.parametrize("domain", ["", ".", "HOST", "host", "CLIENT-PC"])
def test_forms_of_a_name(stored: Accounts, domain: str, user: str) -> None:
    account = stored.find(domain, user)
    assert account is not None
    assert account.name == "ada"


@pytest.mark.parametrize("user", ["", "eve", "ada ", "@ada", "HOST\\ada"])
def test_names_that_nobody_has(stored: Accounts, user: str) -> None:
    assert stored.find("", user) is None


def test_who_an_account_is(stored: Accounts) -> None:
    ada, bob = stored.list()
    assert ada.principal("HOST", NETWORK).name == "HOST\\ada"
    assert bob.principal("HOST", NETWORK).groups == {EVERYONE, AUTHENTICATED_USERS, USERS, NETWORK}
    assert ada.principal("HOST").groups == {EVERYONE, AUTHENTICATED_USERS, USERS, ADMINISTRATORS}
    assert ada.principal("HOST").is_administrator
    assert not bob.principal("HOST").is_administrator


def test_adding_again_gives_a_new_password_and_role_but_the_same_sid(stored: Accounts) -> None:
    old = stored.find("", "ada")
    new = stored.add("Ada", "changed")
    assert old is not None
    assert (new.sid, new.administrator, new.nt_hash) == (old.sid, False, nt_hash("changed"))
    assert [account.name for account in stored.list()] == ["Ada", "bob"]


def test_a_removed_accounts_sid_is_not_given_again(stored: Accounts, path: Path) -> None:
    stored.remove("BOB")
    assert Accounts.load(path).find("", "bob") is None
    assert Accounts.load(path).add("carl", "third").rid == 1002
    with pytest.raises(ConfigurationError, match="no account 'bob'"):
        stored.remove("bob")


def test_a_running_server_sees_changes(stored: Accounts, path: Path) -> None:
    other = Accounts.load(path)
    other.add("carl", "third")
    assert stored.find("", "carl") is not None
    other.remove("ada")
    assert stored.find("", "ada") is None


def test_changes_of_two_processes_both_survive(stored: Accounts, path: Path) -> None:
    first, second = Accounts.load(path), Accounts.load(path)
    first.add("carl", "third")
    second.add("dora", "fourth")
    assert [account.name for account in Accounts.load(path).list()] == ["ada", "bob", "carl", "dora"]
    assert {account.rid for account in second.list()} == {1000, 1001, 1002, 1003}


def test_while_the_file_is_broken_nobody_is_known(stored: Accounts, path: Path) -> None:
    good = path.read_bytes()
    path.write_bytes(b"{")
    _touch_later(path)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="is not JSON"):
            stored.find("", "ada")
    with pytest.raises(ConfigurationError, match="is not JSON"):
        stored.add("carl", "third")
    path.write_bytes(good)
    assert stored.find("", "ada") is not None
    path.unlink()
    with pytest.raises(ConfigurationError, match="gone"):
        stored.find("", "ada")


@posix
def test_a_change_that_cannot_be_written_is_not_made(
    stored: Accounts, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="cannot be written: No space"):
        stored.add("carl", "third")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert stored.find("", "carl") is None


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "a\\b", "a/b", "a@b", "a*", 'a"', "a\n", "a\0", " a", "a ", "a.", "a:b", "a|b", "a;b"]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Accounts().add(name, "secret")


@pytest.mark.parametrize("name", ["a", "a" * 64, "ada lovelace", "ünïcode", "svc_wmi$", "o'neill", "a.b"])
def test_names_that_are_accepted(name: str) -> None:
    accounts = Accounts()
    accounts.add(name, "secret")
    assert accounts.find("", name.upper()) is not None


@pytest.mark.parametrize(("password", "problem"), [("", "not empty"), ("a" * 257, "at most")])
def test_passwords_that_are_refused(password: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Accounts().add("ada", password)


def _document() -> dict[str, Any]:
    return {
        "version": 1,
        "machine_sid": "S-1-5-21-1-2-3",
        "next_rid": 1001,
        "accounts": [{"name": "ada", "rid": 1000, "nt_hash": "0" * 32, "administrator": True}],
    }


def _write(path: Path, document: Any) -> None:
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    path.chmod(0o600)


def test_the_documented_form_is_read(path: Path) -> None:
    _write(path, _document())
    (account,) = Accounts.load(path).list()
    assert str(account.sid) == "S-1-5-21-1-2-3-1000"


_ADA = _document()["accounts"][0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "version: is 2"),
        ({"version": True}, "version: must be a number"),
        ({"machine_sid": "S-1-5-18"}, "machine_sid: must have the form"),
        ({"machine_sid": "x"}, "machine_sid: 'x' is not"),
        ({"next_rid": 1000}, "next_rid: 1000 must be above"),
        ({"next_rid": "1001"}, "next_rid: must be a number"),
        ({"accounts": {}}, "accounts: must be a list"),
        ({"acounts": []}, "acounts: there is no such field"),
        ({"accounts": [7]}, r"accounts\[0\]: must be an object"),
        ({"accounts": [{}]}, r"accounts\[0\].name: is missing"),
        ({"accounts": [_ADA | {"name": "a\\b"}]}, r"accounts\[0\].name: the account name"),
        ({"accounts": [_ADA | {"rid": 500}]}, r"accounts\[0\].rid: must be from"),
        ({"accounts": [_ADA | {"nt_hash": "0" * 31}]}, r"accounts\[0\].nt_hash: must be 32"),
        ({"accounts": [_ADA | {"nt_hash": nt_hash("").hex()}]}, r"accounts\[0\].nt_hash: .* empty password"),
        ({"accounts": [_ADA | {"administrator": 1}]}, r"accounts\[0\].administrator: must be true or false"),
        ({"accounts": [_ADA | {"password": "x"}]}, r"accounts\[0\].password: there is no such field"),
        ({"accounts": [_ADA, _ADA | {"name": "ADA", "rid": 1001}], "next_rid": 1002}, r"accounts\[1\].name: 'ADA' is"),
        ({"accounts": [_ADA, _ADA | {"name": "bob"}]}, r"accounts\[1\].rid: 1000 is there twice"),
    ],
)
def test_a_wrong_field_is_named(path: Path, change: dict[str, Any], problem: str) -> None:
    _write(path, _document() | change)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Accounts.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")])
def test_a_file_that_is_no_document(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        Accounts.load(path)


def test_nothing_is_logged_of_secrets(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Accounts.load(path, create=True).add("ada", "a-clear-secret")
    assert "a-clear-secret" not in caplog.text
