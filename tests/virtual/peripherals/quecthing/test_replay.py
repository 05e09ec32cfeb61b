from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ble_ota.errors import AttRefusedError, LinkLostError, UsageError
from ble_ota.link import Link
from ble_ota.transcript import Transcript, parse
from ble_ota.virtual.peripherals.quecthing import advert, ttlv
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame, pack
from ble_ota.virtual.peripherals.quecthing.replay import Divergence, Replay
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.replayed import Replayed, replayed
from tests.taped import DEVICE, Line, heard, link, out, written

pytestmark = pytest.mark.looptime

LINK_1 = link(out(0x7040, 1000), heard(0x7041, 1000, {"12": {"text": "1.0.0"}}, t=1.5))
LOST = {"error": "link_lost", "step": "await"}


def of(*lines: list[Line], device: Line = DEVICE) -> Replayed:
    return replayed(made(*lines, device=device))


def made(*lines: list[Line], device: Line = DEVICE) -> Transcript:
    return parse(written([line for part in lines for line in part], device=device))


class Host:
    """Speaks frames over a link; hears them until a time has passed."""

    def __init__(self, made: Link) -> None:
        self.link = made
        found = made.facts.find(advert.PROTOCOL)
        assert found is not None
        self.char = found.handle
        self._frames: list[Frame] = []
        self._decoder = Decoder()

    async def say(self, command: int, packet_id: int = 1000, fields: Fields | None = None) -> None:
        await self.link.write(self.char, pack(Frame(packet_id, command, ttlv.pack(fields or {}))), ack=True)

    async def hears(self, within_s: float = 100.0) -> Frame | None:
        """The next frame, if it comes in time."""
        while not self._frames:
            try:
                async with asyncio.timeout(within_s):
                    self._frames += self._decoder.feed((await self.link.notification((self.char,))).data)
            except TimeoutError:
                return None
        return self._frames.pop(0)


class On:
    """A link to a replayed device for the block, as a host."""

    def __init__(self, on: Replayed, *, within_s: float = 1000.0) -> None:
        self._connecting = on.radio.connect(on.device.address, within_s=within_s)

    async def __aenter__(self) -> Host:
        host = Host(await self._connecting.__aenter__())
        await host.link.subscribe(host.char)
        return host

    async def __aexit__(self, *raised: object) -> None:
        await self._connecting.__aexit__(*raised)  # type: ignore[arg-type]
        await asyncio.sleep(0)  # the device hears of it


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def test_the_device_says_what_it_said() -> None:
    async with On(of(LINK_1)) as host:
        await host.say(0x7040)
        answer = await host.hears()
    assert answer is not None
    assert (answer.command, ttlv.unpack(answer.data)) == (0x7041, {12: b"1.0.0"})


async def test_it_answers_as_much_later_as_it_did() -> None:
    async with On(of(LINK_1)) as host:
        await asyncio.sleep(30)  # how long the host took is its own affair
        await host.say(0x7040)
        began_s = now_s()
        await host.hears()
    assert now_s() - began_s == pytest.approx(1.5)


async def test_an_answer_carries_the_hosts_packet_id() -> None:
    async with On(of(LINK_1)) as host:
        await host.say(0x7040, 4711)
        answer = await host.hears()
    assert answer is not None
    assert answer.packet_id == 4711


async def test_what_it_says_unasked_comes_after_the_connection() -> None:
    async with On(of(link(heard(0x7020, 3, t=2)))) as host:
        assert await host.hears() == Frame(3, 0x7020, b"")
        assert now_s() == pytest.approx(2)


async def test_a_conversation_as_recorded_is_no_divergence() -> None:
    on = of(LINK_1)
    async with On(on) as host:
        await host.say(0x7040)
    assert on.device.divergence() is None


async def test_a_word_that_was_never_said_gets_silence_and_is_a_divergence() -> None:
    on = of(LINK_1)
    async with On(on) as host:
        await host.say(0x7022)
        assert await host.hears() is None
    assert on.device.divergence() == Divergence(1, 1, "0x7040", "0x7022")


async def test_a_word_too_many_is_a_divergence() -> None:
    on = of(LINK_1)
    async with On(on) as host:
        await host.say(0x7040)
        await host.say(0x7040)
    assert on.device.divergence() == Divergence(1, 2, "nothing more", "0x7040")


async def test_a_word_said_too_early_goes_on_from_there_and_is_a_divergence() -> None:
    on = of(link(out(0x7040), heard(0x7041), out(0x7023, 1001, {"7": 5}), heard(0x7024, 1001)))
    async with On(on) as host:
        await host.say(0x7023, 1, {7: 5})
        answer = await host.hears()
        assert answer is not None
        assert answer.command == 0x7024
    assert on.device.divergence() == Divergence(1, 1, "0x7040", "0x7023 with action 5")


async def test_of_two_divergences_the_first_is_kept() -> None:
    on = of(LINK_1)
    async with On(on) as host:
        await host.say(0x7022)
        await host.say(0x7020)
    assert on.device.divergence() == Divergence(1, 1, "0x7040", "0x7022")


async def test_a_link_let_go_too_early_is_a_divergence() -> None:
    on = of(LINK_1)
    async with On(on):
        pass
    assert on.device.divergence() == Divergence(1, 0, "0x7040", "the end of the link")


async def test_a_link_that_is_not_made_is_a_divergence() -> None:
    on = of(link(), link(at_s=60, purpose="verify"))
    async with On(on):
        pass
    assert on.device.divergence() == Divergence(2, 0, "a link to verify", "the end of the run")
    assert str(on.device.divergence()) == (
        "link 2, word 0 of the host: a link to verify was due, and it was the end of the run"
    )


async def test_packets_are_answered_by_offset_and_length() -> None:
    first, second = {"9": 0, "10": {"length": 2}}, {"9": 2, "10": {"length": 2}}
    on = of(link(out(0x7025, 1, first), heard(0x7026, 1, {"9": 0}), out(0x7025, 2, second), heard(0x7026, 2, {"9": 2})))
    async with On(on) as host:
        for number, offset in enumerate((0, 2), 50):
            await host.say(0x7025, number, {9: offset, 10: b"ab"})
            answer = await host.hears()
            assert answer is not None
            assert (answer.packet_id, ttlv.unpack(answer.data)) == (number, {9: offset})
    assert on.device.divergence() is None


async def test_a_packet_of_another_length_is_a_divergence() -> None:
    on = of(link(out(0x7025, 1, {"9": 0, "10": {"length": 2}})))
    async with On(on) as host:
        await host.say(0x7025, 1, {9: 0, 10: b"abc"})
    assert on.device.divergence() == Divergence(1, 1, "0x7025 with 2 bytes at 0", "0x7025 with 3 bytes at 0")


async def test_words_that_came_together_come_in_one_value() -> None:
    async with On(of(link(out(0x7040), heard(0x7041), heard(0x7020, 2, joined=True)))) as host:
        await host.say(0x7040)
        value = await host.link.notification((host.char,))
    assert [f.command for f in Decoder().feed(value.data)] == [0x7041, 0x7020]


async def test_a_long_word_comes_in_pieces() -> None:
    async with On(of(link(heard(0x7041, 1, {"12": {"length": 1000}}, t=1)))) as host:
        answer = await host.hears()
    assert answer is not None
    assert len(answer.data) == 1004


async def test_noise_comes_as_often_as_it_did() -> None:
    async with On(of(link({"in": "noise", "values": 3, "t": 1}))) as host:
        values = [(await host.link.notification((host.char,))).data for _ in range(3)]
        assert [frame for value in values for frame in Decoder().feed(value)] == []
        assert await host.hears() is None


async def test_what_was_read_is_read_again_and_what_followed_follows() -> None:
    on = of(link({"read": 18, "text": "1.0.0"}, heard(0x7020, 2)))
    async with On(on) as host:
        revision = host.link.facts.find(advert.FIRMWARE_REVISION)
        assert revision is not None
        assert await host.link.read(revision.handle) == b"1.0.0"
        assert await host.hears() == Frame(2, 0x7020, b"")
    assert on.device.divergence() is None


async def test_a_read_that_was_none_is_empty_and_a_divergence() -> None:
    on = of(LINK_1)
    async with On(on) as host:
        revision = host.link.facts.find(advert.FIRMWARE_REVISION)
        assert revision is not None
        assert await host.link.read(revision.handle) == b""
    assert on.device.divergence() == Divergence(1, 1, "0x7040", "a read")


async def test_a_link_breaks_when_it_did() -> None:
    on = of(link(out(0x7040), LOST | {"t": 3}))
    async with On(on) as host:
        await host.say(0x7040)
        began_s = now_s()
        with pytest.raises(LinkLostError):
            await host.link.notification((host.char,))
        assert now_s() - began_s == pytest.approx(3)
    assert on.device.divergence() is None


async def test_a_link_that_broke_with_a_word_breaks_when_it_is_heard() -> None:
    async with On(of(link(out(0x7040), heard(0x7041), LOST))) as host:
        await host.say(0x7040)
        assert await host.hears() is not None
        with pytest.raises(LinkLostError):
            await host.say(0x7022)


@pytest.mark.parametrize("step", ["write", "subscribe"])
async def test_a_link_that_broke_in_a_write_breaks_in_one(step: str) -> None:
    async with On(of(link({"error": "link_lost", "step": step}))) as host:
        with pytest.raises(LinkLostError):
            await host.say(0x7040)


async def test_a_link_that_broke_in_a_read_breaks_in_one() -> None:
    async with On(of(link({"error": "link_lost", "step": "read"}))) as host:
        with pytest.raises(LinkLostError):
            await host.link.read(2)


async def test_a_write_that_was_refused_is_refused_with_its_code() -> None:
    async with On(of(link({"error": "att_refused", "step": "write", "code": 5}))) as host:
        with pytest.raises(AttRefusedError) as caught:
            await host.say(0x7040)
    assert caught.value.code == 5


async def test_a_link_that_broke_before_it_stood_does_so_again() -> None:
    on = of([{"t": 0, "link": "transfer", "failed": "link_lost"}], link(at_s=5))
    with pytest.raises(LinkLostError):
        async with On(on):
            pass
    async with On(on):
        assert now_s() == pytest.approx(5, abs=0.1)


async def test_after_a_broken_link_it_comes_back_when_it_did() -> None:
    on = of(link(out(0x7040), LOST | {"t": 3}), link(at_s=20))
    async with On(on) as host:
        await host.say(0x7040)
        began_s = now_s()
        with pytest.raises(LinkLostError):
            await host.link.notification((host.char,))
    async with On(on):
        assert now_s() - began_s == pytest.approx(20, abs=0.1)


async def test_after_a_link_the_host_gave_up_it_comes_back_when_it_did() -> None:
    on = of(link(left="device_silent"), link(at_s=20))
    async with On(on):
        await asyncio.sleep(7)
    async with On(on):
        assert now_s() == pytest.approx(20, abs=0.1)


async def test_after_a_link_that_was_let_go_it_is_there_at_once() -> None:
    on = of(link(), link(at_s=300))
    async with On(on):
        pass
    async with On(on):
        assert now_s() < 1


async def test_after_the_last_link_it_is_gone() -> None:
    on = of(link())
    async with On(on):
        pass
    assert [a async for a in on.radio.scan(within_s=100)] == []


async def test_without_a_link_it_was_never_there() -> None:
    assert [a async for a in of().radio.scan(within_s=1)] == []


async def test_it_advertises_as_it_did() -> None:
    (seen, *_) = [a async for a in of(LINK_1).radio.scan(within_s=0.01)]
    assert (seen.address, seen.name) == ("C0:DE:B0:E0:00:01", "QUEC_BLE_0001")
    assert set(seen.manufacturer) == {0x5551}


@pytest.mark.parametrize("step", ["await", "write"])
async def test_where_the_run_was_stopped_it_says_so(step: str) -> None:
    on, stops = of(link({"error": "stop_asked", "step": step})), list[float]()
    on.device.stopped = lambda: stops.append(now_s())
    async with On(on) as host:
        await host.say(0x7040)
        await asyncio.sleep(1)
    assert stops == [pytest.approx(0)]


async def test_a_stop_before_the_last_link_was_the_hosts_own() -> None:
    on, stops = of(link({"error": "stop_asked", "step": "await"}), link(at_s=1)), list[float]()
    on.device.stopped = lambda: stops.append(now_s())
    async with On(on):
        await asyncio.sleep(1)
    assert stops == []


def unplayable() -> Iterator[Transcript]:
    yield made(LINK_1, device=DEVICE | {"driver": "morse"})
    yield Transcript("0.1.0", "update", "quecthing")
    yield made(link(out(0x7040), {"in": "7041"}))


@pytest.mark.parametrize("transcript", list(unplayable()), ids=["another protocol", "no device", "no frame"])
def test_what_cannot_be_played_is_refused(transcript: Transcript) -> None:
    with pytest.raises(UsageError):
        Replay(transcript)
