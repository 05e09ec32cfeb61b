"""A consent policy of one's own: small updates at any time, large ones between two and four in the morning."""

import asyncio

from ble_ota.model import Algorithm, Approved, Component, ComponentKind, Consent, DeviceInfo, Digest, FetchPlan, Plan
from ble_ota.model import PlannedFile as File
from ble_ota.planning import Policy, decide

LARGE_BYTES = 500_000
POLICY = Policy(allow_downgrade=False, strict_conditions=False, accept_md5=False, attended=False, reinstall=False)


def consent_at(hour: int) -> Consent:
    async def consent(plan: Plan) -> Approved | None:
        large = sum(c.size_bytes for c in plan.components) > LARGE_BYTES
        return None if large and not 2 <= hour < 4 else Approved(plan, "night policy")

    return consent


def plan_of(size_bytes: int) -> Plan:
    file = File("https://example.com/f", size_bytes, (Digest(Algorithm.SHA256, "0" * 64),))
    part = Component("MAIN", ComponentKind.MODULE, "1.1.0", "1.0.0", (file,))
    device = DeviceInfo("C0:DE:B0:E0:00:01", "bench", "pk", "dk", {"": "1.0.0"})
    decision = decide(device, FetchPlan("1", "pk", "dk", (part,)), POLICY, now_s=0)
    assert isinstance(decision, Plan)
    return decision


async def main() -> None:
    for size in (100_000, 5_000_000):
        for hour in (3, 12):
            word = await consent_at(hour)(plan_of(size))
            print(f"{size} bytes at {hour}:00: {'yes, by ' + word.by if word else 'no'}")


asyncio.run(main())
