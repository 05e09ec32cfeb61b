"""The commands of `ble-ota cache`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ble_ota.cli.common import Common, command


class Shelf(TyperGroup):
    """A group that lists what is there, when no command of it is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- typer's own click has no public name
        """Put `ls` before options that stand alone."""
        bare = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["ls", *args] if bare else args)


cache_app = typer.Typer(
    rich_markup_mode=None, help="Firmware files on this machine, and their way to machines with no network.", cls=Shelf
)

GIGABYTE = 1_000_000_000  # our choice: ten of the largest files
DAY_S = 86_400.0

One = Annotated[str, typer.Argument(metavar="SHA256", help="A file, by six or more digits of its digest.")]
Some = Annotated[list[str] | None, typer.Argument(metavar="[SHA256…]", help="Only these; else all.")]
PinName = Annotated[str, typer.Option("--name", metavar="NAME", help="Whose pin it is; each holds by itself.")]


@command(cache_app, "ls", group="cache")
async def cache_ls(common: Common) -> int:
    """List the files, the latest used first; this is what `cache` alone does."""
    from ble_ota.cli.cache import ls as job

    return await job(common, await common.load_settings())


@command(cache_app, "path", group="cache")
async def cache_path(
    common: Common,
    which: Annotated[str | None, typer.Argument(metavar="[SHA256]", help="A file; the folder if left out.")] = None,
) -> int:
    """Print where the cache is, or a file of it, after it was checked."""
    from ble_ota.cli.cache import path as job

    return await job(common, await common.load_settings(), which)


@command(cache_app, "add", group="cache")
async def cache_add(
    common: Common,
    file: Annotated[Path, typer.Argument(help="The firmware file.")],
    name: Annotated[str, typer.Option(help="What it goes by; its own name if left out.")] = "",
    version: Annotated[str, typer.Option(help="The version it brings.")] = "",
) -> int:
    """Keep a copy of a local file."""
    from ble_ota.cli.cache import add as job
    from firmware_cache import Known

    return await job(common, await common.load_settings(), file, Known(name, version))


@command(cache_app, "verify", group="cache")
async def cache_verify(common: Common, which: Some = None) -> int:
    """Read the files and compare them with their digests; exit 21 where one is damaged."""
    from ble_ota.cli.cache import verify as job

    return await job(common, await common.load_settings(), which or [])


@command(cache_app, "prune", group="cache")
async def cache_prune(
    common: Common,
    max_bytes: Annotated[int, typer.Option(min=0, help="What the files may take together.")] = GIGABYTE,
    min_age: Annotated[float, typer.Option(min=0, help="Seconds since its last use below which a file stays.")] = DAY_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> int:
    """Make room, the least recently used first; what is pinned or in use stays."""
    from ble_ota.cli.cache import prune as job

    return await job(common, await common.load_settings(), max_bytes, min_age, dry_run=dry_run)


@command(cache_app, "pin", group="cache")
async def cache_pin(common: Common, which: One, name: PinName = "user") -> int:
    """Keep a file from being removed; a whole digest may be of one that is still to come."""
    from ble_ota.cli.cache import pin as job

    return await job(common, await common.load_settings(), which, name)


@command(cache_app, "unpin", group="cache")
async def cache_unpin(common: Common, which: One, name: PinName = "user") -> int:
    """Let a file be removed again."""
    from ble_ota.cli.cache import unpin as job

    return await job(common, await common.load_settings(), which, name)


@command(cache_app, "push", group="cache")
async def cache_push(
    common: Common,
    folder: Annotated[Path, typer.Argument(help="The mirror: any folder, also one that a web server serves.")],
    which: Some = None,
) -> int:
    """Fill a mirror for machines with no network of their own."""
    from ble_ota.cli.cache import push as job

    return await job(common, await common.load_settings(), folder, which or [])


@command(cache_app, "export", group="cache")
async def cache_export(
    common: Common,
    file: Annotated[Path, typer.Argument(help="The bundle to write: a plain tar.")],
    which: Some = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> int:
    """Write files into a bundle, to carry them to a machine with no network."""
    from ble_ota.cli.cache import export as job

    return await job(common, await common.load_settings(), file, which or [], force=force)


@command(cache_app, "import", group="cache")
async def cache_import(
    common: Common, file: Annotated[Path, typer.Argument(help="A bundle that `cache export` wrote.")]
) -> int:
    """Take in the files of a bundle, each checked; exit 21 where one is damaged or lacking."""
    from ble_ota.cli.cache import import_ as job

    return await job(common, await common.load_settings(), file)
