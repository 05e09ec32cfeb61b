from __future__ import annotations

import json
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec

import pytest
from typer.testing import CliRunner

from ble_ota import __version__
from ble_ota.cli.app import app
from ble_ota.virtual.peripherals.quecthing import Habits
from tests.cli.desk import Desk, started, told

COMMANDS = ["demo", "scan", "login", "logout", "whoami", "plan", "update", "flash"]
GROUPS = ["virtual", "history", "reports", "mqtt", "auto", "cache"]
COMMANDS += ["resume", "inspect", "doctor", *GROUPS]
COMMON = ["--json", "--config", "--profile", "--verbose", "--quiet", "--log-file", "--no-input"]
HEAVY = ["bleak", "bumble", "httpx", "sqlalchemy", "cryptography", "pydantic_settings", "keyring"]


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_help(command: str) -> None:
    assert f"\n  {command} " in help_of()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in GROUPS])
def test_every_command_takes_the_common_options(command: str) -> None:
    said = help_of(command)
    assert [option for option in COMMON if option not in said] == []


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "update --help", "virtual cloud --help", "mqtt --help", "cache --help"]
)
async def test_nothing_heavy_is_imported_to_say_little(arguments: str) -> None:
    program = (
        "import sys\nsys.argv = ['ble-ota', *sys.argv[1:]]\nfrom ble_ota.cli import main\n"
        f"try:\n    main()\nfinally:\n    print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)\n"
    )
    process = await create_subprocess_exec(sys.executable, "-c", program, *arguments.split(), stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert out
    assert err.decode().strip() == "[]"


async def test_the_module_is_the_command() -> None:
    out, _ = await (await started("--version")).communicate()
    assert out.decode().startswith(f"ble-ota {__version__} (Python 3.")


@pytest.mark.parametrize("arguments", [["fly"], ["update", "--fly"], ["flash"], ["demo", "--size", "0"]])
def test_a_command_line_that_cannot_be_meant_is_exit_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


async def test_an_update_from_the_shell_is_json_on_stdout_and_words_on_stderr(desk: Desk) -> None:
    process = await started("update", desk.name, "--yes", "--json")
    out, err = await process.communicate()
    said = told(out.decode(), err.decode())
    assert (process.returncode, said.last["event"], said.last["verdict"]) == (0, "run.finished", "PASS")
    assert said.words.endswith("PASS: the device runs MAIN 1.1.0\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_in_the_middle_of_a_transfer_ends_in_a_verdict(
    desk: Desk, number: signal.Signals, code: int
) -> None:
    desk.behaves(Habits(silent_after=500))
    process = await started("update", desk.name, "--yes", "--json")
    assert process.stdout is not None
    seen = b""
    while b'"transfer.started"' not in seen:
        line = await process.stdout.readline()
        assert line, "it ended before it was told to"
        seen += line
    process.send_signal(number)
    out, err = await process.communicate()
    said = told((seen + out).decode(), err.decode())
    assert (process.returncode, said.last["verdict"], said.last["exit_code"]) == (code, "ABORTED", code)


async def test_a_reader_that_goes_away_does_not_end_the_update(desk: Desk) -> None:
    process = await started("update", desk.name, "--yes", "--json")
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    _, err = await process.communicate()
    assert process.returncode == 0
    assert err.decode().endswith("PASS: the device runs MAIN 1.1.0\n")


async def test_secrets_are_nowhere_in_what_a_run_says_or_logs(desk: Desk) -> None:
    log = desk.world.folder / "log"
    secrets = [
        desk.world.user.password,
        desk.world.user.user_domain_secret,
        desk.device.binding_code,
        "Bearer ",
        "pwd=",
    ]
    process = await started("update", desk.name, "--yes", "--json", "-vv", "--log-file", str(log))
    out, err = await process.communicate()
    everything = out.decode() + err.decode() + log.read_text("utf-8")
    kept = json.loads((desk.world.folder.parent / "state" / "secrets.json").read_text("utf-8"))
    tokens = json.loads(next(v for name, v in kept.items() if name.startswith("session")))
    secrets += [tokens["access"].removeprefix("Bearer "), tokens["refresh"].removeprefix("Bearer "), "/oss/"]
    assert "DEBUG" in everything
    assert [s for s in secrets if s in everything] == []
