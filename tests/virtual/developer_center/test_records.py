from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.virtual.developer_center.records import Records
from tests.virtual.developer_center.conftest import NOW, Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def test_a_record_says_when_and_what(path: Path, clock: Clock) -> None:
    records = Records(path, clock)
    records.append("login", by="email")
    assert records.all() == [{"seq": 1, "ts": NOW, "what": "login", "by": "email"}]


def test_records_outlive_their_object(path: Path, clock: Clock) -> None:
    Records(path, clock).append("login")
    assert [r["what"] for r in Records(path, clock).all()] == ["login"]


def test_numbers_go_on_after_a_restart(path: Path, clock: Clock) -> None:
    Records(path, clock).append("one")
    records = Records(path, clock)
    records.append("two")
    records.append("three")
    assert [r["seq"] for r in records.all()] == [1, 2, 3]


def test_a_torn_last_line_is_dropped(path: Path, clock: Clock) -> None:
    Records(path, clock).append("whole")
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "ts": 1')
    assert [r["what"] for r in Records(path, clock).all()] == ["whole"]


def test_a_torn_only_line_is_dropped(path: Path, clock: Clock) -> None:
    path.write_bytes(b'{"se')
    assert Records(path, clock).all() == []


def test_the_line_after_a_torn_one_is_whole(path: Path, clock: Clock) -> None:
    path.write_bytes(b'{"se')
    records = Records(path, clock)
    records.append("next")
    assert [(r["seq"], r["what"]) for r in records.all()] == [(1, "next")]


def test_a_line_end_in_a_text_does_not_end_the_record(path: Path, clock: Clock) -> None:
    records = Records(path, clock)
    records.append("odd", text="one\ntwo\u2028three\x85")
    assert records.all()[0]["text"] == "one\ntwo\u2028three\x85"
