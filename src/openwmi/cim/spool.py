"""Where results wait that are asked for later, or again: in memory while they are few, in a temporary file beyond that.

`Spools` is what the spools of one server share: how much all of them may hold. `Spools.open` makes a `Spool`, a
sequence that grows at its end and is freed from its beginning. Its file has no name, is read by nobody but its writer,
and is gone with it. Writing goes to the system's page cache and nothing waits for the disk, so a spool is used from
the event loop; whoever moves many results lets others have their turn between two portions.

Raises `WbemError`: WBEM_E_QUOTA_VIOLATION when the files would exceed their bound, WBEM_E_OUT_OF_MEMORY when the disk
takes no more.
"""

from __future__ import annotations

import pickle
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import IO, Any, Final, NamedTuple

from openwmi.cim.classes import Class
from openwmi.cim.instances import CimObject, Instance, Shape
from openwmi.cim.names import NameMap
from openwmi.errors import WbemError
from openwmi.status import WbemStatus

__all__ = ["Spool", "Spools", "weight"]

_CHUNK: Final = 64  # objects that are written, and read back, at once
_SHARE: Final = 8  # one spool has at most an eighth of the memory
_MOST_FILES_OF_ONE: Final = 32
_MOST_FILES: Final = 128
_MOST_SHAPES: Final = 1_000  # beyond that a shape is written with each chunk that has instances of it


def weight(item: Any) -> int:
    """About how many octets of memory an object, or a value of one, takes."""
    kind = type(item)
    if kind is str or kind is bytes:
        return 50 + len(item)
    if kind is tuple:
        return 60 + sum(map(weight, item))
    if kind is Instance:
        return 300 + sum(map(weight, item.values))
    if kind is Class:
        return 2_000 + 1_000 * (len(item.properties) + len(item.methods))
    return 32


class Spools:
    """How much may wait: `in_memory` octets (about) in all, `on_disk` octets in all, `per_owner` of them for one owner.

    An owner is whose the results are: nobody takes the disk from everybody else.
    """

    def __init__(self, *, in_memory: int = 64 << 20, on_disk: int = 1 << 30, per_owner: int = 256 << 20) -> None:
        self.in_memory = in_memory
        self.on_disk = on_disk
        self.per_owner = per_owner
        self.memory_used = 0
        self.disk_used = 0
        self.used_by: Counter[Hashable] = Counter()
        self.files_of: Counter[Hashable] = Counter()

    def take_file(self, owner: Hashable) -> None:
        """Counts one more file: of those, too, a process has only so many. Raises WBEM_E_QUOTA_VIOLATION."""
        if self.files_of[owner] >= _MOST_FILES_OF_ONE or self.files_of.total() >= _MOST_FILES:
            raise WbemError.of(
                WbemStatus.WBEM_E_QUOTA_VIOLATION,
                f"{_MOST_FILES_OF_ONE} enumerations of one account and {_MOST_FILES} in all may wait on disk to be"
                " fetched: fetch or release some first",
            )
        self.files_of[owner] += 1

    def give_file_back(self, owner: Hashable) -> None:
        """One file less."""
        self.files_of[owner] -= 1
        if not self.files_of[owner]:
            del self.files_of[owner]

    def open(self, owner: Hashable = None) -> Spool:
        """A new, empty spool."""
        return Spool(self, owner)


class _Written(NamedTuple):
    """A chunk in the file."""

    offset: int
    size: int


class _Kept(NamedTuple):
    """A chunk in memory."""

    objects: Sequence[CimObject]
    weight: int


class Spool:
    """A sequence of objects by their index. What has been discarded at its front keeps its indices, but is gone."""

    def __init__(self, spools: Spools, owner: Hashable) -> None:
        self._spools = spools
        self._owner = owner
        self._length = 0
        # Where each chunk begins, and the chunks themselves.
        self._starts: list[int] = []
        self._chunks: list[_Kept | _Written] = []
        self._memory = 0
        self._file: IO[bytes] | None = None
        self._size = 0
        self._written = 0
        self._shapes = _Shapes()

    def __len__(self) -> int:
        return self._length

    def append(self, objects: Sequence[CimObject], *, awaited: bool = False) -> None:
        """Adds objects at the end. If it raises, some of them may have been added.

        What is `awaited` stays in memory, though it counts there: a reader is about to take it.
        """
        for start in range(0, len(objects), _CHUNK):
            chunk = objects[start : start + _CHUNK]
            kept = _Kept(chunk, sum(map(weight, chunk)))
            if awaited or self._has_room(kept.weight):
                self._hold(kept.weight)
                self._chunks.append(kept)
            else:
                self._chunks.append(self._write(chunk))
            self._starts.append(self._length)
            self._length += len(chunk)

    def read(self, start: int, stop: int) -> list[CimObject]:
        """The objects from index `start` to before `stop`, as far as there are any. None of them may be discarded."""
        found: list[CimObject] = []
        number = bisect_right(self._starts, start) - 1
        while start < min(stop, self._length):
            offset = start - self._starts[number]
            part = self._objects(self._chunks[number])[offset : offset + stop - start]
            found += part
            start += len(part)
            number += 1
        return found

    def discard(self, before: int) -> None:
        """Frees what is before that index: whole chunks of memory, and the file once nothing in it is needed."""
        # The last chunk that begins at or before the index may be needed yet, unless it is the end.
        count = len(self._chunks) if before >= self._length else max(bisect_right(self._starts, before) - 1, 0)
        for chunk in self._chunks[:count]:
            if isinstance(chunk, _Kept):
                self._hold(-chunk.weight)
            else:
                self._written -= 1
        del self._chunks[:count], self._starts[:count]
        if self._file is not None and not self._written:
            self._file.close()
            self._file = None
            self._spools.give_file_back(self._owner)
            self._occupy(-self._size)

    def close(self) -> None:
        """Frees everything; the spool is empty then."""
        self.discard(self._length)
        self._length = 0
        self._shapes = _Shapes()

    def _has_room(self, more: int) -> bool:
        spools = self._spools
        return self._memory + more <= spools.in_memory // _SHARE and spools.memory_used + more <= spools.in_memory

    def _hold(self, octets: int) -> None:
        self._memory += octets
        self._spools.memory_used += octets

    def _occupy(self, octets: int) -> None:
        self._size += octets
        self._spools.disk_used += octets
        self._spools.used_by[self._owner] += octets
        if not self._spools.used_by[self._owner]:
            del self._spools.used_by[self._owner]

    def _write(self, objects: Sequence[CimObject]) -> _Written:
        # What is read back is what this object wrote itself, to a file that nobody else can open.
        data = pickle.dumps([self._shapes.pack(item) for item in objects], pickle.HIGHEST_PROTOCOL)
        spools = self._spools
        if max(spools.disk_used - spools.on_disk, spools.used_by[self._owner] - spools.per_owner) + len(data) > 0:
            raise WbemError.of(
                WbemStatus.WBEM_E_QUOTA_VIOLATION,
                f"results that wait to be fetched may take {spools.per_owner:,} octets on disk for one account and"
                f" {spools.on_disk:,} in all: ask for fewer, or for a forward-only enumerator and fetch from it",
            )
        try:
            if self._file is None:
                self._file = self._open()
            self._file.seek(self._size)
            written = self._file.write(data)
        except OSError as error:
            raise _disk_failure(error.strerror) from error
        if written != len(data):
            raise _disk_failure("the disk is full")
        chunk = _Written(self._size, len(data))
        self._occupy(len(data))
        self._written += 1
        return chunk

    def _open(self) -> IO[bytes]:
        self._spools.take_file(self._owner)
        try:
            return tempfile.TemporaryFile(buffering=0)
        except OSError:
            self._spools.give_file_back(self._owner)
            raise

    def _objects(self, chunk: _Kept | _Written) -> Sequence[CimObject]:
        if isinstance(chunk, _Kept):
            return chunk.objects
        assert self._file is not None
        try:
            self._file.seek(chunk.offset)
            data = self._file.read(chunk.size)
        except OSError as error:
            raise _disk_failure(error.strerror) from error
        return [self._shapes.unpack(packed) for packed in pickle.loads(data)]  # noqa: S301 - see _write


class _Shapes:
    """The shapes of what is in a file: instances that share one share it afterwards, and codecs know it again."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._numbers: dict[int, int] = {}

    def pack(self, item: CimObject) -> Class | tuple[Any, ...]:
        """What is written for an object: a class itself, of an instance what it does not share."""
        if isinstance(item, Class):
            return item
        shape = item.shape
        number = self._numbers.get(id(shape))
        if number is None and len(self._shapes) < _MOST_SHAPES:
            number = self._numbers[id(shape)] = len(self._shapes)
            self._shapes.append(shape)
        own = (item.namespace, item.server, item.qualifiers or None, item.property_qualifiers or None)
        return (shape if number is None else number, item.values, *own)

    def unpack(self, packed: Class | tuple[Any, ...]) -> CimObject:
        """The object again."""
        if isinstance(packed, Class):
            return packed
        shape, values, namespace, server, qualifiers, property_qualifiers = packed
        shape = self._shapes[shape] if isinstance(shape, int) else shape
        found = Instance.of_values(shape, values, namespace=namespace, server=server)
        found.qualifiers = qualifiers if qualifiers is not None else NameMap()
        found.property_qualifiers = property_qualifiers if property_qualifiers is not None else {}
        return found


def _disk_failure(reason: str | None) -> WbemError:
    return WbemError.of(
        WbemStatus.WBEM_E_OUT_OF_MEMORY, f"results cannot be kept on disk until they are fetched: {reason}"
    )
