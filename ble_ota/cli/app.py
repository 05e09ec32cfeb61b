"""The table of commands. Nothing heavy is imported here: `--help` is asked for more often than anything else."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from ble_ota import __version__
from ble_ota.cli.app_cache import cache_app
from ble_ota.cli.app_ledger import history_app, reports_app
from ble_ota.cli.app_mqtt import auto_app, mqtt_app
from ble_ota.cli.app_virtual import virtual_app
from ble_ota.cli.common import Common, command
from ble_ota.cli.options import Cloud, Device, Down, Radio, Record, Yes

app = typer.Typer(
    name="ble-ota",
    help="Update the firmware of Bluetooth LE devices from Quectel's Developer Center.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(virtual_app, name="virtual")
app.add_typer(history_app, name="history")
app.add_typer(cache_app, name="cache")
app.add_typer(reports_app, name="reports")
app.add_typer(mqtt_app, name="mqtt")
app.add_typer(auto_app, name="auto")


SHOWN_VERSIONS = ("bleak", "bumble", "httpx", "pydantic", "typer")


def _version(asked: bool) -> None:
    if asked:
        found = [f"{name} {_of(name)}" for name in SHOWN_VERSIONS]
        typer.echo(f"ble-ota {__version__} (Python {platform.python_version()}, {', '.join(found)})")
        raise typer.Exit


def _of(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the versions that matter.")
    ] = False,
) -> None:
    pass


@command(app, "demo")
async def demo(
    common: Common,
    size: Annotated[int, typer.Option(min=1, max=100_000_000, help="Bytes of the firmware.")] = 65536,
    devices: Annotated[int, typer.Option(min=1, max=99, help="How many devices.")] = 1,
    fault: Annotated[str | None, typer.Option(metavar="NAME[@PERCENT]", help="Let something go wrong.")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Tell what can go wrong, and end.")] = False,
) -> int:
    """Show the whole job on this machine alone.

    A virtual Developer Center, a virtual device, and the real pipeline between them.
    """
    from ble_ota.cli.demo import demo as job
    from ble_ota.cli.demo_faults import tell

    return tell(common) if list_faults else await job(common, size=size, devices=devices, fault=fault)


@command(app, "scan")
async def scan(
    common: Common,
    radio: Radio = None,
    timeout: Annotated[float, typer.Option(min=0, max=86400, help="Seconds to listen; 0: until Ctrl-C.")] = 5.0,
) -> int:
    """List the devices near."""
    from ble_ota.cli.scan import scan as job

    return await job(common, await common.load_settings(radio=radio), timeout)


@command(app, "login")
async def login(common: Common, cloud: Cloud = None) -> int:
    """Log in to the Developer Center.

    The session is kept in the system keyring, or in a file that only you can read where there is none.
    """
    from ble_ota.cli.account import login as job

    return await job(common, await common.load_settings(cloud=cloud))


@command(app, "logout")
async def logout(common: Common, cloud: Cloud = None) -> int:
    """End the session and forget it."""
    from ble_ota.cli.account import logout as job

    return await job(common, await common.load_settings(cloud=cloud))


@command(app, "whoami")
async def whoami(common: Common, cloud: Cloud = None) -> int:
    """Show whose session it is."""
    from ble_ota.cli.account import whoami as job

    return await job(common, await common.load_settings(cloud=cloud))


@command(app, "plan")
async def plan(
    common: Common, device: Device = None, cloud: Cloud = None, radio: Radio = None, allow_downgrade: Down = False
) -> int:
    """Show the upgrade plan of a device.

    With what would be decided, and why. A device named PRODUCT_KEY/DEVICE_KEY needs no radio.
    """
    from ble_ota.cli.plan import plan as job

    return await job(
        common, await common.load_settings(cloud=cloud, radio=radio), device, allow_downgrade=allow_downgrade
    )


@command(app, "update")
async def update(
    common: Common,
    device: Device = None,
    yes: Yes = False,
    allow_downgrade: Down = False,
    cloud: Cloud = None,
    radio: Radio = None,
    record: Record = None,
    offline: Annotated[bool, typer.Option("--offline", help="Take the firmware from the cache alone.")] = False,
) -> int:
    """Bring one device up to date.

    Plan, consent, download, verification, transfer, reboot, proof, report.
    """
    from ble_ota.cli.update import update as job

    flags = {"cloud": cloud, "radio": radio}
    return await job(
        common, device, flags=flags, yes=yes, allow_downgrade=allow_downgrade, record=record, offline=offline
    )


@command(app, "flash")
async def flash(
    common: Common,
    file: Annotated[Path, typer.Argument(help="The firmware file.")],
    device: Device = None,
    to: Annotated[str | None, typer.Option(metavar="VERSION", help="The version the file brings.")] = None,
    reinstall: Annotated[bool, typer.Option("--reinstall", help="Also when the device runs it already.")] = False,
    protocol: Annotated[str | None, typer.Option(metavar="NAME", help="Speak this protocol.")] = None,
    yes: Yes = False,
    allow_downgrade: Down = False,
    radio: Radio = None,
    record: Record = None,
) -> int:
    """Bring a local file onto a device, with no cloud."""
    from ble_ota.cli.flash import Wish
    from ble_ota.cli.flash import flash as job

    return await job(
        common,
        Wish(file, device, to, reinstall, protocol, yes, allow_downgrade),
        flags={"radio": radio},
        record=record,
    )


@command(app, "resume")
async def resume(
    common: Common,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Which; the newest if left out.")] = None,
) -> int:
    """Carry on an update that was left unfinished.

    What was agreed to is not asked again, as long as the plan is the same.
    """
    from ble_ota.cli.resume import resume as job

    return await job(common, run)


@command(app, "inspect")
async def inspect(common: Common, file: Annotated[Path, typer.Argument(help="The firmware file.")]) -> int:
    """Tell what a firmware file is."""
    from ble_ota.cli.inspect import inspect as job

    return await job(common, file)


@command(app, "doctor")
async def doctor(common: Common, cloud: Cloud = None, radio: Radio = None) -> int:
    """Check this machine and the settings."""
    from ble_ota.cli.doctor import doctor as job

    return await job(common, await common.load_settings(cloud=cloud, radio=radio))
