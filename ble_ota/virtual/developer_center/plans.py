"""An upgrade plan in either of the two published shapes; pure.

`components` is the model of the vendor's Bluetooth SDK of 2022, with one `fileSign` per file; `comVerList` that of its
newer OTA kit, with three checksums per file, file names, and the keys of product and device.

*Inferred*: a plan keeps its id while the target versions stay the same, whatever part of it is already done.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ble_ota.virtual.developer_center.faults import Faults
from ble_ota.virtual.world import World, WorldComponent, WorldDevice, WorldFile, WorldOnline

PlanShape: TypeAlias = Literal["components", "comVerList"]
SignType: TypeAlias = Literal["SHA256", "MD5", "CRC32"]

STARTS_MS = 1_767_225_600_000  # 2026-01-01, and the end 2100-01-01: a plan must not change from query to query
ENDS_MS = 4_102_444_800_000

OTHER_PRODUCT = "p99XYZ"
BELOW_ANY = "0.0.1"
UNPRINTABLE = "Fixes\x1b[2J\x07 \u202etxet\u2066\x85\r\x00everything"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan asks of a device, and what it tells people."""

    battery_percent: int = 20
    signal_dbm: int = -100
    notes: str = "A virtual release"


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything a plan is written from."""

    world: World
    device: WorldDevice | WorldOnline
    pending: Sequence[tuple[int, WorldComponent, str]]
    """Place in the plan, component, and the version it runs now."""
    terms: Terms
    link: Callable[[WorldFile], str]
    """Gives the address a file can be downloaded from."""
    sign_type: SignType = "SHA256"
    upgrade_status: int = 0
    faults: Faults = Faults()  # noqa: RUF009 -- frozen

    @property
    def plan_id(self) -> int:
        """See the function of this name."""
        return plan_id(self.world, self._product_key)

    @property
    def notes(self) -> str:
        """What people read."""
        return UNPRINTABLE if self.faults.plan_control_characters else self.terms.notes

    @property
    def product_key(self) -> str:
        """Whose plan this says it is."""
        return OTHER_PRODUCT if self.faults.plan_for_other_product else self._product_key

    @property
    def _product_key(self) -> str:
        return self.world.online_product if isinstance(self.device, WorldOnline) else self.world.product_key

    def target(self, component: WorldComponent) -> str:
        """Where this component is to go."""
        return BELOW_ANY if self.faults.plan_downgrade else component.target

    def size_bytes(self, file: WorldFile) -> int:
        """How large the plan says this file is."""
        return file.size_bytes + 1 if self.faults.plan_wrong_size else file.size_bytes

    def sums(self, file: WorldFile) -> Mapping[str, str]:
        """The digests of this file by their `signType`; none at all where that is the fault."""
        if self.faults.plan_without_digest:
            return {}
        path = self.world.folder / "firmware" / file.name
        md5, crc32 = _weak_sums(path, path.stat().st_mtime_ns)
        return {"SHA256": file.sha256, "MD5": md5, "CRC32": crc32}


def plan_id(world: World, product_key: str) -> int:
    """Name the plan of one of the world's products by what it installs; 31 bits."""
    goals = [product_key, *(f"{c.no}={c.target}" for c in world.components)]
    return zlib.crc32("\n".join(goals).encode()) & 0x7FFFFFFF


def written(offer: Offer, shape: PlanShape) -> dict[str, Any]:
    """Write the plan down as the `data` of an answer."""
    return _components(offer) if shape == "components" else _com_ver_list(offer)


def _components(offer: Offer) -> dict[str, Any]:
    plan: dict[str, Any] = {
        "components": [_component(offer, *pending) for pending in offer.pending],
        "planInfo": {
            "planId": offer.plan_id,
            "batteryLevelLimit": offer.terms.battery_percent,
            "minSignalIntensity": offer.terms.signal_dbm,
            "useSpace": -(-sum(_space(component) for _, component, _ in offer.pending) // 1024),
        },
    }
    if offer.faults.plan_for_other_product:  # this shape has no place for it; the newer one's is borrowed
        plan["productKey"] = offer.product_key
    return plan


def _component(offer: Offer, sort: int, component: WorldComponent, running: str) -> dict[str, Any]:
    return {
        "componentNo": component.no,
        "componentType": component.kind,
        "componentVersions": [_file(offer, at, file) for at, file in enumerate(component.files)],
        "dataType": int(component.delta),
        "info": offer.notes,
        "sort": sort,
        "sourceVersion": running,
        "targetVersion": offer.target(component),
    }


def _file(offer: Offer, sort: int, file: WorldFile) -> dict[str, Any]:
    known = {"fileUrl": offer.link(file), "fileSize": offer.size_bytes(file), "sort": sort}
    digest = offer.sums(file).get(offer.sign_type)
    return known if digest is None else known | {"fileSign": digest}


def _com_ver_list(offer: Offer) -> dict[str, Any]:
    return {
        "planId": offer.plan_id,
        "planName": "Virtual plan",
        "versionInfo": offer.notes,
        "dataType": int(any(component.delta for _, component, _ in offer.pending)),
        "planStartTime": STARTS_MS,
        "planEndTime": ENDS_MS,
        "deviceStatus": offer.upgrade_status,
        "userConfirmStatus": 0,
        "autoUpgrade": 0,
        "upgradeProgress": 0.0,
        "productKey": offer.product_key,
        "deviceKey": offer.device.device_key,
        "comVerList": [_com_ver(offer, *pending) for pending in offer.pending],
    }


def _com_ver(offer: Offer, sort: int, component: WorldComponent, running: str) -> dict[str, Any]:
    return {
        "sort": sort,
        "comNo": component.no,
        "comType": component.kind,
        "dataType": int(component.delta),
        "cver": running,
        "tver": offer.target(component),
        "versionInfo": offer.notes,
        "versionMatch": True,
        "battery": offer.terms.battery_percent,
        "signal": offer.terms.signal_dbm,
        "space": _space(component),
        "downloadStatus": 0,
        "upgradeStatus": 0,
        "fileList": [_listed_file(offer, at, file) for at, file in enumerate(component.files)],
    }


def _listed_file(offer: Offer, at: int, file: WorldFile) -> dict[str, Any]:
    names = {"SHA256": "fileSha256", "MD5": "fileMd5", "CRC32": "fileCrc"}
    return {
        "updIndex": at,
        "fileName": file.name,
        "filePath": offer.link(file),
        "fileSize": offer.size_bytes(file),
        **{names[kind]: digest for kind, digest in offer.sums(file).items()},
    }


def _space(component: WorldComponent) -> int:
    return sum(file.size_bytes for file in component.files)


@lru_cache(maxsize=64)
def _weak_sums(path: Path, _changed_ns: int) -> tuple[str, str]:
    content = path.read_bytes()
    return hashlib.md5(content, usedforsecurity=False).hexdigest(), f"{zlib.crc32(content):08x}"
