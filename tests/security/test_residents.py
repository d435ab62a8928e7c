"""Who the users of this machine are to a server on it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from openwmi.security.accounts import Accounts
from openwmi.security.principals import ADMINISTRATORS, LOCAL_SYSTEM, NETWORK
from openwmi.security.residents import is_system, resident, system_name

OTHER = os.geteuid() + 1000
NAMES = {0: "root", OTHER: "ada"}


@pytest.fixture
def accounts() -> Accounts:
    made = Accounts()
    for name in ("ada", "Bob", "root"):
        made.add(name, f"the password of {name}", administrator=name == "Bob")
    return made


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("ada", "ada"),
        ("Bob", "Bob"),
        ("bob", None),  # to the letter, as the system's own names are
        ("ADA", None),
        ("ada@corp.example", None),
        ("CORP\\ada", None),
        ("eve", None),
        ("", None),
        (None, None),
    ],
)
def test_a_user_is_the_account_of_that_name(accounts: Accounts, name: str | None, account: str | None) -> None:
    found = resident(accounts, OTHER, "HOST", name_of={OTHER: name}.get)
    assert (None if found is None else found.account) == account
    if found is not None:
        assert found.name == f"HOST\\{account}"
        assert found.is_administrator == (account == "Bob")
        assert NETWORK not in found.groups
        assert accounts.knows(found)


@pytest.mark.parametrize("user", [0, os.geteuid()])
def test_root_and_the_servers_own_user_are_the_system(accounts: Accounts, user: int) -> None:
    found = resident(accounts, user, "HOST", name_of=NAMES.get)
    assert found is not None
    assert (found.sid, ADMINISTRATORS in found.groups) == (LOCAL_SYSTEM, True)
    assert is_system(user)
    assert not is_system(OTHER)


def test_nobody_comes_in_by_accounts_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    accounts = Accounts.load(path, create=True)
    accounts.add("ada", "the password of ada")
    assert resident(accounts, OTHER, "HOST", name_of=NAMES.get) is not None
    path.write_text("{")
    assert resident(accounts, OTHER, "HOST", name_of=NAMES.get) is None


def test_names_are_the_systems(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_the_table(user: int) -> SimpleNamespace:
        return SimpleNamespace(pw_name=NAMES[user])

    monkeypatch.setattr("pwd.getpwuid", in_the_table)
    assert (system_name(OTHER), system_name(OTHER + 1)) == ("ada", None)
    found = resident(accounts, OTHER, "HOST")
    assert found is not None
    assert found.account == "ada"
    assert resident(accounts, OTHER + 1, "HOST") is None
