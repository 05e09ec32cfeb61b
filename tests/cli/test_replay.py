from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.replay import Host, replay, zeros
from ble_ota.cli.verdict import Ended, of_error, of_outcome
from ble_ota.content import BLOCK_BYTES, Content
from ble_ota.errors import BleOtaError, SettingsError, UsageError
from ble_ota.events import Event, TransferProgress, TransferResumed
from ble_ota.install import Patience
from ble_ota.model import Mark, Secret
from ble_ota.protocols.quecthing import Options
from ble_ota.transcript import Transcript, parse
from ble_ota.virtual.air import Fate, Operation
from ble_ota.virtual.peripherals.quecthing import Habits, Pause
from ble_ota.virtual.peripherals.quecthing.replay import Divergence
from ble_ota.virtual.replayed import replayed
from ble_ota.virtual.swift import swiftly
from ble_ota.virtual.world import World
from tests.bench import Bench, bench, images
from tests.cli.desk import Told, told
from tests.taped import ADVERT, DEVICE, PART, Line, Taped, heard, link, out, taped, written

FEW = Patience(links=2, look_again_s=5)
KEEPS = Habits(keeps_session_over_disconnect=True)
LOOK = link(out(0x7040), heard(0x7041, fields={"12": {"text": "1.1.0"}}, t=1))


async def again(transcript: Transcript) -> tuple[Ended, list[Event], Divergence | None]:
    """Play a transcript; how it ended, what was told, and where it was another conversation."""
    on, events = replayed(transcript), list[Event]()
    try:
        ended = of_outcome(await Host.of(on).play(events.append))
    except BleOtaError as error:
        ended = of_error(error)
    return ended, events, on.device.divergence()


def plain(events: Sequence[Event]) -> list[Event]:
    """Without rates, which are a matter of time."""
    return [replace(e, rate_bps=0) if isinstance(e, TransferProgress) else e for e in events]


async def holds(run: Taped) -> None:
    """The replay comes to the same verdict by the same events, in the same conversation."""
    ended, events, divergence = await again(run.transcript)
    assert divergence is None
    assert (ended.verdict, ended.reason, ended.exit_code) == (run.ended.verdict, run.ended.reason, run.ended.exit_code)
    assert plain(events) == plain(run.events)


# ---------------------------------------------------------------------- round trips


def shortly(what: object) -> str:
    """Habits by what is unusual in them."""
    if not isinstance(what, Habits):
        return str(what)
    return ", ".join(f.name for f in fields(what) if getattr(what, f.name) != getattr(Habits(), f.name)) or "good"


TROUBLE = [
    (Habits(), "verified"),
    (Habits(declines=True), "declined_by_device"),
    (Habits(silent_after=1000), "device_silent"),
    (Habits(cancel_at=1000), "cancelled_by_device"),
    (Habits(fail_at_end=True), "failed_by_device"),
    (Habits(boots_old=True), "not_verified"),
    (Habits(wrong_offset_at=1000), "malformed"),
    (Habits(pauses=(Pause(at=1000), Pause(at=2000, answer="then"), Pause(at=3000, answer="held"))), "verified"),
    (Habits(pauses=(Pause(at=1000),), drops_while_paused=True), "verified"),
    (Habits(pauses=(Pause(at=1000, lasts_s=None),)), "pause_never_ended"),
    (Habits(id9="next"), "verified"),
    (Habits(chunk_bytes=17), "verified"),
    (Habits(chunk_bytes=4000), "verified"),
    (Habits(pads_empty=True), "verified"),
    (Habits(erase_s=37), "verified"),
    (Habits(slow_answer_s=4.49), "verified"),
    (Habits(settle_s=60), "verified"),
    (Habits(boot_s=100), "verified"),
    (Habits(never_returns=True), "unproven"),
    (Habits(reboots_without_ack=True), "verified"),
    (Habits(answers_version=False, firmware_revision=True), "verified"),
    (Habits(answers_version=False), "unproven"),
    (Habits(floods=40), "verified"),
    (Habits(accepts_without_bytes=True), "malformed"),
    (Habits(answers_offset="beyond", answers_offset_at=1000), "malformed"),
]


@pytest.mark.looptime
@pytest.mark.parametrize(("habits", "reason"), TROUBLE, ids=shortly)
async def test_a_recorded_run_comes_to_its_verdict(tmp_path: Path, habits: Habits, reason: str) -> None:
    run = await taped(bench(tmp_path, habits), FEW)
    assert run.ended.reason == reason
    await holds(run)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("habits", "options"),
    [
        (Habits(packet_bound="frame"), Options(packet_bound="frame")),
        (Habits(encrypt_transfer=False), Options(encrypt_transfer=False)),
        (Habits(login_required=False), Options(login=False)),
        (Habits(check_code="hex"), Options(check_code="hex")),
    ],
    ids=shortly,
)
async def test_the_recorded_settings_hold(tmp_path: Path, habits: Habits, options: Options) -> None:
    run = await taped(bench(tmp_path, habits, options=options), FEW)
    assert run.ended.reason == "verified"
    await holds(run)


@pytest.mark.looptime
async def test_a_login_that_fails_fails_again(tmp_path: Path) -> None:
    run = await taped(bench(tmp_path), FEW, secret=Secret("AAAAAAAAAAAAAAAAAAAAAA=="))
    assert run.ended.reason == "login_failed"
    await holds(run)


@pytest.mark.looptime
async def test_several_components_of_several_files_are_sent_again(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 700, b"n" * 300), "MCU": (b"u" * 400,)})
    run = await taped(Bench(world, options=Options(version_ids={"": 12, "MCU": 13})), FEW)
    assert run.ended.reason == "verified"
    assert [len(p.files) for p in run.transcript.parts] == [2, 1]
    await holds(run)


@dataclass(frozen=True, slots=True)
class Left:
    """The marks of an earlier run."""

    mark: Mark

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        return self.mark if (component, file, sha256) == (self.mark.component, 0, self.mark.sha256) else None

    def keep(self, mark: Mark) -> None:
        """Nobody asks."""

    async def product(self) -> str:
        return ""

    def keep_product(self, fact: str) -> None:
        """Nobody asks."""


@pytest.mark.looptime
@pytest.mark.parametrize("age_s", [1.0, 15.0])
async def test_what_an_earlier_run_had_left_is_carried_on_again(tmp_path: Path, age_s: float) -> None:
    on = bench(tmp_path, KEEPS)
    strikes(on, stored=2000)
    await taped(on, Patience(links=1))
    on.events.clear()
    marks = Left(Mark("MAIN", 0, images(on.world)[0].sha256, 2000, "200 echo", age_s))
    run = await taped(on, FEW, marks=marks)
    assert [e.offset for e in run.events if isinstance(e, TransferResumed)] == ([2000] if age_s == 1.0 else [])
    await holds(run)


def strikes(on: Bench, *, stored: int, fate: Fate = Fate.CUT_BEFORE, times: int = 1) -> None:
    """Something becomes of the operation that follows when the device has so many bytes, and as many again."""
    left, due = times, stored

    def struck(_operation: Operation) -> Fate:
        nonlocal left, due
        if left and on.device.stats.bytes >= due:
            left, due = left - 1, due + stored
            return fate
        return Fate.PASS

    on.air.on_operation = struck


@pytest.mark.looptime
@pytest.mark.parametrize("habits", [Habits(), KEEPS, replace(KEEPS, id9="next")], ids=shortly)
async def test_a_link_that_was_cut_and_carried_on_is_so_again(tmp_path: Path, habits: Habits) -> None:
    on = bench(tmp_path, habits)
    strikes(on, stored=1500, times=3)
    run = await taped(on)
    assert run.ended.reason == "verified"
    assert bool([e for e in run.events if isinstance(e, TransferResumed)]) == habits.keeps_session_over_disconnect
    await holds(run)


@pytest.mark.looptime
async def test_a_device_that_was_away_too_long_is_so_again(tmp_path: Path) -> None:
    """The device keeps its file for 15 s; whether it can be carried on is a matter of when it comes back."""
    on = bench(tmp_path, replace(KEEPS, patience_s=60))
    strikes(on, stored=1500)
    asyncio.get_running_loop().call_later(0.5, lambda: setattr(on.air, "out_of_range", True))
    asyncio.get_running_loop().call_later(19.0, lambda: setattr(on.air, "out_of_range", False))
    run = await taped(on)
    assert run.ended.reason == "verified"
    assert [e for e in run.events if isinstance(e, TransferResumed)] == []
    await holds(run)


@pytest.mark.parametrize(
    "fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.LOSE_ANSWER, Fate.LOSE], ids=lambda fate: fate.name
)
@pytest.mark.parametrize("habits", [Habits(), replace(KEEPS, id9="next")], ids=shortly)
def test_whatever_is_lost_is_lost_again(tmp_path: Path, habits: Habits, fate: Fate) -> None:
    """For every operation of a run: one that breaks there is played to the same end by the same events."""

    async def struck(at: int) -> bool:
        on = bench(tmp_path / str(at), habits, size=900)
        on.air.on_operation = lambda operation: fate if operation.index == at else Fate.PASS
        await holds(await taped(on, Patience(links=4)))
        return on.air.operations > at

    operations = 0
    while swiftly(struck(operations)):
        operations += 1
    assert operations > 30


@pytest.mark.looptime
async def test_a_run_that_was_stopped_is_stopped_at_the_same_place(tmp_path: Path) -> None:
    on = bench(tmp_path)
    task = asyncio.create_task(taped(on))

    def stop(_index: int, _kind: str) -> None:
        if on.device.stats.bytes == 2000:
            on.air.before_operation = None
            task.cancel()

    on.air.before_operation = stop
    run = await task
    assert run.ended.exit_code == 130
    await holds(run)


@pytest.mark.looptime
async def test_a_stall_that_the_host_ended_is_one_again(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(slow_answer_s=4))
    run = await taped(on, Patience(links=2, stall_s=20, floor_bytes=3000))
    assert "stopped coming along" in run.ended.message
    await holds(run)


@pytest.mark.looptime
async def test_a_replay_that_is_cancelled_is_no_stop_of_the_recorded_run(tmp_path: Path) -> None:
    run = await taped(bench(tmp_path), FEW)
    task = asyncio.create_task(Host.of(replayed(run.transcript)).play(lambda _event: None))
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---------------------------------------------------------------------- another code, another conversation


@pytest.mark.looptime
async def test_a_code_that_says_something_else_is_found_out(tmp_path: Path) -> None:
    """The transcript has packets of 100 bytes after a device that dictated 200."""
    run = await taped(bench(tmp_path, Habits(chunk_bytes=100)), Patience(links=1))
    lines = [line.replace('"11":100', '"11":200') for line in run.lines]
    ended, _, divergence = await again(parse(lines))
    assert ended.reason == "device_silent"
    assert divergence == Divergence(2, 6, "0x7025 with 100 bytes at 0", "0x7025 with 200 bytes at 0")


@pytest.mark.looptime
async def test_a_code_that_gives_up_sooner_is_found_out(tmp_path: Path) -> None:
    run = await taped(bench(tmp_path, Habits(silent_after=1000)), Patience(links=2))
    shorter = [line.replace('"links":2', '"links":1') for line in run.lines]
    _, _, divergence = await again(parse(shorter))
    assert divergence == Divergence(3, 0, "a link to transfer", "the end of the run")


# ---------------------------------------------------------------------- the command


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """A transcript of a run that the device declined."""
    file = tmp_path / "failed.jsonl"
    run = swiftly(taped(bench(tmp_path, Habits(declines=True)), FEW))
    file.write_text(run.text, "ascii")
    return file


async def command(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Told]:
    code = await replay(Common("virtual replay", json=True, no_input=True), file)
    return code, told(*capsys.readouterr())


async def test_a_failure_of_the_field_is_one_again(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = await command(failed, capsys)
    assert code == 32
    assert said.names == [
        "run.started",
        "link.connected",
        "link.connected",
        "transfer.started",
        "run.finished",
        "result",
    ]
    recorded = {"verdict": "FAIL", "reason": "declined_by_device", "exit_code": 32}
    assert said.lines[-2] | recorded == said.lines[-2]
    assert said.last["data"]["recorded"] == recorded | {"tool": said.lines[0]["tool"]}
    assert said.last["data"] | {"now": recorded, "same": True, "divergence": None} == said.last["data"]


async def test_a_person_reads_that_it_is_as_recorded(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await replay(Common("virtual replay", no_input=True), failed) == 32
    out, err = capsys.readouterr()
    assert out == "as recorded: FAIL, declined_by_device (32)\n"
    assert "FAIL: the device declined the file" in err


async def test_a_run_that_ends_otherwise_is_told_with_both_ends(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed.write_text(failed.read_text().replace('"7":1}', '"7":7}'), "ascii")
    assert await replay(Common("virtual replay", no_input=True), failed) == 32
    out, _ = capsys.readouterr()
    assert out.startswith("differs: FAIL, declined_by_device (32) was recorded by 0.1.0, and now it is FAIL, failed_by")


async def test_another_conversation_is_told_with_its_first_difference(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed.write_text(failed.read_text().replace('"out":"7022"', '"out":"7020"'), "ascii")
    _, said = await command(failed, capsys)
    assert said.last["data"]["divergence"] == {"link": 2, "index": 4, "expected": "0x7020", "got": "0x7022"}
    await replay(Common("virtual replay", no_input=True), failed)
    assert "another conversation: link 2, word 4 of the host: 0x7020 was due" in capsys.readouterr().out


async def test_a_run_that_sent_nothing_is_played_as_far_as_it_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t"
    file.write_text("\n".join(written(LOOK)), "ascii")
    code, said = await command(file, capsys)
    assert (code, said.lines[-2]["verdict"]) == (10, "NOTHING_TO_DO")
    assert "sent nothing" in said.lines[-2]["message"]


async def test_no_state_folder_is_touched(failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await command(failed, capsys)
    assert not (tmp_path / "state").exists()


def unplayable() -> Iterator[Any]:
    part = {"t": 0, "part": PART}
    for what, device in {
        "an option": DEVICE | {"options": {"morse": True}},
        "an option's value": DEVICE | {"options": {"packet_bound": "moon"}},
        "a budget": DEVICE | {"patience": {"links": 0}},
        "a budget without end": DEVICE | {"patience": {"run_links": 1e6}},
        "a time": DEVICE | {"patience": {"reboot_s": -1}},
        "an advertisement": DEVICE | {"advert": ADVERT | {"name": "Headphones", "manufacturer": {}}},
        "a driver": DEVICE | {"driver": "morse"},
    }.items():
        yield pytest.param(written([part], device=device), id=what)
    yield pytest.param(written([])[:2], id="cut off")
    yield pytest.param(["MZ"], id="a program")
    yield pytest.param([json.dumps({"v": 2, "transcript": "ble-ota"})], id="a newer one")


@pytest.mark.parametrize("lines", list(unplayable()))
async def test_what_cannot_be_played_is_a_usage_error(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "t").write_text("\n".join(lines), "ascii")
    with pytest.raises(UsageError) as caught:
        await replay(Common("virtual replay"), tmp_path / "t")
    assert not isinstance(caught.value, SettingsError)
    assert "\n" not in str(caught.value)


async def test_a_budget_that_is_not_recorded_is_as_today(tmp_path: Path) -> None:
    device: Line = DEVICE | {"patience": {"links": 3.0, "of tomorrow": 1}}
    host = Host.of(replayed(parse(written([], device=device))))
    assert host.patience == Patience(links=3)
    assert isinstance(host.patience.links, int)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 3])
async def test_firmware_of_zeros_is_as_large_as_it_was(size: int) -> None:
    firmware = zeros(size)
    assert firmware.summary == Content.of(bytes(size)).summary
    assert b"".join([await firmware.block(n) for n in range(len(firmware.summary.blocks))]) == bytes(size)


def test_firmware_of_zeros_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        kept = [zeros(20 * BLOCK_BYTES) for _ in range(16)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(kept), peak < 10 * BLOCK_BYTES) == (16, True)
