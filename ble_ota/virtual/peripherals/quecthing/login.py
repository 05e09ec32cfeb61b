"""The device's side of the login, and the session that follows.

::

    0x7032 {}                 -> 0x7033 {1: random}                                  16 ASCII characters
    0x7034 {2: proof}         -> 0x7035 {3: 0 welcome · 2 already logged in · 1 else}
    proof = hex SHA256( hex(secret) ";" random ); then payloads are AES-128-CBC, key = secret, iv = random
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import string

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

ASK_RANDOM, TELL_RANDOM, ASK_LOGIN, TELL_LOGIN = 0x7032, 0x7033, 0x7034, 0x7035
RANDOM, PROOF, RESULT = 1, 2, 3  # TTLV ids
WELCOME, REFUSED, ALREADY = 0, 1, 2
BLOCK_BITS = 128


class Login:
    """Who is at the other end of the present link."""

    def __init__(self, binding_code: str, chance: random.Random) -> None:
        """Know the secret: `binding_code` is base64 of 16 bytes."""
        self._secret = base64.b64decode(binding_code)
        self._chance = chance
        self._random = ""
        self._iv: bytes | None = None

    @property
    def done(self) -> bool:
        """Whether someone is logged in."""
        return self._iv is not None

    def challenge(self) -> bytes:
        """A new random; one login may be tried with it."""
        self._random = "".join(self._chance.choices(string.ascii_letters + string.digits, k=16))
        return self._random.encode()

    def attempt(self, proof: bytes) -> int:
        """Judge a login; the number is the result to tell."""
        if self.done:
            return ALREADY
        challenge, self._random = self._random, ""
        expected = hashlib.sha256(f"{self._secret.hex()};{challenge}".encode()).hexdigest()
        if not challenge or not hmac.compare_digest(expected.encode(), proof.lower()):
            return REFUSED
        self._iv = challenge.encode()
        return WELCOME

    def forget(self) -> None:
        """The link is gone, and with it whoever was logged in."""
        self._random = ""
        self._iv = None

    def seal(self, payload: bytes) -> bytes:
        """Encrypt a payload of the session."""
        padder = PKCS7(BLOCK_BITS).padder()
        encryptor = self._cipher().encryptor()
        return encryptor.update(padder.update(payload) + padder.finalize()) + encryptor.finalize()

    def open(self, payload: bytes) -> bytes:
        """Decrypt a payload of the session. Raises `ValueError` when it is none."""
        decryptor = self._cipher().decryptor()
        plain = decryptor.update(payload) + decryptor.finalize()
        unpadder = PKCS7(BLOCK_BITS).unpadder()
        return unpadder.update(plain) + unpadder.finalize()

    def _cipher(self) -> Cipher[modes.CBC]:
        if self._iv is None:
            msg = "nobody is logged in"
            raise ValueError(msg)
        return Cipher(algorithms.AES(self._secret), modes.CBC(self._iv))
