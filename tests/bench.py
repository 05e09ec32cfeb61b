"""A virtual device on the in-memory air, and what it takes to install something on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ble_ota.events import Event
from ble_ota.install import Installer, Patience
from ble_ota.model import (
    Algorithm,
    Component,
    ComponentKind,
    DeviceInfo,
    Digest,
    FetchPlan,
    PlannedFile,
    Secret,
    VerifiedImage,
)
from ble_ota.planning import Policy
from ble_ota.protocols import AnyDriver, quecthing
from ble_ota.target import Target, Wanted, find, identify
from ble_ota.virtual.air import Air
from ble_ota.virtual.peripherals.quecthing import Habits, QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World

PATIENCE = Patience()
WATCHFUL = Policy(allow_downgrade=False, strict_conditions=False, accept_md5=False, attended=False, reinstall=False)


@dataclass(slots=True)
class Bench:
    """One device of a world, on an air of its own."""

    world: World
    habits: Habits = field(default_factory=Habits)
    options: quecthing.Options = field(default_factory=quecthing.Options)
    air: Air = field(default_factory=Air)
    events: list[Event] = field(default_factory=list[Event])
    word_lost: bool = False
    """Something the device said was lost on the way while the link stood: for tests to take note of."""
    device: QuecThing = field(init=False)
    radio: VirtualRadio = field(init=False)
    driver: AnyDriver = field(init=False)

    def __post_init__(self) -> None:
        self.device = QuecThing(self.world, self.world.devices[0], self.habits)
        self.radio = VirtualRadio(self.air)
        self.driver = quecthing.driver(self.options)
        self.air.add(self.device)

    @property
    def secret(self) -> Secret:
        return Secret(self.world.devices[0].binding_code)

    @property
    def names(self) -> list[str]:
        """The names of the events so far, without progress."""
        return [e.name for e in self.events if not e.name.endswith(".progress")]

    async def target(self) -> Target:
        return await find(self.radio, [self.driver], Wanted(address=self.world.devices[0].address))

    async def identified(self) -> tuple[Target, DeviceInfo]:
        target = await self.target()
        return target, await identify(target, self.radio, self.secret, emit=self.events.append)

    async def installer(self, patience: Patience = PATIENCE) -> Installer:
        target, info = await self.identified()
        emit = self.events.append
        return Installer(target, info, self.radio, self.secret, emit, patience)


def bench(tmp_path: Path, habits: Habits | None = None, *, size: int = 5000, **more: object) -> Bench:
    """A bench over a world in `tmp_path`: a device, and a package of `size` bytes that waits for it."""
    return Bench(World.create(tmp_path / "world", size_bytes=size), habits or Habits(), **more)  # type: ignore[arg-type]


def planned(world: World, at: int = 0) -> Component:
    """A component of the world as a plan would name it."""
    there = world.components[at]
    files = tuple(
        PlannedFile("https://example.com/f", f.size_bytes, (Digest(Algorithm.SHA256, f.sha256),), n, f.name)
        for n, f in enumerate(there.files)
    )
    return Component(there.no, ComponentKind(there.kind), there.target, there.version, files, sort=at)


def images(world: World, at: int = 0) -> list[VerifiedImage]:
    """The verified files of a component of the world."""
    component = planned(world, at)
    contents = (world.firmware(f) for f in world.components[at].files)
    return [VerifiedImage.check(f, c) for f, c in zip(component.files, contents, strict=True)]


def whole_plan(world: World) -> FetchPlan:
    """Everything that waits for the first device of the world."""
    components = tuple(planned(world, at) for at in range(len(world.components)))
    return FetchPlan("7", world.product_key, world.devices[0].device_key, components)


def content(world: World, at: int = 0) -> bytes:
    """What must lie in the device's flash at the end."""
    return b"".join(world.firmware(f) for f in world.components[at].files)


async def bytes_of(image: VerifiedImage) -> bytes:
    """The bytes that would be sent."""
    return b"".join([await image.content.block(n) for n in range(len(image.content.summary.blocks))])
