"""Where files are kept when the command line does not say: the operating system's own places for a user's files."""

from __future__ import annotations

from pathlib import Path

from platformdirs import PlatformDirs

from openwmi.errors import ConfigurationError

__all__ = ["IN_MEMORY", "accounts_file", "classes_file", "config_file", "history_file", "repository_file"]

IN_MEMORY = ":memory:"

_DIRECTORIES = PlatformDirs("openwmi", appauthor=False)


def accounts_file(given: Path | None) -> Path:
    """The accounts file."""
    return given or Path(_DIRECTORIES.user_config_dir) / "accounts.json"


def config_file() -> Path:
    """The file with the user's profiles."""
    return Path(_DIRECTORIES.user_config_dir) / "config.toml"


def history_file() -> Path:
    """What was typed at the shell's prompt."""
    return Path(_DIRECTORIES.user_state_dir) / "history"


def classes_file() -> Path:
    """The names of classes that completion offers."""
    return Path(_DIRECTORIES.user_cache_dir) / "classes.json"


def repository_file(given: str | None) -> str:
    """The repository's file, or ":memory:". The folder of the default one is made if it is not there."""
    if given:
        return given
    folder = Path(_DIRECTORIES.user_data_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be made: {error.strerror}; use --repository") from None
    return str(folder / "repository.db")
