from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.virtual.peripherals.quecthing.flash import Flash, PowerCutError


def test_what_is_written_is_there_in_another_life(tmp_path: Path) -> None:
    Flash(tmp_path).write("a", 0, b"abc")
    assert Flash(tmp_path).content("a") == b"abc"


def test_a_write_in_the_middle_leaves_the_rest(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    flash.write("a", 0, b"abcdef")
    flash.write("a", 2, b"XY")
    assert flash.content("a") == b"abXYef"


def test_an_erased_area_is_empty(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    flash.write("a", 0, b"abc")
    flash.erase("a")
    assert (flash.content("a"), flash.size("a")) == (b"", 0)


def test_a_moved_area_is_where_it_went_alone(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    flash.write("a", 0, b"abc")
    flash.move("a", "b")
    assert (flash.size("a"), flash.content("b")) == (0, b"abc")


def test_a_truncated_area_keeps_its_beginning(tmp_path: Path) -> None:
    flash = Flash(tmp_path)
    flash.write("a", 0, b"abcdef")
    flash.truncate("a", 2)
    assert flash.content("a") == b"ab"


def test_a_save_leaves_nothing_beside(tmp_path: Path) -> None:
    Flash(tmp_path).save("state", b"1")
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_every_change_is_told_in_order(tmp_path: Path) -> None:
    told: list[str] = []
    flash = Flash(tmp_path, told.append)
    flash.write("a", 0, b"1")
    flash.truncate("a", 0)
    flash.move("a", "b")
    flash.save("c", b"")
    flash.erase("b")
    assert told == ["write a", "truncate a", "move a", "save c", "erase b"]
    assert flash.operations == 5


@pytest.mark.parametrize("operation", ["erase", "write", "truncate", "move", "save"])
def test_a_cut_operation_changes_nothing(tmp_path: Path, operation: str) -> None:
    flash = Flash(tmp_path)
    flash.write("a", 0, b"old")

    def cut(_operation: str) -> None:
        raise PowerCutError

    flash.on_operation = cut
    changes = {
        "erase": lambda: flash.erase("a"),
        "write": lambda: flash.write("a", 0, b"new"),
        "truncate": lambda: flash.truncate("a", 0),
        "move": lambda: flash.move("a", "b"),
        "save": lambda: flash.save("a", b"new"),
    }
    with pytest.raises(PowerCutError):
        changes[operation]()
    assert flash.content("a") == b"old"
