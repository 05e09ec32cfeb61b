"""One link to a QuecThing device: frames in and out, and the login.

::

    app                                             device
     │ 7032                                            │  give me a random
     │                              7033 {1: random}   │  16 ASCII characters
     │ 7034 {2: sha256(hex(key) ";" random)}           │  as ASCII hex; key = base64 decoded secret
     │                              7035 {3: 0}        │  0 in order, 2 logged in already
     │ ═══ from here on payloads are AES-128-CBC, PKCS7, key, iv = random; heads stay clear ═══

Login and encryption: three third-party sources agree.
An empty payload stays empty, also under encryption (inferred: there is nothing to encrypt).

"0 in order" is told in clear by any peer. A peer has shown the key once a payload of this link decrypted to fields
(`Session.key_shown`); until then its word proves nothing (`key_check.py`). The key never changes and the peer chooses
the IV, so a recording of an earlier link of this device can be played back: the protocol has no defence against that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from ble_ota.errors import DeviceSilentError, LoginFailedError, MalformedError, SettingsError
from ble_ota.link import Characteristic, LinkFacts, uuid16
from ble_ota.model import Secret
from ble_ota.protocols.quecthing import frame, ttlv
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.script import Script, notified, subscribe, write_whole

DATA_UUID = uuid16(0x9C40)  # write request and indicate
FIRMWARE_REVISION_UUID = uuid16(0x2A26)  # Device Information, where a device has the standard one
RANDOM, RANDOM_ANSWER, LOGIN, LOGIN_ANSWER = 0x7032, 0x7033, 0x7034, 0x7035
INFO, INFO_ANSWER = 0x7040, 0x7041
ID_RANDOM, ID_PROOF, ID_RESULT = 1, 2, 3
LOGGED_IN = (0, 2)  # in order; logged in already
KEY_BYTES = RANDOM_BYTES = 16
FIRST_PACKET_ID, LAST_PACKET_ID = 1000, 65534  # as the vendor's SDK counts (third party)
ANSWER_S = 10.0  # our choice: well under the SDK's 30 s, well over any connection interval
TRANSFER = range(0x7020, 0x7027)  # what `Options.encrypt_transfer` is about
IGNORED_MAX = 10_000  # frames nobody asked for, per wait; more is a flood
VERSION_MAX = 64  # characters


@dataclass(frozen=True, slots=True)
class Options:
    """What public sources leave open, each a setting (`[quecthing]`)."""

    login: bool = True
    """Log in before anything else. Third party: newer devices want it."""
    encrypt_transfer: bool = True
    """Encrypt file frames too after a login. Inferred from "all communication after authentication"."""
    check_code: Literal["raw", "hex"] = "raw"
    """The digest in a file notification as bytes or as ASCII hex. Inferred from its type, binary."""
    packet_bound: Literal["data", "frame"] = "data"
    """What the device's "maximum packet length" (id 11) bounds. Inferred."""
    file_type_mcu: int = 1
    """File type (id 1) for MCU components; 1 is FOTA firmware. Inferred."""
    version_ids: Mapping[str, int] = field(default_factory=lambda: {"": 12})
    """Component number to the id that tells its version in 0x7041; "" is the module. 12 is inferred."""


@dataclass(slots=True)
class Session:
    """What the scripts of one link share."""

    channel: Characteristic
    options: Options
    revision: Characteristic | None = None
    key: bytes = field(default=b"", repr=False)
    iv: bytes = field(default=b"", repr=False)
    clock_s: float = 0.0
    """Seconds this session has spent waiting: a script's only clock."""
    key_shown: bool = False
    """Whether a payload of the peer was decrypted and read on this link."""
    asked_info: bool = False
    """Whether 0x7040 was sent on this link."""
    owed: Frame | None = None
    """The device's "received, success" that has not been answered yet: the answer may let it reboot."""
    _decoder: frame.Decoder = field(default_factory=frame.Decoder)
    _inbox: deque[Frame] = field(default_factory=deque[Frame])
    _next_id: int = FIRST_PACKET_ID

    def packet_id(self) -> int:
        """A number for the next request."""
        taken = self._next_id
        self._next_id = taken + 1 if taken < LAST_PACKET_ID else FIRST_PACKET_ID
        return taken

    @property
    def trusted(self) -> bool:
        """Whether the peer's word counts: it has shown the key, or this link has none."""
        return self.key_shown or not self.key

    def sealed(self, cmd: int) -> bool:
        """Whether payloads of `cmd` are encrypted now."""
        return bool(self.key) and (self.options.encrypt_transfer or cmd not in TRANSFER)

    def seal(self, cmd: int, fields: tuple[Field, ...]) -> bytes:
        """A payload as it goes on the wire."""
        plain = ttlv.encode(fields)
        if not self.sealed(cmd) or not plain:
            return plain
        padder = PKCS7(128).padder()
        encryptor = Cipher(AES128(self.key), CBC(self.iv)).encryptor()
        return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()

    def unseal(self, got: Frame) -> Mapping[int, Value]:
        """Return the fields of a frame that the device sent, and note whether it has shown the key.

        Raises:
            MalformedError: It cannot be decrypted or read, or it is empty where an encrypted payload is due.
        """
        if not got.data and self.sealed(got.cmd):
            msg = "the device sent an empty payload where an encrypted one is due"
            raise MalformedError(msg)
        fields = self.fields(got)
        self.key_shown = self.key_shown or self.sealed(got.cmd)
        return fields

    def fields(self, either: Frame) -> Mapping[int, Value]:
        """Return the fields of a frame of either side by id; of two with one id the first.

        Raises:
            MalformedError: It cannot be decrypted or read.
        """
        plain = self._decrypt(either.data) if either.data and self.sealed(either.cmd) else either.data
        return {f.id: f.value for f in reversed(ttlv.decode(plain))}

    def _decrypt(self, data: bytes) -> bytes:
        decryptor = Cipher(AES128(self.key), CBC(self.iv)).decryptor()
        unpadder = PKCS7(128).unpadder()
        try:
            return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
        except ValueError as error:
            msg = "a payload of the device cannot be decrypted"
            raise MalformedError(msg) from error

    def send(self, cmd: int, *fields: Field, packet_id: int | None = None) -> Script[int]:
        """Send a frame, over as many writes as it takes; give its packet id."""
        number = self.packet_id() if packet_id is None else packet_id
        data = frame.encode(Frame(number, cmd, self.seal(cmd, fields)))
        yield from write_whole(self.channel.handle, data, max_write=self.channel.max_write)
        return number

    def receive(self, *, until_s: float) -> Script[Frame | None]:
        """The next frame, or None when `clock_s` reaches `until_s` first.

        Raises:
            MalformedError: More than `IGNORED_MAX` indications in a row without a frame in them.
        """
        for _ in range(IGNORED_MAX):
            if self._inbox:
                return self._inbox.popleft()
            left_s = until_s - self.clock_s
            if left_s < 0:
                return None
            heard, waited_s = yield from notified(self.channel.handle, within_s=left_s)
            self.clock_s += waited_s
            if heard is None:
                self.clock_s = max(self.clock_s, until_s)
                return None
            self._inbox.extend(self._decoder.feed(heard.data))
        msg = f"the device sent {IGNORED_MAX} indications without one frame"
        raise MalformedError(msg)

    def ask(self, cmd: int, *fields: Field, answer: int, within_s: float) -> Script[Mapping[int, Value] | None]:
        """Send a request and wait for its answer; None if it does not come.

        Other frames are passed over, and so is an empty answer where an encrypted one is due.

        Raises:
            MalformedError: The answer cannot be decrypted or read, or a flood of other frames came.
        """
        number = yield from self.send(cmd, *fields)
        until_s = self.clock_s + within_s
        for _ in range(IGNORED_MAX):
            got = yield from self.receive(until_s=until_s)
            if got is None:
                return None
            if (got.cmd, got.packet_id) == (answer, number) and (got.data or not self.sealed(answer)):
                return self.unseal(got)
        msg = f"the device sent {IGNORED_MAX} frames nobody asked for"
        raise MalformedError(msg)


def open_session(facts: LinkFacts, secret: Secret | None, options: Options) -> Script[Session]:
    """Subscribe and log in.

    Raises:
        MalformedError: The device lacks characteristic 0x9C40, or answers outside the protocol.
        SettingsError: A login is needed and the secret is missing or is none.
        LoginFailedError: The device does not accept the secret.
        DeviceSilentError: It does not answer.
    """
    channel = facts.find(DATA_UUID)
    if channel is None:
        msg = "the device has no characteristic 0x9C40, so it does not speak QuecThing"
        raise MalformedError(msg)
    session = Session(channel, options, facts.find(FIRMWARE_REVISION_UUID))
    key = _key(secret) if options.login else b""
    yield from subscribe(channel.handle)
    if options.login:
        yield from _login(session, key)
    return session


def _login(session: Session, key: bytes) -> Script[None]:
    answer = yield from session.ask(RANDOM, answer=RANDOM_ANSWER, within_s=ANSWER_S)
    random = (answer or {}).get(ID_RANDOM)
    if answer is None:
        msg = "the device does not answer the request for a login"
        hint = "Run the same command again; if it stays so it may not want a login: `quecthing.login = false`"
        raise DeviceSilentError(msg, hint=hint)
    if not isinstance(random, bytes) or len(random) != RANDOM_BYTES:
        msg = f"the device's random for the login is not {RANDOM_BYTES} characters"
        raise MalformedError(msg)
    proof = hashlib.sha256(key.hex().encode() + b";" + random).hexdigest().encode()
    answer = yield from session.ask(LOGIN, Field(ID_PROOF, proof), answer=LOGIN_ANSWER, within_s=ANSWER_S)
    if answer is None:
        msg = "the device does not answer the login"
        raise DeviceSilentError(msg)
    result = answer.get(ID_RESULT)
    if result not in LOGGED_IN or isinstance(result, bool):
        msg = f"the device refused the login: it answered {result!r}"
        raise LoginFailedError(msg)
    session.key, session.iv = key, random


def _key(secret: Secret | None) -> bytes:
    if secret is None:
        msg = "the device wants a login and its secret is not known"
        raise SettingsError(msg, hint="Run `ble-ota login` so that the account gives it, or set BLE_OTA_DEVICE_SECRET")
    try:
        key = base64.b64decode(secret.reveal(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        msg = f"the device's secret is not base64 of {KEY_BYTES} bytes"
        raise SettingsError(msg, hint="It is the `bindingCode` (or `authKey`) of the device in the account")
    return key
