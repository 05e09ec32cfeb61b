from __future__ import annotations

import base64
import hashlib
import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ble_ota.virtual.peripherals.quecthing.login import Login

SECRET = bytes(range(16))
CODE = base64.b64encode(SECRET).decode()


def proof_of(challenge: bytes, secret: bytes = SECRET) -> bytes:
    """quectel.md 3.4: SHA256 of the secret in lower-case hex, a semicolon and the random; as ASCII hex."""
    return hashlib.sha256(secret.hex().encode() + b";" + challenge).hexdigest().encode()


def new() -> Login:
    return Login(CODE, random.Random(1))


def logged_in() -> tuple[Login, bytes]:
    login = new()
    challenge = login.challenge()
    assert login.attempt(proof_of(challenge)) == 0
    return login, challenge


def test_the_right_proof_is_welcome() -> None:
    assert logged_in()[0].done


def test_the_challenge_is_sixteen_ascii_characters() -> None:
    challenge = new().challenge()
    assert len(challenge) == 16
    assert challenge.isalnum()


def test_a_challenge_is_not_used_twice() -> None:
    login = new()
    assert login.challenge() != login.challenge()


@pytest.mark.parametrize("proof", [b"", b"0" * 64, proof_of(b"x" * 16), b"\xff\xfe"])
def test_a_wrong_proof_is_refused(proof: bytes) -> None:
    login = new()
    login.challenge()
    assert login.attempt(proof) == 1
    assert not login.done


def test_the_proof_of_another_secret_is_refused() -> None:
    login = new()
    assert login.attempt(proof_of(login.challenge(), b"y" * 16)) == 1


def test_a_proof_without_a_challenge_is_refused() -> None:
    assert new().attempt(proof_of(b"")) == 1


def test_a_second_try_needs_a_new_challenge() -> None:
    login = new()
    challenge = login.challenge()
    login.attempt(b"wrong")
    assert login.attempt(proof_of(challenge)) == 1


def test_a_second_login_is_told_that_it_is_one() -> None:
    login, challenge = logged_in()
    assert login.attempt(proof_of(challenge)) == 2


def test_the_session_is_aes_cbc_with_the_challenge_as_iv() -> None:
    login, challenge = logged_in()
    encryptor = Cipher(algorithms.AES(SECRET), modes.CBC(challenge)).encryptor()
    assert login.seal(b"abc") == encryptor.update(b"abc" + b"\x0d" * 13)


def test_what_is_sealed_is_opened() -> None:
    login, _ = logged_in()
    assert login.open(login.seal(b"sixteen bytes ok")) == b"sixteen bytes ok"


@pytest.mark.parametrize("data", [b"short", b"no padding here!"])
def test_what_was_not_sealed_is_not_opened(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        logged_in()[0].open(data)


def test_a_lost_link_ends_the_session() -> None:
    login, _ = logged_in()
    login.forget()
    assert not login.done


def test_nothing_is_sealed_for_nobody() -> None:
    with pytest.raises(ValueError, match="nobody"):
        new().seal(b"")
