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
from ble_ota.virtual.world import World, WorldDevice
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


KEEPS_OVER_POWER = replace(PLAIN, keeps_session_over_power=True, page_bytes=256)


def cut_at_400(folder: Path, habits: Habits = KEEPS_OVER_POWER) -> Bench:
    """A device whose power failed and came back when it had 400 bytes, and a link to it."""
    host = bench(folder, habits)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    return again(host, habits)


async def test_power_that_fails_in_a_transfer_keeps_whole_pages_by_habit(tmp_path: Path) -> None:
    other = cut_at_400(tmp_path)
    other.say(0x7025, packet(400, IMAGE[400:600]))
    assert other.now(0x7026) == num(9, 256)
    other.send_from(IMAGE, 256)
    other.finish()
    await other.rebooted()
    assert other.thing.running("MAIN") == IMAGE


async def test_less_than_a_page_is_nothing(tmp_path: Path) -> None:
    other = cut_at_400(tmp_path, replace(KEEPS_OVER_POWER, page_bytes=4096))
    other.say(0x7025, packet(400, IMAGE[400:600]))
    assert other.now(0x7026) == num(9, 0)


async def test_a_file_kept_over_power_is_forgotten_after_the_fifteen_seconds(tmp_path: Path) -> None:
    other = cut_at_400(tmp_path)
    await other.quiet(14.9)
    assert await other.later(0x7023, within_s=0.2) == CANCEL
    assert other.thing.boot.staged == ()


async def test_a_file_kept_over_power_is_taken_from_the_start_when_it_is_announced(tmp_path: Path) -> None:
    other = cut_at_400(tmp_path)
    other.offer(IMAGE)
    other.say(0x7025, packet(200, IMAGE[200:400]))
    assert other.now(0x7026) == num(9, 0)


async def test_a_file_kept_over_power_is_continued_by_habit(tmp_path: Path) -> None:
    other = cut_at_400(tmp_path, replace(KEEPS_OVER_POWER, on_new_offer="continues"))
    other.offer(IMAGE)
    other.send_from(IMAGE, 256)
    other.finish()


async def test_a_whole_file_is_kept_to_its_last_byte_over_power(tmp_path: Path) -> None:
    host = bench(tmp_path, KEEPS_OVER_POWER)
    host.offer(IMAGE)
    host.send_from(IMAGE)
    other = again(host, KEEPS_OVER_POWER)
    other.send_from(IMAGE, 800)
    other.finish()
    await other.rebooted()
    assert other.thing.running("MAIN") == IMAGE


async def test_a_device_that_keeps_over_links_does_not_keep_over_power(tmp_path: Path) -> None:
    other = cut_at_400(tmp_path, replace(PLAIN, keeps_session_over_disconnect=True))
    assert other.thing.boot.staged == ()


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


KINDS = {
    "forgets": PLAIN,
    "keeps": replace(KEEPS_OVER_POWER, keeps_session_over_disconnect=True, on_new_offer="continues"),
    "keeps and restarts": KEEPS_OVER_POWER,
    "puts aside": replace(PLAIN, reverts_after_s=1000),
}
OLD, NEW = b"old" * 100, (IMAGE, b"new" * 200)
OPERATIONS = {"forgets": 17, "keeps": 17, "keeps and restarts": 17, "puts aside": 18}  # of one update, boot included


def package(host: Bench) -> bytes:
    """What runs, which is whole, and the version told is its own."""
    running = host.thing.running("MAIN")
    assert running == {"1.1.0": b"".join(NEW), "0.9": OLD}[host.thing.version("MAIN")]
    return running


async def old_device(folder: Path, kind: str) -> Bench:
    """A device that runs another image than the one that waits for it, and a link to it."""
    host = bench(folder, KINDS[kind], MAIN=NEW)
    host.transfer(OLD, "0.9")
    await host.rebooted()
    return host


async def update(host: Bench) -> None:
    """Send all of the package; nobody answers any more once power has failed."""
    with suppress(AssertionError):
        for content in NEW:
            host.say(0x7023, CANCEL)
            host.raw()
            host.transfer(content, "1.1.0")
    with suppress(TimeoutError):
        await host.rebooted()


def power_returns(host: Bench, *, same: bool) -> Bench:
    """The same object is switched on again, or another one in its place."""
    return Bench(host.thing) if same else Bench(QuecThing(*identity(host.thing), host.thing.habits))


def identity(thing: QuecThing) -> tuple[World, WorldDevice]:
    world = World.open(thing.world.folder)
    return world, world.devices[0]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_update_has_so_many_flash_operations(tmp_path: Path, kind: str) -> None:
    host = await old_device(tmp_path, kind)
    before = host.thing.flash.operations
    await update(host)
    assert (package(host), host.thing.flash.operations - before) == (b"".join(NEW), OPERATIONS[kind])


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("kind", "at"), [(kind, at) for kind, count in OPERATIONS.items() for at in range(count)])
async def test_power_that_fails_at_any_operation_leaves_an_image_that_is_whole(
    tmp_path: Path, kind: str, at: int, same: bool
) -> None:
    host = await old_device(tmp_path, kind)
    host.thing.flash.on_operation = fails_after(host.thing, at)
    await update(host)
    assert host.advertisement is None
    host.thing.flash.on_operation = None
    host = power_returns(host, same=same).connect()
    assert package(host)
    await update(host)
    assert package(host) == b"".join(NEW)


@pytest.mark.parametrize(("kind", "at"), [(kind, at) for kind, count in OPERATIONS.items() for at in range(count)])
async def test_power_that_fails_again_at_any_operation_of_the_boot_leaves_an_image_that_is_whole(
    tmp_path: Path, kind: str, at: int
) -> None:
    failures = 0
    while True:
        host = await old_device(tmp_path / str(failures), kind)
        host.thing.flash.on_operation = fails_after(host.thing, at)
        await update(host)
        host.thing.flash.on_operation = fails_after(host.thing, failures)
        host = power_returns(host, same=True)
        came_back = host.advertisement is not None
        host.thing.flash.on_operation = None
        host = power_returns(host, same=True).connect()
        assert package(host)
        if came_back:  # the boot has no operation left to fail in
            break
        failures += 1


async def test_power_that_fails_is_noticed_at_the_operation_it_fails_in(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.thing.flash.on_operation = fails_after(host.thing, 2)
    host.offer(IMAGE)
    host.say(0x7025, packet(0, IMAGE[:200]))
    assert (host.silent(), host.linked, host.advertisement) == (True, False, None)


async def test_power_given_to_a_device_that_has_it_is_a_power_cut(tmp_path: Path) -> None:
    host = bench(tmp_path)
    host.transfer(IMAGE)
    assert Bench(host.thing).connect().thing.running("MAIN") == IMAGE


async def test_another_object_on_the_same_folder_is_the_device_from_now_on(tmp_path: Path) -> None:
    keeps = replace(PLAIN, keeps_session_over_disconnect=True)
    first = bench(tmp_path, keeps)
    first.offer(IMAGE)
    first.lose()  # its patience runs on
    other = Bench(QuecThing(*identity(first.thing), keeps)).connect()
    for at in range(0, 1000, 100):
        await other.lasts(5)
        if at == 0:
            other.offer(IMAGE)
        other.send_from(IMAGE, at, until=at + 100, chunk=100)
    other.finish()
    await other.rebooted()
    assert other.thing.running("MAIN") == IMAGE


async def test_two_devices_of_a_world_are_two(tmp_path: Path) -> None:
    world = World.create(tmp_path, devices=2)
    hosts = [Bench(QuecThing(world, device, PLAIN)).connect() for device in world.devices]
    for host in hosts:
        host.transfer(IMAGE)


async def test_the_end_of_a_link_of_an_earlier_life_is_nothing_to_this_one(tmp_path: Path) -> None:
    host = bench(tmp_path, KEEPS_OVER_POWER)
    host.offer(IMAGE)
    host.send_from(IMAGE, until=400)
    host.thing.power_off()  # the carrier tells of the lost link when the loop comes to it
    other = Bench(host.thing)
    await other.lasts(1)
    other.connect().send_from(IMAGE, 256)
    other.finish()


# ---------------------------------------------------------------------- a device that is not what it says


async def told_version(host: Bench) -> bytes:
    host.say(0x7040)
    return host.now(0x7041)


async def test_a_version_is_claimed_whatever_runs(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, claims_version="7.7"))
    assert await told_version(host) == binary(12, b"7.7")
    assert host.thing.version("MAIN") == "1.0.0"


async def test_a_version_is_claimed_for_every_component(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, claims_version="7.7"), MAIN=(b"main",), MCU=(b"mcu",))
    assert await told_version(host) == binary(12, b"7.7") + binary(13, b"7.7")


async def test_the_firmware_revision_claims_the_same(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, firmware_revision=True, claims_version="7.7"))
    assert host.thing.read(FIRMWARE_REVISION) == b"7.7"


async def test_a_version_is_claimed_from_the_announcement_on(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, claims_version="7.7", claims_version_after="announcement", declines=True))
    assert await told_version(host) == binary(12, b"1.0.0")
    host.say(0x7022, notification(IMAGE))
    host.raw()
    assert await told_version(host) == binary(12, b"7.7")


async def test_a_version_is_claimed_from_the_success_on_and_over_the_reboot(tmp_path: Path) -> None:
    habits = replace(PLAIN, claims_version="7.7", claims_version_after="success", accepts_without_bytes=True)
    host = bench(tmp_path, habits)
    host.say(0x7022, notification(b""))
    host.raw()
    assert await told_version(host) == binary(12, b"1.0.0")
    host.offer(IMAGE)
    host.finish()
    assert await told_version(host) == binary(12, b"7.7")
    await host.rebooted()
    assert await told_version(host) == binary(12, b"7.7")


async def test_a_new_image_falls_back_after_a_time(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, reverts_after_s=30))
    host.transfer(IMAGE)
    await host.rebooted()
    await host.lasts(29.9)
    assert (host.linked, host.thing.version("MAIN")) == (True, "9.9.9")
    await host.falls_off(within_s=0.2)
    await host.rebooted()
    assert (host.thing.version("MAIN"), host.thing.running("MAIN")) == ("1.0.0", b"")
    await host.quiet(100)


async def test_the_time_to_a_fall_back_begins_anew_with_the_power(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, reverts_after_s=30))
    host.transfer(IMAGE)
    await host.rebooted()
    await host.lasts(20)
    host = again(host, host.thing.habits)
    await host.lasts(20)
    assert host.thing.version("MAIN") == "9.9.9"
    await host.falls_off(within_s=11)


async def test_a_device_that_never_returns_does_so_with_new_power(tmp_path: Path) -> None:
    host = bench(tmp_path, replace(PLAIN, never_returns=True))
    host.transfer(IMAGE)
    await host.falls_off(within_s=3)
    await host.lasts(1000)
    assert host.advertisement is None
    assert Bench(host.thing).connect().thing.running("MAIN") == IMAGE


async def test_whoever_is_not_logged_in_hears_no_cancel(tmp_path: Path) -> None:
    host = bench(tmp_path, Habits(keeps_session_over_power=True))
    host.login(code(host))
    host.offer(IMAGE)
    other = again(host, Habits(keeps_session_over_power=True))
    await other.quiet(60)
    assert other.thing.boot.staged == ()
