"""The package as users import it."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import openwmi
import openwmi.errors

HEAVY = ("asyncio", "spnego", "psutil", "typer", "rich", "sqlite3", "openwmi.cim", "openwmi.status")


def test_all_is_reality() -> None:
    for name in openwmi.__all__:
        assert getattr(openwmi, name) is not None
    assert set(openwmi.__all__) <= set(dir(openwmi))
    assert sorted(openwmi.__all__) == sorted(set(openwmi.__all__))


def test_lazy_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(openwmi.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name != "aio"
    }
    assert seen == openwmi._HOME
    assert {*seen, "aio", "__version__"} == set(openwmi.__all__)


def test_every_exception_is_there_with_its_stages() -> None:
    exceptions = {name for name in openwmi.errors.__all__ if isinstance(getattr(openwmi.errors, name), type)}
    assert exceptions <= set(openwmi.__all__)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        openwmi.nothing  # noqa: B018


def test_import_is_light() -> None:
    code = f"import sys, openwmi; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def _public_modules() -> list[str]:
    root = Path(openwmi.__file__).parent
    return sorted(
        ".".join(("openwmi", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for path in root.rglob("*.py")
        if path.name != "__main__.py"
    )


@pytest.mark.parametrize("name", _public_modules())
def test_all_of_every_module_is_reality(name: str) -> None:
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.{public}"


def test_every_module_has_its_contract() -> None:
    for name in _public_modules():
        assert importlib.import_module(name).__doc__, name
