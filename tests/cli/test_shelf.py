from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.cli.shelf import count, data, lines, names, table
from firmware_cache import Entry, Known

HOUR_S, DAY_S = 3600.0, 86_400.0
NOW_S = 100 * DAY_S


def entry(*known: Known, size: int = 1, age_s: float = 0, idle_s: float = 0, pins: tuple[str, ...] = ()) -> Entry:
    return Entry("ab" * 32, size, Path("x"), NOW_S - age_s, NOW_S - idle_s, known, "cdn.example.com", pins)


def test_a_file_for_programs_has_all_that_is_known() -> None:
    assert data(entry(Known("fw.bin", "1.0"), age_s=DAY_S, pins=("a",))) == {
        "sha256": "ab" * 32,
        "size_bytes": 1,
        "known_as": [{"name": "fw.bin", "version": "1.0"}],
        "source": "cdn.example.com",
        "added_at": "1970-04-10T00:00:00.000Z",
        "last_used_at": "1970-04-11T00:00:00.000Z",
        "pins": ("a",),
    }


def test_columns_stand_one_below_the_other() -> None:
    rows = [entry(Known("fw", "1"), size=5_000, age_s=DAY_S, idle_s=HOUR_S), entry(size=1, pins=("a", "b"))]
    assert table(rows, NOW_S).splitlines() == [
        "abababababab  5.0 kB  fw 1  added 1 d ago  used 1 h ago",
        "abababababab  1 B     -     added now      used now      pinned by a, b",
    ]


def test_no_file_is_no_line() -> None:
    assert table([], NOW_S) == ""


@pytest.mark.parametrize(
    ("idle_s", "said"),
    [(-5, "now"), (59, "now"), (60, "1 min ago"), (3599, "59 min ago"), (HOUR_S, "1 h ago"), (3.9 * DAY_S, "3 d ago")],
)
def test_an_age_is_told_in_whole_units(idle_s: float, said: str) -> None:
    assert table([entry(idle_s=idle_s)], NOW_S).endswith(f"used {said}")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ((), "-"),
        ((Known("fw.bin", "1"),), "fw.bin 1"),
        ((Known("fw.bin"),), "fw.bin"),
        ((Known("", "1"),), "1"),
        ((Known("a"), Known("b", "2")), "b 2 (+1)"),
    ],
)
def test_a_file_goes_by_its_latest_name(known: tuple[Known, ...], said: str) -> None:
    assert names(entry(*known)) == said


@pytest.mark.parametrize(("n", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_files_are_counted(n: int, said: str) -> None:
    assert count([0] * n) == said


@pytest.mark.parametrize(
    ("each", "others", "said"),
    [
        (["x"], ["a"], "x\n1 file is here"),
        (["x"], ["a", "b"], "x\n2 files are here"),
        (["x"], [], "x"),
        ([], [], "0 files are here"),
    ],
)
def test_the_others_are_told_by_their_number(each: list[str], others: list[str], said: str) -> None:
    assert lines(each, others, "is here") == said
