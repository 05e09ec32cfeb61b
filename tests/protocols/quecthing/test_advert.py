from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ble_ota.link import Advert, uuid16
from ble_ota.protocols.driver import Sighting
from ble_ota.protocols.quecthing.advert import COMPANY, recognise, same

PRODUCT = "p11vWQ"
NEWER = bytes.fromhex("45430001" + "06" + PRODUCT.encode().hex() + "06" + "b0e0c0de0001" + "00" + "1004")
LOWER = NEWER[:-2] + bytes.fromhex("0004")


def seen(data: bytes = b"", *, company: int = COMPANY, name: str = "", address: str = "C0:DE:B0:E0:00:01") -> Advert:
    return Advert(address, name, -50, (), {company: data} if data else {})


@pytest.mark.parametrize(
    ("data", "device_key"),
    [
        pytest.param(NEWER, "B0E0C0DE0001", id="upper case"),
        pytest.param(LOWER, "b0e0c0de0001", id="lower case"),
        pytest.param(NEWER[:-2] + bytes.fromhex("1104"), "B0E0C0DE000", id="odd length"),
        pytest.param(NEWER + b"more", "B0E0C0DE0001", id="with something behind it"),
    ],
)
def test_the_newer_format_tells_both_keys(data: bytes, device_key: str) -> None:
    assert recognise(seen(data)) == Sighting("quecthing", PRODUCT, device_key)


@pytest.mark.parametrize("size", range(len(NEWER)))
def test_a_cut_advert_tells_no_key(size: int) -> None:
    assert recognise(seen(NEWER[:size])) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"XX" + NEWER[2:], id="another lead"),
        pytest.param(NEWER.replace(b"p11", b"p\n1"), id="a control character in the product key"),
        pytest.param(NEWER.replace(b"p11", b"p\xff1"), id="a product key that is not ASCII"),
        pytest.param(bytes.fromhex("45430001" + "00" + "06" + "b0e0c0de0001" + "001004"), id="no product key"),
        pytest.param(bytes.fromhex("45430001" + "06703131765751" + "00" + "001004"), id="no device key"),
    ],
)
def test_a_newer_advert_that_makes_no_sense_is_passed_over(data: bytes) -> None:
    assert recognise(seen(data)) is None


def test_the_newer_format_under_another_company_is_not_ours() -> None:
    assert recognise(seen(NEWER, company=0x004C)) is None


def test_the_name_alone_is_enough() -> None:
    assert recognise(seen(name="QUEC_BLE_0001")) == Sighting("quecthing")


def test_the_name_counts_where_the_newer_format_is_cut() -> None:
    assert recognise(seen(NEWER[:9], name="QUEC_BLE_0001")) == Sighting("quecthing")


def test_the_2022_format_tells_the_product_key() -> None:
    found = recognise(seen(bytes.fromhex("B0E00001") + PRODUCT.encode(), company=0xDEC0, name="QUEC_BLE_0001"))
    assert found == Sighting("quecthing", PRODUCT)


@pytest.mark.parametrize(
    "data",
    [pytest.param("b0e00001", id="bound"), pytest.param("b0e00001" + "7031310a5751", id="a line feed in the key")],
)
def test_the_2022_format_without_a_key_tells_none(data: str) -> None:
    assert recognise(seen(bytes.fromhex(data), company=0xDEC0, name="QUEC_BLE_0001")) == Sighting("quecthing")


def test_device_information_alone_proves_nothing() -> None:
    assert recognise(Advert("C0:DE:B0:E0:00:01", "Thermometer", -50, (uuid16(0x180A),))) is None


@given(
    st.text(max_size=20) | st.text(max_size=4).map(lambda end: "QUEC_BLE_" + end),
    st.dictionaries(
        st.just(COMPANY) | st.integers(0, 0xFFFF),
        st.binary(max_size=40) | st.binary(max_size=40).map(b"EC\0\1".__add__),
    ),
)
@example("", {COMPANY: NEWER})
def test_whatever_is_advertised_is_read_as_plain_keys(name: str, manufacturer: dict[int, bytes]) -> None:
    found = recognise(Advert("C0:DE:B0:E0:00:01", name, None, (), manufacturer))
    keys = [found.product_key, found.device_key] if found else []
    assert all(key == "" or (key.isascii() and key.isalnum() and len(key) <= 32) for key in keys)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"data": NEWER}, {"data": NEWER, "address": "other"}, True, id="its keys at another address"),
        pytest.param({"data": NEWER}, {"data": LOWER}, False, id="other keys at its address"),
        pytest.param({"data": NEWER}, {"data": NEWER.replace(b"p11", b"p12")}, False, id="another product"),
        pytest.param({"data": NEWER}, {"name": "QUEC_BLE_0001"}, True, id="its address and no keys"),
        pytest.param({"name": "QUEC_BLE_0001"}, {"data": NEWER}, True, id="its address and keys only now"),
        pytest.param({"name": "QUEC_BLE_0001"}, {"name": "QUEC_BLE_0001", "address": "other"}, False, id="name alone"),
        pytest.param({"name": "QUEC_BLE_0001"}, {"name": "boot"}, True, id="its address under another name"),
    ],
)
def test_a_device_is_known_again_by(before: dict[str, Any], after: dict[str, Any], expected: bool) -> None:
    assert same(seen(**before), seen(**after)) is expected
