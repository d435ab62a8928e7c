"""IWbemBackupRestore and IWbemBackupRestoreEx on the wire (MS-WMI 3.1.4.10, 3.1.4.11), activation included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from openwmi.cim import Instance
from openwmi.dcom.importer import Reference, Response
from openwmi.errors import WbemError
from openwmi.rpc.interface import Interface
from openwmi.security.access import ALL_RIGHTS
from openwmi.status import WbemStatus as E
from openwmi.wmi.backup import CLSID_WBEM_BACKUP_RESTORE, IWbemBackupRestore, IWbemBackupRestoreEx
from tests.manager.support import grant
from tests.wire import Machine, connection_of, serving, within


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


@pytest.fixture
async def machine(folder: Path) -> AsyncIterator[Machine]:
    async with serving(backups=folder) as running:
        yield running


BOTH = (IWbemBackupRestore, IWbemBackupRestoreEx)


class Object:
    """The activated object with nothing between it and the test."""

    def __init__(self, link: Any, references: dict[Interface, Reference]) -> None:
        self.link = link
        self.references = references

    async def call(self, interface: Interface, method: str, **values: Any) -> Response:
        """One call; the HRESULT is for the test to judge."""
        link = self.link
        call = link.importer.call(self.references[interface], interface, method, values, reach=link.reach, timeout=10.0)
        response: Response = await within(call)
        return response


async def activated(machine: Machine) -> Object:
    connection = connection_of(await machine.session())
    link = connection._namespaces._link
    port = machine.server.addresses.rpc_port
    iids = tuple(interface.uuid for interface in BOTH)
    found = await link.importer.activate(CLSID_WBEM_BACKUP_RESTORE, iids, link.reach, port, timeout=10.0)
    references = {i: f for i, f in zip(BOTH, found, strict=True) if isinstance(f, Reference)}
    assert len({reference.identity for reference in references.values()}) == 1
    return Object(link, references)


@pytest.mark.requirement("WMI-3.1.4.10-02")
@pytest.mark.requirement("WMI-3.1.4.10-05")
@pytest.mark.requirement("WMI-3.1.4.11-03")
def test_identifiers() -> None:
    assert UUID("{C49E32C6-BC8B-11D2-85D4-00105A1F8304}") == CLSID_WBEM_BACKUP_RESTORE
    assert IWbemBackupRestore.uuid == UUID("{C49E32C7-BC8B-11d2-85D4-00105A1F8304}")
    assert IWbemBackupRestoreEx.uuid == UUID("{A359DEC5-E813-4834-8A2A-BA7F1D777D76}")
    for opnum, name in enumerate(("Backup", "Restore", "Pause", "Resume"), 3):
        assert IWbemBackupRestoreEx[name].opnum == opnum
    assert [IWbemBackupRestore[name].opnum for name in ("Backup", "Restore")] == [3, 4]
    assert IWbemBackupRestore.method(5) is None


@pytest.mark.requirement("WMI-3.2.4.4-01", "WMI-3.1.3-01")
@pytest.mark.requirement("WMI-3.1.4.10-01")
@pytest.mark.requirement("WMI-3.1.4.10-03")
@pytest.mark.requirement("WMI-3.1.4.10-04")
@pytest.mark.requirement("WMI-3.1.4.10.1-05")
@pytest.mark.requirement("WMI-3.1.4.10.1-06")
@pytest.mark.requirement("WMI-3.1.4.10.1-08")
@pytest.mark.requirement("WMI-3.1.4.10.2-07")
@pytest.mark.requirement("WMI-3.1.4.10.2-08")
@pytest.mark.requirement("WMI-3.1.4.11-01")
@pytest.mark.requirement("WMI-3.1.4.11.1-02")
@pytest.mark.requirement("WMI-3.1.4.11.1-03")
@pytest.mark.requirement("WMI-3.1.4.11.1-06")
@pytest.mark.requirement("WMI-3.1.4.11.2-02")
@pytest.mark.requirement("WMI-3.1.4.11.2-03")
async def test_every_method_through_either_interface(machine: Machine, folder: Path) -> None:
    it = await activated(machine)
    for interface in BOTH:
        assert (await it.call(interface, "Backup", file="x.bak", flags=0)).status == E.WBEM_S_NO_ERROR
        assert (folder / "x.bak").stat().st_size > 0
        assert (await it.call(interface, "Restore", file="x.bak", flags=1)).status == E.WBEM_S_NO_ERROR
    assert (await it.call(IWbemBackupRestoreEx, "Pause")).status == E.WBEM_S_NO_ERROR
    assert machine.server.manager.backup.is_server_paused
    assert (await it.call(IWbemBackupRestoreEx, "Resume")).status == E.WBEM_S_NO_ERROR
    assert not machine.server.manager.backup.is_server_paused


@pytest.mark.requirement("WMI-3.1.4.11.1-05")
@pytest.mark.requirement("WMI-3.1.4.11.2-05")
@pytest.mark.parametrize(
    ("method", "values", "status"),
    [
        ("Backup", {"file": "../x", "flags": 0}, E.WBEM_E_INVALID_PARAMETER),
        ("Backup", {"file": "x", "flags": 2}, E.WBEM_E_INVALID_PARAMETER),
        ("Restore", {"file": "none", "flags": 1}, E.WBEM_E_NOT_FOUND),
        ("Pause", {}, E.WBEM_E_CRITICAL_ERROR),
        ("Resume", {}, E.WBEM_E_INVALID_OPERATION),
    ],
)
async def test_failures_have_an_error_object(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, method: str, values: dict[str, Any], status: int
) -> None:
    def settle() -> None:
        raise WbemError.of(E.WBEM_E_CRITICAL_ERROR, "the disk is gone")

    monkeypatch.setattr(machine.server.manager.store, "settle", settle)
    it = await activated(machine)
    response = await it.call(IWbemBackupRestoreEx, method, **values)
    assert response.status == status
    error = it.link.objects.error_of(response.that)
    assert isinstance(error, Instance)
    assert (error["Operation"], error["StatusCode"]) == (method, status)
    assert not machine.server.manager.backup.is_server_paused


@pytest.mark.requirement("WMI-3.2.4.4-01")
async def test_a_session_does_it(machine: Machine, folder: Path) -> None:
    session = await machine.session()
    await session.backup("monday.bak")
    await session.delete_instance('Acme_Static="x"')
    await session.pause()
    with pytest.raises(WbemError, match="paused already"):
        await session.pause()
    await session.resume()
    assert await machine.names() == ["y", "z"]
    await session.restore("monday.bak")
    assert await machine.names() == ["x", "y", "z"]
    with pytest.raises(WbemError) as caught:
        await session.get("Acme_Static")
    assert caught.value.status == E.WBEM_E_INVALID_NAMESPACE
    with pytest.raises(WbemError) as caught:
        await session.restore("tuesday.bak")
    assert caught.value.status == E.WBEM_E_NOT_FOUND
    assert caught.value.detail == "there is no backup tuesday.bak"
    assert [file.name for file in folder.iterdir()] == ["monday.bak"]


async def test_an_ordinary_user_may_not(machine: Machine, folder: Path) -> None:
    await grant(machine.server.manager, ALL_RIGHTS)
    session = await machine.session("user")
    for call in (session.backup("x"), session.restore("x"), session.pause(), session.resume()):
        with pytest.raises(WbemError) as caught:
            await call
        assert caught.value.status == E.WBEM_E_ACCESS_DENIED
    assert list(folder.iterdir()) == []
