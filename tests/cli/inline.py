"""The ledger without its thread, for tests in virtual time: that would run on while the thread is at work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

T = TypeVar("T")


def without_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger work in the loop's own thread."""

    async def worked(_thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return work()

    monkeypatch.setattr("ble_ota.ledger.ledger._whole", worked)
