"""Other people's MOF: the DMTF's schema, and the class blocks of the Windows documentation.

`OPENWMI_REFERENCE_DATA` names the folder that holds them; without it these tests are skipped.
"""

from __future__ import annotations

import os
import random
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from openwmi.cim import Class, fold
from openwmi.manager.system import system_classes
from openwmi.mof import MofErrors, MofItem, compile_mof, parse, read_mof, write_mof

from .support import Classes, survives

DATA = os.environ.get("OPENWMI_REFERENCE_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="OPENWMI_REFERENCE_DATA is not set: no DMTF schema, no Windows MOF")

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
        items = compile_mof(text, Classes(), namespace="root\\cimv2", file=main, include=read)
    classes = {item.object.name: item.object for item in items if isinstance(item.object, Class)}
    assert len(classes) > 1600
    # Abstract, below a concrete class: PutClass takes no such thing (MS-WMI 3.1.4), MOF does.
    dependency, policy = classes["CIM_HostedDependency"], classes["CIM_PolicyInSystem"]
    assert (dependency.is_abstract, policy.is_abstract, policy.superclass) == (False, True, dependency.name)
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


# Blocks that are MOF, but declare what cannot be: the mistake, and whose it is.
REFUSED = {
    "MyDerivedClass.mof": ("cannot be a key", "several samples have a class MyClass, the first of which has a key"),
    "Win32_MemoryArray.mof": ("Win32_SMBIOSMemory is not in", "see Win32_SMBIOSMemory"),
    "Win32_MemoryDevice.mof": ("Win32_SMBIOSMemory is not in", "see Win32_SMBIOSMemory"),
    "Win32_SMBIOSMemory.mof": ("uint16e is no type", "a type that the page has by mistake"),
    "Win32_xyz.mof": ("CIM_xyz is not in", "a name that stands for any"),
    "Microsoft_Process_ElementConformsToProfile_v1.mof": ("is not in root\\interop", "the DMTF's class"),
    "Microsoft_Process_ElementConformsToProfile_v1__2.mof": ("is not in root\\cimv2", "the DMTF's class"),
    "__EventConsumerProviderCacheControl.mof": ("CacheControl is not in", "__CacheControl is meant"),
    "__EventSinkCacheControl.mof": ("CacheControl is not in", "__CacheControl is meant"),
    "__NamespaceModificationEvent.mof": ("two properties called SECURITY_DESCRIPTOR", "the page has it twice"),
    "myclass1.mof": ("mymof2.mof", "the file is no part of the documentation"),
}

# Of the method blocks and fragments: those that are no MOF, by what is wrong.
NO_METHODS = {
    "a default value without quotation marks": ["changestartmode-method-in-class-win32-*"],
    "default values left out": [
        "chkdsk-method-in-class-win32-logicaldisk",
        "joindomainorworkgroup-*",
        "unjoindomainorworkgroup-*",
        "win32shutdown-*",
    ],
    "string REF, a reference to no class": [
        "compressex-*", "copyex-*", "deleteex-method-in-class-cim-*", "takeownershipex-*", "uncompressex-*",
    ],
    "a type of another language": [
        "--systemsecurity-getcalleraccessrights", "--systemsecurity-getsd", "--systemsecurity-setsd",
        "startservice-method-in-class-cim-bootservice", "stopservice-method-in-class-cim-bootservice",
    ],
    "static as a word of C++": ["create-win32-clustershare"],
    "a template with [brackets]": [
        "-pragma", "pragma-classflags", "pragma-deleteclass", "pragma-deleteinstance", "pragma-instanceflags",
        "pragma-namespace",
    ],
    "an object path, a qualifier's value, a number or a query alone": [
        "accessing-an-unnamed-registry-value", "cimtype-qualifier*", "commandlineeventconsumer",
        "commandlineeventconsumer__2", "qualifiers-specific-to-the-view-provider*", "viewspaces-qualifier*",
    ],
    "a class that the page does not declare": ["creating-an-instance-using-mof"],
    "an alias of an instance whose class, as documented, has no key": [
        "monitoring-and-responding-to-events-with-standard-consumers",
    ],
}  # fmt: skip


# Classes that the documentation names, and describes in pages that are not among these.
ELSEWHERE = "class Win32_SecurityDescriptor : __SecurityDescriptor { }; class Win32_MethodParameterClass { };"


def _documented() -> tuple[Classes, dict[str, MofErrors]]:
    """All classes of the documentation, and what does not compile however often the others are tried first."""
    system = system_classes()
    known = Classes([*system.each(), *_declared(compile_mof(ELSEWHERE, Classes(system.each()), namespace="root"))])
    todo = {}
    for path in sorted((Path(DATA or "") / "win32-mof").glob("*/*.mof")):
        if path.name not in BROKEN:
            todo[path.name] = read_mof(path)
    while True:
        refused = {}
        for name, text in todo.items():
            try:
                items = compile_mof(text, known, namespace="root\\cimv2", file=name)
            except MofErrors as errors:
                refused[name] = errors
                continue
            for cls in _declared(items):
                known.known.setdefault(fold(cls.name), cls)
        if len(refused) == len(todo):
            return known, refused
        todo = {name: todo[name] for name in refused}


def _declared(items: list[MofItem]) -> list[Class]:
    return [item.object for item in items if isinstance(item.object, Class)]


def test_the_documentations_blocks_compile() -> None:
    known, refused = _documented()
    assert len(known.known) > 500
    assert set(refused) == set(REFUSED), "\n".join(map(str, refused.values()))
    for name, (message, _) in REFUSED.items():
        assert message in refused[name].errors[0].message


def test_the_documentations_methods_compile() -> None:
    """Each is a method, or several members of a class, or else MOF of its own."""
    known, _ = _documented()
    found, wrong = 0, {}
    for path in sorted((Path(DATA or "") / "win32-mof" / "methods").glob("*/*.mof")):
        found += 1
        text = read_mof(path)
        member = f"class Wrapped_ {{\n{text.rstrip().rstrip(';')};\n}};"
        problems = []
        for whole in (member, text):
            try:
                compile_mof(whole, known, namespace="root\\cimv2", file=path.name)
                break
            except MofErrors as errors:
                problems.append(str(errors))
        else:
            wrong[path.stem] = "\n".join(problems)
    assert found > 400
    patterns = [pattern for each in NO_METHODS.values() for pattern in each]
    assert {n: text for n, text in wrong.items() if not any(fnmatch(n, p) for p in patterns)} == {}
    assert [pattern for pattern in patterns if not any(fnmatch(n, pattern) for n in wrong)] == []


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
