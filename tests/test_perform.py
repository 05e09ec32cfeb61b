from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ble_ota.errors import AttRefusedError, LinkLostError
from ble_ota.link import Link, uuid16
from ble_ota.perform import perform
from ble_ota.protocols.quecthing import frame
from ble_ota.script import Await, Notified, Progress, Read, Script, Subscribe, Write, notified, read
from ble_ota.virtual.peripherals.quecthing import Habits
from tests.bench import Bench, bench

pytestmark = pytest.mark.looptime

INFO = frame.encode(frame.Frame(1000, 0x7040))


@pytest.fixture
def open_bench(tmp_path: Path) -> Bench:
    return bench(tmp_path, Habits(login_required=False, firmware_revision=True))


@pytest.fixture
async def link(open_bench: Bench) -> AsyncGenerator[Link]:
    async with open_bench.radio.connect(open_bench.device.address, within_s=1) as made:
        yield made


def handle(link: Link, number: int) -> int:
    found = link.facts.find(uuid16(number))
    assert found is not None
    return found.handle


async def test_a_read_is_answered_with_bytes(link: Link) -> None:
    assert await perform(read(handle(link, 0x2A26)), link) == b"1.0.0"


async def test_what_was_subscribed_to_is_heard_after_a_write(link: Link) -> None:
    char = handle(link, 0x9C40)

    def script() -> Script[Notified | None]:
        yield Subscribe(char)
        yield Write(char, INFO, ack=True)
        heard, _ = yield from notified(char, within_s=5)
        return heard

    heard = await perform(script(), link)
    assert heard is not None
    assert frame.decode_one(heard.data).cmd == 0x7041


async def test_silence_is_none_and_the_time_is_told(link: Link) -> None:
    heard, waited_s = await perform(notified(handle(link, 0x9C40), within_s=30), link)
    assert heard is None
    assert waited_s == pytest.approx(30)


async def test_a_poll_gives_what_has_come_and_waits_for_nothing(link: Link) -> None:
    char = handle(link, 0x9C40)

    def script() -> Script[tuple[object, float, object]]:
        yield Subscribe(char)
        yield Write(char, INFO, ack=True)
        yield Await((handle(link, 0x9C41),), within_s=1)  # let time pass
        first, waited_s = yield from notified(char, within_s=0)
        second, _ = yield from notified(char, within_s=0)
        return first, waited_s, second

    first, waited_s, second = await perform(script(), link)
    assert isinstance(first, Notified)
    assert waited_s == 0
    assert second is None


async def test_progress_reaches_whoever_watches(link: Link) -> None:
    def script() -> Script[str]:
        yield Progress(1, 2)
        return "done"

    seen: list[Progress] = []
    assert await perform(script(), link, watch=seen.append) == "done"
    assert seen == [Progress(1, 2)]
    assert await perform(script(), link) == "done"


async def test_a_lost_link_is_thrown_in_at_the_step(open_bench: Bench, link: Link) -> None:
    char = handle(link, 0x9C40)

    def script() -> Script[str]:
        yield Subscribe(char)
        open_bench.air.cut()
        try:
            yield Write(char, INFO, ack=True)
        except LinkLostError:
            return "seen"
        return "missed"

    assert await perform(script(), link) == "seen"


async def test_a_refusal_leaves_by_the_script_when_it_lets_it_pass(link: Link) -> None:
    with pytest.raises(AttRefusedError) as caught:
        await perform(read(handle(link, 0x9C40)), link)
    assert caught.value.code == 0x02  # Read Not Permitted


async def test_a_script_may_do_more_after_what_was_thrown_in(link: Link) -> None:
    def script() -> Script[bytes]:
        try:
            yield Read(handle(link, 0x9C40))
        except AttRefusedError:
            return (yield from read(handle(link, 0x2A26)))
        return b""

    assert await perform(script(), link) == b"1.0.0"


async def test_a_flood_does_not_starve_the_loop(link: Link) -> None:
    """A link that always has something: another task must still come to run."""

    said = deque([Notified(1, b"x")] * 1000)

    class Flooded:
        async def notification(self, _chars: tuple[int, ...]) -> Notified:
            return said.popleft()

    def script() -> Script[None]:
        for _ in range(1000):
            yield from notified(1, within_s=1)

    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await perform(script(), Flooded())  # type: ignore[arg-type]
    task.cancel()
    assert turns >= 900
