"""`--kerberos`: a log-on with tickets instead of a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Serve
from tests.cli.support import Run
from tests.security import kdc


@pytest.fixture
def url(realm: kdc.Realm, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server of the realm, whose user ada has tickets; the URL names no user."""
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{realm.tickets(kdc.USER, tmp_path / 'tickets')}")
    return serve("--keytab", realm.keytab).url.replace("ada@", "")


def test_tickets(url: str, run: Run) -> None:
    done = run("namespaces", "--host", url, "--kerberos", "--service-principal", f"host/{kdc.SERVICE_HOST}")
    assert (done.status, done.err) == (0, "")
    assert "cimv2" in done.out


def test_a_password(url: str, run: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(kdc.PASSWORD)
    given = ("--user", f"{kdc.USER}@{kdc.REALM}", "--password-file", password)
    done = run("namespaces", "--host", url, "--kerberos", "--service-principal", kdc.SERVICE_HOST, *given)
    assert (done.status, done.err) == (0, "")


def test_a_profile(url: str, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "home" / "openwmi" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.lab]\nurl = "{url}"\nkerberos = true\nservice_principal = "{kdc.SERVICE_HOST}"\n')
    done = run("namespaces", "--profile", "lab")
    assert (done.status, done.err) == (0, "")


def test_diagnose(url: str, run: Run) -> None:
    done = run("diagnose", "--timeout", 100, "--json", "--kerberos", "--service-principal", kdc.SERVICE_HOST, url)
    assert done.status == 0
    (check,) = (check for check in json.loads(done.out) if check["stage"] == "authentication")
    assert check["detail"] == "the current user, kerberos, privacy"


def test_an_address_is_no_name(url: str, run: Run) -> None:
    done = run("namespaces", "--host", url, "--kerberos")
    assert done.status == 1
    assert "is an address" in done.err
    assert "service_principal" in done.err
