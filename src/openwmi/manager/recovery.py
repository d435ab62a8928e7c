"""The recovery list: MOF files that are compiled again when the repository is built anew (``#pragma autorecover``).

Windows keeps such a list in its registry; here it is a file beside the repository, since it must outlive that. It
holds each file's full name and the namespace that it was compiled into, so that a file without ``#pragma namespace``
goes where it was:

    {"version": 1, "files": [{"file": "/opt/acme/acme.mof", "namespace": "root\\cimv2"}]}

The files themselves stay where they are. The list is refused, like the repository, if others may write to it. One
that cannot be read is a warning in the log, never the end of a server.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from openwmi.errors import ConfigurationError
from openwmi.mof import Source
from openwmi.mof.parser import parse
from openwmi.mof.tree import Pragma
from openwmi.security.files import check_private, write_whole

__all__ = ["RecoveryEntry", "RecoveryList"]

_log = logging.getLogger("openwmi.manager")

_VERSION: Final = 1
_PRAGMA: Final = "autorecover"
_MOST: Final = 10_000  # files
_MAX_FILE: Final = 16 << 20  # octets


@dataclass(frozen=True, slots=True)
class RecoveryEntry:
    """One file, by its full name, and the namespace into which it goes."""

    file: str
    namespace: str


class RecoveryList:
    """The list in the file `path`, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, repository: Path) -> RecoveryList:
        """The list that belongs to a repository's file."""
        return cls(repository.with_name(f"{repository.name}.autorecover"))

    def entries(self) -> list[RecoveryEntry]:
        """The files in the order in which they were first compiled."""
        try:
            return self._read()
        except FileNotFoundError:
            return []
        except (ConfigurationError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            _log.warning("the recovery list %s cannot be used: %s", self.path, error)
            return []

    def _read(self) -> list[RecoveryEntry]:
        with self.path.open("rb") as stream:
            check_private(self.path, os.fstat(stream.fileno()))
            data = stream.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise ConfigurationError(f"it is larger than {_MAX_FILE:,} bytes")
        document = json.loads(data)
        if document["version"] != _VERSION:
            raise ConfigurationError(f"version {document['version']!r} is not {_VERSION}")
        return [RecoveryEntry(str(entry["file"]), str(entry["namespace"])) for entry in document["files"]]

    def note(self, sources: Sequence[Source], namespace: str) -> None:
        """Adds those of the sources that are files and have the pragma. A file that is there keeps its place."""
        found = [source.file for source in sources if _is_recovered(source) and Path(source.file).is_file()]
        if not found:
            return
        entries = {entry.file: entry for entry in self.entries()}
        before = dict(entries)
        for file in found:
            full = str(Path(file).resolve())
            entries[full] = RecoveryEntry(full, namespace)
        if entries == before:
            return
        if len(entries) > _MOST:
            _log.warning("the recovery list %s is full", self.path)
            return
        try:
            self._write(list(entries.values()))
        except OSError as error:
            _log.warning("the recovery list %s cannot be written: %s", self.path, error.strerror)

    def _write(self, entries: list[RecoveryEntry]) -> None:
        document = {"version": _VERSION, "files": [asdict(entry) for entry in entries]}
        write_whole(self.path, json.dumps(document, indent=2).encode() + b"\n")


def _is_recovered(source: Source) -> bool:
    """Whether the text itself, not something that it includes, has the pragma."""
    if _PRAGMA not in source.text.lower():
        return False
    declarations = parse(source.text, source.file).declarations
    return any(isinstance(declared, Pragma) and declared.name == _PRAGMA for declared in declarations)
