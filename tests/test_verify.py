"""The read-back: which looks prove, which deny, and that all else is tried again and ends as unproven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ble_ota.errors import (
    AdapterError,
    AttRefusedError,
    BleOtaError,
    DeviceSilentError,
    LinkLostError,
    LoginFailedError,
    MalformedError,
    NotVerifiedError,
    UnprovenError,
)
from ble_ota.events import DeviceVerified, Event
from ble_ota.install import Installer, Patience
from ble_ota.link import Advert, Link
from ble_ota.model import Component, ComponentKind, FetchPlan
from ble_ota.protocols.quecthing import Options
from ble_ota.virtual.peripherals.quecthing import Habits
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World
from tests.bench import Bench, bench, images, planned

pytestmark = pytest.mark.looptime

# ------------------------------------------------------------------ the first links after the reboot stumble


@dataclass
class Stumbling(VirtualRadio):
    """From the end of the transfer on, each scan or link gets one of these in its way, in order; then all is well."""

    on: Bench
    stumbles: list[str] = field(default_factory=list[str])
    armed: bool = False

    def __init__(self, on: Bench, *stumbles: str) -> None:
        super().__init__(on.air)
        self.on, self.stumbles, self.armed = on, list(stumbles), False

    def hear(self, event: Event) -> None:
        self.on.events.append(event)
        self.armed = self.armed or event.name == "device.rebooting"

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        if self.armed and self.stumbles[:1] == ["adapter"]:
            self.stumbles.pop(0)
            await asyncio.sleep(0.1)
            msg = "Bluetooth cannot be used: no adapter"
            raise AdapterError(msg)
        async for advert in super().scan(within_s=within_s):
            yield advert

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        stumble = self.stumbles.pop(0) if self.armed and self.stumbles else ""
        if stumble == "lost":
            msg = "the link went"
            raise LinkLostError(msg)
        async with super().connect(address, within_s=within_s) as link:
            yield _Bent(link, ERRORS[stumble]) if stumble in ERRORS else link


ERRORS: dict[str, BleOtaError] = {
    "att": AttRefusedError("writing", 0x0E),
    "login": LoginFailedError("the device refused the login"),
    "malformed": MalformedError("a payload of the device cannot be decrypted"),
    "silent": DeviceSilentError("the device does not answer"),
}


class _Bent:
    """A link whose first write ends in an error."""

    def __init__(self, link: Link, error: BleOtaError) -> None:
        self.facts, self.subscribe, self.read, self.notification = (
            link.facts,
            link.subscribe,
            link.read,
            link.notification,
        )
        self._error = error

    async def write(self, _char: int, _data: bytes, *, ack: bool) -> None:
        _ = ack
        raise self._error


KINDS = ("adapter", "lost", *ERRORS)


async def stumbled(on: Bench, *stumbles: str, patience: Patience | None = None) -> Installer:
    radio = Stumbling(on, *stumbles)
    on.radio = radio
    target, info = await on.identified()
    return Installer(target, info, radio, on.secret, radio.hear, patience or Patience())


@pytest.mark.parametrize("kind", KINDS)
async def test_any_stumble_after_the_reboot_is_tried_again(tmp_path: Path, kind: str) -> None:
    on = bench(tmp_path)
    installer = await stumbled(on, kind, kind)
    assert (await installer.install(planned(on.world), images(on.world))).version == "1.1.0"


async def test_stumbles_of_all_kinds_one_after_the_other_are_tried_again(tmp_path: Path) -> None:
    on = bench(tmp_path)
    installer = await stumbled(on, *KINDS, *KINDS)
    assert (await installer.install(planned(on.world), images(on.world))).version == "1.1.0"


@pytest.mark.parametrize("kind", KINDS)
async def test_stumbles_without_end_are_unproven_and_the_last_cause_is_told(tmp_path: Path, kind: str) -> None:
    on = bench(tmp_path)
    first = "lost" if kind != "lost" else "att"
    installer = await stumbled(on, first, *[kind] * 1000, patience=Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError) as unproven:
        await installer.install(planned(on.world), images(on.world))
    told = {"adapter": "no adapter", "lost": "the link went"} | {k: str(e) for k, e in ERRORS.items()}
    assert str(unproven.value).endswith(told[kind])
    assert unproven.value.exit_code == 35


async def test_a_device_that_recovers_and_stumbles_again_has_the_whole_time(tmp_path: Path) -> None:
    """A look that brings the old version between two stumbles does not end it."""
    on = bench(tmp_path, Habits(claims_version="1.0.0", claims_version_after="success"))
    installer = await stumbled(on, "lost", "", *["att"] * 1000, patience=Patience(reboot_s=30.0))
    with pytest.raises(UnprovenError):
        await installer.install(planned(on.world), images(on.world))


# ------------------------------------------------------------------ what a device tells


async def test_an_old_version_is_a_denial_at_the_second_look(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(boots_old=True))
    installer = await on.installer()
    with pytest.raises(NotVerifiedError, match=r"runs 1.0.0 where 1.1.0"):
        await installer.install(planned(on.world), images(on.world))
    assert [e.name for e in on.events].count("link.connected") == 4  # identify, transfer, and two looks


async def test_an_old_version_of_a_device_that_did_not_reboot_has_the_whole_time(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(settle_s=1000.0))
    installer = await on.installer(Patience(reboot_s=60.0))
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(NotVerifiedError):
        await installer.install(planned(on.world), images(on.world))
    assert asyncio.get_running_loop().time() - began_s > 60.0


async def test_a_device_that_tells_no_version_is_unproven_with_what_it_tells(tmp_path: Path) -> None:
    on = bench(tmp_path, options=Options(version_ids={"": 77}))
    installer = await on.installer(Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError, match=r"tells no version of component MAIN; id 12 tells 1.1.0") as unproven:
        await installer.install(planned(on.world), images(on.world))
    assert 'quecthing.version_ids = { "" = 12 }' in unproven.value.hint


async def test_a_version_that_the_new_firmware_tells_under_another_id_is_shown_with_its_setting(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(moves_version_id=30))
    installer = await on.installer(Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError, match=r"id 42 tells 1.1.0") as unproven:
        await installer.install(planned(on.world), images(on.world))
    assert 'quecthing.version_ids = { "" = 42 }' in unproven.value.hint


async def test_a_text_that_was_the_target_before_is_not_named_as_the_version(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(claims_version="1.1.0"), options=Options(version_ids={"": 77}))
    installer = await on.installer(Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError, match=r"id 12 tells 1.1.0") as unproven:
        await installer.install(planned(on.world), images(on.world))
    assert "version_ids" not in unproven.value.hint


async def test_a_device_that_tells_nothing_is_unproven(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(answers_version=False))
    installer = await on.installer(Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError, match=r"tells no version of component MAIN$"):
        await installer.install(planned(on.world), images(on.world))


async def test_a_device_that_told_its_version_by_its_own_protocol_is_not_proven_by_0x2a26(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(firmware_revision=True))
    installer = await on.installer(Patience(reboot_s=20.0))

    def emit(event: Event) -> None:
        if event.name == "transfer.done":
            on.device.habits = Habits(firmware_revision=True, answers_version=False)

    installer.emit = installer.verifier.emit = emit
    with pytest.raises(UnprovenError, match="a weaker proof than the device of before"):
        await installer.install(planned(on.world), images(on.world))


async def test_0x2a26_proves_nothing_where_no_encrypted_exchange_shows_the_key(tmp_path: Path) -> None:
    habits = Habits(answers_version=False, firmware_revision=True, encrypt_transfer=False)
    on = bench(tmp_path, habits, options=Options(encrypt_transfer=False))
    installer = await on.installer(Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError, match="has not shown the device's key"):
        await installer.install(planned(on.world), images(on.world))


# ------------------------------------------------------------------ several components


def two_modules(tmp_path: Path, *ids: tuple[str, int]) -> tuple[Bench, tuple[Component, ...]]:
    """Two module components; the device tells the versions under 12 and 13."""
    world = World.create(tmp_path / "w", packages={"MAIN": (b"m" * 1000,), "AUX": (b"x" * 900,)})
    on = Bench(world, options=Options(version_ids=dict(ids)))
    parts = tuple(replace(planned(world, at), kind=ComponentKind.MODULE) for at in (0, 1))
    return on, FetchPlan("7", world.product_key, world.devices[0].device_key, parts).components


async def test_the_unnamed_version_proves_neither_of_two_modules(tmp_path: Path) -> None:
    on, (main, _) = two_modules(tmp_path, ("", 12))
    installer = await on.installer(Patience(reboot_s=20.0))
    with pytest.raises(UnprovenError, match="no version of component MAIN") as unproven:
        await installer.install(main, images(on.world))
    assert 'quecthing.version_ids = { "MAIN" = 12 }' in unproven.value.hint
    assert not [e for e in on.events if isinstance(e, DeviceVerified)]


async def test_each_of_two_modules_is_proven_by_its_own_version(tmp_path: Path) -> None:
    on, (main, aux) = two_modules(tmp_path, ("MAIN", 12), ("AUX", 13))
    installer = await on.installer(Patience(reboot_s=20.0))
    assert (await installer.install(main, images(on.world))).version == "1.1.0"
    on.device.habits = Habits(boots_old=True)
    with pytest.raises(NotVerifiedError):
        await installer.install(aux, images(on.world, 1))
    assert on.device.version("AUX") == "1.0.0"


async def test_the_device_is_asked_anew_before_each_component(tmp_path: Path) -> None:
    """The first package brought the second component's target too, so its version alone proves nothing."""
    on, (main, aux) = two_modules(tmp_path, ("MAIN", 12), ("AUX", 13))
    installer = await on.installer(Patience(reboot_s=20.0))
    await installer.install(main, images(on.world))
    on.device.habits = Habits(claims_version="1.1.0", settle_s=1000.0)
    with pytest.raises(UnprovenError, match="ran this version before and was not seen to reboot"):
        await installer.install(aux, images(on.world, 1))
