"""Servers to fetch from, a cache to fetch into, and what to look at in it."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from firmware_cache import FirmwareCache, FirmwareCacheError, Limits, Ref, VerifiedFile, sidecar
from firmware_cache.owner import Owner
from firmware_cache.parts import Parts
from firmware_cache.store import Store
from tests.firmware_cache.origin import CONTENT, ETAG, Origin

REF = Ref(len(CONTENT), sha256=sha256(CONTENT).hexdigest())
QUICK = Limits(pause_s=0.0)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async for made in _running(Origin(), None):
        yield made


@pytest.fixture
async def tls_origin(certificate: tuple[Path, Path]) -> AsyncIterator[Origin]:
    """Speaks TLS with a certificate nobody has heard of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async for made in _running(Origin("https"), context):
        yield made


async def _running(made: Origin, context: ssl.SSLContext | None) -> AsyncIterator[Origin]:
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(made.handle(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await asyncio.gather(*tasks)
    await server.wait_closed()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "origin")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(root: Path) -> FirmwareCache:
    return FirmwareCache(root)


def blobs(root: Path) -> list[Path]:
    """Every file under a final name."""
    return [p for p in (root / "v1" / "blobs").rglob("*") if p.is_file()]


def parts(root: Path) -> list[Path]:
    """Every file being written, or left over."""
    return list((root / "v1" / "part").glob("*"))


def quarantined(root: Path) -> list[Path]:
    return list((root / "v1" / "quarantine").glob("*"))


def damage(path: Path, content: bytes) -> None:
    """Rot: other bytes under the same name."""
    path.chmod(0o644)
    path.write_bytes(content)


ROT = [
    pytest.param(CONTENT[:-1], id="truncated"),
    pytest.param(CONTENT + b"\0", id="longer"),
    pytest.param(b"\0" * len(CONTENT), id="zeroed"),
    pytest.param(bytes([CONTENT[0] ^ 1]) + CONTENT[1:], id="one bit"),
    pytest.param(b"", id="empty"),
]


@pytest.fixture
def made(root: Path) -> Store:
    return Store(root)


def put(made: Store, content: bytes = CONTENT, ref: Ref = REF) -> VerifiedFile:
    with made.part(ref) as part:
        part.write(content)
        return made.publish(part)


def put_any(made: Store, content: bytes) -> str:
    """Keep `content`; its digest."""
    return put(made, content, Ref(len(content), sha256=sha256(content).hexdigest())).sha256


async def refused(cache: FirmwareCache, url: str, *, ref: Ref = REF, limits: Limits = QUICK) -> FirmwareCacheError:
    """The error that a fetch must end in, before anybody loses patience."""
    with pytest.raises(FirmwareCacheError) as caught:
        async with asyncio.timeout(10):
            await cache.fetch(ref, url, limits=limits)
    assert "s3cret" not in f"{caught.value} {caught.value!r}"
    return caught.value


def begin(root: Path, content: bytes, *, etag: str = ETAG, ref: Ref = REF) -> Path:
    """Leave a part of `ref` for whoever comes next, as a download does that was stopped."""
    store = Store(root)
    store.prepare(0)
    part = store.parts.fresh(ref)
    part.restart(etag)
    part.write(content)
    store.parts.give_back(part)
    return root / "v1" / "part" / f"{ref.sha256}.part"


DEAD = Owner(machine=Owner.here().machine, boot="an earlier one", pid=1, started="0")


def orphan(part: Path, owner: Owner = DEAD) -> Path:
    """Make of a part that was given back one that `owner` is writing."""
    busy = part.with_name(f"{part.stem}.{uuid4().hex}.busy")
    known = sidecar.read(part)
    assert known
    sidecar.write(busy, replace(known, owner=owner))
    sidecar.beside(part).unlink()
    return part.rename(busy)


ELSEWHERE = Owner("another machine", "boot", 7, "1")


@pytest.fixture
def folder(root: Path) -> Parts:
    store = Store(root)
    store.prepare(0)
    return store.parts


def claimed(folder: Parts, ref: Ref = REF) -> tuple[bytes, bool]:
    """What a claim finds, and whether it has to be copied; it is dropped afterwards."""
    part, older = folder.claim(ref)
    found = (older or part).path.read_bytes()
    for one in filter(None, (part, older)):
        folder.discard(one)
    return found, older is not None


def age(path: Path, seconds: float) -> Path:
    at = time.time() - seconds
    os.utime(path, (at, at))
    return path
