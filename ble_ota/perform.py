"""The one place where a script meets a link.

A cancellation (Ctrl-C, a deadline, a watchdog: all the same here) is told to the script as `StopAsked`, and the script
may say goodbye to the device: so many steps, so many seconds, then the cancellation goes on. A second one does not
wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, assert_never

from ble_ota.errors import BleOtaError, LinkLostError, StopAsked
from ble_ota.link import Link
from ble_ota.script import Await, Notified, Progress, Read, ReadBlock, Reply, Script, Step, Subscribe, Write

T = TypeVar("T")
Watch = Callable[[Progress], None]
Tape = Callable[[Step, Reply | BleOtaError], None]

STEP_S = 100.0  # our choice: above what a link allows one request with its pairing, `bleak_link.ANSWER_S`
GIVE_UP_S = 6.0  # our choice: above what a link allows a system to let go of a call, `bleak_call.LET_GO_S`
GOODBYE_S = 2.0  # our choice: whoever pressed Ctrl-C is waiting; a cancel is one or two writes
GOODBYE_STEPS = 20
STOP = "it was asked to stop"


async def perform(script: Script[T], link: Link, *, watch: Watch | None = None, tape: Tape | None = None) -> T:
    """Do what `script` says on `link`, and give what it returns.

    Args:
        script: Not yet started.
        link: Stays open; whoever opened it closes it.
        watch: Called for each `Progress`, must not raise.
        tape: Called after each step with its reply, or with what is thrown in instead; must not raise.

    Raises:
        BleOtaError: What the script raises, be it its own or one of the link that it let pass.
        asyncio.CancelledError: As it came, `GOODBYE_S` later at the most.
    """
    stage = _Stage(link, watch, tape)
    advance: Callable[[], Step] = partial(next, script)
    while True:
        try:
            step = advance()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            reply = await stage.reply(step)
        except BleOtaError as error:
            advance = partial(script.throw, error)
        except asyncio.CancelledError as cancelled:
            await _goodbye(script, stage, cancelled)
            raise
        else:
            advance = partial(script.send, reply)


async def _goodbye(script: Script[T], stage: _Stage, cancelled: asyncio.CancelledError) -> None:
    """Let the script say goodbye; whatever comes of it, the cancellation goes on."""
    try:
        async with asyncio.timeout(GOODBYE_S):
            await stage.written()
            await _last_words(script, stage)
    except (BleOtaError, TimeoutError):
        return  # the script's own end, the link's, or the time's
    except Exception as bug:
        raise cancelled from bug
    finally:
        await stage.clear()


async def _last_words(script: Script[T], stage: _Stage) -> None:
    advance: Callable[[], Step] = partial(script.throw, StopAsked(STOP))
    for _ in range(GOODBYE_STEPS):
        try:
            step = advance()
        except StopIteration:
            return
        advance = partial(script.send, await stage.reply(step))


@dataclass(slots=True)
class _Stage:
    """Where steps are done, one after the other."""

    link: Link
    watch: Watch | None
    tape: Tape | None
    writing: asyncio.Task[None] | None = None
    """A write that has begun and, when a cancellation came, may not have ended."""

    async def reply(self, step: Step) -> Reply:
        """Do `step`, and tell the tape what came of it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            reply = Reply(await self.do(step), loop.time() - began)
        except BleOtaError as error:
            self._told(step, error)
            raise
        except asyncio.CancelledError:
            self._told(step, StopAsked(STOP))
            raise
        self._told(step, reply)
        return reply

    def _told(self, step: Step, came: Reply | BleOtaError) -> None:
        if self.tape is not None:
            self.tape(step, came)

    async def do(self, step: Step) -> Notified | bytes | None:
        await asyncio.sleep(0)  # no step need suspend by itself, and none must starve the loop
        match step:
            case Subscribe(char):
                await _bounded(self.link.subscribe(char), "subscribing")
            case Read(char):
                return await _bounded(self.link.read(char), "reading")
            case Write(char, data, ack):
                await self._write(self.link.write(char, data, ack=ack))
            case Await(chars, within_s):
                return await _await(self.link, chars, within_s)
            case Progress():
                if self.watch is not None:
                    self.watch(step)
            case ReadBlock(file, index):
                return await file.block(index)
            case _:
                assert_never(step)
        return None

    async def _write(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write in a task of its own: a link carries one request at a time, and a goodbye must not cut into it."""
        self.writing = asyncio.ensure_future(writing)
        await self.written()

    async def written(self) -> None:
        """Wait until what is being written has been; a cancellation of this wait leaves it under way.

        Raises:
            BleOtaError: As the link's.
            LinkLostError: It did not end within `STEP_S`.
        """
        if self.writing is None:
            return
        await asyncio.wait((self.writing,), timeout=STEP_S)
        if not self.writing.done():
            await self.clear()
            raise _endless("writing")
        done, self.writing = self.writing, None
        done.result()

    async def clear(self) -> None:
        """Give up what is still being written."""
        if self.writing is not None:
            given_up, self.writing = self.writing, None
            given_up.add_done_callback(lambda done: done.cancelled() or done.exception())  # of no interest any more
            given_up.cancel()
            await asyncio.wait((given_up,), timeout=GIVE_UP_S)


async def _bounded(doing: Coroutine[Any, Any, T], what: str) -> T:
    """Await a call of the link for `STEP_S` at most: systems have calls that never return. Raises `LinkLostError`."""
    try:
        async with asyncio.timeout(STEP_S):
            return await doing
    except TimeoutError:
        raise _endless(what) from None


def _endless(what: str) -> LinkLostError:
    return LinkLostError(f"{what}: this computer's Bluetooth did not end it within {STEP_S:g} s")


async def _await(link: Link, chars: tuple[int, ...], within_s: float) -> Notified | None:
    try:
        async with asyncio.timeout(within_s):
            return await link.notification(chars)
    except TimeoutError:
        return None
