from __future__ import annotations

import pytest

from ble_ota.cloud.contract import Call, Evidence, Point
from ble_ota.cloud.endpoints import ENDPOINTS, REGIONS, Endpoint, base_url, endpoint_of, is_private, override
from ble_ota.errors import SettingsError

PATHS = [
    ("emailPwdLogin", "POST", "/v2/enduser/enduserapi/emailPwdLogin", "query"),
    ("phonePwdLogin", "POST", "/v2/enduser/enduserapi/phonePwdLogin", "query"),
    ("refreshToken", "PUT", "/v2/enduser/enduserapi/refreshToken", "query"),
    ("userLogout", "DELETE", "/v2/enduser/enduserapi/userLogout", "query"),
    ("userInfo", "GET", "/v2/enduser/enduserapi/userInfo", "query"),
    ("userDeviceList", "GET", "/v2/binding/enduserapi/userDeviceList", "query"),
    ("deviceInfo", "GET", "/v2/binding/enduserapi/deviceInfo", "query"),
    ("getDeviceBusinessAttributes", "GET", "/v2/binding/enduserapi/getDeviceBusinessAttributes", "query"),
    ("getFetchPlan", "POST", "/v2/binding/enduserapi/getFetchPlan", "json"),
    ("reportUpgradeStatus", "POST", "/v2/binding/enduserapi/reportUpgradeStatus", "json"),
    ("sendPhoneSmsCode", "POST", "/v2/sms/enduserapi/v2/sendPhoneSmsCode", "query"),
    ("getDeviceUpgradePlan", "GET", "/v2/quecota/enduserapi/v2/getDeviceUpgradePlan", "query"),
    ("userBatchConfirmUpgrade", "POST", "/v2/quecota/enduserapi/v2/userBatchConfirmUpgrade", "json"),
    ("getBatchUpgradeDetails", "POST", "/v2/quecota/enduserapi/v2/getBatchUpgradeDetails", "json"),
    ("setAutoUpgradeSwitch", "PUT", "/v2/quecota/enduserapi/setAutoUpgradeSwitch", "json"),
    ("deleteDeviceUpgrade", "DELETE", "/v2/quecota/enduserapi/deleteDeviceUpgrade", "query"),
    ("getAutoUpgradeSwitch", "GET", "/v2/quecota/enduserapi/getAutoUpgradeSwitch", "query"),
]
ONCE = {"emailPwdLogin", "phonePwdLogin", "refreshToken", "userLogout", "sendPhoneSmsCode"}
ONCE |= {"reportUpgradeStatus", "userBatchConfirmUpgrade"}
KEYS = {"product_key": "p1", "device_key": "d1"}


@pytest.mark.parametrize(("name", "method", "path", "parameters"), PATHS)
def test_an_endpoint_is_spelled_as_published(name: str, method: str, path: str, parameters: str) -> None:
    endpoint = ENDPOINTS[name]
    assert (endpoint.name, endpoint.method, endpoint.path, endpoint.parameters) == (name, method, path, parameters)


def test_every_endpoint_is_in_the_published_list() -> None:
    assert set(ENDPOINTS) == {row[0] for row in PATHS}


def test_only_what_does_no_more_the_second_time_may_be_repeated() -> None:
    assert {name for name, endpoint in ENDPOINTS.items() if not endpoint.repeatable} == ONCE


def test_what_rests_on_inference_is_marked() -> None:
    inferred = {name for name, endpoint in ENDPOINTS.items() if endpoint.evidence == "inferred"}
    mqtt = {name for name, _, path, _ in PATHS if path.startswith("/v2/quecota/")}
    assert inferred == {"getFetchPlan", "reportUpgradeStatus"} | mqtt


def test_what_rests_on_documents_alone_is_marked() -> None:
    documented = {name for name, endpoint in ENDPOINTS.items() if endpoint.evidence == "documented"}
    assert documented >= ONCE - {"reportUpgradeStatus", "userBatchConfirmUpgrade"} | {"deviceInfo"}


def test_what_is_inferred_says_which_part() -> None:
    assert all(endpoint.note for endpoint in ENDPOINTS.values() if endpoint.evidence != "documented")


def resting_on(*levels: Evidence) -> Endpoint:
    points = tuple(Point(f"p{at}", level, f"why {at}") for at, level in enumerate(levels))
    return endpoint_of(
        Call("call", "GET", "/a", "query", {}, lists=False, wrapped_in="", repeatable=True, points=points)
    )


def test_the_weakest_part_of_a_request_counts() -> None:
    assert resting_on("third-party", "inferred", "documented").evidence == "inferred"


def test_a_request_without_a_weak_part_is_documented() -> None:
    assert resting_on("documented").evidence == "documented"


def test_the_note_says_what_is_not_documented_and_nothing_else() -> None:
    assert resting_on("third-party", "documented", "inferred").note == "why 0; why 2"


def test_values_get_the_wires_names() -> None:
    assert ENDPOINTS["deviceInfo"].spell({"product_key": "p1", "device_key": "d1"}) == {"pk": "p1", "dk": "d1"}


def test_an_unknown_value_is_not_sent() -> None:
    assert ENDPOINTS["getFetchPlan"].spell({"rssi_dbm": None, "battery_percent": 0}) == {"batteryLevelLimit": 0}


def test_a_field_without_a_name_is_not_sent() -> None:
    table = override(ENDPOINTS, {"getFetchPlan": {"fields": {"sign_type": ""}}})
    assert table["getFetchPlan"].spell({"sign_type": "SHA256", "product_key": "p1"}) == {"productKey": "p1"}


def test_a_word_that_has_no_name_yet_is_not_sent() -> None:
    spelled = ENDPOINTS["setAutoUpgradeSwitch"].spell({**KEYS, "switch": 1})
    assert spelled == {"productKey": "p1", "deviceKey": "d1"}


def test_a_word_that_has_no_name_yet_can_be_given_one() -> None:
    table = override(ENDPOINTS, {"setAutoUpgradeSwitch": {"fields": {"switch": "autoUpgrade"}}})
    assert table["setAutoUpgradeSwitch"].spell({"switch": 1}) == {"autoUpgrade": 1}


def test_only_the_two_calls_about_many_devices_take_a_list() -> None:
    lists = {name for name, endpoint in ENDPOINTS.items() if endpoint.lists}
    assert lists == {"userBatchConfirmUpgrade", "getBatchUpgradeDetails"}


def test_the_list_of_a_call_about_many_devices_is_bare() -> None:
    spelled = ENDPOINTS["getBatchUpgradeDetails"].spell_all([{**KEYS, "plan_id": 4711}])
    assert spelled == [{"productKey": "p1", "deviceKey": "d1", "planId": 4711}]


def test_what_is_unknown_of_one_device_is_not_sent() -> None:
    spelled = ENDPOINTS["userBatchConfirmUpgrade"].spell_all(
        [{"action": 2, "start_ms": 1}, {"action": 1, "end_ms": None}]
    )
    assert spelled == [{"operType": 2, "appointStartTime": 1}, {"operType": 1}]


def test_a_list_can_be_wrapped() -> None:
    table = override(ENDPOINTS, {"getBatchUpgradeDetails": {"wrapped_in": "deviceList"}})
    assert table["getBatchUpgradeDetails"].spell_all([{"plan_id": 1}]) == {"deviceList": [{"planId": 1}]}


@pytest.mark.parametrize("place", ["query", "form"])
def test_a_list_in_a_query_or_a_form_needs_a_name(place: str) -> None:
    with pytest.raises(SettingsError, match=rf"getBatchUpgradeDetails.*{place}.*wrapped_in"):
        override(ENDPOINTS, {"getBatchUpgradeDetails": {"parameters": place}})


@pytest.mark.parametrize("change", [("parameters", "wrapped_in"), ("wrapped_in", "parameters")])
def test_a_list_in_a_form_may_have_its_name_said_before_or_after(change: tuple[str, str]) -> None:
    said = {"parameters": "form", "wrapped_in": "list"}
    changed = override(ENDPOINTS, {"getBatchUpgradeDetails": {key: said[key] for key in change}})
    assert changed["getBatchUpgradeDetails"].wrapped_in == "list"


def test_a_call_about_one_device_has_nothing_to_wrap() -> None:
    with pytest.raises(SettingsError, match=r"getFetchPlan.*wrapped_in"):
        override(ENDPOINTS, {"getFetchPlan": {"wrapped_in": "list"}})


@pytest.mark.parametrize("name", ["a b", "a" * 65, 5])
def test_a_wrapping_that_cannot_be_is_refused(name: object) -> None:
    with pytest.raises(SettingsError, match=r"userBatchConfirmUpgrade.*wrapped_in"):
        override(ENDPOINTS, {"userBatchConfirmUpgrade": {"wrapped_in": name}})


def test_path_method_and_place_can_be_corrected() -> None:
    change = {"path": "/v2/quecota/enduserapi/getFetchPlan", "method": "get", "parameters": "form"}
    changed = override(ENDPOINTS, {"getFetchPlan": change})["getFetchPlan"]
    assert (changed.path, changed.method, changed.parameters) == (change["path"], "GET", "form")


def test_a_correction_leaves_the_other_endpoints_alone() -> None:
    table = override(ENDPOINTS, {"getFetchPlan": {"method": "PUT"}})
    assert {name for name in table if table[name] != ENDPOINTS[name]} == {"getFetchPlan"}


def test_a_correction_does_not_change_the_table_itself() -> None:
    override(ENDPOINTS, {"getFetchPlan": {"method": "PUT"}})
    assert ENDPOINTS["getFetchPlan"].method == "POST"


def test_an_unknown_endpoint_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no endpoint `getPlan`; there are .*getFetchPlan"):
        override(ENDPOINTS, {"getPlan": {"method": "GET"}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "FETCH"),
        ("method", 5),
        ("path", "getFetchPlan"),
        ("path", "//evil.example/x"),
        ("path", "/v2/../x"),
        ("path", "/v2?x=1"),
        ("path", "@evil.example/x"),
        ("path", "https://evil.example/x"),
        ("parameters", "xml"),
        ("fields", {"no_such_word": "x"}),
        ("fields", {"sign_type": "a b"}),
        ("fields", {"sign_type": 5}),
        ("fields", "signType"),
        ("evidence", "documented"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(key: str, value: object) -> None:
    with pytest.raises(SettingsError, match=rf"getFetchPlan.*{key}"):
        override(ENDPOINTS, {"getFetchPlan": {key: value}})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("cn", "https://iot-api.quectelcn.com"),
        ("EU", "https://iot-api.acceleronix.io"),
        ("us", "https://iot-api.landecia.com"),
        ("https://own.example/", "https://own.example"),
        ("https://own.example:8443/iot/", "https://own.example:8443/iot"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("virtual:/tmp/A World", "virtual:/tmp/A World"),
    ],
)
def test_a_place_becomes_its_url(text: str, url: str) -> None:
    assert base_url(text) == url


def test_the_american_region_is_marked_as_not_the_vendors_word() -> None:
    assert {name: region.evidence for name, region in REGIONS.items()} == {
        "cn": "documented",
        "eu": "documented",
        "us": "third-party",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "asia",
        "http://iot-api.quectelcn.com",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "https://user:word@own.example",
        "https://own.example/?a=1",
        "https://own.example/#a",
        "https://own.example\\@evil.example",
        "https://own.exa\tmple",
        "https://own.example:99999999",
        "https://",
        "ftp://own.example",
        "file:///etc/passwd",
        "virtual:",
        "virtual",
    ],
)
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        base_url(text)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(SettingsError) as refused:
        base_url("https://user:word@own.example")
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://oss.example/a?Signature=x", "http://127.0.0.5/a", "https://oss.example/固件.bin"]
)
def test_a_private_address_is_told(url: str) -> None:
    assert is_private(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/a.bin",
        "http://oss.example/a",
        "https:///a",
        "https://oss.example/a\nb",
        "https://oss.example\\@evil.example/a",
        "https://oss.example/a b",
    ],
)
def test_an_open_address_is_told(url: str) -> None:
    assert not is_private(url)
