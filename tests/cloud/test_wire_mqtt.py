from __future__ import annotations

import pytest

from ble_ota.cloud.wire import read
from ble_ota.cloud.wire_mqtt import ENTRIES_MAX, WireMqttPlan, WireReceipts, entries
from ble_ota.errors import CloudAnswerError


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (None, []),
        ("", []),
        ({}, []),
        ([], []),
        ({"list": []}, []),
        ({"list": None}, []),
        ([{"planId": 1}], [{"planId": 1}]),
        ({"list": [{"planId": 1}], "total": 1}, [{"planId": 1}]),
        ({"planId": 1}, [{"planId": 1}]),
    ],
)
def test_a_list_may_stand_bare_or_in_an_object_or_be_its_only_entry(data: object, found: list[object]) -> None:
    assert entries(data, doing="asking") == found


@pytest.mark.parametrize("data", ["text", 7, True, {"list": "text"}, {"list": {"planId": 1}}])
def test_what_is_no_list_is_refused(data: object) -> None:
    with pytest.raises(CloudAnswerError, match="asking: the answer is not as documented"):
        entries(data, doing="asking")


def test_a_list_over_the_cap_is_refused() -> None:
    assert len(entries([{}] * ENTRIES_MAX, doing="asking")) == ENTRIES_MAX
    with pytest.raises(CloudAnswerError, match="lists 1001 plans"):
        entries([{}] * (ENTRIES_MAX + 1), doing="asking")


def test_receipts_over_the_cap_are_refused() -> None:
    with pytest.raises(CloudAnswerError, match="failList"):
        read(WireReceipts, {"failList": [{}] * (ENTRIES_MAX + 1)}, doing="telling")


@pytest.mark.parametrize(("raw", "status"), [("1", 1), (1, 1), ("-1", -1), (-1, -1), ("", None), (None, None), (7, 7)])
def test_a_status_may_be_a_text(raw: object, status: int | None) -> None:
    assert read(WireMqttPlan, {"deviceStatus": raw}, doing="asking").status == status


@pytest.mark.parametrize("raw", ["done", [1], {"a": 1}, 1.5, 2**63])
def test_a_status_that_is_no_number_is_refused(raw: object) -> None:
    with pytest.raises(CloudAnswerError, match="deviceStatus"):
        read(WireMqttPlan, {"deviceStatus": raw}, doing="asking")


def test_a_message_is_one_clean_line() -> None:
    told = read(WireReceipts, {"failList": [{"msg": "No\x1b[2J\r\nway" + "y" * 5000}]}, doing="telling")
    assert told.refused[0].message.startswith("No[2J way")
    assert 190 < len(told.refused[0].message) <= 200
