"""Runs the targets, one after the other: `python -m fuzz SECONDS [TARGET...]`, the time shared among them."""

from __future__ import annotations

import subprocess
import sys

from fuzz.engine import names


def main() -> int:
    """The number of targets that found something."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    targets = sys.argv[2:] or names()
    failed = []
    for name in targets:
        share = max(1, seconds // len(targets))
        print(f"== {name}, {share} s", flush=True)
        if subprocess.run([sys.executable, "-m", "fuzz.engine", name, str(share)], check=False).returncode:
            failed.append(name)
    print(f"found something: {', '.join(failed)}" if failed else f"{len(targets)} targets found nothing")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
