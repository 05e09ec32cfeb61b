from __future__ import annotations

from typing import Any

import pytest

from ble_ota.cloud import wire
from ble_ota.errors import CloudAnswerError

TOKENS: dict[str, Any] = {
    "accessToken": {"token": "Bearer a.b.c", "expirationTime": 1744787786},
    "refreshToken": {"token": "Bearer d.e.f", "expirationTime": 1747372586},
}


def tokens(**access: object) -> wire.WireTokens:
    changed = {**TOKENS, "accessToken": {**TOKENS["accessToken"], **access}}
    return wire.read(wire.WireTokens, changed, doing="logging in")


def device(**fields: object) -> wire.WireDevice:
    return wire.read(wire.WireDevice, {"productKey": "p1", "deviceKey": "d1", **fields}, doing="trying")


def test_tokens_are_taken_verbatim() -> None:
    assert tokens().tokens().access.reveal() == "Bearer a.b.c"


def test_the_two_tokens_are_not_mixed_up() -> None:
    read = tokens().tokens()
    assert (read.access_expires_s, read.refresh_expires_s) == (1744787786, 1747372586)
    assert read.refresh.reveal() == "Bearer d.e.f"


def test_a_number_may_come_as_text() -> None:
    assert tokens(expirationTime="1744787786").access.expires_s == 1744787786


def test_unknown_fields_are_ignored() -> None:
    assert tokens(brandNew={"x": 1}).access.token == "Bearer a.b.c"


@pytest.mark.parametrize("token", ["", None, "a\r\nX-Evil: 1", " a", "a ", "größe", "x" * 4097, ["a"]])
def test_a_token_that_fits_no_header_is_refused(token: object) -> None:
    with pytest.raises(CloudAnswerError, match=r"accessToken\.token"):
        tokens(token=token)


@pytest.mark.parametrize("data", [None, [], "x", 5, {}, {"accessToken": "x"}])
def test_data_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(CloudAnswerError, match="logging in: the answer is not as documented"):
        wire.read(wire.WireTokens, data, doing="logging in")


def test_what_is_refused_is_not_quoted() -> None:
    with pytest.raises(CloudAnswerError) as refused:
        tokens(token="Bearer s3cr3t\n", expirationTime="s3cr3t")
    assert "s3cr3t" not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("number", ["1e400", 2**63, -(2**63) - 1, 1.5, "x", float("inf")])
def test_a_number_without_bounds_is_refused(number: object) -> None:
    with pytest.raises(CloudAnswerError, match="expirationTime"):
        tokens(expirationTime=number)


def test_a_user_is_read_with_the_vendors_spelling() -> None:
    data = {"uid": "U1", "nikeName": "Ann\x1b", "email": "a@b.example", "phone": None, "headimg": "x"}
    user = wire.read(wire.WireUser, data, doing="trying").user()
    assert (user.id, user.name, user.email, user.phone) == ("U1", "Ann", "a@b.example", "")


def test_a_device_is_read() -> None:
    read = device(deviceName="Lamp\n\u202e", onlineStatus="1", capabilitiesBitmask=4).device()
    assert (read.product_key, read.device_key, read.name, read.online, read.ble_only) == (
        "p1",
        "d1",
        "Lamp",
        True,
        True,
    )


def test_a_device_may_say_no_more_than_its_keys() -> None:
    read = device().device()
    assert (read.name, read.secret, read.secret_kind, read.online, read.ble_only) == ("", None, "", None, None)


OPTIONAL = "deviceName", "bindingCode", "authKey", "networkType", "capabilitiesBitmask", "onlineStatus", "planId"


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("name", OPTIONAL)
def test_nothing_is_the_same_as_a_field_that_is_not_there(name: str, nothing: object) -> None:
    assert device(**{name: nothing}).device() == device().device()


@pytest.mark.parametrize(("said", "plan_id"), [("4711", "4711"), (4711, "4711"), ("0", ""), (0, "")])
def test_a_plan_that_was_never_set_is_none(said: object, plan_id: str) -> None:
    assert device(planId=said).device().plan_id == plan_id


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"bindingCode": "B", "authKey": "A", "capabilitiesBitmask": 0b0100}, "bindingCode"),
        ({"bindingCode": "B", "authKey": "A", "networkType": "5"}, "bindingCode"),
        ({"bindingCode": "B", "authKey": "A"}, "bindingCode"),
        ({"bindingCode": "B", "authKey": "A", "capabilitiesBitmask": 0b0110}, "authKey"),
        ({"bindingCode": "B", "authKey": "A", "capabilitiesBitmask": 0b0101, "networkType": "5"}, "authKey"),
        ({"bindingCode": "B", "authKey": "A", "networkType": "1"}, "authKey"),
        ({"bindingCode": "", "authKey": "A", "capabilitiesBitmask": 0b0100}, "authKey"),
        ({"bindingCode": "B", "authKey": None, "capabilitiesBitmask": 0b0110}, "bindingCode"),
    ],
)
def test_the_secret_is_the_one_this_kind_of_device_uses(fields: dict[str, object], kind: str) -> None:
    read = device(**fields).device()
    assert read.secret is not None
    assert (read.secret_kind, read.secret.reveal()) == (kind, kind[0].upper())


def test_a_devices_secrets_are_not_shown() -> None:
    assert "c2VjcmV0" not in repr(device(bindingCode="c2VjcmV0", authKey="c2VjcmV0"))


@pytest.mark.parametrize("key", ["x" * 129, "p\n1", "p\u202e1", {"a": 1}])
def test_a_key_that_cannot_be_shown_is_refused(key: object) -> None:
    with pytest.raises(CloudAnswerError, match="productKey"):
        device(productKey=key)


def test_a_page_over_the_cap_is_refused() -> None:
    with pytest.raises(CloudAnswerError, match="list"):
        wire.read(wire.WireDevices, {"list": [{}] * 501}, doing="trying")


@pytest.mark.parametrize(
    ("data", "versions"),
    [
        ({"version": "1.0.0"}, {"": "1.0.0"}),
        ({"version": "1.0", "mcuVersion": '[{"componentNo": "M1", "version": "2.0"}]'}, {"": "1.0", "M1": "2.0"}),
        ({"mcuVersion": '[{"M1": "2.0"}, {"M2": "3.0"}]'}, {"M1": "2.0", "M2": "3.0"}),
        ({"mcuVersion": [{"M1": "2.0"}]}, {"M1": "2.0"}),
        ({"version": "1.0", "mcuVersion": "none"}, {"": "1.0"}),
        ({"version": "1.0", "mcuVersion": "5"}, {"": "1.0"}),
        ({"mcuVersion": '[5, null, {"M1": 2}, {"M2": ""}, {"M\\u001b": "1"}, {"componentNo": "M3"}]'}, {}),
        ({"version": "", "mcuVersion": ""}, {}),
        ({"version": "1.0", "mcuVersion": '[{"componentNo": "", "version": "9.0"}]'}, {"": "1.0"}),
        ({"mcuVersion": [{"": "9.0"}, {"componentNo": "", "version": "9.0"}]}, {}),  # an MCU is never the module
        (None, {}),
    ],
)
def test_versions_are_read_as_far_as_they_can_be(data: object, versions: dict[str, str]) -> None:
    assert wire.read(wire.WireAttributes, {"deviceData": data}, doing="trying").versions() == versions


def test_no_more_versions_are_read_than_a_device_can_have() -> None:
    data = {"deviceData": {"mcuVersion": [{f"M{n}": "1.0"} for n in range(1000)]}}
    assert len(wire.read(wire.WireAttributes, data, doing="trying").versions()) == 20
