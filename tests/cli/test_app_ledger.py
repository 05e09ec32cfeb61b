from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app

COMMANDS = ["history list", "history show", "history export", "history verify"]
COMMANDS += ["reports list", "reports send", "reports drop", "reports resolve"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_common_options(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--help"])
    assert said.exit_code == 0
    assert all(option in said.output for option in ("--json", "--config", "--no-input"))


@pytest.mark.parametrize("group", ["history", "reports"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_group_alone_lists(group: str, options: list[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_STATE_DIR", str(tmp_path))
    said = CliRunner().invoke(app, [group, *options])
    assert said.exit_code == 0
    assert (f'"{group} list"' in said.output) is bool(options)


@pytest.mark.parametrize("group", ["history", "reports"])
def test_a_group_has_a_help_of_its_own(group: str) -> None:
    said = CliRunner().invoke(app, [group, "--help"])
    assert "Commands:" in said.output


def test_a_number_beyond_the_platforms_is_refused() -> None:
    assert CliRunner().invoke(app, ["reports", "send", "--succeeded", "13"]).exit_code == 2
