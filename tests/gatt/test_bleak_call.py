from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from ble_ota.errors import AdapterError, AttRefusedError, LinkLostError
from ble_ota.gatt.bleak_call import LET_GO_S, Lost, call

pytestmark = pytest.mark.looptime
GONE = "the connection dropped while reading"


def lost() -> Lost:
    return asyncio.get_running_loop().create_future()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def failing(error: BaseException, *, after: Lost | None = None) -> None:
    if after is not None:
        after.set_result(None)
    raise error


async def test_a_value_comes_back() -> None:
    assert await call(asyncio.sleep(1, "value"), "reading", lost=lost(), within_s=2) == "value"


async def test_an_error_comes_back_as_ours() -> None:
    with pytest.raises(AttRefusedError, match="reading"):
        await call(failing(BleakGATTProtocolError(3)), "reading")


async def test_a_link_that_is_gone_is_asked_nothing() -> None:
    gone = lost()
    gone.set_result(None)
    asked = []

    async def ask() -> None:
        asked.append(1)

    with pytest.raises(LinkLostError, match=GONE):
        await call(ask(), "reading", lost=gone)
    assert asked == []


async def test_a_link_that_goes_ends_the_wait_at_once() -> None:
    gone, loop = lost(), asyncio.get_running_loop()
    loop.call_later(3, gone.set_result, None)
    with pytest.raises(LinkLostError, match=GONE):
        await call(for_ever(), "reading", lost=gone, within_s=30)
    assert loop.time() == pytest.approx(3)


async def test_noise_of_a_link_that_went_is_the_loss() -> None:
    gone = lost()
    with pytest.raises(LinkLostError, match=f"^{GONE}$"):
        await call(failing(AttributeError("NoneType"), after=gone), "reading", lost=gone)


@pytest.mark.parametrize("error", [BleakGATTProtocolError(3), PermissionError(13, "no")])
async def test_a_reason_counts_more_than_the_loss_behind_it(error: Exception) -> None:
    gone = lost()
    with pytest.raises((AttRefusedError, AdapterError)):
        await call(failing(error, after=gone), "reading", lost=gone)


# What BlueZ and its bus answer for a request whose link is about to be told as lost, and what it is of one that stands.
FORERUNNERS = [
    (BleakGATTProtocolError(0x0E), AttRefusedError),
    (BleakDBusError("org.freedesktop.DBus.Error.NoReply", ["Message recipient disconnected"]), AdapterError),
    (BleakDBusError("org.bluez.Error.NotReady", ["Resource Not Ready"]), AdapterError),
]


@pytest.mark.parametrize(("error", "_alone"), FORERUNNERS)
async def test_an_error_before_the_word_that_the_link_went_is_the_loss(error: Exception, _alone: type) -> None:
    gone, loop = lost(), asyncio.get_running_loop()
    loop.call_later(0.3, gone.set_result, None)
    with pytest.raises(LinkLostError, match=GONE):
        await call(failing(error), "reading", lost=gone)
    assert loop.time() == pytest.approx(0.3)


@pytest.mark.parametrize(("error", "alone"), FORERUNNERS)
async def test_the_same_error_of_a_link_that_stands_is_what_it_says(error: Exception, alone: type[Exception]) -> None:
    with pytest.raises(alone):
        await call(failing(error), "reading", lost=lost())
    assert asyncio.get_running_loop().time() == pytest.approx(1)


async def test_no_answer_in_time_is_said() -> None:
    with pytest.raises(LinkLostError, match="reading: no answer in time"):
        await call(for_ever(), "reading", lost=lost(), within_s=5)
    assert asyncio.get_running_loop().time() == pytest.approx(5)


async def test_a_cancellation_of_the_systems_own_is_a_loss_and_not_ours() -> None:
    with pytest.raises(LinkLostError, match=GONE):
        await call(failing(asyncio.CancelledError()), "reading")


async def test_our_own_cancellation_gets_through_and_ends_the_call() -> None:
    ended = []

    async def asking() -> None:
        try:
            await for_ever()
        finally:
            ended.append(1)

    task = asyncio.ensure_future(call(asking(), "reading"))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]


async def test_a_call_that_does_not_end_is_left_to_itself() -> None:
    done = asyncio.Event()

    async def deaf() -> None:
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                continue
        raise BleakError("nobody listens")

    with pytest.raises(LinkLostError, match="no answer"):
        await call(deaf(), "reading", within_s=1)
    assert asyncio.get_running_loop().time() == pytest.approx(1 + LET_GO_S)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, said: complaints.append(said))
    done.set()
    await asyncio.sleep(1)
    assert complaints == []


async def test_what_ends_the_program_is_not_swallowed() -> None:
    class EndError(BaseException):
        pass

    with pytest.raises(EndError):
        await call(failing(EndError()), "reading")
