"""Namespaces, connecting, compiling MOF, and the manager's own life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openwmi.cim.operations import DeleteInstance, EnumerateInstances, GetObject, PutInstance, Request
from openwmi.errors import AccessDenied, ConfigurationError, InvalidNamespace, WbemError
from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.manager.class_rules import check_class
from openwmi.manager.extended import NO_PROVIDER
from openwmi.manager.system import system_classes
from openwmi.mof import MofErrors
from openwmi.providers import Provider
from openwmi.repository import MemoryStore, SqliteStore
from openwmi.security.access import AccessRight, default_descriptor
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, SYSTEM, USER, context, grant, run

E = WbemStatus

# -- what a fresh store has


@pytest.mark.requirement("WMI-3.1.1-01")
async def test_a_fresh_store_has_its_namespaces(manager: ObjectManager) -> None:
    assert manager.store.namespaces() == ["root", "root\\cimv2", "root\\default"]
    for name in manager.store.namespaces():
        assert manager.store.descriptor(name) == bytes(default_descriptor())
        assert set(manager.store.class_names(name)) == set(system_classes())


@pytest.mark.requirement("WMI-3.1.1-15")
def test_the_system_classes() -> None:
    """Every class that MS-WMI 2.2.31 lists."""
    listed = """__SystemClass __SystemSecurity __IndicationRelated __Namespace __PARAMETERS __Event __ExtrinsicEvent
        __NamespaceOperationEvent __NamespaceCreationEvent __NamespaceDeletionEvent __NamespaceModificationEvent
        __ClassOperationEvent __ClassCreationEvent __ClassDeletionEvent __ClassModificationEvent
        __InstanceOperationEvent __InstanceCreationEvent __InstanceDeletionEvent __InstanceModificationEvent
        __AggregateEvent __TimerEvent __ExtendedStatus"""
    classes = system_classes()
    assert [name for name in listed.split() if name not in classes] == []
    assert all(cls.is_system for cls in classes.each())


def test_the_system_classes_of_the_public_documentation() -> None:
    listed = """__ACE __AbsoluteTimerInstruction __ArbitratorConfiguration __CIMOMIdentification __CacheControl
        __ConsumerFailureEvent __EventConsumer __EventConsumerProviderCacheControl __EventDroppedEvent __EventFilter
        __EventGenerator __EventProviderCacheControl __EventQueueOverflowEvent __EventSinkCacheControl
        __FilterToConsumerBinding __IntervalTimerInstruction __MethodInvocationEvent __NTLMUser9X __NotifyStatus
        __ObjectProviderCacheControl __PropertyProviderCacheControl __Provider __ProviderHostQuotaConfiguration
        __SecurityDescriptor __SecurityRelatedClass __SystemEvent __TimerInstruction __Trustee __Win32Provider
        __thisNAMESPACE"""
    classes = system_classes()
    assert [name for name in listed.split() if name not in classes] == []
    for cls in classes.each():
        parent = None if cls.superclass is None else classes[cls.superclass]
        check_class(cls, parent)
        if parent is not None:
            assert parent.derive(cls.local) == cls


async def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with ObjectManager(SqliteStore(tmp_path / "repository.db"), server="HOST") as manager:
            if expected == 1:
                await manager.compile_mof("class T { [key] string N; };", CIMV2, context())
            namespace = await manager.connect(CIMV2, context())
            [cls] = await run(namespace, GetObject("T"))
            await run(namespace, PutInstance(cls.new(N=str(expected))))  # type: ignore[union-attr]
            assert len(await run(namespace, EnumerateInstances("T"))) == expected


async def test_an_older_store_gets_the_system_classes_that_it_lacks() -> None:
    store = MemoryStore()
    store.create_namespace("root")
    store.create_namespace("root\\old")
    async with ObjectManager(store) as manager:
        old = await manager.connect("root\\old", context())
        assert await run(old, GetObject("__ExtendedStatus"))


# -- connecting


@pytest.mark.parametrize(
    "name",
    [
        "root\\cimv2", "ROOT/CIMV2", r"\\.\root\cimv2", "//./root/cimv2", r"\\host\root\cimv2",
        r"\\localhost\Root\Cimv2", r"\\10.1.2.3\root\cimv2",
    ],
)  # fmt: skip
async def test_names_of_a_namespace(name: str) -> None:
    async with ObjectManager(MemoryStore(), server="HOST", names=("10.1.2.3",)) as manager:
        assert (await manager.connect(name, context())).namespace == CIMV2


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (None, E.WBEM_E_INVALID_PARAMETER),
        ("", E.WBEM_E_INVALID_NAMESPACE),
        ("root\\nowhere", E.WBEM_E_INVALID_NAMESPACE),
        ("cimv2", E.WBEM_E_INVALID_NAMESPACE),
        ("root\\\\cimv2", E.WBEM_E_INVALID_NAMESPACE),
        (r"\\OTHER\root\cimv2", E.WBEM_E_INVALID_NAMESPACE),
        ("\\\\.\\", E.WBEM_E_INVALID_NAMESPACE),
        ("\\\\", E.WBEM_E_INVALID_NAMESPACE),
        ("root\\" + "x" * 8173, E.WBEM_E_QUOTA_VIOLATION),
    ],
)
async def test_names_of_no_namespace(manager: ObjectManager, name: str | None, status: int) -> None:
    with pytest.raises(WbemError) as caught:
        await manager.connect(name, context())
    assert caught.value.status == status


@pytest.mark.requirement("WMI-3.1.4.1.4-17", "WMI-3.1.4.1.4-18", "WMI-3.1.4.1.4-25")
@pytest.mark.parametrize(
    ("rights", "more", "allowed"),
    [
        (AccessRight.ENABLE, {}, True),
        (AccessRight.METHOD_EXECUTE, {}, False),
        (AccessRight.ENABLE, {"remote": True}, False),
        (AccessRight.ENABLE | AccessRight.REMOTE_ENABLE, {"remote": True}, True),
        (AccessRight.ENABLE | AccessRight.REMOTE_ENABLE, {"remote": True, "level": 4}, False),
    ],
)
@pytest.mark.requirement("WMI-3.1.4.1.4-17", "WMI-3.1.4.1.4-18", "WMI-3.1.4.1.4-25")
async def test_rights_to_connect(
    manager: ObjectManager, rights: AccessRight, more: dict[str, Any], allowed: bool
) -> None:
    await grant(manager, rights)
    if allowed:
        await manager.connect(CIMV2, context(USER, **more))
    else:
        with pytest.raises(AccessDenied):
            await manager.connect(CIMV2, context(USER, **more))


class Stranger:
    """An account that has no SIDs."""

    name = "stranger"

    def __init__(self, is_administrator: bool) -> None:
        self.is_administrator = is_administrator


async def test_an_account_without_sids(manager: ObjectManager) -> None:
    await manager.connect(CIMV2, context(Stranger(True)))
    with pytest.raises(AccessDenied):
        await manager.connect(CIMV2, context(Stranger(False)))


@pytest.mark.requirement("WMI-3.1.4.3.1-01", "WMI-3.1.4.3.1-02", "WMI-3.1.4.3.1-20")
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("cimv2", "root\\cimv2"),
        ("CIMV2", "root\\cimv2"),
        ("root\\cimv2", "root\\cimv2"),
        (r"\\.\root\cimv2", "root\\cimv2"),
        ("root", None),
        ("nowhere", None),
        ("", None),
        (r"\\OTHER\root\cimv2", None),
    ],
)
async def test_opening_a_child_namespace(manager: ObjectManager, path: str, found: str | None) -> None:
    root = await manager.connect("root", context())
    if found is None:
        with pytest.raises(InvalidNamespace):
            await root.open_namespace(path, context())
    else:
        assert (await root.open_namespace(path, context())).namespace == found


@pytest.mark.requirement("WMI-3.1.4.3.1-03")
async def test_opening_needs_rights_and_a_name(manager: ObjectManager) -> None:
    root = await manager.connect("root", context())
    with pytest.raises(AccessDenied):
        await root.open_namespace("cimv2", context(USER, remote=True))
    with pytest.raises(WbemError) as caught:
        await root.open_namespace(None, context())
    assert caught.value.status == E.WBEM_E_INVALID_PARAMETER


# -- MOF


async def test_compiling_is_all_or_nothing(manager: ObjectManager, cimv2: Namespace) -> None:
    good = 'class T { [key] string N; }; instance of T { N = "1"; };'
    bad = 'class U { [key] string N; }; instance of U { N = "1"; }; instance of __Event { };'
    assert await manager.compile_mof(good, CIMV2, context()) == 2
    with pytest.raises(MofErrors) as caught:
        await manager.compile_mof(bad, CIMV2, context(), file="bad.mof")
    assert "bad.mof" in str(caught.value)
    assert caught.value.status == E.WBEM_E_INVALID_CLASS
    with pytest.raises(WbemError):
        await run(cimv2, GetObject("U"))
    with pytest.raises(MofErrors):
        await manager.compile_mof("class {", CIMV2, context())
    assert await manager.compile_mof(good, CIMV2, context()) == 2


async def test_compiling_what_it_created_itself(manager: ObjectManager) -> None:
    text = r"""
    #pragma namespace("\\\\.\\root")
    instance of __NAMESPACE { Name = "mine"; };
    #pragma namespace("\\\\.\\root\\mine")
    class T { [key] string N; };
    class U : T { };
    instance of U { N = "1"; };
    #pragma deleteclass("Gone", NOFAIL)
    #pragma deleteinstance("T.N=\"1\"", FAIL)
    """
    await manager.compile_mof(text, CIMV2, context())
    mine = await manager.connect("root\\mine", context())
    assert await run(mine, EnumerateInstances("T")) == []
    assert await run(mine, GetObject("U"))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('#pragma deleteclass("Gone", FAIL)', E.WBEM_E_NOT_FOUND),
        ('#pragma classflags("createonly")\nclass Old { [key] string N; };', E.WBEM_E_ALREADY_EXISTS),
        ('#pragma classflags("updateonly")\nclass New { [key] string N; };', E.WBEM_E_NOT_FOUND),
        ('#pragma instanceflags("updateonly")\ninstance of Old { N = "2"; };', E.WBEM_E_NOT_FOUND),
        ('#pragma instanceflags("createonly")\ninstance of Old { N = "1"; };', E.WBEM_E_ALREADY_EXISTS),
        ('instance of Dyn { N = "1"; };', E.WBEM_E_NOT_SUPPORTED),
        ('#pragma deleteinstance("Dyn.N=\\"1\\"", FAIL)', E.WBEM_E_NOT_SUPPORTED),
        ('#pragma namespace("root\\\\nowhere")\nclass New { [key] string N; };', E.WBEM_E_INVALID_NAMESPACE),
    ],
)
async def test_mof_that_the_repository_refuses(manager: ObjectManager, text: str, status: int) -> None:
    old = 'class Old { [key] string N; }; instance of Old { N = "1"; };'
    old += '[dynamic, provider("P")] class Dyn { [key] string N; };'
    await manager.compile_mof(old, CIMV2, context())
    with pytest.raises(MofErrors) as caught:
        await manager.compile_mof(text, CIMV2, context())
    assert caught.value.status == status


async def test_compiling_needs_rights(manager: ObjectManager) -> None:
    text = "class T { [key] string N; };"
    for rights in (AccessRight.ENABLE, AccessRight.ENABLE | AccessRight.PARTIAL_WRITE_REP):
        await grant(manager, rights)
        with pytest.raises(MofErrors) as caught:
            await manager.compile_mof(text, CIMV2, context(USER))
        assert caught.value.status == E.WBEM_E_ACCESS_DENIED
    await grant(manager, AccessRight.FULL_WRITE)
    assert await manager.compile_mof(text, CIMV2, context(USER)) == 1


# -- providers


async def test_registering_again_after_a_restart_changes_the_class() -> None:
    """A newer version of a provider declares its class anew."""

    class First(Provider):
        name = "P"
        namespace = "root\\own"
        mof = '[dynamic, provider("P")] class C { [key] string N; };'

    class Second(First):
        mof = '[dynamic, provider("P")] class C { [key] string N; string More; };'

    async with ObjectManager(MemoryStore()) as manager:
        await manager.register(First)
        with pytest.raises(ConfigurationError):
            await manager.register(Second)
        await manager.register(Second, "P2")
        own = await manager.connect("root\\own", context())
        [cls] = await run(own, GetObject("C"))
        assert "More" in cls.properties  # type: ignore[union-attr]


# -- its life


@pytest.mark.requirement("WMI-3.1.1-02", "WMI-3.1.1-11", "WMI-3.1.4-37")
async def test_before_it_is_open_and_after_it_is_closed() -> None:
    manager = ObjectManager(MemoryStore(), server="HOST")
    with pytest.raises(WbemError) as caught:
        await manager.connect(CIMV2, context())
    assert caught.value.status == E.WBEM_E_INITIALIZATION_FAILURE
    await manager.open()
    namespace = await manager.connect(CIMV2, context())
    await manager.close()
    for work in (manager.connect(CIMV2, context()), namespace.start(GetObject("__Event"), context())):
        with pytest.raises(WbemError) as caught:
            await work
        assert caught.value.status == E.WBEM_E_SHUTTING_DOWN


async def test_the_host_s_own_name() -> None:
    import socket

    manager = ObjectManager(MemoryStore())
    assert manager.server == socket.gethostname().partition(".")[0].upper()
    assert manager.is_own_name(socket.gethostname())
    assert not manager.is_own_name("elsewhere")
    manager.store.close()


async def test_a_request_of_an_unknown_kind(cimv2: Namespace) -> None:
    with pytest.raises(WbemError) as caught:
        await cimv2.start(Request(), context())
    assert caught.value.status == E.WBEM_E_NOT_SUPPORTED
    assert caught.value.extended is not None
    assert caught.value.extended["ProviderName"] == NO_PROVIDER


def test_limits_are_windows_own() -> None:
    limits = Limits()
    assert (limits.object_path, limits.query, limits.class_name, limits.login_namespace, limits.requests) == (
        8192, 16384, 4096, 8173, 5000,
    )  # fmt: skip


async def test_an_error_object_of_the_provider_s_own(manager: ObjectManager, cimv2: Namespace) -> None:
    """StatusCode and Description are the provider's, the other properties WMI's."""
    cls = system_classes()["__ExtendedStatus"]
    own = cls.new(StatusCode=77, Description="mine")

    class Failing(Provider):
        name = "Failing"
        mof = '[dynamic, provider("Failing")] class F { [key] string N; };'

        def delete_instance(self, call: Any, keys: Any) -> None:
            call.set_status(0x80041001, "short", extended=own)

    await manager.register(Failing)
    operation = await cimv2.start(DeleteInstance("F='x'"), context(SYSTEM))
    ended = await operation.wait()
    assert ended.status == 0x80041001
    assert ended.extended is not None
    assert ended.extended.to_dict() == {
        "StatusCode": 77,
        "Description": "mine",
        "Operation": "DeleteInstance",
        "ParameterInfo": "F='x'",
        "ProviderName": "Failing",
    }
