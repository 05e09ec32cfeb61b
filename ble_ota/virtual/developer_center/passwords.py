"""The documented password encryption and login signature, seen from the server.

The password comes as BASE64(AES-128-CBC(password, PKCS7)). Its key is characters 8 to 24 of the upper-case
hexadecimal MD5 of `random`, used as 16 ASCII bytes; its initialisation vector is that key with its halves swapped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7


def decrypted(pwd: str, random: str) -> str:
    """Recover the password from what the login carries.

    Raises:
        ValueError: Not BASE64, not whole blocks, badly padded, or not text: it was not encrypted with this `random`.
    """
    key = hashlib.md5(random.encode(), usedforsecurity=False).hexdigest().upper()[8:24].encode()
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[8:] + key[:8])).decryptor()
    padded = cipher.update(base64.b64decode(pwd, validate=True)) + cipher.finalize()
    unpadder = PKCS7(128).unpadder()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


def signature(*parts: str) -> str:
    """Sign a login: SHA-256 over the parts as they were sent, the secret of the user domain last; lower-case hex."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare without telling by time where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
