from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from firmware_cache import lock
from firmware_cache.lock import POLL_S, SAY_AGAIN_S, turn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.lock"


def nobody(sentence: str) -> None:
    pytest.fail(f"nothing is waited for, but was told: {sentence}")


@pytest.mark.looptime
async def test_during_the_block_the_lock_is_held(path: Path) -> None:
    async with turn(path, wait_s=1, waiting=nobody):
        said: list[str] = []
        async with turn(path, wait_s=0, waiting=said.append):
            pass
    assert len(said) == 1


@pytest.mark.looptime
async def test_after_the_block_it_is_free(path: Path) -> None:
    for _ in range(2):
        async with turn(path, wait_s=1, waiting=nobody):
            pass


@pytest.mark.looptime
async def test_after_an_error_it_is_free(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with turn(path, wait_s=1, waiting=nobody):
            raise ZeroDivisionError
    async with turn(path, wait_s=1, waiting=nobody):
        pass


async def test_the_lock_is_let_go_of_and_not_left_to_the_garbage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FileLock] = []

    def keep(*args: Any, **more: Any) -> FileLock:
        made.append(FileLock(*args, **more))
        return made[-1]

    monkeypatch.setattr(lock, "FileLock", keep)
    async with turn(path, wait_s=1, waiting=nobody):
        assert made[0].is_locked
    assert not made[0].is_locked


@pytest.mark.looptime
async def test_who_waits_is_told_and_told_again(path: Path) -> None:
    said: list[str] = []
    with FileLock(path):
        async with turn(path, wait_s=SAY_AGAIN_S + 1, waiting=said.append):
            pass
    assert said[:2] == ["another process fetches this file: waiting for it"] * 2
    assert said[2:] == ["another process has been fetching this file for 11 s: not waiting any longer"]


@pytest.mark.looptime
async def test_a_wait_is_bounded(path: Path) -> None:
    clock = asyncio.get_running_loop().time
    with FileLock(path):
        async with turn(path, wait_s=30, waiting=lambda _: None):
            assert 30 <= clock() <= 30 + 2 * POLL_S


@pytest.mark.looptime
async def test_a_wait_ends_with_the_lock(path: Path) -> None:
    held = FileLock(path, thread_local=False)
    held.acquire()
    asyncio.get_running_loop().call_later(5, held.release)
    async with turn(path, wait_s=30, waiting=lambda _: None):
        assert 5 <= asyncio.get_running_loop().time() <= 5 + 2 * POLL_S


@pytest.mark.parametrize("error", [OSError(38, "Function not implemented"), NotImplementedError()])
async def test_where_locks_do_not_work_it_goes_on_with_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None: ...

        def acquire(self, timeout: float) -> None:
            assert timeout == 0
            raise error

    monkeypatch.setattr(lock, "FileLock", Broken)
    async with turn(path, wait_s=1, waiting=nobody):
        pass
    assert "locks do not work here" in caplog.text
