"""The keyboard before a question."""

from __future__ import annotations

import sys
from contextlib import suppress


def drop_typed_ahead() -> None:
    """Drop keys that were typed before the question is shown: they cannot be its answer. A pipe keeps its content."""
    with suppress(OSError, ValueError):  # stdin has no file descriptor, or is closed
        if sys.platform == "win32":
            import msvcrt

            while msvcrt.kbhit():
                msvcrt.getwch()
        else:
            import termios

            with suppress(termios.error):
                termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
