"""How a login is sealed: the password's encryption and the signatures, as the vendor's API list gives them.

::

    key       = upper(hex(MD5(random)))[8:24], as 16 ASCII bytes
    iv        = key[8:16] + key[0:8]
    pwd       = base64(AES-128-CBC(password, PKCS7 padding))
    signature = hex(SHA256(account fields + pwd + random + user domain secret)), lower case

`random` travels beside `pwd`, so whoever sees the request has the password: a login's URL is a secret as a whole.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ble_ota.model import Secret

RANDOM_LENGTH = 16  # "usually 16 alphanumerics"
BLOCK_BITS = 128  # AES has no other
ALPHANUMERICS = string.ascii_letters + string.digits

Signature: TypeAlias = Callable[[Mapping[str, object], Secret], str]
"""Makes `signature` from the call's own fields, by their wire names in the order they are sent, and the user domain
secret. The vendor has not published how getFetchPlan and reportUpgradeStatus want it."""


def random_text(length: int = RANDOM_LENGTH) -> str:
    """Draw `length` alphanumerics nobody can foretell."""
    return "".join(secrets.choice(ALPHANUMERICS) for _ in range(length))


def encrypt_password(password: Secret, random: str) -> str:
    """Encrypt `password` for one login with `random`; base64."""
    key = hashlib.md5(random.encode(), usedforsecurity=False).hexdigest().upper()[8:24].encode()
    pad = padding.PKCS7(BLOCK_BITS).padder()
    padded = pad.update(password.reveal().encode()) + pad.finalize()
    seal = Cipher(algorithms.AES(key), modes.CBC(key[8:] + key[:8])).encryptor()
    return base64.b64encode(seal.update(padded) + seal.finalize()).decode()


def sign(*fields: str, secret: Secret) -> str:
    """Join `fields`, add the user domain secret, and hash: every documented signature is made this way."""
    return hashlib.sha256("".join((*fields, secret.reveal())).encode()).hexdigest()


def email_signature(email: str, pwd: str, random: str, *, secret: Secret) -> str:
    """Sign a login by e-mail; `pwd` is the encrypted password."""
    return sign(email, pwd, random, secret=secret)


def phone_signature(country_code: str, phone: str, pwd: str, random: str, *, secret: Secret) -> str:
    """Sign a login by phone; `pwd` is the encrypted password, `country_code` has no plus sign."""
    return sign(country_code, phone, pwd, random, secret=secret)


def sms_signature(phone: str, code_type: int, random: str, ts_ms: int, *, secret: Secret) -> str:
    """Sign the wish for a code by SMS; `ts_ms` is Unix time in milliseconds, at most ten minutes off the server's."""
    return sign(phone, str(code_type), random, str(ts_ms), secret=secret)


def joined(fields: Mapping[str, object], secret: Secret) -> str:
    """Sign as the sibling call `deviceBindingByPureBt` is signed: inferred, so a setting and never a default."""
    return sign(*(str(value) for value in fields.values()), secret=secret)
