from __future__ import annotations

from ble_ota.virtual.peripherals.quecthing.lies import UNASKED, Lie, Lies


def test_a_liar_knows_every_lie() -> None:
    assert set(Lies(1).kinds) == set(Lie)


def test_a_liar_never_stops_by_itself() -> None:
    assert Lies(1).most is None


def test_what_is_made_of_a_frame_needs_one() -> None:
    assert not {Lie.DROP, Lie.DUPLICATE, Lie.DELAY, Lie.REORDER, Lie.GARBLE, Lie.WRONG_ID, Lie.TRUNCATE} & set(UNASKED)


def test_no_version_that_a_world_plans_is_claimed() -> None:
    assert not {"1.0.0", "1.1.0"} & set(Lies(1).versions)
