"""What all tests share: how hypothesis looks for examples, and the ids of requirements."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages

from hypothesis import HealthCheck, settings

import openwmi

pytest_plugins = ["pytester", "tests.requirements", "tests.sockets"]

# On CI the same examples every time, and no deadline: a busy machine is no bug.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Hypothesis draws from the constants of the modules that are loaded. Were they loaded by the tests that happen to run
# before, "the same examples every time" would not hold.
for _module in walk_packages(openwmi.__path__, "openwmi."):
    if not _module.name.endswith("__main__"):
        with suppress(ImportError):  # of an extra that is not installed
            import_module(_module.name)

# A shell that runs the tests in the background has them ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)
