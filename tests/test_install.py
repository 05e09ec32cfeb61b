from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.errors import (
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
)
from ble_ota.events import DeviceRebooting, LinkLost, TransferProgress
from ble_ota.install import Installer, Patience
from ble_ota.model import Component, Secret
from ble_ota.protocols.quecthing import Options
from ble_ota.virtual.peripherals.quecthing import Habits, Pause
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


async def test_a_device_that_does_not_come_back_is_not_verified(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(boot_s=1000))
    with pytest.raises(NotVerifiedError, match="did not come back within 120 s"):
        await install(on)


async def test_a_slow_boot_is_waited_for(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(boot_s=100))
    assert await install(on) == "1.1.0"


async def test_a_device_that_settles_long_is_let_go_and_looked_at_until_it_reboots(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(settle_s=60))
    assert await install(on) == "1.1.0"
    assert [e.evidence for e in on.events if isinstance(e, DeviceRebooting)] == ["none"]


async def test_a_version_that_nobody_says_is_never_a_pass(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(answers_version=False))
    with pytest.raises(NotVerifiedError, match="nobody says"):
        await install(on)


async def test_the_firmware_revision_is_the_second_proof(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(answers_version=False, firmware_revision=True))
    installed = await (await on.installer(ONE_LINK)).install(planned(on.world), images(on.world))
    assert (installed.version, installed.proof) == ("1.1.0", "device-information")


@pytest.mark.parametrize(("said", "passes"), [("1.1.0", True), ("1.0.0", False), (None, False)])
async def test_the_developer_center_is_the_last_proof(tmp_path: Path, said: str | None, passes: bool) -> None:
    on = bench(tmp_path, Habits(answers_version=False))

    async def elsewhere(_component: Component) -> str | None:
        return said

    installer: Installer = replace(await on.installer(ONE_LINK), elsewhere=elsewhere)
    if passes:
        installed = await installer.install(planned(on.world), images(on.world))
        assert installed.proof == "developer-center"
    else:
        with pytest.raises(NotVerifiedError):
            await installer.install(planned(on.world), images(on.world))


async def test_the_version_it_ran_before_proves_nothing_without_a_reboot(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(settle_s=1000))
    component = replace(planned(on.world), target_version="1.0.0")
    installer = await on.installer(ONE_LINK)
    with pytest.raises(NotVerifiedError, match="not seen to reboot"):
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
