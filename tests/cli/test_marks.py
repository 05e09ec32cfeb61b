from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from ble_ota.cli.marks import MARK_BYTES, MARK_S, PRODUCT_S, LedgerMarks
from ble_ota.errors import StorageError
from ble_ota.events import Event, Warned
from ble_ota.ledger import Ledger, Started
from ble_ota.model import Mark

SHA = "5a" * 32


@dataclass
class Kept:
    """The two calls of a ledger that marks need, in virtual time; each write takes `takes_s`."""

    takes_s: float = 0.0
    fails: bool = False
    marks: list[Mark] = field(default_factory=list[Mark])
    devices: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def mark(self, _run: str, device: tuple[str, str], mark: Mark) -> None:
        await asyncio.sleep(self.takes_s)
        if self.fails:
            msg = "the disk is full"
            raise StorageError(msg)
        self.marks.append(mark)
        self.devices.append(device)

    async def last_mark(self, device: tuple[str, str], component: str, file: int, sha256: str) -> Mark | None:
        return Mark(component, file, sha256, 7, "/".join(device))


def marks(kept: Kept, told: list[Event] | None = None) -> LedgerMarks:
    heard: list[Event] = [] if told is None else told
    return LedgerMarks(cast("Ledger", kept), "run-1", heard.append, ("p", "d"))


def mark(offset: int, *, component: str = "A", file: int = 0) -> Mark:
    return Mark(component, file, SHA, offset, "200 echo")


async def kept_of(*steps: tuple[float, Mark]) -> list[int]:
    """The offsets that are written, of marks that come so many seconds after one another."""
    kept = Kept()
    made = marks(kept)
    for after_s, one in steps:
        await asyncio.sleep(after_s)
        made.keep(one)
        await asyncio.sleep(0.001)
    return [m.offset for m in kept.marks]


@pytest.mark.looptime
async def test_the_first_mark_is_written_at_once() -> None:
    assert await kept_of((0, mark(0))) == [0]


@pytest.mark.looptime
async def test_marks_close_to_each_other_are_not_written_each() -> None:
    assert await kept_of(*((0.001, mark(at)) for at in range(0, 2000, 200))) == [0]


@pytest.mark.looptime
async def test_a_mark_is_written_every_64_kib() -> None:
    steps = ((0.0001, mark(at)) for at in range(0, 3 * MARK_BYTES, 1024))
    assert await kept_of(*steps) == [0, MARK_BYTES, 2 * MARK_BYTES]


@pytest.mark.looptime
async def test_a_mark_is_written_every_two_seconds() -> None:
    assert await kept_of((0, mark(0)), (MARK_S / 2, mark(200)), (MARK_S / 2, mark(400))) == [0, 400]


@pytest.mark.looptime
async def test_a_step_back_is_written_at_once() -> None:
    assert await kept_of((0, mark(400)), (0, mark(0))) == [400, 0]


@pytest.mark.looptime
@pytest.mark.parametrize("other", [mark(400, component="B"), mark(400, file=1)])
async def test_another_file_is_written_at_once(other: Mark) -> None:
    assert await kept_of((0, mark(200)), (0, other)) == [200, 400]


@pytest.mark.looptime
async def test_the_newest_is_written_at_the_end_with_its_age() -> None:
    kept = Kept()
    made = marks(kept)
    made.keep(mark(0))
    await asyncio.sleep(0)
    made.keep(mark(200))
    await asyncio.sleep(1.5)
    await made.flush()
    assert [(m.offset, m.age_s) for m in kept.marks] == [(0, 0), (200, pytest.approx(1.5))]


@pytest.mark.looptime
async def test_nothing_new_is_nothing_to_write_at_the_end() -> None:
    kept = Kept()
    made = marks(kept)
    await made.flush()
    made.keep(mark(0))
    await made.flush()
    await made.flush()
    assert [m.offset for m in kept.marks] == [0]


@pytest.mark.looptime
async def test_a_slow_disk_gets_one_mark_at_a_time_and_the_newest_at_the_end() -> None:
    kept = Kept(takes_s=10)
    made = marks(kept)
    for offset in (0, MARK_BYTES, 2 * MARK_BYTES):
        made.keep(mark(offset))
        await asyncio.sleep(1)
    await made.flush()
    assert [m.offset for m in kept.marks] == [0, 2 * MARK_BYTES]


@pytest.mark.looptime
async def test_a_mark_that_cannot_be_written_is_said_once_and_ends_nothing() -> None:
    told: list[Event] = []
    made = marks(Kept(fails=True), told)
    for offset in (0, MARK_BYTES, 2 * MARK_BYTES):
        made.keep(mark(offset))
        await asyncio.sleep(3)
    await made.flush()
    assert told == [Warned("how far the transfer has come cannot be written down: the disk is full")]


@pytest.mark.looptime
async def test_a_disk_that_takes_marks_again_gets_them_and_a_second_failure_is_said_again() -> None:
    told: list[Event] = []
    kept = Kept()
    made = marks(kept, told)
    for number, fails in enumerate((True, True, False, True)):
        kept.fails = fails
        made.keep(mark(number * MARK_BYTES))
        await asyncio.sleep(3)
    assert len(told) == 2
    assert [m.offset for m in kept.marks] == [2 * MARK_BYTES]


@pytest.mark.looptime
async def test_what_could_not_be_written_is_tried_once_more_at_the_end() -> None:
    kept = Kept(fails=True)
    made = marks(kept)
    made.keep(mark(400))
    await asyncio.sleep(3)
    kept.fails = False
    await made.flush()
    await made.flush()
    assert [m.offset for m in kept.marks] == [400]


@pytest.mark.looptime
async def test_marks_are_of_the_device() -> None:
    kept = Kept()
    made = marks(kept)
    made.keep(mark(0))
    await made.flush()
    assert kept.devices == [("p", "d")]
    assert await made.last("A", 0, SHA) == Mark("A", 0, SHA, 7, "p/d")


# ------------------------------------------------------------------ what holds for all devices of a product


async def ledger_marks(ledger: Ledger, run: str, device: tuple[str, str], told: list[Event]) -> LedgerMarks:
    await ledger.begin(Started(run, "update", "", {}, {}, "bleak", "eu", "ada@here", 1, "1"))
    return LedgerMarks(ledger, run, told.append, device)


async def test_a_fact_about_a_product_is_kept_for_its_other_devices_and_for_no_other_product(tmp_path: Path) -> None:
    now, told = [1_000_000.0], list[Event]()
    async with await Ledger.open(tmp_path / "ledger.db", now=lambda: now[0]) as ledger:
        first = await ledger_marks(ledger, "run-1", ("p", "d1"), told)
        first.keep_product("no question")
        await first.flush()
        second = await ledger_marks(ledger, "run-2", ("p", "d2"), told)
        other = await ledger_marks(ledger, "run-3", ("q", "d1"), told)
        assert (await second.product(), await other.product()) == ("no question", "")
        now[0] += PRODUCT_S
        assert await second.product() == ""  # another firmware may answer
    assert told == []


async def test_a_device_without_a_product_key_has_no_facts(tmp_path: Path) -> None:
    told: list[Event] = []
    async with await Ledger.open(tmp_path / "ledger.db") as ledger:
        made = await ledger_marks(ledger, "run-1", ("", "C0:DE"), told)
        made.keep_product("no question")
        await made.flush()
        assert await made.product() == ""
