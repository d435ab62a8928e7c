"""Compilations as a whole: what is undone, what is recorded, and what is compiled again (`#pragma autorecover`)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openwmi.cim.operations import GetObject
from openwmi.errors import WbemError
from openwmi.manager import ObjectManager
from openwmi.manager.recovery import RecoveryEntry, RecoveryList
from openwmi.mof import MofErrors, Source
from openwmi.repository import SqliteStore
from openwmi.security.access import ALL_RIGHTS, AccessRight
from openwmi.security.descriptor import Ace, AceFlag, AceType, Acl, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, AUTHENTICATED_USERS, EVERYONE
from openwmi.status import WbemStatus as E
from tests.manager.support import CIMV2, USER, context, run

BELOW = f"{CIMV2}\\below"
DELETE_BELOW = '#pragma deleteinstance("__NAMESPACE.Name=\\"below\\"", FAIL)\n'


@pytest.fixture
async def below(manager: ObjectManager) -> None:
    await manager.in_store(manager.create_namespace, BELOW, None)


@pytest.mark.usefixtures("below")
@pytest.mark.parametrize("fails", [True, False])
async def test_a_compilation_that_is_undone_leaves_connections_alone(manager: ObjectManager, fails: bool) -> None:
    namespace = await manager.connect(BELOW, context())
    text = DELETE_BELOW
    if fails:
        text += '#pragma deleteclass("Nothing", FAIL)\n'
        with pytest.raises(MofErrors):
            await manager.compile_mof(text, CIMV2, context())
        assert await run(namespace, GetObject("__NAMESPACE"))
        # Nor is what was put off done by the next compilation.
        await manager.compile_mof("class Next { };", CIMV2, context())
        assert await run(namespace, GetObject("__NAMESPACE"))
    else:
        await manager.compile_mof(text, CIMV2, context())
        with pytest.raises(WbemError) as caught:
            await run(namespace, GetObject("__NAMESPACE"))
        assert caught.value.status == E.WBEM_E_INVALID_NAMESPACE


@pytest.mark.usefixtures("below")
async def test_a_check_changes_nothing(manager: ObjectManager) -> None:
    namespace = await manager.connect(BELOW, context())
    sources = [
        Source("a", "class A { [key] string K; };"),
        Source(
            "b", 'class B : A { }; instance of B { K = "k"; };\n#pragma deleteinstance("__NAMESPACE=\\"below\\"", FAIL)'
        ),
    ]
    assert await manager.compile_sources(sources, CIMV2, context(), keep=False) == [1, 3]
    assert await run(namespace, GetObject("__NAMESPACE"))
    assert not await manager.in_store(manager.store.get_class, CIMV2, "A")


async def test_compilations_are_in_the_audit_log(manager: ObjectManager, caplog: pytest.LogCaptureFixture) -> None:
    flags = AceFlag.SUCCESSFUL_ACCESS | AceFlag.FAILED_ACCESS
    audited = (Ace(AceType.SYSTEM_AUDIT, flags, int(ALL_RIGHTS), sid) for sid in (EVERYONE, AUTHENTICATED_USERS))
    sacl = Acl(tuple(audited))
    dacl = Acl((Ace.allow(ADMINISTRATORS, ALL_RIGHTS), Ace.allow(USER.sid, AccessRight.ENABLE)))
    descriptor = SecurityDescriptor(ADMINISTRATORS, ADMINISTRATORS, dacl, sacl)
    await manager.in_store(manager.set_descriptor, CIMV2, descriptor)
    with caplog.at_level(logging.INFO, "openwmi.audit"):
        await manager.compile_mof("class Audited { };", CIMV2, context())
        with pytest.raises(MofErrors):
            await manager.compile_mof("class Refused { };", CIMV2, context(USER))
    lines = [record.getMessage() for record in caplog.records if record.name == "openwmi.audit"]
    assert any(line.startswith("success: NT AUTHORITY\\SYSTEM") and "FULL_WRITE" in line for line in lines)
    assert any(line.startswith("failure: HOST\\user") and "FULL_WRITE" in line for line in lines)


# -- the recovery list


@asynccontextmanager
async def managing(path: Path) -> AsyncIterator[ObjectManager]:
    async with ObjectManager(SqliteStore(path), recovery=RecoveryList.beside(path)) as manager:
        await manager.recover()
        yield manager


async def compile_file(manager: ObjectManager, file: Path, text: str, *, keep: bool = True) -> None:
    file.write_text(text)
    await manager.compile_sources([Source(str(file), text)], "root\\default", context(), keep=keep)


async def has(path: Path, *names: str) -> list[str]:
    async with managing(path) as manager:
        store = manager.store
        return [name for name in names if await manager.in_store(store.get_class, "root\\default", name)]


async def test_a_repository_that_is_built_anew_has_them_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "wmi.db"
    async with managing(path) as manager:
        await compile_file(manager, tmp_path / "base.mof", "#pragma autorecover\nclass Base { };")
        await compile_file(manager, tmp_path / "more.mof", "class More : Base { };\n#PRAGMA AutoRecover")
        await compile_file(manager, tmp_path / "not.mof", "// #pragma autorecover\nclass Not { };")
        await compile_file(manager, tmp_path / "gone.mof", "#pragma autorecover\nclass Gone { };")
        await compile_file(manager, tmp_path / "checked.mof", "#pragma autorecover\nclass Checked { };", keep=False)
        await manager.compile_mof("#pragma autorecover\nclass Typed { };", "root\\default", context())
    listed = RecoveryList.beside(path)
    assert listed.path.stat().st_mode & 0o777 == 0o600
    assert listed.entries() == [
        RecoveryEntry(str(tmp_path / name), "root\\default") for name in ("base.mof", "more.mof", "gone.mof")
    ]
    (tmp_path / "gone.mof").unlink()
    names = ("Base", "More", "Not", "Gone", "Checked", "Typed")
    (tmp_path / "base.mof").write_text("class Base { }; class Changed { };")
    assert await has(path, *names, "Changed") == ["Base", "More", "Not", "Gone", "Typed"]
    for file in tmp_path.glob("wmi.db*"):
        if file != listed.path:
            file.unlink()
    with caplog.at_level(logging.WARNING):
        assert await has(path, *names, "Changed") == ["Base", "More", "Changed"]
    assert "gone.mof is not recovered: " in caplog.text


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"version": 2}', '{"version": 1, "files": 5}', '{"version": 1}']
)
async def test_a_list_that_cannot_be_used_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "wmi.db"
    listed = RecoveryList.beside(path)
    listed.path.write_text(text)
    listed.path.chmod(0o600)
    assert await has(path, "Base") == []
    assert "cannot be used" in caplog.text


async def test_a_list_that_others_may_write_to_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "wmi.db"
    async with managing(path) as manager:
        await compile_file(manager, tmp_path / "base.mof", "#pragma autorecover\nclass Base { };")
    RecoveryList.beside(path).path.chmod(0o666)
    path.unlink()
    assert await has(path, "Base") == []
    assert "chmod 600" in caplog.text
