"""Runs with a virtual device on the in-memory air, taken down as transcripts; and lines of one made by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ble_ota.cli.verdict import Ended, aborted, of_error, of_outcome
from ble_ota.delivery import Marks, NoMarks
from ble_ota.errors import BleOtaError
from ble_ota.events import Event
from ble_ota.install import Installer, Patience
from ble_ota.link import uuid16
from ble_ota.model import Done, Secret
from ble_ota.tape import Recorder
from ble_ota.target import identify
from ble_ota.transcript import Transcript, parse
from tests.bench import PATIENCE, Bench, images, planned


@dataclass(slots=True)
class Taped:
    """What a run left."""

    ended: Ended
    events: list[Event]
    lines: list[str] = field(default_factory=list[str])

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def transcript(self) -> Transcript:
        return parse(self.lines)


NO_MARKS = NoMarks()


async def taped(
    on: Bench,
    patience: Patience = PATIENCE,
    *,
    marks: Marks = NO_MARKS,
    secret: Secret | None = None,
    known: Mapping[str, str] | None = None,
) -> Taped:
    """Do what `update` does with a device, from the first look to the last, with a recorder.

    `known` is what the Developer Center says that it runs, where the device itself does not.
    """
    lines: list[str] = []
    recorder = Recorder(lines.append, asyncio.get_running_loop().time)
    recorder.begin("update")
    target = await on.target()
    options = asdict(on.options) | {"version_ids": dict(on.options.version_ids)}
    keys = target.product_key, target.device_key
    recorder.meet(target.advert, keys, target.driver.name, options, asdict(patience))
    emit, secret = on.events.append, secret or on.secret
    try:
        device = await identify(target, on.radio, secret, emit=emit, recorder=recorder)
        device = replace(device, versions=known or device.versions)
        more = (patience, marks, None, recorder)
        installer = Installer(target, device, on.radio, secret, emit, *more)
        parts = range(len(on.world.components))
        done = [await installer.install(planned(on.world, at), images(on.world, at)) for at in parts]
        ended = of_outcome(Done(tuple(done)))
    except BleOtaError as error:
        ended = of_error(error)
    except asyncio.CancelledError:
        ended = aborted(130)
    recorder.end(ended.verdict.value, ended.reason, ended.exit_code)
    return Taped(ended, on.events, lines)


ADVERT = {
    "address": "C0:DE:B0:E0:00:01",
    "name": "QUEC_BLE_0001",
    "rssi_dbm": -50,
    "services": [uuid16(0x180A)],
    "manufacturer": {"21841": "454300010670313176575106b0e0c0de0001001004"},
}
HEAD = {"v": 1, "transcript": "ble-ota", "tool": "0.1.0", "command": "update"}
DEVICE = {
    "driver": "quecthing",
    "options": {"login": False},
    "patience": {"links": 2},
    "product_key": "p11vWQ",
    "device_key": "B0E0C0DE0001",
    "advert": ADVERT,
}
CHARACTERISTICS = [
    {"handle": 16, "uuid": uuid16(0x9C40), "service": uuid16(0x180A), "max_write": 244},
    {"handle": 18, "uuid": uuid16(0x2A26), "service": uuid16(0x180A), "max_write": 244},
]
PART = {
    "no": "MAIN",
    "kind": "MODULE",
    "target_version": "1.1.0",
    "versions": {"": "1.0.0"},
    "files": [{"size": 3, "algorithms": ["sha256"], "name": "f"}],
    "mark": None,
}
END = {"t": 99.0, "end": {"verdict": "PASS", "reason": "verified", "exit_code": 0}}
Line = Mapping[str, Any]


def link(*entries: Line, at_s: float = 0.0, purpose: str = "identify", left: str = "") -> list[Line]:
    """The lines of one link; the entries without a time of their own come with it."""
    head = {"t": at_s, "link": purpose, "address": ADVERT["address"], "characteristics": CHARACTERISTICS}
    return [head, *({"t": at_s} | dict(e) for e in entries), {"t": at_s + 50, "unlinked": left}]


def out(command: int, packet_id: int = 1000, fields: Line | None = None, **more: object) -> Line:
    return {"out": f"{command:04x}", "id": packet_id, "fields": fields or {}, **more}


def heard(command: int, packet_id: int = 1000, fields: Line | None = None, **more: object) -> Line:
    return {"in": f"{command:04x}", "id": packet_id, "fields": fields or {}, **more}


def written(lines: Iterable[Line], *, device: Line | None = None, end: Line | None = END) -> list[str]:
    """A transcript by hand, as its lines."""
    whole = [HEAD, {"t": 0.0, "device": device or DEVICE}, *lines, *([end] if end is not None else [])]
    return [json.dumps(line) for line in whole]
