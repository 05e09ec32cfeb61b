from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from ble_ota.cli.common import Common
from ble_ota.cli.near import Facts, Near, Neighbourhood
from ble_ota.cli.scan_shown import AWAY_S, REFRESH_S, screen, seen_line, table, text
from ble_ota.link import Advert
from tests.cli.desk import told
from tests.cli.test_near import DRIVERS, HEADPHONES, KEYED, NAMED, SMP, one

NOW = 1_700_000_000.0


def drawn(*adverts: Advert, rows: int = 100, width: int = 140, now_s: float = 0.0, endless: bool = False) -> list[str]:
    near = Neighbourhood(DRIVERS)
    for advert in adverts:
        near.hear(advert, 0.0)
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(table(near, now_s, rows=rows, width=width, endless=endless))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_row_has_what_is_known() -> None:
    full = replace(KEYED, name="QUEC_BLE_0001", address_type="random", connectable=True, bonded=False)
    head, row, _ = drawn(full)
    assert [h for h in ("CONNECTS", "BONDED") if h in head] == ["CONNECTS", "BONDED"]
    assert row.split() == [
        "QUEC_BLE_0001",
        "C0:DE:B0:E0:00:01",
        "-50",
        "dBm",
        "quecthing",
        "B0E0C0DE0001",
        "p11vWQ",
        "random",
        "static",
        "no",
        "yes",
    ]


@pytest.mark.parametrize(
    ("address", "kind", "shown"),
    [
        ("C0:DE:B0:E0:00:01", "public", "public"),
        ("40:DE:B0:E0:00:01", "random", "resolvable"),
        ("C0:DE:B0:E0:00:01", "", ""),
        ("5F1E1F4B-6C1B-4F3A-9D6E-0123456789AB", "", ""),
        ("no address", "random", ""),
    ],
)
def test_what_kind_of_address_it_is_is_shown_where_it_is_known(address: str, kind: str, shown: str) -> None:
    head, row, _ = drawn(replace(NAMED, address=address, address_type=kind))
    assert ("TYPE" in head) is bool(shown)
    assert row.split("quecthing")[1].strip() == shown


@pytest.mark.parametrize(
    ("width", "last"), [(140, "CONNECTS"), (108, "BONDED"), (100, "TYPE"), (82, "PRODUCT KEY"), (75, "DEVICE KEY")]
)
def test_on_a_narrow_terminal_the_last_columns_go_first(width: int, last: str) -> None:
    full = replace(KEYED, name="QUEC_BLE_0001", address_type="random", connectable=True, bonded=False)
    head = drawn(full, replace(SMP, address="C0:00:00:00:00:09"), width=width)[0]
    plain = re.sub(r"\x1b\[\d*m", "", head)
    assert plain.rstrip().endswith(last)
    assert "…" not in plain


def test_a_column_that_no_system_fills_is_left_out() -> None:
    assert "BONDED" not in drawn(KEYED)[0]
    assert "CONNECTS" not in drawn(KEYED)[0]


def test_what_cannot_be_updated_yet_is_said_so_and_dim() -> None:
    _, row, said = drawn(SMP)
    assert "smp*" in row
    assert row.startswith("\x1b[2m")
    assert said == "1 device; * not supported yet"


def test_what_can_be_updated_has_no_mark() -> None:
    assert "*" not in "".join(drawn(NAMED))


@pytest.mark.parametrize(("away_s", "dim"), [(AWAY_S - 1, False), (AWAY_S + 1, True)])
def test_a_device_not_heard_for_long_is_dim(away_s: float, dim: bool) -> None:
    assert drawn(NAMED, now_s=away_s)[1].startswith("\x1b[2m") is dim


@pytest.mark.parametrize("width", [140, 80, 20])
def test_five_hundred_devices_stay_within_the_rows_and_the_others_are_counted(width: int) -> None:
    lines = drawn(*map(one, range(500)), rows=10, width=width)
    assert len(lines) == 12
    assert lines[-1].startswith("500 devices")
    assert ("490 not shown" in lines[-1]) is (width > 20)


def test_the_sum_tells_of_others_and_of_the_end() -> None:
    assert drawn(NAMED, HEADPHONES, endless=True)[-1] == "1 device; 1 of no known protocol; Ctrl-C ends it"


def test_a_name_is_no_markup() -> None:
    assert "QUEC_BLE_[red]" in drawn(replace(NAMED, name="QUEC_BLE_[red]"))[1]


def test_a_line_fits_the_schema() -> None:
    near = Near(Facts("C0:00:00:00:00:01", protocol="smp"), 1, 0.0)
    (line,) = told(json.dumps(seen_line(near, NOW)), "").lines
    assert (line["ts"], line["supported"], line["bonded"]) == ("2023-11-14T22:13:20.000Z", False, None)


def test_the_result_keeps_its_columns_where_names_are_wide() -> None:
    near = Neighbourhood(DRIVERS)
    near.hear(replace(NAMED, name="QUEC_BLE_温度"), 0.0)
    near.hear(SMP, 0.0)
    head, *rows = text(near.sorted).splitlines()
    assert rows[0].index("-50") + 2 == head.index("SIGNAL") == rows[1].index("-70")


def test_the_result_tells_no_keys_of_what_is_not_supported() -> None:
    near = Neighbourhood(DRIVERS)
    near.hear(SMP, 0.0)
    assert text(near.sorted).endswith("smp (not supported yet)")


# ------------------------------------------------------------------ lines as they come


async def lines(capsys: pytest.CaptureFixture[str], *adverts: Advert, wait_s: float, json: bool = True) -> list[str]:
    """What is told within `wait_s` of hearing `adverts`."""
    near = Neighbourhood(DRIVERS)
    with screen(Common("scan", json=json), near, lambda: 0.0, lambda: NOW, endless=False) as shown:
        for advert in adverts:
            shown.heard(near.hear(advert, 0.0))
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=wait_s)
        return capsys.readouterr().out.splitlines()


@pytest.mark.looptime
async def test_a_device_is_told_at_once_in_human_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(await lines(capsys, NAMED, wait_s=REFRESH_S * 2)) == 1


@pytest.mark.looptime
async def test_what_was_told_is_not_told_again_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    await lines(capsys, NAMED, wait_s=REFRESH_S * 2)
    assert capsys.readouterr().out == ""


@pytest.mark.looptime
async def test_a_device_that_changes_all_the_time_is_told_once_a_refresh(capsys: pytest.CaptureFixture[str]) -> None:
    changing = [replace(NAMED, name=f"QUEC_BLE_{n:04d}") for n in range(500)]
    (line,) = await lines(capsys, *changing, wait_s=REFRESH_S * 2)
    assert json.loads(line)["name"] == "QUEC_BLE_0499"


@pytest.mark.looptime
async def test_five_hundred_devices_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    twice = [*map(one, range(500))] * 2
    assert len(await lines(capsys, *twice, wait_s=REFRESH_S * 2)) == 500


@pytest.mark.looptime
async def test_what_changes_after_a_refresh_is_told_by_the_next_one(capsys: pytest.CaptureFixture[str]) -> None:
    near = Neighbourhood(DRIVERS)
    told: list[str] = []
    with screen(Common("scan", json=True), near, lambda: 0.0, lambda: NOW, endless=False) as shown:
        for name in ("QUEC_BLE_0001", "QUEC_BLE_0002", "QUEC_BLE_0003"):
            shown.heard(near.hear(replace(NAMED, name=name), 0.0))
            await asyncio.sleep(REFRESH_S * 2)
            told += [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["QUEC_BLE_0001", "QUEC_BLE_0002", "QUEC_BLE_0003"]


@pytest.mark.looptime
async def test_what_was_not_told_yet_is_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert await lines(capsys, NAMED, wait_s=0) == []
    assert "QUEC_BLE_0001" in capsys.readouterr().out


@pytest.mark.looptime
async def test_without_json_nothing_is_told_in_between(capsys: pytest.CaptureFixture[str]) -> None:
    assert await lines(capsys, NAMED, wait_s=REFRESH_S * 2, json=False) == []


@pytest.mark.looptime
async def test_many_adverts_are_drawn_once_a_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    draws: list[int] = []

    def draw(near: Neighbourhood, _now_s: float, *, rows: int, width: int, endless: bool) -> str:
        draws.append(len(near.sorted))
        return f"{rows}{width}{endless}"

    monkeypatch.setattr("ble_ota.cli.scan_shown.table", draw)
    near = Neighbourhood(DRIVERS)
    with screen(Common("scan"), near, lambda: 0.0, lambda: NOW, endless=False) as shown:
        for number in range(500):
            shown.heard(near.hear(one(number), 0.0))
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=REFRESH_S * 2)
    assert draws == [0, 500]
