r"""Profiles: what ``--profile NAME`` stands for, in ``config.toml`` of the user's configuration folder.

    [profiles.lab]
    url = "dcom://server.example"
    user = "LAB\\ada"
    namespace = "root\\cimv2"
    timeout = 120
    password_file = "lab.password"

Every key is a field of `Profile`. There is none for a password: this file is one that people copy and show. Names of
files are relative to its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from openwmi.cli.locations import config_file
from openwmi.errors import ConfigurationError
from openwmi.tomlfiles import read_toml, validated

__all__ = ["Profile", "load_profile"]


class Profile(BaseModel):
    """Where a command works, as far as its options do not say. `url` may be several, with commas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    user: str | None = None
    password_file: Path | None = None
    kerberos: bool | None = None
    service_principal: str | None = None
    namespace: str | None = None
    timeout: Annotated[float | None, Field(gt=0)] = None


def load_profile(name: str) -> Profile:
    """The profile of that name. Raises `ConfigurationError`."""
    path = config_file()
    profiles = read_toml(path).get("profiles", {})
    given = profiles.get(name) if isinstance(profiles, Mapping) else None
    if not isinstance(given, Mapping):
        known = ", ".join(profiles) if isinstance(profiles, Mapping) and profiles else "none"
        raise ConfigurationError(f"{path}: there is no profile {name}; there are: {known}")
    where = f"{path}: profile {name}"
    if "password" in given:
        raise ConfigurationError(
            f"{where}: a password has no place here: use password_file, OPENWMI_PASSWORD or the prompt"
        )
    profile = validated(Profile, given, where)
    if profile.password_file is None:
        return profile
    return profile.model_copy(update={"password_file": path.parent / profile.password_file})
