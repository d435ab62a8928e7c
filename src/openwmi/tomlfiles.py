"""TOML files that people write: settings of a server, profiles of the command line.

Whatever is wrong with one is a `ConfigurationError` that names the file and the key.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from openwmi.errors import ConfigurationError

__all__ = ["read_toml", "validated"]

_MAX_FILE: Final = 1 << 20  # octets

M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The document in a file of at most 1 MiB."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise ConfigurationError(f"{path}: is larger than {_MAX_FILE:,} bytes")
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from None


def validated(model: type[M], document: Mapping[str, Any], where: str) -> M:
    """The model that a document, or a table of it, describes; `where` says to people which one."""
    try:
        # By way of JSON, whose strict mode takes text for a path and a list for a tuple, but no text for a number.
        return model.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        problems = "; ".join(f"{_key(item['loc'])}: {_problem(item, model)}" for item in error.errors())
        raise ConfigurationError(f"{where}: {problems}") from None


def _key(location: tuple[str | int, ...]) -> str:
    return ".".join(map(str, location))


def _problem(item: Any, model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        return f"there is no such key; there are {', '.join(model.model_fields)}"
    text: str = item["msg"]
    return text.removeprefix("Value error, ")[:1].lower() + text.removeprefix("Value error, ")[1:]
