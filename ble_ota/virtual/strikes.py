"""What befalls a device once, at a certain byte: `strike.json` in its folder.

::

    {"what": "link", "at_bytes": 26214}

It falls when the packet that carries this byte (from 0) is about to be stored. The file goes first, so that whoever
finds the world afterwards is not struck again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never, get_args

from ble_ota.virtual.peripheral import Carrier
from ble_ota.virtual.peripherals.quecthing import Habits, PowerCutError, QuecThing
from ble_ota.virtual.world import World, WorldDevice, WorldError

LAST_WORDS_S = 0.1  # our choice: stderr may be written by a thread, which needs a moment
What = Literal["link", "power", "voice", "host"]
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows knows one way to end a process, and calls it SIGTERM


@dataclass(frozen=True, slots=True)
class Strike:
    """One strike."""

    what: What
    """The link drops; the power goes, and is back after `Habits.boot_s`; the device neither hears nor speaks any more,
    on whichever link; or the process it lives in is killed."""
    at_bytes: int
    says: str = ""
    """For people, on stderr, before a process is killed."""


def strike_of(world: World, device: WorldDevice) -> Strike | None:
    """What is going to befall `device`, if anything is.

    Raises:
        WorldError: The file is no JSON of this form.
    """
    file = _file(world, device)
    if not file.exists():
        return None
    try:
        said: dict[str, Any] = json.loads(file.read_text("utf-8"))
        strike = Strike(**said)
    except (ValueError, TypeError, OSError) as error:
        msg = f"{file} is not right: {error}"
        raise WorldError(msg) from error
    if strike.what not in get_args(What) or (type(strike.at_bytes), type(strike.says)) != (int, str):
        msg = f"{file} is not right: {said}"
        raise WorldError(msg)
    return strike


def _file(world: World, device: WorldDevice) -> Path:
    return world.home(device) / "strike.json"


class Struck(QuecThing):
    """A device that is going to be struck; until then, and but for that, one like any other."""

    def __init__(self, world: World, device: WorldDevice, habits: Habits, strike: Strike) -> None:
        """Make it, switched off."""
        super().__init__(world, device, habits)
        self.strike: Strike | None = strike
        """What is still to come."""
        self._file = _file(world, device)
        self._dumb = False
        self.flash.on_operation = self._about_to

    def connected(self) -> None:
        """A link stands; whoever has lost its voice has none on this one either."""
        super().connected()
        if self._dumb:
            self.fall_silent()

    def _about_to(self, operation: str) -> None:
        """Watch what is stored: the next packet brings at most `chunk_bytes`. Raises `PowerCutError`."""
        due, next_bytes = self.strike, self.stats.bytes + self.habits.chunk_bytes
        if due is not None and operation.startswith("write staging") and next_bytes > due.at_bytes:
            self.strike = None
            self._file.unlink(missing_ok=True)
            self._fall(due)

    def _fall(self, strike: Strike) -> None:
        loop, carrier = asyncio.get_running_loop(), self._carrier
        match strike.what:
            case "link":
                self.fall_silent()  # the answer to the packet that it is in the middle of goes with the link
                loop.call_soon(carrier.disconnect)
            case "power":
                loop.call_later(self.habits.boot_s, self._back, carrier)
                raise PowerCutError(strike)
            case "voice":
                self._dumb = True
                self.fall_silent()
            case "host":
                sys.stderr.write(f"\n{strike.says}\n" if strike.says else "")
                sys.stderr.flush()
                time.sleep(LAST_WORDS_S)
                os.kill(os.getpid(), KILL)
            case _:
                assert_never(strike.what)

    def _back(self, carrier: Carrier) -> None:
        if not self._awake:  # else somebody was quicker
            self.attach(carrier)
