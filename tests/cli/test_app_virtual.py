from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app


@pytest.mark.parametrize("part", ["cloud", "radio", "device", "replay"])
def test_every_part_takes_the_common_options(part: str) -> None:
    said = CliRunner().invoke(app, ["virtual", part, "--help"])
    assert said.exit_code == 0
    assert "--json" in said.output


@pytest.mark.parametrize("count", ["-1", "10001"])
def test_a_world_has_at_most_ten_thousand_devices_online(count: str) -> None:
    assert CliRunner().invoke(app, ["virtual", "cloud", "--online", count]).exit_code == 2


def test_one_controller_is_no_air() -> None:
    assert CliRunner().invoke(app, ["virtual", "radio", "--clients", "1"]).exit_code == 2
