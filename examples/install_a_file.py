"""Use ble-ota as a library: bring a file onto a (virtual) device, and hear what it runs afterwards."""

import asyncio
import tempfile
from pathlib import Path

from ble_ota import model, target
from ble_ota.events import Event
from ble_ota.install import Installer
from ble_ota.protocols import quecthing
from ble_ota.virtual.air import Air
from ble_ota.virtual.peripherals.quecthing import QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World

FIRMWARE = bytes(range(256)) * 16
DIGEST = model.Digest(model.Algorithm.SHA256, model.Algorithm.SHA256.hex(FIRMWARE))
FILE = model.PlannedFile("", len(FIRMWARE), (DIGEST,), name="firmware.bin")
PART = model.Component("", model.ComponentKind.MODULE, "2.0.0", "", (FILE,))


def tell(event: Event) -> None:
    if not event.name.endswith(".progress"):
        print(event.name)


async def main(folder: Path) -> None:
    world, air = World.create(folder), Air()
    air.add(QuecThing(world, world.devices[0]))
    radio = VirtualRadio(air)  # a real one: ble_ota.gatt.bleak_radio.BleakRadio()
    secret = model.Secret(world.devices[0].binding_code)  # a real one: the account's bindingCode
    found = await target.find(radio, [quecthing.driver(quecthing.Options())], target.Wanted())
    device = target.describe(found, await target.look(found, radio, secret, emit=tell, purpose="identify"))
    image = model.VerifiedImage.check(FILE, FIRMWARE)
    installed = await Installer(found, device, radio, secret, tell).install(PART, [image])
    print(f"{installed.version_before} -> {installed.version}, said by the {installed.proof}")


with tempfile.TemporaryDirectory() as scratch:
    asyncio.run(main(Path(scratch)))
