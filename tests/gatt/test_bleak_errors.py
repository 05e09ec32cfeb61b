"""Every sentence and hint that a failure of Bluetooth comes to, in tables."""

from __future__ import annotations

import pytest
from bleak import exc

from ble_ota.errors import (
    AdapterError,
    AttRefusedError,
    BleOtaError,
    DeviceError,
    DeviceNotFoundError,
    LinkLostError,
)
from ble_ota.gatt.bleak_errors import PAIR_HINT, Kind, bleak_errors, diagnose, gone, kind_of, ours, text, unusable

WHY = exc.BleakBluetoothNotAvailableReason
FAILED, BUS = "org.bluez.Error.Failed", "org.freedesktop.DBus.Error"
ON = "Switch Bluetooth on (Linux: `bluetoothctl power on`, and `rfkill unblock bluetooth` where it is blocked)"
SERVICE = "Start the system's Bluetooth (Linux: `systemctl restart bluetooth`); `ble-ota doctor` looks further"
ALLOW = "Allow this program to use Bluetooth in the system's settings; `ble-ota doctor` tells how"
PLUG = "Plug it in, and see `ble-ota doctor`"
CLOSE = "Close other programs that scan or connect, then run the same command again"
SHARE = "Close what else uses the device on this computer, then again"
FEWER = "Update fewer devices at once, disconnect others, or use a second adapter"
UNFIT = "Use an adapter for Bluetooth Low Energy, 4.0 or newer"
PAIR = (
    "Make the device ready to pair, and if this computer has paired with it before, remove it from the system's "
    "Bluetooth settings (Linux: `bluetoothctl remove ADDRESS`); then run the same command again"
)
AGAIN, SEE, LOOK = LinkLostError.hint, DeviceNotFoundError.hint, AdapterError.hint
REFUSES = AttRefusedError.hint


def off(reason: exc.BleakBluetoothNotAvailableReason) -> exc.BleakError:
    return exc.BleakBluetoothNotAvailableError("It is so", reason)


def dbus(name: str, *body: str) -> exc.BleakError:
    return exc.BleakDBusError(name, list(body))


Row = tuple[BaseException, Kind, type[BleOtaError], str, str]
ROWS: list[Row] = [
    (
        exc.BleakGATTProtocolError(0x03),
        Kind.REFUSED,
        AttRefusedError,
        "the device refused with ATT error 0x03",
        REFUSES,
    ),
    (
        exc.BleakGATTProtocolError(0x80),
        Kind.REFUSED,
        AttRefusedError,
        "the device refused with ATT error 0x80",
        REFUSES,
    ),
    (exc.BleakGATTProtocolError(0x05), Kind.UNPAIRED, DeviceError, "the device wants to be paired first", PAIR),
    (exc.BleakGATTProtocolError(0x0C), Kind.UNPAIRED, DeviceError, "the device wants to be paired first", PAIR),
    (exc.BleakGATTProtocolError(0x0F), Kind.UNPAIRED, DeviceError, "the device wants to be paired first", PAIR),
    (
        dbus("org.bluez.Error.NotPermitted", "Not paired"),
        Kind.UNPAIRED,
        DeviceError,
        "the device wants to be paired first",
        PAIR,
    ),
    (
        dbus(FAILED, "le-connection-key-missing"),
        Kind.BOND,
        DeviceError,
        "the device or this computer has forgotten their pairing",
        PAIR,
    ),
    (
        dbus("org.bluez.Error.AuthenticationFailed", "Authentication Failed"),
        Kind.BOND,
        DeviceError,
        "the device or this computer has forgotten their pairing",
        PAIR,
    ),
    (exc.BleakDeviceNotFoundError("C0"), Kind.ABSENT, DeviceNotFoundError, "the device does not answer", SEE),
    (dbus(f"{BUS}.UnknownObject", "x"), Kind.ABSENT, DeviceNotFoundError, "the device does not answer", SEE),
    (dbus(f"{BUS}.UnknownMethod", "x"), Kind.ABSENT, DeviceNotFoundError, "the device does not answer", SEE),
    (dbus("org.bluez.Error.DoesNotExist"), Kind.ABSENT, DeviceNotFoundError, "the device does not answer", SEE),
    (exc.BleakError("device 'dev_C0' not found"), Kind.ABSENT, DeviceNotFoundError, "the device does not answer", SEE),
    (off(WHY.POWERED_OFF), Kind.OFF, AdapterError, "Bluetooth is switched off (It is so)", ON),
    (
        dbus("org.bluez.Error.NotReady", "Resource Not Ready"),
        Kind.OFF,
        AdapterError,
        "Bluetooth is switched off (Resource Not Ready)",
        ON,
    ),
    (
        dbus(FAILED, "le-connection-adapter-not-powered"),
        Kind.OFF,
        AdapterError,
        "Bluetooth is switched off (le-connection-adapter-not-powered)",
        ON,
    ),
    (
        exc.BleakError("Failed to start scanner. Is Bluetooth turned on?"),
        Kind.OFF,
        AdapterError,
        "Bluetooth is switched off (Failed to start scanner. Is Bluetooth turned on?)",
        ON,
    ),
    (off(WHY.UNKNOWN), Kind.OFF, AdapterError, "Bluetooth is not available (It is so)", LOOK),
    (off(WHY.NO_BLUETOOTH), Kind.OFF, AdapterError, "there is no such Bluetooth adapter (It is so)", PLUG),
    (
        exc.BleakError("adapter 'hci7' not found"),
        Kind.OFF,
        AdapterError,
        "there is no such Bluetooth adapter (adapter 'hci7' not found)",
        PLUG,
    ),
    *(
        (
            dbus(f"{BUS}.{name}", "gone"),
            Kind.OFF,
            AdapterError,
            "the system's Bluetooth service is not there (gone)",
            SERVICE,
        )
        for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected")
    ),
    (off(WHY.NO_BLE_CENTRAL_ROLE), Kind.FORBIDDEN, AdapterError, "the adapter is no central (It is so)", UNFIT),
    *(
        (off(reason), Kind.FORBIDDEN, AdapterError, "the system does not let us use Bluetooth (It is so)", ALLOW)
        for reason in (WHY.DENIED_BY_USER, WHY.DENIED_BY_SYSTEM, WHY.DENIED_BY_UNKNOWN)
    ),
    (
        dbus(f"{BUS}.AccessDenied", "rules"),
        Kind.FORBIDDEN,
        AdapterError,
        "the system does not let us use Bluetooth (rules)",
        ALLOW,
    ),
    (
        exc.BleakError("Could not get GATT services: Access Denied"),
        Kind.FORBIDDEN,
        AdapterError,
        "the system does not let us use Bluetooth (Could not get GATT services: Access Denied)",
        ALLOW,
    ),
    (
        PermissionError(13, "Permission denied"),
        Kind.FORBIDDEN,
        AdapterError,
        "the system does not let us use Bluetooth (Permission denied)",
        ALLOW,
    ),
    (
        dbus("org.bluez.Error.NotPermitted", "Notify acquired"),
        Kind.TAKEN,
        AdapterError,
        "another program has taken the device (Notify acquired)",
        SHARE,
    ),
    (
        dbus("org.bluez.Error.InProgress", "Operation already in progress"),
        Kind.BUSY,
        AdapterError,
        "the adapter is busy (Operation already in progress)",
        CLOSE,
    ),
    (
        dbus(FAILED, "le-connection-busy"),
        Kind.BUSY,
        AdapterError,
        "the adapter is busy (le-connection-busy)",
        CLOSE,
    ),
    (dbus(FAILED, "Operation already in progress"), Kind.BUSY, AdapterError, "the adapter is busy", CLOSE),
    (exc.BleakError("Operation in progress"), Kind.BUSY, AdapterError, "the adapter is busy", CLOSE),
    *(
        (
            exc.BleakError(said),
            Kind.FULL,
            AdapterError,
            f"the adapter holds as many links as it can ({said})",
            FEWER,
        )
        for said in (
            "le-connection-concurrent-connection-limit",
            "le-connection-memory-allocation",
            "No free connection slot",
            "no available connection",
            "The system has reached the maximum number of connections",
        )
    ),
    (TimeoutError(), Kind.SILENT, LinkLostError, "no answer in time", AGAIN),
    (dbus(FAILED, "le-connection-timeout"), Kind.SILENT, LinkLostError, "no answer in time", AGAIN),
    (
        dbus(FAILED, "le-connection-abort-by-local"),
        Kind.ABORTED,
        LinkLostError,
        "the connection dropped (le-connection-abort-by-local)",
        AGAIN,
    ),
    (exc.BleakError("any"), Kind.ABORTED, LinkLostError, "the connection dropped (any)", AGAIN),
    (dbus("org.bluez.Error.Odd"), Kind.ABORTED, LinkLostError, "the connection dropped (org.bluez.Error.Odd)", AGAIN),
    (
        exc.BleakCharacteristicNotFoundError(7),
        Kind.ABORTED,
        LinkLostError,
        "the connection dropped (Characteristic 7 was not found!)",
        AGAIN,
    ),
    (
        OSError(104, "Connection reset by peer"),
        Kind.ABORTED,
        LinkLostError,
        "the connection dropped (Connection reset by peer)",
        AGAIN,
    ),
    (EOFError(), Kind.ABORTED, LinkLostError, "the connection dropped", AGAIN),
    (AssertionError(), Kind.ABORTED, LinkLostError, "the connection dropped", AGAIN),
    (AttributeError("no bus"), Kind.ABORTED, LinkLostError, "the connection dropped (no bus)", AGAIN),
    (NotImplementedError("no"), Kind.ABORTED, LinkLostError, "the connection dropped (no)", AGAIN),
]
PUBLIC = {c for c in vars(exc).values() if isinstance(c, type) and issubclass(c, Exception)}


def named(row: object) -> str | None:
    return f"{type(row).__name__}-{row}"[:60] if isinstance(row, BaseException) else None


def test_every_exception_of_bleak_is_in_the_table() -> None:
    assert {type(error) for error, *_ in ROWS} >= PUBLIC


def test_every_kind_is_in_the_table() -> None:
    assert {kind for _, kind, *_ in ROWS} == set(Kind)


def test_every_reason_of_bleak_is_in_the_table() -> None:
    said = {e.reason for e, *_ in ROWS if isinstance(e, exc.BleakBluetoothNotAvailableError)}
    assert said == set(WHY)


@pytest.mark.parametrize(("error", "kind", "cls", "said", "hint"), ROWS, ids=named)
def test_an_error_of_a_link_has_its_sentence_and_hint(
    error: BaseException, kind: Kind, cls: type[BleOtaError], said: str, hint: str
) -> None:
    found = ours(error, "reading")
    assert (diagnose(error).kind, type(found), found.hint) == (kind, cls, hint)
    assert str(found).startswith(f"reading: {said}")
    assert "\n" not in str(found)
    assert found.hint


@pytest.mark.parametrize(("error", "hint"), [(error, hint) for error, *_, hint in ROWS], ids=named)
def test_a_scan_that_cannot_begin_is_the_adapters_fault(error: BaseException, hint: str) -> None:
    found = unusable(error)
    assert type(found) is AdapterError
    assert str(found).startswith("Bluetooth cannot be used: ")
    assert text(error) in str(found)
    assert not str(found).endswith(": ")
    assert found.hint in {hint, LOOK, SERVICE}


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file"), EOFError(), ConnectionRefusedError(111, "no")])
def test_a_bus_that_is_not_there_is_a_service_that_is_not_there(error: Exception) -> None:
    found = unusable(error)
    assert str(found).startswith("Bluetooth cannot be used: the system's Bluetooth service is not there")
    assert found.hint == SERVICE


def test_a_refusal_keeps_its_code() -> None:
    refused = ours(exc.BleakGATTProtocolError(0x80), "reading")
    assert isinstance(refused, AttRefusedError)
    assert refused.code == 0x80


def test_a_reason_that_only_bleak_knows_stays_inside() -> None:
    assert "Reason" not in str(ours(off(WHY.POWERED_OFF), "x")) + str(unusable(off(WHY.POWERED_OFF)))


@pytest.mark.parametrize("make", [lambda e: ours(e, "reading"), unusable])
def test_what_a_system_says_is_cut_and_cleaned(make: object) -> None:
    assert callable(make)
    said = str(make(exc.BleakError("x\n\x1b[31m" * 10_000)))
    assert len(said) < 300
    assert said.isprintable()


def test_details_that_are_no_text_do_not_trip() -> None:
    assert "5" in str(ours(exc.BleakDBusError(FAILED, [5]), "reading"))


def test_the_border_renames_and_keeps_the_cause() -> None:
    cause = KeyError("path")
    with pytest.raises(LinkLostError, match="reading: the connection dropped") as lost, bleak_errors("reading"):
        raise cause
    assert lost.value.__cause__ is cause


def test_a_renamed_error_still_tells_its_kind() -> None:
    with pytest.raises(AdapterError) as busy, bleak_errors("x"):
        raise dbus("org.bluez.Error.InProgress")
    assert kind_of(busy.value) is Kind.BUSY


def test_a_device_that_was_not_heard_is_absent() -> None:
    assert kind_of(DeviceNotFoundError("not heard")) is Kind.ABSENT


def test_a_link_that_went_by_itself_is_aborted() -> None:
    assert kind_of(gone("reading")) is Kind.ABORTED
    assert str(gone("reading")) == "the connection dropped while reading"


def test_the_hint_for_pairing_is_the_one_of_the_table() -> None:
    assert PAIR_HINT == PAIR
