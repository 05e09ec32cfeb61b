from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bumble import hci

from ble_ota.errors import AdapterError, DeviceNotFoundError, LinkLostError
from ble_ota.gatt import bumble_backend, bumble_controller, bumble_power, bumble_scanner
from ble_ota.gatt.bumble_controller import Controller
from ble_ota.gatt.bumble_options import DEFAULT, LinkOptions
from tests.gatt.cable import Cable, Wired, wired
from tests.gatt.contract import ADDRESS, PROMPT_S, Subject

GONE = "is gone"


@pytest.fixture
async def place() -> AsyncIterator[Wired]:
    async with wired(Subject(ADDRESS)) as made:
        yield made


@pytest.fixture
def cable(place: Wired) -> Cable:
    return place.cables[0]


@pytest.fixture
async def controller(cable: Cable) -> AsyncIterator[Controller]:
    made = Controller(cable.name, DEFAULT, None)
    await made.ready(0)
    yield made
    await made.close()


async def pulled(cable: Cable, controller: Controller) -> None:
    """The cable is out, and that is known."""
    cable.pull()
    with pytest.raises(AdapterError, match=GONE):
        async with asyncio.timeout(PROMPT_S), controller.watched():
            await asyncio.Event().wait()


async def test_a_controller_that_is_lost_knows_it(cable: Cable, controller: Controller) -> None:
    assert not controller.lost
    await pulled(cable, controller)
    assert controller.lost


async def test_whoever_waits_for_it_then_is_told_at_once(cable: Cable, controller: Controller) -> None:
    await pulled(cable, controller)
    with pytest.raises(AdapterError, match=GONE):
        async with controller.watched():
            pytest.fail("there is nothing to wait for")


async def test_a_time_limit_inside_stays_one(controller: Controller) -> None:
    with pytest.raises(TimeoutError):
        async with controller.watched(), asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_a_cancellation_inside_stays_one(controller: Controller) -> None:
    async def wait() -> None:
        async with controller.watched():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.wait({task}, timeout=0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_link_that_is_lost_alone_is_not_the_controllers_fault(controller: Controller) -> None:
    with pytest.raises(LinkLostError):
        async with controller.watched():
            raise LinkLostError("out of range")


async def test_a_link_that_is_lost_with_it_is(cable: Cable, controller: Controller) -> None:
    await pulled(cable, controller)
    with pytest.raises(AdapterError, match=GONE) as caught, controller.blamed():
        raise LinkLostError("the connection dropped")
    assert "Plug it in again" in caught.value.hint


async def test_it_is_opened_again_when_it_is_back(cable: Cable, controller: Controller) -> None:
    await pulled(cable, controller)
    await cable.plug()
    await controller.ready(PROMPT_S)
    assert not controller.lost


async def test_it_is_waited_for(cable: Cable, controller: Controller) -> None:
    await pulled(cable, controller)
    waiting = asyncio.create_task(controller.ready(PROMPT_S))
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    await cable.plug()
    async with asyncio.timeout(PROMPT_S):
        await waiting
    assert not controller.lost


async def test_it_is_looked_for_less_and_less_often_and_by_each_who_waits_anew(
    cable: Cable, controller: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ble_ota.gatt.bumble_controller")
    await pulled(cable, controller)
    for within_s, most in ((1.0, 3), (0.5, 2)):  # after 0.1 s, 0.3 s, and 0.7 s; each time from the beginning
        caplog.clear()
        with pytest.raises(AdapterError):
            await controller.ready(within_s)
        assert 1 <= caplog.text.count("trying again") <= most


async def test_it_is_not_waited_for_longer_than_said(cable: Cable, controller: Controller) -> None:
    await pulled(cable, controller)
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(AdapterError, match="nobody serves a controller there"):
            await controller.ready(0.3)


async def test_one_that_was_never_there_is_not_waited_for(cable: Cable) -> None:
    cable.pull()
    absent = Controller(cable.name, DEFAULT, None)
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(AdapterError, match="nobody serves"):
            await absent.ready(60)


async def test_many_who_need_it_open_it_once(cable: Cable, controller: Controller) -> None:
    await pulled(cable, controller)
    await cable.plug()
    await asyncio.gather(*(controller.ready(PROMPT_S) for _ in range(5)))
    assert cable.uses == 2


async def test_closing_lets_go_of_it(cable: Cable, controller: Controller) -> None:
    await controller.close()
    await cable.released()
    assert controller.lost


async def test_a_controller_that_does_not_answer_lets_go_of_the_port(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bumble_power, "POWER_ON_S", 0.05)
    cable.frozen = True
    with pytest.raises(AdapterError, match="does not answer"):
        await Controller(cable.name, DEFAULT, None).ready(0)
    await cable.released()


async def test_one_that_hangs_in_a_scan_is_opened_again(
    cable: Cable, controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bumble_scanner, "ANSWER_S", 0.05)
    cable.frozen = True
    with pytest.raises(AdapterError, match="does not answer"):
        await anext(controller.radio.scan(within_s=PROMPT_S))
    assert controller.lost
    cable.frozen = False
    await controller.ready(PROMPT_S)
    assert (await anext(controller.radio.scan(within_s=PROMPT_S))).address == ADDRESS


async def test_one_that_hangs_in_a_connect_is_opened_again(
    cable: Cable, controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bumble_backend, "GIVE_UP_S", 0.05)
    monkeypatch.setattr(bumble_controller, "GIVE_UP_S", 0.05)

    async def freeze(*_: object, **_named: object) -> None:
        cable.frozen = True
        await asyncio.Event().wait()

    monkeypatch.setattr(controller._powered.device, "connect", freeze)  # type: ignore[union-attr]
    with pytest.raises(LinkLostError):
        async with controller.radio.connect(ADDRESS, within_s=0.1):
            pytest.fail("nobody was connected")
    assert controller.lost


# ------------------------------------------------------------------ links


async def test_a_controller_carries_no_more_links_than_it_may(cable: Cable) -> None:
    small = Controller(cable.name, LinkOptions(links=1), None)
    with small.berth(), pytest.raises(AdapterError, match="has all its 1 links in use") as caught, small.berth():
        pytest.fail("there were two")
    assert "second controller" in caught.value.hint
    with small.berth():
        assert small.links == 1


async def test_a_controller_carries_no_more_links_than_it_has_packet_buffers(controller: Controller) -> None:
    assert controller.room == DEFAULT.links
    queue = controller._powered.device.host.le_acl_packet_queue  # type: ignore[union-attr]
    assert queue is not None
    queue.max_in_flight = 3
    assert controller.room == 3


async def test_the_bonds_are_of_the_address_that_links_are_made_from(cable: Cable, tmp_path: Path) -> None:
    addresses: list[hci.Address] = []
    for _ in range(2):
        controller = Controller(cable.name, DEFAULT, tmp_path)
        await controller.ready(0)
        addresses.append(controller._powered.device.random_address)  # type: ignore[union-attr]
        await controller.close()
        await cable.released()
    assert addresses[0] == addresses[1]


async def test_nobody_at_the_address_is_not_the_controllers_fault(controller: Controller) -> None:
    with pytest.raises(DeviceNotFoundError):
        async with controller.watched(), controller.radio.connect("C0:00:00:00:00:99", within_s=0.1):
            pytest.fail("nobody was connected")
    assert not controller.lost


async def test_it_is_lost_before_anybody_hears_of_their_link(controller: Controller) -> None:
    powered = controller._powered
    assert powered is not None
    powered.transport.source.on_transport_lost()  # type: ignore[attr-defined]
    assert controller.lost
