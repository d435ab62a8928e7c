"""A place for Unix sockets, whose paths have to be short."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

__all__ = ["short_folder", "socket_folder"]


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path, wherever the system has its temporary files. Skips the test where it is of no use."""
    if not hasattr(socket, "SO_PEERCRED"):
        pytest.skip("this system does not say who is at the other end of a Unix socket")
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder).resolve()


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A new folder, in which Unix sockets can be."""
    with short_folder() as folder:
        yield folder
