from __future__ import annotations

import time

import pytest
from pydantic import SecretStr

from ble_ota.cli.common import Common
from ble_ota.cli.session import cloud_of, device_name, filled, known, login_of, secret, session_of
from ble_ota.cli.tokens import tokens_of
from ble_ota.cloud import Tokens
from ble_ota.errors import DeviceAmbiguousError, DeviceNotFoundError, TokenRejectedError
from ble_ota.events import Event, Warned
from ble_ota.link import Advert
from ble_ota.model import DeviceInfo, Secret
from ble_ota.protocols import Sighting, drivers
from ble_ota.protocols.quecthing import Options
from ble_ota.target import Target
from ble_ota.vault import MemoryVault
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk, person

COMMON = Common("plan", no_input=True)
DRIVER = drivers(quecthing_options=Options())["quecthing"]


def target(address: str, name: str, product_key: str = "", device_key: str = "") -> Target:
    advert = Advert(address, name, -50, (), {})
    return Target(advert, Sighting("quecthing", product_key, device_key), DRIVER, product_key, device_key)


def tokens(*, lives_s: float) -> Tokens:
    return Tokens(Secret("Bearer a"), time.time() + lives_s, Secret("Bearer r"), time.time() + lives_s)


async def test_the_kept_session_is_gone_on_with(desk: Desk) -> None:
    vault, settings, kept = MemoryVault(), COMMON.settings(), tokens(lives_s=1000)
    tokens_of(COMMON, settings, vault).save(kept)
    async with cloud_of(COMMON, settings, vault) as center:
        assert center.tokens == kept


async def test_a_session_that_is_kept_needs_no_login(desk: Desk) -> None:
    vault, settings = MemoryVault(), COMMON.settings()
    for _ in range(2):
        async with session_of(COMMON, settings, vault) as center:
            await center.who_am_i()
    assert len(desk.records("login")) == 1


async def test_a_login_replaces_the_session_that_is_kept(desk: Desk) -> None:
    vault, settings = MemoryVault(), COMMON.settings()
    for _ in range(2):
        async with login_of(COMMON, settings, vault) as center:
            assert tokens_of(COMMON, settings, vault).load() == center.tokens
    assert len(desk.records("login")) == 2


async def test_profiles_without_an_account_keep_a_session_each(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.unset("email")
    vault = MemoryVault()
    for profile, name in (("home", desk.world.user.email), ("work", desk.world.user.phone)):
        person(monkeypatch, f"{name}\n")
        async with login_of(Common("login", profile=profile), COMMON.settings(), vault):
            pass
    for profile, name in (("home", desk.world.user.email), ("work", desk.world.user.phone)):
        store = tokens_of(Common("whoami", profile=profile), COMMON.settings(), vault)
        assert store.load() is not None
        assert store.account == name


async def test_who_is_typed_at_the_prompt_takes_the_sessions_place_from_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.unset("email")
    common, vault, settings = Common("login"), MemoryVault(), COMMON.settings()
    person(monkeypatch, f"{desk.world.user.email}\n")
    async with login_of(common, settings, vault) as first:
        person(monkeypatch, f"{desk.world.user.phone}\n")
        async with login_of(common, settings, vault) as second:
            pass
        desk.center.faults = Faults(code=5032, times=1)
        with pytest.raises(TokenRejectedError, match="another account has logged in"):
            await first.who_am_i()
    assert tokens_of(common, settings, vault).load() == second.tokens


async def test_a_session_that_is_over_is_replaced_by_a_login(desk: Desk) -> None:
    vault, settings = MemoryVault(), COMMON.settings()
    tokens_of(COMMON, settings, vault).save(tokens(lives_s=-1))
    async with session_of(COMMON, settings, vault) as center:
        await center.who_am_i()
    assert len(desk.records("login")) == 1


async def test_a_session_with_a_virtual_cloud_outlives_its_port(desk: Desk) -> None:
    desk.set(cloud=f"virtual:{desk.world.folder}")
    vault, settings = MemoryVault(), COMMON.settings()
    for _ in range(2):
        async with session_of(COMMON, settings, vault) as center:
            await center.who_am_i()
    assert len(desk.records("login")) == 1


# ------------------------------------------------------------------ which device of the account


async def test_a_device_is_known_by_its_keys_and_its_secret_is_kept(desk: Desk) -> None:
    vault, device = MemoryVault(), desk.device
    heard = target(device.address, device.name, desk.world.product_key, device.device_key)
    async with session_of(COMMON, COMMON.settings(), vault) as center:
        found, login = await known(heard, center, vault, None)
    assert (found.device_key, login) == (device.device_key, Secret(device.binding_code))
    assert vault.get(device_name(desk.world.product_key, device.device_key)) == login


async def test_a_secret_that_was_given_goes_before_the_accounts(desk: Desk) -> None:
    heard = target(desk.name, "", desk.world.product_key, desk.device.device_key)
    async with session_of(COMMON, COMMON.settings(), MemoryVault()) as center:
        _, login = await known(heard, center, MemoryVault(), Secret("mine"))
    assert login == Secret("mine")


@pytest.mark.parametrize("heard", [target("C0:DE:B0:E0:99:99", "QUEC_BLE_0001"), target("C0:DE:B0:E0:00:01", "")])
async def test_a_device_without_keys_is_known_by_the_tail_of_name_or_address(desk: Desk, heard: Target) -> None:
    async with session_of(COMMON, COMMON.settings(), MemoryVault()) as center:
        found, _ = await known(heard, center, MemoryVault(), None)
    assert (found.product_key, found.device_key) == (desk.world.product_key, desk.device.device_key)


async def test_a_device_that_is_not_the_accounts_is_not_found(desk: Desk) -> None:
    async with session_of(COMMON, COMMON.settings(), MemoryVault()) as center:
        with pytest.raises(DeviceNotFoundError, match="QUEC_BLE_9999"):
            await known(target("C0:DE:B0:E0:99:99", "QUEC_BLE_9999"), center, MemoryVault(), None)


async def test_a_tail_that_fits_under_another_product_key_is_not_the_device(desk: Desk) -> None:
    """A device of 2022 advertises its product's key alone; the tail of its name fits a device of another product."""
    ours = target(desk.name, "QUEC_BLE_0001", desk.world.product_key)
    theirs = target(desk.name, "QUEC_BLE_0001", "pOTHER")
    vault = MemoryVault()
    async with session_of(COMMON, COMMON.settings(), vault) as center:
        assert (await known(ours, center, vault, None))[0].device_key == desk.device.device_key
        vault.drop(device_name(desk.world.product_key, desk.device.device_key))
        with pytest.raises(DeviceNotFoundError):
            await known(theirs, center, vault, None)
    assert vault.get(device_name(desk.world.product_key, desk.device.device_key)) is None


async def test_two_devices_it_could_be_are_both_shown(desk: Desk) -> None:
    first, second = "AAAAAAAA0001", "BBBBBBBB0001"
    twins = type("Twins", (), {})()
    listed = [type("Listed", (), {"product_key": "p", "device_key": key})() for key in (first, second)]

    async def devices() -> object:
        for one in listed:
            yield one

    twins.devices = devices
    with pytest.raises(DeviceAmbiguousError) as caught:
        await known(target("C0:DE:B0:E0:00:01", ""), twins, MemoryVault(), None)
    assert first in str(caught.value)
    assert second in str(caught.value)


# ------------------------------------------------------------------ what it runs, as the platform believes


def asked(desk: Desk, **versions: str) -> DeviceInfo:
    """The desk's device, which told these versions itself."""
    return DeviceInfo(desk.name, "", desk.world.product_key, desk.device.device_key, versions)


async def test_what_a_device_does_not_tell_is_filled_in_and_what_it_tells_stands(desk: Desk) -> None:
    told: list[Event] = []
    async with session_of(COMMON, COMMON.settings(), MemoryVault()) as center:
        believed = await center.versions(desk.world.product_key, desk.device.device_key)
        silent = await filled(asked(desk), center, told.append)
        speaking = await filled(asked(desk, **{"": "7.7.7"}), center, told.append)
    assert believed[""]
    assert silent.versions == believed
    assert speaking.versions == {**believed, "": "7.7.7"}
    assert told == []


async def test_a_platform_that_does_not_say_is_told_with_its_reason_and_no_more(desk: Desk) -> None:
    told: list[Event] = []
    async with session_of(COMMON, COMMON.settings(), MemoryVault()) as center:
        desk.center.faults = Faults(code=5141, only="getDeviceBusinessAttributes")
        assert await filled(asked(desk, **{"": "1"}), center, told.append) == asked(desk, **{"": "1"})
    [warning] = told
    assert isinstance(warning, Warned)
    assert "5141" in warning.message


def test_a_secret_of_the_settings_becomes_ours() -> None:
    assert secret(SecretStr("x")) == Secret("x")
    assert secret(None) is None
