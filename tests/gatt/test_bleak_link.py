from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from ble_ota.errors import AttRefusedError, DeviceError, LinkLostError
from ble_ota.gatt import bleak_link
from ble_ota.gatt.bleak_errors import PAIR_HINT
from ble_ota.gatt.bleak_link import ANSWER_S, PAIR_S, SETTLE_S
from ble_ota.gatt.bleak_systems import CORE_BLUETOOTH, OWN, System
from ble_ota.link import Characteristic, Link, LinkFacts
from ble_ota.script import Notified
from tests.gatt.scripted import ADDRESS, CHAR, DROP, HANG, SERVICE, TALK, Stage

pytestmark = pytest.mark.looptime
LATE = System("late", sizes_come_late=True)
UNPAIRED = BleakGATTProtocolError(0x0F)
NOT_PAIRED = BleakDBusError("org.bluez.Error.NotPermitted", ["Not paired"])


def now() -> float:
    return asyncio.get_running_loop().time()


async def over(stage: Stage, talk: Callable[[Link], Awaitable[Any]], system: System = OWN) -> Any:
    """What comes of a talk over a link."""
    async with stage.radio(system).connect(ADDRESS, within_s=20) as link:
        return await talk(link)


async def facts(link: Link) -> LinkFacts:
    return link.facts


async def subscribe(link: Link) -> None:
    await link.subscribe(CHAR)


async def read(link: Link) -> bytes:
    return await link.read(CHAR)


async def write(link: Link) -> None:
    await link.write(CHAR, b"said", ack=True)


async def command(link: Link) -> None:
    await link.write(CHAR, b"said", ack=False)


TALKS = {"notify": subscribe, "read": read, "write": write}


async def test_facts_are_what_was_discovered() -> None:
    assert await over(Stage(), facts) == LinkFacts(ADDRESS, (Characteristic(CHAR, TALK, SERVICE, 244),))


@pytest.mark.parametrize(("room", "most"), [(20, 20), (244, 244), (512, 512), (514, 512)])
async def test_a_write_carries_what_the_characteristic_says_up_to_512_bytes(room: int, most: int) -> None:
    assert (await over(Stage(room=lambda: room), facts)).characteristics[0].max_write == most


async def test_a_size_that_comes_late_is_waited_for() -> None:
    looks = iter([20, 20, 20])
    found = await over(Stage(room=lambda: next(looks, 244)), facts, LATE)
    assert found.characteristics[0].max_write == 244


async def test_a_size_that_stays_the_least_is_taken_after_a_moment() -> None:
    stage = Stage(room=lambda: 20)
    took = [await _time_of(stage, system) for system in (LATE, OWN)]
    assert took[0] - took[1] == pytest.approx(SETTLE_S, abs=0.06)


async def _time_of(stage: Stage, system: System) -> float:
    began = now()
    assert (await over(stage, facts, system)).characteristics[0].max_write == 20
    return now() - began


async def test_a_link_that_goes_while_it_settles_is_made_again() -> None:
    stage = Stage(room=lambda: 20)
    asyncio.get_running_loop().call_later(0.6, lambda: stage.clients[0].drop())
    await over(stage, facts, LATE)
    assert stage.calls.count("connect") == 2


async def test_a_write_that_is_too_large_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="245 bytes where one may have 244"):
        await over(Stage(), lambda link: link.write(CHAR, bytes(245), ack=True))


# ---------------------------------------------------------------- a link that goes


@pytest.mark.parametrize("call", TALKS)
async def test_a_disconnect_in_the_middle_of_a_call_is_told_at_once(call: str) -> None:
    async with Stage().will(call, DROP).radio().connect(ADDRESS, within_s=20) as link:
        began = now()
        with pytest.raises(LinkLostError, match="the connection dropped while"):
            await TALKS[call](link)
        assert now() == began


async def test_a_disconnect_while_waiting_for_the_device_is_told_at_once() -> None:
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        await link.subscribe(CHAR)
        asyncio.get_running_loop().call_later(3, stage.clients[0].drop)
        began = now()
        with pytest.raises(LinkLostError, match="while waiting for the device"):
            await link.notification((CHAR,))
        assert now() == pytest.approx(began + 3)


async def test_what_was_said_before_a_loss_is_still_given() -> None:
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        await link.subscribe(CHAR)
        stage.clients[0].hears(bytearray(b"last"))
        stage.clients[0].drop()
        assert (await link.notification((CHAR,))).data == b"last"
        with pytest.raises(LinkLostError):
            await link.notification((CHAR,))


@pytest.mark.parametrize("talk", [facts, write, read, subscribe])
async def test_after_a_loss_every_call_says_so(talk: Callable[[Link], Awaitable[Any]]) -> None:
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        stage.clients[0].drop()
        with pytest.raises(LinkLostError):
            await talk(link)


async def test_a_link_that_only_the_system_knows_to_be_gone_is_lost() -> None:
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        stage.clients[0].connected = False
        with pytest.raises(LinkLostError):
            await write(link)


async def test_a_system_that_cannot_say_whether_it_is_connected_is_a_lost_link() -> None:
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        stage.will("is_connected", OSError(22, "object closed"))
        with pytest.raises(LinkLostError, match="object closed"):
            await write(link)


async def test_a_flood_of_notifications_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bleak_link, "INBOX_MAX", 50)
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        await link.subscribe(CHAR)
        for number in range(200):
            stage.clients[0].hears(bytearray((number,)))
        stage.clients[0].drop()
        words = [(await link.notification((CHAR,))).data[0] for _ in range(50)]
        with pytest.raises(LinkLostError):
            await link.notification((CHAR,))
    assert words == list(range(50))


# ---------------------------------------------------------------- pairing


@pytest.mark.parametrize("refusal", [UNPAIRED, NOT_PAIRED, BleakGATTProtocolError(5)])
@pytest.mark.parametrize("call", TALKS)
async def test_a_device_that_asks_for_it_is_paired_and_asked_again(call: str, refusal: Exception) -> None:
    stage = Stage().will(call, refusal)
    await over(stage, TALKS[call])
    assert stage.calls[-4:-1] == [call, "pair", call]


async def test_a_link_pairs_once() -> None:
    stage = Stage().will("read", UNPAIRED, UNPAIRED)
    with pytest.raises(DeviceError, match="reading: the device wants to be paired first"):
        await over(stage, read)
    assert stage.calls.count("pair") == 1


async def test_a_link_that_has_paired_does_not_pair_again() -> None:
    stage = Stage().will("notify", UNPAIRED).will("read", UNPAIRED)
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        await link.subscribe(CHAR)
        with pytest.raises(DeviceError):
            await link.read(CHAR)
    assert stage.calls.count("pair") == 1


async def test_a_refusal_for_another_reason_does_not_pair() -> None:
    stage = Stage().will("read", BleakGATTProtocolError(0x02))
    with pytest.raises(AttRefusedError):
        await over(stage, read)
    assert "pair" not in stage.calls


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (BleakError("Could not pair with device: FAILED"), "Could not pair with device: FAILED"),
        (
            BleakDBusError("org.bluez.Error.AuthenticationCanceled", ["Authentication Canceled"]),
            "Authentication Canceled",
        ),
        (HANG, "no answer in time"),
        (NotImplementedError("not here"), "not here"),
        (AssertionError(), "no reason was given"),
    ],
)
async def test_a_pairing_that_fails_is_a_sentence(act: Any, why: str) -> None:
    with pytest.raises(DeviceError) as failed:
        await over(Stage().will("read", UNPAIRED).will("pair", act), read)
    assert str(failed.value) == f"reading: the device wants to be paired first, and that failed ({why})"
    assert failed.value.hint == PAIR_HINT


@pytest.mark.parametrize("call", TALKS)
async def test_a_call_that_never_returns_is_a_lost_link_in_time(call: str) -> None:
    with pytest.raises(LinkLostError, match="no answer in time"):
        await over(Stage().will(call, HANG), TALKS[call])
    assert now() == pytest.approx(ANSWER_S, abs=2)


async def test_a_pairing_without_an_answer_is_given_up_in_time() -> None:
    with pytest.raises(DeviceError):
        await over(Stage().will("read", UNPAIRED).will("pair", HANG), read)
    assert now() == pytest.approx(PAIR_S, abs=2)


async def test_a_device_that_drops_the_link_while_pairing_is_a_lost_link_with_a_hint() -> None:
    with pytest.raises(LinkLostError, match="while pairing") as lost:
        await over(Stage().will("read", UNPAIRED).will("pair", DROP), read)
    assert lost.value.hint == PAIR_HINT


async def test_a_system_that_pairs_by_itself_is_not_asked_to() -> None:
    stage = Stage().will("read", UNPAIRED)
    with pytest.raises(DeviceError) as refused:
        await over(stage, read, CORE_BLUETOOTH)
    assert "pair" not in stage.calls
    assert refused.value.hint == "Accept the system's pairing dialog, then run the same command again"


async def test_a_command_is_sent_as_one() -> None:
    stage = Stage()
    await over(stage, command, replace(OWN))
    assert stage.clients[0].said == [b"said"]


async def test_what_another_characteristic_says_stays_for_who_asks_for_it() -> None:
    async with Stage().radio().connect(ADDRESS, within_s=20) as link:
        assert isinstance(link, bleak_link.BleakLink)
        link._inbox.extend([Notified(CHAR, b"first"), Notified(CHAR + 1, b"second"), Notified(CHAR, b"third")])
        said = [await link.notification((char,)) for char in (CHAR + 1, CHAR, CHAR)]
    assert [one.data for one in said] == [b"second", b"first", b"third"]


async def test_a_word_that_nobody_asks_for_does_not_keep_time_from_passing() -> None:
    stage = Stage()
    async with stage.radio().connect(ADDRESS, within_s=20) as link:
        await link.subscribe(CHAR)
        hears = stage.clients[0].hears
        assert hears is not None
        hears(bytearray(b"unasked"))
        began = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await link.notification((CHAR + 1,))
        assert now() - began == pytest.approx(5)
        assert (await link.notification((CHAR,))).data == b"unasked"
