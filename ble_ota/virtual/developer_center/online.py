"""What a device that is online by itself does once a plan was pushed to it; pure.

It downloads, upgrades, and reports that it runs the target, without a word to anybody but the platform. There is no
timer: when it was pushed, which attempt that was, and the clock say what it is doing now. Components go one after
another, first all downloads, then all upgrades ("in the order in which they are added").

*Inferred*: how far it is altogether (`upgradeProgress`) is the share of the time it takes; a failure keeps the progress
it had come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, with_config

from ble_ota.virtual.developer_center.plans import ENDS_MS, STARTS_MS, PlanShape
from ble_ota.virtual.developer_center.said import STRICT, said
from ble_ota.virtual.world import World

Phase: TypeAlias = Literal["waiting", "downloading", "upgrading", "succeeded", "failed"]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e10)]  # until the year 2286

FAILS_AT = 0.6  # of the download
BATCH_MAX = 500  # inferred: the vendor names no limit

NOT_YET, AT_IT, DONE, FAILED = range(4)
"""`downloadStatus` and `upgradeStatus` of a component, and `deviceStatus` of a device; documented."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Habits:
    """How one device goes about it, and how the platform tells of it."""

    fails: Annotated[int, Field(ge=0)] = 0
    """So many attempts fail, the first ones."""
    download_s: Seconds = 4.0
    upgrade_s: Seconds = 4.0
    status: int | None = None
    """The `deviceStatus` in place of 1 while it is at it."""
    success_as: int | None = None
    """The `deviceStatus` in place of 2; a vendor's demo takes -1 for success."""
    refuses: tuple[int, str] | None = None
    """Code and message with which every order for it fails."""
    status_as_text: bool = False
    """Every number of its plan is told as text."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class OnlineTerms:
    """The one plan for devices that are online, and how they take it."""

    habits: Mapping[str, Habits] = field(default_factory=dict[str, Habits])
    """By device key; "*" is everybody else."""
    plan_starts_s: Seconds = STARTS_MS / 1000
    """Unix time, as is `plan_ends_s`."""
    plan_ends_s: Seconds = ENDS_MS / 1000
    ended_plan: Literal["shown", "gone"] = "shown"
    """Whether `getDeviceUpgradePlan` still gives a plan that succeeded. One that failed is always given."""
    plan_shape: PlanShape = "comVerList"
    """Of the answer of `getDeviceUpgradePlan`; details are always a `comVerList`."""
    batch_max: Annotated[int, Field(ge=1)] = BATCH_MAX

    def habits_of(self, device_key: str) -> Habits:
        """How this device goes about it."""
        return self.habits.get(device_key) or self.habits.get("*") or Habits()


def said_online(world: World) -> OnlineTerms:
    """What `cloud/online.json` of `world` says, by the names of `OnlineTerms`.

    Raises:
        WorldError: The file is no JSON of this form.
    """
    return said(world, "online.json", OnlineTerms())


@dataclass(frozen=True, slots=True)
class Part:
    """How far one component is."""

    download_status: int = NOT_YET
    download_progress: float = 0.0  # 0 to 1
    upgrade_status: int = NOT_YET


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a device is."""

    phase: Phase
    progress: float  # 0 to 1
    parts: tuple[Part, ...]

    @property
    def status(self) -> int:
        """Give its `deviceStatus`."""
        return {"waiting": NOT_YET, "succeeded": DONE, "failed": FAILED}.get(self.phase, AT_IT)


def standing(pushed_at: float | None, now: float, habits: Habits, *, attempt: int = 1, components: int = 1) -> Standing:
    """Say what a device does `now`.

    Args:
        pushed_at: Unix time of the last push; None when there was none.
        now: Unix time; one before `pushed_at` counts as the moment of the push.
        habits: How it goes about it.
        attempt: Which push this was, from 1.
        components: How many the plan has.
    """
    if pushed_at is None:
        return Standing("waiting", 0.0, (Part(),) * components)
    elapsed = max(now - pushed_at, 0.0)
    got = _share(elapsed, habits.download_s)
    if attempt <= habits.fails and got >= FAILS_AT:
        return _stood("failed", FAILS_AT, 0.0, habits, components)
    put = _share(elapsed - habits.download_s, habits.upgrade_s) if got == 1 else 0.0
    phase: Phase = "downloading" if got < 1 else "upgrading" if put < 1 else "succeeded"
    return _stood(phase, got, put, habits, components)


def _stood(phase: Phase, got: float, put: float, habits: Habits, components: int) -> Standing:
    whole = habits.download_s + habits.upgrade_s
    progress = (got * habits.download_s + put * habits.upgrade_s) / whole if whole else (got + put) / 2
    downloads = _stages(got, components, FAILED if phase == "failed" else AT_IT)
    upgrades = _stages(put, components, AT_IT if phase == "upgrading" else NOT_YET)
    parts = (Part(status, far, after) for (status, far), (after, _) in zip(downloads, upgrades, strict=True))
    return Standing(phase, progress, tuple(parts))


def _stages(share: float, components: int, at: int) -> list[tuple[int, float]]:
    """Status and progress of each component; `at` is the status of the one that has its turn."""
    turn = int(share * components)
    left = share * components - turn
    return [(DONE, 1.0) if n < turn else (at, left) if n == turn else (NOT_YET, 0.0) for n in range(components)]


def _share(elapsed: float, lasts_s: float) -> float:
    return min(elapsed / lasts_s, 1.0) if lasts_s else 1.0
