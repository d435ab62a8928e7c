"""How long openwmi takes to start, against its limits: `import openwmi`, `openwmi --version`, and ready to serve.

Each figure is the best of some runs (the import's is what Python's own -X importtime counts, without the interpreter).
A ratio below 1 is within the limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORT_LIMIT = 0.080
VERSION_LIMIT = 0.250
READY_LIMIT = 1.5
RUNS = 5

COMMAND = [sys.executable, "-m", "openwmi"]


def import_time() -> float:
    """Seconds of `import openwmi`."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import openwmi"], capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stderr.splitlines() if line.rpartition("|")[2].strip() == "openwmi")
    return int(line.split("|")[1]) / 1e6


def version_time() -> float:
    """Seconds of `openwmi --version`, with the interpreter."""
    began = time.perf_counter()
    subprocess.run([*COMMAND, "--version"], capture_output=True, check=True)
    return time.perf_counter() - began


def ready_time() -> float:
    """Seconds from the start of `openwmi serve`, with a new repository, until its ready file is there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        accounts, ready = folder / "accounts.json", folder / "ready.json"
        add = [*COMMAND, "account", "add", "bench", "--password-stdin", "--accounts", str(accounts)]
        subprocess.run(add, input="a password\n", text=True, capture_output=True, check=True)
        serve = [*COMMAND, "serve", "--rpc-port", "0", "--exporter-port", "0", "--repository", str(folder / "db")]
        began = time.perf_counter()
        server = subprocess.Popen(
            [*serve, "--accounts", str(accounts), "--ready-file", str(ready)], stderr=subprocess.DEVNULL
        )
        try:
            while not ready.exists():
                if server.poll() is not None:
                    raise RuntimeError(f"openwmi serve ended with {server.returncode}")
                time.sleep(0.002)
            taken = time.perf_counter() - began
            json.loads(ready.read_text())
        finally:
            server.terminate()
            server.wait()
        return taken


def main() -> int:
    for what, measure, limit in (
        ("import openwmi", import_time, IMPORT_LIMIT),
        ("openwmi --version", version_time, VERSION_LIMIT),
        ("ready to serve", ready_time, READY_LIMIT),
    ):
        best = min(measure() for _ in range(RUNS))
        print(f"{what:<18} {best * 1000:7.1f} ms of {limit * 1000:6.0f} ms: {best / limit:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
