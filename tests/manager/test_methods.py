"""ExecMethod (MS-WMI 3.1.4.3.22), and the methods of __SystemSecurity (2.2.30)."""

from __future__ import annotations

from typing import Any

import pytest

from openwmi.cim import Class, Instance
from openwmi.cim.operations import CallingMode, ExecMethod, GetObject
from openwmi.errors import AccessDenied, WbemError
from openwmi.manager import Namespace, ObjectManager
from openwmi.providers import Provider, ProviderCall, method
from openwmi.security.access import NAMESPACE_RIGHTS, AccessRight, default_descriptor
from openwmi.security.descriptor import Ace, AceFlag, Acl, SecurityDescriptor
from openwmi.security.principals import ADMINISTRATORS, AUTHENTICATED_USERS, Sid
from openwmi.security.sddl import format_sddl, parse_sddl
from openwmi.status import WbemStatus
from tests.manager.support import USER, context, grant, run

E = WbemStatus


class Calculator(Provider):
    name = "Calculator"
    mof = """
    [dynamic, provider("Calculator")] class Calc {
        [key] string Name;
        uint32 Add([in] sint32 A, [in] sint32 B, [out] sint32 Sum);
        uint32 Fail();
        [disabled] uint32 Never();
        uint32 Missing();
        [static] uint32 Make([in] string Label, [out] string Result);
        void Nothing();
    };
    class Static { [key] string Name; uint32 Do(); };
    """

    def __init__(self) -> None:
        self.paths: list[str] = []

    @method
    def Add(self, call: ProviderCall, keys: Any, a: int, b: int) -> Any:
        self.paths.append(str(call.path))
        return {"Sum": a + b}

    @method
    def Fail(self, call: ProviderCall, keys: Any) -> Any:
        raise AccessDenied("not today")

    @method
    async def Make(self, call: ProviderCall, keys: Any, label: str = "none") -> Any:
        return {"Result": f"{call.path}/{label}/{dict(keys)}"}

    @method
    def Nothing(self, call: ProviderCall, keys: Any) -> None: ...


@pytest.fixture
async def calculator(manager: ObjectManager) -> Calculator:
    made = Calculator()
    await manager.register(lambda: made, "Calculator", mof=Calculator.mof)
    return made


async def arguments(namespace: Namespace, method_name: str, **values: Any) -> Instance:
    [cls] = await run(namespace, GetObject("Calc"))
    assert isinstance(cls, Class)
    declared = cls.methods[method_name].in_class
    assert declared is not None
    return declared.new(values)


@pytest.mark.requirement(
    "WMI-3.1.4.3.22-01", "WMI-3.1.4.3.22-04", "WMI-3.1.4.3.22-12", "WMI-3.1.4.3.22-28", "WMI-3.1.4.3.22-29",
    "WMI-3.1.4.3.22-30", "WMI-3.1.4.3.23-01", "WMI-3.1.4.3.23-04", "WMI-3.1.4.3.23-12", "WMI-3.1.4.3.23-20",
    "WMI-3.1.4.3.23-21", "WMI-3.1.4.3.23-22",
)  # fmt: skip
@pytest.mark.parametrize("mode", CallingMode)
async def test_out_parameters(cimv2: Namespace, calculator: Calculator, mode: CallingMode) -> None:
    given = await arguments(cimv2, "Add", A=2, B=3)
    [out] = await run(cimv2, ExecMethod("Calc='x'", "ADD", given), context(mode=mode))
    assert isinstance(out, Instance)
    assert (out.class_name, out.to_dict()) == ("__PARAMETERS", {"Sum": 5, "ReturnValue": 0})
    assert calculator.paths == ['Calc.Name="x"']


async def test_a_static_method(cimv2: Namespace, calculator: Calculator) -> None:
    [out] = await run(cimv2, ExecMethod("Calc", "Make"))
    assert isinstance(out, Instance)
    assert out["Result"] == "Calc/none/{}"
    given = await arguments(cimv2, "Make", Label="l")
    [out] = await run(cimv2, ExecMethod("Calc='x'", "Make", given))
    assert isinstance(out, Instance)
    assert out["Result"] == "Calc.Name=\"x\"/l/{'Name': 'x'}"


async def test_a_method_that_returns_nothing(cimv2: Namespace, calculator: Calculator) -> None:
    assert await run(cimv2, ExecMethod("Calc='x'", "Nothing")) == []


@pytest.mark.requirement(
    "WMI-3.1.4.3.22-03", "WMI-3.1.4.3.22-05", "WMI-3.1.4.3.22-13", "WMI-3.1.4.3.22-31", "WMI-3.1.4.3.22-32",
    "WMI-3.1.4.3.22-33", "WMI-3.1.4.3.23-03", "WMI-3.1.4.3.23-05", "WMI-3.1.4.3.23-13", "WMI-3.1.4.3.23-23",
    "WMI-3.1.4.3.23-24", "WMI-3.1.4.3.23-25",
)  # fmt: skip
@pytest.mark.parametrize("mode", CallingMode)
@pytest.mark.parametrize(
    ("path", "name", "parameters", "status"),
    [
        (None, "Add", None, E.WBEM_E_INVALID_PARAMETER),
        ("Calc='x'", None, None, E.WBEM_E_INVALID_PARAMETER),
        ("Calc=", "Add", None, E.WBEM_E_INVALID_OBJECT_PATH),
        ("Calc", "Add", None, E.WBEM_E_INVALID_OBJECT_PATH),
        ("Nothing='x'", "Add", None, E.WBEM_E_INVALID_CLASS),
        ("Calc='x'", "Unknown", None, E.WBEM_E_INVALID_METHOD),
        ("Calc='x'", "get_instance", None, E.WBEM_E_INVALID_METHOD),
        ("Calc='x'", "Never", None, E.WBEM_E_METHOD_DISABLED),
        ("Calc='x'", "Missing", None, E.WBEM_E_METHOD_NOT_IMPLEMENTED),
        ("Static='x'", "Do", None, E.WBEM_E_METHOD_NOT_IMPLEMENTED),
        ("Calc='x'", "Fail", None, E.WBEM_E_ACCESS_DENIED),
        ("Calc='x'", "Fail", {"A": 1}, E.WBEM_E_INVALID_METHOD_PARAMETERS),
        ("Calc='x'", "Make", {"A": 1}, E.WBEM_E_INVALID_METHOD_PARAMETERS),
        ("Calc='x'", "Make", {"A": None}, E.WBEM_S_NO_ERROR),
        ("Calc='x'", "Add", {"A": 1}, E.WBEM_E_PROVIDER_FAILURE),
    ],
)
async def test_a_call_that_fails(
    cimv2: Namespace,
    calculator: Calculator,
    path: str | None,
    name: str | None,
    parameters: dict[str, Any] | None,
    status: int,
    mode: CallingMode,
) -> None:
    given = None if parameters is None else await arguments(cimv2, "Add", **parameters)
    request = ExecMethod(path, name, given)
    if status == E.WBEM_S_NO_ERROR:
        await run(cimv2, request, context(mode=mode))
        return
    with pytest.raises(WbemError) as caught:
        await run(cimv2, request, context(mode=mode))
    assert caught.value.status == status
    assert caught.value.extended is not None
    assert caught.value.extended["Operation"] == "ExecMethod"


async def test_a_parameter_of_another_type(cimv2: Namespace, calculator: Calculator) -> None:
    [cls] = await run(cimv2, GetObject("Calc"))
    assert isinstance(cls, Class)
    label = cls.methods["Make"].in_class
    assert label is not None
    odd = Class("__PARAMETERS", properties=type(label.properties)(
        type(p)("A", p.type) for p in label.properties.each()
    ))  # fmt: skip
    with pytest.raises(WbemError) as caught:
        await run(cimv2, ExecMethod("Calc='x'", "Add", odd.new(A="text")))
    assert caught.value.status == E.WBEM_E_INVALID_METHOD_PARAMETERS


@pytest.mark.parametrize(
    ("rights", "remote", "allowed"),
    [
        (AccessRight.METHOD_EXECUTE, False, True),
        (AccessRight.METHOD_EXECUTE, True, False),
        (AccessRight.METHOD_EXECUTE | AccessRight.REMOTE_ENABLE, True, True),
        (AccessRight.ENABLE | AccessRight.REMOTE_ENABLE | AccessRight.FULL_WRITE, True, False),
    ],
)
async def test_rights(
    manager: ObjectManager,
    cimv2: Namespace,
    calculator: Calculator,
    rights: AccessRight,
    remote: bool,
    allowed: bool,
) -> None:
    await grant(manager, rights)
    ctx = context(USER, remote=remote)
    if allowed:
        await run(cimv2, ExecMethod("Calc", "Make"), ctx)
    else:
        with pytest.raises(AccessDenied):
            await run(cimv2, ExecMethod("Calc", "Make"), ctx)


# -- __SystemSecurity


async def system_security(namespace: Namespace, name: str, ctx: Any = None, **values: Any) -> Instance:
    [cls] = await run(namespace, GetObject("__SystemSecurity"))
    assert isinstance(cls, Class)
    declared = cls.methods[name].in_class
    given = None if declared is None else declared.new(values)
    [out] = await run(namespace, ExecMethod("__SystemSecurity=@", name, given), ctx or context())
    assert isinstance(out, Instance)
    return out


@pytest.mark.requirement("WMI-5.2-04")
async def test_the_security_descriptor(manager: ObjectManager, cimv2: Namespace) -> None:
    out = await system_security(cimv2, "GetSD")
    assert SecurityDescriptor.from_bytes(out["SD"]) == default_descriptor()
    await grant(manager, AccessRight(0), "root")  # whose entries are not inherited
    everybody = Acl((Ace.allow(AUTHENTICATED_USERS, AccessRight.ENABLE | AccessRight.METHOD_EXECUTE),))
    changed = SecurityDescriptor(ADMINISTRATORS, ADMINISTRATORS, everybody)
    assert (await system_security(cimv2, "SetSD", SD=bytes(changed)))["ReturnValue"] == 0
    out = await system_security(cimv2, "GetSD")
    assert SecurityDescriptor.from_bytes(out["SD"]) == changed
    ctx = context(USER)
    assert (await system_security(cimv2, "GetCallerAccessRights", ctx))["rights"] == 3
    for name, values in (("GetSD", {}), ("SetSD", {"SD": bytes(changed)})):
        with pytest.raises(AccessDenied):
            await system_security(cimv2, name, ctx, **values)


def default_entries() -> tuple[Ace, ...]:
    dacl = default_descriptor().dacl
    assert dacl is not None
    return dacl.aces


async def test_the_security_descriptor_as_objects(manager: ObjectManager, cimv2: Namespace) -> None:
    await manager.in_store(manager.set_descriptor, "root", parse_sddl("O:BAG:BAD:(A;CI;DC;;;AU)"))
    out = await system_security(cimv2, "GetSecurityDescriptor")
    assert out["ReturnValue"] == 0
    assert [entry["AccessMask"] for entry in out["Descriptor"]["DACL"]] == [a.mask for a in default_entries()]
    # What is set as bytes and what is set as objects is the same, what the parent hands down included.
    own = parse_sddl("O:BAG:BAD:(D;CI;DC;;;BU)(A;;CCWD;;;WD)S:(AU;SAFA;CC;;;WD)")
    await system_security(cimv2, "SetSD", SD=bytes(own))
    sd = (await system_security(cimv2, "GetSD"))["SD"]
    given = (await system_security(cimv2, "GetSecurityDescriptor"))["Descriptor"]
    await system_security(cimv2, "SetSD", SD=bytes(default_descriptor()))
    assert (await system_security(cimv2, "SetSecurityDescriptor", Descriptor=given))["ReturnValue"] == 0
    assert (await system_security(cimv2, "GetSD"))["SD"] == sd
    assert "(A;CIID;DC;;;AU)" in format_sddl(SecurityDescriptor.from_bytes(sd))


async def test_the_security_descriptor_as_objects_takes_the_same_rights(
    manager: ObjectManager, cimv2: Namespace
) -> None:
    descriptor = (await system_security(cimv2, "GetSecurityDescriptor"))["Descriptor"]
    needed = {"GetSecurityDescriptor": AccessRight.READ_CONTROL, "SetSecurityDescriptor": AccessRight.WRITE_DAC}
    callable_ = AccessRight.ENABLE | AccessRight.METHOD_EXECUTE
    for name, right in needed.items():
        values = {"Descriptor": descriptor} if name.startswith("Set") else {}
        for granted in (AccessRight.READ_CONTROL, AccessRight.WRITE_DAC):
            await grant(manager, callable_ | granted)
            if granted is right:
                await system_security(cimv2, name, context(USER), **values)
            else:
                with pytest.raises(AccessDenied):
                    await system_security(cimv2, name, context(USER), **values)


@pytest.mark.requirement("WMI-2.2.30.2-01")
async def test_setting_a_descriptor_inherits_from_the_parent(manager: ObjectManager, cimv2: Namespace) -> None:
    own = parse_sddl("O:BAG:BAD:(A;;CC;;;WD)")
    await manager.in_store(manager.set_descriptor, "root", parse_sddl("O:BAG:BAD:(A;CI;DC;;;AU)(A;;LC;;;WD)"))
    for _ in range(2):
        await system_security(cimv2, "SetSD", SD=bytes(own))
        out = await system_security(cimv2, "GetSD")
        own = SecurityDescriptor.from_bytes(out["SD"])
        assert format_sddl(own) == "O:BAG:BAD:(A;;CC;;;WD)(A;CIID;DC;;;AU)"
    # The top level has no parent.
    root = await manager.connect("root", context())
    alone = parse_sddl("O:BAG:BAD:(A;CI;CC;;;WD)")
    await system_security(root, "SetSD", SD=bytes(alone))
    assert (await system_security(root, "GetSD"))["SD"] == bytes(alone)


async def test_a_descriptor_that_grows_too_long(manager: ObjectManager, cimv2: Namespace) -> None:
    many = Acl(tuple(Ace.allow(Sid(5, (21, n)), 1, AceFlag.CONTAINER_INHERIT) for n in range(2000)))
    await manager.in_store(manager.set_descriptor, "root", SecurityDescriptor(dacl=many))
    more = SecurityDescriptor(dacl=Acl(tuple(Ace.allow(Sid(5, (22, n)), 1) for n in range(2000))))
    with pytest.raises(WbemError) as caught:
        await system_security(cimv2, "SetSD", SD=bytes(more))
    assert caught.value.status == E.WBEM_E_INVALID_PARAMETER


@pytest.mark.parametrize("name", ["Get9XUserList", "Set9XUserList"])
async def test_what_obsolete_systems_had(cimv2: Namespace, name: str) -> None:
    with pytest.raises(WbemError) as caught:
        await system_security(cimv2, name)
    assert caught.value.status == E.WBEM_E_METHOD_DISABLED


async def test_an_administrator_s_rights(cimv2: Namespace) -> None:
    assert (await system_security(cimv2, "GetCallerAccessRights"))["rights"] & NAMESPACE_RIGHTS == NAMESPACE_RIGHTS


@pytest.mark.parametrize("data", [None, b"", b"\x01\x00\x04\x80", b"\xff" * 100])
async def test_a_descriptor_that_is_none(cimv2: Namespace, data: bytes | None) -> None:
    with pytest.raises(WbemError) as caught:
        await system_security(cimv2, "SetSD", SD=data)
    assert caught.value.status == E.WBEM_E_INVALID_PARAMETER
