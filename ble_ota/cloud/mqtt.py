"""The calls about MQTT devices: from `ble_ota.mqtt`'s types to the wire and back.

What an answer leaves out is never filled in: an entry without keys is taken for the device that was asked about only
where it was the only one, and an order that is in neither list has no receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from ble_ota.cloud.plans import LAST_S, conditions
from ble_ota.cloud.session import Session
from ble_ota.cloud.text import notes, one_line
from ble_ota.cloud.wire import read
from ble_ota.cloud.wire_mqtt import WireAutoUpgrade, WireMqttPlan, WireReceipt, WireReceipts, entries
from ble_ota.cloud.wire_plan import WireComponent
from ble_ota.errors import CloudAnswerError
from ble_ota.mqtt import Keys, MqttPlan, Order, Part, Period, Receipt, Ref

MCU = 1  # comType, componentType
DELTA = 1  # dataType
PLAN_DIGITS_MAX = 18  # of a Java long; what has more goes out as text, as it came


async def plan_of(session: Session, keys: Keys) -> MqttPlan | None:
    """Ask for the plan of one device."""
    doing = one_line(f"asking for the plan of {keys}")
    found = entries(await session.call("getDeviceUpgradePlan", _keys(keys), doing=doing), doing=doing)
    wires = [wire for entry in found if (wire := read(WireMqttPlan, entry, doing=doing)) != WireMqttPlan()]
    plans = [plan for wire in wires if (plan := _plan(wire, keys)) is not None]
    if len(plans) < len(wires):
        msg = f"{doing}: the plan has no id, so nothing can be said to it"
        raise CloudAnswerError(msg)
    if len(plans) > 1:
        msg = f"{doing}: the answer has {len(plans)} plans for one device"
        raise CloudAnswerError(msg)
    if plans and plans[0].keys != keys:
        msg = one_line(f"{doing}: the answer is about {plans[0].keys}")
        raise CloudAnswerError(msg)
    return plans[0] if plans else None


async def standings(session: Session, refs: Sequence[Ref]) -> list[MqttPlan]:
    """Ask where devices stand with plans."""
    doing = f"asking how far {_devices(len(refs))} are"
    records = [{**_keys(ref.keys), "plan_id": _plan_id(ref.plan_id)} for ref in refs]
    found = entries(await session.call("getBatchUpgradeDetails", records, doing=doing), doing=doing)
    alone = refs[0].keys if len(refs) == 1 else None
    plans = (_plan(read(WireMqttPlan, entry, doing=doing), alone) for entry in found)
    wanted = set(refs)
    return [plan for plan in plans if plan is not None and plan.ref in wanted]


async def order(session: Session, orders: Sequence[Order]) -> list[Receipt]:
    """Give orders in one call."""
    doing = f"telling the word for {_devices(len(orders))}"
    data = await session.call("userBatchConfirmUpgrade", [_record(one) for one in orders], doing=doing)
    answer = read(WireReceipts, data if data is not None else {}, doing=doing)
    receipts = {one.ref: one for one in _receipts(answer.taken, orders, taken=True, doing=doing)}
    receipts |= {one.ref: one for one in _receipts(answer.refused, orders, taken=False, doing=doing)}
    return list(receipts.values())


async def auto_upgrade(session: Session, keys: Keys) -> bool:
    """Ask whether a device's plans are confirmed by themselves."""
    doing = one_line(f"asking for the automatic confirmation of {keys}")
    data = await session.call("getAutoUpgradeSwitch", _keys(keys), doing=doing)
    told = read(WireAutoUpgrade, _named(data), doing=doing)
    known = {value for value in (told.is_auto, told.auto_upgrade) if value is not None}
    if len(known) != 1:
        msg = f"{doing}: the answer says neither on nor off"
        raise CloudAnswerError(msg)
    return known.pop()


def _named(data: object) -> object:
    """A bare value under its likeliest name."""
    return cast("object", data) if isinstance(data, dict) else {"isAuto": data}


async def set_auto_upgrade(session: Session, keys: Keys) -> None:
    """Have a device's plans confirmed by themselves."""
    doing = one_line(f"setting the automatic confirmation of {keys}")
    await session.call("setAutoUpgradeSwitch", {**_keys(keys), "switch": 1}, doing=doing)


async def drop_auto_upgrade(session: Session, keys: Keys) -> None:
    """Have a device's plans wait for a word again."""
    doing = one_line(f"ending the automatic confirmation of {keys}")
    await session.call("deleteDeviceUpgrade", _keys(keys), doing=doing)


def _keys(keys: Keys) -> dict[str, object]:
    return {"product_key": keys.product_key, "device_key": keys.device_key}


def _plan_id(text: str) -> int | str:
    """The platform's ids are numbers."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= PLAN_DIGITS_MAX else text


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


# ------------------------------------------------------------------ plans


def _plan(wire: WireMqttPlan, asked: Keys | None) -> MqttPlan | None:
    """One entry; None for an empty one, and for one that does not say whose it is."""
    keys = _whose(wire.product_key or wire.info.product_key, wire.device_key or wire.info.device_key, asked)
    plan_id = wire.id or wire.info.id
    if keys is None or not plan_id:
        return None
    components = sorted(wire.components or wire.com_ver_list or (), key=lambda c: c.sort)
    appointed = Period(_time_s(wire.appointed_from_ms), _time_s(wire.appointed_to_ms))
    return MqttPlan(
        Ref(keys, plan_id),
        name=wire.name,
        notes=notes(wire.notes),
        parts=tuple(_part(c) for c in components),
        period=Period(_time_s(wire.starts_at_ms), _time_s(wire.ends_at_ms or wire.info.ends_at_ms)),
        appointment=None if None in (appointed.start_s, appointed.end_s) else appointed,
        conditions=conditions(wire, components),
        status=wire.status,
        word=wire.word,
        progress=wire.progress if wire.progress is not None and 0 <= wire.progress <= 1 else None,
    )


def _whose(product_key: str, device_key: str, asked: Keys | None) -> Keys | None:
    """The device an entry speaks of; where it leaves out a key, the one that was asked about."""
    if asked is not None:
        return Keys(product_key or asked.product_key, device_key or asked.device_key)
    return Keys(product_key, device_key) if product_key and device_key else None


def _time_s(milliseconds: int) -> float | None:
    """Unix seconds; 0, and what no calendar can show, states nothing."""
    return milliseconds / 1000 if 0 < milliseconds / 1000 <= LAST_S else None


def _part(wire: WireComponent) -> Part:
    sizes = [file.size_bytes for file in wire.files]
    known = [size for size in sizes if size is not None and size >= 0]
    size_bytes = sum(known) if known and len(known) == len(sizes) else None
    return Part(
        no=wire.no,
        mcu=wire.kind == MCU,
        running=wire.source_version,
        target=wire.target_version,
        delta=wire.data_type == DELTA,
        size_bytes=size_bytes,
        notes=notes(wire.notes),
    )


# ------------------------------------------------------------------ orders


def _record(one: Order) -> Mapping[str, object]:
    appointment = one.appointment or Period()
    return {
        **_keys(one.ref.keys),
        "plan_id": _plan_id(one.ref.plan_id),
        "action": one.action.value,
        "start_ms": _ms(appointment.start_s),
        "end_ms": _ms(appointment.end_s),
    }


def _ms(time_s: float | None) -> int | None:
    return None if time_s is None else round(time_s * 1000)


def _receipts(found: Sequence[WireReceipt], orders: Sequence[Order], *, taken: bool, doing: str) -> list[Receipt]:
    """The entries of one list, each with the order it speaks of; those of other devices are passed over."""
    receipts: list[Receipt] = []
    alone = orders[0].ref.keys if len(orders) == 1 else None
    for entry in found:
        if (keys := _whose(entry.product_key, entry.device_key, alone)) is None:
            msg = f"{doing}: an entry of the answer does not say which device it is about"
            raise CloudAnswerError(msg)
        refs = [o.ref for o in orders if o.ref.keys == keys and entry.plan_id in ("", o.ref.plan_id)]
        receipts += [Receipt(ref, taken, entry.code, entry.message) for ref in refs]
    return receipts
