"""``python -m openwmi``: the `openwmi` command."""

import sys

from openwmi.cli import main

sys.exit(main())
