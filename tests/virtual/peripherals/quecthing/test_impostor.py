from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.virtual.peripheral import Advertisement
from ble_ota.virtual.peripherals.quecthing import Habits, Impostor, QuecThing
from ble_ota.virtual.peripherals.quecthing.frame import Decoder
from ble_ota.virtual.peripherals.quecthing.impostor import Answer
from ble_ota.virtual.world import World
from tests.virtual.peripherals.quecthing.bench import frame


class Carries:
    """Keeps what the peer says and advertises."""

    max_value = 20

    def __init__(self) -> None:
        self.said = b""
        self.advertised: Advertisement | None = None

    def send(self, uuid: str, value: bytes) -> None:
        assert "9c40" in uuid
        assert len(value) <= self.max_value
        self.said += value

    def disconnect(self) -> None: ...

    def advertise(self, advertisement: Advertisement | None) -> None:
        self.advertised = advertisement


def met(tmp_path: Path, answers: Answer = "empty", *, refuses: int | None = None) -> tuple[Impostor, Carries]:
    world, carrier = World.create(tmp_path), Carries()
    impostor = Impostor(world, world.devices[0], claims="9.9.9", answers=answers, refuses=refuses)
    impostor.attach(carrier)
    impostor.connected()
    return impostor, carrier


def said(impostor: Impostor, carrier: Carries, command: int) -> list[tuple[int, int, bytes]]:
    carrier.said = b""
    impostor.written("00009c40-0000-1000-8000-00805f9b34fb", frame(command))
    return [(f.command, f.packet_id, f.data) for f in Decoder().feed(carrier.said)]


def test_it_advertises_what_the_device_does(tmp_path: Path) -> None:
    _, carrier = met(tmp_path)
    real = Carries()
    world = World.open(tmp_path)
    QuecThing(world, world.devices[0], Habits()).attach(real)
    assert carrier.advertised == real.advertised


def test_it_goes_off_the_air(tmp_path: Path) -> None:
    impostor, carrier = met(tmp_path)
    impostor.power_off()
    assert carrier.advertised is None


def test_any_login_is_taken(tmp_path: Path) -> None:
    impostor, carrier = met(tmp_path)
    assert said(impostor, carrier, 0x7032) == [(0x7033, 1000, bytes.fromhex("000b0010") + b"A" * 16)]
    assert said(impostor, carrier, 0x7034) == [(0x7035, 1000, bytes.fromhex("001a0000"))]


@pytest.mark.parametrize(
    ("answers", "payload"),
    [("empty", b""), ("clear", bytes.fromhex("00630005") + b"9.9.9"), ("garbled", bytes(16)), ("silent", None)],
)
def test_it_answers_what_needs_the_key_without_one(tmp_path: Path, answers: Answer, payload: bytes | None) -> None:
    impostor, carrier = met(tmp_path, answers)
    wanted = [] if payload is None else [(0x7041, 1000, payload)]
    assert said(impostor, carrier, 0x7040) == wanted
    assert impostor.read("2a26") == b"9.9.9"


def test_it_refuses_a_file_in_clear(tmp_path: Path) -> None:
    impostor, carrier = met(tmp_path, refuses=5)
    assert said(impostor, carrier, 0x7022) == [(0x7023, 1, bytes.fromhex("003a0005"))]
    assert impostor.heard == [0x7022]
