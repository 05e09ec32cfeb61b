from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from ble_ota.ledger.thread import OneThread

WAIT_S = 10.0
HANGS = """
import sys, threading
from ble_ota.ledger.thread import OneThread

began = threading.Event()

def hang():
    began.set()
    threading.Event().wait()

OneThread("ledger").submit(hang)
began.wait()
sys.exit(7)
"""


def test_things_are_done_in_their_order() -> None:
    done: list[int] = []
    thread = OneThread("one")
    futures = [thread.submit(done.append, n) for n in range(100)]
    futures[-1].result(WAIT_S)
    assert done == list(range(100))
    thread.shutdown()


def test_an_error_goes_to_whoever_waits_and_the_next_is_done() -> None:
    thread = OneThread("one")
    failing: Future[float] = thread.submit(lambda: 1 / 0)
    after = thread.submit(lambda: 5)
    with pytest.raises(ZeroDivisionError):
        failing.result(WAIT_S)
    assert after.result(WAIT_S) == 5
    thread.shutdown()


def test_what_is_cancelled_before_its_turn_is_not_done() -> None:
    thread, gate, done = OneThread("one"), threading.Event(), list[str]()
    thread.submit(gate.wait, WAIT_S)
    second = thread.submit(done.append, "second")
    assert second.cancel()
    gate.set()
    thread.submit(done.append, "third").result(WAIT_S)
    assert done == ["third"]
    thread.shutdown()


def test_it_ends_after_what_was_submitted() -> None:
    thread, done = OneThread("the one that ends"), list[int]()
    mine = next(t for t in threading.enumerate() if t.name == "the one that ends")
    thread.submit(done.append, 1)
    thread.shutdown()
    mine.join(WAIT_S)
    assert (done, mine.is_alive()) == ([1], False)


def test_a_process_ends_though_its_thread_hangs() -> None:
    assert subprocess.run([sys.executable, "-c", HANGS], timeout=WAIT_S, check=False).returncode == 7
