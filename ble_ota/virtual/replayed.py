"""A transcript's device, on an air of its own, as whoever plays a transcript needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ble_ota.errors import UsageError
from ble_ota.transcript import FILE_MAX_BYTES, Transcript, broken, parse
from ble_ota.virtual.air import Air
from ble_ota.virtual.peripherals.quecthing.replay import Replay
from ble_ota.virtual.radio import VirtualRadio

SIGHTING_S = 0.02  # between two sightings: what a replay is late by, per link


@dataclass(frozen=True, slots=True)
class Replayed:
    """A transcript on the air."""

    transcript: Transcript
    device: Replay
    """Asked for its `divergence` at the end."""
    radio: VirtualRadio


def read(file: Path) -> Transcript:
    """Read a transcript from a file. Raises `UsageError`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    if len(content) > FILE_MAX_BYTES:
        raise broken(f"it has more than {FILE_MAX_BYTES} bytes")
    return parse(content.decode("utf-8", "replace").splitlines())


def replayed(transcript: Transcript) -> Replayed:
    """Put the device of a transcript on an air that takes no time of its own.

    Raises:
        UsageError: The transcript cannot be played.
    """
    air = Air(interval_s=0.0, connect_s=0.0, advertising_interval_s=SIGHTING_S)
    device = Replay(transcript)
    air.add(device)
    return Replayed(transcript, device, VirtualRadio(air))
