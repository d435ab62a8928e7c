"""The `openwmi` command.

Exit status: 0; 1 when the operation failed, with one line on stderr (the WBEM code and its text, where it has one) and,
indented below it, what the server adds and what is likely behind it; 2 for a command line that makes no sense; 130
after Ctrl-C. Nobody sees a traceback but with OPENWMI_DEBUG=1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from openwmi import __version__

__all__ = ["is_debugging", "main"]

_VERSION = (["--version"], ["-V"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in _VERSION:
        # Before everything else is imported: scripts ask this often.
        sys.stdout.write(f"openwmi {__version__}\n")
        return 0
    try:
        from openwmi.cli.run import run

        return run(given, debug=is_debugging())
    except KeyboardInterrupt:  # while all of that is imported, too: it is half of a short command's time
        return 130


def is_debugging() -> bool:
    """Whether the user wants to see everything."""
    return os.environ.get("OPENWMI_DEBUG", "") not in ("", "0")
