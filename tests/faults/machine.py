"""A whole small factory in virtual time: a host's processes, a radio link, a device, a Developer Center.

The host is the real command with its real ledger, outbox, claims, cache and cloud client. Three things are put in its
place: the radio is the modelled air, HTTP goes to the Developer Center without a socket, and what would take a thread
is done at once, so that the same seed gives the same story. A process that is killed does nothing more, in no door.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from ble_ota import cloud
from ble_ota.cli.common import Common
from ble_ota.cli.update import update
from ble_ota.ledger import Entry, Ledger, Report, RunRow
from ble_ota.virtual.air import Air, Fate, Operation
from ble_ota.virtual.developer_center import REPORT_STATUS, DeveloperCenter
from ble_ota.virtual.peripherals.quecthing import Boot, Flash, Habits, PowerCutError, QuecThing
from ble_ota.virtual.radio import VirtualRadio
from ble_ota.virtual.world import World, WorldFile

T = TypeVar("T")
EPOCH_S = 1_800_000_000.0
SIZE = 900
COMMON = Common("update", quiet=True, no_input=True)
_mine: ContextVar[Process] = ContextVar("process")


@dataclass(slots=True)
class Process:
    """One `ble-ota update --yes`."""

    run: str
    began_s: float
    dead: bool = False
    task: asyncio.Task[int] | None = None
    ended_s: float | None = None
    then: tuple[str, bytes] = ("", b"")
    """What the device ran, version and image, at the moment when it ended."""

    @property
    def alive(self) -> bool:
        return not self.dead and self.ended_s is None

    @property
    def code(self) -> int:
        assert self.task is not None
        return self.task.result()


@dataclass(slots=True)
class Factory:
    """See above."""

    home: Path
    seed: int
    world: World = field(init=False)
    air: Air = field(init=False)
    device: QuecThing = field(init=False)
    center: DeveloperCenter = field(init=False)
    processes: list[Process] = field(default_factory=list[Process])
    published: dict[str, tuple[str, bytes]] = field(default_factory=dict[str, tuple[str, bytes]])
    """Every firmware there ever was: its SHA-256 to its version and bytes."""
    unconfirmed: list[str] = field(default_factory=list[str])
    """What reached the flash before any confirmation of its plan had reached the Developer Center."""
    fates: list[Fate] = field(default_factory=list[Fate])
    """What becomes of the next operations of a link."""
    cuts_power_in: int = 0
    """At so manieth flash operation from now the power fails; 0: at none."""
    torn: bool = False
    """The power has failed in a flash operation and is not back: only a boot sets right what lies in flash then."""
    _confirmed_then: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self.world = World.create(self.home / "world", seed=self.seed, size_bytes=SIZE)
        self.air = Air(self.seed)
        self.air.on_operation = self._fate
        self.device = QuecThing(self.world, self.world.devices[0], Habits(settle_s=0.5, boot_s=1.0))
        self.device.flash.on_operation = self._flash_operation
        self.air.add(self.device)
        self._opened()

    # ------------------------------------------------------------------ the Developer Center

    def publish(self, version: str, content: bytes) -> None:
        """From now on this is the plan."""
        name = f"{len(self.published)}.bin"
        (self.world.folder / "firmware" / name).write_bytes(content)
        file = WorldFile(name, len(content), sha256(content).hexdigest())
        self.world = replace(self.world, components=(replace(self.world.components[0], target=version, files=(file,)),))
        self._opened()

    def _opened(self) -> None:
        component = self.world.components[0]
        self.center = DeveloperCenter(self.world, clock=clock)
        digest = component.files[0].sha256
        self.published[digest] = component.target, self.world.firmware(component.files[0])
        self._confirmed_then[digest] = self._confirmed()

    def _confirmed(self) -> int:
        records = (r for r in self.center.records() if r["what"] == "status.reported")
        return sum(r["meaning"] == "confirmed" for r in records)

    # ------------------------------------------------------------------ the device

    @property
    def boot(self) -> Boot:
        """What its flash holds."""
        return Boot(self.world, Flash(self.world.home(self.world.devices[0])))

    @property
    def runs(self) -> tuple[str, bytes]:
        boot = self.boot
        return boot.versions["MAIN"], b"".join(boot.image("MAIN"))

    def power(self, *, on: bool) -> None:
        if on:
            self.torn = False
            self.air.add(self.device)
        else:
            self.device.power_off()

    def _flash_operation(self, words: str) -> None:
        if words.startswith("write staging"):
            staged = self.boot.staged[-1]
            if self._confirmed() <= self._confirmed_then.get(staged.check, 0):
                self.unconfirmed.append(f"{staged.version} {staged.check}")
        self.cuts_power_in -= 1
        if self.cuts_power_in == 0:
            self.torn = True
            asyncio.get_running_loop().call_later(1.0, partial(self.power, on=True))
            raise PowerCutError

    def _fate(self, _operation: Operation) -> Fate:
        return self.fates.pop(0) if self.fates else Fate.PASS

    # ------------------------------------------------------------------ the host

    def start(self) -> Process:
        process = Process(f"{len(self.processes):012x}", clock())
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
    async def radio(_settings: object) -> AsyncGenerator[VirtualRadio, None]:
        yield VirtualRadio(factory.air)

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
        **{f"report_status__{meaning}": str(number) for meaning, number in REPORT_STATUS.items()},
    }


def chance(seed: int) -> random.Random:
    return random.Random(f"factory {seed}")
