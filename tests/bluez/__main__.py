"""`python -m tests.bluez [PYTEST ARGUMENTS]`: what `.ci/bluez` does, with this Python inside."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "bluez"

if __name__ == "__main__":
    os.execve(SCRIPT, [str(SCRIPT), *sys.argv[1:]], os.environ | {"PYTHON": sys.executable})  # noqa: S606
