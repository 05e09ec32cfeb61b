from __future__ import annotations

import stat
from pathlib import Path

import pytest
from bumble import hci
from bumble.keys import PairingKeys

from ble_ota.errors import StorageError
from ble_ota.gatt.bumble_bonds import Bonds

PEER = "C0:00:00:00:00:01"
KEYS = PairingKeys(ltk=PairingKeys.Key(bytes(range(16))), address_type=hci.AddressType.RANDOM_DEVICE)


def file_in(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


async def test_a_bond_is_there_at_the_next_start(tmp_path: Path) -> None:
    await Bonds(tmp_path, "usb:0").update(PEER, KEYS)
    kept = await Bonds(tmp_path, "usb:0").get(PEER)
    assert kept is not None
    assert kept.ltk is not None
    assert (kept.ltk.value, kept.address_type) == (bytes(range(16)), hci.AddressType.RANDOM_DEVICE)


async def test_our_address_stays_the_same(tmp_path: Path) -> None:
    assert Bonds(tmp_path, "usb:0").own_address == Bonds(tmp_path, "usb:0").own_address


def test_our_address_is_one_that_may_be_kept(tmp_path: Path) -> None:
    assert Bonds(tmp_path, "usb:0").own_address.is_static


async def test_controllers_do_not_share_bonds(tmp_path: Path) -> None:
    await Bonds(tmp_path, "usb:0").update(PEER, KEYS)
    other = Bonds(tmp_path, "usb-0")
    assert await other.get(PEER) is None
    assert other.own_address != Bonds(tmp_path, "usb:0").own_address


async def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "bonds"
    await Bonds(folder, "usb:0").update(PEER, KEYS)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (folder, file_in(folder))] == [0o700, 0o600]


async def test_the_bond_of_one_device_is_forgotten_and_no_other(tmp_path: Path) -> None:
    bonds, other = Bonds(tmp_path, "usb:0"), "C0:00:00:00:00:02"
    for peer in (PEER, other):
        await bonds.update(peer, KEYS)
    await bonds.delete(PEER)
    kept = Bonds(tmp_path, "usb:0")
    assert [await kept.get(peer) is None for peer in (PEER, other)] == [True, False]
    assert kept.own_address == bonds.own_address


async def test_a_bond_can_be_forgotten_twice(tmp_path: Path) -> None:
    bonds = Bonds(tmp_path, "usb:0")
    await bonds.update(PEER, KEYS)
    await bonds.delete(PEER)
    await bonds.delete(PEER)
    assert await Bonds(tmp_path, "usb:0").get(PEER) is None


async def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bonds = Bonds(tmp_path, "usb:0")
    await bonds.update(PEER, KEYS)

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written .*: No space left"):
        await bonds.update("C0:00:00:00:00:02", KEYS)
    monkeypatch.undo()
    assert [name for name, _ in await Bonds(tmp_path, "usb:0").get_all()] == [PEER]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"me": {}}', '{"C0:00:00:00:00:01": 3}', "\xff", "9" * 1_000_001])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, content: str) -> None:
    Bonds(tmp_path, "usb:0")
    file_in(tmp_path).write_text(content, "latin-1")
    with pytest.raises(StorageError, match="not what they were written as") as caught:
        Bonds(tmp_path, "usb:0")
    assert "paired anew" in caught.value.hint


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Bonds(tmp_path, "usb:0")
    file = file_in(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(StorageError, match="cannot be read: Is a directory"):
        Bonds(tmp_path, "usb:0")
