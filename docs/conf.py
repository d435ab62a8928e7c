"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import re
from typing import Any

from pygments.lexers.special import TextLexer

import openwmi

project = "openwmi"
author = "the openwmi developers"
copyright = author  # noqa: A001  # Sphinx's name for it
version = release = openwmi.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"openwmi {version}"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
highlight_language = "none"

_GIVEN = {"Session", "AsyncSession", "Operation", "AsyncOperation", "Instance", "MethodResult"}
_INDENTED = re.compile(r" {4,}\S")


def literal_blocks(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Indented lines in a docstring are an example or a drawing, so they are shown as they stand."""
    shown: list[str] = []
    inside = False
    for line in lines:
        if line.strip():
            begins = bool(_INDENTED.match(line))
            if begins and not inside and shown and not shown[-1].strip():
                shown[-1:] = ["", "::", ""]
            inside = begins
        shown.append(line)
    lines[:] = shown


def shown_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """What users call: not the constructors of what a session gives them.

    A synchronous function, and a session's verb, has the parameters of its original, but another result.
    """
    if what == "class" and name.rpartition(".")[2] in _GIVEN:
        return "", None
    if what in ("function", "method") and hasattr(obj, "__wrapped__"):
        return signature, None
    return None


def setup(app: Any) -> None:
    """Connects the above; Pygments knows no MOF."""
    app.add_lexer("mof", TextLexer)
    app.connect("autodoc-process-docstring", literal_blocks)
    app.connect("autodoc-process-signature", shown_signature)
