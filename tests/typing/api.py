"""The library as someone outside uses it: checked by mypy and pyright, never run.

Each stage takes what only the stage before it makes: a `VerifiedImage` from its check, an `Approved` from a consent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, assert_never

from ble_ota.events import Event, TransferProgress, recording, silent
from ble_ota.link import Advert
from ble_ota.model import (
    Approved,
    Blocked,
    Component,
    Consent,
    Declined,
    DeviceInfo,
    Done,
    FetchPlan,
    Installed,
    Outcome,
    Plan,
    PlannedFile,
    UpToDate,
    VerifiedImage,
)
from ble_ota.planning import Order, Policy, decide, order
from ble_ota.protocols import AnyDriver, Sighting, drivers, recognise
from ble_ota.protocols.quecthing import Options
from ble_ota.script import Await, Progress, Read, ReadBlock, Reply, Script, Step, Subscribe, Write, read
from ble_ota.update import update

POLICY = Policy(allow_downgrade=False, strict_conditions=True, accept_md5=False, attended=False, reinstall=False)
DRIVERS: dict[str, AnyDriver] = drivers(quecthing_options=Options(login=False))


def policy(device: DeviceInfo, fetched: FetchPlan) -> Plan | UpToDate | Blocked:
    """A decision of one's own around the one that ships."""
    if any(order(c.target_version, c.source_version) is Order.LOWER for c in fetched.components):
        return Blocked("never down", "Ask for another plan")
    return decide(device, fetched, POLICY, now_s=time.time())


async def fetch_plan(device: DeviceInfo) -> FetchPlan | None:
    """A plan from a place of one's own."""
    return FetchPlan("1", device.product_key, device.device_key, ()) if device.rssi_dbm else None


async def at_night(plan: Plan) -> Approved | None:
    """A consent of one's own."""
    return Approved(plan, "the night shift") if not plan.doubts and time.localtime().tm_hour < 6 else None


async def report(component: Component, status: Literal["confirmed", "succeeded", "failed"]) -> None:
    """Tell nobody."""


async def fetch(component: Component, file: PlannedFile) -> VerifiedImage:
    """The one way to an image is through its check."""
    return VerifiedImage.check(file, bytes(file.size_bytes))


async def install(component: Component, images: Sequence[VerifiedImage]) -> Installed:
    """An installer of one's own."""
    return Installed(component, None, component.target_version, f"{len(images)} files")


def emit(event: Event) -> None:
    """Listen to one kind of event."""
    if isinstance(event, TransferProgress):
        done: int = event.bytes
        assert done <= event.total
    silent(event)


CONSENT: Consent = at_night


async def bring_up_to_date(device: DeviceInfo) -> str:
    """The main path, and every way it can end."""
    outcome: Outcome = await update(
        device,
        fetch_plan=fetch_plan,
        decide=policy,
        consent=CONSENT,
        report=report,
        fetch=fetch,
        install=install,
        record=recording(emit),
    )
    match outcome:
        case Done():
            return ", ".join(f"{i.component.no} {i.version}" for i in outcome.installed)
        case Declined():
            return outcome.plan.fetched.id
        case UpToDate() | Blocked():
            return outcome.why
        case _:
            assert_never(outcome)


def firmware_revision(char: int) -> Script[str]:
    """A script of one's own."""
    value = yield from read(char)
    reply: Reply = yield Progress(len(value), len(value))
    return f"{value.decode()} after {reply.waited_s} s"


def name_of(step: Step) -> str:
    """Every step there is."""
    match step:
        case Subscribe(char) | Read(char):
            return f"{char}"
        case Write(char, data, ack):
            return f"{char} {data.hex()} {ack}"
        case Await(chars, within_s):
            return f"{chars} {within_s}"
        case Progress(done, total):
            return f"{done}/{total}"
        case ReadBlock(file, index):
            return f"{file} {index}"
        case _:
            assert_never(step)


def product_key(advert: Advert) -> str | None:
    """What an advertisement tells."""
    sighting: Sighting | None = recognise(advert, DRIVERS.values())
    return sighting.product_key if sighting else None
