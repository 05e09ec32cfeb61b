"""`ble-ota doctor`: each line ok, or what to do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from ble_ota.cli.common import Common
from ble_ota.cli.journal import place_of
from ble_ota.cli.wiring import cloud_at, radio_of, vault_of
from ble_ota.cloud import base_url
from ble_ota.errors import BleOtaError
from ble_ota.ledger import Ledger
from ble_ota.settings import EVIDENCE, ReportStatus, Settings, default_file

ROOM_BYTES = 200_000_000  # two images of the largest size
SKEW_MAX_S = 300.0  # our choice: tokens live for hours, a login's time stamp for ten minutes
ASK_S = 10.0
LISTEN_S = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    what: str
    ok: bool
    says: str
    hint: str = ""
    exit_code: int = 0


async def doctor(common: Common, settings: Settings) -> int:
    """Run `ble-ota doctor`; the exit code is that of the first line that is not ok."""
    checks: tuple[Callable[[Common, Settings], Awaitable[list[Finding]]], ...] = (
        _settings,
        _adapter,
        _cloud,
        _disk,
        _ledger,
        _secrets,
        _inferred,
    )
    findings = [finding for check in checks for finding in await check(common, settings)]
    common.result([asdict(f) for f in findings], "\n".join(_line(f) for f in findings))
    return next((f.exit_code for f in findings if not f.ok), 0)


def _line(finding: Finding) -> str:
    hint = f"\n      hint: {finding.hint}" if finding.hint else ""
    return f"{'ok' if finding.ok else 'NO':4}{finding.what}: {finding.says}{hint}"


async def _settings(common: Common, _settings: Settings) -> list[Finding]:
    path = common.config or default_file()
    return [Finding("settings", True, f"{path}{'' if path.exists() else ' (not there: defaults and environment)'}")]


async def _adapter(_common: Common, settings: Settings) -> list[Finding]:
    try:
        async with radio_of(settings) as radio:
            heard = {advert.address async for advert in radio.scan(within_s=LISTEN_S)}
    except BleOtaError as error:
        return [Finding("radio", False, str(error), _mend(settings, error), error.exit_code)]
    return [Finding("radio", True, f"{settings.radio} works ({len(heard)} devices heard in {LISTEN_S:g} s)")]


def _mend(settings: Settings, error: BleOtaError) -> str:
    if settings.radio != "bleak":
        return error.hint
    return "Switch Bluetooth on (Linux: bluetoothd must run, `bluetoothctl power on`), or pass another `--radio`"


async def _cloud(_common: Common, settings: Settings) -> list[Finding]:
    try:
        async with cloud_at(settings) as place, httpx.AsyncClient(timeout=ASK_S) as client:
            url = base_url(place)
            answer = await client.head(url)
    except BleOtaError as error:
        return [Finding("cloud", False, str(error), error.hint, error.exit_code)]
    except httpx.HTTPError as error:
        says = f"{settings.cloud} cannot be reached: {type(error).__name__}"
        return [Finding("cloud", False, says, "Check the network, the proxy and `--cloud`", 20)]
    return [Finding("cloud", True, f"{url} answers"), *_clock(answer.headers.get("date", ""))]


def _clock(said: str) -> list[Finding]:
    try:
        skew_s = time.time() - parsedate_to_datetime(said).timestamp()
    except (ValueError, TypeError):
        return []
    ok = abs(skew_s) <= SKEW_MAX_S
    hint = "" if ok else "Set this machine's clock: tokens are refused otherwise"
    return [Finding("clock", ok, f"{skew_s:+.0f} s against the Developer Center", hint, 0 if ok else 3)]


async def _disk(_common: Common, settings: Settings) -> list[Finding]:
    folder = settings.cache_dir
    there = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        free = shutil.disk_usage(there).free
        writable = _writable(there)
    except OSError as error:
        return [Finding("cache", False, f"{folder}: {error.strerror}", "Set `cache_dir`", 22)]
    ok = writable and free >= ROOM_BYTES
    says = f"{folder}, {free // 1_000_000} MB free{'' if writable else ', not writable'}"
    return [Finding("cache", ok, says, "" if ok else "Make room, or set `cache_dir`", 0 if ok else 22)]


def _writable(folder: Path) -> bool:
    import os

    return os.access(folder, os.W_OK)


async def _ledger(_common: Common, settings: Settings) -> list[Finding]:
    place = place_of(settings)
    if isinstance(place, Path) and not place.exists():
        return [Finding("ledger", True, f"{place} (not there: the first run makes it)")]
    try:
        async with await Ledger.open(place) as ledger:
            left, kept = len(await ledger.unfinished()), len(await ledger.kept())
    except BleOtaError as error:
        return [Finding("ledger", False, str(error), error.hint, error.exit_code)]
    shown = place if isinstance(place, Path) else "the database that `ledger` names"
    return [Finding("ledger", True, f"{shown}: {left} runs to resume, {kept} reports to send")]


async def _secrets(_common: Common, settings: Settings) -> list[Finding]:
    return [Finding("secrets", True, f"kept in {vault_of(settings).where}")]


async def _inferred(_common: Common, settings: Settings) -> list[Finding]:
    """Settings in force that no public source states; not wrong, but the first place to look."""
    shown: list[Finding] = []
    for name, (evidence, why) in EVIDENCE.items():
        if evidence != "documented":
            value: object = settings
            for part in name.split("."):
                value = getattr(value, part)
            value = value.known() if isinstance(value, ReportStatus) else value
            shown.append(Finding(f"{evidence}", True, f"{name} = {value} ({why})"))
    unset = [o for o in ("succeeded", "failed") if o not in settings.report_status.known()]
    if unset:
        says = f"report_status has no number for {' and '.join(unset)}: such reports are not sent"
        shown.append(Finding("unknown", True, says, "Ask Quectel which numbers your platform uses"))
    return shown
