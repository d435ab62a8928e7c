"""How fast MS-WMIO instances are read and written: a stream of objects like the real Win32_Process, one class part.

    python bench/wmio.py

The class has Win32_Process's 45 properties and about as much text in its qualifiers, so that an object with its class
part takes some 9 KB. Prints microseconds per instance, all values read unless it says otherwise. aiowmi reads the same
bytes in the same run, both ways it can get them: as EncodingUnits and, sharing the class part, from ObjectArrays.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from openwmi.cim import CimObject, CimType, Class, DateTime, Flavor, Instance, NameMap, Property, Qualifier
from openwmi.wmi.object_array import ObjectArrayReader, ObjectArrayWriter, PacketType
from openwmi.wmio import ClassPartCache, decode_object, encode_object

COUNT = 200
GOAL = 15

STRINGS = (
    "CreationClassName Caption CommandLine CSCreationClassName CSName Description ExecutablePath Handle Name"
    " OSCreationClassName OSName Status WindowsVersion"
).split()
DATETIMES = "CreationDate InstallDate TerminationDate".split()
NUMBERS = (
    "HandleCount MaximumWorkingSetSize MinimumWorkingSetSize PageFaults PageFileUsage ParentProcessId PeakPageFileUsage"
    " PeakWorkingSetSize Priority ProcessId QuotaNonPagedPoolUsage QuotaPagedPoolUsage QuotaPeakNonPagedPoolUsage"
    " QuotaPeakPagedPoolUsage SessionId ThreadCount"
).split()
LARGE = (
    "KernelModeTime OtherOperationCount OtherTransferCount PeakVirtualSize PrivatePageCount ReadOperationCount"
    " ReadTransferCount UserModeTime VirtualSize WorkingSetSize WriteOperationCount WriteTransferCount"
).split()
KINDS = (
    dict.fromkeys(STRINGS, CimType.STRING)
    | dict.fromkeys(DATETIMES, CimType.DATETIME)
    | dict.fromkeys(NUMBERS, CimType.UINT32)
    | dict.fromkeys(LARGE, CimType.UINT64)
    | {"ExecutionState": CimType.UINT16}
)
NULLS = ("ExecutionState", "InstallDate", "Status", "TerminationDate")


def process_class() -> Class:
    """The 45 properties in the order of their names, each with what its qualifiers say on Windows, more or less."""
    read = Qualifier.of("read")
    found = []
    for name in sorted(KINDS):
        mapping = Qualifier.of("MappingStrings", [f"Win32API|Process Status|{name.upper()}|{name} of a process"])
        qualifiers = [read, mapping]
        if name == "Handle":
            qualifiers.append(Qualifier.of("key", flavor=Flavor.TO_INSTANCE | Flavor.TO_SUBCLASS))
        found.append(Property(name, KINDS[name], qualifiers=NameMap(qualifiers)))
    return Class("Win32_Process", namespace="ROOT\\CIMV2", server="COMPUTER", properties=NameMap(found)).rooted()


def process(cls: Class, number: int) -> Instance:
    """One process of many."""
    name = f"process{number}.exe"
    texts = {
        "CSName": "COMPUTER",
        "CreationClassName": "Win32_Process",
        "CSCreationClassName": "Win32_ComputerSystem",
        "OSCreationClassName": "Win32_OperatingSystem",
        "OSName": "Microsoft Windows Server 2019 Standard|C:\\Windows|\\Device\\Harddisk0\\Partition2",
        "WindowsVersion": "10.0.17763",
        "ExecutablePath": f"C:\\Program Files\\Vendor\\{name}",
        "CommandLine": f'"C:\\Program Files\\Vendor\\{name}" --service --port {number}',
        "Handle": str(number),
    }
    values: dict[str, Any] = {n: texts.get(n, name) for n in STRINGS}
    values |= {n: 1000 + number + i for i, n in enumerate(NUMBERS)}
    values |= {n: 2**33 + number * i for i, n in enumerate(LARGE)}
    values |= {"CreationDate": DateTime("20260131120000.000000+060")} | dict.fromkeys(NULLS)
    return cls.new(values)


def measure(name: str, run: Callable[[], object], count: int = COUNT, rounds: int = 30) -> float:
    """Prints and returns the microseconds of this process that `run` takes for each of `count` instances, at best."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        run()
        best = min(best, (time.process_time() - began) / count * 1e6)
    print(f"{name:<52} {best:8.1f} us")
    return best


def aiowmi_units(stream: Sequence[bytes]) -> Callable[[], None]:
    """aiowmi's way from EncodingUnits to values."""
    from aiowmi.ndr.encoding_unit import EncodingUnit
    from aiowmi.ndr.next_response import NextResponse

    class Response(NextResponse):  # type: ignore[misc]
        def __init__(self, data: bytes) -> None:
            self._obj_block = EncodingUnit(data).object_block

        def _get_object_block(self) -> Any:
            return self._obj_block

    def run() -> None:
        for data in stream:
            Response(data).get_properties()

    return run


def aiowmi_packets(packets: Sequence[bytes]) -> Callable[[], None]:
    """aiowmi's way from ObjectArrays, of which it reads one object each, to values."""
    from aiowmi.ndr.smart_response import SmartResponse

    responses = [struct.pack("<IIIIII", 0, 0, 1, len(p), 0x20000, len(p)) + p for p in packets]

    def run() -> None:
        known: dict[str, Any] = {}
        for data in responses:
            SmartResponse(data, known).get_properties()

    return run


def main() -> None:
    """Measures both directions, and aiowmi's reading beside ours."""
    cls = process_class()
    instances: list[CimObject] = [process(cls, i) for i in range(COUNT)]
    stream = [encode_object(each) for each in instances]
    single = ObjectArrayWriter(PacketType.NEXT)
    packets = [single.encode([each]) for each in instances]
    together = ObjectArrayWriter(PacketType.NEXT).encode(instances)
    size = len(together) // COUNT
    print(f"{len(cls.properties)} properties, {len(stream[0])} bytes with the class part, some {size} without")

    def read(*, on_demand: bool, use: Callable[[Any], object]) -> Callable[[], None]:
        cache = ClassPartCache()

        def run() -> None:
            for data in stream:
                use(decode_object(data, cache=cache, on_demand=on_demand))

        return run

    measure("a class part, when it is new", lambda: decode_object(stream[0]), 1)
    ours = measure("decode", read(on_demand=False, use=lambda found: found.values))
    measure("decode on demand, then read all", read(on_demand=True, use=lambda found: found.values))
    measure("decode on demand, then read one property", read(on_demand=True, use=lambda found: found["Name"]))

    def write() -> None:
        for each in instances:
            encode_object(each)

    encoded = measure("encode", write)
    print(f"encoding takes {encoded / ours:.2f} of what decoding takes")
    known = ClassPartCache()
    arrays = measure("decode an ObjectArray", lambda: ObjectArrayReader(PacketType.NEXT, known).decode(together))
    measure("encode an ObjectArray", lambda: ObjectArrayWriter(PacketType.NEXT).encode(instances))
    try:
        theirs = measure("aiowmi: EncodingUnit, get_properties", aiowmi_units(stream), rounds=5)
        shared = measure("aiowmi: ObjectArrays, get_properties", aiowmi_packets(packets), rounds=5)
    except ImportError:
        print("aiowmi is not installed: nothing to compare with")
        return
    print(f"{theirs / ours:.1f} times as fast from EncodingUnits (the goal is {GOAL})")
    print(f"{shared / arrays:.1f} times as fast from ObjectArrays")


if __name__ == "__main__":
    main()
