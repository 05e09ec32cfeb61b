from __future__ import annotations

from ble_ota.link import Characteristic, LinkFacts, uuid16
from ble_ota.protocols.quecthing import Options, driver
from ble_ota.script import Subscribe
from tests.protocols.conversation import DONE, play

FACTS = LinkFacts("C0:DE:B0:E0:00:01", (Characteristic(3, uuid16(0x9C40), uuid16(0x180A), 20),))


def test_the_driver_is_called_quecthing() -> None:
    assert driver(Options()).name == "quecthing"


def test_a_session_is_opened_with_the_drivers_options() -> None:
    options = Options(login=False, check_code="hex")
    assert play(driver(options).open(FACTS, None), (Subscribe(3), DONE)).options is options
