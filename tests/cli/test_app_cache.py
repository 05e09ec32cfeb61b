from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app

COMMANDS = ["ls", "path", "add", "verify", "prune", "pin", "unpin", "push", "export", "import"]
COMMON = ["--json", "--config", "--profile", "--verbose", "--quiet", "--log-file", "--no-input"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_common_options(command: str) -> None:
    said = CliRunner().invoke(app, ["cache", command, "--help"])
    assert (said.exit_code, [option for option in COMMON if option not in said.output]) == (0, [])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_group_alone_lists(options: list[str]) -> None:
    said = CliRunner().invoke(app, ["cache", *options])
    assert said.exit_code == 0
    assert ('"cache ls"' in said.output) is bool(options)


def test_the_group_has_a_help_of_its_own() -> None:
    said = CliRunner().invoke(app, ["cache", "--help"])
    assert [c for c in COMMANDS if f"\n  {c} " not in said.output] == []


@pytest.mark.parametrize("command", ["add", "pin", "unpin", "push", "export", "import"])
def test_a_command_without_what_it_is_about_is_exit_2(command: str) -> None:
    assert CliRunner().invoke(app, ["cache", command]).exit_code == 2
