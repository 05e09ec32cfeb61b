from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from ble_ota.cli.common import Common, TerminatedError
from ble_ota.cli.live import live_on, terminable


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_there_is_a_display_where_somebody_looks() -> None:
    with live_on(Common("scan")) as live:
        assert live is not None


def test_there_is_none_for_whoever_asked_for_quiet() -> None:
    with live_on(Common("scan", quiet=True)) as live:
        assert live is None


def test_there_is_none_among_lines_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with live_on(Common("scan", json=True)) as live:
        assert live is None


def test_there_is_one_beside_lines_of_json_that_go_elsewhere() -> None:
    with live_on(Common("scan", json=True)) as live:
        assert live is not None


def test_there_is_none_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with live_on(Common("scan")) as live:
        assert live is None


async def test_sigterm_ends_the_block() -> None:
    async def killed() -> None:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(TerminatedError):
        await killed()


async def test_another_cancellation_stays_one() -> None:
    async def waits() -> None:
        with terminable():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waits())
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
