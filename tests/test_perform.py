from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ble_ota.content import Content
from ble_ota.errors import AttRefusedError, BleOtaError, LinkLostError, StopAsked, TrustError
from ble_ota.link import Link, LinkFacts, uuid16
from ble_ota.perform import GIVE_UP_S, GOODBYE_S, GOODBYE_STEPS, STEP_S, perform
from ble_ota.protocols.quecthing import frame
from ble_ota.script import (
    Await,
    BlockReader,
    Notified,
    Progress,
    Read,
    ReadBlock,
    Reply,
    Script,
    Step,
    Subscribe,
    Write,
    notified,
    read,
)
from ble_ota.virtual.peripherals.quecthing import Habits
from tests.bench import Bench, bench, images, planned

pytestmark = pytest.mark.looptime

INFO = frame.encode(frame.Frame(1000, 0x7040))


@pytest.fixture
def open_bench(tmp_path: Path) -> Bench:
    return bench(tmp_path, Habits(login_required=False, firmware_revision=True))  # it takes a login all the same


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


async def test_a_script_without_a_step_gives_what_it_returns(link: Link) -> None:
    def script(steps: int) -> Script[str]:
        for n in range(steps):
            yield Progress(n, steps)
        return "nothing to do"

    assert await perform(script(0), link) == "nothing to do"


@dataclass(slots=True)
class Slow:
    """A link on which a write takes a while; what was written, and when it was done."""

    write_s: float = 0.5
    lost_at: int | None = None
    """From this write on the link is gone."""
    stuck_at: int | None = None
    """This write never ends."""
    written: list[tuple[bytes, float]] = field(default_factory=list[tuple[bytes, float]])
    given_up: list[bytes] = field(default_factory=list[bytes])
    said: deque[Notified] = field(default_factory=deque[Notified])
    _busy: bool = False

    @property
    def facts(self) -> LinkFacts:
        return LinkFacts("C0:DE:B0:E0:00:01", ())

    @property
    def values(self) -> list[bytes]:
        return [data for data, _ in self.written]

    async def subscribe(self, char: int) -> None:
        """Nothing to do."""

    async def read(self, char: int) -> bytes:
        return b""

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        assert not self._busy, "a link carries one request at a time"
        if self.lost_at is not None and len(self.written) >= self.lost_at:
            msg = "gone"
            raise LinkLostError(msg)
        self._busy = True
        try:
            await asyncio.sleep(1e6 if len(self.written) == self.stuck_at else self.write_s)
            self.written.append((data, asyncio.get_running_loop().time()))
        except asyncio.CancelledError:
            self.given_up.append(data)
            raise
        finally:
            self._busy = False

    async def notification(self, chars: tuple[int, ...]) -> Notified:
        if self.said:
            return self.said.popleft()
        await asyncio.Event().wait()
        raise AssertionError


def polite(*goodbye: Step, first: Step) -> Script[None]:
    """Does `first`, waits for ever, and says `goodbye` when it is asked to stop."""
    try:
        yield first
        yield Await((1,), 1000)
    except StopAsked:
        for step in goodbye:
            _ = yield step
        raise


BYE = Write(1, b"bye", ack=True)
WAIT = Await((1,), 1000)
DATA = Write(1, b"data", ack=True)


async def stopped(script: Script[None], link: Link, *, after_s: float = 10.2) -> float:
    """Cancel `script` after a while; gives how long it took from then until it had ended."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(perform(script, link))
    await asyncio.sleep(after_s)
    asked = loop.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__cause__ is None
    return loop.time() - asked


async def test_a_cancellation_lets_the_script_say_goodbye() -> None:
    slow = Slow()
    assert await stopped(polite(BYE, first=WAIT), slow) == pytest.approx(0.5)
    assert slow.values == [b"bye"]


async def test_a_write_under_way_is_ended_before_the_goodbye() -> None:
    slow = Slow()
    assert await stopped(polite(BYE, first=DATA), slow, after_s=0.2) == pytest.approx(0.8)
    assert slow.values == [b"data", b"bye"]


async def test_a_script_with_no_goodbye_stops_at_once() -> None:
    slow = Slow()
    assert await stopped(polite(first=WAIT), slow) == 0
    assert slow.values == []


async def test_a_script_that_returns_at_the_stop_does_not_end_the_cancellation() -> None:
    def script() -> Script[None]:
        try:
            yield WAIT
        except StopAsked:
            return

    assert await stopped(script(), Slow()) == 0


async def test_a_goodbye_is_told_what_came_of_its_steps() -> None:
    told: list[Reply] = []

    def script() -> Script[None]:
        try:
            yield WAIT
        except StopAsked:
            told.append((yield BYE))
            told.append((yield Await((1,), 1)))

    slow = Slow()
    task = asyncio.create_task(perform(script(), slow))
    await asyncio.sleep(1)
    slow.said.append(Notified(1, b"ok"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [r.value for r in told] == [None, Notified(1, b"ok")]
    assert [r.waited_s for r in told] == [pytest.approx(0.5), 0]


async def test_a_goodbye_has_two_seconds() -> None:
    slow = Slow(write_s=0.7)
    assert await stopped(polite(*[BYE] * 10, first=WAIT), slow) == pytest.approx(GOODBYE_S)
    assert (slow.values, slow.given_up) == ([b"bye"] * 2, [b"bye"])


async def test_the_write_under_way_is_part_of_the_two_seconds() -> None:
    slow = Slow(stuck_at=0)
    assert await stopped(polite(BYE, first=DATA), slow) == pytest.approx(GOODBYE_S)
    assert (slow.values, slow.given_up) == ([], [b"data"])


async def test_a_goodbye_has_twenty_steps() -> None:
    slow = Slow(write_s=0)
    await stopped(polite(*[BYE] * 100, first=WAIT), slow)
    assert len(slow.values) == GOODBYE_STEPS == 20


async def test_a_lost_link_ends_the_goodbye() -> None:
    seen: list[Exception] = []

    def script() -> Script[None]:
        try:
            yield WAIT
        except StopAsked:
            try:
                yield BYE
            except LinkLostError as error:
                seen.append(error)
            yield WAIT

    assert await stopped(script(), Slow(lost_at=0)) == 0
    assert seen == []


async def test_a_link_lost_while_writing_ends_the_goodbye() -> None:
    slow = Slow(lost_at=1)
    assert await stopped(polite(BYE, BYE, first=DATA), slow, after_s=0.2) == pytest.approx(0.3)
    assert slow.values == [b"data"]


async def test_a_second_cancellation_is_a_hard_stop() -> None:
    slow = Slow(stuck_at=0)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(perform(polite(BYE, first=WAIT), slow))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(0.25)
    asked = loop.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (loop.time() - asked, slow.given_up) == (0, [b"bye"])


async def test_a_bug_in_a_goodbye_is_the_cause_and_the_cancellation_goes_on() -> None:
    def script() -> Script[None]:
        try:
            yield WAIT
        except StopAsked:
            msg = "a bug"
            raise ZeroDivisionError(msg) from None

    task = asyncio.create_task(perform(script(), Slow()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_a_deadline_around_it_is_still_a_deadline() -> None:
    slow = Slow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await perform(polite(BYE, first=DATA), slow)
    assert slow.values == [b"data", b"bye"]
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_deadline_around_a_goodbye_that_expires_is_still_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await perform(polite(WAIT, first=WAIT), Slow())
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_cancellation_in_a_deadline_is_no_deadline() -> None:
    async def run() -> None:
        async with asyncio.timeout(300):
            await perform(polite(BYE, first=WAIT), Slow())

    task = asyncio.create_task(run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stop_cancels_the_transfer_of_a_real_device(open_bench: Bench, link: Link) -> None:
    """Script, link and device together: the device forgets the file, and takes it anew over the same link."""
    (image,), component = images(open_bench.world), planned(open_bench.world)
    session = await perform(open_bench.driver.open(link.facts, open_bench.secret), link)
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def watch(step: Progress) -> None:
        if step.done > 1000 and not stop.done():
            stop.set_result(None)

    task = asyncio.create_task(perform(open_bench.driver.upload(session, component, image, None), link, watch=watch))
    await stop
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await perform(open_bench.driver.upload(session, component, image, None), link)


async def watched_turns(script: Script[None], link: Link) -> int:
    """How often another task came to run meanwhile."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await perform(script, link)
    task.cancel()
    return turns


class Endless(Slow):
    """A link whose every call hangs; a cancelled one does not end either, if `deaf`."""

    deaf: bool = False

    async def _hang(self) -> bytes:
        while True:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                if not self.deaf:
                    raise

    async def subscribe(self, char: int) -> None:
        await self._hang()

    async def read(self, char: int) -> bytes:
        return await self._hang()

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        await self._hang()


@pytest.mark.parametrize("step", [Subscribe(1), Read(1), DATA], ids=lambda s: type(s).__name__)
async def test_a_call_of_the_link_that_never_returns_is_a_lost_link(step: Step) -> None:
    def script() -> Script[None]:
        yield step

    loop = asyncio.get_running_loop()
    with pytest.raises(LinkLostError, match=f"did not end it within {STEP_S:g} s"):
        await perform(script(), Endless())
    assert loop.time() == pytest.approx(STEP_S, abs=1)


async def test_a_write_that_cannot_be_cancelled_is_left_behind() -> None:
    link = Endless()
    link.deaf = True
    assert await stopped(polite(first=DATA), link) == pytest.approx(GOODBYE_S + GIVE_UP_S, abs=0.1)
    link.deaf = False


async def test_a_flood_does_not_starve_the_loop() -> None:
    """A link that always has something: another task must still come to run."""

    def script() -> Script[None]:
        for _ in range(1000):
            yield from notified(1, within_s=1)

    assert await watched_turns(script(), Slow(said=deque([Notified(1, b"x")] * 1000))) >= 900


async def test_progress_without_end_does_not_starve_the_loop() -> None:
    def script() -> Script[None]:
        for n in range(1000):
            yield Progress(n, 1000)

    assert await watched_turns(script(), Slow()) >= 900


async def test_progress_without_end_can_be_stopped() -> None:
    def script() -> Script[None]:
        while True:
            yield Progress(0, 1)

    assert await stopped(script(), Slow(), after_s=0) == 0


Taken = list[tuple[Step, Reply | BleOtaError]]


async def test_a_tape_is_told_each_step_with_its_reply(link: Link) -> None:
    char, taken = handle(link, 0x9C40), Taken()

    def script() -> Script[None]:
        yield Subscribe(char)
        yield Progress(1, 2)
        yield Await((char,), 3)

    await perform(script(), link, tape=lambda step, came: taken.append((step, came)))
    assert [step for step, _ in taken] == [Subscribe(char), Progress(1, 2), Await((char,), 3)]
    waits = [came.waited_s for _, came in taken if isinstance(came, Reply)]
    assert waits == pytest.approx([0.03, 0, 3])


async def test_a_tape_is_told_what_is_thrown_in(link: Link) -> None:
    taken = Taken()
    with pytest.raises(AttRefusedError) as caught:
        await perform(read(handle(link, 0x9C40)), link, tape=lambda step, came: taken.append((step, came)))
    assert taken == [(Read(handle(link, 0x9C40)), caught.value)]


async def test_a_tape_is_told_of_a_stop_and_of_the_goodbye() -> None:
    taken = Taken()
    script = polite(BYE, first=DATA)
    task = asyncio.create_task(perform(script, Slow(), tape=lambda step, came: taken.append((step, came))))
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(step, type(came)) for step, came in taken] == [(DATA, Reply), (WAIT, StopAsked), (BYE, Reply)]


async def test_a_block_is_read_of_the_file_that_the_step_names(link: Link) -> None:
    file = Content.of(b"firmware")
    assert await perform(BlockReader(file, 8).read(1, 4), link) == b"irm"


async def test_a_block_that_is_not_trusted_is_thrown_in(link: Link) -> None:
    async def read(_offset: int, _length: int) -> bytes:
        return b"hardware"

    changed = Content(Content.of(b"firmware").summary, read)
    seen: list[Step] = []

    def script() -> Script[str]:
        try:
            yield from BlockReader(changed, 8).read(0, 8)
        except TrustError:
            yield Progress(0, 8)
            return "goodbye"
        return "missed"

    assert await perform(script(), link, tape=lambda step, _: seen.append(step)) == "goodbye"
    assert [type(step) for step in seen] == [ReadBlock, Progress]
