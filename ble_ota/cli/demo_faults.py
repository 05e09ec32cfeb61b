"""What can be made to go wrong in a demo: one line each, and the files that bring it upon a virtual world."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ble_ota.cli.common import Common
from ble_ota.errors import UsageError

if TYPE_CHECKING:
    from ble_ota.virtual.world import World

CARRY_ON = "killed, as you wished; carry on with `ble-ota resume`"
HALF = 50  # percent of the file, where a fault has a place of its own
_WRITTEN = re.compile(r"(?P<name>[^@]*)(@(?P<percent>[0-9]{1,3})%?)?")

Said: TypeAlias = Mapping[str, Any]
SaidAt: TypeAlias = Callable[[int], Said]
"""Takes the byte of the file at which it is to happen."""


def nothing(_at: int) -> Said:
    """Nothing out of the ordinary."""
    return {}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, on every device of the demo."""

    name: str
    exit_code: int
    """How it ends."""
    what: str
    """What happens, in one line."""
    percent: int | None = None
    """Of the transfer, where it happens unless one says otherwise; None: it has no place that one could choose."""
    device: SaidAt = nothing
    """`habits.json` of each device."""
    strike: str = ""
    """`what` of the `strike.json` of each device."""
    cloud: SaidAt = nothing
    """`faults.json` of the Developer Center."""
    settings: Said = field(default_factory=dict[str, Any])
    """Of the demo, where they differ."""

    @property
    def kills(self) -> bool:
        """Whether this process is not there to see the end."""
        return self.strike == "host"

    @property
    def at_cloud(self) -> bool:
        """Whether it is the Developer Center that goes wrong."""
        return self.cloud is not nothing

    @property
    def written(self) -> str:
        """As one writes it."""
        return self.name if self.percent is None else f"{self.name}@{self.percent}%"


# Times in here are short: nobody learns anything from waiting. One link is enough for a device that stays silent.
FAULTS = (
    Fault("link-cut", 0, "the link drops once; the device waits, and is sent the rest", 40,
          device=lambda _: {"keeps_session_over_disconnect": True}, strike="link"),
    Fault("link-cut-forgets", 0, "the link drops once; the device forgets the file, and is sent all of it again", 40,
          strike="link"),
    Fault("power-cut", 0, "the device loses its power once, boots, and is sent all of it again", 60, strike="power"),
    Fault("pause", 0, "the device asks for a pause, and goes on", 30,
          device=lambda at: {"pauses": [{"at": at, "delay_s": 3, "lasts_s": 1.0}]}),
    Fault("truncated-download", 0, "the first download breaks off half-way, and goes on there",
          cloud=lambda at: {"only": "/oss/", "times": 1, "truncate_at": at}),
    Fault("lost-report", 0, "the Developer Center does not take the report of success, which is kept",
          cloud=lambda _: {"only": "reportUpgradeStatus", "spares": 1, "status": 500}),
    Fault("kill", 137, "this process is killed (SIGKILL); `ble-ota resume` brings it to its end", 70, strike="host"),
    Fault("cloud-500", 20, "the Developer Center answers 500, whatever it is asked", cloud=lambda _: {"status": 500}),
    Fault("cloud-slow", 20, "the firmware comes more slowly than the floor of 1024 bytes per second",
          cloud=lambda at: {"only": "/oss/", "drip_bytes_per_s": min(500, (at + 1) / 10)},  # a small one takes 20 s too
          settings={"download_window_s": 3}),
    Fault("flip-bit", 21, "one bit of the downloaded file is wrong, every time",
          cloud=lambda at: {"only": "/oss/", "flip_bit_at": at}),
    Fault("silent", 31, "the device falls silent for good", 50, strike="voice", settings={"links": 1}),
    Fault("declined", 32, "the device does not want the file", device=lambda _: {"declines": True}),
    Fault("cancel", 32, "the device cancels the transfer", 50, device=lambda at: {"cancel_at": at}),
    Fault("found-bad", 32, "the device has the whole file and says it is bad", device=lambda _: {"fail_at_end": True}),
    Fault("old-version", 33, "the device takes all of it, and boots what it ran before",
          device=lambda _: {"boots_old": True}),
    Fault("reverts", 33, "the device runs the new version for two seconds and falls back; a second look finds out",
          device=lambda _: {"reverts_after_s": 2.0}, settings={"dwell_s": 4}),
    Fault("never-returns", 35, "the device takes all of it, and never comes back from its reboot",
          device=lambda _: {"never_returns": True}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """A fault, and where it happens."""

    fault: Fault
    percent: int

    def upon(self, world: World, *, quiet: bool) -> None:
        """Write the files that bring it upon `world`; `quiet`: nobody wants words."""
        at = _size(world) * self.percent // 100
        _write(world.folder / "cloud" / "faults.json", self.fault.cloud(at))
        strike: Said = {"what": self.fault.strike, "at_bytes": at, "says": "" if quiet else CARRY_ON}
        for device in world.devices:
            _write(world.home(device) / "habits.json", self.fault.device(at))
            _write(world.home(device) / "strike.json", strike if self.fault.strike else {})


def chosen(text: str) -> Chosen:
    """Read NAME or NAME@PERCENT.

    Raises:
        UsageError: There is no such fault, or not at such a place.
    """
    found = _WRITTEN.fullmatch(text)
    fault = next((f for f in FAULTS if found and f.name == found["name"]), None)
    if found is None or fault is None:
        msg = f"there is no fault {text!r}"
        raise UsageError(msg, hint=f"`ble-ota demo --list-faults` tells of {', '.join(f.written for f in FAULTS)}")
    if found["percent"] is None:
        return Chosen(fault, HALF if fault.percent is None else fault.percent)
    percent = int(found["percent"])
    if fault.percent is None or not 1 <= percent <= 99:
        takes = "takes no place" if fault.percent is None else "happens at 1 to 99 percent of the transfer"
        msg = f"the fault {fault.name} {takes}, so not {text!r}"
        raise UsageError(msg, hint=f"Write {fault.written}; see `ble-ota demo --list-faults`")
    return Chosen(fault, percent)


def tell(common: Common) -> int:
    """Run `ble-ota demo --list-faults`."""
    data = [{"name": f.name, "percent": f.percent, "exit_code": f.exit_code, "what": f.what} for f in FAULTS]
    common.result(data, "\n".join(f"{f.written:20} exit {f.exit_code:3}  {f.what}" for f in FAULTS))
    return 0


def _size(world: World) -> int:
    return sum(file.size_bytes for component in world.components for file in component.files)


def _write(file: Path, said: Said) -> None:
    if said:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(said), "utf-8")
