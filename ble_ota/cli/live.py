"""What goes on, before somebody who looks: drawn anew in place, and ended without a trace on the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ble_ota.cli import output, signals
from ble_ota.cli.common import Common

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
    console = Console(file=output.frames())
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=above) as live:
        yield live


@contextmanager
def terminable() -> Generator[None, None, None]:
    """Let a stop signal end the block, so that the terminal is left as it was.

    Raises:
        StopAsked: Ctrl-C.
        TerminatedError: SIGTERM.
        HungUpError: SIGHUP.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    heard: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        heard.append(number)
        if len(heard) > 1:
            signals.let_go()
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    with signals.handled(stop, loop):
        try:
            yield
        except asyncio.CancelledError:
            if not heard:
                raise
            if task is not None:
                task.uncancel()
            raise signals.stopped(heard[0], "stopped") from None
