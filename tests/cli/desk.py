"""A desk: a virtual world on the air of `virtual:DIR`, its Developer Center on HTTP, and a command line before them."""

from __future__ import annotations

import io
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import ble_ota
from ble_ota.cli.common import Common
from ble_ota.cli.update import update
from ble_ota.virtual.developer_center import DeveloperCenter
from ble_ota.virtual.peripherals.quecthing import Boot, Flash, Habits
from ble_ota.virtual.world import World, WorldDevice

SCHEMA = Path(ble_ota.__file__).with_name("events.schema.json")


@dataclass(frozen=True, slots=True)
class Told:
    """What one command said."""

    lines: list[dict[str, Any]]
    words: str

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]

    @property
    def names(self) -> list[str]:
        return [line["event"] for line in self.lines if not str(line["event"]).endswith(".progress")]


class Person(io.StringIO):
    """Somebody at the terminal, who types this."""

    def isatty(self) -> bool:
        return True


def person(monkeypatch: pytest.MonkeyPatch, types: str) -> None:
    """Put somebody before stdin and stderr."""
    monkeypatch.setattr("sys.stdin", Person(types))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


@cache
def _validator(event: str) -> jsonschema.Draft202012Validator:
    """That of one event alone: to try each against each line is a fifth of what these tests cost."""
    definitions = json.loads(SCHEMA.read_text("utf-8"))["$defs"]
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{event}", "$defs": definitions})


def told(out: str, err: str) -> Told:
    """Read what was said; each line of stdout is an event that fits the schema."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    for line in lines:
        _validator(line["event"]).validate(line)
    return Told(lines, err)


@dataclass(frozen=True, slots=True)
class Desk:
    """See above. The environment says where everything is, as it does for a person's shell."""

    world: World
    center: DeveloperCenter
    url: str
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def device(self) -> WorldDevice:
        return self.world.devices[0]

    @property
    def name(self) -> str:
        """As `DEVICE` of the command line that is found quickest."""
        return self.device.address

    @property
    def boot(self) -> Boot:
        return Boot(self.world, Flash(self.world.home(self.device)))

    def behaves(self, habits: Habits) -> None:
        """From its next power-on the device has these habits, and the quick reboot of a virtual place."""
        plain = asdict(habits) | {"settle_s": 0.1, "boot_s": 0.1}
        (self.world.home(self.device) / "habits.json").write_text(json.dumps(plain), "utf-8")

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self.monkeypatch.setenv(f"BLE_OTA_{name.upper()}", str(value))

    def unset(self, *settings: str) -> None:
        for name in settings:
            self.monkeypatch.delenv(f"BLE_OTA_{name.upper()}")

    def records(self, what: str) -> list[dict[str, Any]]:
        return [r for r in self.center.records() if r["what"] == what]

    async def update(
        self, *, yes: bool = True, json: bool = True, down: bool = False, device: str = "", offline: bool = False
    ) -> int:
        common = Common("update", json=json, no_input=True)
        return await update(common, device or self.name, flags={}, yes=yes, allow_downgrade=down, offline=offline)

    def told(self) -> Told:
        """What was said since the last time one asked."""
        return told(*self.capsys.readouterr())


async def started(*arguments: str, stdin: int = DEVNULL, stdout: int = PIPE, stderr: int = PIPE) -> Process:
    """`ble-ota` as a process of its own, with this process's environment."""
    return await create_subprocess_exec(
        sys.executable, "-m", "ble_ota", *arguments, stdin=stdin, stdout=stdout, stderr=stderr, env=dict(os.environ)
    )
