from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

import ble_ota.gatt
from ble_ota.cli.wiring import (
    MACHINE,
    cloud_at,
    drivers_of,
    fixed_radio,
    needing,
    places_of,
    radio_of,
    vault_of,
    virtual_cloud,
)
from ble_ota.errors import ExtraMissingError, SettingsError, UsageError
from ble_ota.gatt.bleak_radio import BleakRadio
from ble_ota.gatt.bumble_options import LinkOptions
from ble_ota.link import Characteristic, LinkFacts, uuid16
from ble_ota.script import Subscribe
from ble_ota.settings import Settings, isolated
from ble_ota.virtual.hci_server import controllers
from ble_ota.virtual.world import World


@pytest.mark.parametrize("radio", ["", "bumble", "bumble:", "virtual:", "smoke:signals"])
async def test_a_radio_that_does_not_exist_is_refused(radio: str) -> None:
    with pytest.raises(UsageError, match="no radio"):
        async with radio_of(isolated(radio=radio)):
            pass


async def test_the_systems_bluetooth_is_the_default() -> None:
    async with radio_of(isolated()) as radio:
        assert isinstance(radio, BleakRadio)


async def test_a_world_that_is_not_there_names_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no virtual world") as caught:
        async with radio_of(isolated(radio=f"virtual:{tmp_path}")):
            pass
    assert "virtual cloud --world" in caught.value.hint


async def test_habits_that_cannot_be_read_are_a_sentence(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    (world.home(world.devices[0]) / "habits.json").write_text('{"moods": 3}')
    with pytest.raises(UsageError, match=r"habits\.json is not right"):
        async with radio_of(isolated(radio=f"virtual:{tmp_path}")):
            pass


async def test_a_folder_that_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (radio_of(isolated(radio=f"virtual:{tmp_path}/file")), served(tmp_path / "file")):
        with pytest.raises(UsageError, match="Not a directory"):
            async with place:
                pass


# ------------------------------------------------------------------ where a radio reaches devices

PLACES = {
    "bleak": (MACHINE,),
    "bleak:hci1": (MACHINE,),
    "bumble:usb:0": (MACHINE,),
    "bumble:usb:0,usb:1": (MACHINE,),
    "bumble:usb:[driver=rtk]0": (MACHINE,),
    "bumble:vhci": (MACHINE,),
    "bumble:hci-socket:0": (MACHINE,),
    "bumble:serial:/dev/ttyACM0,1000000,rtscts": (MACHINE,),
    "bumble:tcp-client:127.0.0.1:7300": ("tcp-client:127.0.0.1:7300",),
    "bumble:tcp-client:Bench.Example:7300": ("tcp-client:bench.example:7300",),
    "bumble:tcp-client:[a=b,c=d]h:1": ("tcp-client:h:1",),
    "bumble:tcp-client:::1:7300": ("tcp-client:::1:7300",),
    "bumble:tcp-client:h:2,tcp-client:h:1": ("tcp-client:h:1", "tcp-client:h:2"),
    "bumble:tcp-client:h:1,serial:/dev/ttyACM0,115200,vhci": ("tcp-client:h:1", MACHINE),
    "smoke:signals": (MACHINE,),
    "": (MACHINE,),
}


@pytest.mark.parametrize("radio", PLACES)
def test_a_radio_has_the_places_of_its_controllers(radio: str) -> None:
    assert places_of(radio) == tuple(sorted(PLACES[radio]))


def test_a_world_is_the_place_of_its_folder_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    there = f"virtual:{tmp_path / 'world'}"
    for name in ("world", "./world/", f"{tmp_path}/x/../world", "link"):
        assert (places_of(f"virtual:{name}"), fixed_radio(f"virtual:{name}")) == ((there,), there)
    assert places_of("virtual:other") != (there,)


@pytest.mark.parametrize("radio", ["bleak", "bleak:hci1", "bumble:usb:0", "virtual:", ""])
def test_any_other_radio_is_the_same_from_every_folder(radio: str) -> None:
    assert fixed_radio(radio) == radio


# ------------------------------------------------------------------ the Developer Center


def served(folder: Path) -> AbstractAsyncContextManager[str]:
    return cloud_at(isolated(cloud=f"virtual:{folder}"))


@pytest.mark.parametrize("cloud", ["cn", "http://127.0.0.1:1", "virtual:", "virtual"])
async def test_another_cloud_stays_what_it_is_called(cloud: str) -> None:
    assert virtual_cloud(isolated(cloud=cloud)) is None
    async with cloud_at(isolated(cloud=cloud)) as place:
        assert place == cloud


async def test_a_virtual_cloud_is_served_for_as_long_as_the_block(tmp_path: Path) -> None:
    World.create(tmp_path)
    async with httpx.AsyncClient(trust_env=False) as http:
        async with served(tmp_path) as url:
            assert (await http.get(url)).status_code == 404
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


async def test_a_virtual_cloud_has_the_faults_of_its_world(tmp_path: Path) -> None:
    World.create(tmp_path)
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "faults.json").write_text('{"status": 503}')
    async with served(tmp_path) as url, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).status_code == 503


async def test_a_cloud_without_a_world_names_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no virtual world") as caught:
        async with served(tmp_path):
            pass
    assert "virtual cloud --world" in caught.value.hint


async def test_faults_that_cannot_be_read_are_a_sentence(tmp_path: Path) -> None:
    World.create(tmp_path)
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "faults.json").write_text('{"mood": 3}')
    with pytest.raises(UsageError, match=r"faults\.json is not right"):
        async with served(tmp_path):
            pass


# ------------------------------------------------------------------ controllers of one's own


def own(tmp_path: Path, *ports: int, **bumble: object) -> Settings:
    names = ",".join(f"tcp-client:127.0.0.1:{port}" for port in ports)
    return isolated(radio=f"bumble:{names}", state_dir=tmp_path, bumble=bumble)


async def test_one_or_several_controllers_are_a_radio(tmp_path: Path) -> None:
    async with controllers(2) as ports, radio_of(own(tmp_path, *ports)) as radio:
        assert [advert async for advert in radio.scan(within_s=0.05)] == []


async def test_bonds_lie_in_the_state_folder(tmp_path: Path) -> None:
    async with controllers(1) as ports, radio_of(own(tmp_path, *ports)):
        assert len(list((tmp_path / "bonds").iterdir())) == 1


async def test_links_are_as_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[LinkOptions] = []

    @asynccontextmanager
    async def note(_names: str, options: LinkOptions, *, bonds: Path) -> AsyncGenerator[None, None]:
        assert bonds == tmp_path / "bonds"
        seen.append(options)
        yield

    monkeypatch.setattr("ble_ota.gatt.bumble_radio.open_radio", note)
    said = {"interval_ms": 7.5, "phy": "1M", "data_bytes": 100, "mtu": 200, "supervision_s": 3, "links": 2}
    async with radio_of(own(tmp_path, 1, **said)):
        assert seen == [LinkOptions(7.5, False, 100, 200, 3, 2)]


# ------------------------------------------------------------------ what is missing


async def test_a_missing_extra_is_a_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "bumble", None)
    for name in [n for n in sys.modules if n.startswith(("bumble.", "ble_ota.gatt.bumble"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in vars(ble_ota.gatt) if n.startswith("bumble")]:
        monkeypatch.delattr(ble_ota.gatt, name)
    with pytest.raises(ExtraMissingError) as caught:
        async with radio_of(isolated(radio="bumble:usb:0")):
            pass
    assert (caught.value.exit_code, caught.value.hint) == (3, "pip install 'ble-ota[bumble]'")


def test_a_missing_module_of_ours_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError), needing("virtual", "this"):
        raise ModuleNotFoundError(name="ble_ota.nothing")


def test_what_the_sources_leave_open_reaches_the_protocol() -> None:
    facts = LinkFacts("C0:DE:B0:E0:00:01", (Characteristic(1, uuid16(0x9C40), uuid16(0x180A), 20),))
    without, wanting = (drivers_of(isolated(quecthing={"login": login}))["quecthing"] for login in (False, True))
    assert next(without.open(facts, None)) == Subscribe(1)
    with pytest.raises(SettingsError, match="wants a login"):
        next(wanting.open(facts, None))


def test_secrets_lie_in_the_state_folder(tmp_path: Path) -> None:
    vault = vault_of(isolated(keyring=False, state_dir=tmp_path))
    assert vault.where == str(tmp_path / "secrets.json")
