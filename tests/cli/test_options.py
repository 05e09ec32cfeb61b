from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app


@pytest.mark.parametrize(
    ("command", "option"),
    [("update", "--record"), ("flash", "--record"), ("update", "--cloud"), ("plan", "--radio"), ("flash", "--yes")],
)
def test_an_option_is_where_it_should_be(command: str, option: str) -> None:
    assert option in CliRunner().invoke(app, [command, "--help"]).output
