"""`ble-ota plan`: what would be done, and why."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ble_ota.cli.choose import chosen
from ble_ota.cli.common import Common
from ble_ota.cli.render import plan_text
from ble_ota.cli.session import filled, known, secret, session_of
from ble_ota.cli.update import policy_of
from ble_ota.cli.wiring import drivers_of, radio_of, vault_of
from ble_ota.cloud import DeveloperCenter
from ble_ota.events import silent
from ble_ota.model import Blocked, DeviceInfo, FetchPlan, Plan, UpToDate
from ble_ota.planning import decide
from ble_ota.settings import Settings
from ble_ota.target import Wanted, describe, look
from ble_ota.vault import Vault


async def plan(common: Common, settings: Settings, named: str | None, *, allow_downgrade: bool) -> int:
    """Run `ble-ota plan`; exit 0 with a plan, 10 without, 12 where policy would refuse it."""
    vault = vault_of(settings)
    wanted = Wanted.parse(named or "")
    async with session_of(common, settings, vault) as center:
        device = await _device(common, settings, center, vault, wanted)
        fetched = await center.fetch_plan(device)
        if fetched is None:
            common.result({"plan": None}, "The Developer Center has no plan for this device")
            return 10
        policy = policy_of(settings, allow_downgrade=allow_downgrade, attended=True)
        decision = decide(device, fetched, policy, now_s=time.time())
    common.result(_data(device, fetched, decision), _text(device, fetched, decision))
    match decision:
        case Plan():
            return 0
        case UpToDate():
            return 10
        case Blocked():
            return 12


async def _device(
    common: Common, settings: Settings, center: DeveloperCenter, vault: Vault, wanted: Wanted
) -> DeviceInfo:
    """The device by its own word; one named by its keys by the Developer Center's."""
    if wanted.product_key and wanted.device_key:
        versions = await center.versions(wanted.product_key, wanted.device_key)
        return DeviceInfo("", "", wanted.product_key, wanted.device_key, versions)
    async with radio_of(settings) as radio:
        drivers = drivers_of(settings).values()
        heard = await chosen(common, radio, drivers, wanted, within_s=settings.scan_s)
        target, login = await known(heard, center, vault, secret(settings.device_secret))
        said = describe(target, await look(target, radio, login, emit=silent, purpose="identify"))
    return await filled(said, center, silent)


def _text(device: DeviceInfo, fetched: FetchPlan, decision: Plan | UpToDate | Blocked) -> str:
    shown = decision if isinstance(decision, Plan) else Plan(device, fetched, fetched.components)
    return f"{plan_text(shown)}\n{_conditions(fetched)}\n{_decision(decision)}"


def _conditions(fetched: FetchPlan) -> str:
    asked = {
        "battery at least": (fetched.conditions.battery_percent, "%"),
        "signal at least": (fetched.conditions.rssi_dbm, "dBm"),
        "free space at least": (fetched.conditions.free_bytes, "bytes"),
    }
    said = [f"{what} {value} {unit}" for what, (value, unit) in asked.items() if value is not None]
    return f"  conditions: {', '.join(said) or 'none'}"


def _decision(decision: Plan | UpToDate | Blocked) -> str:
    match decision:
        case Plan():
            return "Would be installed, once you agree"
        case UpToDate():
            return f"Nothing to do: {decision.why}"
        case Blocked():
            return f"Would be refused: {decision.why}\n\nhint: {decision.hint}"


def _data(device: DeviceInfo, fetched: FetchPlan, decision: Plan | UpToDate | Blocked) -> Mapping[str, Any]:
    components = [
        {
            "component": c.no,
            "kind": c.kind.name.lower(),
            "delta": c.delta,
            "running": device.running(c),
            "from": c.source_version,
            "to": c.target_version,
            "notes": c.notes,
            "files": [{"name": f.name, "size": f.size_bytes, "digests": [str(d) for d in f.digests]} for f in c.files],
        }
        for c in fetched.components
    ]
    why = ", ".join(decision.doubts) if isinstance(decision, Plan) else decision.why
    words = {Plan: "install", UpToDate: "up-to-date", Blocked: "blocked"}
    return {
        "plan": fetched.id,
        "device": f"{fetched.product_key}/{fetched.device_key}",
        "conditions": asdict(fetched.conditions),
        "components": components,
        "decision": words[type(decision)],
        "why": why,
    }
