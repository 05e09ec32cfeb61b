"""A world is a folder: what it holds outlives every process that plays in it.

::

    world.json            what the world is: product, user, devices, packages; written once
    firmware/<name>       the packages the Developer Center serves
    devices/<device key>/ a device's flash and boot state; the peripheral's alone
    cloud/                the Developer Center's records; its alone

The secrets in here open nothing but this world.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

DEVICES_MAX = 99
ONLINE_MAX = 10_000
ONLINE_PRODUCT = "p22cLd"


class WorldError(ValueError):
    """A folder is no virtual world, or one of its files is not right."""


FORMAT = 1  # bump when world.json changes its shape


@dataclass(frozen=True, slots=True)
class WorldDevice:
    """A device as the factory made it."""

    device_key: str  # 12 hexadecimal digits, upper case
    address: str  # a random static address, so that Bumble can use it as it is
    binding_code: str  # base64 of the 16 bytes that device and account share

    @property
    def name(self) -> str:
        """What it advertises: the last four of its key, as documented."""
        return f"QUEC_BLE_{self.device_key[-4:]}"


@dataclass(frozen=True, slots=True)
class WorldOnline:
    """A device that is online by itself (MQTT): the Developer Center alone speaks to it."""

    device_key: str  # 12 hexadecimal digits, upper case; the last four are never a Bluetooth device's
    auth_key: str  # base64 of the 16 bytes that device and account share

    @property
    def name(self) -> str:
        """What the device list calls it."""
        return f"QUEC_MQTT_{self.device_key[-4:]}"


@dataclass(frozen=True, slots=True)
class WorldFile:
    """One file of a package, kept in `firmware/`."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WorldComponent:
    """A part of the product with a version of its own, and the package that waits for it."""

    no: str
    version: str  # what devices are born with
    target: str
    files: tuple[WorldFile, ...]
    kind: int = 0  # 0 module, 1 MCU
    delta: bool = False
    version_id: int = 12  # TTLV id under which the device tells this component's version


@dataclass(frozen=True, slots=True)
class WorldUser:
    """The one account of this world."""

    email: str = "demo@example.com"
    phone: str = "17000000001"
    country_code: str = "86"
    password: str = "virtual-1"
    user_domain: str = "E.SP.4294967410"
    user_domain_secret: str = "virtual-domain-secret"


@dataclass(frozen=True, slots=True)
class World:
    """What the world is. What happens in it lies in `devices/` and `cloud/`."""

    folder: Path
    product_key: str
    devices: tuple[WorldDevice, ...]
    components: tuple[WorldComponent, ...]
    user: WorldUser = field(default_factory=WorldUser)
    online: tuple[WorldOnline, ...] = ()
    online_product: str = ONLINE_PRODUCT

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        devices: int = 1,
        seed: int = 1,
        packages: Mapping[str, tuple[bytes, ...]] | None = None,
        size_bytes: int = 65536,
        online: int = 0,
    ) -> Self:
        """Make a world in `folder`, or open the one that is there.

        Args:
            folder: Made where it is missing.
            devices: How many devices, 1 to 99.
            seed: Chooses keys and firmware bytes; the same seed makes the same world.
            packages: Component number to its files; left out, one component "MAIN" with one file of `size_bytes`.
            size_bytes: See `packages`.
            online: How many devices that are online by themselves, 0 to 10,000; no other key depends on it.

        Raises:
            WorldError: A number of devices is out of its range, or `open` refuses the world that is in `folder`.
        """
        _check(devices, online)
        if (folder / "world.json").exists():
            return cls.open(folder)
        chance = random.Random(seed)
        packages = packages or {"MAIN": (chance.randbytes(size_bytes),)}
        (folder / "firmware").mkdir(parents=True, exist_ok=True)
        world = cls(
            folder,
            "p11vWQ",
            tuple(_device(n, chance) for n in range(1, devices + 1)),
            tuple(_component(folder, at, no, files) for at, (no, files) in enumerate(packages.items())),
            online=_online(online, seed),
        )
        world.save()
        return world

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the world in `folder`.

        Raises:
            WorldError: There is none, it is of another format, or world.json is damaged.
        """
        try:
            raw: Any = json.loads((folder / "world.json").read_text("utf-8"))
        except FileNotFoundError:
            msg = f"there is no virtual world in {folder}"
            raise WorldError(msg) from None
        except ValueError as error:
            msg = f"the virtual world in {folder} is damaged: {error}"
            raise WorldError(msg) from error
        try:
            if raw["format"] != FORMAT:
                msg = f"the virtual world in {folder} has format {raw['format']}, this version reads {FORMAT}"
                raise WorldError(msg)
            components = (
                WorldComponent(**(c | {"files": tuple(WorldFile(**f) for f in c["files"])})) for c in raw["components"]
            )
            return cls(
                folder,
                raw["product_key"],
                tuple(WorldDevice(**d) for d in raw["devices"]),
                tuple(components),
                WorldUser(**raw["user"]),
                tuple(WorldOnline(**d) for d in raw.get("online", ())),  # a world may be older than these two
                raw.get("online_product", ONLINE_PRODUCT),
            )
        except (KeyError, TypeError) as error:
            msg = f"the virtual world in {folder} is damaged: {error}"
            raise WorldError(msg) from error

    def save(self) -> None:
        """Write world.json."""
        plain = {"format": FORMAT} | asdict(self)
        del plain["folder"]
        (self.folder / "world.json").write_text(json.dumps(plain, indent=1), "utf-8")

    def firmware(self, file: WorldFile) -> bytes:
        """The content of one package file."""
        return (self.folder / "firmware" / file.name).read_bytes()

    def device(self, device_key: str) -> WorldDevice:
        """The device with this key. Raises `KeyError`."""
        found = next((d for d in self.devices if d.device_key == device_key), None)
        if found is None:
            raise KeyError(device_key)
        return found

    def home(self, device: WorldDevice) -> Path:
        """Where the peripheral keeps the flash and boot state of `device`; made where it is missing."""
        path = self.folder / "devices" / device.device_key
        path.mkdir(parents=True, exist_ok=True)
        return path


def _check(devices: int, online: int) -> None:
    if not 1 <= devices <= DEVICES_MAX:
        msg = f"a world has 1 to {DEVICES_MAX} devices, not {devices}"
        raise WorldError(msg)
    if not 0 <= online <= ONLINE_MAX:
        msg = f"a world has 0 to {ONLINE_MAX} devices online, not {online}"
        raise WorldError(msg)


def _online(count: int, seed: int) -> tuple[WorldOnline, ...]:
    chance = random.Random(f"{seed} online")  # of its own: keys and firmware are the same with and without them
    codes = (base64.b64encode(chance.randbytes(16)).decode() for _ in range(count))
    return tuple(WorldOnline(f"D0E0C0DE{0x1001 + n:04X}", code) for n, code in enumerate(codes))


def _device(number: int, chance: random.Random) -> WorldDevice:
    key = f"B0E0C0DE{number:04X}"
    code = base64.b64encode(chance.randbytes(16)).decode()
    return WorldDevice(key, f"C0:DE:B0:E0:00:{number:02X}", code)


def _component(folder: Path, at: int, no: str, contents: tuple[bytes, ...]) -> WorldComponent:
    files: list[WorldFile] = []
    for n, content in enumerate(contents):
        name = f"{no}-{n}.bin"
        (folder / "firmware" / name).write_bytes(content)
        files.append(WorldFile(name, len(content), sha256(content).hexdigest()))
    return WorldComponent(no, "1.0.0", "1.1.0", tuple(files), kind=min(at, 1), version_id=12 + at)
