from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.virtual.peripherals import Habits, PowerCutError, QuecThing
from ble_ota.virtual.world import World
from tests.virtual.peripherals.quecthing.bench import (
    CANCEL,
    CHAR,
    PLAIN,
    Bench,
    bench,
    binary,
    frame,
    notification,
    num,
    packet,
)

pytestmark = pytest.mark.looptime

IMAGE = bytes(n * 7 % 256 for n in range(1000))
FIRMWARE_REVISION = "00002a26-0000-1000-8000-00805f9b34fb"


def code(host: Bench) -> str:
    return host.thing.world.devices[0].binding_code


def again(host: Bench, habits: Habits = PLAIN) -> Bench:
    """Another life of the same device: a new object on the same folder."""
    host.thing.power_off()
    world = World.open(host.thing.world.folder)
    return Bench(QuecThing(world, world.devices[0], habits)).connect()


# ---------------------------------------------------------------------- login and session


async def test_an_image_runs_after_a_transfer_in_a_session(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits())
    assert host.login(code(host)) == bytes.fromhex("001a0000")
    host.transfer(IMAGE)
    await host.rebooted()
    assert (host.thing.running("MAIN"), host.thing.version("MAIN")) == (IMAGE, "9.9.9")


async def test_the_wrong_secret_is_refused(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits())
    assert host.login(base64.b64encode(b"x" * 16).decode()) == bytes.fromhex("001a0001")


@pytest.mark.parametrize(("command", "data"), [(0x7040, b""), (0x7022, notification(IMAGE))])
async def test_whoever_is_not_logged_in_gets_no_answer(tmp_path: Path, command: int, data: bytes) -> None:
    host = bench(tmp_path, Habits())
    host.say(command, data)
    await host.quiet(60)


async def test_a_lost_link_ends_the_login(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits())
    host.login(code(host))
    host.lose()
    host.connect().say(0x7040)
    assert host.silent()


async def test_the_captured_request_for_a_random_is_answered_under_its_packet_id(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits())
    host.thing.written(CHAR, bytes.fromhex("aaaa0005a400027032"))
    assert host.now(0x7033, packet_id=2)[:4] == bytes.fromhex("000b0010")


async def test_a_plain_payload_in_a_session_is_not_understood(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits())
    host.login(code(host))
    host.session = None
    host.say(0x7022, notification(IMAGE))
    assert host.silent()
    assert host.thing.stats.frames_bad == 1


async def test_transfer_payloads_are_plain_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits(encrypt_transfer=False))
    host.login(code(host))
    host.session = None
    host.transfer(IMAGE)


async def test_other_payloads_are_encrypted_all_the_same(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits(encrypt_transfer=False))
    host.login(code(host))
    host.say(0x7040)
    assert host.now(0x7041) == binary(12, b"1.0.0")


@pytest.mark.parametrize(("pads", "size"), [(False, 0), (True, 16)])
async def test_an_empty_payload_is_padded_by_habit(tmp_path: Path, pads: bool, size: int) -> None:
    host = bench(tmp_path, Habits(pads_empty=pads))
    host.login(code(host))
    host.say(0x7023, CANCEL)
    host.session = None
    assert len(host.now(0x7024)) == size


async def test_a_padded_empty_payload_is_understood(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits())
    host.login(code(host))
    assert host.session is not None
    host.thing.written(CHAR, frame(0x7040, host.session.encryptor().update(b"\x10" * 16)))
    assert host.now(0x7041)


# ---------------------------------------------------------------------- versions


async def test_each_component_tells_its_version_under_its_own_id(tmp_path: Path) -> None:
    host = bench(tmp_path, MAIN=(b"main",), MCU=(b"mcu",))
    host.transfer(b"mcu", "1.1.0")
    await host.rebooted()
    host.say(0x7040, packet_id=4711)
    assert host.now(0x7041, packet_id=4711) == binary(12, b"1.0.0") + binary(13, b"1.1.0")


async def test_a_version_is_not_told_by_habit(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, answers_version=False))
    host.say(0x7040)
    assert host.silent()


async def test_the_firmware_revision_is_the_running_version(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, firmware_revision=True))
    host.transfer(IMAGE)
    await host.rebooted()
    assert host.thing.read(FIRMWARE_REVISION) == b"9.9.9"


async def test_nothing_else_can_be_read(tmp_path: Path) -> None:
    assert bench(tmp_path).thing.read(CHAR) == b""


# ---------------------------------------------------------------------- frames on the link


async def test_a_long_answer_comes_in_several_indications(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    host = Bench(QuecThing(world, world.devices[0], PLAIN), mtu=23).connect()
    host.say(0x7022, notification(IMAGE))
    host.say(0x7040)
    assert host.now(0x7023)
    assert host.now(0x7041) == binary(12, b"1.0.0")
    assert host.sizes == [17, 18]
    host.say(0x7032)
    assert host.now(0x7033)
    assert host.sizes[2:] == [20, 9]


async def test_a_frame_may_come_in_several_writes(tmp_path: Path) -> None:
    host = bench(tmp_path)
    for byte in frame(0x7022, notification(IMAGE)):
        host.thing.written(CHAR, bytes((byte,)))
    assert host.now(0x7023)


async def test_half_a_frame_of_a_lost_link_is_not_the_head_of_the_next(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.written(CHAR, frame(0x7040)[:5])
    host.lose()
    host.connect()
    host.thing.written(CHAR, frame(0x7040)[5:])
    assert host.silent()


async def test_writes_elsewhere_are_nothing(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.written(FIRMWARE_REVISION, frame(0x7040))
    assert host.silent()


async def test_good_and_bad_frames_are_counted(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.written(CHAR, frame(0x7040) + frame(0x7040)[:-1] + b"\0" + frame(0x7099, b"\x00\x0d"))
    assert (host.thing.stats.frames_good, host.thing.stats.frames_bad) == (1, 2)


async def test_its_own_frames_have_packet_ids_that_never_are_reserved(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, declines=True))
    seen = set[int]()
    for _ in range(0x10001):
        seen.add(host.thing.say(0x7023, {}))
    assert (min(seen), max(seen)) == (1, 0xFFFE)


pieces = st.one_of(
    st.builds(num, st.integers(1, 12), st.integers(0, 2**32 - 1) | st.integers(0, 8)),
    st.builds(binary, st.integers(1, 12), st.binary(max_size=40)),
    st.sampled_from([notification(IMAGE), notification(IMAGE, "")]),
    st.builds(lambda at: packet(at, IMAGE[at : at + 200]), st.integers(0, 5).map(lambda n: n * 200)),
    st.binary(max_size=10),
)
lies = st.one_of(
    st.binary(max_size=60),
    st.builds(
        frame,
        st.sampled_from([*range(0x7020, 0x7027), 0x7022, 0x7025, 0x7032, 0x7034, 0x7040, 0x1234]),
        st.lists(pieces, min_size=1, max_size=3).map(b"".join),
        st.integers(0, 0xFFFF),
    ),
)


@pytest.mark.looptime(enabled=False)
@given(st.lists(lies, max_size=12))
def test_a_host_that_says_anything_neither_breaks_it_nor_gets_a_foreign_image_in(
    tmp_path_factory: pytest.TempPathFactory, said: list[bytes]
) -> None:
    async def talk() -> None:
        host = bench(tmp_path_factory.mktemp("world"))
        for value in said:
            host.thing.written(CHAR, value)
        accepted = [s for s in host.thing.boot.staged if s.accepted]
        assert all(s.is_in(host.thing.flash.content(s.area)) for s in accepted)
        assert all(host.thing.flash.size(s.area) <= s.size for s in host.thing.boot.staged)
        host.thing.power_off()

    asyncio.run(talk())


# ---------------------------------------------------------------------- reboot and power


async def test_a_reboot_drops_the_link_and_is_silent_while_it_boots(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    await host.falls_off(within_s=2.1)
    assert not host.linked
    await host.quiet(2.9)
    await host.advertises(within_s=0.2)


async def test_a_device_that_boots_the_old_image_had_accepted_the_new(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, boots_old=True))
    host.transfer(IMAGE)
    await host.rebooted()
    host.say(0x7040)
    assert host.now(0x7041) == binary(12, b"1.0.0")
    assert host.thing.running("MAIN") == b""


async def test_flash_that_rots_before_the_reboot_is_not_booted(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    host.thing.flash.write("staging-0.bin", 7, b"!")
    await host.rebooted()
    assert host.thing.version("MAIN") == "1.0.0"


async def test_the_device_outlives_its_object(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    await host.rebooted()
    other = again(host)
    assert (other.thing.running("MAIN"), other.thing.version("MAIN")) == (IMAGE, "9.9.9")


async def test_power_that_fails_while_it_settles_is_a_reboot(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    assert again(host).thing.running("MAIN") == IMAGE


async def test_power_that_fails_in_a_transfer_forgets_the_file(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    assert again(host).thing.boot.staged == ()


async def test_power_that_fails_in_a_transfer_keeps_the_file_by_habit(tmp_path: Path) -> None:
    habits = replace(PLAIN, keeps_session_over_disconnect=True)
    host = bench(tmp_path, habits)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    other = again(host, habits)
    other.offer(IMAGE)
    other.send_from(IMAGE, 400)
    other.finish()


async def test_a_device_without_power_is_off_the_air_and_stays_so(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.offer(IMAGE)
    host.thing.power_off()
    assert (host.advertisement, host.linked) == (None, False)
    await host.quiet(100)


async def test_a_device_without_power_hears_nothing(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.power_off()
    host.thing.written(CHAR, frame(0x7040))
    assert host.silent()


async def test_the_same_object_may_be_switched_on_again(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.power_off()
    Bench(host.thing).connect().transfer(IMAGE)


def fails_after(thing: QuecThing, operations: int) -> Callable[[str], None]:
    until = thing.flash.operations + operations

    def cut(_operation: str) -> None:
        if thing.flash.operations > until:
            raise PowerCutError

    return cut


@pytest.mark.parametrize("operations", range(11))  # ten make an update; with eleven power does not fail
async def test_power_that_fails_at_any_operation_leaves_an_image_that_is_whole(tmp_path: Path, operations: int) -> None:
    old, new = IMAGE, IMAGE[::-1]
    host = bench(tmp_path)
    host.transfer(old, "2")
    await host.rebooted()
    host.thing.flash.on_operation = fails_after(host.thing, operations)
    with suppress(AssertionError):  # nobody answers any more
        host.transfer(new, "3")
    with suppress(TimeoutError):
        await host.rebooted()
    other = again(host)
    assert other.thing.running("MAIN") == {"2": old, "3": new}[other.thing.version("MAIN")]
    other.transfer(new, "3")
    await other.rebooted()
    assert other.thing.running("MAIN") == new


async def test_power_that_fails_is_noticed_at_the_operation_it_fails_in(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.flash.on_operation = fails_after(host.thing, 2)
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert (host.silent(), host.linked, host.advertisement) == (True, False, None)
