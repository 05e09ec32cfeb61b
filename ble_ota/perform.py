"""The one place where a script meets a link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar, assert_never

from ble_ota.errors import BleOtaError
from ble_ota.link import Link
from ble_ota.script import Await, Notified, Progress, Read, Reply, Script, Step, Subscribe, Write

T = TypeVar("T")
Watch = Callable[[Progress], None]


async def perform(script: Script[T], link: Link, *, watch: Watch | None = None) -> T:
    """Do what `script` says on `link`, and give what it returns.

    Args:
        script: Not yet started.
        link: Stays open; whoever opened it closes it.
        watch: Called for each `Progress`, must not raise.

    Raises:
        BleOtaError: What the script raises, be it its own or one of the link that it let pass.
    """
    loop = asyncio.get_running_loop()
    step = next(script)
    while True:
        began = loop.time()
        try:
            value = await _do(step, link, watch)
        except BleOtaError as error:
            advance = partial(script.throw, error)
        else:
            advance = partial(script.send, Reply(value, loop.time() - began))
        try:
            step = advance()
        except StopIteration as end:
            result: T = end.value
            return result


async def _do(step: Step, link: Link, watch: Watch | None) -> Notified | bytes | None:
    match step:
        case Subscribe(char):
            await link.subscribe(char)
        case Read(char):
            return await link.read(char)
        case Write(char, data, ack):
            await link.write(char, data, ack=ack)
        case Await(chars, within_s):
            return await _await(link, chars, within_s)
        case Progress():
            if watch is not None:
                watch(step)
        case _:
            assert_never(step)
    return None


async def _await(link: Link, chars: tuple[int, ...], within_s: float) -> Notified | None:
    await asyncio.sleep(0)  # a flood of notifications never suspends by itself, and must not starve the loop
    try:
        async with asyncio.timeout(within_s):
            return await link.notification(chars)
    except TimeoutError:
        return None
