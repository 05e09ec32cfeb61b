"""From settings to what is behind them: radio, protocols, secrets."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from ble_ota.errors import (
    ExtraMissingError,
    UsageError,
)
from ble_ota.gatt.bumble_options import LinkOptions
from ble_ota.link import Radio
from ble_ota.protocols import AnyDriver, drivers
from ble_ota.protocols.quecthing import Options
from ble_ota.settings import Settings
from ble_ota.vault import LazyVault, Vault, open_vault

BONDS = "bonds"  # folder of the state folder: keys of devices that a controller of one's own has paired with


def vault_of(settings: Settings) -> Vault:
    """Where secrets live; the keyring is looked for at the first use, which belongs in a thread."""
    return LazyVault(partial(open_vault, settings.state_dir, use_keyring=settings.keyring))


def drivers_of(settings: Settings) -> dict[str, AnyDriver]:
    """The protocols, with what their sources leave open settled."""
    said = settings.quecthing
    return drivers(
        quecthing_options=Options(
            login=said.login,
            encrypt_transfer=said.encrypt_transfer,
            check_code=said.check_code,
            packet_bound=said.packet_bound,
            file_type_mcu=said.file_type_mcu,
            version_ids=said.version_ids,
        )
    )


@asynccontextmanager
async def radio_of(settings: Settings) -> AsyncGenerator[Radio, None]:
    """The radio that `--radio` names.

    Raises:
        UsageError: There is no such kind.
        ExtraMissingError: Bumble is not installed.
        AdapterError: It cannot be opened.
        StorageError: The bonds of a controller of one's own cannot be read.
    """
    kind, _, where = settings.radio.partition(":")
    if kind == "bleak":
        from ble_ota.gatt.bleak_radio import BleakRadio

        yield BleakRadio(adapter=where)
    elif kind == "bumble" and where:
        with needing("bumble", "a controller of one's own"):
            from ble_ota.gatt import bumble_radio
        bonds = settings.state_dir / BONDS
        async with bumble_radio.open_radio(where, _options(settings), bonds=bonds) as radio:
            yield radio
    elif kind == "virtual" and where:
        async with _virtual_radio(Path(where)) as radio:
            yield radio
    else:
        msg = f"there is no radio {settings.radio!r}"
        raise UsageError(msg, hint="It is bleak, bleak:hci1, bumble:usb:0 (or bumble:usb:0,usb:1), or virtual:DIR")


MACHINE = "this machine's controllers"
"""The place of the system's Bluetooth and of every controller that is plugged into this machine."""
_NEXT_CONTROLLER = re.compile(r",(?=[a-z-]+(?::|,|$))")  # serial ports have commas of their own
_METADATA = re.compile(r"\[\w+=[^\]]*\]")  # Bumble's `tcp-client:[key=value]HOST:PORT`


def fixed_radio(radio: str) -> str:
    """Return `radio` so that it means the same in every working folder: that of a virtual world is resolved."""
    kind, _, where = radio.partition(":")
    return f"virtual:{os.path.realpath(where)}" if kind == "virtual" and where else radio


def places_of(radio: str) -> tuple[str, ...]:
    """Return where `radio` reaches devices; two radios with a place in common may reach the same device.

    The system's Bluetooth and all controllers of this machine are one place, since a person sees one device. A virtual
    world is a place of its own, and so is a controller behind TCP: its HOST:PORT, in lower case. Two names of one
    host are two places.

    Args:
        radio: As in the setting `radio`. One that does not exist belongs to this machine.
    """
    kind, _, where = radio.partition(":")
    if kind == "virtual":
        return (fixed_radio(radio),)
    if kind != "bumble":
        return (MACHINE,)
    return tuple(sorted({_controller_place(name) for name in _NEXT_CONTROLLER.split(where)}))


def _controller_place(name: str) -> str:
    kind, _, where = name.partition(":")
    return f"tcp-client:{_METADATA.sub('', where).lower()}" if kind == "tcp-client" else MACHINE


def _options(settings: Settings) -> LinkOptions:
    said = settings.bumble
    return LinkOptions(said.interval_ms, said.phy == "2M", said.data_bytes, said.mtu, said.supervision_s, said.links)


@asynccontextmanager
async def _virtual_radio(folder: Path) -> AsyncGenerator[Radio, None]:
    with needing("virtual", "a virtual world"):
        from ble_ota.gatt import bumble_backend
        from ble_ota.virtual.place import place
        from ble_ota.virtual.world import World
    async with AsyncExitStack() as powered:
        with _usable():
            host = await powered.enter_async_context(place(World.open(folder)))
        yield await powered.enter_async_context(bumble_backend.radio(host, f"of {folder}"))


def virtual_cloud(settings: Settings) -> Path | None:
    """The folder of the virtual world whose Developer Center `--cloud` names, if it names one."""
    kind, _, where = settings.cloud.partition(":")
    return Path(where) if kind == "virtual" and where else None


@asynccontextmanager
async def cloud_at(settings: Settings) -> AsyncGenerator[str, None]:
    """Where the Developer Center is that `--cloud` names; that of a virtual world is served here for the block.

    Raises:
        UsageError: The virtual world cannot be used.
        ExtraMissingError: What serves it is not installed.
    """
    folder = virtual_cloud(settings)
    if folder is None:
        yield settings.cloud
        return
    with needing("virtual", "a virtual world"):
        from ble_ota.virtual.developer_center import DeveloperCenter, serve
        from ble_ota.virtual.world import World
    with _usable():
        center = DeveloperCenter.of(World.open(folder))
    async with serve(center) as url:
        yield url


@contextmanager
def _usable() -> Generator[None, None, None]:
    """A virtual world that cannot be used is a sentence."""
    from ble_ota.virtual.world import WorldError

    try:
        yield
    except (WorldError, OSError) as error:
        raise UsageError(str(error), hint="`ble-ota virtual cloud --world DIR` makes one") from error


@contextmanager
def needing(extra: str, what: str) -> Generator[None, None, None]:
    """Import what an extra brings; a missing one is a sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ble_ota":
            raise  # ours, so a bug
        raise ExtraMissingError(extra, what) from error
