"""A whole small factory in virtual time: a host's processes, a radio link, a device, a Developer Center.

The host is the real command with its real ledger, outbox, claims, cache and cloud client. Three things are put in its
place: the radio is the modelled air, HTTP goes to the Developer Center without a socket, and what would take a thread
is done at once, so that the same seed gives the same story. A process that is killed does nothing more, in no door.

The seed also chooses the product (one component, a module and an MCU, or two modules) and whether file frames are
encrypted. The device's own words are logged, and so is which links of a process went to a peer without its key.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import pytest

from ble_ota import cloud
from ble_ota.cli.common import Common
from ble_ota.cli.update import update
from ble_ota.errors import AdapterError
from ble_ota.ledger import Entry, Ledger, Report, RunRow
from ble_ota.link import Advert, Link
from ble_ota.virtual.air import Air, Fate, Operation
from ble_ota.virtual.developer_center import REPORT_STATUS, DeveloperCenter
from ble_ota.virtual.peripherals.quecthing import Boot, Flash, Habits, Impostor, PowerCutError, QuecThing, ttlv, words
from ble_ota.virtual.peripherals.quecthing.ttlv import Fields
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World, WorldFile

T = TypeVar("T")
EPOCH_S = 1_800_000_000.0
SIZE = 900
PRODUCTS: tuple[Mapping[str, int], ...] = ({"MAIN": 0}, {"MAIN": 0, "MCU": 1}, {"MAIN": 0, "AUX": 0})
"""Component numbers to their kind, 0 module or 1 MCU."""
IN_CLEAR = 4  # every so many seeds file frames are not encrypted
REFUSALS = {"declined": words.DECLINE, "cancelled": words.CANCEL, "failed": words.FAILURE}
COMMON = Common("update", quiet=True, no_input=True)
_mine: ContextVar[Process] = ContextVar("process")


class Firmware(NamedTuple):
    """What one component runs, or is to run."""

    version: str
    image: bytes


BORN = Firmware("1.0.0", b"")


@dataclass(slots=True)
class Process:
    """One `ble-ota update --yes`."""

    run: str
    began_s: float
    dead: bool = False
    task: asyncio.Task[int] | None = None
    ended_s: float | None = None
    then: Mapping[str, Firmware] = field(default_factory=dict[str, Firmware])
    """What the device ran, by component, at the moment when it ended."""
    keyless: list[bool] = field(default_factory=list[bool])
    """For each link, in order: whether the peer was one without the device's key."""

    @property
    def alive(self) -> bool:
        return not self.dead and self.ended_s is None

    @property
    def code(self) -> int:
        assert self.task is not None
        return self.task.result()


class Word(NamedTuple):
    """What the device itself has said that can deny an update: a refusal, or versions by their id."""

    at_s: float
    refusal: int = 0
    told: Mapping[int, str] = {}


class Device(QuecThing):
    """The device, with a log of its own words; a lie that it seals is its word, too."""

    def __init__(self, world: World) -> None:
        super().__init__(world, world.devices[0])
        self.words: list[Word] = []
        self.on_success: list[Callable[[], object]] = []
        """Called, once each, when the device next says "success"."""

    def frame(self, command: int, payload: bytes, packet_id: int) -> bytes:
        with suppress(ValueError):  # a lie that cannot be read
            self._note(command, ttlv.unpack(payload))
        return super().frame(command, payload, packet_id)

    def read(self, uuid: str) -> bytes:
        value = super().read(uuid)
        self.words.append(Word(clock(), told={words.VERSION: value.decode()}))
        return value

    def _note(self, command: int, fields: Fields) -> None:
        if command == words.TELL_VERSION:
            told = {at: v.decode("utf-8", "replace") for at, v in fields.items() if isinstance(v, bytes)}
            self.words.append(Word(clock(), told=told))
        action = ttlv.whole(fields, words.ACTION) if command == words.CONTROL else None
        if action in REFUSALS.values():
            self.words.append(Word(clock(), refusal=action or 0))
        if action == words.SUCCESS:
            acts, self.on_success = self.on_success, []
            for act in acts:
                act()


@dataclass(slots=True)
class Factory:
    """See above."""

    home: Path
    seed: int
    world: World = field(init=False)
    air: Air = field(init=False)
    device: Device = field(init=False)
    center: DeveloperCenter = field(init=False)
    processes: list[Process] = field(default_factory=list[Process])
    published: dict[str, tuple[str, Firmware]] = field(default_factory=dict[str, tuple[str, Firmware]])
    """Every firmware there ever was: its SHA-256 to its component, and what it is."""
    ran: set[tuple[str, Firmware]] = field(default_factory=set[tuple[str, Firmware]])
    """All that was ever seen to run."""
    unconfirmed: list[str] = field(default_factory=list[str])
    """What reached the flash before any confirmation of its plan had reached the Developer Center."""
    fates: list[Fate] = field(default_factory=list[Fate])
    """What becomes of the next operations of a link."""
    cuts_power_in: int = 0
    """At so manieth flash operation from now the power fails; 0: at none."""
    torn: bool = False
    """The power has failed in a flash operation and is not back: only a boot sets right what lies in flash then."""
    adapter_back_s: float = 0.0
    """Until then, by the clock, the host has no Bluetooth."""
    impostor: Impostor | None = None
    """A peer without the device's key that is on the air."""
    _confirmed_then: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        kinds, firmware = PRODUCTS[self.seed % len(PRODUCTS)], random.Random(self.seed)
        world = World.create(
            self.home / "world", seed=self.seed, packages={no: (firmware.randbytes(SIZE),) for no in kinds}
        )
        self.world = replace(world, components=tuple(replace(c, kind=kinds[c.no]) for c in world.components))
        self.air = Air(self.seed)
        self.air.on_operation = self._fate
        self.device = Device(self.world)
        self.behave(Habits(settle_s=0.5, boot_s=1.0))
        self.device.flash.on_operation = self._flash_operation
        self.air.add(self.device)
        self._opened()

    # ------------------------------------------------------------------ the Developer Center

    def publish(self, no: str, version: str, content: bytes) -> None:
        """From now on this is the plan for a component; what the others are to run stays.

        The device knows of each file that there ever was which component it is for.
        """
        name = f"{len(self.published)}.bin"
        (self.world.folder / "firmware" / name).write_bytes(content)
        file = WorldFile(name, len(content), sha256(content).hexdigest())
        new = {c.no: replace(c, target=version, files=(file,)) if c.no == no else c for c in self.world.components}
        self.world = replace(self.world, components=tuple(new.values()))
        known = dict.fromkeys((*new.values(), *self.device.world.components))
        self.device.world = replace(self.world, components=tuple(known))
        self._opened()

    def _opened(self) -> None:
        self.center = DeveloperCenter(self.world, clock=clock)
        for component in self.world.components:
            digest, image = component.files[0].sha256, self.world.firmware(component.files[0])
            self.published[digest] = component.no, Firmware(component.target, image)
            self._confirmed_then.setdefault(digest, self._confirmed(component.no))

    def _confirmed(self, no: str) -> int:
        records = (r for r in self.center.records() if r["what"] == "status.reported" and r["componentNo"] == no)
        return sum(r["meaning"] == "confirmed" for r in records)

    def versions(self, no: str) -> list[str]:
        """Every version of a component that there ever was."""
        return [BORN.version, *(f.version for at, f in self.published.values() if at == no)]

    # ------------------------------------------------------------------ the device

    @property
    def boot(self) -> Boot:
        """What its flash holds."""
        return Boot(self.world, Flash(self.world.home(self.world.devices[0])))

    @property
    def runs(self) -> Mapping[str, Firmware]:
        """What each component runs."""
        boot = self.boot
        now = {c.no: Firmware(boot.versions[c.no], b"".join(boot.image(c.no))) for c in self.world.components}
        self.ran |= set(now.items())
        return now

    def behave(self, habits: Habits) -> None:
        """Give the device other habits."""
        self.device.habits = replace(habits, encrypt_transfer=self.seed % IN_CLEAR != IN_CLEAR - 1)

    def power(self, *, on: bool) -> None:
        if not on:
            self.device.power_off()
            return
        self.torn = False
        if self.impostor is not None and self.impostor.address == self.device.address:
            self.impostor = None  # the device takes its place back
        self.air.add(self.device)

    def _flash_operation(self, operation: str) -> None:
        _ = self.runs
        if operation.startswith("write staging"):
            staged = next(s for s in self.boot.staged if operation.endswith(s.area))
            if self._confirmed(staged.component) <= self._confirmed_then.get(staged.check, 0):
                self.unconfirmed.append(f"{staged.version} {staged.check}")
        self.cuts_power_in -= 1
        if self.cuts_power_in == 0:
            self.torn = True
            asyncio.get_running_loop().call_later(1.0, partial(self.power, on=True))
            raise PowerCutError

    # ------------------------------------------------------------------ a peer without the key

    def stand_in(self, impostor: Impostor, for_s: float) -> None:
        """Put a peer on the air: in the device's place, which is off meanwhile, or beside it."""
        self.relieve()
        if impostor.address == self.device.address:
            self.device.power_off()
        self.impostor = impostor
        self.air.add(impostor)
        asyncio.get_running_loop().call_later(for_s, lambda: self.relieve() if self.impostor is impostor else None)

    def relieve(self) -> None:
        """Take that peer off the air; the device is on again."""
        impostor, self.impostor = self.impostor, None
        if impostor is not None:
            impostor.power_off()
            if impostor.address == self.device.address:
                self.power(on=True)

    # ------------------------------------------------------------------ the link

    def lose_the_adapter(self, for_s: float) -> None:
        """Leave the host without Bluetooth for a while."""
        self.adapter_back_s = max(self.adapter_back_s, clock() + for_s)
        self.air.cut()

    def _fate(self, _operation: Operation) -> Fate:
        return self.fates.pop(0) if self.fates else Fate.PASS

    # ------------------------------------------------------------------ the host

    def start(self) -> Process:
        """Begin another one; it is told the device's address."""
        # of this worker alone: a run that lives holds a lock of the whole machine
        process = Process(f"{os.getpid() % 0x1000000:06x}{len(self.processes):06x}", clock())
        self.processes.append(process)

        async def work() -> int:
            _mine.set(process)
            return await update(COMMON, self.device.address, flags={}, yes=True, allow_downgrade=False)

        process.task = asyncio.create_task(work())
        process.task.add_done_callback(lambda _: self._ended(process))
        return process

    def _ended(self, process: Process) -> None:
        process.ended_s, process.then = clock(), self.runs

    async def kill(self, process: Process) -> None:
        """Let it do nothing more; the system ends its link, and lets go of its locks."""
        assert process.task is not None
        process.dead = True
        self.air.cut()
        process.task.cancel()
        await asyncio.wait({process.task})

    async def done(self, process: Process) -> int:
        assert process.task is not None
        await asyncio.wait({process.task})
        return process.code

    async def ledger(self) -> Told:
        async with await Ledger.open(self.home / "state" / "ledger.db") as ledger:
            rows = {row.id: row for row in await ledger.runs(limit=1000)}
            events = {run: await ledger.events(run) for run in rows}
            return Told(rows, events, await ledger.reports(limit=1000), await ledger.verify())


@dataclass(frozen=True, slots=True)
class Told:
    """All that stands in the ledger."""

    rows: dict[str, RunRow]
    events: dict[str, list[Entry]]
    reports: list[Report]
    faults: list[str]

    def chain(self, run: str) -> list[str]:
        """A run, the one that it carries on, and so forth, as far as they agreed to one plan."""
        row, chain = self.rows[run], [run]
        while (before := self.rows.get(row.carries_on)) is not None and before.id not in chain:
            chain.append(before.id)
            row = before
        return chain


def clock() -> float:
    """Unix time, as everybody in here has it."""
    return EPOCH_S + asyncio.get_running_loop().time()


class Adapter(VirtualRadio):
    """The host's Bluetooth, which can be lost; it notes of each link whether the peer had the device's key."""

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory.air)
        self._factory = factory

    async def scan(self, *, within_s: float) -> AsyncGenerator[Advert, None]:
        self._there()
        async for advert in super().scan(within_s=within_s):
            yield advert
            self._there()

    @asynccontextmanager
    async def connect(self, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
        self._there()
        async with super().connect(address, within_s=within_s) as link:
            self._there()
            impostor = self._factory.impostor
            _mine.get().keyless.append(impostor is not None and impostor.address == address)
            yield link

    def _there(self) -> None:
        if clock() < self._factory.adapter_back_s:
            msg = "Bluetooth cannot be used: no adapter"
            raise AdapterError(msg)


class Wires(httpx.AsyncBaseTransport):
    """HTTP to whatever is the Developer Center now; a dead process asks nothing."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _alive()
        try:
            return await httpx.ASGITransport(self._factory.center.app).handle_async_request(request)
        except ConnectionResetError as error:
            raise httpx.ReadError("the connection broke off", request=request) from error
        finally:
            _alive()


def _alive() -> None:
    process = _mine.get(None)
    if process is not None and process.dead:
        raise asyncio.CancelledError


def install(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the three things in the host's place, and tell it where all is."""
    wires = Wires(factory)

    @asynccontextmanager
    async def radio(_settings: object) -> AsyncGenerator[Adapter, None]:
        yield Adapter(factory)

    @asynccontextmanager
    async def client(_given: object) -> AsyncGenerator[httpx.AsyncClient, None]:
        async with httpx.AsyncClient(transport=wires) as own:
            yield own

    async def inline(work: Callable[..., T], *arguments: Any) -> T:
        _alive()
        return work(*arguments)

    async def whole(_thread: Executor, work: Callable[[], T]) -> T:
        if getattr(work, "__name__", "") != "dispose":
            _alive()
        return work()

    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(asyncio, "to_thread", inline)
    monkeypatch.setattr("secrets.token_hex", lambda _n: _mine.get().run)
    monkeypatch.setattr("ble_ota.ledger.ledger._whole", whole)
    monkeypatch.setitem(Ledger.__dict__["open"].__func__.__kwdefaults__, "now", clock)
    monkeypatch.setattr("ble_ota.cli.update.radio_of", radio)
    monkeypatch.setattr("firmware_cache.fetching.carrier", client)
    made = partial(cloud.DeveloperCenter, transport=wires, clock=clock)
    monkeypatch.setattr("ble_ota.cli.session.DeveloperCenter", made)
    for name, value in _environment(factory).items():
        monkeypatch.setenv(f"BLE_OTA_{name.upper()}", value)


def _environment(factory: Factory) -> dict[str, str]:
    user, home = factory.world.user, factory.home
    return {
        "cloud": "https://cloud.example",
        "radio": f"virtual:{factory.world.folder}",
        "state_dir": str(home / "state"),
        "cache_dir": str(home / "cache"),
        "keyring": "false",
        "ledger_head": "false",  # asked in a thread of its own, which virtual time does not wait for
        "user_domain": user.user_domain,
        "user_domain_secret": user.user_domain_secret,
        "email": user.email,
        "password": user.password,
        "scan_s": "5",
        "reboot_s": "30",
        "quecthing__encrypt_transfer": str(factory.device.habits.encrypt_transfer).lower(),
        "quecthing__version_ids": json.dumps(_version_ids(factory.world)),
        **{f"report_status__{meaning}": str(number) for meaning, number in REPORT_STATUS.items()},
    }


def _version_ids(world: World) -> dict[str, int]:
    """The setting: a sole module needs no name."""
    several = sum(c.kind == 0 for c in world.components) > 1
    return {c.no: c.version_id for c in world.components if c.kind or several}


def chance(seed: int) -> random.Random:
    return random.Random(f"factory {seed}")
