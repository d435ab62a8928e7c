"""The tree of exceptions: who descends from whom, what they say, and that they survive pickling."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator

import pytest

from openwmi import errors
from openwmi.errors import (
    AccessDenied,
    AuthenticationError,
    CallerError,
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    DecodeError,
    Error,
    InvalidClass,
    InvalidNamespace,
    InvalidObjectPath,
    InvalidParameter,
    InvalidQuery,
    MethodFailed,
    NotFound,
    OperationCancelled,
    PeerError,
    ProtocolError,
    RepositoryDamaged,
    RepositoryInUse,
    RpcFault,
    Stage,
    SyntaxProblem,
    TransportError,
    WbemError,
    during,
    mark,
    stage_of,
)
from openwmi.status import WbemStatus, describe

PARENTS = {
    Error: Exception,
    CallerError: Error,
    WbemError: CallerError,
    SyntaxProblem: CallerError,
    ConfigurationError: CallerError,
    RepositoryDamaged: ConfigurationError,
    RepositoryInUse: ConfigurationError,
    MethodFailed: CallerError,
    PeerError: Error,
    DecodeError: PeerError,
    ProtocolError: PeerError,
    RpcFault: PeerError,
    AuthenticationError: PeerError,
    TransportError: PeerError,
    ConnectError: TransportError,
    ConnectionLost: TransportError,
    DeadlineExceeded: TransportError,
}

CODED = {
    WbemStatus.WBEM_E_ACCESS_DENIED: AccessDenied,
    WbemStatus.WBEM_E_NOT_FOUND: NotFound,
    WbemStatus.WBEM_E_INVALID_PARAMETER: InvalidParameter,
    WbemStatus.WBEM_E_INVALID_OBJECT_PATH: InvalidObjectPath,
    WbemStatus.WBEM_E_INVALID_CLASS: InvalidClass,
    WbemStatus.WBEM_E_INVALID_NAMESPACE: InvalidNamespace,
    WbemStatus.WBEM_E_INVALID_QUERY: InvalidQuery,
    WbemStatus.WBEM_E_CALL_CANCELLED: OperationCancelled,
}

EXAMPLES: list[Error] = [
    Error("something"),
    CallerError("something"),
    WbemError(0x80041045, "four clients at most"),
    *(made("of this case") for made in CODED.values()),
    SyntaxProblem("a key has no value", "Win32_Process.Handle=", 21),
    ConfigurationError("no such file: accounts"),
    RepositoryDamaged("the repository wmi.db cannot be opened"),
    RepositoryInUse("the repository wmi.db is open in another process"),
    MethodFailed("Win32_Process.Terminate", 2),
    PeerError("something"),
    DecodeError("OBJREF.iid", 40, "need 16 bytes, have 9"),
    ProtocolError("a response without a request"),
    RpcFault(0x1C010003, "activation"),
    AuthenticationError("ALICE is not known"),
    TransportError("no route"),
    ConnectError("refused", stage=Stage.CONNECT, status=0x274D),
    ConnectionLost("ended", stage=Stage.CALL),
    DeadlineExceeded("after 5 s", stage=Stage.ACTIVATION),
]


def public() -> Iterator[type[Error]]:
    for name in errors.__all__:
        member = getattr(errors, name)
        if isinstance(member, type) and issubclass(member, Error):
            yield member


@pytest.mark.parametrize(("child", "parent"), PARENTS.items(), ids=lambda cls: cls.__name__)
def test_tree(child, parent):
    assert child.__bases__ == (parent,)


def test_all_lists_every_public_exception():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and not name.startswith("_")
    }
    assert set(errors.__all__) == defined | {"Stage", "during", "mark", "stage_of"}
    assert set(public()) == set(PARENTS) | set(CODED.values())


@pytest.mark.parametrize("branches", [(CallerError, PeerError)])
def test_every_exception_is_on_one_branch(branches):
    for cls in set(public()) - {Error}:
        assert sum(issubclass(cls, branch) for branch in branches) == 1


@pytest.mark.parametrize(("code", "cls"), CODED.items(), ids=lambda v: v.__name__ if isinstance(v, type) else v.name)
def test_of_picks_the_class_of_the_code(code, cls):
    problem = WbemError.of(code, "of this case")
    assert type(problem) is cls
    assert problem.status == code
    assert problem.detail == "of this case"
    assert problem.name == code.name
    assert type(WbemError.of(code - 0x100000000)) is cls


@pytest.mark.parametrize("code", sorted(set(WbemStatus) - set(CODED)), ids=lambda code: code.name)
def test_of_leaves_other_codes_to_the_base(code):
    problem = WbemError.of(code)
    assert type(problem) is WbemError
    assert problem.status == code


def test_status_is_unsigned():
    assert WbemError(-2147217406).status == 0x80041002
    assert RpcFault(-2147417848).status == 0x80010108


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (NotFound("no process 7"), "no process 7 [WBEM_E_NOT_FOUND 0x80041002]"),
        (NotFound(), f"{describe(0x80041002)} [WBEM_E_NOT_FOUND 0x80041002]"),
        (WbemError(0x80041045), f"{describe(0x80041045)} [WBEM_E_SERVER_TOO_BUSY 0x80041045]"),
        (RpcFault(0x1C010003), f"{describe(0x1C010003)} [RPC fault NCA_S_UNK_IF 0x1C010003]"),
        (RpcFault(5, "bind"), "bind [RPC fault ERROR_ACCESS_DENIED 0x00000005]"),
        (DecodeError("OBJREF.iid", 40, "need 16 bytes, have 9"), "OBJREF.iid at offset 40: need 16 bytes, have 9"),
        (SyntaxProblem("a key has no value", "x", 1), "a key has no value"),
    ],
)
def test_text(problem, text):
    assert str(problem) == text


@pytest.mark.parametrize("code", WbemStatus, ids=lambda code: code.name)
def test_text_has_the_name_and_the_number_of_every_code(code):
    text = str(WbemError.of(code))
    assert code.name in text
    assert f"0x{code:08X}" in text
    assert describe(code) in text


def test_a_code_without_a_name_is_shown_by_its_number():
    assert str(WbemError.of(0x8004ABCD, "odd")) == "odd [0x8004ABCD 0x8004ABCD]"


def test_every_exception_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(public())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything(example, protocol):
    loaded = pickle.loads(pickle.dumps(example, protocol))
    assert type(loaded) is type(example)
    assert str(loaded) == str(example)
    assert loaded.args == example.args
    assert vars(loaded) == vars(example)


@pytest.mark.parametrize(
    ("problem", "stage"),
    [
        (Error("x"), None),
        (WbemError(0x80041001), None),
        (InvalidNamespace(), Stage.NAMESPACE),
        (InvalidClass(), Stage.CLASS),
        (WbemError(0x80041004), Stage.PROVIDER),
        (AuthenticationError("x"), Stage.AUTHENTICATION),
        (ProtocolError("x"), Stage.PROTOCOL),
        (DecodeError("x", 0, "y"), Stage.PROTOCOL),
        (ConnectionLost("x"), Stage.CALL),
    ],
)
def test_stage(problem, stage):
    assert stage_of(problem) is stage
    mark(problem, Stage.LOGIN)
    assert problem.stage is (Stage.LOGIN if stage in (None, Stage.CALL) else stage)


async def test_a_deadline_knows_the_stage_in_which_the_time_was_up():
    async def waits():
        async with asyncio.timeout(0):
            with during(Stage.LOGIN), during(Stage.ACTIVATION):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as late:
        await waits()
    assert stage_of(late.value) is Stage.ACTIVATION


def test_the_stage_of_a_deadline_that_names_no_cause() -> None:
    """As those of older Pythons do; nothing else is where another error was handled."""
    for made, stage in ((TimeoutError(), Stage.BIND), (ValueError(), None)):
        cancelled = asyncio.CancelledError()
        mark(cancelled, Stage.BIND)
        made.__context__ = cancelled
        assert stage_of(made) is stage
    hidden = TimeoutError()
    hidden.__cause__ = None
    assert stage_of(hidden) is None


def test_every_stage_has_a_text():
    assert all(stage.text for stage in Stage)
