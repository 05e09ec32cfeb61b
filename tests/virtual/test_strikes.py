from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.strikes import KILL, Strike, Struck, What, strike_of
from ble_ota.virtual.world import World, WorldError
from tests.virtual.peripherals.quecthing.bench import PLAIN, RECEIVE, Bench, notification, num, packet

pytestmark = pytest.mark.looptime

IMAGE = bytes(range(250)) * 4  # five packets
AT = 450  # in the third of them
SENT = 400  # bytes that are stored before it


def struck(folder: Path, what: What, habits: Habits = PLAIN, says: str = "") -> Bench:
    """A device that is going to be struck at `AT`, with its strike in its folder, and a link to it."""
    world = World.create(folder)
    strike = Strike(what, AT, says)
    file_of(world).write_text(json.dumps(asdict(strike)), "utf-8")
    return Bench(Struck(world, world.devices[0], habits, strike)).connect()


def file_of(world: World) -> Path:
    return world.home(world.devices[0]) / "strike.json"


def sent_up_to(host: Bench) -> None:
    """Send what comes before the strike, and the packet it falls on."""
    host.offer(IMAGE)
    host.send_from(IMAGE, until=SENT)
    host.say(0x7025, packet(SENT, IMAGE[SENT : SENT + 200]))


# ------------------------------------------------------------------ the file


def test_a_device_without_a_file_is_not_struck(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    assert strike_of(world, world.devices[0]) is None


def test_the_file_says_what_and_where(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    file_of(world).write_text('{"what": "power", "at_bytes": 7}')
    assert strike_of(world, world.devices[0]) == Strike("power", 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"what": "power"}',
        '{"what": "thunder", "at_bytes": 1}',
        '{"what": [], "at_bytes": 1}',
        '{"what": "power", "at_bytes": "1"}',
        '{"what": "host", "at_bytes": 1, "says": 1}',
        '{"what": "host", "at_bytes": 1, "more": 1}',
    ],
)
def test_a_file_that_is_not_right_is_said(tmp_path: Path, text: str) -> None:
    world = World.create(tmp_path)
    file_of(world).write_text(text)
    with pytest.raises(WorldError, match=r"strike\.json is not right"):
        strike_of(world, world.devices[0])


# ------------------------------------------------------------------ when it falls


async def test_nothing_happens_before_its_byte(tmp_path: Path) -> None:
    host = struck(tmp_path, "voice")
    host.offer(IMAGE)
    host.send_from(IMAGE, until=SENT)  # each is answered
    assert file_of(host.thing.world).exists()


async def test_the_file_goes_before_it_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = struck(tmp_path, "host")
    there: list[bool] = []
    monkeypatch.setattr(os, "kill", lambda *_: there.append(file_of(host.thing.world).exists()))
    sent_up_to(host)
    assert there == [False]


async def test_the_first_byte_is_not_struck_before_it_comes(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    host = Bench(Struck(world, world.devices[0], PLAIN, Strike("voice", 0))).connect()
    host.offer(IMAGE)  # is answered, though flash is erased for it
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert host.silent()


async def test_a_byte_of_the_last_and_shorter_packet_is_one_too(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    host = Bench(Struck(world, world.devices[0], PLAIN, Strike("voice", 440))).connect()
    host.offer(IMAGE[:450])
    host.send_from(IMAGE[:450], until=SENT)
    host.say(0x7025, packet(SENT, IMAGE[SENT:450]))
    assert host.silent()


# ------------------------------------------------------------------ the link


async def test_the_link_drops_with_the_answer(tmp_path: Path) -> None:
    host = struck(tmp_path, "link")
    sent_up_to(host)
    assert host.silent()
    await host.lasts(0.1)
    assert not host.linked


async def test_the_packet_of_a_link_that_drops_is_stored(tmp_path: Path) -> None:
    host = struck(tmp_path, "link", replace(PLAIN, keeps_session_over_disconnect=True))
    sent_up_to(host)
    await host.lasts(0.1)
    host.connect()
    host.say(0x7025, packet(SENT, IMAGE[SENT : SENT + 200]))
    assert host.now(0x7026) == num(9, SENT)
    assert host.thing.stats.duplicates == 1


async def test_it_falls_once(tmp_path: Path) -> None:
    host = struck(tmp_path, "link")
    sent_up_to(host)
    await host.lasts(0.1)
    host.connect().transfer(IMAGE)
    assert host.thing.stats.successes == 1


# ------------------------------------------------------------------ the power


async def test_the_power_goes_in_the_middle_of_a_flash_operation(tmp_path: Path) -> None:
    host = struck(tmp_path, "power")
    sent_up_to(host)
    assert (host.linked, host.advertisement) == (False, None)
    assert host.thing.stats.bytes == SENT


async def test_the_power_is_back_after_a_boot(tmp_path: Path) -> None:
    host = struck(tmp_path, "power", replace(PLAIN, boot_s=3.0))
    sent_up_to(host)
    await host.lasts(2.9)
    assert host.advertisement is None
    await host.advertises(within_s=0.2)
    host.connect().transfer(IMAGE)


async def test_a_device_that_was_switched_on_meanwhile_is_left_alone(tmp_path: Path) -> None:
    host = struck(tmp_path, "power", replace(PLAIN, boot_s=3.0))
    sent_up_to(host)
    host.thing.attach(host)
    host.connect().offer(IMAGE)
    await host.lasts(4.0)
    assert host.linked


# ------------------------------------------------------------------ the voice


async def test_a_lost_voice_answers_no_packet(tmp_path: Path) -> None:
    host = struck(tmp_path, "voice")
    sent_up_to(host)
    await host.quiet(20.0)  # not even that its patience is over


async def test_a_lost_voice_is_lost_on_every_link(tmp_path: Path) -> None:
    host = struck(tmp_path, "voice")
    sent_up_to(host)
    host.lose()
    host.connect().say(0x7022, notification(IMAGE))
    assert host.silent()


async def test_a_link_before_the_strike_has_its_voice(tmp_path: Path) -> None:
    host = struck(tmp_path, "voice")
    host.lose()
    host.connect().say(0x7022, notification(IMAGE))
    assert host.now(0x7023) == RECEIVE


# ------------------------------------------------------------------ the host


async def test_the_host_is_killed_with_a_word_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: killed.append((process, number)))
    sent_up_to(struck(tmp_path, "host", says="carry on"))
    assert killed == [(os.getpid(), KILL)]
    assert capsys.readouterr().err == "\ncarry on\n"


async def test_a_host_may_be_killed_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: None)
    sent_up_to(struck(tmp_path, "host"))
    assert capsys.readouterr().err == ""
