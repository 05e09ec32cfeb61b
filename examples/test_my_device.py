"""A test of one's own against the virtual device, through the shipped fixtures: `pytest examples/test_my_device.py`."""

import pytest

from ble_ota.errors import DeclinedByDeviceError
from ble_ota.events import silent
from ble_ota.install import Installer
from ble_ota.model import Algorithm, Component, ComponentKind, DeviceInfo, Digest, PlannedFile, Secret, VerifiedImage
from ble_ota.protocols import quecthing
from ble_ota.target import Wanted, find
from ble_ota.virtual.peripherals.quecthing import Habits, QuecThing
from ble_ota.virtual.radio import VirtualRadio

pytest_plugins = ["ble_ota.virtual.fixtures"]

FIRMWARE = b"my firmware" * 100
FILE = PlannedFile("", len(FIRMWARE), (Digest(Algorithm.SHA256, Algorithm.SHA256.hex(FIRMWARE)),))
PART = Component("", ComponentKind.MODULE, "2.0.0", "", (FILE,))


async def install(device: QuecThing, radio: VirtualRadio) -> str:
    target = await find(radio, [quecthing.driver(quecthing.Options())], Wanted())
    info = DeviceInfo(device.address, "", target.product_key, target.device_key, {"": "1.0.0"})
    installer = Installer(target, info, radio, Secret(device.world.devices[0].binding_code), silent)
    return (await installer.install(PART, [VerifiedImage.check(FILE, FIRMWARE)])).version


@pytest.mark.looptime
async def test_my_firmware_arrives(virtual_device: QuecThing, virtual_radio: VirtualRadio) -> None:
    assert await install(virtual_device, virtual_radio) == "2.0.0"
    assert virtual_device.running("MAIN") == FIRMWARE


@pytest.mark.looptime
async def test_a_device_that_says_no_is_believed(virtual_device: QuecThing, virtual_radio: VirtualRadio) -> None:
    virtual_device.habits = Habits(declines=True)
    with pytest.raises(DeclinedByDeviceError):
        await install(virtual_device, virtual_radio)
