"""Namespaces as `__NAMESPACE` instances (MS-WMI 3.1.4.18), and what secures them (2.2.30.3, 5.2)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from openwmi.cim import Instance, NameMap, Qualifier
from openwmi.cim.operations import (
    CallContext,
    DeleteInstance,
    EnumerateInstances,
    Flags,
    GetObject,
    PutInstance,
    Request,
)
from openwmi.errors import AccessDenied, InvalidNamespace, WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.manager.system import system_classes
from openwmi.mof import MofErrors
from openwmi.repository import SqliteStore
from openwmi.security.access import AccessRight
from openwmi.security.descriptor import Ace, AceFlag, Acl, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, EVERYONE
from openwmi.security.sddl import format_sddl, parse_sddl
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, context, grant, run

E = WbemStatus


@pytest.fixture
async def root(manager: ObjectManager) -> Namespace:
    return await manager.connect("root", context())


async def namespace_object(root: Namespace, name: Any, **qualifiers: Any) -> Instance:
    [cls] = await run(root, GetObject("__NAMESPACE"))
    made: Instance = cls.new(Name=name)  # type: ignore[union-attr]
    made.qualifiers = NameMap([Qualifier.of(given, value) for given, value in qualifiers.items()])
    return made


async def put(root: Namespace, name: Any, ctx: CallContext | None = None, **qualifiers: Any) -> None:
    await run(root, PutInstance(await namespace_object(root, name, **qualifiers)), ctx)


async def get(root: Namespace, path: str, ctx: CallContext | None = None) -> Any:
    [found] = await run(root, GetObject(path), ctx)
    return found


async def status(root: Namespace, request: Request, ctx: CallContext | None = None) -> int:
    with pytest.raises(WbemError) as caught:
        await run(root, request, ctx)
    return caught.value.status


async def descriptor(manager: ObjectManager, namespace: str) -> str:
    return format_sddl(await manager.in_store(manager.descriptor, namespace))


# -- creating and deleting


@pytest.mark.requirement(
    "WMI-3.1.4.18.1-01", "WMI-3.1.4.18.1-02", "WMI-3.1.4.18.1-03", "WMI-3.1.4.18.1-04", "WMI-3.1.4.18.2-03",
    "WMI-3.1.4.3.13-39", "WMI-3.1.1-12", "WMI-5.2-05",
)  # fmt: skip
async def test_creating(manager: ObjectManager, root: Namespace) -> None:
    await put(root, "new")
    names = {i["Name"] for i in await run(root, EnumerateInstances("__NAMESPACE")) if isinstance(i, Instance)}
    assert names == {"cimv2", "default", "new"}
    new = await root.open_namespace("NEW", context())
    assert new.namespace == "root\\new"
    found = set(manager.store.class_names("root\\new"))
    assert found == set(system_classes())
    for name in found:
        cls = manager.store.get_class("root\\new", name)
        assert cls is not None
        assert cls.provider is None
    assert (await get(new, "__SystemSecurity=@")).relative_path is not None


@pytest.mark.requirement("WMI-3.1.4.18-01")
async def test_namespaces_outlive_the_server(tmp_path: Path) -> None:
    async with ObjectManager(SqliteStore(tmp_path / "r.db")) as manager:
        root = await manager.connect("root", context())
        await put(root, "new", NamespaceSecuritySDDL="O:BAG:BAD:(A;;0x21;;;AU)", RequiresEncryption=True)
        text = '#pragma namespace("new")\nclass T { [key] string N; }; instance of T { N = "x"; };'
        await manager.compile_mof(text.replace('"new"', r'"root\\new"'), "root", context())
        before = await descriptor(manager, "root\\new")
    async with ObjectManager(SqliteStore(tmp_path / "r.db")) as manager:
        new = await manager.connect("root\\new", context())
        assert await get(new, "T='x'")
        assert await descriptor(manager, "root\\new") == before
        assert await manager.in_store(manager.requires_encryption, "root\\new")


@pytest.mark.parametrize(
    ("name", "qualifiers", "status_"),
    [
        ("a b\\c", {}, E.WBEM_E_INVALID_PARAMETER),
        ("cimv2\\below", {}, E.WBEM_E_INVALID_PARAMETER),
        ("cimv2/below", {}, E.WBEM_E_INVALID_PARAMETER),
        ("", {}, E.WBEM_E_INVALID_PARAMETER),
        (None, {}, E.WBEM_E_INVALID_PARAMETER),
        ("n", {"NamespaceSecuritySDDL": "nonsense"}, E.WBEM_E_INVALID_PARAMETER),
        ("n", {"NamespaceSecuritySDDL": 5}, E.WBEM_E_INVALID_QUALIFIER_TYPE),
        ("n", {"RequiresEncryption": "TRUE"}, E.WBEM_E_INVALID_QUALIFIER_TYPE),
    ],
)
async def test_what_cannot_be_created(
    manager: ObjectManager, root: Namespace, name: Any, qualifiers: dict[str, Any], status_: int
) -> None:
    assert await status(root, PutInstance(await namespace_object(root, name, **qualifiers))) == status_
    assert manager.store.namespaces() == ["root", "root\\cimv2", "root\\default"]


@pytest.mark.requirement(
    "WMI-3.1.4.18.4-01", "WMI-3.1.4.18.4-02", "WMI-3.1.4.18.4-03", "WMI-3.1.4.18.4-04", "WMI-3.1.4-14",
)  # fmt: skip
async def test_deleting_takes_everything_below_along(manager: ObjectManager, root: Namespace) -> None:
    await put(root, "new")
    new = await root.open_namespace("new", context())
    await put(new, "below")
    below = await new.open_namespace("below", context())
    await manager.compile_mof("class T { [key] string N; };", "root\\new\\below", context())
    await put(root, "newer")
    newer = await root.open_namespace("newer", context())
    await run(root, DeleteInstance('__NAMESPACE.Name="NEW"'))
    assert [n for n in manager.store.namespaces() if "new" in n] == ["root\\newer"]
    for gone in (new, below):
        assert await status(gone, GetObject("__SystemClass")) == E.WBEM_E_INVALID_NAMESPACE
    assert await get(newer, "__SystemClass")
    assert await status(root, DeleteInstance('__NAMESPACE.Name="new"')) == E.WBEM_E_NOT_FOUND

    # One that is created anew is another: what was open stays closed.
    await put(root, "new")
    assert await status(new, GetObject("__SystemClass")) == E.WBEM_E_INVALID_NAMESPACE
    again = await root.open_namespace("new", context())
    assert await get(again, "__SystemClass")
    with pytest.raises(InvalidNamespace):
        await new.open_namespace("below", context())


@pytest.mark.requirement("WMI-2.2.5-01", "WMI-2.2.5-02")
@pytest.mark.requirement("WMI-3.1.4.18.2-01", "WMI-3.1.4.18.3-01")
async def test_what_is_not_there(root: Namespace) -> None:
    assert await status(root, GetObject('__NAMESPACE="nowhere"')) == E.WBEM_E_NOT_FOUND
    update = PutInstance(await namespace_object(root, "nowhere"))
    assert await status(root, update, context(flags=Flags.UPDATE_ONLY)) == E.WBEM_E_NOT_FOUND
    create = PutInstance(await namespace_object(root, "CIMV2"))
    assert await status(root, create, context(flags=Flags.CREATE_ONLY)) == E.WBEM_E_ALREADY_EXISTS


async def test_the_singletons_stay(root: Namespace) -> None:
    for name in ("__SystemSecurity", "__thisNAMESPACE"):
        assert await status(root, DeleteInstance(f"{name}=@")) == E.WBEM_E_INVALID_OPERATION


# -- descriptors


@pytest.mark.requirement("WMI-3.1.4.18.1-05", "WMI-3.1.4.18.1-06", "WMI-3.1.1-01")
@pytest.mark.parametrize(
    ("given", "effective"),
    [
        ("O:BAG:BAD:(A;;LC;;;AU)", "O:BAG:BAD:(A;;LC;;;AU)(A;CIID;CC;;;WD)"),
        (("O:BAG:BA", "D:(A;;LC;;;AU)"), "O:BAG:BAD:(A;;LC;;;AU)(A;CIID;CC;;;WD)"),
        (
            None,
            "O:BAG:BAD:(A;CI;CCDCLCSWRPWPRCWD;;;BA)(A;CI;CCDCRP;;;NS)(A;CI;CCDCRP;;;LS)(A;CI;CCDCRP;;;AU)"
            "(A;CIID;CC;;;WD)",
        ),
    ],
)
async def test_the_descriptor_of_a_new_namespace(
    manager: ObjectManager, root: Namespace, given: Any, effective: str
) -> None:
    await manager.in_store(manager.set_descriptor, "root", parse_sddl("O:BAG:BAD:(A;CI;CC;;;WD)(A;;DC;;;WD)"))
    await put(root, "new", **({} if given is None else {"NamespaceSecuritySDDL": given}))
    assert await descriptor(manager, "root\\new") == effective


@pytest.mark.requirement("WMI-3.1.4.18.2-02", "WMI-3.1.4.18.3-02", "WMI-3.1.4.18.1-08")
async def test_reading_and_changing(manager: ObjectManager, root: Namespace) -> None:
    await grant(manager, AccessRight(0), "root")  # nothing to inherit
    await put(root, "new", NamespaceSecuritySDDL="O:BAG:BAD:(A;;CC;;;WD)", RequiresEncryption=True)
    found = await get(root, '__NAMESPACE="NEW"')
    assert found["Name"] == "new"
    assert found.qualifiers["NamespaceSecuritySDDL"].value == ("O:BAG:BAD:(A;;CC;;;WD)",)
    assert found.qualifiers["RequiresEncryption"].value is True
    # What is read can be written back, and what is left out stays.
    await run(root, PutInstance(found))
    await put(root, "new")
    assert (await get(root, '__NAMESPACE="new"')).qualifiers == found.qualifiers
    await put(root, "new", NamespaceSecuritySDDL="O:BAG:BAD:(A;;DC;;;WD)", RequiresEncryption=False)
    [changed] = [
        i for i in await run(root, EnumerateInstances("__NAMESPACE")) if isinstance(i, Instance) and i["Name"] == "new"
    ]
    assert changed.qualifiers["NamespaceSecuritySDDL"].value == ("O:BAG:BAD:(A;;DC;;;WD)",)
    assert changed.qualifiers["RequiresEncryption"].value is False


async def test_a_descriptor_that_sddl_cannot_spell(manager: ObjectManager, root: Namespace) -> None:
    foreign = SecurityDescriptor(dacl=Acl((Ace(0x05, 0, data=bytes(8)),), revision=4))
    await manager.in_store(manager.set_descriptor, CIMV2, foreign)
    assert "NamespaceSecuritySDDL" not in (await get(root, '__NAMESPACE="cimv2"')).qualifiers


async def test_a_descriptor_is_only_for_those_who_may_read_it(manager: ObjectManager, root: Namespace) -> None:
    await grant(manager, AccessRight.ENABLE, "root")
    await grant(manager, AccessRight.ENABLE, CIMV2)
    user = context(USER)
    assert "NamespaceSecuritySDDL" not in (await get(root, '__NAMESPACE="cimv2"', user)).qualifiers
    assert (await get(root, "__thisNAMESPACE=@", user))["SECURITY_DESCRIPTOR"] is None
    await grant(manager, AccessRight.ENABLE | AccessRight.READ_CONTROL, "root")
    assert (await get(root, "__thisNAMESPACE=@", user))["SECURITY_DESCRIPTOR"] is not None
    assert "NamespaceSecuritySDDL" not in (await get(root, '__NAMESPACE="cimv2"', user)).qualifiers
    await grant(manager, AccessRight.ENABLE | AccessRight.READ_CONTROL, CIMV2)
    assert "NamespaceSecuritySDDL" in (await get(root, '__NAMESPACE="cimv2"', user)).qualifiers


@pytest.mark.parametrize("qualifiers", [{"NamespaceSecuritySDDL": "D:(A;;GA;;;WD)"}, {"RequiresEncryption": True}])
async def test_changing_a_child_s_security_needs_a_right_there(
    manager: ObjectManager, root: Namespace, qualifiers: dict[str, Any]
) -> None:
    """Who may write in the parent may create children, but not open those that others have locked."""
    await grant(manager, AccessRight.ENABLE | AccessRight.FULL_WRITE, "root")
    user = context(USER)
    await put(root, "mine", user, **qualifiers)
    await grant(manager, AccessRight.ENABLE, CIMV2)
    await put(root, "cimv2", user)  # changes nothing
    with pytest.raises(AccessDenied):
        await put(root, "cimv2", user, **qualifiers)
    await grant(manager, AccessRight.ENABLE | AccessRight.WRITE_DAC, CIMV2)
    await put(root, "cimv2", user, **qualifiers)


# -- RequiresEncryption


@pytest.mark.requirement("WMI-3.1.3-07")
@pytest.mark.requirement("WMI-2.2.30.3-01", "WMI-2.2.30.3-02", "WMI-2.2.32-07", "WMI-3.1.4-34")
@pytest.mark.parametrize("through", ["parent", "singleton"])
async def test_encryption_is_required(manager: ObjectManager, root: Namespace, cimv2: Namespace, through: str) -> None:
    integrity = context(remote=True, level=5)
    assert await get(cimv2, "__SystemClass", integrity)

    async def require(value: bool) -> None:
        if through == "parent":
            await put(root, "cimv2", RequiresEncryption=value)
            return
        security = await get(cimv2, "__SystemSecurity=@")
        security.qualifiers = NameMap([Qualifier.of("RequiresEncryption", value)])
        await run(cimv2, PutInstance(security))

    await require(True)
    assert (await get(cimv2, "__SystemSecurity=@")).qualifiers["RequiresEncryption"].value is True
    assert await status(cimv2, GetObject("__SystemClass"), integrity) == E.WBEM_E_ACCESS_DENIED
    with pytest.raises(AccessDenied):
        await manager.connect(CIMV2, integrity)
    assert await get(cimv2, "__SystemClass", context(remote=True, level=6))
    assert await get(root, "__SystemClass", integrity)
    await require(False)
    assert await get(cimv2, "__SystemClass", integrity)


async def test_encryption_required_by_mof(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.compile_mof("[RequiresEncryption(TRUE)] instance of __SystemSecurity { };", CIMV2, context())
    assert await status(cimv2, GetObject("__SystemClass"), context(remote=True, level=5)) == E.WBEM_E_ACCESS_DENIED
    bad = '[RequiresEncryption("yes")] instance of __SystemSecurity { };'
    with pytest.raises(MofErrors):
        await manager.compile_mof(bad, CIMV2, context())


# -- the audit log


@pytest.mark.parametrize(
    ("flags", "right", "records"),
    [
        (AceFlag.SUCCESSFUL_ACCESS, AccessRight.ENABLE, ["success: HOST\\user at pc: ENABLE in root\\cimv2"]),
        (AceFlag.FAILED_ACCESS, AccessRight.ENABLE, []),
        (AceFlag.FAILED_ACCESS, AccessRight.FULL_WRITE, ["failure: HOST\\user at pc: FULL_WRITE in root\\cimv2"]),
        (AceFlag.SUCCESSFUL_ACCESS, AccessRight.FULL_WRITE, []),
    ],
)
async def test_the_audit_list_is_honoured(
    manager: ObjectManager,
    cimv2: Namespace,
    caplog: pytest.LogCaptureFixture,
    flags: AceFlag,
    right: AccessRight,
    records: list[str],
) -> None:
    await manager.compile_mof("class T { [key] string N; };", CIMV2, context())
    sacl = Acl((Ace(0x02, flags, right, EVERYONE),))
    dacl = Acl((Ace.allow(EVERYONE, AccessRight.ENABLE),))
    secured = SecurityDescriptor(ADMINISTRATORS, ADMINISTRATORS, dacl, sacl)
    await manager.in_store(manager.set_descriptor, CIMV2, secured)
    user = type(USER)(USER.domain, USER.account, USER.sid, USER.groups | {EVERYONE})
    [cls] = await run(cimv2, GetObject("T"))
    from openwmi.cim.operations import PutClass

    with caplog.at_level(logging.INFO, logger="openwmi.audit"):
        with pytest.raises(AccessDenied):
            await run(cimv2, PutClass(cls), context(user, peer="pc"))  # type: ignore[arg-type]
        assert [r.getMessage() for r in caplog.records if r.name == "openwmi.audit"] == records
        caplog.clear()
        connected = await manager.connect(CIMV2, context(user, peer="pc"))
        assert connected.namespace == CIMV2
        connecting = [r.getMessage() for r in caplog.records if r.name == "openwmi.audit"]
        assert connecting == (records if right == AccessRight.ENABLE else [])
