"""`ble-ota doctor`: each line ok, or what to do."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from ble_ota.cli.common import Common
from ble_ota.cli.doctor_bluetooth import bluetooth, told
from ble_ota.cli.doctor_system import RealSystem, System
from ble_ota.cli.finding import Finding
from ble_ota.cli.journal import place_of
from ble_ota.cli.tokens import tokens_of
from ble_ota.cli.wiring import cloud_at, radio_of, vault_of
from ble_ota.cloud import ENDPOINTS, REGIONS, base_url, override
from ble_ota.cloud.endpoints import is_loopback
from ble_ota.errors import BleOtaError, SettingsError, StorageError
from ble_ota.ledger import Ledger
from ble_ota.settings import EVIDENCE, ReportStatus, Settings, default_file
from ble_ota.text import clean

ROOM_BYTES = 200_000_000  # two images of the largest size
SKEW_MAX_S = 300.0  # our choice: tokens live for hours, a login's time stamp for ten minutes
ASK_S = 10.0
LISTEN_S = 0.5
ANSWER_MAX = 64_000  # bytes looked at; a refusal has some hundred
SYSTEM: Callable[[], System] = RealSystem
DOCTOR = "`ble-ota doctor`"  # no hint for those who just ask one
_OTHER_RADIO = "Switch Bluetooth off and on again, or pass another `--radio`"
_PORTAL = "Check `--cloud`: a portal or a proxy may be answering; log in to the network with a browser"


async def doctor(common: Common, settings: Settings) -> int:
    """Run `ble-ota doctor`; the exit code is that of the first line that is not ok."""
    checks: tuple[Callable[[Common, Settings], Awaitable[list[Finding]]], ...] = (
        _settings,
        _adapter,
        _cloud,
        _disk,
        _ledger,
        _secrets,
        _session,
        _inferred,
        _endpoints,
    )
    findings = [finding for check in checks for finding in await check(common, settings)]
    common.result([asdict(f) for f in findings], "\n".join(map(str, findings)))
    return next((f.exit_code for f in findings if not f.ok), 0)


async def _settings(common: Common, _settings: Settings) -> list[Finding]:
    path = common.config or default_file()
    return [Finding("settings", True, f"{path}{'' if path.exists() else ' (not there: defaults and environment)'}")]


async def _adapter(_common: Common, settings: Settings) -> list[Finding]:
    """The system's Bluetooth first, where that is what is asked for; then whether anything is heard."""
    kind, _, wanted = settings.radio.partition(":")
    system = SYSTEM() if kind == "bleak" else None
    lines = await bluetooth(system, wanted) if system is not None else []
    if all(line.ok for line in lines):
        lines.append(await _listening(settings, system))
    return lines


async def _listening(settings: Settings, system: System | None) -> Finding:
    try:
        async with radio_of(settings) as radio:
            heard = {advert.address async for advert in radio.scan(within_s=LISTEN_S)}
    except BleOtaError as error:
        says, hint = (told(error, system.kind) if system is not None else None) or (str(error), error.hint)
        return Finding("radio", False, says, _OTHER_RADIO if DOCTOR in hint else hint, error.exit_code)
    return Finding("radio", True, f"{settings.radio} works ({len(heard)} devices heard in {LISTEN_S:g} s)")


async def _cloud(_common: Common, settings: Settings) -> list[Finding]:
    """Ask for the account without a token: a Developer Center answers that with its envelope, and nobody else does."""
    try:
        where = base_url(settings.cloud)
        call = override(ENDPOINTS, settings.endpoints)["userInfo"]
        async with cloud_at(settings) as place:
            reached = await _asked(call.method, base_url(place) + call.path)
    except BleOtaError as error:
        return [Finding("cloud", False, str(error), error.hint, error.exit_code)]
    if isinstance(reached, httpx.HTTPError):
        says, hint = _trouble(reached)
        return [Finding("cloud", False, f"{where}: {says}", hint, 20)]
    if wrong := _not_the_center(reached):
        return [Finding("cloud", False, f"{where}: {wrong}", _PORTAL, 20)]
    return [Finding("cloud", True, f"{where} answers"), _clock(reached.date)]


@dataclass(frozen=True, slots=True)
class _Reached:
    """Who answered, and how."""

    status: int
    body: bytes
    date: str


async def _asked(method: str, url: str) -> _Reached | httpx.HTTPError:
    """Send one request without a token; give what came, or why nothing did."""
    by_proxy = not is_loopback(httpx.URL(url).host)  # as the calls themselves go
    try:
        async with (
            asyncio.timeout(ASK_S),
            httpx.AsyncClient(timeout=ASK_S, trust_env=by_proxy) as client,
            client.stream(method, url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            body = b""
            async for chunk in answer.aiter_raw():
                if len(body := body + chunk) > ANSWER_MAX:
                    break
            return _Reached(answer.status_code, body[:ANSWER_MAX], answer.headers.get("date", ""))
    except httpx.HTTPError as error:
        return error
    except TimeoutError:
        return httpx.ReadTimeout("as a whole")


def _trouble(error: httpx.HTTPError) -> tuple[str, str]:
    """What went wrong on the way in plain words, and what to do."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {ASK_S:g} s", "Check the network; a firewall may drop what is sent there"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            says = f"its certificate is not trusted: {clean(cause.verify_message, most=100)}"
            return says, "Check this machine's clock and `--cloud`; a proxy or a portal may be answering in its place"
        if isinstance(cause, ssl.SSLError):
            return "no TLS is spoken there", _PORTAL
        if isinstance(cause, socket.gaierror):
            return "the name is not found", "Check the network, its name server, and `--cloud`"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection is refused", "Check `--cloud` and its port; nothing listens there"
        cause = cause.__cause__ or cause.__context__
    return f"the connection broke off ({type(error).__name__})", "Check the network, the proxy and `--cloud`"


def _not_the_center(reached: _Reached) -> str:
    """Why this is no Developer Center's answer; "" where it is one."""
    if reached.body.lstrip()[:1] == b"<":
        return f"a web page answers (HTTP {reached.status}), not a Developer Center"
    try:
        said: object = json.loads(reached.body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and "code" in said:
        return ""
    return f"HTTP {reached.status} with something else than a Developer Center's answer"


def _clock(said: str) -> Finding:
    try:
        date = parsedate_to_datetime(said)
        skew_s = time.time() - date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return Finding("clock", True, "cannot be compared: the Developer Center does not tell its time")
    way = "ahead of" if skew_s > 0 else "behind"
    says = f"{abs(skew_s):.0f} s {way} the Developer Center's"
    if abs(skew_s) <= SKEW_MAX_S:
        return Finding("clock", True, says)
    hint = "Set this machine's clock (Linux: `timedatectl set-ntp true`): tokens and certificates are refused otherwise"
    return Finding("clock", False, says, hint, 3)


async def _session(common: Common, settings: Settings) -> list[Finding]:
    under = f" (profile {common.profile})" if common.profile else ""
    try:
        where = f"{base_url(settings.cloud)}{under}"
        store = tokens_of(common, settings, vault_of(settings))
        kept = await asyncio.to_thread(store.load)
    except SettingsError:
        return []  # as the cloud's line says
    except BleOtaError as error:
        return [Finding("session", False, str(error), error.hint, error.exit_code)]
    if kept is None:
        return [Finding("session", True, f"none is kept for {where}", "`ble-ota login` makes one")]
    until = _when(kept.refresh_expires_s)
    if kept.refresh_expires_s <= time.time():
        return [Finding("session", True, f"that for {where} ended {until}", "Run `ble-ota login`")]
    return [Finding("session", True, f"of {store.account} for {where}, until {until}")]


def _when(unix_s: float) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_s).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "a time that is none"


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
    try:
        where = await asyncio.to_thread(lambda: vault_of(settings).where)
    except StorageError as error:
        return [Finding("secrets", False, str(error), error.hint, error.exit_code)]
    return [Finding("secrets", True, f"kept in {where}")]


async def _endpoints(_common: Common, settings: Settings) -> list[Finding]:
    """Calls whose spelling no public source states in full."""
    region = REGIONS.get(settings.cloud.strip().lower())
    shown = [Finding(region.evidence, True, f"cloud {region.name} = {region.url}")] if region else []
    for name, endpoint in ENDPOINTS.items():
        said = "; `endpoints` says otherwise" if name in settings.endpoints else ""
        shown.append(Finding(endpoint.evidence, True, f"{name}: {endpoint.note}{said}"))
    return [finding for finding in shown if finding.what != "documented"]


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
