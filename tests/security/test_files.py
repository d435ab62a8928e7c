"""Files that only their owner may touch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from openwmi.errors import ConfigurationError
from openwmi.security.accounts import Accounts
from openwmi.security.files import check_private, check_private_folder, locked, write_whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and locks are POSIX's")


def test_a_lock_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(ConfigurationError, match="another process has had its lock for too long"),
        locked(tmp_path, wait=0.05),
    ):
        raise AssertionError("both have it")
    with locked(tmp_path, wait=0):
        pass


@pytest.mark.parametrize(
    ("mode", "refused"), [(0o700, False), (0o755, False), (0o1777, False), (0o777, True), (0o720, True)]
)
def test_folders(tmp_path: Path, mode: int, refused: bool) -> None:
    """Who may exchange a file need not be able to read it."""
    folder = tmp_path / "folder"
    accounts = Accounts.load(folder / "accounts.json", create=True)
    accounts.add("ada", "secret")
    folder.chmod(mode)
    if not refused:
        check_private_folder(folder)
        assert Accounts.load(folder / "accounts.json").list()
        return
    with pytest.raises(ConfigurationError, match=rf"others may exchange .* \(mode {mode:04o}\); run: chmod go-w"):
        check_private_folder(folder)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        Accounts.load(folder / "accounts.json")
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        accounts.add("eve", "secret")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602])
def test_files(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    write_whole(file, b"x")
    check_private(file, file.stat())
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}"):
        check_private(file, file.stat())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_whole(file, b"x")
    os.chown(file, 12345, -1)
    with pytest.raises(ConfigurationError, match="belongs to user id 12345"):
        check_private(file, file.stat())
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(ConfigurationError, match="belongs to user id 12345"):
        check_private_folder(tmp_path)


def test_a_file_is_exchanged_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    status = write_whole(file, b"one")
    assert status.st_mode & 0o777 == 0o600
    write_whole(file, b"two")
    assert file.read_bytes() == b"two"
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "none" / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
