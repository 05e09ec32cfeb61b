from __future__ import annotations

import pytest

from ble_ota.cloud.endpoints import ENDPOINTS, REGIONS, base_url, is_private, override
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
]


@pytest.mark.parametrize(("name", "method", "path", "parameters"), PATHS)
def test_an_endpoint_is_spelled_as_published(name: str, method: str, path: str, parameters: str) -> None:
    endpoint = ENDPOINTS[name]
    assert (endpoint.name, endpoint.method, endpoint.path, endpoint.parameters) == (name, method, path, parameters)


def test_every_endpoint_is_in_the_published_list() -> None:
    assert set(ENDPOINTS) == {row[0] for row in PATHS}


def test_only_queries_may_be_repeated() -> None:
    repeatable = {name for name, endpoint in ENDPOINTS.items() if endpoint.repeatable}
    assert repeatable == {name for name, method, *_ in PATHS if method == "GET"} | {"getFetchPlan"}


def test_what_rests_on_inference_is_marked() -> None:
    inferred = {name for name, endpoint in ENDPOINTS.items() if endpoint.evidence == "inferred"}
    assert inferred == {"getFetchPlan", "reportUpgradeStatus"}


def test_what_is_inferred_says_which_part() -> None:
    assert all(endpoint.note for endpoint in ENDPOINTS.values() if endpoint.evidence != "documented")


def test_values_get_the_wires_names() -> None:
    assert ENDPOINTS["deviceInfo"].spell({"product_key": "p1", "device_key": "d1"}) == {"pk": "p1", "dk": "d1"}


def test_an_unknown_value_is_not_sent() -> None:
    assert ENDPOINTS["getFetchPlan"].spell({"rssi_dbm": None, "battery_percent": 0}) == {"batteryLevelLimit": 0}


def test_a_field_without_a_name_is_not_sent() -> None:
    table = override(ENDPOINTS, {"getFetchPlan": {"fields": {"sign_type": ""}}})
    assert table["getFetchPlan"].spell({"sign_type": "SHA256", "product_key": "p1"}) == {"productKey": "p1"}


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
