from __future__ import annotations

import asyncio

import pytest

from ble_ota.errors import AccountLockedError, ApiError, CloudAnswerError, CloudUnreachableError, TokenRejectedError
from ble_ota.fleet.center import batches, concerns_all, pooled
from tests.fleet.conftest import Assemble

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    ("given", "size", "parts"),
    [([], 3, []), ([1], 3, [[1]]), ([1, 2, 3], 3, [[1, 2, 3]]), ([1, 2, 3, 4], 3, [[1, 2, 3], [4]])],
)
async def test_parts_are_of_one_size_but_the_last(given: list[int], size: int, parts: list[list[int]]) -> None:
    assert batches(given, size) == parts


async def test_results_stand_in_the_order_of_what_was_asked(assemble: Assemble) -> None:
    it = await assemble(1, calls_at_once=4)

    async def late(number: int) -> int:
        await asyncio.sleep(10 - number)
        return number

    assert await pooled(it.client, list(range(10)), late) == list(range(10))


async def test_the_first_error_ends_the_others(assemble: Assemble) -> None:
    it = await assemble(1, calls_at_once=4)
    ended: list[int] = []

    async def do(number: int) -> None:
        try:
            if number == 2:
                await asyncio.sleep(1)
                raise CloudUnreachableError("gone")
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            ended.append(number)
            raise

    with pytest.raises(CloudUnreachableError):
        await pooled(it.client, list(range(20)), do)
    assert sorted(ended) == [0, 1, 3]


async def test_what_one_device_did_wrong_does_not_concern_the_others() -> None:
    assert not concerns_all(ApiError(5052, "not bound", doing="asking"))
    assert not concerns_all(CloudAnswerError("no JSON"))
    assert concerns_all(CloudUnreachableError("gone"))
    assert concerns_all(TokenRejectedError(5032, "over", doing="asking"))
    assert concerns_all(AccountLockedError(5147, "frozen", doing="asking"))
