from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ble_ota.virtual.world import World, WorldError


def change(folder: Path, **fields: Any) -> None:
    """Write `fields` over what world.json says."""
    path = folder / "world.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


def test_a_world_that_is_opened_is_the_one_that_was_made(tmp_path: Path) -> None:
    made = World.create(tmp_path, devices=2, packages={"MAIN": (b"a", b"b"), "MCU": (b"c",)})
    assert World.open(tmp_path) == made


def test_a_world_is_made_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert World.create(tmp_path / "new" / "world").folder.is_dir()


def test_creating_it_again_opens_it(tmp_path: Path) -> None:
    assert World.create(tmp_path, seed=7) == World.create(tmp_path, seed=8, devices=3)


def test_creating_it_again_leaves_the_firmware_alone(tmp_path: Path) -> None:
    World.create(tmp_path, packages={"MAIN": (b"first",)})
    world = World.create(tmp_path, packages={"MAIN": (b"second",)})
    assert world.firmware(world.components[0].files[0]) == b"first"


def test_the_same_seed_makes_the_same_world(tmp_path: Path) -> None:
    one, other = World.create(tmp_path / "1", seed=5), World.create(tmp_path / "2", seed=5)
    assert (one.devices, one.components) == (other.devices, other.components)


def test_another_seed_makes_other_keys(tmp_path: Path) -> None:
    one, other = World.create(tmp_path / "1", seed=5), World.create(tmp_path / "2", seed=6)
    assert one.devices[0].binding_code != other.devices[0].binding_code


def test_no_world_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no virtual world"):
        World.open(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    World.create(tmp_path)
    change(tmp_path, format=2)
    with pytest.raises(WorldError, match="has format 2, this version reads 1"):
        World.open(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "7", "{}", '{"format": 1}', '{"format": 1, "components": [{}]}'])
def test_a_damaged_world_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "world.json").write_text(text, "utf-8")
    with pytest.raises(WorldError, match="is damaged"):
        World.open(tmp_path)


def test_a_field_nobody_knows_is_refused(tmp_path: Path) -> None:
    World.create(tmp_path)
    change(tmp_path, user={"nickname": "x"})
    with pytest.raises(WorldError, match="nickname"):
        World.open(tmp_path)


@pytest.mark.parametrize("devices", [0, 100])
def test_a_number_of_devices_out_of_range_is_refused(tmp_path: Path, devices: int) -> None:
    with pytest.raises(WorldError, match=f"not {devices}"):
        World.create(tmp_path, devices=devices)
    assert not (tmp_path / "world.json").exists()


def test_devices_differ_in_everything(tmp_path: Path) -> None:
    devices = World.create(tmp_path, devices=99).devices
    for each in ("device_key", "address", "binding_code", "name"):
        assert len({getattr(device, each) for device in devices}) == 99


def test_an_address_is_a_random_static_one(tmp_path: Path) -> None:
    """The two highest bits are 1: Core Specification Vol 6 Part B 1.3.2.1."""
    for device in World.create(tmp_path, devices=99).devices:
        raw = bytes.fromhex(device.address.replace(":", ""))
        assert (len(raw), raw[0] >> 6) == (6, 0b11)


def test_a_device_advertises_the_end_of_its_key(tmp_path: Path) -> None:
    (_, second) = World.create(tmp_path, devices=2).devices
    assert (second.device_key, second.name) == ("B0E0C0DE0002", "QUEC_BLE_0002")


def test_a_device_is_found_by_its_key(tmp_path: Path) -> None:
    world = World.create(tmp_path, devices=2)
    assert world.device("B0E0C0DE0002") is world.devices[1]


def test_an_unknown_key_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nobody"):
        World.create(tmp_path).device("nobody")


def test_devices_have_homes_of_their_own(tmp_path: Path) -> None:
    world = World.create(tmp_path, devices=2)
    homes = [world.home(device) for device in world.devices]
    assert homes[0] != homes[1]
    assert all(home.is_dir() for home in homes)


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"content",)})
    (file,) = world.components[0].files
    assert (file.size_bytes, file.sha256) == (7, sha256(b"content").hexdigest())
    assert world.firmware(file) == b"content"


def test_without_packages_there_is_one_of_the_asked_size(tmp_path: Path) -> None:
    world = World.create(tmp_path, size_bytes=1234)
    assert [(c.no, [f.size_bytes for f in c.files]) for c in world.components] == [("MAIN", [1234])]


def test_the_first_component_is_the_module_and_the_others_are_mcus(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"A": (b"",), "B": (b"",), "C": (b"",)})
    assert [(c.kind, c.version_id) for c in world.components] == [(0, 12), (1, 13), (1, 14)]


def test_devices_that_are_online_change_no_other_key(tmp_path: Path) -> None:
    one, other = World.create(tmp_path / "1", seed=5), World.create(tmp_path / "2", seed=5, online=9)
    assert (one.devices, one.components) == (other.devices, other.components)


def test_the_first_keys_are_those_of_ever(tmp_path: Path) -> None:
    """What seed 5 gave before there were devices online."""
    world = World.create(tmp_path, seed=5, online=3)
    assert world.devices[0].binding_code == "HjHwQYKHulFq/fxswuUFgg=="
    assert world.components[0].files[0].sha256.startswith("7e03742be2147413")


def test_the_same_seed_makes_the_same_devices_online(tmp_path: Path) -> None:
    one, other = World.create(tmp_path / "1", seed=5, online=3), World.create(tmp_path / "2", seed=5, online=3)
    assert one.online == other.online


def test_another_seed_makes_other_auth_keys(tmp_path: Path) -> None:
    one, other = World.create(tmp_path / "1", seed=5, online=1), World.create(tmp_path / "2", seed=6, online=1)
    assert one.online[0].auth_key != other.online[0].auth_key


def test_devices_that_are_online_are_kept(tmp_path: Path) -> None:
    made = World.create(tmp_path, online=2)
    assert World.open(tmp_path) == made


def test_ten_thousand_devices_online_differ_in_everything(tmp_path: Path) -> None:
    online = World.create(tmp_path, online=10_000).online
    for each in ("device_key", "auth_key", "name"):
        assert len({getattr(device, each) for device in online}) == 10_000


def test_no_end_of_a_key_is_shared_with_a_bluetooth_device(tmp_path: Path) -> None:
    """A Bluetooth device may be told by the last four of its key."""
    world = World.create(tmp_path, devices=99, online=10_000)
    assert {d.device_key[-4:] for d in world.devices}.isdisjoint(d.device_key[-4:] for d in world.online)


def test_an_auth_key_is_sixteen_bytes(tmp_path: Path) -> None:
    assert len(base64.b64decode(World.create(tmp_path, online=1).online[0].auth_key)) == 16


@pytest.mark.parametrize("online", [-1, 10_001])
def test_a_number_of_devices_online_out_of_range_is_refused(tmp_path: Path, online: int) -> None:
    with pytest.raises(WorldError, match=f"10000 devices online, not {online}"):
        World.create(tmp_path, online=online)
    assert not (tmp_path / "world.json").exists()


def test_a_world_from_before_there_were_devices_online_opens(tmp_path: Path) -> None:
    World.create(tmp_path)
    path = tmp_path / "world.json"
    old = json.loads(path.read_text("utf-8"))
    del old["online"], old["online_product"]
    path.write_text(json.dumps(old), "utf-8")
    assert (World.open(tmp_path).online, World.open(tmp_path).online_product) == ((), "p22cLd")
