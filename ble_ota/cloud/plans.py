"""From either published shape of an upgrade plan to `model.FetchPlan`; what cannot be trusted is refused here.

::

    Bluetooth (SDK of 2022)                    newer
    components[]   planInfo                    comVerList[], the rest beside it
      componentNo componentType dataType         comNo comType dataType
      sourceVersion targetVersion info sort      cver tver versionInfo sort
      componentVersions[]                        fileList[]
        fileUrl fileSize fileSign sort             filePath fileSize fileSha256 fileMd5 fileCrc updIndex fileName
    planId batteryLevelLimit                   planId planEndTime (ms); per component: battery signal
    minSignalIntensity useSpace (KB)           space (bytes)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ble_ota.cloud.endpoints import is_private
from ble_ota.cloud.text import notes, one_line
from ble_ota.cloud.wire import read
from ble_ota.cloud.wire_plan import WireComponent, WireFile, WirePlan
from ble_ota.errors import CloudAnswerError, TrustError
from ble_ota.model import (
    IMAGE_MAX_BYTES,
    Algorithm,
    Component,
    ComponentKind,
    Conditions,
    Digest,
    FetchPlan,
    PlannedFile,
)

BY_LENGTH = {64: Algorithm.SHA256, 32: Algorithm.MD5, 8: Algorithm.CRC32}  # hexadecimal digits of fileSign
LENGTHS = {algorithm: length for length, algorithm in BY_LENGTH.items()}
HEX = re.compile(r"[0-9A-Fa-f]+")
KB = 1024  # of useSpace; the vendor says KB, and this reading asks for more space, not less
LAST_S = 253_402_300_799  # the last second of the year 9999: what ends later never does, and no calendar can show it


def read_plan(data: object, *, product_key: str, device_key: str, doing: str) -> FetchPlan | None:
    """Read the data of a plan query for one device; None when there is no plan.

    Raises:
        CloudAnswerError: It is neither of the published shapes.
        TrustError: A size, a digest, an address or a version cannot be one.
    """
    if data is None or data in ({}, [], ""):
        return None
    plan = read(WirePlan, data, doing=doing)
    if isinstance(data, dict) and not {"components", "comVerList"} & data.keys():
        msg = f"{doing}: the answer has no list of components, in neither published shape"
        raise CloudAnswerError(msg)
    if not (components := plan.components or plan.com_ver_list):
        return None
    return FetchPlan(
        id=plan.id or plan.info.id,
        product_key=_stated(product_key, plan.product_key, plan.info.product_key),
        device_key=_stated(device_key, plan.device_key, plan.info.device_key),
        components=tuple(sorted((_component(c) for c in components), key=lambda c: c.sort)),
        conditions=conditions(plan, components),
        ends_at_s=_ends_at_s(plan.ends_at_ms or plan.info.ends_at_ms),
    )


def _stated(asked: str, *stated: str) -> str:
    """The key a plan is for: the one asked about, unless the plan names another (planning refuses that one)."""
    return next((key for key in stated if key and key != asked), asked)


def _ends_at_s(ends_at_ms: int) -> float | None:
    """Unix time; 0 states nothing, and what is before all time was over long ago."""
    return max(ends_at_ms / 1000, 0.0) if ends_at_ms and ends_at_ms / 1000 <= LAST_S else None


def conditions(plan: WirePlan, components: Iterable[WireComponent]) -> Conditions:
    """The strictest of all that are stated; 0 states nothing."""
    whole, parts = (plan, plan.info), tuple(components)
    return Conditions(
        battery_percent=_strictest(*(x.battery_percent for x in whole), *(x.battery_percent for x in parts)),
        rssi_dbm=_strictest(*(x.rssi_dbm for x in whole), *(x.rssi_dbm for x in parts)),
        free_bytes=_strictest(*(x.free_kb * KB for x in whole), *(x.free_bytes for x in parts)),
    )


def _strictest(*limits: int) -> int | None:
    return max((limit for limit in limits if limit), default=None)


def _component(wire: WireComponent) -> Component:
    """One component, its files in order."""
    what = f"component `{wire.no}`"
    if not wire.target_version:
        msg = f"{what}: the plan names no target version"
        raise TrustError(msg)
    if wire.kind not in {kind.value for kind in ComponentKind}:
        msg = f"{what}: component type {wire.kind} is not known"
        raise TrustError(msg)
    if wire.data_type not in {0, 1}:
        msg = f"{what}: data type {wire.data_type} is neither full (0) nor delta (1)"
        raise TrustError(msg)
    return Component(
        no=wire.no,
        kind=ComponentKind(wire.kind),
        target_version=wire.target_version,
        source_version=wire.source_version,
        files=tuple(sorted((_file(f, what) for f in wire.files), key=lambda f: f.sort)),
        delta=wire.data_type == 1,
        notes=notes(wire.notes),
        sort=wire.sort,
    )


def _file(wire: WireFile, what: str) -> PlannedFile:
    """One file. A plan without a digest is read, and refused by planning, which can say so in its own words."""
    if not is_private(wire.url):
        msg = f"{what}: a firmware file's address is missing, or is neither https nor on this machine"
        raise TrustError(msg)
    if wire.size_bytes is None or not 0 < wire.size_bytes <= IMAGE_MAX_BYTES:
        size = "missing" if wire.size_bytes is None else f"{wire.size_bytes}"
        msg = f"{what}: a firmware file's size is {size}, outside of 1 to {IMAGE_MAX_BYTES} bytes"
        raise TrustError(msg)
    return PlannedFile(wire.url, wire.size_bytes, _digests(wire, what), wire.sort, one_line(wire.name))


def _digests(wire: WireFile, what: str) -> tuple[Digest, ...]:
    """All digests stated for a file, the strongest first, none twice."""
    stated: list[tuple[Algorithm, str]] = []
    if wire.sign is not None:
        if (algorithm := BY_LENGTH.get(len(wire.sign))) is None:
            msg = f"{what}: fileSign has {len(wire.sign)} characters, as no known digest has"
            raise TrustError(msg)
        stated.append((algorithm, wire.sign))
    if wire.sha256 is not None:
        stated.append((Algorithm.SHA256, wire.sha256))
    if wire.md5 is not None:
        stated.append((Algorithm.MD5, wire.md5))
    if wire.crc32 is not None:
        stated.append((Algorithm.CRC32, f"{wire.crc32:08x}" if isinstance(wire.crc32, int) else wire.crc32))
    found = {_digest(algorithm, text, what) for algorithm, text in stated}
    order = list(Algorithm)
    return tuple(sorted(found, key=lambda d: (order.index(d.algorithm), d.hex)))


def _digest(algorithm: Algorithm, text: str, what: str) -> Digest:
    if len(text) != LENGTHS[algorithm] or not HEX.fullmatch(text):
        msg = f"{what}: `{one_line(text)}` is no {algorithm.value} digest"
        raise TrustError(msg)
    return Digest(algorithm, text.lower())
