"""Upkeep of a repository that no server has open: verify, info, backup and restore by the file's name.

Each opens the file, so that it is brought up to date if an older openwmi wrote it, and is refused
(`ConfigurationError`) if a newer one did, if it is not a repository, or if another process has it open: that one can do
the same for itself (`Store`).
"""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

from openwmi.errors import ConfigurationError, RepositoryDamaged
from openwmi.repository.engine import BESIDE, copy_beside, publish
from openwmi.repository.sqlite import SqliteStore, checked
from openwmi.repository.store import RepositoryInfo

__all__ = ["backup", "info", "restore", "verify"]


def verify(path: Path) -> list[str]:
    """What is wrong with the repository (`Store.verify`); `ConfigurationError` if it cannot even be opened."""
    with _opened(path) as store:
        return store.verify()


def info(path: Path) -> RepositoryInfo:
    """The repository in numbers (`Store.info`)."""
    with _opened(path) as store:
        return store.info()


def backup(path: Path, target: Path, *, overwrite: bool = False) -> None:
    """Writes the repository to a new file (`Store.backup`)."""
    with _opened(path) as store:
        store.backup(target, overwrite=overwrite)


def restore(path: Path, source: Path) -> Path | None:
    """Makes the repository what the backup `source` is (`Store.restore`); creates it if it is not there.

    One that is too damaged to be opened is set aside, and the name it has now is returned.
    """
    if not source.exists():
        raise ConfigurationError(f"there is no backup {source}")
    try:
        store = SqliteStore(path) if _is_there(path) else None
    except RepositoryDamaged:
        store = None
    if store is not None:
        with store:
            store.restore(source)
        return None
    if source.resolve() == path.resolve():
        raise ConfigurationError(f"{source} is the repository itself: name a backup")
    staged = checked(source)
    try:
        made = copy_beside(staged, path)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be written: {error}") from None
    finally:
        staged.close()
    if not path.exists():
        publish(made, path, overwrite=False)
        return None
    try:
        aside = _set_aside(path)
    except OSError as error:
        made.unlink()
        raise ConfigurationError(f"{path} cannot be set aside: {error.strerror}") from None
    publish(made, path, overwrite=True)
    return aside


def _opened(path: Path) -> SqliteStore:
    if not _is_there(path):
        raise ConfigurationError(f"there is no repository in {path}")
    return SqliteStore(path)


def _is_there(path: Path) -> bool:
    """A file with something in it, or what `SqliteStore` will refuse."""
    return path.exists() and (not path.is_file() or path.stat().st_size > 0)


def _set_aside(path: Path) -> Path:
    """Another name for the file, whose log goes with it: beside a new file, SQLite would write that into it."""
    numbers = itertools.count(1)
    aside = next(name for n in numbers if not (name := path.with_name(f"{path.name}.damaged-{n}")).exists())
    aside.hardlink_to(path)
    for suffix in BESIDE[1:]:
        log = Path(f"{path}{suffix}")
        if log.exists():
            log.rename(f"{aside}{suffix}")
    return aside
