from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from ble_ota.cli import signals
from ble_ota.cli.signals import HungUpError, TerminatedError
from ble_ota.errors import StopAsked

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [(signal.SIGINT, StopAsked, 130), (signal.SIGTERM, TerminatedError, 143), (signal.SIGHUP, HungUpError, 129)],
)
def test_a_signal_has_its_error_and_its_code(number: signal.Signals, error: type[StopAsked], code: int) -> None:
    stopped = signals.stopped(number, "stopped")
    assert (type(stopped), stopped.exit_code, signals.CODES[number]) == (error, code, code)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_handled_in_the_block_and_as_before_after_it(number: signal.Signals) -> None:
    heard, before = list[int](), signal.getsignal(number)
    with signals.handled(heard.append):
        signal.raise_signal(number)
    assert heard == [number]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    heard, before = list[int](), signal.signal(number, signal.SIG_IGN)
    try:
        with signals.handled(heard.append):
            signal.raise_signal(number)
            signals.let_go()
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert heard == []


def test_what_was_let_go_ends_the_process_again() -> None:
    with signals.handled(lambda _: None):
        signals.let_go()
        assert [signal.getsignal(number) for number in NUMBERS] == [signal.SIG_DFL] * 3


async def test_another_thread_handles_no_signal() -> None:
    def work() -> list[signal.Signals]:
        with signals.handled(lambda _: None):
            return signals.listened()

    assert await asyncio.to_thread(work) == []


async def test_a_signal_that_the_system_gives_to_another_thread_wakes_up_the_loop() -> None:
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    other = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
    with signals.handled(lambda _: loop.call_soon_threadsafe(heard.set), loop):
        other.start()
        async with asyncio.timeout(10):
            await heard.wait()
