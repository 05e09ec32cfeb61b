from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import TrustError
from ble_ota.model import (
    IMAGE_MAX_BYTES,
    Algorithm,
    Blocked,
    Component,
    ComponentKind,
    Conditions,
    DeviceInfo,
    Digest,
    FetchPlan,
    Plan,
    PlannedFile,
    UpToDate,
)
from ble_ota.planning import MEGABYTE, Order, Policy, decide, order
from ble_ota.settings import isolated

SHA256, MD5, CRC32 = Digest(Algorithm.SHA256, "aa"), Digest(Algorithm.MD5, "bb"), Digest(Algorithm.CRC32, "cc")
FILE = PlannedFile("https://x.invalid/f", 100, (SHA256,))
FIRMWARE = Component("fw", ComponentKind.MODULE, "1.1.0", "1.0.0", (FILE,))
MCU = Component("mcu", ComponentKind.MCU, "2.1", "2.0", (FILE,))
DEVICE = DeviceInfo("C0:DE:B0:E0:00:01", "QUEC_BLE_0001", "pk", "dk", {"fw": "1.0.0", "mcu": "2.0"})
FETCHED = FetchPlan("7", "pk", "dk", (FIRMWARE,))
STRICT = Policy(allow_downgrade=False, strict_conditions=False, accept_md5=False, attended=True, reinstall=False)
NOW_S = 1000.0
DOWN: dict[str, Any] = {"target_version": "0.9.0"}
ODD: dict[str, Any] = {"target_version": "2.0-beta"}
OPPOSITE = {Order.LOWER: Order.HIGHER, Order.HIGHER: Order.LOWER, Order.SAME: Order.SAME, Order.UNKNOWN: Order.UNKNOWN}
VERSIONS = st.text("01239.-v", max_size=6)


def decided(device: DeviceInfo = DEVICE, policy: Policy = STRICT, **component: Any) -> Plan | UpToDate | Blocked:
    fetched = replace(FETCHED, components=(replace(FIRMWARE, **component),))
    return decide(device, fetched, policy, now_s=NOW_S)


def on_condition(conditions: Conditions, policy: Policy = STRICT, **device: Any) -> Plan | UpToDate | Blocked:
    return decide(replace(DEVICE, **device), replace(FETCHED, conditions=conditions), policy, now_s=NOW_S)


def with_value(condition: str, value: int) -> dict[str, Any]:
    return {condition: value}


def why(decision: Plan | UpToDate | Blocked) -> str:
    assert isinstance(decision, Blocked)
    assert decision.hint
    return decision.why


def plan(decision: Plan | UpToDate | Blocked) -> Plan:
    assert isinstance(decision, Plan), decision
    return decision


@pytest.mark.parametrize(
    ("version", "other", "expected"),
    [
        ("1.0.0", "1.0.0", Order.SAME),
        ("1.0.1", "1.0.0", Order.HIGHER),
        ("1.9", "1.10", Order.LOWER),
        ("2.0.9", "10.0.0", Order.LOWER),
        ("BC95R02A03", "BC95R02A04", Order.LOWER),
        ("1.0-rc2", "1.0-rc1", Order.HIGHER),
        ("1.0", "1.0.0", Order.UNKNOWN),
        ("1.0-rc1", "1.0", Order.UNKNOWN),
        ("v1.1", "1.0", Order.UNKNOWN),
        ("1.1", "1.01", Order.UNKNOWN),
        ("a", "b", Order.UNKNOWN),
        ("", "", Order.SAME),
        ("0", "00", Order.UNKNOWN),
        ("1.٢", "1.1", Order.UNKNOWN),
        ("1" * 5000, "2" * 5000, Order.LOWER),
    ],
)
def test_versions_stand_to_each_other(version: str, other: str, expected: Order) -> None:
    assert order(version, other) is expected


@given(VERSIONS, VERSIONS)
def test_order_is_the_opposite_the_other_way_round(version: str, other: str) -> None:
    assert order(other, version) is OPPOSITE[order(version, other)]


@given(VERSIONS, VERSIONS)
def test_only_the_same_text_is_the_same_version(version: str, other: str) -> None:
    assert (order(version, other) is Order.SAME) == (version == other)


@given(st.tuples(*[st.integers(0, 30)] * 3), st.tuples(*[st.integers(0, 30)] * 3))
def test_plain_numbers_are_ordered_as_numbers(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    first, second = (".".join(map(str, numbers)) for numbers in (one, two))
    assert (order(first, second) is Order.LOWER) == (one < two)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_texts_can_be_compared(version: str, other: str) -> None:
    assert order(version, other) in Order


def test_a_newer_version_is_planned() -> None:
    assert decided() == Plan(DEVICE, FETCHED, (FIRMWARE,))


def test_the_running_version_is_up_to_date() -> None:
    assert isinstance(decided(target_version="1.0.0"), UpToDate)


def test_a_plan_without_components_is_up_to_date() -> None:
    assert isinstance(decide(DEVICE, replace(FETCHED, components=()), STRICT, now_s=NOW_S), UpToDate)


def test_the_running_version_is_installed_again_when_asked() -> None:
    found = plan(decided(policy=replace(STRICT, reinstall=True), target_version="1.0.0"))
    assert (found.components[0].target_version, found.doubts) == ("1.0.0", ())


def test_only_components_that_differ_are_planned() -> None:
    fetched = replace(FETCHED, components=(FIRMWARE, replace(MCU, target_version="2.0")))
    assert plan(decide(DEVICE, fetched, STRICT, now_s=NOW_S)).components == (FIRMWARE,)


def test_components_keep_the_order_of_the_plan() -> None:
    fetched = replace(FETCHED, components=(MCU, FIRMWARE))
    assert plan(decide(DEVICE, fetched, STRICT, now_s=NOW_S)).components == (MCU, FIRMWARE)


@pytest.mark.parametrize("keys", [{"product_key": "other"}, {"device_key": "other"}])
def test_a_plan_of_another_device_is_not_trusted(keys: dict[str, Any]) -> None:
    with pytest.raises(TrustError, match="the plan is for"):
        decide(replace(DEVICE, **keys), FETCHED, STRICT, now_s=NOW_S)


def test_a_component_named_twice_is_not_trusted() -> None:
    with pytest.raises(TrustError, match="twice"):
        decide(DEVICE, replace(FETCHED, components=(FIRMWARE, FIRMWARE)), STRICT, now_s=NOW_S)


@pytest.mark.parametrize("lacks", [{"target_version": ""}, {"files": ()}])
def test_a_component_without_target_or_file_is_not_trusted(lacks: dict[str, Any]) -> None:
    with pytest.raises(TrustError, match="no target version, or no file"):
        decided(**lacks)


@pytest.mark.parametrize("size_bytes", [-1, 0, IMAGE_MAX_BYTES + 1])
def test_a_size_out_of_range_is_not_trusted(size_bytes: int) -> None:
    with pytest.raises(TrustError, match=f"has {size_bytes} bytes"):
        decided(files=(FILE, replace(FILE, size_bytes=size_bytes)))


def test_the_largest_file_is_trusted() -> None:
    plan(decided(files=(replace(FILE, size_bytes=IMAGE_MAX_BYTES),)))


@pytest.mark.parametrize("digests", [(), (MD5,), (CRC32,), (MD5, CRC32)])
def test_a_file_without_sha256_is_not_trusted(digests: tuple[Digest, ...]) -> None:
    with pytest.raises(TrustError, match="no SHA-256"):
        decided(files=(replace(FILE, digests=digests),))


@pytest.mark.parametrize(("digests", "hinted"), [((MD5,), True), ((CRC32,), False)])
def test_the_setting_is_hinted_at_only_where_it_would_do(digests: tuple[Digest, ...], hinted: bool) -> None:
    with pytest.raises(TrustError) as refused:
        decided(files=(replace(FILE, digests=digests),))
    assert ("accept_md5" in refused.value.hint) is hinted


def test_md5_is_taken_where_the_setting_says_so() -> None:
    plan(decided(policy=replace(STRICT, accept_md5=True), files=(replace(FILE, digests=(MD5,)),)))


def test_a_crc_is_never_enough() -> None:
    with pytest.raises(TrustError, match="crc32"):
        decided(policy=replace(STRICT, accept_md5=True), files=(replace(FILE, digests=(CRC32,)),))


def test_a_plan_is_not_trusted_before_it_is_up_to_date() -> None:
    with pytest.raises(TrustError):
        decided(target_version="1.0.0", files=(replace(FILE, digests=()),))


@pytest.mark.parametrize(("ends_at_s", "over"), [(None, False), (NOW_S, False), (NOW_S - 1, True)])
def test_a_plan_ends(ends_at_s: float | None, over: bool) -> None:
    found = decide(DEVICE, replace(FETCHED, ends_at_s=ends_at_s), STRICT, now_s=NOW_S)
    assert isinstance(found, Blocked) is over


@pytest.mark.parametrize("versions", [{"fw": "0.9.0"}, {}])
def test_a_delta_from_another_version_is_blocked(versions: dict[str, str]) -> None:
    assert "is a delta from 1.0.0" in why(decided(replace(DEVICE, versions=versions), delta=True))


def test_a_delta_from_the_running_version_is_planned() -> None:
    plan(decided(delta=True))


def test_a_downgrade_is_blocked() -> None:
    assert "would go down from 1.0.0 to 0.9.0" in why(decided(**DOWN))


def test_an_allowed_downgrade_is_said_loudly() -> None:
    found = plan(decided(policy=replace(STRICT, allow_downgrade=True), **DOWN))
    assert found.doubts == ("component fw goes DOWN from 1.0.0 to 0.9.0",)


def test_an_unknown_order_is_a_doubt_for_a_person() -> None:
    assert plan(decided(**ODD)).doubts == ("whether 2.0-beta is newer than 1.0.0 on component fw is unknown",)


def test_an_unknown_order_is_blocked_without_a_person() -> None:
    assert "is unknown" in why(decided(policy=replace(STRICT, attended=False), **ODD))


def test_an_unknown_order_is_planned_where_downgrades_are_allowed() -> None:
    assert plan(decided(policy=replace(STRICT, attended=False, allow_downgrade=True), **ODD)).doubts


def test_an_unknown_running_version_is_a_doubt() -> None:
    assert "newer than what runs" in plan(decided(replace(DEVICE, versions={}))).doubts[0]


def test_a_newer_version_needs_no_person() -> None:
    plan(decided(policy=replace(STRICT, attended=False)))


def test_a_plan_made_for_another_version_is_noted() -> None:
    found = plan(decided(source_version="0.8.0"))
    assert found.doubts == ("the plan was made for 0.8.0 on component fw; the device runs 1.0.0",)


@pytest.mark.parametrize(("source", "versions"), [("", {"fw": "1.0.0"}), ("1.0.0", {"fw": "1.0.0"})])
def test_nothing_is_noted_where_the_plan_fits(source: str, versions: dict[str, str]) -> None:
    assert plan(decided(replace(DEVICE, versions=versions), source_version=source)).doubts == ()


CONDITIONS = pytest.mark.parametrize(
    ("condition", "needed", "enough", "short"),
    [("battery_percent", 30, 30, 29), ("rssi_dbm", -70, -70, -71), ("free_bytes", 4096, 4096, 4095)],
)


@pytest.mark.parametrize(("most", "allowed"), [(200, True), (199, False)])
def test_a_plan_is_refused_over_the_total_that_is_allowed(most: int, allowed: bool) -> None:
    fetched = replace(FETCHED, components=(FIRMWARE, MCU))
    decision = decide(DEVICE, fetched, replace(STRICT, plan_max_bytes=most), now_s=NOW_S)
    assert isinstance(decision, Plan if allowed else Blocked)


def test_the_refusal_names_the_setting_and_a_value_that_is_enough() -> None:
    large = replace(FILE, size_bytes=IMAGE_MAX_BYTES)
    decision = decided(files=(large,) * 5 + (replace(FILE, size_bytes=12_000_001),))
    assert "512000001 bytes in all, over the limit of 512000000" in why(decision)
    assert isinstance(decision, Blocked)
    assert "plan_max_mb = 513" in decision.hint
    assert isinstance(decided(policy=replace(STRICT, plan_max_bytes=513 * MEGABYTE), files=(large,) * 5), Plan)


def test_the_limit_is_that_of_the_settings() -> None:
    assert STRICT.plan_max_bytes == isolated().plan_max_mb * MEGABYTE


def test_what_is_installed_already_counts_to_the_total() -> None:
    fetched = replace(FETCHED, components=(FIRMWARE, MCU))
    device = replace(DEVICE, versions={"fw": "1.1.0", "mcu": "2.0"})
    assert isinstance(decide(device, fetched, replace(STRICT, plan_max_bytes=199), now_s=NOW_S), Blocked)


@pytest.mark.parametrize(("free", "fits"), [(100, True), (99, False), (None, True)])
def test_an_image_larger_than_the_device_has_room_for_blocks(free: int | None, fits: bool) -> None:
    decision = decided(replace(DEVICE, free_bytes=free))
    assert isinstance(decision, Plan) if fits else "an image has 100 bytes" in why(decision)


@CONDITIONS
def test_a_condition_that_is_met_does_not_block(condition: str, needed: int, enough: int, short: int) -> None:
    assert plan(on_condition(Conditions(**{condition: needed}), **with_value(condition, enough))).doubts == ()


@CONDITIONS
def test_a_condition_that_is_not_met_blocks(condition: str, needed: int, enough: int, short: int) -> None:
    assert str(needed) in why(on_condition(Conditions(**{condition: needed}), **with_value(condition, short)))


@CONDITIONS
def test_an_unknown_value_is_noted(condition: str, needed: int, enough: int, short: int) -> None:
    assert "the device's is not known" in plan(on_condition(Conditions(**{condition: needed}))).doubts[0]


@CONDITIONS
def test_an_unknown_value_blocks_where_conditions_are_strict(
    condition: str, needed: int, enough: int, short: int
) -> None:
    policy = replace(STRICT, strict_conditions=True)
    assert "is not known" in why(on_condition(Conditions(**{condition: needed}), policy))


def test_an_unknown_value_nobody_asks_for_does_not_block() -> None:
    plan(on_condition(Conditions(), replace(STRICT, strict_conditions=True)))


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        pytest.param([(100,), (100,)], True, id="components go one after another"),
        pytest.param([(50, 50)], True, id="files of one component that fit together"),
        pytest.param([(60, 60)], False, id="files of one component that do not"),
        pytest.param([(10,), (60, 60)], False, id="the second component does not"),
    ],
)
def test_the_files_of_one_component_must_fit_into_the_device_together(sizes: list[tuple[int, ...]], fits: bool) -> None:
    files = [tuple(replace(FILE, size_bytes=size) for size in some) for some in sizes]
    components = tuple(replace(c, files=some) for c, some in zip((FIRMWARE, MCU), files, strict=False))
    found = decide(replace(DEVICE, free_bytes=100), replace(FETCHED, components=components), STRICT, now_s=NOW_S)
    assert isinstance(found, Plan if fits else Blocked)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"target_version": "1.9"}, "component mcu would go down from 2.0 to 1.9"),
        ({"delta": True, "source_version": "1.5"}, "component mcu is a delta from 1.5"),
    ],
)
def test_what_forbids_the_second_component_forbids_the_plan(second: dict[str, Any], reason: str) -> None:
    fetched = replace(FETCHED, components=(FIRMWARE, replace(MCU, **second)))
    assert reason in why(decide(DEVICE, fetched, STRICT, now_s=NOW_S))


@pytest.mark.parametrize("allow_downgrade", [False, True])
def test_a_doubt_about_the_second_component_is_one_about_the_plan(allow_downgrade: bool) -> None:
    fetched = replace(FETCHED, components=(FIRMWARE, replace(MCU, target_version="b")))
    policy = replace(STRICT, attended=False, allow_downgrade=allow_downgrade)
    assert isinstance(decide(DEVICE, fetched, policy, now_s=NOW_S), Plan) is allow_downgrade


def test_a_version_that_no_device_could_prove_is_not_trusted() -> None:
    assert isinstance(decided(target_version="1.1.0" + "0" * 59), Plan)
    with pytest.raises(TrustError, match="65 characters"):
        decided(target_version="1.1.0" + "0" * 60)


def test_from_an_absurd_version_there_is_a_way_back() -> None:
    """A plan may jump as high as it likes; what comes after it is a downgrade then, and can be allowed."""
    absurd = "9" * 40 + ".0.0"
    assert plan(decided(target_version=absurd)).doubts == ()
    fooled = replace(DEVICE, versions={"fw": absurd})
    assert "--allow-downgrade" in blocked(decided(fooled)).hint
    assert "DOWN" in plan(decided(fooled, replace(STRICT, allow_downgrade=True))).doubts[0]


def blocked(decision: Plan | UpToDate | Blocked) -> Blocked:
    assert isinstance(decision, Blocked)
    return decision


# ------------------------------------------------------------------ whose word it is


def test_the_developer_centers_word_is_no_reason_to_do_nothing() -> None:
    """It knows what was reported last; the device may have lost that since."""
    filled = replace(DEVICE, versions={"fw": "2.0.0"}, filled_in=frozenset({"fw"}))
    assert any(
        "by the Developer Center's word it is 2.0.0" in d for d in plan(decided(filled, target_version="2.0.0")).doubts
    )
    assert isinstance(decided(replace(filled, filled_in=frozenset()), target_version="2.0.0"), UpToDate)


def test_nothing_to_do_by_the_word_of_a_peer_without_the_key_says_so() -> None:
    decision = decided(replace(DEVICE, key_shown=False), target_version="1.0.0")
    assert isinstance(decision, UpToDate)
    assert "has not shown the device's key" in decision.why
