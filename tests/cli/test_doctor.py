from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.doctor import doctor
from tests.cli.desk import Desk

JSON, TEXT = Common("doctor", json=True), Common("doctor")


async def findings(desk: Desk) -> dict[str, dict[str, object]]:
    await doctor(JSON, JSON.settings())
    return {f["what"]: f for f in desk.told().last["data"]}


async def test_all_is_well_on_a_desk_that_works(desk: Desk) -> None:
    assert await doctor(JSON, JSON.settings()) == 0
    assert all(f["ok"] for f in desk.told().last["data"])


async def test_each_line_is_ok_or_what_to_do(desk: Desk) -> None:
    desk.set(radio="bumble:tcp-client:127.0.0.1:1")
    assert await doctor(TEXT, TEXT.settings()) == 34
    lines = desk.capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok  ", "NO  ", "      hint: ")) for line in lines)
    bad = next(at for at, line in enumerate(lines) if line.startswith("NO  radio: "))
    assert lines[bad + 1].startswith("      hint: ")


async def test_a_server_that_is_not_there_is_told(desk: Desk) -> None:
    desk.set(cloud="http://127.0.0.1:1")
    assert await doctor(JSON, JSON.settings()) == 20


async def test_a_cloud_that_is_no_address_is_told(desk: Desk) -> None:
    desk.set(cloud="http://example.com")
    assert await doctor(JSON, JSON.settings()) == 3


async def test_a_clock_that_is_wrong_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor.time.time", lambda: 0.0)
    clock = (await findings(desk)).get("clock")
    assert clock is None or not clock["ok"]  # only a server that tells its time can be compared with


async def test_a_disk_that_is_full_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor.ROOM_BYTES", 1 << 62)
    assert await doctor(JSON, JSON.settings()) == 22


async def test_where_the_settings_are_is_told(desk: Desk, tmp_path: Path) -> None:
    assert str(tmp_path / "config") in str((await findings(desk))["settings"]["says"])


async def test_report_numbers_nobody_knows_are_told(desk: Desk) -> None:
    desk.unset("report_status__failed")
    assert "failed" in str((await findings(desk))["unknown"]["says"])


async def test_inferred_settings_in_force_are_told_as_they_are_written(desk: Desk) -> None:
    await doctor(TEXT, TEXT.settings())
    assert "ok  inferred: report_status = {'confirmed': 2, 'succeeded': 9, 'failed': 8}" in desk.capsys.readouterr().out


async def test_no_secret_is_told(desk: Desk) -> None:
    desk.set(password="hunter2-password", device_secret="hunter2-device", user_domain_secret="hunter2-domain")
    await doctor(TEXT, TEXT.settings())
    assert "hunter2" not in str(desk.capsys.readouterr())


async def test_a_virtual_cloud_answers(desk: Desk) -> None:
    desk.set(cloud=f"virtual:{desk.world.folder}")
    assert await doctor(TEXT, TEXT.settings()) == 0


async def test_what_the_ledger_has_left_is_told(desk: Desk) -> None:
    assert await desk.update() == 0
    desk.told()
    assert await doctor(TEXT, TEXT.settings()) == 0
    assert "ledger.db: 0 runs to resume, 0 reports to send" in desk.capsys.readouterr().out


async def test_a_ledger_that_is_none_is_told(desk: Desk) -> None:
    place = TEXT.settings().state_dir / "ledger.db"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"something else altogether" * 100)
    assert await doctor(TEXT, TEXT.settings()) == 22
    assert "is not a ledger" in desk.capsys.readouterr().out
