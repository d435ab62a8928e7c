from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from openwmi.errors import ConfigurationError
from openwmi.providers import discovery
from tests.providers.isolated_support import Bare


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, discovery.GROUP)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        entry("bare", "tests.providers.isolated_support:Bare"),
        entry("twice", "a:b"),
        entry("Twice", "c:d"),
        entry("broken", "no.such.module:Provider"),
        entry("nonsense", "openwmi.providers.discovery:GROUP"),
    ]
    monkeypatch.setattr(discovery, "entry_points", lambda group: entries if group == "openwmi.providers" else [])


def test_an_installed_provider_is_found_by_name() -> None:
    assert discovery.load_installed("BARE") is Bare
    assert [found.name for found in discovery.installed()] == ["bare", "broken", "nonsense", "twice", "Twice"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("unknown", "not installed; installed are: bare, broken"),
        ("twice", "2 packages"),
        ("broken", "cannot be imported: ModuleNotFoundError"),
        ("nonsense", "neither a class nor a function"),
    ],
)
def test_one_that_cannot_be_used(name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        discovery.load_installed(name)
