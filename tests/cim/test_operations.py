"""The requests: which flags each takes, and which it ignores (MS-WMI 2.2.5, 2.2.6, 3.1.4.3)."""

from __future__ import annotations

import dataclasses

import pytest

from openwmi.cim import operations
from openwmi.cim.operations import (
    IGNORED_FLAGS,
    CallContext,
    CallingMode,
    DeleteClass,
    DeleteInstance,
    EnumerateClasses,
    EnumerateInstances,
    ExecMethod,
    ExecQuery,
    Flags,
    GetObject,
    PutClass,
    PutInstance,
    Request,
)

REQUESTS = [
    (GetObject, "GetObject", 0x20200, False),
    (PutClass, "PutClass", 0x20063, False),
    (DeleteClass, "DeleteClass", 0, False),
    (EnumerateClasses, "CreateClassEnum", 0x20021, True),
    (PutInstance, "PutInstance", 0x20003, False),
    (DeleteInstance, "DeleteInstance", 0, False),
    (EnumerateInstances, "CreateInstanceEnum", 0x20321, True),
    (ExecQuery, "ExecQuery", 0x20322, True),
    (ExecMethod, "ExecMethod", 0, False),
]


@pytest.mark.parametrize(("request_", "method", "flags", "many"), REQUESTS)
def test_requests(request_: type[Request], method: str, flags: int, many: bool) -> None:
    assert int(request_.FLAGS) == flags
    assert method == request_.METHOD
    assert many is request_.RETURNS_MANY
    assert not request_.FLAGS & request_.IGNORED


def test_the_table_has_every_request() -> None:
    public = {getattr(operations, name) for name in operations.__all__}
    found = {item for item in public if isinstance(item, type) and issubclass(item, Request)}
    assert {row[0] for row in REQUESTS} == found - {Request}


def test_ignored_flags() -> None:
    assert IGNORED_FLAGS == 0x11F040
    assert PutClass.IGNORED == 0x11F000
    assert not any(mode.value & IGNORED_FLAGS for mode in CallingMode)


def test_calling_modes_are_their_flags() -> None:
    assert [mode.value for mode in CallingMode] == [0, Flags.RETURN_IMMEDIATELY, Flags.SEND_STATUS]


def test_requests_and_contexts_do_not_change() -> None:
    request = DeleteInstance("C.K=1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.path = "D.K=1"  # type: ignore[misc]
    assert request == DeleteInstance("C.K=1")
    context = CallContext(principal=None)  # type: ignore[arg-type]
    assert (context.level, context.flags, context.timeout, dict(context.values)) == (6, 0, None, {})
    with pytest.raises(TypeError):
        context.values["x"] = None  # type: ignore[index]


def test_all_is_what_there_is() -> None:
    assert all(hasattr(operations, name) for name in operations.__all__)
    assert ExecQuery("SELECT").language == "WQL"
    assert ExecMethod("C", "M").parameters is None
