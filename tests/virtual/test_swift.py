from __future__ import annotations

import asyncio
import os
import time

import pytest

from ble_ota.virtual.swift import swiftly


def test_a_year_passes_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(31_536_000)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert swiftly(main()) == pytest.approx(31_536_000)
    assert time.monotonic() - began < 10


def test_what_is_due_first_comes_first() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def after(delay_s: int) -> None:
            await asyncio.sleep(delay_s)
            order.append(delay_s)

        await asyncio.gather(*map(after, (30, 10, 20)))
        return order

    assert swiftly(main()) == [10, 20, 30]


def test_a_time_out_is_one() -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(6)

    with pytest.raises(TimeoutError):
        swiftly(main())


def test_no_time_passes_while_there_is_something_to_do() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert swiftly(main()) == 0


def test_what_is_ready_comes_before_a_leap() -> None:
    async def main() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        there, here = os.pipe()
        os.write(here, b"x")
        got: asyncio.Future[bytes] = loop.create_future()
        loop.add_reader(there, lambda: got.set_result(os.read(there, 1)))
        async with asyncio.timeout(1000):
            await got
        loop.remove_reader(there)
        os.close(there)
        os.close(here)
        return got.result(), loop.time()

    assert swiftly(main()) == (b"x", 0)


def test_it_runs_beside_another_loop() -> None:
    async def main() -> str:
        await asyncio.sleep(3600)
        return "done"

    async def outside() -> str:
        return await asyncio.to_thread(lambda: swiftly(main()))

    assert asyncio.run(outside()) == "done"
