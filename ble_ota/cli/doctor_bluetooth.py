"""What `ble-ota doctor` makes of the system's Bluetooth: lines, and the command that mends each.

What is read, and how, is `doctor_system.py`'s. One cause is told in one line: of what follows from it, nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ble_ota.cli.doctor_system import GROUP, Adapter, Block, System, Trouble
from ble_ota.cli.finding import Finding

EXIT = 34  # as AdapterError's
WINDOWS_BUILD = 22000  # Windows 11; bleak 3.1.0 README, "Supports Windows 11, version 22000 and greater"
MACOS = (10, 15)  # bleak 3.1.0 README
BLUEZ = (5, 55)  # bleak 3.1.0 README, and its backends/bluezdbus/version.py

# BlueZ's versions: from, up to and without, what is wrong with them.
FAULTS = (
    # bleak 3.1.0, backends/bluezdbus/defs.py: the property "MTU" was added in 5.62
    ((5, 55), (5, 62), "does not tell how much one write may carry: 20 bytes are sent at a time, which is slow"),
    # github.com/bluez/bluez issues 509 and 363: well with 5.66
    ((5, 64), (5, 65), "drops connections and loses notifications, and may crash while a device is updated"),
)
_NEWER = "Install a newer BlueZ (Debian: `sudo apt update && sudo apt install bluez`, or a newer release)"
_OTHER = "or pass another `--radio` (`bumble:usb:0` drives a dongle without the system)"
_MOUNT = "give it the host's: `-v /run/dbus/system_bus_socket:/run/dbus/system_bus_socket`"


async def bluetooth(system: System, wanted: str = "") -> list[Finding]:
    """Look at the Bluetooth of `system`; the first line that is not ok names the cause.

    Args:
        system: Which machine.
        wanted: The adapter's name, as hci1; "" is that which bleak takes: the first with power.
    """
    if system.kind == "Linux":
        return await _linux(system, wanted)
    if system.kind == "Windows":
        return [_windows(system.version())]
    if system.kind == "Darwin":
        return [_macos(system.version())]
    says = f"{system.kind or 'this system'} has no Bluetooth that we know how to use"
    return [_no(says, "Pass another `--radio`, for example `bumble:usb:0`")]


async def _linux(system: System, wanted: str) -> list[Finding]:
    said = await system.adapters()
    if isinstance(said, Trouble):
        return [_trouble(system, said)]
    if not said:
        return [_none(system)]
    adapters = _chosen(said, wanted)
    if isinstance(adapters, Finding):
        return [adapters]
    return [*_shown(adapters, system.blocks()), _bluez(await system.bluez_version())]


# ---------------------------------------------------------------- nothing to be had


def _trouble(system: System, trouble: Trouble) -> Finding:
    """BlueZ could not be asked. Without a controller that is no wonder, and nothing to mend.

    A container sees the host's /sys, so what is missing there is missing.
    """
    if trouble in (Trouble.NO_BUS, Trouble.NO_SERVICE) and not system.controllers():
        return _none(system)
    match trouble:
        case Trouble.NO_BUS if system.contained():
            return _no("this container has no way to the system's Bluetooth", f"Run it on the host, or {_MOUNT}")
        case Trouble.NO_BUS:
            return _no("the system's D-Bus does not run", "`sudo systemctl start dbus bluetooth`")
        case Trouble.NO_SERVICE if system.contained():
            return _no("no bluetoothd runs behind this container's D-Bus", f"Run it in the host, and {_MOUNT}")
        case Trouble.NO_SERVICE:
            hint = "`sudo systemctl enable --now bluetooth` (not installed? Debian: `sudo apt install bluez`)"
            return _no("bluetoothd does not run", hint)
        case Trouble.DENIED:
            return _no("this user may not use the system's Bluetooth", _permit(*system.groups()))
        case Trouble.SILENT:
            hint = "`sudo systemctl restart bluetooth`; if that hangs, too, restart this machine: `dmesg` tells why"
            return _no("bluetoothd does not answer", hint)
        case Trouble.ODD:
            return _no("bluetoothd answers what makes no sense", "`sudo systemctl restart bluetooth`, " + _OTHER)


def _permit(listed: bool, member: bool) -> str:
    if member:
        return "See what /etc/dbus-1/system.d/bluetooth.conf and polkit's rules say of `org.bluez`, or use `sudo`"
    if listed:
        return f"Log out and in again: this session does not know yet that you are in the group `{GROUP}`"
    return f"`sudo usermod -aG {GROUP} $USER`, then log out and in again"


def _none(system: System) -> Finding:
    """BlueZ knows of no adapter; or nobody asks it, as there is none."""
    blocked = [block for block in system.blocks() if block.hard or block.soft]
    if blocked:  # some vanish from their bus when they are switched off
        return _no(f"Bluetooth is switched off ({_by(blocked)})", _unblock(blocked))
    if controllers := system.controllers():
        says = f"bluetoothd does not take the controller {', '.join(controllers)}"
        return _no(says, "`sudo systemctl restart bluetooth`; `journalctl -u bluetooth` and `dmesg` tell why")
    otherwise = f"or run it on a host that has one; in a container there, {_MOUNT}" if system.contained() else _OTHER
    return _no(
        "this machine has no Bluetooth controller", f"Plug in a Bluetooth dongle (`lsusb` shows it), {otherwise}"
    )


# ---------------------------------------------------------------- adapters


def _chosen(adapters: Sequence[Adapter], wanted: str) -> list[Adapter] | Finding:
    """All of them, that which is going to be used first."""
    if wanted:
        mine = [adapter for adapter in adapters if adapter.name == wanted]
        if not mine:
            names = ", ".join(adapter.name for adapter in adapters)
            return _no(f"there is no adapter {wanted}", f"There is {names}: `--radio bleak:{adapters[0].name}`")
    else:
        mine = sorted(adapters, key=lambda adapter: (not adapter.central, not adapter.powered))[:1]
    return mine + [adapter for adapter in adapters if adapter not in mine]


def _shown(adapters: Sequence[Adapter], blocks: Sequence[Block]) -> list[Finding]:
    used, *others = adapters
    lines = [_used(used, blocks)]
    if used.discovering and lines[0].ok:
        says = f"another program is scanning on {used.name}: devices may be found late, and connections fail"
        stuck = "if none does, `bluetoothctl power off`, then `power on` (BlueZ before 5.88, its issue 807)"
        lines.append(Finding("bluetooth", True, says, f"Close Bluetooth settings and other scanners; {stuck}"))
    rest = ", ".join(f"{o.name} {o.address} ({'on' if o.powered else 'off'})" for o in others)
    return lines + ([Finding("bluetooth", True, f"not used: {rest}")] if rest else [])


def _used(adapter: Adapter, blocks: Sequence[Block]) -> Finding:
    named = f"{adapter.name} {adapter.address}".strip()
    if not adapter.central:
        return _no(f"{named} has no Bluetooth LE, or not the role of a central", f"Plug in a newer dongle, {_OTHER}")
    if adapter.powered:
        return Finding("bluetooth", True, f"{named} is on")
    before = [b for b in blocks if b.name == adapter.name] or blocks  # laptops have switches of other names
    blocked = [block for block in before if block.hard or block.soft]
    if blocked:
        return _no(f"{named} is switched off ({_by(blocked)})", _unblock(blocked))
    choose = f"`bluetoothctl select {adapter.address}`, " if adapter.address else ""
    return _no(f"{named} is off", f"{choose}`bluetoothctl power on`" if choose else "`bluetoothctl power on`")


def _by(blocked: Sequence[Block]) -> str:
    return "rfkill: " + ", ".join(f"{b.name} {'hard' if b.hard else 'soft'} blocked" for b in blocked[:4])


def _unblock(blocked: Sequence[Block]) -> str:
    if any(block.hard for block in blocked):
        return "Use this machine's switch or key for radios, or its firmware setup; `rfkill list` shows what it did"
    return "`rfkill unblock bluetooth`, then `bluetoothctl power on`"


# ---------------------------------------------------------------- versions


def _bluez(version: str) -> Finding:
    if not (found := re.fullmatch(r"(\d+)\.(\d+)", version)):
        hint = "`bluetoothctl --version` tells it; it must be 5.55 or newer"
        return Finding("bluez", True, "its version is not to be had: no bluetoothctl here", hint)
    number = int(found[1]), int(found[2])
    if number < BLUEZ:
        return Finding("bluez", False, f"{version} is too old: {'.'.join(map(str, BLUEZ))} is needed", _NEWER, EXIT)
    known = [what for first, after, what in FAULTS if first <= number < after]
    return Finding("bluez", True, "; ".join([version, *known]), _NEWER if known else "")


def _windows(version: str) -> Finding:
    numbers = [int(n) for n in re.findall(r"\d+", version)]
    if len(numbers) > 2 and numbers[2] < WINDOWS_BUILD:
        says = f"Windows {version} is too old: Windows 11 is needed (build {WINDOWS_BUILD} or newer)"
        return _no(says, "Update Windows, or pass another `--radio`, for example `bumble:usb:0`")
    return Finding("bluetooth", True, f"through Windows {version}")


def _macos(version: str) -> Finding:
    numbers = tuple(int(n) for n in re.findall(r"\d+", version))
    if numbers and numbers < MACOS:
        return _no(f"macOS {version} is too old: 10.15 is needed", "Update macOS")
    return Finding("bluetooth", True, f"through macOS {version}")


# ---------------------------------------------------------------- what bleak said

# Names of bleak's BleakBluetoothNotAvailableReason: what it means, what to do on Windows, on macOS.
REASONS = {
    "NO_BLUETOOTH": (
        "this machine has no Bluetooth",
        "Plug in a Bluetooth dongle; Device Manager shows whether Windows takes it",
        "Plug in what has Bluetooth: a Mac without it cannot reach devices",
    ),
    "NO_BLE_CENTRAL_ROLE": (
        "this Bluetooth has no LE, or not the role of a central",
        "Plug in a newer dongle, and disable the old one in Device Manager",
        "Use a Mac with Bluetooth 4.0 or newer",
    ),
    "POWERED_OFF": (
        "Bluetooth is switched off",
        "Switch it on in Settings > Bluetooth & devices (`start ms-settings:bluetooth`); mind flight mode",
        "Switch it on in the menu bar, or in System Settings > Bluetooth",
    ),
    "DENIED_BY_USER": (
        "this terminal may not use Bluetooth",
        "Allow it in Settings > Privacy & security (`start ms-settings:privacy-radios`)",
        "Allow the terminal in System Settings > Privacy & Security > Bluetooth"
        " (asked again after `tccutil reset BluetoothAlways`), then start it anew",
    ),
    "DENIED_BY_SYSTEM": (
        "this system's policy forbids Bluetooth",
        "Ask whoever administers this machine; `gpresult /r` shows its policies",
        "Ask whoever administers this Mac; `profiles status` shows whether it is managed",
    ),
}
REASONS["DENIED_BY_UNKNOWN"] = REASONS["DENIED_BY_USER"]


def told(error: BaseException, kind: str) -> tuple[str, str] | None:
    """What a radio's error means on Windows or macOS, and what to do; None where bleak gave no reason for it."""
    cause: BaseException | None = error
    while cause is not None:
        name = getattr(getattr(cause, "reason", None), "name", "")
        if found := REASONS.get(str(name)):
            return found[0], found[2] if kind == "Darwin" else found[1]
        cause = cause.__cause__
    return None


def _no(says: str, hint: str) -> Finding:
    return Finding("bluetooth", False, says, hint, EXIT)
