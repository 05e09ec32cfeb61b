from __future__ import annotations

import asyncio
import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ble_ota.cli import record
from ble_ota.cli.common import Common
from ble_ota.cli.flash import Wish, flash
from ble_ota.cli.record import recorded
from ble_ota.cli.replay import replay
from ble_ota.cli.run import Run
from ble_ota.cli.update import update
from ble_ota.errors import DeclinedByDeviceError, StopAsked, StorageError
from ble_ota.model import Outcome, UpToDate
from ble_ota.tape import Recorder
from ble_ota.transcript import Transcript, parse
from ble_ota.virtual.air import Fate, Operation
from ble_ota.virtual.peripherals.quecthing import Habits, login, ttlv
from ble_ota.virtual.peripherals.quecthing.frame import Decoder
from ble_ota.virtual.world import World
from tests.bench import Bench
from tests.cli.desk import Desk
from tests.taped import taped

FIRMWARE = bytes(range(1, 251)) * 8


def read(file: Path) -> Transcript:
    return parse(file.read_text("ascii").splitlines())


async def update_recorded(desk: Desk, file: Path) -> int:
    common = Common("update", json=True, no_input=True)
    return await update(common, desk.name, flags={}, yes=True, allow_downgrade=False, record=file)


# ---------------------------------------------------------------------- through the commands


async def test_an_update_is_recorded_and_played_to_the_same_end(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    assert await update_recorded(desk, file) == 0
    desk.told()
    assert await replay(Common("virtual replay", json=True), file) == 0
    assert desk.told().last["data"]["same"] is True


async def test_a_failure_is_recorded_and_played_to_the_same_end(desk: Desk, tmp_path: Path) -> None:
    desk.behaves(Habits(fail_at_end=True))
    file = tmp_path / "run.jsonl"
    assert await update_recorded(desk, file) == 32
    desk.told()
    assert await replay(Common("virtual replay", json=True), file) == 32
    said = desk.told().last["data"]
    assert (said["same"], said["divergence"], said["now"]["reason"]) == (True, None, "failed_by_device")


async def test_a_flash_is_recorded_with_the_settings_it_had(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "new.bin").write_bytes(FIRMWARE)
    desk.set(device_secret=desk.device.binding_code, links=7)
    wish = Wish(tmp_path / "new.bin", desk.name, "2.0.0", False, None, True, False)
    assert await flash(Common("flash", no_input=True), wish, flags={}, record=tmp_path / "t") == 0
    seen = read(tmp_path / "t")
    assert (seen.command, seen.driver, seen.device_key) == ("flash", "quecthing", desk.device.device_key)
    assert (seen.patience["links"], seen.options["version_ids"]) == (7, {"": 12})
    assert [part.files[0][0] for part in seen.parts] == [len(FIRMWARE)]


async def test_nothing_is_begun_when_the_file_cannot_be_written(desk: Desk, tmp_path: Path) -> None:
    assert await update_recorded(desk, tmp_path / "missing" / "run.jsonl") == 22
    assert desk.told().names == ["run.started", "run.finished"]
    assert not (tmp_path / "state" / "ledger.db").exists()


def spellings(secret: bytes) -> Iterator[str]:
    yield secret.decode("latin-1")
    yield secret.hex()
    yield secret.hex().upper()
    yield base64.b64encode(secret).decode().rstrip("=")
    yield base64.urlsafe_b64encode(secret).decode().rstrip("=")


async def test_no_secret_of_account_or_device_is_in_the_file(desk: Desk, tmp_path: Path) -> None:
    await update_recorded(desk, tmp_path / "t")
    text, user = (tmp_path / "t").read_text("ascii"), desk.world.user
    firmware = desk.world.firmware(desk.world.components[0].files[0])
    secrets = [base64.b64decode(desk.device.binding_code), desk.device.binding_code.encode(), user.password.encode()]
    secrets += [user.user_domain_secret.encode(), user.email.encode(), desk.url.encode()]
    secrets += [firmware[at : at + 16] for at in range(0, len(firmware) - 16, 7)]
    assert [s for secret in secrets for s in spellings(secret) if s in text] == []


@pytest.mark.looptime
@pytest.mark.parametrize("chunk", [64, 200])
async def test_no_key_nor_what_makes_one_is_in_a_transcript(tmp_path: Path, chunk: int) -> None:
    """Everything that goes over the air in clear during the login is looked for, and every packet's bytes."""
    world = World.create(tmp_path / "world", packages={"MAIN": (FIRMWARE,)})
    on, wire = Bench(world, Habits(chunk_bytes=chunk)), list[bytes]()

    def listen(operation: Operation) -> Fate:
        wire.append(operation.data)
        return Fate.PASS

    on.air.on_operation = listen
    run = await taped(on)
    frames = list(Decoder().feed(b"".join(wire)))
    clear = [(frame.command, frame.data) for frame in frames]
    secrets = [ttlv.binary(ttlv.unpack(d), login.RANDOM) for c, d in clear if c == login.TELL_RANDOM]
    secrets += [ttlv.binary(ttlv.unpack(d), login.PROOF) for c, d in clear if c == login.ASK_LOGIN]
    assert len(secrets) == 6  # three links
    key = base64.b64decode(world.devices[0].binding_code)
    secrets += [key, key.hex().encode()]
    secrets += [frame.data[:16] for frame in frames if len(frame.data) >= 16]  # what was said, encrypted
    secrets += [FIRMWARE[at : at + 12] for at in range(250)]
    assert None not in secrets
    assert [s for secret in secrets for s in spellings(secret or b"") if s in run.text] == []


# ---------------------------------------------------------------------- the file


def run_of(capsys: pytest.CaptureFixture[str]) -> Run:
    _ = capsys  # what it tells stays in here
    return Run(Common("update"), "update", "")


async def nothing_to_do(recorder: Recorder | None) -> Outcome:
    assert recorder is not None
    return UpToDate("it is")


async def test_without_a_file_nothing_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    async def job(recorder: Recorder | None) -> Outcome:
        assert recorder is None
        return UpToDate("it is")

    assert await recorded(run_of(capsys), None, job)() == UpToDate("it is")


async def test_only_its_owner_may_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t").touch(0o644)
    for name in ("t", "new"):
        await recorded(run_of(capsys), tmp_path / name, nothing_to_do)()
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_transcript_that_is_there_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def longer(recorder: Recorder | None) -> Outcome:
        assert recorder is not None
        recorder.note({"elsewhere": "x" * 5000})
        return UpToDate("it is")

    await recorded(run_of(capsys), tmp_path / "t", longer)()
    await recorded(run_of(capsys), tmp_path / "t", nothing_to_do)()
    assert read(tmp_path / "t").verdict == "NOTHING_TO_DO"
    assert "xxx" not in (tmp_path / "t").read_text("utf-8")


@pytest.mark.parametrize("content", [b"\x7fELF firmware", b"x" * 1000, b'{"v": 1}\n'])
async def test_what_is_no_transcript_is_left_as_it_is(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.bin").write_bytes(content)
    with pytest.raises(StorageError, match="no transcript"):
        await recorded(run_of(capsys), tmp_path / "new.bin", nothing_to_do)()
    assert (tmp_path / "new.bin").read_bytes() == content


@pytest.mark.parametrize("name", [".", "missing/t"])
async def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        await recorded(run_of(capsys), tmp_path / name, nothing_to_do)()


async def test_a_device_that_is_always_full_is_no_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StorageError):
        await recorded(run_of(capsys), Path("/dev/full"), nothing_to_do)()


@pytest.mark.parametrize(
    ("raised", "verdict", "exit_code"),
    [
        (DeclinedByDeviceError("no"), "FAIL", 32),
        (StopAsked("at a question"), "ABORTED", 130),
        (asyncio.CancelledError(), "ABORTED", 130),
        (ZeroDivisionError(), "ERROR", 1),
    ],
    ids=str,
)
async def test_however_a_run_ends_its_end_is_in_the_file(
    tmp_path: Path, raised: BaseException, verdict: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def job(_recorder: Recorder | None) -> Outcome:
        raise raised

    with pytest.raises(type(raised)):
        await recorded(run_of(capsys), tmp_path / "t", job)()
    assert (read(tmp_path / "t").verdict, read(tmp_path / "t").exit_code) == (verdict, exit_code)


async def chatty(recorder: Recorder | None) -> Outcome:
    assert recorder is not None
    for _ in range(20):
        recorder.note({"elsewhere": "x" * 1000})
    return UpToDate("it is")


async def test_a_transcript_has_an_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "FILE_MAX_BYTES", 5000)
    assert await recorded(run_of(capsys), tmp_path / "t", chatty)() == UpToDate("it is")
    assert (tmp_path / "t").stat().st_size <= 5000
    assert capsys.readouterr().err.count("warning: the transcript") == 1


class Full:
    """A file on a disk that fills in the middle."""

    def __init__(self, descriptor: int) -> None:
        self.writes = 0
        self._descriptor = descriptor

    def write(self, content: memoryview) -> int:
        self.writes += 1
        if self.writes > 3:
            raise OSError(28, "No space left on device")
        return len(content)

    def close(self) -> None:
        os.close(self._descriptor)
        raise OSError(28, "No space left on device")


async def test_a_disk_that_fills_in_the_middle_is_said_once_and_ends_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Full] = []

    def file(descriptor: int, _mode: str) -> Full:
        opened.append(Full(descriptor))
        return opened[-1]

    monkeypatch.setattr(record, "FileIO", file)
    assert await recorded(run_of(capsys), tmp_path / "t", chatty)() == UpToDate("it is")
    words = capsys.readouterr().err
    assert words.count("warning: the transcript") == 1
    assert "No space left on device" in words
    assert [full.writes for full in opened] == [4]


async def test_a_disk_that_is_full_at_the_end_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "FileIO", lambda descriptor, _mode: Full(descriptor))
    assert await recorded(run_of(capsys), tmp_path / "t", nothing_to_do)() == UpToDate("it is")
    assert "cannot be replayed: No space left on device" in capsys.readouterr().err
