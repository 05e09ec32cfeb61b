from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from bleak.exc import BleakBluetoothNotAvailableReason
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ble_ota.cli.common import Common
from ble_ota.cli.doctor import doctor
from ble_ota.cli.doctor_system import System, Trouble
from ble_ota.cli.tokens import tokens_of
from ble_ota.cli.wiring import vault_of
from ble_ota.cloud import ENDPOINTS, Tokens
from ble_ota.errors import AdapterError
from ble_ota.link import Radio
from ble_ota.model import Secret
from ble_ota.virtual.air import Air
from ble_ota.virtual.developer_center import Faults
from ble_ota.virtual.radio import VirtualRadio
from tests.cli.desk import Desk
from tests.cli.machines import Machine

JSON, TEXT = Common("doctor", json=True), Common("doctor")


@pytest.fixture(autouse=True)
def a_short_look_at_the_radio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor.LISTEN_S", 0.05)


async def findings(desk: Desk) -> dict[str, dict[str, object]]:
    await doctor(JSON, JSON.settings())
    return {f["what"]: f for f in desk.told().last["data"]}


async def test_all_is_well_on_a_desk_that_works(desk: Desk) -> None:
    assert await doctor(JSON, JSON.settings()) == 0
    assert all(f["ok"] for f in desk.told().last["data"])


async def test_each_line_is_ok_or_what_to_do(desk: Desk) -> None:
    desk.set(radio="bumble:tcp-client:127.0.0.1:1")
    assert await doctor(TEXT, TEXT.settings()) == 34
    lines = desk.capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok  ", "NO  ", "      hint: ")) for line in lines)
    bad = next(at for at, line in enumerate(lines) if line.startswith("NO  radio: "))
    assert lines[bad + 1].startswith("      hint: ")


async def test_a_server_that_is_not_there_is_told(desk: Desk) -> None:
    desk.set(cloud="http://127.0.0.1:1")
    assert await doctor(JSON, JSON.settings()) == 20


async def test_a_cloud_that_is_no_address_is_told(desk: Desk) -> None:
    desk.set(cloud="http://example.com")
    assert await doctor(JSON, JSON.settings()) == 3


# ------------------------------------------------------------------ the system's Bluetooth


class UnavailableError(Exception):
    """As bleak's error, which names a reason."""

    reason = BleakBluetoothNotAvailableReason.DENIED_BY_USER


def on(monkeypatch: pytest.MonkeyPatch, machine: Machine, *, fails: AdapterError | None) -> None:
    """Put `doctor` on this machine, where listening fails so."""

    @asynccontextmanager
    async def radio(_settings: object) -> AsyncGenerator[Radio, None]:
        if fails is not None:
            raise fails
        yield VirtualRadio(Air())

    def system() -> System:
        return machine

    monkeypatch.setattr("ble_ota.cli.doctor.SYSTEM", system)
    monkeypatch.setattr("ble_ota.cli.doctor.radio_of", radio)


async def bluetooth_lines(desk: Desk, code: int, radio: str = "bleak") -> list[str]:
    """What is said of Bluetooth, by a doctor that ends so."""
    assert await doctor(TEXT, TEXT.settings(radio=radio)) == code
    lines = desk.capsys.readouterr().out.splitlines()
    first = next(at for at, line in enumerate(lines) if line[4:].startswith(("bluetooth:", "radio:")))
    return lines[first : next(at for at, line in enumerate(lines) if line[4:].startswith("cloud:"))]


async def test_a_machine_without_bluetooth_is_one_plain_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Machine(hci=(), said=Trouble.NO_BUS), fails=AdapterError("No Bluetooth adapters found"))
    line, hint = await bluetooth_lines(desk, 34)
    assert line == "NO  bluetooth: this machine has no Bluetooth controller"
    assert hint.startswith("      hint: Plug in a Bluetooth dongle")


async def test_bluetooth_that_seems_well_is_listened_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Machine(), fails=None)
    assert await bluetooth_lines(desk, 0) == [
        "ok  bluetooth: hci0 00:1A:7D:DA:71:13 is on",
        "ok  bluez: 5.66",
        "ok  radio: bleak works (0 devices heard in 0.05 s)",
    ]


async def test_bluetooth_that_fails_though_it_seems_well_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Machine(), fails=AdapterError("Bluetooth cannot be used: In Progress"))
    *_, line, hint = await bluetooth_lines(desk, 34)
    assert line == "NO  radio: Bluetooth cannot be used: In Progress"
    assert "Switch Bluetooth off and on again" in hint


async def test_a_hint_does_not_send_to_where_one_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Machine(), fails=AdapterError("x"))
    assert "ble-ota doctor" not in "".join(await bluetooth_lines(desk, 34))


async def test_a_mac_that_forbids_it_is_told_where_to_allow_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    error = AdapterError("Bluetooth cannot be used")
    error.__cause__ = UnavailableError()
    on(monkeypatch, Machine("Darwin", "15.1"), fails=error)
    *_, line, hint = await bluetooth_lines(desk, 34)
    assert line == "NO  radio: this terminal may not use Bluetooth"
    assert "System Settings > Privacy & Security > Bluetooth" in hint


async def test_the_adapter_that_is_named_is_the_one_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Machine(), fails=None)
    (line, _) = await bluetooth_lines(desk, 34, "bleak:hci3")
    assert line == "NO  bluetooth: there is no adapter hci3"


async def test_the_systems_bluetooth_is_no_matter_to_a_radio_of_ones_own(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, Machine(hci=(), said=Trouble.NO_BUS), fails=None)
    (line,) = await bluetooth_lines(desk, 0, "bumble:usb:0")
    assert line == "ok  radio: bumble:usb:0 works (0 devices heard in 0.05 s)"


# ------------------------------------------------------------------ the way to the server


@asynccontextmanager
async def answering(answer: str, certificate: ssl.SSLContext | None = None) -> AsyncGenerator[str, None]:
    """A server that says this to whoever asks, and goes."""
    talks: list[asyncio.Task[None]] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)  # a request, or what TLS begins with
        writer.write(answer.encode())
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def begun(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(served(reader, writer)))

    server = await asyncio.start_server(begun, "127.0.0.1", 0, ssl=certificate)
    async with server:
        scheme = "https" if certificate else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*talks)


def http(body: str, *, status: str = "200 OK", date: str = "") -> str:
    dated = f"Date: {date}\r\n" if date else ""
    return f"HTTP/1.1 {status}\r\n{dated}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"


def dated(*, ago_s: float) -> str:
    return http('{"code": 5106}', date=format_datetime(datetime.now(UTC) - timedelta(seconds=ago_s), usegmt=True))


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """One that nobody vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=True)
        .sign(key, SHA256())
    )
    file = tmp_path / "certificate.pem"
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(plain + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_server_that_answers_is_ok(desk: Desk) -> None:
    cloud = (await findings(desk))["cloud"]
    assert (cloud["ok"], cloud["says"]) == (True, f"{desk.url} answers")


async def test_a_refused_connection_is_named(desk: Desk) -> None:
    desk.set(cloud="http://127.0.0.1:1")
    cloud = (await findings(desk))["cloud"]
    assert (cloud["says"], cloud["exit_code"]) == ("http://127.0.0.1:1: the connection is refused", 20)


async def test_a_name_that_is_not_found_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    desk.set(cloud="https://nowhere.invalid")
    assert (await findings(desk))["cloud"]["says"] == "https://nowhere.invalid: the name is not found"


async def test_a_server_that_does_not_answer_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor.ASK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # nobody accepts what has come
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        desk.set(cloud=url)
        assert (await findings(desk))["cloud"]["says"] == f"{url}: no answer within 0.2 s"


async def test_a_certificate_nobody_vouches_for_is_named(desk: Desk, certificate: ssl.SSLContext) -> None:
    async with answering(http("{}"), certificate) as url:
        desk.set(cloud=url)
        assert (await findings(desk))["cloud"][
            "says"
        ] == f"{url}: its certificate is not trusted: self-signed certificate"


async def test_a_server_without_tls_is_named(desk: Desk) -> None:
    async with answering(http("{}")) as url:
        secure = url.replace("http:", "https:")
        desk.set(cloud=secure)
        assert (await findings(desk))["cloud"]["says"] == f"{secure}: no TLS is spoken there"


async def test_a_connection_that_breaks_off_is_named(desk: Desk) -> None:
    async with answering("") as url:
        desk.set(cloud=url)
        assert "the connection broke off" in str((await findings(desk))["cloud"]["says"])


async def test_a_portals_page_is_recognised(desk: Desk) -> None:
    desk.center.faults = Faults(html=True)
    cloud = (await findings(desk))["cloud"]
    assert cloud["says"] == f"{desk.url}: a web page answers (HTTP 200), not a Developer Center"
    assert "portal" in str(cloud["hint"])


@pytest.mark.parametrize("body", ["", "[]", "{}", "[" * 60_000, '{"code":' + " " * 70_000 + "200}"])
async def test_what_is_no_developer_center_is_told(desk: Desk, body: str) -> None:
    async with answering(http(body, status="302 Found")) as url:
        desk.set(cloud=url)
        cloud = (await findings(desk))["cloud"]
    assert (cloud["ok"], "HTTP 302 with something else" in str(cloud["says"])) == (False, True)


async def test_an_answer_without_an_end_is_not_read_to_it(desk: Desk) -> None:
    async def served(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" " * 10_000)
                await writer.drain()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    async with server:
        desk.set(cloud=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert "HTTP 200 with something else" in str((await findings(desk))["cloud"]["says"])


async def test_it_is_asked_without_a_token_by_the_path_in_force(desk: Desk) -> None:
    await doctor(JSON, JSON.settings(endpoints={"userInfo": {"path": "/elsewhere"}}))
    cloud = next(f for f in desk.told().last["data"] if f["what"] == "cloud")
    assert "HTTP 404" in cloud["says"]


# ------------------------------------------------------------------ the clock


@pytest.mark.parametrize(
    ("ago_s", "way"), [(3600, "ahead of"), (-3600, "behind")], ids=["a fast clock", "a slow clock"]
)
async def test_a_clock_that_is_wrong_is_told(desk: Desk, ago_s: float, way: str) -> None:
    async with answering(dated(ago_s=ago_s)) as url:
        desk.set(cloud=url)
        assert await doctor(JSON, JSON.settings()) == 3
    clock = next(f for f in desk.told().last["data"] if f["what"] == "clock")
    assert (clock["ok"], way in clock["says"]) == (False, True)
    assert int(clock["says"].split()[0]) == pytest.approx(3600, abs=20)  # a slow machine takes its time to ask
    assert "Set this machine's clock" in clock["hint"]


async def test_a_clock_that_is_right_is_ok(desk: Desk) -> None:
    async with answering(dated(ago_s=0)) as url:
        desk.set(cloud=url)
        clock = (await findings(desk))["clock"]
    assert clock["ok"]
    assert str(clock["says"]).endswith("the Developer Center's")


async def test_a_date_without_a_zone_is_utc(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        async with answering(dated(ago_s=0).replace("GMT", "-0000")) as url:
            desk.set(cloud=url)
            assert (await findings(desk))["clock"]["ok"]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
async def test_a_server_without_a_time_is_told(desk: Desk, date: str) -> None:
    async with answering(http('{"code": 5106}', date=date)) as url:
        desk.set(cloud=url)
        assert "does not tell its time" in str((await findings(desk))["clock"]["says"])


# ------------------------------------------------------------------ the session


def kept(common: Common, *, lives_s: float) -> None:
    settings = common.settings()
    pair = Tokens(Secret("Bearer hunter2"), 0.0, Secret("Bearer hunter3"), time.time() + lives_s)
    store = tokens_of(common, settings, vault_of(settings))
    store.account = "ann@example.com"
    store.save(pair)


async def test_a_session_that_is_kept_is_told_and_not_shown(desk: Desk) -> None:
    kept(JSON, lives_s=86400)
    says = str((await findings(desk))["session"]["says"])
    assert re.fullmatch(rf"of ann@example\.com for {desk.url}, until 20\d\d-\d\d-\d\d \d\d:\d\d", says)
    await doctor(TEXT, TEXT.settings())
    assert "hunter" not in str(desk.capsys.readouterr())


async def test_a_session_that_is_over_is_told(desk: Desk) -> None:
    kept(JSON, lives_s=-1)
    session = (await findings(desk))["session"]
    assert f"that for {desk.url} ended" in str(session["says"])
    assert "ble-ota login" in str(session["hint"])


async def test_a_session_without_an_end_is_told(desk: Desk) -> None:
    kept(JSON, lives_s=1e30)
    assert str((await findings(desk))["session"]["says"]).endswith("until a time that is none")


async def test_no_session_is_told(desk: Desk) -> None:
    assert (await findings(desk))["session"]["says"] == f"none is kept for {desk.url}"


async def test_the_session_of_the_profile_is_told(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[profiles.work]\n")
    work = Common("doctor", json=True, config=tmp_path / "config.toml", profile="work")
    kept(JSON, lives_s=86400)
    await doctor(work, work.settings())
    session = next(f for f in desk.told().last["data"] if f["what"] == "session")
    assert session["says"] == f"none is kept for {desk.url} (profile work)"


async def test_secrets_that_cannot_be_read_are_told(desk: Desk, tmp_path: Path) -> None:
    kept(JSON, lives_s=86400)
    (tmp_path / "state" / "secrets.json").write_text("{")
    assert await doctor(JSON, JSON.settings()) == 22


# ------------------------------------------------------------------ which endpoints are guessed


async def endpoint_lines(desk: Desk, **flags: object) -> list[str]:
    await doctor(TEXT, TEXT.settings(**flags))
    return [line.removeprefix("ok  ") for line in desk.capsys.readouterr().out.splitlines()]


async def test_each_endpoint_that_is_not_documented_is_told_with_its_note(desk: Desk) -> None:
    lines = await endpoint_lines(desk)
    guessed = [e for e in ENDPOINTS.values() if e.evidence != "documented"]
    assert guessed
    assert {f"{e.evidence}: {e.name}: {e.note}" for e in guessed} <= set(lines)


async def test_an_endpoint_that_is_documented_is_not_told(desk: Desk) -> None:
    assert not [line for line in await endpoint_lines(desk) if "userInfo" in line]


async def test_an_endpoint_that_a_setting_overrides_is_told_as_such(desk: Desk) -> None:
    lines = await endpoint_lines(desk, endpoints={"getFetchPlan": {"method": "PUT"}})
    said = [line for line in lines if "`endpoints` says otherwise" in line]
    assert [line.split(": ")[1] for line in said] == ["getFetchPlan"]


async def test_a_region_that_is_known_from_others_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor._asked", lost)
    assert "third-party: cloud us = https://iot-api.landecia.com" in await endpoint_lines(desk, cloud="us")
    assert not [line for line in await endpoint_lines(desk, cloud="eu") if " cloud eu " in line]


async def lost(_method: str, _url: str) -> httpx.HTTPError:
    return httpx.ConnectError("no network in tests")


# ------------------------------------------------------------------ the rest


async def test_a_disk_that_is_full_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor.ROOM_BYTES", 1 << 62)
    assert await doctor(JSON, JSON.settings()) == 22


async def test_a_disk_that_cannot_be_written_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor._writable", lambda _folder: False)  # root may write everywhere
    found = (await findings(desk))["cache"]
    assert (found["ok"], found["exit_code"]) == (False, 22)
    assert "not writable" in str(found["says"])


async def test_the_exit_code_is_that_of_the_first_cause(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ble_ota.cli.doctor.ROOM_BYTES", 1 << 62)
    desk.center.faults = Faults(html=True)
    assert await doctor(JSON, JSON.settings()) == 20  # not 22, which comes after it


async def test_where_the_settings_are_is_told(desk: Desk, tmp_path: Path) -> None:
    assert str(tmp_path / "config") in str((await findings(desk))["settings"]["says"])


async def test_report_numbers_nobody_knows_are_told(desk: Desk) -> None:
    desk.unset("report_status__failed")
    assert "failed" in str((await findings(desk))["unknown"]["says"])


async def test_inferred_settings_in_force_are_told_as_they_are_written(desk: Desk) -> None:
    await doctor(TEXT, TEXT.settings())
    assert "ok  inferred: report_status = {'confirmed': 2, 'succeeded': 9, 'failed': 8}" in desk.capsys.readouterr().out


async def test_no_secret_is_told(desk: Desk) -> None:
    desk.set(password="hunter2-password", device_secret="hunter2-device", user_domain_secret="hunter2-domain")
    await doctor(TEXT, TEXT.settings())
    assert "hunter2" not in str(desk.capsys.readouterr())


async def test_a_virtual_cloud_answers(desk: Desk) -> None:
    desk.set(cloud=f"virtual:{desk.world.folder}")
    assert await doctor(TEXT, TEXT.settings()) == 0


async def test_what_the_ledger_has_left_is_told(desk: Desk) -> None:
    assert await desk.update() == 0
    desk.told()
    assert await doctor(TEXT, TEXT.settings()) == 0
    assert "ledger.db: 0 runs to resume, 0 reports to send" in desk.capsys.readouterr().out


async def test_a_ledger_that_is_none_is_told(desk: Desk) -> None:
    place = TEXT.settings().state_dir / "ledger.db"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"something else altogether" * 100)
    assert await doctor(TEXT, TEXT.settings()) == 22
    assert "is not a ledger" in desk.capsys.readouterr().out
