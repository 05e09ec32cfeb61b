"""`ble-ota demo`: the whole job with nothing but this machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ble_ota.cli import ask, demo_faults
from ble_ota.cli.common import Common
from ble_ota.cli.demo_faults import Chosen
from ble_ota.cli.run import Run
from ble_ota.cli.update import Task, bring_up_to_date, policy_of
from ble_ota.cli.wiring import needing, vault_of
from ble_ota.errors import SettingsError, StorageError
from ble_ota.model import Outcome
from ble_ota.settings import Settings, isolated
from ble_ota.target import Wanted

if TYPE_CHECKING:
    from ble_ota.virtual.world import World, WorldDevice

FOLDER = "demo"  # in the user's state folder: where a demo lies that is killed, until the next one of that kind
REBOOT_S = 8.0  # a virtual device is back within a second, or never


async def demo(common: Common, *, size: int, devices: int, fault: str | None = None) -> int:
    """Run `ble-ota demo`; exit 40 when one of several failed.

    Everything lives in a folder of its own that goes at the end: the user's cache, keyring, ledger and settings are
    not used. Only of a demo that is killed the folder stays, so that `ble-ota resume` finds it.

    Raises:
        UsageError: There is no such fault.
        StorageError: The folder cannot be made.
    """
    chosen = demo_faults.chosen(fault) if fault is not None else None
    with needing("virtual", "the demo"):
        from ble_ota.virtual.world import World
    with _folder(common, chosen) as folder:
        world = World.create(folder / "world", devices=devices, size_bytes=size)
        if chosen is not None:
            chosen.upon(world, quiet=common.quiet)
        settings = _kept(folder, values_of(world, chosen))
        common.tell(_announced(world, chosen))
        codes = [await _one(common, settings, device, chosen) for device in world.devices]
    return codes[0] if len(codes) == 1 else (40 if any(codes) else 0)


def unfinished_demo(state_dir: Path) -> Settings | None:
    """The settings of the demo that was killed last, if there is one; whether it is finished is in its ledger.

    Args:
        state_dir: The user's.
    """
    try:
        return isolated(**json.loads((state_dir / FOLDER / "settings.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError, SettingsError):
        return None  # there is none, or it is of another version: nobody misses a demo


def values_of(world: World, chosen: Chosen | None = None) -> dict[str, Any]:
    """Settings for one virtual world, as JSON has them; nothing of the user's files or environment is in them."""
    from ble_ota.virtual.developer_center import REPORT_STATUS

    return {
        "cloud": f"virtual:{world.folder}",
        "radio": f"virtual:{world.folder}",
        "cache_dir": str(world.folder.parent / "cache"),
        "state_dir": str(world.folder.parent / "state"),
        "keyring": False,
        "ledger_head": False,
        "user_domain": world.user.user_domain,
        "user_domain_secret": world.user.user_domain_secret,
        "email": world.user.email,
        "password": world.user.password,
        "report_status": dict(REPORT_STATUS),
        "reboot_s": REBOOT_S,
        **(chosen.fault.settings if chosen is not None else {}),
    }


@contextmanager
def _folder(common: Common, chosen: Chosen | None) -> Generator[Path, None, None]:
    if chosen is None or not chosen.fault.kills:
        with tempfile.TemporaryDirectory(prefix="ble-ota-demo-") as made:
            yield Path(made)
        return
    folder = common.settings().state_dir.absolute() / FOLDER
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        msg = f"the folder of the demo, {folder}, cannot be made anew: {error.strerror}"
        raise StorageError(msg) from error
    yield folder


def _kept(folder: Path, values: Mapping[str, Any]) -> Settings:
    (folder / "settings.json").write_text(json.dumps(values), "utf-8")
    return isolated(**values)


def _announced(world: World, chosen: Chosen | None) -> str:
    scene = f"a virtual Developer Center over HTTP; {len(world.devices)} virtual device(s) over Bumble"
    if chosen is None:
        return scene
    place = "" if chosen.fault.percent is None else f" (at {chosen.percent} %)"
    return f"{scene}\nfault: {chosen.fault.what}{place}; exit {chosen.fault.exit_code}"


async def _one(common: Common, settings: Settings, device: WorldDevice, chosen: Chosen | None) -> int:
    run = Run(common, "demo", device.name)
    if chosen is not None and chosen.fault.at_cloud:  # a file that is in the cache would spare this device the fault
        settings = settings.model_copy(update={"cache_dir": settings.cache_dir / device.device_key})

    async def job() -> Outcome:
        policy = policy_of(settings, allow_downgrade=False, attended=False)
        task = Task(run, settings, vault_of(settings), policy, ask.consent(common, yes=True))
        return await bring_up_to_date(task, Wanted(address=device.address))

    return await run.tell(job)
