"""No secret gets out: every command of a whole run at its loudest, and every file it leaves behind, is searched."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ble_ota.virtual.world import World
from tests.journeys.processes import Ran, process, ready, run

LOUD = ("-vv",)
PASSWORD = "p4ss-W0rd!seed"
DOMAIN_SECRET = "dom4in-s3cret-seed"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.create(tmp_path / "world", online=1, size_bytes=3000)
    raw = json.loads((world.folder / "world.json").read_text())
    raw["user"] |= {"password": PASSWORD, "user_domain_secret": DOMAIN_SECRET}
    (world.folder / "world.json").write_text(json.dumps(raw))
    (world.folder / "cloud").mkdir()
    (world.folder / "cloud" / "online.json").write_text('{"habits": {"*": {"download_s": 0.1, "upgrade_s": 0.1}}}')
    return World.open(world.folder)


def seeds(world: World, home: Path) -> dict[str, str]:
    """Each secret by what it is: those of the world, and those that the session brought."""
    found = {"password": PASSWORD, "user domain secret": DOMAIN_SECRET}
    found |= {f"bindingCode {d.device_key}": d.binding_code for d in world.devices}
    found |= {f"authKey {d.device_key}": d.auth_key for d in world.online}
    kept = json.loads(next(home.rglob("secrets.json")).read_text())
    session = json.loads(next(secret for name, secret in kept.items() if name.startswith("session")))
    return found | {"access token": session["access"], "refresh token": session["refresh"]}


def forms(secret: str) -> Iterator[bytes]:
    """How a secret may look: as it is, in a URL, in base64, in hexadecimal, and as the bytes that it stands for."""
    plain = secret.removeprefix("Bearer ").encode()
    yield from (plain, quote(plain, safe="").encode(), base64.b64encode(plain).rstrip(b"="), plain.hex().encode())
    try:
        raw = base64.b64decode(plain, validate=True)
    except ValueError:
        return
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode())


async def _everything(home: Path, world: World, env: dict[str, str]) -> list[Ran]:
    """A whole run at its loudest: each command once with its log in a file, and once with it on the terminal."""
    online = f"{world.online_product}/{world.online[0].device_key}"
    radio = ("--radio", f"virtual:{world.folder}")
    commands: list[tuple[str, ...]] = [
        ("login",),
        ("whoami",),
        ("doctor", *radio),
        ("plan", world.devices[0].address, *radio),
        ("update", world.devices[0].address, "--yes", *radio, "--record", str(home / "transcript")),
        ("mqtt", "plan", "--all"),
        ("mqtt", "confirm", online, "--yes"),
        ("mqtt", "watch", online),
        ("mqtt", "confirm", "p9/NOBODY", "--yes"),
        ("auto", "on", online, "--yes"),
        ("auto", "status", online),
        ("history", "show", "-v", world.devices[0].address),
        ("history", "export"),
        ("reports",),
    ]
    wrong = env | {"BLE_OTA_PASSWORD": "wr0ng-" + PASSWORD[:8], "BLE_OTA_STATE_DIR": str(home / "other")}
    nowhere = env | {"BLE_OTA_CLOUD": "http://127.0.0.1:9"}  # the discard port
    ran = [await run(home, *words, *LOUD, **env) for words in commands]
    ran += [await run(home, "mqtt", "plan", "--all", *LOUD, "--log-file", str(home / "log"), **env)]
    ran += [await run(home, "login", *LOUD, **wrong), await run(home, "mqtt", "plan", online, *LOUD, **nowhere)]
    return ran


@pytest.mark.timeout(240)  # seventeen processes one after another
async def test_no_secret_gets_out(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    folders = {"BLE_OTA_STATE_DIR": str(home / "state"), "BLE_OTA_CACHE_DIR": str(home / "cache")}
    async with process(home, "virtual", "cloud", "--world", str(world.folder)) as cloud:
        environment: dict[str, str] = (await ready(cloud))["environment"] | folders | {"BLE_OTA_POLL_S": "0.1"}
        ran = await _everything(home, world, environment)
    assert [one.code for one in ran] == [0] * 8 + [20] + [0] * 6 + [20, 20], [(o.code, o.err[-300:]) for o in ran]
    said = {f"{at}.out": one.out.encode() for at, one in enumerate(ran)}
    said |= {f"{at}.err": one.err.encode() for at, one in enumerate(ran)}
    left = [file for file in home.rglob("*") if file.is_file() and file.name != "secrets.json"]
    assert {"log", "transcript", "ledger.db"} <= {file.name for file in left}
    said |= {file.name: file.read_bytes() for file in left}
    assert any(b"getDeviceUpgradePlan" in text for text in said.values()), "the log is not loud"
    found = [
        (name, what)
        for what, secret in seeds(world, home).items()
        for form in forms(secret)
        for name, text in said.items()
        if form in text
    ]
    assert found == []
