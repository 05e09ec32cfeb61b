from __future__ import annotations

import os
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.flash import Wish, flash
from ble_ota.virtual.peripherals.quecthing import Habits
from tests.cli.desk import Desk
from tests.cli.left import edit, upon

FIRMWARE = bytes(range(256)) * 8


@pytest.fixture
def file(desk: Desk, tmp_path: Path) -> Path:
    desk.set(device_secret=desk.device.binding_code)
    (tmp_path / "new.bin").write_bytes(FIRMWARE)
    return tmp_path / "new.bin"


async def flashed(desk: Desk, file: Path, **more: object) -> int:
    given: dict[str, object] = {"device": desk.name, "to": "2.0.0", "reinstall": False, "protocol": None}
    wish = Wish(**{"file": file, "yes": True, "allow_downgrade": False, **given, **more})  # type: ignore[arg-type]
    return await flash(Common("flash", json=True, no_input=True), wish, flags={})


async def test_a_file_lies_in_the_flash_byte_for_byte(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file) == 0
    assert (desk.boot.image("MAIN"), desk.boot.versions["MAIN"]) == ((FIRMWARE,), "2.0.0")
    assert desk.told().last["verdict"] == "PASS"


async def test_the_cloud_hears_nothing_of_a_flash(desk: Desk, file: Path) -> None:
    await flashed(desk, file)
    assert desk.center.records() == []


async def test_a_version_that_runs_already_is_nothing_to_do(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file, to="1.0.0") == 10


async def test_a_reinstall_sends_the_running_version_again(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file, to="1.0.0", reinstall=True) == 0
    assert desk.boot.image("MAIN") == (FIRMWARE,)


async def test_a_version_nobody_knows_names_the_flag(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file, to=None) == 2
    assert "--to VERSION" in desk.told().last["hint"]


@pytest.mark.parametrize("version", ["1\x1b0", "x" * 65, " "])
async def test_a_version_that_is_none_is_refused(desk: Desk, file: Path, version: str) -> None:
    assert await flashed(desk, file, to=version) == 2


async def test_a_lower_version_is_refused(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file, to="0.9.0") == 12


async def test_a_protocol_that_does_not_exist_is_refused_and_the_others_named(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file, protocol="morse") == 2
    assert "quecthing" in desk.told().last["hint"]


async def test_a_named_protocol_is_spoken(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file, protocol="quecthing") == 0


async def test_a_secret_nobody_knows_names_what_would_give_it(desk: Desk, file: Path) -> None:
    desk.unset("device_secret")
    assert await flashed(desk, file) == 2
    assert "BLE_OTA_DEVICE_SECRET" in desk.told().last["hint"]


async def test_the_secret_an_update_has_brought_is_used(desk: Desk, file: Path) -> None:
    desk.unset("device_secret")
    await desk.update()
    assert await flashed(desk, file) == 0


async def test_another_devices_secret_is_the_devices_refusal(desk: Desk, file: Path) -> None:
    desk.set(device_secret="AAAAAAAAAAAAAAAAAAAAAA==")
    assert await flashed(desk, file) == 32
    assert desk.told().last["reason"] == "login_failed"


async def test_a_device_that_advertises_no_keys_gets_those_the_user_gave(desk: Desk, file: Path) -> None:
    desk.behaves(Habits(advert_format="2022"))
    assert await flashed(desk, file, device=f"{desk.world.product_key}/{desk.device.device_key}") == 0
    assert desk.told().last["device"] == f"{desk.world.product_key}/{desk.device.device_key}"


async def test_a_file_that_is_not_there_ends_in_a_verdict(desk: Desk, file: Path) -> None:
    assert await flashed(desk, file.with_name("nowhere.bin")) == 2
    assert desk.told().names == ["run.started", "run.finished"]


async def test_a_file_that_is_edited_while_it_is_sent_is_not_trusted(
    desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upon(monkeypatch, '"transfer.started"', lambda: edit(file))
    assert await flashed(desk, file) == 21
    assert f"{file} has changed since it was verified" in desk.told().last["message"]
    assert desk.boot.image("MAIN") == ()


async def test_a_file_that_takes_its_name_while_it_is_sent_changes_nothing(
    desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced() -> None:
        file.with_name("newer.bin").write_bytes(FIRMWARE[::-1])
        file.with_name("newer.bin").replace(file)

    upon(monkeypatch, '"transfer.started"', replaced)
    assert await flashed(desk, file) == 0
    assert desk.boot.image("MAIN") == (FIRMWARE,)


async def test_a_pipe_is_refused_and_not_waited_for(desk: Desk, file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    assert await flashed(desk, file.with_name("pipe")) == 2
    assert "save what comes from a pipe" in desk.told().last["hint"]
