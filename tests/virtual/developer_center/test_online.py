from __future__ import annotations

import pytest

from ble_ota.virtual.developer_center.online import Habits, OnlineTerms, Part, Phase, said_online, standing
from ble_ota.virtual.world import World, WorldError
from tests.virtual.developer_center.conftest import NOW

HABITS = Habits(download_s=10, upgrade_s=30)


def test_a_device_without_a_push_waits() -> None:
    stands = standing(None, NOW, HABITS, components=2)
    assert (stands.phase, stands.progress, stands.parts) == ("waiting", 0.0, (Part(), Part()))


@pytest.mark.parametrize(
    ("after_s", "phase", "progress", "status"),
    [
        (-5, "downloading", 0.0, 1),
        (0, "downloading", 0.0, 1),
        (5, "downloading", 0.125, 1),
        (10, "upgrading", 0.25, 1),
        (25, "upgrading", 0.625, 1),
        (40, "succeeded", 1.0, 2),
        (1e6, "succeeded", 1.0, 2),
    ],
)
def test_time_brings_a_device_from_push_to_success(after_s: float, phase: Phase, progress: float, status: int) -> None:
    stands = standing(NOW, NOW + after_s, HABITS)
    assert (stands.phase, stands.progress, stands.status) == (phase, progress, status)


@pytest.mark.parametrize(("after_s", "phase"), [(5.9, "downloading"), (6, "failed"), (1e6, "failed")])
def test_an_attempt_fails_in_its_download(after_s: float, phase: Phase) -> None:
    habits = Habits(fails=1, download_s=10, upgrade_s=30)
    assert standing(NOW, NOW + after_s, habits).phase == phase


def test_a_failure_keeps_its_progress() -> None:
    habits = Habits(fails=1, download_s=10, upgrade_s=30)
    stands = standing(NOW, NOW + 1e6, habits)
    assert (stands.progress, stands.status) == (0.15, 3)


@pytest.mark.parametrize(("attempt", "phase"), [(2, "failed"), (3, "succeeded")])
def test_the_attempts_that_fail_are_the_first_ones(attempt: int, phase: Phase) -> None:
    assert standing(NOW, NOW + 1e6, Habits(fails=2), attempt=attempt).phase == phase


def test_components_are_downloaded_one_after_another() -> None:
    assert standing(NOW, NOW + 5, HABITS, components=4).parts == (
        Part(2, 1.0),
        Part(2, 1.0),
        Part(1, 0.0),
        Part(),
    )


def test_components_are_upgraded_after_all_downloads() -> None:
    assert standing(NOW, NOW + 25, HABITS, components=4).parts == (
        Part(2, 1.0, 2),
        Part(2, 1.0, 2),
        Part(2, 1.0, 1),
        Part(2, 1.0, 0),
    )


def test_all_components_are_done_at_the_end() -> None:
    assert standing(NOW, NOW + 40, HABITS, components=2).parts == (Part(2, 1.0, 2), Part(2, 1.0, 2))


def test_the_component_a_failure_hits_is_the_one_that_has_its_turn() -> None:
    parts = standing(NOW, NOW + 1e6, Habits(fails=1), components=3).parts
    assert [(part.download_status, part.upgrade_status) for part in parts] == [(2, 0), (3, 0), (0, 0)]


@pytest.mark.parametrize(
    ("habits", "phase", "progress"),
    [
        (Habits(download_s=0, upgrade_s=0), "succeeded", 1.0),
        (Habits(download_s=0, upgrade_s=0, fails=1), "failed", 0.3),
        (Habits(download_s=0, upgrade_s=30), "upgrading", 0.0),
    ],
)
def test_what_takes_no_time_is_done_at_once(habits: Habits, phase: Phase, progress: float) -> None:
    stands = standing(NOW, NOW, habits)
    assert (stands.phase, stands.progress) == (phase, progress)


def test_a_device_takes_four_seconds_for_each_to_begin_with() -> None:
    phases = [standing(NOW, NOW + after_s, Habits()).phase for after_s in (3.9, 4.1, 7.9, 8.1)]
    assert phases == ["downloading", "upgrading", "upgrading", "succeeded"]


def test_a_device_has_habits_of_its_own() -> None:
    terms = OnlineTerms({"D1": Habits(fails=1), "*": Habits(fails=2)})
    assert (terms.habits_of("D1").fails, terms.habits_of("D2").fails) == (1, 2)


def test_a_device_that_nobody_spoke_of_is_an_ordinary_one() -> None:
    assert OnlineTerms({"D1": Habits(fails=1)}).habits_of("D2") == Habits()


# ------------------------------------------------------------------ from a file


def from_file(world: World, text: str) -> OnlineTerms:
    (world.folder / "cloud").mkdir()
    (world.folder / "cloud" / "online.json").write_text(text, "utf-8")
    return said_online(world)


def test_a_world_without_a_file_has_ordinary_terms(world: World) -> None:
    assert said_online(world) == OnlineTerms()


def test_a_file_says_how_devices_go_about_it(world: World) -> None:
    text = """{"habits": {"*": {"fails": 1, "download_s": 2, "upgrade_s": 0.5, "status_as_text": true, "status": 7,
        "success_as": -1, "refuses": [5041, "No"]}}, "plan_starts_s": 1, "plan_ends_s": 2.5, "ended_plan": "gone",
        "plan_shape": "components", "batch_max": 3}"""
    habits = Habits(1, 2.0, 0.5, status=7, success_as=-1, refuses=(5041, "No"), status_as_text=True)
    assert from_file(world, text) == OnlineTerms({"*": habits}, 1.0, 2.5, "gone", "components", 3)


@pytest.mark.parametrize(
    "text",
    [
        '{"habits": {"*": {"fails": -1}}}',
        '{"habits": {"*": {"download_s": NaN}}}',
        '{"habits": {"*": {"refuses": [5041]}}}',
        '{"habits": {"*": {"mood": 1}}}',
        '{"habits": {"*": null}}',
        '{"plan_ends_s": "2"}',
        '{"ended_plan": "lost"}',
        '{"batch_max": 0}',
        '{"mood": 1}',
    ],
)
def test_a_file_that_is_not_right_is_said(world: World, text: str) -> None:
    with pytest.raises(WorldError, match=r"online\.json is not right: "):
        from_file(world, text)
