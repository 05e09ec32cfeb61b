from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app
from tests.cli.desk import started, told
from tests.cli.online import names, online

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


async def test_the_whole_flow_runs_from_the_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with online(tmp_path, capsys, monkeypatch) as desk:
        one, two, three = names(desk)
        flow = [
            (f"mqtt plan {one}", 0),
            (f"mqtt appoint {two} --start tomorrow --yes", 2),
            (f"mqtt appoint {two} --start 22:00 --end +90m --yes", 0),
            (f"mqtt appoint {two} --start 22:00 --end +30m --yes", 2),
            (f"mqtt confirm {one} {two} --yes", 0),
            (f"mqtt watch {one} {two}", 0),
            (f"mqtt cancel {three} --no-input", 2),
            (f"mqtt cancel {three} --yes", 0),
            (f"mqtt watch {three}", 40),
            (f"mqtt confirm {three} --yes", 12),
            (f"mqtt retry {three} --yes", 0),
            ("mqtt watch --all --for 30", 0),
            ("mqtt confirm --all --yes", 10),
            ("mqtt plan pk/nobody", 20),
            (f"auto on {one} --yes", 0),
            (f"auto off {one}", 0),
            ("mqtt status --all", 0),
        ]
        out = b""
        for arguments, code in flow:
            process = await started(*arguments.split(), "--json")
            out, err = await process.communicate()
            assert (arguments, process.returncode) == (arguments, code), err.decode()
            assert told(out.decode(), err.decode()).last["event"] == ("error" if code in (2, 20) else "result")
        assert {d["stage"] for d in told(out.decode(), "").last["data"]["devices"]} == {"succeeded"}
