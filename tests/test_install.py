from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ble_ota.content import BLOCK_BYTES
from ble_ota.errors import (
    AttRefusedError,
    BleOtaError,
    CancelledByDeviceError,
    DeclinedByDeviceError,
    DeviceNotFoundError,
    DeviceSilentError,
    FailedByDeviceError,
    LinkLostError,
    LoginFailedError,
    MalformedError,
    NotVerifiedError,
    PauseNeverEndedError,
    RefusedByDeviceError,
    StorageError,
    TrustError,
    UnprovenError,
)
from ble_ota.events import DeviceRebooting, Event, LinkConnected, LinkLost, TransferProgress, TransferResumed
from ble_ota.install import Installer, Patience
from ble_ota.link import Link, uuid16
from ble_ota.model import Algorithm, Digest, Mark, Secret, VerifiedImage
from ble_ota.protocols.quecthing import Options
from ble_ota.virtual.air import Air, Fate, Operation
from ble_ota.virtual.peripheral import VirtualCharacteristic, VirtualService
from ble_ota.virtual.peripherals.quecthing import Habits, Pause, QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World
from tests.bench import Bench, bench, content, images, planned

pytestmark = pytest.mark.looptime

ONE_LINK = Patience(links=1)


async def install(on: Bench, patience: Patience = ONE_LINK, at: int = 0) -> str:
    installer = await on.installer(patience)
    installed = await installer.install(planned(on.world, at), images(on.world, at))
    return installed.version


async def test_the_device_ends_with_the_image_and_says_so(tmp_path: Path) -> None:
    on = bench(tmp_path)
    assert await install(on) == "1.1.0"
    assert on.device.running("MAIN") == content(on.world)
    assert on.names == [
        "link.connected",
        "link.connected",
        "transfer.started",
        "transfer.done",
        "device.rebooting",
        "link.connected",
        "device.verified",
    ]


async def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    on = bench(tmp_path)
    await install(on)
    told = [e.bytes for e in on.events if isinstance(e, TransferProgress)]
    assert told == sorted(told)
    assert told[-1] == 5000


async def test_several_files_are_one_image_and_one_reboot(tmp_path: Path) -> None:
    files = {"MAIN": (b"a" * 700, b"b" * 300, b"c" * 900)}
    on = Bench(World.create(tmp_path, packages=files))
    assert await install(on) == "1.1.0"
    assert on.device.running("MAIN") == b"".join(files["MAIN"])
    assert [e.name for e in on.events if isinstance(e, DeviceRebooting)] == ["device.rebooting"]


async def test_an_mcu_component_is_read_back_by_its_own_id(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500,), "MCU": (b"u" * 400,)})
    on = Bench(world, options=Options(version_ids={"": 12, "MCU": 13}))
    assert await install(on, at=1) == "1.1.0"
    assert on.device.version("MAIN") == "1.0.0"
    assert on.device.running("MCU") == b"u" * 400


@pytest.mark.parametrize(
    "habits",
    [
        Habits(id9="next"),
        Habits(chunk_bytes=17),
        Habits(chunk_bytes=4000),
        Habits(pads_empty=True),
        Habits(encrypt_transfer=False, login_required=False),
        Habits(reboots_without_ack=True),
        Habits(pauses=(Pause(at=1000), Pause(at=2000, answer="then"), Pause(at=3000, answer="held"))),
        Habits(pauses=(Pause(at=1000),), drops_while_paused=True),
    ],
    ids=str,
)
async def test_every_habit_of_a_good_device_is_met(tmp_path: Path, habits: Habits) -> None:
    on = bench(tmp_path, habits, options=Options(encrypt_transfer=habits.encrypt_transfer))
    assert await install(on) == "1.1.0"
    assert on.device.running("MAIN") == content(on.world)


@pytest.mark.parametrize(
    ("habits", "options"),
    [
        (Habits(check_code="hex"), Options(check_code="hex")),
        (Habits(packet_bound="frame"), Options(packet_bound="frame")),
        (Habits(encrypt_transfer=False), Options(encrypt_transfer=False)),
        (Habits(login_required=False), Options(login=False)),
    ],
    ids=str,
)
async def test_every_setting_has_a_device_that_wants_it(tmp_path: Path, habits: Habits, options: Options) -> None:
    on = bench(tmp_path, habits, options=options)
    assert await install(on) == "1.1.0"
    assert on.device.running("MAIN") == content(on.world)


@pytest.mark.parametrize(
    ("habits", "expected"),
    [
        (Habits(declines=True), DeclinedByDeviceError),
        (Habits(cancel_at=1000), CancelledByDeviceError),
        (Habits(fail_at_end=True), FailedByDeviceError),
        (Habits(wrong_offset_at=1000), MalformedError),
        (Habits(silent_after=1000), DeviceSilentError),
        (Habits(pauses=(Pause(at=1000, lasts_s=None),)), PauseNeverEndedError),
        (Habits(boots_old=True), NotVerifiedError),
        (Habits(flash_bytes=1000), DeclinedByDeviceError),
    ],
    ids=str,
)
async def test_trouble_has_its_name_and_leaves_the_old_version(
    tmp_path: Path, habits: Habits, expected: type[BleOtaError]
) -> None:
    on = bench(tmp_path, habits)
    with pytest.raises(expected):
        await install(on)
    assert on.device.version("MAIN") == "1.0.0"


async def test_a_wrong_check_code_setting_is_not_a_success(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(check_code="hex"))
    with pytest.raises((FailedByDeviceError, DeclinedByDeviceError)):
        await install(on)


async def test_the_secret_of_another_device_is_refused(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = replace(await on.installer(ONE_LINK), secret=Secret("AAAAAAAAAAAAAAAAAAAAAA=="))
    with pytest.raises(LoginFailedError):
        await installer.install(planned(on.world), images(on.world))


async def test_a_link_that_breaks_is_made_again(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer(Patience(links=2))
    cuts = iter([on.air.operations + 30])
    due = next(cuts)

    def cut(index: int, _kind: str) -> None:
        nonlocal due
        if index == due:
            due = next(cuts, -1)
            on.air.cut()

    on.air.before_operation = cut
    await installer.install(planned(on.world), images(on.world))
    assert [(e.attempt, e.attempts) for e in on.events if isinstance(e, LinkLost)] == [(1, 2)]
    assert on.device.running("MAIN") == content(on.world)


async def test_links_are_finite(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer(Patience(links=3))
    on.air.before_operation = lambda index, _kind: on.air.cut() if index % 20 == 0 else None
    with pytest.raises(LinkLostError):
        await installer.install(planned(on.world), images(on.world))
    assert len([e for e in on.events if isinstance(e, LinkLost)]) == 3


async def test_a_device_that_has_gone_is_not_found(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer(Patience(links=3))
    on.device.power_off()
    with pytest.raises(DeviceNotFoundError):
        await installer.install(planned(on.world), images(on.world))


async def test_a_device_that_does_not_come_back_is_unproven(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(boot_s=1000))
    with pytest.raises(UnprovenError, match=r"for 120 s it could not be asked: .* is not on the air"):
        await install(on)


async def test_a_slow_boot_is_waited_for(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(boot_s=100))
    assert await install(on) == "1.1.0"


async def test_a_device_that_settles_long_is_let_go_and_looked_at_until_it_reboots(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(settle_s=60))
    assert await install(on) == "1.1.0"
    assert [e.evidence for e in on.events if isinstance(e, DeviceRebooting)] == ["none"]


async def test_the_firmware_revision_is_the_second_proof(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(answers_version=False, firmware_revision=True))
    installed = await (await on.installer(ONE_LINK)).install(planned(on.world), images(on.world))
    assert (installed.version, installed.proof) == ("1.1.0", "device-information")


async def test_the_version_it_ran_before_proves_nothing_without_a_reboot(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(settle_s=1000))
    component = replace(planned(on.world), target_version="1.0.0")
    installer = await on.installer(ONE_LINK)
    with pytest.raises(UnprovenError, match="not seen to reboot"):
        await installer.install(component, images(on.world))


async def test_a_reinstall_that_reboots_is_proven(tmp_path: Path) -> None:
    on = bench(tmp_path)
    await install(on)
    installer = await on.installer(ONE_LINK)
    assert installer.device.running(planned(on.world)) == "1.1.0"
    assert (await installer.install(planned(on.world), images(on.world))).version == "1.1.0"


async def test_a_last_word_that_is_lost_is_found_out_by_looking(tmp_path: Path) -> None:
    """The device has it all and reboots, and the link goes before it can say so."""
    on = bench(tmp_path, Habits(reboots_without_ack=True))
    installer = await on.installer(Patience(links=2))
    flashed = on.device.stats

    def cut(_index: int, _kind: str) -> None:
        if flashed.bytes == len(content(on.world)) and on.device.stats.packets == 25:
            on.air.before_operation = None
            on.air.cut()

    on.air.before_operation = cut
    installed = await installer.install(planned(on.world), images(on.world))
    assert installed.version == "1.1.0"
    assert on.device.running("MAIN") == content(on.world)
    assert on.device.stats.packets == 25  # nothing went twice


KEEPS = Habits(keeps_session_over_disconnect=True)


def cut_when(on: Bench, stored: int, *, times: int = 1) -> None:
    """Cut the link `times` times, as soon as the device has stored so many bytes, and the same again."""
    left, due = times, stored

    def cut(_operation: Operation) -> Fate:
        nonlocal left, due
        if left and on.device.stats.bytes >= due:
            left, due = left - 1, due + stored
            return Fate.CUT_BEFORE
        return Fate.PASS

    on.air.on_operation = cut


@pytest.mark.parametrize("id9", ["echo", "next"])
async def test_a_device_that_keeps_its_session_is_carried_on_where_it_stands(tmp_path: Path, id9: str) -> None:
    on = bench(tmp_path, replace(KEEPS, id9=id9))  # type: ignore[arg-type]
    installer = await on.installer()
    cut_when(on, 1000, times=3)
    await installer.install(planned(on.world), images(on.world))
    assert on.device.running("MAIN") == content(on.world)
    assert [e.offset for e in on.events if isinstance(e, TransferResumed)] == [800, 1800, 2800]
    assert on.device.stats.duplicates == 3  # one packet each: its answer was lost
    assert on.device.stats.packets == 25 + 3


async def test_a_device_that_forgets_gets_the_file_from_its_start(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer()
    cut_when(on, 1000)
    await installer.install(planned(on.world), images(on.world))
    assert on.device.running("MAIN") == content(on.world)
    assert not [e for e in on.events if isinstance(e, TransferResumed)]


async def test_a_session_that_has_run_out_is_started_over(tmp_path: Path) -> None:
    on = bench(tmp_path, replace(KEEPS, patience_s=1.0))
    installer = await on.installer(Patience(backoff_s=8.0))
    cut_when(on, 1000)
    await installer.install(planned(on.world), images(on.world))
    assert on.device.running("MAIN") == content(on.world)
    assert not [e for e in on.events if isinstance(e, TransferResumed)]


@dataclass
class Kept:
    """Marks that outlive an installer."""

    marks: list[Mark] = field(default_factory=list[Mark])
    age_s: float = 1.0
    fact: str = ""

    async def last(self, component: str, file: int, sha256: str) -> Mark | None:
        fitting = [m for m in self.marks if (m.component, m.file, m.sha256) == (component, file, sha256)]
        return replace(fitting[-1], age_s=self.age_s) if fitting else None

    def keep(self, mark: Mark) -> None:
        self.marks.append(mark)

    async def product(self) -> str:
        return self.fact

    def keep_product(self, fact: str) -> None:
        self.fact = fact


async def cut_short(on: Bench, kept: Kept) -> None:
    """A run that has one link, which is cut at 1000 bytes."""
    installer = replace(await on.installer(ONE_LINK), marks=kept)
    cut_when(on, 1000)
    with pytest.raises(LinkLostError):
        await installer.install(planned(on.world), images(on.world))
    on.air.on_operation = None


async def test_another_process_carries_on_from_the_mark(tmp_path: Path) -> None:
    on, kept = bench(tmp_path, KEEPS), Kept()
    await cut_short(on, kept)
    again = replace(await on.installer(ONE_LINK), marks=kept)
    await again.install(planned(on.world), images(on.world))
    assert [e.offset for e in on.events if isinstance(e, TransferResumed)] == [800]
    assert on.device.running("MAIN") == content(on.world)


async def test_the_mark_of_another_image_is_not_carried_on(tmp_path: Path) -> None:
    on, kept = bench(tmp_path, KEEPS), Kept()
    await cut_short(on, kept)
    kept.marks = [replace(m, sha256="0" * 64) for m in kept.marks]
    again = replace(await on.installer(ONE_LINK), marks=kept)
    await again.install(planned(on.world), images(on.world))
    assert not [e for e in on.events if isinstance(e, TransferResumed)]
    assert on.device.running("MAIN") == content(on.world)


@pytest.mark.parametrize("says", ["cancel", "failure"])
async def test_a_mark_ends_with_the_devices_refusal(tmp_path: Path, says: str) -> None:
    """The next run asks nothing: the device knows the file no more, and a packet outside of a session is none."""
    on, kept = bench(tmp_path, Habits(cancel_at=1000) if says == "cancel" else Habits(fail_at_end=True)), Kept()
    installer = replace(await on.installer(ONE_LINK), marks=kept)
    with pytest.raises(RefusedByDeviceError):
        await installer.install(planned(on.world), images(on.world))
    on.device.habits = Habits()
    ignored, began_s = on.device.stats.ignored, asyncio.get_running_loop().time()
    again = replace(await on.installer(ONE_LINK), marks=kept)
    await again.install(planned(on.world), images(on.world))
    assert on.device.stats.ignored == ignored
    assert asyncio.get_running_loop().time() - began_s < 15.0


async def test_a_device_that_did_not_answer_the_question_is_not_asked_again(tmp_path: Path) -> None:
    """Nor is another one of its product, in a later run."""
    on, kept = bench(tmp_path), Kept()
    installer = replace(await on.installer(), marks=kept)
    cut_when(on, 1000, times=3)
    await installer.install(planned(on.world), images(on.world))
    assert on.device.stats.ignored == 1
    await cut_short(on, kept)
    again = replace(await on.installer(ONE_LINK), marks=kept)
    await again.install(planned(on.world), images(on.world))
    assert on.device.stats.ignored == 1


async def test_an_old_mark_is_not_carried_on(tmp_path: Path) -> None:
    on, kept = bench(tmp_path, KEEPS), Kept(age_s=16.0)
    await cut_short(on, kept)
    again = replace(await on.installer(ONE_LINK), marks=kept)
    await again.install(planned(on.world), images(on.world))
    assert not [e for e in on.events if isinstance(e, TransferResumed)]


async def test_of_several_files_only_the_first_is_carried_on(tmp_path: Path) -> None:
    on = Bench(World.create(tmp_path, packages={"MAIN": (b"a" * 700, b"b" * 900)}), KEEPS)
    installer = await on.installer()
    cut_when(on, 1100)
    await installer.install(planned(on.world), images(on.world))
    assert on.device.running("MAIN") == b"a" * 700 + b"b" * 900
    assert not [e for e in on.events if isinstance(e, TransferResumed)]


async def test_links_that_bring_nothing_are_few(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer(Patience(links=20, stuck_links=3))
    on.air.on_operation = lambda o: Fate.CUT_BEFORE if o.kind == "subscribe" else Fate.PASS
    with pytest.raises(LinkLostError, match=r"given up at byte 0 of 5000 after 3 links in a row without progress"):
        await installer.install(planned(on.world), images(on.world))
    assert len([e for e in on.events if isinstance(e, LinkLost)]) == 3


async def test_links_that_bring_something_are_many(tmp_path: Path) -> None:
    on = bench(tmp_path, KEEPS)
    installer = await on.installer(Patience(links=20, stuck_links=3))
    cut_when(on, 400, times=12)
    await installer.install(planned(on.world), images(on.world))
    assert len([e for e in on.events if isinstance(e, LinkLost)]) == 12


async def test_a_run_has_a_budget_over_all_components(tmp_path: Path) -> None:
    on = bench(tmp_path, KEEPS)
    installer = await on.installer(Patience(links=20, run_links=2))
    cut_when(on, 400, times=9)
    with pytest.raises(LinkLostError, match="2 links in this run"):
        await installer.install(planned(on.world), images(on.world))


async def test_a_device_that_hardly_comes_along_is_given_up_on(tmp_path: Path) -> None:
    """It answers each packet in time, and would hold its place for hours."""
    on = bench(tmp_path, Habits(chunk_bytes=10, slow_answer_s=4.0))
    installer = await on.installer(Patience(links=1, stall_s=60, floor_bytes=1200))
    with pytest.raises(DeviceSilentError, match="fewer than 1200 bytes in 60 s"):
        await installer.install(planned(on.world), images(on.world))


async def test_what_a_device_asks_for_is_granted(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(erase_s=37.0, pauses=(Pause(at=1000, delay_s=100, lasts_s=90.0),)))
    installer = await on.installer(Patience(links=1, stall_s=20))
    await installer.install(planned(on.world), images(on.world))
    assert on.device.running("MAIN") == content(on.world)


async def test_a_device_that_pauses_again_and_again_ends(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(pauses=(Pause(at=1000),), endless_pauses=True))
    with pytest.raises(BleOtaError):
        await install(on)
    assert on.device.version("MAIN") == "1.0.0"


async def test_a_device_that_falls_back_is_seen_by_a_second_look(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(reverts_after_s=30.0))
    installer = await on.installer(Patience(dwell_s=60.0))
    with pytest.raises(NotVerifiedError):
        await installer.install(planned(on.world), images(on.world))
    assert "device.verified" not in on.names


@pytest.mark.parametrize("after", ["announcement", "success"])
async def test_a_version_that_is_claimed_before_the_bytes_have_come_is_no_success(tmp_path: Path, after: str) -> None:
    habits = Habits(claims_version="1.1.0", claims_version_after=after, silent_after=1000)  # type: ignore[arg-type]
    on = bench(tmp_path, habits)
    with pytest.raises(DeviceSilentError):
        await install(on, Patience(links=2))
    assert "device.verified" not in on.names


async def test_a_success_without_bytes_is_no_success(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(accepts_without_bytes=True))
    with pytest.raises(MalformedError):
        await install(on)


async def test_a_reinstall_whose_last_word_is_lost_is_not_proven_by_the_old_version(tmp_path: Path) -> None:
    """What runs is what ran before, so its version says nothing of the bytes that were sent."""
    on = bench(tmp_path)
    await install(on)
    sent = on.device.stats.bytes
    installer = await on.installer(ONE_LINK)
    cut_when(on, sent + 5000)
    with pytest.raises(LinkLostError):
        await installer.install(planned(on.world), images(on.world))


async def test_what_is_about_to_be_done_is_written_down_first(tmp_path: Path) -> None:
    """Each record is there before the device sees what it announces."""
    on, seen = bench(tmp_path), list[tuple[str, int]]()

    async def record(event: Event) -> None:
        seen.append((event.name, on.device.stats.bytes))

    installer = replace(await on.installer(ONE_LINK), record=record)
    await installer.install(planned(on.world), images(on.world))
    assert seen[0] == ("transfer.started", 0)
    assert [n for n, _ in seen] == ["transfer.started", "transfer.done", "device.rebooting", "device.verified"]


async def test_a_ledger_that_fails_stops_before_the_first_byte(tmp_path: Path) -> None:
    on = bench(tmp_path)

    async def record(_event: Event) -> None:
        msg = "the disk is full"
        raise StorageError(msg)

    installer = replace(await on.installer(), record=record)
    with pytest.raises(StorageError):
        await installer.install(planned(on.world), images(on.world))
    assert on.device.stats.bytes == 0


# ------------------------------------------------------------------ what else may be on the air


@pytest.mark.parametrize(("before", "after"), [(23, 23), (247, 23), (23, 247), (517, 64)])
async def test_each_link_has_its_own_size_of_a_write(tmp_path: Path, before: int, after: int) -> None:
    on = bench(tmp_path, KEEPS, air=Air(mtu=before))
    installer = await on.installer()
    cut_when(on, 1000)
    on.air.before_operation = lambda _index, kind: setattr(on.air, "mtu", after) if kind == "connect" else None
    await installer.install(planned(on.world), images(on.world))
    assert on.device.running("MAIN") == content(on.world)
    assert [e.offset for e in on.events if isinstance(e, TransferResumed)] == [800]


def upon_reboot(on: Bench, installer: Installer, act: Callable[[], object]) -> None:
    """Do `act` when the device is about to reboot."""

    def emit(event: Event) -> None:
        on.events.append(event)
        if isinstance(event, DeviceRebooting):
            act()

    installer.emit = emit


class Moved(QuecThing):
    """A device whose protocol stands behind another service, and so under other handles."""

    @property
    def services(self) -> tuple[VirtualService, ...]:
        first = VirtualCharacteristic(uuid16(0x2A00), frozenset({"read"}))
        return (VirtualService(uuid16(0x1800), (first, first)), *super().services)


async def test_a_table_that_the_new_firmware_has_moved_is_read_anew(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer(ONE_LINK)
    new = Moved(on.world, on.world.devices[0])
    upon_reboot(on, installer, lambda: on.air.add(new))
    assert (await installer.install(planned(on.world), images(on.world))).version == "1.1.0"
    assert new.running("MAIN") == content(on.world)


async def test_a_device_that_comes_back_under_another_address_is_known_by_its_keys(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer(ONE_LINK)
    moved = QuecThing(on.world, replace(on.world.devices[0], address="C0:DE:B0:E0:00:77"), Habits())
    upon_reboot(on, installer, lambda: on.air.add(moved))
    assert (await installer.install(planned(on.world), images(on.world))).version == "1.1.0"
    assert moved.running("MAIN") == content(on.world)
    connected = [e.address for e in on.events if isinstance(e, LinkConnected)]
    assert connected[-1] == "C0:DE:B0:E0:00:77"


async def test_another_device_under_its_old_address_is_not_taken_for_it(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(never_returns=True))
    others = World.create(tmp_path / "others", devices=2, seed=2)
    installer = await on.installer(ONE_LINK)
    stranger = QuecThing(others, replace(others.devices[1], address=on.device.address), Habits(claims_version="1.1.0"))
    upon_reboot(on, installer, lambda: on.air.add(stranger))
    with pytest.raises(UnprovenError, match="is not on the air"):
        await installer.install(planned(on.world), images(on.world))


async def test_a_device_that_another_central_holds_is_waited_for(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await on.installer()
    held: list[asyncio.Task[None]] = []

    async def hold() -> None:
        async with VirtualRadio(on.air).connect(on.device.address, within_s=30):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(18):
                    await asyncio.Event().wait()

    def grab(_index: int, _kind: str) -> None:
        if on.device.stats.bytes >= 1000 and not held:
            on.air.cut()
            held.append(asyncio.create_task(hold()))

    on.air.before_operation = grab
    await installer.install(planned(on.world), images(on.world))
    assert held
    assert on.device.running("MAIN") == content(on.world)


@pytest.mark.parametrize("offers", ["restarts", "continues", "declines"])
async def test_what_another_central_began_to_send_is_not_mixed_with_ours(tmp_path: Path, offers: str) -> None:
    """It leaves the device exactly where we had left it, in the midst of another image of the same size."""
    on, kept = bench(tmp_path, replace(KEEPS, on_new_offer=offers)), Kept()  # type: ignore[arg-type]
    theirs = bytes(5000)
    digest = Digest(Algorithm.SHA256, Algorithm.SHA256.hex(theirs))
    await cut_short(on, kept)
    on.device.power_off()
    on.air.add(on.device)
    component = planned(on.world)
    file = replace(component.files[0], digests=(digest,))
    foreign = await on.installer(ONE_LINK)
    cut_when(on, on.device.stats.bytes + 1000)
    with pytest.raises(LinkLostError):
        await foreign.install(replace(component, files=(file,)), [VerifiedImage.check(file, theirs)])
    on.air.on_operation = None
    ours = replace(await on.installer(), marks=kept)
    await ours.install(component, images(on.world))
    assert on.device.running("MAIN") == content(on.world)


@pytest.mark.parametrize("said", ["ahead", "behind", "beyond"])
async def test_an_offset_that_cannot_be_is_not_followed_and_the_next_run_starts_over(tmp_path: Path, said: str) -> None:
    on = bench(tmp_path, Habits(answers_offset=said, answers_offset_at=1000))  # type: ignore[arg-type]
    with pytest.raises(MalformedError, match="the packet at 1000"):
        await install(on)
    assert on.device.version("MAIN") == "1.0.0"
    on.device.habits = Habits()
    assert await install(on) == "1.1.0"
    assert on.device.running("MAIN") == content(on.world)


async def test_a_busy_device_says_so_and_takes_the_file_when_it_is_not(tmp_path: Path) -> None:
    """A decline carries no reason, so it is not tried again by itself."""
    on = bench(tmp_path, Habits(busy_times=1))
    with pytest.raises(DeclinedByDeviceError):
        await install(on)
    assert await install(on) == "1.1.0"


def edited_after(on: Bench, sent: int) -> VerifiedImage:
    """The image of a file that is edited once the device has taken so many bytes."""
    (image,), whole = images(on.world), content(on.world)

    async def read(offset: int, length: int) -> bytes:
        now = whole if on.device.stats.bytes < sent else whole[:-1] + b"?"
        return now[offset : offset + length]

    return replace(image, content=replace(image.content, read=read))


async def test_a_file_that_is_edited_while_it_is_sent_ends_there_and_the_device_forgets_it(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(chunk_bytes=4000), size=2 * BLOCK_BYTES + 100)
    installer = await on.installer()
    with pytest.raises(TrustError, match="has changed since it was verified"):
        await installer.install(planned(on.world), [edited_after(on, BLOCK_BYTES)])
    assert "link.lost" not in on.names  # nor tried again
    assert "transfer.done" not in on.names
    assert BLOCK_BYTES <= on.device.stats.bytes < 2 * BLOCK_BYTES + 4000
    assert (on.device.version("MAIN"), on.device.running("MAIN")) == ("1.0.0", b"")
    sent = on.device.stats.bytes
    assert await install(on) == "1.1.0"
    assert on.device.stats.bytes == sent + on.world.components[0].files[0].size_bytes  # nothing was carried on


class Refuses(VirtualRadio):
    """Answers the last word to the device, 0x7024, with an ATT error."""

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        async with super().connect(address, within_s=within_s) as link:
            yield Refusing(link)


class Refusing:
    def __init__(self, link: Link) -> None:
        self.facts, self.subscribe, self.read, self.notification = (
            link.facts,
            link.subscribe,
            link.read,
            link.notification,
        )
        self._link, self._answers = link, 0

    async def write(self, char: int, data: bytes, *, ack: bool) -> None:
        self._answers += data[7:9] == b"\x70\x24"
        if self._answers == 2:  # the first one is to the "receive"
            doing = "writing"
            raise AttRefusedError(doing, 0x0E)
        await self._link.write(char, data, ack=ack)


async def test_a_stumble_once_the_device_has_it_all_is_no_verdict(tmp_path: Path) -> None:
    """The device said "success"; its answer is refused, since the device is about to reboot."""
    on = bench(tmp_path, Habits(reboots_without_ack=True))
    installer = replace(await on.installer(ONE_LINK), radio=Refuses(on.air))
    assert (await installer.install(planned(on.world), images(on.world))).version == "1.1.0"


async def test_nothing_to_do_needs_the_versions_of_before_from_the_peer_that_shows_the_key(tmp_path: Path) -> None:
    """Another peer may have told them."""
    on = bench(tmp_path, Habits(answers_version=False, firmware_revision=True))
    installer = await on.installer(ONE_LINK)
    assert await installer.key_shown()
    installer.device = replace(installer.device, versions={"": "1.1.0"})
    assert not await installer.key_shown()
