"""Other people's MOF: the DMTF's schema, and the class blocks of the Windows documentation.

`OPENWMI_REFERENCE_DATA` names the folder that holds them; without it these tests are skipped.
"""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path

import pytest

from openwmi.cim import Class, Instance
from openwmi.mof import MofErrors, compile_mof, parse, read_mof, write_mof
from openwmi.status import WbemStatus

from .support import Classes, survives

DATA = os.environ.get("OPENWMI_REFERENCE_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="OPENWMI_REFERENCE_DATA is not set: no DMTF schema, no Windows MOF")

CONCRETE = "Core/CIM_HostedDependency.mof"

# Blocks that are no MOF, and why.
BROKEN = {
    "ClassName.mof": "a template with <placeholders>",
    "JoinedProcessThread.mof": "a string over two lines",
    "MyRegProp.mof": "a string over two lines",
    "PropReg.mof": "a string over two lines",
    "RegTrans__2.mof": "a string over two lines",
    "SecurityViolationEvent.mof": "no semicolon at the end",
    "StdDisk.mof": "[qualifiers...]",
    "StdRegProv.mof": "{IN] for [IN]",
    "Win32_DiskPartition.mof": "string. for string",
    "__ACE.mof": "properties without types",
    "myclass__4.mof": "a quotation mark within a string",
}


def test_the_dmtf_schema_compiles_with_its_inheritance() -> None:
    archive = next((Path(DATA or "") / "dmtf").glob("cim_schema_*.zip"))
    with zipfile.ZipFile(archive) as schema:

        def read(_: str, name: str) -> tuple[str, str]:
            return name, schema.read(name).decode("utf-8")

        main = next(n for n in schema.namelist() if n.startswith("cim_schema_"))
        text = schema.read(main).decode("utf-8")
        # MS-WMI 3.1.4.3 has a rule that the DMTF has not: no abstract class under one that is not.
        with pytest.raises(MofErrors) as caught:
            compile_mof(text, Classes(), namespace="root\\cimv2", file=main, include=read)

        def amended(including: str, name: str) -> tuple[str, str]:
            name, found = read(including, name)
            return name, found.replace("[Association", "[Association, Abstract", 1) if name == CONCRETE else found

        items = compile_mof(text, Classes(), namespace="root\\cimv2", file=main, include=amended)
    assert {(error.file, error.status) for error in caught.value.errors} == {
        ("Policy/CIM_PolicyInSystem.mof", WbemStatus.WBEM_E_CANNOT_BE_ABSTRACT)
    }
    classes = {item.object.name: item.object for item in items if isinstance(item.object, Class)}
    assert len(classes) > 1600
    system = classes["CIM_ComputerSystem"]
    assert system.derivation[-1] == "CIM_ManagedElement"
    assert {key.name for key in system.keys} == {"CreationClassName", "Name"}
    for name in ("CIM_ComputerSystem", "CIM_StorageVolume", "CIM_Component"):
        written = write_mof(classes[name])
        known = Classes(classes[a] for a in classes[name].derivation)
        (again,) = compile_mof(written, known, namespace="root\\cimv2")
        assert again.object == classes[name]


def test_the_documentations_classes_parse() -> None:
    found, broken = 0, {}
    for folder in ("CIMWin32Prov", "WmiCoreProv", "WmiSdk"):
        for path in sorted((Path(DATA or "") / "win32-mof" / folder).glob("*.mof")):
            found += 1
            try:
                parse(read_mof(path), path.name)
            except MofErrors as errors:
                broken[path.name] = str(errors)
    assert found > 600
    assert set(broken) == set(BROKEN), "\n".join(broken.values())


def test_the_documentations_samples_compile() -> None:
    """The blocks that stand for themselves: their classes and instances come out, with nothing but each other."""
    for name, expected in (("EmbedClass", 1), ("ArrayDataSample1", 1)):
        for path in sorted((Path(DATA or "") / "win32-mof" / "WmiSdk").glob(f"{name}.mof")):
            items = compile_mof(read_mof(path), Classes(), namespace="root\\test", file=path.name)
            assert len(items) >= expected
            assert all(isinstance(item.object, Class | Instance) for item in items)


def test_mutated_files_are_refused_or_compiled() -> None:
    """Real text with a few characters or lines lost, doubled or exchanged."""
    rng = random.Random(7)
    paths = sorted((Path(DATA or "") / "win32-mof").glob("*/*.mof"))
    for path in rng.sample(paths, 60):
        text = read_mof(path)
        for _ in range(5):
            start = rng.randrange(len(text))
            end = min(len(text), start + rng.choice((0, 1, 3, 30)))
            piece = rng.choice(("", text[start:end] * 2, "}", '"', "{", ";", "$x", "0x", "\\", "/*", "instance of"))
            survives(text[:start] + piece + text[end:])
