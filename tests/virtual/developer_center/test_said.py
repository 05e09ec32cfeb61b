from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import with_config

from ble_ota.virtual.developer_center.said import STRICT, said
from ble_ota.virtual.world import World, WorldError


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Mood:
    level: int = 3
    why: str = ""


@pytest.fixture
def folder(world: World) -> Path:
    path = world.folder / "cloud"
    path.mkdir()
    return path


def test_a_world_that_says_nothing_leaves_it_as_it_is(world: World) -> None:
    assert said(world, "mood.json", Mood(level=7)) == Mood(level=7)


def test_what_a_file_says_counts(world: World, folder: Path) -> None:
    (folder / "mood.json").write_text('{"why": "rain"}', "utf-8")
    assert said(world, "mood.json", Mood()) == Mood(why="rain")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"level": "3"}', "level: Input should be a valid integer"),
        ('{"other": 1}', "other: Unexpected keyword argument"),
    ],
)
def test_a_file_that_is_not_right_is_named(world: World, folder: Path, text: str, sentence: str) -> None:
    (folder / "mood.json").write_text(text, "utf-8")
    with pytest.raises(WorldError, match=rf"mood\.json is not right: {sentence}"):
        said(world, "mood.json", Mood())


def test_a_file_that_cannot_be_read_is_named(world: World, folder: Path) -> None:
    (folder / "mood.json").mkdir()
    with pytest.raises(WorldError, match=r"mood\.json is not right: Is a directory"):
        said(world, "mood.json", Mood())
