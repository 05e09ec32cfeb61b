"""`ble-ota demo`: the whole job with nothing but this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ble_ota.cli import ask
from ble_ota.cli.common import Common
from ble_ota.cli.run import Run
from ble_ota.cli.update import Task, bring_up_to_date, policy_of
from ble_ota.cli.wiring import needing
from ble_ota.model import Outcome
from ble_ota.settings import Settings, isolated
from ble_ota.target import Wanted
from ble_ota.vault import MemoryVault

if TYPE_CHECKING:
    from ble_ota.virtual.world import World


async def demo(common: Common, *, size: int, devices: int) -> int:
    """Run `ble-ota demo`; exit 40 when one of several failed.

    Everything lives in a folder of its own that goes at the end: the user's cache, keyring and settings are not used.
    """
    with needing("virtual", "the demo"):
        from ble_ota.virtual.developer_center import DeveloperCenter, serve
        from ble_ota.virtual.world import World
    with tempfile.TemporaryDirectory(prefix="ble-ota-demo-") as folder:
        world = World.create(Path(folder) / "world", devices=devices, size_bytes=size)
        async with serve(DeveloperCenter(world)) as url:
            common.tell(f"virtual Developer Center at {url}; {devices} virtual device(s) over Bumble")
            codes = [await _one(common, world, url, d.name) for d in world.devices]
    return codes[0] if len(codes) == 1 else (40 if any(codes) else 0)


async def _one(common: Common, world: World, url: str, name: str) -> int:
    run = Run(common, "demo", name)

    async def job() -> Outcome:
        settings = settings_of(world, url)
        policy = policy_of(settings, allow_downgrade=False, attended=False)
        task = Task(run, settings, MemoryVault(), policy, ask.consent(common, yes=True))
        return await bring_up_to_date(task, Wanted(name=name))

    return await run.tell(job)


def settings_of(world: World, url: str) -> Settings:
    """Settings for one virtual world; nothing of the user's files or environment is read."""
    from ble_ota.virtual.developer_center import REPORT_STATUS

    return isolated(
        cloud=url,
        radio=f"virtual:{world.folder}",
        cache_dir=world.folder.parent / "cache",
        state_dir=world.folder.parent / "state",
        keyring=False,
        user_domain=world.user.user_domain,
        user_domain_secret=world.user.user_domain_secret,
        email=world.user.email,
        password=world.user.password,
        report_status=dict(REPORT_STATUS),
    )
