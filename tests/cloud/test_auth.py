from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.cloud import auth
from ble_ota.model import Secret
from tests.cloud.conftest import DOMAIN_SECRET

SECRET = Secret(DOMAIN_SECRET)


def test_the_published_password_is_encrypted_as_published() -> None:
    assert auth.encrypt_password(Secret("china1234"), "j1acpdj2bmtqZXVb") == "lkZMvj0KDSJXlp66jBieHA=="


def test_the_published_phone_login_is_signed_as_published() -> None:
    signature = auth.phone_signature("86", "17132136550", "KbbO5AsWloh9gulLei6NhQ==", "abcdef", secret=SECRET)
    assert signature == "1fd91ebf096be51dae1c6055bc930bd8e24b1f477d2a47ae87eedb0f73057bf0"


def test_the_published_message_signature_is_signed_as_published() -> None:
    signature = auth.sign("17132136550", "3", "76a6L647F02CAoN9", "1744773894369", secret=SECRET)
    assert signature == "2deb6518ca0ee701e28a6359a91270c59dbe69456a3336dc5f625bfa32e64df6"


def test_an_email_login_is_signed_over_address_password_and_random() -> None:
    signature = auth.email_signature("a@b.example", "KbbO5AsWloh9gulLei6NhQ==", "abcdef", secret=SECRET)
    # printf '%s' a@b.example KbbO5AsWloh9gulLei6NhQ== abcdef 57Fk69oYgbs2aWWN362NtZwYB2RqKNqQ7yZESnF5VM22 | sha256sum
    assert signature == "d3e8682aa768c10bea2c568f7de3aab0b12e72c88deb4357b58345841d1bb2ee"


@given(st.text(max_size=40).filter(lambda text: text.encode("utf-8", "ignore").decode() == text))
def test_any_password_can_be_read_back_by_whoever_has_the_random(password: str) -> None:
    sealed = base64.b64decode(auth.encrypt_password(Secret(password), "j1acpdj2bmtqZXVb"))
    opener = Cipher(algorithms.AES(b"89A049614445CCA8"), modes.CBC(b"4445CCA889A04961")).decryptor()
    padded = opener.update(sealed) + opener.finalize()
    assert padded[: -padded[-1]].decode() == password


def test_a_random_text_has_sixteen_alphanumerics() -> None:
    text = auth.random_text()
    assert len(text) == 16
    assert text.isascii()
    assert text.isalnum()


def test_two_random_texts_differ() -> None:
    assert auth.random_text() != auth.random_text()


def test_the_wish_for_an_sms_is_signed_as_documented() -> None:
    made = auth.sms_signature("17132136550", 3, "76a6L647F02CAoN9", 1744773894369, secret=SECRET)
    assert made == "2deb6518ca0ee701e28a6359a91270c59dbe69456a3336dc5f625bfa32e64df6"


def test_the_joined_recipe_hashes_all_fields_and_the_secret_in_order() -> None:
    fields = {"productKey": "17132136550", "deviceKey": 3, "signType": "76a6L647F02CAoN9", "x": "1744773894369"}
    assert auth.joined(fields, SECRET) == "2deb6518ca0ee701e28a6359a91270c59dbe69456a3336dc5f625bfa32e64df6"


@pytest.mark.parametrize(
    "changed", [("b", "2", "3", "4"), ("1", "b", "3", "4"), ("1", "2", "b", "4"), ("1", "2", "3", "b")]
)
def test_each_field_of_a_phone_login_is_signed(changed: tuple[str, str, str, str]) -> None:
    assert auth.phone_signature(*changed, secret=SECRET) != auth.phone_signature("1", "2", "3", "4", secret=SECRET)
