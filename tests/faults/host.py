"""One host before one virtual world: a folder that holds both, and outlives every process that works in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ble_ota.cli.common import Common, execute
from ble_ota.cli.update import update
from ble_ota.virtual.developer_center import REPORT_STATUS
from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.world import World

SIZE = 600  # bytes: three packets
QUICK = Habits(settle_s=0.05, boot_s=0.05)
COMMON = Common("update", json=True, no_input=True)


@dataclass(frozen=True, slots=True)
class Host:
    """What one update needs, and what it leaves behind."""

    home: Path
    world: World
    unset: frozenset[str] = frozenset()
    """Settings that are left out."""

    @classmethod
    def made(
        cls,
        home: Path,
        *,
        size: int = SIZE,
        packages: Mapping[str, tuple[bytes, ...]] | None = None,
        habits: Habits = QUICK,
    ) -> Host:
        """A host and a world in `home`, new or as they were left."""
        host = cls(home, World.create(home / "world", packages=packages, size_bytes=size))
        (host.world.home(host.world.devices[0]) / "habits.json").write_text(json.dumps(asdict(habits)), "utf-8")
        return host

    @property
    def environment(self) -> dict[str, str]:
        """What says where all of it is."""
        user = self.world.user
        said = {
            "cloud": self.radio,
            "radio": self.radio,
            "state_dir": str(self.state),
            "cache_dir": str(self.home / "cache"),
            "keyring": "false",
            "user_domain": user.user_domain,
            "user_domain_secret": user.user_domain_secret,
            "email": user.email,
            "password": user.password,
            "scan_s": "5",
            "reboot_s": "20",
            "quecthing__version_ids": json.dumps({c.no: c.version_id for c in self.world.components if c.kind}),
            **{f"report_status__{meaning}": str(number) for meaning, number in REPORT_STATUS.items()},
        }
        named = {f"BLE_OTA_{name.upper()}": value for name, value in said.items() if name not in self.unset}
        return named | {"XDG_CONFIG_HOME": str(self.home / "config"), "HOME": str(self.home)}

    @property
    def radio(self) -> str:
        """As in the setting; it is also the place of the device's locks."""
        return f"virtual:{self.world.folder}"

    @property
    def state(self) -> Path:
        """The state folder; the ledger and the claims are in it."""
        return self.home / "state"

    async def job(self) -> int:
        """`ble-ota update --yes` of the world's first device, in an environment as above."""
        return await update(COMMON, self.world.devices[0].address, flags={}, yes=True, allow_downgrade=False)

    def update(self) -> int:
        """The same as a whole process would do it; what it says goes to files in `home`."""
        os.environ.update(self.environment)
        with (self.home / "out.jsonl").open("a") as sys.stdout, (self.home / "err.txt").open("a") as sys.stderr:
            return execute(COMMON, partial(self.job))
