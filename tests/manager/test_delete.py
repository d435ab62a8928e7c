"""DeleteInstance (MS-WMI 3.1.4.3.14) but for class hierarchies: what refuses it, what fails it, and what it does."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import Instance, TypedValue
from openwmi.cim.operation import Outcome
from openwmi.cim.operations import CallContext, CallingMode, DeleteInstance, EnumerateInstances, Flags
from openwmi.errors import NotFound, WbemError
from openwmi.manager import Limits, Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall
from openwmi.repository import MemoryStore
from openwmi.security.access import AccessRight
from openwmi.status import WbemStatus
from tests.manager.support import CIMV2, USER, Called, asynchronously, context, grant, raising, run, scripted

SCHEMA = r"""
class Acme_Static { [key] string Name; uint32 Value = 5; };
class Acme_Pair { [key] string A; [key] sint32 B; };
[singleton] class Acme_Only { string Text; };
class Acme_SystemLike : __Provider { };
[dynamic, provider("Dynamics")] class Acme_Dynamic { [key] string Name; };
[dynamic, provider("Nobody")] class Acme_Orphan { [key] string Name; };
instance of Acme_Static { Name = "x"; };
instance of Acme_Static { Name = "back\\slash \"quoted\""; };
instance of Acme_Pair { A = "a"; B = -1; };
instance of Acme_Only { Text = "t"; };
instance of Acme_SystemLike { Name = "p"; };
"""

E = WbemStatus


@pytest.fixture
async def calls(manager: ObjectManager) -> list[Called]:
    """The manager has the schema, and a provider that writes its calls down here."""
    found: list[Called] = []
    await manager.compile_mof(SCHEMA, CIMV2, context())
    await manager.register(scripted("Dynamics", found), "Dynamics")
    return found


async def refused(namespace: Namespace, path: str | None, ctx: CallContext) -> WbemError:
    with pytest.raises(WbemError) as caught:
        await namespace.start(DeleteInstance(path), ctx)
    return caught.value


async def outcome(namespace: Namespace, path: str, ctx: CallContext | None = None) -> Outcome:
    operation = await namespace.start(DeleteInstance(path), ctx or context())
    return await operation.wait()


async def names(namespace: Namespace, class_name: str) -> list[str]:
    found = await run(namespace, EnumerateInstances(class_name))
    return [str(i.relative_path) for i in found if isinstance(i, Instance)]


# -- what refuses the call


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-02", "WMI-3.1.4.3.14-03", "WMI-3.1.4.3.14-26", "WMI-3.1.4.3.15-02", "WMI-3.1.4.3.15-03",
    "WMI-3.1.4.3.15-16", "WMI-3.1.4.3.15-24",
)  # fmt: skip
@pytest.mark.parametrize("mode", CallingMode)
@pytest.mark.parametrize(
    ("path", "status"),
    [
        (None, E.WBEM_E_INVALID_PARAMETER),
        ("", E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Static", E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Only", E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Static.", E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Static.Name=", E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Static.Name="x', E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Static.Name="x",Name="x"', E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Static.Nome="x"', E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Static.Name="x",Value=5', E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Static.Name=TRUE", E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Pair="a"', E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Pair.A="a"', E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Pair.A="a",B=3000000000', E.WBEM_E_INVALID_OBJECT_PATH),
        ("Acme_Static=@", E.WBEM_E_INVALID_OBJECT_PATH),
        ("root\\cimv2", E.WBEM_E_INVALID_OBJECT_PATH),
        ("\\\\.\\root\\cimv2:", E.WBEM_E_INVALID_OBJECT_PATH),
        ('Acme_Nothing.Name="x"', E.WBEM_E_INVALID_CLASS),
        ('Acme_Static.Name="y"', E.WBEM_E_NOT_FOUND),
        ('Acme_Static="y"', E.WBEM_E_NOT_FOUND),
        ('Acme_Pair.A="a",B=1', E.WBEM_E_NOT_FOUND),
        ("A" * 8193, E.WBEM_E_QUOTA_VIOLATION),
        ('root\\default:Acme_Static.Name="x"', E.WBEM_E_NOT_SUPPORTED),
        ('root\\nowhere:Acme_Static.Name="x"', E.WBEM_E_NOT_SUPPORTED),
        ('\\\\OTHER\\root\\cimv2:Acme_Static.Name="x"', E.WBEM_E_NOT_SUPPORTED),
    ],
)
async def test_a_path_that_refuses_the_call(
    cimv2: Namespace, calls: list[Called], path: str | None, status: int, mode: CallingMode
) -> None:
    error = await refused(cimv2, path, context(mode=mode))
    assert (error.status, calls) == (status, [])
    assert error.extended is not None
    assert error.extended["StatusCode"] == status
    assert error.extended["Operation"] == "DeleteInstance"
    assert error.extended["ParameterInfo"] == (path if path is None else path[:4096])


@pytest.mark.requirement("WMI-3.1.4.3.14-27", "WMI-3.1.4.3.15-15")
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("n" * 86, E.WBEM_E_NOT_FOUND),
        ("n" * 87, E.WBEM_E_QUOTA_VIOLATION),
        ("\U0001f600" * 43, E.WBEM_E_NOT_FOUND),
        ("\U0001f600" * 43 + "n", E.WBEM_E_QUOTA_VIOLATION),
    ],
)
async def test_the_length_of_a_path_counts_16_bit_units(name: str, status: int) -> None:
    async with ObjectManager(MemoryStore(), limits=Limits(object_path=100)) as manager:
        await manager.compile_mof(SCHEMA, CIMV2, context())
        cimv2 = await manager.connect(CIMV2, context())
        path = f'Acme_Static="{name}"'
        assert (await refused(cimv2, path, context())).status == status
    assert Limits().object_path == 8192


FLAG_TABLE: list[tuple[CallingMode, int, bool]] = [
    (CallingMode.SYNCHRONOUS, 0, True),
    (CallingMode.SEMISYNCHRONOUS, Flags.RETURN_IMMEDIATELY, True),
    (CallingMode.ASYNCHRONOUS, 0, True),
    (CallingMode.ASYNCHRONOUS, Flags.SEND_STATUS, True),
    *((mode, ignored, True) for mode in CallingMode for ignored in (0x40, 0x1000, 0x1F000, 0x100000, 0x11F040)),
    (CallingMode.SYNCHRONOUS, Flags.SEND_STATUS, False),
    (CallingMode.SEMISYNCHRONOUS, Flags.RETURN_IMMEDIATELY | Flags.SEND_STATUS, False),
    (CallingMode.ASYNCHRONOUS, Flags.RETURN_IMMEDIATELY, False),
    *((mode, Flags.USE_AMENDED_QUALIFIERS, False) for mode in CallingMode),
    *((mode, 1 << bit, False) for mode in CallingMode for bit in (0, 1, 2, 3, 5, 8, 9, 10, 11, 18, 19, 21, 30)),
    (CallingMode.ASYNCHRONOUS, -0x80000000, False),
]


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-04", "WMI-3.1.4.3.14-07", "WMI-3.1.4.3.15-04", "WMI-3.1.4.3.15-07",
)  # fmt: skip
@pytest.mark.parametrize(("mode", "flags", "valid"), FLAG_TABLE)
async def test_flags(cimv2: Namespace, calls: list[Called], mode: CallingMode, flags: int, valid: bool) -> None:
    ctx = context(flags=flags, mode=mode)
    if valid:
        assert (await outcome(cimv2, 'Acme_Static="x"', ctx)).succeeded
        return
    assert (await refused(cimv2, 'Acme_Static="x"', ctx)).status == E.WBEM_E_INVALID_PARAMETER
    assert 'Acme_Static.Name="x"' in await names(cimv2, "Acme_Static")


EVERYTHING = AccessRight.ENABLE | AccessRight.REMOTE_ENABLE | AccessRight.PARTIAL_WRITE_REP


@pytest.mark.requirement("WMI-3.1.4.3.14-19", "WMI-3.1.4.3.15-14")
@pytest.mark.parametrize("mode", CallingMode)
@pytest.mark.parametrize(
    ("rights", "remote", "allowed"),
    [
        (EVERYTHING, True, True),
        (EVERYTHING & ~AccessRight.REMOTE_ENABLE, True, False),
        (EVERYTHING & ~AccessRight.REMOTE_ENABLE, False, True),
        (EVERYTHING & ~AccessRight.ENABLE, True, False),
        (EVERYTHING & ~AccessRight.ENABLE, False, False),
    ],
)
async def test_rights_that_every_call_needs(
    manager: ObjectManager,
    cimv2: Namespace,
    calls: list[Called],
    rights: AccessRight,
    remote: bool,
    allowed: bool,
    mode: CallingMode,
) -> None:
    await grant(manager, rights)
    ctx = context(USER, mode=mode, remote=remote)
    if allowed:
        assert (await outcome(cimv2, 'Acme_Static="x"', ctx)).succeeded
    else:
        error = await refused(cimv2, 'Acme_Static="x"', ctx)
        assert error.status == E.WBEM_E_ACCESS_DENIED
        # Who may not even look is told nothing about what there is.
        assert (await refused(cimv2, 'Acme_Nothing="x"', ctx)).status == E.WBEM_E_ACCESS_DENIED
        assert (await refused(cimv2, None, ctx)).status == E.WBEM_E_ACCESS_DENIED


@pytest.mark.parametrize(("level", "allowed"), [(1, False), (2, False), (4, False), (5, True), (6, True)])
async def test_a_remote_caller_needs_packet_integrity(
    cimv2: Namespace, calls: list[Called], level: int, allowed: bool
) -> None:
    ctx = context(level=level, remote=True)
    if allowed:
        assert (await outcome(cimv2, 'Acme_Static="x"', ctx)).succeeded
    else:
        assert (await refused(cimv2, 'Acme_Static="x"', ctx)).status == E.WBEM_E_ACCESS_DENIED


# -- what fails the operation after it started


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-20", "WMI-3.1.4.3.14-21", "WMI-3.1.4.3.14-22", "WMI-3.1.4.3.15-18", "WMI-3.1.4.3.15-19",
    "WMI-3.1.4.3.15-20",
)  # fmt: skip
@pytest.mark.parametrize("ctx", [context(USER, mode=mode) for mode in CallingMode], ids=lambda c: c.mode.name)
@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ('Acme_Static="x"', AccessRight.PARTIAL_WRITE_REP),
        ('Acme_SystemLike="p"', AccessRight.FULL_WRITE),
        ('Acme_Dynamic="d"', AccessRight.WRITE_PROVIDER),
    ],
)
async def test_rights_by_kind_of_instance(
    manager: ObjectManager, cimv2: Namespace, calls: list[Called], path: str, needed: AccessRight, ctx: CallContext
) -> None:
    writes = AccessRight.PARTIAL_WRITE_REP | AccessRight.FULL_WRITE | AccessRight.WRITE_PROVIDER
    await grant(manager, AccessRight.ENABLE | writes & ~needed)
    denied = await outcome(cimv2, path, ctx)
    assert denied.status == E.WBEM_E_ACCESS_DENIED
    assert denied.extended is not None
    assert denied.extended["StatusCode"] == E.WBEM_E_ACCESS_DENIED
    assert calls == []

    await grant(manager, AccessRight.ENABLE | needed)
    assert (await outcome(cimv2, path, ctx)).succeeded


class Incapable(Provider):
    """Reads, but does not delete."""

    name = "Incapable"
    mof = '[dynamic, provider("Incapable")] class Acme_Incapable { [key] string Name; };'

    def get_instance(self, call: ProviderCall, keys: Any) -> Any:
        return {}


@pytest.mark.requirement("WMI-3.1.4.3.14-23", "WMI-3.1.4.3.14-24", "WMI-3.1.4.3.15-21", "WMI-3.1.4.3.15-22")
@pytest.mark.parametrize("mode", CallingMode)
async def test_a_provider_that_does_not_delete(manager: ObjectManager, cimv2: Namespace, mode: CallingMode) -> None:
    await manager.register(Incapable)
    ended = await outcome(cimv2, 'Acme_Incapable="x"', context(mode=mode))
    assert ended.status == E.WBEM_E_PROVIDER_NOT_CAPABLE
    assert ended.extended is not None
    assert ended.extended["ProviderName"] == "Incapable"


async def test_a_provider_that_is_not_there(cimv2: Namespace, calls: list[Called]) -> None:
    assert (await outcome(cimv2, 'Acme_Orphan="x"')).status == E.WBEM_E_PROVIDER_LOAD_FAILURE


async def test_a_provider_that_cannot_be_loaded(manager: ObjectManager, cimv2: Namespace) -> None:
    def broken() -> Provider:
        raise OSError("no such library")

    mof = '[dynamic, provider("Broken")] class Acme_Broken { [key] string Name; };'
    await manager.register(broken, "Broken", mof=mof)
    ended = await outcome(cimv2, 'Acme_Broken="x"')
    assert ended.status == E.WBEM_E_PROVIDER_LOAD_FAILURE
    assert "no such library" in ended.detail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no such lamp"), E.WBEM_E_NOT_FOUND),
        (WbemError.of(0x80041FFF, "mine"), 0x80041FFF),
        (ValueError("oops"), E.WBEM_E_PROVIDER_FAILURE),
        (SystemExit(3), E.WBEM_E_PROVIDER_FAILURE),
    ],
)
async def test_a_provider_that_fails(
    manager: ObjectManager, cimv2: Namespace, error: BaseException, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    mof = '[dynamic, provider("Failing")] class Acme_Failing { [key] string Name; };'
    await manager.register(scripted("Failing", does=raising(error)), "Failing", mof=mof)
    ended = await outcome(cimv2, 'Acme_Failing="x"')
    assert ended.status == status
    assert ended.extended is not None
    assert ended.extended["ProviderName"] == "Failing"
    if isinstance(error, ValueError):
        assert "oops" in ended.extended["Description"]
        assert "Traceback" in caplog.text


# -- what it does


@pytest.mark.requirement(
    "WMI-3.1.4.3.14-01", "WMI-3.1.4.3.14-25", "WMI-3.1.4.3.15-01", "WMI-3.1.4.3.15-23",
)  # fmt: skip
@pytest.mark.parametrize("ctx", [context(mode=m) for m in CallingMode], ids=lambda c: c.mode.name)
@pytest.mark.parametrize(
    ("path", "class_name", "left"),
    [
        ('Acme_Static.Name="x"', "Acme_Static", 1),
        ('Acme_Static="x"', "Acme_Static", 1),
        ("acme_static.NAME='X'", "Acme_Static", 1),
        (r'Acme_Static="back\\slash \"quoted\""', "Acme_Static", 1),
        (r'\\.\root\cimv2:Acme_Static.Name="x"', "Acme_Static", 1),
        (r'\\HOST\ROOT\CIMV2:Acme_Static.Name="x"', "Acme_Static", 1),
        ('//localhost/root/cimv2:Acme_Static.Name="x"', "Acme_Static", 1),
        (r'root\cimv2:Acme_Static.Name="x"', "Acme_Static", 1),
        ('Acme_Pair.B=-1,A="a"', "Acme_Pair", 0),
        ('Acme_Pair.A="A", B="-1"', "Acme_Pair", 0),
        ("Acme_Only=@", "Acme_Only", 0),
    ],
)
async def test_a_static_instance_is_gone(
    cimv2: Namespace, calls: list[Called], path: str, class_name: str, left: int, ctx: CallContext
) -> None:
    before = len(await names(cimv2, class_name))
    ended = await outcome(cimv2, path, ctx)
    assert (ended.status, ended.extended) == (E.WBEM_S_NO_ERROR, None)
    after = await names(cimv2, class_name)
    assert (before - 1, len(after)) == (left, left)
    assert (await refused(cimv2, path, ctx)).status == E.WBEM_E_NOT_FOUND


async def test_only_the_current_namespace_is_touched(manager: ObjectManager, calls: list[Called]) -> None:
    await manager.compile_mof(SCHEMA, "root\\default", context())
    default = await manager.connect("root\\default", context())
    cimv2 = await manager.connect(CIMV2, context())
    assert (await outcome(default, 'Acme_Static="x"')).succeeded
    assert len(await names(cimv2, "Acme_Static")) == 2


@pytest.mark.requirement("WMI-3.1.4.3.14-08", "WMI-3.1.4.3.15-08")
async def test_the_context_reaches_the_provider(cimv2: Namespace, calls: list[Called]) -> None:
    from openwmi.cim import CimType, DateTime

    values = {
        "Null": TypedValue(None, None),
        "Byte": TypedValue(CimType.UINT8, 200),
        "Short": TypedValue(CimType.SINT16, -5),
        "Long": TypedValue(CimType.SINT32, 7),
        "Float": TypedValue(CimType.REAL32, 0.5),
        "Double": TypedValue(CimType.REAL64, 0.1),
        "Text": TypedValue(CimType.STRING, "\u00e4\U0001f600"),
        "Flag": TypedValue(CimType.BOOLEAN, True),
        "Time": TypedValue(CimType.DATETIME, DateTime("20260131120000.000000+000")),
        "Texts": TypedValue(CimType.STRING, ("a", None, "b"), True),
        "Bytes": TypedValue(CimType.UINT8, b"\0\xff", True),
        "__CorrelationId": TypedValue(CimType.STRING, "{1}"),
    }
    assert (await outcome(cimv2, 'Acme_Dynamic="d"', context(values=values, correlation_id="{1}"))).succeeded
    [called] = calls
    assert dict(called.call.values) == values
    assert called.call.value("SHORT") == -5
    assert called.call.correlation_id == "{1}"
    assert called.call.principal == context().principal
    assert (called.path, called.keys) == ('Acme_Dynamic.Name="d"', {"Name": "d"})


@pytest.mark.requirement("WMI-3.1.4.3.14-09", "WMI-3.1.4.3.15-09")
async def test_no_context_is_no_obstacle(cimv2: Namespace, calls: list[Called]) -> None:
    assert (await outcome(cimv2, 'Acme_Dynamic="d"', context(values={}))).succeeded
    assert dict(calls[0].call.values) == {}


@pytest.mark.requirement(
    "WMI-3.1.4-17", "WMI-3.1.4-18", "WMI-3.1.4-19", "WMI-3.1.4-20", "WMI-3.1.4-21", "WMI-3.1.4-22", "WMI-3.1.4-23"
)
@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, E.WBEM_S_NO_ERROR),
        ({"__ProviderArchitecture": TypedValue.of(64)}, E.WBEM_S_NO_ERROR),
        ({"__providerarchitecture": TypedValue.of(32)}, E.WBEM_S_NO_ERROR),
        (
            {"__ProviderArchitecture": TypedValue.of(32), "__RequiredArchitecture": TypedValue.of(True)},
            E.WBEM_E_PROVIDER_LOAD_FAILURE,
        ),
        ({"__ProviderArchitecture": TypedValue.of(16)}, E.WBEM_E_INVALID_PARAMETER),
        ({"__ProviderArchitecture": TypedValue.of("64")}, E.WBEM_E_INVALID_PARAMETER),
    ],
)
async def test_the_provider_s_architecture(
    manager: ObjectManager, cimv2: Namespace, values: dict[str, TypedValue], status: int
) -> None:
    mof = '[dynamic, provider("Wide")] class Acme_Wide { [key] string Name; };'
    await manager.register(scripted("Wide"), "Wide", mof=mof, architecture=64)
    assert (await outcome(cimv2, 'Acme_Wide="x"', context(values=values))).status == status


@pytest.mark.requirement("WMI-3.1.4.3.14-18", "WMI-3.1.4.3.14-28")
async def test_success_is_no_error(cimv2: Namespace, calls: list[Called]) -> None:
    ended = await outcome(cimv2, 'Acme_Static="x"', context(mode=CallingMode.SYNCHRONOUS))
    assert ended == Outcome(E.WBEM_S_NO_ERROR)


async def test_two_deletions_of_one_instance(cimv2: Namespace, calls: list[Called]) -> None:
    """Both start; the second one finds that the first was quicker."""
    first = await cimv2.start(DeleteInstance('Acme_Static="x"'), asynchronously())
    try:
        second = await cimv2.start(DeleteInstance('Acme_Static="x"'), asynchronously())
    except NotFound:
        return
    ended = [(await first.wait()).status, (await second.wait()).status]
    assert sorted(ended) == [E.WBEM_S_NO_ERROR, E.WBEM_E_NOT_FOUND]
