"""Every error of this package, whose fault it is, and what to do about it.

What was simply *not done* (declined, nothing to do, refused by policy) is a value, see `model.Outcome`;
what *could not* be done is one of these; anything else that is raised is a bug::

    BleOtaError                        1
    ├── UsageError                     2   the command cannot be meant
    ├── SettingsError                  3
    │   └── ExtraMissingError              an optional part is not installed
    ├── CloudError                    20   the Developer Center or the network
    │   ├── CloudUnreachableError
    │   ├── CloudAnswerError               not JSON, not the envelope, over a cap
    │   └── ApiError                       the envelope carries an error code
    │       ├── TokenRejectedError
    │       ├── LoginRefusedError
    │       └── AccountLockedError
    ├── TrustError                    21   plan or image is not what it must be
    ├── StorageError                  22   cache, disk, state folder
    ├── DeviceBusyError               12   another run has it
    ├── DeviceNotFoundError           30
    ├── DeviceAmbiguousError          30
    ├── LinkError                     31   resumable
    │   ├── LinkLostError
    │   ├── DeviceSilentError
    │   └── PauseNeverEndedError
    ├── AdapterError                  34
    ├── DeviceError                   32   the device says no, or makes no sense
    │   ├── AttRefusedError
    │   ├── LoginFailedError
    │   ├── RefusedByDeviceError           by its own word, and the word can be believed
    │   │   ├── DeclinedByDeviceError
    │   │   ├── CancelledByDeviceError
    │   │   └── FailedByDeviceError
    │   ├── KeyNotShownError               a refusal by a peer that has not shown the device's key
    │   └── MalformedError                 what it said is outside its own protocol
    ├── NotVerifiedError              33   found again, it says itself that it runs something else
    ├── UnprovenError                 35   all was sent, and the device has not said what it runs
    ├── DeadlineError                124
    └── StopAsked                    130

The numbers are the exit codes of the command line; they are a contract.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Retry(Enum):
    """What a caller may try after an error."""

    NEVER = "never"
    """The same again would end the same, or do harm."""
    NEW_LINK = "new link"
    """Connect again and carry on."""
    LATER = "later"
    """The same call may succeed later."""


class BleOtaError(Exception):
    """Root of all errors this package raises on purpose.

    The sentence is made where the error is raised; it says what happened, to what. `hint` says what to do next.
    """

    exit_code: ClassVar[int] = 1
    retry: ClassVar[Retry] = Retry.NEVER
    hint: str = ""

    def __init__(self, sentence: str, *, hint: str | None = None) -> None:
        super().__init__(sentence)
        if hint is not None:
            self.hint = hint

    @property
    def reason(self) -> str:
        """The class's name as a reason code: `LinkLostError` is `link_lost`. A private class has its parent's."""
        public = next(c for c in type(self).__mro__ if not c.__name__.startswith("_"))
        name = public.__name__.removesuffix("Error")
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class UsageError(BleOtaError):
    """The command line cannot be meant as it stands."""

    exit_code = 2
    hint = "See `ble-ota --help`"


class SettingsError(BleOtaError):
    """A setting is missing or cannot be read."""

    exit_code = 3
    hint = "`ble-ota doctor` shows which settings are in force and where they come from"


class ExtraMissingError(SettingsError):
    """An optional part of this package is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra `{extra}`, which is not installed",
            hint=f"pip install 'ble-ota[{extra}]'",
        )
        self.extra = extra


class CloudError(BleOtaError):
    """The Developer Center, or the way to it."""

    exit_code = 20


class CloudUnreachableError(CloudError):
    """No answer came: name resolution, connection, TLS or time."""

    retry = Retry.LATER
    hint = "Check the network and `--cloud`, then run the same command again"


class CloudAnswerError(CloudError):
    """An answer came that is not the documented envelope, or is over a cap."""

    retry = Retry.LATER
    hint = "Check `--cloud`: a portal or a proxy may be answering in the Developer Center's place"


class ApiError(CloudError):
    """The Developer Center answered with an error code."""

    def __init__(self, code: int, message: str, *, doing: str, hint: str | None = None) -> None:
        super().__init__(f"{doing}: the Developer Center answered {code}: {message}", hint=hint)
        self.code = code


class TokenRejectedError(ApiError):
    """5032, 5106: the session is over."""

    hint = "Run `ble-ota login` again; a session belongs to one `--cloud`, and no other region knows it"


class LoginRefusedError(ApiError):
    """Wrong name or password. Never tried twice: accounts lock."""

    hint = "Check the name and the password before you try again; a few wrong ones lock the account"


class AccountLockedError(ApiError):
    """5147, 5148, 5325: frozen for a time."""

    hint = "Wait as long as the message says; more attempts make it longer"


class TrustError(BleOtaError):
    """A plan or an image is not what it must be; nothing of it, or nothing more of it, is sent to the device."""

    exit_code = 21
    hint = "Do not flash this file; ask whoever made the plan to check it in the Developer Center"


class StorageError(BleOtaError):
    """Cache, state folder or disk."""

    exit_code = 22
    hint = "Check free space and permissions of the folder"


class DeviceBusyError(BleOtaError):
    """Another run, of this or another process, is at work on the device."""

    exit_code = 12
    retry = Retry.LATER
    hint = "Wait until the other run has ended, or stop it"


class DeviceNotFoundError(BleOtaError):
    """The device is not on the air."""

    exit_code = 30
    retry = Retry.LATER
    hint = "Switch the device on, bring it closer, and see `ble-ota scan`"


class DeviceAmbiguousError(BleOtaError):
    """More than one device fits what was asked for."""

    exit_code = 30
    hint = "Name one of them by its address or as PRODUCT_KEY/DEVICE_KEY"


class LinkError(BleOtaError):
    """The conversation broke off; the same command carries on."""

    exit_code = 31
    retry = Retry.NEW_LINK
    hint = "Bring the device closer and run the same command again"


class LinkLostError(LinkError):
    """The radio link went away."""


class DeviceSilentError(LinkError):
    """An answer did not come in time."""


class PauseNeverEndedError(LinkError):
    """The device paused and did not go on within the time it named."""


class DeviceError(BleOtaError):
    """The device said no, or something that makes no sense."""

    exit_code = 32
    hint = "See why the device refuses (battery, its own settings, another application), then run the same again"


class AttRefusedError(DeviceError):
    """The device's GATT server answered with an error.

    `code` is the ATT error code (Core Specification Vol 3 Part F 3.4.1.1).
    """

    def __init__(self, doing: str, code: int) -> None:
        super().__init__(f"{doing}: the device refused with ATT error 0x{code:02X}")
        self.code = code


class LoginFailedError(DeviceError):
    """The device does not accept the secret."""

    hint = "The secret may belong to another device: check which one is bound to the account"


class RefusedByDeviceError(DeviceError):
    """The device refused the file, and its word can be believed; with `NotVerifiedError` all that is a failure."""


class DeclinedByDeviceError(RefusedByDeviceError):
    """The device does not want this file, or not now."""


class CancelledByDeviceError(RefusedByDeviceError):
    """The device ended the transfer."""


class FailedByDeviceError(RefusedByDeviceError):
    """The device has all bytes and says that they are not good."""


class KeyNotShownError(DeviceError):
    """A peer refused the file and has not shown on this link that it has the device's key."""

    hint = "Run the same command again; if it stays so, another device may answer in this one's place"


class MalformedError(DeviceError):
    """What the device said is outside its protocol."""

    hint = "Run the same command again; if it stays so, the device speaks another version of the protocol"


class NotVerifiedError(BleOtaError):
    """The device, found again after its reboot, tells another version, and its word can be believed."""

    exit_code = 33
    hint = "The device may have rolled back: see its log, and `ble-ota plan` for what it runs now"


class UnprovenError(BleOtaError):
    """Everything was sent, and the device has neither proved that it runs the new version nor that it does not."""

    exit_code = 35
    retry = Retry.LATER
    hint = "Run the same command again: it looks first; `ble-ota reports resolve` settles the run by a person's word"


class AdapterError(BleOtaError):
    """The computer's Bluetooth."""

    exit_code = 34
    retry = Retry.LATER
    hint = "`ble-ota doctor` tells what is wrong with Bluetooth here"


class DeadlineError(BleOtaError):
    """The run took longer than it may."""

    exit_code = 124
    hint = "Run the same command again, or set `deadline_s` higher"


class StopAsked(BleOtaError):  # noqa: N818 -- not an error: the user's word
    """Someone asked to stop; thrown into a script so that it may say goodbye to the device."""

    exit_code = 130
    hint = "Run the same command again, or `ble-ota resume`, to carry on"
