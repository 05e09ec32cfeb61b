"""The whole job over real HTTP and real ATT bytes, as `ble-ota demo` does it, seen from both ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ble_ota.cli import ask
from ble_ota.cli.common import Common
from ble_ota.cli.demo import values_of
from ble_ota.cli.run import Run
from ble_ota.cli.update import Task, bring_up_to_date, policy_of
from ble_ota.cli.wiring import vault_of
from ble_ota.model import Outcome
from ble_ota.settings import isolated
from ble_ota.target import Wanted
from ble_ota.virtual.developer_center import DeveloperCenter
from ble_ota.virtual.world import World

ORDER = [
    "run.started",
    "link.connected",
    "plan.shown",
    "plan.decided",
    "confirm.reported",
    "download.started",
    "download.done",
    "image.verified",
    "link.connected",
    "transfer.started",
    "transfer.done",
    "device.rebooting",
    "link.connected",
    "device.verified",
    "status.reported",
    "run.finished",
]


async def test_confirmed_before_the_firmware_and_reported_after_the_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World.create(tmp_path / "world", size_bytes=20_000)
    common = Common("demo", json=True)
    run = Run(common, "demo")

    async def job() -> Outcome:
        settings = isolated(**values_of(world))
        policy = policy_of(settings, allow_downgrade=False, attended=False)
        task = Task(run, settings, vault_of(settings), policy, ask.consent(common, yes=True))
        return await bring_up_to_date(task, Wanted(name=world.devices[0].name))

    assert await run.tell(job) == 0

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events if not e["event"].endswith(".progress")] == ORDER
    assert (events[-1]["verdict"], events[-1]["exit_code"]) == ("PASS", 0)

    records = DeveloperCenter(world).records()
    cloud = [r for r in records if r["what"] in ("plan.queried", "status.reported", "firmware.fetched")]
    assert [(r["what"], r.get("meaning")) for r in cloud] == [
        ("plan.queried", None),
        ("plan.queried", None),  # once more after the word was given: it must be the same plan still
        ("status.reported", "confirmed"),
        ("firmware.fetched", None),
        ("status.reported", "succeeded"),
    ]
    proven = next(e["ts"] for e in events if e["event"] == "device.verified")
    reported = next(e["ts"] for e in events if e["event"] == "status.reported")
    assert proven <= reported
