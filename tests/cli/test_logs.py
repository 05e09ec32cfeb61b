from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from ble_ota.cli import logs, output
from ble_ota.cli.common import Common, execute
from ble_ota.cli.logs import logged

TEXT = Common("scan")


def talk(lines: int = 1) -> None:
    for _ in range(lines):
        logging.getLogger("ble_ota.test").warning("x" * 4000)


def test_the_log_goes_to_its_end_and_the_one_before_comes_back(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:]
    with logged(tmp_path / "log", 0):
        talk(100)
    assert (tmp_path / "log").read_text().count("WARNING ble_ota.test: xxx") == 100
    assert logging.getLogger().handlers == before


def test_a_log_is_added_to(tmp_path: Path) -> None:
    for _ in range(2):
        with logged(tmp_path / "log", 0):
            talk()
    assert (tmp_path / "log").read_text().count("WARNING") == 2


def test_a_log_whose_disk_hangs_holds_up_nothing_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(fifo := tmp_path / "log")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # somebody is there, and does not read
    monkeypatch.setattr(output, "LINES_BYTES", 1000)
    monkeypatch.setattr(logs, "CLOSED_S", 0.1)

    async def talkative() -> int:
        talk(100)
        return 10

    assert execute(Common("scan", log_file=fifo), talkative) == 10
    os.close(reader)
    assert capsys.readouterr().err == f"warning: no more is logged to {fifo}: its disk does not take it\n"
