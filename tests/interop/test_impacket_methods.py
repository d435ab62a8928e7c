"""Every method of impacket's wrappers that can work against any server, each as impacket sends it.

Its asynchronous ones cannot: they leave the sink out of the stub, and a server can only say so.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from impacket.dcerpc.v5 import dcomrt
from impacket.dcerpc.v5.dcom import wmi
from impacket.dcerpc.v5.dtypes import NULL
from impacket.dcerpc.v5.rpcrt import DCERPCException

from openwmi.status import HResult
from openwmi.status import WbemStatus as E
from tests.manager.support import context
from tests.wire import HOST, Machine

from .test_impacket import code_of, fetch, logged_on, machine, run

__all__ = ["machine"]

RETURN_IMMEDIATELY = 0x10
FORWARD_ONLY = 0x30  # with RETURN_IMMEDIATELY
X = 'Acme_Static.Name="x"'
QUERY = "SELECT * FROM Acme_Static"
EVENTS = "SELECT * FROM __InstanceDeletionEvent"


def status(done: Any) -> int:
    """What a method's call result says, once it is there."""
    return int(done.GetCallStatus(0xFFFFFFFF)) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("DeleteClass", ("Acme_Pair", 0)),
        ("DeleteClass", ("Acme_Pair", RETURN_IMMEDIATELY)),
        ("DeleteInstance", (X, 0)),
        ("DeleteInstance", (X, RETURN_IMMEDIATELY)),
    ],
)
async def test_methods_with_a_call_result(machine: Machine, method: str, arguments: tuple[Any, ...]) -> None:
    gone = str(arguments[0])

    def work(opened: Any) -> tuple[int, int]:
        done = status(getattr(opened, method)(*arguments))
        with pytest.raises(wmi.DCERPCSessionError) as caught:
            opened.GetObject(gone)
        return done, code_of(caught.value)

    assert await run(work) == (E.WBEM_S_NO_ERROR, E.WBEM_E_NOT_FOUND)


@pytest.mark.parametrize("flags", [0, RETURN_IMMEDIATELY])
async def test_puts(machine: Machine, flags: int) -> None:
    def work(opened: Any) -> tuple[int, int, int]:
        cls, _ = opened.GetObject("Acme_Static")
        put_class = status(opened.PutClass(cls.marshalMe(), flags))
        made = cls.SpawnInstance()
        made.Name, made.Value = "put", 7
        put_instance = status(opened.PutInstance(made.marshalMe(), flags))
        return put_class, put_instance, opened.GetObject('Acme_Static.Name="put"')[0].Value

    assert await run(work) == (E.WBEM_S_NO_ERROR, E.WBEM_S_NO_ERROR, 7)


@pytest.mark.parametrize("flags", [0, RETURN_IMMEDIATELY, FORWARD_ONLY])
@pytest.mark.parametrize(("method", "argument"), [("ExecQuery", QUERY), ("CreateInstanceEnum", "Acme_Static")])
async def test_enumerations(machine: Machine, method: str, argument: str, flags: int) -> None:
    found = await run(lambda opened: fetch(getattr(opened, method)(argument, flags)))
    assert [row["Name"]["value"] for row in found] == ["x", "y", "z"]


async def test_classes_are_enumerated(machine: Machine) -> None:
    def work(opened: Any) -> set[str]:
        answer = opened.CreateClassEnum("", 1)  # WBEM_FLAG_SHALLOW; impacket gives the bare answer back
        reference = dcomrt.INTERFACE(
            opened.get_cinstance(), b"".join(answer["ppEnum"]["abData"]), opened.get_ipidRemUnknown(), target=HOST
        )
        found = wmi.IEnumWbemClassObject(reference, opened)
        names = set()
        with suppress(wmi.DCERPCSessionError):  # WBEM_S_FALSE, which is the end
            while True:
                names.add(found.Next(0xFFFFFFFF, 1)[0].getClassName())
        return names

    assert {"Acme_Static", "Acme_Pair", "Acme_Only", "__SystemClass"} <= await run(work)


async def test_a_namespace_is_opened(machine: Machine) -> None:
    await machine.server.manager.compile_mof('instance of __NAMESPACE { Name = "child"; };', "root\\cimv2", context())

    def work(opened: Any) -> int:
        return int(opened.OpenNamespace("child")["ErrorCode"])

    assert await run(work) == E.WBEM_S_NO_ERROR


async def test_methods_of_a_class(machine: Machine) -> None:
    def work(opened: Any) -> int:
        return int(opened.ExecMethod("Win32_Process", "Create").ReturnValue)

    assert await run(work) == 21, "no command line: an invalid parameter"


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("OpenNamespace", ("nowhere",), E.WBEM_E_INVALID_NAMESPACE),
        ("CancelAsyncCall", (NULL,), E.WBEM_E_INVALID_PARAMETER),
        ("PutClass", (NULL,), E.WBEM_E_INVALID_PARAMETER),
        ("PutInstance", (NULL,), E.WBEM_E_INVALID_PARAMETER),
        ("ExecQuery", ("SELECT FROM",), E.WBEM_E_INVALID_QUERY),
        ("ExecMethod", ("Win32_Process", "Nothing"), E.WBEM_E_INVALID_METHOD),
        # What belongs to events is not there yet.
        ("QueryObjectSink", (), E.WBEM_E_NOT_SUPPORTED),
        ("ExecNotificationQuery", (EVENTS, FORWARD_ONLY), E.WBEM_E_NOT_SUPPORTED),
    ],
)
async def test_refusals(machine: Machine, method: str, arguments: tuple[Any, ...], expected: int) -> None:
    def work(opened: Any) -> int:
        with pytest.raises(wmi.DCERPCSessionError) as caught:
            getattr(opened, method)(*arguments)
        return code_of(caught.value)

    assert await run(work) == expected


@pytest.mark.parametrize(
    "method",
    ["GetObjectAsync", "DeleteClassAsync", "DeleteInstanceAsync", "CreateClassEnumAsync", "CreateInstanceEnumAsync",
     "ExecQueryAsync", "ExecNotificationQueryAsync"],
)  # fmt: skip
async def test_what_lacks_its_sink_is_no_call(machine: Machine, method: str) -> None:
    def work(opened: Any) -> str:
        with pytest.raises(DCERPCException) as caught:
            getattr(opened, method)(X)
        return str(caught.value)

    assert await run(work) == "rpc_x_bad_stub_data"
    assert await machine.names() == ["x", "y", "z"]


async def test_the_log_on(machine: Machine) -> None:
    def work() -> dict[str, int]:
        with logged_on() as login:
            told: dict[str, int] = {"EstablishPosition": login.EstablishPosition()}
            for method in ("RequestChallenge", "WBEMLogin"):
                with pytest.raises(wmi.DCERPCSessionError) as caught:
                    getattr(login, method)()
                told[method] = code_of(caught.value)
            return told

    assert await asyncio.wait_for(asyncio.to_thread(work), 60) == {
        "EstablishPosition": 1, "RequestChallenge": E.WBEM_E_NOT_SUPPORTED, "WBEMLogin": HResult.E_NOTIMPL
    }  # fmt: skip
