from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ble_ota import errors
from ble_ota.errors import ApiError, AttRefusedError, BleOtaError, ExtraMissingError, LinkLostError, Retry

CODES = {  # product.md 5: the contract
    "BleOtaError": 1, "UsageError": 2, "SettingsError": 3, "ExtraMissingError": 3, "CloudError": 20,
    "CloudUnreachableError": 20, "CloudAnswerError": 20, "ApiError": 20, "TokenRejectedError": 20,
    "LoginRefusedError": 20, "AccountLockedError": 20, "TrustError": 21, "StorageError": 22,
    "DeviceBusyError": 12, "DeviceNotFoundError": 30, "DeviceAmbiguousError": 30, "LinkError": 31,
    "LinkLostError": 31,
    "DeviceSilentError": 31, "PauseNeverEndedError": 31, "DeviceError": 32, "AttRefusedError": 32,
    "LoginFailedError": 32, "DeclinedByDeviceError": 32, "CancelledByDeviceError": 32, "FailedByDeviceError": 32,
    "RefusedByDeviceError": 32, "KeyNotShownError": 32, "UnprovenError": 35,
    "MalformedError": 32, "NotVerifiedError": 33, "AdapterError": 34, "DeadlineError": 124, "StopAsked": 130,
}  # fmt: skip
RETRIES = {
    "CloudUnreachableError": Retry.LATER,
    "CloudAnswerError": Retry.LATER,
    "DeviceBusyError": Retry.LATER,
    "DeviceNotFoundError": Retry.LATER,
    "AdapterError": Retry.LATER,
    "UnprovenError": Retry.LATER,
    "LinkError": Retry.NEW_LINK,
    "LinkLostError": Retry.NEW_LINK,
    "DeviceSilentError": Retry.NEW_LINK,
    "PauseNeverEndedError": Retry.NEW_LINK,
}


def family(root: type[BleOtaError]) -> Iterator[type[BleOtaError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


PUBLIC = [cls for cls in family(BleOtaError) if cls.__module__ == errors.__name__]


def drawn() -> list[tuple[int, str]]:
    """Depth and name of each line of the tree in the module's docstring."""
    lines = re.findall(r"^    ([│├└─ ]*)(\w+(?:Error|Asked))\b", errors.__doc__ or "", re.MULTILINE)
    return [(len(indent) // 4, name) for indent, name in lines]


def test_every_error_has_the_exit_code_of_the_contract() -> None:
    assert {cls.__name__: cls.exit_code for cls in PUBLIC} == CODES


def test_every_error_says_what_may_be_tried() -> None:
    assert {cls.__name__: cls.retry for cls in PUBLIC if cls.retry is not Retry.NEVER} == RETRIES


def test_the_drawn_tree_is_the_real_one() -> None:
    path: list[str] = []
    parents = {}
    for depth, name in drawn():
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else "Exception"
    assert parents == {cls.__name__: cls.__bases__[0].__name__ for cls in PUBLIC}


@pytest.mark.parametrize("cls", [cls for cls in PUBLIC if cls not in (BleOtaError, errors.CloudError, ApiError)])
def test_every_error_a_user_meets_has_a_hint(cls: type[BleOtaError]) -> None:
    assert cls.hint


@pytest.mark.parametrize(
    ("error", "reason"),
    [(LinkLostError(""), "link_lost"), (AttRefusedError("", 1), "att_refused"), (errors.StopAsked(""), "stop_asked")],
)
def test_a_class_is_its_reason_code(error: BleOtaError, reason: str) -> None:
    assert error.reason == reason


def test_a_private_class_has_its_parents_reason_code() -> None:
    class _SpecialError(LinkLostError):
        pass

    assert _SpecialError("").reason == "link_lost"


def test_reason_codes_are_unique() -> None:
    assert len({cls.__new__(cls).reason for cls in PUBLIC}) == len(PUBLIC)


def test_an_error_says_its_sentence() -> None:
    assert str(LinkLostError("the link to X broke")) == "the link to X broke"


def test_a_hint_of_its_own_counts() -> None:
    assert LinkLostError("x", hint="do this").hint == "do this"


def test_without_one_the_hint_of_the_class_counts() -> None:
    assert LinkLostError("x").hint == LinkLostError.hint


def test_an_extra_is_named_with_its_command() -> None:
    error = ExtraMissingError("bumble", "--radio bumble:usb:0")
    assert (error.extra, error.hint) == ("bumble", "pip install 'ble-ota[bumble]'")


def test_an_api_error_has_its_code() -> None:
    error = ApiError(5000, "service exception", doing="getFetchPlan")
    assert (error.code, str(error)) == (5000, "getFetchPlan: the Developer Center answered 5000: service exception")


def test_an_att_error_has_its_code() -> None:
    error = AttRefusedError("writing", 0x03)
    assert (error.code, str(error)) == (3, "writing: the device refused with ATT error 0x03")
