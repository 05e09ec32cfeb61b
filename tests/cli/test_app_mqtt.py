from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app

COMMANDS = [f"mqtt {word}" for word in ("plan", "confirm", "appoint", "cancel", "retry", "status", "watch")]
COMMANDS += [f"auto {word}" for word in ("on", "off", "status")]
ASKING = ["mqtt confirm", "mqtt appoint", "mqtt cancel", "mqtt retry", "auto on"]
COMMON = ["--json", "--config", "--profile", "--verbose", "--quiet", "--log-file", "--no-input"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_common_options_and_names_devices(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--help"])
    assert said.exit_code == 0
    assert [o for o in [*COMMON, "--file", "--all", "--cloud"] if o not in said.output] == []
    assert ("--yes" in said.output) is (command in ASKING)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_device_is_exit_2(command: str) -> None:
    more = ["--start", "22:00", "--end", "+2h"] if command == "mqtt appoint" else []
    said = CliRunner().invoke(app, [*command.split(), *more])
    assert (said.exit_code, "--all" in said.output) == (2, True)


@pytest.mark.parametrize("times", [[], ["--start", "soon", "--end", "+1h"], ["--start", "22:00"]])
def test_an_appointment_without_times_is_exit_2_before_anything_else(times: list[str]) -> None:
    assert CliRunner().invoke(app, ["mqtt", "appoint", "pk/dk", *times]).exit_code == 2
