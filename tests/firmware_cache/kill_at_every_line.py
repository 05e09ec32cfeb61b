"""Stores a file again and again, each time in a process that is killed one line of Python later.

The lines of the package count; kills between the system calls of one of them are `kill_sweep.py`'s.
Arguments: the folder that holds the stores, named by line, and the file. The last store is of a process that lived.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from firmware_cache import Ref
from firmware_cache.store import Store

PIECE_BYTES = 3000  # less than what Python keeps back before it writes, so that the disk lags behind


def killing(line: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills this process right before the `line`-th line it runs."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if "firmware_cache" not in frame.f_code.co_filename:
            return None  # but what it calls is asked about again
        left -= event == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def keep(root: Path, content: bytes) -> None:
    store = Store(root)
    with store.part(Ref(len(content), sha256=sha256(content).hexdigest())) as part:
        for at in range(0, len(content), PIECE_BYTES):
            part.write(content[at : at + PIECE_BYTES])
        store.publish(part)


def main(roots: Path, content: bytes) -> None:
    for line in count(1):
        child = os.fork()
        if child == 0:
            sys.settrace(killing(line))
            keep(roots / str(line), content)
            sys.settrace(None)
            os._exit(0)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes())
