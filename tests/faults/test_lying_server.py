"""Whatever a Developer Center answers, to whichever call: something bounded, or a named error, in time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from ble_ota.cloud import DeveloperCenter
from ble_ota.cloud.client import PAGES_MAX
from ble_ota.errors import BleOtaError, TrustError
from ble_ota.model import IMAGE_MAX_BYTES, Algorithm, DeviceInfo, FetchPlan, Plan, PlannedFile, Secret
from ble_ota.planning import decide
from ble_ota.text import clean
from tests.bench import WATCHFUL
from tests.cloud.conftest import DOMAIN_SECRET, NOW_S, PASSWORD, TOKENS
from tests.faults.lying_server import LyingServer
from tests.faults.seeds import blocks

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(0)]

CALL_S = 3 * (3 * 30 + 2 * 10)  # a call, the renewal of the session, the call again; three tries of 30 s for each
ASKED_MAX = 9  # requests, likewise
TEXT_MAX = 4096  # characters of anything that is kept
SENTENCE_MAX = 1000  # characters of anything that is said


def center(server: LyingServer) -> DeveloperCenter:
    return DeveloperCenter(
        "https://cloud.example",
        user_domain="C.DM.1.1",
        user_domain_secret=Secret(DOMAIN_SECRET),
        report_status={"confirmed": 2},
        tokens=TOKENS,
        transport=server,
        clock=lambda: NOW_S,
    )


async def _plan(cloud: DeveloperCenter) -> object:
    device = DeviceInfo("", "", "p1", "d1", {"M1": "1"})
    fetched = await cloud.fetch_plan(device)
    return fetched and (fetched, decide(device, fetched, WATCHFUL, now_s=NOW_S))


async def _devices(cloud: DeveloperCenter) -> object:
    return [device async for device in cloud.devices()]


CALLS: dict[str, Callable[[DeveloperCenter], Awaitable[object]]] = {
    "login by e-mail": lambda cloud: cloud.login_by_email("a@b.example", Secret(PASSWORD)),
    "login by phone": lambda cloud: cloud.login_by_phone("+86", "17000000001", Secret(PASSWORD)),
    "logout": lambda cloud: cloud.logout(),
    "account": lambda cloud: cloud.who_am_i(),
    "devices": _devices,
    "device": lambda cloud: cloud.device("p1", "d1"),
    "versions": lambda cloud: cloud.versions("p1", "d1"),
    "plan": _plan,
    "report": lambda cloud: cloud.report("p1", "d1", "M1", "confirmed"),
}


async def answered(server: LyingServer, call: str) -> object:
    """What comes of one call; any other exception than a named error is a bug, and so is one that takes too long."""
    began_s = asyncio.get_running_loop().time()
    async with center(server) as cloud:
        try:
            return await CALLS[call](cloud)
        except BleOtaError as error:
            return error
        finally:
            tries = PAGES_MAX if call == "devices" else 1
            assert asyncio.get_running_loop().time() - began_s <= CALL_S * tries
            assert server.asked <= ASKED_MAX * tries


@blocks(300, whole=8000, of=1000)
@pytest.mark.parametrize("call", CALLS)
async def test_any_answer_gives_something_bounded_or_a_named_error(call: str, block: range) -> None:
    came: Counter[str] = Counter()
    for seed in block:
        server = LyingServer(seed)
        answer = await answered(server, call)
        came[type(answer).__name__] += 1
        where = f"seed {seed}: {answer!r}"
        if isinstance(answer, BleOtaError):
            said = str(answer) + answer.hint
            assert clean(said, most=SENTENCE_MAX) == said, where
            assert not [secret for secret in _secrets(server) if secret in said], where
        for text in _texts(answer):
            assert clean(text, most=TEXT_MAX, keep="\n") == text, where
        for plan in (p for p in (answer if isinstance(answer, tuple) else ()) if isinstance(p, FetchPlan)):
            _is_bounded(plan)
    assert len(came) > 3, came  # of each call some came through, and some did not
    assert came["CloudAnswerError"] > len(block) // 20, came


def _secrets(server: LyingServer) -> set[str]:
    told = {PASSWORD, DOMAIN_SECRET, TOKENS.access.reveal(), TOKENS.refresh.reveal(), "a.b.c", "d.e.f"}
    return told | {heard for heard in server.heard if heard}


def _is_bounded(plan: FetchPlan) -> None:
    files = [f for c in plan.components for f in c.files]
    assert all(0 < f.size_bytes <= IMAGE_MAX_BYTES for f in files)
    assert plan.ends_at_s is None or 0 <= plan.ends_at_s < 2**38  # a year of five digits is beyond


def _texts(value: Any) -> Iterator[str]:
    """All text in what a call gave; addresses and secrets are never shown."""
    match value:
        case str():
            yield value
        case Secret() | BleOtaError():
            return
        case PlannedFile():
            yield value.name
        case dict():
            yield from _texts([*value.keys(), *value.values()])
        case list() | tuple():
            for one in value:
                yield from _texts(one)
        case _ if dataclasses.is_dataclass(value):
            yield from _texts([getattr(value, f.name) for f in dataclasses.fields(value)])
        case _:
            return


@blocks(900, whole=20_000, of=3000)
async def test_no_plan_that_is_agreed_to_lacks_a_digest_or_is_for_another_device(block: range) -> None:
    planned = refused = 0
    for seed in block:
        answer = await answered(LyingServer(seed), "plan")
        refused += isinstance(answer, TrustError)
        if isinstance(answer, tuple) and isinstance(plan := answer[1], Plan):
            planned += 1
            assert (plan.fetched.product_key, plan.fetched.device_key) == ("p1", "d1"), f"seed {seed}"
            files = [f for c in plan.components for f in c.files]
            assert files, f"seed {seed}"
            assert all(f.digest(Algorithm.SHA256) and f.url.startswith("https://") for f in files), f"seed {seed}"
    assert planned > len(block) // 10
    assert refused
