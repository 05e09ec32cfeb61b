from __future__ import annotations

import pytest

from ble_ota.virtual.developer_center.passwords import decrypted, same, signature

PUBLISHED_SECRET = "57Fk69oYgbs2aWWN362NtZwYB2RqKNqQ7yZESnF5VM22"


def test_the_published_password_is_decrypted() -> None:
    assert decrypted("lkZMvj0KDSJXlp66jBieHA==", "j1acpdj2bmtqZXVb") == "china1234"


def test_the_published_login_signature_is_met() -> None:
    made = signature("86", "17132136550", "KbbO5AsWloh9gulLei6NhQ==", "abcdef", PUBLISHED_SECRET)
    assert made == "1fd91ebf096be51dae1c6055bc930bd8e24b1f477d2a47ae87eedb0f73057bf0"


@pytest.mark.parametrize(
    ("pwd", "random"),
    [
        pytest.param("lkZMvj0KDSJXlp66jBieHA==", "another-random-1", id="another random"),
        pytest.param("%%%%", "j1acpdj2bmtqZXVb", id="not base64"),
        pytest.param("lkZM!vj0KDSJXlp66jBieHA==", "j1acpdj2bmtqZXVb", id="base64 and more"),
        pytest.param("AAAA", "j1acpdj2bmtqZXVb", id="not a whole block"),
        pytest.param("", "j1acpdj2bmtqZXVb", id="nothing"),
    ],
)
def test_what_was_not_encrypted_so_is_a_value_error(pwd: str, random: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decrypted(pwd, random)


@pytest.mark.parametrize(("other", "equal"), [("abc", True), ("abd", False), ("ab", False), ("é", False)])
def test_comparing_tells_equal_from_different(other: str, equal: bool) -> None:
    assert same("abc", other) is equal
