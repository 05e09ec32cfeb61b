"""The commands of `ble-ota mqtt` and `ble-ota auto`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ble_ota.cli.common import Common, command
from ble_ota.cli.options import Cloud

if TYPE_CHECKING:
    from ble_ota.cli.auto import Turn
    from ble_ota.mqtt import Action, Period

mqtt_app = typer.Typer(
    rich_markup_mode=None, help="Upgrade plans of devices that are online by themselves (MQTT).", no_args_is_help=True
)
auto_app = typer.Typer(
    rich_markup_mode=None, help="Whether later plans of a device are installed without a word.", no_args_is_help=True
)

Devices = Annotated[
    list[str] | None, typer.Argument(metavar="PK/DK…", help="Devices, or PK/DK/PLAN for one plan of a device.")
]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Devices, one a line; - is stdin.")]
All = Annotated[bool, typer.Option("--all", help="Every device of the account that is online by itself.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree without being asked.")]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; it cannot be undone.")]
Start = Annotated[
    str, typer.Option(metavar="TIME", help='ISO 8601, "22:00", "tomorrow 02:00", or a range "tomorrow 02:00-04:00".')
]
End = Annotated[str | None, typer.Option(metavar="TIME", help="As --start, or +2h from there.")]
For = Annotated[float | None, typer.Option("--for", min=0.1, max=1e7, metavar="SECONDS", help="Give up after so long.")]


@command(mqtt_app, "plan", group="mqtt")
async def mqtt_plan(
    common: Common, devices: Devices = None, file: File = None, everything: All = False, cloud: Cloud = None
) -> int:
    """Show the plans, and what each action would do; -v in full also for many devices."""
    from ble_ota.cli.mqtt_plan import plan as job
    from ble_ota.cli.named import wished

    wish = await asyncio.to_thread(wished, common, devices, file=file, everything=everything)
    return await job(common, await common.load_settings(cloud=cloud), wish)


@command(mqtt_app, "confirm", group="mqtt")
async def mqtt_confirm(
    common: Common,
    devices: Devices = None,
    file: File = None,
    everything: All = False,
    yes: Yes = False,
    cloud: Cloud = None,
) -> int:
    """Have the plans issued to the devices now."""
    from ble_ota.mqtt import Action

    return await _say(common, Action.CONFIRM, devices, file, everything=everything, yes=yes, cloud=cloud)


@command(mqtt_app, "appoint", group="mqtt")
async def mqtt_appoint(
    common: Common,
    start: Start,
    devices: Devices = None,
    end: End = None,
    file: File = None,
    everything: All = False,
    yes: Yes = False,
    cloud: Cloud = None,
) -> int:
    """Have the plans issued at a time: within the plan's period, and an hour long at least."""
    import time

    from ble_ota.cli.when import appointment
    from ble_ota.mqtt import Action

    period = appointment(start, end, now_s=time.time(), zone=None)
    said = _say(common, Action.APPOINT, devices, file, everything=everything, yes=yes, cloud=cloud, appointment=period)
    return await said


@command(mqtt_app, "cancel", group="mqtt")
async def mqtt_cancel(
    common: Common,
    devices: Devices = None,
    file: File = None,
    everything: All = False,
    yes: Sure = False,
    cloud: Cloud = None,
) -> int:
    """End the plans for these devices; it cannot be undone."""
    from ble_ota.mqtt import Action

    return await _say(common, Action.CANCEL, devices, file, everything=everything, yes=yes, cloud=cloud)


@command(mqtt_app, "retry", group="mqtt")
async def mqtt_retry(
    common: Common,
    devices: Devices = None,
    file: File = None,
    everything: All = False,
    yes: Yes = False,
    cloud: Cloud = None,
) -> int:
    """Have plans that failed issued again at once."""
    from ble_ota.mqtt import Action

    return await _say(common, Action.RETRY, devices, file, everything=everything, yes=yes, cloud=cloud)


@command(mqtt_app, "status", group="mqtt")
async def mqtt_status(
    common: Common, devices: Devices = None, file: File = None, everything: All = False, cloud: Cloud = None
) -> int:
    """Tell where the devices stand."""
    from ble_ota.cli.mqtt_watch import status as job
    from ble_ota.cli.named import wished

    wish = await asyncio.to_thread(wished, common, devices, file=file, everything=everything)
    return await job(common, await common.load_settings(cloud=cloud), wish)


@command(mqtt_app, "watch", group="mqtt")
async def mqtt_watch(
    common: Common,
    devices: Devices = None,
    file: File = None,
    everything: All = False,
    for_s: For = None,
    cloud: Cloud = None,
) -> int:
    """Show how it goes, until all devices have ended."""
    from ble_ota.cli.mqtt_watch import watch as job
    from ble_ota.cli.named import wished

    wish = await asyncio.to_thread(wished, common, devices, file=file, everything=everything)
    return await job(common, await common.load_settings(cloud=cloud), wish, for_s=for_s)


async def _say(
    common: Common,
    action: Action,
    named: list[str] | None,
    file: Path | None,
    *,
    everything: bool,
    yes: bool,
    cloud: str | None,
    appointment: Period | None = None,
) -> int:
    from ble_ota.cli.mqtt_orders import Word
    from ble_ota.cli.mqtt_orders import say as job
    from ble_ota.cli.named import wished

    wish = await asyncio.to_thread(wished, common, named, file=file, everything=everything)
    return await job(common, await common.load_settings(cloud=cloud), wish, Word(action, yes, appointment))


# ---------------------------------------------------------------- auto


@command(auto_app, "on", group="auto")
async def auto_on(
    common: Common,
    devices: Devices = None,
    file: File = None,
    everything: All = False,
    yes: Yes = False,
    cloud: Cloud = None,
) -> int:
    """Have later plans installed without a question."""
    from ble_ota.cli.auto import Turn

    return await _turn(common, Turn.ON, devices, file, everything=everything, cloud=cloud, yes=yes)


@command(auto_app, "off", group="auto")
async def auto_off(
    common: Common, devices: Devices = None, file: File = None, everything: All = False, cloud: Cloud = None
) -> int:
    """Have later plans wait for a word again."""
    from ble_ota.cli.auto import Turn

    return await _turn(common, Turn.OFF, devices, file, everything=everything, cloud=cloud)


@command(auto_app, "status", group="auto")
async def auto_status(
    common: Common, devices: Devices = None, file: File = None, everything: All = False, cloud: Cloud = None
) -> int:
    """Tell for which devices it is on."""
    from ble_ota.cli.auto import Turn

    return await _turn(common, Turn.ASK, devices, file, everything=everything, cloud=cloud)


async def _turn(
    common: Common,
    turn: Turn,
    named: list[str] | None,
    file: Path | None,
    *,
    everything: bool,
    cloud: str | None,
    yes: bool = False,
) -> int:
    from ble_ota.cli.auto import auto as job
    from ble_ota.cli.named import wished

    wish = await asyncio.to_thread(wished, common, named, file=file, everything=everything)
    return await job(common, await common.load_settings(cloud=cloud), wish, turn, yes=yes)
