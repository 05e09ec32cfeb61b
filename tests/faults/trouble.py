"""One call of one door goes wrong: it raises, or it never comes back. Every call before and after is as it should be.

The doors are the ledger's writing transactions, the Developer Center, the cache, the radio and the link. All of it
takes place in one process and in virtual time, so a run that hangs for a minute takes a moment.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ble_ota.cloud import DeveloperCenter
from ble_ota.errors import AdapterError, CloudUnreachableError, LinkLostError, StorageError
from ble_ota.gatt.bleak_radio import BleakLink, BleakRadio
from ble_ota.ledger import Ledger
from ble_ota.link import Advert, Link
from ble_ota.virtual.peripherals.quecthing import Habits
from firmware_cache import FirmwareCache
from tests.cli.inline import without_thread
from tests.faults.afterwards import wrong
from tests.faults.host import QUICK, Host

DEADLINE_S = 60.0
LEDGER = "ledger."
SAMPLE = 1 if os.environ.get("FAULTS") == "whole" else 5
"""Every which operation of a link is struck."""
DOORS = 1 if os.environ.get("FAULTS") == "whole" else 2
"""Every which call at another door is struck; the first of each name always is."""
CLOUD = ("login_by_email", "device", "versions", "fetch_plan", "report")
LINK = ("subscribe", "read", "write", "notification")

Strike: TypeAlias = Callable[[str], Awaitable[None]]
"""What a call of this name comes to, in place of the call; it does not return."""


async def named(call: str) -> None:
    """As this door says that it cannot."""
    if call.startswith(LEDGER):
        msg = "the disk is full"
        raise StorageError(msg)
    if call in CLOUD or call == "fetch":
        msg = "no answer"
        raise CloudUnreachableError(msg)
    if call in LINK:
        msg = "the link is gone"
        raise LinkLostError(msg)
    msg = "the adapter is gone"
    raise AdapterError(msg)


async def unexpected(_call: str) -> None:
    """As nobody has thought of."""
    msg = "nobody expected this"
    raise ZeroDivisionError(msg)


async def hang(_call: str) -> None:
    """Never."""
    await asyncio.Event().wait()


@dataclass(slots=True)
class Trouble:
    """Counts the calls, and lets `strike` befall one of them."""

    at: int = -1  # from 0; none
    strike: Strike = hang
    calls: list[str] = field(default_factory=list[str])
    links: int = 0
    """That stand now."""

    async def befall(self, call: str) -> None:
        self.calls.append(call)
        if len(self.calls) == self.at + 1:
            await self.strike(call)

    def upon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in all the doors."""
        monkeypatch.setattr(Ledger, "transact", self._transact(Ledger.transact))
        for owner, names in ((DeveloperCenter, CLOUD), (FirmwareCache, ("fetch",)), (BleakLink, LINK)):
            for name in names:
                monkeypatch.setattr(owner, name, self._call(getattr(owner, name), name))
        monkeypatch.setattr(BleakRadio, "scan", self._scan(BleakRadio.scan))
        monkeypatch.setattr(BleakRadio, "connect", self._connect(BleakRadio.connect))

    def _transact(self, whole: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def transact(ledger: Ledger, work: Callable[..., Any], *, reads: bool = False) -> Any:
            if not reads:
                await self.befall(LEDGER + work.__qualname__.split(".")[1])
            return await whole(ledger, work, reads=reads)

        return transact

    def _call(self, whole: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        async def call(owner: object, *given: Any, **named: Any) -> Any:
            await self.befall(name)
            return await whole(owner, *given, **named)

        return call

    def _scan(self, whole: Callable[..., AsyncGenerator[Advert, None]]) -> Callable[..., AsyncGenerator[Advert, None]]:
        async def scan(radio: BleakRadio, *, within_s: float) -> AsyncGenerator[Advert, None]:
            await self.befall("scan")
            async with aclosing(whole(radio, within_s=within_s)) as adverts:
                async for advert in adverts:
                    yield advert

        return scan

    def _connect(
        self, whole: Callable[..., AbstractAsyncContextManager[Link]]
    ) -> Callable[..., AbstractAsyncContextManager[Link]]:
        @asynccontextmanager
        async def connect(radio: BleakRadio, address: str, *, within_s: float) -> AsyncGenerator[Link, None]:
            await self.befall("connect")
            self.links += 1
            try:
                async with whole(radio, address, within_s=within_s) as link:
                    yield link
            finally:
                self.links -= 1

        return connect


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a run, as it told it."""

    code: int
    said: list[dict[str, Any]]
    seconds: float  # virtual

    @property
    def last(self) -> dict[str, Any]:
        return self.said[-1]

    @property
    def how(self) -> tuple[int, str, str]:
        return self.code, self.last["verdict"], self.last["reason"]


@dataclass(slots=True)
class Stage:
    """Where runs take place, each over a world of its own or one that is there."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        without_thread(self.monkeypatch)

    def host(self, name: str, habits: Habits = QUICK) -> Host:
        """The host of this name, new or as it was left, before a device with these habits."""
        host = Host.made(self.folder / name, habits=habits)
        for setting, value in (host.environment | {"BLE_OTA_DEADLINE_S": str(DEADLINE_S)}).items():
            self.monkeypatch.setenv(setting, value)
        return host

    async def run(self, host: Host, trouble: Trouble | None = None) -> Came:
        trouble = trouble or Trouble()
        out, loop = io.StringIO(), asyncio.get_running_loop()
        began = loop.time()
        with self.monkeypatch.context() as doors, redirect_stdout(out), redirect_stderr(io.StringIO()):
            trouble.upon(doors)
            code = await host.job()
        return Came(code, [json.loads(line) for line in out.getvalue().splitlines()], loop.time() - began)

    async def good(self) -> list[str]:
        """The calls of a good run."""
        trouble = Trouble()
        came = await self.run(self.host("good"), trouble)
        assert came.how == (0, "PASS", "verified")
        return trouble.calls

    async def struck(self, at: int, strike: Strike, call: str) -> Came:
        """A run with this strike, and one that brings it home; gives what came of the first."""
        where = f"{strike.__name__} at call {at}, {call}"
        host, trouble = self.host(str(at)), Trouble(at, strike)
        came = await self.run(host, trouble)
        assert trouble.calls[at] == call, where
        assert trouble.links == 0, f"{where}: the link stands"
        assert [line["event"] for line in came.said].count("run.finished") == 1, where
        assert (came.last["event"], came.last["exit_code"]) == ("run.finished", came.code), where
        again = await self.run(host)
        assert again.how == ((0, "PASS", "verified") if came.code else (10, "NOTHING_TO_DO", "up_to_date")), where
        assert await wrong(host.world, host.state) == [], where
        return came


def chosen(calls: list[str], *, link: bool) -> list[tuple[int, str]]:
    """The calls that are struck: some of a link's, every other one of the doors' but each name at least once."""
    found = [(at, call) for at, call in enumerate(calls) if (call in LINK) == link]
    if link:
        return found[::SAMPLE]
    first = {call: at for at, call in reversed(found)}
    return [(at, call) for n, (at, call) in enumerate(found) if n % DOORS == 0 or first[call] == at]


def stands(calls: list[str], at: int) -> bool:
    """Whether the verdict is written down before this call."""
    return at > calls.index(LEDGER + "finish")
