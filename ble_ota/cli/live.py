"""What goes on, before somebody who looks: drawn anew in place, and ended without a trace on the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ble_ota.cli.common import Common, TerminatedError

if TYPE_CHECKING:
    from rich.live import Live


@contextmanager
def live_on(common: Common) -> Generator[Live | None, None, None]:
    """A live display for the block, where somebody looks at stderr and no line of JSON comes in between."""
    in_between = common.json and sys.stdout.isatty()
    if common.quiet or in_between or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    above = sys.stdout.isatty()  # else what is written there is for whoever reads it
    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=above) as live:
        yield live


@contextmanager
def terminable() -> Generator[None, None, None]:
    """Let SIGTERM end the block as Ctrl-C does, so that the terminal is left as it was.

    Raises:
        TerminatedError: It did.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    told: list[bool] = []

    def stop() -> None:
        told.append(True)
        if task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        msg = "stopped"
        raise TerminatedError(msg) from None
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
