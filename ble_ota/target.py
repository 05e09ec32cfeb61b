"""Finding the one device that is meant, and asking it what it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ble_ota import addresses
from ble_ota.errors import BleOtaError, DeviceAmbiguousError, DeviceNotFoundError, Retry
from ble_ota.events import Emit, LinkConnected, LinkLost
from ble_ota.link import Advert, Link, Radio
from ble_ota.model import DeviceInfo, Secret
from ble_ota.perform import Watch, perform
from ble_ota.proof import Versions
from ble_ota.protocols import AnyDriver, Sighting, recognise
from ble_ota.script import Script
from ble_ota.tape import LinkTape, Recorder
from ble_ota.text import clean

T = TypeVar("T")

SCAN_S = 10.0  # our choice: a device that advertises every second is heard several times
OTHERS_S = 2.0  # how long to go on listening for a second device that fits
CONNECT_S = 20.0  # our choice: two advertising intervals of the slowest devices, and discovery
IDENTIFY_LINKS = 3  # our choice: nothing is under way yet, and somebody waits
HEARD_MAX = 1024  # addresses kept for the case that the one that is meant is not among them


@dataclass(frozen=True, slots=True)
class Target:
    """A device on the air and the protocol it speaks; who it is, is what it advertises until the login proves it."""

    advert: Advert
    sighting: Sighting
    driver: AnyDriver
    product_key: str
    device_key: str

    def __str__(self) -> str:
        keys = f"{self.product_key}/{self.device_key}" if self.device_key else "keys not advertised"
        return f"{self.advert.address} {clean(self.advert.name, most=64)} ({keys})"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user calls the device. All that is given must fit; nothing given fits every device."""

    address: str = ""
    name: str = ""
    product_key: str = ""
    device_key: str = ""

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read `DEVICE` of the command line: an address, PRODUCT_KEY/DEVICE_KEY, or a name."""
        address = addresses.normal(text)
        if address is not None:
            return cls(address=address)
        product_key, slash, device_key = text.partition("/")
        if slash and product_key and device_key:
            return cls(product_key=product_key, device_key=device_key)
        return cls(name=text)

    def fits(self, advert: Advert, sighting: Sighting) -> bool:
        """Whether the device of this sighting may be meant.

        A device that advertises no keys is known by its name or address, which end in the last four of the key.
        """
        if self.address:
            return advert.address.upper() == self.address
        if self.name:
            return advert.name == self.name
        product = not sighting.product_key or self.product_key in ("", sighting.product_key)
        if sighting.device_key:
            return product and self.device_key in ("", sighting.device_key)
        tail = self.device_key[-4:].upper()
        tails = (advert.name[-4:].upper(), advert.address.replace(":", "")[-4:].upper())
        return product and (not tail or tail in tails)

    def __str__(self) -> str:
        keys = f"{self.product_key}/{self.device_key}" if self.device_key else ""
        return self.address or self.name or keys or "any device"


async def sightings(radio: Radio, drivers: Iterable[AnyDriver], *, within_s: float) -> dict[str, Target]:
    """All devices near whose protocol is known, by address, as last seen."""
    seen: dict[str, Target] = {}
    async with aclosing(radio.scan(within_s=within_s)) as adverts:
        async for advert in adverts:
            _note(seen, advert, drivers)
    return seen


async def find(radio: Radio, drivers: Iterable[AnyDriver], wanted: Wanted, *, within_s: float = SCAN_S) -> Target:
    """Find the one device that `wanted` fits.

    An address is unique and ends the search once the device's keys were heard too; else it goes on for `OTHERS_S`,
    to hear of a second device that fits, or of the keys, which may come in another packet than the name.

    Raises:
        DeviceNotFoundError: None fits within `within_s` seconds.
        DeviceAmbiguousError: More than one does.
        AdapterError: Bluetooth is not to be had.
    """
    table = tuple(drivers)
    loop = asyncio.get_running_loop()
    seen: dict[str, Target] = {}
    heard: set[str] = set()
    enough_at = loop.time() + within_s
    async with aclosing(radio.scan(within_s=within_s)) as adverts:
        async for advert in adverts:
            if len(heard) < HEARD_MAX:
                heard.add(advert.address)
            target = _note(seen, advert, table)
            if target is not None and wanted.fits(target.advert, target.sighting):
                if wanted.address and target.device_key:
                    return target
                enough_at = min(enough_at, loop.time() + OTHERS_S)
            if loop.time() >= enough_at:
                break
    fitting = [t for t in seen.values() if wanted.fits(t.advert, t.sighting)]
    if not fitting:
        msg = f"{wanted} was not heard within {within_s:g} s"
        raise DeviceNotFoundError(msg, hint=addresses.missing(wanted.address, heard) if wanted.address else None)
    return _only(fitting, wanted)


def _note(seen: dict[str, Target], advert: Advert, drivers: Iterable[AnyDriver]) -> Target | None:
    table = {d.name: d for d in drivers}
    sighting = recognise(advert, table.values())
    if sighting is None:
        return None
    before = seen.get(advert.address)
    if before is None or sighting.device_key or not before.device_key:
        driver = table[sighting.protocol]
        seen[advert.address] = Target(advert, sighting, driver, sighting.product_key, sighting.device_key)
    return seen[advert.address]


def _only(fitting: list[Target], wanted: Wanted) -> Target:
    if len(fitting) > 1:
        msg = f"{wanted} fits {len(fitting)} devices: {', '.join(sorted(map(str, fitting)))}"
        raise DeviceAmbiguousError(msg)
    return fitting[0]


@dataclass(slots=True)
class Talk:
    """A link that stands, and the session on it."""

    link: Link
    tape: LinkTape | None
    session: Any = None
    """The driver's; its `open` makes it."""

    async def do(self, script: Script[T], watch: Watch | None = None) -> T:
        """Perform `script` on the link."""
        return await perform(script, self.link, watch=watch, tape=self.tape)


@asynccontextmanager
async def talking(
    target: Target, radio: Radio, secret: Secret | None, *, emit: Emit, purpose: str, recorder: Recorder | None = None
) -> AsyncGenerator[Talk, None]:
    """Connect and log in; disconnect at the end of the block.

    Raises:
        BleOtaError: As `Radio.connect` and the driver's `open` say.
    """
    with recorder.link(purpose, target.driver.redact) if recorder is not None else nullcontext() as tape:
        async with radio.connect(target.advert.address, within_s=CONNECT_S) as link:
            if tape is not None:
                tape.stands(link.facts)
            emit(LinkConnected(target.advert.address, purpose))
            talk = Talk(link, tape)
            talk.session = await talk.do(target.driver.open(link.facts, secret))
            if tape is not None:
                tape.opened(talk.session)
            yield talk


async def look(
    target: Target, radio: Radio, secret: Secret | None, *, emit: Emit, purpose: str, recorder: Recorder | None = None
) -> Versions:
    """Connect, log in and ask what runs, on a short link of its own: consent can take minutes.

    With the purpose "verify" a peer that told versions without its key is asked to show it (`Driver.show_key`).

    Raises:
        BleOtaError: As `talking` and the driver's `identify` and `show_key` say.
    """
    driver = target.driver
    async with talking(target, radio, secret, emit=emit, purpose=purpose, recorder=recorder) as talk:
        versions = await talk.do(driver.identify(talk.session))
        if purpose == "verify" and versions.by_component and not versions.key_shown and driver.show_key:
            versions = replace(versions, key_shown=await talk.do(driver.show_key(talk.session)))
        return versions


async def identify(
    target: Target, radio: Radio, secret: Secret | None, *, emit: Emit, recorder: Recorder | None = None
) -> DeviceInfo:
    """Ask the device what it runs, over as many as `IDENTIFY_LINKS` links.

    Raises:
        BleOtaError: As `look`.
    """
    for attempt in range(1, IDENTIFY_LINKS + 1):
        try:
            said = await look(target, radio, secret, emit=emit, purpose="identify", recorder=recorder)
            return describe(target, said)
        except BleOtaError as error:
            if error.retry is not Retry.NEW_LINK or attempt == IDENTIFY_LINKS:
                raise
            emit(LinkLost(str(error), attempt, IDENTIFY_LINKS))
        await asyncio.sleep(attempt)
    raise AssertionError  # the last attempt returns or raises


def describe(target: Target, versions: Versions) -> DeviceInfo:
    """What planning needs to know of a device."""
    return DeviceInfo(
        address=target.advert.address,
        name=clean(target.advert.name, most=64),
        product_key=target.product_key,
        device_key=target.device_key,
        versions=versions.by_component,
        rssi_dbm=target.advert.rssi_dbm,
        proof=versions.proof,
        key_shown=versions.key_shown,
    )
