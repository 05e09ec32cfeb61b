"""Over real sockets: a cable to a controller, pulled at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from ble_ota.errors import AdapterError
from ble_ota.gatt.bumble_controller import Controller
from ble_ota.gatt.bumble_options import DEFAULT, LinkOptions
from ble_ota.gatt.bumble_radio import BumbleRadio, freest, open_radio
from ble_ota.link import Link
from tests.gatt.cable import Wired, wired
from tests.gatt.contract import ADDRESS, NEWS, NOBODY, OTHER, PROMPT_S, TALK, Subject, handle, handle_of_twin, heard

SECONDS = 60.0  # nobody waits so long here; a call that does is stopped by the test's own limit


@pytest.fixture
async def place() -> AsyncIterator[Wired]:
    async with wired(Subject(ADDRESS), Subject(OTHER)) as made:
        yield made


@pytest.fixture
async def radio(place: Wired) -> AsyncIterator[BumbleRadio]:
    async with open_radio(place.cables[0].name) as made:
        yield made


# ------------------------------------------------------------------ as any radio


async def test_what_is_sent_arrives_both_ways(place: Wired, radio: BumbleRadio) -> None:
    async with radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        await link.subscribe(handle(link, NEWS))
        await link.write(handle(link, TALK), b"one", ack=True)
        await link.write(handle(link, TALK), b"two", ack=False)
        place.subjects[0].carrier.send(NEWS, b"news")
        assert (await heard(link, handle(link, NEWS))).data == b"news"
        assert await link.read(handle_of_twin(link)) == ADDRESS.encode()
    assert place.subjects[0].written_values == [b"one", b"two"]


async def test_a_scan_ends_in_time(radio: BumbleRadio) -> None:
    assert {advert.address async for advert in radio.scan(within_s=0.3)} == {ADDRESS, OTHER}


# ------------------------------------------------------------------ the controller is lost


async def scanning(radio: BumbleRadio) -> None:
    async for _ in radio.scan(within_s=SECONDS):
        pass


async def connecting(radio: BumbleRadio) -> None:
    async with radio.connect(NOBODY, within_s=SECONDS):
        pytest.fail("nobody was connected")


def over_a_link(doing: Callable[[Link], Awaitable[object]]) -> Callable[[BumbleRadio], Awaitable[None]]:
    async def do(radio: BumbleRadio) -> None:
        async with radio.connect(ADDRESS, within_s=PROMPT_S) as link:
            while True:
                await doing(link)

    return do


WAITS: dict[str, Callable[[BumbleRadio], Awaitable[None]]] = {
    "scanning": scanning,
    "connecting": connecting,
    "waiting for the device": over_a_link(lambda link: link.notification((handle(link, NEWS),))),
    "reading": over_a_link(lambda link: link.read(handle_of_twin(link))),
    "writing": over_a_link(lambda link: link.write(handle(link, TALK), b"x", ack=True)),
    "writing commands": over_a_link(lambda link: link.write(handle(link, TALK), bytes(200), ack=False)),
    "subscribing": over_a_link(lambda link: link.subscribe(handle(link, NEWS))),
}


@pytest.mark.parametrize("after_s", [0.05, 0.3])
@pytest.mark.parametrize("what", WAITS)
async def test_a_lost_controller_is_said_at_once(place: Wired, radio: BumbleRadio, what: str, after_s: float) -> None:
    asyncio.get_running_loop().call_later(after_s, place.cables[0].pull)
    async with asyncio.timeout(after_s + PROMPT_S):
        with pytest.raises(AdapterError, match=r"the Bluetooth controller tcp-client:.* is gone") as caught:
            await WAITS[what](radio)
    assert "the same command carries on" in caught.value.hint


async def test_a_lost_controller_is_found_again_by_the_next_connect(place: Wired, radio: BumbleRadio) -> None:
    cable, loop = place.cables[0], asyncio.get_running_loop()
    async with radio.connect(ADDRESS, within_s=PROMPT_S) as link:
        cable.pull()
        with pytest.raises(AdapterError, match="is gone"):
            await heard(link, handle(link, NEWS))
    plugging: list[asyncio.Task[None]] = []
    loop.call_later(0.2, lambda: plugging.append(asyncio.ensure_future(cable.plug())))
    async with radio.connect(ADDRESS, within_s=2 * PROMPT_S) as link:
        assert await link.read(handle_of_twin(link)) == ADDRESS.encode()
    assert plugging


async def test_a_lost_controller_is_found_again_by_the_next_scan(place: Wired, radio: BumbleRadio) -> None:
    place.cables[0].pull()
    with pytest.raises(AdapterError):
        await scanning(radio)
    await place.cables[0].plug()
    assert (await anext(radio.scan(within_s=PROMPT_S))).address in (ADDRESS, OTHER)


async def test_a_controller_that_stays_away_is_an_error_in_time(place: Wired, radio: BumbleRadio) -> None:
    place.cables[0].pull()
    with pytest.raises(AdapterError):
        await scanning(radio)
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(AdapterError, match="nobody serves a controller there"):
            async with radio.connect(ADDRESS, within_s=0.2):
                pytest.fail("over what?")


async def test_leaving_lets_go_of_the_controller(place: Wired) -> None:
    async with open_radio(place.cables[0].name) as radio, radio.connect(ADDRESS, within_s=PROMPT_S):
        pass
    await place.cables[0].released()


async def test_a_controller_that_another_program_has_is_said(place: Wired, radio: BumbleRadio) -> None:
    assert place.cables[0].in_use
    with pytest.raises(AdapterError, match="another program may have it"):
        async with open_radio(place.cables[0].name):
            pytest.fail("there were two")


async def test_a_controller_that_another_program_is_letting_go_of_is_waited_for(place: Wired) -> None:
    for _ in range(5):
        async with open_radio(place.cables[0].name) as radio:
            assert (await anext(radio.scan(within_s=PROMPT_S))).address in (ADDRESS, OTHER)


# ------------------------------------------------------------------ several


def standing(name: str, *, links: int, room: int, lost: bool = False) -> Controller:
    class Standing(Controller):
        @property
        def lost(self) -> bool:
            return lost

    made = Standing(name, LinkOptions(links=room), None)
    made.links = links
    return made


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ({"links": 0, "room": 8}, {"links": 0, "room": 8}, "a"),
        ({"links": 1, "room": 8}, {"links": 0, "room": 8}, "b"),
        ({"links": 2, "room": 8}, {"links": 0, "room": 3}, "a"),
        ({"links": 0, "room": 8, "lost": True}, {"links": 7, "room": 8}, "b"),
        ({"links": 0, "room": 8, "lost": True}, {"links": 1, "room": 8, "lost": True}, "a"),
    ],
)
def test_a_link_goes_where_most_are_free(first: dict[str, int], second: dict[str, int], chosen: str) -> None:
    assert freest([standing("a", **first), standing("b", **second)]).name == chosen  # type: ignore[arg-type]


def names(place: Wired) -> str:
    return ",".join(cable.name for cable in place.cables)


async def test_two_controllers_carry_a_link_each() -> None:
    async with AsyncExitStack() as links:
        place = await links.enter_async_context(wired(Subject(ADDRESS), Subject(OTHER), cables=2))
        radio = await links.enter_async_context(open_radio(names(place), LinkOptions(links=1)))

        async def connect(address: str) -> Link:
            return await links.enter_async_context(radio.connect(address, within_s=PROMPT_S))

        made = await asyncio.gather(connect(ADDRESS), connect(OTHER))
        read = [await link.read(handle_of_twin(link)) for link in made]
        assert read == [ADDRESS.encode(), OTHER.encode()]
        with pytest.raises(AdapterError, match="has all its 1 links in use"):
            await connect(NOBODY)


async def test_one_of_two_is_named_by_its_place() -> None:
    async with wired(Subject(ADDRESS), cables=2) as place, open_radio(names(place)) as radio:
        place.cables[0].pull()
        async with radio.at(1).connect(ADDRESS, within_s=PROMPT_S) as link:
            assert link.facts.address == ADDRESS


async def test_when_one_of_two_is_lost_the_other_goes_on() -> None:
    async with wired(Subject(ADDRESS), cables=2) as place, open_radio(names(place)) as radio:
        place.cables[0].pull()
        with pytest.raises(AdapterError, match="is gone"):
            await scanning(radio)
        async with radio.connect(ADDRESS, within_s=PROMPT_S) as link:
            assert link.facts.address == ADDRESS


async def test_if_one_of_two_cannot_be_opened_the_other_is_let_go_of() -> None:
    async with wired(Subject(ADDRESS), cables=2) as place:
        place.cables[1].pull()
        with pytest.raises(AdapterError, match="nobody serves"):
            async with open_radio(names(place), DEFAULT):
                pytest.fail("one was not there")
        await place.cables[0].released()
