"""Plays a script against a table: no loop, no sleep."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

from ble_ota.errors import BleOtaError
from ble_ota.script import ReadBlock, Reply, Script, Step

T = TypeVar("T")
Row: TypeAlias = tuple[Step, Reply | BleOtaError]
"""A step the script must say, and the reply it is given, or what is thrown in."""
DONE = Reply(None, 0.0)


def play(script: Script[T], *rows: Row) -> T:
    """Hold `script` to `rows`, all of them and no more; give what it returns, or let its error out.

    A block of a file that no row is about is read from it.
    """
    left = deque(rows)
    advance: Callable[[], Step] = partial(next, script)
    while True:
        try:
            step = advance()
        except BleOtaError:
            _all_said(left)
            raise
        except StopIteration as end:
            _all_said(left)
            result: T = end.value
            return result
        if isinstance(step, ReadBlock) and not (left and isinstance(left[0][0], ReadBlock)):
            advance = partial(script.send, Reply(block(step), 0.0))
            continue
        assert left, f"nothing more was due, and it says {step}"
        wanted, reply = left.popleft()
        assert step == wanted, f"{step} where {wanted} was due"
        advance = partial(script.throw if isinstance(reply, BleOtaError) else script.send, reply)  # type: ignore[arg-type]


def block(step: ReadBlock) -> bytes:
    """Read a block of a file in memory, whose coroutine never waits."""
    reading = step.file.block(step.index)
    try:
        reading.send(None)
    except StopIteration as end:
        data: bytes = end.value
        return data
    raise AssertionError


def _all_said(left: deque[Row]) -> None:
    assert not left, f"it ended where {left[0][0]} was due"
