"""The commands of `ble-ota history` and `ble-ota reports`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import typer
from typer.core import TyperGroup

from ble_ota.cli.common import Common, command
from ble_ota.cli.options import Cloud


class Listing(TyperGroup):
    """A group that lists, when no command of it is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- typer's own click has no public name
        """Put `list` before options that stand alone."""
        bare = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["list", *args] if bare else args)


history_app = typer.Typer(rich_markup_mode=None, help="What was done to which device, and how it went.", cls=Listing)
reports_app = typer.Typer(
    rich_markup_mode=None, help="Status reports that the Developer Center has not taken yet.", cls=Listing
)

OneDevice = Annotated[str | None, typer.Option(metavar="DEVICE", help="Only of this device.")]
Outcome: TypeAlias = Literal["succeeded", "failed"]
Status = Annotated[int | None, typer.Option(min=0, max=12, help="The platform's number for it, for this once.")]


@command(history_app, "list", group="history")
async def history_list(
    common: Common,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many runs at most.")] = 20,
    device: OneDevice = None,
) -> int:
    """List the runs, newest first; this is what `history` alone does."""
    from ble_ota.cli.history import listed as job

    return await job(common, await common.load_settings(), limit=limit, device=device)


@command(history_app, "show", group="history")
async def history_show(
    common: Common,
    which: Annotated[str, typer.Argument(metavar="RUN|DEVICE", help="A run, or a device by address, name or keys.")],
) -> int:
    """Tell a run in full, with -v its events too; or a device's latest runs."""
    from ble_ota.cli.history import show as job

    return await job(common, await common.load_settings(), which)


@command(history_app, "export", group="history")
async def history_export(common: Common, device: OneDevice = None) -> int:
    """Print every run with its events, as a JSON line each."""
    from ble_ota.cli.history import export as job

    return await job(common, await common.load_settings(), device=device)


@command(history_app, "verify", group="history")
async def history_verify(
    common: Common,
    head: Annotated[
        str | None, typer.Option(metavar="COUNT:HASH", help="A head that this command printed; compare with it, too.")
    ] = None,
) -> int:
    """Check that the ledger still says what was written, and print the head of its audit log."""
    from ble_ota.cli.history import verify as job

    return await job(common, await common.load_settings(), head=head)


@command(reports_app, "list", group="reports")
async def reports_list(
    common: Common, everything: Annotated[bool, typer.Option("--all", help="Also those of long ago.")] = False
) -> int:
    """List the reports, those that are kept first; this is what `reports` alone does."""
    from ble_ota.cli.reports import listed as job

    return await job(common, await common.load_settings(), everything=everything)


@command(reports_app, "send", group="reports")
async def reports_send(common: Common, succeeded: Status = None, failed: Status = None, cloud: Cloud = None) -> int:
    """Send what is kept, as long as it is not too late for it."""
    from ble_ota.cli.reports import send as job

    numbers = {name: n for name, n in (("succeeded", succeeded), ("failed", failed)) if n is not None}
    return await job(common, await common.load_settings(cloud=cloud, report_status=numbers or None))


@command(reports_app, "resolve", group="reports")
async def reports_resolve(
    common: Common,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run that ended unproven.")],
    outcome: Annotated[Outcome, typer.Argument(help="What became of it, as you have seen yourself.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; it cannot be undone.")] = False,
) -> int:
    """Settle an unproven run by your word; its reports are kept as such, and never shown as the device's proof."""
    from ble_ota.cli.resolve import resolve as job

    return await job(common, await common.load_settings(), run, outcome, yes=yes)


@command(reports_app, "drop", group="reports")
async def reports_drop(
    common: Common,
    numbers: Annotated[list[int], typer.Argument(metavar="ID…", help="As `reports` shows them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; it cannot be undone.")] = False,
) -> int:
    """Never send these reports."""
    from ble_ota.cli.reports import drop as job

    return await job(common, await common.load_settings(), numbers, yes=yes)
