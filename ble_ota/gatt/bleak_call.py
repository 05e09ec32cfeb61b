"""One call into bleak: it comes back, with a value or an error of ours, whatever the system below does.

Not every system ends what was under way when its link goes; some raise what nobody would expect, and some cancel a
future of their own, which would look like a cancellation of ours. So each call runs as a task, next to a future that
is done when the link has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from bleak.exc import BleakGATTProtocolError

from ble_ota.errors import BleOtaError, LinkLostError
from ble_ota.gatt.bleak_errors import Kind, diagnose, gone, ours

T = TypeVar("T")
Lost = asyncio.Future[None]
"""Done once the link has gone."""

UNLIKELY = 0x0E  # "unlikely error"; seen of BlueZ 5.66, whose own end of a request is no answer of the device
TOLD_S = 1.0  # our choice: the word that the link went follows within milliseconds
LET_GO_S = 5.0  # our choice: for a system to end what we no longer wait for; one that does not is left to itself


async def call(
    doing: Coroutine[Any, Any, T], what: str, *, lost: Lost | None = None, within_s: float | None = None
) -> T:
    """Await `doing`, unless the link goes first or `within_s` seconds pass.

    Raises:
        BleOtaError: As `bleak_errors.ours`; `LinkLostError` when the link has gone, or no answer came in time.
    """
    if lost is not None and lost.done():
        doing.close()
        raise gone(what)
    task = asyncio.ensure_future(doing)
    try:
        until: set[asyncio.Future[Any]] = {task} if lost is None else {task, lost}
        await asyncio.wait(until, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        answered = task.done()
    finally:
        await let_go(task)
    if answered and not task.cancelled():
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, Exception):  # the program is to end
            raise error
        if lost is not None and _may_be_a_loss(error):
            await asyncio.wait({lost}, timeout=TOLD_S)
        raise _renamed(error, what, lost) from error
    if answered or (lost is not None and lost.done()):
        raise gone(what)
    msg = f"{what}: no answer in time"
    raise LinkLostError(msg) from TimeoutError()


def _renamed(error: Exception, what: str, lost: Lost | None) -> BleOtaError:
    """What a call ends with whose link went under it is noise: that the link went is what counts."""
    if lost is not None and lost.done() and (diagnose(error).kind is Kind.ABORTED or _may_be_a_loss(error)):
        return gone(what)
    return ours(error, what)


def _may_be_a_loss(error: Exception) -> bool:
    """Whether a system says this, too, of a request whose link went under it, a moment before it says that it went.

    So does a bus whose bluetoothd has died: it answers what was under way first, and announces the death then.
    """
    if isinstance(error, BleakGATTProtocolError):
        return int(error.code) == UNLIKELY
    return diagnose(error).kind is Kind.OFF


async def let_go(task: asyncio.Future[Any]) -> None:
    """Cancel `task` and wait until it has ended, `LET_GO_S` seconds at most; what comes of it is of no interest."""
    if task.done():
        return
    task.add_done_callback(_heard_out)
    task.cancel()
    await asyncio.wait({task}, timeout=LET_GO_S)


def _heard_out(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # or the loop would complain that nobody asked
