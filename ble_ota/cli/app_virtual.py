"""The commands of `ble-ota virtual`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ble_ota.cli.common import Common, command

virtual_app = typer.Typer(
    rich_markup_mode=None, help="Parts of a virtual world, each as a process.", no_args_is_help=True
)

World = Annotated[Path | None, typer.Option(metavar="DIR", help="The world's folder; the built-in one if left out.")]


@command(virtual_app, "cloud", group="virtual")
async def virtual_cloud(
    common: Common,
    world: World = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    online: Annotated[
        int | None, typer.Option(min=0, max=10_000, help="MQTT devices of a world that is new; 3 if left out.")
    ] = None,
) -> int:
    """Run the virtual Developer Center."""
    from ble_ota.cli.virtual import cloud as job

    return await job(common, await common.load_settings(), world, port, online)


@command(virtual_app, "radio", group="virtual")
async def virtual_radio(
    common: Common,
    clients: Annotated[int, typer.Option(min=2, max=64, help="How many controllers, each on a port.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The first port; 0 takes free ones.")] = 0,
) -> int:
    """Run the controllers of a virtual air, each behind a TCP port that speaks HCI."""
    from ble_ota.cli.virtual import radio as job

    return await job(common, clients, port)


@command(virtual_app, "device", group="virtual")
async def virtual_device(
    common: Common,
    radio: Annotated[str, typer.Option(metavar="bumble:TRANSPORT", help="The controller it lives on.")],
    world: World = None,
    device_key: Annotated[str | None, typer.Option(metavar="KEY", help="Which; the first if left out.")] = None,
) -> int:
    """Run one virtual device of a world."""
    from ble_ota.cli.virtual import device as job

    return await job(common, await common.load_settings(), radio, world, device_key)


@command(virtual_app, "replay", group="virtual")
async def virtual_replay(
    common: Common, file: Annotated[Path, typer.Argument(help="What `--record` has written.")]
) -> int:
    """Play a transcript's device against this version, and tell whether the run ends as it did.

    The firmware is zeros, and time leaps; the exit code is what the run comes to now.
    """
    from ble_ota.cli.replay import replay as job

    return await job(common, file)
