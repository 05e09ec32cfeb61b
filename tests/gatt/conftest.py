from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ble_ota.link import Link
from tests.gatt.contract import ADDRESS, MTU, PROMPT_S, Carried, Rig, over_bumble, over_the_air

RIGS: list[Carried] = [over_the_air, over_bumble]


@pytest.fixture(params=RIGS, ids=["air", "bumble"])
def carried(request: pytest.FixtureRequest) -> Carried:
    made: Carried = request.param
    return made


@pytest.fixture
async def rig(carried: Carried) -> AsyncIterator[Rig]:
    async with carried(MTU) as made:
        yield made


@pytest.fixture
async def link(rig: Rig) -> AsyncIterator[Link]:
    async with rig.radio.connect(ADDRESS, within_s=PROMPT_S) as made:
        yield made
