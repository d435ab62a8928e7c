"""Types with a Python value of their own that DCOM interfaces use: interface pointers and BSTR."""

# ruff: noqa: D102  (the base class says what the overridden methods do)
from __future__ import annotations

from typing import Any, Final

from openwmi.errors import CallerError
from openwmi.rpc.ndr.pointers import Unique
from openwmi.rpc.ndr.stream import Cell, Malformed, Reader, Scope, Writer
from openwmi.rpc.ndr.types import NdrType

__all__ = ["Bstr", "BstrType", "MInterfacePointer"]


class _MInterfacePointer(NdrType[bytes]):
    """MInterfacePointer (MS-DCOM 2.2.14); the value is the OBJREF's octets.

    typedef struct tagMInterfacePointer {
        unsigned long ulCntData;
        [size_is(ulCntData)] byte abData[];
    } MInterfacePointer;
    """

    alignment = 4
    minimum_size = 8
    conformant = True

    def put_conformance(self, writer: Writer, value: bytes, scope: Scope) -> None:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise CallerError(f"{value!r} is not an OBJREF's bytes")
        writer.number("I", 4, len(value))

    def get_conformance(self, reader: Reader) -> int:
        return reader.count(1)

    def put(self, writer: Writer, value: bytes, scope: Scope) -> None:
        writer.number("I", 4, len(value))
        writer.octets(value)

    def get(self, reader: Reader, scope: Scope, count: int) -> bytes:
        if (size := reader.number("I", 4)) != count:
            raise Malformed(reader.offset - 4, f"ulCntData is {size}, the maximum count {count}")
        return reader.octets(count)

    def __repr__(self) -> str:
        return "MInterfacePointer"


MInterfacePointer: Final = _MInterfacePointer()


class _FlaggedWordBlob(NdrType[str | None]):
    """FLAGGED_WORD_BLOB (MS-OAUT 2.2.23.1), little-endian whatever the data representation says.

    typedef struct _FLAGGED_WORD_BLOB {
        unsigned long cBytes;
        unsigned long clSize;
        [size_is(clSize)] unsigned short asData[];
    } FLAGGED_WORD_BLOB;
    """

    alignment = 4
    minimum_size = 12
    conformant = True
    _NULL: Final = 0xFFFFFFFF

    def put_conformance(self, writer: Writer, value: str | None, scope: Scope) -> None:
        if value is not None and not isinstance(value, str):
            raise CallerError(f"{value!r} is no string")
        writer.number("I", 4, len((value or "").encode("utf-16-le", "surrogatepass")) // 2)

    def get_conformance(self, reader: Reader) -> int:
        with reader.little_endian():
            return reader.count(2, what="characters")

    def put(self, writer: Writer, value: str | None, scope: Scope) -> None:
        octets = (value or "").encode("utf-16-le", "surrogatepass")
        writer.number("I", 4, self._NULL if value is None else len(octets))
        writer.number("I", 4, len(octets) // 2)
        writer.octets(octets)

    def get(self, reader: Reader, scope: Scope, count: int) -> str | None:
        with reader.little_endian():
            length, size = reader.number("I", 4), reader.number("I", 4)
        if size != count:
            raise Malformed(reader.offset - 4, f"clSize is {size}, the maximum count {count}")
        if length == self._NULL and not size:
            return None
        if length != 2 * size:
            # Half a character can be in a BSTR that carries bytes; no interface here has such.
            raise Malformed(reader.offset - 8, f"cBytes is {length}, which is not {size} characters")
        return reader.octets(length).decode("utf-16-le", "surrogatepass")

    def __repr__(self) -> str:
        return "FLAGGED_WORD_BLOB"


class BstrType(Unique):
    """BSTR (MS-OAUT 2.2.23.2): a pointer to FLAGGED_WORD_BLOB; the value is a string or None.

    None is written as a blob of length 0xFFFFFFFF and read from that and from a NULL pointer. The referent is
    the four letters that Windows' user marshalling puts there.
    """

    _USER: Final = 0x72657355

    def __init__(self) -> None:
        super().__init__(_FlaggedWordBlob())

    def put(self, writer: Writer, value: Any, scope: Scope) -> None:
        writer.number("I", 4, self._USER)
        writer.pending.append((self.target, value, scope))

    def get(self, reader: Reader, scope: Scope, count: int) -> Cell | None:
        if not reader.number("I", 4):
            return None
        cell = Cell(self.target, scope)
        reader.pending.append(cell)
        return cell

    def __repr__(self) -> str:
        return "Bstr"


Bstr: Final = BstrType()
