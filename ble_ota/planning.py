"""What to do about a plan: pure, no clock, no I/O. Every policy of the tool is in this file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from ble_ota.errors import TrustError
from ble_ota.model import (
    IMAGE_MAX_BYTES,
    Algorithm,
    Blocked,
    Component,
    DeviceInfo,
    FetchPlan,
    Plan,
    PlannedFile,
    UpToDate,
)
from ble_ota.proof import caveat

MEGABYTE = 1_000_000  # bytes; as in the Developer Center's limit of 100 MB for a file
PLAN_MAX_BYTES = 512 * MEGABYTE  # our choice: five files of the largest size, a package's most, and a little


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user allows. No defaults, but for the limit: each matters to safety."""

    allow_downgrade: bool
    """Install a version that is lower than the running one."""
    strict_conditions: bool
    """Refuse where the plan sets a condition and nobody knows the device's value."""
    accept_md5: bool
    """Take a plan that has MD5 and no SHA-256."""
    attended: bool
    """A person will see the plan's doubts and can say no to them."""
    reinstall: bool
    """Install the running version again."""
    plan_max_bytes: int = PLAN_MAX_BYTES
    """Refuse a plan whose files have more bytes in all."""


VERSION_MAX = 64  # characters; what is longer no device is believed to run, so it could never be proven


class Order(Enum):
    """How a version stands to another."""

    LOWER = "lower"
    SAME = "same"
    HIGHER = "higher"
    UNKNOWN = "unknown"


_NUMBER = re.compile(r"[0-9]+")


def order(version: str, other: str) -> Order:
    """How `version` stands to `other`, where that can be said.

    Versions are free text (letters, digits, `_ - .`). If the two differ only in their numbers, the numbers decide,
    from left to right; else nobody knows.
    """
    if version == other:
        return Order.SAME
    if _NUMBER.sub("#", version) != _NUMBER.sub("#", other):
        return Order.UNKNOWN
    mine, theirs = (_numbers(version), _numbers(other))
    if mine == theirs:  # 1.01 and 1.1
        return Order.UNKNOWN
    return Order.LOWER if mine < theirs else Order.HIGHER


def _numbers(version: str) -> list[tuple[int, str]]:
    """The numbers in `version`, comparable at any length: `int` refuses more than 4300 digits."""
    bare = (n.lstrip("0") for n in _NUMBER.findall(version))
    return [(len(n), n) for n in bare]


def decide(device: DeviceInfo, fetched: FetchPlan, policy: Policy, *, now_s: float) -> Plan | UpToDate | Blocked:
    """Decide whether `fetched` may be installed on `device`.

    Args:
        device: As it says it is.
        fetched: What the Developer Center, or the user, wants.
        policy: What the user allows.
        now_s: Unix time.

    Raises:
        TrustError: The plan is of another device, proves nothing of its files, or contradicts itself.
    """
    _check_trust(device, fetched, policy)
    due = tuple(c for c in fetched.components if policy.reinstall or not _runs_already(device, c))
    if not due:
        return UpToDate(f"the device runs the plan's versions already{caveat(device)}")
    why = _forbidden(device, fetched, due, policy, now_s)
    if why is not None:
        return why
    doubts = tuple(_doubts(device, due))
    if doubts and not policy.attended and not policy.allow_downgrade:
        return Blocked(doubts[0], "Run it at a terminal without `--yes` to decide, or pass `--allow-downgrade`")
    return Plan(device, fetched, due, doubts + tuple(_notices(device, fetched, due)))


def _runs_already(device: DeviceInfo, component: Component) -> bool:
    """Return True if the device itself tells the target; the Developer Center only knows what was reported last."""
    return device.running(component) == component.target_version and device.proof_of(component) != "developer-center"


def _check_trust(device: DeviceInfo, fetched: FetchPlan, policy: Policy) -> None:
    if (fetched.product_key, fetched.device_key) != (device.product_key, device.device_key):
        msg = (
            f"the plan is for {fetched.product_key}/{fetched.device_key} "
            f"and the device is {device.product_key}/{device.device_key}"
        )
        raise TrustError(msg)
    if len({c.no for c in fetched.components}) != len(fetched.components):
        msg = "the plan names one component twice"
        raise TrustError(msg)
    for component in fetched.components:
        if not component.target_version or not component.files:
            msg = f"the plan has no target version, or no file, for component {component.no}"
            raise TrustError(msg)
        if len(component.target_version) > VERSION_MAX:
            msg = f"the plan's version of component {component.no} has {len(component.target_version)} characters"
            raise TrustError(msg)
        for file in component.files:
            _check_file(component, file, policy)


def _check_file(component: Component, file: PlannedFile, policy: Policy) -> None:
    if not 0 < file.size_bytes <= IMAGE_MAX_BYTES:
        msg = f"the plan's file for component {component.no} has {file.size_bytes} bytes, not 1 to {IMAGE_MAX_BYTES}"
        raise TrustError(msg)
    if file.digest(Algorithm.SHA256) or (policy.accept_md5 and file.digest(Algorithm.MD5)):
        return
    has = ", ".join(d.algorithm.value for d in file.digests) or "no digest at all"
    msg = f"the plan has no SHA-256 for component {component.no} ({has}), so it proves nothing"
    hint = "For an old plan that has MD5 only, set `accept_md5 = true`"
    raise TrustError(msg, hint=hint if file.digest(Algorithm.MD5) else None)


def _forbidden(
    device: DeviceInfo, fetched: FetchPlan, due: tuple[Component, ...], policy: Policy, now_s: float
) -> Blocked | None:
    if fetched.ends_at_s is not None and now_s > fetched.ends_at_s:
        return Blocked("the plan is over", "Ask for a new one in the Developer Center")
    for component in due:
        running = device.running(component)
        if component.delta and running != component.source_version:
            return Blocked(
                f"component {component.no} is a delta from {component.source_version} "
                f"and the device runs {running or 'an unknown version'}",
                "Ask for a full image in the Developer Center",
            )
        if running and order(component.target_version, running) is Order.LOWER and not policy.allow_downgrade:
            return Blocked(
                f"component {component.no} would go down from {running} to {component.target_version}",
                "Pass `--allow-downgrade` if that is what you want",
            )
    return _over_the_cap(fetched, policy) or _too_large(device, due) or _unmet(device, fetched, policy)


def _over_the_cap(fetched: FetchPlan, policy: Policy) -> Blocked | None:
    """Refuse a plan that is larger than the user allows; what is installed already counts too.

    The answer is then the same before and after an interrupted run.
    """
    total = sum(c.size_bytes for c in fetched.components)
    if total <= policy.plan_max_bytes:
        return None
    needed = -(-total // MEGABYTE)
    return Blocked(
        f"the plan's files have {total} bytes in all, over the limit of {policy.plan_max_bytes}",
        f"Check the plan in the Developer Center; to allow it, set `plan_max_mb = {needed}` or more",
    )


def _too_large(device: DeviceInfo, due: tuple[Component, ...]) -> Blocked | None:
    largest = max(c.size_bytes for c in due)
    if device.free_bytes is None or device.free_bytes >= largest:
        return None
    return Blocked(
        f"an image has {largest} bytes and the device has {device.free_bytes} free",
        "Ask for a smaller image, or a delta",
    )


def _unmet(device: DeviceInfo, fetched: FetchPlan, policy: Policy) -> Blocked | None:
    for what, unit, needed, has in _conditions(device, fetched):
        if needed is None:
            continue
        if has is None and policy.strict_conditions:
            return Blocked(
                f"the plan wants {what} of {needed} {unit} and the device's is not known",
                "Unset `strict_conditions` to go on without knowing",
            )
        if has is not None and has < needed:
            return Blocked(f"{what} is {has} {unit} and the plan wants {needed}", f"Mend the {what} and run it again")
    return None


def _conditions(device: DeviceInfo, fetched: FetchPlan) -> tuple[tuple[str, str, int | None, int | None], ...]:
    wanted = fetched.conditions
    return (
        ("battery", "%", wanted.battery_percent, device.battery_percent),
        ("signal", "dBm", wanted.rssi_dbm, device.rssi_dbm),
        ("free space", "bytes", wanted.free_bytes, device.free_bytes),
    )


def _doubts(device: DeviceInfo, due: tuple[Component, ...]) -> list[str]:
    """What forbids going on unless a person says so."""
    return [
        f"whether {c.target_version} is newer than {device.running(c) or 'what runs'} on component {c.no} is unknown"
        for c in due
        if order(c.target_version, device.running(c) or "") is Order.UNKNOWN
    ]


def _notices(device: DeviceInfo, fetched: FetchPlan, due: tuple[Component, ...]) -> list[str]:
    """What is worth a line."""
    unknown = [
        f"the plan wants {what} of {needed} {unit}; the device's is not known"
        for what, unit, needed, has in _conditions(device, fetched)
        if needed is not None and has is None
    ]
    elsewhere = [
        f"the plan was made for {c.source_version} on component {c.no}; the device runs {device.running(c)}"
        for c in due
        if c.source_version and device.running(c) not in (None, c.source_version)
    ]
    downgrades = [
        f"component {c.no} goes DOWN from {running} to {c.target_version}"
        for c in due
        if (running := device.running(c)) and order(c.target_version, running) is Order.LOWER
    ]
    untold = [
        f"the device does not tell what it runs on component {c.no}; by the Developer Center's word it is {running}"
        for c in due
        if device.proof_of(c) == "developer-center" and (running := device.running(c))
    ]
    return downgrades + untold + unknown + elsewhere
