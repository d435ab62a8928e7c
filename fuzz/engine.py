"""Runs one target: with atheris, which follows what a mutation reaches, or blindly where there is no atheris.

    python -m fuzz.engine TARGET SECONDS

Exits with 0 when the time is up, and with something else at the first find, which is kept in build/fuzz/TARGET/.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import struct
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, cast

ROOT: Final = Path(__file__).parent.parent
MAX_LENGTH: Final = 8192
SECONDS_FOR_ONE: Final = 10
NUMBERS: Final = (0, 1, 2, 4, 8, 0x7FFFFFFF, 0x80000000, 0x8000000B, 0xFFFFFFFE, 0xFFFFFFFF)


class Target(Protocol):
    """What a module in `fuzz.targets` offers."""

    def check(self, data: bytes) -> None: ...

    def seeds(self) -> Iterable[bytes]: ...


def names() -> list[str]:
    """All targets, by name."""
    return sorted(p.stem for p in (ROOT / "fuzz" / "targets").glob("*.py") if p.stem != "__init__")


def load(name: str) -> Target:
    """The target of that name."""
    return cast(Target, importlib.import_module(f"fuzz.targets.{name}"))


def found(name: str) -> list[Path]:
    """What was found before."""
    return sorted((ROOT / "tests" / "data" / "fuzz" / name).glob("*.bin"))


def run(name: str, seconds: int) -> None:
    """Fuzzes for that long, or until something is found."""
    kept = ROOT / "build" / "fuzz" / name
    corpus = kept / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        print(f"{name}: atheris is not installed, so mutations are blind")
        target = load(name)
        _mutate(target.check, [*target.seeds(), *(path.read_bytes() for path in found(name))], seconds, kept)
        return
    with atheris.instrument_imports(include=["openwmi"], enable_loader_override=False):
        target = load(name)
    for seed in [*target.seeds(), *(path.read_bytes() for path in found(name))]:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS_FOR_ONE}", f"-max_len={MAX_LENGTH}"]
    options += [f"-artifact_prefix={kept}/", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0", str(corpus)]
    atheris.Setup([name, *options], target.check)
    atheris.Fuzz()


def _mutate(check: Callable[[bytes], None], corpus: list[bytes], seconds: int, kept: Path) -> None:
    source = random.Random(0)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        data = bytearray(source.choice(corpus))
        for _ in range(source.randint(1, 6)):
            _change(data, source)
        octets = bytes(data[:MAX_LENGTH])
        count += 1
        began = time.monotonic()
        try:
            check(octets)
            slow = time.monotonic() - began > SECONDS_FOR_ONE
        except Exception:
            _keep(octets, kept)
            raise
        if slow:
            _keep(octets, kept)
            raise TimeoutError(f"{len(octets)} octets took more than {SECONDS_FOR_ONE} s")
    print(f"{count} inputs")


def _change(data: bytearray, source: random.Random) -> None:
    at = source.randrange(len(data) + 1)
    match source.randrange(5):
        case 0 if at < len(data):
            data[at] = source.randrange(256)
        case 1 if at + 4 <= len(data):
            struct.pack_into("<I", data, at, source.choice(NUMBERS) if source.random() < 0.5 else source.randrange(600))
        case 2:
            del data[at : at + source.randrange(16)]
        case 3:
            data[at:at] = source.randbytes(source.randrange(8))
        case _:
            other = source.randrange(len(data) + 1)
            data[at:at] = data[other : other + source.randrange(64)]


def _keep(octets: bytes, kept: Path) -> None:
    path = kept / f"crash-{hashlib.sha1(octets, usedforsecurity=False).hexdigest()}"
    path.write_bytes(octets)
    print(f"kept as {path}")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
