"""The table of causes: what it says of which error, and that the documentation's page is what it gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from openwmi.causes import CAUSES, Cause, likely_causes
from openwmi.errors import (
    AccessDenied,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    Error,
    InvalidNamespace,
    NotFound,
    ProtocolError,
    RpcFault,
    Stage,
    mark,
)
from openwmi.status import HResult, WbemStatus, name_of

GENERATOR = Path(__file__).resolve().parent.parent / "tools" / "update_errors.py"

ONCE_A_STAGE = set(Stage) - {Stage.NAMESPACE, Stage.CLASS}  # which fail with one code each


def marked(error: Error, stage: Stage) -> Error:
    mark(error, stage)
    return error


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (ConnectError("x", stage=Stage.RESOLVE, status=HResult.WSAHOST_NOT_FOUND), (Stage.RESOLVE, None)),
        (
            ConnectError("x", stage=Stage.CONNECT, status=HResult.WSAECONNREFUSED),
            (Stage.CONNECT, HResult.WSAECONNREFUSED),
        ),
        (ConnectError("x", stage=Stage.CONNECT), (Stage.CONNECT, None)),
        (AuthenticationError("x"), (Stage.AUTHENTICATION, None)),
        (marked(RpcFault(5), Stage.ACTIVATION), (Stage.ACTIVATION, HResult.ERROR_ACCESS_DENIED)),
        (marked(AccessDenied(), Stage.LOGIN), (Stage.LOGIN, WbemStatus.WBEM_E_ACCESS_DENIED)),
        (AccessDenied(), (None, WbemStatus.WBEM_E_ACCESS_DENIED)),
        (InvalidNamespace(), (None, WbemStatus.WBEM_E_INVALID_NAMESPACE)),
        (ProtocolError("x"), (Stage.PROTOCOL, None)),
    ],
)
def test_the_nearest_row_speaks(error: Error, key: tuple[Stage | None, int | None]) -> None:
    assert likely_causes(error) == CAUSES[key]


@pytest.mark.parametrize("error", [NotFound("there is no x"), ConfigurationError("x"), Error("x"), ValueError("x")])
def test_what_says_it_all_has_no_causes(error: Exception) -> None:
    assert likely_causes(error) == ()


@pytest.mark.parametrize("stage", sorted(ONCE_A_STAGE))
def test_every_stage_has_causes_for_whatever_happens(stage: Stage) -> None:
    assert CAUSES[stage, None]


def test_rows_are_sentences_and_codes_have_names() -> None:
    for (_, code), causes in CAUSES.items():
        assert code is None or not name_of(code).startswith("0x")
        for cause in causes:
            assert isinstance(cause, Cause)
            for text in (cause.cause, cause.remedy):
                assert text
                assert not text.endswith(".")


def test_the_page_is_what_the_tables_give() -> None:
    checked = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
