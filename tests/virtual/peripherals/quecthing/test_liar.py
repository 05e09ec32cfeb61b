"""The lying device: each lie by itself, then all of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import looptime
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.virtual.air import Air
from ble_ota.virtual.peripheral import Advertisement
from ble_ota.virtual.peripherals import Habits, QuecThing
from ble_ota.virtual.peripherals.quecthing import ttlv
from ble_ota.virtual.peripherals.quecthing.frame import Decoder, Frame
from ble_ota.virtual.peripherals.quecthing.liar import Liar
from ble_ota.virtual.peripherals.quecthing.lies import Lie, Lies
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World
from tests.virtual.peripherals.parrot import heard
from tests.virtual.peripherals.quecthing.bench import CHAR, LOG, PLAIN, binary, frame, notification, num, packet

pytestmark = pytest.mark.looptime

IMAGE = bytes(n * 7 % 256 for n in range(1000))
ALWAYS = Lies(1, rate=1)
VERSION = frame(0x7041, bytes.fromhex("00630005312e302e30"), 5)  # "1.0.0", as 0x7040 with id 5 is answered


class Ear:
    """Carries a device, and keeps what it says as it was said."""

    def __init__(self, liar: Liar, *, mtu: int = 247) -> None:
        self.max_value = mtu - 3
        self.said: list[bytes] = []
        self.logged: list[bytes] = []
        self.advertisement: Advertisement | None = None
        self.liar = liar
        liar.attach(self)

    def send(self, uuid: str, value: bytes) -> None:
        assert 0 < len(value) <= self.max_value
        (self.logged if uuid == LOG else self.said).append(value)

    def disconnect(self) -> None:
        asyncio.get_running_loop().call_soon(self.liar.disconnected)

    def advertise(self, advertisement: Advertisement | None) -> None:
        self.advertisement = advertisement

    def say(self, command: int, data: bytes = b"", packet_id: int = 5) -> None:
        self.liar.written(CHAR, frame(command, data, packet_id))

    def whole(self) -> bytes:
        """All that was said, and not asked for yet."""
        said = b"".join(self.said)
        self.said.clear()
        return said

    def frames(self) -> list[Frame]:
        return list(Decoder().feed(self.whole()))

    async def lasts(self, for_s: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(for_s):
                await asyncio.Event().wait()


def ear(folder: Path, lies: Lies, habits: Habits = PLAIN, *, mtu: int = 247) -> Ear:
    """A liar, its carrier and a link to it."""
    world = World.create(folder, packages={"MAIN": (b"the first image" * 30,)})
    it = Ear(Liar(QuecThing(world, world.devices[0], habits), lies), mtu=mtu)
    it.liar.connected()
    return it


def lying(folder: Path, kind: Lie, *, delay_max_s: float = 8.0) -> Ear:
    return ear(folder, replace(ALWAYS, kinds=(kind,), delay_max_s=delay_max_s))


# ---------------------------------------------------------------------- each lie by itself


async def test_a_dropped_frame_is_not_said(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.DROP)
    host.say(0x7040)
    assert host.whole() == b""


async def test_a_duplicate_is_said_twice(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.DUPLICATE)
    host.say(0x7040)
    assert host.whole() == VERSION * 2


async def test_a_delayed_frame_comes_within_the_longest_delay(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.DELAY, delay_max_s=3.0)
    host.say(0x7040)
    assert host.whole() == b""
    await host.lasts(3.1)
    assert host.whole() == VERSION


async def test_a_reordered_frame_comes_after_the_next(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.REORDER)
    for packet_id in (1, 2):
        host.say(0x7040, packet_id=packet_id)
    assert [f.packet_id for f in host.frames()] == [2, 1]


async def test_a_reordered_frame_comes_all_the_same_when_nothing_follows(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.REORDER)
    host.say(0x7040)
    assert host.whole() == b""
    await host.lasts(2.1)
    assert host.whole() == VERSION


async def test_a_garbled_frame_differs_in_one_byte(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.GARBLE)
    for _ in range(50):
        host.say(0x7040)
        said = host.whole()
        assert (len(said), sum(a != b for a, b in zip(said, VERSION, strict=True))) == (len(VERSION), 1)


async def test_a_wrong_packet_id_is_another_one_that_is_allowed(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.WRONG_ID)
    for packet_id in [1, 0xFFFE] * 100:
        host.say(0x7040, packet_id=packet_id)
        (said,) = host.frames()
        assert (said.packet_id != packet_id, said.command, said.data) == (True, 0x7041, VERSION[9:])


async def test_what_is_no_frame_has_no_packet_id_to_be_wrong(tmp_path: Path) -> None:
    host = ear(tmp_path, replace(ALWAYS, kinds=(Lie.WRONG_ID,)))
    host.liar.thing.mutter(b"junk")
    assert host.whole() == b"junk"


async def test_a_truncated_frame_is_the_head_of_one(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.TRUNCATE)
    for _ in range(50):
        host.say(0x7040)
        said = host.whole()
        assert 0 < len(said) < len(VERSION)
        assert VERSION.startswith(said)


async def test_noise_comes_before_a_frame_or_in_its_place(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.NOISE)
    before = 0
    for _ in range(50):
        host.say(0x7040)
        said = host.whole()
        assert said != VERSION
        before += said.endswith(VERSION)
    assert 10 < before < 40


async def test_another_message_is_a_frame_of_the_right_form(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.MESSAGE)
    commands: set[int] = set()
    ids: set[int] = set()
    for _ in range(200):
        host.say(0x7040)
        said = host.frames()[0]
        ttlv.unpack(said.data)
        commands.add(said.command)
        ids.add(said.packet_id)
    assert {0x7023, 0x7026, 0x7041} <= commands
    assert 5 in ids  # sometimes the one that is waited for
    assert len(ids) > 50


async def test_another_message_is_sealed_as_agreed(tmp_path: Path) -> None:
    host = ear(tmp_path, Lies(1, rate=0, kinds=(Lie.MESSAGE,), unasked_every_s=1), Habits())
    secret = base64.b64decode(host.liar.thing.world.devices[0].binding_code)
    host.say(0x7032)
    challenge = host.frames()[0].data[4:]
    host.say(0x7034, binary(2, hashlib.sha256(secret.hex().encode() + b";" + challenge).hexdigest().encode()))
    assert host.frames()[0].data == bytes.fromhex("001a0000")
    await host.lasts(100)
    told = [f for f in host.frames() if f.command == 0x7026]
    assert told
    for said in told:
        plain = Cipher(algorithms.AES(secret), modes.CBC(challenge)).decryptor().update(said.data)
        assert ttlv.unpack(plain[: -plain[-1]]).keys() == {9}


async def test_bad_fields_are_a_frame_that_cannot_be_read(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.BAD_FIELDS)
    unread = 0
    for _ in range(50):
        host.say(0x7040)
        said = host.frames()[0]
        with suppress(ttlv.TtlvError):
            ttlv.unpack(said.data)
            continue
        unread += 1
    assert unread == 50


async def test_an_oversized_frame_comes_in_pieces_that_fit(tmp_path: Path) -> None:
    host = lying(tmp_path, Lie.OVERSIZED)
    host.say(0x7040)
    assert len(host.said) > 2
    assert 600 <= len(host.frames()[0].data) <= 5000


# ---------------------------------------------------------------------- when it lies


def conversation(folder: Path, lies: Lies, *, mtu: int = 247) -> bytes:
    """All that the device says while a file is sent, whatever it says."""
    host = ear(folder, lies, mtu=mtu)
    host.say(0x7022, notification(IMAGE))
    for at in range(0, len(IMAGE), 200):
        host.say(0x7025, packet(at, IMAGE[at : at + 200]))
    host.liar.thing.power_off()
    return host.whole()


async def test_an_honest_liar_says_what_the_device_says(tmp_path: Path) -> None:
    found = [f.command for f in Decoder().feed(conversation(tmp_path, Lies(1, rate=0)))]
    assert found == [0x7023, *[0x7026] * 5, 0x7023]


async def test_an_honest_liar_cuts_frames_as_the_device_does(tmp_path: Path) -> None:
    long = conversation(tmp_path / "1", Lies(1, rate=0))
    assert conversation(tmp_path / "2", Lies(1, rate=0), mtu=23) == long


async def test_the_same_seed_tells_the_same_lies(tmp_path: Path) -> None:
    first, same, other = (
        conversation(tmp_path / str(n), Lies(seed, rate=0.5, kinds=(Lie.NOISE, Lie.MESSAGE, Lie.WRONG_ID)))
        for n, seed in enumerate((7, 7, 8))
    )
    assert first == same
    assert first != other


async def test_after_so_many_lies_it_is_honest(tmp_path: Path) -> None:
    host = ear(tmp_path, replace(ALWAYS, kinds=(Lie.DROP,), most=3))
    for _ in range(5):
        host.say(0x7040)
    assert host.whole() == VERSION * 2
    assert host.liar.told == {Lie.DROP: 3}


async def test_a_power_cut_does_not_give_it_new_lies(tmp_path: Path) -> None:
    host = ear(tmp_path, replace(ALWAYS, kinds=(Lie.DROP,), most=1))
    host.say(0x7040)
    again = Ear(host.liar)
    again.liar.connected()
    again.say(0x7040)
    assert again.whole() == VERSION


async def test_in_time_every_lie_is_told(tmp_path: Path) -> None:
    host = ear(tmp_path, Lies(1))
    for _ in range(1000):
        host.say(0x7040)
    assert set(host.liar.told) == set(Lie)
    assert 120 < host.liar.told.total() < 280  # one frame in five


async def test_a_liar_speaks_unasked_by_habit(tmp_path: Path) -> None:
    host = ear(tmp_path, Lies(1, rate=0, unasked_every_s=2.0))
    await host.lasts(200)
    assert 70 < host.liar.told.total() < 130
    assert host.said


async def test_a_liar_speaks_unasked_until_its_link_goes(tmp_path: Path) -> None:
    host = ear(tmp_path, Lies(1, unasked_every_s=2.0))
    host.liar.disconnected()
    await host.lasts(200)
    assert host.said == []


async def test_what_is_said_unasked_counts_as_a_lie(tmp_path: Path) -> None:
    host = ear(tmp_path, Lies(1, most=4, unasked_every_s=2.0))
    await host.lasts(200)
    assert host.liar.told.total() == 4


@pytest.mark.parametrize("kind", [Lie.DELAY, Lie.REORDER])
async def test_nothing_held_back_is_said_on_the_next_link(tmp_path: Path, kind: Lie) -> None:
    host = ear(tmp_path, replace(ALWAYS, kinds=(kind,), most=1))
    host.say(0x7040)
    host.liar.disconnected()
    host.liar.connected()
    host.say(0x7040)
    await host.lasts(10)
    assert host.whole() == VERSION


async def test_nothing_held_back_outlives_the_power(tmp_path: Path) -> None:
    host = ear(tmp_path, replace(ALWAYS, kinds=(Lie.DELAY,), most=1))
    host.say(0x7040)
    again = Ear(host.liar)
    again.liar.connected()
    await again.lasts(10)
    assert (host.whole(), again.whole()) == (b"", b"")


async def test_the_log_is_not_lied_about(tmp_path: Path) -> None:
    host = ear(tmp_path, replace(ALWAYS, kinds=(Lie.DROP,)), replace(PLAIN, declines=True), mtu=23)
    host.say(0x7022, notification(IMAGE))
    assert host.logged == [b"declined: not now"]


async def test_a_lying_device_is_the_device_in_all_else(tmp_path: Path) -> None:
    liar = ear(tmp_path, ALWAYS, replace(PLAIN, firmware_revision=True)).liar
    assert (liar.address, liar.services) == (liar.thing.address, liar.thing.services)
    assert liar.read("00002a26-0000-1000-8000-00805f9b34fb") == b"1.0.0"


async def test_a_liar_is_met_on_the_air_as_any_device(tmp_path: Path) -> None:
    world, air = World.create(tmp_path), Air()
    liar = Liar(QuecThing(world, world.devices[0], PLAIN), replace(ALWAYS, kinds=(Lie.DUPLICATE,)))
    air.add(liar)
    async with VirtualRadio(air).connect(liar.address, within_s=1) as link:
        await link.subscribe(1)
        await link.write(1, frame(0x7040, packet_id=5), ack=True)
        assert [(await heard(link, 1)).data for _ in range(2)] == [VERSION, VERSION]


# ---------------------------------------------------------------------- all of them


async def insists(host: Ear, tries: int) -> int:
    """Say everything again and again, believe nothing but the last word; gives how many tries it took."""
    for attempt in range(1, tries + 1):
        host.say(0x7023, num(7, 5))
        host.say(0x7022, notification(IMAGE))
        for at in range(0, len(IMAGE), 200):
            host.say(0x7025, packet(at, IMAGE[at : at + 200]))
        for said in host.frames():
            host.say(0x7024, packet_id=said.packet_id)
        await host.lasts(5)
        if host.advertisement is None:
            await host.lasts(5)
        if host.liar.thing.version("MAIN") == "9.9.9":
            return attempt
        if host.advertisement is not None:
            host.liar.connected()
    return tries + 1


@pytest.mark.looptime(enabled=False)
@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1), most=st.integers(0, 12))
def test_a_finite_liar_takes_a_whole_image_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rate: float, most: int
) -> None:
    async def talk() -> None:
        host = ear(tmp_path_factory.mktemp("world"), Lies(seed, rate, most, unasked_every_s=3.0))
        assert await insists(host, most + 4) <= most + 4
        assert host.liar.thing.running("MAIN") == IMAGE
        host.liar.thing.power_off()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(talk())
