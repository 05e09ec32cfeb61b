from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from ble_ota.errors import (
    AdapterError,
    AttRefusedError,
    BleOtaError,
    CloudAnswerError,
    CloudUnreachableError,
    DeclinedByDeviceError,
    KeyNotShownError,
    LinkLostError,
    LoginFailedError,
    MalformedError,
    NotVerifiedError,
    TrustError,
    UnprovenError,
)
from ble_ota.events import PlanDecided, PlanShown, Warned, recording
from ble_ota.install import Patience
from ble_ota.model import (
    Approved,
    Blocked,
    Component,
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
from ble_ota.planning import decide
from ble_ota.proof import Unverified
from ble_ota.protocols.quecthing import Options
from ble_ota.update import Install, update
from ble_ota.virtual.peripherals.quecthing import Habits, Impostor
from ble_ota.virtual.peripherals.quecthing.impostor import Answer
from ble_ota.virtual.world import World
from tests.bench import WATCHFUL, Bench, bench, content, whole_plan

pytestmark = pytest.mark.looptime


@dataclass
class Doors:
    """The doors of the main path over a bench, and what went through them, in order."""

    on: Bench
    plan: FetchPlan | None
    agrees: bool = True
    told: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    changes: list[FetchPlan | None] = field(default_factory=list[FetchPlan | None])
    """What the plan becomes, one after each time that it is agreed to."""
    unverified: Sequence[Unverified] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Versions that the Developer Center fills in."""
    install: Install | None = None
    key_shown: bool = True
    """Whether there is a door that has the device show its key."""
    confirmation_fails: bool = False
    image_is_bad: bool = False

    async def fetch_plan(self, _device: DeviceInfo) -> FetchPlan | None:
        self.told.append("plan")
        return self.plan

    async def consent(self, plan: Plan) -> Approved | None:
        self.told.append("asked")
        if self.changes:
            self.plan = self.changes.pop(0)
        return Approved(plan, "test") if self.agrees else None

    async def report(self, component: Component, outcome: Literal["confirmed", "succeeded", "failed"]) -> None:
        self.told.append(f"{outcome} {component.no}")
        if self.confirmation_fails:
            msg = "no network"
            raise CloudUnreachableError(msg)

    async def fetch(self, component: Component, file: PlannedFile) -> VerifiedImage:
        self.told.append(f"fetched {component.no} {file.sort}")
        self.fetched.append(file.url)
        at = next(n for n, c in enumerate(self.on.world.components) if c.no == component.no)
        data = self.on.world.firmware(self.on.world.components[at].files[file.sort])
        return VerifiedImage.check(file, data[:-1] + b"?" if self.image_is_bad else data)

    async def run(self) -> Outcome:
        installer = await self.on.installer(Patience(links=1))
        versions = {**self.versions, **installer.device.versions}
        filled_in = frozenset(self.versions.keys() - installer.device.versions.keys())

        async def install(component: Component, images: Sequence[VerifiedImage]) -> Installed:
            self.told.append(f"installing {component.no}")
            return await installer.install(component, images)

        return await update(
            replace(installer.device, versions=versions, filled_in=filled_in),
            fetch_plan=self.fetch_plan,
            decide=partial(decide, policy=WATCHFUL, now_s=0),
            consent=self.consent,
            report=self.report,
            fetch=self.fetch,
            install=self.install or install,
            record=recording(self.on.events.append),
            prove=installer.prove,
            key_shown=installer.key_shown if self.key_shown else None,
            unverified=self.unverified,
        )


def doors(tmp_path: Path, habits: Habits | None = None) -> Doors:
    return doors_of(bench(tmp_path, habits))


def doors_of(on: Bench) -> Doors:
    return Doors(on, whole_plan(on.world))


async def test_one_component_goes_the_whole_way_in_order(tmp_path: Path) -> None:
    through = doors(tmp_path)
    outcome = await through.run()
    assert isinstance(outcome, Done)
    assert [(i.component.no, i.version_before, i.version) for i in outcome.installed] == [("MAIN", "1.0.0", "1.1.0")]
    assert through.told == [
        "plan",
        "asked",
        "plan",
        "confirmed MAIN",
        "fetched MAIN 0",
        "installing MAIN",
        "succeeded MAIN",
    ]


async def test_all_are_confirmed_and_fetched_before_the_first_is_installed(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500, b"n" * 300), "MCU": (b"u" * 400,)})
    on = Bench(world, options=Options(version_ids={"": 12, "MCU": 13}))
    through = Doors(on, whole_plan(world))
    assert isinstance(await through.run(), Done)
    assert through.told[3:] == [
        "confirmed MAIN",
        "confirmed MCU",
        "fetched MAIN 0",
        "fetched MAIN 1",
        "fetched MCU 0",
        "installing MAIN",
        "succeeded MAIN",
        "installing MCU",
        "succeeded MCU",
    ]
    assert on.device.running("MCU") == content(world, 1)


async def test_the_first_failure_stops(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500,), "MCU": (b"u" * 400,)})
    on = Bench(world, Habits(declines=True), Options(version_ids={"": 12, "MCU": 13}))
    through = Doors(on, whole_plan(world))
    with pytest.raises(DeclinedByDeviceError):
        await through.run()
    assert through.told[-2:] == ["installing MAIN", "failed MAIN"]


async def test_no_plan_is_nothing_to_do(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.plan = None
    assert isinstance(await through.run(), UpToDate)
    assert through.told == ["plan"]


async def test_a_device_that_runs_it_already_is_up_to_date(tmp_path: Path) -> None:
    through = doors(tmp_path)
    await through.run()
    through.told.clear()
    assert isinstance(await through.run(), UpToDate)
    assert through.told == ["plan"]


async def test_a_blocked_plan_is_neither_asked_about_nor_reported(tmp_path: Path) -> None:
    through = doors(tmp_path)
    assert through.plan is not None
    down = replace(through.plan.components[0], target_version="0.9.0")
    through.plan = replace(through.plan, components=(down,))
    outcome = await through.run()
    assert isinstance(outcome, Blocked)
    assert through.told == ["plan"]
    assert [e.decision for e in through.on.events if isinstance(e, PlanDecided)] == ["blocked"]


async def test_a_no_leaves_everything_as_it_is(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.agrees = False
    assert isinstance(await through.run(), Declined)
    assert through.told == ["plan", "asked"]
    assert through.on.device.stats.packets == 0


async def test_a_confirmation_that_does_not_arrive_stops_before_any_firmware(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.confirmation_fails = True
    with pytest.raises(CloudUnreachableError):
        await through.run()
    assert through.told == ["plan", "asked", "plan", "confirmed MAIN"]


async def test_a_bad_image_never_reaches_the_device(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.image_is_bad = True
    with pytest.raises(TrustError):
        await through.run()
    assert through.on.device.stats.packets == 0
    assert "failed MAIN" not in through.told  # it is not the device that failed


async def test_an_old_version_after_the_reboot_is_reported_as_failed(tmp_path: Path) -> None:
    through = doors(tmp_path, Habits(boots_old=True))
    with pytest.raises(NotVerifiedError):
        await through.run()
    assert through.told[-1] == "failed MAIN"


async def test_a_broken_link_is_reported_as_nothing(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.on.air.before_operation = lambda index, _kind: through.on.air.cut() if index == 20 else None
    with pytest.raises(LinkLostError):
        await through.run()
    assert through.told[-1] == "installing MAIN"


async def test_a_component_that_is_done_is_left_alone_by_the_next_run(tmp_path: Path) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500,), "MCU": (b"u" * 400,)})
    on = Bench(world, options=Options(version_ids={"": 12, "MCU": 13}))
    first = whole_plan(world)
    assert isinstance(await Doors(on, replace(first, components=first.components[:1])).run(), Done)
    through = Doors(on, first)
    outcome = await through.run()
    assert isinstance(outcome, Done)
    assert [i.component.no for i in outcome.installed] == ["MCU"]
    assert "confirmed MAIN" not in through.told


async def test_a_plan_that_changes_after_the_word_is_shown_and_asked_again(tmp_path: Path) -> None:
    through = doors(tmp_path)
    assert through.plan is not None
    through.changes = [replace(through.plan, id="8")]
    assert isinstance(await through.run(), Done)
    assert through.told[:5] == ["plan", "asked", "plan", "asked", "plan"]
    assert [e.plan for e in through.on.events if isinstance(e, PlanShown)] == ["7", "8"]
    assert any(isinstance(e, Warned) for e in through.on.events)


async def test_a_link_that_was_signed_anew_is_no_other_plan(tmp_path: Path) -> None:
    through = doors(tmp_path)
    assert through.plan is not None
    (component,) = through.plan.components
    fresh = replace(component, files=tuple(replace(f, url="https://example.com/new") for f in component.files))
    through.changes = [replace(through.plan, components=(fresh,))]
    assert isinstance(await through.run(), Done)
    assert through.told.count("asked") == 1
    assert through.fetched == ["https://example.com/new"]


async def test_a_plan_that_is_withdrawn_after_the_word_is_not_installed(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.changes = [None]
    assert isinstance(await through.run(), UpToDate)
    assert through.told == ["plan", "asked", "plan"]


async def test_a_plan_that_keeps_changing_is_given_up_on(tmp_path: Path) -> None:
    through = doors(tmp_path)
    assert through.plan is not None
    through.changes = [replace(through.plan, id=str(n)) for n in range(8, 18)]
    with pytest.raises(CloudAnswerError, match="changed 3 times"):
        await through.run()
    assert "confirmed MAIN" not in through.told


def left(through: Doors, *, before: str | None = "1.0.0", proof: str = "device") -> list[Unverified]:
    """Everything of the plan, as an earlier run that began to send it leaves it."""
    assert through.plan is not None
    return [Unverified(c, before, proof) for c in through.plan.components]


async def test_what_an_earlier_run_had_sent_is_proven_and_reported(tmp_path: Path) -> None:
    through = doors(tmp_path)
    assert isinstance(await through.run(), Done)
    again = Doors(through.on, None, unverified=left(through))
    outcome = await again.run()
    assert isinstance(outcome, Done)
    assert [(i.component.no, i.version_before, i.version) for i in outcome.installed] == [("MAIN", "1.0.0", "1.1.0")]
    assert again.told == ["succeeded MAIN", "plan"]


async def test_what_an_earlier_run_had_sent_and_does_not_run_is_sent_again(tmp_path: Path) -> None:
    through = doors(tmp_path)
    through.unverified = left(through)
    assert isinstance(await through.run(), Done)
    assert through.told.index("installing MAIN") < through.told.index("succeeded MAIN")
    assert through.told.count("succeeded MAIN") == 1


async def test_a_version_that_ran_before_the_earlier_run_proves_nothing_of_it(tmp_path: Path) -> None:
    through = doors(tmp_path)
    assert isinstance(await through.run(), Done)
    again = Doors(through.on, through.plan, unverified=left(through, before="1.1.0"))
    assert isinstance(await again.run(), UpToDate)
    assert again.told == ["plan"]


@pytest.mark.parametrize("rebooted", [True, False])
async def test_where_nothing_is_known_of_before_only_a_reboot_that_was_seen_proves(
    tmp_path: Path, rebooted: bool
) -> None:
    """Another image of the same version may have run before, and all along."""
    through = doors(tmp_path)
    assert isinstance(await through.run(), Done)
    unknown = [replace(u, rebooted=rebooted) for u in left(through, before=None, proof="")]
    again = Doors(through.on, through.plan, unverified=unknown)
    assert isinstance(await again.run(), Done if rebooted else UpToDate)
    assert again.told == (["succeeded MAIN", "plan"] if rebooted else ["plan"])


async def test_a_weaker_proof_than_the_earlier_runs_is_unproven_and_not_nothing_to_do(tmp_path: Path) -> None:
    through = doors(tmp_path, Habits(answers_version=False, firmware_revision=True))
    assert isinstance(await through.run(), Done)
    again = Doors(through.on, through.plan, unverified=left(through, proof="device"))
    with pytest.raises(UnprovenError, match="a weaker proof"):
        await again.run()
    assert again.told == []


async def test_an_earlier_proof_needs_the_key_as_well(tmp_path: Path) -> None:
    """0x2A26 alone told the target; the peer is asked to show the key before anything is reported."""
    through = doors(tmp_path, Habits(answers_version=False, firmware_revision=True))
    assert isinstance(await through.run(), Done)
    again = Doors(through.on, None, unverified=left(through, proof="device-information"))
    assert isinstance(await again.run(), Done)
    impostor = Impostor(through.on.world, through.on.world.devices[0], claims="1.1.0", answers="silent")
    through.on.air.add(impostor)
    rogue = Doors(through.on, None, unverified=left(through, proof="device-information"))
    with pytest.raises(UnprovenError, match="has not shown the device's key"):
        await rogue.run()
    assert rogue.told == []


UNTOLD = {"by the device": {}, "but by the Developer Center": {"": "1.1.0"}}


@pytest.mark.parametrize("told", UNTOLD)
async def test_nothing_to_do_is_unproven_where_the_device_does_not_tell_what_was_sent_to_it(
    tmp_path: Path, told: str
) -> None:
    through = doors(tmp_path, Habits(answers_version=False))
    through.unverified, through.plan, through.versions = left(through, before=None, proof=""), None, UNTOLD[told]
    with pytest.raises(UnprovenError, match="an earlier run sent MAIN, and the device does not tell what it runs"):
        await through.run()
    assert through.told == ["plan"]


@pytest.mark.parametrize("answers", ["silent", "empty"])
@pytest.mark.parametrize("plan", [True, False], ids=["a plan", "no plan"])
async def test_nothing_to_do_is_not_believed_of_a_peer_without_the_key(
    tmp_path: Path, plan: bool, answers: Answer
) -> None:
    """The Developer Center has no plan for a device that runs its target, and believes the version it is told."""
    on = bench(tmp_path)
    on.device.power_off()
    on.air.add(Impostor(on.world, on.world.devices[0], claims="1.1.0", answers=answers))
    through = Doors(on, whole_plan(on.world) if plan else None)
    with pytest.raises((KeyNotShownError, MalformedError)):
        await through.run()
    assert through.told == ["plan"]


@pytest.mark.parametrize("plan", [True, False], ids=["a plan", "no plan"])
async def test_nothing_to_do_is_believed_once_the_key_is_shown(tmp_path: Path, plan: bool) -> None:
    on = bench(tmp_path, Habits(answers_version=False, firmware_revision=True))
    assert isinstance(await doors_of(on).run(), Done)
    outcome = await Doors(on, whole_plan(on.world) if plan else None).run()
    assert isinstance(outcome, UpToDate)
    assert "key" not in outcome.why


async def test_nothing_to_do_is_not_believed_where_the_device_cannot_be_asked_for_its_key(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(answers_version=False, firmware_revision=True))
    assert isinstance(await doors_of(on).run(), Done)
    with pytest.raises(KeyNotShownError):
        await Doors(on, None, key_shown=False).run()


DECLINES_LATER = {"declined": Habits(declines=True), "another version": Habits(boots_old=True)}


@pytest.mark.parametrize("what", DECLINES_LATER)
async def test_one_proven_component_is_no_pass_where_the_next_fails(tmp_path: Path, what: str) -> None:
    """The first came true from an earlier run; the second is refused, or boots what it ran before, in this one."""
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500,), "MCU": (b"u" * 400,)})
    on = Bench(world, options=Options(version_ids={"": 12, "MCU": 13}))
    whole = whole_plan(world)
    assert isinstance(await Doors(on, replace(whole, components=whole.components[:1])).run(), Done)
    on.device.habits = DECLINES_LATER[what]
    through = Doors(on, whole)
    through.unverified = left(through)
    with pytest.raises((DeclinedByDeviceError, NotVerifiedError)):
        await through.run()
    assert through.told[0] == "succeeded MAIN"
    assert through.told[-1] == "failed MCU"


@pytest.mark.parametrize("ends", ["declined", "blocked"])
async def test_one_proven_component_is_no_pass_where_the_rest_is_not_installed(tmp_path: Path, ends: str) -> None:
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500,), "MCU": (b"u" * 400,)})
    on = Bench(world, options=Options(version_ids={"": 12, "MCU": 13}))
    whole = whole_plan(world)
    assert isinstance(await Doors(on, replace(whole, components=whole.components[:1])).run(), Done)
    rest = whole if ends == "declined" else replace(whole, ends_at_s=-1.0)
    through = Doors(on, rest, agrees=False)
    through.unverified = left(through)
    assert isinstance(await through.run(), Declined if ends == "declined" else Blocked)
    assert through.told[0] == "succeeded MAIN"


NO_WORD: dict[str, BleOtaError] = {
    "an ATT error": AttRefusedError("writing", 0x0E),
    "a malformed answer": MalformedError("it makes no sense"),
    "a wrong secret": LoginFailedError("refused"),
    "a refusal without the key": KeyNotShownError(
        "the device declined the file, and has not shown that it has the key"
    ),
    "no proof": UnprovenError("not seen"),
    "a lost adapter": AdapterError("gone"),
}


@pytest.mark.parametrize("what", NO_WORD)
async def test_what_is_not_the_devices_own_word_is_not_reported(tmp_path: Path, what: str) -> None:
    through = doors(tmp_path)

    async def install(_component: Component, _images: Sequence[VerifiedImage]) -> Installed:
        raise NO_WORD[what]

    through.install = install
    with pytest.raises(type(NO_WORD[what])):
        await through.run()
    assert through.told[-1] == "fetched MAIN 0"


async def test_one_bad_image_of_several_leaves_the_device_untouched(tmp_path: Path) -> None:
    """All or nothing: what belongs together is here and verified before the first byte of it moves."""
    world = World.create(tmp_path, packages={"MAIN": (b"m" * 500,), "MCU": (b"u" * 400,)})
    through = Doors(Bench(world, options=Options(version_ids={"": 12, "MCU": 13})), whole_plan(world))

    async def fetch(component: Component, file: PlannedFile) -> VerifiedImage:
        through.image_is_bad = component.no == "MCU"
        return await Doors.fetch(through, component, file)

    through.fetch = fetch  # type: ignore[method-assign]
    with pytest.raises(TrustError):
        await through.run()
    assert through.told[-2:] == ["fetched MAIN 0", "fetched MCU 0"]
    assert through.on.device.stats.announced == 0
