"""What bleak and the systems below it raise, told apart by what can be done about it, and renamed into our own errors.

Every call into bleak stands alone behind this border, with nothing of ours in it, so whatever comes out of one is
theirs: not `BleakError` alone, but `AssertionError` and `AttributeError` of a link that went away in mid-call,
`KeyError` of an object BlueZ has removed, `OSError` and `EOFError` of a bus that died, `NotImplementedError` of a
system without the call. bleak has few types of its own, so BlueZ's words are looked at here, and nowhere else.

Sources of the words: bleak 3.1 (`backends/*`), BlueZ `src/error.c` and `doc/org.bluez.*.rst`, the D-Bus specification
(standard error names), and what bleak-retry-connector 4.7 takes for a lack of slots.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from ble_ota.errors import AdapterError, AttRefusedError, BleOtaError, DeviceError, DeviceNotFoundError, LinkLostError
from ble_ota.text import clean


class Kind(Enum):
    """What an error comes to; `bleak_radio.TRIES` says which are tried again while connecting."""

    REFUSED = "the device's GATT server says no"
    UNPAIRED = "the device wants to be paired first"
    BOND = "one side has forgotten the pairing that the other still uses"
    ABSENT = "the system knows no such device, or no longer"
    OFF = "no adapter, adapter off, or the system's Bluetooth service is away; it may come back"
    FORBIDDEN = "Bluetooth is not for us to use; trying again changes nothing"
    TAKEN = "another program of this computer has it"
    BUSY = "something else is under way in the adapter"
    FULL = "the adapter holds as many links as it can"
    SILENT = "no answer in time"
    ABORTED = "the link, or the attempt at one, broke off"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an error comes to, in a clause for a sentence, and what to do about it."""

    kind: Kind
    said: str
    hint: str | None = None
    """None is the hint of the error's class."""


PAIR_HINT = (
    "Make the device ready to pair, and if this computer has paired with it before, remove it from the system's "
    "Bluetooth settings (Linux: `bluetoothctl remove ADDRESS`); then run the same command again"
)
_ON_HINT = "Switch Bluetooth on (Linux: `bluetoothctl power on`, and `rfkill unblock bluetooth` where it is blocked)"
_SERVICE_HINT = "Start the system's Bluetooth (Linux: `systemctl restart bluetooth`); `ble-ota doctor` looks further"
_ALLOW_HINT = "Allow this program to use Bluetooth in the system's settings; `ble-ota doctor` tells how"

OFF = Diagnosis(Kind.OFF, "Bluetooth is switched off", _ON_HINT)
NO_ADAPTER = Diagnosis(Kind.OFF, "there is no such Bluetooth adapter", "Plug it in, and see `ble-ota doctor`")
NO_SERVICE = Diagnosis(Kind.OFF, "the system's Bluetooth service is not there", _SERVICE_HINT)
UNKNOWN = Diagnosis(Kind.OFF, "Bluetooth is not available")
UNFIT = Diagnosis(Kind.FORBIDDEN, "the adapter is no central", "Use an adapter for Bluetooth Low Energy, 4.0 or newer")
DENIED = Diagnosis(Kind.FORBIDDEN, "the system does not let us use Bluetooth", _ALLOW_HINT)
TAKEN = Diagnosis(
    Kind.TAKEN, "another program has taken the device", "Close what else uses the device on this computer, then again"
)
BUSY = Diagnosis(
    Kind.BUSY, "the adapter is busy", "Close other programs that scan or connect, then run the same command again"
)
FULL = Diagnosis(
    Kind.FULL,
    "the adapter holds as many links as it can",
    "Update fewer devices at once, disconnect others, or use a second adapter",
)
ABSENT = Diagnosis(Kind.ABSENT, "the device does not answer")
SILENT = Diagnosis(Kind.SILENT, "no answer in time")
ABORTED = Diagnosis(Kind.ABORTED, "the connection dropped")
REFUSED = Diagnosis(Kind.REFUSED, "the device refuses")
UNPAIRED = Diagnosis(Kind.UNPAIRED, "the device wants to be paired first", PAIR_HINT)
BOND = Diagnosis(Kind.BOND, "the device or this computer has forgotten their pairing", PAIR_HINT)

WANTS_PAIRING = frozenset({0x05, 0x0C, 0x0F})
"""Insufficient authentication, key size, encryption: Core Specification Vol 3 Part F 3.4.1.1."""

REASONS = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: NO_ADAPTER,
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: UNFIT,
    BleakBluetoothNotAvailableReason.POWERED_OFF: OFF,
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: DENIED,
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: DENIED,
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: DENIED,
    BleakBluetoothNotAvailableReason.UNKNOWN: UNKNOWN,
}

DBUS_NAMES = {
    "org.bluez.Error.NotReady": OFF,
    "org.bluez.Error.InProgress": BUSY,
    "org.bluez.Error.DoesNotExist": ABSENT,
    "org.bluez.Error.AuthenticationFailed": BOND,
    "org.freedesktop.DBus.Error.UnknownObject": ABSENT,
    "org.freedesktop.DBus.Error.UnknownMethod": ABSENT,  # what a bus answers for an object that is no longer there
    "org.freedesktop.DBus.Error.ServiceUnknown": NO_SERVICE,
    "org.freedesktop.DBus.Error.NameHasNoOwner": NO_SERVICE,
    "org.freedesktop.DBus.Error.NoReply": NO_SERVICE,
    "org.freedesktop.DBus.Error.Disconnected": NO_SERVICE,
    "org.freedesktop.DBus.Error.AccessDenied": DENIED,
}

WORDS = {
    "not paired": UNPAIRED,
    "key-missing": BOND,
    "acquired": TAKEN,  # NotPermitted: "Notify acquired", "Write acquired"
    "adapter-not-powered": OFF,
    "connection-busy": BUSY,
    "already in progress": BUSY,
    "operation in progress": BUSY,
    "connection-limit": FULL,
    "memory-allocation": FULL,
    "connection slot": FULL,
    "available connection": FULL,
    "maximum number of connections": FULL,  # CoreBluetooth, CBErrorConnectionLimitReached
    "connection-timeout": SILENT,
    "is bluetooth turned on": OFF,  # WinRT, scanner
    "access denied": DENIED,  # WinRT, GattCommunicationStatus
}
"""Parts of what bleak's other errors say, in lower case."""


def diagnose(error: BaseException) -> Diagnosis:
    """Tell what an error of bleak's, or of the system's below it, comes to."""
    match error:
        case BleakGATTProtocolError():
            return UNPAIRED if int(error.code) in WANTS_PAIRING else REFUSED
        case BleakDeviceNotFoundError():
            return ABSENT
        case BleakBluetoothNotAvailableError():
            return REASONS.get(error.reason, UNKNOWN)
        case BleakDBusError() if error.dbus_error in DBUS_NAMES:
            return DBUS_NAMES[error.dbus_error]
        case BleakError():
            return _by_words(text(error).lower())
        case PermissionError():
            return DENIED
        case TimeoutError():
            return SILENT
        case _:
            return ABORTED


def _by_words(said: str) -> Diagnosis:
    if "not found" in said and said.startswith(("adapter ", "device ")):  # bleak's manager, of BlueZ's objects
        return NO_ADAPTER if said.startswith("adapter") else ABSENT
    return next((found for words, found in WORDS.items() if words in said), ABORTED)


def kind_of(error: BleOtaError) -> Kind:
    """What `error` was before it was renamed; a link that ended by itself is `ABORTED`."""
    if isinstance(error, DeviceNotFoundError):
        return Kind.ABSENT
    return Kind.ABORTED if error.__cause__ is None else diagnose(error.__cause__).kind


def ours(error: BaseException, doing: str) -> BleOtaError:
    """The error of this package that `error` is, with `doing` at the head of its sentence."""
    found = diagnose(error)
    sentence = f"{doing}: {found.said}"
    said = text(error)
    detailed = f"{sentence} ({said})" if said else sentence
    match found.kind:
        case Kind.REFUSED:
            assert isinstance(error, BleakGATTProtocolError)  # noqa: S101 -- nothing else is REFUSED
            return AttRefusedError(doing, int(error.code))
        case Kind.UNPAIRED | Kind.BOND:
            return DeviceError(sentence, hint=found.hint)
        case Kind.ABSENT:
            return DeviceNotFoundError(sentence)
        case Kind.OFF | Kind.FORBIDDEN | Kind.TAKEN | Kind.BUSY | Kind.FULL:
            return AdapterError(detailed, hint=found.hint)
        case Kind.SILENT:
            return LinkLostError(sentence)
        case Kind.ABORTED:
            return LinkLostError(detailed)


def unusable(error: BaseException) -> AdapterError:
    """A scan that cannot begin, or Bluetooth that cannot be had, is the adapter's fault, whatever bleak calls it.

    A Bluetooth that is not there at all looks like a missing file or a refused connection: its bus.
    """
    found, said = diagnose(error), text(error)
    if found.kind in {Kind.ABORTED, Kind.SILENT, Kind.ABSENT} and isinstance(error, OSError | EOFError):
        if said and found is not SILENT:
            said = f"{NO_SERVICE.said} ({said})"  # a missing file alone is a riddle
        found = NO_SERVICE
    return AdapterError(f"Bluetooth cannot be used: {said or found.said}", hint=found.hint)


def gone(doing: str) -> LinkLostError:
    """The link ended while `doing`."""
    return LinkLostError(f"the connection dropped while {doing}")


def text(error: BaseException) -> str:
    """What `error` says, in one short line, without numbers and names that only bleak knows; "" if nothing."""
    said: object = error
    if isinstance(error, BleakBluetoothNotAvailableError):
        said = error.args[0]
    elif isinstance(error, BleakGATTProtocolError):
        said = error.args[1]
    elif isinstance(error, BleakDBusError):
        said = next(iter(error.args[1:]), error.dbus_error)  # its own reading of the details trips over what is no text
    elif isinstance(error, TimeoutError) and not error.args:
        said = SILENT.said
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror
    return clean(str(said), most=200)


@contextmanager
def bleak_errors(doing: str) -> Generator[None, None, None]:
    """Let nothing of bleak's out. The block holds one look at an object of bleak's, and nothing of ours."""
    try:
        yield
    except Exception as error:
        raise ours(error, doing) from error
