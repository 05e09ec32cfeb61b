from __future__ import annotations

import asyncio

import pytest

from ble_ota.delivery import Delivery, NoMarks
from ble_ota.errors import DeviceSilentError
from ble_ota.events import Event, TransferProgress, TransferResumed, Warned
from ble_ota.model import Algorithm, Component, ComponentKind, Digest, Mark, PlannedFile, VerifiedImage
from ble_ota.script import Progress

pytestmark = pytest.mark.looptime


def image(content: bytes) -> VerifiedImage:
    digest = Digest(Algorithm.SHA256, Algorithm.SHA256.hex(content))
    return VerifiedImage.check(PlannedFile("", len(content), (digest,)), content)


IMAGES = (image(b"a" * 1000), image(b"b" * 500))


class Drawer:
    """Marks in a drawer."""

    def __init__(self, *marks: Mark) -> None:
        self.marks = list(marks)
        self.fact = ""

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        fitting = [m for m in self.marks if (m.component, m.file, m.sha256) == (component, file, sha256)]
        return fitting[-1] if fitting else None

    def keep(self, mark: Mark) -> None:
        self.marks.append(mark)

    async def product(self) -> str:
        return self.fact

    def keep_product(self, fact: str) -> None:
        self.fact = fact


def delivery(events: list[Event] | None = None, *, marks: Drawer | None = None) -> Delivery:
    component = Component("MAIN", ComponentKind.MODULE, "2", "1", ())
    emit = (events if events is not None else []).append
    return Delivery(component, IMAGES, emit, marks or NoMarks())


async def test_progress_counts_over_all_files() -> None:
    events: list[Event] = []
    on = delivery(events)
    on.start()
    on.progress(0, Progress(0, 1000))
    on.progress(0, Progress(1000, 1000))
    on.next_image(0)
    on.progress(1, Progress(200, 500))
    assert [(e.bytes, e.total) for e in events if isinstance(e, TransferProgress)] == [
        (0, 1500),
        (1000, 1500),
        (1200, 1500),
    ]


async def test_the_rate_is_of_what_went_on_this_link() -> None:
    events: list[Event] = []
    on = delivery(events)
    on.start()
    on.progress(0, Progress(800, 1000))
    await asyncio.sleep(2)
    on.progress(0, Progress(1000, 1000))
    assert [e.rate_bps for e in events if isinstance(e, TransferProgress)] == [0, 100]


async def test_a_first_answer_beyond_the_start_is_a_resume() -> None:
    events: list[Event] = []
    on = delivery(events)
    on.start()
    on.progress(0, Progress(400, 1000))
    on.progress(0, Progress(600, 1000))
    assert [e.offset for e in events if isinstance(e, TransferResumed)] == [400]


async def test_starting_over_within_a_link_is_told() -> None:
    events: list[Event] = []
    on = delivery(events)
    on.start()
    on.progress(0, Progress(400, 1000))
    on.progress(0, Progress(0, 1000))
    assert len([e for e in events if isinstance(e, Warned)]) == 1
    assert on.furthest == 400


async def test_a_hint_is_the_last_mark_and_its_age() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(400, 1000, learned="200 echo"))
    await asyncio.sleep(3)
    hint = on.hint(0)
    assert hint is not None
    assert (hint.offset, round(hint.age_s, 3), hint.learned) == (400, 3, "200 echo")


async def test_a_later_file_has_no_hint_and_takes_that_of_the_first_away() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(1000, 1000))
    on.next_image(0)
    on.progress(1, Progress(200, 500))
    assert on.hint(0) is None
    assert on.hint(1) is None


async def test_a_file_that_nobody_has_a_byte_of_has_no_hint() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(0, 1000))
    assert on.hint(0) is None


async def test_what_another_process_left_is_recalled_and_grows_older() -> None:
    on = delivery(marks=Drawer(Mark("MAIN", 0, IMAGES[0].sha256, 600, "200 next", age_s=5)))
    await on.recall()
    await asyncio.sleep(2)
    hint = on.hint(0)
    assert hint is not None
    assert (hint.offset, round(hint.age_s, 3)) == (600, 7)


async def test_every_progress_is_a_mark_of_its_image() -> None:
    drawer = Drawer()
    on = delivery(marks=drawer)
    on.start()
    on.progress(0, Progress(200, 1000, learned="x"))
    assert drawer.marks == [Mark("MAIN", 0, IMAGES[0].sha256, 200, "x")]


async def test_it_may_be_whole_once_only_the_packet_in_flight_is_open() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(0, 1000))
    on.progress(0, Progress(1000, 1000))
    on.next_image(0)
    assert not on.may_be_whole or on.total - 1000 <= 1000
    on.progress(1, Progress(250, 500))
    assert on.may_be_whole


async def test_the_packet_in_flight_may_be_as_large_as_the_largest_so_far() -> None:
    on = delivery()
    on.start()
    for done in (0, 500, 600, 1000):  # the last one had 400 bytes, and 500 are open
        on.progress(0, Progress(done, 1000))
    assert on.may_be_whole


async def test_what_may_be_whole_stays_so_on_later_links() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(0, 1000))
    on.progress(0, Progress(1000, 1000))
    assert on.may_be_whole
    on.start()
    on.progress(0, Progress(0, 1000))
    assert on.may_be_whole


async def test_a_new_link_counts_from_its_own_beginning() -> None:
    events: list[Event] = []
    on = delivery(events)
    for answer in (0, 400):
        on.start()
        on.progress(0, Progress(answer, 1000))
        on.progress(0, Progress(1000, 1000))
        on.next_image(0)
        on.progress(1, Progress(200, 500))
    assert [e.bytes for e in events if isinstance(e, TransferProgress)] == [0, 1000, 1200, 400, 1000, 1200]
    assert [e.offset for e in events if isinstance(e, TransferResumed)] == [400]
    assert not [e for e in events if isinstance(e, Warned)]  # a link that begins lower than the last one ended


async def test_it_is_not_whole_in_the_middle() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(0, 1000))
    on.progress(0, Progress(100, 1000))
    assert not on.may_be_whole


async def paced(on: Delivery, step: Progress, sleep_s: float) -> None:
    """One step, and then nothing for a while."""
    async with on.paced(10, 100):
        on.progress(0, step)
        await asyncio.sleep(sleep_s)


async def test_a_stall_is_a_silent_device() -> None:
    on = delivery()
    on.start()
    with pytest.raises(DeviceSilentError, match="fewer than 100 bytes in 10 s, at byte 50 of 1500"):
        await paced(on, Progress(50, 1000), 11)


async def test_enough_in_time_is_no_stall() -> None:
    on = delivery()
    on.start()
    async with on.paced(10, 100):
        for done in range(100, 1001, 100):
            await asyncio.sleep(9)
            on.progress(0, Progress(done, 1000))


async def test_time_that_the_device_asks_for_is_granted_once() -> None:
    on = delivery()
    on.start()
    await paced(on, Progress(0, 1000, wait_s=30), 39)
    with pytest.raises(DeviceSilentError):
        await paced(on, Progress(0, 1000, wait_s=30), 41)


async def test_time_that_is_granted_is_not_taken_back_by_progress() -> None:
    on = delivery()
    on.start()
    async with on.paced(10, 100):
        on.progress(0, Progress(0, 1000, wait_s=30))
        await asyncio.sleep(1)
        on.progress(0, Progress(200, 1000))
        await asyncio.sleep(35)


async def test_a_stall_after_good_progress_is_one() -> None:
    """What was acknowledged before the last `stall_s` seconds does not count again."""
    on = delivery()
    on.start()

    async def slows_down() -> None:
        async with on.paced(10, 100):
            for done in range(500, 1000, 10):
                on.progress(0, Progress(done, 1000))
                await asyncio.sleep(4)

    with pytest.raises(DeviceSilentError, match="at byte 520 of 1500"):
        await slows_down()


async def test_the_last_piece_may_be_small() -> None:
    on = delivery()
    on.start()
    async with on.paced(10, 100):
        on.progress(0, Progress(1000, 1000))
        on.next_image(0)
        on.progress(1, Progress(450, 500))
        await asyncio.sleep(9)
        on.progress(1, Progress(500, 500))
        await asyncio.sleep(9)


async def test_on_a_new_link_nothing_is_acknowledged_yet() -> None:
    on = delivery()
    on.start()
    on.progress(0, Progress(600, 1000))
    on.start()
    with pytest.raises(DeviceSilentError, match="at byte 0 of 1500"):
        async with on.paced(10, 100):
            await asyncio.sleep(11)


async def test_progress_after_the_block_is_nobodys_pace() -> None:
    on = delivery()
    on.start()
    await paced(on, Progress(0, 1000), 1)
    on.progress(0, Progress(500, 1000))
    await asyncio.sleep(20)


async def test_a_time_out_of_the_caller_is_the_callers() -> None:
    on = delivery()
    on.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5), on.paced(10, 100):
            await asyncio.sleep(6)


async def test_nobody_keeps_marks() -> None:
    nobody = NoMarks()
    nobody.keep(Mark("MAIN", 0, "", 1, ""))
    assert await nobody.last("MAIN", 0, "") is None


async def test_a_file_that_the_device_has_ended_is_not_carried_on() -> None:
    marks = Drawer()
    on = delivery(marks=marks)
    on.start()
    on.progress(0, Progress(800, 1000, learned="20"))
    assert on.hint(0) is not None
    on.refused()
    assert (on.hint(0), marks.marks[-1].offset, marks.marks[-1].learned) == (None, 0, "")
