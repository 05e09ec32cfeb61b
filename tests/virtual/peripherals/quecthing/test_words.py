from __future__ import annotations

from ble_ota.virtual.peripherals.quecthing import words


def test_the_transfer_has_the_documented_commands() -> None:
    named = (words.QUERY, words.NOTIFICATION, words.CONTROL, words.CONTROLLED, words.PACKET, words.STORED)
    assert named == (0x7020, 0x7022, 0x7023, 0x7024, 0x7025, 0x7026)
    assert set(named) <= set(words.TRANSFER)


def test_the_login_is_none_of_the_transfer() -> None:
    assert 0x7032 not in words.TRANSFER


def test_actions_count_from_decline_to_failure() -> None:
    named = (words.DECLINE, words.RECEIVE, words.PAUSE, words.PROCEED, words.CANCEL, words.SUCCESS, words.FAILURE)
    assert named == (1, 2, 3, 4, 5, 6, 7)
