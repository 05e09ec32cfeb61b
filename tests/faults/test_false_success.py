"""What looks like a success and is none: a device, a plan or a server that says so without its being so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ble_ota.errors import BleOtaError, KeyNotShownError, MalformedError, NotVerifiedError, UnprovenError
from ble_ota.events import ConfirmReported, Event, PlanShown
from ble_ota.install import Patience
from ble_ota.model import Algorithm, Component, Digest, Done, FetchPlan, UpToDate
from ble_ota.protocols.quecthing import Options
from ble_ota.virtual.peripherals.quecthing import Habits, Impostor
from ble_ota.virtual.peripherals.quecthing.impostor import Answer
from tests.bench import bench, content, images, planned, whole_plan
from tests.test_update import Doors

pytestmark = pytest.mark.looptime

TARGET = "1.1.0"
PATIENCE = Patience(links=4, reboot_s=30)
CLAIMS = ("always", "announcement", "success")
EMPTY = Habits(accepts_without_bytes=True)
FALSE = {
    "boots the old image": Habits(boots_old=True),
    "boots the old image, unasked": Habits(boots_old=True, reboots_without_ack=True),
    "says success without a byte": EMPTY,
    "says success without a byte, over each link": replace(EMPTY, keeps_session_over_disconnect=True),
    "goes and never comes back": Habits(never_returns=True),
    "takes all and says nothing of it": Habits(silent_after=4999),
    "takes all, says nothing, and claims the target": Habits(
        silent_after=1000, claims_version=TARGET, claims_version_after="announcement"
    ),
    "takes all and says a third version": Habits(claims_version="9.9.9", claims_version_after="success"),
    "says the old version whatever it runs": Habits(claims_version="1.0.0"),
    "says no version": Habits(answers_version=False),
    "falls back once it was looked at": Habits(reverts_after_s=20.0),
}


class Watched(list[Event]):
    """Events as they come; `act` hears of each."""

    def __init__(self, act: Callable[[Event], object]) -> None:
        super().__init__()
        self.act = act

    def append(self, event: Event) -> None:
        super().append(event)
        self.act(event)


@pytest.mark.parametrize("what", FALSE)
async def test_a_device_that_only_looks_updated_is_no_pass(tmp_path: Path, what: str) -> None:
    on = bench(tmp_path, FALSE[what])
    installer = await on.installer(replace(PATIENCE, dwell_s=60.0))
    with pytest.raises(BleOtaError) as refused:
        await installer.install(planned(on.world), images(on.world))
    assert refused.value.exit_code in (31, 32, 33, 35)
    assert "device.verified" not in on.names


@pytest.mark.parametrize("since", CLAIMS)
@pytest.mark.parametrize(
    "habits", [Habits(declines=True), EMPTY, Habits(cancel_at=0), Habits(silent_after=1000)], ids=str
)
async def test_the_new_version_without_the_bytes_is_no_pass(tmp_path: Path, habits: Habits, since: str) -> None:
    on = bench(tmp_path, replace(habits, claims_version=TARGET, claims_version_after=since))  # type: ignore[arg-type]
    installer = await on.installer(PATIENCE)
    with pytest.raises(BleOtaError):
        await installer.install(planned(on.world), images(on.world))
    assert on.device.version("MAIN") == "1.0.0"
    assert "device.verified" not in on.names


async def test_a_device_that_claims_the_target_from_the_start_is_not_touched(tmp_path: Path) -> None:
    on = bench(tmp_path, Habits(claims_version=TARGET))
    through = Doors(on, whole_plan(on.world))
    assert isinstance(await through.run(), UpToDate)
    assert (on.device.stats.announced, through.told) == (0, ["plan"])


# ------------------------------------------------------------------ a peer that has no key

ANSWERS = ("silent", "empty", "clear", "garbled")


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("claims", [TARGET, "1.0.0"])
async def test_a_peer_without_the_key_neither_proves_nor_denies(tmp_path: Path, answers: Answer, claims: str) -> None:
    """It stands in the device's place from the reboot on."""
    on = bench(tmp_path, Habits(never_returns=True))
    impostor = Impostor(on.world, on.world.devices[0], claims=claims, answers=answers)
    through = Doors(on, whole_plan(on.world))
    on.events = Watched(lambda event: on.air.add(impostor) if event.name == "device.rebooting" else None)
    with pytest.raises(UnprovenError):
        await through.run()
    assert 0x7040 in impostor.heard
    assert through.told[-1] == "installing MAIN"


@pytest.mark.parametrize("action", [1, 5, 7], ids=["decline", "cancel", "failure"])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "in clear"])
async def test_a_refusal_without_the_key_is_no_failure_of_the_device(tmp_path: Path, action: int, sealed: bool) -> None:
    on = bench(tmp_path, options=Options(encrypt_transfer=sealed))
    through = Doors(on, whole_plan(on.world))
    impostor = Impostor(on.world, on.world.devices[0], claims="1.0.0", answers="silent", refuses=action)
    on.events = Watched(lambda event: on.air.add(impostor) if event.name == "plan.decided" else None)
    with pytest.raises((KeyNotShownError, MalformedError)):
        await through.run()
    assert 0x7022 in impostor.heard
    assert through.told[-1] == "installing MAIN"


async def test_the_real_device_is_believed_beside_a_peer_without_the_key(tmp_path: Path) -> None:
    """The peer with another address advertises the same keys; the device boots what it ran before."""
    on = bench(tmp_path, Habits(boots_old=True, boot_s=8.0))
    impostor = Impostor(on.world, on.world.devices[0], claims=TARGET, address="DE:AD:BE:EF:00:01")
    through = Doors(on, whole_plan(on.world))
    on.events = Watched(lambda event: on.air.add(impostor) if event.name == "transfer.done" else None)
    with pytest.raises(NotVerifiedError):
        await through.run()
    assert through.told[-1] == "failed MAIN"


# ------------------------------------------------------------------ a plan that changes between show and confirm


def _component(change: Callable[[Component], Component]) -> Callable[[FetchPlan], FetchPlan]:
    return lambda plan: replace(plan, components=(change(plan.components[0]),))


def _digest(component: Component) -> Component:
    other = (Digest(Algorithm.SHA256, "0" * 64),)
    return replace(component, files=(replace(component.files[0], digests=other),))


def _size(component: Component) -> Component:
    return replace(component, files=(replace(component.files[0], size_bytes=component.size_bytes - 1),))


CHANGES: dict[str, Callable[[FetchPlan], FetchPlan]] = {
    "its id": lambda plan: replace(plan, id="8"),
    "its digest": _component(_digest),
    "its size": _component(_size),
    "its target": _component(lambda c: replace(c, target_version="1.2.0")),
    "its component": _component(lambda c: replace(c, no="OTHER")),
    "a file more": _component(lambda c: replace(c, files=c.files * 2)),
    "a component more": lambda plan: replace(plan, components=(*plan.components, replace(plan.components[0], no="2"))),
    "its device": lambda plan: replace(plan, device_key="000000000000"),
    "its end": lambda plan: replace(plan, ends_at_s=-1.0),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_plan_that_changes_after_the_word_was_not_agreed_to(tmp_path: Path, what: str) -> None:
    """It is shown again and, here, refused the second time; what was agreed to is gone."""
    on = bench(tmp_path)
    first = whole_plan(on.world)
    through = Refuses(on, first, changes=[CHANGES[what](first)])
    try:
        outcome: object = await through.run()
    except BleOtaError as error:
        outcome = error
    assert not isinstance(outcome, Done)
    assert not [word for word in through.told if word.startswith(("confirmed", "fetched", "installing"))]
    assert not any(isinstance(e, ConfirmReported) for e in on.events)
    assert on.device.stats.announced == 0


class Refuses(Doors):
    """Agrees to the first plan, and to no other."""

    async def consent(self, plan: object) -> object:  # type: ignore[override]
        self.agrees = "asked" not in self.told
        return await super().consent(plan)  # type: ignore[arg-type]


async def test_a_digest_that_changed_is_shown_before_it_is_agreed_to(tmp_path: Path) -> None:
    on = bench(tmp_path)
    first = whole_plan(on.world)
    through = Doors(on, CHANGES["its digest"](first), changes=[first])
    assert isinstance(await through.run(), Done)
    shown = [e.components[0]["files"][0]["digests"] for e in on.events if isinstance(e, PlanShown)]
    digest = Algorithm.SHA256.hex(content(on.world))
    assert shown == [["sha256:" + "0" * 64], ["sha256:" + digest]]
