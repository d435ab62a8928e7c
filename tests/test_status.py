"""The status table: what its rows promise, and that the module is what the table gives."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwmi import status
from openwmi.status import HResult, MIResult, WbemStatus, describe, mi_result_of, name_of, succeeded

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tools" / "status.tsv"
GENERATOR = ROOT / "tools" / "update_status.py"

ALIASES = {
    "WBEM_S_SAME": WbemStatus.WBEM_S_NO_ERROR,
    "RPC_X_SS_CONTEXT_MISMATCH": HResult.ERROR_INVALID_HANDLE,
}


def table() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_module_is_what_the_table_gives():
    checked = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def generator_with(tmp_path: Path, table_text: str, module_text: str = "") -> Path:
    """A copy of the generator in a tree of its own, with another table."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "src" / "openwmi").mkdir(parents=True)
    copy = tmp_path / "tools" / GENERATOR.name
    copy.write_bytes(GENERATOR.read_bytes())
    (tmp_path / "tools" / TABLE.name).write_text(table_text, encoding="utf-8")
    (tmp_path / "src" / "openwmi" / "status.py").write_text(module_text, encoding="utf-8")
    return copy


def test_a_stale_module_is_found_and_left_alone(tmp_path):
    copy = generator_with(tmp_path, TABLE.read_text(encoding="utf-8"), "stale")
    checked = subprocess.run([sys.executable, copy, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert "stale" in checked.stderr
    assert (tmp_path / "src" / "openwmi" / "status.py").read_text(encoding="utf-8") == "stale"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("WbemStatus\tWBEM_E_X\t0x80041001\t-\tx", "taken by WBEM_E_FAILED"),
        ("WbemStatus\tWBEM_E_FAILED\t0x80049999\t-\tx", "the name is taken"),
        ("WbemStatus\tWBEM_E_X\t0x80041001\t-\talias of WBEM_E_OTHER", "an alias names the first row"),
        ("WbemStatus\tWBEM_E_X\t0x80049999\tMI_RESULT_X\tx", "no MI result MI_RESULT_X"),
        ("WbemStatus\tWBEM_E_X\t0x180041001\t-\tx", "32 bits"),
        ("WbemStatus\tWBEM_E_X\tmany\t-\tx", "invalid literal"),
        ("WbemStatus\twbem_e_x\t0x80049999\t-\tx", "not a name"),
        ("WbemStatus\tWBEM_E_X\t0x80049999\t-\tends.", "full stop"),
        ("WbemStatus\tWBEM_E_X\t0x80049999\t-\t" + "x" * 92, "91 characters"),
        ("WbemStatus\tWBEM_E_X\t0x80049999\t-\t", "5 cells"),
        ("Other\tWBEM_E_X\t0x80049999\t-\tx", "no enumeration Other"),
        ("HResult\tERROR_X\t0x00000099\t-\tx", "needs its MI result"),
    ],
)
def test_a_mistake_in_the_table_names_its_line(tmp_path, row, problem):
    text = "enum\tname\tvalue\tmi_result\ttext\nWbemStatus\tWBEM_E_FAILED\t0x80041001\t-\tfailed\n" + row + "\n"
    copy = generator_with(tmp_path, text)
    ran = subprocess.run([sys.executable, copy], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("status.tsv:3: ")
    assert problem in ran.stderr


def test_every_row_is_a_member_with_its_value():
    for row in table():
        member = getattr(status, row["enum"])[row["name"]]
        assert member == int(row["value"], 16)


@pytest.mark.parametrize("enum", [WbemStatus, HResult, MIResult])
def test_no_value_has_two_names_but_for_the_documented_aliases(enum):
    aliases = {name: member for name, member in enum.__members__.items() if name != member.name}
    assert aliases == {name: member for name, member in ALIASES.items() if isinstance(member, enum)}


@pytest.mark.parametrize("code", [*WbemStatus, *HResult], ids=lambda code: code.name)
def test_every_code_has_a_text_and_a_name(code):
    assert describe(code) != "unknown status"
    assert name_of(code) == code.name or WbemStatus(code).name == name_of(code)


def test_every_mi_result_has_a_text():
    assert all(result.text for result in MIResult)


def test_texts_are_sentences_of_one_line():
    for text in [describe(code) for code in (*WbemStatus, *HResult)] + [result.text for result in MIResult]:
        assert text == text.strip()
        assert not text.endswith(".")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0x00000000, "WBEM_S_NO_ERROR"),
        (0x00000001, "WBEM_S_FALSE"),
        (0x00040004, "WBEM_S_TIMEDOUT"),
        (0x00040010, "WBEM_S_PARTIAL_RESULTS"),
        (0x000400FF, "WBEM_S_NEW_STYLE"),
        (0x80004001, "E_NOTIMPL"),
        (0x80041001, "WBEM_E_FAILED"),
        (0x80041002, "WBEM_E_NOT_FOUND"),
        (0x80041003, "WBEM_E_ACCESS_DENIED"),
        (0x80041008, "WBEM_E_INVALID_PARAMETER"),
        (0x8004100E, "WBEM_E_INVALID_NAMESPACE"),
        (0x80041010, "WBEM_E_INVALID_CLASS"),
        (0x80041013, "WBEM_E_PROVIDER_LOAD_FAILURE"),
        (0x80041017, "WBEM_E_INVALID_QUERY"),
        (0x80041024, "WBEM_E_PROVIDER_NOT_CAPABLE"),
        (0x80041032, "WBEM_E_CALL_CANCELLED"),
        (0x8004103A, "WBEM_E_INVALID_OBJECT_PATH"),
        (0x80041064, "WBEM_E_LOCAL_CREDENTIALS"),
        (0x80041069, "WBEM_E_TIMED_OUT"),
        (0x8004106C, "WBEM_E_QUOTA_VIOLATION"),
        (0x8004106F, "WBEM_E_UNSUPPORTED_LOCALE"),
        (0x80041080, "WBEM_E_INVALID_LOCALE"),
        (0x80041088, "WBEM_E_PROVIDER_TIMED_OUT"),
        (0x8004108A, "WBEM_E_PROVIDER_DISABLED"),
        (0x80042002, "WBEM_E_REGISTRATION_TOO_PRECISE"),
        (0x80044001, "WBEMMOF_E_EXPECTED_QUALIFIER_NAME"),
        (0x80044031, "WBEMMOF_E_INVALID_DELETECLASS_SYNTAX"),
        (0x80070005, "E_ACCESSDENIED"),
        (0x80010108, "RPC_E_DISCONNECTED"),
        (0x80010110, "RPC_E_VERSION_MISMATCH"),
        (0x80010113, "RPC_E_INVALID_IPID"),
        (0x80010114, "RPC_E_INVALID_OBJECT"),
        (0x8001011D, "RPC_E_INVALID_OBJREF"),
        (0x80040154, "REGDB_E_CLASSNOTREG"),
        (2, "ERROR_FILE_NOT_FOUND"),
        (5, "ERROR_ACCESS_DENIED"),
        (1717, "RPC_S_UNKNOWN_IF"),
        (1722, "RPC_S_SERVER_UNAVAILABLE"),
        (1733, "RPC_S_INVALID_TAG"),
        (1783, "RPC_X_BAD_STUB_DATA"),
        (1910, "OR_INVALID_OXID"),
        (1911, "OR_INVALID_OID"),
        (1912, "OR_INVALID_SET"),
        (0x1C010002, "NCA_S_OP_RNG_ERROR"),
        (0x1C010003, "NCA_S_UNK_IF"),
        (0x1C01000B, "NCA_S_PROTO_ERROR"),
        (0x1C00001A, "NCA_S_FAULT_CONTEXT_MISMATCH"),
        (0x80041FFF, "0x80041FFF"),
        (0x0000ABCD, "0x0000ABCD"),
        (-2147217406, "WBEM_E_NOT_FOUND"),
        (-2147217405, "WBEM_E_ACCESS_DENIED"),
        (-2147417848, "RPC_E_DISCONNECTED"),
        (-1, "0xFFFFFFFF"),
    ],
)
def test_name_of(code, name):
    assert name_of(code) == name


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (WbemStatus.WBEM_S_NO_ERROR, MIResult.MI_RESULT_OK),
        (WbemStatus.WBEM_S_FALSE, MIResult.MI_RESULT_OK),
        (WbemStatus.WBEM_S_PARTIAL_RESULTS, MIResult.MI_RESULT_OK),
        (WbemStatus.WBEM_E_FAILED, MIResult.MI_RESULT_FAILED),
        (WbemStatus.WBEM_E_NOT_FOUND, MIResult.MI_RESULT_NOT_FOUND),
        (WbemStatus.WBEM_E_ACCESS_DENIED, MIResult.MI_RESULT_ACCESS_DENIED),
        (WbemStatus.WBEM_E_INVALID_NAMESPACE, MIResult.MI_RESULT_INVALID_NAMESPACE),
        (WbemStatus.WBEM_E_INVALID_PARAMETER, MIResult.MI_RESULT_INVALID_PARAMETER),
        (WbemStatus.WBEM_E_INVALID_OBJECT_PATH, MIResult.MI_RESULT_INVALID_PARAMETER),
        (WbemStatus.WBEM_E_INVALID_CLASS, MIResult.MI_RESULT_INVALID_CLASS),
        (WbemStatus.WBEM_E_INVALID_SUPERCLASS, MIResult.MI_RESULT_INVALID_SUPERCLASS),
        (WbemStatus.WBEM_E_NOT_SUPPORTED, MIResult.MI_RESULT_NOT_SUPPORTED),
        (WbemStatus.WBEM_E_PROVIDER_NOT_CAPABLE, MIResult.MI_RESULT_NOT_SUPPORTED),
        (WbemStatus.E_NOTIMPL, MIResult.MI_RESULT_NOT_SUPPORTED),
        (WbemStatus.WBEM_E_CLASS_HAS_CHILDREN, MIResult.MI_RESULT_CLASS_HAS_CHILDREN),
        (WbemStatus.WBEM_E_CLASS_HAS_INSTANCES, MIResult.MI_RESULT_CLASS_HAS_INSTANCES),
        (WbemStatus.WBEM_E_ALREADY_EXISTS, MIResult.MI_RESULT_ALREADY_EXISTS),
        (WbemStatus.WBEM_E_INVALID_PROPERTY, MIResult.MI_RESULT_NO_SUCH_PROPERTY),
        (WbemStatus.WBEM_E_TYPE_MISMATCH, MIResult.MI_RESULT_TYPE_MISMATCH),
        (WbemStatus.WBEM_E_INVALID_QUERY_TYPE, MIResult.MI_RESULT_QUERY_LANGUAGE_NOT_SUPPORTED),
        (WbemStatus.WBEM_E_INVALID_QUERY, MIResult.MI_RESULT_INVALID_QUERY),
        (WbemStatus.WBEM_E_UNPARSABLE_QUERY, MIResult.MI_RESULT_INVALID_QUERY),
        (WbemStatus.WBEM_E_METHOD_NOT_IMPLEMENTED, MIResult.MI_RESULT_METHOD_NOT_AVAILABLE),
        (WbemStatus.WBEM_E_METHOD_DISABLED, MIResult.MI_RESULT_METHOD_NOT_AVAILABLE),
        (WbemStatus.WBEM_E_INVALID_METHOD, MIResult.MI_RESULT_METHOD_NOT_FOUND),
        (WbemStatus.WBEM_E_QUOTA_VIOLATION, MIResult.MI_RESULT_SERVER_LIMITS_EXCEEDED),
        (WbemStatus.WBEM_E_SHUTTING_DOWN, MIResult.MI_RESULT_SERVER_IS_SHUTTING_DOWN),
        (WbemStatus.WBEM_E_PROVIDER_LOAD_FAILURE, MIResult.MI_RESULT_FAILED),
        (HResult.E_ACCESSDENIED, MIResult.MI_RESULT_ACCESS_DENIED),
        (HResult.ERROR_ACCESS_DENIED, MIResult.MI_RESULT_ACCESS_DENIED),
        (0x800706D1, MIResult.MI_RESULT_NOT_SUPPORTED),
        (0x80070000, MIResult.MI_RESULT_FAILED),
        (0x80070001, MIResult.MI_RESULT_FAILED),
        (-2147217406, MIResult.MI_RESULT_NOT_FOUND),
        (0x8004FFFF, MIResult.MI_RESULT_FAILED),
        (0x00049999, MIResult.MI_RESULT_OK),
    ],
)
def test_mi_result_of(code, result):
    assert mi_result_of(code) is result


@pytest.mark.parametrize("code", [*WbemStatus, *HResult], ids=lambda code: code.name)
def test_only_success_codes_become_a_success(code):
    is_success = code.name.startswith(("WBEM_S_", "S_"))
    assert (mi_result_of(code) is MIResult.MI_RESULT_OK) == is_success


@pytest.mark.parametrize("code", [0x800706BA, -2147023174])
def test_a_win32_error_inside_an_hresult_has_the_text_of_the_error(code):
    assert describe(code) == describe(HResult.RPC_S_SERVER_UNAVAILABLE)


@pytest.mark.parametrize("code", [0x80041FFF, 0x80070000, 0x80070001, 0x8007FFFF, -1, 0x7FFFFFFF])
def test_a_code_outside_the_table_is_described_as_unknown(code):
    assert describe(code) == "unknown status"


@pytest.mark.parametrize(
    ("code", "success"),
    [(0, True), (1, True), (0x40010, True), (0x80041001, False), (-2147217407, False), (0x7FFFFFFF, True)],
)
def test_succeeded(code, success):
    assert succeeded(code) is success


@given(st.integers(min_value=0, max_value=0xFFFFFFFF))
def test_signed_and_unsigned_forms_are_the_same_code(code):
    signed = code - 0x100000000 if code & 0x80000000 else code
    assert name_of(signed) == name_of(code)
    assert describe(signed) == describe(code)
    assert succeeded(signed) == succeeded(code)
    assert mi_result_of(signed) is mi_result_of(code)
