from __future__ import annotations

import pytest

from ble_ota.cloud.wire import read
from ble_ota.cloud.wire_plan import WirePlan
from ble_ota.errors import CloudAnswerError


def plan(**fields: object) -> WirePlan:
    return read(WirePlan, fields, doing="asking")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"components": [{}] * 21}, "components"),
        ({"comVerList": [{}] * 21}, "comVerList"),
        ({"components": [{"componentVersions": [{}] * 11}]}, r"components\.0\.componentVersions"),
        ({"comVerList": [{"fileList": [{}] * 11}]}, r"comVerList\.0\.fileList"),
        ({"components": "abc"}, "components"),
        ({"components": [5]}, r"components\.0"),
        ({"components": [{"componentVersions": [{"fileSize": "big"}]}]}, "fileSize"),
        ({"components": [{"componentVersions": [{"fileUrl": "https://a/" + "x" * 4096}]}]}, "fileUrl"),
        ({"components": [{"targetVersion": "1.0\u202e"}]}, "targetVersion"),
        ({"components": [{"componentNo": "x" * 129}]}, "componentNo"),
        ({"components": [{"no": 1}], "comVerList": [{"no": 1}]}, "two shapes"),
    ],
)
def test_a_shape_over_its_bounds_is_refused(fields: dict[str, object], where: str) -> None:
    with pytest.raises(CloudAnswerError, match=where):
        plan(**fields)


def test_a_shape_within_its_bounds_is_read() -> None:
    assert len(plan(components=[{"componentVersions": [{}] * 10}] * 20).components or ()) == 20


def test_long_notes_are_cut_and_not_refused() -> None:
    assert len((plan(components=[{"info": "x" * 5000}]).components or [])[0].notes) == 4096


def test_a_null_list_beside_the_other_shape_is_absent() -> None:
    assert plan(components=None, comVerList=[{"comNo": "M1"}]).components is None


def test_a_number_is_taken_for_a_text_where_one_is_meant() -> None:
    assert plan(planId=77).id == "77"


def test_a_signed_address_is_not_shown() -> None:
    assert "s3cr3t" not in repr(plan(components=[{"componentVersions": [{"fileUrl": "https://a/?s=s3cr3t"}]}]))
