from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.cloud.answers import parse_json
from ble_ota.cloud.plans import read_plan
from ble_ota.errors import CloudAnswerError, TrustError
from ble_ota.model import Algorithm, ComponentKind, Conditions, Digest, FetchPlan, PlannedFile

SHA = "A591A6D40BF420404A011733CFB7B190D62C65BF0BCDA32B57B277D9AD9F146E"

BLUETOOTH = """{
    "components": [
        {"componentNo": "MCU1", "componentType": "1", "dataType": 1, "info": "second", "sort": 2,
         "sourceVersion": "1.0", "targetVersion": "2.0", "componentVersions": [
            {"fileSign": "b10a8db164e0754105b7a99be72e3fe5", "fileSize": "20",
             "fileUrl": "https://oss.example/b.bin?Signature=s3cr3t", "sort": 2},
            {"fileSign": "4a17b156", "fileSize": 10, "fileUrl": "https://oss.example/a.bin", "sort": "1"}]},
        {"componentNo": "MAIN", "componentType": 0, "dataType": 0, "info": "first\\u001b[31m\\nline", "sort": 1,
         "sourceVersion": "A1.0", "targetVersion": "A1.1", "componentVersions": [
            {"fileSign": "a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e", "fileSize": 11,
             "fileUrl": "http://127.0.0.1:8000/main.bin", "sort": 1}]}
    ],
    "planInfo": {"planId": 4711, "batteryLevelLimit": 30, "minSignalIntensity": -90, "useSpace": "100"}
}"""

NEWER = """{
    "planId": 815, "planName": "June", "planStartTime": 1744780586000, "planEndTime": "1744787786500",
    "productKey": "p1", "deviceKey": "d1", "deviceStatus": "-1", "upgradeProgress": 0.5, "autoUpgrade": null,
    "comVerList": [
        {"sort": 1, "comNo": "MAIN", "comType": 0, "dataType": 0, "cver": "A1.0", "tver": "A1.1", "battery": 20,
         "signal": -95, "space": 4096, "versionInfo": "first", "versionMatch": true, "fileList": [
            {"updIndex": 2, "fileName": "b.bin", "filePath": "https://oss.example/b.bin", "fileSize": 20,
             "fileSha256": "a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e",
             "fileMd5": "B10A8DB164E0754105B7A99BE72E3FE5", "fileCrc": "4A17B156"},
            {"updIndex": 1, "fileName": "../a\\u202e.bin", "filePath": "https://oss.example/a.bin", "fileSize": 10,
             "fileSha256": "", "fileMd5": "b10a8db164e0754105b7a99be72e3fe5", "fileCrc": null}]},
        {"sort": 2, "comNo": "MCU1", "comType": 1, "dataType": 1, "cver": "1.0", "tver": "2.0", "battery": 40,
         "signal": -80, "space": 0, "fileList": []}
    ]
}"""


def read(data: object) -> FetchPlan | None:
    return read_plan(data, product_key="p1", device_key="d1", doing="asking for the plan")


def plan_of(text: str) -> FetchPlan:
    plan = read(parse_json(text))
    assert plan is not None
    return plan


def file_of(**fields: object) -> PlannedFile:
    good: dict[str, Any] = {"fileUrl": "https://oss.example/a", "fileSize": 11, "fileSign": SHA}
    plan = read({"components": [{"targetVersion": "2", "componentVersions": [{**good, **fields}]}]})
    assert plan is not None
    return plan.components[0].files[0]


def component_with(**fields: object) -> dict[str, Any]:
    return {"components": [{"componentNo": "M1", "targetVersion": "2", **fields}]}


@pytest.mark.parametrize("text", [BLUETOOTH, NEWER])
def test_components_come_in_their_order(text: str) -> None:
    assert [c.no for c in plan_of(text).components] == ["MAIN", "MCU1"]


@pytest.mark.parametrize("text", [BLUETOOTH, NEWER])
def test_versions_are_read_from_either_shape(text: str) -> None:
    versions = [(c.source_version, c.target_version) for c in plan_of(text).components]
    assert versions == [("A1.0", "A1.1"), ("1.0", "2.0")]


@pytest.mark.parametrize("text", [BLUETOOTH, NEWER])
def test_kinds_are_read_from_either_shape(text: str) -> None:
    kinds = [(c.kind, c.delta) for c in plan_of(text).components]
    assert kinds == [(ComponentKind.MODULE, False), (ComponentKind.MCU, True)]


@pytest.mark.parametrize(("text", "plan_id"), [(BLUETOOTH, "4711"), (NEWER, "815")])
def test_the_plans_number_is_read(text: str, plan_id: str) -> None:
    assert plan_of(text).id == plan_id


@pytest.mark.parametrize(("text", "component"), [(BLUETOOTH, 1), (NEWER, 0)])
def test_files_come_in_their_order(text: str, component: int) -> None:
    files = plan_of(text).components[component].files
    assert [(f.url.split("?")[0], f.size_bytes) for f in files] == [
        ("https://oss.example/a.bin", 10),
        ("https://oss.example/b.bin", 20),
    ]


def test_an_equal_order_keeps_the_servers() -> None:
    components = [{"componentNo": no, "targetVersion": "2", "sort": 1} for no in ("C", "A", "B")]
    plan = read({"components": components})
    assert plan is not None
    assert [c.no for c in plan.components] == ["C", "A", "B"]


def test_conditions_of_the_older_shape_are_read() -> None:
    assert plan_of(BLUETOOTH).conditions == Conditions(battery_percent=30, rssi_dbm=-90, free_bytes=102_400)


def test_of_the_components_conditions_the_strictest_holds() -> None:
    assert plan_of(NEWER).conditions == Conditions(battery_percent=40, rssi_dbm=-80, free_bytes=4096)


def test_a_condition_of_zero_is_none() -> None:
    info = {"batteryLevelLimit": 0, "minSignalIntensity": 0, "useSpace": 0}
    plan = read({**component_with(), "planInfo": info})
    assert plan is not None
    assert plan.conditions == Conditions()


def test_the_end_is_read_in_seconds() -> None:
    assert plan_of(NEWER).ends_at_s == 1744787786.5


@pytest.mark.parametrize("ends_at_ms", [0, 253_402_300_800_000, 2**63 - 1])
def test_an_end_beyond_all_calendars_is_none(ends_at_ms: int) -> None:
    plan = read({"components": [{"targetVersion": "2"}], "planInfo": {"planEndTime": ends_at_ms}})
    assert plan is not None
    assert plan.ends_at_s is None


@pytest.mark.parametrize(("ends_at_ms", "ends_at_s"), [(253_402_300_799_000, 253_402_300_799), (-(2**63), 0)])
def test_every_end_that_is_one_has_a_date(ends_at_ms: int, ends_at_s: int) -> None:
    plan = read({"components": [{"targetVersion": "2"}], "planInfo": {"planEndTime": ends_at_ms}})
    assert plan is not None
    assert plan.ends_at_s == ends_at_s
    datetime.fromtimestamp(ends_at_s, UTC)  # for whoever shows it


def test_a_plan_without_an_end_has_none() -> None:
    assert plan_of(BLUETOOTH).ends_at_s is None


def test_notes_are_shown_without_control_characters() -> None:
    assert plan_of(BLUETOOTH).components[0].notes == "first[31m\nline"


def test_a_files_name_is_shown_without_control_characters() -> None:
    assert plan_of(NEWER).components[0].files[0].name == "../a.bin"


def test_a_plan_is_for_whom_it_was_asked_unless_it_says_otherwise() -> None:
    plan = plan_of(BLUETOOTH)
    assert (plan.product_key, plan.device_key) == ("p1", "d1")


@pytest.mark.parametrize("place", ["top", "planInfo"])
def test_a_plan_for_another_device_keeps_that_devices_keys(place: str) -> None:
    stated = {"productKey": "p2", "deviceKey": "d2"}
    plan = read({**component_with(), **(stated if place == "top" else {"planInfo": stated})})
    assert plan is not None
    assert (plan.product_key, plan.device_key) == ("p2", "d2")


def test_a_plan_that_names_two_devices_is_for_the_other_one() -> None:
    """The keys beside it are those that were asked for, those inside are not: planning refuses it."""
    inside = {"productKey": "p2", "deviceKey": "d2"}
    plan = read({**component_with(), "productKey": "p1", "deviceKey": "d1", "planInfo": inside})
    assert plan is not None
    assert (plan.product_key, plan.device_key) == ("p2", "d2")


NO_PLAN: list[object] = [
    None,
    {},
    [],
    "",
    {"components": None, "planInfo": None},
    {"components": []},
    {"comVerList": [], "planId": 5},
]


@pytest.mark.parametrize("data", NO_PLAN)
def test_no_plan_is_none(data: object) -> None:
    assert read(data) is None


@pytest.mark.parametrize("data", ["plan", 5, [{"components": []}], {"planInfo": {"planId": 1}}, {"x": 1}, False])
def test_a_shape_nobody_published_is_refused(data: object) -> None:
    with pytest.raises(CloudAnswerError):
        read(data)


@pytest.mark.parametrize(
    ("sign", "digest"),
    [
        (SHA, Digest(Algorithm.SHA256, SHA.lower())),
        ("B10A8DB164E0754105B7A99BE72E3FE5", Digest(Algorithm.MD5, "b10a8db164e0754105b7a99be72e3fe5")),
        ("4A17B156", Digest(Algorithm.CRC32, "4a17b156")),
    ],
)
def test_the_kind_of_a_sign_is_told_by_its_length(sign: str, digest: Digest) -> None:
    assert file_of(fileSign=sign).digests == (digest,)


def test_all_digests_of_the_newer_shape_are_kept() -> None:
    file = plan_of(NEWER).components[0].files[1]
    assert [(d.algorithm, d.hex) for d in file.digests] == [
        (Algorithm.SHA256, SHA.lower()),
        (Algorithm.MD5, "b10a8db164e0754105b7a99be72e3fe5"),
        (Algorithm.CRC32, "4a17b156"),
    ]


def test_a_digest_that_is_stated_twice_counts_once() -> None:
    assert len(file_of(fileSha256=SHA.lower()).digests) == 1


def test_two_digests_that_contradict_are_both_kept() -> None:
    assert len(file_of(fileSha256="0" * 64).digests) == 2  # no content can satisfy both


def test_a_checksum_may_be_a_number() -> None:
    assert file_of(fileSign=None, fileCrc=0x0A17B156).digests == (Digest(Algorithm.CRC32, "0a17b156"),)


@pytest.mark.parametrize("sign", ["", None])
def test_a_missing_digest_is_left_to_planning(sign: object) -> None:
    assert file_of(fileSign=sign).digests == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"fileSign": SHA[:-1]},
        {"fileSign": "g" * 64},
        {"fileSign": " " + SHA[1:]},
        {"fileSign": "x"},
        {"fileSha256": SHA[:32]},
        {"fileMd5": SHA},
        {"fileMd5": "z" * 32},
        {"fileCrc": "123"},
        {"fileCrc": -1},
        {"fileCrc": 2**32},
    ],
)
def test_a_malformed_digest_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(TrustError):
        file_of(**fields)


@pytest.mark.parametrize("size", [-1, 0, 100_000_001, 2**62, None, ""])
def test_a_size_that_cannot_be_is_refused(size: object) -> None:
    with pytest.raises(TrustError, match="size"):
        file_of(fileSize=size)


@pytest.mark.parametrize("size", [1, "100000000"])
def test_a_size_at_the_bounds_is_taken(size: object) -> None:
    assert file_of(fileSize=size).size_bytes == int(str(size))


@pytest.mark.parametrize(
    "url",
    ["", None, "http://oss.example/a", "ftp://oss.example/a", "file:///etc/passwd", "//oss.example/a", "a.bin",
     "http://127.0.0.1@oss.example/a", "https://oss.example/a\r\nb", "javascript:alert(1)"],
)  # fmt: skip
def test_an_address_others_can_change_is_refused(url: object) -> None:
    with pytest.raises(TrustError, match="address"):
        file_of(fileUrl=url)


def test_a_refused_address_is_not_shown() -> None:
    with pytest.raises(TrustError) as refused:
        file_of(fileUrl="http://oss.example/a?Signature=s3cr3t")
    assert "s3cr3t" not in str(refused.value)


def test_a_signed_address_is_not_shown() -> None:
    assert "s3cr3t" not in repr(plan_of(BLUETOOTH))


@pytest.mark.parametrize(
    "fields",
    [{"targetVersion": None}, {"targetVersion": ""}, {"componentType": 2}, {"componentType": -1}, {"dataType": 2}],
)
def test_a_component_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(TrustError, match="M1"):
        read(component_with(**fields))


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FILES = st.fixed_dictionaries(
    {}, optional={"fileUrl": st.just("https://a.example/x") | JSON, "fileSize": JSON, "fileSign": JSON, "fileCrc": JSON}
)
COMPONENTS = st.fixed_dictionaries(
    {"targetVersion": st.just("2") | JSON},
    optional={
        "componentType": JSON,
        "sort": JSON,
        "info": JSON,
        "componentVersions": st.lists(FILES, max_size=2) | JSON,
    },
)


@given(JSON | st.fixed_dictionaries({"components": st.lists(COMPONENTS, max_size=2) | JSON, "planInfo": JSON}))
def test_any_json_is_read_or_named(data: object) -> None:
    try:
        plan = read(data)
    except (CloudAnswerError, TrustError):
        return
    assert plan is None or all(f.size_bytes > 0 for c in plan.components for f in c.files)
