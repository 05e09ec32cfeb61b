"""`ble-ota auto on|off|status`: whether later plans of a device are issued without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ble_ota.cli.common import Common
from ble_ota.cli.mqtt_plan import asking, failed_data, failed_line, raise_if_none
from ble_ota.cli.mqtt_shown import columns, many, named
from ble_ota.cli.named import Named, Wish, devices
from ble_ota.cli.session import session_of
from ble_ota.cli.wiring import vault_of
from ble_ota.errors import CloudError, UsageError
from ble_ota.fleet import Center, Found
from ble_ota.fleet.center import concerns_all, pooled
from ble_ota.mqtt import Keys, Ref
from ble_ota.settings import Settings


class Switches(Center, Protocol):
    """A Developer Center that has the switch. All calls raise `CloudError`."""

    async def auto_upgrade(self, keys: Keys) -> bool:
        """Whether it is on."""
        ...

    async def set_auto_upgrade(self, keys: Keys) -> None:
        """Switch it on."""
        ...

    async def drop_auto_upgrade(self, keys: Keys) -> None:
        """Switch it off."""
        ...


class Turn(Enum):
    """What to do with the switch."""

    ON = "on"
    OFF = "off"
    ASK = "status"


@dataclass(frozen=True, slots=True)
class Switched:
    """A device and how its switch stands, or why it could not be had."""

    keys: Keys
    on: bool = False
    error: CloudError | None = None


async def auto(common: Common, settings: Settings, wish: Wish, turn: Turn, *, yes: bool) -> int:
    """Run one of the three commands; see `turned`."""
    if any(isinstance(one, Ref) for one in wish.named):
        msg = "automatic confirmation is a device's, and a plan of it was named"
        raise UsageError(msg, hint="Name devices as PK/DK")
    async with session_of(common, settings, vault_of(settings)) as center:
        return await turned(common, center, await devices(wish, center), turn, yes=yes)


async def turned(common: Common, center: Switches, asked: Sequence[Named], turn: Turn, *, yes: bool) -> int:
    """Turn the switch of each device, or ask for it; 0, 10 with no device, 11 declined, 40 when some could not be had.

    Raises:
        UsageError: To switch it on wants a word, and there is nobody to ask.
        CloudError: The one device, or none at all, could be reached.
    """
    keys = [one for one in asked if isinstance(one, Keys)]
    if turn is Turn.ON and keys and not yes and not _agreed(common, keys):
        common.result({"devices": [], "declined": True}, "You said no; nothing was switched")
        return 11
    asking(common, len(keys))
    came = await _each(center, keys, turn)
    raise_if_none([Found(one.keys, error=one.error) for one in came])
    failed = sum(one.error is not None for one in came)
    counts = {"on": sum(one.on for one in came), "failed": failed}
    common.result({"devices": [_data(one) for one in came], **counts}, _text(came))
    return 40 if failed else 0 if came else 10


def _agreed(common: Common, keys: Sequence[Keys]) -> bool:
    """Hear the user's word. Raises `UsageError`."""
    if not common.may_ask:
        msg = "automatic confirmation wants a word of yours, and there is nobody to ask"
        raise UsageError(msg, hint="Pass `--yes` to agree without being asked")
    of = named(keys[0]) if len(keys) == 1 else many(len(keys), "device")
    return common.agree(f"Later plans of {of} will be installed without a question. Switch it on?")


async def _each(center: Switches, keys: Sequence[Keys], turn: Turn) -> list[Switched]:
    """Do it for each; after an error that concerns all, the rest fail with it and are not asked for."""
    over: list[CloudError] = []

    async def one(device: Keys) -> Switched:
        if over:
            return Switched(device, error=over[0])
        try:
            return Switched(device, await _turn(center, device, turn))
        except CloudError as error:
            if concerns_all(error):
                over.append(error)
            return Switched(device, error=error)

    return await pooled(center, keys, one)


async def _turn(center: Switches, keys: Keys, turn: Turn) -> bool:
    match turn:
        case Turn.ON:
            await center.set_auto_upgrade(keys)
        case Turn.OFF:
            await center.drop_auto_upgrade(keys)
        case Turn.ASK:
            return await center.auto_upgrade(keys)
    return turn is Turn.ON


def _data(one: Switched) -> Mapping[str, object]:
    if one.error is not None:
        return failed_data(Found(one.keys, error=one.error)) | {"auto": None}
    return {"device": named(one.keys), "outcome": "taken", "auto": one.on}


def _text(came: Sequence[Switched]) -> str:
    rows = [(named(one.keys), "on" if one.on else "off") for one in came if one.error is None]
    lines = [columns([("DEVICE", "AUTOMATIC"), *rows])] if rows else []
    lines += [failed_line(named(one.keys), one.error) for one in came if one.error is not None]
    return "\n".join(lines) or "There is no device that is online by itself"
