"""A bench for the virtual device: a carrier without a radio, and a host that says each byte by itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ble_ota.virtual.peripheral import Advertisement
from ble_ota.virtual.peripherals import Habits, QuecThing
from ble_ota.virtual.world import World

CHAR = "00009c40-0000-1000-8000-00805f9b34fb"
LOG = "00009c41-0000-1000-8000-00805f9b34fb"
PLAIN = Habits(login_required=False)

DECLINE, PAUSE, PROCEED, CANCEL, SUCCESS, FAILURE = (bytes.fromhex(f"003a000{n}") for n in (1, 3, 4, 5, 6, 7))
RECEIVE = bytes.fromhex("003a0002 005a00c8")  # id 11 = 200


def num(number: int, value: int) -> bytes:
    """A TTLV number of up to four bytes."""
    size = 1 + (value > 0xFF) + (value > 0xFFFF) + (value > 0xFFFFFF)
    return struct.pack(">HB", number << 3 | 2, size - 1) + value.to_bytes(size, "big")


def binary(number: int, value: bytes) -> bytes:
    return struct.pack(">HH", number << 3 | 3, len(value)) + value


def frame(command: int, data: bytes = b"", packet_id: int = 1000) -> bytes:
    summed = struct.pack(">HH", packet_id, command) + data
    body = struct.pack(">HB", len(summed) + 1, sum(summed) % 256) + summed
    stuffed = body[:1]
    for before, byte in pairwise(body):
        stuffed += b"\x55" * (before == 0xAA and byte in (0xAA, 0x55)) + bytes((byte,))
    return b"\xaa\xaa" + stuffed


def notification(image: bytes, version: str = "9.9.9", *, check: bytes | None = None) -> bytes:
    """The data of a file notification with SHA256."""
    code = hashlib.sha256(image).digest() if check is None else check
    head = num(1, 1) + num(4, 2) + binary(5, code) + num(6, len(image))
    return head + binary(12, version.encode()) * bool(version)


def packet(offset: int, data: bytes) -> bytes:
    return num(9, offset) + binary(10, data)


class Bench:
    """Carries one device: keeps what it says and advertises, and connects when told to."""

    def __init__(self, thing: QuecThing, *, mtu: int = 247) -> None:
        self.thing = thing
        self.advertisement: Advertisement | None = None
        self.linked = False
        self.logged: list[bytes] = []
        self.sizes: list[int] = []
        self.session: Cipher[modes.CBC] | None = None
        self._mtu = mtu
        self._said = bytearray()
        self._news = asyncio.Event()
        thing.attach(self)

    # ---------------------------------------------------------- Carrier

    @property
    def max_value(self) -> int:
        return self._mtu - 3

    def send(self, uuid: str, value: bytes) -> None:
        assert 0 < len(value) <= self.max_value
        if uuid == LOG:
            self.logged.append(value)
            return
        self.sizes.append(len(value))
        self._said += value
        self._news.set()

    def disconnect(self) -> None:
        self._news.set()
        if self.linked:
            self.linked = False
            asyncio.get_running_loop().call_soon(self.thing.disconnected)

    def advertise(self, advertisement: Advertisement | None) -> None:
        self.advertisement = advertisement
        self._news.set()

    # ---------------------------------------------------------- the host

    def connect(self) -> Bench:
        assert self.advertisement is not None
        self.linked = True
        self._said.clear()
        self.session = None
        self.thing.connected()
        return self

    def lose(self) -> None:
        """The link goes, at once."""
        self.linked = False
        self.thing.disconnected()

    def say(self, command: int, data: bytes = b"", packet_id: int = 1000) -> None:
        if self.session is not None and data:
            pad = 16 - len(data) % 16
            data = self.session.encryptor().update(data + bytes((pad,)) * pad)
        self.thing.written(CHAR, frame(command, data, packet_id))

    def login(self, code: str) -> bytes:
        """Log in with the base64 secret; gives the data of the answer."""
        self.say(0x7032)
        challenge = self.now(0x7033)[4:]
        secret = base64.b64decode(code)
        proof = hashlib.sha256(secret.hex().encode() + b";" + challenge).hexdigest()
        self.say(0x7034, binary(2, proof.encode()))
        answer = self.now(0x7035)
        self.session = Cipher(algorithms.AES(secret), modes.CBC(challenge))
        return answer

    def now(self, command: int, packet_id: int | None = None) -> bytes:
        """The data of the next frame, which is there already and has this command."""
        found = self._next()
        assert found is not None, f"nothing was said where 0x{command:04x} is due"
        assert found[1] == command, f"0x{found[1]:04x} {found[2].hex()}"
        assert packet_id in (None, found[0])
        return found[2]

    async def later(self, command: int, within_s: float = 30) -> bytes:
        """The same, when it comes."""
        async with asyncio.timeout(within_s):
            while not self._said:
                self._news.clear()
                await self._news.wait()
        return self.now(command)

    async def lasts(self, for_s: float) -> None:
        """So much time passes."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(for_s):
                await asyncio.Event().wait()

    async def quiet(self, for_s: float) -> None:
        """Nothing is said, and no link drops, for so long."""
        assert not self._said
        self._news.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(for_s):
                await self._news.wait()

    async def advertises(self, *, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while self.advertisement is None:
                self._news.clear()
                await self._news.wait()

    async def falls_off(self, *, within_s: float) -> None:
        """The device leaves the air, as for a reboot."""
        async with asyncio.timeout(within_s):
            while self.advertisement is not None:
                self._news.clear()
                await self._news.wait()

    async def quiet_after(self, for_s: float) -> None:
        """The same, whatever was said before."""
        self._said.clear()
        await self.quiet(for_s)

    def silent(self) -> bool:
        return not self._said

    def raw(self) -> str:
        """All that was said, in hexadecimal."""
        said = self._said.hex()
        self._said.clear()
        return said

    def _next(self) -> tuple[int, int, bytes] | None:
        """Packet id, command and data; only whole frames are ever queued, so the first is whole."""
        if not self._said:
            return None
        assert self._said[:2] == b"\xaa\xaa"
        body, used = bytearray(), 2
        while len(body) < 2 or len(body) < 2 + int.from_bytes(body[:2], "big"):
            byte = self._said[used]
            if not (body and body[-1] == 0xAA and byte == 0x55 and self._said[used - 1] == 0xAA):
                body.append(byte)
            used += 1
        del self._said[:used]
        packet_id, command = struct.unpack_from(">HH", body, 3)
        assert body[2] == sum(body[3:]) % 256
        data = bytes(body[7:])
        if self.session is not None and data:
            plain = self.session.decryptor().update(data)
            data = plain[: -plain[-1]]
        return packet_id, command, data

    # ---------------------------------------------------------- whole conversations

    def offer(self, image: bytes, version: str = "9.9.9") -> None:
        """Notify, and be told to send."""
        self.say(0x7022, notification(image, version))
        assert self.now(0x7023) == num(7, 2) + num(11, self.thing.habits.chunk_bytes)

    def send_from(self, image: bytes, start: int = 0, *, until: int | None = None, chunk: int = 200) -> None:
        """Send packets one after the other, each answered with its own offset."""
        for at in range(start, len(image) if until is None else until, chunk):
            self.say(0x7025, packet(at, image[at : at + chunk]), packet_id=2000 + at // chunk)
            assert self.now(0x7026, packet_id=2000 + at // chunk) == num(9, at)

    def finish(self) -> None:
        """Be told that all is well, and take note."""
        found = self._next()
        assert found is not None
        assert found[1:] == (0x7023, SUCCESS)
        self.say(0x7024, packet_id=found[0])

    def transfer(self, image: bytes, version: str = "9.9.9") -> None:
        """A whole file, as documented."""
        self.offer(image, version)
        self.send_from(image)
        self.finish()

    async def rebooted(self) -> None:
        """Wait for the reboot that is due, and connect again."""
        await self.falls_off(within_s=10)
        await self.advertises(within_s=10)
        self.connect()


def bench(folder: Path, habits: Habits = PLAIN, **packages: tuple[bytes, ...]) -> Bench:
    """A world, its device and a link to it."""
    world = World.create(folder, packages=packages or {"MAIN": (b"the first image of this device" * 30,)})
    return Bench(QuecThing(world, world.devices[0], habits)).connect()
