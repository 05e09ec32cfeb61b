"""The words of QuecThing's file transfer: commands, ids, actions, and how each is checked when it is read.

Source: Quectel's BLE protocol page of 2022, in Chinese and English, which agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from ble_ota.errors import MalformedError
from ble_ota.model import Algorithm, Component, ComponentKind, VerifiedImage
from ble_ota.protocols.quecthing import frame
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import Options
from ble_ota.protocols.quecthing.ttlv import Field, Value

QUERY, QUERY_ANSWER = 0x7020, 0x7021
NOTIFY = 0x7022
CONTROL, CONTROL_ANSWER = 0x7023, 0x7024
PACKET, PACKET_ANSWER = 0x7025, 0x7026

TYPE, NAME, ALGORITHM, CHECK_CODE, SIZE = 1, 3, 4, 5, 6  # of a file
ACTION, DELAY, CHUNK = 7, 8, 11  # of a control
OFFSET, DATA = 9, 10  # of a packet
VERSION = 12

FOTA = 1  # file type
ALGORITHM_NUMBER = {Algorithm.MD5: 0, Algorithm.CRC32: 1, Algorithm.SHA256: 2}
PAUSE_MAX_S = 3600.0  # our choice: what is longer is no pause
# What frame.OVERHEAD leaves of the longest frame, less the heads of two fields and the padding of AES, rounded up
CHUNK_MAX = frame.LEN_MAX - 64


class Action(IntEnum):
    """What a transfer control (0x7023) asks for."""

    DECLINE = 1
    RECEIVE = 2
    PAUSE = 3
    PROCEED = 4
    CANCEL = 5
    SUCCESS = 6
    FAILURE = 7


@dataclass(frozen=True, slots=True)
class Control:
    """A transfer control of the device that the conversation itself waits for."""

    action: Action
    fields: Mapping[int, Value]
    frame: Frame


def offer(options: Options, component: Component, image: VerifiedImage) -> tuple[Field, ...]:
    """What a file is announced with; its check code is the strongest digest that the plan has."""
    digest = next(d for algorithm in Algorithm if (d := image.file.digest(algorithm)))
    code = digest.hex.encode() if options.check_code == "hex" else bytes.fromhex(digest.hex)
    name = image.file.name.encode()
    return (
        Field(TYPE, FOTA if component.kind is ComponentKind.MODULE else options.file_type_mcu),
        *((Field(NAME, name),) if name else ()),
        Field(ALGORITHM, ALGORITHM_NUMBER[digest.algorithm]),
        Field(CHECK_CODE, code),
        Field(SIZE, image.size_bytes),
        Field(VERSION, component.target_version.encode()),
    )


def action_of(fields: Mapping[int, Value]) -> Action:
    """The action of a control. Raises `MalformedError`."""
    said = fields.get(ACTION)
    if isinstance(said, bool) or not isinstance(said, int) or said not in Action.__members__.values():
        msg = f"the device sent a transfer control with the action {said!r}"
        raise MalformedError(msg)
    return Action(said)


def delay_s(fields: Mapping[int, Value]) -> float:
    """How long a pause lasts, in seconds. Raises `MalformedError`."""
    said = fields.get(DELAY)
    if isinstance(said, bool) or not isinstance(said, int | Decimal) or not 0 < said <= PAUSE_MAX_S:
        msg = f"the device paused with the delay {said!r}, which must be above 0 and at most {PAUSE_MAX_S:g} s"
        raise MalformedError(msg)
    return float(said)


def chunk_of(fields: Mapping[int, Value], options: Options, *, sealed: bool) -> int:
    """Bytes of data per packet, from the device's maximum packet length.

    Raises:
        MalformedError: It named none, or one with no room for data.
    """
    said = fields.get(CHUNK)
    if isinstance(said, bool) or not isinstance(said, int) or said < 1:
        msg = f"the device accepted the file with the maximum packet length {said!r}"
        raise MalformedError(msg)
    room = min(said, CHUNK_MAX)
    if options.packet_bound == "frame":
        room -= packet_overhead(sealed=sealed)
    if room < 1:
        msg = f"a maximum packet length of {said} leaves no room for data"
        raise MalformedError(msg)
    return room


def packet_overhead(*, sealed: bool) -> int:
    """Bytes of a packet's frame beyond its data, before stuffing, at the most.

    Frame 9, offset field 2 + 1 + 4 (files are under 4 GiB), data field 2 + 2, and up to 16 of AES padding.
    """
    return frame.OVERHEAD + 7 + 4 + (16 if sealed else 0)
