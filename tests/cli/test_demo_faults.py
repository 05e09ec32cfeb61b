from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ble_ota.cli.app import app
from ble_ota.cli.common import Common
from ble_ota.cli.demo import demo
from ble_ota.cli.demo_faults import CARRY_ON, FAULTS, Fault, chosen
from ble_ota.errors import UsageError
from ble_ota.virtual.developer_center import DeveloperCenter
from ble_ota.virtual.peripherals.quecthing import Boot, Flash
from ble_ota.virtual.strikes import Strike, strike_of
from ble_ota.virtual.world import World
from tests.cli.desk import Told, told
from tests.cli.inline import without_thread

SIZE = 2000  # bytes: ten packets
PATIENCE_S = 20.0  # of whoever watches a demo

# Verdict, reason, and what the device runs; `kill` comes to none, see `test_demo.py`.
ENDS = {
    "link-cut": ("PASS", "verified", "1.1.0"),
    "link-cut-forgets": ("PASS", "verified", "1.1.0"),
    "power-cut": ("PASS", "verified", "1.1.0"),
    "pause": ("PASS", "verified", "1.1.0"),
    "truncated-download": ("PASS", "verified", "1.1.0"),
    "lost-report": ("PASS", "verified", "1.1.0"),
    "cloud-500": ("ERROR", "cloud_answer", "1.0.0"),
    "cloud-slow": ("ERROR", "cloud_unreachable", "1.0.0"),
    "flip-bit": ("ERROR", "trust", "1.0.0"),
    "silent": ("ERROR", "device_silent", "1.0.0"),
    "declined": ("FAIL", "declined_by_device", "1.0.0"),
    "cancel": ("FAIL", "cancelled_by_device", "1.0.0"),
    "found-bad": ("FAIL", "failed_by_device", "1.0.0"),
    "old-version": ("FAIL", "not_verified", "1.0.0"),
    "reverts": ("FAIL", "not_verified", "1.0.0"),
    "never-returns": ("ERROR", "unproven", "1.0.0"),
}


@dataclass(frozen=True, slots=True)
class Show:
    """Demos whose folder stays, so that one can look into it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    async def __call__(self, fault: str | None, *, devices: int = 1, quiet: bool = True) -> tuple[int, Told]:
        common = Common("demo", json=True, quiet=quiet)
        code = await demo(common, size=SIZE, devices=devices, fault=fault)
        return code, told(*self.capsys.readouterr())

    @property
    def world(self) -> World:
        return World.open(self.folder / "world")

    @property
    def boot(self) -> Boot:
        return Boot(self.world, Flash(self.world.home(self.world.devices[0])))

    def records(self, what: str) -> list[dict[str, Any]]:
        return [r for r in DeveloperCenter(self.world).records() if r["what"] == what]


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Show:
    folder = tmp_path / "shown"
    folder.mkdir()
    kept = SimpleNamespace(TemporaryDirectory=lambda prefix: nullcontext(str(folder)))
    monkeypatch.setattr("ble_ota.cli.demo.tempfile", kept)
    without_thread(monkeypatch)
    return Show(folder, capsys)


def events(said: Told, name: str) -> list[dict[str, Any]]:
    return [line for line in said.lines if line["event"] == name]


# ------------------------------------------------------------------ how each ends


@pytest.mark.looptime
@pytest.mark.parametrize("fault", [f for f in FAULTS if not f.kills], ids=lambda f: f.name)
async def test_a_demo_with_a_fault_ends_as_the_list_says(show: Show, fault: Fault) -> None:
    code, said = await show(fault.name)
    verdict, reason, runs = ENDS[fault.name]
    assert code == fault.exit_code
    assert (said.last["verdict"], said.last["reason"], said.last["exit_code"]) == (verdict, reason, code)
    package = show.world.firmware(show.world.components[0].files[0])
    assert show.boot.versions == {"MAIN": runs}
    assert b"".join(show.boot.image("MAIN")) == (package if runs == "1.1.0" else b"")


@pytest.mark.looptime
@pytest.mark.parametrize("name", ["link-cut-forgets", "silent", "reverts", "never-returns"])
async def test_nobody_waits_long_for_the_end(show: Show, name: str) -> None:
    now = asyncio.get_running_loop().time
    began_s = now()
    await show(name)
    assert now() - began_s < PATIENCE_S


def test_the_faults_have_names_of_their_own() -> None:
    assert len({f.name for f in FAULTS}) == len(FAULTS)


# ------------------------------------------------------------------ what is seen of each


@pytest.mark.looptime
async def test_a_cut_link_is_made_again_and_the_rest_is_sent(show: Show) -> None:
    _, said = await show("link-cut")
    assert len(events(said, "link.lost")) == 1
    assert [e["offset"] for e in events(said, "transfer.resumed")] == [800]
    told_of = [line["event"] for line in said.lines]
    after = said.lines[told_of.index("transfer.resumed") :]
    assert [line["bytes"] for line in after if line["event"] == "transfer.progress"][:3] == [800, 1000, 1200]


@pytest.mark.looptime
async def test_the_place_may_be_chosen(show: Show) -> None:
    _, said = await show("link-cut@80%")
    assert [e["offset"] for e in events(said, "transfer.resumed")] == [1600]


@pytest.mark.looptime
@pytest.mark.parametrize(("name", "again"), [("link-cut-forgets", 800), ("power-cut", 1200)])
async def test_a_device_that_forgets_is_sent_all_of_it_again(show: Show, name: str, again: int) -> None:
    _, said = await show(name)
    assert len(events(said, "link.lost")) == 1
    assert events(said, "transfer.resumed") == []
    assert said.last["bytes_resent"] >= again
    assert said.last["bytes_sent"] - said.last["bytes_resent"] == SIZE


@pytest.mark.looptime
async def test_a_pause_is_waited_out(show: Show) -> None:
    now = asyncio.get_running_loop().time
    began_s = now()
    _, said = await show("pause@50%")
    assert 1.0 < now() - began_s < 10
    assert events(said, "link.lost") == []


@pytest.mark.looptime
async def test_a_download_that_breaks_off_goes_on_where_it_was(show: Show) -> None:
    _, said = await show("truncated-download")
    assert [e["bytes"] for e in events(said, "download.progress")].count(0) == 1
    whole, rest = show.records("firmware.fetched")
    assert (whole["status"], rest["status"]) == (200, 206)
    assert rest["first"] > 0


@pytest.mark.looptime
async def test_a_report_that_is_not_taken_is_kept(show: Show) -> None:
    _, said = await show("lost-report")
    assert [e["outcome"] for e in events(said, "report.kept")] == ["succeeded"]
    assert [r["meaning"] for r in show.records("status.reported")] == ["confirmed"]


@pytest.mark.looptime
async def test_a_cloud_that_answers_nothing_but_500_is_done_for_at_once(show: Show) -> None:
    _, said = await show("cloud-500")
    assert said.names == ["run.started", "run.finished"]
    assert "HTTP 500" in said.last["message"]


@pytest.mark.looptime
async def test_a_slow_download_is_given_up_within_seconds(show: Show) -> None:
    now = asyncio.get_running_loop().time
    began_s = now()
    _, said = await show("cloud-slow")
    assert now() - began_s < 10
    assert "less than 1024 bytes per second" in said.last["message"]


@pytest.mark.looptime
@pytest.mark.parametrize("name", ["flip-bit", "cloud-slow"])
async def test_without_good_firmware_no_byte_goes_to_the_device(show: Show, name: str) -> None:
    _, said = await show(name)
    assert events(said, "transfer.started") == []


@pytest.mark.looptime
async def test_a_silent_device_is_heard_up_to_its_place(show: Show) -> None:
    _, said = await show("silent@50%")
    assert events(said, "transfer.progress")[-1]["bytes"] == 1000
    assert "1000 of 2000" in said.last["message"]


@pytest.mark.looptime
async def test_the_second_look_at_a_device_that_reverts_is_a_look_too_many(show: Show) -> None:
    _, said = await show("reverts")
    assert [e["purpose"] for e in events(said, "link.connected")][2] == "verify"
    assert events(said, "device.verified") == []


@pytest.mark.looptime
@pytest.mark.parametrize(("name", "of_each"), [("power-cut", "link.lost"), ("truncated-download", "download.done")])
async def test_each_of_several_devices_is_struck(show: Show, name: str, of_each: str) -> None:
    code, said = await show(name, devices=2)
    assert code == 0
    assert len({e["run"] for e in events(said, of_each)}) == 2
    assert len(show.records("firmware.fetched")) == (4 if name == "truncated-download" else 1)


@pytest.mark.looptime
async def test_what_is_going_to_happen_is_said_first(show: Show) -> None:
    _, said = await show("declined", quiet=False)
    assert "fault: the device does not want the file; exit 32\n" in said.words


# ------------------------------------------------------------------ as one writes it


@pytest.mark.parametrize(
    ("text", "percent"), [("link-cut", 40), ("link-cut@7%", 7), ("link-cut@99", 99), ("kill@1", 1), ("declined", 50)]
)
def test_a_place_is_a_percent_of_the_transfer(text: str, percent: int) -> None:
    assert chosen(text).percent == percent


@pytest.mark.parametrize("text", ["", "thunder", "link-cut@", "link-cut@x%", "link-cut@-1%", "link-cut@4.5%", "@40%"])
def test_a_fault_that_does_not_exist_names_those_that_do(text: str) -> None:
    with pytest.raises(UsageError, match="no fault") as caught:
        chosen(text)
    assert [f.written for f in FAULTS if f.written not in caught.value.hint] == []
    assert "--list-faults" in caught.value.hint


@pytest.mark.parametrize("text", ["link-cut@0%", "link-cut@100%", "kill@999%"])
def test_a_place_outside_of_the_transfer_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1 to 99 percent") as caught:
        chosen(text)
    assert "--list-faults" in caught.value.hint


def test_a_fault_without_a_place_takes_none() -> None:
    with pytest.raises(UsageError, match="takes no place") as caught:
        chosen("declined@40%")
    assert caught.value.hint.startswith("Write declined; ")


# ------------------------------------------------------------------ what it writes into a world


def test_a_kill_says_how_to_carry_on(tmp_path: Path) -> None:
    world = World.create(tmp_path, devices=2, size_bytes=SIZE)
    chosen("kill@25%").upon(world, quiet=False)
    assert [strike_of(world, d) for d in world.devices] == [Strike("host", 500, CARRY_ON)] * 2
    assert "`ble-ota resume`" in CARRY_ON


def test_a_kill_that_nobody_wants_words_about_says_none(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    chosen("kill").upon(world, quiet=True)
    assert strike_of(world, world.devices[0]) == Strike("host", 45875)


# ------------------------------------------------------------------ from the command line


def test_the_list_has_a_line_for_each() -> None:
    result = CliRunner().invoke(app, ["demo", "--list-faults"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == [f.written for f in FAULTS]
    assert all(f"exit {f.exit_code:3}  {f.what}" in line for f, line in zip(FAULTS, lines, strict=True))


def test_the_list_is_data_too() -> None:
    result = CliRunner().invoke(app, ["demo", "--list-faults", "--json"])
    line = json.loads(result.output)
    assert (line["event"], line["command"]) == ("result", "demo")
    first = {"name": "link-cut", "percent": 40, "exit_code": 0, "what": FAULTS[0].what}
    assert (line["data"][0], len(line["data"])) == (first, len(FAULTS))


def test_a_fault_that_does_not_exist_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["demo", "--fault", "thunder"])
    assert result.exit_code == 2


def test_a_fault_of_the_command_line_comes_to_pass() -> None:
    result = CliRunner().invoke(app, ["demo", "--fault", "declined", "--size", "10"])
    assert result.exit_code == 32
